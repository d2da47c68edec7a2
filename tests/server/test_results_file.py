"""results.json and the model card, from answers made up here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_samples import enrolled, make_study

from common.files import write_json
from common.heads import MODELS, SCORED, Head, Heads
from common.messages import ValidateAnswer
from common.release import FoldModel
from common.statistics.discriminant import Discriminant
from common.statistics.scores import score_histogram
from harmonization import Reference
from server.candidates import Choice, choose
from server.model_card import model_card
from server.results import results
from server.roster import Roster
from server.run import RunFolder
from server.stages.calibrate import Calibrated
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized
from server.stages.validate import Validated

STUDY = make_study()
NAMES = ["f0", "f1", "f2", "d0"]
M = len(SCORED)


def a_fold(features: list[int], zero: int) -> FoldModel:
    coefficients = np.arange(1.0, len(features) + 2)
    coefficients[1 + zero] = 0.0
    heads: Heads = {
        key: Head(np.array(features), np.zeros(2), np.ones(2), coefficients) for key in SCORED
    }
    ones = np.ones(3)
    reference = Reference(ones, np.zeros((0, 3)), ones, np.ones(3, bool), 10)
    return FoldModel(reference, np.zeros(0), np.zeros(1, np.float32), heads)


def an_answer(batches: tuple[int, int]) -> ValidateAnswer:
    rng = np.random.default_rng(2)
    labels = np.array([1] * 4 + [0] * 6)
    scores = np.clip(0.5 + 0.2 * labels + 0.1 * rng.normal(size=(M, 10)), 0, 1)
    factor = rng.normal(size=(M, M))
    return ValidateAnswer(
        images=31,
        batches=np.array(batches),
        histograms=np.stack([score_histogram(row, labels) for row in scores]),
        auc=np.linspace(0.7, 0.98, M),
        fold_auc=np.linspace(0.6, 0.9, 2 * M).reshape(2, M),
        covariance=factor @ factor.T * 1e-3,
        confusion=np.tile([3, 2, 4, 1], (M, 1)),
    )


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    run = RunFolder.begin(tmp_path / "run", STUDY)
    once = {"received_bytes": 10, "sent_bytes": 3, "seconds": 0.1}
    for stage, step, sites in (
        ("enrol", None, ["a", "b", "x"]),
        ("train", None, ["a", "b"]),
        ("train", None, ["a", "b"]),
        ("validate", "scores", ["x"]),
        ("validate", "placements", ["x"]),
    ):
        details = {} if step is None else {"step": step}
        failures = {"b": "is not connected"} if step == "placements" else {}
        run.event(
            event="asked",
            stage=stage,
            **details,
            sites=dict.fromkeys(sites, once),
            failures=failures,
        )
        run.event(event="stage", stage=stage, seconds=1.25)
    run.event(event="looked", stage="validate", site="x")
    within = np.tile([40.0 * 0.9, 40.0**2 * 0.01, 40.0], (M, 1))
    histogram = an_answer((1, 0)).histograms
    calibrated = Calibrated(list(np.linspace(0.1, 0.5, M)), histogram, within)
    fused = Fused(
        [a_fold([0, 2], 1), a_fold([0, 3], 0)],
        {("radiomics", "harmonized"): Choice(5, 0.3)},
        {"harmonized": Discriminant(0.0, np.array([0.4, 0.6]))},
        9,
        ("a", "b"),
    )
    roster = Roster({name: enrolled(name, STUDY) for name in ("a", "b", "x")}, ("a", "b"), ("x",))
    harmonized = Harmonized([], [], np.ones((2, 2)), {"age": 4})
    validated = Validated({"x": an_answer((1, 0))}, None)
    found = results(run, roster, NAMES, harmonized, fused, calibrated, validated, ["f1"])
    write_json(run.path / "results.json", found)
    content: dict[str, Any] = json.loads((run.path / "results.json").read_text())
    return content


def test_results_hold_what_the_issue_asks_for(made: dict[str, Any]) -> None:
    assert made["study"] == "tiny"
    assert made["fingerprint"] == STUDY.fingerprint
    roles = {name: (one["role"], one["patients"]) for name, one in made["sites"].items()}
    counts = {"positive": 6, "negative": 8}
    assert roles == {"a": ("train", counts), "b": ("train", counts), "x": ("external", counts)}
    assert set(made["selected_features"]) == set(made["thresholds"]) == set(MODELS)
    # Of [0, 2] the second has coefficient 0, of [0, 3] the first.
    assert sorted(made["selected_features"]["fused"]) == ["d0", "f0"]
    for model in MODELS:
        own = made["validation"][model]
        assert own["auc"] == pytest.approx(0.9)
        assert own["auc_ci"] == pytest.approx([0.9 - 1.959964 * 0.1, 1.0], abs=1e-6)
    external = made["external"]["x"]
    assert external["patients"] == {"positive": 4, "negative": 6}
    assert external["harmonization"]["applied"] is True
    assert external["harmonization"]["images"] == 31
    assert set(external["models"]) == set(external["unharmonized"]) == set(MODELS)
    for row, model in enumerate(MODELS):
        one = external["models"][model]
        assert one["auc"] == pytest.approx(np.linspace(0.7, 0.98, M)[row])
        low, high = one["auc_ci"]
        assert low < one["auc"] < high <= 1.0
        assert one["auc_se"] == pytest.approx((one["auc"] - low) / 1.959964, rel=1e-6)
        shares = [one[name] for name in ("sensitivity", "specificity", "ppv", "npv")]
        assert shares == pytest.approx([3 / 4, 4 / 6, 3 / 5, 4 / 5])
        assert one["sensitivity_ci"][0] < 3 / 4 < one["sensitivity_ci"][1]
    assert external["folds"]["deep"] == pytest.approx(np.linspace(0.6, 0.9, 2 * M)[[1, M + 1]])
    raw = {model: external["unharmonized"][model]["auc"] for model in MODELS}
    assert raw["deep"] == external["models"]["deep"]["auc"]
    assert raw["fused"] != external["models"]["fused"]["auc"]
    for one in external["comparisons"]:
        assert {"a", "b", "difference", "p"} <= set(one)
        assert 0.0 < one["p"] < 1.0
    assert made["traffic"] == {
        "a": {"sent_bytes": 9, "received_bytes": 30},
        "b": {"sent_bytes": 9, "received_bytes": 30},
        "x": {"sent_bytes": 9, "received_bytes": 30},
    }
    assert made["messages"] == 5
    assert made["newton_rounds"] == 9
    assert made["seconds"] == {"enrol": 1.25, "train": 2.5, "validate": 2.5}
    assert made["looks_at_external"] == {"x": 1}
    missed = {"stage": "validate", "step": "placements", "site": "b", "reason": "is not connected"}
    assert made["missing"] == [missed]
    assert made["constant_features"] == ["f1"]
    assert made["filled_covariates"] == {"age": 4}


def test_the_card_says_what_it_is_and_is_not(made: dict[str, Any]) -> None:
    card = model_card(STUDY, made)
    assert "Not a medical device" in card
    assert STUDY.fingerprint in card
    for name in ("| a | train | 6 | 8 |", "| x | fused |", "| x | radiomics | 0.700"):
        assert name in card
    assert "made without noise" in card
    promised = {"epsilon": 7.99, "delta": 1e-4, "covers": "everything", "noise_multipliers": {}}
    assert "epsilon 7.99 at delta 0.0001" in model_card(STUDY, made | {"privacy": promised})
    network = model_card(STUDY, made | {"privacy": promised | {"covers": "network"}})
    assert "The network, not the heads" in network


def test_the_smaller_model_is_chosen_among_equals() -> None:
    losses = {Choice(5, 0.3): 1.0, Choice(5, 0.1): 1.0 + 1e-8, Choice(10, 0.1): 1.0 - 1e-8}
    assert choose(losses) == Choice(5, 0.1)
    assert choose(losses | {Choice(50, 1.0): 0.9}) == Choice(50, 1.0)
