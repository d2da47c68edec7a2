"""Train: federated rounds of each fold's CNN; the round with the best validation loss is kept."""

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
    """Where a fold's training stands: `round` rounds are done."""

    round: int
    weights: Weights
    best: Weights
    best_round: int = 0
    best_loss: float = np.inf
    finished: bool = False

    def arrays(self) -> Arrays:
        """Return the state as arrays, for a checkpoint."""
        scalars = [self.round, self.best_round, self.best_loss, float(self.finished)]
        return {"weights": self.weights, "best": self.best, "scalars": np.array(scalars)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> FoldTraining:
        """Read back what `arrays` returned."""
        number, best_round, best_loss, finished = np.asarray(arrays["scalars"], np.float64)
        return cls(
            int(number),
            np.asarray(arrays["weights"], np.float32),
            np.asarray(arrays["best"], np.float32),
            int(best_round),
            float(best_loss),
            bool(finished),
        )


def run(
    federation: Federation, run_folder: RunFolder, roster: Roster, harmonized: Harmonized
) -> list[Weights]:
    """Train every fold's network; give the weights of its best round.

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
    while not state.finished:
        last = state.round == study.training.rounds
        question = TrainQuestion(
            study.fingerprint,
            fold=fold,
            round=state.round + 1,
            epochs=0 if last else study.training.local_epochs,
            proximal_mu=_mu(study),
            class_weights=_balance(study, class_weights),
            weights=state.weights,
        )
        answers = list(federation.ask(question, roster.train, TrainAnswer).values())
        _measure(run_folder, state, answers, fold)
        if last:
            state.finished = True
        else:
            _refuse_unsound(dict(zip(roster.train, answers, strict=True)), state.weights)
            state.weights = aggregator.aggregate(state.round + 1, state.weights, answers)
            state.round += 1
        moments = {f"strategy/{key}": value for key, value in aggregator.arrays().items()}
        run_folder.keep(f"train-{fold}", state.arrays() | moments)
    return state.best


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
    return FoldTraining(0, start, start)


def _measure(
    run_folder: RunFolder, state: FoldTraining, answers: list[TrainAnswer], fold: int
) -> None:
    """Judge the weights that the sites received, on all validation patients."""
    loss, weight = np.sum([answer.validation for answer in answers], axis=0)
    mean = float(loss / weight) if weight else np.inf
    if mean < state.best_loss:
        state.best, state.best_loss, state.best_round = state.weights, mean, state.round
    slices = sum(answer.slices for answer in answers)
    run_folder.event(
        event="measured",
        stage="train",
        fold=fold,
        round=state.round,
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
