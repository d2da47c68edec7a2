"""How well features agree over two masks of the same slices, over all training sites."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from common.heads import below
from common.messages import EnrolAnswer, HarmonizeAnswer, HarmonizeQuestion
from common.statistics.checks import Floats
from common.statistics.intraclass import PairSums, intraclass, pair_shapes
from common.study import Study
from server.federation import Federation
from server.firewall import require, require_arrays, require_count, require_products
from server.roster import Roster
from server.total import total


def reproducibility(
    federation: Federation, roster: Roster, study: Study, features: int
) -> tuple[list[Floats], list[dict[str, int]]]:
    """Give each fold's intra-class correlations (p,), and over how much they were measured.

    Raises
    ------
    StatisticsError
        Too few slices have two masks.
    """
    question = HarmonizeQuestion(study.fingerprint, "reproducibility")
    pooled = total(
        federation, question, roster, roster.train, HarmonizeAnswer, _check(study.folds, features)
    ).answer
    found: list[Floats] = []
    measured: list[dict[str, int]] = []
    for fold in range(study.folds):
        sums = PairSums.from_arrays(below(pooled.sums, str(fold)))
        found.append(intraclass(sums, study.reduction.icc))
        measured.append(
            {
                "slices": int(sums.count),
                "patients": int(sums.patients),
                "sites": int(sums.sites),
            }
        )
    return found, measured


def _check(folds: int, features: int) -> Callable[[EnrolAnswer, HarmonizeAnswer], None]:
    """Say what sums must be like, of a site or of several."""
    shapes = {
        f"{fold}.{name}": shape
        for fold in range(folds)
        for name, shape in pair_shapes(features).items()
    }

    def check(own: EnrolAnswer, answer: HarmonizeAnswer) -> None:
        require_arrays("its sums over two masks", answer.sums, shapes)
        for fold in range(folds):
            sums = PairSums.from_arrays(below(answer.sums, str(fold)))
            require_count("its number of slices with two masks", float(sums.count), 0, own.slices)
            most = min(own.positive + own.negative, int(sums.count))
            require_count("its number of patients with two masks", float(sums.patients), 0, most)
            require(
                0 <= int(sums.sites) <= int(sums.patients), "its sums are of more sites than fit"
            )
            require((sums.between >= 0.0).all(), "its sums over two masks: a square is negative")
            require_products(
                "its sums over two masks",
                sums.difference,
                2.0 * sums.within,
                np.asarray(float(sums.count)),
            )

    return check
