"""What `[report]` adds to results.json: patients, features between sites, site card, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.heads import below
from common.messages import Arrays
from common.patient_flow import flow_in_words
from common.statistics.telling_apart import Accuracy
from common.study import Study
from common.subgroup_cells import subgroups_in_words
from common.table_cells import cells_in_words
from server.stages.card import Card, Compared
from server.stages.describe import DescribedPatients

Result = dict[str, Any]


def described_results(
    study: Study,
    features: Sequence[str],
    patients: DescribedPatients | None,
    compared: Compared | None,
    subgroups: Mapping[str, Arrays],
) -> Result:
    """Give the keys for what the study asked; none for the others.

    Parameters
    ----------
    features
        Names of the p radiomic features.
    subgroups
        Cells of the subgroups, by external site.
    """
    found: Result = {}
    if patients is not None:
        found["described"] = _described(study, patients)
    if compared is not None and compared.between:
        found["harmonization_features"] = _between(features, compared)
    if compared is not None and compared.cards:
        found["site_card"] = [_card(card) for card in compared.cards]
    if subgroups:
        found["subgroups"] = {
            site: [
                one
                for variable in study.report.subgroups
                for one in subgroups_in_words(variable, below(cells, variable.name))
            ]
            for site, cells in subgroups.items()
        }
    return found


def _described(study: Study, patients: DescribedPatients) -> Result:
    variables = []
    for variable in study.report.variables if patients.groups else ():
        variables.append(
            {
                "name": variable.name,
                "kind": variable.kind,
                "levels": list(variable.levels),
                "groups": {
                    group: cells_in_words(variable, cells[variable.name])
                    for group, cells in patients.groups.items()
                },
            }
        )
    return {
        "flow": {site: flow_in_words(flow) for site, flow in patients.flows.items()},
        "table1": {"groups": list(patients.groups), "variables": variables},
    }


def _between(features: Sequence[str], compared: Compared) -> Result:
    """Leave out features that do not vary: they have no variance to share."""
    pairs = zip(features, compared.between["raw"], compared.between["harmonized"], strict=True)
    return {
        name: {"before": float(before), "after": float(after)}
        for name, before, after in pairs
        if np.isfinite(before) and np.isfinite(after)
    }


def _card(card: Card) -> Result:
    def told(variant: str) -> Result | None:
        found: Accuracy | None = card.accuracy.get(variant)
        if found is None:
            return None
        return {"balanced_accuracy": found.value, "ci": [found.lower, found.upper]}

    return {
        "of": card.of,
        "levels": list(card.levels),
        "chance": 1.0 / len(card.levels) if card.levels else None,
        "before": told("raw"),
        "after": told("harmonized"),
    }
