"""Reductions beside the LASSO, through messages, against analyses of the pooled rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import federation_of, make_rows, make_study
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from client.cohort.rows import SiteRows
from client.egress.guard import check
from client.egress.heads_rule import heads_forms
from client.egress.patients import Patients
from client.egress.refused import EgressRefused
from client.fold_features import fold_features
from client.stages import harmonize as site_harmonize
from common.cnn import initial_weights
from common.course import OffCourse, position
from common.messages import HarmonizeAnswer, HarmonizeQuestion
from common.statistics.intraclass import intraclass, pair_sums
from common.study import Study
from server.reduction_results import reduction_results
from server.stages import fuse, harmonize
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized

Array = np.ndarray[Any, Any]
FEATURES = 12


def three_sites(study: Study, noise: float = 0.3, **options: Any) -> list[SiteRows]:
    """Sites whose second masks agree on all features but the last four."""
    sites = []
    for seed, (name, shift, patients) in enumerate(
        (("a", 0.0, 10), ("b", 2.0, 12), ("c", -3.0, 14))
    ):
        rows = make_rows(name, study, seed, patients, shift=shift, **options)
        rng = np.random.default_rng(100 + seed)
        x = rows.features
        x[:, 8:] = rng.normal(size=x[:, 8:].shape)
        second = x + noise * rng.normal(size=x.shape)
        second[:, 8:] = rng.normal(size=second[:, 8:].shape)
        sites.append(replace(rows, second=second))
    return sites


def reduced(
    folder: Path, sites: list[SiteRows], study: Study
) -> tuple[Harmonized, Fused, Any, list[SiteRows]]:
    federation, roster = federation_of(sites, study, folder)
    harmonized = harmonize.run(federation, roster, study, FEATURES)  # type: ignore[arg-type]
    weights = [initial_weights(study.cnn.width, 0.2, 128, fold) for fold in range(study.folds)]
    found = fuse.run(federation, roster, study, harmonized, weights)  # type: ignore[arg-type]
    return harmonized, found, federation, sites


FUSION = {"sizes": (2, 6), "inverse_penalties": (0.3, 2.0), "correlation_limit": 0.9}


@pytest.fixture(scope="module")
def by_components(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    study = make_study(folds=2, fusion=FUSION, reduction={"method": "pca"})
    sites = three_sites(study)
    return study, *reduced(tmp_path_factory.mktemp("pca"), sites, study)


def test_heads_on_components_are_scikit_learn_s_on_pooled_rows(
    by_components: tuple[Any, ...],
) -> None:
    study, harmonized, found, _, sites = by_components
    for variant in ("harmonized", "raw"):
        choice = found.choices["radiomics", variant]
        for fold, model in enumerate(found.folds):
            x = np.concatenate(
                [
                    fold_features(rows, model, rows.trains(fold), study, external=False).columns(
                        variant
                    )
                    for rows in sites
                ]
            )[:, :FEATURES]
            y = np.concatenate([rows.labels for rows in sites])
            trains = np.concatenate([rows.trains(fold) for rows in sites])
            w = harmonized.class_weights[fold][y[trains]]
            mean = np.average(x[trains], axis=0, weights=w)
            sd = np.sqrt(np.average((x[trains] - mean) ** 2, axis=0, weights=w))
            z = (x - mean) / sd
            # scikit-learn's PCA takes no weights: rows times their root, which are centred.
            root = np.sqrt(w / w.sum() * w.size)
            own = PCA(svd_solver="full").fit(z[trains] * root[:, None])
            own.mean_ = np.zeros(FEATURES)
            covariance = (z[trains] * w[:, None]).T @ z[trains] / w.sum()
            values, vectors = np.linalg.eigh(covariance)
            share = np.cumsum(values[::-1]) / values.sum()
            count = min(int(np.searchsorted(share, 0.95)) + 1, 6, choice.size)
            scores = z @ vectors[:, ::-1][:, :count] / np.sqrt(values[::-1][:count])
            fitted = LogisticRegression(
                l1_ratio=1.0,
                solver="saga",
                C=choice.inverse_penalty,
                tol=1e-11,
                max_iter=100_000,
                random_state=0,
            ).fit(scores[trains], y[trains], sample_weight=w)
            head = model.heads["radiomics", variant]
            deep = np.zeros((len(x), 256))
            np.testing.assert_allclose(
                head.logits(np.concatenate([x, deep], axis=1)),
                fitted.decision_function(scores),
                atol=1e-5,
            )
            assert (head.features < FEATURES).all()


def test_the_deep_head_is_the_same_whatever_is_done_to_the_radiomics(
    by_components: tuple[Any, ...], tmp_path: Path
) -> None:
    _, _, found, _, sites = by_components
    plain = make_study(folds=2, fusion=FUSION)
    _, other, _, _ = reduced(tmp_path, [replace(rows, second=None) for rows in sites], plain)
    assert found.choices["deep", "harmonized"] == other.choices["deep", "harmonized"]
    for one, two in zip(found.folds, other.folds, strict=True):
        first, second = (fold.heads["deep", "harmonized"] for fold in (one, two))
        assert first.features.tolist() == second.features.tolist()
        np.testing.assert_allclose(first.coefficients, second.coefficients, atol=1e-6)
        np.testing.assert_allclose(first.center, second.center, atol=1e-9)


def test_the_results_say_how_many_components_there_are(by_components: tuple[Any, ...]) -> None:
    study, harmonized, found, _, _ = by_components
    made = reduction_results(study, harmonized, found)
    assert made is not None
    assert made["method"] == "pca"
    assert made["kept"] + sum(made["left_out"].values()) == FEATURES
    assert made["icc"] is None
    assert made["components"] == [6, 6]
    assert all(0.5 < share < 0.95 for share in made["explained_variance"])


def test_a_site_makes_columns_only_where_the_study_does(by_components: tuple[Any, ...]) -> None:
    study, _, _, federation, _ = by_components
    question = next(one for one in federation.questions if getattr(one, "step", "") == "heads")
    loadings = question.problems["0.0.loadings"]
    assert loadings.shape == (FEATURES, 6)
    assert heads_forms(study, question.problems)
    with pytest.raises(EgressRefused):
        heads_forms(make_study(folds=2, fusion=FUSION), question.problems)
    wider = dict(question.problems) | {"0.0.loadings": np.zeros((FEATURES, 7))}
    with pytest.raises(EgressRefused):
        heads_forms(study, wider)


def test_pruning_alone_takes_the_most_telling_of_those_that_differ(tmp_path: Path) -> None:
    study = make_study(fusion=FUSION, reduction={"method": "pruning"})
    sites = three_sites(study)
    for rows in sites:
        rows.features[:, 5] = 3.0 * rows.features[:, 0] + 0.01 * rows.features[:, 6]
    harmonized, found, _, _ = reduced(tmp_path, sites, study)
    head = found.folds[0].heads["radiomics", "harmonized"]
    assert len({0, 5} & set(head.features.tolist())) == 1
    size = found.choices["radiomics", "harmonized"].size
    assert head.features.size == size
    correlation = np.abs(found.columns[0].moments.target_correlation[:FEATURES])
    ranked = [
        int(k) for k in np.argsort(-correlation) if int(k) not in ({0, 5} - set(head.features))
    ]
    assert sorted(ranked[:size]) == head.features.tolist()
    made = reduction_results(study, harmonized, found)
    assert made is not None
    assert made["left_out"]["correlated"] == 1
    assert made["kept"] + sum(made["left_out"].values()) == FEATURES


ICC = {"minimum_icc": 0.6}


@pytest.mark.parametrize("folds", [1, 2])
def test_reproducibility_is_that_of_the_pooled_slices(tmp_path: Path, folds: int) -> None:
    study = make_study(folds=folds, fusion=FUSION, reduction=ICC)
    sites = three_sites(study, with_images=False)
    # A third of the patients of the last site have one mask only.
    sites[2].second[sites[2].patient % 3 == 0] = np.nan
    federation, roster = federation_of(sites, study, tmp_path)
    found = harmonize.run(federation, roster, study, FEATURES)  # type: ignore[arg-type]
    assert len(federation.questions) == 2
    for fold in range(folds):
        first, second = [], []
        for rows in sites:
            own = rows.trains(fold) & np.isfinite(rows.second).all(axis=1)
            centre = (rows.features[own] + rows.second[own]).mean(axis=0) / 2
            first.append(rows.features[own] - centre)
            second.append(rows.second[own] - centre)
        one, two = np.concatenate(first), np.concatenate(second)
        n = len(one)
        assert found.pairs[fold]["slices"] == n
        rows_square = 2 * (((one + two) / 2) ** 2).sum(axis=0) / (n - 3)
        masks = (one - two).sum(axis=0) ** 2 / (2 * n)
        error = (((one - two) ** 2).sum(axis=0) / 2 - masks) / (n - 1)
        expected = (rows_square - error) / (rows_square + error + 2 * (masks - error) / n)
        np.testing.assert_allclose(found.icc[fold], expected, rtol=1e-9)
        assert (found.icc[fold][:8] > 0.8).all()
        assert (found.icc[fold][8:] < 0.4).all()


def test_what_is_not_reproducible_enters_no_head(tmp_path: Path) -> None:
    for method in ("lasso", "pruning", "pca"):
        study = make_study(fusion=FUSION, reduction=ICC | {"method": method})
        sites = three_sites(study)
        for rows in sites:
            # The most telling feature of all is one that the second mask does not find again.
            rows.features[:, 10] = 3.0 * rows.labels + 0.2 * rows.features[:, 10]
        harmonized, found, _, _ = reduced(tmp_path / method, sites, study)
        used = found.folds[0].heads["radiomics", "harmonized"].features
        assert used.max() < 8, method
        made = reduction_results(study, harmonized, found)
        assert made is not None
        assert made["left_out"]["icc"] == 4
        assert made["icc"]["form"] == "ICC(2,1)"
        assert made["icc"]["measured_on"][0]["sites"] == 3


def test_without_a_minimum_nobody_is_asked(tmp_path: Path) -> None:
    study = make_study(fusion=FUSION)
    with pytest.raises(OffCourse):
        position(HarmonizeQuestion(study.fingerprint, "reproducibility"), study)
    asks = make_study(fusion=FUSION, reduction=ICC)
    question = HarmonizeQuestion(asks.fingerprint, "reproducibility")
    before = position(HarmonizeQuestion(asks.fingerprint, "features"), asks)
    assert before < position(question, asks)


def a_site(tmp_path: Path, study: Study, rows: SiteRows) -> tuple[HarmonizeQuestion, Any, Patients]:
    federation, _ = federation_of([rows], study, tmp_path)
    question = HarmonizeQuestion(study.fingerprint, "reproducibility")
    found = site_harmonize.answer(question, federation.contexts[rows.site])
    return question, found, Patients.of(rows, study.folds)


def test_the_guard_lets_out_what_the_rule_lists_and_no_small_cell(tmp_path: Path) -> None:
    study = make_study(folds=2, reduction=ICC, cohort={"minimum_patients_per_class": 3})
    rows = three_sites(study, with_images=False)[0]
    question, found, patients = a_site(tmp_path / "all", study, rows)
    passed = check(study, question, found, patients, FEATURES)
    assert passed.rule == "harmonize/reproducibility"
    more = HarmonizeAnswer(found.sums | {"0.rows": rows.features})
    with pytest.raises(EgressRefused):
        check(study, question, more, patients, FEATURES)
    second = rows.second.copy()
    second[rows.patient > 1] = np.nan
    question, found, patients = a_site(tmp_path / "few", study, replace(rows, second=second))
    with pytest.raises(EgressRefused, match="patients"):
        check(study, question, found, patients, FEATURES)
    question, found, patients = a_site(tmp_path / "none", study, replace(rows, second=None))
    assert not any(np.any(array) for array in found.sums.values())
    check(study, question, found, patients, FEATURES)


def test_sums_under_masks_give_the_same(tmp_path: Path) -> None:
    plain = make_study(reduction=ICC)
    masked = make_study(reduction=ICC, secure_sum={"enabled": True})
    found = []
    for name, study in (("plain", plain), ("masked", masked)):
        sites = three_sites(study, with_images=False)
        federation, roster = federation_of(sites, study, tmp_path / name)
        found.append(harmonize.run(federation, roster, study, FEATURES))  # type: ignore[arg-type]
    np.testing.assert_allclose(found[0].icc[0], found[1].icc[0], atol=1e-10)
    assert found[0].pairs == found[1].pairs


def test_a_study_with_privacy_asks_for_none_of_it() -> None:
    with pytest.raises(ValueError, match="paid for"):
        make_study(privacy={"epsilon": 8.0, "covers": "network"}, reduction=ICC)
    areas = {"original_shape2D_PixelSurface": (0.0, 6e3), "original_firstorder_Mean": (0.0, 255.0)}
    hiding = {"epsilon": 8.0, "features": areas}
    with pytest.raises(ValueError, match="nothing is reduced"):
        make_study(
            privacy=hiding,
            harmonization={"mode": "mean_only"},
            reduction={"method": "pca"},
        )
    assert intraclass(pair_sums(np.eye(4), np.eye(4), np.arange(4)), "agreement").min() == 1.0
