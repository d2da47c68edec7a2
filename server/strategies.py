"""The study's strategy, by Flower's own classes, driven one round at a time by our loop.

Flower's loop begins at round 1 and asks whichever nodes it samples; ours asks named sites and can
stop and go on. So a strategy is used for its arithmetic only: `aggregate` shows it the weights of
the round and hands it the answers, and its moments can be saved.

The strategies that average are handed one answer, the mean over the sites, which is summed up here
one site at a time: memory does not grow with the number of sites. The robust ones (median, trimmed
mean, Krum) need all answers at once. They are handed updates, not weights, in float64: Krum takes
distances from the difference of squared norms, in which the weights' own size would drown them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from common.messages import Arrays, TrainAnswer
from common.study import ROBUST, Training

Weights = NDArray[np.float32]

KEY = "weights"


class Aggregator:
    """One fold's strategy with its state."""

    def __init__(self, training: Training) -> None:
        self.robust = training.strategy in ROBUST
        self.strategy = make_strategy(training)

    def aggregate(
        self, number: int, current: Weights, answers: Mapping[str, TrainAnswer]
    ) -> Weights:
        """Give the next weights from those of round `number` and the sites' answers.

        Raises
        ------
        RunError
            The strategy can make nothing of so few sites.
        """
        handed: list[tuple[NDArray[np.floating], int]]
        if self.robust:
            before = current.astype(np.float64)
            handed = [(answer.weights - before, answer.slices) for answer in answers.values()]
        else:
            handed = [mean_update(answers)]
        nodes = range(1, len(handed) + 1)
        arrays = ArrayRecord({KEY: Array(current)})
        self.strategy.configure_train(number, arrays, ConfigRecord(), _Nodes(nodes))  # type: ignore[arg-type]
        replies = [_reply(node, *one) for node, one in zip(nodes, handed, strict=True)]
        aggregated, _ = self.strategy.aggregate_train(number, replies)
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


def mean_update(answers: Mapping[str, TrainAnswer]) -> tuple[Weights, int]:
    """Average the sites' weights by their numbers of slices, reading one site at a time.

    The sum is taken in float64, in the order of the answers.
    """
    total: NDArray[np.float64] | None = None
    slices = 0
    for answer in answers.values():
        weighted = answer.weights.astype(np.float64)
        weighted *= answer.slices
        slices += answer.slices
        if total is None:
            total = weighted
        else:
            total += weighted
    if total is None:
        raise RunError("No site's weights are left to average.")
    total /= slices
    return total.astype(np.float32), slices


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
