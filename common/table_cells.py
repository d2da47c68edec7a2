"""Table 1 as it may be shown: each variable's cells, without what a small cell would give away.

A site makes them of its own patients where it is seen alone, and the coordinator of a total. The
arrays of a number are ``shown`` (2, 2), for each class whether its values and its counts are;
``count`` (2, 2), known and missing; ``values`` (2, 5), mean, standard deviation and quartiles; and
``test`` (3,), whether there is one, its statistic and p. Those of a category are ``shown`` (2,),
``counts`` (2, levels + 2), other and missing last, and ``test``. What is not shown is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.messages import Arrays
from common.statistics.checks import Array, Ints
from common.statistics.group_tests import GroupTest, chi_squared, of_numbers
from common.statistics.small_cells import is_small, may_show, rounded
from common.statistics.table_one import Bins, NumberSums, described
from common.study_report import Variable

CLASSES = ("negative", "positive")
VALUES = ("mean", "sd", "q1", "median", "q3")
OTHER = "other"
MEAN_STEPS, QUARTILE_STEPS = 50, 10
"""Into how many steps of a bin's width means, and quartiles, are rounded."""
DECIMALS = 3
TESTS = {
    "welch": "Welch's t",
    "student": "Student's t",
    "mann-whitney": "Mann-Whitney",
    "categorical": "chi-squared",
}


def bins_of(variable: Variable) -> Bins:
    """Give the bins of a number."""
    return Bins(variable.lower, variable.upper, variable.width)


def cell_shapes(variable: Variable) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Give dtype and shape of each array of a variable's cells."""
    test = ("float64", (3,))
    if variable.kind == "categorical":
        counts = (2, len(variable.levels) + 2)
        return {"shown": ("int64", (2,)), "counts": ("int64", counts), "test": test}
    return {
        "shown": ("int64", (2, 2)),
        "count": ("int64", (2, 2)),
        "values": ("float64", (2, len(VALUES))),
        "test": test,
    }


def sum_shapes(variable: Variable) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Give dtype and shape of each array that is summed over sites for a variable.

    ``sites`` counts those that know it of anybody.
    """
    if variable.kind == "categorical":
        return {"counts": ("int64", (2, len(variable.levels) + 2)), "sites": ("int64", ())}
    two = ("float64", (2,))
    return {
        "count": ("int64", (2,)),
        "missing": ("int64", (2,)),
        "total": two,
        "squares": two,
        "histogram": ("int64", (2, variable.bins)),
        "sites": ("int64", ()),
    }


def number_cells(sums: NumberSums, variable: Variable, minimum: int) -> Arrays:
    """Make the cells of a number."""
    shown, count = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    values = np.zeros((2, len(VALUES)))
    for label, own in enumerate(described(sums, bins_of(variable))):
        both = np.array([sums.count[label], sums.missing[label]], np.int64)
        if may_show(both, minimum):
            shown[label, 1], count[label] = 1, both
        if own is not None and not is_small(own.n, minimum):
            fine, coarse = variable.width / MEAN_STEPS, variable.width / QUARTILE_STEPS
            shown[label, 0] = 1
            values[label, :2] = rounded(own.mean, fine), rounded(own.sd, fine)
            values[label, 2:] = [rounded(one, coarse) for one in (own.q1, own.median, own.q3)]
    test = of_numbers(sums, variable.test) if shown[:, 0].all() else None
    return {"shown": shown, "count": count, "values": values, "test": _test_array(test)}


def level_cells(counts: Ints, minimum: int) -> Arrays:
    """Make the cells of a category from its counts (2, levels + 2)."""
    shown = np.array([int(may_show(row, minimum)) for row in counts], np.int64)
    test = chi_squared(counts[:, :-1]) if shown.all() else None
    return {"shown": shown, "counts": counts * shown[:, None], "test": _test_array(test)}


def _test_array(test: GroupTest | None) -> Array:
    if test is None:
        return np.zeros(3)
    return np.array([1.0, round(test.statistic, DECIMALS), float(f"{test.p:.3g}")])


def cells_in_words(variable: Variable, cells: Mapping[str, Array]) -> dict[str, Any]:
    """Lay a variable's cells out for results.json; what is not shown is None."""
    if variable.kind == "categorical":
        found = {name: _levels(variable, cells, label) for label, name in enumerate(CLASSES)}
    else:
        found = {name: _number(cells, label) for label, name in enumerate(CLASSES)}
    has_test, statistic, p = np.asarray(cells["test"], np.float64).tolist()
    name = TESTS[variable.test if variable.kind == "numeric" else "categorical"]
    test = {"name": name, "statistic": statistic, "p": p} if has_test else None
    return dict(reversed(found.items())) | {"test": test}


def _number(cells: Mapping[str, Array], label: int) -> dict[str, Any]:
    has_values, has_counts = (bool(one) for one in cells["shown"][label])
    n, missing = (int(one) for one in cells["count"][label])
    held = dict(zip(VALUES, np.asarray(cells["values"][label], np.float64).tolist(), strict=True))
    return {
        "n": n if has_counts else None,
        "missing": missing if has_counts else None,
        **{name: held[name] if has_values else None for name in VALUES},
    }


def _levels(variable: Variable, cells: Mapping[str, Array], label: int) -> dict[str, Any]:
    if not cells["shown"][label]:
        names = [*variable.levels]
        return {"n": None, "missing": None, "counts": dict.fromkeys(names)}
    *counts, other, missing = (int(one) for one in cells["counts"][label])
    named = dict(zip(variable.levels, counts, strict=True)) | ({OTHER: other} if other else {})
    return {"n": sum(counts) + other, "missing": missing, "counts": named}
