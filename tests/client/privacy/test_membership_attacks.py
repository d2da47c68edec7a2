"""The mathematics of membership inference, on scores whose truth is known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

SOURCE = Path(__file__).parents[3] / "benchmarks" / "membership_attacks.py"


def load() -> ModuleType:
    """Benchmarks are scripts, not a package: the file is imported by its path."""
    spec = importlib.util.spec_from_file_location("membership_attacks", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


attacks = load()


def halves(rng: np.random.Generator, releases: int, patients: int) -> np.ndarray:
    """Who took part: a random half of the patients in each release."""
    return np.argsort(rng.random((releases, patients)), axis=1) < patients // 2


def everybody(member: np.ndarray) -> np.ndarray:
    return np.ones_like(member)


def aucs(confidence: np.ndarray, member: np.ndarray) -> tuple[float, float]:
    """AUC of the threshold and of the likelihood ratio."""
    counted = everybody(member)
    ratio = attacks.by_likelihood_ratio(confidence, member, counted)
    threshold = attacks.Ranking(attacks.by_threshold(confidence), member, counted)
    return threshold.auc(), attacks.Ranking(ratio, member, counted).auc()


def test_a_model_that_memorises_gives_everybody_away() -> None:
    rng = np.random.default_rng(1)
    member = halves(rng, 8, 60)
    labels = rng.integers(0, 2, 60)
    true = np.where(member, 0.999, 0.4)
    confidence = attacks.confidences(np.where(labels == 1, true, 1.0 - true), labels)
    assert aucs(confidence, member) == (1.0, 1.0)
    ranking = attacks.Ranking(confidence, member, everybody(member))
    assert ranking.found(0.01) == 1.0
    assert ranking.interval(3, 50) == (1.0, 1.0)


def test_scores_that_know_nothing_of_membership_are_a_coin() -> None:
    """Neither attack may win or lose: a target that is its own reference would win."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(40):
        member = halves(rng, 8, 100)
        difficulty = rng.normal(size=100)
        found.append(aucs(difficulty + rng.normal(size=member.shape), member))
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (error < 0.01).all()
    assert (np.abs(np.mean(found, axis=0) - 0.5) < 4 * error).all()


def test_the_likelihood_ratio_sees_past_patients_that_differ_in_difficulty() -> None:
    rng = np.random.default_rng(3)
    member = halves(rng, 16, 200)
    difficulty = rng.normal(scale=3.0, size=200)
    confidence = difficulty + 0.8 * member + rng.normal(scale=0.5, size=member.shape)
    threshold, ratio = aucs(confidence, member)
    # With all known, two normals 0.8 apart of deviation 0.5 have an AUC of 0.871.
    assert threshold < 0.62
    assert 0.83 < ratio < 0.88


def test_without_differences_between_patients_nothing_is_gained() -> None:
    rng = np.random.default_rng(4)
    member = halves(rng, 16, 200)
    threshold, ratio = aucs(0.8 * member + rng.normal(scale=0.5, size=member.shape), member)
    assert abs(threshold - 0.871) < 0.02
    assert 0.83 < ratio <= threshold + 0.01


def test_the_likelihood_ratio_is_that_of_two_normals() -> None:
    """Worked out by hand: two patients, five releases."""
    member = np.array([[1, 0], [1, 1], [1, 0], [0, 1], [0, 0]]) == 1
    confidence = np.array([[9.0, 0.0], [3.0, 1.0], [5.0, -1.0], [0.0, 2.0], [2.0, 1.0]])
    ratio = attacks.by_likelihood_ratio(confidence, member, everybody(member))
    # Release 0 is the target. Patient 0 had means 4 (3, 5) and 1 (0, 2); patient 1 had 1.5 (1, 2)
    # and 0 (-1, 1). Squares 2 + 2 + 0.5 + 2, four degrees of freedom: the variance is 1.625. The
    # distances 3 and 1.5 differ by less than that: 2.25 for both, from all four references.
    outside = np.array([(3 + 5 + 0 + 2 - 4.5) / 4, (1 - 1 + 2 + 1 - 4.5) / 4])
    apart = np.array([9.0, 0.0]) - outside
    assert ratio[0] == pytest.approx((apart**2 - (apart - 2.25) ** 2) / 3.25)


def test_many_references_are_believed_of_each_patient() -> None:
    """Then the ratio is that of the patient's own two normals, however unusual it is."""
    rng = np.random.default_rng(9)
    member = halves(rng, 400, 30)
    difficulty, shift = rng.normal(size=30), np.linspace(0.0, 4.0, 30)
    confidence = difficulty + shift * member + rng.normal(scale=0.5, size=member.shape)
    ratio = attacks.by_likelihood_ratio(confidence, member, everybody(member))
    apart = confidence[0] - difficulty
    assert ratio[0] == pytest.approx((apart**2 - (apart - shift) ** 2) / 0.5, abs=1.5)


def test_one_sided_references_borrow_the_usual_distance() -> None:
    member = np.array([[1, 1], [1, 0], [0, 0], [0, 0]]) == 1
    confidence = np.array([[2.0, 2.0], [2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    ratio = attacks.by_likelihood_ratio(confidence, member, everybody(member))
    # Patient 1 was in no reference of release 0: as patient 0, it is thought to gain 2.
    assert ratio[0, 1] == pytest.approx(ratio[0, 0])
    assert ratio[0, 0] == pytest.approx(4.0 / (2.0 * attacks.LEAST_VARIANCE))


def test_pairs_that_do_not_count_are_neither_judged_nor_a_reference() -> None:
    rng = np.random.default_rng(5)
    member, counted = halves(rng, 6, 40), rng.random((6, 40)) < 0.7
    confidence = rng.normal(size=member.shape) + member
    wild = np.where(counted, confidence, 1e6 * rng.normal(size=member.shape))
    for given in (confidence, wild):
        ratio = attacks.by_likelihood_ratio(given, member, counted)
        assert np.isfinite(ratio).all()
        assert attacks.Ranking(ratio, member, counted).auc() == pytest.approx(
            roc_auc_score(
                member[counted],
                attacks.by_likelihood_ratio(confidence, member, counted)[counted],
            )
        )


@pytest.mark.parametrize("releases", [1, 2])
def test_too_few_releases_are_refused(releases: int) -> None:
    member = np.zeros((releases, 4), np.bool_)
    with pytest.raises(ValueError, match="three releases"):
        attacks.by_likelihood_ratio(np.zeros((releases, 4)), member, everybody(member))


def test_references_that_say_nothing_are_refused() -> None:
    member = np.tile([True, True, False, False], (4, 1))
    with pytest.raises(ValueError, match="no patient"):
        attacks.by_likelihood_ratio(np.zeros((4, 4)), member, everybody(member))


def test_confidences_and_losses_are_of_the_true_class_and_finite() -> None:
    scores = np.array([[0.8, 0.8, 1.0, 1.0]])
    found = attacks.confidences(scores, np.array([1, 0, 1, 0]))
    most = np.log(0.999 / 0.001)
    assert found[0] == pytest.approx([np.log(4.0), -np.log(4.0), most, -most])
    losses = -attacks.by_threshold(found)
    assert losses[0] == pytest.approx(-np.log([0.8, 0.2, 0.999, 0.001]))


@pytest.mark.parametrize("steps", [5, 1000])
def test_auc_and_weights_agree_with_scikit_learn(steps: int) -> None:
    rng = np.random.default_rng(6)
    member = halves(rng, 7, 30)
    told = np.rint(steps * (rng.random(member.shape) + 0.2 * member)) / steps
    ranking = attacks.Ranking(told, member, everybody(member))
    assert ranking.auc() == pytest.approx(roc_auc_score(member.ravel(), told.ravel()))
    weights = rng.integers(0, 4, 30).astype(float)
    assert ranking.auc(weights) == pytest.approx(
        roc_auc_score(
            member.ravel(), told.ravel(), sample_weight=np.broadcast_to(weights, (7, 30)).ravel()
        )
    )
    false, true, _ = roc_curve(member.ravel(), told.ravel(), drop_intermediate=False)
    assert ranking.found(0.1) == pytest.approx(true[false <= 0.1].max())


def test_the_interval_is_reproducible_and_covers() -> None:
    """Patients are the unit: their difficulty stays the same over all their releases."""
    rng = np.random.default_rng(7)
    truth = 0.671  # two pairs of different patients: 0.7 apart, each of variance 1 + 0.25
    found, lows, highs = [], [], []
    for _ in range(200):
        member = halves(rng, 6, 60)
        told = rng.normal(size=60) + 0.7 * member + rng.normal(scale=0.5, size=member.shape)
        ranking = attacks.Ranking(told, member, everybody(member))
        low, high = ranking.interval(11, 200)
        found.append(ranking.auc())
        lows.append(low)
        highs.append(high)
    assert ranking.interval(11, 200) == (low, high)
    covered = np.mean((np.array(lows) < truth) & (truth < np.array(highs)))
    assert 0.88 < covered < 0.995
    # No wider than what the AUC varies by.
    assert np.mean(np.subtract(highs, lows)) == pytest.approx(2 * 1.96 * np.std(found), rel=0.2)


def test_the_table_has_both_attacks_and_the_outcome_of_both_groups() -> None:
    rng = np.random.default_rng(8)
    labels = np.tile([0, 1], 30)
    enrolled = halves(rng, 6, 60)
    trained = enrolled & (rng.random(enrolled.shape) < 0.75)
    # Scores of members are right; those who only validate look like everybody else.
    score = np.where(trained, np.where(labels == 1, 0.9, 0.1), rng.uniform(0.2, 0.8, (6, 60)))
    told = attacks.Told(
        labels, np.repeat(["north", "south"], 30), enrolled, trained, {"deep": score}
    )
    found = attacks.judged(told, seed=1)["deep"]
    for how in found["attacks"].values():
        assert how["trained"]["auc"] > 0.95
        assert 0.6 < how["enrolled"]["auc"] < how["trained"]["auc"]
        low, high = how["trained"]["interval"]
        assert low <= how["trained"]["auc"] <= high
    assert found["auc_of_members"] > 0.8
    assert 0.3 < found["auc_of_others"] < 0.7


def test_who_never_is_trained_on_is_not_among_the_others_alone() -> None:
    """Half of the patients always validate, and are easy: that must not look like protection."""
    rng = np.random.default_rng(10)
    labels = np.tile([0, 1], 30)
    enrolled = halves(rng, 8, 60)
    trained = enrolled & (np.arange(60) < 30)
    right = np.where(np.arange(60) < 30, 0.6, 0.9) + rng.uniform(-0.05, 0.05, (8, 60))
    score = np.where(labels == 1, right, 1.0 - right)
    told = attacks.Told(labels, np.repeat(["one"], 60), enrolled, trained, {"deep": score})
    for how in attacks.judged(told, seed=1)["deep"]["attacks"].values():
        assert abs(how["trained"]["auc"] - 0.5) < 0.1
