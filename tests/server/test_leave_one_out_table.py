"""The table of leave one site out, from results made up here, and how a person reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from coordinator_samples import make_study

from common.console import console
from common.errors import RunError
from common.files import write_json
from common.heads import MODELS
from common.leave_one_out import left_out
from common.leave_one_out_table import show_table
from common.statistics.meta_analysis import SiteAuc, newcombe_interval, summarise_aucs
from common.study import Study
from server.leave_one_out import TABLE, begin_table, finished, place_of, table, write_table

STUDY = Study.model_validate(
    make_study().model_dump()
    | {
        "sites": [{"name": name, "role": "train"} for name in ("a", "b", "c")]
        + [{"name": "x", "role": "external"}],
        "secure_sum": {"enabled": False},
    }
)
DERIVED = left_out(STUDY)
AUC = {"a": (0.9, 0.05), "b": (1.0, 0.0), "c": (0.8, 0.08)}


def results_of(site: str) -> dict[str, Any]:
    """Results of the run without a site; the external site x has others."""

    def one(auc: float, se: float) -> dict[str, Any]:
        low, high = max(0.0, auc - 1.96 * se), min(1.0, auc + 1.96 * se)
        shares = {"sensitivity": 0.9, "sensitivity_ci": [0.7, 1.0], "specificity": None,
                  "specificity_ci": None}  # fmt: skip
        return {"auc": auc, "auc_ci": [low, high], "auc_se": se, **shares}

    def entry(auc: float, se: float) -> dict[str, Any]:
        return {
            "patients": {"positive": 12, "negative": 8},
            "models": {model: one(auc, se) for model in MODELS},
            "unharmonized": {model: one(auc / 2, se) for model in MODELS},
        }

    return {
        "fingerprint": DERIVED[site].fingerprint,
        "run": f"run-{site}",
        "external": {site: entry(*AUC[site]), "x": entry(0.6, 0.1)},
    }


RUNS = {site: results_of(site) for site in DERIVED}


def test_each_model_at_each_site_that_never_saw_it_and_the_summary() -> None:
    found = table(STUDY, DERIVED, RUNS)
    assert found["sites"] == ["a", "b", "c"]
    assert list(found["models"]) == [
        *MODELS, "radiomics (not harmonised)", "fused (not harmonised)",
    ]  # fmt: skip
    fused = found["models"]["fused"]
    assert fused["by_site"]["a"]["auc_ci"] == pytest.approx([0.802, 0.998])
    assert fused["by_site"]["a"]["patients"] == {"positive": 12, "negative": 8}
    # Where DeLong's interval has no width it is Newcombe's.
    assert fused["by_site"]["b"]["auc_ci"] == list(newcombe_interval(1.0, 12, 8))
    assert fused["mean_auc"] == pytest.approx(0.9)
    expected = summarise_aucs([SiteAuc(auc, se**2, 12, 8) for auc, se in AUC.values()])
    assert fused["summary"] == {
        "auc": expected.auc,
        "auc_ci": list(expected.interval),
        "prediction_interval": list(expected.prediction or ()),
        "tau2": expected.tau2,
        "i2": expected.i2,
    }
    raw = found["models"]["fused (not harmonised)"]["by_site"]
    assert [one["auc"] for one in raw.values()] == [0.45, 0.5, 0.4]
    assert found["runs"]["b"] == {"run": "run-b", "fingerprint": DERIVED["b"].fingerprint}


def test_a_run_without_a_result_of_its_site_makes_no_table() -> None:
    silent = RUNS | {"b": RUNS["a"]}
    with pytest.raises(RunError, match="The run without b has no result of b"):
        table(STUDY, DERIVED, silent)


def test_it_is_written_from_the_folder_of_the_runs_and_only_theirs(tmp_path: Path) -> None:
    begin_table(tmp_path / "out", STUDY)
    begin_table(tmp_path / "out", STUDY)
    for site, one in DERIVED.items():
        assert not finished(tmp_path / "out", site, one)
        place = place_of(tmp_path / "out", site)
        place.mkdir()
        write_json(place / "results.json", RUNS[site])
        assert finished(tmp_path / "out", site, one)
    found = write_table(tmp_path / "out", STUDY, DERIVED)
    assert (tmp_path / "out" / TABLE).exists()
    assert found == table(STUDY, DERIVED, RUNS)
    with pytest.raises(RunError, match="without a it is"):
        finished(tmp_path / "out", "a", DERIVED["b"])
    with pytest.raises(RunError, match="another study"):
        begin_table(tmp_path / "out", DERIVED["a"])


def test_a_person_reads_every_auc_with_its_interval(tmp_path: Path) -> None:
    with console.capture() as capture:
        show_table(table(STUDY, DERIVED, RUNS), tmp_path)
    shown = " ".join(capture.get().split())
    assert "leave one site out" in shown
    newcombe = "{:.3f}-{:.3f}".format(*newcombe_interval(1.0, 12, 8))
    for word in (
        "a 12 + 8 radiomics 0.900 (0.802-0.998) 0.90 -",
        f"b 12 + 8 fused 1.000 ({newcombe})",
        "c 12 + 8 fused, raw 0.400",
        "Over sites",
    ):
        assert word in shown, word


def test_of_two_sites_there_is_no_prediction(tmp_path: Path) -> None:
    two = {site: one for site, one in DERIVED.items() if site != "c"}
    found = table(STUDY, two, RUNS)
    assert found["models"]["fused"]["summary"]["prediction_interval"] is None
    with console.capture() as capture:
        show_table(found, tmp_path)
    assert " - " in capture.get()
