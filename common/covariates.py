"""The study's covariates as ComBat's design takes them: the same at every site and the server."""

from __future__ import annotations

from common.study import Study
from harmonization import CovariateSpec


def covariate_spec(study: Study) -> CovariateSpec:
    """Translate the study's covariates."""
    covariates = study.harmonization.covariates
    return CovariateSpec(
        numeric=tuple(item.name for item in covariates if item.kind == "numeric"),
        categorical={item.name: item.levels for item in covariates if item.kind == "categorical"},
    )
