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


def test_the_release_is_the_same_whoever_is_killed_on_the_way(
    consortium: Consortium, simulated: dict[str, bytes]
) -> None:
    run = consortium.submit()

    def after(stage: str, step: str = "", number: int = 0) -> None:
        what = f"{stage} {step} {number} of {run}"
        until(lambda: consortium.reached(run, stage, step, number), LONG, what)

    def resume() -> None:
        consortium.command("coordinator", "resume", consortium.coord, run, "--detach")

    after("enrol")
    consortium.kill("worker", "aldgate")
    after("harmonize", "features")
    consortium.kill("node", "bergamo")
    after("train", number=1)
    consortium.kill("serverapp")
    until(lambda: state(consortium, run) == "interrupted", LONG, "the run is seen as interrupted")
    resume()
    after("train", number=2)
    consortium.kill("superlink")
    # The ServerApp waits for it: such a run needs nobody to resume it.
    after("fuse", "moments")
    consortium.kill("worker", "coimbra")
    consortium.kill("node", "aldgate")
    after("fuse", "stack")
    consortium.kill("serverapp")
    until(lambda: state(consortium, run) == "interrupted", LONG, "the run is seen as interrupted")
    resume()
    assert consortium.outcome(run, LONG)["event"] == "finished"
    assert release_bytes(consortium.run_folder(run)) == simulated


def state(consortium: Consortium, run: str) -> str:
    """How a run stands, as the coordinator says."""
    found = [one["state"] for one in consortium.status()["runs"] if one["identity"] == run]
    return str(found[0]) if found else ""
