"""Radiomic features of one short-axis slice, by PyRadiomics.

A slice goes in as a three-dimensional image of one slice (z = 1) with `force2D`. A truly
two-dimensional image with `force2D` would silently give textures along one-dimensional lines.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from client.imaging.boxed.features import box_features
from client.imaging.preprocess import PreparedSlice
from common.errors import ImageError
from common.feature_names import SHAPES, TEXTURES, all_names

FILTERS: Final = (
    "Original",
    "Square",
    "SquareRoot",
    "Logarithm",
    "Exponential",
    "Gradient",
    "Wavelet",
)


@dataclass(frozen=True)
class RadiomicsRecipe:
    """What PyRadiomics is asked for. Part of the study: two recipes give two kinds of numbers.

    `grey_range`: intensities in [0, 1] are multiplied by it first. PyRadiomics' exponential filter
    is exp(x log(max) / max), the constant 1 on an image whose maximum is 1: on [0, 1] itself a
    tenth of all features would be empty. With 255 every filter spans about the same range.
    `bin_width`: width of a grey-level bin, in units of `grey_range`.
    `wavelet`: mother wavelet of the one-level stationary transform.
    """

    bin_width: float = 4.0
    grey_range: float = 255.0
    wavelet: str = "coif1"


def feature_names(recipe: RadiomicsRecipe) -> list[str]:
    """Return the 939 names, in the fixed order of `extract_slice`: `<image>_<class>_<feature>`."""
    del recipe  # every recipe measures the same features
    return list(all_names())


def itk_pair(prepared: PreparedSlice, recipe: RadiomicsRecipe) -> tuple[Any, Any]:
    """Image (float64) and mask (uint8) as SimpleITK images of size (x, y, 1), as extracted."""
    image = sitk.GetImageFromArray(prepared.image[None].astype(np.float64) * recipe.grey_range)
    mask = sitk.GetImageFromArray(prepared.mask[None].astype(np.uint8))
    for item in (image, mask):
        item.SetSpacing([prepared.spacing_mm, prepared.spacing_mm, 1.0])
    return image, mask


def settings(recipe: RadiomicsRecipe) -> dict[str, Any]:
    """PyRadiomics' settings of this recipe."""
    return {
        "binWidth": recipe.bin_width,
        "force2D": True,
        "force2Ddimension": 0,
        "weightingNorm": "no_weighting",
        "label": 1,
        "additionalInfo": False,
    }


@lru_cache(maxsize=4)
def extractor(recipe: RadiomicsRecipe) -> Any:
    """Return PyRadiomics' own extractor for this recipe: filters and classes named one by one."""
    import radiomics
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    radiomics.setVerbosity(logging.CRITICAL)
    radiomics.logger.setLevel(logging.CRITICAL)  # nor to handlers of ours: a warning per matrix
    engine = RadiomicsFeatureExtractor(**settings(recipe))
    engine.disableAllImageTypes()
    for name in FILTERS:
        custom = {"wavelet": recipe.wavelet, "level": 1} if name == "Wavelet" else {}
        engine.enableImageTypeByName(name, customArgs=custom)
    engine.disableAllFeatures()
    engine.enableFeaturesByName(
        shape2D=list(SHAPES), **{group: list(names) for group, names in TEXTURES.items()}
    )
    return engine


def extract_slice(prepared: PreparedSlice, recipe: RadiomicsRecipe) -> npt.NDArray[np.float64]:
    """Measure one slice: (939,) float64, finite, in the order of `feature_names`.

    Lengths are in millimetres. Raises `ImageError` naming the first feature that cannot be
    computed; nothing is filled in.
    """
    found = box_features(
        prepared.image.astype(np.float64) * recipe.grey_range,
        prepared.mask,
        prepared.spacing_mm,
        recipe.bin_width,
        recipe.wavelet,
    )
    if found is None:
        found = by_pyradiomics(prepared, recipe)
    names = all_names()
    values = _real([found[name] for name in names])
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise ImageError(
            f"{wrong.size} features cannot be computed, the first is {names[wrong[0]]}"
            f" ({values[wrong[0]]}), from {int(prepared.mask.sum())} pixels of myocardium.",
            "Raise the study's minimum_pixels, or list the slices to use without this one.",
        )
    return values


def by_pyradiomics(prepared: PreparedSlice, recipe: RadiomicsRecipe) -> dict[str, Any]:
    """Measure one slice by PyRadiomics alone: slower, the reference, and the judge of odd masks.

    Raises `ImageError` for a mask that PyRadiomics refuses.
    """
    image, mask = itk_pair(prepared, recipe)
    try:
        return dict(extractor(recipe).execute(image, mask))
    except ValueError as error:
        raise ImageError(
            f"PyRadiomics cannot measure the myocardium ({error}).",
            "Check the mask, or list the slices to use without this one.",
        ) from error


def _real(found: list[Any]) -> npt.NDArray[np.float64]:
    values = np.array(found)
    if np.iscomplexobj(values):
        first = next(i for i, value in enumerate(found) if np.iscomplexobj(value))
        raise ImageError(
            f"{all_names()[first]} came back as a complex number from NumPy {np.__version__}.",
            "Install numpy below 2.5.",
        )
    return values.astype(np.float64)
