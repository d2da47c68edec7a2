"""Weights and their changes in whole numbers of 8 bits: a quarter of the bytes of a round.

Both halves of both ways. The coordinator sends the weights as `levels` and one scale for every
`BLOCK` of them (block-wise quantisation: Dettmers et al., ICLR 2022, section 2.1). It keeps its own
with all digits, and rounds them anew each round, so that what is rounded off never adds up.

A site sends its share of the change in steps that all sites know beforehand, and carries what
rounding left over into the next round (error feedback: Seide et al., Interspeech 2014; Karimireddy
et al., ICML 2019). So that a sum of them, also under masks, fits into 8 bits as well, the sites
divide the range: each may use as much of it as it has of the slices.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from common.secure_sum.fixed_point import LEVELS
from common.study_tables import Training

Levels = NDArray[np.int8]
Weights = NDArray[np.float32]

BLOCK = 256
"""So many weights share a scale."""
TOP = LEVELS.most
"""The largest level of a sum of changes."""
MOST_SITES = 63
"""Beyond, half of the range is gone before it is divided."""
_FULL = 127


def coarsened(weights: Weights) -> tuple[Levels, Weights]:
    """Round weights (n,) to levels (n,) and the scales (ceil(n / 256),) of their blocks.

    A block's largest weight is 127 levels. Weights must be finite.
    """
    blocks = np.zeros((-(-weights.size // BLOCK), BLOCK), np.float32)
    blocks.reshape(-1)[: weights.size] = weights
    scales = np.abs(blocks).max(axis=1) / np.float32(_FULL)
    # A block of zeros has the levels 0, whatever it is divided by.
    blocks /= np.where(scales > 0.0, scales, np.float32(1.0))[:, None]
    levels = np.clip(np.rint(blocks), -_FULL, _FULL).astype(np.int8)
    return levels.reshape(-1)[: weights.size].copy(), scales


def refined(levels: Levels, scales: Weights) -> Weights:
    """Give the weights (n,) that levels (n,) and scales stand for.

    Raises
    ------
    ValueError
        There are not as many scales as blocks.
    """
    if levels.ndim != 1 or scales.shape != (-(-levels.size // BLOCK),):
        raise ValueError(f"{levels.shape} levels do not have {scales.shape} scales.")
    return levels.astype(np.float32) * np.repeat(scales, BLOCK)[: levels.size]


def step_of(training: Training, slices: int, sites: int) -> float:
    """Give the size of a level of the sum of changes, a power of two: sums of such are exact.

    Adam moves a weight by about a learning rate a step at most, so the sum stays within as many as
    the steps of a site of mean size. What goes beyond is carried over.

    Parameters
    ----------
    slices
        Of all sites, by which they reckon their shares.
    sites
        That train in the study.
    """
    steps = training.local_epochs * math.ceil(slices / (sites * training.batch_size))
    return 2.0 ** math.floor(math.log2(steps * training.learning_rate / TOP))


def most_levels(share: float, sites: int) -> int:
    """Say how many levels up or down a site may go that has so much of all slices.

    One at least, and over all `sites` of a study, whose shares make up one, `TOP` at most.
    """
    return 1 + math.floor((TOP - sites) * share)


def levels_of(wanted: Weights, step: float, most: int) -> tuple[Levels, Weights]:
    """Round numbers (n,) to at most `most` levels up or down; also give what is left over (n,)."""
    levels = np.clip(np.rint(wanted / np.float32(step)), -most, most).astype(np.int8)
    return levels, wanted - change_of(levels, step)


def change_of(levels: Levels, step: float) -> Weights:
    """Give the numbers (n,) that levels (n,) stand for."""
    return levels.astype(np.float32) * np.float32(step)
