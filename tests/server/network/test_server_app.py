"""The ServerApp tells the run's events how it ended: nobody sees its screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import Context, RecordDict
from network_samples import make_folder, make_study

from common.bundle import RUN_KEY
from common.errors import Interrupted, RunError
from server.network import app as module
from server.network.environment import FOLDER_VARIABLE
from server.network.runs import STOPPING, begin, is_held, standing
from server.run import RunFolder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    folder = make_folder(tmp_path / "coord")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder.path))
    return begin(folder, make_study("tufts"))


def serve(run: RunFolder, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Call the ServerApp as Flower does; `work` is done instead of the stages."""

    def conduct(_grid: Any, _folder: Any, held: RunFolder) -> None:
        assert is_held(held)
        assert held.identity == run.identity
        work()

    monkeypatch.setattr(module, "_conduct", conduct)
    context = Context(1, 0, {}, RecordDict(), {RUN_KEY: run.identity})
    try:
        module.app(SimpleNamespace(), context)  # type: ignore[arg-type]
    finally:
        assert not is_held(run)


def told(run: RunFolder) -> list[str]:
    return [event["event"] for event in run.events()]


def fails(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_a_run_that_ends_well_is_finished(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(run, monkeypatch, lambda: (run.path / "results.json").write_text("{}"))
    assert told(run) == ["began", "finished"]
    assert standing(run).state == "finished"


def test_an_expected_failure_is_told_with_what_to_do(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError):
        serve(run, monkeypatch, fails(RunError("Too few sites.", "Wait for them.")))
    last = run.events()[-1]
    assert (last["event"], last["code"]) == ("failed", "run-failed")
    assert standing(run).problem == ("Too few sites.", "Wait for them.")


def test_an_unexpected_one_leaves_its_traceback_in_the_run_s_log(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ZeroDivisionError):
        serve(run, monkeypatch, lambda: 1 // 0)
    last = run.events()[-1]
    assert (last["event"], last["code"]) == ("failed", "unexpected")
    assert "ZeroDivisionError" in last["what"]
    assert "coordinator.log" in last["fix"]
    assert "Traceback" in (run.path / "coordinator.log").read_text()


@pytest.mark.parametrize("error", [Interrupted("Stopped."), SystemExit(0), KeyboardInterrupt()])
def test_one_that_is_ended_from_outside_has_not_failed(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        serve(run, monkeypatch, fails(error))
    assert told(run) == ["began"]
    assert standing(run).state == "interrupted"


def test_what_flower_refuses_to_a_run_that_is_being_stopped_is_no_failure(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (ConnectionError("401"), RunError("Nobody answers.")):

        def work(error: Exception = error) -> None:
            run.event(event=STOPPING)
            run.event(event="asked", stage="enrol")
            raise error

        with pytest.raises(type(error)):
            serve(run, monkeypatch, work)
    assert told(run) == ["began", "stopping", "asked"] * 2
    with pytest.raises(RunError):
        serve(run, monkeypatch, fails(RunError("Too few sites.")))
    assert told(run)[-1] == "failed"
