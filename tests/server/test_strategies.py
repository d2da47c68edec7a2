"""The strategies against their arithmetic written out in NumPy, and their state in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from coordinator_samples import trained
from flwr.supercore.task_identity import TaskIdentity

from common.messages import Arrays, TrainAnswer
from common.study import Training
from server.strategies import Aggregator

ROUNDS, SIZE = 4, 30
SLICES = (10, 25, 7)
ETA, MOMENTUM, TAU = 0.05, 0.8, 1e-2
STRATEGIES = ("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi")


@pytest.fixture(autouse=True)
def identity() -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def training(strategy: str) -> Training:
    return Training.model_validate(
        {
            "strategy": strategy,
            "server_learning_rate": ETA,
            "server_momentum": MOMENTUM,
            "adaptivity": TAU,
        }
    )


def answers(number: int, weights: np.ndarray) -> list[TrainAnswer]:
    rng = np.random.default_rng(number)
    return [trained(weights + rng.normal(size=SIZE), count) for count in SLICES]


def start() -> np.ndarray:
    return np.random.default_rng(100).normal(size=SIZE).astype(np.float32)


def mean_of(given: list[TrainAnswer]) -> np.ndarray:
    return np.average([one.weights.astype(float) for one in given], axis=0, weights=SLICES)


def by_hand(strategy: str) -> Iterator[np.ndarray]:
    """Reddi et al., ICLR 2021, with FedAdam's bias correction as Flower has it; Hsu et al. 2019."""
    weights = start().astype(float)
    m, v = np.zeros(SIZE), np.zeros(SIZE)
    for number in range(1, ROUNDS + 1):
        step = mean_of(answers(number, weights.astype(np.float32))) - weights
        if strategy in {"fedavg", "fedprox"}:
            weights = weights + step
        elif strategy == "fedavgm":
            m = MOMENTUM * m + step
            weights = weights + ETA * m
        else:
            m = 0.9 * m + 0.1 * step
            if strategy == "fedadam":
                v = 0.99 * v + 0.01 * step**2
                eta = ETA * np.sqrt(1 - 0.99 ** (number + 1)) / (1 - 0.9 ** (number + 1))
            else:
                v = v - 0.01 * step**2 * np.sign(v - step**2)
                eta = ETA
            weights = weights + eta * m / (np.sqrt(v) + TAU)
        yield weights


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rounds_are_the_arithmetic_written_out(strategy: str) -> None:
    aggregator = Aggregator(training(strategy), len(SLICES))
    weights = start()
    for number, expected in enumerate(by_hand(strategy), start=1):
        given = answers(number, weights)
        weights = aggregator.aggregate(number, weights, given)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=2e-5)


def test_fedprox_adds_as_fedavg_does() -> None:
    given = answers(1, start())
    one, two = (
        Aggregator(training(name), 3).aggregate(1, start(), given) for name in STRATEGIES[:2]
    )
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_restored_strategy_goes_on_to_the_last_bit(strategy: str, stopped_after: int) -> None:
    def run(aggregator: Aggregator, weights: np.ndarray, first: int) -> Iterator[np.ndarray]:
        for number in range(first, ROUNDS + 1):
            weights = aggregator.aggregate(number, weights, answers(number, weights))
            yield weights

    whole = list(run(Aggregator(training(strategy), 3), start(), 1))
    aggregator = Aggregator(training(strategy), 3)
    rounds = run(aggregator, start(), 1)
    for _ in range(stopped_after):
        weights = next(rounds)
    state: Arrays = {name: array.copy() for name, array in aggregator.arrays().items()}
    fresh = Aggregator(training(strategy), 3)
    fresh.restore(state)
    rest = list(run(fresh, weights, stopped_after + 1))
    assert [w.tobytes() for w in rest] == [w.tobytes() for w in whole[stopped_after:]]
    if strategy in STRATEGIES[2:]:
        assert state
        forgetful = list(run(Aggregator(training(strategy), 3), weights, stopped_after + 1))
        assert forgetful[-1].tobytes() != whole[-1].tobytes()


def test_one_site_alone_is_enough() -> None:
    given = [trained(start() + 1, 5)]
    found = Aggregator(training("fedavg"), 1).aggregate(1, start(), given)
    np.testing.assert_allclose(found, start() + 1, rtol=1e-6)
