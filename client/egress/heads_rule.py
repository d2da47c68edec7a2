"""The sums of a Newton round: their layout follows from the problems in the question.

So the question is held against the study first: who asked for more or larger heads than the study
fits would be told more than it agreed to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from client.egress.form import Form, Forms
from client.egress.refused import EgressRefused, refuse
from common.heads import VARIANTS
from common.messages import Arrays
from common.statistics.logistic import batch_shapes
from common.study import Study

Ints = NDArray[np.int64]


def heads_forms(study: Study, problems: Arrays) -> Forms:
    """Give the forms of the sums for the problems of a question, see `FuseQuestion`.

    Raises
    ------
    EgressRefused
        The problems do not fit each other, or are not such as the study fits.
    """
    forms: Forms = {}
    for (fold, number), sizes in problem_sizes(study, problems).items():
        shapes = batch_shapes(sizes) | {"validation": (len(sizes), 2)}
        _require_loadings(study, problems.get(f"{fold}.{number}.loadings"))
        forms |= {
            f"sums/{fold}.{number}.{name}": Form("float64", shape) for name, shape in shapes.items()
        }
    return forms


def _require_loadings(study: Study, loadings: NDArray[np.generic] | None) -> None:
    """Columns that are made of features come with principal components only, and are as few."""
    if loadings is None:
        return
    fits = study.reduction.method == "pca" and loadings.ndim == 2
    if not fits or loadings.shape[1] > max(study.fusion.sizes):
        raise refuse("the question has columns that the study does not make")


def problem_sizes(study: Study, problems: Arrays) -> dict[tuple[int, int], list[int]]:
    """Give the numbers of features of the problems of each fold and variant, in their order.

    Raises
    ------
    EgressRefused
        As `heads_forms`.
    """
    index, offsets = _whole(problems, "index"), _whole(problems, "offsets")
    if index.ndim != 2 or index.shape[1:] != (2,) or offsets.shape != (len(index) + 1,):
        raise refuse("the problems of the question do not fit each other")
    sizes = np.diff(offsets)
    groups: dict[tuple[int, int], list[int]] = {}
    for (fold, number), size in zip(index.tolist(), sizes.tolist(), strict=True):
        groups.setdefault((fold, number), []).append(size)
    fusion = study.fusion
    choices = len(fusion.sizes) * len(fusion.inverse_penalties)
    for (fold, number), own in groups.items():
        if fold not in range(study.folds) or number not in range(len(VARIANTS)):
            raise refuse("the question has heads of a fold or variant that the study has not")
        # Radiomics in both variants; the deep head, which is the same in both, in the first.
        if len(own) > (choices if number else 2 * choices):
            raise refuse("the question has more heads than the study fits")
        if min(own) < 0 or max(own) > max(fusion.sizes):
            raise refuse("the question has larger heads than the study fits")
    return groups


def _whole(problems: Arrays, name: str) -> Ints:
    found = problems.get(name)
    if found is None or found.dtype.kind not in "iu":
        raise EgressRefused(f"A question of heads has no {name}.", "Report it to its coordinator.")
    return np.asarray(found, np.int64)
