"""The training loop that anybody would write first: what a site's own loop is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from client.network.augment import augment, channels
from client.network.local_training import LocalResult
from client.network.slices import Slices
from common.cnn import build, flatten
from common.study_tables import Cnn, Training


def straightforward(
    weights: np.ndarray, slices: Slices, cnn: Cnn, training: Training, epochs: int, seed: int
) -> LocalResult:
    """The loop and the network of release 0.1.0 before they were made faster, but for FedProx."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build(weights, cnn.width, cnn.dropout, slices.images.shape[-1])
    convolutions = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
    blocks = [nn.Sequential(one, nn.ReLU(), nn.MaxPool2d(2)) for one in convolutions]
    network.convolutions = nn.Sequential(*blocks, nn.Flatten())
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    images, masks = torch.from_numpy(slices.images), torch.from_numpy(slices.masks)
    labels = torch.from_numpy(slices.labels)
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
                network(batch), labels[chosen].float()
            )
            total += float(loss.detach()) * len(chosen)
            loss.backward()
            optimizer.step()
    return LocalResult(flatten(network), total / (max(1, epochs) * max(1, len(slices))))
