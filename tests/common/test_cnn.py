"""The network: its size, its weights as one vector, and how they begin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from common.cnn import ScarNet, build, flatten, initial_weights
from common.feature_names import DEEP_FEATURES


def count(width: float) -> int:
    """Weights of the seven blocks and the three dense layers, by hand."""
    total, channels = 0, 3
    for filters in (64, 128, 128, 256, 256, 512, 512):
        wide = round(filters * width)
        total += (25 * channels + 1) * wide
        channels = wide
    return total + (channels + 1) * 1024 + 1025 * 256 + 257


@pytest.mark.parametrize(("width", "weights"), [(1.0, 13_697_025), (0.25, 1_202_817)])
def test_the_number_of_weights(width: float, weights: int) -> None:
    with torch.device("meta"):
        network = ScarNet(width, 0.5)
    assert sum(value.numel() for value in network.state_dict().values()) == weights
    assert count(width) == weights


def test_weights_go_through_a_vector_unchanged() -> None:
    vector = initial_weights(0.05, 0.5, 128, seed=1)
    assert vector.dtype == np.float32
    assert flatten(build(vector, 0.05, 0.5)).tobytes() == vector.tobytes()
    marked = np.arange(vector.size, dtype=np.float32)
    network = build(marked, 0.05, 0.5)
    assert flatten(network).tobytes() == marked.tobytes()
    assert network.head[1].bias.item() == vector.size - 1
    assert network.convolutions[0].weight.flatten()[:3].tolist() == [0, 1, 2]
    with torch.no_grad():
        network.head[1].bias.fill_(-5.0)
    assert marked[-1] == vector.size - 1
    for wrong in (vector[:-1], np.append(vector, np.float32(0)), vector[None]):
        with pytest.raises(ValueError, match=f"{vector.size} weights"):
            build(wrong, 0.05, 0.5)


def test_blocks_come_to_the_bit_to_what_they_would_rectified_before_they_are_pooled() -> None:
    weights = initial_weights(0.05, 0.0, 128, seed=3)
    images = torch.rand(6, 3, 128, 128, generator=torch.Generator().manual_seed(1)) - 0.3
    network, textbook = build(weights, 0.05, 0.0), build(weights, 0.05, 0.0)
    convolutions = [layer for layer in textbook.convolutions if isinstance(layer, nn.Conv2d)]
    blocks = [nn.Sequential(one, nn.ReLU(), nn.MaxPool2d(2)) for one in convolutions]
    textbook.convolutions = nn.Sequential(*blocks, nn.Flatten())
    scores = []
    for one in (network, textbook):
        scores.append(one(images))
        scores[-1].square().sum().backward()
    assert torch.equal(*scores)
    for mine, other in zip(network.parameters(), textbook.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)
        assert mine.grad.abs().max() > 0


def test_initial_weights_are_seeded_and_leave_other_randomness_alone() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first = initial_weights(0.05, 0.5, 128, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    assert initial_weights(0.05, 0.5, 128, seed=1).tobytes() == first.tobytes()
    assert np.mean(initial_weights(0.05, 0.5, 128, seed=2) != first) > 0.9


def test_initial_features_neither_vanish_nor_explode() -> None:
    network = build(initial_weights(0.25, 0.5, 128, seed=4), 0.25, 0.5).eval()
    images = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        deep = network.deep(images)
        logits = network(images)
    assert deep.shape == (4, DEEP_FEATURES)
    assert logits.shape == (4,)
    assert 0.05 < float(deep.std() / images.std()) < 50.0
