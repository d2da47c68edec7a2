"""The columns that the heads of a fold and variant choose from, made of the q features.

By the LASSO and by correlation pruning they are the features themselves. By principal components
the radiomic ones are replaced; a head on components is linear in all features, and is folded back
into one before it leaves the stage, so that whoever scores patients knows of features only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import Head
from common.messages import Arrays
from common.statistics.checks import Floats
from common.statistics.components import in_components, principal_components
from common.statistics.moments import Standardized
from common.study_reduction import Reduction
from common.study_tables import Fusion

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Columns:
    """What heads are fitted on.

    Attributes
    ----------
    scale
        Moments of the q features, by which each is standardised.
    moments
        Of the columns: of the features themselves, or of components and deep features.
    radiomic
        How many columns are radiomic; they come first.
    allowed
        Which columns may enter a head.
    loadings
        (p, m) that make the radiomic columns of the p radiomic features, standardised; None where
        the columns are the features.
    explained
        Share of the variance that the components explain; 1 without.
    """

    scale: Standardized
    moments: Standardized
    radiomic: int
    allowed: NDArray[np.bool_]
    loadings: Floats | None = None
    explained: float = 1.0

    def arrays(self) -> Arrays:
        """Give what a site needs to make the columns of its rows: see `FuseQuestion.problems`."""
        made: Arrays = {
            "mean": self.scale.mean,
            "sd": np.where(self.scale.constant, 1.0, self.scale.sd),
        }
        return made if self.loadings is None else made | {"loadings": self.loadings}

    def head(self, chosen: Ints, coefficients: Floats) -> Head:
        """Make a head on the q features of one on the `chosen` columns.

        Parameters
        ----------
        coefficients
            (k+1,), intercept first.
        """
        features, weights = chosen, coefficients[1:]
        if self.loadings is not None and np.all(chosen < self.radiomic):
            loadings = self.loadings[:, chosen]
            features = np.flatnonzero(loadings.any(axis=1)).astype(np.int64)
            weights = loadings[features] @ weights
        elif self.loadings is not None:
            features = chosen - self.radiomic + self.loadings.shape[0]
        return Head(
            features,
            self.scale.mean[features],
            self.scale.sd[features],
            np.concatenate([coefficients[:1], weights]),
        )


def columns_of(
    scale: Standardized,
    radiomic: int,
    fusion: Fusion,
    reduction: Reduction,
    icc: Floats | None = None,
) -> Columns:
    """Make the columns of a fold and variant.

    Parameters
    ----------
    scale
        Moments of the q features, the first `radiomic` of them radiomic.
    icc
        (p,) intra-class correlation of the radiomic features, where the study asks for it.
    """
    q = scale.mean.size
    allowed = np.ones(q, dtype=np.bool_)
    if icc is not None:
        allowed[:radiomic] = icc >= reduction.minimum_icc
    if reduction.method != "pca":
        return Columns(scale, scale, radiomic, allowed)
    components = principal_components(
        scale,
        candidates=allowed & (np.arange(q) < radiomic),
        share=reduction.explained_variance,
        largest=max(fusion.sizes),
    )
    own = components.loadings
    count = own.shape[1]
    every = np.zeros((q, count + q - radiomic))
    every[:, :count] = own
    every[radiomic:, count:] = np.eye(q - radiomic)
    moments = in_components(scale, every)
    moments.constant[count:] = scale.constant[radiomic:]
    return Columns(
        scale,
        moments,
        count,
        np.ones(every.shape[1], dtype=np.bool_),
        own[:radiomic],
        components.explained,
    )
