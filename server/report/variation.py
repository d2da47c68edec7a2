"""Section 4: harmonisation, subgroups, stability, the influence of sites, and the rest of the
paper; each is there if the study asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.heads import MODELS
from server.report.bulls_eye import SEGMENTS, bulls_eye
from server.report.canvas import Picture
from server.report.charts import Row, distributions, folds_of_features, forest, paired_bars
from server.report.record import FinishedRun, Result
from server.report.words import decimal, with_interval

MOST_FEATURES = 25
"""Features in the table of those that tell the batches most."""

MOST_DRAWN = 15
"""Features in a picture; the table beside it holds all of them."""


@dataclass(frozen=True)
class Harmonized:
    """Share of variance between batches, over features, before and after; and its picture."""

    features: int
    rows: list[tuple[str, float, float]]
    most: list[tuple[str, float, float]]
    picture: Picture


@dataclass(frozen=True)
class Stability:
    """In how many folds each feature of a model was selected."""

    model: str
    folds: int
    features: dict[str, int]
    always: int
    picture: Picture | None


def context(run: FinishedRun) -> dict[str, Any]:
    """Gather what the section's template reads; None for what the study did not ask for."""
    features = run.optional("harmonization_features")
    subgroups = run.optional("subgroups")
    attention = run.optional("attention")
    return {
        "harmonized": harmonized(features) if features else None,
        "site_card": run.optional("site_card"),
        "subgroups": subgroups,
        "subgroup_pictures": {
            site: subgroup_picture(site, rows) for site, rows in (subgroups or {}).items()
        },
        "stability": stability(run),
        "left_out": run.left_out,
        "left_out_pictures": {} if run.left_out is None else left_out_pictures(run.left_out),
        "attention": attention,
        "attention_pictures": {
            site: attention_pictures(site, own, run.study.outcome.positive)
            for site, own in (attention or {}).items()
        },
        "comparison": run.optional("comparison"),
        "reduction": run.optional("reduction"),
        "search": run.optional("search"),
    }


def harmonized(features: Mapping[str, Result]) -> Harmonized:
    """Summarise how much of each feature's variance lies between batches, before and after."""
    names = list(features)
    before = np.array([features[name]["before"] for name in names], dtype=np.float64)
    after = np.array([features[name]["after"] for name in names], dtype=np.float64)
    summary = {
        "first quartile": 25,
        "median": 50,
        "third quartile": 75,
        "95th percentile": 95,
        "largest": 100,
    }
    rows = [
        (said, float(np.nanpercentile(before, at)), float(np.nanpercentile(after, at)))
        for said, at in summary.items()
    ]
    order = np.argsort(-np.nan_to_num(after), kind="stable")[:MOST_FEATURES]
    most = [(names[at], float(before[at]), float(after[at])) for at in order]
    alternative = (
        f"Cumulative distribution over {len(names)} radiomic features of the share of variance "
        f"between batches: median {decimal(rows[1][1])} before and {decimal(rows[1][2])} after "
        "harmonisation."
    )
    label = "Share of a feature's variance between batches (eta squared)"
    picture = distributions(
        "harmonisation",
        alternative,
        before[~np.isnan(before)].tolist(),
        after[~np.isnan(after)].tolist(),
        label,
    )
    return Harmonized(len(names), rows, most, picture)


def stability(run: FinishedRun) -> list[Stability]:
    """Count the folds that selected each feature, for each model."""
    folds = run.study.folds
    found = []
    for model in MODELS:
        features: dict[str, int] = run.results["selected_in_folds"][model]
        shown = dict(list(features.items())[:MOST_DRAWN])
        always = sum(1 for times in features.values() if times == folds)
        alternative = (
            f"Features of the {model} model by the number of folds that selected them: "
            f"{len(features)} in at least one, {always} in all {folds}."
        )
        picture = (
            folds_of_features(f"stability-{model}", alternative, shown, folds, model)
            if features
            else None
        )
        found.append(Stability(model, folds, features, always, picture))
    return found


def subgroup_picture(site: str, rows: Sequence[Result]) -> Picture | None:
    """Draw the fused model's AUC in each subgroup of an external site."""
    shown = []
    for variable in dict.fromkeys(row["variable"] for row in rows):
        shown.append(Row(variable))
        for row in (one for one in rows if one["variable"] == variable):
            own = (row.get("models") or {}).get("fused")
            if own is None or own.get("auc") is None:
                continue
            low, high = _pair(own.get("auc_ci"))
            shown.append(Row(f"{row['level']}", own["auc"], low, high, "fused"))
    if not any(row.value is not None for row in shown):
        return None
    said = "; ".join(
        f"{row.label} {decimal(row.value, 2)}" for row in shown if row.value is not None
    )
    return forest(
        f"subgroups-{_key(site)}",
        f"AUC of the fused model in subgroups of {site}: {said}.",
        shown,
        "AUC of the fused model, 95 % interval",
    )


def left_out_pictures(left_out: Result) -> dict[str, Picture]:
    """Draw, for each model, the AUC at each site that was left out, and the summary over them."""
    found = {}
    ends = [
        bound
        for own in left_out["models"].values()
        for one in (*own["by_site"].values(), own.get("summary") or {})
        for bound in (*(one.get("auc_ci") or ()), *(one.get("prediction_interval") or ()))
    ]
    # One scale for the three models, from chance or below it to 1.
    limits = (min(0.48, *ends) - 0.02 if ends else 0.46, 1.02)
    for model in MODELS:
        own = left_out["models"].get(model)
        if own is None:
            continue
        rows = [
            Row(site, one["auc"], *_pair(one.get("auc_ci")), model)
            for site, one in own["by_site"].items()
            if one.get("auc") is not None
        ]
        summary = own.get("summary")
        if summary is not None and summary.get("auc") is not None:
            wide = summary.get("prediction_interval")
            low, high = _pair(summary.get("auc_ci"))
            rows.append(Row("summary", summary["auc"], low, high, model, True, wide))
        if rows:
            said = "; ".join(
                f"{row.label} {with_interval(row.value, _bounds(row), 2)}" for row in rows
            )
            alternative = f"AUC of the {model} model at each site left out in turn: {said}."
            found[model] = forest(
                f"left-out-{_key(model)}",
                alternative,
                rows,
                f"AUC of the {model} model",
                limits=limits,
            )
    return found


def attention_pictures(site: str, own: Result, outcome: str) -> list[Picture]:
    """Draw the mean attention in each segment of the myocardium, a bull's eye a class.

    Where the segments are not the sixteen of the American Heart Association, dots are drawn. A
    mean is None where too few patients have the segment on a slice.
    """
    groups = {
        f"{said} {outcome} ({own[label]['patients']} patients)": own[label]["mean"]
        for label, said in (("positive", "with"), ("negative", "without"))
        if own.get(label) is not None
    }
    known = [value for means in groups.values() for value in means if value is not None]
    if not known:
        return []
    said = {title: _most(own["segments"], means) for title, means in groups.items()}
    begin = f"Mean attention of the network by segment of the myocardium at {site}"
    if len(own["segments"]) != len(SEGMENTS):
        words = "; ".join(f"{title}: {most}" for title, most in said.items())
        values = {
            title: [np.nan if value is None else value for value in means]
            for title, means in groups.items()
        }
        name = f"attention-{_key(site)}"
        segments = own["segments"]
        return [paired_bars(name, f"{begin}. {words}.", segments, values, "Mean attention")]
    return [
        bulls_eye(
            f"attention-{_key(site)}-{place}", f"{begin}, {title}: {said[title]}.", title, means,
            max(known),
        )
        for place, (title, means) in enumerate(groups.items())
    ]  # fmt: skip


def _most(segments: Sequence[str], means: Sequence[float | None]) -> str:
    known = {name: value for name, value in zip(segments, means, strict=True) if value is not None}
    if not known:
        return "no segment has enough patients"
    first = max(known, key=lambda name: known[name])
    return f"most in {first}, {decimal(known[first])}"


def _known(values: NDArray[np.float64]) -> list[float]:
    known: list[float] = values[~np.isnan(values)].tolist()
    return known


def _pair(bounds: Sequence[float] | None) -> tuple[float | None, float | None]:
    return (None, None) if bounds is None else (bounds[0], bounds[1])


def _bounds(row: Row) -> list[float] | None:
    return None if row.lower is None or row.upper is None else [row.lower, row.upper]


def _key(site: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", site)
