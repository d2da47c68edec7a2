"""Random effects on the logit scale, against published figures and the formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import t

from common.statistics.auc import auc_of_scores
from common.statistics.checks import StatisticsError
from common.statistics.meta_analysis import (
    SiteAuc,
    logit_auc,
    newcombe_interval,
    newcombe_variance,
    random_effects,
    summarise_aucs,
)

# BCG vaccine against tuberculosis, 13 trials (Colditz et al., JAMA 1994;271:698): cases and others
# among the vaccinated and the controls, as in R's metadat (dat.bcg).
BCG = np.array(
    [
        (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619),
        (33, 5036, 47, 5761), (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892),
        (29, 7470, 45, 7232), (17, 1699, 65, 1600), (186, 50448, 141, 27197), (5, 2493, 3, 2338),
        (27, 16886, 29, 17825),
    ],
    dtype=float,
)  # fmt: skip


def log_risk_ratios() -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d = BCG.T
    return np.log(a / (a + b)) - np.log(c / (c + d)), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def naive(y: np.ndarray, v: np.ndarray) -> dict[str, float]:
    """The textbook, by loops and a root finder."""
    k = len(y)

    def summary(tau2: float) -> tuple[float, float, float]:
        w = [1 / (one + tau2) for one in v]
        mean = sum(a * b for a, b in zip(w, y, strict=True)) / sum(w)
        return mean, sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True)), sum(w)

    _, q, total = summary(0.0)
    squares = sum((1 / one) ** 2 for one in v)
    laird = max(0.0, (q - (k - 1)) / (total - squares / total))
    mandel = 0.0 if q <= k - 1 else brentq(lambda x: summary(x)[1] - (k - 1), 0.0, 1e4, xtol=1e-14)
    mean, _, weight = summary(mandel)
    return {
        "mean": mean, "se": math.sqrt(1 / weight), "tau2": mandel, "tau2_dl": laird, "q": q,
        "i2": max(0.0, (q - (k - 1)) / q),
    }  # fmt: skip


def test_the_published_figures_of_the_bcg_trials() -> None:
    # metafor 4: rma(yi, vi, data, method="PM") and method="DL"; Q = 152.2330 on 12.
    found = random_effects(*log_risk_ratios())
    assert found.tau2 == pytest.approx(0.3181, abs=5e-5)
    assert found.tau2_dl == pytest.approx(0.3088, abs=5e-5)
    assert found.q == pytest.approx(152.2330, abs=5e-5)
    assert found.i2 == pytest.approx(0.9212, abs=5e-5)
    assert found.mean == pytest.approx(-0.7150, abs=5e-5)
    assert found.se == pytest.approx(0.1809, abs=5e-5)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("k", [2, 3, 4, 12])
def test_the_formulas_written_out(seed: int, k: int) -> None:
    rng = np.random.default_rng((seed, k))
    v = rng.uniform(0.05, 2.0, k)
    y = rng.normal(2.0, np.sqrt(v + rng.choice([0.0, 0.5, 2.0])))
    found, expected = random_effects(y, v), naive(y, v)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-4, abs=5e-5), name
    margin = t.isf(0.025, k - 1) * expected["se"]
    assert found.interval == pytest.approx((found.mean - margin, found.mean + margin), rel=1e-4)
    if k == 2:
        assert found.prediction is None
    else:
        wide = t.isf(0.025, k - 2) * math.hypot(math.sqrt(expected["tau2"]), expected["se"])
        assert found.prediction == pytest.approx((found.mean - wide, found.mean + wide), rel=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_is_that_of_hartung_and_knapp_with_its_factor_not_below_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.05, 2.0, 5)
    y = rng.normal(1.0, np.sqrt(v + rng.choice([0.0, 1.0])))
    found = random_effects(y, v)
    w = 1 / (v + found.tau2)
    factor = (w * (y - found.mean) ** 2).sum() / (y.size - 1)
    se = math.sqrt(max(1.0, factor) / w.sum())
    margin = t.isf(0.025, y.size - 1) * se
    assert found.interval[1] - found.mean == pytest.approx(margin, rel=1e-4)


def test_equal_effects_have_no_variance_between_them() -> None:
    found = random_effects(np.full(4, 1.5), np.array([0.1, 0.2, 0.3, 0.4]))
    assert (found.tau2, found.tau2_dl, found.i2) == (0.0, 0.0, 0.0)
    assert found.mean == pytest.approx(1.5)


def test_the_order_of_sites_does_not_matter() -> None:
    sites = [SiteAuc(0.9, 0.003, 12, 8), SiteAuc(1.0, 0.0, 11, 7), SiteAuc(0.8, 0.01, 13, 12)]
    first, second = summarise_aucs(sites), summarise_aucs(sites[::-1])
    assert first.auc == pytest.approx(second.auc, rel=1e-12)
    assert first.tau2 == pytest.approx(second.tau2, rel=1e-9)


def test_the_logit_and_its_variance_by_simulation() -> None:
    # The spread of the logit of many samples is what the delta method says of each, on average.
    rng = np.random.default_rng(7)
    labels = np.arange(160) % 2
    logits, variances = [], []
    for _ in range(400):
        scores = np.clip(0.5 + 0.1 * (rng.normal(size=160) + 1.2 * labels), 0, 1)
        own = auc_of_scores(scores, labels)
        assert own.variance is not None
        logit, variance = logit_auc(SiteAuc(own.auc, own.variance, 80, 80))
        logits.append(logit)
        variances.append(variance)
    assert np.var(logits) == pytest.approx(np.mean(variances), rel=0.2)


def test_no_patient_misplaced_is_no_certainty() -> None:
    logit, variance = logit_auc(SiteAuc(1.0, 0.0, 12, 8))
    auc = 96.5 / 97
    assert logit == pytest.approx(math.log(auc / (1 - auc)))
    # metamisc: var(logit c) = (1 + n* (1 - c)/(2 - c) + m* c/(1 + c)) / (m n c (1 - c)).
    other = 20 / 2 - 1
    shape = 1 + other * (1 - auc) / (2 - auc) + other * auc / (1 + auc)
    assert variance == pytest.approx(shape / (96 * auc * (1 - auc)))
    mirrored = logit_auc(SiteAuc(0.0, 0.0, 12, 8))
    assert mirrored[0] == pytest.approx(-logit)
    assert mirrored[1] > 0
    # More patients say more; and a site with one pair misplaced is not beaten by much.
    assert logit_auc(SiteAuc(1.0, 0.0, 60, 40))[0] > logit


def test_scores_that_are_all_tied_are_no_certainty_either() -> None:
    logit, variance = logit_auc(SiteAuc(0.5, 0.0, 12, 8))
    assert logit == 0.0
    assert variance == pytest.approx(newcombe_variance(0.5, 12, 8) / 0.0625)


def test_newcombe_s_variance_is_hanley_and_mcneil_s_at_equal_numbers_but_for_its_mean() -> None:
    auc, n = 0.8, 30
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    hanley = (auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)) / n**2
    assert newcombe_variance(auc, n, n) == pytest.approx(hanley)


@pytest.mark.parametrize(
    ("auc", "m", "n"), [(1.0, 12, 8), (0.0, 12, 8), (0.93, 20, 15), (0.5, 3, 4)]
)
def test_the_ends_of_newcombe_s_interval_are_as_far_as_their_own_errors(
    auc: float, m: int, n: int
) -> None:
    for end in newcombe_interval(auc, m, n):
        if end not in (0.0, 1.0):
            z = abs(end - auc) / math.sqrt(newcombe_variance(end, m, n))
            assert z == pytest.approx(1.959964, rel=1e-6)
    low, high = newcombe_interval(auc, m, n)
    assert 0.0 <= low <= auc <= high <= 1.0
    assert low < high


def test_a_perfect_site_draws_the_summary_up_and_no_further_than_it_may() -> None:
    rest = [SiteAuc(0.90, 0.003, 12, 8), SiteAuc(0.88, 0.004, 13, 12), SiteAuc(0.91, 0.003, 12, 9)]
    without = summarise_aucs(rest)
    more = summarise_aucs([*rest, SiteAuc(1.0, 0.0, 12, 8)])
    assert without.auc < more.auc < 0.95
    assert more.prediction is not None
    assert more.prediction[0] < more.interval[0] < more.auc < more.interval[1] < more.prediction[1]


@pytest.mark.parametrize(
    ("effects", "variances"),
    [([1.0], [0.1]), ([1.0, 2.0], [0.1]), ([1.0, 2.0], [0.1, 0.0]), ([1.0, np.nan], [0.1, 0.1])],
)
def test_what_cannot_be_summarised_is_refused(effects: list[float], variances: list[float]) -> None:
    with pytest.raises(StatisticsError):
        random_effects(np.array(effects), np.array(variances))


@pytest.mark.parametrize(
    "site",
    [SiteAuc(1.1, 0.0, 5, 5), SiteAuc(0.9, -0.1, 5, 5), SiteAuc(0.9, 0.1, 0, 5),
     SiteAuc(math.nan, 0.1, 5, 5)],
)  # fmt: skip
def test_what_is_no_auc_is_refused(site: SiteAuc) -> None:
    with pytest.raises(StatisticsError):
        logit_auc(site)
