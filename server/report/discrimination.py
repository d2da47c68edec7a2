"""Section 2: ROC curves, tables 3 and 4 of the paper, and the gadolinium that would be spared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.heads import MODELS
from common.statistics.auc import normal_quantile
from common.statistics.operating_point import ConfusionCounts
from common.statistics.roc import RocCurve, roc_curve
from common.statistics.wilson import Proportion, wilson
from server.report.canvas import Picture
from server.report.charts import shares
from server.report.curves import roc_picture
from server.report.populations import Population
from server.report.record import FinishedRun, Result
from server.report.words import percent

PUBLISHED = {
    "radiomics": {"internal": 0.78, "external": 0.71, "spared": (0.42, 0.16)},
    "deep": {"internal": 0.77, "external": 0.64, "spared": (0.42, 0.23)},
    "fused": {"internal": 0.83, "external": 0.74, "spared": (0.43, 0.28)},
}
"""What the abstract of Fahmy et al. 2022 gives: AUC in 159 internal and 100 external patients, and
the share of patients without scar that the model found."""


@dataclass(frozen=True)
class Curve:
    """A model's ROC curve: the picture, and its corners as rows."""

    model: str
    picture: Picture
    corners: RocCurve


@dataclass(frozen=True)
class Spared:
    """What the frozen threshold would do: who is spared gadolinium, and who is missed for it."""

    model: str
    counts: ConfusionCounts
    spared: Proportion | None
    missed: Proportion | None
    among_spared: Proportion | None
    fewer: Proportion | None


@dataclass(frozen=True)
class Pair:
    """DeLong's comparison of two models on the same patients, with Holm's correction."""

    a: str
    b: str
    difference: float
    bounds: list[float] | None
    z: float | None
    p: float | None
    corrected: float | None


def context(run: FinishedRun, groups: Sequence[Population]) -> dict[str, Any]:
    """Gather what the section's template reads."""
    external = run.results["external"]
    pooled = run.results["pooled_external"]
    return {
        "curves": {group.name: curves(group) for group in groups if group.drawn},
        "groups": groups,
        "comparisons": {site: pairs(own["comparisons"]) for site, own in external.items()},
        "pooled": pooled,
        "pooled_comparisons": [] if pooled is None else pairs(pooled["comparisons"]),
        "spared": {group.name: spared(group) for group in groups if group.external},
        "spared_pictures": {
            group.name: _spared_picture(group) for group in groups if group.external
        },
        "folds": {site: own["folds"] for site, own in external.items()},
        "unharmonized": {site: own["unharmonized"] for site, own in external.items()},
        "published": PUBLISHED if is_scar(run) else None,
        "is_scar": is_scar(run),
    }


def is_scar(run: FinishedRun) -> bool:
    """Say whether the study is about scar, as the paper is: only then gadolinium is spared."""
    return run.study.outcome.positive.lower() == "scar"


def curves(group: Population) -> list[Curve]:
    """Draw the models' ROC curves."""
    found = []
    for own in group.models.values():
        if own.histogram is not None:
            corners = roc_curve(own.histogram)
            found.append(Curve(own.model, roc_picture(group, own, corners), corners))
    return found


def pairs(comparisons: Sequence[Result]) -> list[Pair]:
    """Read DeLong's comparisons; the interval follows from the difference and its z."""
    from statsmodels.stats.multitest import multipletests

    known = [one["p"] for one in comparisons if one["p"] is not None]
    corrected = iter(multipletests(known, method="holm")[1].tolist() if known else [])
    found = []
    for one in comparisons:
        difference, z, p = one["difference"], one["z"], one["p"]
        bounds = None
        if z:
            margin = normal_quantile(0.95) * abs(difference / z)
            bounds = [difference - margin, difference + margin]
        holm = None if p is None else next(corrected)
        found.append(Pair(one["a"], one["b"], difference, bounds, z, p, holm))
    return found


def spared(group: Population) -> list[Spared]:
    """Say of each model what its frozen threshold would do to the patients of a group."""
    found = []
    for model in MODELS:
        counts = group.models[model].counts
        if counts is None:
            continue
        tp, fp, tn, fn = counts.tp, counts.fp, counts.tn, counts.fn
        found.append(
            Spared(
                model,
                counts,
                wilson(tn, tn + fp),
                wilson(fn, tp + fn),
                wilson(fn, tn + fn),
                wilson(tn + fn, tp + fp + tn + fn),
            )
        )
    return found


def _spared_picture(group: Population) -> Picture | None:
    found = spared(group)
    if not found:
        return None
    has = group.outcome
    parts = (
        f"spared, no {has}",
        f"spared, {has} missed",
        f"examined, no {has}",
        f"examined, {has}",
    )
    rows = {
        one.model: (one.counts.tn, one.counts.fn, one.counts.fp, one.counts.tp) for one in found
    }
    said = "; ".join(
        f"{one.model}: {one.counts.tn} of {one.counts.tn + one.counts.fp} without {has} spared "
        f"({percent(one.spared.value) if one.spared else ''}), {one.counts.fn} of "
        f"{one.counts.tp + one.counts.fn} with {has} missed"
        for one in found
    )
    alternative = f"What the frozen threshold would do at {group.name}. {said}."
    return shares(f"spared-{group.key}", alternative, rows, parts)
