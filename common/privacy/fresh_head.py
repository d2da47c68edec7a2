"""A network to start from when only its head learns: the head at zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.feature_names import DEEP_FEATURES

HEAD = DEEP_FEATURES + 1
"""Weights of the head, the last ones of the flat vector: one a deep feature, and the bias."""


def fresh_head(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give a copy of the network's weights (m,) with the head at zero.

    With few steps a head that starts at random ends near where it started, and its scores are
    mostly those of chance.
    """
    fresh = np.array(weights, dtype=np.float32, copy=True)
    fresh[-HEAD:] = 0.0
    return fresh
