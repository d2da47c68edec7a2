"""Slices ready for the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Slices:
    """n slices: images and masks (n, crop, crop) float32, labels (n,) 0/1."""

    images: NDArray[np.float32]
    masks: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.labels.size)
