"""A row of table 1, by class, from sums: what a site sums of a variable, and what they tell.

Site: `number_sums` or `level_counts`. Merge: add. Then `described` gives mean, standard deviation
and quartiles; `common.statistics.group_tests` compares the classes. Row 0 holds the negatives, row
1 the positives, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from common.statistics.checks import Array, Floats, Ints, StatisticsError, as_labels
from common.statistics.sums import Sums

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Bins:
    """Bins of `width` from `lower` up; the last one ends at `upper`, or at most a width beyond."""

    lower: float
    upper: float
    width: float

    @property
    def count(self) -> int:
        """How many there are."""
        return ceil((self.upper - self.lower) / self.width - 1e-9)

    @property
    def middle(self) -> float:
        """What numbers are centred at before they are squared: known beforehand."""
        return (self.lower + self.upper) / 2.0


@dataclass(frozen=True, eq=False)
class NumberSums(Sums):
    """Sums of a number over the patients of each class.

    Attributes:
        count: (2,) patients whose number is known and within the bounds.
        missing: (2,) the others.
        total: (2,) sum of (x - middle of the bounds).
        squares: (2,) sum of its squares.
        histogram: (2, bins) patients by bin.
    """

    integers: ClassVar[frozenset[str]] = frozenset({"count", "missing", "histogram"})

    count: Ints
    missing: Ints
    total: Floats
    squares: Floats
    histogram: Ints


@dataclass(frozen=True)
class Described:
    """A number in one class: `n` patients known, mean, sd (ddof 1) and quartiles by bins."""

    n: int
    mean: float
    sd: float
    q1: float
    median: float
    q3: float


def number_sums(values: Array, labels: Array, bins: Bins) -> NumberSums:
    """Sum a number over patients.

    Args:
        values: (P,) float; NaN where it is not known.
        labels: (P,) 0 or 1.

    Raises:
        StatisticsError: labels do not fit.
    """
    numbers = np.asarray(values, dtype=np.float64)
    positive = as_labels(labels, numbers.size)
    known = np.isfinite(numbers) & (numbers >= bins.lower) & (numbers <= bins.upper)
    centred = np.where(known, numbers, bins.middle) - bins.middle
    place = np.clip(
        np.floor((centred + bins.middle - bins.lower) / bins.width), 0, bins.count - 1
    ).astype(np.int64)
    groups = [known & ~positive, known & positive]
    every = np.array([(~positive).sum(), positive.sum()], dtype=np.int64)
    count = np.array([group.sum() for group in groups], dtype=np.int64)
    return NumberSums(
        count=count,
        missing=every - count,
        total=np.array([centred[group].sum() for group in groups]),
        squares=np.array([(centred[group] ** 2).sum() for group in groups]),
        histogram=np.stack(
            [np.bincount(place[group], minlength=bins.count) for group in groups]
        ).astype(np.int64),
    )


def level_counts(levels: Array, labels: Array, count: int) -> Ints:
    """Count patients by class and level: (2, count + 2), the last two other and missing.

    Args:
        levels: (P,) whole: 0 to count - 1, `count` for any other text, `count` + 1 where missing.
        labels: (P,) 0 or 1.

    Raises:
        StatisticsError: labels do not fit, or a level is none.
    """
    numbers = np.asarray(levels, dtype=np.int64)
    positive = as_labels(labels, numbers.size)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < count + 2:
        raise StatisticsError("A level is none of the variable's.", "Check the caller.")
    return np.stack(
        [np.bincount(numbers[positive == label], minlength=count + 2) for label in (False, True)]
    ).astype(np.int64)


def described(sums: NumberSums, bins: Bins) -> tuple[Described | None, Described | None]:
    """Describe the negatives and the positives; None for a class of whom nothing is known."""
    return tuple(_one(sums, label, bins) for label in (0, 1))  # type: ignore[return-value]


def _one(sums: NumberSums, label: int, bins: Bins) -> Described | None:
    n = int(sums.count[label])
    if n == 0:
        return None
    mean = float(sums.total[label]) / n
    spread = max(0.0, float(sums.squares[label]) - n * mean**2)
    q1, median, q3 = (quantile(sums.histogram[label], bins, share) for share in QUARTILES)
    deviation = float(np.sqrt(spread / (n - 1))) if n > 1 else 0.0
    return Described(n, mean + bins.middle, deviation, q1, median, q3)


def quantile(histogram: Array, bins: Bins, share: float) -> float:
    """Give the number below which a share of the patients lies, by bins.

    Within its bin patients are taken to lie evenly, so it is off by less than a width.

    Raises:
        StatisticsError: there are no patients.
    """
    counts = np.asarray(histogram, dtype=np.float64)
    total = float(counts.sum())
    if total <= 0.0:
        raise StatisticsError("There is no quantile of no patients.", "Count some first.")
    below = np.cumsum(counts)
    place = int(np.argmax(below >= share * total))
    before = below[place] - counts[place]
    part = (share * total - before) / counts[place] if counts[place] else 0.0
    return float(bins.lower + bins.width * (place + part))
