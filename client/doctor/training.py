"""The training: where the network is computed, and does a step of it work there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from common.check import Check, failed, passed, warned
from common.study import Study
from common.study_tables import Cnn, Precision, Training

NAME = "training"
CARDS = Path("/dev")
"""Where NVIDIA's driver lists its cards, as nvidia0 and so on."""
KEPT_AWAY = "CUDA_VISIBLE_DEVICES"

_ONLY_CPU = (
    "To train on it, install the CUDA build of PyTorch that the driver can run; see 'A GPU' in "
    f'docs/site.md. To keep to the processor, set {KEPT_AWAY}="".'
)
_BROKEN = (
    f'Update the driver or PyTorch, or end what fills the GPU. {KEPT_AWAY}="" in the '
    "environment of the worker trains on the processor instead."
)


def training_check(studies: Mapping[str, Study]) -> Check:
    """Say on what each approved study would train; on a GPU, train a step by each."""
    from client.network.device import in_words, own_device

    device = own_device()
    precisions: list[Precision] = sorted({one.training.precision for one in studies.values()})
    precisions = precisions or [Training().precision]
    shown = "; ".join(in_words(device, precision) for precision in precisions)
    if device.type == "cpu":
        cards = sorted(card.name for card in CARDS.glob("nvidia[0-9]*"))
        if cards and os.environ.get(KEPT_AWAY) != "":
            found = f"There is a GPU ({', '.join(cards)}), and this PyTorch cannot use it"
            return warned(NAME, f"{found}: trains on {shown}.", _ONLY_CPU)
        return passed(NAME, f"Trains on {shown}.")
    try:
        for precision in precisions:
            _one_step(precision)
    except RuntimeError as error:  # PyTorch's for a driver too old, a card that is full or broken
        why = str(error).strip().partition("\n")[0] or "PyTorch does not say why."
        return failed(NAME, f"A step on {shown} does not work: {why}", _BROKEN)
    return passed(NAME, f"Trains on {shown}.")


def _one_step(precision: Precision) -> None:
    import numpy as np

    from client.network.local_training import train_locally
    from client.network.slices import Slices
    from common.cnn import initial_weights

    cnn, crop = Cnn(width=0.1), 128
    blank = np.zeros((2, crop, crop), dtype=np.float32)
    slices = Slices(blank, blank, np.array([0, 1]))
    weights = initial_weights(cnn.width, cnn.dropout, crop, seed=1)
    training = Training(precision=precision)
    done = train_locally(weights, slices, cnn, training, 1, np.ones(2), 0.0, seed=1)
    if not np.isfinite(done.loss):
        raise RuntimeError("the loss is not a number")
