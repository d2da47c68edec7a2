"""The network: seven convolution blocks, two dense layers, one score a slice.

Seven blocks of [5x5 convolution, same padding, ReLU, 2x2 max pool] with 64, 128, 128, 256, 256,
512, 512 filters times a width factor, dense 1024, dropout, dense 256 (the deep features), dropout,
dense 1, as in Fahmy et al., J Cardiovasc Magn Reson 2022;24:40 and their published code, which has
no activation after the dense layers. Width 1 has 13.7 million weights. There is no batch
normalisation, on purpose: its statistics would differ from site to site.

A block pools before it rectifies: scores and gradients are the same to the last bit, and a quarter
of the values are left to rectify.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.feature_names import DEEP_FEATURES

FILTERS = (64, 128, 128, 256, 256, 512, 512)
CHANNELS = 3


class ScarNet(nn.Module):
    """Score of a short-axis slice from (image, mask, image times mask), (n, 3, crop, crop)."""

    def __init__(self, width: float, dropout: float, crop: int = 128) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = CHANNELS
        for filters in FILTERS:
            wide = max(1, round(filters * width))
            blocks += [nn.Conv2d(channels, wide, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()]
            channels = wide
        side = crop // 2 ** len(FILTERS)
        self.convolutions = nn.Sequential(*blocks, nn.Flatten())
        self.dense = nn.Sequential(
            nn.Linear(channels * side * side, 1024),
            nn.Dropout(dropout),
            nn.Linear(1024, DEEP_FEATURES),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(DEEP_FEATURES, 1))
        self.apply(_start)

    def deep(self, images: Tensor) -> Tensor:
        """Give the deep features (n, 256) of slices (n, 3, crop, crop)."""
        features: Tensor = self.dense(self.convolutions(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits (n,) of slices (n, 3, crop, crop)."""
        logits: Tensor = self.head(self.deep(images))
        return logits.squeeze(1)


def _start(layer: nn.Module) -> None:
    """Initial weights that keep the signal's variance through all blocks (He et al., ICCV 2015).

    With PyTorch's default the deep features begin at a thousandth of the input's spread, and the
    first ten rounds learn nothing.
    """
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    elif isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
    else:
        return
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initial_weights(width: float, dropout: float, crop: int, seed: int) -> NDArray[np.float32]:
    """Weights to start a study from, the same on every machine for one seed and torch version."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return flatten(ScarNet(width, dropout, crop))


def flatten(network: ScarNet) -> NDArray[np.float32]:
    """All weights as one float32 vector, in the order of `state_dict`."""
    parts = [value.detach().reshape(-1) for value in network.state_dict().values()]
    # Joined they are memory of their own already.
    return torch.cat(parts).cpu().numpy().astype(np.float32, copy=False)


def build(weights: NDArray[np.float32], width: float, dropout: float, crop: int = 128) -> ScarNet:
    """Make a network from a flat vector of its weights.

    Raises
    ------
    ValueError
        The vector has another length than the network.
    """
    network = ScarNet(width, dropout, crop)
    state = network.state_dict()
    expected = sum(value.numel() for value in state.values())
    if weights.shape != (expected,):
        raise ValueError(f"The network has {expected} weights, the vector {weights.shape}.")
    flat = torch.from_numpy(np.array(weights, dtype=np.float32, copy=True))
    start = 0
    for name, value in state.items():
        state[name] = flat[start : start + value.numel()].reshape(value.shape)
        start += value.numel()
    network.load_state_dict(state)
    return network
