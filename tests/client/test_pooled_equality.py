"""Three sites through messages give what an analysis of their pooled rows gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import Direct, federation_of, make_rows, make_study
from sklearn.linear_model import LogisticRegression, lasso_path

from client.cohort.rows import SiteRows
from client.fold_features import fold_features
from common.cnn import initial_weights
from common.records import PACKED, to_record
from common.release import FoldModel
from common.study import Study
from harmonization import Reference
from server.candidates import Choice
from server.stages import fuse, harmonize
from server.stages.fuse import Fused
from server.stages.harmonize import Harmonized

Array = np.ndarray[Any, Any]

COVARIATES = {"covariates": [{"name": "age", "kind": "numeric"}]}
SIZES, PENALTIES = (2, 6), (0.3, 2.0)


def three_sites(study: Study, **options: Any) -> list[SiteRows]:
    shifts = {"a": 0.0, "b": 2.0, "c": -3.0}
    patients = {"a": 10, "b": 8, "c": 14}
    return [
        make_rows(name, study, seed, patients[name], shift=shifts[name], **options)
        for seed, name in enumerate(shifts)
    ]


def pooled(parts: Sequence[Array]) -> Array:
    return np.concatenate(list(parts))


def by_regression(sites: list[SiteRows], fold: int) -> tuple[Array, Array, Array]:
    """alpha, beta and sigma by least squares with one column a site and one for age."""
    trains = [rows.trains(fold) for rows in sites]
    x = pooled([rows.features[own] for rows, own in zip(sites, trains, strict=True)])
    age = pooled(
        [
            np.array(rows.covariates["age"], np.float64)[own]
            for rows, own in zip(sites, trains, strict=True)
        ]
    )
    site = np.repeat(np.arange(len(sites)), [own.sum() for own in trains])
    design = np.column_stack([site == k for k in range(len(sites))] + [age]).astype(float)
    solved = np.linalg.lstsq(design, x, rcond=None)[0]
    shares = np.bincount(site) / site.size
    residuals = x - design @ solved
    return shares @ solved[:-1], solved[-1], np.sqrt((residuals**2).mean(axis=0))


@pytest.mark.parametrize("folds", [1, 3])
def test_harmonize_is_the_pooled_regression(tmp_path: Path, folds: int) -> None:
    study = make_study(folds=folds, harmonization=COVARIATES)
    sites = three_sites(study, with_images=False)
    federation, roster = federation_of(sites, study, tmp_path)
    found = harmonize.run(federation, roster, study, 12)  # type: ignore[arg-type]
    for fold in range(folds):
        alpha, beta, sigma = by_regression(sites, fold)
        reference = found.references[fold]
        np.testing.assert_allclose(reference.alpha, alpha, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(reference.beta[0], beta, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(reference.sigma, sigma, rtol=1e-10)
        labels = pooled([rows.labels[rows.trains(fold)] for rows in sites])
        counts = np.bincount(labels)
        np.testing.assert_allclose(found.class_weights[fold], labels.size / (2 * counts))
    assert len(federation.questions) == 1


def fields_of(reference: Reference) -> list[Array]:
    return [reference.alpha, reference.beta, reference.sigma]


def test_the_order_of_sites_and_their_number_do_not_matter(tmp_path: Path) -> None:
    study = make_study(harmonization=COVARIATES)
    sites = three_sites(study, with_images=False)
    found = []
    for number, order in enumerate(((0, 1, 2), (2, 0, 1), (0, 1, 2))):
        own = [sites[k] for k in order]
        federation, roster = federation_of(own, study, tmp_path / str(number))
        found.append(harmonize.run(federation, roster, study, 12).references[0])  # type: ignore[arg-type]
    # Sites are asked by the roster, so that the sums are added in one order, to the last bit.
    for other in found[1:]:
        for one, two in zip(fields_of(found[0]), fields_of(other), strict=True):
            assert one.tobytes() == two.tobytes()
    together = SiteRows(
        site="a",
        patient_ids=tuple(name for rows in sites for name in rows.patient_ids),
        patient_labels=pooled([rows.patient_labels for rows in sites]),
        folds=pooled([rows.folds for rows in sites]),
        patient=pooled([rows.patient + start for rows, start in zip(sites, (0, 10, 18))]),  # noqa: B905
        labels=pooled([rows.labels for rows in sites]),
        features=pooled([rows.features for rows in sites]),
        images=pooled([rows.images for rows in sites]),
        masks=pooled([rows.masks for rows in sites]),
        batch=tuple(name for rows in sites for name in rows.batch),
        covariates={"age": [age for rows in sites for age in rows.covariates["age"]]},
    )
    one_site = make_study(["a"], harmonization=COVARIATES)
    federation, roster = federation_of([together], one_site, tmp_path / "one")
    single = harmonize.run(federation, roster, one_site, 12).references[0]  # type: ignore[arg-type]
    for one, two in zip(fields_of(found[0]), fields_of(single), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-12)


def test_missing_covariates_take_the_pooled_training_mean(tmp_path: Path) -> None:
    study = make_study(harmonization=COVARIATES | {"missing": "mean"})
    sites = three_sites(study, with_images=False)
    for rows in sites:
        rows.covariates["age"][:3] = ["", "", ""]
    federation, roster = federation_of(sites, study, tmp_path)
    found = harmonize.run(federation, roster, study, 12)  # type: ignore[arg-type]
    known = np.concatenate(
        [
            [
                float(age)
                for age, own in zip(rows.covariates["age"], rows.trains(0), strict=True)
                if own and age
            ]
            for rows in sites
        ]
    )
    assert found.filled == {"age": 9}
    assert found.means[0] == pytest.approx([known.mean()], rel=1e-12)
    for rows in sites:
        rows.covariates["age"][:3] = [repr(float(known.mean()))] * 3
    _, beta, _ = by_regression(sites, 0)
    np.testing.assert_allclose(found.references[0].beta[0], beta, rtol=1e-9, atol=1e-11)


@pytest.fixture(scope="module")
def fused(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Study, list[SiteRows], Harmonized, Fused, Direct]:
    study = make_study(
        folds=2,
        fusion={"sizes": SIZES, "inverse_penalties": PENALTIES, "correlation_limit": 1.0},
    )
    sites = three_sites(study)
    federation, roster = federation_of(sites, study, tmp_path_factory.mktemp("sites"))
    harmonized = harmonize.run(federation, roster, study, 12)  # type: ignore[arg-type]
    weights = [initial_weights(study.cnn.width, 0.2, 128, seed) for seed in (1, 2)]
    found = fuse.run(federation, roster, study, harmonized, weights)  # type: ignore[arg-type]
    return study, sites, harmonized, found, federation


def pooled_columns(
    study: Study, sites: list[SiteRows], model: FoldModel, fold: int, variant: str
) -> tuple[Array, Array, Array]:
    """All columns, labels and who trains, of the pooled slices."""
    columns = [
        fold_features(rows, model, rows.trains(fold), study, external=False).columns(variant)
        for rows in sites
    ]
    labels = [rows.labels for rows in sites]
    return pooled(columns), pooled(labels), pooled([rows.trains(fold) for rows in sites])


def by_lasso(x: Array, y: Array, w: Array, size: int) -> list[int]:
    """Features of the last solution with at most `size`, on 200 penalties down to a thousandth."""
    centred = y - w @ y / w.sum()
    root = np.sqrt(w / w.sum() * y.size)
    first = np.abs(x.T @ (w * centred)).max() / w.sum()
    grid = first * np.geomspace(1.0, 1e-3, 200)
    best = np.zeros(x.shape[1])
    for penalty in grid:
        _, solved, _ = lasso_path(
            x * root[:, None],
            centred * root,
            alphas=[penalty],
            coef_init=best.copy(),
            tol=1e-10,
            max_iter=200_000,
        )
        if np.count_nonzero(solved) > size:
            break
        best = solved[:, 0]
    return np.flatnonzero(best).tolist()


def patient_loss(scores: Array, owner: Array, y: Array, weights: Array) -> float:
    """Weighted log-loss of patients by their highest slice, none surer than a thousandth."""
    total = 0.0
    for patient in np.unique(owner):
        own = owner == patient
        score = min(max(scores[own].max(), 1e-3), 1 - 1e-3)
        total -= weights[own][0] * np.log(score if y[own][0] else 1 - score)
    return float(total)


@pytest.mark.parametrize(
    ("model", "variant"),
    [
        ("radiomics", "harmonized"),
        ("radiomics", "raw"),
        pytest.param("deep", "harmonized", marks=pytest.mark.slow),
    ],
)
def test_selection_and_heads_are_scikit_learn_s_on_pooled_rows(
    fused: tuple[Study, list[SiteRows], Harmonized, Fused, Direct], model: str, variant: str
) -> None:
    study, sites, harmonized, found, _ = fused
    radiomic = sites[0].features.shape[1]
    block = np.arange(radiomic) if model == "radiomics" else np.arange(radiomic, radiomic + 256)
    losses = {(size, c): 0.0 for size in SIZES for c in PENALTIES}
    expected: dict[tuple[int, int, float], tuple[list[int], Array]] = {}
    for fold in range(study.folds):
        x, y, trains = pooled_columns(study, sites, found.folds[fold], fold, variant)
        weights = harmonized.class_weights[fold][y]
        owner = pooled([1000 * k + rows.patient for k, rows in enumerate(sites)])
        w = weights[trains]
        mean = w @ x[trains] / w.sum()
        sd = np.sqrt(w @ (x[trains] - mean) ** 2 / w.sum())
        scaled = (x - mean) / sd
        for size in SIZES:
            chosen = block[by_lasso(scaled[trains][:, block], y[trains].astype(float), w, size)]
            for c in PENALTIES:
                own = LogisticRegression(
                    l1_ratio=1.0, solver="saga", C=c, tol=1e-10, max_iter=100_000, random_state=0
                )
                own.fit(scaled[trains][:, chosen], y[trains], sample_weight=w)
                expected[fold, size, c] = (
                    chosen.tolist(),
                    np.append(own.intercept_, own.coef_[0]),
                )
                slices = own.predict_proba(scaled[~trains][:, chosen])[:, 1]
                losses[size, c] += patient_loss(
                    slices, owner[~trains], y[~trains], weights[~trains]
                )
    best = min(losses, key=lambda key: losses[key])
    assert found.choices[model, variant] == Choice(*best)
    for fold in range(study.folds):
        head = found.folds[fold].heads[model, variant]
        features, coefficients = expected[fold, *best]
        assert head.features.tolist() == features
        np.testing.assert_allclose(head.coefficients, coefficients, atol=1e-6)
    signal = {0, 1} & set(found.folds[0].heads[model, variant].features.tolist())
    assert model == "deep" or signal


def test_a_fused_head_is_the_discriminant_of_held_out_logits(
    fused: tuple[Study, list[SiteRows], Harmonized, Fused, Direct],
) -> None:
    study, sites, harmonized, found, _ = fused
    for variant in ("harmonized", "raw"):
        logits, labels, weights = [], [], []
        for fold, model in enumerate(found.folds):
            x, y, trains = pooled_columns(study, sites, model, fold, variant)
            pair = (model.heads["radiomics", variant], model.heads["deep", "harmonized"])
            logits.append(np.stack([head.logits(x[~trains]) for head in pair], axis=1))
            labels.append(y[~trains])
            weights.append(harmonized.class_weights[fold][y[~trains]])
        s, y, w = pooled(logits), pooled(labels), pooled(weights)
        assert y.size == sum(rows.labels.size for rows in sites)
        low, high = (np.average(s[y == k], axis=0, weights=w[y == k]) for k in (0, 1))
        centred = s - np.where(y[:, None] == 1, high, low)
        within = centred.T @ (w[:, None] * centred) / w.sum()
        solved = np.linalg.solve(within, high - low)
        own = found.stacks[variant]
        if (solved > 0).all():
            np.testing.assert_allclose(own.weights, solved, rtol=1e-4)
        else:
            assert (own.weights == 0).sum() == 1
        for model in found.folds:
            x = np.random.default_rng(0).normal(size=(4, sites[0].features.shape[1] + 256))
            expected = own.intercept + own.weights @ np.stack(
                [
                    model.heads[key].logits(x)
                    for key in (("radiomics", variant), ("deep", "harmonized"))
                ]
            )
            np.testing.assert_allclose(model.heads["fused", variant].logits(x), expected)


def test_no_message_of_a_site_is_as_long_as_its_rows(
    fused: tuple[Study, list[SiteRows], Harmonized, Fused, Direct],
) -> None:
    """What leaves is the same size at every site, whatever the number of its slices."""
    _, sites, _, _, federation = fused
    assert len({rows.labels.size for rows in sites}) == len(sites)
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for _, exchange, answer in federation.seen:
        packed = to_record(answer).array_records["arrays"][PACKED]
        shapes.setdefault(exchange, set()).add(tuple(packed.shape))
    assert len(shapes) == len(federation.questions) > 3
    assert len(federation.seen) == len(sites) * len(shapes)
    assert {exchange: len(found) for exchange, found in shapes.items()} == dict.fromkeys(shapes, 1)
