"""The part of results.json on the comparison of classifiers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from common.classifiers.registry import classifiers_of
from common.messages import ValidateAnswer
from common.statistics.delong import compare
from common.study import Study
from server.results import external_model, validation_auc
from server.stages.compare import Compared

Result = dict[str, Any]


def comparison_results(
    study: Study,
    compared: Compared,
    external: Mapping[str, ValidateAnswer],
    events: Sequence[Result],
) -> Result:
    """Say of each classifier how it was fitted and how it does; and what all of them cost."""
    settings = study.comparison.model_dump(mode="json")
    return {
        "classifiers": [
            {
                "name": name,
                "how": one.how,
                "settings": settings[name] | _bins(study, name),
                "threshold": compared.thresholds[row],
                "validation": validation_auc(compared.histograms[row], compared.within[row]),
                "external": {site: external_model(own, row) for site, own in external.items()},
            }
            for row, (name, one) in enumerate(classifiers_of(study).items())
        ],
        "differences": {site: _differences(study, own) for site, own in external.items()},
        "features": [int(compared.models[f"{fold}.features"].size) for fold in range(study.folds)],
        "rounds": compared.rounds,
        "traffic": _traffic(events),
    }


def _differences(study: Study, answer: ValidateAnswer) -> list[Result]:
    """Compare each two classifiers at one site by DeLong's paired test."""
    named = enumerate(study.comparison.classifiers)
    found = []
    for (i, a), (j, b) in itertools.combinations(named, 2):
        test = compare(answer.auc, answer.covariance, i, j)
        found.append({"a": a, "b": b, "difference": test.difference, "z": test.z, "p": test.p})
    return found


def _bins(study: Study, name: str) -> Result:
    return {"bins": study.comparison.bins} if name in study.comparison.trees else {}


def _traffic(events: Sequence[Result]) -> Result:
    """Messages of the comparison to each site, and bytes of all sites together."""
    asked = [
        event
        for event in events
        if event["event"] == "asked"
        and (event["stage"] == "compare" or event.get("step") == "classifiers")
    ]
    sites = [own for event in asked for own in event["sites"].values()]
    return {
        "messages": len(asked),
        "sent_bytes": sum(own["sent_bytes"] for own in sites),
        "received_bytes": sum(own["received_bytes"] for own in sites),
    }
