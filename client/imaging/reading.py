"""Read images and masks of any format that SimpleITK knows, with plain reasons where it cannot.

Geometry follows ITK: arrays are (z, y, x); spacing, origin and direction are in x, y, z of the LPS
patient system, millimetres.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from client.imaging.complete import EXPORT_AGAIN, check_complete
from client.imaging.volume import Volume, check_frame
from common.errors import ImageError

TOLERANCE: Final = 1e-3
"""Largest difference in millimetres (direction: in cosines) at which two grids are the same."""


def read_volume(path: Path, frame: int | None = None) -> Volume:
    """Read a file, or a folder with the DICOM files of one series at one moment of the heartbeat.

    `frame` chooses, from 0, along the fourth axis of a 4-D file. Raises `ImageError` naming the
    file where it is missing or damaged, where a 4-D file comes without `frame`, and where `frame`
    is out of range. A NIfTI file whose direction cosines are not orthonormal, which ITK refuses,
    is read with its nearest rotation (`note` says so).
    """
    if not path.exists():
        raise ImageError(f"{path} does not exist.", "Correct the path in the cohort table.")
    try:
        volume = _read_series(path, frame) if path.is_dir() else _read_file(path, frame)
    except RuntimeError as error:
        if "orthonormal" not in str(error).lower():
            raise ImageError(
                f"{path} cannot be read ({_last_line(error)}).", EXPORT_AGAIN
            ) from error
        from client.imaging.skewed import read_skewed_nifti

        volume = read_skewed_nifti(path, frame)
    if not all(np.isfinite(s) and s > 0 for s in volume.spacing):
        raise ImageError(f"{path} gives the spacing {volume.spacing} mm.", EXPORT_AGAIN)
    return volume


def read_pair(
    image_path: Path, mask_path: Path, frame: int | None, myocardium: int
) -> tuple[Volume, npt.NDArray[np.bool_]]:
    """Read an image and its mask; return the image and where the mask is `myocardium`, (z, y, x).

    A 4-D mask gives the image's `frame`; a 3-D mask is taken as it is. Raises `ImageError` where
    the grids differ, the mask holds other than whole numbers, or the label is absent.
    """
    image = read_volume(image_path, frame)
    mask = read_volume(mask_path, frame if frame_count(mask_path) > 1 else None)
    difference = same_grid(image, mask)
    if difference:
        raise ImageError(
            f"{image_path.name} and {mask_path.name} are not on one grid: {difference}.",
            "Draw the mask on this image, or resample it to the image's grid.",
        )
    labels = np.unique(mask.array)
    if not np.array_equal(labels, np.round(labels)):
        raise ImageError(
            f"{mask_path.name} holds values that are not labels, such as"
            f" {labels[labels != np.round(labels)][0]:g}.",
            "Save the mask with whole numbers (resample masks by nearest neighbour).",
        )
    chosen: npt.NDArray[np.bool_] = mask.array == myocardium
    if not chosen.any():
        found = ", ".join(f"{label:g}" for label in labels[:10])
        raise ImageError(
            f"{mask_path.name} has no pixel of label {myocardium}; its labels are {found}.",
            "Set the myocardium's label in the cohort settings.",
        )
    return image, chosen


def same_grid(a: Volume, b: Volume) -> str | None:
    """Say which of size, spacing, origin and direction differ, with both numbers; None if none."""
    if a.array.shape != b.array.shape:
        return f"size {a.array.shape[::-1]} against {b.array.shape[::-1]}"
    differences = []
    for name in ("spacing", "origin", "direction"):
        one, two = getattr(a, name), getattr(b, name)
        if not np.allclose(one, two, rtol=0, atol=TOLERANCE):
            differences.append(f"{name} {_show(one)} against {_show(two)}")
    return "; ".join(differences) or None


def frame_count(path: Path) -> int:
    """Count the frames along the fourth axis; 1 for 3-D files, folders and unreadable files."""
    if path.is_dir():
        return 1
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error).lower():
            from client.imaging.skewed import count_frames

            return count_frames(path)
        return 1
    size = reader.GetSize()
    return int(size[3]) if len(size) == 4 else 1


def _reader(path: Path) -> Any:
    sitk.ProcessObject.GlobalWarningDisplayOff()
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    return reader


def _read_file(path: Path, frame: int | None) -> Volume:
    check_complete(path)
    reader = _reader(path)
    reader.ReadImageInformation()
    size = list(reader.GetSize())
    if len(size) > 4 or reader.GetNumberOfComponents() != 1:
        raise ImageError(
            f"{path} has {len(size)} axes and {reader.GetNumberOfComponents()} values a pixel.",
            "Give a grey-scale image with two to four axes.",
        )
    index = check_frame(path, size[3] if len(size) == 4 else 1, frame)
    if len(size) == 4:
        reader.SetExtractSize([*size[:3], 0])
        reader.SetExtractIndex([0, 0, 0, index])
    image = reader.Execute()
    return _from_itk(sitk.JoinSeries(image) if image.GetDimension() == 2 else image)


def _read_series(folder: Path, frame: int | None) -> Volume:
    check_frame(folder, 1, frame)
    sitk.ProcessObject.GlobalWarningDisplayOff()
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise ImageError(
            f"{folder} holds {len(series)} DICOM series.",
            "Give a folder with exactly one series.",
        )
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    places = {tuple(np.round(_position(Path(name)), 3)) for name in names}
    if len(places) != len(names):
        raise ImageError(
            f"{folder} holds {len(names)} images at {len(places)} positions: several moments of"
            " the heartbeat.",
            "Give a folder with the images of one moment, or import the cine with `myofed site`.",
        )
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    return _from_itk(reader.Execute())


def _position(path: Path) -> tuple[float, ...]:
    reader = _reader(path)
    reader.ReadImageInformation()
    return tuple(reader.GetOrigin())


def _from_itk(image: Any) -> Volume:
    return Volume(
        array=sitk.GetArrayFromImage(image),
        spacing=tuple(image.GetSpacing()),
        origin=tuple(image.GetOrigin()),
        direction=tuple(image.GetDirection()),
    )


def _show(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{n:.4g}" for n in numbers) + ")"


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Reason:")]  # errno, often a stale one
    last = lines[-1] if lines else type(error).__name__
    return last.removeprefix("sitk::ERROR: ").rstrip(".")[:200]
