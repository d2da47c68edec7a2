"""A study over real processes: its release is the simulation's, bit for bit, whoever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import NAMES, Build, study_text
from consortium import Consortium, until

from common.feature_names import all_names
from common.study import parse_study
from server.run import RunFolder
from simulation.engine import federate

pytestmark = pytest.mark.slow

LONG = 300.0


@pytest.fixture(scope="module")
def simulated(measured_sites: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The release of the same study by Flower's simulation engine."""
    out = tmp_path_factory.mktemp("simulated") / "run"
    run = RunFolder.begin(out, parse_study(study_text()))
    sites = {name: measured_sites / name for name in NAMES}
    federate(run, sites, list(all_names()), lambda stage, detail: None)
    return release_bytes(out)


def release_bytes(run: Path) -> dict[str, bytes]:
    """Every file of a release but the card, which names the run."""
    folder = run / "release"
    return {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".md"
    }


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
    ("fuse", "heads", 0),
    ("fuse", "stack", 0),
    ("calibrate", "", 0),
)
"""The questions after which somebody is killed: each time the next one is on its way."""


def kill_after_each(consortium: Consortium, victims: list[tuple[str, str]]) -> str:
    """Take a run to its end over those who are killed after each of its questions, in turn."""
    run = consortium.submit()
    for number, (stage, step, round_) in enumerate(AFTER):
        what = f"{stage} {step} {round_} of {run}"
        until(lambda: consortium.reached(run, stage, step, round_), LONG, what)  # noqa: B023
        victim, site = victims[number % len(victims)]
        consortium.kill(victim, site)
        if victim == "serverapp":
            until(lambda: state(consortium, run) == "interrupted", LONG, f"{run} is interrupted")
            consortium.command("coordinator", "resume", consortium.coord, run, "--detach")
    assert consortium.outcome(run, LONG)["event"] == "finished"
    return run


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


def state(consortium: Consortium, run: str) -> str:
    """How a run stands, as the coordinator says."""
    found = [one["state"] for one in consortium.status()["runs"] if one["identity"] == run]
    return str(found[0]) if found else ""
