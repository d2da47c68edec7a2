"""A study over real processes: its release is the simulation's, bit for bit, whoever is killed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from conftest import Build, release_bytes
from consortium import Consortium, until

pytestmark = pytest.mark.slow

LONG = 300.0
OVER = ("interrupted", "finished")


@pytest.fixture(scope="module")
def consortium(build: Build) -> Consortium:
    made = build()
    made.start()
    return made


def test_deployment_gives_the_release_of_the_simulation(
    consortium: Consortium, simulated: dict[str, bytes]
) -> None:
    run = consortium.submit()
    assert consortium.outcome(run, LONG)["event"] == "finished"
    assert release_bytes(consortium.run_folder(run)) == simulated
    asked = [event for event in consortium.events(run) if event["event"] == "asked"]
    assert len(asked) <= 3 + 12
    assert not any(event["failures"] for event in asked)
    assert not (consortium.run_folder(run) / "answers").exists()


AFTER = (
    ("enrol", "", 0),
    ("harmonize", "features", 0),
    ("train", "", 1),
    ("train", "", 3),
    ("fuse", "moments", 0),
    ("fuse", "heads", 1),
    ("fuse", "stack", 0),
    ("calibrate", "", 0),
)
"""The questions after which somebody is killed: each time the next one is on its way."""


def kill_after_each(consortium: Consortium, victims: list[tuple[str, str]]) -> str:
    """Take a run to its end over those who are killed after each of its questions, in turn."""
    # Whoever was killed last, in the test before, is coming up again.
    everybody = set(consortium.sites)
    until(lambda: consortium.online() == everybody, LONG, "all sites are online")
    run = consortium.submit()
    for number, (stage, step, round_) in enumerate(AFTER):
        resume_until(consortium, run, lambda: consortium.reached(run, stage, step, round_))  # noqa: B023
        victim, site = victims[number % len(victims)]
        consortium.kill(victim, site)
        if victim == "serverapp":
            # What comes next may have been reached before the kill, and even the end.
            until(lambda: consortium.state(run) in OVER, LONG, f"{run} is interrupted")
            if consortium.state(run) == "finished":
                break
            consortium.command("coordinator", "resume", consortium.coord, run, "--detach")
    resume_until(consortium, run, (consortium.run_folder(run) / "release").exists)
    assert consortium.outcome(run, LONG)["event"] == "finished"
    return run


def resume_until(consortium: Consortium, run: str, reached: Callable[[], bool]) -> None:
    """Wait until a run has reached something, and resume it when it was interrupted.

    It is, when its ServerApp could not reach the SuperLink for too long.
    """
    end = time.monotonic() + LONG
    while not reached():
        assert time.monotonic() < end, consortium.events(run)[-1]
        if consortium.state(run) == "interrupted":
            consortium.command("coordinator", "resume", consortium.coord, run, "--detach")
        for _ in range(20):
            if reached():
                break
            time.sleep(0.1)


@pytest.mark.soak
def test_the_release_is_the_same_whoever_is_killed_on_the_way(
    consortium: Consortium, simulated: dict[str, bytes]
) -> None:
    victims = [
        ("worker", "aldgate"),
        ("serverapp", ""),
        ("node", "bergamo"),
        ("superlink", ""),
    ]
    run = kill_after_each(consortium, victims)
    assert release_bytes(consortium.run_folder(run)) == simulated


@pytest.mark.soak
@pytest.mark.parametrize("victim", ["superlink", "serverapp", "node", "worker"])
def test_the_release_is_the_same_though_one_is_killed_at_every_stage(
    consortium: Consortium, simulated: dict[str, bytes], victim: str
) -> None:
    sites = ["coimbra", "aldgate", "bergamo"] if victim in ("node", "worker") else [""]
    run = kill_after_each(consortium, [(victim, site) for site in sites])
    assert release_bytes(consortium.run_folder(run)) == simulated
