"""A whole study that compares classifiers: under masks, resumed, and beside the same without."""

from __future__ import annotations

import json
from pathlib import Path

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

from common.results_table import show_results
from common.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]

ROLES = {"aldgate": "train", "bergamo": "train", "coimbra": "train", "dorpat": "external"}
EVERY = ["logistic", "svm", "perceptron", "forest", "boosting"]


def study_of(classifiers: list[str]) -> Study:
    plain = tiny_study(2, ROLES, hides=True).model_dump(mode="json")
    settings = {
        "bins": 6,
        "perceptron": {"rounds": 5},
        "forest": {"trees": 8, "depth": 2},
        "boosting": {"trees": 3},
    }
    return Study.model_validate(plain | {"comparison": {"classifiers": classifiers} | settings})


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sites(tmp_path_factory.mktemp("comparison"), slices=1, roles=ROLES)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, sites: Path) -> Path:
    out = tmp_path_factory.mktemp("compared") / "run"
    run_near(sites, out, study=study_of(EVERY))
    return out


def test_results_say_how_each_classifier_does_and_what_it_took(compared: Path) -> None:
    content = results_of(compared)
    found = content["comparison"]
    assert [one["name"] for one in found["classifiers"]] == EVERY
    for one in found["classifiers"]:
        assert set(one) == {"name", "how", "settings", "threshold", "validation", "external"}
        for measured in (one["validation"], one["external"]["dorpat"]):
            low, high = measured["auc_ci"]
            assert 0.0 <= low <= measured["auc"] <= high <= 1.0
        counts = one["external"]["dorpat"]["confusion"]
        assert counts["tp"] + counts["fn"] == counts["fp"] + counts["tn"] == 4
    events = [json.loads(line) for line in (compared / "events.jsonl").read_text().splitlines()]
    asked = [event for event in events if event["event"] == "asked"]
    fits = [event for event in asked if (event["stage"], event.get("step")) == ("compare", "fit")]
    assert len(fits) == found["rounds"]
    assert found["traffic"]["messages"] == found["rounds"] + 2
    # The finished model, and then the classifiers.
    assert content["looks_at_external"] == {"dorpat": 2}
    assert content["seconds"]["compare"] > 0.0
    assert all(event["failures"] == {} for event in asked)


def test_all_else_is_what_it_is_without_a_comparison(
    tmp_path: Path, sites: Path, compared: Path
) -> None:
    run_near(sites, tmp_path / "run", study=study_of([]))
    one, other = numbers_of(compared), numbers_of(tmp_path / "run")
    assert "comparison" in one
    assert "comparison" not in other
    del one["comparison"]
    for numbers in (one, other):
        del numbers["fingerprint"]
    assert one == other
    first, second = release_bytes(compared), release_bytes(tmp_path / "run")
    for name in first:
        if name.endswith(".safetensors"):
            assert first[name] == second[name]


def test_a_run_killed_while_it_compares_goes_on_to_the_same_numbers(
    tmp_path: Path, sites: Path, compared: Path
) -> None:
    study = study_of(EVERY)
    events = [json.loads(line) for line in (compared / "events.jsonl").read_text().splitlines()]
    asked = [event for event in events if event["event"] == "asked"]
    first = next(k for k, event in enumerate(asked) if event["stage"] == "compare")
    pushed = sum(len(event["sites"]) for event in asked[: first + 3])
    grid = NearGrid(workers_of(sites, study), dies_at=pushed)
    with pytest.raises(Killed):
        run_near(sites, tmp_path / "run", study=study, grid=grid)
    grid.dies_at = 0
    run_near(sites, tmp_path / "run", study=study, grid=grid)
    found = results_of(tmp_path / "run")["comparison"]
    expected = results_of(compared)["comparison"]
    for content in (found, expected):
        del content["traffic"]
    # Another run has other masks, and the sums other last digits.
    for one, other in zip(found["classifiers"], expected["classifiers"], strict=True):
        assert (one["name"], one["settings"]) == (other["name"], other["settings"])
        assert one["threshold"] == other["threshold"]
        assert one["validation"]["auc"] == pytest.approx(other["validation"]["auc"])
        assert one["external"]["dorpat"]["confusion"] == other["external"]["dorpat"]["confusion"]


def test_the_table_for_a_person_names_every_classifier(
    compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_results(results_of(compared), compared)
    shown = capsys.readouterr().out
    assert all(name in shown for name in EVERY)
    assert "messages for all of them" in " ".join(shown.split())
