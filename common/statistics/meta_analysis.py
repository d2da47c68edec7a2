"""Random-effects meta-analysis of AUCs on the logit scale.

Each site gives its AUC, the DeLong variance and its numbers of patients; nothing else is needed.

- Effect and variance of a site: logit A and V / (A (1 - A))^2, by the delta method (Debray et al.,
  Stat Methods Med Res 2019;28:2768, and their R package metamisc).
- DeLong's variance is 0 where no patient is misplaced, or all scores are tied; that is no
  certainty. There the variance is Newcombe's (Stat Med 2006;25:559, method 4, from the AUC and the
  numbers of patients, as metamisc takes it where no standard error was published). An AUC of 0 or
  1 has no logit: of the n1 n0 pairs half a pair is taken to be the other way round,
  A' = (n1 n0 A + 1/2) / (n1 n0 + 1). So a small site with a perfect AUC counts as what it is,
  a good but imprecise one, and draws the summary below the mean of the AUCs.
- Between-site variance: Paule and Mandel's, and DerSimonian and Laird's beside it, by statsmodels.
- Interval of the summary: Student's t with k - 1 degrees of freedom. That is Hartung and Knapp's
  interval with its factor not below 1 (Knapp, Hartung, Stat Med 2003;22:2693; Roever et al., BMC
  Med Res Methodol 2015;15:99): with Paule and Mandel's variance the factor is 1 or smaller.
- Prediction interval for the AUC at another such site: t with k - 2 degrees of freedom (Higgins,
  Thompson, Spiegelhalter, J R Stat Soc A 2009;172:137; Debray et al., BMJ 2017;356:i6460).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.statistics.auc import normal_quantile
from common.statistics.checks import Array, StatisticsError, as_floats

_STEPS = {"atol": 1e-5, "maxiter": 1000}
"""Of Paule and Mandel's estimate in statsmodels: how near the estimating equation comes to 0, in as
many steps. No nearer: its Newton steps come from above, and where rounding takes the equation below
0 it gives 0 for the variance. What that leaves of an error is below 1e-4 of the variance."""


@dataclass(frozen=True)
class SiteAuc:
    """The AUC of one site, its DeLong variance, and its patients of either class."""

    auc: float
    variance: float
    positive: int
    negative: int


@dataclass(frozen=True)
class RandomEffects:
    """A random-effects summary of k effects, on their own scale.

    `prediction` is None for two effects: there is no such interval. `i2` is the share of the
    variation that chance within the sites does not explain (Higgins, Thompson 2002), 0 to 1;
    `tau2_dl` DerSimonian and Laird's estimate, beside Paule and Mandel's `tau2` that is used.
    """

    mean: float
    se: float
    interval: tuple[float, float]
    prediction: tuple[float, float] | None
    tau2: float
    tau2_dl: float
    q: float
    i2: float


@dataclass(frozen=True)
class AucSummary:
    """A random-effects summary of AUCs: mean and intervals as AUCs, tau2 on the logit scale."""

    auc: float
    interval: tuple[float, float]
    prediction: tuple[float, float] | None
    tau2: float
    i2: float


def newcombe_variance(auc: float, positive: int, negative: int) -> float:
    """Return the variance of an AUC, from it and the numbers of patients alone.

    Newcombe, Stat Med 2006;25:559, method 4: Hanley and McNeil's under exponential scores, with
    the mean of the two numbers in the place of each.
    """
    pairs, other = positive * negative, (positive + negative) / 2 - 1
    shape = 1 + other * (1 - auc) / (2 - auc) + other * auc / (1 + auc)
    return auc * (1 - auc) * shape / pairs


def newcombe_interval(
    auc: float, positive: int, negative: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return a confidence interval of an AUC that is none of width 0 at 0 or 1.

    Newcombe's method 5: the AUCs from which the one that was found is no further than so many of
    their own standard errors; what Wilson's interval is for a share.

    Raises:
        StatisticsError: if the AUC is outside 0 to 1, a class is empty, or `confidence` is none.
    """
    from scipy.optimize import brentq

    _check(SiteAuc(auc, 0.0, positive, negative))
    z = normal_quantile(confidence)

    def beyond(truth: float) -> float:
        return (truth - auc) ** 2 - z**2 * newcombe_variance(truth, positive, negative)

    # At the AUC itself it is not positive, at 0 and 1 not negative: one root on either side.
    near = (max(auc - 1e-12, 0.0), min(auc + 1e-12, 1.0))
    lower = 0.0 if auc <= 0.0 else float(brentq(beyond, 0.0, near[0]))
    upper = 1.0 if auc >= 1.0 else float(brentq(beyond, near[1], 1.0))
    return lower, upper


def logit_auc(site: SiteAuc) -> tuple[float, float]:
    """Return the logit of a site's AUC and its variance, both finite.

    Raises:
        StatisticsError: if the AUC is outside 0 to 1, its variance negative, or a class empty.
    """
    _check(site)
    auc, variance = site.auc, site.variance
    if auc in (0.0, 1.0):
        pairs = site.positive * site.negative
        auc, variance = (pairs * auc + 0.5) / (pairs + 1), 0.0
    if variance == 0.0:
        variance = newcombe_variance(auc, site.positive, site.negative)
    return float(np.log(auc / (1 - auc))), variance / (auc * (1 - auc)) ** 2


def random_effects(effects: Array, variances: Array, confidence: float = 0.95) -> RandomEffects:
    """Return the random-effects summary of effects (k,) with within-site variances (k,).

    Raises:
        StatisticsError: with fewer than two effects, another number of variances, a variance that
            is not positive, or a confidence that is not between 0 and 1.
    """
    from scipy.stats import t
    from statsmodels.stats.meta_analysis import combine_effects

    normal_quantile(confidence)
    found, own = as_floats(effects, "The effects", 1), as_floats(variances, "The variances", 1)
    k = found.size
    if k < 2 or own.shape != found.shape or (own <= 0.0).any():
        raise StatisticsError(
            f"There are {k} effects and {own.size} variances, the smallest {own.min(initial=0.0)}.",
            "Give two or more effects, each with a variance above 0.",
        )
    # Equal effects have no H2, and DerSimonian and Laird's variance may come out below 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = combine_effects(found, own, method_re="pm", **_STEPS)
        by_moments = combine_effects(found, own, method_re="dl")
    mean, se, tau2, q = (
        float(value) for value in (fit.mean_effect_re, fit.sd_eff_w_re, fit.tau2, fit.q)
    )
    margin = float(t.isf((1 - confidence) / 2, k - 1)) * se
    prediction = None
    if k > 2:
        wide = float(t.isf((1 - confidence) / 2, k - 2)) * float(np.sqrt(tau2 + se**2))
        prediction = (mean - wide, mean + wide)
    return RandomEffects(
        mean=mean,
        se=se,
        interval=(mean - margin, mean + margin),
        prediction=prediction,
        tau2=tau2,
        tau2_dl=max(0.0, float(by_moments.tau2)),
        q=q,
        i2=max(0.0, (q - (k - 1)) / q) if q > 0.0 else 0.0,
    )


def summarise_aucs(sites: Sequence[SiteAuc], confidence: float = 0.95) -> AucSummary:
    """Return the random-effects summary of the AUCs of two or more sites.

    Raises:
        StatisticsError: as `logit_auc` and `random_effects`.
    """
    pairs = np.array([logit_auc(site) for site in sites]).reshape(-1, 2)
    fit = random_effects(pairs[:, 0], pairs[:, 1], confidence)
    return AucSummary(
        auc=_from_logit(fit.mean),
        interval=(_from_logit(fit.interval[0]), _from_logit(fit.interval[1])),
        prediction=None
        if fit.prediction is None
        else (_from_logit(fit.prediction[0]), _from_logit(fit.prediction[1])),
        tau2=fit.tau2,
        i2=fit.i2,
    )


def _from_logit(value: float) -> float:
    from scipy.special import expit

    return float(expit(value))


def _check(site: SiteAuc) -> None:
    if not (0.0 <= site.auc <= 1.0 and 0.0 <= site.variance < np.inf):
        raise StatisticsError(
            f"An AUC of {site.auc} with the variance {site.variance} was given.",
            "An AUC lies between 0 and 1, and no variance is negative.",
        )
    if min(site.positive, site.negative) < 1:
        raise StatisticsError(
            f"There are {site.positive} patients with and {site.negative} without the outcome.",
            "An AUC needs patients of both classes.",
        )
