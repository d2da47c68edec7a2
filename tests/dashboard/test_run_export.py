"""What TensorBoard and MLflow get of a run: each point once, whenever the run was killed."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run_samples import MadeRun, study_of

from server.export import follower, mlflow
from server.export.follower import exporting, follow
from server.export.mlflow import MlflowRun
from server.export.points import Point, Points
from server.export.tensorboard import FILE, TensorBoardFiles
from server.tail import Tail


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    study = study_of(3, folds=2, quorum={"min_sites": 2})
    made = MadeRun.begin(tmp_path / "run", study)
    made.enrol()
    made.began("train")
    return made


def some_rounds(made: MadeRun, numbers: Iterable[int], fold: int = 0) -> None:
    for number in numbers:
        made.round(fold, number, by_site=True)


def points_of(run: Path) -> list[Point]:
    points = Points()
    return [point for event in Tail(run / "events.jsonl").new() for point in points.of(event)]


def written(run: Path, points: Iterable[Point]) -> None:
    files = TensorBoardFiles(run)
    for point in points:
        files.take(point)
    files.close()


def as_tensorboard_reads(run: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Every curve as TensorBoard's own reader gives it, with no point thinned out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in sorted((run / "tensorboard").iterdir()):
        reader = EventAccumulator(str(folder), {"scalars": 0})
        reader.Reload()
        for tag in reader.Tags()["scalars"]:
            own = [(one.step, one.value) for one in reader.Scalars(tag)]
            found[(folder.name, tag)] = own
    return found


def expected(points: Iterable[Point]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for one in points:
        found.setdefault((one.curve, one.name), []).append((one.step, pytest.approx(one.value)))
    return found


def test_tensorboard_reads_every_round_of_every_fold(made: MadeRun) -> None:
    some_rounds(made, (1, 2, 3))
    some_rounds(made, (1, 2), fold=1)
    points = points_of(made.folder.path)
    written(made.folder.path, points)
    read = as_tensorboard_reads(made.folder.path)
    assert read == expected(points)
    assert [step for step, _ in read["fold-0", "validation_auc"]] == [0, 1, 2]
    assert [step for step, _ in read["fold-1", "round_seconds"]] == [1, 2]
    assert ("site-site-001", "fold-0/validation_loss") in read
    assert ("site-site-001", "fold-0/seconds") in read


def test_a_round_that_was_asked_twice_is_one_point(made: MadeRun) -> None:
    made.round(0, 1, {"site-001": "is not connected"})
    made.round(0, 1, sites=["site-000", "site-002"])
    steps = [one.step for one in points_of(made.folder.path) if one.name == "round_seconds"]
    assert steps == [1]


def test_a_file_that_was_cut_anywhere_is_gone_on_with(made: MadeRun, tmp_path: Path) -> None:
    some_rounds(made, range(1, 6))
    points = points_of(made.folder.path)
    written(made.folder.path, points)
    whole = {
        path.relative_to(made.folder.path): path.read_bytes()
        for path in made.folder.path.glob(f"tensorboard/*/{FILE}")
    }
    content = whole[Path("tensorboard/fold-0") / FILE]
    for cut in range(0, len(content), 23):
        shutil.rmtree(made.folder.path / "tensorboard")
        target = made.folder.path / "tensorboard" / "fold-0" / FILE
        target.parent.mkdir(parents=True)
        target.write_bytes(content[:cut])
        written(made.folder.path, points)
        for name, held in whole.items():
            assert (made.folder.path / name).read_bytes() == held, (name, cut)


def test_a_run_is_exported_while_it_goes_and_once_more_when_it_goes_on(
    made: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "LOOK_SECONDS", 0.05)
    monkeypatch.delenv(mlflow.VARIABLE, raising=False)
    with exporting(made.folder):
        some_rounds(made, (1, 2))
    with exporting(made.folder):
        some_rounds(made, (3, 4))
    read = as_tensorboard_reads(made.folder.path)
    assert read == expected(points_of(made.folder.path))
    assert [step for step, _ in read["fold-0", "round_seconds"]] == [1, 2, 3, 4]


def test_an_export_that_fails_or_hangs_neither_ends_nor_holds_the_run(
    made: MadeRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(follower, "LAST_SECONDS", 0.3)
    some_rounds(made, (1,))

    def full() -> Any:
        raise OSError(28, "No space left on device")

    stop = threading.Event()
    stop.set()
    follow(made.folder.path, "TensorBoard", full, stop)
    assert "No space left" in caplog.text

    hangs = threading.Event()
    monkeypatch.setattr(follower, "TensorBoardFiles", lambda run: hangs.wait(30))
    began = time.monotonic()
    with exporting(made.folder):
        pass
    assert time.monotonic() - began < 5.0
    hangs.set()


@dataclass
class FakeClient:
    """Holds runs as an MLflow server does; remembers each value with its step."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    values: dict[str, dict[str, list[tuple[int, float]]]] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)

    def get_experiment_by_name(self, name: str) -> Any:
        return None if not self.runs else SimpleNamespace(experiment_id="1")

    def create_experiment(self, name: str) -> str:
        return "1"

    def search_runs(self, experiments: list[str], found: str) -> list[Any]:
        return [
            SimpleNamespace(info=SimpleNamespace(run_id=number))
            for number, one in self.runs.items()
            if found == f"tags.`{mlflow.TAG}` = '{one['tags'][mlflow.TAG]}'"
        ]

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> Any:
        number = f"r{len(self.runs)}"
        self.runs[number] = {"tags": tags}
        self.values[number] = {}
        return SimpleNamespace(info=SimpleNamespace(run_id=number))

    def update_run(self, number: str, status: str) -> None:
        self.status[number] = status

    def get_metric_history(self, number: str, name: str) -> list[Any]:
        own = self.values[number].get(name, [])
        return [SimpleNamespace(step=step, value=value) for step, value in own]

    def log_batch(self, number: str, metrics: list[Any]) -> None:
        assert len(metrics) <= 1000
        for one in metrics:
            self.values[number].setdefault(one.key, []).append((one.step, one.value))

    def set_terminated(self, number: str, status: str) -> None:
        self.status[number] = status


@pytest.fixture
def metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own class of a value, or one of the same form where it is not installed."""
    if mlflow.find_spec("mlflow") is None:
        import sys

        made = SimpleNamespace(
            Metric=lambda key, value, timestamp, step: SimpleNamespace(
                key=key, value=value, timestamp=timestamp, step=step
            )
        )
        monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(entities=made))
        monkeypatch.setitem(sys.modules, "mlflow.entities", made)


@pytest.mark.usefixtures("metric")
def test_mlflow_gets_each_value_once_over_two_starts(made: MadeRun) -> None:
    client = FakeClient()
    for numbers in ((1, 2), (3,)):
        some_rounds(made, numbers)
        sink = MlflowRun(client, made.folder.path, "made-up", made.folder.identity)
        for point in points_of(made.folder.path):
            sink.take(point)
            sink.flush()
        sink.close()
    assert len(client.runs) == 1
    found = expected(points_of(made.folder.path))
    assert client.values["r0"] == {f"{curve}/{name}": own for (curve, name), own in found.items()}
    assert client.status["r0"] == "KILLED"
    (made.folder.path / "results.json").write_text("{}")
    sink = MlflowRun(client, made.folder.path, "made-up", made.folder.identity)
    for point in points_of(made.folder.path):
        sink.take(point)
    sink.close()
    assert client.status["r0"] == "FINISHED"


@pytest.mark.skipif(mlflow.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_a_real_mlflow_gets_each_value_once(
    made: MadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv(mlflow.VARIABLE, (tmp_path / "mlruns").as_uri())
    assert mlflow.is_wanted()
    monkeypatch.setattr(follower, "LOOK_SECONDS", 0.05)
    for numbers in ((1, 2), (3,)):
        with exporting(made.folder):
            some_rounds(made, numbers)
    client = mlflow.mlflow_run(made.folder.path, "made-up", made.folder.identity).client
    experiment = client.get_experiment_by_name("made-up")
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "fold-0/validation_auc")
    assert [one.step for one in history] == [0, 1, 2]
