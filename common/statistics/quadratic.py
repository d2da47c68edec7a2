"""A quadratic with an L1 penalty, solved exactly: the core of the LASSO and of the L1 head.

Minimises 1/2 z'Hz - c'z + sum_j penalty_j |z_j| over z for a positive semi-definite H.

Within one pattern of signs the objective is a plain quadratic, solved by Cholesky. The search
moves to that solution, or as far as the first coefficient that would change its sign, which then
leaves; once all signs hold, the excluded feature that violates its optimality condition most
enters. The objective falls at every step, so the search ends, at the exact minimum rather than
within a tolerance (an active-set search, in the line of M. R. Osborne, B. Presnell, B. A. Turlach,
IMA J Numer Anal 2000;20:389-403, and of the feature-sign search of H. Lee et al., NIPS 2006).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dposv

from common.statistics.checks import Floats, StatisticsError

TOLERANCE = 1e-11
RIDGE = 1e-12


def minimise_l1(hessian: Floats, linear: Floats, penalty: Floats, start: Floats) -> Floats:
    """Return the minimiser z (q,).

    Args:
        hessian: (q, q) symmetric, positive semi-definite.
        linear: (q,) the vector c.
        penalty: (q,) zero or more; 0 leaves a coefficient free.
        start: (q,) where to begin, such as the solution of a neighbouring problem.

    Raises:
        StatisticsError: if the search does not end, as for a matrix that is not positive
            semi-definite.
    """
    free = penalty == 0.0
    z = start.copy()
    sign = np.where(free, 0.0, np.sign(z))
    active = [int(j) for j in np.flatnonzero(free | (z != 0.0))]
    # The scale of rounding in the gradient: what the penalties are set against.
    tolerance = TOLERANCE * max(float(np.abs(linear).max(initial=0.0)), np.finfo(float).tiny)
    # Features that entered and had to leave at once, which only rounding brings about: they wait
    # until another has entered for good.
    refused: list[int] = []
    entering = -1
    for _ in range(200 + 50 * z.size):
        if active:
            chosen = np.array(active)
            shift = np.where(free[chosen], 0.0, penalty[chosen]) * sign[chosen]
            aim = _solve(hessian[np.ix_(chosen, chosen)], linear[chosen] - shift)
            here = z[chosen]
            turned = np.flatnonzero((aim * sign[chosen] <= 0.0) & ~free[chosen])
            if turned.size:
                reach = here[turned] / (here[turned] - aim[turned] + (here[turned] == aim[turned]))
                step = float(reach.min())
                refused = [*refused, *chosen[turned[reach <= step]]] if step == 0.0 else []
                here = here + step * (aim - here)
                here[turned[reach <= step]] = 0.0
                z[chosen] = here
                active = [j for j in active if free[j] or z[j] != 0.0]
                continue
            z[chosen] = aim
            refused = [] if active[-1] == entering else refused
            gradient = z[chosen] @ hessian[chosen] - linear
        else:
            gradient = -linear
        violation = np.abs(gradient) - penalty
        violation[active] = violation[refused] = -np.inf
        # Ties within rounding go to the lowest index, whatever the order of the sites.
        worst = float(violation.max(initial=-np.inf))
        if worst <= tolerance:
            return z
        entering = int(np.flatnonzero(violation >= worst - tolerance)[0])
        sign[entering] = -np.sign(gradient[entering])
        active.append(entering)
    raise StatisticsError(
        "The search for a sparse solution did not end.",
        "The sums of the sites are not those of any rows: check that all sum the same features.",
    )


def _solve(matrix: Floats, right: Floats) -> Floats:
    """Solve a symmetric system; a singular one with the least ridge that makes it regular."""
    _, solution, failed = dposv(matrix, right)
    ridge = RIDGE * max(float(np.diag(matrix).max()), np.finfo(float).tiny)
    while failed:
        _, solution, failed = dposv(matrix + ridge * np.eye(len(matrix)), right)
        if ridge > 1e6 * (1.0 + float(np.abs(matrix).max())):
            raise StatisticsError("A matrix of sums is not finite.", "Check the sites' sums.")
        ridge *= 10.0
    return np.asarray(solution, dtype=np.float64).reshape(right.shape)
