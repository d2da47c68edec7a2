"""What of a patient's privacy is spent."""

from __future__ import annotations

from typing import Any

import pytest
from run_samples import study_of

from common.privacy.of_study import planned_epsilon
from server.dashboard.budget import spent

PRIVATE: dict[str, Any] = {
    "privacy": {
        "epsilon": 8.0,
        "features": {
            "original_firstorder_Entropy": [0.0, 7.0],
            "original_glcm_Idm": [0.0, 1.0],
        },
    },
    "harmonization": {"mode": "mean_only"},
}


@pytest.mark.slow
@pytest.mark.parametrize("folds", [1, 3])
def test_the_budget_spent_grows_to_what_was_planned(folds: int) -> None:
    rounds = {"rounds": 4, "averaged_rounds": 2}
    study = study_of(3, folds=folds, training=rounds, **PRIVATE)
    whole = dict.fromkeys(range(folds), 4)
    steps = [
        spent(study, {}, 0, False),
        spent(study, {}, folds, False),
        spent(study, {0: 2}, folds, False),
        spent(study, whole, folds, False),
        spent(study, whole, folds, True),
    ]
    epsilons = [one.spent for one in steps if one is not None]
    assert epsilons == sorted(epsilons)
    assert epsilons[0] == 0.0
    assert epsilons[-1] == pytest.approx(planned_epsilon(study), rel=1e-9)
    assert spent(study_of(3), {}, 0, False) is None
