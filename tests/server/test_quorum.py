"""Who must answer: the run goes on without the others, says so, and takes them back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_samples import DEADLINE, FakeGrid, Reply, federation_over, make_study, trained
from flwr.app import Error, RecordDict

from common.errors import RunError
from common.messages import Refusal, TrainAnswer, TrainQuestion, ValidateAnswer, ValidateQuestion
from common.records import refusal_record, to_record
from server import federation as federation_module
from server.federation import Federation
from server.journal import Answers

pytestmark = pytest.mark.usefixtures("fast")

NAMES = ("a", "b", "c", "d")
PATIENT = {"deadline_seconds": {"train": 60.0}}
"""A deadline that no test waits for."""
SOON = 20.0


def training(number: int, fingerprint: str = "f") -> TrainQuestion:
    zeros = np.zeros(4, np.float32)
    return TrainQuestion(fingerprint, 0, number, 40, np.ones(2), zeros)


@dataclass
class Sites:
    """Four sites that train and x; `silent` ones are connected and never answer."""

    folder: Path
    quorum: dict[str, Any]
    silent: set[str] = field(default_factory=set)
    others: dict[str, RecordDict | Error] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.study = make_study(NAMES, quorum=self.quorum)
        self.grid = FakeGrid({name: self.reply(name) for name in (*NAMES, "x")})
        self.federation: Federation
        self.federation, self.told = federation_over(self.grid, self.folder, self.study)

    def reply(self, name: str) -> Reply:
        def one(stage: str, record: RecordDict) -> RecordDict | Error | None:
            if name in self.silent:
                return None
            return self.others.get(name) or to_record(trained(np.ones(4)))

        return one

    def ask(self, number: int = 1) -> tuple[Answers[TrainAnswer], float]:
        """Put a round's question to the four; the answers, and how long it took."""
        began = time.monotonic()
        answers = self.federation.ask(training(number), NAMES, TrainAnswer)
        return answers, time.monotonic() - began


def test_the_run_goes_on_without_a_site_and_names_it(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3}, silent={"c"})
    answers, seconds = sites.ask()
    assert list(answers) == ["a", "b", "d"]
    assert answers.missing == {"c": "did not answer in time"}
    assert DEADLINE <= seconds < SOON
    event = sites.federation.run.events()[-1]
    assert event["failures"] == {"c": "did not answer in time"}
    assert event["sites"]["c"]["seconds"] is None
    assert sites.told == [
        ("train", "without c: did not answer in time"),
        ("train", "fold 0, round 1"),
    ]
    # What is settled stays so: the same question again asks nobody.
    before = len(sites.grid.asked)
    again, _ = sites.ask()
    assert (list(again), again.missing) == (["a", "b", "d"], answers.missing)
    assert len(sites.grid.asked) == before


@pytest.mark.parametrize("least", [0, 4])
def test_without_its_quorum_the_run_ends_and_says_what_is_missing(
    tmp_path: Path, least: int
) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": least}, silent={"c"})
    sites.grid.away = {"b"}
    with pytest.raises(RunError) as caught:
        sites.ask()
    assert "2 training sites answered, at least 4 must" in caught.value.what
    assert "b: is not connected; c: did not answer in time" in caught.value.what
    assert "resume" in caught.value.fix


def test_a_mandatory_site_that_is_missing_ends_the_run(tmp_path: Path) -> None:
    quorum = {"min_sites": 2, "mandatory": ["c", "x"]}
    sites = Sites(tmp_path / "run", quorum, silent={"c", "d"})
    with pytest.raises(RunError, match=r"without c it must not go on\. c: did not answer"):
        sites.ask()
    # x is mandatory too, and has no part in training.
    sites.silent = {"d"}
    answers, _ = sites.ask()
    assert list(answers) == ["a", "b", "c"]


def test_the_reference_of_the_harmonisation_is_mandatory(tmp_path: Path) -> None:
    """Sums without it would be settled, and have no solution, for good."""
    study = make_study(NAMES, quorum={"min_sites": 1}, harmonization={"reference": "b"})
    grid = FakeGrid({name: lambda *_: to_record(trained(np.ones(4))) for name in NAMES}, away={"b"})
    federation, _ = federation_over(grid, tmp_path / "run", study)
    with pytest.raises(RunError, match="without b it must not go on"):
        federation.ask(training(1), NAMES, TrainAnswer)


def test_a_mandatory_site_that_refuses_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    refusal = refusal_record(Refusal("cohort-invalid", "The cohort is not as it was."))
    sites = Sites(tmp_path / "run", {"min_sites": 1, "mandatory": ["b"]}, others={"b": refusal})
    with pytest.raises(RunError, match=r"b: The cohort is not as it was\. \(cohort-invalid\)"):
        sites.ask()


def looked() -> RecordDict:
    return to_record(ValidateAnswer(images=3))


@pytest.mark.parametrize(
    ("quorum", "mandatory"),
    [({"min_sites": 1}, False), ({"min_sites": 1, "mandatory": ["x"]}, True), ({}, True)],
    ids=["optional", "mandatory", "whole roster"],
)
def test_external_sites(tmp_path: Path, quorum: dict[str, Any], mandatory: bool) -> None:
    study = make_study(NAMES, quorum=quorum)
    more = [site.model_dump() for site in study.sites] + [{"name": "y", "role": "external"}]
    study = study.model_validate(study.model_dump() | {"sites": more})
    grid = FakeGrid({"x": lambda *_: looked(), "y": lambda *_: looked()}, away={"x"})
    federation, told = federation_over(grid, tmp_path / "run", study)
    question = ValidateQuestion(study.fingerprint, "scores")
    if mandatory:
        with pytest.raises(RunError, match="without x it must not go on"):
            federation.ask(question, ["x", "y"], ValidateAnswer)
    else:
        answers = federation.ask(question, ["x", "y"], ValidateAnswer)
        assert list(answers) == ["y"]
        assert answers.missing == {"x": "is not connected"}
        assert told[0] == ("validate", "without x: is not connected")
    grid.away = {"x", "y"}
    with pytest.raises(RunError, match=r"without x it must|no site answered"):
        federation.ask(replace(question, step="placements"), ["x", "y"], ValidateAnswer)


def test_a_site_that_missed_a_question_is_late_from_then_on(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3}, silent={"c"})
    sites.grid.away = {"c"}
    _, first = sites.ask(1)
    assert first >= DEADLINE
    assert sites.federation.late == {"c"}


def test_a_late_site_that_is_away_is_not_waited_for(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3} | PATIENT)
    sites.grid.away = {"c"}
    sites.federation.late = {"c"}
    answers, seconds = sites.ask()
    assert seconds < SOON
    assert answers.missing == {"c": "is not connected"}


def test_a_late_site_that_is_there_has_its_grace_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federation_module, "GRACE_SECONDS", 0.2)
    sites = Sites(tmp_path / "run", {"min_sites": 3} | PATIENT, silent={"c"})
    sites.federation.late = {"c"}
    # The grace begins when all others have answered, d the last of them.
    sites.grid.slow = {"d": 100}
    answers, seconds = sites.ask()
    assert list(answers) == ["a", "b", "d"]
    waited = sites.federation.run.events()[-1]["sites"]["d"]["seconds"]
    assert waited > 0.1
    assert waited + 0.2 <= seconds < SOON


def until(sites: Sites, site: str, seconds: float) -> None:
    """Hold the site's newest reply back for so long; older ones come at once."""
    real, began = sites.grid.pull_messages, time.monotonic()
    before = set(sites.grid.waiting)

    def pull(ids: list[str]) -> Any:
        held = sites.grid.waiting[ids[0]][0] == site and ids[0] not in before
        return [] if held and time.monotonic() - began < seconds else list(real(ids))

    sites.grid.pull_messages = pull  # type: ignore[method-assign, assignment]


def test_late_sites_are_waited_for_where_the_quorum_needs_them(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 4} | PATIENT)
    sites.federation.late = {"c", "d"}
    until(sites, "c", 0.3)
    answers, _ = sites.ask()
    assert list(answers) == list(NAMES)
    assert sites.federation.late == set()


def test_a_late_site_that_answers_the_new_question_is_taken_back(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3} | PATIENT)
    sites.federation.late = {"c"}
    sites.grid.slow = {"c": 5}
    answers, _ = sites.ask()
    assert list(answers) == list(NAMES)
    assert sites.federation.late == set()


def test_a_late_site_that_answers_the_old_question_is_taken_back(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3} | PATIENT, silent={"c"})
    sites.federation.late = {"c"}
    first, _ = sites.ask(1)
    assert list(first) == ["a", "b", "d"]
    # Its reply to the old question is there by now; the new one takes longer than the grace.
    sites.silent = set()
    until(sites, "c", 0.3)
    answers, seconds = sites.ask(2)
    assert list(answers) == list(NAMES)
    assert seconds >= 0.3
    # What it said too late counts nowhere.
    assert list(sites.ask(1)[0]) == ["a", "b", "d"]


def test_a_site_still_busy_with_an_old_question_is_not_given_the_next(tmp_path: Path) -> None:
    """Else a site slower than the deadline would work through questions settled long ago."""
    sites = Sites(tmp_path / "run", {"min_sites": 3} | PATIENT, silent={"c"})
    sites.federation.late = {"c"}
    sites.ask(1)
    for number in (2, 3):
        answers, seconds = sites.ask(number)
        assert list(answers) == ["a", "b", "d"]
        assert answers.missing == {"c": "is still busy with an earlier question"}
        assert seconds < SOON
    assert [site for site, _ in sites.grid.asked].count("c") == 1
    # When it has answered it gets the question that is asked then, and is waited for.
    sites.silent = set()
    assert list(sites.ask(4)[0]) == list(NAMES)
    assert [site for site, _ in sites.grid.asked].count("c") == 2


def test_a_node_that_started_anew_is_busy_with_nothing(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3} | PATIENT, silent={"c"})
    sites.federation.late = {"c"}
    sites.ask(1)
    sites.grid.since["c"] = "tuesday"
    sites.ask(2)
    assert [site for site, _ in sites.grid.asked].count("c") == 2


def test_a_late_site_whose_old_question_failed_stays_late(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3} | PATIENT, silent={"c"})
    sites.federation.late = {"c"}
    sites.ask(1)
    sites.silent = set()
    sites.others["c"] = Error(5, "")
    answers, seconds = sites.ask(2)
    assert list(answers) == ["a", "b", "d"]
    assert answers.missing == {"c": "lost its connection"}
    assert seconds < SOON
    assert sites.federation.late == {"c"}


def test_a_site_quarantined_once_is_asked_again_and_waited_for(tmp_path: Path) -> None:
    sites = Sites(tmp_path / "run", {"min_sites": 3})
    judge = lambda answers: {"b": "its update is odd"} if "b" in answers else {}  # noqa: E731
    answers = sites.federation.ask(training(1), NAMES, TrainAnswer, judge=judge)
    assert list(answers) == ["a", "c", "d"]
    assert answers.missing == {"b": "quarantined: its update is odd"}
    assert sites.federation.late == set()
    assert not (sites.federation.run.journal / "train.0.1" / "b.answer").exists()
    assert list(sites.ask(2)[0]) == list(NAMES)
