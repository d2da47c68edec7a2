"""The table `[reduction]` of a study: how few radiomic features the heads are given to work with.

The deep features always go through correlation pruning and the LASSO: their number is the
network's, and no reader draws them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from common.study_tables import Section


class Reduction(Section):
    """How the radiomic features are reduced before the heads; the defaults are the paper's LASSO.

    `method` is ``lasso``, which follows the LASSO path among the features that correlation pruning
    leaves; ``pruning``, which takes of these the ones that correlate most with the outcome; or
    ``pca``, whose columns are the principal components of all features. Each offers the sizes of
    `[fusion]` to the heads, which choose by validation patients.

    `explained_variance` is the share of the variance that the components explain together: of them
    the first of each size are offered.

    With `minimum_icc` above 0 features whose intra-class correlation over two masks of the same
    slices is below it are left out first, by any method. `icc` says which of Shrout & Fleiss
    (Psychol Bull 1979;86:420-428): ``agreement`` is their ICC(2,1), ``consistency`` their ICC(3,1).
    `second_mask` says where the second mask comes from: the ``column`` second_mask of the cohort
    table, or the first one ``dilated`` or ``eroded`` by a pixel, as in Zwanenburg et al. (Sci Rep
    2019;9:614) volumes are made to grow or shrink.
    """

    method: Literal["lasso", "pruning", "pca"] = "lasso"
    explained_variance: float = Field(0.95, gt=0.0, le=1.0, strict=True)
    minimum_icc: float = Field(0.0, ge=0.0, lt=1.0, strict=True)
    icc: Literal["agreement", "consistency"] = "agreement"
    second_mask: Literal["column", "dilated", "eroded"] = "column"

    @property
    def measures_icc(self) -> bool:
        """Whether sites are asked how features agree over two masks, which is a question more."""
        return self.minimum_icc > 0.0
