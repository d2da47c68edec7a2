"""An engine that does not come up at once is started again, and in the end given up in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from federation_run import NAMES, quiet, tiny_study

from common.errors import RunError
from server.network.runs import FAILED
from server.run import RunFolder
from simulation.engine import federate
from simulation.processes import TRIES, engine_processes


@pytest.mark.parametrize("failures", range(TRIES + 1))
def test_ray_is_tried_again(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    import ray

    told: list[str] = []

    def init(**given: object) -> None:
        told.append("init")
        assert given["num_cpus"] == 3
        if told.count("init") <= failures:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: told.append("shutdown"))
    if failures == TRIES:
        with pytest.raises(RunError, match="did not start"), engine_processes(3):
            told.append("inside")
        assert told == ["init", "shutdown"] * TRIES
    else:
        with engine_processes(3):
            told.append("inside")
        assert told == ["init", "shutdown"] * failures + ["init", "inside", "shutdown"]


def test_the_run_tells_that_the_engine_did_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ray

    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", init)
    run = RunFolder.begin(tmp_path / "run", tiny_study())
    for name in NAMES:
        (tmp_path / name).mkdir()
    with pytest.raises(RunError, match="did not start"):
        federate(run, {name: tmp_path / name for name in NAMES}, ["one"], quiet)
    assert run.events()[-1]["event"] == FAILED
    assert "did not start" in run.events()[-1]["what"]
