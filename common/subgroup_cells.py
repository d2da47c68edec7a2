"""Results in subgroups of an external site, without what a small subgroup would give away.

For each variable ``shown`` (1,) says whether its subgroups are told at all; then ``patients``
(G, 2), negatives and positives; ``auc`` and ``variance`` (G, 3) and ``confusion`` (G, 3, 4), of the
three models, 0 where a class has no patient. The results over all patients are known, so a subgroup
that is withheld alone would follow from the others, and with it the results of single patients:
where any of them is small, or few patients are in none, none is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.heads import MODELS, SCORED
from common.messages import Arrays
from common.statistics.auc import auc_of_scores, normal_quantile
from common.statistics.checks import Array
from common.statistics.operating_point import ConfusionCounts, confusion, proportions
from common.statistics.small_cells import may_show
from common.study_report import Variable

ROWS = tuple(SCORED.index((model, "harmonized")) for model in MODELS)
"""Rows of the score arrays that are the three models, harmonised."""

WITHHELD = (
    "Withheld: this subgroup, another of this variable, or those of whom it is not known, has "
    "fewer patients of a class than the study's minimum."
)
ONE_CLASS = "Not computed: the subgroup has no patient of one class."
NOBODY = "Nobody is in this subgroup."


def subgroup_shapes(variable: Variable) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Give dtype and shape of each array of a variable's subgroups."""
    groups, models = len(variable.groups), len(MODELS)
    return {
        "shown": ("int64", (1,)),
        "patients": ("int64", (groups, 2)),
        "auc": ("float64", (groups, models)),
        "variance": ("float64", (groups, models)),
        "confusion": ("int64", (groups, models, 4)),
    }


def subgroup_cells(
    scores: Array, thresholds: Array, labels: Array, levels: Array, variable: Variable, minimum: int
) -> Arrays:
    """Measure each subgroup of a variable.

    Parameters
    ----------
    scores, thresholds
        (M, P) and (M,), in the order of `SCORED`.
    labels
        (P,) 0 or 1.
    levels
        (P,) places among the variable's groups; as many as there are, or more, for in none.
    """
    groups = len(variable.groups)
    cells: Arrays = {
        name: np.zeros(shape, kind) for name, (kind, shape) in subgroup_shapes(variable).items()
    }
    labels, placed = np.asarray(labels, np.int64), np.minimum(np.asarray(levels), groups)
    counts = np.zeros((groups + 1, 2), np.int64)
    np.add.at(counts, (placed, labels), 1)
    if not may_show(counts, minimum):
        return cells
    cells["shown"][0] = 1
    cells["patients"] = counts[:groups]
    for group in np.flatnonzero((counts[:groups] > 0).all(axis=1)):
        own = placed == group
        for place, row in enumerate(ROWS):
            found = auc_of_scores(scores[row][own], labels[own])
            told = confusion(scores[row][own], labels[own], float(thresholds[row]))
            cells["auc"][group, place] = found.auc
            cells["variance"][group, place] = found.variance or 0.0
            cells["confusion"][group, place] = (told.tp, told.fp, told.tn, told.fn)
    return cells


def subgroups_in_words(variable: Variable, cells: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Lay a variable's subgroups out for results.json."""
    is_shown = bool(cells["shown"][0])
    return [
        _group(variable, place, cells) if is_shown else _withheld(variable, place)
        for place in range(len(variable.groups))
    ]


def _withheld(variable: Variable, place: int) -> dict[str, Any]:
    return {
        "variable": variable.name,
        "level": variable.groups[place],
        "patients": None,
        "models": None,
        "warning": WITHHELD,
    }


def _group(variable: Variable, place: int, cells: Mapping[str, Array]) -> dict[str, Any]:
    negative, positive = (int(one) for one in cells["patients"][place])
    has_both = negative > 0 and positive > 0
    models = {
        model: _model(
            float(cells["auc"][place, row]),
            float(cells["variance"][place, row]),
            ConfusionCounts(*(int(one) for one in cells["confusion"][place, row])),
        )
        for row, model in enumerate(MODELS)
    }
    return {
        "variable": variable.name,
        "level": variable.groups[place],
        "patients": {"positive": positive, "negative": negative},
        "models": models if has_both else None,
        "warning": None if has_both else (ONE_CLASS if negative or positive else NOBODY),
    }


def _model(auc: float, variance: float, counts: ConfusionCounts) -> dict[str, Any]:
    margin = normal_quantile(0.95) * float(np.sqrt(variance))
    found: dict[str, Any] = {"auc": auc, "auc_ci": [max(0.0, auc - margin), min(1.0, auc + margin)]}
    shares = proportions(counts)
    for name in ("sensitivity", "specificity"):
        share = getattr(shares, name)
        found[name] = None if share is None else share.value
        found[f"{name}_ci"] = None if share is None else [share.lower, share.upper]
    found["confusion"] = {"tp": counts.tp, "fp": counts.fp, "tn": counts.tn, "fn": counts.fn}
    return found
