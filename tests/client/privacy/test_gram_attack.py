"""What a coordinator could do with one site's moments, which secure summation keeps from it.

A site has fewer slices than features. So the Gram matrix of its moments has a range that holds the
slices of its patients and, but for chance, nobody else's: who knows a patient's features can say
for certain whether the patient is among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from common.messages import FuseAnswer
from common.secure_sum.adding import Adding, hide
from common.statistics.auc import auc_of_scores
from common.statistics.moments import Moments, moments
from common.statistics.sums import total, unpack_symmetric

FEATURES, SLICES = 150, 40
NAMES = ("a", "b", "c")


@dataclass
class Hospital:
    """Slices of one population; half of them took part."""

    rows: np.ndarray
    others: np.ndarray
    sums: Moments

    @classmethod
    def make(cls, seed: int) -> Hospital:
        rng = np.random.default_rng(seed)
        common = np.random.default_rng(0).normal(size=(FEATURES, FEATURES)) / 12.0
        drawn = rng.normal(size=(2 * SLICES, FEATURES)) @ common + 0.3 * seed
        labels = rng.integers(0, 2, SLICES)
        rows = drawn[:SLICES]
        return cls(rows, drawn[SLICES:], moments(rows, labels, np.ones(SLICES)))


@pytest.fixture(scope="module")
def hospitals() -> dict[str, Hospital]:
    return {name: Hospital.make(seed) for seed, name in enumerate(NAMES)}


def distance_from_range(sums: Moments, rows: np.ndarray) -> np.ndarray:
    """How far each row (n, p) is from the range of the Gram matrix, as a share of its length."""
    gram = unpack_symmetric(sums.xwx, sums.wx.size)
    values, vectors = np.linalg.eigh(gram)
    inside = vectors[:, values > 1e-9 * values.max()]
    outside = rows - rows @ inside @ inside.T
    return np.asarray(np.linalg.norm(outside, axis=1) / np.linalg.norm(rows, axis=1))


def attack_auc(sums: Moments, members: np.ndarray, others: np.ndarray) -> float:
    near = -distance_from_range(sums, np.vstack([members, others]))
    ranks = np.argsort(np.argsort(near)) / near.size
    return auc_of_scores(ranks, np.repeat([1, 0], [len(members), len(others)])).auc


def test_without_secure_summation_membership_of_a_site_is_certain(
    hospitals: dict[str, Hospital],
) -> None:
    for one in hospitals.values():
        assert attack_auc(one.sums, one.rows, one.others) == 1.0
        assert distance_from_range(one.sums, one.rows).max() < 1e-6
        assert distance_from_range(one.sums, one.others).min() > 0.1


def test_it_even_tells_at_which_hospital_a_patient_is(hospitals: dict[str, Hospital]) -> None:
    for name, one in hospitals.items():
        for row in one.rows:
            distances = {
                other: distance_from_range(held.sums, row[None])[0]
                for other, held in hospitals.items()
            }
            assert min(distances, key=distances.__getitem__) == name


def test_a_masked_answer_tells_nothing_of_it(hospitals: dict[str, Hospital]) -> None:
    """The coordinator reads a site's answer as if it were not masked: the attack is a coin."""
    secrets = {pair: bytes([sum(map(ord, pair))]) * 32 for pair in ("ab", "ac", "bc")}
    found = []
    for name, one in hospitals.items():
        peers = {peer: secrets["".join(sorted(name + peer))] for peer in NAMES if peer != name}
        hidden = hide(FuseAnswer(one.sums.arrays()), name, peers, b"context", 3)
        alone = Adding()
        alone.add(hidden)
        seen = Moments.from_arrays(
            {key: np.rint(value) if key == "count" else value
             for key, value in alone.total(FuseAnswer).sums.items()}
        )  # fmt: skip
        near = distance_from_range(seen, np.vstack([one.rows, one.others]))
        found.append(abs(near[:SLICES].mean() - near[SLICES:].mean()))
    assert max(found) < 0.05


def test_what_remains_is_membership_of_the_consortium_not_of_a_site(
    hospitals: dict[str, Hospital],
) -> None:
    """The pooled matrix has a range as well, as long as all slices are fewer than the features."""
    pooled = total([one.sums for one in hospitals.values()])
    members = np.vstack([one.rows for one in hospitals.values()])
    others = np.vstack([one.others for one in hospitals.values()])
    assert attack_auc(pooled, members, others) == 1.0
    distances = distance_from_range(pooled, members)
    assert distances.max() < 1e-6  # of which site each of them is, it does not say


def test_with_more_slices_than_features_it_ends(hospitals: dict[str, Hospital]) -> None:
    rng = np.random.default_rng(5)
    many = rng.normal(size=(2 * FEATURES, FEATURES))
    sums = moments(many, rng.integers(0, 2, len(many)), np.ones(len(many)))
    assert distance_from_range(sums, rng.normal(size=(50, FEATURES))).max() < 1e-6
