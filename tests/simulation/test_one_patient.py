"""A tiny study that asks where the network looks; then one patient, read as a clinician would."""

from __future__ import annotations

import html
import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_run import make_sites, results_of, run_near, tiny_study
from typer.testing import CliRunner

import myofed
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.explain.attention import attention_sums, patient_attention, places_of
from client.explain.gradcam import ensemble_heat
from client.fold_features import fold_features
from client.predict import estimate_site_effects, predict, predict_patients
from client.reader.one_patient import read_one
from client.reader.patient_folder import read_patient_folder
from client.reader.site_effects import SiteEffects
from client.reader.unusual import unusual
from common.errors import RunError, WrongUse
from common.print_to_pdf import browser
from common.release import DISTRIBUTIONS, Release
from common.statistics.distance import oracle_shrinkage
from common.study import Study

pytestmark = pytest.mark.slow

needs_browser = pytest.mark.skipif(not browser(), reason="no Chromium to print and check with")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    make_sites(folder)
    study = Study.model_validate(tiny_study().model_dump() | {"explain": {"attention": True}})
    run_near(folder / "sites", folder / "run", study=study)
    for number in (1, 2):
        own = folder / "patients" / f"DOR00{number}"
        own.mkdir(parents=True)
        for kind in ("image", "mask"):
            name = f"DOR00{number}_{kind}.nii.gz"
            shutil.copy(folder / "phantoms" / "dorpat" / "images" / name, own)
    return folder


@pytest.fixture(scope="module")
def release(folder: Path) -> Release:
    return Release.load(folder / "run" / "release")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(myofed.app, [str(one) for one in arguments])


def call(folder: Path, out: Path, *more: object) -> Any:
    """Predict the first patient, its radiomics taken from the site's cache."""
    cache = folder / "sites" / "dorpat" / "cache"
    patient = folder / "patients" / "DOR001"
    return run(
        "predict", folder / "run" / "release", patient, "--out", out, "--cache", cache, *more
    )


def words(page: Path) -> str:
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.read_text(), flags=re.DOTALL)
    return " ".join(html.unescape(text).split())


def test_the_run_has_the_attention_that_the_site_s_own_patients_have(
    folder: Path, release: Release
) -> None:
    site = SiteFolder.open(folder / "sites" / "dorpat")
    rows = load_rows(site, release.study, external=True, workers=1)
    heat = ensemble_heat(release.folds, rows, np.arange(rows.labels.size), release.study)
    own = patient_attention(rows, heat, places_of(rows, 2))
    sums = attention_sums(own, rows.patient_labels, 2)
    found = results_of(folder / "run")["attention"]
    assert set(found) == {"dorpat"}
    for label, name in ((0, "negative"), (1, "positive")):
        entry = found["dorpat"][name]
        assert entry["patients"] == (rows.patient_labels == label).sum()
        # Phantoms of two slices: mid-ventricular segments only.
        assert [mean is not None for mean in entry["mean"]] == [False] * 6 + [True] * 6 + [
            False
        ] * 4
        seen = slice(6, 12)
        expected = sums["heat"][label, seen] / sums["seen"][label, seen]
        assert entry["mean"][seen] == pytest.approx(expected, abs=1e-6)
    assert results_of(folder / "run")["looks_at_external"] == {"dorpat": 1}


def test_a_study_without_it_has_the_same_fingerprint_as_before() -> None:
    study = tiny_study()
    assert "explain" not in json.loads(study.canonical())
    asking = Study.model_validate(study.model_dump() | {"explain": {"attention": True}})
    assert asking.fingerprint != study.fingerprint
    assert Study.model_validate_json(asking.canonical()) == asking


def test_a_patient_with_the_hospital_s_effects_scores_as_in_its_cohort(
    folder: Path, release: Release, tmp_path: Path
) -> None:
    table = folder / "phantoms" / "dorpat" / "table.csv"
    cache = folder / "sites" / "dorpat" / "cache"
    together = predict(release, table, 2, cache, workers=1)
    effects = estimate_site_effects(release, table, 2, cache, workers=1)
    effects.save(release, tmp_path / "effects.safetensors")
    assert (tmp_path / "effects.safetensors").stat().st_mode & 0o077 == 0
    kept = SiteEffects.load(release, tmp_path / "effects.safetensors")
    assert kept.rows == 16
    for number in (1, 2):
        patient = read_patient_folder(folder / "patients" / f"DOR00{number}", release.study, 2)
        one = predict_patients(release, [patient], 2, cache, 1, effects=kept)
        assert (one.batches_known, one.batches_estimated) == (1, 0)
        assert one.patients[0].scores == together.patients[number - 1].scores
        far, as_far = unusual(release, one, 0), unusual(release, together, number - 1)
        assert far is not None
        assert as_far is not None
        # The network's last bits depend on the size of its batch.
        assert far.distance == pytest.approx(as_far.distance, abs=1e-4)
        assert far.limit == as_far.limit
    alone = predict_patients(release, [patient], 2, cache, 1)
    assert (alone.batches_known, alone.batches_estimated, alone.batches_below_minimum) == (0, 0, 1)
    assert (alone.features[0].harmonized == alone.features[0].raw).all()
    with pytest.raises(WrongUse, match="exists already"):
        effects.save(release, tmp_path / "effects.safetensors")


def test_effects_of_another_release_or_damaged_ones_are_refused(
    folder: Path, release: Release, tmp_path: Path
) -> None:
    table = folder / "phantoms" / "dorpat" / "table.csv"
    cache = folder / "sites" / "dorpat" / "cache"
    path = tmp_path / "effects.safetensors"
    estimate_site_effects(release, table, 2, cache, workers=1).save(release, path)
    other = Release(release.study, release.folds[::-1], release.thresholds, release.feature_names)
    with pytest.raises(RunError, match="another release"):
        SiteEffects.load(other, path)
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(RunError, match="can be read"):
        SiteEffects.load(release, path)
    with pytest.raises(RunError, match="can be read"):
        SiteEffects.load(release, folder / "run" / "release" / DISTRIBUTIONS)


def test_one_patient_gives_a_page_with_its_answer(
    folder: Path, release: Release, tmp_path: Path
) -> None:
    done = call(folder, tmp_path / "p.html", "--explain", tmp_path / "pictures")
    assert done.exit_code == 0, done.output
    text = words(tmp_path / "p.html")
    [patient] = predict_patients(
        release,
        [read_patient_folder(folder / "patients" / "DOR001", release.study, 2)],
        2,
        folder / "sites" / "dorpat" / "cache",
        1,
    ).patients
    threshold = release.thresholds["fused"]
    assert f"{patient.scores['fused']:.3f}" in text
    assert f"threshold {threshold:.3f}" in text
    above = patient.scores["fused"] >= threshold
    assert ("At or above the threshold" in text) == above
    assert ("Below the threshold" in text) != above
    counts = results_of(folder / "run")["external"]["dorpat"]["models"]["fused"]["confusion"]
    right, of = ("tn", "fp") if above else ("tp", "fn")
    assert f"{counts[right]} of {counts[right] + counts[of]} patients" in text
    assert "None applied: a scanner's effect cannot be estimated from one patient" in text
    assert "Not a medical device" in text
    assert release.study.fingerprint in text
    assert "in all" in text
    assert re.search(r"Distance \d\.\d\d", text)
    assert (tmp_path / "pictures" / "DOR001.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "p.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_the_effects_of_earlier_patients_are_made_kept_and_used(
    folder: Path, tmp_path: Path
) -> None:
    table = folder / "phantoms" / "dorpat" / "table.csv"
    kept = tmp_path / "effects.safetensors"
    made = call(folder, tmp_path / "a.html", "--like", table, "--site-effects", kept)
    assert made.exit_code == 0, made.output
    used = call(folder, tmp_path / "b.html", "--site-effects", kept)
    assert used.exit_code == 0, used.output
    for name in ("a", "b"):
        assert "Applied: the effect of this hospital's own site" in words(tmp_path / f"{name}.html")
    again = call(folder, tmp_path / "c.html", "--like", table, "--site-effects", kept)
    assert isinstance(again.exception, WrongUse)


def test_a_release_without_distributions_scores_as_well_and_says_unknown(
    folder: Path, release: Release, tmp_path: Path
) -> None:
    shutil.copytree(folder / "run" / "release", tmp_path / "release")
    (tmp_path / "release" / DISTRIBUTIONS).unlink()
    (tmp_path / "release" / "external.json").unlink()
    older = Release.load(tmp_path / "release")
    assert len(release.distributions) == 2
    assert older.distributions == ()
    patient = folder / "patients" / "DOR001"
    cache = folder / "sites" / "dorpat" / "cache"
    done = run(
        "predict", tmp_path / "release", patient, "--out", tmp_path / "p.html", "--cache", cache
    )
    assert done.exit_code == 0, done.output
    text = words(tmp_path / "p.html")
    assert "Unknown: this release does not hold how its training patients" in text
    assert "is not known to this release" in text


def test_an_image_unlike_all_others_is_flagged(folder: Path, release: Release) -> None:
    """The same patient, its pixels shuffled: no scanner makes such an image."""
    import SimpleITK as sitk

    own = folder / "patients" / "NOISE"
    own.mkdir()
    for kind in ("image", "mask"):
        source = folder / "patients" / "DOR001" / f"DOR001_{kind}.nii.gz"
        shutil.copy(source, own / f"x_{kind}.nii.gz")
    image = sitk.ReadImage(str(own / "x_image.nii.gz"))
    pixels = sitk.GetArrayFromImage(image)
    mixed = np.random.default_rng(0).permutation(pixels.ravel()).reshape(pixels.shape)
    spoilt = sitk.GetImageFromArray(mixed)
    spoilt.CopyInformation(image)
    sitk.WriteImage(spoilt, str(own / "x_image.nii.gz"))
    cache = folder / "cache"
    found = {
        name: predict_patients(
            release, [read_patient_folder(folder / "patients" / name, release.study, 2)], 2, cache
        )
        for name in ("DOR001", "NOISE")
    }
    usual, strange = (unusual(release, found[name], 0) for name in ("DOR001", "NOISE"))
    assert usual is not None
    assert strange is not None
    assert strange.distance > 2 * usual.distance
    assert strange.flagged
    assert not usual.flagged


def test_what_the_study_needs_to_know_is_asked_for_at_once(folder: Path, release: Release) -> None:
    asked = {"batch": "scanner", "covariates": [{"name": "age", "kind": "numeric"}]}
    study = release.study.model_dump() | {"harmonization": asked}
    other = Release(Study.model_validate(study), release.folds, release.thresholds, ())
    with pytest.raises(WrongUse, match="patient: age, scanner"):
        read_one(
            other, folder, folder / "patients" / "DOR001", folder / "p.html", 2, folder / "cache",
            None, None, None, ["sex=F"], 0.0,
        )  # fmt: skip


def test_what_the_release_says_of_its_training_slices_is_true(
    folder: Path, release: Release
) -> None:
    """By the rows of all training sites together, weighed by class."""
    study = release.study
    for fold, (model, kept) in enumerate(zip(release.folds, release.distributions, strict=True)):
        parts, labels = [], []
        for name in study.training_sites:
            rows = load_rows(
                SiteFolder.open(folder / "sites" / name), study, external=False, workers=1
            )
            own = rows.trains(fold)
            features = fold_features(rows, model, own, study, external=False)
            parts.append(features.columns("harmonized")[own][:, kept.features])
            labels.append(rows.labels[own])
        x, y = np.concatenate(parts), np.concatenate(labels)
        weights = (y.size / (2 * np.bincount(y, minlength=2)))[y]
        assert kept.rows == y.size
        assert kept.mean == pytest.approx(np.average(x, axis=0, weights=weights), abs=1e-6)
        covariance = np.cov(x.T, aweights=weights, ddof=0)
        sd = np.sqrt(np.diag(covariance))
        assert kept.sd == pytest.approx(sd, rel=1e-5)
        correlation = covariance / np.outer(sd, sd)
        share = oracle_shrinkage(correlation, y.size)
        expected = (1 - share) * correlation + share * np.eye(sd.size)
        assert kept.correlation == pytest.approx(expected, abs=1e-5)
        for own in ("radiomics", "deep"):
            head = model.heads[own, "harmonized"]
            assert set(head.features[head.coefficients[1:] != 0.0]) <= set(kept.features)


WRONG = {
    "a page that is no page": (("--out", "scores.csv"), "no HTML file"),
    "a covariate that is none": (("--covariate", "age"), "no covariate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_use_is_said(folder: Path, tmp_path: Path, name: str) -> None:
    more, said = WRONG[name]
    out = tmp_path / (more[1] if more[0] == "--out" else "p.html")
    done = call(folder, out, *(more if more[0] != "--out" else ()))
    assert isinstance(done.exception, WrongUse)
    assert said in done.exception.what
    assert not out.exists()


@needs_browser
def test_the_page_has_no_fault_of_access_and_prints_on_one_sheet(
    folder: Path, tmp_path: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    done = call(folder, tmp_path / "p.html", "--explain", tmp_path)
    assert done.exit_code == 0, done.output
    pdf = (tmp_path / "p.pdf").read_bytes()
    assert pages_of(pdf) == 1
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        for width in (1100, 375):
            # Axe is put into the page, whose own policy allows no script.
            context = chromium.new_context(
                bypass_csp=True, viewport={"width": width, "height": 900}
            )
            page = context.new_page()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((tmp_path / "p.html").as_uri())
            outcome = Axe().run(page)
            assert outcome.violations_count == 0, outcome.generate_report()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width
            assert all(url.startswith(("file:", "data:")) for url in asked)
        chromium.close()


def pages_of(pdf: bytes) -> int:
    """Count the page objects of a PDF, those in compressed streams as well."""
    parts = [pdf]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, flags=re.DOTALL):
        try:
            parts.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return sum(len(re.findall(rb"/Type\s*/Page[^s]", part)) for part in parts)


def test_a_cohort_has_a_picture_for_each_patient(folder: Path, tmp_path: Path) -> None:
    table = folder / "phantoms" / "dorpat" / "table.csv"
    cache = folder / "sites" / "dorpat" / "cache"
    done = run(
        "predict", folder / "run" / "release", table, "--out", tmp_path / "s.csv",
        "--cache", cache, "--explain", tmp_path / "pictures",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "1 batch(es) harmonised from 16 slices" in " ".join(done.output.split())
    assert len(list((tmp_path / "pictures").glob("DOR*.png"))) == 8
