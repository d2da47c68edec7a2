"""All features of one slice, from its box: shape, then ten images, class by class."""

# mypy: allow-untyped-calls
from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk

from client.imaging.boxed.box import Floats, Mask, box_around
from client.imaging.boxed.cooccurrence import cooccurrence
from client.imaging.boxed.filters import filtered
from client.imaging.boxed.first_order import first_order
from client.imaging.boxed.grey_levels import GreyLevels, grey_levels
from client.imaging.boxed.grey_tones import grey_tones
from client.imaging.boxed.sizes import dependences, run_lengths, size_zones
from common.feature_names import SHAPES, TEXTURES


def box_features(
    field: Floats, mask: Mask, spacing_mm: float, bin_width: float, wavelet: str
) -> dict[str, Any] | None:
    """Return the features by PyRadiomics' names, or None where only PyRadiomics itself can tell.

    `field` and `mask` are (y, x). None is for masks that PyRadiomics refuses and for features that
    are not a number.
    """
    if mask.all() or not mask.any():
        return None
    box = box_around(mask)
    if not box.is_plane():
        return None
    inside = mask[box.inside]
    found: dict[str, Any] = _shape(inside, spacing_mm)
    with np.errstate(all="ignore"):  # what is not a number is found below
        for prefix, image in filtered(field, box, spacing_mm, wavelet):
            if not np.isfinite(image).all():  # a field of zeros has no logarithm to scale by
                return None
            grey = grey_levels(image, inside, bin_width)
            for group, values in _textures(grey, spacing_mm**2).items():
                found |= {f"{prefix}_{group}_{name}": values[name] for name in TEXTURES[group]}
    return found if np.isfinite(list(found.values())).all() else None


def _textures(grey: GreyLevels, pixel_mm2: float) -> dict[str, dict[str, np.float64]]:
    return {
        "firstorder": first_order(grey, pixel_mm2),
        "glcm": cooccurrence(grey),
        "glrlm": run_lengths(grey),
        "glszm": size_zones(grey),
        "gldm": dependences(grey),
        "ngtdm": grey_tones(grey),
    }


def _shape(mask: Mask, spacing_mm: float) -> dict[str, Any]:
    """Shape by PyRadiomics' own class, once a slice; `mask` (height, width) is the box's."""
    from radiomics.shape2D import RadiomicsShape2D

    image = sitk.GetImageFromArray(mask[None].astype(np.uint8))
    image.SetSpacing([spacing_mm, spacing_mm, 1.0])
    measured = RadiomicsShape2D(image, image, label=1, force2D=True, force2Ddimension=0)
    return {
        f"original_shape2D_{name}": getattr(measured, f"get{name}FeatureValue")() for name in SHAPES
    }
