"""Whoever approves a study is told what the report asks, and what the site card gives away."""

from __future__ import annotations

import pytest
from site_samples import make_study

from client.approval_words import what_leaves, what_runs
from common.study import Study

REPORT = {
    "patients": True,
    "features": True,
    "site_card": ["site", "sex"],
    "variables": [
        {"name": "sex", "kind": "categorical", "levels": ["F", "M"], "subgroups": True},
    ],
}
ROLES = {"a": "train", "b": "train", "c": "train", "x": "external"}


def study_of(*, secure: bool = True, **report: object) -> Study:
    return make_study(ROLES, secure_sum={"enabled": secure}, report=report)


def said(study: Study, place: int) -> str:
    return "\n".join(": ".join(line) for line in what_leaves(study, study.sites[place]))


def test_a_study_without_a_report_says_nothing_of_it() -> None:
    bare = study_of()
    runs = dict(what_runs(bare, bare.sites[0]))
    assert "report" not in runs
    assert "describe" not in runs["stages"] + runs["deadlines"]
    assert "card" not in runs["stages"] + runs["deadlines"]
    for place in (0, 3):
        assert "describe" not in said(bare, place)


def test_what_is_asked_is_named() -> None:
    asked = study_of(**REPORT)
    runs = dict(what_runs(asked, asked.sites[0]))
    assert runs["stages"].startswith("enrol, describe, harmonize")
    for words in ("table 1 (sex)", "images tell the site, sex", "subgroups by sex"):
        assert words in runs["report"]


@pytest.mark.parametrize("secure", [True, False])
def test_the_site_card_is_said_to_show_where_a_site_lies(secure: bool) -> None:
    own = said(study_of(secure=secure, **REPORT), 0)
    assert "in which direction this site's images differ" in own
    assert "masked or not" in own
    features = said(study_of(secure=secure, features=True), 0)
    assert "direction" not in features
    assert ("card: masked" if secure else "card: in the clear") in features


def test_each_site_hears_of_its_own_part() -> None:
    study = study_of(**REPORT)
    inside, outside = said(study, 0), said(study, 3)
    assert "histograms of sex" in inside
    assert "the same results by sex" in outside
    assert "the same results by sex" not in inside
    assert "card" not in outside
    assert "histograms of sex" in said(study_of(**REPORT), 1)
    assert "means and quartiles, rounded" in said(study_of(secure=False, **REPORT), 1)
