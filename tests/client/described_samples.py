"""Sites with ages, sexes and vendors, and a study that asks for the report of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from federation_samples import FEATURES, Sites
from site_samples import make_rows, make_study

from client.cohort.rows import SiteRows
from common.study import Study

ROLES = {"a": "train", "b": "train", "c": "train", "d": "train", "x": "external"}
REPORT = {
    "patients": True,
    "features": True,
    "site_card": ["site", "vendor"],
    "components": 3,
    "variables": [
        {
            "name": "age",
            "kind": "numeric",
            "lower": 15.0,
            "upper": 95.0,
            "width": 5.0,
            "bands": [55.0],
            "subgroups": True,
        },
        {"name": "sex", "kind": "categorical", "levels": ["F", "M"], "subgroups": True},
        {"name": "vendor", "kind": "categorical", "levels": ["GE", "Siemens"]},
    ],
}
PATIENTS = 24


def study_of(*, secure: bool, roles: dict[str, str] = ROLES, minimum: int = 3) -> Study:
    return make_study(
        roles,
        folds=2,
        cohort={"minimum_patients_per_class": minimum},
        training={"rounds": 1, "averaged_rounds": 1},
        fusion={"sizes": [2, 4], "inverse_penalties": [1.0], "patient_score": "mean"},
        secure_sum={"enabled": secure},
        report=REPORT,
    )


def some_rows(name: str, study: Study, patients: int = PATIENTS) -> SiteRows:
    seed = ord(name)
    rng = np.random.default_rng(seed)
    made = make_rows(
        name, study, seed, patients, slices=2, features=FEATURES, shift=0.7 * (seed - 97)
    )
    ages = [f"{age:.0f}" for age in np.clip(rng.normal(55, 12, patients), 18, 90)]
    ages[0] = ""
    return replace(
        made,
        described={
            "age": ages,
            "sex": ["f" if number % 3 else "M" for number in range(patients)],
            "vendor": ["GE" if name in "ab" else "siemens"] * patients,
        },
    )


def sites_of(study: Study, folder: Path) -> Sites:
    rows = {site.name: some_rows(site.name, study) for site in study.sites}
    return Sites(rows, study, folder)
