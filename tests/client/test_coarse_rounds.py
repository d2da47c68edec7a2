"""Rounds of 8 bits over sites in memory: masks, losses, repeats, a coordinator that is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_samples import Course, Sites, Spoil
from site_samples import make_study

from client.stages.coarse import with_weights
from common.coarse import TOP, coarsened, refined
from common.errors import RunError
from common.messages import Hidden, Refusal, TrainAnswer, TrainQuestion
from common.study import Study
from common.trials import OWN, settings_of
from server.stages.train import start_of

pytestmark = pytest.mark.usefixtures("impatient")

NAMES = ("a", "b", "c", "d")
ROUNDS = 4


def study_of(secure: bool = True, transfer: str = "int8") -> Study:
    training = {
        "rounds": ROUNDS,
        "averaged_rounds": 1,
        "learning_rate": 0.002,
        "transfer": transfer,
    }
    return make_study(
        NAMES,
        quorum={"min_sites": 3},
        training=training,
        secure_sum={"enabled": secure},
        firewall={"norm_limit": 1000.0},
    )


class Trained:
    """What a study's training came to, and what its sites said on the way."""

    def __init__(self, study: Study, folder: Path, spoil: Spoil | None = None) -> None:
        self.said: list[tuple[str, str, Any]] = []

        def listens(site: str, exchange: str, answer: object) -> object:
            sent = spoil(site, exchange, answer) if spoil else answer
            self.said.append((site, exchange, sent))
            return sent

        self.sites = Sites.make(study, folder / "sites")
        course = Course.over(self.sites, folder / "run", listens)
        self.harmonized = course.harmonize()
        self.said.clear()
        self.weights = course.train(self.harmonized)
        self.asked = [
            event
            for event in course.federation.run.events()
            if event["event"] == "asked" and event["stage"] == "train"
        ]

    def bits(self) -> list[bytes]:
        return [one.tobytes() for one in self.weights]


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(study_of(), tmp_path_factory.mktemp("masked"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(study_of(secure=False), tmp_path_factory.mktemp("plain"))


def test_with_masks_and_without_it_comes_to_the_same_bits(masked: Trained, plain: Trained) -> None:
    assert masked.bits() == plain.bits()


def test_what_travels_is_a_byte_a_weight(masked: Trained, plain: Trained) -> None:
    size = masked.weights[0].size
    for _, _, hidden in masked.said:
        assert isinstance(hidden, Hidden)
        assert (hidden.weights.size, hidden.levels.nbytes) == (0, size)
    for _, _, answer in plain.said:
        assert isinstance(answer, TrainAnswer)
        assert (answer.change.size, answer.levels.nbytes) == (0, size)
        assert 20 < np.abs(answer.levels).max() < TOP
    received = [one["received_bytes"] for event in masked.asked for one in event["sites"].values()]
    assert len(received) == ROUNDS * len(NAMES)
    # One byte a weight, four for every 256, and some of the message's own.
    assert max(received) < size * (1 + 4 / 256) + 2_000


def test_it_trains_as_it_does_with_all_digits(masked: Trained, tmp_path: Path) -> None:
    exact = Trained(study_of(transfer="float32"), tmp_path)
    start = start_of(exact.sites.study, settings_of(exact.sites.study, OWN), 0)
    moved = np.linalg.norm(exact.weights[0] - start)
    apart = np.linalg.norm(masked.weights[0] - exact.weights[0])
    assert masked.bits() != exact.bits()
    assert apart < 0.5 * moved


def test_when_a_site_is_lost_the_others_say_the_same_a_second_time(tmp_path: Path) -> None:
    """Under masks they are asked again, and in the clear they are not."""

    def spoil(site: str, exchange: str, answer: object) -> object:
        lost = site == "c" and exchange > "train.0.1"
        return Refusal("internal", "No.") if lost else answer

    found, other = (
        Trained(study_of(secure), tmp_path / str(secure), spoil) for secure in (True, False)
    )
    asked = [sum(exchange == "train.0.2" for _, exchange, _ in one.said) for one in (found, other)]
    assert asked == [len(NAMES) + 3, len(NAMES)]
    assert found.bits() == other.bits()


class Killed(Exception):
    """Stands in for the end of the coordinator's process."""


@pytest.mark.parametrize("at", ["train.0.1", "train.0.3"])
def test_a_question_that_is_put_again_has_the_same_answer(
    masked: Trained, tmp_path: Path, at: str
) -> None:
    """Though the sites begin anew as well, and have nothing but what is on their disks."""

    def dies(site: str, exchange: str, answer: object) -> object:
        if (site, exchange) == ("c", at):
            raise Killed
        return answer

    with pytest.raises(Killed):
        Trained(study_of(), tmp_path, dies)
    sites = Sites.make(study_of(), tmp_path / "sites")
    found = Course.over(sites, tmp_path / "run").train(masked.harmonized)
    assert [one.tobytes() for one in found] == masked.bits()


def test_weights_that_do_not_come_as_the_study_says_are_refused() -> None:
    weights = np.ones(300, np.float32)
    levels, scales = coarsened(weights)
    none = np.zeros(0, np.float32)
    whole = TrainQuestion("f", 0, 1, 60, np.ones(2), weights)
    short = replace(whole, weights=none, levels=levels, scales=scales)
    coarse, exact = study_of().training, study_of(transfer="float32").training
    assert with_weights(whole, exact) is whole
    assert with_weights(short, coarse).weights.tobytes() == refined(levels, scales).tobytes()
    for question, training in ((whole, coarse), (short, exact)):
        with pytest.raises(RunError, match="transfer"):
            with_weights(question, training)
    with pytest.raises(RunError, match="transfer"):
        with_weights(replace(short, weights=weights), coarse)
    with pytest.raises(RunError, match="scales"):
        with_weights(replace(short, scales=scales[:1]), coarse)


def lies(change: dict[str, Any]) -> Spoil:
    def spoil(site: str, exchange: str, answer: Any) -> Any:
        if site != "b" or exchange != "train.0.2":
            return answer
        return replace(answer, **{name: make(answer) for name, make in change.items()})

    return spoil


LIES: dict[str, dict[str, Any]] = {
    "beyond its part": {"levels": lambda one: np.where(one.levels > 0, 100, -100).astype(np.int8)},
    "not all there": {"levels": lambda one: one.levels[:-1]},
    "not in levels": {"change": lambda one: np.ones(one.levels.size, np.float32)},
}


@pytest.mark.parametrize("reason", LIES)
def test_a_site_that_says_what_it_must_not_is_left_out(reason: str, tmp_path: Path) -> None:
    found = Trained(study_of(secure=False), tmp_path, lies(LIES[reason]))
    failures = [event["failures"] for event in found.asked if event["failures"]]
    assert [list(one) for one in failures] == [["b"]]
    assert reason in failures[0]["b"]
