"""Patients of a few sites, and the fit of a classifier over them, in the clear or under masks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.classifiers.protocol import Classifier, FoldRows
from common.heads import below, under
from common.messages import Arrays, CompareAnswer
from common.secure_sum.adding import Adding, hide
from common.statistics.logistic import balanced_weights

SITES = 3
Adds = Callable[[Sequence[Arrays]], Arrays]


@dataclass(frozen=True)
class Cohort:
    """Slices with standardised features; `patient` numbers their patients, two slices each."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    weights: NDArray[np.float64]
    class_weights: NDArray[np.float64]
    patient: NDArray[np.int64]

    @classmethod
    def make(cls, seed: int, patients: int = 90, m: int = 8, prevalence: float = 0.4) -> Cohort:
        rng = np.random.default_rng(seed)
        labels = np.zeros(patients, np.int64)
        labels[: max(1, round(prevalence * patients))] = 1
        labels = rng.permutation(labels)
        patient = np.repeat(np.arange(patients), 2)
        y = labels[patient]
        x = rng.normal(size=(y.size, m)) @ rng.normal(size=(m, m))
        x[:, 0] += 3.0 * y
        x[:, 1] += (2 * y - 1) * (x[:, 2] > 0)
        weights = np.array(balanced_weights(int((y == 0).sum()), int(y.sum())))
        return cls((x - x.mean(axis=0)) / x.std(axis=0), y, weights[y], weights, patient)

    def rows(self, chosen: NDArray[np.bool_]) -> FoldRows:
        """Some of the rows, as a site has them."""
        slices = np.bincount(self.patient, minlength=self.patient.max() + 1)
        return FoldRows(
            columns=self.x[chosen],
            labels=self.y[chosen],
            weights=self.weights[chosen],
            shares=(1.0 / slices[self.patient])[chosen],
        )

    def sites(self, count: int = SITES) -> list[FoldRows]:
        """The patients dealt to so many sites."""
        return [self.rows(self.patient % count == number) for number in range(count)]


def plainly(sums: Sequence[Arrays]) -> Arrays:
    """Add sums up as they are."""
    return {name: np.sum([one[name] for one in sums], axis=0) for name in sums[0]}


def under_masks(sums: Sequence[Arrays]) -> Arrays:
    """Add sums up as secure summation does, masks and fixed point."""
    names = [f"site-{number}" for number in range(len(sums))]
    shared: dict[str, dict[str, bytes]] = {name: {} for name in names}
    for pair in itertools.combinations(names, 2):
        secret = "/".join(pair).encode().ljust(32, b".")
        shared[pair[0]][pair[1]] = shared[pair[1]][pair[0]] = secret
    adding = Adding()
    for name, own in zip(names, sums, strict=True):
        answer = CompareAnswer(sums=under(own, "0"))
        adding.add(hide(answer, name, shared[name], b"test", len(sums)))
    return below(adding.total(CompareAnswer).sums, "0")


def fitted(
    classifier: Classifier,
    cohort: Cohort,
    sites: Sequence[FoldRows] | None = None,
    adds: Adds = plainly,
) -> tuple[Arrays, int]:
    """Fit over sites; give the model and the number of questions. Shapes are checked on the way."""
    parts = cohort.sites() if sites is None else sites
    fit: Any = classifier.begin(cohort.x.shape[1], 0, cohort.class_weights)
    rounds = 0
    while not fit.finished:
        rounds += 1
        asked = fit.asked()
        sums = [classifier.sums(asked, one) for one in parts]
        expected = classifier.shapes(asked, cohort.x.shape[1])
        assert {name: array.shape for name, array in sums[0].items()} == expected
        fit = fit.take(adds(sums))
    return fit.model(), rounds
