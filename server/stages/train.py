"""Train: federated rounds of each fold's CNN; the mean of the last rounds is the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError
from common.messages import Arrays, EnrolAnswer, SearchQuestion, TrainAnswer, TrainQuestion
from common.privacy.fresh_head import fresh_head
from common.privacy.of_study import noise_of
from common.statistics.auc import auc_from_histogram
from common.statistics.logistic import balanced_weights
from common.statistics.scores import BINS
from common.study import Study
from common.study_tables import Training
from common.trials import OWN, Settings, settings_of
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
from server.stages.coarse import CoarseRound
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
    federation: Federation,
    run_folder: RunFolder,
    roster: Roster,
    harmonized: Harmonized,
    trial: int = OWN,
) -> list[Weights]:
    """Train every fold's network; give the mean weights of its last rounds.

    `trial` is the one of the study's search by whose settings they are trained.

    Raises
    ------
    RunError
        The quorum does not hold: too few sites answer, or answer what can be averaged.
    """
    return [
        _train_fold(federation, run_folder, roster, harmonized, fold, trial)
        for fold in range(run_folder.study.folds)
    ]


def _train_fold(
    federation: Federation,
    run_folder: RunFolder,
    roster: Roster,
    harmonized: Harmonized,
    fold: int,
    trial: int,
) -> Weights:
    study = run_folder.study
    settings = settings_of(study, trial)
    classes = harmonized.classes[fold]
    if study.privacy.on:
        # Those of a fold's slices would tell of its patients.
        classes = roster.classes(study)
    class_weights = network_weights(study, np.array([balanced_weights(*classes.tolist())]))[0]
    aggregator = Aggregator(settings.training)
    state = taken_up(run_folder, aggregator, f"train-{fold}") or _begin(study, settings, fold)
    rounds = study.training.rounds
    while state.round < rounds:
        question = TrainQuestion(
            study.fingerprint,
            fold=fold,
            round=state.round + 1,
            slices=int(classes.sum()),
            class_weights=class_weights,
            weights=state.weights,
            trial=trial,
        )
        of_sites = SiteMeasures(study)
        merged, summed = one_round(
            federation, roster, aggregator, question, settings.training, of_sites
        )
        if not study.privacy.on:
            _measure(run_folder, state.round, summed, fold, of_sites)
        state.step(merged, state.round >= rounds - study.training.averaged_rounds)
        keep(run_folder, aggregator, f"train-{fold}", state)
        federation.forget(question)
    return state.average


def one_round(
    federation: Federation,
    roster: Roster,
    aggregator: Aggregator,
    question: TrainQuestion | SearchQuestion,
    training: Training,
    of_sites: SiteMeasures,
) -> tuple[Weights, TrainAnswer]:
    """Train one round: give the next weights, and the sum of the sites' answers."""
    study = federation.run.study
    check = of_sites.noting(_check_against(question, training))
    if study.privacy.on:
        check = _private_check_against(question, study)
    judge = _judge_against(question, study.firewall.norm_limit)
    asked, read = question, _as_it_is
    if training.transfer == "int8" and isinstance(question, TrainQuestion):
        coarse = CoarseRound(question, training, study)
        asked, read = coarse.question(), coarse.read
        check, judge = coarse.checked(check), coarse.judged(judge)
    if not aggregator.robust:
        found = total(federation, asked, roster, roster.train, TrainAnswer, check, judge)
        summed = read(found.answer)
        return aggregator.merge(question, [summed]), summed
    answers = federation.ask(
        asked,
        roster.train,
        TrainAnswer,
        lambda site, one: check(roster.answers[site], one),
        judge,
    )
    merged = aggregator.merge(question, map(read, answers.values()))
    return merged, plain_sum(TrainAnswer, map(read, answers.values()))


def _as_it_is(answer: TrainAnswer) -> TrainAnswer:
    return answer


def _check_against(
    question: TrainQuestion | SearchQuestion, training: Training
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
    question: TrainQuestion | SearchQuestion, study: Study
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
    question: TrainQuestion | SearchQuestion, limit: float
) -> Callable[[Mapping[str, TrainAnswer]], dict[str, str]]:
    """Compare the sizes of the sites' updates."""

    def judge(answers: Mapping[str, TrainAnswer]) -> dict[str, str]:
        norms = {site: _norm(question, answer) for site, answer in answers.items()}
        return unlike_the_others(norms, limit)

    return judge


def _norm(question: TrainQuestion | SearchQuestion, answer: TrainAnswer) -> float:
    return moved_by(answer.change, answer.slices, question.slices)


def keep(run_folder: RunFolder, aggregator: Aggregator, name: str, state: FoldTraining) -> None:
    """Write down where training stands, the strategy's moments with it."""
    moments = {f"strategy/{key}": value for key, value in aggregator.arrays().items()}
    run_folder.keep(name, state.arrays() | moments)


def taken_up(run_folder: RunFolder, aggregator: Aggregator, name: str) -> FoldTraining | None:
    """Take training up at its checkpoint; None where there is none."""
    kept = run_folder.kept(name)
    if kept is None:
        return None
    aggregator.restore(
        {
            key.removeprefix("strategy/"): value
            for key, value in kept.items()
            if key.startswith("strategy/")
        }
    )
    return FoldTraining.from_arrays(kept)


def start_of(study: Study, settings: Settings, fold: int) -> Weights:
    """Give the seeded weights with which a fold begins; trials of one width begin alike."""
    from common.cnn import initial_weights

    cnn, crop = settings.cnn, study.preprocessing.crop
    return initial_weights(cnn.width, cnn.dropout, crop, study.seed + fold)


def _begin(study: Study, settings: Settings, fold: int) -> FoldTraining:
    start = start_of(study, settings, fold)
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
        validation_auc=auc_or_none(histogram),
        **more,
    )


def auc_or_none(histogram: NDArray[np.int64]) -> float | None:
    """Give the pooled AUC, to four digits; None where it is not defined."""
    try:
        return round(auc_from_histogram(histogram).auc, 4)
    except MyoFedError:
        return None


def network_weights(study: Study, class_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class weights (F, 2) of the network's loss: those of the heads, or ones."""
    balanced = study.training.class_weight == "balanced"
    return class_weights if balanced else np.ones_like(class_weights)
