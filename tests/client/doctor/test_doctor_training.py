"""Where a site would train: what the doctor says of processors, cards and drivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from client.doctor import training
from client.doctor.training import training_check
from client.network import device as devices
from common.check import Verdict
from common.study import Study


def study_in(precision: str) -> Study:
    sites = [{"name": name, "role": "train"} for name in ("tufts", "bergamo", "coimbra")]
    return Study.model_validate(
        {"name": precision, "sites": sites, "training": {"precision": precision}}
    )


STUDIES = {name: study_in(name) for name in ("float32", "bfloat16")}


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose cards are the files in this folder."""
    monkeypatch.setattr(training, "CARDS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


@pytest.fixture
def with_gpu(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if PyTorch had found a card; what it computes there is computed on the processor."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H200")
    monkeypatch.setattr(devices, "has_bfloat16", lambda _: True)


def test_without_a_card_it_trains_on_the_processor(cards: Path) -> None:
    (cards / "nvidiactl").touch()
    check = training_check({"one": STUDIES["float32"]})
    assert (check.verdict, check.found) == (Verdict.PASS, "Trains on the CPU in float32.")
    assert training_check({}) == check


def test_a_card_that_this_pytorch_cannot_use_is_told(
    cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cards / "nvidia0").touch()
    check = training_check(STUDIES)
    assert check.verdict is Verdict.WARN
    assert "There is a GPU (nvidia0)" in check.found
    assert "CUDA build of PyTorch" in check.fix

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert training_check(STUDIES).verdict is Verdict.PASS


@pytest.mark.usefixtures("with_gpu")
def test_on_a_gpu_a_step_of_each_precision_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from client.network import local_training

    tried: list[str] = []

    def on_the_processor(*given: Any, seed: int) -> Any:
        tried.append(given[3].precision)
        return real(*given, seed, torch.device("cpu"))

    real = local_training.train_locally
    monkeypatch.setattr(local_training, "train_locally", on_the_processor)
    check = training_check(STUDIES)
    assert check.verdict is Verdict.PASS
    assert check.found == "Trains on the GPU H200 in bfloat16; the GPU H200 in float32."
    assert tried == ["bfloat16", "float32"]


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA error: out of memory\nCompile with ..."), RuntimeError("")],
    ids=["its words", "no words"],
)
def test_a_gpu_that_does_not_work_fails_with_its_first_line(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("client.network.local_training.train_locally", broken)
    check = training_check({})
    assert check.verdict is Verdict.FAIL
    assert "A step on the GPU H200 in float32 does not work" in check.found
    assert "Compile with" not in check.found
    assert "CUDA_VISIBLE_DEVICES" in check.fix
