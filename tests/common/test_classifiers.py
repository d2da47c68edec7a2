"""Each classifier fitted over sites is that of the pooled rows, as others make it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from classifier_samples import Cohort, fitted, plainly, under_masks
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from common.classifiers.linear import LassoLogistic, SupportVectors
from common.classifiers.perceptron import MultilayerPerceptron
from common.classifiers.protocol import Classifier
from common.classifiers.trees import GradientBoosting, RandomForest
from common.statistics.perceptron import initial_perceptron
from common.statistics.squared_hinge import squared_hinge_sums
from common.statistics.tree_growth import Boosted, Voting, best_split, grown
from common.statistics.trees import Trees, binned, node_histograms
from common.study_comparison import Boosting, Forest, Perceptron

BINS = 16
EVERY: dict[str, Classifier] = {
    "logistic": LassoLogistic(0.1),
    "svm": SupportVectors(0.05),
    "perceptron": MultilayerPerceptron(Perceptron(rounds=15), seed=5),
    "forest": RandomForest(BINS, 3, 5, Forest(trees=12, depth=3)),
    "boosting": GradientBoosting(BINS, 3, 5, Boosting(trees=6)),
}


@pytest.mark.parametrize("c", [0.05, 0.2, 1.0])
def test_logistic_is_saga_on_the_pooled_rows(c: float) -> None:
    cohort = Cohort.make(1)
    model, rounds = fitted(LassoLogistic(c), cohort)
    saga = LogisticRegression(
        l1_ratio=1.0, C=c, solver="saga", class_weight="balanced", tol=1e-12, max_iter=50_000
    ).fit(cohort.x, cohort.y)
    expected = np.concatenate([saga.intercept_, saga.coef_[0]])
    np.testing.assert_allclose(model["coefficients"], expected, atol=1e-8)
    assert rounds <= 10


@pytest.mark.parametrize("c", [0.001, 0.05, 1.0, 30.0])
def test_svm_is_liblinear_on_the_pooled_rows(c: float) -> None:
    """LIBLINEAR penalises the intercept over its scale, squared; at this scale it hardly does."""
    cohort = Cohort.make(2)
    model, rounds = fitted(SupportVectors(c), cohort)
    svc = LinearSVC(
        C=c,
        dual=False,
        class_weight="balanced",
        tol=1e-12,
        max_iter=100_000,
        intercept_scaling=300.0,
    ).fit(cohort.x, cohort.y)
    expected = np.concatenate([svc.intercept_, svc.coef_[0]])
    np.testing.assert_allclose(model["coefficients"], expected, atol=1e-6)
    assert rounds <= 12


def test_svm_without_intercept_is_liblinear_and_nearer_the_optimum() -> None:
    """Mirrored rows have intercept 0, so that nothing depends on its penalty. LIBLINEAR stops where
    the gradient is near 1e-5, whatever the tolerance.
    """
    cohort = Cohort.make(3)
    x, y = np.concatenate([cohort.x, -cohort.x]), np.concatenate([cohort.y, 1 - cohort.y])
    weights = np.ones(y.size)
    mirrored = Cohort(x, y, weights, np.ones(2), np.arange(y.size))
    model, _ = fitted(SupportVectors(0.1), mirrored)
    svc = LinearSVC(C=0.1, dual=False, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(model["coefficients"][1:], svc.coef_[0], atol=1e-6)
    assert abs(model["coefficients"][0]) < 1e-12

    def slope(b: np.ndarray) -> float:
        sums = squared_hinge_sums(x, y, None, np.concatenate([[0.0], b]))
        return float(np.abs(sums.gradient[1:] + b / 0.1).max())

    assert slope(model["coefficients"][1:]) < 1e-10 < slope(svc.coef_[0])


def test_derivatives_of_the_squared_hinge_are_those_of_its_loss() -> None:
    cohort = Cohort.make(4, m=3)
    at, step = np.array([0.2, -0.4, 0.3, 0.1]), 1e-6
    sums = squared_hinge_sums(cohort.x, cohort.y, cohort.weights, at)
    for k in range(4):
        ends = [
            squared_hinge_sums(cohort.x, cohort.y, cohort.weights, at + sign * step * np.eye(4)[k])
            for sign in (1, -1)
        ]
        slope = (float(ends[0].loss) - float(ends[1].loss)) / (2 * step)
        assert sums.gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)
        bend = (ends[0].gradient - ends[1].gradient) / (2 * step)
        np.testing.assert_allclose(sums.hessian[k], bend, rtol=1e-5, atol=1e-5)


def test_perceptron_is_torch_on_the_pooled_rows() -> None:
    import torch

    cohort, settings = Cohort.make(5), Perceptron(hidden=5, rounds=25, penalty=0.02)
    model, rounds = fitted(MultilayerPerceptron(settings, seed=9), cohort)
    m, h = cohort.x.shape[1], settings.hidden
    first = initial_perceptron(m, h, [9, 0])
    parts = [
        torch.tensor(part, requires_grad=True) for part in np.split(first, np.cumsum([m * h, h, h]))
    ]
    x, y, w = (torch.tensor(one) for one in (cohort.x, cohort.y.astype(float), cohort.weights))
    adam = torch.optim.Adam(parts, lr=settings.learning_rate)
    for _ in range(settings.rounds):
        adam.zero_grad()
        logits = torch.tanh(x @ parts[0].reshape(m, h) + parts[1]) @ parts[2] + parts[3]
        loss = (
            torch.nn.functional.binary_cross_entropy_with_logits(
                logits, y, weight=w, reduction="sum"
            )
            / w.sum()
        )
        loss = loss + settings.penalty / 2 * ((parts[0] ** 2).sum() + (parts[2] ** 2).sum())
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    expected = np.concatenate([part.detach().numpy() for part in parts])
    np.testing.assert_allclose(model["weights"], expected, atol=1e-13)
    assert rounds == settings.rounds


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_boosting_is_xgboost_on_the_pooled_rows(depth: int) -> None:
    import xgboost

    cohort = Cohort.make(6, patients=150)
    settings = Boosting(trees=12, depth=depth, learning_rate=0.3, penalty=1.5)
    boosting = GradientBoosting(BINS, 0, 5, settings)
    model, rounds = fitted(boosting, cohort)
    bins = binned(cohort.x, BINS)
    data = xgboost.DMatrix(bins.astype(np.float32), cohort.y, weight=cohort.weights)
    other = xgboost.train(
        {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_bin": 64,
            "max_depth": depth,
            "eta": 0.3,
            "lambda": 1.5,
            "min_child_weight": 0.0,
            "base_score": 0.5,
            "nthread": 1,
        },
        data,
        num_boost_round=settings.trees,
    )
    expected = other.predict(data)
    np.testing.assert_allclose(boosting.scores(model, cohort.x), expected, atol=1e-6)
    assert rounds == settings.trees * depth


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_tree_is_scikit_learns_on_the_pooled_rows(depth: int) -> None:
    """Without a bootstrap, and with all features in each node."""
    cohort = Cohort.make(7, patients=300)
    bins, learner = binned(cohort.x, BINS), Voting(*cohort.class_weights)
    channels = np.stack([cohort.y == 0, cohort.y == 1, np.ones(cohort.y.size)], axis=1)
    trees, nodes = Trees.none(1, depth), np.array([[0, 0]])
    for _ in range(depth):
        inside = trees.reached(bins)[nodes[:, 0]] == nodes[:, 1:]
        columns = np.tile(np.arange(8), (len(nodes), 1))
        histograms = node_histograms(bins, inside, columns, channels.astype(float), BINS)
        trees, nodes = grown(trees, nodes, columns, histograms, learner, 1)
    other = DecisionTreeClassifier(max_depth=depth, class_weight="balanced", random_state=0)
    expected = other.fit(bins, cohort.y).predict_proba(bins)[:, 1]
    np.testing.assert_allclose(trees.said(bins)[0], expected, atol=1e-12)


def naive_forest(cohort: Cohort, settings: Forest, least: int, columns: Any) -> np.ndarray:
    """Grow the same forest row by row, with plain loops over the pooled rows."""
    bins = binned(cohort.x, BINS)
    slices = np.bincount(cohort.patient)
    votes = np.zeros((settings.trees, cohort.y.size))

    def weight(rows: list[int], label: int) -> float:
        return sum(cohort.class_weights[label] for i in rows if cohort.y[i] == label)

    def impurity(rows: list[int]) -> float:
        a, b = weight(rows, 0), weight(rows, 1)
        return 2 * a * b / (a + b) if a + b else 0.0

    def patients(rows: list[int]) -> float:
        return sum(1 / slices[cohort.patient[i]] for i in rows)

    def split(rows: list[int], tree: int, node: int, level: int) -> None:
        best, chosen = 1e-6, None
        if level < settings.depth:
            for feature in columns(tree, node):
                for cut in range(BINS - 1):
                    left = [i for i in rows if bins[i, feature] <= cut]
                    right = [i for i in rows if bins[i, feature] > cut]
                    if min(patients(left), patients(right)) < max(least, 1e-9) - 1e-9:
                        continue
                    gain = impurity(rows) - impurity(left) - impurity(right)
                    if gain > best + 1e-12:
                        best, chosen = gain, (feature, cut)
        if chosen is None:
            a, b = weight(rows, 0), weight(rows, 1)
            votes[tree, rows] = b / (a + b) if a + b else 0.5
            return
        feature, cut = chosen
        for side in (0, 1):
            inner = [i for i in rows if (bins[i, feature] > cut) == side]
            split(inner, tree, 2 * node + 1 + side, level + 1)

    for tree in range(settings.trees):
        split(list(range(cohort.y.size)), tree, 0, 0)
    return votes.mean(axis=0)


def test_forest_is_one_grown_row_by_row_on_the_pooled_rows() -> None:
    cohort, settings = Cohort.make(8, patients=40, m=5), Forest(trees=6, depth=3)
    forest = RandomForest(BINS, 3, 5, settings)
    model, rounds = fitted(forest, cohort)
    assert rounds == settings.depth
    begun = forest.begin(5, 0, cohort.class_weights)
    expected = naive_forest(cohort, settings, 3, begun.columns)
    np.testing.assert_allclose(forest.scores(model, cohort.x), expected, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_neither_the_order_of_sites_nor_their_number_matters(name: str) -> None:
    cohort = Cohort.make(9)
    model, _ = fitted(EVERY[name], cohort)
    for sites in (cohort.sites()[::-1], cohort.sites(5), cohort.sites(1)):
        again, _ = fitted(EVERY[name], cohort, sites)
        for key, array in model.items():
            np.testing.assert_allclose(again[key], array, atol=1e-8)


@pytest.mark.parametrize("name", EVERY)
def test_masks_change_nothing_beyond_the_step_of_their_fixed_point(name: str) -> None:
    cohort = Cohort.make(10)
    model, rounds = fitted(EVERY[name], cohort)
    hidden, as_many = fitted(EVERY[name], cohort, adds=under_masks)
    assert rounds == as_many
    for key, array in model.items():
        np.testing.assert_allclose(hidden[key], array, atol=1e-11)


@pytest.mark.parametrize("name", EVERY)
def test_a_class_of_two_patients_and_constant_features_end_in_scores(name: str) -> None:
    cohort = Cohort.make(11, patients=24, prevalence=2 / 24)
    cohort.x[:, [3, 5]] = 0.0
    model, rounds = fitted(EVERY[name], cohort)
    scores = EVERY[name].scores(model, cohort.x)
    assert rounds <= 40
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
    if "feature" in model:
        assert not np.isin(model["feature"], [3, 5]).any()


@pytest.mark.parametrize("name", EVERY)
def test_without_any_feature_all_patients_score_alike(name: str) -> None:
    cohort = Cohort.make(12, m=4)
    empty = Cohort(cohort.x[:, :0], cohort.y, cohort.weights, cohort.class_weights, cohort.patient)
    model, _ = fitted(EVERY[name], empty)
    scores = EVERY[name].scores(model, empty.x)
    assert np.ptp(scores) == 0.0


@pytest.mark.parametrize("name", EVERY)
def test_a_site_without_rows_adds_nothing(name: str) -> None:
    cohort = Cohort.make(13)
    nobody = cohort.rows(np.zeros(cohort.y.size, np.bool_))
    model, _ = fitted(EVERY[name], cohort)
    again, _ = fitted(EVERY[name], cohort, [*cohort.sites(), nobody])
    for key, array in model.items():
        np.testing.assert_array_equal(again[key], array)


@pytest.mark.parametrize("name", EVERY)
def test_every_classifier_learns_what_there_is_to_learn(name: str) -> None:
    cohort = Cohort.make(14, patients=400)
    unseen = cohort.patient >= 250
    sites = [cohort.rows(~unseen & (cohort.patient % 3 == number)) for number in range(3)]
    model, _ = fitted(EVERY[name], cohort, sites)
    scores = EVERY[name].scores(model, cohort.x[unseen])
    assert roc_auc_score(cohort.y[unseen], scores) > 0.65
    shuffled = np.random.default_rng(1).permutation(cohort.y[unseen])
    assert abs(roc_auc_score(shuffled, scores) - 0.5) < 0.1


def test_no_leaf_is_of_fewer_patients_than_the_minimum() -> None:
    cohort = Cohort.make(15, patients=30)
    for least in (1, 5, 9):
        boosting = GradientBoosting(BINS, least, 5, Boosting(trees=4, depth=3))
        model, _ = fitted(boosting, cohort)
        reached = Trees.from_arrays(model, 8).reached(binned(cohort.x, BINS))
        for leaves in reached:
            for leaf in np.unique(leaves):
                assert np.unique(cohort.patient[leaves == leaf]).size >= least


def test_equal_gains_go_to_the_first_feature_whatever_the_rounding() -> None:
    histogram = np.zeros((2, 3, 3))
    histogram[:, 0], histogram[:, 2] = [-3.0, 2.0, 5.0], [3.0, 2.0, 5.0]
    histogram[1] *= 1.0 + 1e-13
    split = best_split(histogram, Boosted(0.3, 1.0), 1)
    assert split is not None
    assert (split.column, split.cut) == (0, 0)


def test_plain_sums_are_sums() -> None:
    """The samples' own half: were it wrong, nothing above would mean anything."""
    found = plainly([{"a": np.array([1.0, 2.0])}, {"a": np.array([3.0, 5.0])}])
    np.testing.assert_array_equal(found["a"], [4.0, 7.0])
