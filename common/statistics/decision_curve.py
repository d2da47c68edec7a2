"""The decision curve: net benefit over threshold probabilities, from score histograms.

Whoever examines with gadolinium all whose predicted chance of scar is at least p would accept
(1 - p) / p examinations without scar for each one with scar. The net benefit is the share of
patients rightly examined, less that of those examined without scar, at that rate of exchange
(A. J. Vickers, E. B. Elkin, Med Decis Making 2006;26:565-574).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.calibration import check_predicted
from common.statistics.checks import Array, Floats, StatisticsError, as_floats
from common.statistics.scores import check_histogram


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit, a patient, at each threshold (n,): by the model, of examining all, of none (0).

    `avoided` is the net reduction of examinations a patient against examining all, at no patient
    with scar more missed: (model - everybody) (1 - p) / p.
    """

    thresholds: Floats
    model: Floats
    everybody: Floats
    avoided: Floats


def decision_curve(
    histogram: Array, thresholds: Array, predicted: Array | None = None
) -> DecisionCurve:
    """Return the net benefits at `thresholds`.

    Args:
        histogram: (2, 1001) counts; row 0 negatives, row 1 positives.
        thresholds: (n,) probabilities, each above 0 and below 1.
        predicted: (1001,) probability of each bin; its score by default.

    Raises:
        StatisticsError: if there are no patients, or a threshold is not strictly between 0 and 1.
    """
    counts = check_histogram(histogram, both_classes=False).astype(np.float64)
    chance = check_predicted(predicted)
    chosen = as_floats(thresholds, "The thresholds", 1)
    if ((chosen <= 0.0) | (chosen >= 1.0)).any():
        raise StatisticsError(
            "A threshold probability is not between 0 and 1.", "At 0 and 1 the odds have no value."
        )
    patients = counts.sum()
    if patients == 0:
        raise StatisticsError("There are no patients among the scores.", "Net benefit needs some.")
    # A score that equals the threshold is above it, as everywhere; steps of 1/1000 may differ from
    # it in the last bit.
    called = chance[None, :] >= chosen[:, None] - 1e-12
    odds = chosen / (1.0 - chosen)
    model = (called @ counts[1] - odds * (called @ counts[0])) / patients
    everybody = (counts[1].sum() - odds * counts[0].sum()) / patients
    return DecisionCurve(chosen, model, everybody, (model - everybody) / odds)
