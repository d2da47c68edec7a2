"""The page for the reader of one patient: what the release says, how sure, and from what."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from client.explain.picture import slices_png
from client.predict import Prediction, Predictions
from client.reader.page_template import STYLE, TEMPLATE
from client.reader.unusual import SHARE, Unusual
from common.external_figures import shares
from common.heads import MODELS
from common.release import Release
from common.statistics.wilson import Proportion
from common.versions import in_common, package_versions

MAIN = "fused"
"""The model whose answer stands at the top."""

MOST_SLICES = 12
"""Slices that are shown; of a longer stack, evenly chosen ones."""

_LEFT, _WIDTH = 20.0, 680.0


@dataclass(frozen=True)
class Reading:
    """What the page needs besides release and predictions.

    `external` holds the counts of `common.external_figures`; `known_from` the number of slices that
    kept site effects were estimated from, 0 where none were given; `seconds` what each part took.
    """

    unusual: Unusual | None
    external: dict[str, dict[str, dict[str, int]]]
    known_from: int
    heat: Any = None
    seconds: dict[str, float] = field(default_factory=dict)


def page(release: Release, found: Predictions, reading: Reading) -> str:
    """Write the page of the only patient of the predictions, as HTML."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    [patient] = found.patients
    outcome = release.study.outcome
    models = {name: _model(release, patient, reading, name) for name in MODELS}
    return environment.from_string(TEMPLATE).render(
        style=STYLE,
        patient=patient.patient_id,
        study=release.study.name,
        positive=outcome.positive,
        negative=outcome.negative,
        written=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        main=models[MAIN] | _answer(release, patient, reading),
        models=list(models.values()),
        scale=_scale(patient.scores[MAIN], release.thresholds[MAIN]),
        unusual=_unusual(release, reading.unusual),
        harmonised=_harmonised(release, found, reading),
        slices=_slices(found, reading),
        facts=_facts(release, found, reading),
    )


def _model(release: Release, patient: Prediction, reading: Reading, name: str) -> dict[str, str]:
    above = patient.positive[name]
    held = shares(reading.external, name) if reading.external else {}
    return {
        "name": name,
        "score": f"{patient.scores[name]:.3f}",
        "threshold": f"{release.thresholds[name]:.3f}",
        "short": "at or above" if above else "below",
        "side": "above" if above else "below",
        **{key: _briefly(held.get(key)) for key in ("sensitivity", "specificity")},
    }


def _answer(release: Release, patient: Prediction, reading: Reading) -> dict[str, str]:
    """Say the frozen threshold's answer in words, and how often such an answer was right."""
    outcome = release.study.outcome
    above = patient.positive[MAIN]
    answer = (
        f"At or above the threshold: {outcome.positive} cannot be ruled out by this model."
        if above
        else f"Below the threshold: {outcome.positive} unlikely by this model."
    )
    held = shares(reading.external, MAIN) if reading.external else {}
    name, of, where = (
        ("specificity", f"without {outcome.positive}", "below it")
        if above
        else ("sensitivity", f"with {outcome.positive}", "at or above it")
    )
    one = held.get(name)
    if one is None:
        evidence = "How often this held at other hospitals is not known to this release."
    else:
        sites = len(reading.external)
        evidence = (
            f"At {sites} external site{'s' if sites > 1 else ''}, {one.numerator} of "
            f"{one.denominator} patients {of} had scores {where}: {name} {one.value:.2f} "
            f"(95 % interval {one.lower:.2f} to {one.upper:.2f})."
        )
    unlike = reading.unusual is not None and reading.unusual.flagged
    doubt = "This case is unlike the training patients: see below." if unlike else ""
    return {"answer": answer, "evidence": evidence, "doubt": doubt}


def _briefly(one: Proportion | None) -> str:
    if one is None:
        return "unknown"
    return f"{one.value:.2f} ({one.lower:.2f} to {one.upper:.2f})"


def _scale(score: float, threshold: float) -> dict[str, Any]:
    return {
        "score": _place(score),
        "threshold": _place(threshold),
        "score_anchor": _anchor(score),
        "threshold_anchor": _anchor(threshold),
        "ticks": [{"x": _place(t / 4), "name": f"{t / 4:g}"} for t in range(5)],
    }


def _place(value: float) -> float:
    return round(_LEFT + _WIDTH * min(max(value, 0.0), 1.0), 1)


def _anchor(value: float) -> str:
    return "start" if value < 0.06 else "end" if value > 0.94 else "middle"


def _unusual(release: Release, one: Unusual | None) -> dict[str, Any]:
    if one is None:
        why = (
            "the study hides each training patient by noise, and keeps no distribution of them"
            if release.study.privacy.on
            else "this release does not hold how its training patients are distributed"
        )
        return {"far": False, "text": f"Unknown: {why}."}
    how = (
        f"Distance {one.distance:.2f}, where 1 is usual for a training slice and "
        f"{round(100 * (1 - SHARE))} in 100 would exceed {one.limit:.2f} if features were normal "
        f"(F distribution; {one.features:.0f} features)."
    )
    if one.flagged:
        start = "No: this case is unlike them. What was measured elsewhere need not hold here. "
        return {"far": True, "text": start + how}
    return {"far": False, "text": f"Yes, no sign of the contrary. {how}"}


def _harmonised(release: Release, found: Predictions, reading: Reading) -> dict[str, Any]:
    asked = release.study.harmonization
    if found.batches_known:
        left = f" {found.batches_below_minimum} batch is not in it." * bool(
            found.batches_below_minimum
        )
        return {
            "none": bool(left),
            "text": f"Applied: the effect of this hospital's own {asked.batch}, estimated "
            f"from {reading.known_from} slices of its earlier patients, not from this patient "
            f"alone.{left}",
        }
    why = (
        f"the file of site effects has none for this {asked.batch}"
        if reading.known_from
        else "a scanner's effect cannot be estimated from one patient"
    )
    return {
        "none": True,
        "text": f"None applied: {why}. The model was fitted on harmonised features, so the score "
        "may be off at this scanner. Give earlier patients of the hospital with --like.",
    }


def _slices(found: Predictions, reading: Reading) -> dict[str, str]:
    rows = found.rows
    count = len(rows.images)
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_SLICES)).round().astype(np.int64))
    levels = [rows.origin[number][1] for number in shown]
    heat = None if reading.heat is None else reading.heat[shown]
    png = slices_png(rows.images[shown], rows.masks[shown], levels, heat)
    what = f"{count} slices" if count > 1 else "1 slice"
    some = f", {len(shown)} of them shown" if len(shown) < count else ""
    alt = f"Short-axis slices with the outline of the myocardium: {', '.join(map(str, levels))}."
    caption = f"{what} scored{some}; the outline is the mask that was given."
    if heat is not None:
        alt += " Below each, the same with the heat of Grad-CAM."
        caption += (
            " Heat: where the image speaks for a positive deep score (Grad-CAM, third block, mean "
            "of the folds); it shows where the network looks, not where scar is."
        )
    title = "Slices" if heat is None else "Slices, and where the network looked"
    return {
        "title": title,
        "png": base64.b64encode(png).decode(),
        "alt": alt,
        "caption": caption,
    }


def _facts(release: Release, found: Predictions, reading: Reading) -> list[tuple[str, str]]:
    here = package_versions()
    alike = in_common(here)
    others = [
        f"{name} {value}"
        for name, value in in_common(release.versions).items()
        if alike.get(name) != value
    ]
    versions = ", ".join(f"{name} {value}" for name, value in here.items())
    if others:
        versions += f" (the release was made with {', '.join(others)})"
    took = ", ".join(f"{name} {value:.1f} s" for name, value in reading.seconds.items())
    cases = {case.image.name: case.mask.name for case, _ in found.rows.origin}
    return [
        ("files", "; ".join(f"{image} with {mask}" for image, mask in cases.items())),
        ("study fingerprint", release.study.fingerprint),
        ("versions", versions),
        ("time", took),
    ]
