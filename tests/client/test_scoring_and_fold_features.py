"""Patient scores by each rule, and a site's features in the reference's units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import federation_of, hold, make_rows, make_study

from client.cohort.rows import SiteRows
from client.fold_features import FoldFeatures, fold_features
from client.scoring import (
    ensemble_scores,
    fold_scores,
    network_measure,
    patient_scores,
    slice_scores,
)
from client.stages import validate
from common.cnn import initial_weights
from common.heads import SCORED, Head, Heads
from common.messages import ValidateQuestion
from common.release import FoldModel, folds_to_arrays
from common.study import Study
from server.stages import harmonize


@pytest.mark.parametrize("rule", ["max", "mean", "top3"])
def test_a_patient_s_score_against_a_plain_loop(rule: str) -> None:
    rng = np.random.default_rng(8)
    patient = rng.integers(0, 6, 20)
    patient[patient == 3] = 4
    patient[0] = 5
    scores = rng.random((2, 20))
    found = patient_scores(scores, patient, 7, rule)
    assert found.shape == (2, 7)
    for model in range(2):
        for number in range(7):
            own = sorted(s for s, p in zip(scores[model], patient, strict=True) if p == number)
            if not own:
                assert np.isnan(found[model, number])
                continue
            top = {"max": own[-1:], "mean": own, "top3": own[-3:]}[rule]
            assert found[model, number] == pytest.approx(sum(top) / len(top))


def heads_of(rng: np.random.Generator, width: int) -> Heads:
    return {
        key: Head(np.array([0, width]), rng.normal(size=2), np.ones(2), rng.normal(size=3))
        for key in SCORED
    }


def test_an_ensemble_averages_folds_and_rounds_to_a_thousandth() -> None:
    rng = np.random.default_rng(1)
    rows = make_rows("a", make_study(), 1, patients=4, slices=2, features=3, with_images=False)
    features = [
        FoldFeatures(
            rng.normal(size=(8, 3)),
            rng.normal(size=(8, 3)),
            rng.normal(size=(8, 2)),
            logits=np.zeros(8),
            effects={},
        )
        for _ in range(2)
    ]
    heads = [heads_of(rng, 3) for _ in range(2)]
    found = ensemble_scores(fold_scores(rows, features, heads, "max"))
    for k, (model, variant) in enumerate(SCORED):
        for number in range(4):
            folds = []
            for one, own in zip(features, heads, strict=True):
                radiomics = one.harmonized if variant == "harmonized" else one.raw
                columns = np.hstack([radiomics, one.deep])
                logits = own[model, variant].logits(columns)[rows.patient == number]
                folds.append((1 / (1 + np.exp(-logits))).max())
            assert found[k, number] == pytest.approx(np.mean(folds), abs=5.1e-4)
    assert np.allclose(found * 1000, np.rint(found * 1000))
    assert slice_scores(features[0], heads[0]).shape == (len(SCORED), 8)


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_a_network_s_measure_against_a_plain_loop(rule: str) -> None:
    rows = make_rows("a", make_study(folds=3), 1, patients=9, slices=3, with_images=False)
    rng = np.random.default_rng(4)
    weights = np.array([0.6, 2.5])
    for fold in range(3):
        held_out = np.flatnonzero(rows.validates(fold))
        logits = 3 * rng.normal(size=held_out.size)
        loss = weight = 0.0
        histogram = np.zeros((2, 1001), int)
        for patient in np.unique(rows.patient[held_out]):
            own = logits[rows.patient[held_out] == patient]
            label = rows.patient_labels[patient]
            share = 1 / (1 + np.exp(-own))
            loss -= weights[label] * np.log(share if label else 1 - share).sum()
            weight += weights[label] * own.size
            score = share.max() if rule == "max" else share.mean()
            histogram[label, round(1000 * score)] += 1
        validation, found = network_measure(rows, logits, fold, weights, rule)
        np.testing.assert_allclose(validation, [loss, weight], rtol=1e-12)
        np.testing.assert_array_equal(found, histogram)
        assert found.sum() == (rows.folds == fold).sum()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, list[SiteRows], FoldModel]:
    """Two training sites far apart and their reference; an external site beside them."""
    study = make_study({"a": "train", "b": "train", "x": "external"})
    sites = [
        make_rows("a", study, 1, patients=12, with_images=False, shift=0.0),
        make_rows("b", study, 2, patients=12, with_images=False, shift=5.0),
    ]
    federation, roster = federation_of(sites, study, tmp_path_factory.mktemp("sites"))
    found = harmonize.run(federation, roster, study, 12)  # type: ignore[arg-type]
    weights = initial_weights(study.cnn.width, 0.2, 128, 1)
    return study, sites, FoldModel(found.references[0], found.means[0], weights)


def spread(values: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    means = np.abs(values.mean(axis=0))
    return float(means.max()), float(means.mean()), float(np.median(values.var(axis=0)))


def test_harmonised_training_rows_lie_around_0_with_variance_1(
    fitted: tuple[Study, list[SiteRows], FoldModel],
) -> None:
    study, sites, model = fitted
    for rows in sites:
        trains = rows.trains(0)
        features = fold_features(rows, model, trains, study, external=False)
        worst, mean, variance = spread(features.harmonized[trains])
        assert worst < 0.3
        assert 0.7 < variance < 1.3
        raw, _, _ = spread(features.raw[trains])
        assert raw > 5 * worst
        assert set(features.effects) == {rows.site}
        assert features.columns("harmonized").shape == (rows.labels.size, 12 + 256)
        np.testing.assert_array_equal(features.columns("raw")[:, :12], features.raw)
        expected = (rows.features - model.reference.alpha) / model.reference.sigma
        np.testing.assert_allclose(features.raw, expected)
        assert mean < raw


def test_validation_patients_have_no_part_in_the_effects(
    fitted: tuple[Study, list[SiteRows], FoldModel],
) -> None:
    study, sites, model = fitted
    rows = sites[0]
    trains = rows.trains(0)
    before = fold_features(rows, model, trains, study, external=False)
    other = make_rows("a", study, 1, patients=12, with_images=False)
    other.features[~trains] += 100.0
    after = fold_features(other, model, trains, study, external=False)
    np.testing.assert_array_equal(after.harmonized[trains], before.harmonized[trains])
    assert (after.harmonized[~trains] > before.harmonized[~trains] + 1).all()


def external(study: Study, slices: int) -> SiteRows:
    return make_rows("x", study, 3, patients=4, slices=slices, with_images=False, shift=-4.0)


def test_an_external_batch_below_the_minimum_is_left_as_it_is_and_said_so(
    fitted: tuple[Study, list[SiteRows], FoldModel], tmp_path: Path
) -> None:
    study, _, model = fitted
    assert study.harmonization.minimum_rows == 10
    rng = np.random.default_rng(0)
    complete = FoldModel(model.reference, model.means, model.weights, heads_of(rng, 12))
    release = folds_to_arrays([complete]) | {"thresholds": np.full(len(SCORED), 0.5)}
    for slices, applied in ((2, False), (3, True)):
        rows = external(study, slices)
        every = np.ones(rows.labels.size, np.bool_)
        features = fold_features(rows, complete, every, study, external=True)
        same = np.allclose(features.harmonized, features.raw, atol=1e-12)
        assert same is not applied
        if applied:
            assert spread(features.harmonized)[0] < 0.5 < spread(features.raw)[0]
        question = ValidateQuestion(study.fingerprint, "scores", release=release)
        answer = validate.answer(question, hold(rows, study, tmp_path / str(slices)))
        assert answer.batches.tolist() == [int(applied), int(not applied)]
        assert answer.images == 4 * slices
        assert answer.histograms.sum() == len(SCORED) * 4
        assert (answer.confusion.sum(axis=1) == 4).all()


def test_external_labels_change_no_feature(
    fitted: tuple[Study, list[SiteRows], FoldModel],
) -> None:
    study, _, model = fitted
    rows, flipped = external(study, 3), external(study, 3)
    flipped.labels[:] = 1 - flipped.labels
    flipped.patient_labels[:] = 1 - flipped.patient_labels
    every = np.ones(rows.labels.size, np.bool_)
    one = fold_features(rows, model, every, study, external=True)
    two = fold_features(flipped, model, every, study, external=True)
    for variant in ("harmonized", "raw"):
        np.testing.assert_array_equal(one.columns(variant), two.columns(variant))


def test_a_feature_that_does_not_vary_is_0_and_a_new_scanner_is_left_as_it_is(
    fitted: tuple[Study, list[SiteRows], FoldModel], tmp_path: Path
) -> None:
    study, _, model = fitted
    rows = make_rows("a", study, 5, with_images=False)
    rows.features[:, 4] = 3.25
    trains = rows.trains(0)
    names = np.where(trains, "a/one", "a/two")
    object.__setattr__(rows, "batch", tuple(str(name) for name in names))
    one = make_study(["a"])
    federation, roster = federation_of([rows], one, tmp_path)
    found = harmonize.run(federation, roster, one, 12)  # type: ignore[arg-type]
    own = FoldModel(found.references[0], found.means[0], model.weights)
    features = fold_features(rows, own, trains, one, external=False)
    assert not own.reference.keep[4]
    assert (features.raw[:, 4] == 0).all()
    assert (features.harmonized[:, 4] == 0).all()
    assert set(features.effects) == {"a/one", "a/two"}
    np.testing.assert_allclose(features.harmonized[~trains], features.raw[~trains], atol=1e-12)
    assert np.abs(features.harmonized[trains] - features.raw[trains]).max() > 1e-3
