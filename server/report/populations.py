"""The groups of patients whose scores the report draws: each external site, and the validation
patients of the training sites.

The evidence is checked against the results before anything is drawn from it: a curve that does not
belong to the number beside it would be worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import RunError
from common.heads import MODELS, SCORED
from common.statistics.auc import auc_from_histogram
from common.statistics.operating_point import ConfusionCounts, Proportions, proportions
from common.statistics.scores import STEPS
from server.report.record import FinishedRun, Result

VALIDATION = "validation"
AGREES = 1e-9


@dataclass(frozen=True, eq=False)
class Scored:
    """One model on one group of patients: histogram (2, 1001), AUC, what the threshold does."""

    model: str
    histogram: NDArray[np.int64] | None
    auc: float | None
    auc_ci: list[float] | None
    threshold: float
    counts: ConfusionCounts | None

    @property
    def shares(self) -> Proportions | None:
        """Sensitivity, specificity and predictive values with Wilson's intervals."""
        return None if self.counts is None else proportions(self.counts)


@dataclass(frozen=True, eq=False)
class Population:
    """A group of patients and the three models on it; `external` for an external site.

    `outcome` is what the study calls its positive class.
    """

    name: str
    outcome: str
    external: bool
    positive: int | None
    negative: int | None
    models: dict[str, Scored]

    @property
    def drawn(self) -> bool:
        """Whether there are histograms to draw curves from."""
        return all(own.histogram is not None for own in self.models.values())

    @property
    def title(self) -> str:
        """What a caption calls it."""
        return self.name if self.external else "validation patients of the training sites"

    @property
    def key(self) -> str:
        """What an identifier in the page calls it."""
        return self.name if self.external else "internal"


def populations(run: FinishedRun) -> list[Population]:
    """Gather the groups: validation patients first, then the external sites.

    Raises
    ------
    RunError
        The evidence is not that of the results.
    """
    found = [_validation(run)]
    found += [_external(run, site, own) for site, own in run.results["external"].items()]
    return found


def _validation(run: FinishedRun) -> Population:
    """Take the pooled histograms; where they have noise, what the results say of them."""
    seen = None if run.evidence is None else run.evidence.validation
    models = {}
    for model in MODELS:
        said, threshold = run.results["validation"][model], run.results["thresholds"][model]
        own = None if seen is None else seen[SCORED.index((model, "harmonized"))]
        if own is not None and own.sum(axis=1).min() == 0:
            own = None
        if own is not None:
            _compare(auc_from_histogram(own).auc, said["pooled"]["auc"], "validation patients")
        counts = None if own is None else _confusion(own, threshold)
        auc = said.get("auc", said["pooled"]["auc"])
        models[model] = Scored(model, own, auc, said.get("auc_ci"), threshold, counts)
    totals = [None if one.counts is None else one.counts for one in models.values()]
    first = totals[0]
    positive = None if first is None else first.tp + first.fn
    negative = None if first is None else first.tn + first.fp
    return Population(VALIDATION, run.study.outcome.positive, False, positive, negative, models)


def _external(run: FinishedRun, site: str, said: Result) -> Population:
    seen = None if run.evidence is None else run.evidence.external.get(site)
    if run.evidence is not None and seen is None:
        raise RunError(
            f"The evidence of {run.path} lacks the external site {site}.",
            "Take evidence.json and results.json from one run.",
        )
    models = {}
    for model in MODELS:
        own = None if seen is None else seen[SCORED.index((model, "harmonized"))]
        result, threshold = said["models"][model], run.results["thresholds"][model]
        counts = ConfusionCounts(**result["confusion"])
        if own is not None:
            _compare(auc_from_histogram(own).auc, result["auc"], site)
            if _confusion(own, threshold) != counts:
                _disagree(site)
        models[model] = Scored(model, own, result["auc"], result["auc_ci"], threshold, counts)
    patients = said["patients"]
    return Population(
        site, run.study.outcome.positive, True, patients["positive"], patients["negative"], models
    )


def _confusion(histogram: NDArray[np.int64], threshold: float) -> ConfusionCounts:
    edge = round(threshold * STEPS)
    (tn, fp), (fn, tp) = ((int(row[:edge].sum()), int(row[edge:].sum())) for row in histogram)
    return ConfusionCounts(tp=tp, fp=fp, tn=tn, fn=fn)


def _compare(drawn: float, said: float | None, where: str) -> None:
    if said is None or abs(drawn - said) > AGREES:
        _disagree(where)


def _disagree(where: str) -> None:
    raise RunError(
        f"The evidence of {where} is not that of its results.",
        "Take evidence.json and results.json from one run.",
    )
