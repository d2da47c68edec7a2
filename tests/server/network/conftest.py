"""One coordinator that is really up, for all tests of a process that ask for it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_samples import ROOT, command, make_folder, processes_of, request_of, until

from server.network.admission import admit
from server.network.control import Control, health
from server.network.folder import CoordinatorFolder


@pytest.fixture(scope="session")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorFolder]:
    """A coordinator that is up, with the site tufts admitted; its key lies beside the folder."""
    path = tmp_path_factory.mktemp("coordinator")
    folder = make_folder(path / "coord")
    admit(folder, request_of(path, "tufts"))
    with (path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            command("coordinator", "up", folder.path), cwd=ROOT, stdout=log, stderr=log
        )
    try:
        until(lambda: health(folder))
        with Control(folder) as control:
            until(control.nodes)
        yield folder
    finally:
        process.terminate()
        process.wait(30)
    assert process.returncode == 0
    gone_by = time.monotonic() + 10.0
    while (left := processes_of(folder.path)) and time.monotonic() < gone_by:
        time.sleep(0.1)
    assert not left, f"left running: {left}"


@pytest.fixture
def control(coordinator: CoordinatorFolder) -> Iterator[Control]:
    with Control(coordinator) as opened:
        yield opened


@pytest.fixture
def beside(coordinator: CoordinatorFolder) -> Path:
    """Where the keys of sites and the screen of `up` lie."""
    return coordinator.path.parent
