"""Rounds of 8 bits over real processes: the simulation's release, though two are killed on the way.

What the rounding left over is kept on the sites' disks; what the coordinator keeps with all digits,
in its checkpoints. A kill loses neither.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Build, copied, release_bytes, roster_text, study_text
from consortium import until

from common.cnn import initial_weights
from common.feature_names import all_names
from common.study_file import parse_study
from server.run import RunFolder
from simulation.engine import federate

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LONG = 300.0
COARSE = 'transfer = "int8"'
ROUNDS = 5


def test_the_release_is_that_of_the_simulation_whoever_is_killed(
    build: Build, measured_sites: Path, tmp_path: Path
) -> None:
    study = parse_study(study_text(rounds=ROUNDS, training=COARSE) + roster_text(measured_sites))
    simulated = RunFolder.begin(tmp_path / "run", study)
    sites = copied(measured_sites, tmp_path)
    federate(simulated, sites, list(all_names()), lambda stage, detail: None)

    consortium = build(rounds=ROUNDS, training=COARSE)
    consortium.start()
    run = consortium.submit()
    until(lambda: consortium.reached(run, "train", number=1), LONG, "the first round")
    consortium.kill("worker", "aldgate")
    until(lambda: consortium.reached(run, "train", number=2), LONG, "the second round")
    consortium.kill("serverapp")
    until(lambda: consortium.state(run) == "interrupted", LONG, "the coordinator is interrupted")
    consortium.command("coordinator", "resume", consortium.coord, run, "--detach")
    assert consortium.outcome(run, LONG)["event"] == "finished"

    assert release_bytes(consortium.run_folder(run)) == release_bytes(simulated.path)
    rounds = [
        one for one in consortium.events(run) if one["event"] == "asked" and one["stage"] == "train"
    ]
    assert len({one["round"] for one in rounds}) == ROUNDS
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, study.seed).size
    for one in rounds:
        for own in one["sites"].values():
            # A byte a weight either way, and the means and spreads of batches beside them.
            assert 0.9 * weights < own["sent_bytes"] < 1.6 * weights
