"""Empirical-Bayes shrinkage of one batch's location and scale, across its features.

All functions work on the means and variances of the standardised rows, which are sufficient: the
sum of squares about any g is ``(n - 1) d + n (m - g)^2``. So the cost does not grow with n.
"""

import numpy as np
from numpy.typing import NDArray

from harmonization.arrays import Floats
from harmonization.errors import ConvergenceError

Pair = tuple[Floats, Floats]
_BLOCK = 256


def shrink_mean(mean: Floats, weight: float, scale: Floats | float = 1.0) -> Floats:
    """Return the posterior mean of the location, given the scale.

    Parameters
    ----------
    mean : (p,) float64
        Mean of the standardised rows by feature.
    weight : float
        Number of rows that the mean counts for. ComBat's mean-only mode counts 1, whatever n is.
    scale : (p,) float64 or float, default 1
        Variance by feature.

    Returns
    -------
    (p,) float64
        ``(t2 w mean + scale centre) / (t2 w + scale)``, with centre and t2 the average and
        variance of the means over features.
    """
    centre, t2 = mean.mean(), mean.var(ddof=1)
    return np.asarray((t2 * weight * mean + scale * centre) / (t2 * weight + scale))


def parametric(
    n: float,
    mean: Floats,
    variance: Floats,
    flat: NDArray[np.bool_],
    *,
    tolerance: float = 1e-12,
    iterations: int = 10_000,
    batch: str = "",
) -> Pair:
    """Iterate the normal / inverse-gamma posterior to its fixed point.

    Parameters
    ----------
    n : float
        Rows of the batch, at least 2.
    mean, variance : (p,) float64
        Of the standardised rows by feature, variance with ddof 1. p is at least 2.
    flat : (p,) bool
        Features without variance in this batch. Their delta is 1 (there is no scale to correct),
        and they do not enter the prior of the variances.
    tolerance : float, default 1e-12
        Largest relative change of delta, and of gamma against ``|gamma| + sqrt(delta)``.
    iterations : int, default 10000
        Give up after so many.
    batch : str
        Name for messages.

    Returns
    -------
    gamma, delta : (p,) float64

    Raises
    ------
    ConvergenceError
        The tolerance was not reached.

    References
    ----------
    Johnson, Li & Rabinovic 2007, Biostatistics 8:118. The inverse-gamma posterior
    mean is written with numerator and denominator multiplied by the prior's variance v, so that
    features of equal variance (v = 0) are no division by zero.
    """
    gamma, delta = shrink_mean(mean, n), np.ones_like(variance)
    if flat.all():
        return gamma, delta
    own, squares = mean[~flat], (n - 1) * variance[~flat]
    centre, t2 = mean.mean(), mean.var(ddof=1)
    m = float(variance[~flat].mean())
    v = float(variance[~flat].var(ddof=1)) if own.size > 1 else 0.0
    g, d = own, variance[~flat]
    for _ in range(iterations):
        pull = d / (t2 * n + d)
        g_new = own - pull * (own - centre)
        about = squares + n * (pull * (own - centre)) ** 2
        d_new = (v * (about / 2 + m) + m**3) / (v * (n / 2 + 1) + m**2)
        moved = np.abs(g_new - g) > tolerance * (np.abs(g) + np.sqrt(d))
        moved |= np.abs(d_new - d) > tolerance * d
        g, d = g_new, d_new
        if not moved.any():
            gamma[~flat], delta[~flat] = g, d
            return gamma, delta
    raise ConvergenceError(
        f"Empirical Bayes for batch '{batch}' ({n:g} rows) still moves after {iterations} steps.",
        "Estimate this batch with 'mean_only', or raise the minimum number of rows.",
    )


def nonparametric(n: float, mean: Floats, variance: Floats, flat: NDArray[np.bool_]) -> Pair:
    """Average over the other features' estimates, weighted by their likelihood.

    Parameters and returns are those of ``parametric``. Likelihoods are compared as logarithms, so
    large batches do not underflow. The cost is O(p^2), in blocks of 256 features. Where fewer
    than two features vary there are no others to average over: then the means are shrunken as in
    ``shrink_mean`` and the variances stay.

    References
    ----------
    Johnson, Li & Rabinovic 2007, Biostatistics 8:118, appendix.
    """
    others = np.flatnonzero(~flat)
    if others.size < 2:
        scale = np.where(flat, 1.0, variance)
        return shrink_mean(mean, n, scale), scale
    g, d = mean[others], variance[others]
    gamma, delta = np.empty_like(mean), np.empty_like(variance)
    for start in range(0, mean.size, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, mean.size))
        about = (n - 1) * variance[rows, None] + n * (mean[rows, None] - g) ** 2
        log = -0.5 * (n * np.log(d) + about / d)
        log[rows[:, None] == others] = -np.inf
        weight = np.exp(log - log.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        gamma[rows], delta[rows] = weight @ g, weight @ d
    return gamma, np.where(flat, 1.0, delta)
