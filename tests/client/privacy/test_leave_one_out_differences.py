"""What a coordinator works out from leave one site out: this is what the approval says of it.

Each total is taken without each of the n sites in turn. Where a site says the same in all runs, the
sum of the totals is n - 1 times the total over all, and what is missing from one is its site's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.supercore.task_identity import TaskIdentity
from site_samples import federation_of, make_rows, make_study

from client.stages import harmonize as of_site
from client.stages import train as train_of_site
from common.cnn import initial_weights
from common.leave_one_out import left_out
from common.messages import HarmonizeAnswer, HarmonizeQuestion, TrainQuestion
from common.statistics.moments import moments
from common.study import Study
from server.total import total

NAMES = ("a", "b", "c", "d")
PATIENTS = {"a": 10, "b": 8, "c": 12, "d": 9}
"""Of d's patients five are without scar and four with, so the class weights differ by run."""
STUDY = make_study(NAMES, leave_one_site_out=True, secure_sum={"enabled": True})


def rows_of(study: Study, with_images: bool) -> list[Any]:
    return [
        make_rows(
            name, study, seed, patients=PATIENTS[name], shift=0.5 * seed, with_images=with_images
        )
        for seed, name in enumerate(NAMES)
    ]


def alone(totals: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each site said, from the totals without it."""
    whole = sum(totals.values()) / (len(totals) - 1)
    return {site: whole - without for site, without in totals.items()}


def test_the_sums_of_combat_of_each_site_are_laid_open_through_the_masks(tmp_path: Path) -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    totals: dict[str, dict[str, np.ndarray]] = {}
    for site, study in left_out(STUDY).items():
        federation, roster = federation_of(rows_of(study, False), study, tmp_path / site)
        means = {"0": np.zeros(0)}
        question = HarmonizeQuestion(study.fingerprint, "features", means)
        found = total(
            federation, question, roster, study.training_sites, HarmonizeAnswer,  # type: ignore[arg-type]
            lambda *_: None,
        )  # fmt: skip
        totals[site] = {name: np.asarray(one) for name, one in found.answer.sums.items()}
    plain, _ = federation_of(rows_of(STUDY, False), STUDY, tmp_path / "plain")
    for name in totals["a"]:
        guessed = alone({site: one[name] for site, one in totals.items()})
        for site in NAMES:
            question = HarmonizeQuestion(STUDY.fingerprint, "features", {"0": np.zeros(0)})
            said = of_site.answer(question, plain.contexts[site]).sums[name]
            assert guessed[site] == pytest.approx(np.asarray(said), rel=1e-9, abs=1e-9), name


def test_the_gram_matrix_of_features_that_are_not_harmonised_is_nearly_laid_open() -> None:
    """Class weights follow from the sites of the run; the coordinator knows and can undo them."""
    totals, true = {}, {}
    for site, study in {**left_out(STUDY), "": STUDY}.items():
        rows = [one for one in rows_of(STUDY, False) if one.site in study.training_sites]
        labels = np.concatenate([one.labels for one in rows])
        weights = labels.size / (2.0 * np.bincount(labels, minlength=2))
        said = {
            one.site: moments(np.arcsinh(one.features), one.labels, weights[one.labels]).xwx
            for one in rows
        }
        totals[site], true = np.sum(list(said.values()), axis=0), said
    del totals[""]
    for site, guessed in alone(totals).items():
        error = np.linalg.norm(guessed - true[site]) / np.linalg.norm(true[site])
        assert error < 0.1, (site, error)


@pytest.mark.slow
def test_the_first_round_of_training_is_nearly_laid_open(tmp_path: Path) -> None:
    """Weights at the start are the seed's; only the class weights differ from run to run."""
    start = initial_weights(STUDY.cnn.width, STUDY.cnn.dropout, 128, STUDY.seed)
    totals, true = {}, {}
    for site, study in {**left_out(STUDY), "": STUDY}.items():
        federation, _ = federation_of(rows_of(study, True), study, tmp_path / (site or "all"))
        rows = {name: federation.contexts[name].rows for name in study.training_sites}
        labels = np.concatenate([one.labels[one.trains(0)] for one in rows.values()])
        weights = labels.size / (2.0 * np.bincount(labels, minlength=2))
        question = TrainQuestion(study.fingerprint, 0, 1, labels.size, weights, start)
        said = {
            name: train_of_site.answer(question, federation.contexts[name]).change * labels.size
            for name in study.training_sites
        }
        if site:
            totals[site] = np.sum([np.asarray(one, np.float64) for one in said.values()], axis=0)
        else:
            true = said
    for site, guessed in alone(totals).items():
        likeness = {name: cosine(guessed, change) for name, change in true.items()}
        assert likeness[site] > 0.8, (site, likeness)
        # It is that site's, and no other's.
        assert max(likeness, key=likeness.__getitem__) == site


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
