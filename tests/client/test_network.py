"""Augmentation, local training and what a network says of slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from site_samples import rings

from client.network.augment import augment, channels
from client.network.inference import look
from client.network.local_training import LocalResult, Slices, train_locally
from client.scoring import weighted_loss
from common.cnn import build, initial_weights
from common.study_tables import Cnn, Training

CNN = Cnn(width=0.05, dropout=0.2)
ONES = np.ones(2)


@pytest.fixture(scope="module")
def slices() -> Slices:
    labels = np.arange(16) % 2
    images, masks = rings(np.random.default_rng(5), labels)
    return Slices(images, masks, labels)


@pytest.fixture(scope="module")
def start() -> np.ndarray:
    return initial_weights(CNN.width, CNN.dropout, 128, seed=7)


def moved(slices: Slices, seed: int, intensity: bool = True) -> torch.Tensor:
    return augment(
        torch.from_numpy(slices.images),
        torch.from_numpy(slices.masks),
        torch.Generator().manual_seed(seed),
        intensity=intensity,
    )


@pytest.mark.parametrize("intensity", [True, False])
def test_augmented_channels_are_image_mask_and_their_product(
    slices: Slices, intensity: bool
) -> None:
    batch = moved(slices, 1, intensity)
    assert batch.shape == (16, 3, 128, 128)
    assert set(batch[:, 1].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(batch[:, 2], batch[:, 0] * batch[:, 1])
    assert float(batch[:, 0].min()) >= 0.0
    assert float(batch[:, 0].max()) <= 1.0 + 1e-6
    areas = batch[:, 1].sum(dim=(1, 2)) / torch.from_numpy(slices.masks).sum(dim=(1, 2))
    # Zoom to 20 % either way changes the area by its square; shear and rotation keep it.
    assert float(areas.min()) > 0.8**2 * 0.9
    assert float(areas.max()) < 1.2**2 * 1.1
    assert float(areas.std()) > 0.05


def test_the_mask_moves_with_the_image(slices: Slices) -> None:
    """An image that is its own mask stays its own mask, but for the edge's half pixels."""
    masks = torch.from_numpy(slices.masks)
    batch = augment(masks, masks, torch.Generator().manual_seed(2), intensity=False)
    assert float((batch[:, 0] - batch[:, 1]).abs().mean()) < 0.02
    assert torch.equal((batch[:, 0] > 0.5).float(), batch[:, 1])


def test_augmentation_is_seeded(slices: Slices) -> None:
    before = torch.random.get_rng_state()
    assert torch.equal(moved(slices, 3), moved(slices, 3))
    assert not torch.equal(moved(slices, 3), moved(slices, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    plain = channels(torch.from_numpy(slices.images), torch.from_numpy(slices.masks))
    assert torch.equal(plain[:, 2], plain[:, 0] * plain[:, 1])


def train(
    slices: Slices,
    start: np.ndarray,
    seed: int = 1,
    epochs: int = 1,
    mu: float = 0.0,
    weights: np.ndarray = ONES,
    **training: object,
) -> LocalResult:
    options = Training.model_validate(training)
    return train_locally(start, slices, CNN, options, epochs, weights, mu, seed)


def test_same_seed_same_weights_whatever_went_before(slices: Slices, start: np.ndarray) -> None:
    received = start.tobytes()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(99)
        first = train(slices, start)
        torch.set_num_threads(1)
        torch.manual_seed(3)
        second = train(slices, start)
    finally:
        torch.set_num_threads(threads)
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.loss == second.loss
    assert start.tobytes() == received
    assert train(slices, start, seed=2).weights.tobytes() != first.weights.tobytes()


def test_fedprox_pulls_towards_the_received_weights(slices: Slices, start: np.ndarray) -> None:
    far = [
        float(np.linalg.norm(train(slices, start, epochs=2, mu=mu).weights - start))
        for mu in (0.0, 1.0, 100.0)
    ]
    assert far[0] > far[1] > far[2] > 0.0


def test_loss_falls_on_an_easy_task(slices: Slices, start: np.ndarray) -> None:
    cnn, options = Cnn(width=0.05, dropout=0.0), Training(augmentation="none")
    losses, weights = [], start
    for number in range(3):
        result = train_locally(weights, slices, cnn, options, 4, ONES, 0.0, number)
        weights = result.weights
        losses.append(result.loss)
    assert losses[-1] < 0.5 * losses[0]
    seen = look(weights, slices, cnn).logits
    assert np.median(seen[slices.labels == 1]) > np.median(seen[slices.labels == 0])


def test_the_first_step_is_adam_on_the_weighted_loss(slices: Slices, start: np.ndarray) -> None:
    """One batch, no dropout: against autograd and Adam's first step written out."""
    cnn, balance = Cnn(width=0.05, dropout=0.0), np.array([0.5, 2.0])
    part = Slices(slices.images[:6], slices.masks[:6], slices.labels[:6])
    options = Training(batch_size=8, augmentation="none", learning_rate=1e-3)
    found = train_locally(start, part, cnn, options, 1, balance, 0.0, 4)
    network = build(start, cnn.width, 0.0)
    logits = network(channels(torch.from_numpy(part.images), torch.from_numpy(part.masks)))
    sign = torch.from_numpy(2.0 * part.labels - 1.0)
    weighted = torch.from_numpy(balance[part.labels]) * torch.nn.functional.softplus(-sign * logits)
    loss = weighted.mean()
    loss.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in network.parameters()]).numpy()
    expected = -1e-3 * gradient / (np.abs(gradient) + 1e-8)
    certain = np.abs(gradient) > 1e-4
    assert certain.mean() > 0.05
    np.testing.assert_allclose((found.weights - start)[certain], expected[certain], rtol=2e-3)
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)


def test_looking_changes_nothing_and_does_not_depend_on_the_batch(
    slices: Slices, start: np.ndarray
) -> None:
    many = np.resize(np.arange(16), 37)
    all_at_once = look(start, Slices(slices.images[many], slices.masks[many], many % 2), CNN)
    few = look(start, slices, CNN)
    assert all_at_once.deep.shape == (37, 256)
    np.testing.assert_allclose(all_at_once.logits, few.logits[many], rtol=1e-5, atol=1e-6)
    assert look(start, slices, CNN).logits.tobytes() == few.logits.tobytes()
    none = Slices(slices.images[:0], slices.masks[:0], slices.labels[:0])
    assert look(start, none, CNN).deep.shape == (0, 256)


def test_weighted_loss_is_the_sum_of_log_losses() -> None:
    logits, labels = np.array([0.3, -2.0, 900.0]), np.array([1, 0, 0])
    weights = np.array([0.5, 3.0])
    p = 1 / (1 + np.exp(-logits[:2]))
    expected = -3.0 * np.log(p[0]) - 0.5 * np.log(1 - p[1]) + 0.5 * 900.0
    assert weighted_loss(logits, labels, weights) == pytest.approx([expected, 4.0])
    assert weighted_loss(logits[:0], labels[:0], weights).tolist() == [0.0, 0.0]
