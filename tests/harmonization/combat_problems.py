"""Random ComBat problems, and two independent pooled answers to them.

``naive`` fits one design matrix with a column a batch, on all rows at once, and loops over
features and batches as the paper's formulas do. ``neuro`` runs neuroCombat with its stop rule
tightened, so that both are compared at the fixed point.
"""

import contextlib
import importlib
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harmonization import CovariateSpec, combat_sums, design_matrix, estimate_batches, harmonize
from harmonization import solve_reference as solve

# the package replaces this module's name by its function
nc = importlib.import_module("neuroCombat.neuroCombat")

SPEC = CovariateSpec(("age", "bmi"), {"sex": ("F", "M"), "vendor": ("GE", "Philips", "Siemens")})
CATEGORICAL = ["sex", "vendor"]
CONTINUOUS = ["age", "bmi"]


@dataclass
class Problem:
    x: np.ndarray
    z: np.ndarray
    batch: np.ndarray
    table: pd.DataFrame
    site: np.ndarray


def problem(seed, features=(4, 14), sites=(2, 6), rows=(4, 40)):
    """Sites of unequal size; one in three sites has two scanners, and these are the batches."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(*features, endpoint=True))
    labels, site = [], []
    for s in range(int(rng.integers(*sites, endpoint=True))):
        for scanner in range(1 + (rng.random() < 1 / 3)):
            n = int(rng.integers(*rows, endpoint=True))
            labels += [f"site{s}/{scanner}"] * n
            site += [s] * n
    n = len(labels)
    table = pd.DataFrame(
        {
            "batch": labels,
            # neuroCombat reads numbers as float32
            "age": rng.uniform(20, 90, n).astype(np.float32).astype(float),
            "bmi": rng.normal(26, 4, n).astype(np.float32).astype(float),
            "sex": rng.choice(["F", "M"], n, p=[0.3, 0.7]),
            "vendor": rng.choice(["GE", "Philips", "Siemens"], n),
        }
    )
    order = rng.permutation(n)
    table, site = table.iloc[order].reset_index(drop=True), np.array(site)[order]
    z = design_matrix(SPEC, {c: list(table[c]) for c in SPEC.columns}).z
    batch = table["batch"].to_numpy()
    _, codes = np.unique(batch, return_inverse=True)
    k = codes.max() + 1
    noise = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, size=(k, p))[codes]
    x = noise + rng.normal(size=(k, p))[codes] + z @ rng.normal(size=(z.shape[1], p)) * 0.05
    size = 10.0 ** rng.uniform(-2, 3, p)
    return Problem((x + rng.normal(size=p)) * size, z, batch, table, site)


def distributed(q, mode, reference_batch=None, two_rounds=False):
    """Every site by itself, as the package is meant to be used."""
    from harmonization import residual_sums, solve_beta

    sites = [q.site == s for s in np.unique(q.site)]
    own = [(q.x[r], q.z[r], q.batch[r]) for r in sites]
    sums = [combat_sums(*a, reference_batch=reference_batch) for a in own]
    total = sums[0]
    for more in sums[1:]:
        total = total + more
    residuals = None
    if two_rounds:
        beta = solve_beta(total)
        parts = [residual_sums(*a, beta, reference_batch=reference_batch) for a in own]
        residuals = parts[0]
        for more in parts[1:]:
            residuals = residuals + more
    reference = solve(total, residuals, reference_batch=reference_batch)
    out = np.empty_like(q.x)
    for rows, args in zip(sites, own, strict=True):
        effects = estimate_batches(*args, reference, mode)
        out[rows] = harmonize(*args, reference, effects)
    return out, reference


FLAGS = {
    "parametric": {},
    "nonparametric": {"parametric": False},
    "mean_only": {"mean_only": True},
    "none": {"eb": False},
    "mean_only_none": {"eb": False, "mean_only": True},
}


def neuro(q, mode, monkeypatch, reference_batch=None):
    stop = nc.it_sol
    with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(nc, "it_sol", lambda *a: stop(*a, conv=1e-12))
        patch.setattr(np, "int", int, raising=False)  # removed from NumPy; ref_batch needs it
        found = nc.neuroCombat(
            dat=q.x.T.copy(),
            covars=q.table,
            batch_col="batch",
            categorical_cols=CATEGORICAL,
            continuous_cols=CONTINUOUS,
            ref_batch=reference_batch,
            **FLAGS[mode],
        )
    return found["data"].T


def naive(q, mode, reference_batch=None):
    names = np.unique(q.batch)
    hot = (q.batch[:, None] == names).astype(float)
    design = np.hstack([hot, q.z])
    coef = np.linalg.lstsq(design, q.x, rcond=None)[0]
    residual = q.x - design @ coef
    if reference_batch is None:
        alpha = hot.mean(axis=0) @ coef[: len(names)]
        sigma = np.sqrt((residual**2).mean(axis=0))
    else:
        alpha = coef[list(names).index(reference_batch)]
        sigma = np.sqrt((residual[q.batch == reference_batch] ** 2).mean(axis=0))
    fitted = alpha + q.z @ coef[len(names) :]
    s = (q.x - fitted) / sigma
    out = q.x.copy()
    for name in names:
        if name == reference_batch:
            continue
        rows = np.flatnonzero(q.batch == name)
        gamma, delta = _naive_effect(s[rows], mode)
        out[rows] = (s[rows] - gamma) / np.sqrt(delta) * sigma + fitted[rows]
    return out


def _naive_effect(s, mode):
    n, p = s.shape
    if n == 1:
        return s[0], np.full(p, np.nan)
    g_hat, d_hat = s.mean(axis=0), s.var(axis=0, ddof=1)
    bar, t2 = g_hat.mean(), g_hat.var(ddof=1)
    if mode == "none":
        return g_hat, d_hat
    if mode == "mean_only_none":
        return g_hat, np.ones(p)
    if mode == "mean_only":
        return (t2 * g_hat + bar) / (t2 + 1), np.ones(p)
    g, d = g_hat.copy(), d_hat.copy()
    if mode == "nonparametric":
        for i in range(p):
            rest = [j for j in range(p) if j != i]
            like = np.array(
                [
                    np.prod(
                        np.exp(-((s[:, i] - g_hat[j]) ** 2) / (2 * d_hat[j]))
                        / np.sqrt(2 * np.pi * d_hat[j])
                    )
                    for j in rest
                ]
            )
            g[i] = like @ g_hat[rest] / like.sum()
            d[i] = like @ d_hat[rest] / like.sum()
        return g, d
    m, v = d_hat.mean(), d_hat.var(ddof=1)
    a, b = (2 * v + m**2) / v, (m * v + m**3) / v
    for _ in range(500):
        g = (t2 * n * g_hat + d * bar) / (t2 * n + d)
        d = (((s - g) ** 2).sum(axis=0) / 2 + b) / (n / 2 + a - 1)
    return g, d


def worst(found, expected, x):
    """Largest difference, in standard deviations of the feature."""
    return float((np.abs(found - expected) / x.std(axis=0)).max())
