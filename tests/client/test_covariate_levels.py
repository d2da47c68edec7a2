"""A covariate of several levels has more design columns than covariates; the server knows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import federation_of, make_rows, make_study

from server.stages import harmonize

LEVELS = ("one", "two", "three", "four")
MODEL = {"name": "model", "kind": "categorical", "levels": LEVELS}


@pytest.mark.parametrize("missing", ["refuse", "mean"])
@pytest.mark.parametrize("hides", [True, False])
def test_a_covariate_of_four_levels_is_harmonised(
    tmp_path: Path, missing: str, hides: bool
) -> None:
    study = make_study(
        harmonization={"covariates": [MODEL], "missing": missing}, secure_sum={"enabled": hides}
    )
    ages: dict[str, Any] = {"harmonization": {"covariates": [{"name": "age", "kind": "numeric"}]}}
    sites = []
    for seed, name in enumerate(study.training_sites):
        rows = make_rows(name, make_study(**ages), seed, with_images=False)
        drawn = np.random.default_rng(seed).integers(0, len(LEVELS), rows.labels.size)
        sites.append(replace(rows, covariates={"model": [LEVELS[one] for one in drawn]}))
    federation, roster = federation_of(sites, study, tmp_path)
    found = harmonize.run(federation, roster, study, 12)  # type: ignore[arg-type]
    assert found.references[0].beta.shape == (3, 12)
