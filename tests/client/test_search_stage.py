"""A search over sites in memory: the same under masks and in the clear, and with robust means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from federation_samples import Course, Sites
from site_samples import make_study

from common.study import Study
from server.stages import search
from server.stages.search import Searched

pytestmark = pytest.mark.slow

SEARCH: dict[str, Any] = {
    "budget": 3,
    "most_rounds": 2,
    "eta": 2,
    "widths": (0.02, 0.03),
    "learning_rates": (1e-3,),
    "dropouts": (0.2,),
}
"""Two trials of one round, of which the better goes on for another: three rounds."""


def searched(folder: Path, study: Study) -> tuple[Searched, Course]:
    course = Course.over(Sites.make(study, folder), folder / "run")
    harmonized = course.harmonize()
    run = course.federation.run
    return search.run(course.federation, run, course.sites.roster, harmonized), course


def test_under_masks_the_same_trial_is_chosen(tmp_path: Path) -> None:
    found = {
        hides: searched(
            tmp_path / str(hides), make_study(search=SEARCH, secure_sum={"enabled": hides})
        )
        for hides in (False, True)
    }
    plain, masked = found[False][0], found[True][0]
    assert plain.chosen == masked.chosen
    assert len(plain.tried) == 3
    for one, two in zip(plain.tried, masked.tried, strict=True):
        assert (one.trial, one.rounds, one.auc) == (two.trial, two.rounds, two.auc)
        # Weights are summed in the same steps either way, so the networks are the same.
        assert one.loss == pytest.approx(two.loss, abs=1e-12)
    for _, course in found.values():
        rounds = [one for _, one in course.sites.asked if one.startswith("search.train")]
        assert len(rounds) == 3 * len(course.sites.rows)


def test_what_was_searched_is_not_asked_again(tmp_path: Path) -> None:
    study = make_study(search=SEARCH)
    first, course = searched(tmp_path, study)
    asked = len(course.sites.asked)
    again = Course.over(course.sites, tmp_path / "run")
    second = search.run(
        again.federation, again.federation.run, again.sites.roster, again.harmonize()
    )
    assert second == first
    assert len(course.sites.asked) == asked
    names = [path.name for path in (tmp_path / "run" / "checkpoint").iterdir()]
    assert names == ["search.json"]


def test_a_robust_mean_trains_trials_as_well(tmp_path: Path) -> None:
    study = make_study(
        search=SEARCH, training={"rounds": 1, "averaged_rounds": 1, "strategy": "median"}
    )
    found, _ = searched(tmp_path, study)
    assert found.chosen in (1, 2)
    shown = found.results(study)
    assert shown is not None
    assert shown["spent"] == 3
