"""The run folder: never overwritten, gone on with, and nothing in it half-written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coordinator_samples import make_study

from common import files as files_module
from common.errors import RunError
from common.files import write_json
from server.run import RunFolder


def test_an_unfinished_run_is_gone_on_with_and_its_events_appended(tmp_path: Path) -> None:
    study = make_study()
    first = RunFolder.begin(tmp_path / "new" / "run", study)
    first.event(event="stage", stage="enrol", seconds=1.5)
    second = RunFolder.begin(tmp_path / "new" / "run", study)
    assert second.identity == first.identity
    second.event(event="stage", stage="train", seconds=2.0)
    assert [one["stage"] for one in second.events()] == ["enrol", "train"]
    assert all(one["time"].endswith("+00:00") for one in second.events())
    held = json.loads((second.path / "run.json").read_text())
    assert held["fingerprint"] == study.fingerprint


def test_a_finished_run_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    run = RunFolder.begin(tmp_path / "run", make_study())
    write_json(run.path / "results.json", {"auc": 0.5})
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match="already holds a finished run") as caught:
        RunFolder.begin(run.path, make_study())
    assert "--out" in caught.value.fix
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_another_study_and_anything_else_in_the_folder_are_refused(tmp_path: Path) -> None:
    RunFolder.begin(tmp_path / "run", make_study())
    with pytest.raises(RunError, match="another study"):
        RunFolder.begin(tmp_path / "run", make_study(seed=1))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    (tmp_path / "file").write_text("")
    for name in ("photos", "file"):
        with pytest.raises(RunError, match="is not a run"):
            RunFolder.begin(tmp_path / name, make_study())
    (tmp_path / "empty").mkdir()
    assert RunFolder.begin(tmp_path / "empty", make_study()).events() == []


def test_a_checkpoint_is_whole_or_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.begin(tmp_path / "run", make_study())
    assert run.kept("train-0") is None
    arrays = {"w": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "n": np.asarray(3)}
    run.keep("train-0", arrays)
    real = files_module.save_file

    def torn(content: dict[str, np.ndarray], path: Path) -> None:
        real(content, path)
        path.write_bytes(path.read_bytes()[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module, "save_file", torn)
    with pytest.raises(OSError, match="No space"):
        run.keep("train-0", {"w": np.zeros((2, 3))})
    kept = run.kept("train-0")
    assert kept is not None
    assert set(kept) == {"w", "n"}
    np.testing.assert_array_equal(kept["w"], arrays["w"])


def test_an_event_cut_off_by_a_crash_does_not_stop_the_run(tmp_path: Path) -> None:
    run = RunFolder.begin(tmp_path / "run", make_study())
    run.event(event="stage", stage="enrol", seconds=1.0)
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-01-01", "event": "as')
    run = RunFolder.begin(tmp_path / "run", make_study())
    run.event(event="stage", stage="train", seconds=1.0)
    run.event(event="stage", stage="fuse", seconds=1.0)
    assert [one["stage"] for one in run.events()] == ["enrol", "train", "fuse"]


def test_the_cohort_is_kept_whole(tmp_path: Path) -> None:
    run = RunFolder.begin(tmp_path / "run", make_study())
    assert run.cohort() == {}
    cohort = {"b": {"site": "b", "slices": 7}, "a": {"site": "a", "slices": 9}}
    run.keep_cohort(cohort)
    again = RunFolder.begin(tmp_path / "run", make_study())
    assert list(again.cohort().items()) == list(cohort.items())


def test_a_finished_run_keeps_neither_answers_nor_checkpoints(tmp_path: Path) -> None:
    run = RunFolder.begin(tmp_path / "run", make_study())
    run.keep("train-0", {"w": np.zeros(3)})
    (run.journal / "train.0.1").mkdir(parents=True)
    (run.journal / "train.0.1" / "a.answer").write_bytes(b"")
    run.keep_cohort({"a": {}})
    run.event(event="stage", stage="enrol", seconds=1.0)
    run.finish()
    assert sorted(path.name for path in run.path.iterdir()) == [
        "cohort.json",
        "events.jsonl",
        "run.json",
        "study.json",
    ]
    run.finish()
