"""PyRadiomics without a line of ours but the pixels, and how far our own values are from it."""

import logging

import numpy as np
import pytest
import radiomics
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor

from client.imaging.preprocess import PreparedSlice
from client.imaging.radiomics import RadiomicsRecipe, extract_slice
from common.errors import ImageError
from common.feature_names import TEXTURES, all_names

RELATIVE, NEARLY_ZERO = 1e-9, 1e-12


def directly(prepared: PreparedSlice, recipe: RadiomicsRecipe):
    """Return PyRadiomics' values by name. Raises `ValueError` for masks that it refuses."""
    radiomics.setVerbosity(logging.CRITICAL)
    image = sitk.GetImageFromArray(prepared.image[None].astype(np.float64) * recipe.grey_range)
    mask = sitk.GetImageFromArray(prepared.mask[None].astype(np.int32))
    image.SetSpacing((prepared.spacing_mm, prepared.spacing_mm, 1))
    mask.CopyInformation(image)
    engine = RadiomicsFeatureExtractor(
        binWidth=recipe.bin_width,
        force2D=True,
        force2Ddimension=0,
        weightingNorm="no_weighting",
        additionalInfo=False,
    )
    engine.disableAllImageTypes()
    engine.enableImageTypes(
        Original={},
        Square={},
        SquareRoot={},
        Logarithm={},
        Exponential={},
        Gradient={},
        Wavelet={"wavelet": recipe.wavelet},
    )
    engine.disableAllFeatures()
    for group in (*TEXTURES, "shape2D"):
        engine.enableFeatureClassByName(group)
    return engine.execute(image, mask)


def assert_equal(prepared: PreparedSlice, recipe: RadiomicsRecipe) -> bool:
    """Assert all 939 values, or that both refuse the slice; return whether they measured it."""
    try:
        reference = directly(prepared, recipe)
        expected = np.array([float(reference[name]) for name in all_names()])
    except ValueError:
        expected = np.array([np.nan])
    if not np.isfinite(expected).all():
        with pytest.raises(ImageError):
            extract_slice(prepared, recipe)
        return False
    values = extract_slice(prepared, recipe)
    allowed = np.maximum(RELATIVE * np.abs(expected), NEARLY_ZERO)
    wrong = np.flatnonzero(~(np.abs(values - expected) <= allowed))
    assert not wrong.size, [(all_names()[k], values[k], expected[k]) for k in wrong[:5]]
    return True
