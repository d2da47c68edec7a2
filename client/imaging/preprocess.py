"""One short-axis slice, brought to the grid and the intensities that every site shares.

The order is the paper's (Fahmy et al., J Cardiovasc Magn Reson 2022;24:40): resample in plane to
1 mm, intensities to [0, 1], 256 x 256; the network then sees a crop of 128 x 128.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from common.errors import ImageError

Image = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Preprocessing:
    """How a slice is prepared. Primitive values only, so that a study file can mirror it.

    `spacing_mm`: pixel size after resampling. `size`: side of the padded or cropped field, pixels.
    `crop`: side of the network's crop. `crop_center`: around the myocardium's centroid, or around
    the field's centre as in the paper. `intensity`: scale each slice by its smallest and largest
    value (the paper), or by two percentiles and clip. `interpolation` is the image's; a mask always
    takes the nearest pixel. `minimum_pixels`: a slice with less myocardium is left out.
    """

    spacing_mm: float = 1.0
    size: int = 256
    crop: int = 128
    crop_center: Literal["myocardium", "image"] = "myocardium"
    intensity: Literal["minmax", "percentile"] = "minmax"
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    interpolation: Literal["linear", "bspline"] = "linear"
    minimum_pixels: int = 20


@dataclass(frozen=True, eq=False)
class PreparedSlice:
    """`image` (size, size) float32 in [0, 1] and `mask` (size, size) bool, at `spacing_mm`."""

    image: npt.NDArray[np.float32]
    mask: Mask
    spacing_mm: float


def slices_of(
    mask: Mask, spacing_xy: tuple[float, float], recipe: Preprocessing
) -> tuple[int, ...]:
    """Indices z of the slices of `mask` (z, y, x) that have enough myocardium to measure.

    The area is counted in pixels of the resampled grid: mask pixels x their area in mm2 divided by
    `recipe.spacing_mm` squared, at least `recipe.minimum_pixels`.
    """
    pixels = mask.sum(axis=(1, 2)) * (spacing_xy[0] * spacing_xy[1] / recipe.spacing_mm**2)
    return tuple(int(z) for z in np.flatnonzero(pixels >= max(recipe.minimum_pixels, 1)))


def prepare_slice(
    image: Image, mask: Mask, spacing_xy: tuple[float, float], recipe: Preprocessing
) -> PreparedSlice:
    """Resample, scale and centre one slice.

    `image` and `mask` are (y, x) and share `spacing_xy`, millimetres in x and y. Raises
    `ImageError` for an image that is not finite or is constant, for an empty mask, and where the
    field of `recipe.size` pixels around the image's centre would cut the myocardium off.
    """
    if image.shape != mask.shape:
        raise ImageError(
            f"the image slice has {image.shape} pixels and its mask {mask.shape}.",
            "Draw the mask on the image's own grid.",
        )
    if not np.isfinite(image).all():
        raise ImageError(
            f"the slice has {int((~np.isfinite(image)).sum())} pixels that are not a number.",
            "Export the image again; a masked background should be 0.",
        )
    resampled = _resample(
        image.astype(np.float64), spacing_xy, recipe.spacing_mm, recipe.interpolation
    )
    moved = _resample(mask.astype(np.uint8), spacing_xy, recipe.spacing_mm, "nearest")
    return PreparedSlice(
        image=_center(scale_intensity(resampled, recipe), recipe.size).astype(np.float32),
        mask=_center_mask(moved.astype(np.bool_), recipe),
        spacing_mm=recipe.spacing_mm,
    )


def scale_intensity(image: Image, recipe: Preprocessing) -> npt.NDArray[np.float64]:
    """Map the intensities of one slice linearly to [0, 1]; `percentile` clips what lies outside."""
    values = image.astype(np.float64)
    if recipe.intensity == "minmax":
        low, high = float(values.min()), float(values.max())
    else:
        low, high = (
            float(v) for v in np.percentile(values, [recipe.low_percentile, recipe.high_percentile])
        )
    if not high > low:
        raise ImageError(
            f"the slice is constant: its intensities run from {low:g} to {high:g}.",
            "Check the exported frame, or list the slices to use without this one.",
        )
    scaled: npt.NDArray[np.float64] = np.clip((values - low) / (high - low), 0.0, 1.0)
    return scaled


def crop_window(mask: Mask, recipe: Preprocessing) -> tuple[slice, slice]:
    """Rows and columns of the network's crop, `recipe.crop` long and inside the field.

    Around the centroid the window moves, if it must, by the few pixels that keep the field's edge
    and the whole myocardium; around the image's centre it does not move.
    """
    windows = []
    for axis, index in enumerate(np.nonzero(mask)):
        length = mask.shape[axis]
        first, last = int(index.min()), int(index.max())
        if recipe.crop_center == "image":
            start = (length - recipe.crop) // 2
        else:
            start = int(np.floor(index.mean() + 0.5)) - recipe.crop // 2
            start = min(max(start, last - recipe.crop + 1), first)
            start = min(max(start, 0), max(length - recipe.crop, 0))
        if first < start or last >= start + recipe.crop or recipe.crop > length:
            raise ImageError(
                f"the crop of {recipe.crop} pixels would cut the myocardium, which spans pixels"
                f" {first} to {last} of {length}.",
                'Set crop_center to "myocardium", or make crop larger.',
            )
        windows.append(slice(start, start + recipe.crop))
    return windows[0], windows[1]


def _resample(
    pixels: Image, spacing_xy: tuple[float, float], target_mm: float, how: str
) -> npt.NDArray[Any]:
    """Resample (y, x) to `target_mm`; the grid lies inside the old field, on the same centre."""
    if np.allclose(spacing_xy, target_mm, rtol=0, atol=1e-5):
        return pixels
    source = sitk.GetImageFromArray(pixels)
    source.SetSpacing([float(s) for s in spacing_xy])
    extent = [n * s for n, s in zip(source.GetSize(), spacing_xy, strict=True)]
    size = [max(int(e / target_mm + 1e-6), 1) for e in extent]
    origin = [
        (e - s) / 2 - (n - 1) * target_mm / 2
        for e, s, n in zip(extent, spacing_xy, size, strict=True)
    ]
    result = sitk.Resample(
        source, size, sitk.Transform(), _interpolator(how), origin, [target_mm, target_mm],
        [1.0, 0.0, 0.0, 1.0], 0.0, source.GetPixelID(),
    )  # fmt: skip
    resampled: npt.NDArray[Any] = sitk.GetArrayFromImage(result)
    return resampled


@lru_cache
def _interpolator(how: str) -> int:
    kinds = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear}
    return int(kinds.get(how, sitk.sitkBSpline))


def _center(pixels: Image, size: int) -> npt.NDArray[Any]:
    """Pad with zeros or cut around the centre to (size, size)."""
    field = np.zeros((size, size), dtype=pixels.dtype)
    source, target = [], []
    for length in pixels.shape:
        kept = min(length, size)
        source.append(slice((length - kept) // 2, (length - kept) // 2 + kept))
        target.append(slice((size - kept) // 2, (size - kept) // 2 + kept))
    field[tuple(target)] = pixels[tuple(source)]
    return field


def _center_mask(mask: Mask, recipe: Preprocessing) -> Mask:
    centered: Mask = _center(mask, recipe.size)
    lost = int(mask.sum()) - int(centered.sum())
    if lost:
        raise ImageError(
            f"the field of {recipe.size} x {recipe.size} pixels of {recipe.spacing_mm:g} mm around"
            f" the image's centre would cut off {lost} pixels of the myocardium.",
            "Crop the image around the heart before the import, or make the study's size larger.",
        )
    if not centered.any():
        raise ImageError(
            "the slice has no myocardium after resampling.",
            "Check the mask, or list the slices to use without this one.",
        )
    return centered
