"""The linear support vector machine from sums: squared hinge loss, in the primal.

Site: `squared_hinge_sums`. Merge: add. Server: `common.statistics.newton` with the problem
`LogisticProblem.ridge(m, C)`: the objective is scikit-learn's LinearSVC(loss="squared_hinge",
dual=False) divided by C, with the intercept free. The loss is piecewise quadratic, so Newton's
method ends after finitely many steps (O. Chapelle, Neural Computation 2007;19:1155-1178; R.-E. Fan
et al., JMLR 2008;9:1871-1874, solver L2R_L2LOSS_SVC).
"""

from __future__ import annotations

import numpy as np

from common.statistics.checks import Array, StatisticsError, as_floats, as_labels, as_weights
from common.statistics.logistic import LogisticSums


def squared_hinge_sums(x: Array, y: Array, w: Array | None, coef: Array) -> LogisticSums:
    """Return a site's sums at `coef`, in the fields that Newton's method takes.

    The loss of a row is max(0, 1 - s f)^2, s = +-1 and f its linear score; the Hessian is the
    generalised one, over the rows inside the margin.

    Args:
        x: (n, m) features, standardised by pooled means and sds; no rows is allowed.
        y: (n,) 0 or 1.
        w: (n,) weights, zero or more; ones where None.
        coef: (m+1,) intercept first.

    Raises:
        StatisticsError: if shapes disagree or a value is NaN or infinite.
    """
    features = as_floats(x, "The features", 2)
    sign = np.where(as_labels(y, len(features)), 1.0, -1.0)
    weights = as_weights(w, len(features))
    at = as_floats(coef, "The coefficients", 1)
    if at.size != features.shape[1] + 1:
        raise StatisticsError(
            f"There are {at.size} coefficients for {features.shape[1]} features.",
            "Give one a feature and the intercept first.",
        )
    design = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    short = np.maximum(0.0, 1.0 - sign * (design @ at))
    inside = design[short > 0.0] * np.sqrt(2.0 * weights[short > 0.0])[:, None]
    return LogisticSums(
        loss=np.asarray(weights @ short**2),
        weight=np.asarray(weights.sum()),
        gradient=design.T @ (-2.0 * weights * sign * short),
        hessian=inside.T @ inside,
    )
