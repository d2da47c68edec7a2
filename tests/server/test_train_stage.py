"""Federated rounds: what is asked and refused, the average of the last rounds, resuming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_samples import FakeGrid, federation_over, make_study, trained
from flwr.app import RecordDict

from common.cnn import initial_weights
from common.errors import Interrupted, RunError
from common.messages import TrainAnswer, TrainQuestion
from common.records import from_record, to_record
from common.study import Study
from server.stages import train
from server.stages.enrol import Roster
from server.stages.harmonize import Harmonized

Trainer = Callable[[TrainQuestion], TrainAnswer]

STUDY = make_study(
    folds=2,
    cnn={"width": 0.02},
    training={"strategy": "fedavgm", "rounds": 4, "averaged_rounds": 3, "server_momentum": 0.5},
)
BALANCE = np.array([[0.8, 1.3], [0.9, 1.1]])
NODES = {"a": 1, "b": 2, "x": 3}


def honest(site: str) -> Trainer:
    """Moves the weights by what only the site, the fold, the round and the weights decide."""

    def reply(question: TrainQuestion) -> TrainAnswer:
        rng = np.random.default_rng([NODES[site], question.fold, question.round])
        step = rng.normal(size=question.weights.size) * (question.epochs > 0)
        moved = 0.9 * question.weights + step if question.epochs else question.weights
        return trained(moved, slices=10 * NODES[site])

    return reply


class Sites:
    """Sites that train honestly but for those given; keeps the questions asked of `a`."""

    def __init__(self, **others: Trainer) -> None:
        self.trainers = {name: others.get(name, honest(name)) for name in ("a", "b")}
        self.questions: list[TrainQuestion] = []

    def node(self, name: str) -> Callable[[str, RecordDict], RecordDict]:
        def reply(stage: str, record: RecordDict) -> RecordDict:
            question = from_record(TrainQuestion, record)
            if name == "a":
                self.questions.append(question)
            return to_record(self.trainers[name](question))

        return reply

    def run(self, folder: Path, study: Study = STUDY) -> list[np.ndarray]:
        grid = FakeGrid({NODES[name]: self.node(name) for name in self.trainers})
        federation, _ = federation_over(grid, folder, study)
        federation.nodes = NODES
        roster = Roster({}, study.training_sites, study.external_sites)
        return train.run(federation, federation.run, roster, Harmonized([], [], BALANCE, {}))


def test_a_fold_s_network_is_the_mean_of_its_last_rounds(tmp_path: Path) -> None:
    sites = Sites()
    networks = sites.run(tmp_path / "run")
    asked = [(q.fold, q.round, q.epochs) for q in sites.questions]
    assert asked == [(f, r, int(r < 5)) for f in (0, 1) for r in (1, 2, 3, 4, 5)]
    for fold, network in enumerate(networks):
        own = [q for q in sites.questions if q.fold == fold]
        assert all((q.class_weights == BALANCE[fold]).all() for q in own)
        start = initial_weights(0.02, STUDY.cnn.dropout, 128, STUDY.seed + fold)
        assert own[0].weights.tobytes() == start.tobytes()
        # Round r begins at the weights of round r - 1; the fifth only measures the average.
        assert own[4].weights.tobytes() == network.tobytes()
        weights, vector, states = start.astype(float), np.zeros(start.size), []
        for question in own[:4]:
            np.testing.assert_allclose(question.weights, weights, rtol=1e-4, atol=1e-4)
            answers = [honest(name)(question).weights.astype(float) for name in ("a", "b")]
            vector = 0.5 * vector + np.average(answers, axis=0, weights=[10, 20]) - question.weights
            weights = question.weights + vector
            states.append(weights)
        np.testing.assert_allclose(network, np.mean(states[1:], axis=0), rtol=1e-4, atol=1e-4)
    measured = [e for e in _events(tmp_path / "run") if e["event"] == "measured"]
    assert [e["averaged"] for e in measured] == [False] * 4 + [True] + [False] * 4 + [True]
    assert measured[0]["validation_loss"] == pytest.approx(0.5)


def _events(folder: Path) -> list[dict[str, Any]]:
    from server.run import RunFolder

    return RunFolder.begin(folder, STUDY).events()


@pytest.mark.parametrize("stop", [(0, 2), (0, 5), (1, 4)])
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path, stop: tuple[int, int]) -> None:
    whole = Sites().run(tmp_path / "whole")

    def stops(question: TrainQuestion) -> TrainAnswer:
        if (question.fold, question.round) == stop:
            raise Interrupted("The run was stopped.")
        return honest("b")(question)

    broken = Sites(b=stops)
    with pytest.raises(Interrupted):
        broken.run(tmp_path / "broken")
    rest = Sites()
    networks = rest.run(tmp_path / "broken")
    assert (rest.questions[0].fold, rest.questions[0].round) == stop
    assert len(broken.questions) - 1 + len(rest.questions) == 10
    assert [n.tobytes() for n in networks] == [n.tobytes() for n in whole]
    again = Sites()
    assert [n.tobytes() for n in again.run(tmp_path / "broken")] == [n.tobytes() for n in whole]
    assert again.questions == []


def spoilt(**changes: Any) -> Trainer:
    def reply(question: TrainQuestion) -> TrainAnswer:
        content = {"weights": question.weights} | {
            key: value(question.weights) if callable(value) else value
            for key, value in changes.items()
        }
        return trained(**content)

    return reply


def poison(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(weights: np.ndarray) -> np.ndarray:
        weights = weights.copy()
        weights[7] = value
        return weights

    return change


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": poison(np.nan)}, "weights that b answered are not finite"),
        ({"weights": poison(np.inf)}, "weights that b answered are not finite"),
        ({"weights": lambda w: w[:-1]}, "not of the network's length"),
        ({"weights": lambda w: w[:1]}, "weights that b answered"),
        ({"weights": lambda w: w[None]}, "weights that b answered"),
        ({"slices": 0}, "b says that it trained on 0 slices"),
        ({"slices": -40}, "b says that it trained on -40 slices"),
    ],
)
def test_what_would_poison_the_average_is_refused_with_the_site_s_name(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RunError, match=reason):
        Sites(b=spoilt(**changes)).run(tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoint").glob("*.safetensors"))
