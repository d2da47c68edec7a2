"""Train: federated rounds of each fold's CNN; the mean of the last rounds is the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError
from common.messages import Arrays, EnrolAnswer, TrainAnswer, TrainQuestion
from common.privacy.fresh_head import fresh_head
from common.privacy.of_study import noise_of
from common.statistics.auc import auc_from_histogram
from common.statistics.logistic import balanced_weights
from common.statistics.scores import BINS
from common.study import Study
from common.study_tables import Training
from common.update import longest_change, longest_private_change, moved_by
from server.federation import Federation
from server.firewall import (
    ROUNDING,
    require,
    require_arrays,
    require_count,
    require_histograms,
    unlike_the_others,
)
from server.plain_sum import plain_sum
from server.roster import Roster
from server.run import RunFolder
from server.stages.harmonize import Harmonized
from server.stages.site_measures import SiteMeasures
from server.strategies import Aggregator
from server.total import total

Weights = NDArray[np.float32]


@dataclass
class FoldTraining:
    """Where a fold's training stands: `round` rounds are done.

    `average` is the mean of the weights of the `averaged` last rounds that count.
    """

    round: int
    weights: Weights
    average: Weights
    averaged: int = 0

    def step(self, weights: Weights, counts: bool) -> None:
        """Take in the weights of the next round."""
        self.round += 1
        self.weights = weights
        if counts:
            self.averaged += 1
            share = np.float32(1.0 / self.averaged)
            self.average = self.average + share * (weights - self.average)

    def arrays(self) -> Arrays:
        """Return the state as arrays, for a checkpoint."""
        scalars = np.array([self.round, self.averaged], np.int64)
        return {"weights": self.weights, "average": self.average, "scalars": scalars}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> FoldTraining:
        """Read back what `arrays` returned."""
        number, averaged = (int(value) for value in np.asarray(arrays["scalars"], int))
        weights = np.asarray(arrays["weights"], np.float32)
        average = np.asarray(arrays["average"], np.float32)
        return cls(number, weights, average, averaged)


def run(
    federation: Federation, run_folder: RunFolder, roster: Roster, harmonized: Harmonized
) -> list[Weights]:
    """Train every fold's network; give the mean weights of its last rounds.

    Raises
    ------
    RunError
        The quorum does not hold: too few sites answer, or answer what can be averaged.
    """
    return [
        _train_fold(federation, run_folder, roster, harmonized, fold)
        for fold in range(run_folder.study.folds)
    ]


def _train_fold(
    federation: Federation,
    run_folder: RunFolder,
    roster: Roster,
    harmonized: Harmonized,
    fold: int,
) -> Weights:
    study = run_folder.study
    classes = harmonized.classes[fold]
    if study.privacy.on:
        # Those of a fold's slices would tell of its patients.
        classes = roster.classes(study)
    class_weights = network_weights(study, np.array([balanced_weights(*classes.tolist())]))[0]
    aggregator = Aggregator(study.training)
    state = _begin(run_folder, aggregator, fold)
    rounds = study.training.rounds
    while state.round < rounds:
        question = TrainQuestion(
            study.fingerprint,
            fold=fold,
            round=state.round + 1,
            slices=int(classes.sum()),
            class_weights=class_weights,
            weights=state.weights,
        )
        of_sites = SiteMeasures(study)
        merged, summed = _round(federation, roster, aggregator, question, of_sites)
        if not study.privacy.on:
            _measure(run_folder, state.round, summed, fold, of_sites)
        state.step(merged, state.round >= rounds - study.training.averaged_rounds)
        moments = {f"strategy/{key}": value for key, value in aggregator.arrays().items()}
        run_folder.keep(f"train-{fold}", state.arrays() | moments)
        federation.forget(question)
    return state.average


def _round(
    federation: Federation,
    roster: Roster,
    aggregator: Aggregator,
    question: TrainQuestion,
    of_sites: SiteMeasures,
) -> tuple[Weights, TrainAnswer]:
    """Train one round: give the next weights, and the sum of the sites' answers."""
    study = federation.run.study
    check = of_sites.noting(_check_against(question, study.training))
    if study.privacy.on:
        check = _private_check_against(question, study)
    judge = _judge_against(question, study.firewall.norm_limit)
    if not aggregator.robust:
        summed = total(federation, question, roster, roster.train, TrainAnswer, check, judge)
        return aggregator.merge(question, [summed.answer]), summed.answer
    answers = federation.ask(
        question,
        roster.train,
        TrainAnswer,
        lambda site, one: check(roster.answers[site], one),
        judge,
    )
    merged = aggregator.merge(question, answers.values())
    return merged, plain_sum(TrainAnswer, answers.values())


def _check_against(
    question: TrainQuestion, training: Training
) -> Callable[[EnrolAnswer, TrainAnswer], None]:
    """Say what answers to this question must be like, of a site or of several."""

    def check(own: EnrolAnswer, answer: TrainAnswer) -> None:
        patients = own.positive + own.negative
        require_arrays("its answer", {"change": answer.change},
                       {"change": question.weights.shape})  # fmt: skip
        require_arrays("its answer", {"validation": answer.validation}, {"validation": (2,)})
        require_count("its number of slices", answer.slices, 1, own.slices)
        require_count("its number of patients", answer.patients, 1, patients)
        require(np.isfinite(answer.loss) and answer.loss >= 0.0, "its loss is not a loss")
        require((answer.validation >= 0.0).all(), "its validation loss is negative")
        require_histograms(answer.histogram, (2, BINS), own)
        longest = longest_change(question.weights.size, answer.slices, training)
        require(
            _norm(question, answer) <= longest * (1.0 + ROUNDING),
            "its weights have moved further than so many steps of training can move them",
        )

    return check


def _private_check_against(
    question: TrainQuestion, study: Study
) -> Callable[[EnrolAnswer, TrainAnswer], None]:
    """Say what answers must be like where each patient is hidden: the change, and public counts."""
    noise = noise_of(study).network

    def check(own: EnrolAnswer, answer: TrainAnswer) -> None:
        patients = own.positive + own.negative
        require_arrays("its answer", {"change": answer.change},
                       {"change": question.weights.shape})  # fmt: skip
        require(answer.slices == answer.patients == patients, "it has other patients than enrolled")
        silent = answer.loss == 0.0 and not answer.validation.any() and not answer.histogram.any()
        require(silent, "it says more than the noisy change of its weights")
        longest = longest_private_change(question.weights.size, patients, study, noise)
        require(_norm(question, answer) <= longest, "its weights have moved further than they can")

    return check


def _judge_against(
    question: TrainQuestion, limit: float
) -> Callable[[Mapping[str, TrainAnswer]], dict[str, str]]:
    """Compare the sizes of the sites' updates."""

    def judge(answers: Mapping[str, TrainAnswer]) -> dict[str, str]:
        norms = {site: _norm(question, answer) for site, answer in answers.items()}
        return unlike_the_others(norms, limit)

    return judge


def _norm(question: TrainQuestion, answer: TrainAnswer) -> float:
    return moved_by(answer.change, answer.slices, question.slices)


def _begin(run_folder: RunFolder, aggregator: Aggregator, fold: int) -> FoldTraining:
    """Take up a fold at its checkpoint, or start it from seeded weights."""
    from common.cnn import initial_weights

    kept = run_folder.kept(f"train-{fold}")
    if kept is not None:
        aggregator.restore(
            {
                key.removeprefix("strategy/"): value
                for key, value in kept.items()
                if key.startswith("strategy/")
            }
        )
        return FoldTraining.from_arrays(kept)
    study = run_folder.study
    start = initial_weights(
        study.cnn.width, study.cnn.dropout, study.preprocessing.crop, study.seed + fold
    )
    if study.privacy.on and study.privacy.trained == "head":
        start = fresh_head(start)
    return FoldTraining(0, start, np.zeros_like(start))


def _measure(
    run_folder: RunFolder, number: int, summed: TrainAnswer, fold: int, of_sites: SiteMeasures
) -> None:
    """Judge the received weights, of `number` rounds, on all validation patients."""
    record(
        run_folder, fold, number, summed.validation, summed.histogram,
        training_loss=round(summed.loss / max(summed.slices, 1), 6), **of_sites.as_event(),
    )  # fmt: skip


def record(
    run_folder: RunFolder,
    fold: int,
    number: int,
    validation: NDArray[np.float64],
    histogram: NDArray[np.int64],
    **more: object,
) -> None:
    """Write down how a fold's network does on all validation patients after `number` rounds.

    Once: a run that was killed before it went further comes here a second time.
    """
    if run_folder.told(event="measured", fold=fold, round=number):
        return
    loss, weight = validation
    run_folder.event(
        event="measured",
        stage="train",
        fold=fold,
        round=number,
        validation_loss=round(float(loss / weight), 6) if weight else None,
        validation_auc=_auc(histogram),
        **more,
    )


def _auc(histogram: NDArray[np.int64]) -> float | None:
    try:
        return round(auc_from_histogram(histogram).auc, 4)
    except MyoFedError:
        return None


def network_weights(study: Study, class_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class weights (F, 2) of the network's loss: those of the heads, or ones."""
    balanced = study.training.class_weight == "balanced"
    return class_weights if balanced else np.ones_like(class_weights)
