"""The effect of one batch, as its own site estimated it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from harmonization.arrays import Arrays, Floats, array_to_text, entry, frozen, text_to_array
from harmonization.errors import BatchError, NotFiniteError, ShapeError

Mode = Literal["parametric", "nonparametric", "mean_only", "none", "mean_only_none"]
"""How a batch effect is estimated. "none" and "mean_only_none" do without empirical Bayes."""

MODES: tuple[str, ...] = get_args(Mode)
UNCHANGED = ("identity", "reference")


@dataclass(frozen=True, eq=False)
class BatchEffect:
    """Location and scale that ComBat takes out of one batch. Never leaves its site.

    Attributes
    ----------
    gamma : (p,) float64
        Shift, in residual standard deviations (sigma) of the feature.
    delta : (p,) float64
        Factor on the residual variance, above 0.
    rows : int
        Rows it was estimated from.
    mode : str
        How: one of ``MODES``, or "identity" (too few rows, none applied), or "reference" (the
        reference batch, which is left as it is).
    """

    gamma: Floats
    delta: Floats
    rows: int
    mode: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", frozen(self.gamma))
        object.__setattr__(self, "delta", frozen(self.delta))
        if self.mode not in (*MODES, *UNCHANGED):
            raise BatchError(
                f"There is no mode '{self.mode}' of estimating a batch effect.",
                f"Use one of {', '.join(MODES)}.",
            )
        if self.gamma.ndim != 1 or self.gamma.shape != self.delta.shape:
            raise ShapeError(
                f"gamma {self.gamma.shape} and delta {self.delta.shape} are not of the same "
                "features.",
                "Pass two arrays of shape (p,).",
            )
        both = np.isfinite(self.gamma) & np.isfinite(self.delta) & (self.delta > 0)
        if not both.all():
            raise NotFiniteError(
                f"The batch effect is not usable for {int((~both).sum())} features: gamma or delta "
                "is not finite, or delta is not above 0.",
                "Look at those features for values far outside the others.",
            )

    @property
    def applied(self) -> bool:
        """Whether ComBat changes the rows of this batch at all."""
        return self.mode not in UNCHANGED

    @classmethod
    def unchanged(cls, p: int, rows: int, mode: Literal["identity", "reference"]) -> Self:
        """Return the effect that leaves a batch of p features as it is."""
        return cls(np.zeros(p), np.ones(p), rows, mode)

    def arrays(self) -> Arrays:
        """Return the fields as numeric arrays, for saving at the site."""
        rows, mode = np.asarray(self.rows, np.int64), text_to_array(self.mode)
        return {"gamma": self.gamma, "delta": self.delta, "rows": rows, "mode": mode}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read back what ``arrays`` returned."""
        fields = ("gamma", "delta", "rows", "mode")
        gamma, delta, rows, mode = (entry(arrays, name, cls.__name__) for name in fields)
        return cls(gamma, delta, int(rows), array_to_text(mode))
