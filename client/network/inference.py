"""What a network says of slices: deep features, scores and the loss on validation slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from client.network.augment import channels
from client.network.slices import Slices
from common.cnn import build
from common.study_tables import Cnn

_BATCH = 32


@dataclass(frozen=True)
class NetworkView:
    """Deep features (n, 256) float64 and logits (n,) float64 of n slices."""

    deep: NDArray[np.float64]
    logits: NDArray[np.float64]


def look(weights: NDArray[np.float32], slices: Slices, cnn: Cnn) -> NetworkView:
    """Run the network over slices without training it (no dropout, no augmentation)."""
    torch.set_num_threads(1)
    network = build(weights, cnn.width, cnn.dropout, slices.images.shape[-1])
    network.eval()
    deep, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(slices), _BATCH):
            part = slice(start, start + _BATCH)
            batch = channels(
                torch.from_numpy(slices.images[part]), torch.from_numpy(slices.masks[part])
            )
            features = network.deep(batch)
            deep.append(features.double().numpy())
            logits.append(network.head(features).squeeze(1).double().numpy())
    if not deep:
        return NetworkView(np.zeros((0, 256)), np.zeros(0))
    return NetworkView(np.concatenate(deep), np.concatenate(logits))
