"""Stack frames into a volume and write it, with nothing of its DICOM headers but the geometry."""

# mypy: allow-untyped-calls
from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.cohort.importers.frames import Frame


def uneven(frames: list[Frame]) -> str | None:
    """Say how a stack departs from evenly spaced slices behind one another; None if it does not."""
    if len(frames) < 2:
        return None
    places = np.array([frame.position for frame in frames])
    steps = np.diff(places, axis=0)
    along = steps @ frames[0].normal
    aside = np.linalg.norm(steps - along[:, None] * frames[0].normal, axis=1)
    if along.max() - along.min() > 0.1 * np.median(along):
        return f"its slices lie {along.min():.1f} to {along.max():.1f} mm apart"
    if aside.max() > max(frames[0].spacing):
        return f"its slices are shifted sideways by up to {aside.max():.1f} mm"
    return None


def write_stack(
    frames: list[Frame],
    pixels: list[NDArray[np.float32]],
    masks: list[NDArray[np.bool_]],
    cavities: list[NDArray[np.bool_]],
    image_file: Path,
    mask_file: Path,
) -> None:
    """Write image and mask (1 cavity, 2 myocardium) of sorted slices as NIfTI.

    Spacing, origin and direction come from the frames' positions and orientations.

    Raises:
        RuntimeError: a file cannot be written.
    """
    stack = np.stack(pixels)
    whole = bool((stack == np.rint(stack)).all()) and np.abs(stack).max() < 2**15
    labels = np.where(np.stack(cavities), 1, np.where(np.stack(masks), 2, 0)).astype(np.uint8)
    _write(stack.astype(np.int16) if whole else stack, frames, image_file)
    _write(labels, frames, mask_file)


def _write(array: NDArray[np.generic], frames: list[Frame], file: Path) -> None:
    import SimpleITK as sitk

    first = frames[0]
    row = first.along_row / np.linalg.norm(first.along_row)
    column = first.along_column - (first.along_column @ row) * row
    column /= np.linalg.norm(column)
    across = np.cross(row, column)
    along = np.diff([frame.position @ across for frame in frames])
    pitch = float(np.median(along)) if len(along) else first.pitch
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((*first.spacing, pitch))
    image.SetOrigin(tuple(float(v) for v in first.position))
    image.SetDirection(tuple(float(v) for v in np.stack([row, column, across], axis=1).ravel()))
    sitk.WriteImage(image, str(file), useCompression=True)
