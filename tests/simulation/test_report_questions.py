"""A whole run that asks for the report: what it adds, and that it changes nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from federation_run import (
    Killed,
    NearGrid,
    make_sites,
    numbers_of,
    release_bytes,
    results_of,
    run_near,
    tiny_study,
    workers_of,
)

from common.feature_names import all_names
from common.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]

ADDED = ("described", "harmonization_features", "site_card", "subgroups")
REPORT: dict[str, Any] = {
    "patients": True,
    "features": True,
    "site_card": ["site", "field_strength"],
    "variables": [
        {"name": "age", "kind": "numeric", "lower": 15.0, "upper": 90.0, "width": 5.0},
        {"name": "sex", "kind": "categorical", "levels": ["F", "M"], "subgroups": True},
        {
            "name": "field_strength",
            "kind": "categorical",
            "levels": ["1.5", "3.0"],
            "subgroups": True,
        },
    ],
}
SITES = {"aldgate": "train", "bergamo": "train", "coimbra": "train", "dorpat": "external"}


def study_of(report: dict[str, Any], *, hides: bool = False) -> Study:
    content = tiny_study(roles=SITES, hides=hides).model_dump(mode="json")
    return Study.model_validate(content | {"report": report})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    sites = make_sites(folder, roles=SITES)
    studies = {
        "bare": study_of({}),
        "asked": study_of(REPORT),
        "hidden": study_of(REPORT, hides=True),
    }
    for name, study in studies.items():
        run_near(sites, folder / name, study=study)
    return {name: folder / name for name in studies}


def test_a_study_that_does_not_ask_is_asked_nothing_more(runs: dict[str, Path]) -> None:
    bare = results_of(runs["bare"])
    assert not set(ADDED) & set(bare)
    assert set(bare["seconds"]) == {
        "enrol", "harmonize", "train", "fuse", "calibrate", "validate"
    }  # fmt: skip
    assert bare["looks_at_external"] == {"dorpat": 1}


def test_the_report_changes_no_other_number(runs: dict[str, Path]) -> None:
    one, other = (release_bytes(runs[name]) for name in ("bare", "asked"))
    for name in one.keys() - {"release.json"}:
        assert one[name] == other[name]
    bare, asked = (numbers_of(runs[name]) for name in ("bare", "asked"))
    for name in bare.keys() - {"fingerprint"}:
        assert bare[name] == asked[name], name


def test_everything_that_was_asked_is_in_the_results(runs: dict[str, Path]) -> None:
    for name in ("asked", "hidden"):
        found = results_of(runs[name])
        assert set(ADDED) <= set(found)
        assert found["described"]["flow"]["dorpat"] == {"listed": 8, "excluded": {}, "used": 8}
        assert found["looks_at_external"] == {"dorpat": 2}
        rows = found["described"]["table1"]["variables"]
        assert [row["name"] for row in rows] == ["age", "sex", "field_strength"]
        external = rows[2]["groups"]["dorpat"]
        assert external["positive"]["counts"] == {"1.5": 0, "3.0": 4}
        assert 0 < len(found["harmonization_features"]) <= len(all_names())
        [strong] = [
            one
            for one in found["subgroups"]["dorpat"]
            if (one["variable"], one["level"]) == ("field_strength", "3.0")
        ]
        whole = found["external"]["dorpat"]["models"]
        for model, own in strong["models"].items():
            # All of the site's patients are in it.
            assert own["auc"] == pytest.approx(whole[model]["auc"], abs=1e-12)
            assert own["confusion"] == whole[model]["confusion"]
    together = results_of(runs["hidden"])["described"]["table1"]["groups"]
    assert together == ["training sites together", "dorpat"]
    assert results_of(runs["asked"])["described"]["table1"]["groups"] == list(SITES)


def test_masks_give_the_same_card_and_features(runs: dict[str, Path]) -> None:
    plain, hidden = (results_of(runs[name]) for name in ("asked", "hidden"))
    for one, other in zip(plain["site_card"], hidden["site_card"], strict=True):
        assert (one["of"], one["levels"]) == (other["of"], other["levels"])
        for when in ("before", "after"):
            if one[when] is not None:
                assert other[when]["balanced_accuracy"] == pytest.approx(
                    one[when]["balanced_accuracy"], abs=1e-9
                )
    for name, own in plain["harmonization_features"].items():
        assert hidden["harmonization_features"][name] == pytest.approx(own, abs=1e-6)


def test_the_results_are_json_that_anybody_reads(runs: dict[str, Path]) -> None:
    text = (runs["asked"] / "results.json").read_text()
    assert "NaN" not in text
    json.loads(text)


def test_a_coordinator_that_dies_in_between_looks_no_more_often(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    whole, study = runs["asked"], study_of(REPORT)
    sites, out = whole.parent / "sites", tmp_path / "run"
    events = [json.loads(line) for line in (whole / "events.jsonl").read_text().splitlines()]
    sizes = [len(event["sites"]) for event in events if event["event"] == "asked"]
    # The last three questions are who is told right, the scores, and the subgroups; a run that goes
    # on enrols its sites anew.
    for dies_at in (sum(sizes[:-3]) + 1, len(SITES) + sum(sizes[-3:])):
        with pytest.raises(Killed):
            run_near(sites, out, study=study, grid=NearGrid(workers_of(sites, study), dies_at))
    run_near(sites, out, study=study)
    assert results_of(out)["looks_at_external"] == {"dorpat": 2}
    assert numbers_of(out) == numbers_of(whole)
    assert release_bytes(out) == release_bytes(whole)
