"""Score histograms that hide each patient, and the AUC that can be read from them.

Of two cohorts that differ by one patient, the histograms of M models differ by 1 in one bin each:
the sensitivity is sqrt M in the L2 norm. Noise in a bin does not depend on how many patients are in
it, so bins are made few first. Round for round such histograms would cost more than the training,
so with privacy on only the last ones are released; the loss of a round is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError
from common.privacy.secret_noise import SecretNoise
from common.statistics.scores import BINS, STEPS

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

COARSE = 20
"""Bins of a private histogram, unless the caller says otherwise."""


class NoisyMetric(MyoFedError):
    """A metric cannot be read from noisy counts."""

    code = "private-metric-unreadable"
    public = "The noise of the privacy budget hides this metric."


@dataclass(frozen=True)
class NoisyAuc:
    """An AUC in [0, 1], and the standard deviation that the noise alone gives it."""

    auc: float
    noise_sd: float


def coarse(histograms: Ints, bins: int = COARSE) -> NDArray[np.int64]:
    """Join neighbouring bins: (..., b) counts become (..., bins); b is `bins` or more.

    The bins are as even as can be: fine bin k goes to floor(k bins / b).
    """
    fine = histograms.shape[-1]
    if not 1 <= bins <= fine:
        raise NoisyMetric(f"{fine} bins were to become {bins}.", "Ask for fewer bins, 1 or more.")
    starts = -(-np.arange(bins) * fine // bins)
    return np.asarray(np.add.reduceat(histograms, starts, axis=-1), dtype=np.int64)


def private_histograms(histograms: Ints, noise_multiplier: float, noise: SecretNoise) -> Floats:
    """Add noise to the histograms (M, 2, b) of M models: normal, sd noise_multiplier x sqrt M.

    Every patient must be counted at most once a model.
    """
    if histograms.ndim != 3 or histograms.shape[1] != 2:
        raise NoisyMetric(
            f"Histograms have the shape {histograms.shape}.", "Give (models, 2 classes, bins)."
        )
    scale = noise_multiplier * float(np.sqrt(len(histograms)))
    return noise.added_to(histograms.astype(np.float64), scale)


def noisy_threshold(positive: Floats, target: float, bin_sd: float) -> float:
    """Read a threshold from the noisy counts (b,) of positive patients by score.

    Of the bins' lower edges the highest is taken, in steps of 1/1000, below which so few positive
    patients lie that the sensitivity is at least `target`, with one standard deviation of the noise
    (`bin_sd` a bin) to spare both in their number and in that of all. Where the noise leaves no
    such edge it is 0: everybody counts as positive, and nobody is spared an examination wrongly.
    """
    counts = np.asarray(positive, np.float64)
    below = np.arange(counts.size)
    missed = np.concatenate([[0.0], np.cumsum(counts)[:-1]]) + bin_sd * np.sqrt(below)
    everybody = float(counts.sum()) - bin_sd * np.sqrt(counts.size)
    if everybody <= 0.0:
        return 0.0
    # Counts cannot fall as the edge rises: what noise says otherwise is not believed.
    edge = int(np.flatnonzero(np.maximum.accumulate(missed) <= (1.0 - target) * everybody)[-1])
    return float(-(-edge * BINS // counts.size)) / STEPS


def noisy_auc(histogram: Floats, bin_sd: float) -> NoisyAuc:
    """Read the AUC from a noisy histogram (2, b), summed over sites; ties count half.

    With counts a of negatives and b of positives, and K the order of bins (1 above, 1/2 on the
    diagonal), AUC = b'Ka / (sum b sum a). Both factors of the numerator are unbiased and
    independent. Its variance by the delta method, with the term of both noises:
    s^2 |Ka/(nm) - A/m|^2 + s^2 |K'b/(nm) - A/n|^2 + s^4 |K - A|^2/(nm)^2, n and m the patients of
    each class, s = `bin_sd`.

    Raises
    ------
    NoisyMetric
        A class has too few patients for the noise: its count is not above 2 standard deviations.
    """
    negative, positive = np.asarray(histogram, dtype=np.float64)
    size = negative.size
    n, m = float(negative.sum()), float(positive.sum())
    if min(n, m) <= 2.0 * bin_sd * np.sqrt(size):
        raise NoisyMetric(
            f"The noisy counts of the classes are {n:.1f} and {m:.1f}; their noise is "
            f"{bin_sd * np.sqrt(size):.1f}.",
            "Have more patients, a larger epsilon, or fewer bins.",
        )
    order = np.tri(size, k=-1) + 0.5 * np.eye(size)
    below, above = order @ negative, order.T @ positive
    auc = float(positive @ below / (n * m))
    variance = (
        bin_sd**2
        * (np.sum((below / (n * m) - auc / m) ** 2) + np.sum((above / (n * m) - auc / n) ** 2))
        + bin_sd**4 * np.sum((order - auc) ** 2) / (n * m) ** 2
    )
    return NoisyAuc(min(1.0, max(0.0, auc)), float(np.sqrt(variance)))
