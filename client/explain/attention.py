"""Where the network looks, summed over an external site's patients in the myocardium's own frame.

A patient counts with numbers of 0 to 1 only: its mean heat in each segment over that of its hottest
one. So a sum over patients is bounded by their number, and no patient's evidence weighs more than
another's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from client.cohort.patients import Case
from client.cohort.rows import SiteRows
from client.context import SiteContext
from client.explain.gradcam import Heat, ensemble_heat
from client.explain.heart_frame import HeartFrame, heart_frame, long_axis_thirds, segments
from client.imaging.reading import frame_count, read_volume
from common.aha import SEGMENTS
from common.messages import Arrays, ValidateAnswer
from common.release import folds_from_arrays

Floats = npt.NDArray[np.float64]
Place = tuple[HeartFrame, int]
"""The frame of a slice's heart, and the third of the long axis that the slice is of."""

KEPT_RELEASE = "external-release"
"""Under which the step ``scores`` keeps the release for this one."""


def answer(context: SiteContext) -> ValidateAnswer:
    """Answer the step ``attention``, with the release that the step ``scores`` brought.

    Raises
    ------
    RunError
        There was no such step before.
    """
    rows, study = context.rows, context.study
    folds = folds_from_arrays(context.memory.load(KEPT_RELEASE), study.folds)
    heat = ensemble_heat(folds, rows, np.arange(rows.labels.size), study)
    own = patient_attention(rows, heat, places_of(rows, context.site.myocardium))
    least = study.cohort.minimum_patients_per_class
    return ValidateAnswer(attention=attention_sums(own, rows.patient_labels, least))


def patient_attention(rows: SiteRows, heat: Heat, places: Sequence[Place]) -> Floats:
    """Give each patient's heat by segment, over that of its hottest segment.

    Parameters
    ----------
    heat : (n, crop, crop)
    places : n

    Returns
    -------
    (P, 16) in 0 to 1
        NaN where a patient has no pixel of a segment; 0 in all of them without any heat.
    """
    added = np.zeros((len(rows.patient_ids), len(SEGMENTS)))
    pixels = np.zeros_like(added)
    for number, (frame, third) in enumerate(places):
        found = segments(rows.masks[number] > 0.5, third, frame)
        inside = found >= 0
        own = rows.patient[number]
        np.add.at(added[own], found[inside], heat[number][inside])
        np.add.at(pixels[own], found[inside], 1.0)
    mean = np.divide(added, pixels, out=np.full_like(added, np.nan), where=pixels > 0.0)
    hottest = np.nanmax(mean, axis=1, keepdims=True, initial=0.0)
    return np.asarray(np.divide(mean, hottest, out=mean * 0.0, where=hottest > 0.0))


def attention_sums(own: Floats, labels: npt.NDArray[np.int64], least: int) -> Arrays:
    """Sum patients' attention (P, 16) by class; see `common.aha.ATTENTION_SHAPES`.

    A segment that fewer than `least` patients of a class have is left out of that class.
    """
    seen = np.zeros((2, len(SEGMENTS)), np.int64)
    heat = np.zeros((2, len(SEGMENTS)))
    for label in (0, 1):
        mine = own[labels == label]
        seen[label] = np.isfinite(mine).sum(axis=0)
        heat[label] = np.nansum(mine, axis=0)
    few = seen < least
    return {
        "classes": np.bincount(labels, minlength=2).astype(np.int64),
        "seen": np.where(few, 0, seen),
        "heat": np.where(few, 0.0, heat),
    }


def places_of(rows: SiteRows, myocardium: int) -> list[Place]:
    """Find each slice's place in its heart, from the masks as they were drawn."""
    known: dict[tuple[str, str], tuple[HeartFrame, npt.NDArray[np.int64]]] = {}
    for case, _ in rows.origin:
        key = (case.patient_id, case.phase)
        if key not in known:
            used = [z for other, z in rows.origin if (other.patient_id, other.phase) == key]
            known[key] = _heart_of(case, used, myocardium)
    return [
        (frame, int(thirds[z]))
        for (frame, thirds), z in (
            (known[(case.patient_id, case.phase)], z) for case, z in rows.origin
        )
    ]


def _heart_of(
    case: Case, used: Sequence[int], myocardium: int
) -> tuple[HeartFrame, npt.NDArray[np.int64]]:
    volume = read_volume(case.mask, case.frame if frame_count(case.mask) > 1 else None)
    wall = volume.array == myocardium
    unused = np.setdiff1d(np.arange(len(wall)), used)
    wall[unused] = False
    x, y = volume.spacing[:2]
    frame = heart_frame(volume.array, myocardium, (float(x), float(y)), volume.direction)
    return frame, long_axis_thirds(wall)
