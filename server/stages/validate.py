"""Validate: ask the external sites once, with everything frozen; every look is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import SCORED
from common.messages import EnrolAnswer, ValidateAnswer, ValidateQuestion
from common.release import FoldModel, folds_to_arrays
from common.statistics.delong import PlacementSums, covariance_from_sums
from common.statistics.scores import BINS
from common.statistics.sums import total
from common.study import Study
from server.federation import Federation
from server.firewall import (
    MOST_VARIANCE,
    ROUNDING,
    require,
    require_arrays,
    require_count,
    require_histograms,
    require_products,
)
from server.roster import Roster


@dataclass(frozen=True, eq=False)
class Validated:
    """Answers by external site; over several sites also the pooled AUC (M,) and covariance."""

    answers: dict[str, ValidateAnswer]
    pooled: tuple[NDArray[np.float64], NDArray[np.float64]] | None


def run(
    federation: Federation,
    roster: Roster,
    study: Study,
    folds: list[FoldModel],
    thresholds: list[float],
) -> Validated:
    """Score the external sites' patients; with several sites, compare over them as well."""
    if not roster.external:
        return Validated({}, None)
    release = folds_to_arrays(folds) | {"thresholds": np.array(thresholds)}

    def look(site: str, answer: ValidateAnswer) -> None:
        # Written down before the answer is kept, so that no look is lost when the run is killed.
        federation.run.event(event="looked", stage="validate", site=site)
        own = roster.answers[site]
        require_scores(own, len(folds), len(SCORED), answer)
        require_count("its number of slices", answer.images, 1, own.slices)

    question = ValidateQuestion(study.fingerprint, "scores", release=release)
    answers = dict(federation.ask(question, roster.external, ValidateAnswer, check=look))
    if len(answers) < 2:
        return Validated(answers, None)
    histograms = np.sum([one.histograms for one in answers.values()], axis=0)
    second = ValidateQuestion(study.fingerprint, "placements", histograms={"pooled": histograms})
    placements = federation.ask(
        second,
        tuple(answers),
        ValidateAnswer,
        check=lambda site, one: _check_placements(roster.answers[site], one),
    )
    if len(placements) < len(answers):
        # The pooled histograms hold sites whose placements did not come: no comparison over sites.
        return Validated(answers, None)
    sums = total([PlacementSums.from_arrays(one.placements) for one in placements.values()])
    return Validated(answers, covariance_from_sums(sums))


def require_scores(own: EnrolAnswer, folds: int, models: int, answer: ValidateAnswer) -> None:
    """Require that what the site counts are its patients, and its AUCs lie in 0 to 1."""
    require_arrays(
        "its results",
        {"auc": answer.auc, "covariance": answer.covariance, "fold_auc": answer.fold_auc},
        {"auc": (models,), "covariance": (models, models), "fold_auc": (folds, models)},
    )
    for aucs in (answer.auc, answer.fold_auc):
        require(((aucs >= 0.0) & (aucs <= 1.0)).all(), "an AUC of its is outside 0 to 1")
    variances = np.diag(answer.covariance)
    require((variances <= MOST_VARIANCE).all(), "a variance of its is larger than any AUC's")
    require_products("its covariances", answer.covariance, variances[:, None], variances)
    require_histograms(answer.histograms, (models, 2, BINS), own)
    counted = answer.histograms.sum(axis=2)
    require((counted == [own.negative, own.positive]).all(), "it scored other patients than it has")
    require(answer.confusion.shape == (models, 4), "its confusion counts have another shape")
    require((answer.confusion >= 0).all(), "a confusion count of its is negative")
    tp, fp, tn, fn = answer.confusion.T
    right = (tp + fn == own.positive).all() and (fp + tn == own.negative).all()
    require(right, "its confusion counts are not of its patients")
    require(
        answer.batches.shape == (2,) and (answer.batches >= 0).all(), "its batches make no sense"
    )
    extra = answer.placements or answer.attention or answer.subgroups
    require(not extra, "its scores came with sums that nobody asked for")


def _check_placements(own: EnrolAnswer, answer: ValidateAnswer) -> None:
    """Require sums of placement values, which lie in 0 to 1, over all patients of the site."""
    models = len(SCORED)
    products = (2, models * (models + 1) // 2)
    require_arrays(
        "its placements",
        answer.placements,
        {"counts": (2,), "values": (2, models), "products": products},
    )
    sums = PlacementSums.from_arrays(answer.placements)
    right = (sums.counts == [own.negative, own.positive]).all()
    require(right, "its placements are not of its patients")
    for part in (sums.values, sums.products):
        inside = ((part >= 0.0) & (part <= sums.counts[:, None] * (1.0 + ROUNDING))).all()
        require(inside, "a placement of its is outside 0 to 1")
