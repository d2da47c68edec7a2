"""One Sunnybrook patient at end-diastole: the contoured slices, in order, with their masks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.cohort.importers.contours import rasterise, read_polygon, share_inside
from client.cohort.importers.frames import Frame, choose_series, read_frames, sort_frames
from client.cohort.importers.volume import uneven
from common.errors import Fault, ImageError

_CONTOUR = re.compile(r"IM-\d+-(\d+)-([io])contour-(?:manual|auto)\.txt", re.IGNORECASE)
_NO_DICOM = {".txt", ".csv", ".json", ".xml", ".md", ".pdf", ".mat", ".zip"}
_INSIDE = 0.9

Contours = dict[int, dict[str, Path]]
"""InstanceNumber -> {"i": endocardium file, "o": epicardium file}."""


@dataclass
class Stack:
    """Slices from one end of the heart to the other; without frames, `reason` says why."""

    frames: list[Frame] = field(default_factory=list)
    pixels: list[NDArray[np.float32]] = field(default_factory=list)
    rings: list[NDArray[np.bool_]] = field(default_factory=list)
    cavities: list[NDArray[np.bool_]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reason: str = ""


def find_contours(folder: Path) -> Contours:
    """Find the contour files below a folder, by the number of the frame that they belong to."""
    found: Contours = {}
    for file in sorted(folder.rglob("*.txt")):
        match = _CONTOUR.fullmatch(file.name)
        if match:
            found.setdefault(int(match[1]), {}).setdefault(match[2].lower(), file)
    return found


def build_stack(folder: Path, contours: Contours) -> Stack:
    """Put a patient's frames in order and draw the masks of those with both contours.

    What is wrong with a file or a contour becomes a fault, and its slice is left without a mask;
    a slice between contoured ones is kept, from the frame nearest in time, without a mask.
    """
    stack = Stack()
    patient = f"patient {folder.name}"
    both = {number: files for number, files in contours.items() if {"i", "o"} <= files.keys()}
    if not both:
        stack.reason = "no frame with both contours"
        return stack
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and _maybe_dicom(f)]
    frames, stack.faults = read_frames(files, patient)
    series = choose_series(frames, set(both))
    masks: dict[int, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    there = Counter(frame.instance for frame in series)
    shapes = {frame.instance: frame.shape for frame in series}
    for number, pair in both.items():
        if there[number] != 1:
            found = f"{there[number]} frames have InstanceNumber {number}, to which it belongs"
            fix = "Restore the frame, or remove the contour"
            _fault(stack, "contour-without-frame", patient, pair["o"], found, fix)
            continue
        drawn = _draw(stack, patient, pair, shapes[number])
        if drawn is not None:
            masks[number] = drawn
    _fill(stack, patient, sort_frames(series), masks)
    if not stack.frames:
        stack.reason = "no usable frame with both contours"
    return stack


def _maybe_dicom(file: Path) -> bool:
    return file.suffix.lower() not in _NO_DICOM and not file.name.startswith((".", "DICOMDIR"))


def _fault(stack: Stack, code: str, patient: str, file: Path, found: str, fix: str) -> None:
    stack.faults.append(Fault(code, f"{patient}, {file.name}", found, fix))


def _draw(
    stack: Stack, patient: str, pair: dict[str, Path], shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Rasterise endocardium and epicardium into ring and cavity; None if they make no sense."""
    areas = {}
    for kind, file in pair.items():
        try:
            polygon = read_polygon(file)
        except (ImageError, OSError) as error:
            found = error.what.rstrip(".") if isinstance(error, ImageError) else "cannot be read"
            _fault(stack, "contour-unreadable", patient, file, found, "Restore the contour file")
            return None
        inside = share_inside(polygon, shape)
        if inside < _INSIDE:
            found = f"only {inside:.0%} of the contour lies on the image; the slice was left out"
            fix = "It was probably drawn on another image: correct or remove it"
            _fault(stack, "contour-outside-image", patient, file, found, fix)
            return None
        areas[kind] = rasterise(polygon, shape)
    cavity, whole = areas["i"], areas["o"]
    within = (cavity & whole).sum() / max(int(cavity.sum()), 1)
    if within < _INSIDE or not whole.any():
        found = (
            f"only {within:.0%} of the endocardium lies inside the epicardium; "
            "the slice was left out"
        )
        fix = "One of the two was drawn on another image: correct or remove them"
        _fault(stack, "contours-disagree", patient, pair["i"], found, fix)
        return None
    return whole & ~cavity, cavity & whole


def _fill(
    stack: Stack,
    patient: str,
    slices: list[list[Frame]],
    masks: dict[int, tuple[NDArray[np.bool_], NDArray[np.bool_]]],
) -> None:
    """Choose one frame for each slice from the first to the last with a mask, and read them."""
    chosen: dict[int, Frame] = {}
    for z, held in enumerate(slices):
        drawn = [frame for frame in held if frame.instance in masks]
        if len(drawn) > 1:
            numbers = ", ".join(str(frame.instance) for frame in drawn)
            stack.notes.append(
                f"{patient}: frames {numbers} of one slice have both contours; the first was taken."
            )
        if drawn:
            chosen[z] = drawn[0]
    if not chosen:
        return
    time = float(np.median([frame.time for frame in chosen.values()]))
    for z in range(min(chosen), max(chosen) + 1):
        near = min(slices[z], key=lambda frame: abs(frame.time - time))
        _append(stack, patient, chosen.get(z, near), masks, drawn=z in chosen)
    rings = [bool(ring.any()) for ring in stack.rings]
    if not any(rings):
        stack.frames = []
    departure = uneven(stack.frames)
    if departure:
        stack.notes.append(f"{patient}: {departure}; positions between slices are approximate.")


def _append(
    stack: Stack,
    patient: str,
    frame: Frame,
    masks: dict[int, tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    *,
    drawn: bool,
) -> None:
    first = stack.frames[0] if stack.frames else frame
    same = first.shape == frame.shape and np.allclose(first.spacing, frame.spacing, atol=1e-3)
    if not (
        same
        and np.allclose(first.along_row, frame.along_row, atol=1e-3)
        and np.allclose(first.along_column, frame.along_column, atol=1e-3)
    ):
        found = "size, spacing or orientation differ from the stack's; the slice was left out"
        _fault(stack, "frame-differs", patient, frame.file, found, "Restore the right frame")
        return
    try:
        pixels = frame.pixels()
    except Exception as error:  # whatever damaged pixel data provokes
        found = f"the pixels cannot be read ({type(error).__name__}); the slice was left out"
        _fault(stack, "dicom-unreadable", patient, frame.file, found, "Restore the file")
        return
    empty = np.zeros(frame.shape, dtype=bool)
    ring, cavity = masks[frame.instance] if drawn else (empty, empty)
    stack.frames.append(frame)
    stack.pixels.append(pixels)
    stack.rings.append(ring)
    stack.cavities.append(cavity)
