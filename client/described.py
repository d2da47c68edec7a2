"""The variables of a study's report, read from a site's patients as numbers and levels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from client.cohort.rows import SiteRows
from common.study_report import Variable

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def used(rows: SiteRows) -> Ints:
    """Give the patients with slices in the study, by number and in order."""
    return np.unique(rows.patient).astype(np.int64)


def numbers_of(rows: SiteRows, variable: Variable) -> Floats:
    """Read a variable of the used patients as numbers; NaN where it is none."""
    return np.array([_number(text) for text in _texts(rows, variable)], dtype=np.float64)


def levels_of(rows: SiteRows, variable: Variable) -> Ints:
    """Read a variable of the used patients as places among its `groups`.

    The number of groups stands for another text, or a number that is outside the bounds; one more
    for none. A text is a level's where it is the same in capitals or small letters, or the same
    number: 3.0 is 3.
    """
    count = len(variable.groups)
    if variable.kind == "categorical":
        known = {level.lower(): place for place, level in enumerate(variable.levels)}
        numbers = {
            _number(level): place
            for place, level in enumerate(variable.levels)
            if np.isfinite(_number(level))
        }
        return np.array(
            [
                known.get(text.lower(), numbers.get(_number(text), count)) if text else count + 1
                for text in _texts(rows, variable)
            ],
            dtype=np.int64,
        )
    values = numbers_of(rows, variable)
    inside = np.isfinite(values) & (values >= variable.lower) & (values <= variable.upper)
    places = np.searchsorted(np.array(variable.bands), values, side="right")
    blank = np.array([not text for text in _texts(rows, variable)], dtype=np.bool_)
    return np.where(inside, places, np.where(blank, count + 1, count)).astype(np.int64)


def _texts(rows: SiteRows, variable: Variable) -> list[str]:
    held = rows.described.get(variable.name)
    if held is None:
        return [""] * used(rows).size
    return [held[number].strip() for number in used(rows)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
