"""Subgroups of external sites: asked after their scores, and counted as a look of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.heads import below
from common.messages import Arrays, EnrolAnswer, ValidateAnswer, ValidateQuestion
from common.study import Study
from common.subgroup_cells import subgroup_shapes
from server.federation import Federation
from server.firewall import MOST_VARIANCE, require, require_arrays
from server.roster import Roster


def ask_subgroups(
    federation: Federation, roster: Roster, study: Study, sites: Sequence[str]
) -> dict[str, Arrays]:
    """Ask the external sites that were scored for the study's subgroups, by site.

    The question carries nothing: a site reads the scores and the frozen thresholds that the step
    before left there. It is a further look at its patients all the same, and is counted.
    """
    if not study.report.subgroups or not sites:
        return {}

    def look(site: str, answer: ValidateAnswer) -> None:
        federation.run.event(event="looked", stage="validate", step="subgroups", site=site)
        _check(roster.answers[site], study, answer)

    question = ValidateQuestion(study.fingerprint, "subgroups")
    answers = federation.ask(question, tuple(sites), ValidateAnswer, check=look)
    return {site: answer.subgroups for site, answer in answers.items()}


def _check(own: EnrolAnswer, study: Study, answer: ValidateAnswer) -> None:
    """Require results of subgroups of the site's patients."""
    shapes = {
        f"{variable.name}.{name}": shape
        for variable in study.report.subgroups
        for name, (_, shape) in subgroup_shapes(variable).items()
    }
    require_arrays("its subgroups", answer.subgroups, shapes)
    extra = answer.placements or answer.attention
    require(not extra, "its subgroups came with sums that nobody asked for")
    enrolled = np.array([own.negative, own.positive])
    for variable in study.report.subgroups:
        block = below(answer.subgroups, variable.name)
        patients, told = (np.asarray(block[name], np.int64) for name in ("patients", "confusion"))
        fits = (patients >= 0).all() and (patients.sum(axis=0) <= enrolled).all()
        require(fits, "its subgroups count more patients than it has")
        auc, variance = (np.asarray(block[name], np.float64) for name in ("auc", "variance"))
        require(((auc >= 0.0) & (auc <= 1.0)).all(), "an AUC of a subgroup is outside 0 to 1")
        fits = ((variance >= 0.0) & (variance <= MOST_VARIANCE)).all()
        require(fits, "a variance of a subgroup is larger than any AUC's")
        both = np.asarray((patients > 0).all(axis=1))
        sides = np.stack([told[..., 1] + told[..., 2], told[..., 0] + told[..., 3]], axis=-1)
        wanted = np.where(both[:, None], patients, 0)[:, None, :]
        fits = (told >= 0).all() and (sides == wanted).all()
        require(fits, "its confusion counts are not of its subgroups")
