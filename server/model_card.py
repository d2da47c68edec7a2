"""The model card: what a release is, how it did, and what it is not for, in one page to read."""

from __future__ import annotations

from collections import Counter
from typing import Any

from common.heads import MODELS
from common.study import Study


def model_card(study: Study, results: dict[str, Any]) -> str:
    """Write the card as Markdown."""
    lines = [
        f"# {study.name}",
        "",
        f"Study fingerprint `{study.fingerprint}`, run `{results['run']}`.",
        "",
        "Not a medical device. For research; a score must not decide about a patient.",
        "",
        "## What it does",
        "",
        f"From short-axis cine slices ({', '.join(study.cohort.phases)}) with a myocardium mask, "
        f"it scores a patient between 0 ({study.outcome.negative}) and 1 "
        f"({study.outcome.positive}). "
        f"The score is the {study.fusion.patient_score} over slices, averaged over "
        f"{study.folds} fold(s).",
        "",
        "## Who it was built on",
        "",
        "| site | role | positive | negative | slices |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {site['role']} | {site['patients']['positive']} | "
            f"{site['patients']['negative']} | {site['slices']} |"
            for name, site in results["sites"].items()
        ),
        "",
        *_absences(results["missing"]),
        "## How it did",
        "",
        *(_outside(study, results) if results["external"] else _inside(results)),
        "",
        "## At a new hospital",
        "",
        "Its batch effects are estimated from its own unlabelled images (at least "
        f"{study.harmonization.minimum_rows} slices a batch; below that none are taken out). The "
        "result is transductive: it depends on which patients are scored together.",
        "",
        "## What it tells of its training patients",
        "",
        _privacy(results["privacy"]),
        "",
        "## Limits",
        "",
        "- Scanners, protocols and populations unlike those above were not tested.",
        "- The mask decides much of the result; it must follow the same conventions.",
        "- A complete separation gives an interval of no width; that is the method, not certainty.",
        "",
    ]
    return "\n".join(lines)


def _privacy(promised: dict[str, Any] | None) -> str:
    if promised is None:
        return (
            "It was made without noise. Who knows a patient's images can tell, better than by "
            "chance, whether the patient was among them."
        )
    covered = "All of it" if promised["covers"] == "everything" else "The network, not the heads,"
    return (
        f"{covered} was made with noise that hides each training patient: epsilon "
        f"{promised['epsilon']:.3g} at delta {promised['delta']:g}. Numbers of patients are exact."
    )


def _absences(missing: list[dict[str, Any]]) -> list[str]:
    """Say how many questions each site missed; nothing where none did."""
    if not missing:
        return []
    counts = Counter(one["site"] for one in missing)
    said = ", ".join(f"{site} {count}" for site, count in sorted(counts.items()))
    return [f"Questions that a site missed, and the run went on without it: {said}.", ""]


def _outside(study: Study, results: dict[str, Any]) -> list[str]:
    """Say how the models did at external sites."""
    return [
        "AUC within each external site, with DeLong's 95 % interval; sensitivity and specificity "
        "at the threshold that was frozen on training sites' validation patients "
        f"(target sensitivity {study.operating_point.sensitivity:.2f}).",
        "",
        "| external site | model | AUC | not harmonised | sensitivity | specificity |",
        "|---|---|---|---|---|---|",
        *(_row(site, model, one) for site, one in results["external"].items() for model in MODELS),
    ]


def _inside(results: dict[str, Any]) -> list[str]:
    """Say how the models did on validation patients, where no external site was looked at."""
    return [
        "No external site was looked at. AUC on training sites' validation patients, which chose "
        "the thresholds and the size of the heads: a new hospital will see less.",
        "",
        "| model | AUC |",
        "|---|---|",
        *(f"| {model} | {_validation(results['validation'][model])} |" for model in MODELS),
    ]


def _validation(own: dict[str, Any]) -> str:
    if "auc_ci" in own:
        return _interval(own)
    pooled = own["pooled"]
    if pooled["auc"] is None:
        return "hidden by the noise"
    return f"{pooled['auc']:.3f} (noise alone: SD {pooled['noise_sd']:.3f})"


def _row(site: str, model: str, one: dict[str, Any]) -> str:
    own, raw = one["models"][model], one["unharmonized"][model]
    cells = [site, model, _interval(own), f"{raw['auc']:.3f}"]
    cells += [_share(own, "sensitivity"), _share(own, "specificity")]
    return f"| {' | '.join(cells)} |"


def _interval(model: dict[str, Any]) -> str:
    low, high = model["auc_ci"]
    return f"{model['auc']:.3f} ({low:.3f} to {high:.3f})"


def _share(model: dict[str, Any], name: str) -> str:
    value = model[name]
    return "-" if value is None else f"{value:.2f}"
