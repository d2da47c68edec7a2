"""DICOM frames of a cine, put in order by their headers: slices along z, phases in time."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import Fault

_SAME_SLICE_MM = 0.5


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: where it lies and when, by its header, and its file for the pixels."""

    file: Path
    series: str
    instance: int
    time: float
    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]
    pitch: float
    scanner: dict[str, str]

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction across the slice."""
        normal: NDArray[np.float64] = np.cross(self.along_row, self.along_column)
        return normal

    def pixels(self) -> NDArray[np.float32]:
        """Read the pixels, rescaled as the header says.

        Raises:
            Exception: whatever pydicom raises on damaged pixel data.
        """
        import pydicom

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            held = pydicom.dcmread(self.file)
            slope = float(held.get("RescaleSlope", 1) or 1)
            intercept = float(held.get("RescaleIntercept", 0) or 0)
            return (held.pixel_array * slope + intercept).astype(np.float32)


def read_frames(files: Iterable[Path], where: str) -> tuple[list[Frame], list[Fault]]:
    """Read the headers of DICOM files; damaged files become faults, the others are read on."""
    frames, faults = [], []
    for file in files:
        try:
            frames.append(_read_header(file))
        except Exception as error:  # whatever a damaged file provokes
            found = f"{file.name} is not a usable DICOM image ({type(error).__name__}: {error})"
            fix = "Restore the file from its source, or remove it"
            faults.append(Fault("dicom-unreadable", where, found[:300].replace("\n", " "), fix))
    return frames, faults


def sort_frames(frames: list[Frame]) -> list[list[Frame]]:
    """Sort one series into slices along its normal, and each slice's frames in time.

    File names and instance numbers play no part, but for frames without a trigger time.
    """
    if not frames:
        return []
    normal = frames[0].normal
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    slices: list[list[Frame]] = [[ordered[0]]]
    for frame in ordered[1:]:
        step = float((frame.position - slices[-1][0].position) @ normal)
        if step > _SAME_SLICE_MM:
            slices.append([])
        slices[-1].append(frame)
    for held in slices:
        held.sort(key=lambda frame: (frame.time, frame.instance))
    return slices


def choose_series(frames: list[Frame], instances: set[int]) -> list[Frame]:
    """Choose the series that has most of the contoured instances; of several, the largest."""
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        series[frame.series].append(frame)

    def fit(name: str) -> tuple[int, int, str]:
        held = {frame.instance for frame in series[name]}
        return (len(held & instances), len(held), name)

    return series[max(series, key=fit)] if series else []


def _read_header(file: Path) -> Frame:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held: Any = pydicom.dcmread(file, stop_before_pixels=True)
        turn = np.array([float(v) for v in held.ImageOrientationPatient])
        row_pitch, column_pitch = (float(v) for v in held.PixelSpacing)
        instance = int(held.InstanceNumber)
        trigger = held.get("TriggerTime")
        return Frame(
            file=file,
            series=str(held.SeriesInstanceUID),
            instance=instance,
            time=float(instance if trigger is None else trigger),
            position=np.array([float(v) for v in held.ImagePositionPatient]),
            along_row=turn[:3],
            along_column=turn[3:],
            spacing=(column_pitch, row_pitch),
            shape=(int(held.Rows), int(held.Columns)),
            pitch=float(held.get("SpacingBetweenSlices") or held.get("SliceThickness") or 10.0),
            scanner={
                "vendor": str(held.get("Manufacturer", "") or "").strip(),
                "scanner": str(held.get("ManufacturerModelName", "") or "").strip(),
                "field_strength": str(held.get("MagneticFieldStrength", "") or "").strip(),
            },
        )
