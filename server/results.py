"""results.json: everything that a reader of a finished run asks for, in plain numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.heads import MODELS, SCORED, UNHARMONIZED, Heads
from common.messages import ValidateAnswer
from common.privacy.histograms import NoisyMetric, noisy_auc
from common.privacy.of_study import noise_of, planned_epsilon
from common.statistics.auc import auc_from_histogram, normal_quantile
from common.statistics.delong import compare
from common.statistics.operating_point import ConfusionCounts, proportions
from common.statistics.wilson import Proportion
from common.study import Study
from server.private.calibrate import NoisilyCalibrated
from server.reduction_results import reduction_results
from server.roster import Roster
from server.run import RunFolder
from server.stages.calibrate import Calibrated
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized
from server.stages.validate import Validated

Result = dict[str, Any]


def results(
    run: RunFolder,
    roster: Roster,
    names: list[str],
    harmonized: Harmonized,
    fused: Fused,
    calibrated: Calibrated | NoisilyCalibrated,
    validated: Validated,
    constant: list[str],
) -> Result:
    """Gather the results of a run.

    Parameters
    ----------
    names
        Of all q features, radiomic first.
    constant
        Radiomic features that do not vary within batches and were left as they are.
    """
    study = run.study
    events = run.events()
    return {
        "study": study.name,
        "fingerprint": study.fingerprint,
        "run": run.identity,
        "sites": {
            name: {
                "role": "external" if name in roster.external else "train",
                "patients": {"positive": answer.positive, "negative": answer.negative},
                "slices": answer.slices,
            }
            for name, answer in roster.answers.items()
        },
        "selected_features": {
            model: _selected([fold.heads for fold in fused.folds], model, names) for model in MODELS
        },
        "selected_in_folds": {
            model: _counts([fold.heads for fold in fused.folds], model, names) for model in MODELS
        },
        "reduction": reduction_results(study, harmonized, fused),
        "choices": {
            f"{model}/{variant}": {
                "size": choice.size,
                "inverse_penalty": choice.inverse_penalty,
            }
            for (model, variant), choice in fused.choices.items()
        },
        "stack_weights": {
            variant: dict(zip(("radiomics", "deep"), own.weights.tolist(), strict=True))
            for variant, own in fused.stacks.items()
        },
        "privacy": _privacy(study),
        "constant_features": constant,
        "filled_covariates": harmonized.filled,
        "thresholds": {model: calibrated.thresholds[_row(model)] for model in MODELS},
        "validation": {model: _validation(calibrated, _row(model)) for model in MODELS},
        "external": {site: _external(study, answer) for site, answer in validated.answers.items()},
        "pooled_external": _pooled(validated),
        "looks_at_external": _looks(events),
        "missing": _missing(events),
        "traffic": _traffic(events),
        "messages": sum(1 for event in events if event["event"] == "asked"),
        "newton_rounds": fused.rounds,
        "seconds": _seconds(events),
        "versions": roster.versions,
    }


def _privacy(study: Study) -> Result | None:
    """What was promised to each training patient, and with how much noise; None for nothing."""
    privacy = study.privacy
    if not privacy.on:
        return None
    return {
        "epsilon": planned_epsilon(study),
        "delta": privacy.delta,
        "covers": privacy.covers,
        "noise_multipliers": asdict(noise_of(study)),
    }


def _row(model: str, variant: str = "harmonized") -> int:
    return SCORED.index((model, variant))


def _counts(heads: list[Heads], model: str, names: list[str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for own in heads:
        head = own[(model, "harmonized")]
        used = head.features[head.coefficients[1:] != 0.0]
        counts.update(names[int(index)] for index in used)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _selected(heads: list[Heads], model: str, names: list[str]) -> list[str]:
    return list(_counts(heads, model, names))


def _validation(calibrated: Calibrated | NoisilyCalibrated, row: int) -> Result:
    """Within-site AUC of the validation patients, and the pooled one beside it.

    Where patients are hidden by noise there is the pooled one only, and the noise in it.
    """
    if isinstance(calibrated, NoisilyCalibrated):
        try:
            found = noisy_auc(calibrated.histograms[row], calibrated.bin_sd)
        except NoisyMetric:
            return {"pooled": {"auc": None}}
        return {"pooled": {"auc": found.auc, "noise_sd": found.noise_sd}}
    return validation_auc(calibrated.histograms[row], calibrated.within[row])


def validation_auc(histogram: NDArray[np.int64], within: NDArray[np.float64]) -> Result:
    """Give the mean within-site AUC from its sums (3,), and the pooled one of (2, 1001) beside."""
    pooled = auc_from_histogram(histogram)
    beside = {"auc": pooled.auc, "auc_ci": [pooled.lower, pooled.upper]}
    weighted, variance, count = within
    if count == 0:
        return {**beside, "pooled": beside}
    auc, deviation = weighted / count, np.sqrt(variance) / count
    return {**_interval(float(auc), float(deviation**2)), "pooled": beside}


def _interval(auc: float, variance: float) -> Result:
    margin = normal_quantile(0.95) * float(np.sqrt(variance))
    return {"auc": auc, "auc_ci": [max(0.0, auc - margin), min(1.0, auc + margin)]}


def _external(study: Study, answer: ValidateAnswer) -> Result:
    positive, negative = (int(answer.histograms[0, label].sum()) for label in (1, 0))
    estimated, small = (int(count) for count in answer.batches)
    return {
        "patients": {"positive": positive, "negative": negative},
        "harmonization": {
            "applied": estimated > 0,
            "images": answer.images,
            "batches_estimated": estimated,
            "batches_below_minimum": small,
            "how": "transductive: gamma and delta estimated from the site's own unlabelled slices, "
            "alpha, beta and sigma frozen",
        },
        "models": {model: external_model(answer, _row(model)) for model in MODELS},
        "unharmonized": {
            model: external_model(
                answer, _row(model, "raw" if model in UNHARMONIZED else "harmonized")
            )
            for model in MODELS
        },
        "comparisons": _comparisons(answer.auc, answer.covariance),
        "folds": {model: answer.fold_auc[:, _row(model)].tolist() for model in MODELS},
        "target_sensitivity": study.operating_point.sensitivity,
    }


def external_model(answer: ValidateAnswer, row: int) -> Result:
    """Say how the model of a row did at an external site."""
    counts = ConfusionCounts(*(int(count) for count in answer.confusion[row]))
    shares = proportions(counts)
    variance = float(answer.covariance[row, row])
    found = _interval(float(answer.auc[row]), variance)
    found["auc_se"] = float(np.sqrt(max(0.0, variance)))
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        share: Proportion | None = getattr(shares, name)
        found[name] = None if share is None else share.value
        found[f"{name}_ci"] = None if share is None else [share.lower, share.upper]
    found["confusion"] = {"tp": counts.tp, "fp": counts.fp, "tn": counts.tn, "fn": counts.fn}
    return found


def _comparisons(auc: NDArray[np.float64], covariance: NDArray[np.float64]) -> list[Result]:
    pairs = [
        (("fused", "harmonized"), ("radiomics", "harmonized")),
        (("fused", "harmonized"), ("deep", "harmonized")),
        (("radiomics", "harmonized"), ("deep", "harmonized")),
        (("radiomics", "harmonized"), ("radiomics", "raw")),
        (("fused", "harmonized"), ("fused", "raw")),
    ]
    found = []
    for first, second in pairs:
        test = compare(auc, covariance, SCORED.index(first), SCORED.index(second))
        found.append(
            {
                "a": _name(*first),
                "b": _name(*second),
                "difference": test.difference,
                "z": test.z,
                "p": test.p,
            }
        )
    return found


def _name(model: str, variant: str) -> str:
    return model if variant == "harmonized" else f"{model} (not harmonised)"


def _pooled(validated: Validated) -> Result | None:
    """AUC over all external sites' patients: beside, never instead of, the within-site ones."""
    if validated.pooled is None:
        return None
    auc, covariance = validated.pooled
    return {
        "models": {
            model: _interval(float(auc[_row(model)]), float(covariance[_row(model), _row(model)]))
            for model in MODELS
        },
        "comparisons": _comparisons(auc, covariance),
    }


def _looks(events: list[Result]) -> dict[str, int]:
    """Count how often each external site's patients were looked at."""
    return dict(Counter(event["site"] for event in events if event["event"] == "looked"))


def _missing(events: list[Result]) -> list[Result]:
    """Every question that a site missed, and why: what a reader of the results must know."""
    places = ("stage", "step", "rung", "trial", "fold", "round")
    return [
        {name: event[name] for name in places if name in event} | {"site": site, "reason": reason}
        for event in events
        if event["event"] == "asked"
        for site, reason in event["failures"].items()
    ]


def _traffic(events: list[Result]) -> dict[str, dict[str, int]]:
    traffic: dict[str, dict[str, int]] = {}
    for event in events:
        if event["event"] != "asked":
            continue
        for site, one in event["sites"].items():
            own = traffic.setdefault(site, {"sent_bytes": 0, "received_bytes": 0})
            own["sent_bytes"] += one["sent_bytes"]
            own["received_bytes"] += one["received_bytes"]
    return traffic


def _seconds(events: list[Result]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for event in events:
        if event["event"] == "stage":
            seconds[event["stage"]] = round(seconds.get(event["stage"], 0.0) + event["seconds"], 3)
    return seconds
