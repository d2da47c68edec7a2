"""Where the network is computed and how precisely, and that the fast loop is the plain one."""

from __future__ import annotations

import runpy
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from site_samples import rings

from client.network import device as devices
from client.network.device import has_bfloat16, mixed_precision, own_device, settle, to_device
from client.network.inference import look
from client.network.local_training import LocalResult, train_locally
from client.network.slices import Slices
from client.stages.train import say_once
from common.cnn import initial_weights
from common.study_tables import Cnn, Precision, Training

CNN = Cnn(width=0.05, dropout=0.2)
CPU = torch.device("cpu")
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "straightforward.py"


@pytest.fixture(scope="module")
def slices() -> Slices:
    labels = np.arange(16) % 2
    images, masks = rings(np.random.default_rng(5), labels)
    return Slices(images, masks, labels)


@pytest.fixture(scope="module")
def start() -> np.ndarray:
    return initial_weights(CNN.width, CNN.dropout, 128, seed=7)


def train(
    slices: Slices, start: np.ndarray, precision: str, device: torch.device | None = None
) -> LocalResult:
    options = Training.model_validate({"precision": precision})
    return train_locally(start, slices, CNN, options, 2, np.ones(2), 0.0, 3, device)


@pytest.mark.parametrize("augmentation", ["geometry+intensity", "geometry", "none"])
def test_the_fast_loop_takes_the_same_steps_as_the_plain_one(
    slices: Slices, start: np.ndarray, augmentation: str
) -> None:
    """The same order, augmentation and dropout; other rounding, which Adam enlarges."""
    straightforward = runpy.run_path(str(BENCHMARK))["straightforward"]
    options = Training.model_validate({"augmentation": augmentation})

    fast = train_locally(start, slices, CNN, options, 2, np.ones(2), 0.0, 3)
    plain = straightforward(start, slices, CNN, options, 2, 3)

    assert fast.loss == pytest.approx(plain.loss, rel=1e-4)
    moved = np.linalg.norm(plain.weights - start)
    assert np.linalg.norm(fast.weights - plain.weights) < 0.05 * moved


def test_training_computes_on_the_sites_own_device_unless_told(
    slices: Slices, start: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = train(slices, start, "float32", CPU)
    looked = look(start, slices, CNN, CPU)
    assert train(slices, start, "float32").weights.tobytes() == told.weights.tobytes()
    assert look(start, slices, CNN).deep.tobytes() == looked.deep.tobytes()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert own_device() == torch.device("cuda")
    if torch.version.cuda is None:
        for computed in (
            lambda: train(slices, start, "float32"),
            lambda: look(start, slices, CNN),
        ):
            with pytest.raises((AssertionError, RuntimeError)):
                computed()
    assert train(slices, start, "float32", CPU).weights.tobytes() == told.weights.tobytes()


def test_mixed_precision_is_seeded_and_near_float32(slices: Slices, start: np.ndarray) -> None:
    if not has_bfloat16(CPU):
        pytest.skip("this processor has no bfloat16")

    long, short = (train(slices, start, name) for name in ("float32", "bfloat16"))

    assert train(slices, start, "bfloat16").weights.tobytes() == short.weights.tobytes()
    assert short.weights.tobytes() != long.weights.tobytes()
    assert short.weights.dtype == np.float32
    assert short.loss == pytest.approx(long.loss, rel=0.02)
    # Steps of Adam are far finer than bfloat16: the weights have kept them.
    rounded = torch.from_numpy(short.weights).bfloat16().float().numpy()
    assert np.mean(rounded != short.weights) > 0.9


def test_a_processor_without_bfloat16_trains_in_float32(
    slices: Slices, start: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)

    short = train(slices, start, "bfloat16")

    assert short.weights.tobytes() == train(slices, start, "float32").weights.tobytes()


def test_a_processors_bfloat16_is_read_from_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, expected in (
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda said=said: said, raising=False)
        assert has_bfloat16(CPU) is expected
        assert mixed_precision(CPU, "bfloat16")._enabled is expected
        assert not mixed_precision(CPU, "float32")._enabled
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert has_bfloat16(CPU) is False


def test_a_gpu_adds_up_in_one_order_and_does_not_round_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    try:
        cudnn.deterministic, cudnn.benchmark = False, True
        settle(CPU)
        assert (cudnn.deterministic, cudnn.benchmark) == (False, True)
        settle(torch.device("cuda"))
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


def test_what_was_drawn_goes_to_a_gpu_without_waiting_for_it() -> None:
    drawn = Mock()
    sent = to_device(drawn, torch.device("cuda"))
    assert sent is drawn.pin_memory.return_value.to.return_value
    drawn.pin_memory.return_value.to.assert_called_once_with(
        torch.device("cuda"), non_blocking=True
    )
    here = torch.ones(3)
    assert to_device(here, CPU) is here


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("augmentation", ["geometry+intensity", "none"])
def test_a_gpu_trains_as_the_processor_does_and_the_same_each_time(
    slices: Slices, start: np.ndarray, augmentation: str
) -> None:
    options = Training.model_validate({"augmentation": augmentation})
    undisturbed = Cnn(width=CNN.width, dropout=0.0)  # A GPU draws its dropout by itself.
    here, there, again = (
        train_locally(start, slices, undisturbed, options, 2, np.ones(2), 0.0, 3, device)
        for device in (CPU, torch.device("cuda"), torch.device("cuda"))
    )
    assert there.weights.tobytes() == again.weights.tobytes()
    assert there.loss == pytest.approx(here.loss, rel=1e-3)
    assert np.linalg.norm(there.weights - here.weights) < 0.05 * np.linalg.norm(
        here.weights - start
    )


@pytest.mark.parametrize(
    ("device", "precision", "has", "words"),
    [
        ("cpu", "float32", False, "the CPU in float32"),
        ("cpu", "bfloat16", True, "the CPU in bfloat16"),
        ("cpu", "bfloat16", False, "the CPU in float32: the study asks for bfloat16, which it"),
        ("cuda", "bfloat16", True, "the GPU H200 in bfloat16"),
    ],
)
def test_a_site_says_where_it_trains(
    monkeypatch: pytest.MonkeyPatch, device: str, precision: Precision, has: bool, words: str
) -> None:
    monkeypatch.setattr(devices, "has_bfloat16", lambda _: has)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H200")
    assert devices.in_words(torch.device(device), precision).startswith(words)


def test_it_says_so_once_a_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "myofed.site.tufts"):
        for run in ("run-1", "run-1", "run-2"):
            say_once("tufts", run, "the CPU in float32")
    assert caplog.messages == [
        f"{run}: training on the CPU in float32." for run in ("run-1", "run-2")
    ]
