"""Fuse from noisy moments: one head for the radiomics; the deep one is the network's own.

Newton rounds would cost privacy each, so the radiomics head is the linear discriminant of the
moments, over all the features that the study names. The network was trained with noise, head and
all, so its head costs nothing; nor does the fused head, which is the mean of the two logits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from common.feature_names import DEEP_FEATURES
from common.heads import VARIANTS, Head, Heads, stack
from common.messages import EnrolAnswer, FuseAnswer, FuseQuestion
from common.privacy.class_moments import SD, bound_of, ridge_discriminant, unpack
from common.privacy.fresh_head import HEAD
from common.privacy.of_study import noise_of
from common.release import FoldModel, folds_to_arrays
from common.statistics.discriminant import Discriminant
from common.study import Study
from common.trials import OWN
from server.federation import Federation
from server.firewall import require_arrays
from server.roster import Roster
from server.stages.fuse import Fused, without_heads
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
    trial: int = OWN,
) -> Fused:
    """Make the three heads of every fold, harmonised and not, from one question."""
    folds = without_heads(harmonized, weights, trial)
    radiomic = folds[0].reference.alpha.size
    summed = total(
        federation,
        FuseQuestion(study.fingerprint, "moments", model=folds_to_arrays(folds)),
        roster,
        roster.train,
        FuseAnswer,
        _check_of(study, radiomic),
    )
    noise = noise_of(study).sums * bound_of(radiomic) / SD**2
    noise_sd = noise * float(np.sqrt(len(summed.sites) / 2.0))
    complete = []
    for number, fold in enumerate(folds):
        deep = network_head(fold.weights, radiomic)
        heads: Heads = {("deep", "harmonized"): deep}
        for place, variant in enumerate(VARIANTS):
            packed = np.asarray(summed.answer.sums[f"{number}.{place}.classes"], np.float64)
            coefficients = ridge_discriminant(unpack(packed, radiomic), noise_sd)
            radiomics = Head(
                np.arange(radiomic), np.zeros(radiomic), np.ones(radiomic), coefficients
            )
            heads["radiomics", variant] = radiomics
            heads["fused", variant] = stack(radiomics, deep, EVEN.intercept, EVEN.weights)
        complete.append(FoldModel(fold.reference, fold.means, fold.weights, heads))
    sites = tuple(site for site in summed.sites if site in roster.train)
    return Fused(complete, {}, dict.fromkeys(VARIANTS, EVEN), 0, sites)


def network_head(weights: NDArray[np.float32], radiomic: int) -> Head:
    """Give the last layer of a network as a head over its deep features."""
    last = weights[-HEAD:].astype(np.float64)
    return Head(
        features=radiomic + np.arange(DEEP_FEATURES, dtype=np.int64),
        center=np.zeros(DEEP_FEATURES),
        scale=np.ones(DEEP_FEATURES),
        coefficients=np.concatenate([last[-1:], last[:-1]]),
    )


def _check_of(study: Study, features: int) -> Callable[[EnrolAnswer, FuseAnswer], None]:
    """Require the shapes: noisy sums are not those of any rows, so nothing else can be said."""
    packed = (2, (features + 1) * (features + 2) // 2)
    shapes = {
        f"{fold}.{number}.classes": packed
        for fold in range(study.folds)
        for number in range(len(VARIANTS))
    }
    return lambda _, answer: require_arrays("its moments", answer.sums, shapes)
