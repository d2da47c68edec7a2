"""Candidate heads: for radiomics and deep features, what LASSO size and L1 penalty to choose from.

A candidate is fitted in every fold, on features selected from that fold's moments. The one with
the lowest loss on the validation patients of all folds together is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import VARIANTS
from common.statistics.lasso import lasso_path, select
from common.statistics.moments import Standardized
from common.statistics.pruning import prune, prune_in_order
from common.study_reduction import Reduction
from common.study_tables import Fusion
from server.reduction import Columns

Ints = NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Choice:
    """What is chosen for a model in a variant; ties go to fewer features, stronger penalties."""

    size: int
    inverse_penalty: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """One head to fit: a choice for a model and a variant, with one fold's features."""

    fold: int
    variant: str
    model: str
    choice: Choice
    features: Ints

    @property
    def group(self) -> str:
        """The fold and variant, as messages number them."""
        return f"{self.fold}.{VARIANTS.index(self.variant)}"


def candidates(
    fold: int, variant: str, columns: Columns, fusion: Fusion, reduction: Reduction
) -> list[Candidate]:
    """List the heads to fit on one fold and variant.

    The deep model is the same in both variants, and is listed with the harmonised one only. It is
    always reduced by the LASSO.
    """
    moments = columns.moments
    deep = np.arange(moments.mean.size) >= columns.radiomic
    found = _reduced(moments, ~deep & columns.allowed, fusion, reduction)
    blocks = {"radiomics": found}
    if variant == "harmonized":
        blocks["deep"] = _selections(moments, deep & columns.allowed, fusion)
    return [
        Candidate(fold, variant, model, Choice(size, c), features)
        for model, own in blocks.items()
        for size, features in own
        for c in fusion.inverse_penalties
    ]


def choose(losses: dict[Choice, float]) -> Choice:
    """Take the choice with the lowest validation loss.

    Losses within one part in a million are equal, and the smaller model is taken then.
    """
    best = min(losses.values())
    equal = [choice for choice, loss in losses.items() if loss <= best + 1e-6 * abs(best)]
    return min(equal)


def _reduced(
    moments: Standardized, allowed: NDArray[np.bool_], fusion: Fusion, reduction: Reduction
) -> list[tuple[int, Ints]]:
    """Give the radiomic columns of each size by the study's method."""
    indices = np.flatnonzero(allowed)
    if reduction.method == "lasso":
        return _selections(moments, allowed, fusion)
    if reduction.method == "pca":
        # The columns are the components already, those of the most variance first.
        return [(size, indices[:size].astype(np.int64)) for size in fusion.sizes]
    order = prune_in_order(
        moments.correlation[np.ix_(indices, indices)],
        moments.target_correlation[indices],
        fusion.correlation_limit,
    )
    return [(size, np.sort(indices[order[:size]]).astype(np.int64)) for size in fusion.sizes]


def _selections(
    moments: Standardized,
    allowed: NDArray[np.bool_],
    fusion: Fusion,
) -> list[tuple[int, Ints]]:
    """Select features of each size by the LASSO, among those that pruning leaves."""
    kept = pruned(moments, allowed, fusion.correlation_limit)
    if kept.size == 0:
        return [(size, np.zeros(0, np.int64)) for size in fusion.sizes]
    path = lasso_path(moments, candidates=kept, largest=max(fusion.sizes))
    return [(one.size, one.features) for one in select(path, fusion.sizes)]


def pruned(moments: Standardized, allowed: NDArray[np.bool_], limit: float) -> Ints:
    """Indices that pruning keeps among the allowed features."""
    indices = np.flatnonzero(allowed)
    kept = prune(
        moments.correlation[np.ix_(indices, indices)], moments.target_correlation[indices], limit
    )
    return np.asarray(indices[kept], np.int64)


def pack(
    found: Sequence[Candidate], coefficients: Sequence[NDArray[np.float64]]
) -> dict[str, NDArray[np.generic]]:
    """Lay candidates and their coefficients out flat, as `FuseQuestion.problems` has them."""
    sizes = [one.features.size for one in found]
    return {
        "index": np.array(
            [(one.fold, VARIANTS.index(one.variant)) for one in found], np.int64
        ).reshape(-1, 2),
        "offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "features": np.concatenate([np.zeros(0, np.int64), *(one.features for one in found)]),
        "coefficients": np.concatenate([np.zeros(0), *coefficients]),
    }
