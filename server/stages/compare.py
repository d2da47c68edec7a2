"""Compare: fit the study's classifiers on the features that the fused heads use, fold by fold.

All folds and classifiers that are not finished go into one question a round, so a comparison costs
as many messages as the slowest of them. Like the heads of radiomics and deep, and unlike the fused
head, they are fitted on training patients, whose deep features the network has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.classifiers.protocol import Fit
from common.classifiers.registry import classifiers_of
from common.course import MOST_NEWTON_ROUNDS
from common.heads import below, under
from common.messages import (
    Arrays,
    CompareAnswer,
    CompareQuestion,
    EnrolAnswer,
    ValidateAnswer,
    ValidateQuestion,
)
from common.release import FoldModel
from common.statistics.operating_point import threshold_for_sensitivity
from common.statistics.scores import BINS
from common.study import Study
from server.federation import Federation
from server.firewall import ROUNDING, require, require_arrays, require_count, require_histograms
from server.roster import Roster
from server.stages.calibrate import require_within
from server.stages.validate import require_scores
from server.total import total

Fits = Mapping[tuple[int, str], Fit]


@dataclass(frozen=True, eq=False)
class Compared:
    """The fitted classifiers, in the study's order, and how they do on validation patients.

    Attributes
    ----------
    models : `CompareQuestion.selected` and the models under ``fold.classifier.name``
    rounds : questions that fitted them
    thresholds : M, frozen
    histograms : (M, 2, 1001)
    within : (M, 3) as in `CalibrateAnswer`
    """

    models: Arrays
    rounds: int
    thresholds: list[float]
    histograms: NDArray[np.int64]
    within: NDArray[np.float64]


def run(
    federation: Federation,
    roster: Roster,
    sites: Sequence[str],
    study: Study,
    folds: Sequence[FoldModel],
    class_weights: NDArray[np.float64],
) -> Compared:
    """Fit the classifiers over the sites that fitted the heads, and freeze their thresholds."""
    selected = _selected(folds) | {"class_weights": class_weights}
    fits, rounds = _fit(federation, roster, sites, study, selected)
    models: Arrays = {}
    for (fold, name), fit in fits.items():
        models |= under(fit.model(), f"{fold}.{name}")
    question = CompareQuestion(study.fingerprint, "scores", selected=selected, fits=models)
    count = len(study.comparison.classifiers)

    def check(own: EnrolAnswer, answer: CompareAnswer) -> None:
        require(not answer.sums, "its scores came with sums that nobody asked for")
        require_histograms(answer.histograms, (count, 2, BINS), own)
        require_within(answer.within, count, own)

    pooled = total(federation, question, roster, sites, CompareAnswer, check).answer
    target = study.operating_point.sensitivity
    thresholds = [threshold_for_sensitivity(one, target) for one in pooled.histograms]
    return Compared(selected | models, rounds, thresholds, pooled.histograms, pooled.within)


def look(
    federation: Federation, roster: Roster, study: Study, compared: Compared
) -> dict[str, ValidateAnswer]:
    """Score the external sites' patients by the classifiers: one more look at each."""
    if not roster.external:
        return {}
    models = len(study.comparison.classifiers)

    def check(site: str, answer: ValidateAnswer) -> None:
        federation.run.event(event="looked", stage="validate", site=site)
        require_scores(roster.answers[site], study.folds, models, answer)
        nothing = answer.images == 0 and not answer.batches.any()
        require(nothing, "its scores came with numbers that nobody asked for")

    release = compared.models | {"thresholds": np.array(compared.thresholds)}
    question = ValidateQuestion(study.fingerprint, "classifiers", release=release)
    return dict(federation.ask(question, roster.external, ValidateAnswer, check=check))


def _selected(folds: Sequence[FoldModel]) -> Arrays:
    selected: Arrays = {}
    for number, fold in enumerate(folds):
        head = fold.heads[("fused", "harmonized")]
        own = {"features": head.features, "center": head.center, "scale": head.scale}
        selected |= under(own, str(number))
    return selected


def _fit(
    federation: Federation, roster: Roster, sites: Sequence[str], study: Study, selected: Arrays
) -> tuple[Fits, int]:
    class_weights = np.asarray(selected["class_weights"], np.float64)
    sizes = [int(selected[f"{fold}.features"].size) for fold in range(study.folds)]
    classifiers = classifiers_of(study)
    fits: dict[tuple[int, str], Fit] = {
        (fold, name): one.begin(sizes[fold], fold, class_weights[fold])
        for fold in range(study.folds)
        for name, one in classifiers.items()
    }
    asked_before: tuple[str, ...] = ()
    rounds, most = 0, study.comparison.most_rounds(MOST_NEWTON_ROUNDS)
    while (open_fits := [key for key, fit in fits.items() if not fit.finished]) and rounds < most:
        rounds += 1
        asked: Arrays = {}
        shapes: dict[str, tuple[int, ...]] = {f"{fold}.count": () for fold in range(study.folds)}
        for fold, name in open_fits:
            own = fits[(fold, name)].asked()
            asked |= under(own, f"{fold}.{name}")
            found = classifiers[name].shapes(own, sizes[fold])
            shapes |= {f"{fold}.{name}.{key}": shape for key, shape in found.items()}
        question = CompareQuestion(
            study.fingerprint, "fit", round=rounds, selected=selected, fits=asked
        )
        check = _check_against(shapes, float(class_weights.max()))
        pooled = total(federation, question, roster, sites, CompareAnswer, check)
        if asked_before and pooled.sites != asked_before:
            fits = {key: fit.again() for key, fit in fits.items()}
        asked_before = pooled.sites
        for key in open_fits:
            fits[key] = fits[key].take(below(pooled.answer.sums, f"{key[0]}.{key[1]}"))
    return fits, rounds


def _check_against(
    shapes: Mapping[str, tuple[int, ...]], heaviest: float
) -> Callable[[EnrolAnswer, CompareAnswer], None]:
    """Say what sums must be like, of a site or of several."""

    def check(own: EnrolAnswer, answer: CompareAnswer) -> None:
        require(answer.histograms.shape[:1] == (0,), "its sums came with scores nobody asked for")
        require_arrays("its sums of the classifiers", answer.sums, shapes)
        most = heaviest * own.slices * (1.0 + ROUNDING)
        for key, array in answer.sums.items():
            name = key.rpartition(".")[2]
            values = np.asarray(array, np.float64)
            if name == "count":
                require_count("its number of slices", float(values), 0, own.slices)
            elif name in ("loss", "weight"):
                require(values >= 0.0, "a loss or a weight in its sums is negative")
                require(name == "loss" or values <= most, "its rows weigh more than it enrolled")
            elif name == "histograms":
                _require_patients(own, values)

    return check


def _require_patients(own: EnrolAnswer, histograms: NDArray[np.float64]) -> None:
    """Require histograms of the nodes of trees that patients can have who are enrolled."""
    # Gradients have either sign; the Hessian, counts of rows and shares of patients have not.
    require((histograms[..., 1:] >= -ROUNDING).all(), "a count in its histograms is negative")
    shares = histograms[..., 2].sum(axis=-1)
    most = (own.positive + own.negative) * (1.0 + ROUNDING)
    require((shares <= most).all(), "its histograms hold more patients than it enrolled")
    apart = np.abs(shares - shares[:, :1])
    require((apart <= ROUNDING * most).all(), "its histograms of one node are of other patients")
