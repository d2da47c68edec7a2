"""A study that hides each patient, over phantoms: what it promises, spends, and makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from federation_run import make_sites, release_bytes, results_of, run_near, tiny_study

from client.cohort.table import read_table
from client.explain.of_patients import heat_of
from client.predict import patients_of, predict_patients
from client.private.spending import BUDGET_FILE
from client.reader.page import Reading, page
from client.reader.unusual import unusual
from common.errors import RunError
from common.heads import SCORED
from common.release import Release
from common.study import Study
from server.report.document import render
from server.report.record import FinishedRun

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]

ROLES = {"coimbra": "train", "dorpat": "external", "bergamo": "train", "aldgate": "train"}
TRAIN = ("coimbra", "bergamo", "aldgate")
FEATURES = {
    "original_shape2D_PixelSurface": [200.0, 3000.0],
    "original_shape2D_MajorAxisLength": [30.0, 100.0],
    "original_firstorder_Mean": [0.0, 255.0],
    "original_glcm_Contrast": [0.0, 400.0],
}


def private_study(folds: int = 1, covers: str = "everything", **privacy: Any) -> Study:
    content = tiny_study(folds, ROLES, hides=True).model_dump(mode="json")
    asked = {"epsilon": 8.0, "covers": covers} | privacy
    if covers == "everything":
        asked["features"] = FEATURES
        content["harmonization"]["mode"] = "mean_only"
    return Study.model_validate(content | {"privacy": content["privacy"] | asked})


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sites(tmp_path_factory.mktemp("private"), slices=1, roles=ROLES)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, sites: Path) -> Path:
    out = tmp_path_factory.mktemp("private-run") / "run"
    run_near(sites, out, study=private_study())
    return out


def spent(sites: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((sites / name / BUDGET_FILE).read_text("utf-8"))
    return content


def test_one_patient_has_a_page_that_keeps_what_the_study_hides(done: Path, sites: Path) -> None:
    """The release holds no distribution of the training patients, and the page says so."""
    release = Release.load(done / "release")
    assert release.distributions == ()
    table = read_table(sites.parent / "phantoms" / "dorpat" / "table.csv")
    found = predict_patients(release, patients_of(table)[:1], 2, sites / "dorpat" / "cache", 1)
    assert unusual(release, found, 0) is None
    heat = heat_of(release, found, 0)
    assert heat.shape == (1, 128, 128)
    text = page(release, found, Reading(None, {}, 0, heat))
    assert "Unknown: the study hides each training patient by noise" in text


def test_sums_without_noise_are_refused_beside_it() -> None:
    for covers in ("everything", "network"):
        content = private_study(covers=covers).model_dump(mode="json")
        with pytest.raises(ValueError, match=r"explain\.attention"):
            Study.model_validate(content | {"explain": {"attention": True}})


def test_every_site_spends_what_the_study_says_and_no_more(done: Path, sites: Path) -> None:
    promised = results_of(done)["privacy"]
    assert promised["covers"] == "everything"
    assert 7.8 < promised["epsilon"] <= 8.0
    for name in TRAIN:
        budget = spent(sites, name)
        assert budget["spent"] == pytest.approx(promised["epsilon"], rel=1e-9)
        kinds = [entry["kind"] for entry in budget["entries"]]
        assert kinds == ["sums", "weights", "weights", "metrics"]
    assert not (sites / "dorpat" / BUDGET_FILE).exists()


def test_the_release_scores_by_all_heads(done: Path) -> None:
    release = Release.load(done / "release")
    assert release.feature_names == tuple(sorted(FEATURES))
    [fold] = release.folds
    assert set(fold.heads) == set(SCORED)
    assert set(fold.heads["radiomics", "harmonized"].features) <= set(range(4))
    found = results_of(done)
    assert set(found["external"]["dorpat"]["models"]) == {"radiomics", "deep", "fused"}
    assert found["newton_rounds"] == 0
    assert set(found["stack_weights"]["harmonized"].values()) == {0.5}


def test_the_run_is_reported_with_its_noise(done: Path) -> None:
    run = FinishedRun.open(done)
    assert run.evidence is not None
    assert run.evidence.validation is None
    assert run.evidence.noisy is not None
    assert run.evidence.noisy.shape == (3, 2, 20)
    assert "differential privacy" in render(run, recalibrate=True)


def test_nothing_is_said_of_validation_patients_but_with_noise(done: Path) -> None:
    found = results_of(done)
    events = [json.loads(line) for line in (done / "events.jsonl").read_text().splitlines()]
    assert not [event for event in events if event["event"] == "measured"]
    for model in ("radiomics", "deep", "fused"):
        assert set(found["validation"][model]) == {"pooled"}


def test_the_same_study_again_costs_nothing_and_gives_the_same(
    done: Path, sites: Path, tmp_path: Path
) -> None:
    before = {name: spent(sites, name) for name in TRAIN}
    run_near(sites, tmp_path / "run", study=private_study())
    assert {name: spent(sites, name) for name in TRAIN} == before
    assert release_bytes(tmp_path / "run") == release_bytes(done)


def test_another_study_is_refused_before_it_begins(done: Path, sites: Path, tmp_path: Path) -> None:
    before = {name: spent(sites, name) for name in TRAIN}
    with pytest.raises(RunError, match="privacy-budget-too-small"):
        run_near(sites, tmp_path / "run", study=private_study(delta=2e-4))
    assert {name: spent(sites, name) for name in TRAIN} == before


def test_more_may_be_spent_where_a_study_says_so(done: Path, sites: Path, tmp_path: Path) -> None:
    study = private_study(
        folds=2,
        covers="network",
        epsilon=4.0,
        limit=12.0,
        trained="all",
        optimizer="adam",
        learning_rate=5e-4,
    )
    run_near(sites, tmp_path / "run", study=study)
    found = results_of(tmp_path / "run")
    assert found["privacy"]["covers"] == "network"
    assert found["newton_rounds"] > 0
    for name in TRAIN:
        assert 8.0 < spent(sites, name)["spent"] <= 12.0
