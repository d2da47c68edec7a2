"""What the network is fed with: a site's slices, moved once to where it is computed.

There they stay as ready tensors, and are chosen from, augmented and laid out as the convolutions
take them, batch by batch. So nothing is read, decoded or copied while a GPU trains: only the order
and the random maps, a few numbers a slice, come from the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.network.augment import augment, channels
from client.network.slices import Slices
from common.study_tables import Training


@dataclass(frozen=True)
class Loaded:
    """n slices on one device: images and masks (n, crop, crop), labels and weights (n,)."""

    images: Tensor
    masks: Tensor
    labels: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Batch:
    """The network's input (b, 3, crop, crop), channels last; its labels and weights (b,)."""

    inputs: Tensor
    labels: Tensor
    weights: Tensor


def load(slices: Slices, class_weights: NDArray[np.float64], device: torch.device) -> Loaded:
    """Move slices to a device, each with the weight that its class has, (2,)."""
    classes = torch.from_numpy(slices.labels)
    return Loaded(
        torch.from_numpy(slices.images).to(device),
        torch.from_numpy(slices.masks).to(device),
        classes.float().to(device),
        torch.tensor(class_weights, dtype=torch.float32)[classes].to(device),
    )


def batches(loaded: Loaded, training: Training, generator: torch.Generator) -> Iterator[Batch]:
    """Give each slice once, in random order, augmented as the study says.

    `generator` is on the CPU and the source of order and augmentation: they are the same whatever
    the device.
    """
    order = torch.randperm(len(loaded.labels), generator=generator).to(loaded.images.device)
    for chosen in torch.split(order, training.batch_size):
        images, masks = loaded.images[chosen], loaded.masks[chosen]
        if training.augmentation == "none":
            inputs = channels(images, masks)
        else:
            intensity = training.augmentation == "geometry+intensity"
            inputs = augment(images, masks, generator, intensity=intensity)
        yield Batch(
            inputs.contiguous(memory_format=torch.channels_last),
            loaded.labels[chosen],
            loaded.weights[chosen],
        )
