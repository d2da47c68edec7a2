"""Who validates when, and a site's slices laid out as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from site_samples import make_study

from client.cohort.folds import draw_folds, seed_of
from client.cohort.patients import Case, Patient
from client.cohort.rows import Source, cases_of, lay_out
from client.cohort.second_masks import enough, second_features
from client.imaging import extract as imaging
from client.imaging.extract import extract_cases
from client.imaging.measure import perturb
from client.imaging.preprocess import Preprocessing
from client.imaging.recipes import preprocessing_of, radiomics_of
from common.errors import CohortError, ImageError
from common.feature_names import all_names


@settings(max_examples=60, deadline=None)
@given(
    positives=st.integers(2, 40),
    negatives=st.integers(2, 40),
    folds=st.integers(2, 6),
    seed=st.integers(0, 1000),
)
def test_every_patient_validates_once_and_classes_are_even(
    positives: int, negatives: int, folds: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation([1] * positives + [0] * negatives)
    drawn = draw_folds(labels, make_study(folds=folds, seed=seed), "a")
    assert set(drawn) <= set(range(folds))
    for chosen in (labels == 0, labels == 1, labels >= 0):
        sizes = np.bincount(drawn[chosen], minlength=folds)
        assert sizes.sum() == chosen.sum()
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("fraction", "ones", "zeros"), [(0.25, 5, 2), (0.01, 1, 1), (0.5, 10, 4)])
def test_with_one_fold_a_fraction_of_each_class_validates(
    fraction: float, ones: int, zeros: int
) -> None:
    study = make_study(
        cohort={"validation_fraction": fraction, "minimum_patients_per_class": 2}, folds=1
    )
    labels = np.array([1] * 20 + [0] * 8)
    drawn = draw_folds(labels, study, "a")
    assert set(drawn) == {-1, 0}
    assert ((drawn == 0) & (labels == 1)).sum() == ones
    assert ((drawn == 0) & (labels == 0)).sum() == zeros


def test_folds_depend_on_site_and_seed_only() -> None:
    labels = np.arange(30) % 2
    first = draw_folds(labels, make_study(folds=3), "a")
    assert (draw_folds(labels, make_study(folds=3, fusion={"sizes": [4]}), "a") == first).all()
    assert (draw_folds(labels, make_study(folds=3), "b") != first).any()
    assert (draw_folds(labels, make_study(folds=3, seed=1), "a") != first).any()
    assert seed_of(1, "a", 23) != seed_of(1, "a2", 3)
    assert 0 <= seed_of(1, "a") < 2**63


def ring(path: Path, seed: int, slices: int, empty: Sequence[int] = ()) -> tuple[Path, Path]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    away = np.hypot(y - 24, x - 22)
    mask = np.zeros((slices, 48, 48), np.uint8)
    mask[:, away < 11] = 2
    mask[:, away < 6] = 1
    image = np.choose(mask, [60, 200, 90]) + rng.normal(0, 9, mask.shape)
    mask[list(empty)] = 0
    paths = path / f"{seed}.nii.gz", path / f"{seed}_mask.nii.gz"
    for array, file in zip((image.astype(np.float32), mask), paths, strict=True):
        written: Any = sitk.GetImageFromArray(array)
        written.SetSpacing((1.5, 1.5, 8.0))
        sitk.WriteImage(written, str(file))
    return paths


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, list[Patient]]:
    """Three patients: five slices with one label; slices with their own; two phases."""
    folder = tmp_path_factory.mktemp("site")
    five, own, two = ring(folder, 1, 5), ring(folder, 2, 4, empty=[0]), ring(folder, 3, 2)
    patients = [
        Patient("p1", 1, (Case("p1", "ED", *five),), {"age": "50", "scanner": "x"}),
        Patient(
            "p2",
            1,
            (Case("p2", "ED", *own, slice_labels={3: 1, 1: 0}),),
            {"age": "", "scanner": "y"},
        ),
        Patient("p3", 0, (Case("p3", "ES", *two), Case("p3", "ED", *two)), {"scanner": "x"}),
    ]
    return Source("a", folder / "cache", 2), patients


AGE = {"covariates": [{"name": "age", "kind": "numeric"}], "missing": "mean"}


def test_rows_are_slices_in_order_with_their_own_labels(
    site: tuple[Source, list[Patient]],
) -> None:
    source, patients = site
    study = make_study(folds=2, harmonization=AGE | {"transform": "none"})
    rows = lay_out(source, patients, study, external=False, workers=1)
    assert rows.patient_ids == ("p1", "p2", "p3")
    assert rows.patient.tolist() == [0] * 5 + [1] * 2 + [2] * 2
    assert rows.patient_labels.tolist() == [1, 1, 0]
    assert rows.labels.tolist() == [1] * 5 + [0, 1] + [0] * 2
    assert rows.features.shape == (9, 939)
    assert rows.images.shape == rows.masks.shape == (9, 128, 128)
    assert rows.images.dtype == rows.masks.dtype == np.float32
    assert set(np.unique(rows.masks)) == {0.0, 1.0}
    assert (rows.masks.sum(axis=(1, 2)) > Preprocessing().minimum_pixels).all()
    assert rows.batch == ("a",) * 9
    assert rows.covariates == {"age": ["50"] * 5 + [""] * 4}
    assert set(rows.folds) == {0, 1}
    both = rows.trains(0).astype(int) + rows.validates(0)
    assert (both == 1).all()
    for fold in (0, 1):
        owners = set(rows.patient[rows.validates(fold)])
        assert owners == set(np.flatnonzero(rows.folds == fold))
    transformed = lay_out(source, patients, make_study(), external=True, workers=1)
    np.testing.assert_allclose(transformed.features, np.arcsinh(rows.features))
    assert set(transformed.folds) == {-1}
    assert not transformed.validates(0).any()


def test_middle_slices_phases_and_scanners(site: tuple[Source, list[Patient]]) -> None:
    source, patients = site
    every = lay_out(source, patients, make_study(), external=True, workers=1)
    cohort = {"slices": "middle", "phases": ["ED", "ES"], "minimum_patients_per_class": 2}
    study = make_study(cohort=cohort, harmonization={"batch": "scanner"})
    rows = lay_out(source, patients, study, external=True, workers=1)
    # Of 5 slices the 3 in the middle; of 2, both; p3 has two phases.
    assert rows.patient.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    np.testing.assert_array_equal(rows.features[:3], every.features[1:4])
    np.testing.assert_array_equal(rows.images[:3], every.images[1:4])
    assert rows.batch == ("a/x",) * 3 + ("a/y",) * 2 + ("a/x",) * 4


def test_rows_that_cannot_be_laid_out_say_why(
    site: tuple[Source, list[Patient]], tmp_path: Path
) -> None:
    source, patients = site
    with pytest.raises(CohortError, match=r"no case of the study's phases \(XX\)"):
        lay_out(source, patients, make_study(cohort={"phases": ["XX"]}), external=True, workers=1)
    bare = [Patient(p.patient_id, p.label, p.cases, {}) for p in patients]
    with pytest.raises(CohortError, match="p1 has no scanner"):
        lay_out(
            source, bare, make_study(harmonization={"batch": "scanner"}), external=True, workers=1
        )
    gone = tmp_path / "gone.nii.gz"
    broken = [Patient(f"q{k}", 1, (Case(f"q{k}", "ED", gone, gone),), {}) for k in (1, 2)]
    with pytest.raises(CohortError) as caught:
        lay_out(source, [*patients, *broken], make_study(), external=True, workers=1)
    assert "q1/ED" in caught.value.what
    assert "q2/ED" in caught.value.what
    assert "2 case(s)" in caught.value.fix


def drawn_again(mask: Path, name: str, slices: Sequence[int]) -> Path:
    """Another reader's contour: a pixel to the right, of some slices only."""
    image: Any = sitk.ReadImage(str(mask))
    array = np.roll(sitk.GetArrayFromImage(image), 1, axis=2)
    array[[z for z in range(len(array)) if z not in slices]] = 0
    written: Any = sitk.GetImageFromArray(array)
    written.CopyInformation(image)
    path = mask.with_name(name)
    sitk.WriteImage(written, str(path))
    return path


def test_a_second_mask_is_matched_slice_by_slice(site: tuple[Source, list[Patient]]) -> None:
    source, (first, second, third) = site
    five, own = first.cases[0], second.cases[0]
    other = drawn_again(five.mask, "1_second.nii.gz", (1, 2, 4))
    another = drawn_again(own.mask, "2_second.nii.gz", (1, 2))
    patients = [
        replace(first, cases=(replace(five, second_mask=other),)),
        replace(second, cases=(replace(own, second_mask=another),)),
        third,
    ]
    asked = make_study(
        reduction={"minimum_icc": 0.5},
        cohort={"minimum_patients_per_class": 2, "validation_fraction": 0.1},
    )
    rows = lay_out(source, patients, asked, external=False, workers=1)
    # One of the two validates, and sums over one patient's slices must not leave.
    assert rows.second is None
    assert not rows.paired.any()
    found = second_features(
        cases_of(source, patients, asked),
        [case for one in patients for case in one.cases if case.phase == "ED"],
        measured := extract_cases(
            cases_of(source, patients, asked),
            preprocessing_of(asked.preprocessing),
            radiomics_of(asked.radiomics),
            source.cache,
            workers=1,
        ),
        asked,
        source.cache,
    )
    has = [np.isfinite(one).all(axis=1).tolist() for one in found]
    assert has == [[False, True, True, False, True], [True, False], [False, False]]
    (again,) = extract_cases(
        [imaging.Case("again", five.image, other)],
        preprocessing_of(asked.preprocessing),
        radiomics_of(asked.radiomics),
        source.cache,
        workers=1,
    )
    assert again.slices == (1, 2, 4)
    np.testing.assert_array_equal(found[0][[1, 2, 4]], again.features)
    assert (found[0][1] != measured[0].features[1]).any()
    plain = lay_out(source, patients, make_study(), external=False, workers=1)
    assert plain.second is None
    outside = lay_out(source, patients, asked, external=True, workers=1)
    assert outside.second is None


def test_a_mask_grows_or_shrinks_by_a_pixel(site: tuple[Source, list[Patient]]) -> None:
    source, patients = site
    found = {}
    for how in ("dilated", "eroded"):
        study = make_study(
            reduction={"minimum_icc": 0.5, "second_mask": how},
            cohort={"minimum_patients_per_class": 2, "validation_fraction": 0.1},
        )
        everybody = [*patients, replace(patients[0], patient_id="p4")]
        rows = lay_out(source, everybody, study, external=False, workers=1)
        assert rows.second is not None
        assert rows.paired.all()
        area = all_names().index("original_shape2D_PixelSurface")
        found[how] = np.sinh(rows.second[:, area]) - np.sinh(rows.features[:, area])
    assert (found["dilated"] > 50).all()
    assert (found["eroded"] < -50).all()
    ring = np.zeros((5, 5), bool)
    ring[2, 1:4] = True
    assert perturb(ring, "") is ring
    assert perturb(ring, "dilated").sum() == 11
    with pytest.raises(ImageError, match="thicker"):
        perturb(ring, "eroded")


def test_few_pairs_are_none() -> None:
    study = make_study(folds=2, cohort={"minimum_patients_per_class": 3})
    owner, folds = np.repeat(np.arange(12), 2), np.arange(12) % 2
    second = np.ones((24, 5))
    assert enough(second, owner, folds, study) is second
    second[owner > 5] = np.nan
    assert enough(second, owner, folds, study) is second
    second[owner == 5] = np.nan
    assert enough(second, owner, folds, study) is None
    # All pairs in one part: the validation part of the other fold then has none, which is nothing.
    second = np.where((owner % 2 == 0)[:, None], 1.0, np.nan)
    assert enough(second, owner, folds, study) is None
