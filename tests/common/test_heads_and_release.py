"""Heads, their stack, and the release on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import RunError
from common.heads import SCORED, Head, Heads, heads_from_arrays, heads_to_arrays, stack
from common.messages import Arrays
from common.release import FoldModel, Release, folds_from_arrays, folds_to_arrays
from common.study import Study
from harmonization import Reference

STUDY = Study.model_validate(
    {
        "name": "tiny",
        "folds": 2,
        "sites": [{"name": "a", "role": "train"}],
        "secure_sum": {"enabled": False},
    }
)


def some_head(rng: np.random.Generator, features: list[int]) -> Head:
    count = len(features)
    return Head(
        np.array(features, np.int64),
        rng.normal(size=count),
        rng.uniform(0.5, 2.0, count),
        rng.normal(size=count + 1),
    )


def some_fold(seed: int, heads: bool = True) -> FoldModel:
    rng = np.random.default_rng(seed)
    keep = np.array([True, True, False, True])
    reference = Reference(
        rng.normal(size=4), rng.normal(size=(1, 4)), rng.uniform(1, 2, 4), keep, 31, "a"
    )
    own: Heads = {key: some_head(rng, [1, 3]) for key in SCORED} if heads else {}
    weights = rng.normal(size=50).astype(np.float32)
    return FoldModel(reference, rng.normal(size=1), weights, own)


def same(one: Arrays, two: Arrays) -> None:
    assert set(one) == set(two)
    for name, array in one.items():
        other = two[name]
        assert (name, array.dtype, array.shape) == (name, other.dtype, other.shape)
        assert array.tobytes() == other.tobytes()


def test_a_head_scores_what_a_sum_over_its_features_says() -> None:
    head = Head(
        np.array([2, 0]), np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([0.5, 3, -1])
    )
    columns = np.array([[6.0, 99.0, 5.0], [2.0, 99.0, 1.0]])
    assert head.logits(columns) == pytest.approx([0.5 + 3 * 2 - 1, 0.5])
    assert head.probabilities(columns) == pytest.approx(1 / (1 + np.exp([-5.5, -0.5])))
    far = np.array([[0.0, 0.0, 1e6], [0.0, 0.0, -1e6]])
    assert head.probabilities(far).tolist() == [1.0, 0.0]


def test_a_stack_is_the_weighted_sum_of_the_logits() -> None:
    rng = np.random.default_rng(0)
    first, second, empty = some_head(rng, [0, 4]), some_head(rng, [4, 2, 1]), some_head(rng, [])
    columns = rng.normal(size=(7, 5))
    weights = np.array([0.7, 2.0])
    for one, two in ((first, second), (first, empty), (empty, second)):
        expected = -0.3 + 0.7 * one.logits(columns) + 2.0 * two.logits(columns)
        assert stack(one, two, -0.3, weights).logits(columns) == pytest.approx(expected, abs=1e-12)


def test_heads_and_folds_come_back_from_their_arrays() -> None:
    folds = [some_fold(0), some_fold(1, heads=False)]
    arrays = folds_to_arrays(folds)
    back = folds_from_arrays(arrays, 2)
    same(arrays, folds_to_arrays(back))
    assert set(back[0].heads) == set(SCORED)
    assert back[1].heads == {}
    some = {key: folds[0].heads[key] for key in SCORED[:2]}
    assert set(heads_from_arrays(heads_to_arrays(some))) == set(SCORED[:2])


def saved(folder: Path) -> Release:
    release = Release(
        STUDY,
        [some_fold(0), some_fold(1)],
        {"radiomics": 0.1, "deep": 1 / 3, "fused": 0.9},
        ("first", "second"),
        {"numpy": "2.0"},
    )
    release.save(folder)
    return release


def test_a_release_comes_back_bit_for_bit(tmp_path: Path) -> None:
    release = saved(tmp_path / "deep" / "release")
    back = Release.load(tmp_path / "deep" / "release")
    assert back.study == release.study
    assert back.thresholds == release.thresholds
    assert (back.feature_names, back.versions) == (release.feature_names, release.versions)
    same(folds_to_arrays(release.folds), folds_to_arrays(back.folds))


@pytest.mark.parametrize(
    "name", ["study.json", "release.json", "fold-0.safetensors", "fold-1.safetensors"]
)
@pytest.mark.parametrize("damage", ["gone", "cut", "another"])
def test_a_damaged_release_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    saved(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(b'{"other": 1}' if name.endswith("json") else b"")
    with pytest.raises(RunError, match="not a complete release") as caught:
        Release.load(tmp_path)
    assert str(tmp_path) in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("missing", ["thresholds", "feature_names", "versions", "fingerprint"])
def test_a_release_whose_summary_lacks_a_key_is_refused(tmp_path: Path, missing: str) -> None:
    saved(tmp_path)
    path = tmp_path / "release.json"
    summary = json.loads(path.read_text())
    del summary[missing]
    path.write_text(json.dumps(summary))
    with pytest.raises(RunError, match="not a complete release"):
        Release.load(tmp_path)


def test_a_release_of_another_study_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "study.json"
    path.write_text(path.read_text().replace('"seed": 2026', '"seed": 2027'))
    with pytest.raises(RunError, match="not the one that the release was made by"):
        Release.load(tmp_path)
