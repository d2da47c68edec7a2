"""Median, trimmed mean and Krum against plain NumPy, and what they are for: bad sites."""

from __future__ import annotations

import numpy as np
import pytest
from coordinator_samples import make_study, trained, weights_of
from flwr.supercore.task_identity import TaskIdentity
from pydantic import ValidationError

from common.messages import TrainAnswer, TrainQuestion
from common.study_tables import Training
from server.plain_sum import plain_sum
from server.strategies import Aggregator

SIZE = 200


@pytest.fixture(autouse=True)
def identity() -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def asked(start: np.ndarray) -> TrainQuestion:
    return TrainQuestion("f", 0, 1, 1000, np.ones(2), start)


def answers(updates: np.ndarray, start: np.ndarray) -> list[TrainAnswer]:
    return [
        trained(start + update, slices=5 + 3 * k, question=asked(start))
        for k, update in enumerate(updates)
    ]


def aggregated(
    strategy: str, updates: np.ndarray, start: np.ndarray, **options: float
) -> np.ndarray:
    question, given = asked(start), answers(updates, start)
    aggregator = Aggregator(Training.model_validate({"strategy": strategy} | options))
    return aggregator.merge(
        question, given if aggregator.robust else [plain_sum(TrainAnswer, given)]
    )


def drawn(seed: int, sites: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    start = rng.normal(size=SIZE).astype(np.float32)
    common = rng.normal(size=SIZE)
    updates = scale * (common + 0.5 * rng.normal(size=(sites, SIZE)))
    return start, updates.astype(np.float32)


def weights_of_all(start: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """The sites' weights as what they send says, whose changes are in float32."""
    return np.stack([weights_of(one, asked(start)) for one in answers(updates, start)])


@pytest.mark.parametrize("sites", [1, 2, 3, 4, 7])
def test_the_median_is_numpy_s(sites: int) -> None:
    start, updates = drawn(sites, sites)
    expected = np.median(weights_of_all(start, updates), axis=0)
    found = aggregated("median", updates, start)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("sites", "fraction", "cut"), [(5, 0.2, 1), (4, 0.3, 1), (9, 0.25, 2)])
def test_the_trimmed_mean_leaves_the_ends_out(sites: int, fraction: float, cut: int) -> None:
    start, updates = drawn(sites, sites)
    ordered = np.sort(weights_of_all(start, updates), axis=0)
    found = aggregated("trimmed_mean", updates, start, trimmed_fraction=fraction)
    np.testing.assert_allclose(found, ordered[cut : sites - cut].mean(axis=0), rtol=1e-6, atol=1e-6)


def by_krum(weights: np.ndarray, distrusted: int) -> int:
    """Blanchard et al., NIPS 2017: the site closest to its n - f - 2 nearest others."""
    scores = []
    for one in weights:
        distances = sorted(((one - other) ** 2).sum() for other in weights)
        scores.append(sum(distances[1 : 1 + max(1, len(weights) - distrusted - 2)]))
    return int(np.argmin(scores))


@pytest.mark.parametrize("sites", [5, 6, 9])
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-5])
def test_krum_takes_the_site_closest_to_the_others(sites: int, scale: float) -> None:
    """Also where updates are far smaller than the weights, as in any late round."""
    for seed in range(6):
        start, updates = drawn(seed, sites, scale)
        start *= 100.0
        weights = weights_of_all(start, updates)
        found = aggregated("krum", updates, start, distrusted_sites=1)
        assert found.tobytes() == weights[by_krum(weights, 1)].astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("median", {}),
        ("trimmed_mean", {"trimmed_fraction": 0.2}),
        ("krum", {"distrusted_sites": 1}),
    ],
)
@pytest.mark.parametrize("wrong", [-50.0, 1e4])
def test_one_bad_site_of_five_moves_them_little(
    strategy: str, options: dict[str, float], wrong: float
) -> None:
    start, updates = drawn(3, 5)
    honest = updates[:4].mean(axis=0)
    updates[4] *= wrong
    moved = aggregated(strategy, updates, start, **options) - start
    assert np.linalg.norm(moved - honest) < 0.6 * np.linalg.norm(honest)
    mean = aggregated("fedavg", updates, start) - start
    assert np.linalg.norm(mean - honest) > 5 * np.linalg.norm(honest)


@pytest.mark.parametrize("strategy", ["median", "trimmed_mean", "krum"])
def test_the_order_of_sites_does_not_matter(strategy: str) -> None:
    start, updates = drawn(8, 6)
    one, two = (aggregated(strategy, own, start) for own in (updates, updates[::-1]))
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("strategy", "options", "least", "reason"),
    [
        ("median", {}, 2, "median of 2 sites"),
        ("trimmed_mean", {"trimmed_fraction": 0.2}, 4, "leaves out none of 4 sites"),
        ("krum", {"distrusted_sites": 1}, 4, "needs 5 sites"),
    ],
)
def test_a_study_cannot_ask_for_robustness_that_so_few_sites_do_not_give(
    strategy: str, options: dict[str, float], least: int, reason: str
) -> None:
    names = ("a", "b", "c", "d", "e", "f")
    training = {"strategy": strategy} | options
    make_study(names, training=training, quorum={"min_sites": least + 1})
    with pytest.raises(ValidationError, match=reason):
        make_study(names, training=training, quorum={"min_sites": least})
