"""Federated rounds: what is asked and refused, the average of the last rounds, resuming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_samples import (
    FakeGrid,
    Killed,
    enrolled,
    federation_over,
    make_study,
    trained,
    weights_of,
)
from flwr.app import RecordDict

from common.cnn import initial_weights
from common.errors import Interrupted
from common.messages import TrainAnswer, TrainQuestion
from common.records import from_record, to_record
from common.study import Study
from server.federation import Federation
from server.roster import Roster
from server.run import RunFolder
from server.stages import train
from server.stages.harmonize import Harmonized

pytestmark = pytest.mark.usefixtures("fast")

Trainer = Callable[[TrainQuestion], TrainAnswer]

CONTENT: dict[str, Any] = {
    "folds": 2,
    "cnn": {"width": 0.02},
    "training": {
        "strategy": "fedavgm",
        "rounds": 4,
        "averaged_rounds": 3,
        "server_momentum": 0.5,
        "learning_rate": 1.0,
    },
}
STUDY = make_study(**CONTENT)
FOUR = ("a", "b", "c", "d")
CLASSES = np.array([[35, 22], [30, 27]])
BALANCE = 57 / (2 * CLASSES)
SIZES = {"a": 10, "b": 20, "c": 15, "d": 12}


def honest(site: str) -> Trainer:
    """Moves the weights by what only the site, the fold, the round and the weights decide."""

    def reply(question: TrainQuestion) -> TrainAnswer:
        rng = np.random.default_rng([SIZES[site], question.fold, question.round])
        step = rng.normal(size=question.weights.size)
        return trained(0.9 * question.weights + step, SIZES[site], question=question)

    return reply


class Sites:
    """Sites that train honestly but for those given; keeps the questions that each was asked."""

    def __init__(self, study: Study = STUDY, **others: Trainer) -> None:
        self.study = study
        names = study.training_sites
        self.trainers = {name: others.get(name, honest(name)) for name in names}
        self.questions: dict[str, list[TrainQuestion]] = {name: [] for name in names}
        self.grid = FakeGrid({name: self.node(name) for name in names})
        self.federation: Federation

    def node(self, name: str) -> Callable[[str, RecordDict], RecordDict]:
        def reply(stage: str, record: RecordDict) -> RecordDict:
            question = from_record(TrainQuestion, record)
            self.questions[name].append(question)
            return to_record(self.trainers[name](question))

        return reply

    def run(self, folder: Path) -> list[np.ndarray]:
        self.federation, self.told = federation_over(self.grid, folder, self.study)
        names = (*self.study.training_sites, "x")
        roster = Roster(
            {name: enrolled(name, self.study) for name in names},
            self.study.training_sites,
            self.study.external_sites,
        )
        harmonized = Harmonized([], [], CLASSES, {})
        return train.run(self.federation, self.federation.run, roster, harmonized)

    def asked(self, name: str) -> list[tuple[int, int]]:
        return [(question.fold, question.round) for question in self.questions[name]]


EVERY = [(fold, number) for fold in (0, 1) for number in (1, 2, 3, 4)]


def test_a_fold_s_network_is_the_mean_of_its_last_rounds(tmp_path: Path) -> None:
    sites = Sites()
    networks = sites.run(tmp_path / "run")
    for name in ("a", "b"):
        assert sites.asked(name) == EVERY
    for fold, network in enumerate(networks):
        own = [q for q in sites.questions["a"] if q.fold == fold]
        for question in own:
            np.testing.assert_allclose(question.class_weights, BALANCE[fold], rtol=1e-15)
            assert question.slices == 57
        start = initial_weights(0.02, STUDY.cnn.dropout, 128, STUDY.seed + fold)
        assert own[0].weights.tobytes() == start.tobytes()
        weights, vector, states = start.astype(float), np.zeros(start.size), []
        for question in own:
            # Round r begins at the weights of round r - 1.
            np.testing.assert_allclose(question.weights, weights, rtol=1e-4, atol=1e-4)
            answers = [weights_of(honest(name)(question), question) for name in ("a", "b")]
            vector = 0.5 * vector + np.average(answers, axis=0, weights=[10, 20]) - question.weights
            weights = question.weights + vector
            states.append(weights)
        np.testing.assert_allclose(network, np.mean(states[1:], axis=0), rtol=1e-4, atol=1e-4)
    measured = [e for e in sites.federation.run.events() if e["event"] == "measured"]
    assert [(e["fold"], e["round"]) for e in measured] == [(f, r - 1) for f, r in EVERY]
    assert measured[0]["validation_loss"] == pytest.approx(0.5)
    assert measured[0]["training_loss"] == pytest.approx(0.5)
    # Nothing is under masks here, so what each site says is known.
    assert [list(e["sites"]) for e in measured] == [["a", "b"]] * 8
    # What was made of the answers is kept; they are not.
    assert list(sites.federation.run.journal.iterdir()) == []


def bits(networks: list[np.ndarray]) -> list[bytes]:
    return [network.tobytes() for network in networks]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return bits(Sites().run(tmp_path_factory.mktemp("whole") / "run"))


def test_a_round_is_measured_once_though_the_run_was_killed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sites = tmp_path / "run", Sites()
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            sites.run(path)
    again = Sites()
    again.run(path)
    assert again.asked("a") == EVERY[1:]
    measured = [e for e in again.federation.run.events() if e["event"] == "measured"]
    assert [(e["fold"], e["round"]) for e in measured] == [(f, r - 1) for f, r in EVERY]


def killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [(0, 2), (0, 4), (1, 1), (1, 4)])
def test_a_stopped_training_goes_on_to_the_same_bits(
    tmp_path: Path, whole: list[bytes], stop: tuple[int, int]
) -> None:
    def stops(question: TrainQuestion) -> TrainAnswer:
        if (question.fold, question.round) == stop:
            raise Interrupted
        return honest("b")(question)

    broken = Sites(b=stops)
    with pytest.raises(Interrupted):
        broken.run(tmp_path / "broken")
    rest = Sites()
    assert bits(rest.run(tmp_path / "broken")) == whole
    # The answer of a to the round that b was stopped in is not asked for again.
    assert broken.asked("a") + rest.asked("a") == EVERY
    assert rest.asked("b")[0] == stop
    again = Sites()
    assert bits(again.run(tmp_path / "broken")) == whole
    assert again.asked("a") == []


@pytest.mark.parametrize("push", [1, 2, 3, 8, 9, 16])
def test_it_may_die_at_any_message(tmp_path: Path, whole: list[bytes], push: int) -> None:
    broken = Sites()
    broken.grid.dies_at = push
    with pytest.raises(Killed):
        broken.run(tmp_path / "run")
    rest = Sites()
    assert bits(rest.run(tmp_path / "run")) == whole
    for name in ("a", "b"):
        assert broken.asked(name) + rest.asked(name) == EVERY


@pytest.mark.parametrize("write", [0, 3, 4, 7])
@pytest.mark.parametrize("before", [True, False])
def test_it_may_die_beside_any_checkpoint(
    tmp_path: Path, whole: list[bytes], monkeypatch: pytest.MonkeyPatch, write: int, before: bool
) -> None:
    """The answers are settled and the checkpoint is not written yet, or it just was."""
    real, written = RunFolder.keep, [0]

    def keep(run: RunFolder, name: str, arrays: Any) -> None:
        written[0] += 1
        if written[0] - 1 == write:
            if not before:
                real(run, name, arrays)
            raise Killed
        real(run, name, arrays)

    monkeypatch.setattr(RunFolder, "keep", keep)
    broken = Sites()
    with pytest.raises(Killed):
        broken.run(tmp_path / "run")
    rest = Sites()
    assert bits(rest.run(tmp_path / "run")) == whole
    assert broken.asked("a") + rest.asked("a") == EVERY


def test_sites_that_change_from_round_to_round(tmp_path: Path) -> None:
    """Each round is the mean over those who answered it."""
    study = make_study(
        FOUR,
        quorum={"min_sites": 2},
        **CONTENT
        | {"folds": 1, "training": {"rounds": 3, "averaged_rounds": 1, "learning_rate": 1.0}},
    )
    sites = Sites(study)
    gone = {1: set(), 2: {"b"}, 3: {"c", "d"}}

    def at(look: int) -> None:
        number = 1 + sum(e["event"] == "asked" for e in sites.federation.run.events())
        sites.grid.away = gone[min(number, 3)]

    sites.grid.at_look = at
    network = sites.run(tmp_path / "run")[0]
    weights = initial_weights(0.02, study.cnn.dropout, 128, study.seed)
    for number in (1, 2, 3):
        names = [name for name in FOUR if name not in gone[number]]
        question = TrainQuestion("", 0, number, 57, BALANCE[0], weights)
        own = [weights_of(honest(name)(question), question) for name in names]
        counts = [SIZES[name] for name in names]
        weights = np.average(own, axis=0, weights=counts).astype(np.float32)
    np.testing.assert_allclose(network, weights, rtol=1e-6, atol=1e-6)
    assert [sorted(e["failures"]) for e in sites.federation.run.events() if "failures" in e] == [
        [],
        ["b"],
        ["c", "d"],
    ]


def test_a_robust_strategy_sees_each_site_s_weights(tmp_path: Path) -> None:
    training = {"strategy": "median", "rounds": 1, "averaged_rounds": 1, "learning_rate": 1.0}
    study = make_study(FOUR, **CONTENT | {"folds": 1, "training": training})

    def loses_more(question: TrainQuestion) -> TrainAnswer:
        answer = honest("c")(question)
        return replace(answer, loss=2.5 * answer.slices)

    sites = Sites(study, c=loses_more)
    network = sites.run(tmp_path / "run")[0]
    (question,) = sites.questions["a"]
    own = [weights_of(honest(name)(question), question) for name in FOUR]
    np.testing.assert_allclose(network, np.median(own, axis=0), rtol=1e-6, atol=1e-6)
    (measured,) = (e for e in sites.federation.run.events() if e["event"] == "measured")
    assert measured["training_loss"] == pytest.approx(0.5 + 2.0 * SIZES["c"] / 57, abs=1e-6)
