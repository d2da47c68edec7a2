"""The coordinator's runs: how each stands, and that never two processes work on one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from network_samples import ROOT, make_folder, make_study, new_identity, request_of, until

from common.errors import RunError, WrongUse
from common.study_file import parse_study
from server.network import runs
from server.network.admission import admit
from server.network.control import FlowerRun
from server.network.folder import CoordinatorFolder
from server.network.follow import follow, progress_of
from server.network.lifecycle import resume, start
from server.network.locks import locked
from server.network.roster_keys import roster_tables
from server.network.runs import begin, find, holding, identities, is_held, standing
from server.run import RunFolder
from server.tail import Tail

HOLDING = """
import sys, time
from pathlib import Path
from server.network.lifecycle import resume, start
from server.network.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    return make_folder(tmp_path / "coord")


@pytest.fixture
def run(folder: CoordinatorFolder) -> RunFolder:
    return begin(folder, make_study("tufts", "bern"))


def flower(status: str, details: str = "") -> FlowerRun:
    return FlowerRun(7, "", status, "", details)


def test_a_run_is_named_by_its_identity_and_found_by_its_beginning(
    folder: CoordinatorFolder, run: RunFolder
) -> None:
    assert run.path == folder.runs / run.identity
    again = find(folder, run.identity)
    assert (again.study, again.identity) == (run.study, run.identity)
    assert find(folder, "tiny-").identity == run.identity
    assert identities(folder) == [run.identity]
    assert not list(folder.runs.glob(".new-*"))
    other = begin(folder, make_study("tufts"))
    assert set(identities(folder)) == {run.identity, other.identity}
    with pytest.raises(WrongUse, match="Several runs begin with"):
        find(folder, "tiny-")
    for absent in ("", "none", "../secrets", f"{run.identity}x"):
        with pytest.raises(WrongUse, match="There is no run"):
            find(folder, absent)


def test_a_run_whose_study_was_changed_is_refused(
    folder: CoordinatorFolder, run: RunFolder
) -> None:
    text = (run.path / "study.json").read_text()
    (run.path / "study.json").write_text(text.replace('"bern"', '"rome"'))
    with pytest.raises(WrongUse, match="was changed"):
        find(folder, run.identity)
    (run.path / "study.json").unlink()
    with pytest.raises(WrongUse, match="not a whole run"):
        find(folder, run.identity)


def test_how_a_run_stands_follows_from_its_events(run: RunFolder) -> None:
    assert standing(run).state == "interrupted"
    run.event(event=runs.SUBMITTED, flower=7)
    assert standing(run).state == "interrupted"
    assert standing(run, flower("pending")).state == "starting"
    assert standing(run, flower("finished")).state == "interrupted"
    with holding(run):
        run.event(event=runs.BEGAN)
        run.event(event="stage-began", stage="enrol")
        assert standing(run).state == "running"
        assert standing(run).where == "enrol"
        run.event(event="asked", stage="train", fold=0, round=3, seconds=1.0, failures={})
    found = standing(run, flower("running"))
    assert (found.state, found.where, found.flower) == ("interrupted", "train, fold 0, round 3", 7)
    run.event(event=runs.FAILED, code="run-failed", what="Too few.", fix="Wait.")
    assert standing(run).state == "failed"
    assert standing(run).problem == ("Too few.", "Wait.")
    run.event(event=runs.SUBMITTED, flower=8)
    run.event(event=runs.STOPPING)
    run.event(event=runs.STOPPED)
    assert standing(run).state == "stopped"
    assert standing(run).problem is None
    (run.path / "results.json").write_text("{}")
    assert standing(run).state == "finished"


def test_a_torn_line_hides_nothing(run: RunFolder) -> None:
    run.event(event=runs.SUBMITTED, flower=7)
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"event": "beg')
    assert standing(run).flower == 7
    tail = Tail(run.path / "events.jsonl")
    assert [one["event"] for one in tail.new()] == [runs.SUBMITTED]
    with (run.path / "events.jsonl").open("a") as file:
        file.write('an"}\n')
    assert [one["event"] for one in tail.new()] == ["began"]
    assert tail.new() == []


def test_two_processes_never_work_on_one_run(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "HOLD_SECONDS", 0.2)
    argv = [sys.executable, "-c", HOLDING, str(run.path / "lock")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert is_held(run)
        with pytest.raises(RunError, match="Another process works on"), holding(run):
            pass
        other.kill()
    until(lambda: not is_held(run), 5.0)
    with holding(run):
        assert is_held(run)


def test_to_look_is_not_in_the_way(run: RunFolder) -> None:
    """Whoever looks holds the lock for an instant; who comes to work then waits a little."""
    import threading

    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_held(run)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(20):
            with holding(run):
                pass
    finally:
        done.set()
        looker.join()
    with locked(run.path / "lock"):
        pass


@dataclass
class Says:
    """A control that knows one thing about every run."""

    status: FlowerRun | None

    def run(self, number: int) -> FlowerRun | None:
        return self.status


def test_following_ends_with_the_run_and_tells_each_event_once(run: RunFolder) -> None:
    run.event(event=runs.SUBMITTED, flower=7)
    run.event(event=runs.BEGAN)
    run.event(event=runs.FAILED, code="run-failed", what="Too few.", fix="")
    told: list[Any] = []
    end = follow(run, Says(None), told.append, Event())  # type: ignore[arg-type]
    assert end is not None
    assert end.state == "failed"
    assert [one["event"] for one in told] == ["submitted", "began", "failed"]


def test_following_ends_at_once_when_nobody_looks_any_longer(run: RunFolder) -> None:
    run.event(event=runs.SUBMITTED, flower=7)
    run.event(event=runs.BEGAN)
    stop = Event()
    with holding(run):
        assert follow(run, Says(None), lambda _: stop.set(), stop) is None  # type: ignore[arg-type]


def test_following_notices_a_run_that_is_gone_and_says_what_flower_knows(run: RunFolder) -> None:
    run.event(event=runs.SUBMITTED, flower=7)
    says = Says(flower("finished", "ServerApp failed with exception: no such module"))
    end = follow(run, says, lambda _: None, Event())  # type: ignore[arg-type]
    assert end is not None
    assert end.state == "interrupted"
    assert end.problem == ("Flower says: ServerApp failed with exception: no such module", "")


def test_the_progress_names_sites_that_are_missing_now_but_not_those_of_before(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {
        "event": "asked",
        "stage": "train",
        "fold": 0,
        "round": 1,
        "failures": {"bern": "away"},
    }
    with progress_of(run.study) as tell:
        tell({**asked, "time": "2026-01-01T00:00:00.000+00:00", "failures": {"rome": "away"}})
        tell({**asked, "time": "9999-01-01T00:00:00.000+00:00"})
        tell({"event": "stage-began", "stage": "fuse"})
        tell({"event": "stage", "stage": "enrol", "seconds": 1.0})
    shown = capsys.readouterr().err
    assert "without bern: away" in shown
    assert "rome" not in shown


@dataclass
class Flower:
    """A control that starts and stops runs without a network, and remembers what was asked."""

    status: FlowerRun | None
    asked: list[str]

    def nodes(self) -> list[Any]:
        return []

    def run(self, number: int) -> FlowerRun | None:
        return self.status

    def stop(self, number: int) -> None:
        self.asked.append(f"stop {number}")

    def start(self, bundle: bytes, identity: str) -> int:
        self.asked.append(f"start {identity}")
        return 8


def test_an_interrupted_run_is_taken_from_flower_and_handed_over_again(
    folder: CoordinatorFolder, run: RunFolder, tmp_path: Path
) -> None:
    for name in ("tufts", "bern"):
        admit(folder, request_of(tmp_path, name))
    run.event(event=runs.SUBMITTED, flower=7)
    run.event(event=runs.BEGAN)
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"event": "ask')  # the machine lost its power here
    control = Flower(flower("running"), [])
    resume(folder, run, control)  # type: ignore[arg-type]
    assert control.asked == ["stop 7", f"start {run.identity}"]
    assert [one["event"] for one in run.events()] == ["submitted", "began", "submitted"]
    assert standing(run).flower == 8
    with holding(run), pytest.raises(WrongUse, match="is running"):
        resume(folder, run, control)  # type: ignore[arg-type]
    (run.path / "results.json").write_text("{}")
    with pytest.raises(WrongUse, match="is finished"):
        resume(folder, run, control)  # type: ignore[arg-type]


def test_a_site_that_was_withdrawn_meanwhile_is_named_at_a_resumption(
    folder: CoordinatorFolder, run: RunFolder, tmp_path: Path
) -> None:
    admit(folder, request_of(tmp_path, "tufts"))
    with pytest.raises(WrongUse, match="not admitted: bern"):
        resume(folder, run, Flower(None, []))  # type: ignore[arg-type]


def test_a_site_that_has_another_identity_since_is_named_at_a_resumption(
    folder: CoordinatorFolder, tmp_path: Path
) -> None:
    requests = {name: request_of(tmp_path, name) for name in ("tufts", "bern", "rome")}
    for request in requests.values():
        admit(folder, request)
    study = parse_study(f'name = "tiny"\n{roster_tables(folder)}')
    run = begin(folder, study)
    admit(folder, replace(requests["bern"], identity=new_identity()), replace=True)
    with pytest.raises(WrongUse, match="the key of bern is SHA256") as refused:
        resume(folder, run, Flower(None, []))  # type: ignore[arg-type]
    assert "tufts" not in refused.value.what
    with pytest.raises(WrongUse, match="the key of bern is SHA256"):
        start(folder, study, Flower(None, []))  # type: ignore[arg-type]
    assert identities(folder) == [run.identity]
