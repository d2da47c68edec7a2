"""One case from its files to its numbers: read, choose the slices, prepare, measure."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from client.imaging.cache import Entry
from client.imaging.hidden_nan import count_hidden_nan
from client.imaging.preprocess import (
    Mask,
    Preprocessing,
    crop_window,
    prepare_slice,
    slices_of,
)
from client.imaging.radiomics import RadiomicsRecipe, extract_slice
from client.imaging.reading import read_pair
from client.imaging.volume import Volume
from common.errors import ImageError
from common.threads import one_thread


def measure(
    image_path: Path,
    mask_path: Path,
    frame: int | None,
    myocardium: int,
    slices: tuple[int, ...] | None,
    preprocessing: Preprocessing,
    recipe: RadiomicsRecipe,
    perturbed: str = "",
) -> Entry:
    """Measure the chosen slices of a case, or all with enough myocardium, on one core.

    `perturbed` says what is done to the mask on the resampled grid first: see `perturb`.

    Raises `ImageError` naming the slice (and the file where reading fails).
    """
    with single_thread():
        volume, mask = read_pair(image_path, mask_path, frame, myocardium)
        hidden = count_hidden_nan(image_path, frame)
        if hidden:
            raise ImageError(
                f"{image_path.name} holds {hidden} voxels that are NaN or infinite, which ITK "
                "reads as 0.",
                "Export the image again.",
            )
        spacing = volume.spacing[:2]
        chosen = choose_slices(mask, (spacing[0], spacing[1]), slices, preprocessing)
        rows = []
        for z in chosen:
            try:
                rows.append(_measure_slice(volume, mask, z, preprocessing, recipe, perturbed))
            except ImageError as error:
                raise ImageError(f"slice {z}: {error.what}", error.fix) from error
    features, areas, images, masks = (np.stack(column) for column in zip(*rows, strict=True))
    return Entry(
        features=features,
        slices=np.array(chosen, dtype=np.int64),
        areas_mm2=areas,
        images=images,
        masks=masks,
        notes=() if volume.note is None else (volume.note,),
    )


def choose_slices(
    mask: Mask,
    spacing_xy: tuple[float, float],
    slices: tuple[int, ...] | None,
    recipe: Preprocessing,
) -> tuple[int, ...]:
    """Check the slices asked for, or find all with enough myocardium; at least one.

    `mask` is (z, y, x). Raises `ImageError` where a slice does not exist or shows no myocardium,
    and where none is left.
    """
    if slices is None:
        slices = slices_of(mask, spacing_xy, recipe)
    for z in slices:
        if not 0 <= z < len(mask):
            raise ImageError(
                f"slice {z} does not exist: the image has {len(mask)}.",
                f"Slices count from 0: choose among 0 to {len(mask) - 1}.",
            )
        if not mask[z].any():
            raise ImageError(
                f"slice {z} shows no myocardium in the mask.",
                "Leave it out, or draw the myocardium there.",
            )
    if not slices:
        raise ImageError(
            f"no slice has {recipe.minimum_pixels} pixels of myocardium or more.",
            "Check the mask, or lower the study's minimum_pixels.",
        )
    return slices


def _measure_slice(
    volume: Volume,
    mask: Mask,
    z: int,
    preprocessing: Preprocessing,
    recipe: RadiomicsRecipe,
    perturbed: str,
) -> tuple[np.ndarray, np.float64, np.ndarray, np.ndarray]:
    spacing = (volume.spacing[0], volume.spacing[1])
    prepared = prepare_slice(volume.array[z], mask[z], spacing, preprocessing)
    prepared = replace(prepared, mask=perturb(prepared.mask, perturbed))
    features = extract_slice(prepared, recipe)
    window = crop_window(prepared.mask, preprocessing)
    area = np.float64(prepared.mask.sum() * preprocessing.spacing_mm**2)
    return features, area, prepared.image[window], prepared.mask[window]


def perturb(mask: Mask, how: str) -> Mask:
    """Let a mask (y, x) grow (``dilated``) or shrink (``eroded``) by a pixel on all sides.

    On the resampled grid, so that a pixel is as long at every site. An empty `how` changes nothing.
    Raises `ImageError` where nothing would be left.
    """
    if not how:
        return mask
    # Here alone, and it takes a process of the extraction as long to load as a case to measure.
    from scipy import ndimage

    step = ndimage.binary_dilation if how == "dilated" else ndimage.binary_erosion
    changed: Mask = step(mask)
    if not changed.any():
        raise ImageError(
            "the myocardium is nowhere thicker than two pixels: eroded, none of it is left.",
            "Set the study's second_mask to 'dilated', or raise its minimum_pixels.",
        )
    return changed


@contextmanager
def single_thread() -> Iterator[None]:
    """Keep ITK and the linear algebra to one thread: slices are the unit that runs in parallel."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        with one_thread():
            yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
