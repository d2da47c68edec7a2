"""The strategies against their arithmetic written out in NumPy, and their state in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from coordinator_samples import trained, weights_of
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from common.errors import RunError
from common.messages import Arrays, TrainAnswer, TrainQuestion
from common.study_tables import ROBUST, Training
from server.plain_sum import plain_sum
from server.strategies import Aggregator, make_strategy

ROUNDS, SIZE = 4, 30
SLICES = {"a": 10, "b": 25, "c": 7}
ETA, MOMENTUM, TAU = 0.05, 0.8, 1e-2
STRATEGIES = ("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi")
Answers = dict[str, TrainAnswer]


@pytest.fixture(autouse=True)
def identity() -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def training(strategy: str, **options: object) -> Training:
    return Training.model_validate(
        {
            "strategy": strategy,
            "server_learning_rate": ETA,
            "server_momentum": MOMENTUM,
            "adaptivity": TAU,
        }
        | options
    )


def asked(number: int, weights: np.ndarray) -> TrainQuestion:
    """The question of a round, which not all sites answer: their slices are fewer than its."""
    return TrainQuestion("f", 0, number, 50, np.ones(2), np.asarray(weights, np.float32))


def answers(number: int, weights: np.ndarray) -> Answers:
    rng, question = np.random.default_rng(number), asked(number, weights)
    return {
        name: trained(weights + rng.normal(size=SIZE), count, question=question)
        for name, count in SLICES.items()
    }


def merged(
    aggregator: Aggregator, number: int, weights: np.ndarray, given: Mapping[str, TrainAnswer]
) -> np.ndarray:
    """The next weights, from each answer for the robust strategies, else from their sum."""
    handed = given.values()
    if not aggregator.robust:
        handed = [plain_sum(TrainAnswer, handed)]  # type: ignore[assignment]
    return aggregator.merge(asked(number, weights), handed)


def start() -> np.ndarray:
    return np.random.default_rng(100).normal(size=SIZE).astype(np.float32)


def pooled_mean(given: Mapping[str, TrainAnswer], question: TrainQuestion) -> np.ndarray:
    counts = [one.slices for one in given.values()]
    own = [weights_of(one, question) for one in given.values()]
    return np.asarray(np.average(own, axis=0, weights=counts))


def by_hand(strategy: str) -> Iterator[np.ndarray]:
    """Reddi et al., ICLR 2021, with FedAdam's bias correction as Flower has it; Hsu et al. 2019."""
    weights = start().astype(float)
    m, v = np.zeros(SIZE), np.zeros(SIZE)
    for number in range(1, ROUNDS + 1):
        question = asked(number, weights)
        step = pooled_mean(answers(number, question.weights), question) - weights
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
    aggregator = Aggregator(training(strategy))
    weights = start()
    for number, expected in enumerate(by_hand(strategy), start=1):
        given = answers(number, weights)
        weights = merged(aggregator, number, weights, given)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=2e-5)


def reply(node: int, one: TrainAnswer, question: TrainQuestion) -> Message:
    own = weights_of(one, question).astype(np.float32)
    content = RecordDict(
        {
            "arrays": ArrayRecord({"w": Array(own)}),
            "metrics": MetricRecord({"num-examples": one.slices}),
        }
    )
    return Message(content, node, "train")


class Nodes:
    def get_node_ids(self) -> list[int]:
        return [1, 2, 3]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rounds_are_what_flower_makes_of_all_replies_at_once(strategy: str) -> None:
    """Handing Flower's class the mean alone changes nothing but the rounding of float32."""
    own, flower = Aggregator(training(strategy)), make_strategy(training(strategy))
    weights = start()
    for number in range(1, ROUNDS + 1):
        given = answers(number, weights)
        flower.configure_train(
            number,
            ArrayRecord({"w": Array(weights)}),
            ConfigRecord(),
            Nodes(),  # type: ignore[arg-type]
        )
        question = asked(number, weights)
        replies = [reply(node, one, question) for node, one in enumerate(given.values(), start=1)]
        expected = flower.aggregate_train(number, replies)[0]
        assert expected is not None
        weights = merged(own, number, weights, given)
        np.testing.assert_allclose(weights, expected["w"].numpy(), rtol=2e-6, atol=2e-6)


def test_the_mean_is_that_of_the_pooled_slices() -> None:
    rng = np.random.default_rng(0)
    question = asked(1, np.zeros(5000))
    given = {
        name: trained(rng.normal(size=5000) * 10.0**power, count, question=question)
        for (name, count), power in zip(SLICES.items(), (-3, 0, 2), strict=True)
    }
    summed = plain_sum(TrainAnswer, given.values())
    assert summed.slices == sum(SLICES.values())
    mean = Aggregator(training("fedavg")).merge(question, [summed])
    assert mean.dtype == np.float32
    expected = pooled_mean(given, question)
    np.testing.assert_allclose(mean, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())
    with pytest.raises(RunError, match="no answers to add up"):
        plain_sum(TrainAnswer, [])


class OnDisk(Mapping[str, TrainAnswer]):
    """Gives a fresh copy at each look, as answers that are read from disk."""

    def __init__(self, given: Answers) -> None:
        self.given = given

    def __getitem__(self, site: str) -> TrainAnswer:
        one = self.given[site]
        return replace(one, change=one.change.copy())

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


@pytest.mark.parametrize("strategy", [*STRATEGIES, *sorted(ROBUST)])
def test_it_does_not_matter_how_answers_are_stored(strategy: str) -> None:
    given = answers(1, start())
    before = {name: one.change.copy() for name, one in given.items()}
    one, two = (
        merged(Aggregator(training(strategy, distrusted_sites=0)), 1, start(), form)
        for form in (given, OnDisk(given))
    )
    assert one.tobytes() == two.tobytes()
    # Answers are only read.
    for name, change in before.items():
        assert given[name].change.tobytes() == change.tobytes()


def test_fedprox_adds_as_fedavg_does() -> None:
    given = answers(1, start())
    one, two = (merged(Aggregator(training(name)), 1, start(), given) for name in STRATEGIES[:2])
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("strategy", [*STRATEGIES, "median"])
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_restored_strategy_goes_on_to_the_last_bit(strategy: str, stopped_after: int) -> None:
    def run(aggregator: Aggregator, weights: np.ndarray, first: int) -> Iterator[np.ndarray]:
        for number in range(first, ROUNDS + 1):
            weights = merged(aggregator, number, weights, answers(number, weights))
            yield weights

    whole = list(run(Aggregator(training(strategy)), start(), 1))
    aggregator = Aggregator(training(strategy))
    rounds = run(aggregator, start(), 1)
    for _ in range(stopped_after):
        weights = next(rounds)
    state: Arrays = {name: array.copy() for name, array in aggregator.arrays().items()}
    fresh = Aggregator(training(strategy))
    fresh.restore(state)
    rest = list(run(fresh, weights, stopped_after + 1))
    assert [w.tobytes() for w in rest] == [w.tobytes() for w in whole[stopped_after:]]
    if strategy in STRATEGIES[2:]:
        assert state
        forgetful = list(run(Aggregator(training(strategy)), weights, stopped_after + 1))
        assert forgetful[-1].tobytes() != whole[-1].tobytes()


def test_one_site_alone_is_enough() -> None:
    given = {"a": trained(start() + 1, 5, question=asked(1, start()))}
    for strategy in STRATEGIES:
        aggregator = Aggregator(training(strategy, server_learning_rate=1.0))
        found = merged(aggregator, 1, start(), given)
        if strategy in {"fedavg", "fedprox", "fedavgm"}:
            np.testing.assert_allclose(found, start() + 1, rtol=1e-6, atol=1e-6)
        assert np.isfinite(found).all()
