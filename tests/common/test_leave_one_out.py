"""Leave one site out: the derived studies, and what a study must not ask with it."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import StudyError
from common.leave_one_out import family, left_out
from common.study import Study
from common.study_file import parse_study

NAMES = ("a", "b", "c", "d")


def content_of(**more: Any) -> dict[str, Any]:
    roster = [{"name": name, "role": "train"} for name in NAMES]
    return {"name": "tiny", "sites": [*roster, {"name": "x", "role": "external"}], **more}


def study_of(asks: bool = True, **more: Any) -> Study:
    return Study.model_validate(content_of(leave_one_site_out=asks, **more))


def test_a_derived_study_is_the_ordinary_one_with_that_site_external() -> None:
    content = content_of(seed=7, folds=3)
    for number, (site, derived) in enumerate(left_out(study_of(seed=7, folds=3)).items()):
        assert site == NAMES[number]
        content["sites"][number]["role"] = "external"
        assert derived == Study.model_validate(content)
        assert derived.fingerprint == Study.model_validate(content).fingerprint
        assert derived.external_sites == tuple(n for n in (*NAMES, "x") if n in (site, "x"))
        content["sites"][number]["role"] = "train"


def test_every_derived_study_has_a_fingerprint_of_its_own_and_does_not_ask_on() -> None:
    parent = study_of()
    found = left_out(parent)
    prints = {one.fingerprint for one in found.values()} | {parent.fingerprint}
    assert len(prints) == len(NAMES) + 1
    assert list(family(parent)) == [one.fingerprint for one in found.values()]
    assert all(not family(one) for one in found.values())
    assert not family(study_of(asks=False))


def test_the_site_that_is_left_out_must_answer_where_others_need_not() -> None:
    quorum = {"min_sites": 3, "mandatory": ["b"]}
    found = left_out(study_of(quorum=quorum))
    assert found["a"].quorum.mandatory == ("b", "a")
    assert found["b"].quorum.mandatory == ("b",)
    assert found["a"].quorum.min_sites == 3
    # With min_sites 0 every site must answer anyway.
    assert left_out(study_of())["a"].quorum.mandatory == ()


@pytest.mark.parametrize("site", ["x", "nobody"])
def test_only_a_site_that_trains_can_be_left_out(site: str) -> None:
    with pytest.raises(ValueError, match=f"{site} does not train"):
        study_of().leaving_out(site)


PRIVATE = {
    "harmonization": {"mode": "mean_only"},
    "privacy": {
        "epsilon": 8.0,
        "features": {
            "original_shape2D_PixelSurface": [0.0, 4000.0],
            "original_firstorder_Mean": [0.0, 255.0],
        },
    },
}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"quorum": {"min_sites": 4}}, "without a: quorum.min_sites: 4 sites are asked for"),
        ({"harmonization": {"reference": "b"}}, "harmonization.reference is left out once"),
        (PRIVATE, "with privacy each patient would be paid for"),
        (
            {"training": {"strategy": "krum"}, "secure_sum": {"enabled": False}},
            "without a: training.distrusted_sites",
        ),
    ],
)
def test_what_a_study_cannot_ask_with_it_is_named(more: dict[str, Any], why: str) -> None:
    if "krum" in str(more):
        # Five sites are enough for Krum, four are not.
        roster = [{"name": name, "role": "train"} for name in (*NAMES, "e")]
        more = more | {"sites": roster}
    plain = Study.model_validate(content_of() | more)
    with pytest.raises(StudyError, match="cannot leave one site out") as refused:
        left_out(plain)
    assert why in refused.value.what
    with pytest.raises(ValueError, match=r"leave_one_site_out: "):
        Study.model_validate(content_of(leave_one_site_out=True) | more)


@pytest.mark.parametrize(
    ("hides", "sites", "why"),
    [
        (True, 3, "without a: secure_sum: 2 training sites, and fewer than 3 cannot hide"),
        (False, 1, "without a: no site has the role 'train'"),
        (True, 4, ""),
        (False, 2, ""),
    ],
)
def test_enough_sites_must_be_left(hides: bool, sites: int, why: str) -> None:
    roster = [{"name": name, "role": "train"} for name in NAMES[:sites]]
    plain = Study.model_validate(
        {"name": "tiny", "sites": roster, "secure_sum": {"enabled": hides}}
    )
    if not why:
        assert len(left_out(plain)) == sites
        return
    with pytest.raises(StudyError) as refused:
        left_out(plain)
    assert why in refused.value.what


def test_a_protocol_file_says_at_which_line_it_cannot_be() -> None:
    text = 'name = "tiny"\nleave_one_site_out = true\n' + "".join(
        f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in "abc"
    )
    with pytest.raises(StudyError, match=r"study\.toml, line 2: leave_one_site_out: without a: "):
        parse_study(text)
