"""Answers for the report that cannot be right do not count, and the reason is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from described_samples import PATIENTS, sites_of, study_of
from federation_samples import Course

from common.messages import CardAnswer, DescribeAnswer, ValidateAnswer
from common.study import Study
from server.firewall import Implausible
from server.roster import Roster
from server.stages import card, describe
from server.subgroups import _check as check_subgroups

pytestmark = pytest.mark.usefixtures("impatient")

STUDY = study_of(secure=True)


def put(field: str, key: str, value: Any, place: Any = ...) -> Callable[[Any], Any]:
    def change(answer: Any) -> Any:
        array = np.array(getattr(answer, field)[key])
        array[place] = value
        return replace(answer, **{field: getattr(answer, field) | {key: array}})

    return change


BAD: list[tuple[str, Callable[[Any], Any], str]] = [
    ("flow", put("flow", "used", PATIENTS), "used more patients"),
    ("flow", put("flow", "excluded", -1), "negative"),
    ("flow", put("flow", "told", 1), "does not add up"),
    ("flow", lambda a: replace(a, sums={"x": np.ones(1)}), "nobody asked for"),
    ("table", put("table", "sex.counts", 20), "more patients than it enrolled"),
    ("table", put("table", "age.count", -1), "negative"),
    ("table", put("table", "age.values", np.nan), "not finite"),
    ("table", lambda a: replace(a, table={}), "lack"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_a_site_that_describes_nonsense_is_left_out(number: int, tmp_path: Path) -> None:
    step, change, reason = BAD[number]
    study = Study.model_validate(
        study_of(secure=False).model_dump(mode="json") | {"quorum": {"min_sites": 3}}
    )

    def spoil(site: str, exchange: str, answer: Any) -> Any:
        return change(answer) if (site, exchange) == ("b", f"describe.{step}") else answer

    sites = sites_of(study, tmp_path / "sites")
    course = Course.over(sites, tmp_path / "run", spoil)
    found = describe.run(course.federation, sites.roster, study)
    assert reason in course.failures(f"describe.{step}")["b"]
    assert "b" not in (found.flows if step == "flow" else found.groups)
    assert "a" in found.flows


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Roster:
    return sites_of(STUDY, tmp_path_factory.mktemp("sites")).roster


def sums_of(study: Study) -> DescribeAnswer:
    """A total of four sites of 24 patients each, of whom half are positive."""
    histogram = np.zeros((2, 16), np.int64)
    histogram[:, 4] = 40
    return DescribeAnswer(
        sums={
            "age.count": np.array([40, 40]),
            "age.missing": np.array([8, 8]),
            "age.total": np.array([-600.0, -600.0]),
            "age.squares": np.array([9100.0, 9100.0]),
            "age.histogram": histogram,
            "age.sites": np.array(4),
            "sex.counts": np.array([[20, 28, 0, 0], [24, 24, 0, 0]]),
            "sex.sites": np.array(4),
            "vendor.counts": np.array([[24, 24, 0, 0], [24, 24, 0, 0]]),
            "vendor.sites": np.array(4),
        }
    )


TOTALS = [
    (put("sums", "age.count", 39), "not of the patients counted"),
    (put("sums", "age.missing", 90), "more patients than it enrolled"),
    (put("sums", "age.total", 2000.0), "within the bounds"),
    (put("sums", "age.squares", 70000.0), "within the bounds"),
    (put("sums", "age.histogram", -1, (0, 0)), "negative"),
    (put("sums", "sex.counts", 50), "too many"),
    (put("sums", "sex.counts", -1), "negative"),
]


@pytest.mark.parametrize("number", range(len(TOTALS)))
def test_a_total_that_cannot_be_is_refused(number: int, roster: Roster) -> None:
    study, own = STUDY, roster.pooled(roster.train)
    check = describe._sums_check(study)
    check(own, sums_of(study))
    change, reason = TOTALS[number]
    with pytest.raises(Implausible, match=reason):
        check(own, change(sums_of(study)))


def card_sums(study: Study, features: int = 2) -> CardAnswer:
    sums: dict[str, Any] = {}
    for fold in range(2):
        for number in range(2):
            place = f"{fold}.{number}"
            sums |= {
                f"{place}.count": np.array(96),
                f"{place}.between": np.full(features, 5.0),
                f"{place}.total": np.full(features, 3.0),
                f"{place}.squares": np.full(features, 96.0),
            }
            for of, groups in (("site", 4), ("vendor", 2)):
                sums |= {
                    f"{place}.{of}.count": np.full(groups, 48 // groups),
                    f"{place}.{of}.total": np.zeros((groups, 3)),
                    f"{place}.{of}.products": np.ones(6),
                }
        sums |= {f"{fold}.site.held": np.full(4, 12), f"{fold}.vendor.held": np.full(2, 24)}
    return CardAnswer(sums)


CARDS = [
    (put("sums", "0.0.between", 97.0), "vary more"),
    (put("sums", "1.1.total", 90.0), "not those of any rows"),
    (put("sums", "1.site.held", 60), "more patients than it enrolled"),
    (put("sums", "0.1.vendor.count", -1), "more patients than it enrolled"),
    (put("sums", "0.0.count", 1e6), "number of slices"),
    (put("sums", "0.0.site.total", np.inf), "not finite"),
]


@pytest.mark.parametrize("number", range(len(CARDS)))
def test_a_card_that_cannot_be_is_refused(number: int, roster: Roster) -> None:
    study, own = STUDY, roster.pooled(roster.train)
    check = card._sums_check(study, 2)
    check(own, card_sums(study))
    change, reason = CARDS[number]
    with pytest.raises(Implausible, match=reason):
        check(own, change(card_sums(study)))


def test_shares_of_patients_told_right_lie_in_0_to_1(roster: Roster) -> None:
    study, own = STUDY, roster.pooled(roster.train)
    check = card._held_out_check(study)
    names = [f"right.{number}.{of}" for number in range(2) for of in ("site", "vendor")]
    check(own, CardAnswer({name: np.array(0.5) for name in names}))
    for bad in (-0.1, 1.2, np.nan):
        shares = {name: np.array(0.5) for name in names} | {names[0]: np.array(bad)}
        with pytest.raises(Implausible):
            check(own, CardAnswer(shares))


def subgroups_of() -> ValidateAnswer:
    cells: dict[str, Any] = {}
    for name in ("age", "sex"):
        told = np.zeros((2, 3, 4), np.int64)
        told[:] = (5, 1, 5, 1)
        cells |= {
            f"{name}.shown": np.array([1]),
            f"{name}.patients": np.full((2, 2), 6),
            f"{name}.auc": np.full((2, 3), 0.8),
            f"{name}.variance": np.full((2, 3), 0.01),
            f"{name}.confusion": told,
        }
    return ValidateAnswer(subgroups=cells)


SUBGROUPS = [
    (put("subgroups", "sex.patients", 7), "more patients than it has"),
    (put("subgroups", "sex.auc", 1.1), "outside 0 to 1"),
    (put("subgroups", "age.variance", 0.7), "larger than any"),
    (put("subgroups", "age.confusion", 4), "not of its subgroups"),
    (lambda a: replace(a, placements={"counts": np.ones(2)}), "nobody asked for"),
]


@pytest.mark.parametrize("number", range(len(SUBGROUPS)))
def test_subgroups_that_cannot_be_are_refused(number: int, roster: Roster) -> None:
    study, own = STUDY, roster.answers["x"]
    check_subgroups(own, study, subgroups_of())
    change, reason = SUBGROUPS[number]
    with pytest.raises(Implausible, match=reason):
        check_subgroups(own, study, change(subgroups_of()))
