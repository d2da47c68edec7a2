"""The study's strategy, by Flower's own classes, driven one round at a time by our loop.

Flower's loop begins at round 1 and asks whichever nodes it samples; ours asks named sites and can
stop and go on. So a strategy is used for its arithmetic only: `configure` shows it the weights of
the round, `aggregate` hands it the answers, and its moments can be saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi
from numpy.typing import NDArray

from common.messages import Arrays, TrainAnswer
from common.study import Training

Weights = NDArray[np.float32]

KEY = "weights"


class Aggregator:
    """One fold's strategy with its state."""

    def __init__(self, training: Training, sites: int) -> None:
        self.strategy = make_strategy(training, sites)
        self.sites = sites

    def aggregate(self, number: int, current: Weights, answers: Sequence[TrainAnswer]) -> Weights:
        """Give the next weights from those of round `number` and the sites' answers."""
        arrays = ArrayRecord({KEY: Array(current)})
        nodes = range(1, self.sites + 1)
        self.strategy.configure_train(number, arrays, ConfigRecord(), _Nodes(nodes))  # type: ignore[arg-type]
        replies = [_reply(node, answer) for node, answer in zip(nodes, answers, strict=False)]
        aggregated, _ = self.strategy.aggregate_train(number, replies)
        if aggregated is None:
            raise RuntimeError("the strategy made no weights of the answers")
        return np.asarray(aggregated[KEY].numpy(), np.float32)

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


def make_strategy(training: Training, sites: int) -> FedAvg:
    """Make the Flower strategy that the study names."""
    common: dict[str, Any] = {
        "min_train_nodes": sites,
        "min_evaluate_nodes": sites,
        "min_available_nodes": sites,
    }
    match training.strategy:
        case "fedprox":
            return FedProx(proximal_mu=training.proximal_mu, **common)
        case "fedavgm":
            return FedAvgM(
                server_learning_rate=training.server_learning_rate,
                server_momentum=training.server_momentum,
                **common,
            )
        case "fedadam":
            return FedAdam(eta=training.server_learning_rate, tau=training.adaptivity, **common)
        case "fedyogi":
            return FedYogi(eta=training.server_learning_rate, tau=training.adaptivity, **common)
        case _:
            return FedAvg(**common)


class _Nodes:
    """The only thing that a strategy asks of a Grid: which nodes there are."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self.nodes = list(nodes)

    def get_node_ids(self) -> list[int]:
        return self.nodes


def _reply(node: int, answer: TrainAnswer) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({KEY: Array(answer.weights)}),
            "metrics": MetricRecord({"num-examples": answer.slices, "loss": answer.loss}),
        }
    )
    return Message(content, node, "train")
