"""Does a mask belong to its image? Signs that the contours were drawn on another one.

In cine images blood is brighter than myocardium. For each slice in which the myocardium closes
around a cavity, `contrast` is the probability that a pixel of the cavity is brighter than one of
the myocardium. The limits were set on 87 patients of M&Ms (two vendors) and on the Sunnybrook
cases: at end-diastole the lowest median over a patient's slices was 0.90 and the lowest slice
0.75; at end-systole 0.69 and 0.38. Masks laid on another patient's image gave a median of 0.53 at
end-diastole (9 of 10 below 0.68). Rings of neighbouring slices lay at most 28 mm apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

from common.errors import Fault

_FEWEST_PIXELS = 20
_BORDER_PIXELS = 3
_JUMP_FAULT_MM = 45.0
_JUMP_NOTE_MM = 32.0


@dataclass(frozen=True)
class _Limits:
    """Contrasts below which a case or a slice is a fault, or noted."""

    case_fault: float
    case_note: float
    slice_fault: float
    slice_note: float


_END_DIASTOLE = _Limits(case_fault=0.65, case_note=0.85, slice_fault=0.55, slice_note=0.70)
_OTHER_PHASE = _Limits(case_fault=0.50, case_note=0.65, slice_fault=0.25, slice_note=0.35)


def check_contour(
    image: NDArray[np.generic],
    myocardium: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    where: str,
    phase: str,
    *,
    bright_blood: bool = True,
) -> tuple[list[Fault], list[Fault]]:
    """Give the faults and the notes on one case; arrays are (z, y, x), spacing (x, y, z)."""
    faults, notes = _at_border(myocardium, where)
    more_faults, more_notes = _jumps(myocardium, spacing, where)
    faults += more_faults
    notes += more_notes
    if bright_blood:
        limits = _END_DIASTOLE if phase.upper() == "ED" else _OTHER_PHASE
        more_faults, more_notes = _dark_cavity(image, myocardium, where, limits)
        named = {fault.where for fault in faults}
        faults += [fault for fault in more_faults if fault.where not in named]
        notes += more_notes
    named = {fault.where for fault in faults}
    return faults, [note for note in notes if note.where not in named]


def contrast(image: NDArray[np.generic], ring: NDArray[np.bool_]) -> float | None:
    """Give the probability that a cavity pixel is brighter than one of the ring, for one slice.

    None where the ring does not close around a cavity of at least 20 pixels.
    """
    cavity = ndimage.binary_fill_holes(ring) & ~ring
    inside, around = image[cavity], image[ring]
    if min(len(inside), len(around)) < _FEWEST_PIXELS:
        return None
    ranks = rankdata(np.concatenate([inside, around]))
    above = ranks[: len(inside)].sum() - len(inside) * (len(inside) + 1) / 2
    return float(above / (len(inside) * len(around)))


def _at_border(myocardium: NDArray[np.bool_], where: str) -> tuple[list[Fault], list[Fault]]:
    edge = myocardium.copy()
    edge[:, 1:-1, 1:-1] = False
    count = edge.sum(axis=(1, 2))
    worst = int(count.argmax())
    if count[worst] == 0:
        return [], []
    found = f"the myocardium touches the image's edge in slice {worst} ({count[worst]} pixels)"
    fix = "Check that the contour was drawn on this image; if the image is cropped, crop it wider"
    fault = Fault("contour-outside-image", f"{where}, column mask", found, fix)
    return ([fault], []) if count[worst] >= _BORDER_PIXELS else ([], [fault])


def _jumps(
    myocardium: NDArray[np.bool_], spacing: tuple[float, float, float], where: str
) -> tuple[list[Fault], list[Fault]]:
    """Find slices whose ring lies far from the ring of the neighbouring slice."""
    slices = [int(z) for z in np.flatnonzero(myocardium.any(axis=(1, 2)))]
    scale = np.array([spacing[1], spacing[0]])
    centres = np.array([np.argwhere(myocardium[z]).mean(axis=0) * scale for z in slices])
    away = np.linalg.norm(centres - np.median(centres, axis=0), axis=1)
    worst: dict[int, float] = {}
    for i in range(len(slices) - 1):
        step = float(np.linalg.norm(centres[i + 1] - centres[i]))
        if step > _JUMP_NOTE_MM:
            blamed = slices[i] if away[i] > away[i + 1] else slices[i + 1]
            worst[blamed] = max(step, worst.get(blamed, 0.0))
    faults, notes = [], []
    for z, step in worst.items():
        found = f"the contour lies {step:.0f} mm from the one of the neighbouring slice"
        at = f"{where}, column mask, slice {z}"
        if step > _JUMP_FAULT_MM:
            fix = "It was probably drawn on another image: correct or remove it"
            faults.append(Fault("contour-foreign", at, found, fix))
        else:
            notes.append(Fault("contour-doubtful", at, found, "Look at image and contour"))
    return faults, notes


def _dark_cavity(
    image: NDArray[np.generic], myocardium: NDArray[np.bool_], where: str, limits: _Limits
) -> tuple[list[Fault], list[Fault]]:
    """Find cases and slices whose cavity is not brighter than the ring around it."""
    measured: dict[int, float] = {}
    for z in map(int, np.flatnonzero(myocardium.any(axis=(1, 2)))):
        value = contrast(image[z], myocardium[z])
        if value is not None:
            measured[z] = value
    if not measured:
        return [], []
    middle = float(np.median(list(measured.values())))
    at = f"{where}, column mask"
    found = f"the cavity is brighter than the myocardium in {middle:.0%} of pixel pairs only"
    if middle < limits.case_fault:
        fix = "The mask probably belongs to another image (or is shifted or flipped): replace it"
        return [Fault("contour-foreign", at, found, fix)], []
    faults, notes = [], []
    if middle < limits.case_note:
        notes.append(Fault("contour-doubtful", at, found, "Look at image and contour"))
    for z, value in measured.items():
        found = f"the cavity is brighter than the myocardium in {value:.0%} of pixel pairs only"
        if value < limits.slice_fault:
            fix = "This slice's contour was probably drawn on another image: correct or remove it"
            faults.append(Fault("contour-foreign", f"{at}, slice {z}", found, fix))
        elif value < limits.slice_note:
            fix = "Look at image and contour"
            notes.append(Fault("contour-doubtful", f"{at}, slice {z}", found, fix))
    return faults, notes
