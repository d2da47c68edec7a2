"""The ledger: what adds up, what does not, and that it stops before it is too late."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.privacy.accounting import PrivacyError, spent
from common.privacy.budget import Budget, BudgetDamaged, BudgetSpent, Release
from common.privacy.plan import Work, noise_multipliers

DELTA = 1e-4


def training(fold: int, number: int, folds: int = 1, scope: str = "s") -> Release:
    return Release(
        name=f"{scope}.train.{fold}.{number}",
        what=f"weights of fold {fold}, round {number}",
        kind="weights",
        noise_multiplier=3.0,
        sampling_rate=0.5,
        steps=4,
        scope=scope,
        folds=folds,
        fold=fold,
        touches="training",
    )


def histogram(fold: int, folds: int = 1) -> Release:
    return Release(
        f"hist.{fold}", "scores", "metrics", 2.0, scope="s", folds=folds, fold=fold,
        touches="validating",
    )  # fmt: skip


def entered(releases: list[Release], epsilon: float = 100.0) -> Budget:
    budget = Budget(epsilon, DELTA)
    for release in releases:
        budget = budget.require(release)
    return budget


def test_it_stops_before_it_would_exceed() -> None:
    budget, rounds = Budget(4.0, DELTA), 0
    while spent(4 * (rounds + 1), 0.5, 3.0, DELTA) <= 4.0:
        budget = budget.require(training(0, rounds))
        rounds += 1
    assert rounds > 3
    with pytest.raises(BudgetSpent, match="would have spent") as refused:
        budget.require(training(0, rounds))
    assert budget.spent == pytest.approx(spent(4 * rounds, 0.5, 3.0, DELTA))
    assert len(budget.entries) == rounds
    # The coordinator hears nothing of how much is left.
    assert "epsilon" not in refused.value.public
    assert not any(character.isdigit() for character in refused.value.public)


def test_the_same_answer_costs_once() -> None:
    budget = entered([training(0, 1)])
    assert budget.require(training(0, 1)) is budget
    assert budget.require(replace(training(0, 1), what="in other words")) is budget
    with pytest.raises(PrivacyError, match="name"):
        budget.require(replace(training(0, 1), noise_multiplier=9.0))


def test_the_same_answer_may_be_given_when_nothing_is_left() -> None:
    budget = entered([training(0, 1)])
    tight = replace(budget, epsilon=budget.spent)
    assert tight.require(training(0, 1)) is tight
    with pytest.raises(BudgetSpent):
        tight.require(training(0, 2))


def test_gaussian_releases_of_all_kinds_compose_exactly() -> None:
    """Releases of multipliers z_i are as one of multiplier (sum of 1/z_i^2)^-1/2."""
    noises = [2.0, 3.5, 8.0]
    kinds = ("weights", "sums", "metrics")
    releases = [
        Release(kind, kind, kind, noise)  # type: ignore[arg-type]
        for kind, noise in zip(kinds, noises, strict=True)
    ]
    one = float(np.sum([z**-2 for z in noises]) ** -0.5)
    assert entered(releases).spent == pytest.approx(spent(1, 1.0, one, DELTA), rel=1e-9)
    assert entered(releases[::-1]).spent == pytest.approx(entered(releases).spent, rel=1e-12)


def test_a_patient_trains_in_all_folds_but_one() -> None:
    releases = [training(fold, number, 3) for fold in range(3) for number in range(5)]
    assert entered(releases).spent == pytest.approx(spent(2 * 5 * 4, 0.5, 3.0, DELTA))
    uneven = [*releases, training(0, 9, 3)]
    assert entered(uneven).spent == pytest.approx(spent(11 * 4, 0.5, 3.0, DELTA))


def test_validation_and_training_of_one_fold_are_about_other_patients() -> None:
    trained = entered([training(0, number) for number in range(5)])
    assert trained.require(histogram(0)).spent == pytest.approx(trained.spent)
    both = entered([training(0, 0), Release("sum", "sum", "sums", 2.0, scope="s", folds=1)])
    assert both.spent > trained.require(histogram(0)).entries[0].epsilon


def test_with_folds_validation_comes_on_top() -> None:
    releases = [training(fold, 0, 2) for fold in range(2)]
    with_metrics = entered([*releases, histogram(0, 2), histogram(1, 2)])
    assert with_metrics.spent > entered(releases).spent
    assert with_metrics.spent == pytest.approx(entered([*releases, histogram(1, 2)]).spent)


def test_another_draw_of_folds_adds_up() -> None:
    one = [training(fold, 0, 2) for fold in range(2)]
    other = [training(fold, 0, 2, "t") for fold in range(2)]
    assert entered(one).spent == pytest.approx(spent(4, 0.5, 3.0, DELTA))
    assert entered(one + other).spent == pytest.approx(spent(8, 0.5, 3.0, DELTA))


def test_the_ledger_survives_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "privacy.json"
    budget = entered([training(0, 0, 2), training(1, 0, 2), histogram(0, 2)])
    budget.save(path)
    assert Budget.load(path, budget.epsilon, DELTA) == budget
    content = json.loads(path.read_text())
    assert [entry["epsilon"] for entry in content["entries"]] == [
        entry.epsilon for entry in budget.entries
    ]
    assert content["spent"] == budget.spent


def test_another_study_finds_what_the_last_one_spent(tmp_path: Path) -> None:
    path = tmp_path / "privacy.json"
    entered([training(0, number) for number in range(10)]).save(path)
    later = Budget.load(path, 1.0, 1e-5)
    assert later.spent > 1.0
    with pytest.raises(BudgetSpent):
        later.require(training(0, 0, scope="later"))


def test_a_ledger_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert Budget.load(tmp_path / "none.json", 1.0, DELTA) == Budget(1.0, DELTA)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"entries": [{}]}',
        '{"entries": [{"name": "a"}]}',
        '{"entries": [{"name": "a", "what": "a", "kind": "sums", "noise_multiplier": -1,'
        ' "epsilon": 1}]}',
    ],
)
def test_a_damaged_ledger_is_not_an_empty_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "privacy.json"
    path.write_text(content)
    with pytest.raises(BudgetDamaged, match="no privacy ledger"):
        Budget.load(path, 1.0, DELTA)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1e-4), (1.0, 0.0), (1.0, 1.0)])
def test_impossible_budgets_are_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(PrivacyError, match="budget"):
        Budget(epsilon, delta)


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(PrivacyError, match="fold 2 of 2"):
        training(2, 0, 2)


def test_a_plan_fits_the_budget_to_the_last_release() -> None:
    works = [Work(40, 0.5, 0.8), Work(2, 1.0, 0.1), Work(1, 1.0, 0.1), Work(0, 1.0, 0.0)]
    weights, sums, metrics, none = noise_multipliers(4.0, DELTA, works)
    assert none == 0.0
    releases = [
        replace(training(0, number), noise_multiplier=weights, touches="all")
        for number in range(10)
    ]
    releases += [Release(f"sum {n}", "sum", "sums", sums) for n in range(2)]
    releases += [Release("hist", "hist", "metrics", metrics)]
    budget = entered(releases, 4.0)
    assert 0.99 * 4.0 < budget.spent <= 4.0
    with pytest.raises(BudgetSpent):
        budget.require(replace(releases[0], name="one more"))


def test_shares_of_plain_sums_are_met_exactly() -> None:
    first, second = noise_multipliers(2.0, DELTA, [Work(3, 1.0, 3.0), Work(3, 1.0, 1.0)])
    assert second / first == pytest.approx(np.sqrt(3.0), rel=1e-3)
    with pytest.raises(PrivacyError, match="share"):
        noise_multipliers(2.0, DELTA, [Work(3, 1.0, 0.0)])
