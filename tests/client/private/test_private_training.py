"""Private training against plain loops, Opacus's gradients by slice, and its own promises."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from opacus import GradSampleModule
from opacus.validators import ModuleValidator
from private_samples import (
    CNN,
    SECRET,
    clipped,
    gradients_by_hand,
    only,
    patients,
    question,
)
from scipy.stats import kstest
from torch.nn import functional

from client.network.augment import channels
from client.network.slices import Slices
from client.private.question import PrivateTrainingError
from client.private.training import train_privately
from common.cnn import ScarNet, build
from common.privacy.secret_noise import SecretTooShort
from common.study_tables import Cnn

OTHER = bytes(32)


def close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=tolerance)


def moved(asked: Any, secret: bytes = SECRET) -> np.ndarray:
    """What was added to the weights, in units of the learning rate and the expected patients."""
    change = train_privately(asked, secret).weights.astype(np.float64) - asked.weights
    return -change / asked.how.learning_rate * asked.how.expected_patients


@pytest.mark.parametrize("clip", [0.05, 0.5, 1e6])
def test_a_step_without_noise_is_the_plain_loop(clip: float) -> None:
    asked = question(clip=clip)
    by_hand = clipped(gradients_by_hand(asked), clip).sum(axis=0)
    close(moved(asked), by_hand, 1e-6)


def test_steps_of_adam_are_those_of_torch() -> None:
    asked = question(clip=0.2, optimizer="adam", steps=3, learning_rate=1e-3, expected_patients=6.0)
    network = build(asked.weights, CNN.width, CNN.dropout)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(3):
        flat = torch.cat([p.detach().reshape(-1) for p in network.parameters()]).numpy()
        by_hand = clipped(gradients_by_hand(replace(asked, weights=flat)), 0.2).sum(axis=0) / 6.0
        start = 0
        for p in network.parameters():
            p.grad = torch.from_numpy(by_hand[start : start + p.numel()]).float().reshape(p.shape)
            start += p.numel()
        optimizer.step()
    flat = torch.cat([p.detach().reshape(-1) for p in network.parameters()]).numpy()
    away = np.abs(train_privately(asked, SECRET).weights - flat)
    # Adam divides by the gradient's own size, so a few that are all rounding go either way.
    assert float(np.mean(away > 1e-6)) < 1e-4
    assert float(away.max()) < 1e-4


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_gradients_by_slice_from_opacus_give_the_same() -> None:
    """Opacus's per-sample gradients, summed by patient before they are clipped."""
    asked = question(clip=0.3)
    network = build(asked.weights, CNN.width, CNN.dropout)
    assert ModuleValidator.validate(network, strict=False) == []
    wrapped = GradSampleModule(network, loss_reduction="sum")
    labels = torch.from_numpy(asked.slices.labels)
    batch = channels(torch.from_numpy(asked.slices.images), torch.from_numpy(asked.slices.masks))
    _, place, counts = np.unique(asked.patient, return_inverse=True, return_counts=True)
    share = torch.from_numpy(asked.class_weights)[labels] / torch.from_numpy(counts[place])
    losses = functional.binary_cross_entropy_with_logits(
        wrapped(batch), labels.float(), reduction="none"
    )
    (losses * share).sum().backward()
    owner = torch.from_numpy(place)
    by_patient = torch.cat(
        [
            torch.zeros(counts.size, p[0].numel() if p.dim() == 0 else p.numel()).index_add(
                0, owner, p.grad_sample.reshape(owner.numel(), -1)
            )
            for p in network.parameters()
        ],
        dim=1,
    )
    expected = clipped(by_patient.double().numpy(), 0.3).sum(axis=0)
    close(moved(asked), expected, 1e-6)


@pytest.mark.parametrize("gone", range(6))
def test_a_patient_moves_the_sum_by_at_most_the_clip(gone: int) -> None:
    """With augmentation and dropout on: the random numbers of the others stay as they are."""
    settings: dict[str, Any] = {
        "clip": 0.05,
        "augmentation": "geometry+intensity",
        "views": 2,
        "cnn": Cnn(width=0.02, dropout=0.5),
    }
    asked = question(**settings)
    number = np.unique(asked.patient)[gone]
    less = only(asked, asked.patient != number)
    assert np.linalg.norm(moved(asked) - moved(less)) <= 0.05 + 1e-5
    alone = only(asked, asked.patient == number)
    assert np.linalg.norm(moved(alone)) == pytest.approx(0.05, abs=1e-5)


def test_noise_has_the_stated_variance_and_is_normal() -> None:
    quiet, loud = question(clip=0.4), question(clip=0.4, noise_multiplier=3.0)
    noise = moved(loud) - moved(quiet)
    assert kstest(noise / (3.0 * 0.4), "norm").pvalue > 1e-3
    assert float(noise.std()) == pytest.approx(1.2, rel=5.0 / np.sqrt(2.0 * noise.size))


def test_the_same_arguments_give_the_same_answer() -> None:
    before = torch.random.get_rng_state()
    asked = question(
        noise_multiplier=1.0,
        sampling_rate=0.5,
        steps=3,
        augmentation="geometry",
        cnn=Cnn(width=0.02, dropout=0.5),
    )
    first, second = train_privately(asked, SECRET), train_privately(asked, SECRET)
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.drawn, second.drawn)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_secret_gives_other_noise() -> None:
    asked, quiet = question(noise_multiplier=1.0), question()
    assert asked.name(SECRET) != asked.name(OTHER)
    mine, theirs = moved(asked) - moved(quiet), moved(asked, OTHER) - moved(quiet)
    assert abs(float(np.corrcoef(mine, theirs)[0, 1])) < 5.0 / np.sqrt(mine.size)


def other_questions() -> dict[str, dict[str, Any]]:
    slices, patient = patients()
    images, labels = slices.images.copy(), slices.labels.copy()
    images[0, 0, 0] += 0.001
    labels[0] = 1 - labels[0]
    return {
        "place": {"place": "run/train/0/2"},
        "weights": {"weights": question().weights * np.float32(1.0001)},
        "image": {"slices": replace(slices, images=images)},
        "label": {"slices": replace(slices, labels=labels)},
        "owner": {"patient": np.where(patient == -3, 4, patient)},
        "class weights": {"class_weights": np.array([1.0, 1.6])},
        "pull": {"proximal_mu": 0.01},
        "clip": {"clip": 0.41},
        "rate": {"learning_rate": 0.1000001},
    }


@pytest.mark.parametrize("changed", other_questions())
def test_another_question_or_other_data_never_get_the_same_noise(changed: str) -> None:
    """Two answers with the same noise would tell what differs without any."""
    other = other_questions()[changed]
    base = question(noise_multiplier=20.0)
    asked = question(noise_multiplier=20.0, **other)
    assert base.name(SECRET) != asked.name(SECRET)
    assert abs(float(np.corrcoef(moved(base), moved(asked))[0, 1])) < 5.0 / np.sqrt(
        base.weights.size
    )


def test_patients_are_drawn_whole_and_independently() -> None:
    asked = question(sampling_rate=0.5)
    whole = clipped(gradients_by_hand(asked), asked.how.clip)
    choices = np.array(list(product([0.0, 1.0], repeat=6)))
    seen = set()
    for number in range(12):
        one = replace(asked, place=str(number))
        away = np.linalg.norm(choices @ whole - moved(one), axis=1)
        assert away.min() < 1e-5
        assert np.sort(away)[1] > 1e-3
        taken = choices[away.argmin()]
        assert train_privately(one, SECRET).drawn.tolist() == [int(taken.sum())]
        seen.add(tuple(taken))
    assert len(seen) > 5


def test_as_many_patients_are_drawn_as_the_rate_says() -> None:
    drawn = train_privately(question(sampling_rate=0.3, steps=150), SECRET).drawn
    assert drawn.min() == 0
    assert float(drawn.mean()) == pytest.approx(1.8, abs=5.0 * np.sqrt(6 * 0.21 / 150))
    assert float(drawn.var()) == pytest.approx(6 * 0.21, rel=0.6)


def test_a_step_without_patients_is_noise_alone() -> None:
    asked = question(sampling_rate=1e-12, noise_multiplier=2.0, clip=0.5)
    result = train_privately(asked, SECRET)
    assert result.drawn.tolist() == [0]
    assert float(moved(asked).std()) == pytest.approx(1.0, rel=0.02)
    quiet = question(sampling_rate=1e-12, steps=2)
    assert np.array_equal(train_privately(quiet, SECRET).weights, quiet.weights)
    nobody = only(question(noise_multiplier=2.0), np.zeros(13, dtype=np.bool_))
    assert float(moved(nobody).std()) == pytest.approx(1.0, rel=0.02)


def test_the_divisor_is_not_the_number_drawn() -> None:
    one, two = question(expected_patients=6.0), question(expected_patients=60.0)
    first = train_privately(one, SECRET).weights - one.weights
    second = train_privately(two, SECRET).weights - two.weights
    close(first, 10.0 * second, 1e-6)


def test_a_gradient_that_is_not_a_number_counts_as_none() -> None:
    asked = question()
    images = asked.slices.images.copy()
    bad = asked.patient == asked.patient[0]
    images[np.flatnonzero(bad)[0], 3, 3] = np.nan
    spoilt = replace(asked, slices=replace(asked.slices, images=images))
    result = train_privately(spoilt, SECRET)
    assert result.unusable == 1
    without = train_privately(only(asked, ~bad), SECRET)
    close(result.weights, without.weights, 1e-7)
    assert result.loss == pytest.approx(without.loss)


def test_the_pull_of_fedprox_is_not_clipped() -> None:
    asked = question(proximal_mu=3.0, clip=0.05, steps=2, learning_rate=0.1)
    first = train_privately(replace(asked, how=replace(asked.how, steps=1)), SECRET).weights
    sums = [
        clipped(gradients_by_hand(replace(asked, weights=at)), 0.05).sum(axis=0)
        for at in (asked.weights, first)
    ]
    expected = asked.weights - 0.1 * (sums[0] + sums[1] + 3.0 * (first - asked.weights))
    close(train_privately(asked, SECRET).weights, expected, 1e-6)


@pytest.mark.parametrize(("trained", "first"), [("head", "head."), ("dense", "dense.")])
def test_layers_that_do_not_learn_stay(trained: str, first: str) -> None:
    asked = question(trained=trained, noise_multiplier=1.0)
    weights = train_privately(asked, SECRET).weights
    start = 0
    learns = False
    for name, value in ScarNet(CNN.width, CNN.dropout).state_dict().items():
        learns = learns or name.startswith(first)
        part = slice(start, start + value.numel())
        assert np.array_equal(weights[part], asked.weights[part]) != learns, name
        start += value.numel()


def test_it_learns() -> None:
    slices, patient = patients((2,) * 20, seed=9)
    asked = question(
        slices=slices,
        patient=patient,
        class_weights=np.ones(2),
        steps=20,
        clip=1.0,
        expected_patients=20.0,
        noise_multiplier=0.01,
        learning_rate=1e-3,
        optimizer="adam",
    )
    first = train_privately(replace(asked, how=replace(asked.how, steps=1)), SECRET)
    later = train_privately(asked, SECRET)
    after = train_privately(
        replace(asked, weights=later.weights, how=replace(asked.how, steps=1)), SECRET
    )
    assert after.loss < 0.6 * first.loss
    assert 0.0 <= later.clipped <= 1.0


def test_slices_without_a_patient_are_refused() -> None:
    slices, patient = patients()
    with pytest.raises(PrivateTrainingError, match="one patient"):
        train_privately(question(slices=slices, patient=patient[1:]), SECRET)


def test_weights_that_run_away_are_refused() -> None:
    with pytest.raises(PrivateTrainingError, match="finite"):
        train_privately(question(learning_rate=1e38, noise_multiplier=1e3, steps=2), SECRET)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(SecretTooShort):
        train_privately(question(), b"short")


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": -1}, {"sampling_rate": 0.0}, {"sampling_rate": 1.1}, {"expected_patients": 0.0},
        {"noise_multiplier": -1.0}, {"noise_multiplier": np.nan}, {"clip": 0.0},
        {"learning_rate": 0.0}, {"views": 0},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PrivateTrainingError, match="cannot be trained"):
        question(**wrong)


def test_no_step_changes_nothing() -> None:
    asked = question(steps=0)
    result = train_privately(asked, SECRET)
    assert np.array_equal(result.weights, asked.weights)
    assert isinstance(asked.slices, Slices)
    assert (result.clipped, result.loss, result.unusable) == (0.0, 0.0, 0)
