"""Trees over binned features, and the histograms from which they are grown.

Every feature is cut at the same fixed points, quantiles of the normal distribution of standardised
values, so a tree holds no patient's value. Site: `node_histograms` of the rows in each open node.
Merge: add. Server: `common.statistics.tree_growth`. Trees grown from summed histograms are those of
the pooled rows (the histogram method: T. Chen, C. Guestrin, KDD 2016, section 3.3; G. Ke et al.,
NIPS 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.statistics.checks import Array, Floats, Ints, StatisticsError, as_floats

CHANNELS = 3
"""What is summed in a bin: two numbers of the learner's, and the patients' shares."""

LEAF = -1


@dataclass(frozen=True, eq=False)
class Trees:
    """T complete binary trees of depth D; the children of node i are 2i + 1 and 2i + 2.

    Attributes:
        feature: (T, 2^D - 1) the feature that a node asks about; -1 for a leaf.
        cut: (T, 2^D - 1) rows whose bin is at most this go to the first child.
        value: (T, 2^(D+1) - 1) what a leaf says; 0 elsewhere.
    """

    feature: Ints
    cut: Ints
    value: Floats

    def __post_init__(self) -> None:
        count, inner = self.feature.shape if self.feature.ndim == 2 else (0, 0)
        complete = inner > 0 and (inner + 1) & inner == 0
        shapes = self.cut.shape == (count, inner) and self.value.shape == (count, 2 * inner + 1)
        if not complete or not shapes:
            raise StatisticsError(
                f"Trees have the shapes {self.feature.shape}, {self.cut.shape} and "
                f"{self.value.shape}.",
                "Check that both sides run the same version.",
            )

    @classmethod
    def none(cls, count: int, depth: int) -> Trees:
        """Return trees that are a leaf each, and say 0."""
        inner = 2**depth - 1
        return cls(
            np.full((count, inner), LEAF, np.int64),
            np.zeros((count, inner), np.int64),
            np.zeros((count, 2 * inner + 1)),
        )

    @property
    def depth(self) -> int:
        """D."""
        return int(self.feature.shape[1] + 1).bit_length() - 1

    def arrays(self) -> dict[str, Array]:
        """Return the fields by name."""
        return {"feature": self.feature, "cut": self.cut, "value": self.value}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], features: int) -> Trees:
        """Read back what `arrays` returned.

        Raises:
            StatisticsError: if they are not trees over so many features.
        """
        try:
            found = cls(
                np.asarray(arrays["feature"], np.int64),
                np.asarray(arrays["cut"], np.int64),
                as_floats(arrays["value"], "The values of trees", 2),
            )
        except KeyError as error:
            raise StatisticsError(f"Trees have no {error}.", "Report it.") from None
        if ((found.feature < LEAF) | (found.feature >= features)).any():
            raise StatisticsError(
                f"A tree asks about a feature outside 0 to {features - 1}.",
                "Check that both sides mean the same features.",
            )
        return found

    def reached(self, bins: Ints) -> Ints:
        """Say in which node of each tree the rows (n, m) end: (T, n)."""
        trees = np.arange(len(self.feature))[:, None]
        rows = np.arange(len(bins))[None, :]
        at = np.zeros((len(self.feature), len(bins)), np.int64)
        for _ in range(self.depth if bins.shape[1] else 0):
            # A leaf at the lowest level has no place among the inner nodes.
            inner = at < self.feature.shape[1]
            place = np.where(inner, at, 0)
            feature = np.where(inner, self.feature[trees, place], LEAF)
            asks = feature >= 0
            right = bins[rows, np.where(asks, feature, 0)] > self.cut[trees, place]
            at = np.where(asks, 2 * at + 1 + right, at)
        return at

    def said(self, bins: Ints) -> Floats:
        """Give what each tree says of the rows (n, m): (T, n)."""
        return np.asarray(np.take_along_axis(self.value, self.reached(bins), axis=1))


def bin_edges(count: int) -> Floats:
    """Cut standardised values into `count` bins that a normal distribution fills evenly."""
    from scipy.stats import norm

    return np.asarray(norm.ppf(np.arange(1, count) / count))


def binned(x: Array, count: int) -> Ints:
    """Give the bin 0..count-1 of standardised values, of any shape; an edge is in the lower bin."""
    values = np.asarray(x, np.float64)
    return np.asarray(np.searchsorted(bin_edges(count), values, side="left"), np.int64)


def node_histograms(
    bins: Ints,
    inside: npt.NDArray[np.bool_],
    columns: Ints,
    channels: Floats,
    count: int,
) -> Floats:
    """Sum the channels of the rows in each node, by bin of each of its features.

    Args:
        bins: (n, m) of the rows.
        inside: (k, n) which rows are in each of k nodes.
        columns: (k, c) the features that a node may ask about.
        channels: (n, 3) what is summed of the rows.
        count: B, the number of bins.

    Returns:
        (k, c, B, 3).
    """
    width = columns.shape[1]
    found = np.zeros((len(inside), width, count, CHANNELS))
    places = count * np.arange(width)
    for node, (own, chosen) in enumerate(zip(inside, columns, strict=True)):
        rows = np.flatnonzero(own)
        flat = (bins[np.ix_(rows, chosen)] + places).ravel()
        for channel in range(CHANNELS):
            weights = np.repeat(channels[rows, channel], width)
            summed = np.bincount(flat, weights=weights, minlength=count * width)
            found[node, :, :, channel] = summed.reshape(width, count)
    return found
