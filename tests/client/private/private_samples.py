"""Small patients with bright or dark rings, and a plain loop to hold private training against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from client.network.augment import channels
from client.network.slices import Slices
from client.private.question import PrivateQuestion, PrivateSteps
from common.cnn import build, initial_weights
from common.study_tables import Cnn

SECRET = bytes(range(32))
SIDE = 128
CNN = Cnn(width=0.02, dropout=0.0)
PLAIN = PrivateSteps(
    steps=1,
    sampling_rate=1.0,
    expected_patients=1.0,
    noise_multiplier=0.0,
    clip=0.5,
    learning_rate=1.0,
    optimizer="sgd",
    augmentation="none",
)
COUNTS = (1, 3, 2, 1, 4, 2)
"""Slices of each patient."""


def patients(counts: tuple[int, ...] = COUNTS, seed: int = 4) -> tuple[Slices, NDArray[np.int64]]:
    """Patients of alternating label; their slices lie in no order."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(y - SIDE / 2, x - SIDE / 2)
    mask = ((away < 26) & (away >= 14)).astype(np.float32)
    labels = owner % 2
    bright = 0.2 + 0.6 * labels[:, None, None] * mask
    images = (bright + 0.2 * rng.random((owner.size, SIDE, SIDE))).astype(np.float32)
    return Slices(images, np.repeat(mask[None], owner.size, axis=0), labels), owner * 7 - 3


def question(**content: Any) -> PrivateQuestion:
    """Ask for one plain step; keys of `PrivateSteps` and `PrivateQuestion` change it."""
    slices, patient = patients()
    cnn = content.get("cnn", CNN)
    how = {key: content.pop(key) for key in list(content) if hasattr(PLAIN, key)}
    defaults: dict[str, Any] = {
        "weights": initial_weights(cnn.width, cnn.dropout, SIDE, seed=7),
        "slices": slices,
        "patient": patient,
        "cnn": cnn,
        "how": replace(PLAIN, **how),
        "class_weights": np.array([1.0, 1.7]),
        "proximal_mu": 0.0,
        "place": "run/train/0/1",
    }
    return PrivateQuestion(**(defaults | content))


def only(asked: PrivateQuestion, kept: NDArray[np.bool_]) -> PrivateQuestion:
    """Ask the same about some of the slices."""
    slices = asked.slices
    return replace(
        asked,
        slices=Slices(slices.images[kept], slices.masks[kept], slices.labels[kept]),
        patient=asked.patient[kept],
    )


def gradients_by_hand(asked: PrivateQuestion) -> NDArray[np.float64]:
    """Each patient's gradient (P, m), one backward pass a slice, averaged in float64."""
    network = build(asked.weights, asked.cnn.width, asked.cnn.dropout)
    found = []
    for number in np.unique(asked.patient):
        own = []
        for index in np.flatnonzero(asked.patient == number):
            image = torch.from_numpy(asked.slices.images[index : index + 1])
            mask = torch.from_numpy(asked.slices.masks[index : index + 1])
            label = int(asked.slices.labels[index])
            logit = network(channels(image, mask))
            loss = functional.binary_cross_entropy_with_logits(logit, torch.tensor([float(label)]))
            network.zero_grad()
            (asked.class_weights[label] * loss).backward()
            flat = [p.grad.reshape(-1).double().numpy() for p in network.parameters()]
            own.append(np.concatenate(flat))
        found.append(np.mean(own, axis=0))
    return np.array(found)


def clipped(gradients: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """Shorten each row to the bound."""
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    return gradients * np.minimum(1.0, bound / norms)
