"""Private histograms: their sensitivity, and what can still be read from them."""

from __future__ import annotations

import numpy as np
import pytest

from common.privacy.histograms import (
    NoisyMetric,
    coarse,
    noisy_auc,
    noisy_threshold,
    private_histograms,
)
from common.privacy.secret_noise import SecretNoise, digest_of
from common.statistics.auc import auc_of_scores
from common.statistics.scores import round_scores, score_histogram

SECRET = bytes(range(32))


def noise(number: int = 0) -> SecretNoise:
    return SecretNoise(SECRET, b"metrics", digest_of(str(number)))


def cohort(patients: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, patients)
    return np.clip(rng.normal(0.4 + 0.2 * labels, 0.15), 0.0, 1.0), labels


def test_one_patient_changes_the_histograms_of_m_models_by_root_m() -> None:
    scores, labels = cohort(50)
    models = [scores, 1.0 - scores, scores**2]

    def counts(kept: np.ndarray) -> np.ndarray:
        return np.stack([coarse(score_histogram(one[kept], labels[kept])) for one in models])

    everyone = np.arange(50)
    for gone in everyone:
        change = counts(everyone) - counts(everyone[everyone != gone])
        assert np.linalg.norm(change) == pytest.approx(np.sqrt(3.0))


@pytest.mark.parametrize("bins", [1, 7, 20, 1001])
def test_coarse_bins_keep_every_patient_in_order(bins: int) -> None:
    scores, labels = cohort()
    fine = score_histogram(scores, labels)
    joined = coarse(fine, bins)
    assert joined.shape == (2, bins)
    place = np.arange(1001) * bins // 1001
    naive = np.stack([np.bincount(place, weights=row, minlength=bins) for row in fine])
    assert np.array_equal(joined, naive)


def test_the_noise_has_the_stated_variance() -> None:
    counts = np.zeros((4, 2, 20), dtype=np.int64)
    drawn = np.stack([private_histograms(counts, 1.5, noise(number)) for number in range(300)])
    assert float(drawn.std()) == pytest.approx(3.0, rel=0.02)


def test_without_noise_the_auc_is_that_of_the_coarse_scores() -> None:
    scores, labels = cohort()
    found = noisy_auc(coarse(score_histogram(scores, labels)).astype(float), 0.0)
    binned = np.floor(np.rint(scores * 1000) * 20 / 1001) / 20
    assert found.auc == pytest.approx(auc_of_scores(binned, labels).auc, abs=1e-12)
    assert found.auc == pytest.approx(auc_of_scores(scores, labels).auc, abs=0.01)
    assert found.noise_sd == 0.0


def test_the_stated_noise_of_the_auc_is_that_of_many_draws() -> None:
    scores, labels = cohort()
    counts = coarse(score_histogram(scores, labels))[None]
    exact = noisy_auc(counts[0].astype(float), 0.0).auc
    drawn = [noisy_auc(private_histograms(counts, 2.0, noise(n))[0], 2.0) for n in range(1500)]
    aucs = np.array([one.auc for one in drawn])
    stated = float(np.sqrt(np.mean([one.noise_sd**2 for one in drawn])))
    assert float(aucs.mean()) == pytest.approx(exact, abs=0.006)
    assert float(aucs.std()) == pytest.approx(stated, rel=0.1)


def test_counts_that_the_noise_hides_give_no_auc() -> None:
    scores, labels = cohort(20)
    counts = coarse(score_histogram(scores, labels))[None]
    with pytest.raises(NoisyMetric, match="noisy counts"):
        noisy_auc(private_histograms(counts, 5.0, noise())[0], 5.0)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(NoisyMetric, match="shape"):
        private_histograms(np.zeros((2, 20), dtype=np.int64), 1.0, noise())
    with pytest.raises(NoisyMetric, match="bins"):
        coarse(np.zeros((2, 10), dtype=np.int64), 20)


def test_without_noise_the_threshold_holds_the_target_exactly() -> None:
    rng = np.random.default_rng(5)
    scores = np.clip(rng.normal(0.6, 0.15, 400), 0.0, 1.0)
    fine = score_histogram(scores, np.ones(400))
    found = noisy_threshold(coarse(fine[None])[0, 1].astype(float), 0.9, 0.0)
    rounded = round_scores(scores)
    assert np.mean(rounded >= found) >= 0.9
    # The next edge of the twenty is too high.
    assert np.mean(rounded >= found + 0.051) < 0.9


def test_with_noise_the_target_is_missed_rarely() -> None:
    rng = np.random.default_rng(6)
    scores = np.clip(rng.normal(0.6, 0.15, 2000), 0.0, 1.0)
    exact = coarse(score_histogram(scores, np.ones(2000))[None])[0, 1]
    held, useful = 0, 0
    for _ in range(300):
        found = noisy_threshold(exact + rng.normal(0.0, 8.0, 20), 0.9, 8.0)
        held += bool(np.mean(round_scores(scores) >= found) >= 0.9)
        useful += found > 0.2
    assert held > 0.9 * 300
    assert useful > 0.9 * 300


def test_where_noise_hides_the_patients_everybody_is_positive() -> None:
    rng = np.random.default_rng(7)
    found = [noisy_threshold(rng.normal(0.0, 9.0, 20), 0.9, 9.0) for _ in range(200)]
    # Noise alone looks like more than one standard deviation of patients once in six times.
    assert np.mean(np.array(found) == 0.0) > 0.75
    assert noisy_threshold(np.full(20, -3.0), 0.9, 1.0) == 0.0
