"""The key ``reduction`` of results.json: how many radiomic features were left out, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.study import Study
from server.candidates import pruned
from server.reduction import Columns
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized

FATES = ("constant", "icc", "correlated", "not selected", "kept")
"""How far a feature came, the furthest last."""
SHARES = (0.5, 0.75, 0.9)


def reduction_results(study: Study, harmonized: Harmonized, fused: Fused) -> dict[str, Any] | None:
    """Say what became of the p radiomic features of the harmonised head; None where none was made.

    A feature counts for the fold in which it came furthest, so that `kept` and `left_out` add up
    to p. `correlated` are those that pruning dropped, `not selected` those that got no coefficient.
    """
    if not fused.columns:
        return None
    fates = np.max(
        [_fates(study, harmonized, fused, fold) for fold in range(len(fused.columns))], axis=0
    )
    counts = {name: int((fates == place).sum()) for place, name in enumerate(FATES)}
    kept = counts.pop("kept")
    found: dict[str, Any] = {
        "method": study.reduction.method,
        "kept": kept,
        "left_out": {reason: count for reason, count in counts.items() if count},
        "icc": _icc(study, harmonized),
    }
    if study.reduction.method == "pca":
        found["components"] = [one.radiomic for one in fused.columns]
        found["explained_variance"] = [round(one.explained, 4) for one in fused.columns]
    return found


def _fates(study: Study, harmonized: Harmonized, fused: Fused, fold: int) -> NDArray[np.int64]:
    columns, reference = fused.columns[fold], harmonized.references[fold]
    features = reference.alpha.size
    fates = np.full(features, FATES.index("not selected"), np.int64)
    if study.reduction.method != "pca":
        fates[~_unlike(study, columns, features)] = FATES.index("correlated")
    head = fused.folds[fold].heads[("radiomics", "harmonized")]
    fates[head.features[head.coefficients[1:] != 0.0]] = FATES.index("kept")
    if harmonized.icc:
        fates[harmonized.icc[fold] < study.reduction.minimum_icc] = FATES.index("icc")
    fates[columns.scale.constant[:features] | ~reference.keep] = FATES.index("constant")
    return fates


def _unlike(study: Study, columns: Columns, features: int) -> NDArray[np.bool_]:
    """Say which features correlation pruning keeps (p,)."""
    radiomic = np.arange(columns.allowed.size) < columns.radiomic
    kept = pruned(columns.moments, columns.allowed & radiomic, study.fusion.correlation_limit)
    found = np.zeros(features, np.bool_)
    found[kept] = True
    return found


def _icc(study: Study, harmonized: Harmonized) -> dict[str, Any] | None:
    """Say what was measured, and how the features' correlations lie, fold by fold."""
    if not harmonized.icc:
        return None
    asked = study.reduction
    return {
        "form": {"agreement": "ICC(2,1)", "consistency": "ICC(3,1)"}[asked.icc],
        "second_mask": asked.second_mask,
        "minimum": asked.minimum_icc,
        "measured_on": list(harmonized.pairs),
        "median": [round(float(np.median(own)), 4) for own in harmonized.icc],
        "share_of_features_above": [
            {f"{share:g}": round(float((own >= share).mean()), 4) for share in SHARES}
            for own in harmonized.icc
        ],
    }
