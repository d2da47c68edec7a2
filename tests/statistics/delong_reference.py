"""Random patients, and DeLong's estimate by its definition."""

from __future__ import annotations

import numpy as np


def patients(seed: int, n: int = 150, models: int = 1, grid: int = 1000):
    """Return scores (models, n) on a grid, of models that agree in part, and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    labels[:4] = [0, 1, 0, 1]
    shared = rng.normal(size=n)
    latent = shared + rng.normal(size=(models, n)) + labels * rng.uniform(0, 2, (models, 1))
    return np.round(grid / (1 + np.exp(-latent))) / grid, labels


def naive_delong(scores, labels):
    """Return AUCs and covariance from the kernel over every pair (DeLong et al. 1988)."""
    positives, negatives = scores[:, labels == 1], scores[:, labels == 0]
    above = positives[:, :, None] > negatives[:, None, :]
    kernel = above + 0.5 * (positives[:, :, None] == negatives[:, None, :])
    aucs = kernel.mean(axis=(1, 2))
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    n1, n0 = positives.shape[1], negatives.shape[1]
    covariance = np.zeros((len(scores), len(scores)))
    for i in range(len(scores)):
        for j in range(len(scores)):
            s10 = ((v10[i] - aucs[i]) * (v10[j] - aucs[j])).sum() / (n1 - 1)
            s01 = ((v01[i] - aucs[i]) * (v01[j] - aucs[j])).sum() / (n0 - 1)
            covariance[i, j] = s10 / n1 + s01 / n0
    return aucs, covariance
