"""Four sites whose answers are under masks give what they give without, at every stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_samples import Course, Sites, refuses
from site_samples import make_study

from common.heads import heads_to_arrays
from common.messages import Hidden
from common.records import to_record
from server.stages.calibrate import Calibrated
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized

pytestmark = pytest.mark.usefixtures("impatient")

NAMES = ("a", "b", "c", "d")
ROLES = dict.fromkeys(NAMES, "train") | {"x": "external"}


def study_of(secure: bool, strategy: str = "fedavgm") -> Any:
    return make_study(
        ROLES,
        quorum={"min_sites": 3},
        harmonization={"covariates": [{"name": "age", "kind": "numeric"}], "missing": "mean"},
        training={"rounds": 2, "averaged_rounds": 1, "strategy": strategy},
        fusion={"sizes": [2, 4], "inverse_penalties": [1.0], "patient_score": "mean"},
        secure_sum={"enabled": secure},
    )


@dataclass
class Whole:
    """A run from harmonisation to the thresholds, and what its sites said."""

    sites: Sites
    harmonized: Harmonized
    weights: list[np.ndarray]
    fused: Fused
    calibrated: Calibrated
    said: list[tuple[str, str, object]]

    @classmethod
    def of(cls, sites: Sites, out: Path) -> Whole:
        said: list[tuple[str, str, object]] = []

        def listens(site: str, exchange: str, answer: object) -> object:
            said.append((site, exchange, answer))
            return answer

        course = Course.over(sites, out, listens)
        harmonized = course.harmonize()
        weights = course.train(harmonized)
        fused = course.fuse(harmonized, weights)
        calibrated = course.calibrate(fused)
        for event in course.federation.run.events():
            assert event.get("failures", {}) == {}
        return cls(sites, harmonized, weights, fused, calibrated, said)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("plain")
    return Whole.of(Sites.make(study_of(secure=False), folder / "sites"), folder / "run")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("masked")
    return Whole.of(Sites.make(study_of(secure=True), folder / "sites"), folder / "run")


def same_references(one: Harmonized, other: Harmonized) -> None:
    for a, b in zip(one.references, other.references, strict=True):
        for name in ("alpha", "beta", "sigma"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(one.means, other.means, rtol=1e-12)
    assert one.classes.tolist() == other.classes.tolist()
    assert one.filled == other.filled


def same_heads(one: Fused, other: Fused) -> None:
    assert one.choices == other.choices
    assert one.sites == other.sites
    for fold, own in zip(one.folds, other.folds, strict=True):
        found, expected = heads_to_arrays(fold.heads), heads_to_arrays(own.heads)
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-9)
    for variant, stacked in other.stacks.items():
        np.testing.assert_allclose(one.stacks[variant].weights, stacked.weights, rtol=1e-9)


def test_all_stages_come_to_the_same(plain: Whole, masked: Whole) -> None:
    same_references(masked.harmonized, plain.harmonized)
    assert [one.tobytes() for one in masked.weights] == [one.tobytes() for one in plain.weights]
    same_heads(masked.fused, plain.fused)
    assert masked.fused.rounds == plain.fused.rounds
    assert masked.calibrated.thresholds == plain.calibrated.thresholds
    assert masked.calibrated.histograms.tolist() == plain.calibrated.histograms.tolist()
    np.testing.assert_allclose(masked.calibrated.within, plain.calibrated.within, rtol=1e-12)


def test_the_coordinator_saw_nothing_but_masks(plain: Whole, masked: Whole) -> None:
    asked = Counter((site, exchange) for site, exchange, _ in plain.said)
    assert Counter((site, exchange) for site, exchange, _ in masked.said) == asked
    assert set(asked.values()) == {1}
    assert all(isinstance(answer, Hidden) for _, _, answer in masked.said)
    seen = b"".join(
        part.tobytes()
        for _, _, one in masked.said
        for part in (one.statistics, one.weights)  # type: ignore[attr-defined]
    )
    counts = np.bincount(np.frombuffer(seen, np.uint8), minlength=256)
    assert counts.max() < 1.02 * counts.mean()
    # That is what telling numbers would look like.
    told = b"".join(bytes(to_record(one)["arrays"]["safetensors"].data) for *_, one in plain.said)
    counts = np.bincount(np.frombuffer(told, np.uint8), minlength=256)
    assert counts.max() > 10 * counts.mean()


LOST = [
    ("harmonize.covariates", "harmonize"),
    ("harmonize.features", "harmonize"),
    ("train", "train"),
    ("fuse.moments", "fuse"),
    ("fuse.heads", "fuse"),
    ("fuse.stack", "fuse"),
    ("calibrate", "calibrate"),
]


@pytest.mark.parametrize(("at", "stage"), LOST)
def test_without_a_site_it_is_the_sum_of_the_others(
    plain: Whole, masked: Whole, tmp_path: Path, at: str, stage: str
) -> None:
    """Whatever it refuses, the others are asked again under other masks."""
    one, other = (
        Course.over(whole.sites, tmp_path / str(number), refuses("c", at=at))
        for number, whole in enumerate((masked, plain))
    )
    if stage == "harmonize":
        same_references(one.harmonize(), other.harmonize())
    elif stage == "train":
        bits = [
            [weights.tobytes() for weights in course.train(plain.harmonized)]
            for course in (one, other)
        ]
        assert bits[0] == bits[1] != [weights.tobytes() for weights in plain.weights]
    elif stage == "fuse":
        same_heads(*(course.fuse(plain.harmonized, plain.weights) for course in (one, other)))
    else:
        found, expected = (course.calibrate(plain.fused) for course in (one, other))
        assert found.thresholds == expected.thresholds
        assert found.histograms.tolist() == expected.histograms.tolist()
    failures = [
        list(event["failures"])
        for event in one.federation.run.events()
        if event["event"] == "asked" and event["failures"]
    ]
    assert failures == [["c"]]


class Killed(Exception):
    """Stands in for the end of the coordinator's process."""


@pytest.mark.parametrize("at", [("c", "train.0.2"), ("a", "fuse.heads.2"), ("d", "fuse.stack.0")])
def test_a_run_that_was_killed_goes_on_to_the_same_bits_and_asks_nothing_twice(
    masked: Whole, tmp_path: Path, at: tuple[str, str]
) -> None:
    heard: list[tuple[str, str]] = []

    def dies(site: str, exchange: str, answer: object) -> object:
        if (site, exchange) == at:
            raise Killed
        heard.append((site, exchange))
        return answer

    def listens(site: str, exchange: str, answer: object) -> object:
        heard.append((site, exchange))
        return answer

    def stages(course: Course) -> tuple[list[np.ndarray], Fused]:
        weights = course.train(masked.harmonized)
        return weights, course.fuse(masked.harmonized, weights)

    with pytest.raises(Killed):
        stages(Course.over(masked.sites, tmp_path / "run", dies))
    weights, fused = stages(Course.over(masked.sites, tmp_path / "run", listens))
    assert [one.tobytes() for one in weights] == [one.tobytes() for one in masked.weights]
    for fold, own in zip(fused.folds, masked.fused.folds, strict=True):
        found, expected = heads_to_arrays(fold.heads), heads_to_arrays(own.heads)
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in expected.items()
        }
    expected_asked = Counter(
        (site, exchange)
        for site, exchange, _ in masked.said
        if exchange.split(".")[0] in ("train", "fuse")
    )
    assert Counter(heard) == expected_asked
