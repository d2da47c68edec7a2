"""Enrolment: who is who, whose software and recipe are right, and what a resumed run holds to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_samples import (
    DEADLINE,
    FakeGrid,
    Reply,
    enrolled,
    federation_over,
    make_study,
    trained,
)

from common.errors import RunError
from common.messages import EnrolAnswer, TrainAnswer, TrainQuestion
from common.records import to_record
from server.roster import Roster
from server.stages import enrol
from server.stages.enrol import compare

pytestmark = pytest.mark.usefixtures("fast")

NAMES = ("a", "b", "c")
STUDY = make_study(NAMES, quorum={"min_sites": 2})
ALL = make_study(NAMES)
HIDING = make_study((*NAMES, "d"), quorum={"min_sites": 3}, secure_sum={"enabled": True})
KEY = {"session_key": "0a" * 32, "signature": "b1" * 64}

CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"recipe": "r2"}, "its recipe is not that of the others"),
    ({"self_test": "s2"}, "its radiomics self-test gives other values than at the others"),
    ({"versions": json.dumps({"numpy": "2.1", "torch": "2.8"})}, "torch 2.8, the others 2.7"),
    ({"versions": json.dumps({"numpy": "2.1"})}, "torch absent, the others 2.7"),
]


def site(answer: EnrolAnswer) -> Reply:
    return lambda stage, record: to_record(answer)


class Sites:
    """Sites that enrol as themselves, but for what is changed of their answers."""

    def __init__(self, study: Any = STUDY, **changes: dict[str, Any]) -> None:
        self.study = study
        keys = dict.fromkeys(study.training_sites, KEY if study.secure_sum.enabled else {})
        answers = {
            site.name: enrolled(
                site.name, study, **keys.get(site.name, {}) | changes.get(site.name, {})
            )
            for site in study.sites
        }
        self.grid = FakeGrid({name: site(answer) for name, answer in answers.items()})

    def enrol(self, folder: Path) -> Roster:
        self.federation, self.told = federation_over(self.grid, folder, self.study)
        return enrol.run(self.federation, self.federation.run)

    @property
    def failures(self) -> dict[str, str]:
        failures: dict[str, str] = self.federation.run.events()[-1]["failures"]
        return failures


def test_the_roster_is_in_the_order_of_the_study(tmp_path: Path) -> None:
    sites = Sites()
    roster = sites.enrol(tmp_path / "run")
    assert list(roster.answers) == [*NAMES, "x"]
    assert (roster.train, roster.external) == (NAMES, ("x",))
    assert roster.versions == {"numpy": "2.1", "torch": "2.7"}
    assert sites.federation.run.cohort()["b"] == vars(enrolled("b", STUDY))
    assert sites.failures == {}


@pytest.mark.parametrize(("changes", "reason"), CHANGES)
@pytest.mark.parametrize("odd", ["a", "b", "x"])
def test_the_majority_is_right_and_the_odd_one_is_quarantined(
    tmp_path: Path, changes: dict[str, Any], reason: str, odd: str
) -> None:
    sites = Sites(**{odd: changes})
    roster = sites.enrol(tmp_path / "run")
    assert odd not in roster.answers
    assert set(roster.train) | set(roster.external) == {*NAMES, "x"} - {odd}
    assert sites.failures[odd].startswith("quarantined: ")
    assert reason in sites.failures[odd]
    assert list(sites.failures) == [odd]
    assert sites.told[0] == ("enrol", f"without {odd}: {sites.failures[odd]}")
    strict = Sites(ALL, **{odd: changes})
    lacking = "without x it must not go on" if odd == "x" else "2 training sites answered"
    with pytest.raises(RunError, match=f"{lacking}.*{odd}: quarantined"):
        strict.enrol(tmp_path / "strict")


def test_every_difference_is_named() -> None:
    changes = {name: value for change, _ in CHANGES[:3] for name, value in change.items()}
    answers = {name: enrolled(name, STUDY) for name in NAMES}
    answers["c"] = enrolled("c", STUDY, **changes)
    (found,) = compare(answers, answers).values()
    for _, reason in CHANGES[:3]:
        assert reason in found
    more = enrolled("c", STUDY, versions='{"torch": "2.7", "numpy": "2.1", "extra": "1"}')
    assert compare(answers | {"c": more}, answers) == {}


def test_sites_with_a_gpu_or_another_bug_fix_of_python_take_part(tmp_path: Path) -> None:
    own = {"a": ("3.11.7", "2.7"), "b": ("3.11.2", "2.7+cu130"), "c": ("3.11.9+", "2.7+cpu")}
    sites = Sites(
        ALL,
        **{
            name: {"versions": json.dumps({"python": python, "torch": torch})}
            for name, (python, torch) in own.items()
        },
        x={"versions": json.dumps({"python": "3.11.7", "torch": "2.7"})},
    )
    roster = sites.enrol(tmp_path / "run")
    assert roster.train == NAMES
    assert roster.versions == {"python": "3.11", "torch": "2.7"}
    kept = sites.federation.run.cohort()
    assert json.loads(kept["b"]["versions"]) == {"python": "3.11.2", "torch": "2.7+cu130"}

    older = {"b": {"versions": json.dumps({"numpy": "2.1", "torch": "2.6+cpu"})}}
    odd = Sites(**older)
    odd.enrol(tmp_path / "odd")
    assert "it runs torch 2.6+cpu, the others 2.7" in odd.failures["b"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"site": "a"}, "the node with the key of b says that it is another site"),
    ({"fingerprint": "0" * 64}, "it approved another study"),
    ({"positive": 4}, "its number of positive patients is not a whole number from 5 to"),
    ({"negative": 0}, "its number of negative patients is not"),
    ({"positive": -6}, "its number of positive patients is not"),
    ({"positive": 2**62}, "its number of positive patients is not"),
    ({"slices": 0}, "its number of slices is not"),
    ({"slices": -1}, "its number of slices is not"),
    ({"versions": "numpy 2.1"}, "its package versions cannot be read"),
    ({"versions": "[1, 2]"}, "its package versions cannot be read"),
    ({"versions": '{"numpy": 2.1}'}, "its package versions cannot be read"),
    ({"versions": "[" * 100_000}, "its package versions cannot be read"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD)
def test_what_a_site_cannot_be_is_quarantined(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    sites = Sites(b=changes)
    roster = sites.enrol(tmp_path / "run")
    assert roster.train == ("a", "c")
    assert sites.failures["b"].startswith(f"quarantined: {reason}")
    with pytest.raises(RunError, match="b: quarantined"):
        Sites(ALL, b=changes).enrol(tmp_path / "strict")


@pytest.mark.parametrize("name", ["positive", "negative", "slices"])
def test_a_resumed_run_leaves_out_a_site_whose_cohort_has_changed(
    tmp_path: Path, name: str
) -> None:
    Sites().enrol(tmp_path / "run")
    begun = (tmp_path / "run" / "cohort.json").read_bytes()
    sites = Sites(b={name: 41})
    roster = sites.enrol(tmp_path / "run")
    assert sites.failures == {"b": "quarantined: its cohort has changed since the run began"}
    assert roster.train == ("a", "c")
    # What it sent before still counts, and the run remembers whom it began with.
    assert list(roster.answers) == [*NAMES, "x"]
    assert roster.answers["b"] == enrolled("b", STUDY)
    assert (tmp_path / "run" / "cohort.json").read_bytes() == begun
    # Set right, it takes part again.
    assert Sites().enrol(tmp_path / "run").train == NAMES


@pytest.mark.parametrize(("changes", "reason"), CHANGES)
def test_a_resumed_run_holds_to_the_software_that_it_began_with(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    Sites().enrol(tmp_path / "run")
    one = Sites(b=changes)
    assert one.enrol(tmp_path / "run").train == ("a", "c")
    assert reason in one.failures["b"]
    # Sites that changed together are no majority either.
    together = Sites(**dict.fromkeys((*NAMES, "x"), changes))
    with pytest.raises(RunError, match="0 training sites answered"):
        together.enrol(tmp_path / "run")
    assert set(together.failures) == {*NAMES, "x"}


def test_a_resumed_run_asks_a_missing_site_later(tmp_path: Path) -> None:
    Sites().enrol(tmp_path / "run")
    sites = Sites()
    sites.grid.away = {"b"}
    roster = sites.enrol(tmp_path / "run")
    assert sites.failures == {"b": "is not connected"}
    assert roster.train == NAMES
    assert sites.federation.late == {"b"}
    # It is back at the next question, and nobody had to wait for it until then.
    sites.grid.away = set()
    for name in NAMES:
        sites.grid.sites[name] = lambda *_: to_record(trained(np.ones(3)))
    zeros = np.zeros(3, np.float32)
    question = TrainQuestion(STUDY.fingerprint, 0, 1, 30, np.ones(2), zeros)
    answers = sites.federation.ask(question, roster.train, TrainAnswer)
    assert list(answers) == list(NAMES)


def test_a_resumed_run_does_not_take_in_a_site_that_it_began_without(tmp_path: Path) -> None:
    first = Sites()
    first.grid.away = {"b"}
    assert first.enrol(tmp_path / "run").train == ("a", "c")
    second = Sites()
    assert second.enrol(tmp_path / "run").train == ("a", "c")
    assert {name for name, _ in second.grid.asked} == {"a", "c", "x"}


def test_nobody_came(tmp_path: Path) -> None:
    sites = Sites()
    sites.grid.away = {*NAMES, "x"}
    with pytest.raises(RunError) as caught:
        sites.enrol(tmp_path / "run")
    for name in (*NAMES, "x"):
        assert f"{name}: is not connected" in caught.value.what
    seconds = sites.federation.run.events()[-1]["seconds"]
    assert seconds >= DEADLINE


NO_KEY = "its session key is none"
BAD_KEYS: list[tuple[Any, str, dict[str, Any]]] = [
    (HIDING, "b", {"session_key": "", "signature": ""}),
    (HIDING, "b", {"session_key": "0a" * 31}),
    (HIDING, "b", {"session_key": "0A" * 32}),
    (HIDING, "b", {"session_key": "0x" * 32}),
    (HIDING, "b", {"session_key": "0a" * 31 + "\n" * 2}),
    (HIDING, "b", {"signature": ""}),
    (HIDING, "b", {"signature": "b1" * 65}),
    (HIDING, "b", {"signature": "patient P07 ".ljust(128)}),
    (HIDING, "x", KEY),
    (STUDY, "b", KEY),
    (STUDY, "b", {"signature": "b1" * 64}),
]


@pytest.mark.parametrize(("study", "name", "changes"), BAD_KEYS)
def test_who_hides_gives_a_session_key_and_nobody_else_does(
    tmp_path: Path, study: Any, name: str, changes: dict[str, Any]
) -> None:
    sites = Sites(study, **{name: changes})
    roster = sites.enrol(tmp_path / "run")
    assert sites.failures == {name: f"quarantined: {NO_KEY}"}
    assert name not in roster.answers
    others = [one for one in study.training_sites if one != name]
    if study is HIDING:
        for one in roster.announced(others):
            assert (one.key, one.signature) == (b"\x0a" * 32, b"\xb1" * 64)


def test_a_resumed_run_takes_a_site_s_new_session_key(tmp_path: Path) -> None:
    """As where the site's folder of the run was lost; all else is as it was."""
    before = Sites(HIDING).enrol(tmp_path / "run")
    new = {"session_key": "0c" * 32, "signature": "d1" * 64}
    again = Sites(HIDING, b=new)
    again.grid.away = {"d"}
    after = again.enrol(tmp_path / "run")
    assert after.train == before.train == (*NAMES, "d")
    keys = {one.site: one.key for one in after.announced(after.train)}
    # That of a site which is not back yet is the one that it had.
    assert keys == dict.fromkeys("acd", b"\x0a" * 32) | {"b": b"\x0c" * 32}
    held = json.loads((tmp_path / "run" / "cohort.json").read_text())
    assert (held["b"]["session_key"], held["d"]["session_key"]) == ("0c" * 32, "0a" * 32)
    assert held["b"] | KEY == vars(before.answers["b"])


def test_several_sites_as_one_are_their_patients_and_slices() -> None:
    answers = {name: enrolled(name, STUDY, positive=5 + k, slices=40 - k)
               for k, name in enumerate(NAMES)}  # fmt: skip
    pooled = Roster(answers, NAMES, ()).pooled(("a", "c"))
    assert (pooled.positive, pooled.negative, pooled.slices) == (12, 16, 78)
    assert (pooled.site, pooled.session_key, pooled.signature) == ("a, c", "", "")
