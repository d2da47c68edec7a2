"""The report of a finished run: whole, valid, self-contained, and with the right numbers."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_optional import left_out, optional_keys
from report_samples import Made, add, finished_run
from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score

from common.errors import RunError, WrongUse
from common.files import write_json
from common.heads import MODELS, SCORED
from server.evidence import Evidence
from server.model_card import model_card
from server.report.canvas import PROPERTIES
from server.report.document import context, render, write_report
from server.report.record import FinishedRun

VOID = {"meta", "br", "link", "img", "input", "hr", "use"}
SELF_CLOSING = {"path", "use", "g", "rect", "circle", "line"}


class Page(HTMLParser):
    """Checks that tags nest and identifiers are unique; keeps what is looked for."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "xlink:href", "action", "data", "srcset", "poster"):
                self.addresses.append(value or "")
            elif name in ("aria-labelledby",):
                self.references.append(value or "")
            self.references += re.findall(r"url\(#([^)]*)\)", value or "")
            assert not name.startswith("on"), f"{name} is a script"
        if tag == "svg":
            self.pictures.append(dict(attrs).get("aria-label") or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def page_of(made: Made, recalibrate: bool = False, folder: Path | None = None) -> tuple[str, Page]:
    text = render(FinishedRun.open(made.path, folder), recalibrate)
    page = Page(text)
    assert len(set(page.ids)) == len(page.ids)
    for one in page.addresses:
        assert one.startswith("#"), f"{one} leads out of the page"
        assert one[1:] in page.ids, f"{one} leads nowhere"
    assert set(page.references) <= set(page.ids)
    assert "script" not in page.tags
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert not [colour for colour in PROPERTIES if colour in text]
    assert all(len(one) > 20 for one in page.pictures)
    for word in ("None", "nan", "Undefined", "np.float"):
        assert not re.search(rf">\s*{word}\s*<", text), word
    return text, page


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return finished_run(tmp_path_factory.mktemp("plain") / "run")


def test_a_run_with_an_external_site_is_whole(plain: Made) -> None:
    text, page = page_of(plain)
    # Three ROC panels of validation patients and of the site, three of calibration, spared,
    # decision, three of stability.
    assert len(page.pictures) == 3 + 3 + 3 + 1 + 1 + 3
    assert text.count("<h2 id=") == 7 + 1
    for said in ("did not ask for subgroups", "did not ask for a site card", "was late",
                 "None was asked for", "resolution of single patients"):  # fmt: skip
        assert said in text
    assert len(text.encode()) < 5_000_000


def test_the_numbers_are_those_of_scikit_learn(plain: Made) -> None:
    run = FinishedRun.open(plain.path)
    found = context(run, False)
    own, results = plain.external["dorpat"], plain.results
    calibrations = {one.model: one for one in found["cal"]["calibrations"]["dorpat"]}
    for model in MODELS:
        row = SCORED.index((model, "harmonized"))
        scores, threshold = own.scores[row], results["thresholds"][model]
        scored = found["external"][0].models[model]
        assert scored.auc == pytest.approx(roc_auc_score(own.labels, scores), abs=1e-12)
        tn, fp, fn, tp = confusion_matrix(own.labels, scores >= threshold).ravel()
        assert (scored.counts.tn, scored.counts.fp) == (tn, fp)
        assert (scored.counts.fn, scored.counts.tp) == (fn, tp)
        brier = brier_score_loss(own.labels, scores)
        assert calibrations[model].brier.score == pytest.approx(brier, abs=1e-12)
        assert calibrations[model].mean_score == pytest.approx(scores.mean(), abs=1e-12)
        spared = next(one for one in found["roc"]["spared"]["dorpat"] if one.model == model)
        assert spared.spared.value == pytest.approx(tn / (tn + fp))
        assert spared.missed.value == pytest.approx(fn / (fn + tp))
        assert spared.among_spared.value == pytest.approx(fn / (fn + tn))
        assert spared.fewer.value == pytest.approx((fn + tn) / own.labels.size)


def test_what_is_written_in_the_tables_is_in_the_results(plain: Made) -> None:
    _, page = page_of(plain)
    rows = [[" ".join(cell.split()) for cell in row] for row in page.rows]
    for model in MODELS:
        own = plain.results["external"]["dorpat"]["models"][model]
        cells = [f"{plain.results['thresholds'][model]:.3f}"]
        low, high = own["auc_ci"]
        cells.append(f"{own['auc']:.3f}{low:.3f} to {high:.3f}")
        for name in ("sensitivity", "specificity", "ppv", "npv"):
            low, high = own[f"{name}_ci"]
            cells.append(f"{own[name]:.2f}{low:.2f} to {high:.2f}")
        assert [model, *cells] in rows
    for one in plain.results["external"]["dorpat"]["comparisons"]:
        [row] = [row for row in rows if row and row[0] == f"{one['a']} against {one['b']}"]
        assert row[1].lstrip("+").replace("−", "-") == f"{one['difference']:.3f}".replace(
            "-0.000", "0.000"
        )
        assert row[3].replace("−", "-") == f"{one['z']:.2f}"
        low, high = (float(part.replace("−", "-")) for part in row[2].split(" to "))
        assert (low < 0 < high) == (one["p"] > 0.05)
    assert ["aldgate", "6", "0", "6.0 kB", "1.8 kB", "3.0 s"] in rows
    assert ["bergamo", "6", "1", "5.0 kB", "1.5 kB", "2.5 s"] in rows


@pytest.mark.slow
def test_recalibration_is_fitted_on_training_sites_only(plain: Made, tmp_path: Path) -> None:
    text, page = page_of(plain, recalibrate=True)
    assert len(page.pictures) == 14 + 3
    assert "after recalibration" in text
    lines = context(FinishedRun.open(plain.path), True)["cal"]["recalibrations"]
    other = finished_run(tmp_path / "other", external=("elsewhere", "nowhere"))
    same = context(FinishedRun.open(other.path), True)["cal"]["recalibrations"]
    # Other external patients, the same training sites: the same lines.
    assert [one.line for one in lines] == [one.line for one in same]
    assert all(one.line is not None for one in lines)


@pytest.mark.slow
def test_two_external_sites_are_each_shown_and_pooled_beside(tmp_path: Path) -> None:
    made = finished_run(tmp_path / "run", external=("dorpat", "edinburgh"))
    text, page = page_of(made, recalibrate=True)
    assert sum("ROC curve" in one for one in page.pictures) == 9
    assert sum("edinburgh" in one for one in page.pictures) == 3 + 3 + 3 + 1 + 1
    assert "Over all external sites together" in text


def test_without_external_sites_nothing_is_claimed_of_a_new_hospital(tmp_path: Path) -> None:
    made = finished_run(tmp_path / "run", external=())
    text, page = page_of(made, recalibrate=True)
    assert "No external site was looked at" in text
    assert "nothing honest can be said" in text
    assert sum("Calibration of" in one for one in page.pictures) == 3
    card = model_card(made.study, made.results)
    assert "external site | model" not in card
    assert "| fused | " in card


@pytest.mark.slow
def test_a_study_that_hides_patients_shows_the_noise(tmp_path: Path) -> None:
    for external in (("dorpat",), ()):
        made = finished_run(tmp_path / f"run{len(external)}", external=external, privacy=True)
        text, page = page_of(made, recalibrate=True)
        assert "noise alone: SD" in text
        assert "no curve is drawn" in text
        assert "keeps no exact scores" in text
        assert sum("ROC curve" in one for one in page.pictures) == 3 * len(external)
        assert "differential privacy" in text
        card = model_card(made.study, made.results)
        assert ("noise alone" in card) == (not external)


def test_classes_that_separate_have_no_slope_and_still_a_report(tmp_path: Path) -> None:
    text, _ = page_of(finished_run(tmp_path / "run", separated=True), recalibrate=True)
    assert "separate the classes completely" in text
    assert '<td class="r">–</td>' in text


@pytest.mark.slow
def test_every_optional_key_is_rendered_and_none_of_the_others(plain: Made, tmp_path: Path) -> None:
    made = finished_run(tmp_path / "run")
    keys = optional_keys()
    bare, _ = page_of(made)
    said = {
        "described": "too few slices",
        "harmonization_features": "wavelet-LL_glcm_Feature",
        "site_card": "field strength",
        "subgroups": "&lt;b&gt;Bold &amp; Co&lt;/b&gt;",
        "attention": "apical septal",
        "comparison": "vote of local forests",
        "reduction": "low reproducibility",
        "search": "54 of 60",
    }
    assert not [words for words in said.values() if words in bare]
    # Every other key is there, then the others are: none leans on its neighbour.
    for half in (list(said)[::2], list(said)[1::2]):
        some = Made(_copy(made, tmp_path / half[0]), made.study, made.validation, made.external)
        add(some, **{key: keys[key] for key in half})
        text, _ = page_of(some)
        assert [key for key, words in said.items() if words in text] == half
    add(made, **keys)
    text, page = page_of(made, True, left_out(tmp_path / "loso"))
    assert len(page.pictures) == 14 + 3 + 1 + 1 + 1 + 3
    assert "Prediction interval" in text
    # The protocol and the checklist say what the search chose.
    assert "at width 0.375" in text
    assert "network of width 0.375" in text
    other = left_out(tmp_path / "another", study="another")
    assert "run for a study named another" in page_of(made, folder=other)[0]
    assert "run for a study" not in text


def test_a_run_without_evidence_is_reported_without_curves(tmp_path: Path) -> None:
    made = finished_run(tmp_path / "run")
    (made.path / "evidence.json").unlink()
    text, page = page_of(made, recalibrate=True)
    assert "holds no evidence.json" in text
    assert not any("ROC curve" in one for one in page.pictures)
    assert any("frozen threshold would do" in one for one in page.pictures)


@pytest.mark.parametrize("spoil", ["histogram", "threshold", "site", "format", "json", "count"])
def test_evidence_of_another_run_is_refused(tmp_path: Path, spoil: str) -> None:
    made = finished_run(tmp_path / "run")
    path = made.path / "evidence.json"
    held: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if spoil == "histogram":
        held["external"]["dorpat"][2]["positive"] = [[1, 24]]
    elif spoil == "threshold":
        moved = made.results["thresholds"] | {"fused": 0.9}
        add(made, thresholds=moved)
    elif spoil == "site":
        held["external"] = {"elsewhere": held["external"]["dorpat"]}
    elif spoil == "format":
        held["format"] = 99
    elif spoil == "count":
        held["external"]["dorpat"][0]["positive"] = [[1001, 1]]
    write_json(path, held)
    if spoil == "json":
        path.write_text("{", "utf-8")
    with pytest.raises(RunError, match="evidence"):
        render(FinishedRun.open(made.path))


def test_evidence_survives_its_file(plain: Made) -> None:
    read = Evidence.load(plain.path)
    assert read is not None
    assert (read.external["dorpat"] == plain.external["dorpat"].histograms).all()
    assert read.validation is not None
    assert (read.validation == plain.validation.histograms).all()
    assert read.thresholds["fused", "harmonized"] == plain.results["thresholds"]["fused"]
    assert read.machine["cores"] >= 1
    assert np.dtype(read.validation.dtype) == np.int64


def test_only_a_report_is_replaced(plain: Made, tmp_path: Path) -> None:
    run, out = FinishedRun.open(plain.path), tmp_path / "page.html"
    out.write_text("<p>mine</p>", "utf-8")
    with pytest.raises(WrongUse, match="is not a report"):
        write_report(run, out)
    out.unlink()
    write_report(run, out)
    first = out.read_bytes()
    write_report(run, out)
    assert out.read_bytes() == first


def test_what_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not the folder of a run"):
        FinishedRun.open(tmp_path)
    made = finished_run(tmp_path / "run")
    with pytest.raises(RunError, match="cannot be read"):
        FinishedRun.open(made.path, tmp_path)
    add(made, fingerprint="0" * 64)
    with pytest.raises(RunError, match="not the one that its results name"):
        FinishedRun.open(made.path)
    (made.path / "results.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        FinishedRun.open(made.path)


def _copy(made: Made, to: Path) -> Path:
    shutil.copytree(made.path, to)
    return to
