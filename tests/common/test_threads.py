"""Linear algebra on one thread: in a process that is started so, and within a context."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from client import site_up
from common.threads import ENVIRONMENT, one_thread
from server.network.environment import flower_environment
from server.network.folder import CoordinatorFolder, Settings

COUNTS = (
    "import json, numpy, scipy.linalg, threadpoolctl;"
    "print(json.dumps([one['num_threads'] for one in threadpoolctl.threadpool_info()]))"
)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread anyway")
def test_a_process_that_is_started_so_has_one_thread() -> None:
    def counts(added: dict[str, str]) -> list[int]:
        plain = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
        done = subprocess.run(
            [sys.executable, "-c", COUNTS], env=plain | added, capture_output=True, check=True
        )
        found: list[int] = json.loads(done.stdout)
        return found

    assert set(counts(ENVIRONMENT)) == {1}
    assert max(counts({})) > 1, "otherwise this test tells nothing"


def test_within_the_context_there_is_one_thread() -> None:
    np.ones((4, 4)) @ np.ones((4, 4))
    before = [one["num_threads"] for one in threadpool_info()]
    with one_thread():
        assert {one["num_threads"] for one in threadpool_info()} == {1}
    assert [one["num_threads"] for one in threadpool_info()] == before


def test_the_processes_of_sites_and_coordinator_are_started_so(tmp_path: Path) -> None:
    folder = CoordinatorFolder(tmp_path, Settings(hosts=("localhost",)))
    for environment in (site_up._ADDED, flower_environment(folder)):
        assert environment.items() >= ENVIRONMENT.items()
