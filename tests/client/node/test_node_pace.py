"""The shim: it knows its Flower, shortens what it should, and lets the rest be."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from typing import Any

import pytest

from client.node import pace
from common import flower_objects, flower_source


def test_this_is_the_flower_that_was_read() -> None:
    """If this fails, Flower has changed: read the named sources again, then renew the hashes."""
    assert pace.differences() == []


@pytest.mark.parametrize("place", [*pace.READ, *flower_objects.READ])
def test_every_function_that_matters_is_watched(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = place.partition(":")

    def other() -> None:
        """Stand in for a changed function."""

    monkeypatch.setattr(importlib.import_module(module), name, other)
    assert pace.differences() == [place]


def test_another_release_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.__version__", "1.42.0")
    assert pace.differences() == ["flwr is 1.42.0, not 1.41.x"]
    assert not flower_objects.quicken_objects()


def test_what_is_absent_has_no_hash() -> None:
    assert flower_source.source_hash("flwr.nowhere:nothing") == ""
    assert flower_source.source_hash("flwr.supercore.heartbeat:nothing") == ""
    assert flower_source.source_hash("math:sin") == ""


def test_only_the_two_waits_of_the_loop_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    told: list[str] = []
    monkeypatch.setattr(pace.time, "sleep", slept.append)
    clock = pace.Pace(lambda: told.append("idle"), lambda most: told.append(f"awaiting {most}"))
    clock.sleep(3)
    clock.sleep(0.5)
    clock.sleep(3)
    clock.sleep(2.0)
    assert slept == [0.2, 0.2, 2.0]
    assert told == ["idle", "awaiting 0.5", "idle"]
    assert clock.time is time.time


LOOK = """
import time
from flwr.supernode import start_client_internal as loop
from flwr.supercore.inflatable import inflatable_utils as utils
from client.node import pace

before = utils.pull_objects.__kwdefaults__ | {}
pace.quicken(lambda: None, lambda seconds: None)
assert isinstance(loop.time, pace.Pace)
assert utils.time is time
after = utils.pull_objects.__kwdefaults__
assert (before["initial_backoff"], before["max_tries_per_object"]) == (1, 500), before
assert after["initial_backoff"] == 0.05 and after["backoff_cap"] == 0.5
assert after["max_tries_per_object"] is None
assert after["max_time"] == before["max_time"] == 7200
assert pace.differences() == []

tries = []
def pull(object_id):
    tries.append(object_id)
    if len(tries) < 4:
        raise utils.ObjectUnavailableError(object_id)
    return b"x"
begun = time.monotonic()
assert utils.pull_objects(["a"], pull) == {"a": b"x"}
assert time.monotonic() - begun < 1.0
"""


def test_an_announced_object_is_looked_for_soon_and_not_less_long() -> None:
    subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=60)


FORBIDDEN = ("torch", "SimpleITK", "radiomics", "pandas", "nibabel", "pydicom", "client.cohort",
             "client.imaging", "client.stages", "client.network", "client.worker")  # fmt: skip
LOAD = f"""
import sys
import client.node.process
assert "flwr" not in sys.modules, "Flower reads its environment when it is imported"
import client.app, client.node.process, client.node.carrier, client.node.pace
import client.node.preflight, client.node.stock, client.rooms
import flwr.supernode.cli.flower_supernode
wrong = [name for name in sys.modules if name.split(".")[0] in {FORBIDDEN!r}
         or ".".join(name.split(".")[:2]) in {FORBIDDEN!r}]
assert not wrong, wrong
"""


def test_the_node_loads_nothing_that_opens_data() -> None:
    done: Any = subprocess.run(
        [sys.executable, "-c", LOAD], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
