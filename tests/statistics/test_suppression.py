"""What is withheld cannot be worked out from what is shown: every cohort is tried."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from common.patient_flow import LISTED, NO_PHASE, REASONS, USED, flow_arrays, flow_in_words
from common.statistics.small_cells import is_small
from common.statistics.table_one import number_sums
from common.study_report import Variable
from common.subgroup_cells import subgroup_cells
from common.table_cells import bins_of, cells_in_words, level_cells, number_cells

SEX = Variable(name="sex", kind="categorical", levels=("F", "M"), subgroups=True)
AGE = Variable(name="age", kind="numeric", lower=15.0, upper=95.0, width=5.0)


def key(arrays: Any) -> tuple[bytes, ...]:
    return tuple(np.asarray(arrays[name]).tobytes() for name in sorted(arrays))


def splits(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Every way to split patients over so many cells."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in splits(total - first, parts - 1):
            yield (first, *rest)


def require_unknown(worlds: Iterable[list[tuple[int, ...]]], minimum: int) -> int:
    """Require that no small cell has one possible value in all worlds that look the same."""
    hidden = 0
    for alike in worlds:
        for column in zip(*alike, strict=True):
            values = set(column)
            if any(is_small(value, minimum) for value in values):
                hidden += 1
                assert len(values) > 1, (alike[0], values)
    return hidden


@pytest.mark.parametrize(("minimum", "patients"), [(2, 2), (2, 3), (3, 7), (5, 12), (5, 5)])
def test_counts_of_levels_tell_no_small_cell(minimum: int, patients: int) -> None:
    # Levels F, M, another text, and missing; the patients of the class are known from enrolment.
    other = (patients, 0, 0, 0)
    looks: defaultdict[tuple[bytes, ...], list[tuple[int, ...]]] = defaultdict(list)
    for counts in splits(patients, 4):
        looks[key(level_cells(np.array([other, counts], np.int64), minimum))].append(counts)
    assert require_unknown(looks.values(), minimum) > 0


@pytest.mark.parametrize("minimum", [3, 4])
def test_a_flow_tells_no_small_cell(minimum: int) -> None:
    used, most = 20, 5
    looks: defaultdict[tuple[Any, ...], list[tuple[int, ...]]] = defaultdict(list)
    for counts in product(range(most), repeat=len(REASONS)):
        excluded = dict(zip(REASONS, counts, strict=True))
        # Who has no image of the study's phases is enrolled all the same, so that total is known.
        phase = excluded[NO_PHASE]
        enrolled = used
        arrays = flow_arrays(excluded, (10, used - 10 - phase), minimum)
        known = (enrolled, *key(arrays))
        before = sum(counts) - phase
        looks[known].append((*counts, before, sum(counts)))
    assert require_unknown(looks.values(), minimum) > 0


def test_a_flow_says_what_it_may() -> None:
    excluded = dict.fromkeys(REASONS, 0) | {REASONS[1]: 7, REASONS[3]: 6}
    assert flow_in_words(flow_arrays(excluded, (20, 30), 5)) == {
        "listed": 63,
        "excluded": {REASONS[1]: 7, REASONS[3]: 6},
        "used": 50,
    }
    few = flow_in_words(flow_arrays(excluded | {REASONS[0]: 2}, (20, 30), 5))
    assert few == {"listed": 65, "excluded": dict.fromkeys(REASONS), "used": 50}
    unknown = flow_arrays({NO_PHASE: 0}, (20, 30), 5)
    assert not unknown["told"][LISTED]
    assert unknown["told"][USED]
    lost = flow_in_words(flow_arrays(excluded | {NO_PHASE: 3}, (20, 30), 5))
    assert (lost["listed"], lost["used"]) == (None, None)


def cohort(seed: int, minimum: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2 * minimum, 40))
    labels = (np.arange(count) < max(minimum, count // 3)).astype(np.int64)
    levels = rng.choice(4, count, p=rng.dirichlet(np.ones(4)))
    return labels, levels, rng.random((5, count)).round(3)


@pytest.mark.parametrize("minimum", [2, 5])
def test_subgroups_of_a_variable_are_told_all_or_none(minimum: int) -> None:
    told = 0
    for seed in range(300):
        labels, levels, scores = cohort(seed, minimum)
        cells = subgroup_cells(scores, np.full(5, 0.5), labels, levels, SEX, minimum)
        counts = np.array(
            [[((levels == g) & (labels == c)).sum() for c in (0, 1)] for g in range(2)]
        )
        rest = [((levels > 1) & (labels == c)).sum() for c in (0, 1)]
        small = [is_small(int(one), minimum) for one in (*counts.ravel(), *rest)]
        told += not any(small)
        if any(small):
            assert not any(np.asarray(array).any() for array in cells.values())
        else:
            assert (cells["patients"] == counts).all()
    assert 0 < told < 300


@pytest.mark.parametrize("minimum", [2, 5])
def test_no_cell_of_a_table_is_small(minimum: int) -> None:
    withheld = 0
    for seed in range(200):
        labels, levels, _ = cohort(seed, minimum)
        counts = np.stack([np.bincount(levels[labels == c], minlength=4) for c in (0, 1)])
        rng = np.random.default_rng(seed)
        values = np.where(levels == 3, np.nan, rng.integers(18, 90, labels.size).astype(float))
        own = number_cells(number_sums(values, labels, bins_of(AGE)), AGE, minimum)
        for array in (level_cells(counts, minimum)["counts"], own["count"]):
            assert not any(is_small(int(one), minimum) for one in array.ravel())
        withheld += not own["shown"].all()
        for name, one in (("positive", 1), ("negative", 0)):
            said = cells_in_words(AGE, own)[name]
            assert (said["mean"] is None) == is_small(
                int(np.isfinite(values[labels == one]).sum()), minimum
            ) or not np.isfinite(values[labels == one]).any()
    assert withheld > 20


def test_values_are_rounded_so_that_they_tell_no_denominator() -> None:
    rng = np.random.default_rng(8)
    values = rng.integers(30, 80, 60).astype(float)
    labels = np.arange(60) % 2
    cells = number_cells(number_sums(values, labels, bins_of(AGE)), AGE, 5)
    steps = cells["values"] / np.array([0.1, 0.1, 0.5, 0.5, 0.5])
    assert np.allclose(steps, np.rint(steps), atol=1e-9)
    assert cells["values"][1, 0] == pytest.approx(values[labels == 1].mean(), abs=0.051)
    # Without three patients, or without four, of whom nothing is known: the table does not say.
    for few in (3, 4):
        some = np.where(np.arange(60) < 2 * few, np.nan, values)
        shown = cells_in_words(AGE, number_cells(number_sums(some, labels, bins_of(AGE)), AGE, 5))
        assert (shown["positive"]["n"], shown["positive"]["missing"]) == (None, None)
        assert shown["positive"]["mean"] is not None


def test_there_is_no_test_where_a_row_is_withheld() -> None:
    counts = np.array([[10, 12, 0, 0], [8, 2, 0, 0]], np.int64)
    cells = level_cells(counts, 5)
    assert cells["shown"].tolist() == [1, 0]
    assert cells_in_words(SEX, cells)["test"] is None
    assert cells_in_words(SEX, cells)["positive"]["counts"] == {"F": None, "M": None}
