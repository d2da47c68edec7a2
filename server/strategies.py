"""The study's strategy, by Flower's own classes, driven one round at a time by our loop.

Flower's loop begins at round 1 and asks whichever nodes it samples; ours asks named sites and can
stop and go on. So a strategy is used for its arithmetic only: `aggregate` shows it the weights of
the round and hands it the answers, and its moments can be saved.

The strategies that average are handed one answer, made of the sum over the sites: memory does not
grow with their number. The robust ones (median, trimmed mean, Krum) need all answers at once. They
are handed updates, not weights, in float64: Krum takes distances from the difference of squared
norms, in which the weights' own size would drown them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
)
from numpy.typing import NDArray

from common.errors import RunError
from common.messages import Arrays, SearchQuestion, TrainAnswer, TrainQuestion
from common.study_tables import ROBUST, Training

Weights = NDArray[np.float32]

KEY = "weights"


class Aggregator:
    """One fold's strategy with its state."""

    def __init__(self, training: Training) -> None:
        self.robust = training.strategy in ROBUST
        self.strategy = make_strategy(training)

    def merge(
        self, question: TrainQuestion | SearchQuestion, answers: Iterable[TrainAnswer]
    ) -> Weights:
        """Give the weights after a round from those of its question.

        Parameters
        ----------
        answers
            Each site's for the robust strategies; for the others one, the sum over all sites.

        Raises
        ------
        RunError
            The strategy can make nothing of so few sites.
        """
        current = question.weights
        handed: list[tuple[NDArray[np.floating], int]] = []
        for answer in answers:
            moved = answer.change.astype(np.float64) * (question.slices / answer.slices)
            mean = moved if self.robust else (current + moved).astype(np.float32)
            handed.append((mean, answer.slices))
        nodes = range(1, len(handed) + 1)
        arrays = ArrayRecord({KEY: Array(current)})
        self.strategy.configure_train(question.round, arrays, ConfigRecord(), _Nodes(nodes))  # type: ignore[arg-type]
        replies = [_reply(node, *one) for node, one in zip(nodes, handed, strict=True)]
        aggregated, _ = self.strategy.aggregate_train(question.round, replies)
        if aggregated is None:
            raise RunError(
                f"The strategy made no weights of {len(handed)} answers.",
                "Ask for more sites by quorum.min_sites, or choose another strategy.",
            )
        found = aggregated[KEY].numpy()
        return np.asarray(current + found if self.robust else found, np.float32)

    def arrays(self) -> Arrays:
        """Return the strategy's moments, for a checkpoint."""
        state: Arrays = {}
        for name in ("m_t", "v_t"):
            moment = getattr(self.strategy, name, None)
            if moment:
                state[name] = moment[KEY]
        for name in ("momentum_vector", "current_arrays"):
            value = getattr(self.strategy, name, None)
            if isinstance(value, list):
                state[name] = value[0]
            elif isinstance(value, ArrayRecord):
                state[name] = value[KEY].numpy()
        return state

    def restore(self, state: Arrays) -> None:
        """Take a checkpoint's moments back."""
        strategy: Any = self.strategy
        for name in ("m_t", "v_t"):
            if name in state:
                setattr(strategy, name, {KEY: state[name]})
        if "momentum_vector" in state:
            strategy.momentum_vector = [state["momentum_vector"]]
        if "current_arrays" in state and isinstance(strategy, FedAvgM):
            strategy.current_arrays = ArrayRecord({KEY: Array(np.asarray(state["current_arrays"]))})


def make_strategy(training: Training) -> FedAvg:
    """Make the Flower strategy that the study names."""
    rate = training.server_learning_rate
    own: dict[str, tuple[type[FedAvg], dict[str, Any]]] = {
        "fedavg": (FedAvg, {}),
        "fedprox": (FedProx, {"proximal_mu": training.proximal_mu}),
        "fedavgm": (
            FedAvgM,
            {"server_learning_rate": rate, "server_momentum": training.server_momentum},
        ),
        "fedadam": (FedAdam, {"eta": rate, "tau": training.adaptivity}),
        "fedyogi": (FedYogi, {"eta": rate, "tau": training.adaptivity}),
        "median": (FedMedian, {}),
        "trimmed_mean": (FedTrimmedAvg, {"beta": training.trimmed_fraction}),
        "krum": (Krum, {"num_malicious_nodes": training.distrusted_sites}),
    }
    kind, settings = own[training.strategy]
    return kind(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1, **settings)


class _Nodes:
    """The only thing that a strategy asks of a Grid: which nodes there are."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self.nodes = list(nodes)

    def get_node_ids(self) -> list[int]:
        return self.nodes


def _reply(node: int, weights: NDArray[np.floating], slices: int) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({KEY: Array(weights)}),
            "metrics": MetricRecord({"num-examples": slices}),
        }
    )
    return Message(content, node, "train")
