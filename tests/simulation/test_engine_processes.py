"""An engine that does not come up at once is started again, and in the end given up in words."""

from __future__ import annotations

import pytest

from common.errors import RunError
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
