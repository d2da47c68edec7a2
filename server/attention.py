"""Ask external sites where the network looks, once they are validated; check and sum it up."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.aha import ATTENTION_SHAPES, SEGMENTS
from common.messages import Arrays, EnrolAnswer, ValidateAnswer, ValidateQuestion
from common.study import Study
from server.federation import Federation
from server.firewall import ROUNDING, require, require_arrays
from server.roster import Roster
from server.stages.validate import Validated


def run(
    federation: Federation, roster: Roster, study: Study, validated: Validated
) -> dict[str, Any] | None:
    """Ask the sites that gave their scores; None where the study does not ask for it.

    Returns
    -------
    For each external site the names of the segments and, by class, the number of patients and
    their mean heat in each segment: 0 to 1, None where too few patients have it on a slice.
    """
    if not study.explain.attention or not validated.answers:
        return None
    answers = federation.ask(
        ValidateQuestion(study.fingerprint, "attention"),
        tuple(validated.answers),
        ValidateAnswer,
        check=lambda site, answer: _check(roster.answers[site], study, answer),
    )
    return {site: _by_class(answer.attention) for site, answer in answers.items()}


def _by_class(sums: Arrays) -> dict[str, Any]:
    found: dict[str, Any] = {"segments": list(SEGMENTS)}
    for label, name in ((1, "positive"), (0, "negative")):
        counts, heat = np.asarray(sums["seen"])[label], np.asarray(sums["heat"])[label]
        mean = [float(h / n) if n else None for h, n in zip(heat, counts, strict=True)]
        found[name] = {
            "patients": int(np.asarray(sums["classes"])[label]),
            "mean": mean,
            "of": [int(n) for n in counts],
        }
    return found


def _check(own: EnrolAnswer, study: Study, answer: ValidateAnswer) -> None:
    """Require counts of the site's patients, each of whom adds 0 to 1 to a segment."""
    sums = answer.attention
    require_arrays("its attention", sums, ATTENTION_SHAPES)
    classes, seen = (np.asarray(sums[name], np.int64) for name in ("classes", "seen"))
    right = (classes == [own.negative, own.positive]).all()
    require(right, "its attention is not of its patients")
    least = study.cohort.minimum_patients_per_class
    enough = ((seen == 0) | (seen >= least)) & (seen <= classes[:, None])
    require(enough.all(), "its attention is over more patients than it has, or over too few")
    heat = np.asarray(sums["heat"], np.float64)
    inside = (heat >= 0.0) & (heat <= seen * (1.0 + ROUNDING))
    require(inside.all(), "the heat of a patient of its is outside 0 to 1")
