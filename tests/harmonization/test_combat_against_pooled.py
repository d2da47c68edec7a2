"""The distributed result is the pooled result: against neuroCombat and a naive pooled fit."""

import numpy as np
import pytest
from combat_problems import FLAGS, distributed, naive, neuro, problem, worst

COUNTS = {
    "parametric": 130,
    "nonparametric": 50,
    "mean_only": 90,
    "none": 90,
    "mean_only_none": 40,
}


@pytest.mark.parametrize("mode", FLAGS)
def test_agrees_with_neurocombat_over_400_problems(mode, monkeypatch, record_property):
    assert sum(COUNTS.values()) == 400
    gaps = []
    for k in range(COUNTS[mode]):
        q = problem((list(FLAGS).index(mode), k))
        gaps.append(worst(distributed(q, mode)[0], neuro(q, mode, monkeypatch), q.x))
    record_property("worst", max(gaps))
    print(f"{mode}: worst of {len(gaps)} problems {max(gaps):.1e} sd")
    assert max(gaps) <= 1e-9


@pytest.mark.parametrize("mode", FLAGS)
def test_naive_reference_itself_agrees_with_neurocombat(mode, monkeypatch):
    for k in range(8):
        q = problem((50, k))
        assert worst(naive(q, mode), neuro(q, mode, monkeypatch), q.x) <= 1e-9


@pytest.mark.parametrize("two_rounds", [False, True])
@pytest.mark.parametrize("mode", FLAGS)
def test_reference_batch_agrees_with_pooled_fit(mode, two_rounds, monkeypatch):
    gaps, theirs = [], []
    for k in range(12):
        q = problem((60, k))
        name = q.batch[k]
        found, reference = distributed(q, mode, name, two_rounds)
        gaps.append(worst(found, naive(q, mode, name), q.x))
        theirs.append(worst(found, neuro(q, mode, monkeypatch, name), q.x))
        rows = q.batch == name
        assert np.array_equal(found[rows], q.x[rows])
        assert reference.batch == name
        assert reference.count == rows.sum()
    print(f"{mode} with reference batch: naive {max(gaps):.1e}, neuroCombat {max(theirs):.1e}")
    assert max(*gaps, *theirs) <= 1e-9


def test_two_rounds_give_the_sigma_of_one():
    for k in range(20):
        q = problem((70, k))
        one, two = distributed(q, "none")[1], distributed(q, "none", two_rounds=True)[1]
        np.testing.assert_allclose(one.sigma, two.sigma, rtol=1e-11)
        np.testing.assert_allclose(one.alpha, two.alpha, rtol=1e-9)
        assert np.array_equal(one.keep, two.keep)
