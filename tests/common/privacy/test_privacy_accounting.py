"""The accountant against closed forms, numerical integrals and Opacus's own classes."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from common.privacy.accounting import (
    ORDERS,
    PrivacyError,
    curve,
    epsilon_of,
    noise_for,
    spent,
)


def exact_gaussian(z: float, delta: float) -> float:
    """The least epsilon of one Gaussian release (Balle and Wang, ICML 2018, theorem 8)."""

    def excess(epsilon: float) -> float:
        first = norm.cdf(0.5 / z - epsilon * z)
        return float(first - math.exp(epsilon) * norm.cdf(-0.5 / z - epsilon * z)) - delta

    return float(brentq(excess, 0.0, 200.0))


def divergence(order: float, q: float, z: float, *, flipped: bool) -> float:
    """Rényi divergence of N(0, z^2) mixed with N(1, z^2) from N(0, z^2), or the other way."""

    def density(t: float) -> float:
        plain = norm.logpdf(t, 0.0, z)
        mixed = np.logaddexp(math.log1p(-q) + plain, math.log(q) + norm.logpdf(t, 1.0, z))
        over, under = (plain, mixed) if flipped else (mixed, plain)
        return float(np.exp(order * over + (1.0 - order) * under))

    centre = -order if flipped else order
    value, _ = quad(density, -40.0 * z + min(centre, 0), 40.0 * z + max(centre, 0), limit=400)
    return math.log(value) / (order - 1.0)


@pytest.mark.parametrize("z", [0.7, 1.0, 3.0, 12.0])
def test_a_plain_release_has_the_closed_form(z: float) -> None:
    assert curve(z) == pytest.approx(np.array(ORDERS) / (2.0 * z**2), rel=1e-12)


@pytest.mark.parametrize(("q", "z"), [(0.1, 1.0), (0.3, 2.0), (0.8, 1.5)])
@pytest.mark.parametrize("order", [1.5, 2.0, 4.0, 11.0])
def test_sampled_training_is_bounded_in_both_directions(q: float, z: float, order: float) -> None:
    stated = curve(z, q)[ORDERS.index(order)]
    added, removed = (divergence(order, q, z, flipped=flipped) for flipped in (False, True))
    assert stated == pytest.approx(max(added, removed), rel=1e-6)


@pytest.mark.parametrize("delta", [1e-3, 1e-5])
@pytest.mark.parametrize(("z", "steps"), [(1.0, 1), (3.0, 1), (12.0, 15), (30.0, 60)])
def test_epsilon_of_plain_sums_is_just_above_the_least(z: float, steps: int, delta: float) -> None:
    least = exact_gaussian(z / math.sqrt(steps), delta)
    assert least <= spent(steps, 1.0, z, delta) <= 1.2 * least


@pytest.mark.parametrize(("q", "z", "steps"), [(0.1, 1.5, 200), (0.5, 4.0, 60), (0.25, 2.5, 100)])
def test_epsilon_agrees_with_opacus(q: float, z: float, steps: int) -> None:
    renyi, numerical = RDPAccountant(), PRVAccountant()
    renyi.history = numerical.history = [(z, q, steps)]
    ours = spent(steps, q, z, 1e-4)
    theirs = renyi.get_epsilon(delta=1e-4)
    assert 0.99 * theirs < ours < 1.01 * theirs
    assert 0.87 * ours < numerical.get_epsilon(delta=1e-4) < 0.95 * ours


def test_curves_add_up() -> None:
    both = curve(2.0, 0.2, 30) + curve(5.0)
    renyi = RDPAccountant()
    renyi.history = [(2.0, 0.2, 30), (5.0, 1.0, 1)]
    theirs = renyi.get_epsilon(delta=1e-5, alphas=list(ORDERS))
    assert epsilon_of(both, 1e-5) == pytest.approx(theirs, rel=1e-12)


def test_ends_of_the_scale() -> None:
    assert spent(0, 0.5, 0.0, 1e-5) == 0.0
    assert spent(5, 0.0, 1.0, 1e-5) == 0.0
    assert spent(1, 0.5, 0.0, 1e-5) == math.inf
    assert spent(10, 0.3, 2.0, 1e-5) < spent(11, 0.3, 2.0, 1e-5)
    assert spent(10, 0.3, 2.0, 1e-5) < spent(10, 0.3, 1.9, 1e-5)
    assert spent(10, 0.3, 2.0, 1e-5) < spent(10, 0.31, 2.0, 1e-5)
    assert 0.0 < spent(1, 1e-4, 1000.0, 1e-9) < 0.1


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0, 8.0])
@pytest.mark.parametrize(("steps", "q"), [(1, 1.0), (60, 0.3)])
def test_noise_for_is_the_least_that_fits(epsilon: float, steps: int, q: float) -> None:
    z = noise_for(epsilon, 1e-4, steps, q)
    assert 0.99 * epsilon < spent(steps, q, z, 1e-4) <= epsilon
    assert spent(steps, q, z * 0.998, 1e-4) > epsilon


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
def test_an_impossible_delta_is_refused(delta: float) -> None:
    with pytest.raises(PrivacyError, match="Delta"):
        spent(1, 1.0, 1.0, delta)


@pytest.mark.parametrize(
    ("z", "q", "steps"), [(-1.0, 1.0, 1), (math.nan, 1.0, 1), (1.0, 1.5, 1), (1.0, 0.5, -1)]
)
def test_impossible_releases_are_refused(z: float, q: float, steps: int) -> None:
    with pytest.raises(PrivacyError, match="accounted"):
        curve(z, q, steps)


def test_an_impossible_budget_is_refused() -> None:
    with pytest.raises(PrivacyError, match="Epsilon"):
        noise_for(0.0, 1e-5, 1)
    with pytest.raises(PrivacyError, match="No noise"):
        noise_for(1e-6, 1e-300, 1000)


def test_nothing_here_loads_torch_before_it_must() -> None:
    modules = ("accounting", "budget", "histograms", "plan", "secret_noise", "sums")
    names = ", ".join(f"common.privacy.{name}" for name in modules)
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
