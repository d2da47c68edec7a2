"""A study that asks for all there is, over real processes: the results are the simulation's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import NAMES, Build, copied, release_bytes, roster_text, study_text

from common.feature_names import all_names
from common.study_file import parse_study
from server.run import RunFolder
from simulation.engine import federate

pytestmark = [pytest.mark.slow, pytest.mark.soak]

EVERYTHING = """
[reduction]
method = "pruning"
minimum_icc = 0.2
second_mask = "dilated"
[search]
budget = 4
most_rounds = 2
eta = 2
widths = [0.03, 0.06]
learning_rates = [2e-4, 1e-3]
dropouts = [0.3]
[comparison]
classifiers = ["logistic", "svm", "perceptron", "forest", "boosting"]
bins = 6
[comparison.perceptron]
rounds = 4
[comparison.forest]
trees = 6
depth = 2
[comparison.boosting]
trees = 2
[explain]
attention = true
[report]
patients = true
features = true
site_card = ["site", "field_strength"]
[[report.variables]]
name = "age"
kind = "numeric"
lower = 15.0
upper = 90.0
width = 5.0
[[report.variables]]
name = "sex"
kind = "categorical"
levels = ["F", "M"]
subgroups = true
[[report.variables]]
name = "field_strength"
kind = "categorical"
levels = ["1.5", "3"]
"""
ASKED = {
    "enrol", "describe", "harmonize", "search", "train", "fuse", "calibrate", "compare", "card",
    "validate",
}  # fmt: skip
OF_THE_RUN = ("run", "seconds", "messages", "traffic")
"""What differs from one run of a study to the next."""


def numbers(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text())
    return {name: value for name, value in found.items() if name not in OF_THE_RUN}


def test_all_stages_give_what_the_simulation_gives(
    build: Build, measured_sites: Path, tmp_path: Path
) -> None:
    sites = copied(measured_sites, tmp_path)
    study = parse_study(study_text(tables=EVERYTHING) + roster_text(measured_sites))
    simulated = RunFolder.begin(tmp_path / "run", study)
    federate(simulated, sites, list(all_names()), lambda stage, detail: None)
    consortium = build(tables=EVERYTHING)
    consortium.start()
    run = consortium.submit()
    assert consortium.outcome(run, 600.0)["event"] == "finished"
    asked = [event for event in consortium.events(run) if event["event"] == "asked"]
    assert {event["stage"] for event in asked} == ASKED
    assert not any(event["failures"] for event in asked)
    folder = consortium.run_folder(run)
    assert release_bytes(folder) == release_bytes(simulated.path)
    ours, theirs = numbers(folder), numbers(simulated.path)
    for name in ours.keys() | theirs.keys():
        assert ours.get(name) == theirs.get(name), name
    assert {"comparison", "described", "reduction", "search", "site_card"} <= ours.keys()
    assert sorted(ours["sites"]) == sorted(NAMES)
    told = consortium.command("report", folder, "--out", tmp_path / "report.html")
    assert told.returncode == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for word in ("forest", "Table 1", "segment"):
        assert word in page
