"""Local epochs of the CNN at one site: a pure function of weights, slices and seed.

One torch thread, a generator of its own and a fresh optimiser every round make the result the same
whatever process runs it, and leave nothing at the site to remember between rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from client.network.augment import augment, channels
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
) -> LocalResult:
    """Run Adam on class-weighted binary cross-entropy for `epochs` epochs.

    With `proximal_mu` above 0 the loss gains mu/2 |w - w_received|^2 (FedProx, Li et al., MLSys
    2020).
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build(weights, cnn.width, cnn.dropout, slices.images.shape[-1])
    network.train()
    received = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    images, masks = torch.from_numpy(slices.images), torch.from_numpy(slices.masks)
    labels = torch.from_numpy(slices.labels)
    balance = torch.tensor(class_weights, dtype=torch.float32)[labels]
    total = 0.0
    for _ in range(epochs):
        order = torch.randperm(len(slices), generator=generator)
        for chosen in torch.split(order, training.batch_size):
            picture, mask = images[chosen], masks[chosen]
            if training.augmentation == "none":
                batch = channels(picture, mask)
            else:
                intensity = training.augmentation == "geometry+intensity"
                batch = augment(picture, mask, generator, intensity=intensity)
            optimizer.zero_grad(set_to_none=True)
            loss = functional.binary_cross_entropy_with_logits(
                network(batch), labels[chosen].float(), weight=balance[chosen]
            )
            total += float(loss.detach()) * len(chosen)
            if proximal_mu > 0.0:
                loss = loss + proximal_mu / 2.0 * _distance(network.parameters(), received)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    steps = max(1, epochs) * max(1, len(slices))
    return LocalResult(flatten(network), total / steps)


def _distance(parameters: object, received: list[Tensor]) -> Tensor:
    pairs = zip(parameters, received, strict=True)  # type: ignore[call-overload]
    squares = [(now - before).square().sum() for now, before in pairs]
    return torch.stack(squares).sum()
