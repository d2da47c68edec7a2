"""Section 5: what was asked of each site and what left it, who was missing, privacy, machines."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from common.question_kinds import ANSWERS
from common.study import Study
from server.report.record import FinishedRun, Result


@dataclass
class Asked:
    """What one site was asked, or what one stage asked of a site at most."""

    questions: int = 0
    unanswered: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    sites: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Answered:
    """What the answer of a stage holds: its fields with their kind, and what they mean."""

    stage: str
    to_whom: str
    fields: list[tuple[str, str]]
    meaning: list[str]


def context(run: FinishedRun) -> dict[str, Any]:
    """Gather what the section's template reads."""
    asked = [event for event in run.events if event["event"] == "asked"]
    stages = list(dict.fromkeys(event["stage"] for event in asked))
    versions = dict(run.results["versions"])
    return {
        "by_site": by_site(run, asked),
        "by_stage": by_stage(asked),
        "stage_seconds": run.results["seconds"],
        "answers": [answered(stage, run.study) for stage in stages if stage in ANSWERS],
        "missing": run.results["missing"],
        "missing_by": Counter((one["site"], one["reason"]) for one in run.results["missing"]),
        "looks": run.results["looks_at_external"],
        "promised": run.results["privacy"],
        "versions": versions,
        "machine": {} if run.evidence is None else run.evidence.machine,
        "machines": {site: one.get("machine", "") for site, one in run.cohort.items()},
        "constant": run.results["constant_features"],
        "filled": run.results["filled_covariates"],
        "recipes": sorted({one["recipe"] for one in run.cohort.values()}),
        "began": run.begun.get("started"),
        "ended": run.events[-1]["time"] if run.events else None,
        "working_seconds": sum(run.results["seconds"].values()),
    }


def by_site(run: FinishedRun, asked: Sequence[Result]) -> dict[str, Asked]:
    """Add up over questions what each site was asked and what left it."""
    found = {site.name: Asked() for site in run.study.sites}
    for event in asked:
        for site, one in event["sites"].items():
            _count(found.setdefault(site, Asked()), one)
        for site in event["failures"]:
            own = found.setdefault(site, Asked())
            own.unanswered += 1
            own.questions += site not in event["sites"]
    return found


def by_stage(asked: Sequence[Result]) -> dict[str, Asked]:
    """Add up over sites what each stage asked; questions are counted once, not once a site."""
    found: dict[str, Asked] = {}
    for event in asked:
        own = found.setdefault(event["stage"], Asked())
        own.questions += 1
        own.seconds += event["seconds"]
        own.unanswered += len(event["failures"])
        for site, one in event["sites"].items():
            own.received_bytes += one["received_bytes"]
            own.sent_bytes += one["sent_bytes"]
            own.sites.add(site)
    return found


def answered(stage: str, study: Study) -> Answered:
    """Say what the answer of a stage holds, from its declaration: the contract of both sides."""
    kind = ANSWERS[stage]
    declared = inspect.get_annotations(kind)
    fields = [(one.name, _kind(str(declared[one.name]))) for one in dataclasses.fields(kind)]
    external = stage == "validate"
    if external or stage == "enrol":
        to_whom = "the coordinator reads each site's"
    elif study.secure_sum.enabled:
        to_whom = "the coordinator reads the sum over sites only"
    else:
        to_whom = "the coordinator reads each site's"
    text = inspect.getdoc(kind) or ""
    return Answered(stage, to_whom, fields, [_joined(part) for part in text.split("\n\n")])


def _count(own: Asked, one: Result) -> None:
    own.questions += 1
    own.received_bytes += one["received_bytes"]
    own.sent_bytes += one["sent_bytes"]
    own.seconds += one["seconds"]


def _kind(annotation: str) -> str:
    names = {"str": "text", "int": "whole number", "float": "number", "Arrays": "named arrays"}
    array = re.match(r"NDArray\[np\.(\w+)\]", annotation)
    return f"array of {array.group(1)}" if array else names.get(annotation, annotation)


def _joined(text: str) -> str:
    return " ".join(text.split()).replace("``", "").replace("`", "")
