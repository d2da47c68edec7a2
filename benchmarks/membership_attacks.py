"""Membership inference from the scores of released models: the mathematics, without any training.

R releases scored the same P patients, and each patient took part in some of the releases. All
arrays of pairs are (R, P): release by patient. An attack gives every pair a number, the higher the
more it looks like a member; only how it ranks members and others is judged.

Pairs that are not `counted` stand on neither side: they are not judged, and are no reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CLIP = 1e-3
"""Scores are shared in steps of 1/1000: a score of 0 or 1 is read as one step away from it."""

FALSE_ALARMS = 0.01

LEAST_VARIANCE = 1e-4
"""Of a confidence, in squared logits: references that agree exactly would make any shift certain.
One step of a score is worth 0.004 logits or more."""


def confidences(scores: Floats, labels: NDArray[np.int64]) -> Floats:
    """log(p / (1 - p)) of each patient's true class (R, P), from scores (R, P) and labels (P,)."""
    true = np.where(labels == 1, scores, 1.0 - scores)
    clipped = np.clip(true, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def by_threshold(confidence: Floats) -> Floats:
    """Minus the log-loss: one threshold for all patients (Yeom et al., CSF 2018)."""
    return np.asarray(-np.logaddexp(0.0, -confidence))


def by_likelihood_ratio(confidence: Floats, member: Flags, counted: Flags) -> Floats:
    """Log-likelihood ratio of having been there (Carlini et al., S&P 2022, the online attack).

    Each release in turn is the target, and all others are reference models, of which the attacker
    knows who was in them. A patient's confidence is normal about one mean in the references that
    had it, and about another in those that had not. A dozen references tell little of one patient,
    so the patients lend to each other. The variance is pooled over all of them and both sides. The
    distance of a patient's two means is drawn towards the mean distance: the more, the less the
    distances differ beyond their noise (empirical Bayes; Efron and Morris, J Am Stat Assoc
    1973;68:117).

    Raises ValueError where the references say nothing at all: fewer than three releases, or no
    patient that was in one reference and not in another.
    """
    if len(confidence) < 3:
        raise ValueError("a likelihood ratio needs three releases or more")
    ratios = np.empty_like(confidence)
    for target in range(len(confidence)):
        others = np.arange(len(confidence)) != target
        outside, shift, variance = _fitted(confidence[others], member[others], counted[others])
        apart = confidence[target] - outside
        ratios[target] = (apart**2 - (apart - shift) ** 2) / (2.0 * variance)
    # Of a patient whom no reference counts, nothing is known.
    return np.nan_to_num(ratios, nan=0.0)


def _fitted(told: Floats, had: Flags, known: Flags) -> tuple[Floats, Floats, float]:
    """Each patient's mean without it (P,), how much more it is with it (P,), and the variance."""
    with_it, without = _Side.of(told, had & known), _Side.of(told, ~had & known)
    both = (with_it.counts > 0) & (without.counts > 0)
    if not both.any():
        raise ValueError("no patient was in one reference model and not in another")
    freedom = sum(float(np.maximum(one.counts - 1, 0).sum()) for one in (with_it, without))
    squares = float(with_it.squares.sum() + without.squares.sum())
    variance = max(squares / max(freedom, 1.0), LEAST_VARIANCE)
    own = (with_it.means - without.means)[both]
    noise = variance * (1.0 / with_it.counts[both] + 1.0 / without.counts[both])
    usual, differs = own.mean(), max(float(own.var() - noise.mean()), 0.0)
    shift = np.full(both.size, usual)
    shift[both] += differs / (differs + noise) * (own - usual)
    either = _Side.of(np.where(had, told - shift, told), known)
    return either.means, shift, variance


@dataclass(frozen=True)
class _Side:
    """Of each patient: how many references, their mean (NaN for none), squares about the mean."""

    counts: NDArray[np.int64]
    means: Floats
    squares: Floats

    @classmethod
    def of(cls, confidence: Floats, chosen: Flags) -> _Side:
        counts = chosen.sum(axis=0)
        sums = np.where(chosen, confidence, 0.0).sum(axis=0)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        apart = np.where(chosen, confidence - means, 0.0)
        return cls(counts, means, (apart**2).sum(axis=0))


class Ranking:
    """How an attack ranks the counted pairs; patients may be weighted, as a bootstrap does."""

    def __init__(self, told: Floats, member: Flags, counted: Flags) -> None:
        self.patients = told.shape[1]
        self._member = member[counted]
        self._owner = np.nonzero(counted)[1]
        values, self._place = np.unique(told[counted], return_inverse=True)
        self._levels = values.size

    def auc(self, weights: Floats | None = None) -> float:
        """Chance that a member's pair stands above another's; ties count half."""
        members, others = self._heights(weights)
        below = np.cumsum(others) - others
        return float(members @ (below + others / 2.0) / (members.sum() * others.sum()))

    def found(self, false_alarms: float, weights: Floats | None = None) -> float:
        """Share of members above the lowest threshold with no more than this share of others."""
        members, others = self._heights(weights)
        above = np.cumsum(others[::-1]) / others.sum()
        allowed = above <= false_alarms + 1e-12
        return float(members[::-1][allowed].sum() / members.sum())

    def interval(self, seed: int, resamples: int = 1000) -> tuple[float, float]:
        """95 % interval of the AUC: patients are drawn anew, each with all its releases."""
        generator = np.random.default_rng(seed)
        even = np.full(self.patients, 1.0 / self.patients)
        drawn = generator.multinomial(self.patients, even, size=resamples).astype(np.float64)
        found = [self.auc(weights) for weights in drawn]
        low, high = np.nanquantile(found, [0.025, 0.975])
        return float(low), float(high)

    def _heights(self, weights: Floats | None) -> tuple[Floats, Floats]:
        """Weight of members' pairs, and of others', at each value from the lowest."""
        own = np.ones(self._owner.size) if weights is None else weights[self._owner]
        members, others = (
            np.bincount(self._place[side], weights=own[side], minlength=self._levels)
            for side in (self._member, ~self._member)
        )
        return members, others


@dataclass(frozen=True, eq=False)
class Told:
    """What the releases told of the pool.

    `labels` (P,) 0/1 and `sites` (P,) names; `enrolled` (R, P) who took part, `trained` (R, P)
    whose slices were trained on; `scores` (R, P) by model.
    """

    labels: NDArray[np.int64]
    sites: NDArray[np.str_]
    enrolled: Flags
    trained: Flags
    scores: dict[str, Floats]


def judged(told: Told, seed: int) -> dict[str, Any]:
    """For each model how well both attacks do, and beside it how good the model is."""
    groups = {
        "enrolled": np.ones_like(told.enrolled),
        # Patients who only validate shaped the model less: here they are on neither side. Those who
        # always do are left out altogether, else they would be among the others only.
        "trained": (told.trained | ~told.enrolled) & told.trained.any(axis=0),
    }
    found: dict[str, Any] = {}
    for model, scores in told.scores.items():
        confidence = confidences(scores, told.labels)
        attacks: dict[str, Any] = {"threshold": {}, "likelihood ratio": {}}
        for who, counted in groups.items():
            ratio = by_likelihood_ratio(confidence, told.enrolled, counted)
            for attack, values in zip(attacks, (by_threshold(confidence), ratio), strict=True):
                ranking = Ranking(values, told.enrolled, counted)
                attacks[attack][who] = {
                    "auc": ranking.auc(),
                    "interval": ranking.interval(seed),
                    "found": ranking.found(FALSE_ALARMS),
                }
        found[model] = {
            "attacks": attacks,
            "auc_of_members": outcome_auc(scores, told, told.enrolled),
            "auc_of_others": outcome_auc(scores, told, ~told.enrolled),
        }
    return found


def outcome_auc(scores: Floats, told: Told, chosen: Flags) -> float:
    """How well scores tell the classes apart: mean of the AUC over releases and sites."""
    found = []
    for own, here in zip(scores, chosen, strict=True):
        for site in np.unique(told.sites):
            these = here & (told.sites == site)
            everybody = np.ones((1, int(these.sum())), np.bool_)
            found.append(Ranking(own[None, these], told.labels[None, these] == 1, everybody).auc())
    return float(np.mean(found))
