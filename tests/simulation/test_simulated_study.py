"""A whole tiny study: the same bits near and in the engine, stopped or not, and what comes out."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from federation_run import (
    NAMES,
    make_sites,
    numbers_of,
    release_bytes,
    results_of,
    run_near,
    tiny_study,
)

from client.predict import predict, write_scores
from common.errors import Interrupted, RunError, WrongUse
from common.heads import MODELS, SCORED
from common.release import Release
from server.dashboard.reading import look_at
from server.network.runs import LIFE
from server.report.document import render
from server.report.record import FinishedRun
from server.run import RunFolder
from simulation import cli, engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federation")


@pytest.fixture(scope="module")
def sites(folder: Path) -> Path:
    return make_sites(folder)


@pytest.fixture(scope="module")
def near(folder: Path, sites: Path) -> Path:
    """A run in this very process: one process, the last site answers first."""
    run_near(sites, folder / "near")
    return folder / "near"


def test_the_results_are_complete(near: Path) -> None:
    found = results_of(near)
    assert found["fingerprint"] == tiny_study().fingerprint
    assert {name: one["role"] for name, one in found["sites"].items()} == NAMES
    external = found["external"]["dorpat"]
    assert external["harmonization"]["applied"] is True
    assert external["harmonization"]["images"] == 16
    assert external["patients"] == {"positive": 4, "negative": 4}
    for model in MODELS:
        own = external["models"][model]
        assert 0.0 <= own["auc_ci"][0] <= own["auc"] <= own["auc_ci"][1] <= 1.0
        assert 0.0 < found["thresholds"][model] <= 1.0
        assert found["selected_features"][model]
    assert set(found["seconds"]) == {
        "enrol", "harmonize", "train", "fuse", "calibrate", "validate"
    }  # fmt: skip
    assert set(found["traffic"]) == set(NAMES)
    assert found["looks_at_external"] == {"dorpat": 1}
    assert found["messages"] == 2 + 2 * 2 + found["newton_rounds"] + 4
    assert [path.name for path in near.iterdir() if path.is_dir()] == ["release"]
    assert "Not a medical device" in (near / "release" / "MODEL_CARD.md").read_text()


def test_the_run_is_reported_from_its_own_evidence(near: Path) -> None:
    run = FinishedRun.open(near)
    assert run.evidence is not None
    assert set(run.evidence.external) == {"dorpat"}
    assert run.evidence.external["dorpat"].sum(axis=2).tolist() == [[4, 4]] * len(SCORED)
    assert run.evidence.validation is not None
    assert run.evidence.validation.sum(axis=2).tolist() == [[8, 8]] * len(SCORED)
    assert "ROC curve of the fused model, dorpat" in render(run, recalibrate=True)


def test_nothing_that_came_out_names_a_patient(folder: Path, near: Path) -> None:
    names = [
        row["patient_id"]
        for table in (folder / "phantoms").glob("*/table.csv")
        for row in csv.DictReader(table.open())
    ]
    assert len(names) == 24
    for path in near.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert [name for name in names if name.encode() in content] == [], path


def test_the_external_site_s_scores_are_those_of_predict(folder: Path, near: Path) -> None:
    release = Release.load(near / "release")
    table = folder / "phantoms" / "dorpat" / "table.csv"
    found = predict(release, table, 2, folder / "sites" / "dorpat" / "cache", workers=1)
    assert (found.batches_estimated, found.batches_below_minimum) == (1, 0)
    labels = {row["patient_id"]: row["label"] for row in csv.DictReader(table.open())}
    assert [one.patient_id for one in found.patients] == sorted(labels)
    external = results_of(near)["external"]["dorpat"]["models"]
    for model in MODELS:
        by_class: dict[str, list[float]] = {"scar": [], "none": []}
        for one in found.patients:
            by_class[labels[one.patient_id]].append(one.scores[model])
            assert one.positive[model] == (one.scores[model] >= release.thresholds[model])
        pairs = np.subtract.outer(by_class["scar"], by_class["none"])
        auc = np.mean((pairs > 1e-9) + 0.5 * (np.abs(pairs) <= 1e-9))
        assert external[model]["auc"] == pytest.approx(auc, abs=1e-12)
    out = folder / "scores.csv"
    write_scores(found, out)
    rows = list(csv.DictReader(out.open()))
    assert [row["patient_id"] for row in rows] == sorted(labels)
    assert rows[0]["fused"] == f"{found.patients[0].scores['fused']:.3f}"
    with pytest.raises(WrongUse, match="exists already"):
        write_scores(found, out)


@pytest.mark.parametrize("at", ["harmonize ", "train fold 1, round 2", "fuse step heads"])
def test_a_run_stopped_near_goes_on_to_the_same_bits(
    tmp_path: Path, sites: Path, near: Path, at: str
) -> None:
    stop = threading.Event()

    def watch(stage: str, detail: str) -> None:
        if f"{stage} {detail}".startswith(at):
            stop.set()

    with pytest.raises(Interrupted):
        run_near(sites, tmp_path / "run", stop, watch)
    assert not (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "release").exists()
    run_near(sites, tmp_path / "run")
    assert release_bytes(tmp_path / "run") == release_bytes(near)
    assert numbers_of(tmp_path / "run") == numbers_of(near)


SIMULATE = """
import sys
from pathlib import Path
from federation_run import tiny_study
from simulation.cli import run_study
run_study(tiny_study(), Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.soak
def test_the_engine_gives_the_same_bits_stopped_by_ctrl_c_and_gone_on_with(
    tmp_path: Path, sites: Path, near: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process until Ctrl-C in training, another to the end: the bits of no engine at all."""
    study, out = tiny_study(), tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", SIMULATE, sites, out],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        assert until((out / "checkpoint" / "train-0.safetensors").exists, first)
        first.send_signal(signal.SIGINT)
        _, told = first.communicate(timeout=120)
    assert first.returncode == 1, told
    assert told.splitlines()[-1].startswith("common.errors.Interrupted: "), told
    assert not list((out / "checkpoint").glob("*.part"))
    assert not (out / "results.json").exists()
    monkeypatch.setattr(engine, "available_cores", lambda: 1)
    cli.run_study(study, sites, out)
    assert release_bytes(out) == release_bytes(near)
    assert numbers_of(out) == numbers_of(near)
    shown = look_at(out)
    assert (shown.state, shown.progress) == ("finished", 1.0)
    life = [event["event"] for event in RunFolder(out, study, "").events()]
    assert [one for one in life if one in LIFE] == ["began", "stopped", "began", "finished"]
    assert steps_of(out / "tensorboard" / "fold-0") == list(range(study.training.rounds + 1))
    with pytest.raises(RunError, match="already holds a finished run"):
        cli.run_study(study, sites, out)


def steps_of(curves: Path) -> list[int]:
    """The rounds of the validation loss, as TensorBoard's own reader gives them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(curves), {"scalars": 0})
    reader.Reload()
    return [one.step for one in reader.Scalars("validation_loss")]


def until(found: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    """Wait for what a running process makes, two minutes at most."""
    end = time.monotonic() + 120
    while not found() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return found()
