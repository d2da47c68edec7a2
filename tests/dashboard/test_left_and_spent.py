"""How long is left, and what of a patient's privacy is spent."""

from __future__ import annotations

from typing import Any

import pytest
from run_samples import study_of

from common.privacy.of_study import planned_epsilon
from server.dashboard.budget import spent
from server.dashboard.estimate import left_of_training

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


def test_time_left_is_that_of_the_rounds_that_are_left() -> None:
    ends = [0.0, 30.0, 40.0, 50.0, 60.0]
    found = left_of_training(ends, 5, 60.0, ("fuse",))
    assert found is not None
    # The first round, which also loads, does not count.
    assert (found.low, found.high, found.measured) == (50.0, 50.0, 3)
    under_way = left_of_training(ends, 5, 66.0, ())
    assert under_way is not None
    assert under_way.low == pytest.approx(44.0)
    overdue = left_of_training(ends, 5, 1000.0, ())
    assert overdue is not None
    # However long the round under way takes, those behind it take what rounds take.
    assert overdue.low == pytest.approx(40.0)
    assert left_of_training([0.0, 30.0], 5, 31.0, ()) is None
    assert left_of_training(ends, 0, 61.0, ()) is None
