"""The models that a study compares, and a logistic head: features, scale and coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.messages import Arrays

Floats = NDArray[np.float64]

MODELS = ("radiomics", "deep", "fused")
"""The three models of the paper: heads on radiomic, on deep, and on both kinds of features."""

UNHARMONIZED = ("radiomics", "fused")
"""Models that harmonisation changes; deep features are not harmonised."""

SCORED = (
    *((model, "harmonized") for model in MODELS),
    *((model, "raw") for model in UNHARMONIZED),
)
"""Every (model, variant) that is scored, in the order of the rows of score arrays."""

VARIANTS = ("harmonized", "raw")


@dataclass(frozen=True, eq=False)
class Head:
    """A logistic head over m of the q features (radiomic first, then deep).

    Attributes
    ----------
    features : (m,) columns among the q features
    center, scale : (m,) pooled mean and standard deviation of those columns
    coefficients : (m+1,) intercept first, for the centred and scaled columns
    """

    features: NDArray[np.int64]
    center: Floats
    scale: Floats
    coefficients: Floats

    def logits(self, columns: Floats) -> Floats:
        """Score slices on the logit scale: (n,) from their q features (n, q)."""
        chosen = (columns[:, self.features] - self.center) / self.scale
        return np.asarray(self.coefficients[0] + chosen @ self.coefficients[1:])

    def probabilities(self, columns: Floats) -> Floats:
        """Score slices: (n,) in (0, 1) from their q features (n, q)."""
        return probability(self.logits(columns))

    def arrays(self) -> Arrays:
        """Return the fields by name, for sending and saving."""
        return {
            "features": self.features,
            "center": self.center,
            "scale": self.scale,
            "coefficients": self.coefficients,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Head:
        """Read back what `arrays` returned."""
        return cls(
            np.asarray(arrays["features"], np.int64),
            np.asarray(arrays["center"], np.float64),
            np.asarray(arrays["scale"], np.float64),
            np.asarray(arrays["coefficients"], np.float64),
        )


def probability(logits: Floats) -> Floats:
    """Turn logits of any shape into probabilities, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def stack(first: Head, second: Head, intercept: float, weights: Floats) -> Head:
    """Make one head whose logit is `intercept` + `weights` (2,) times those of two heads."""
    a, b = (float(weight) for weight in weights)
    constant = intercept + a * first.coefficients[0] + b * second.coefficients[0]
    return Head(
        features=np.concatenate([first.features, second.features]),
        center=np.concatenate([first.center, second.center]),
        scale=np.concatenate([first.scale, second.scale]),
        coefficients=np.concatenate(
            [[constant], a * first.coefficients[1:], b * second.coefficients[1:]]
        ),
    )


Heads = dict[tuple[str, str], Head]
"""A head for each (model, variant) of `SCORED`."""


def heads_to_arrays(heads: Heads) -> Arrays:
    """Flatten heads: keys ``variant.model.field``."""
    return {
        f"{variant}.{model}.{name}": array
        for (model, variant), head in heads.items()
        for name, array in head.arrays().items()
    }


def heads_from_arrays(arrays: Arrays) -> Heads:
    """Undo `heads_to_arrays`; only heads that are there."""
    return {
        (model, variant): Head.from_arrays(below(arrays, f"{variant}.{model}"))
        for model, variant in SCORED
        if f"{variant}.{model}.features" in arrays
    }


def below(arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> Arrays:
    """Pick the arrays whose key starts with ``prefix.``, without it."""
    start = f"{prefix}."
    return {
        key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)
    }


def under(arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> Arrays:
    """Put ``prefix.`` before every key."""
    return {f"{prefix}.{key}": value for key, value in arrays.items()}
