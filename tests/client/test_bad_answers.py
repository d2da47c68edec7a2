"""One bad site of four, at every stage: it is quarantined with the reason, and the run goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_cases import CASES, EXTERNAL, PLACEMENTS, Case, Change
from federation_samples import Course, Sites, Spoil, refuses
from site_samples import make_study

from common.errors import RunError
from common.heads import heads_to_arrays
from server.stages.calibrate import Calibrated
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized

pytestmark = pytest.mark.usefixtures("impatient")

NAMES = ("a", "b", "c", "d")
BAD = "d"
ROLES = dict.fromkeys(NAMES, "train") | {"x": "external", "y": "external", "z": "external"}


def study_of(least: int) -> Any:
    return make_study(
        ROLES,
        quorum={"min_sites": least, "mandatory": ["x", "y"] + (["z"] if least == 4 else [])},
        harmonization={"covariates": [{"name": "age", "kind": "numeric"}], "missing": "mean"},
        training={"rounds": 1, "averaged_rounds": 1},
        fusion={"sizes": [2, 4], "inverse_penalties": [1.0], "patient_score": "mean"},
    )


@dataclass
class Honest:
    """What comes out where nobody is bad."""

    sites: Sites
    harmonized: Harmonized
    weights: list[np.ndarray]
    fused: Fused
    calibrated: Calibrated
    without: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, least: int, folder: Path) -> Honest:
        sites = Sites.make(study_of(least), folder / "sites")
        course = Course.over(sites, folder / "run")
        harmonized = course.harmonize()
        weights = course.train(harmonized)
        fused = course.fuse(harmonized, weights)
        calibrated = course.calibrate(fused)
        course.validate(fused, calibrated)
        for event in course.federation.run.events():
            assert event.get("failures", {}) == {}
        return cls(sites, harmonized, weights, fused, calibrated)

    def stage(self, course: Course, name: str) -> list[bytes]:
        """Run one stage after the others' honest ones; the numbers that it makes."""
        if name == "harmonize":
            found = course.harmonize()
            arrays = [a for one in found.references for a in (one.alpha, one.beta, one.sigma)]
            arrays += [found.class_weights]
        elif name == "train":
            arrays = course.train(self.harmonized)
        elif name == "fuse":
            fused = course.fuse(self.harmonized, self.weights)
            arrays = [a for one in fused.folds for a in heads_to_arrays(one.heads).values()]
        elif name == "calibrate":
            frozen = course.calibrate(self.fused)
            arrays = [np.array(frozen.thresholds), frozen.histograms, frozen.within]
        else:
            validated = course.validate(self.fused, self.calibrated)
            arrays = [one.auc for one in validated.answers.values()]
            arrays += list(validated.pooled or ())
        return [np.ascontiguousarray(array).tobytes() for array in arrays]

    def stage_without(self, site: str, exchange: str, out: Path) -> list[bytes]:
        """Run a stage in which a site refuses one exchange."""
        key = (site, exchange)
        if key not in self.without:
            course = Course.over(self.sites, out, refuses(site, at=exchange))
            self.without[key] = self.stage(course, exchange.split(".", maxsplit=1)[0])
        return self.without[key]


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return Honest.of(3, tmp_path_factory.mktemp("lenient"))


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return Honest.of(4, tmp_path_factory.mktemp("strict"))


def spoils(site: str, at: str, change: Change) -> Spoil:
    def spoil(name: str, exchange: str, answer: Any) -> Any:
        return change(answer) if (name, exchange) == (site, at) else answer

    return spoil


def quarantined(honest: Honest, site: str, case: Case, folder: Path) -> None:
    """Run the stage with one bad answer: all goes on as if the site had not answered."""
    exchange, change, reason = case
    course = Course.over(honest.sites, folder / "bad", spoils(site, exchange, change))
    found = honest.stage(course, exchange.split(".")[0])
    failures = course.failures(exchange)
    assert list(failures) == [site]
    assert re.match("quarantined: |.*answer-malformed", failures[site])
    assert re.search(reason, failures[site]), failures[site]
    assert found == honest.stage_without(site, exchange, folder / "without")


@pytest.mark.parametrize("case", CASES)
def test_the_run_goes_on_without_a_bad_training_site(
    lenient: Honest, tmp_path: Path, case: str
) -> None:
    quarantined(lenient, BAD, CASES[case], tmp_path)


@pytest.mark.parametrize("case", EXTERNAL)
def test_the_run_goes_on_without_a_bad_external_site(
    lenient: Honest, tmp_path: Path, case: str
) -> None:
    quarantined(lenient, "z", EXTERNAL[case], tmp_path)


@pytest.mark.parametrize("case", PLACEMENTS)
def test_there_is_no_comparison_over_sites_without_all_their_placements(
    lenient: Honest, tmp_path: Path, case: str
) -> None:
    quarantined(lenient, "z", PLACEMENTS[case], tmp_path)
    exchange, change, _ = PLACEMENTS[case]
    course = Course.over(lenient.sites, tmp_path / "again", spoils("z", exchange, change))
    found = course.validate(lenient.fused, lenient.calibrated)
    assert found.pooled is None
    assert list(found.answers) == ["x", "y", "z"]


STRICT = [
    "harmonize.covariates negative",
    "harmonize.features 0.sum_x nan",
    "train.0.1 scaled",
    "fuse.moments.0 products",
    "fuse.heads.2 loss",
    "fuse.stack.0 labels",
    "calibrate enrolled",
    "validate.scores auc",
    "validate.placements nan",
]


@pytest.mark.parametrize("case", STRICT)
def test_where_all_must_answer_a_bad_site_ends_the_run(
    strict: Honest, tmp_path: Path, case: str
) -> None:
    exchange, change, reason = (CASES | EXTERNAL | PLACEMENTS)[case]
    site = "z" if exchange.startswith("validate") else BAD
    course = Course.over(strict.sites, tmp_path / "bad", spoils(site, exchange, change))
    with pytest.raises(RunError) as caught:
        strict.stage(course, exchange.split(".")[0])
    assert "The quorum of the study does not hold" in caught.value.what
    assert re.search(f"{site}: quarantined: .*{reason}", caught.value.what)
    # Set right, it is asked again, and only it.
    again = Course.over(strict.sites, tmp_path / "bad")
    assert strict.stage(again, exchange.split(".")[0])
    asked = [event for event in again.federation.run.events() if event["event"] == "asked"]
    (second,) = (
        event
        for event, before in zip(asked[1:], asked, strict=False)
        if event["stage"] == before["stage"] and before["failures"]
    )
    assert list(second["sites"]) == [site]


def test_two_bad_sites_of_four_are_one_too_many(lenient: Honest, tmp_path: Path) -> None:
    exchange, change, _ = CASES["harmonize.features 0.sum_x nan"]

    def spoil(site: str, at: str, answer: Any) -> Any:
        return change(answer) if site in {"b", "d"} and at == exchange else answer

    with pytest.raises(RunError, match="2 training sites answered, at least 3 must"):
        lenient.stage(Course.over(lenient.sites, tmp_path / "bad", spoil), "harmonize")
