"""Fuse from noisy moments: one head for the radiomics; the deep one is the network's own.

Newton rounds would cost privacy each, so the radiomics head stays at where they would begin: the
discriminant of the moments, with the study's L1 penalty. The network was trained with noise, head
and all, so its head costs nothing; nor does the fused head, which is the mean of the two logits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from common.feature_names import DEEP_FEATURES
from common.heads import VARIANTS, Head, Heads, below, stack
from common.messages import EnrolAnswer, FuseAnswer, FuseQuestion
from common.privacy.fresh_head import HEAD
from common.privacy.sums import repaired
from common.release import FoldModel, folds_to_arrays
from common.statistics.discriminant import Discriminant
from common.statistics.moments import Moments, Standardized, moment_shapes, standardize
from common.statistics.newton import LogisticProblem
from common.statistics.newton_start import newton_start
from common.study import Study
from server.candidates import Candidate, candidates
from server.federation import Federation
from server.firewall import require_arrays
from server.roster import Roster
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized
from server.total import total

EVEN = Discriminant(0.0, np.array([0.5, 0.5]))
"""Weights of the radiomics and the deep logit."""


def run(
    federation: Federation,
    roster: Roster,
    study: Study,
    harmonized: Harmonized,
    weights: list[NDArray[np.float32]],
) -> Fused:
    """Make the three heads of every fold, harmonised and not, from one question."""
    folds = [
        FoldModel(reference, means, network)
        for reference, means, network in zip(
            harmonized.references, harmonized.means, weights, strict=True
        )
    ]
    radiomic = folds[0].reference.alpha.size
    model = folds_to_arrays(folds) | {"class_weights": harmonized.class_weights}
    summed = total(
        federation,
        FuseQuestion(study.fingerprint, "moments", model=model),
        roster,
        roster.train,
        FuseAnswer,
        _check_of(study, radiomic),
    )
    complete, choices = [], {}
    for number, fold in enumerate(folds):
        heads: Heads = {("deep", "harmonized"): network_head(fold.weights, radiomic)}
        for place, variant in enumerate(VARIANTS):
            own = Moments.from_arrays(below(summed.answer.sums, f"{number}.{place}"))
            pooled = standardize(repaired(own))
            [found] = [
                one
                for one in candidates(number, variant, pooled, radiomic, study.fusion)
                if one.model == "radiomics"
            ]
            choices["radiomics", variant] = found.choice
            radiomics = _head(found, pooled)
            heads["radiomics", variant] = radiomics
            heads["fused", variant] = stack(
                radiomics, heads["deep", "harmonized"], EVEN.intercept, EVEN.weights
            )
        complete.append(FoldModel(fold.reference, fold.means, fold.weights, heads))
    sites = tuple(site for site in summed.sites if site in roster.train)
    return Fused(complete, choices, dict.fromkeys(VARIANTS, EVEN), 0, sites)


def network_head(weights: NDArray[np.float32], radiomic: int) -> Head:
    """Give the last layer of a network as a head over its deep features."""
    last = weights[-HEAD:].astype(np.float64)
    return Head(
        features=radiomic + np.arange(DEEP_FEATURES, dtype=np.int64),
        center=np.zeros(DEEP_FEATURES),
        scale=np.ones(DEEP_FEATURES),
        coefficients=np.concatenate([last[-1:], last[:-1]]),
    )


def _head(found: Candidate, pooled: Standardized) -> Head:
    chosen = found.features
    problem = LogisticProblem.lasso(chosen.size, found.choice.inverse_penalty)
    coefficients = newton_start(pooled, chosen, problem)
    return Head(chosen, pooled.mean[chosen], pooled.sd[chosen], coefficients)


def _check_of(study: Study, features: int) -> Callable[[EnrolAnswer, FuseAnswer], None]:
    """Require the shapes: noisy sums are not those of any rows, so nothing else can be said."""
    shapes = {
        f"{fold}.{number}.{name}": shape
        for fold in range(study.folds)
        for number in range(len(VARIANTS))
        for name, shape in moment_shapes(features).items()
    }
    return lambda _, answer: require_arrays("its moments", answer.sums, shapes)
