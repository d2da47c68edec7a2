"""A study that hides each patient, over real processes: what it spends, and what it makes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import EXTERNAL, NAMES, copied, release_bytes, study_text
from consortium import Consortium

from client.egress.reading import lines_of
from common.feature_names import all_names
from common.study_file import read_study
from server.run import RunFolder
from simulation.engine import federate

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LONG = 300.0
TRAIN = tuple(name for name in NAMES if name != EXTERNAL)
PRIVATE = """
[harmonization]
mode = "mean_only"
[privacy]
epsilon = 8.0
[privacy.features]
original_shape2D_PixelSurface = [0.0, 4000.0]
original_firstorder_Entropy = [0.0, 7.0]
original_glcm_Idm = [0.0, 1.0]
"""


@pytest.fixture(scope="module")
def consortium(measured_sites: Path) -> Iterator[Consortium]:
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        root = Path(folder)
        text = study_text(tables=PRIVATE)
        made = Consortium(root, text, copied(measured_sites, root), EXTERNAL)
        try:
            made.found()
            made.start()
            yield made
        finally:
            made.stop_all()


@pytest.fixture(scope="module")
def run(consortium: Consortium) -> str:
    identity = consortium.submit()
    assert consortium.outcome(identity, LONG)["event"] == "finished"
    return identity


def budget(consortium: Consortium, site: str) -> dict[str, Any]:
    shown = consortium.command("site", "budget", consortium.sites[site], "--json").stdout
    content: dict[str, Any] = json.loads(shown)
    return content


def test_each_training_site_has_spent_what_was_promised(consortium: Consortium, run: str) -> None:
    results = json.loads((consortium.run_folder(run) / "results.json").read_text("utf-8"))
    promised = results["privacy"]["epsilon"]
    assert 7.8 < promised <= 8.0
    for name in TRAIN:
        assert budget(consortium, name)["spent"] == pytest.approx(promised, rel=1e-9)
    assert budget(consortium, EXTERNAL)["entries"] == []


def test_the_ledger_says_that_noise_was_added(consortium: Consortium, run: str) -> None:
    for name in TRAIN:
        lines = [one for one in lines_of(consortium.sites[name], run) if one.kind == "answer"]
        assert [one.rule for one in lines if one.stage != "enrol"] == [
            "harmonize/private/masked",
            *["train/private/masked"] * 3,
            "fuse/moments/private/masked",
            "calibrate/private/masked",
        ]


def test_a_simulation_of_the_same_gives_the_same_bits_and_costs_nothing(
    consortium: Consortium, run: str, tmp_path: Path
) -> None:
    shutil.copytree(consortium.folder / "sites", tmp_path / "sites")
    sites = {name: tmp_path / "sites" / name for name in NAMES}
    before = {name: (path / "privacy-budget.json").read_bytes() for name, path in sites.items()
              if name in TRAIN}  # fmt: skip
    simulated = RunFolder.begin(tmp_path / "run", read_study(consortium.study))
    federate(simulated, sites, list(all_names()), lambda stage, detail: None)
    assert release_bytes(tmp_path / "run") == release_bytes(consortium.run_folder(run))
    for name, spent in before.items():
        assert (sites[name] / "privacy-budget.json").read_bytes() == spent


def test_another_study_finds_nothing_left(consortium: Consortium, run: str) -> None:
    text = consortium.study.read_text(encoding="utf-8")
    consortium.study.write_text(text.replace("seed = 5", "seed = 6"), encoding="utf-8")
    for path in consortium.sites.values():
        consortium.command("site", "approve", path, consortium.study, "--yes")
    end = consortium.outcome(consortium.submit(), LONG)
    assert end["event"] == "failed"
    for name in TRAIN:
        assert f"{name}: What is left of the site's privacy budget does not suffice" in end["what"]
