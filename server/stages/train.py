"""Train: federated rounds of each fold's CNN; the mean of the last rounds is the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError, RunError
from common.messages import Arrays, TrainAnswer, TrainQuestion
from common.statistics.auc import auc_from_histogram
from common.study import Study
from server.federation import Federation
from server.run import RunFolder
from server.stages.enrol import Roster
from server.stages.harmonize import Harmonized
from server.strategies import Aggregator

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
    finished: bool = False

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
        scalars = np.array([self.round, self.averaged, int(self.finished)], np.int64)
        return {"weights": self.weights, "average": self.average, "scalars": scalars}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> FoldTraining:
        """Read back what `arrays` returned."""
        number, averaged, finished = (int(value) for value in np.asarray(arrays["scalars"], int))
        weights = np.asarray(arrays["weights"], np.float32)
        average = np.asarray(arrays["average"], np.float32)
        return cls(number, weights, average, averaged, bool(finished))


def run(
    federation: Federation, run_folder: RunFolder, roster: Roster, harmonized: Harmonized
) -> list[Weights]:
    """Train every fold's network; give the mean weights of its last rounds.

    Raises
    ------
    RunError
        A site fails, or answers weights that are not finite or of another length.
    """
    return [
        _train_fold(federation, run_folder, roster, harmonized.class_weights[fold], fold)
        for fold in range(run_folder.study.folds)
    ]


def _train_fold(
    federation: Federation,
    run_folder: RunFolder,
    roster: Roster,
    class_weights: NDArray[np.float64],
    fold: int,
) -> Weights:
    study = run_folder.study
    aggregator = Aggregator(study.training, len(roster.train))
    state = _begin(run_folder, aggregator, fold)
    rounds = study.training.rounds
    while not state.finished:
        last = state.round == rounds
        question = TrainQuestion(
            study.fingerprint,
            fold=fold,
            round=state.round + 1,
            epochs=0 if last else study.training.local_epochs,
            proximal_mu=_mu(study),
            class_weights=_balance(study, class_weights),
            weights=state.average if last else state.weights,
        )
        answers = list(federation.ask(question, roster.train, TrainAnswer).values())
        _measure(run_folder, state, answers, fold)
        if last:
            state.finished = True
        else:
            _refuse_unsound(dict(zip(roster.train, answers, strict=True)), state.weights)
            merged = aggregator.aggregate(state.round + 1, state.weights, answers)
            state.step(merged, state.round >= rounds - study.training.averaged_rounds)
        moments = {f"strategy/{key}": value for key, value in aggregator.arrays().items()}
        run_folder.keep(f"train-{fold}", state.arrays() | moments)
    return state.average


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
    return FoldTraining(0, start, np.zeros_like(start))


def _measure(
    run_folder: RunFolder, state: FoldTraining, answers: list[TrainAnswer], fold: int
) -> None:
    """Judge the weights that the sites received, on all validation patients."""
    loss, weight = np.sum([answer.validation for answer in answers], axis=0)
    mean = float(loss / weight) if weight else np.inf
    slices = sum(answer.slices for answer in answers)
    run_folder.event(
        event="measured",
        stage="train",
        fold=fold,
        round=state.round,
        averaged=state.round == run_folder.study.training.rounds,
        validation_loss=round(mean, 6),
        validation_auc=_auc(np.sum([answer.histogram for answer in answers], axis=0)),
        training_loss=round(sum(a.loss * a.slices for a in answers) / max(slices, 1), 6),
    )


def _auc(histogram: NDArray[np.int64]) -> float | None:
    try:
        return round(auc_from_histogram(histogram).auc, 4)
    except MyoFedError:
        return None


def _refuse_unsound(answers: dict[str, TrainAnswer], weights: Weights) -> None:
    for site, answer in answers.items():
        if answer.weights.shape != weights.shape or not np.isfinite(answer.weights).all():
            raise RunError(
                f"The weights that {site} answered are not finite, or not of the network's length.",
                "Its log says more; a learning rate that is too high is a common reason.",
            )
        if answer.slices <= 0:
            raise RunError(f"{site} says that it trained on {answer.slices} slices.")


def _mu(study: Study) -> float:
    return study.training.proximal_mu if study.training.strategy == "fedprox" else 0.0


def _balance(study: Study, class_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return class_weights if study.training.class_weight == "balanced" else np.ones(2)
