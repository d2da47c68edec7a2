"""How well a linear discriminant tells groups of patients apart, from sums and held-out patients.

Site: `telling_sums` over training patients. Merge: add. Server: `separate`, a linear discriminant
with equal priors (Fisher, Ann Eugenics 1936;7:179). Site: `share_right` over held-out patients.
Merge: add. Server: `Accuracy.of`. A discriminant sees that groups lie apart, not that they differ
in spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from common.statistics.auc import normal_quantile
from common.statistics.checks import Array, Floats, Ints, StatisticsError, as_floats
from common.statistics.sums import Sums, pack_symmetric, unpack_symmetric

RIDGE = 1e-3
"""Of the mean variance within groups, added to each: some components may hardly vary."""


@dataclass(frozen=True, eq=False)
class TellingSums(Sums):
    """Sums over patients by group, for k components.

    Attributes:
        count: (C,) patients.
        total: (C, k) sums of their components.
        products: (k(k+1)/2,) sum over all groups of products, packed upper triangle.
    """

    integers: ClassVar[frozenset[str]] = frozenset({"count"})

    count: Ints
    total: Floats
    products: Floats


def telling_shapes(groups: int, components: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of `TellingSums`."""
    return {
        "count": (groups,),
        "total": (groups, components),
        "products": (components * (components + 1) // 2,),
    }


def telling_sums(components: Array, groups: Array, count: int) -> TellingSums:
    """Sum patients by group.

    Args:
        components: (P, k).
        groups: (P,) whole, 0 to count - 1; patients of -1 are left out.
        count: C, how many groups there are.

    Raises:
        StatisticsError: shapes disagree, or a component is not finite.
    """
    numbers = np.asarray(groups, dtype=np.int64)
    if numbers.shape != np.shape(components)[:1] or (numbers >= count).any():
        raise StatisticsError("There is not one group a patient.", "Check the caller.")
    rows = as_floats(np.asarray(components)[numbers >= 0], "The components", 2)
    numbers = numbers[numbers >= 0]
    member = (numbers[:, None] == np.arange(count)).astype(np.float64)
    return TellingSums(
        count=member.sum(axis=0).astype(np.int64),
        total=member.T @ rows,
        products=pack_symmetric(rows.T @ rows),
    )


@dataclass(frozen=True, eq=False)
class Discriminants:
    """A patient belongs to the group with the highest `weights` (C, k) x + `intercepts` (C,)."""

    weights: Floats
    intercepts: Floats


def separate(sums: TellingSums, compared: Array) -> Discriminants:
    """Solve the discriminant of the groups that are `compared`, booleans (C,).

    Raises:
        StatisticsError: one of them is empty, or there are fewer than two.
    """
    chosen = np.asarray(compared, dtype=np.bool_)
    counts = sums.count.astype(np.float64)
    if chosen.sum() < 2 or (counts[chosen] < 1).any():
        raise StatisticsError(
            "There are not two groups of patients to tell apart.", "Compare other groups."
        )
    means = np.zeros_like(sums.total)
    held = counts > 0
    means[held] = sums.total[held] / counts[held, None]
    size = sums.total.shape[1]
    within = unpack_symmetric(sums.products, size) - (means * counts[:, None]).T @ means
    within /= max(float(counts.sum() - held.sum()), 1.0)
    within += np.eye(size) * max(RIDGE * float(np.trace(within)) / size, 1e-12)
    weights = np.linalg.solve(within, means.T).T
    intercepts = -0.5 * np.einsum("ck,ck->c", weights, means)
    # Who is not compared is never the answer.
    lowest = -1e9
    return Discriminants(
        np.where(chosen[:, None], weights, 0.0), np.where(chosen, intercepts, lowest)
    )


def share_right(components: Array, groups: Array, rule: Discriminants, share: Array) -> float:
    """Add up what each held-out patient that is told right counts for.

    Args:
        components, groups: (P, k) and (P,) as in `telling_sums`.
        share: (C,) what a patient of a group counts for: one over C and the group's patients, so
            that the sum over all sites is the balanced accuracy.
    """
    numbers = np.asarray(groups, dtype=np.int64)
    rows, numbers = np.asarray(components)[numbers >= 0], numbers[numbers >= 0]
    told = np.argmax(rows @ rule.weights.T + rule.intercepts, axis=1)
    return float(np.asarray(share, np.float64)[numbers[told == numbers]].sum())


@dataclass(frozen=True)
class Accuracy:
    """A balanced accuracy and its interval."""

    value: float
    lower: float
    upper: float

    @classmethod
    def of(cls, value: float, counts: Array, confidence: float = 0.95) -> Accuracy:
        """Give the interval of a balanced accuracy over groups of so many held-out patients each.

        Wilson's (J Am Stat Assoc 1927;22:209), for as many patients as would give the variance of
        the mean of C proportions if all were the same: C^2 over the sum of 1/n.
        """
        z = normal_quantile(confidence)
        sizes = np.asarray(counts, np.float64)
        patients = sizes.size**2 / float((1.0 / sizes).sum())
        share = min(max(value, 0.0), 1.0)
        shrink = 1.0 + z * z / patients
        centre = (share + z * z / (2.0 * patients)) / shrink
        spread = share * (1.0 - share) / patients + (z / (2.0 * patients)) ** 2
        half = z / shrink * sqrt(spread)
        return cls(share, max(0.0, centre - half), min(1.0, centre + half))
