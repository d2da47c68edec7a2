"""Checks of one case's image and mask."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.cohort.check_contour import check_contour
from client.cohort.patients import Case
from client.cohort.rules import CohortRules
from client.imaging.hidden_nan import count_hidden_nan
from client.imaging.reading import frame_count, read_volume, same_grid
from client.imaging.volume import Volume
from common.errors import Fault, ImageError

_IN_PLANE_MM = (0.2, 5.0)
_BETWEEN_SLICES_MM = (0.5, 30.0)


@dataclass
class CaseFindings:
    """What was found in one case, and the hashes of its slices (z -> hash)."""

    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    slices: dict[int, str] = field(default_factory=dict)


def check_case(
    case: Case, slices: tuple[int, ...], myocardium: int, rules: CohortRules
) -> CaseFindings:
    """Check the image and the mask of one case; `slices` are those that rows label.

    Never raises for what is wrong with the files: every fault is listed.
    """
    findings = CaseFindings()
    image = _read(case.image, case.frame, f"{case.where}, column image", "image", findings)
    if case.image == case.mask:
        found = "image and mask are the same file"
        fix = "Give the file with the contours in column mask"
        findings.faults.append(Fault("image-is-mask", f"{case.where}, column mask", found, fix))
        return findings
    mask = _read(case.mask, case.frame, f"{case.where}, column mask", "mask", findings)
    usable = image is not None and _check_image(image, case, findings)
    ring = None if mask is None else _check_mask(mask, case, slices, myocardium, rules, findings)
    if image is None or mask is None:
        return findings
    difference = same_grid(image, mask)
    if difference is not None:
        fix = "Give the mask that was drawn on this image, or resample it onto the image"
        where = f"{case.where}, columns image and mask"
        findings.faults.append(Fault("grid-differs", where, difference.rstrip("."), fix))
    if usable and ring is not None and image.array.shape == ring.shape:
        faults, notes = check_contour(
            image.array,
            ring,
            _xyz(image),
            case.where,
            case.phase,
            bright_blood=rules.bright_blood,
        )
        findings.faults += faults
        findings.notes += notes
    return findings


def _read(
    path: Path, frame: int | None, where: str, kind: str, findings: CaseFindings
) -> Volume | None:
    if not path.exists():
        fix = "Correct the path (relative paths begin at the CSV's folder) or restore the file"
        findings.faults.append(Fault("file-missing", where, f"{path} does not exist", fix))
        return None
    try:
        if kind == "mask" and frame is not None and frame_count(path) == 1:
            frame = None  # a mask of that frame alone
        volume = read_volume(path, frame)
    except Exception as error:  # whatever a damaged file provokes, the other cases are checked on
        what, fix = f"{path} cannot be read ({type(error).__name__})", ""
        if isinstance(error, ImageError):
            what, fix = error.what.rstrip("."), error.fix.rstrip(".")
        fix = fix or "Restore the file from its source, or leave the case out"
        findings.faults.append(Fault(f"{kind}-unreadable", where, what, fix))
        return None
    if volume.note:
        fix = "Nothing to do: it was read all the same"
        findings.notes.append(Fault("header-repaired", where, volume.note.rstrip("."), fix))
    return volume


def _check_image(image: Volume, case: Case, findings: CaseFindings) -> bool:
    """Check values and spacing, and hash the slices; give whether the values can be used."""
    where = f"{case.where}, column image"
    spacing = _spacing_fault(image, where)
    if spacing is not None:
        findings.faults.append(spacing)
    elif tuple(image.spacing) == (1.0, 1.0, 1.0):
        found = "the spacing is exactly 1 x 1 x 1 mm, as where a conversion lost it"
        fix = "Compare it with the scanner's"
        findings.notes.append(Fault("spacing-unset", where, found, fix))
    array = image.array
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if not bad and np.issubdtype(array.dtype, np.floating):
        bad = count_hidden_nan(case.image, case.frame)
    if bad:
        found = f"{bad} of {array.size} voxels are NaN or infinite"
        fix = "Export the image anew; no value is invented for them"
        findings.faults.append(Fault("image-nan", where, found, fix))
        return False
    if array.size == 0 or array.min() == array.max():
        found = "every voxel has the same value"
        fix = "Export the image anew; it holds no picture"
        findings.faults.append(Fault("image-constant", where, found, fix))
        return False
    for z in range(array.shape[0]):
        content = np.ascontiguousarray(array[z], dtype=np.float32)
        if content.min() != content.max():
            findings.slices[z] = hashlib.blake2b(
                content.tobytes(), digest_size=16, key=str(content.shape).encode()
            ).hexdigest()
    return True


def _xyz(image: Volume) -> tuple[float, float, float]:
    x, y, z = image.spacing
    return x, y, z


def _spacing_fault(image: Volume, where: str) -> Fault | None:
    x, y, z = _xyz(image)
    flat = image.array.shape[0] == 1
    good = all(math.isfinite(v) and _IN_PLANE_MM[0] <= v <= _IN_PLANE_MM[1] for v in (x, y))
    good = good and math.isfinite(z)
    if good and (flat or _BETWEEN_SLICES_MM[0] <= z <= _BETWEEN_SLICES_MM[1]):
        return None
    return Fault(
        "spacing-implausible",
        where,
        f"the spacing is {x:.4g} x {y:.4g} mm in plane and {z:.4g} mm between slices",
        "Correct it in the file's header: expected are millimetres, "
        f"{_IN_PLANE_MM[0]:g} to {_IN_PLANE_MM[1]:g} in plane and "
        f"{_BETWEEN_SLICES_MM[0]:g} to {_BETWEEN_SLICES_MM[1]:g} between slices",
    )


def _check_mask(
    mask: Volume,
    case: Case,
    slices: tuple[int, ...],
    myocardium: int,
    rules: CohortRules,
    findings: CaseFindings,
) -> NDArray[np.bool_] | None:
    """Check the labels of the mask; give its myocardium if there is enough of it."""
    where = f"{case.where}, column mask"
    array = mask.array
    present = np.unique(array)

    def fault(code: str, found: str, fix: str) -> None:
        findings.faults.append(Fault(code, where, found, fix))

    hidden = count_hidden_nan(case.mask) if np.issubdtype(array.dtype, np.floating) else 0
    if hidden:
        fault("mask-nan", f"{hidden} voxels are NaN or infinite", "Export it as whole numbers")
        return None
    if not np.isfinite(present).all() or (present != np.rint(present)).any():
        fault(
            "mask-not-labels",
            f"the mask holds values that are no labels, such as {_odd(present)}",
            "Export it as whole numbers, and resample masks by nearest neighbour only",
        )
        return None
    if not present.any():
        fault("mask-empty", "the mask is empty", "Draw the myocardium, or leave the case out")
        return None
    ring: NDArray[np.bool_] = array == myocardium
    count = int(ring.sum())
    if count == 0:
        labels = ", ".join(f"{value:g}" for value in present if value)
        fault(
            "myocardium-missing",
            f"no voxel has the myocardium's label {myocardium}; the labels there are {labels}",
            "Import with the right --myocardium, or draw the myocardium",
        )
        return None
    if count < rules.minimum_myocardium:
        fault(
            "mask-tiny",
            f"the myocardium has {count} voxel{'s' if count > 1 else ''}, "
            f"at least {rules.minimum_myocardium} are needed",
            "Draw the myocardium anew, or leave the case out",
        )
        return None
    for z in slices:
        if z >= ring.shape[0]:
            found = f"slice {z} is labelled, the mask has slices 0 to {ring.shape[0] - 1}"
            fault("slice-outside", found, "Correct the column slice; the first slice is 0")
        elif not ring[z].any():
            found = f"slice {z} is labelled and has no myocardium; it is not used"
            fix = "Nothing to do, if that is meant"
            findings.notes.append(Fault("slice-without-myocardium", where, found, fix))
    return ring


def _odd(values: NDArray[np.generic]) -> str:
    for value in values.astype(np.float64):
        if not np.isfinite(value) or value != np.rint(value):
            return f"{value:g}"
    return "none"
