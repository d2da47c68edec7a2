"""What a network says of slices: deep features, scores and the loss on validation slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from client.network.augment import channels
from client.network.device import own_device, settle
from client.network.slices import Slices
from common.cnn import build
from common.study_tables import Cnn

_BATCH = 32


@dataclass(frozen=True)
class NetworkView:
    """Deep features (n, 256) float64 and logits (n,) float64 of n slices."""

    deep: NDArray[np.float64]
    logits: NDArray[np.float64]


def look(
    weights: NDArray[np.float32], slices: Slices, cnn: Cnn, device: torch.device | None = None
) -> NetworkView:
    """Run the network over slices without training it (no dropout, no augmentation).

    In float32 whatever the study's precision: a release scores alike on every kind of processor.

    Parameters
    ----------
    device
        Where to compute; the site's own where none is given.
    """
    device = device or own_device()
    settle(device)
    network = build(weights, cnn.width, cnn.dropout, slices.images.shape[-1])
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    deep, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(slices), _BATCH):
            part = slice(start, start + _BATCH)
            batch = channels(
                torch.from_numpy(slices.images[part]).to(device),
                torch.from_numpy(slices.masks[part]).to(device),
            )
            features = network.deep(batch.contiguous(memory_format=torch.channels_last))
            deep.append(features.double().cpu().numpy())
            logits.append(network.head(features).squeeze(1).double().cpu().numpy())
    if not deep:
        return NetworkView(np.zeros((0, 256)), np.zeros(0))
    return NetworkView(np.concatenate(deep), np.concatenate(logits))
