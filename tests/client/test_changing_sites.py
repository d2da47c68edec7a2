"""Sites that come and go in the middle of a stage: what is fitted is of those who answered last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_samples import Course, Sites
from site_samples import make_study
from sklearn.linear_model import LogisticRegression

from client.stages.fuse import remembered
from common.heads import SCORED, Head
from common.messages import Refusal
from server.roster import Roster
from server.stages import fuse
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized

pytestmark = pytest.mark.usefixtures("impatient")

NAMES = ("a", "b", "c", "d")
PENALTY = 1.0


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sites, Harmonized, list[np.ndarray]]:
    study = make_study(
        NAMES,
        quorum={"min_sites": 2},
        training={"rounds": 1, "averaged_rounds": 1},
        fusion={"sizes": [3], "inverse_penalties": [PENALTY], "patient_score": "mean"},
    )
    folder = tmp_path_factory.mktemp("changing")
    sites = Sites.make(study, folder / "sites")
    course = Course.over(sites, folder / "run")
    harmonized = course.harmonize()
    return sites, harmonized, course.train(harmonized)


def fused_with(
    begun: tuple[Sites, Harmonized, list[np.ndarray]], folder: Path, answering: dict[int, str]
) -> tuple[Fused, Course]:
    """Fuse where in each Newton round only the given sites answer; the last given ones go on."""
    sites, harmonized, weights = begun

    def spoil(site: str, exchange: str, answer: Any) -> Any:
        stage, step, *number = exchange.split(".")
        if (stage, step) != ("fuse", "heads"):
            return answer
        who = answering[max(k for k in answering if k <= int(number[0]))]
        return answer if site in who else Refusal("internal", "No.")

    course = Course.over(sites, folder / "run", spoil)
    return course.fuse(harmonized, weights), course


def optimum(sites: Sites, names: str, head: Head, variant: str, balance: np.ndarray) -> np.ndarray:
    """The head that scikit-learn fits on the pooled training slices of these sites."""
    x, y = [], []
    for name in names:
        context = sites.workers[name].context
        trains = context.rows.trains(0)
        columns = remembered(context, 0).columns(variant)[trains]
        x.append((columns[:, head.features] - head.center) / head.scale)
        y.append(context.rows.labels[trains])
    labels = np.concatenate(y)
    model = LogisticRegression(
        l1_ratio=1.0, solver="saga", C=PENALTY, tol=1e-12, max_iter=200_000, random_state=0
    ).fit(np.concatenate(x), labels, sample_weight=balance[labels])
    return np.append(model.intercept_, model.coef_[0])


@pytest.mark.parametrize(
    ("answering", "last"),
    [
        ({1: "abcd"}, "abcd"),
        ({1: "abcd", 3: "abc"}, "abc"),
        ({1: "abcd", 2: "bd", 4: "abd"}, "abd"),
        ({1: "ab", 3: "abcd"}, "abcd"),
        ({1: "abcd", 2: "abc", 3: "abd", 4: "acd"}, "acd"),
    ],
)
def test_newton_ends_at_the_optimum_of_the_last_sites(
    begun: tuple[Sites, Harmonized, list[np.ndarray]],
    tmp_path: Path,
    answering: dict[int, str],
    last: str,
) -> None:
    sites, harmonized, _ = begun
    found, course = fused_with(begun, tmp_path, answering)
    assert found.rounds > max(answering)
    assert found.sites == NAMES
    for key in SCORED:
        model, variant = key
        if model == "fused":
            continue
        head = found.folds[0].heads[key]
        expected = optimum(sites, last, head, variant, harmonized.class_weights[0])
        np.testing.assert_allclose(head.coefficients, expected, atol=1e-6)
    refused = set(NAMES) - set(answering[1])
    assert set(course.failures("fuse.heads.1")) == refused


def test_what_had_converged_goes_on_when_the_sites_change(
    begun: tuple[Sites, Harmonized, list[np.ndarray]], tmp_path: Path
) -> None:
    """Even in the very last round before the end."""
    sites, harmonized, _ = begun
    whole, _ = fused_with(begun, tmp_path / "whole", {1: "abcd"})
    changed, _ = fused_with(begun, tmp_path / "changed", {1: "abcd", whole.rounds: "bcd"})
    assert changed.rounds > whole.rounds
    head = changed.folds[0].heads["radiomics", "harmonized"]
    expected = optimum(sites, "bcd", head, "harmonized", harmonized.class_weights[0])
    np.testing.assert_allclose(head.coefficients, expected, atol=1e-6)
    before = whole.folds[0].heads["radiomics", "harmonized"]
    assert not np.allclose(before.coefficients, expected, atol=1e-3)


class Killed(Exception):
    """Stands in for the end of the coordinator's process."""


def test_a_site_found_unfit_on_resuming_is_asked_no_more(
    begun: tuple[Sites, Harmonized, list[np.ndarray]], tmp_path: Path
) -> None:
    sites, harmonized, weights = begun

    def dies(site: str, exchange: str, answer: Any) -> Any:
        if exchange == "fuse.heads.3":
            raise Killed
        return answer

    with pytest.raises(Killed):
        Course.over(sites, tmp_path / "run", dies).fuse(harmonized, weights)
    asked: set[tuple[str, str]] = set()

    def listens(site: str, exchange: str, answer: Any) -> Any:
        asked.add((site, exchange))
        return answer

    course = Course.over(sites, tmp_path / "run", listens)
    left = Roster(sites.roster.answers, ("a", "b", "c"), ())
    found = fuse.run(course.federation, left, sites.study, harmonized, weights)
    assert found.sites == ("a", "b", "c")
    assert {site for site, _ in asked} == {"a", "b", "c"}
    assert min(exchange for _, exchange in asked) == "fuse.heads.3"
    head = found.folds[0].heads["radiomics", "harmonized"]
    expected = optimum(sites, "abc", head, "harmonized", harmonized.class_weights[0])
    np.testing.assert_allclose(head.coefficients, expected, atol=1e-6)
