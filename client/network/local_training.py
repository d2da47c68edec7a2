"""Local epochs of the CNN at one site: a pure function of weights, slices and seed.

One torch thread, a generator of its own and a fresh optimiser every round make the result the same
whatever process runs it, and leave nothing at the site to remember between rounds.

Tensors have their channels last: so PyTorch pools ten times as fast on a CPU, and a GPU's matrix
units take them as they are. Compiling the network is no part of it: it takes a C++ compiler, which
few hospitals have beside Python, and two minutes, and gains nothing over these convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from client.network.batches import batches, load
from client.network.device import mixed_precision, own_device, settle
from client.network.proximal import add_pull, copies
from client.network.slices import Slices
from common.cnn import build, flatten
from common.study_tables import Cnn, Training


@dataclass(frozen=True)
class LocalResult:
    """Weights after the local epochs, and the mean training loss over them."""

    weights: NDArray[np.float32]
    loss: float


def train_locally(
    weights: NDArray[np.float32],
    slices: Slices,
    cnn: Cnn,
    training: Training,
    epochs: int,
    class_weights: NDArray[np.float64],
    proximal_mu: float,
    seed: int,
    device: torch.device | None = None,
) -> LocalResult:
    """Run Adam on class-weighted binary cross-entropy for `epochs` epochs.

    With `proximal_mu` above 0 the loss gains mu/2 |w - w_received|^2 (FedProx, Li et al., MLSys
    2020).

    Parameters
    ----------
    class_weights : (2,)
        Of the negative and the positive class.
    device
        Where to compute; the site's own where none is given. All slices are moved there once.
    """
    device = device or own_device()
    settle(device)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build(weights, cnn.width, cnn.dropout, slices.images.shape[-1])
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    parameters = list(network.parameters())
    received = copies(parameters) if proximal_mu > 0.0 else []
    optimizer = torch.optim.Adam(parameters, lr=training.learning_rate, fused=True)
    loaded = load(slices, class_weights, device)
    # Added up where it is computed: to read the loss at each step would make a GPU wait.
    total = torch.zeros((), dtype=torch.float64, device=device)
    precision = mixed_precision(device, training.precision)
    for _ in range(epochs):
        for batch in batches(loaded, training, generator):
            with precision:
                logits = network(batch.inputs)
            loss = functional.binary_cross_entropy_with_logits(
                logits.float(), batch.labels, weight=batch.weights
            )
            total += loss.detach().double() * len(batch.labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if proximal_mu > 0.0:
                add_pull(parameters, received, proximal_mu)
            optimizer.step()
    steps = max(1, epochs) * max(1, len(slices))
    return LocalResult(flatten(network), float(total) / steps)
