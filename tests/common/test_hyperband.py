"""The schedule of hyperband, against the paper's table; and what a budget of rounds pays for."""

from __future__ import annotations

import itertools

import pytest

from common.errors import RunError
from common.hyperband import brackets, cheapest, schedule
from common.study import Study
from common.study_search import Search
from common.trials import OWN, settings_of, trains_by

PAPER = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]
"""Li et al., J Mach Learn Res 2018;18(185), table 1: R = 81, eta = 3."""


def test_the_brackets_are_the_paper_s() -> None:
    assert brackets(81, 3) == PAPER


@pytest.mark.parametrize(
    ("most", "eta"), [(1, 3), (2, 2), (9, 3), (16, 4), (10, 3), (27, 2), (7, 5)]
)
def test_every_bracket_halves_and_ends_with_the_whole_resource(most: int, eta: int) -> None:
    for bracket in brackets(most, eta):
        assert bracket[-1][1] == most
        assert all(trials >= 1 and rounds >= 1 for trials, rounds in bracket)
        for (many, few), (fewer, more) in itertools.pairwise(bracket):
            assert fewer == many // eta or fewer <= many / eta + 1
            assert fewer < many
            assert more >= eta * few


@pytest.mark.parametrize("budget", [0, 1, 8, 20, 21, 27, 28, 41, 42, 68, 69, 500])
def test_the_budget_is_never_exceeded(budget: int) -> None:
    rungs = schedule(9, 3, budget)
    assert sum(rung.cost for rung in rungs) <= budget
    assert sum(rung.cost for rung in schedule(9, 3, 10**6)) == 69
    assert bool(rungs) == (budget >= cheapest(9, 3) == 21)
    assert [rung.number for rung in rungs] == list(range(len(rungs)))
    numbers: list[int] = []
    before = None
    for rung in rungs:
        if rung.opens:
            numbers += range(rung.first, rung.last + 1)
            assert rung.places == rung.last - rung.first + 1
        else:
            assert before is not None
            assert (rung.begins, rung.first, rung.last) == (
                before.rounds,
                before.first,
                before.last,
            )
        before = rung
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_bracket_that_does_not_fit_is_left_out_whole() -> None:
    # 21 and 27 rounds were paid for by 48; the next would take 27 more, and 21 are left of 42.
    assert {rung.bracket for rung in schedule(9, 3, 21)} == {2}
    assert {rung.bracket for rung in schedule(9, 3, 42)} == {2, 1}
    assert {rung.bracket for rung in schedule(9, 3, 69)} == {2, 1, 0}


def study(**search: object) -> Study:
    roster = [{"name": name, "role": "train"} for name in "abc"]
    return Study.model_validate({"name": "s", "sites": roster, "search": search})


def test_settings_follow_from_the_study_and_the_number() -> None:
    asked = study(budget=69, widths=(0.1, 0.2), learning_rates=(1e-3, 1e-4), dropouts=(0.1, 0.3))
    found = [settings_of(asked, trial).numbers() for trial in range(1, asked.search.trials + 1)]
    again = study(budget=69, widths=(0.1, 0.2), learning_rates=(1e-3, 1e-4), dropouts=(0.1, 0.3))
    assert [settings_of(again, trial).numbers() for trial in range(1, 18)] == found
    each = [tuple(sorted(one.items())) for one in found]
    # Each of the eight combinations once, then each once more, in another order.
    assert len(set(each[:8])) == len(set(each[8:16])) == 8
    assert each[:8] != each[8:16]
    other = study(
        budget=69, widths=(0.1, 0.2), learning_rates=(1e-3, 1e-4), dropouts=(0.1, 0.3), seed=1
    )
    assert [settings_of(other, trial).numbers() for trial in range(1, 18)] != found
    longer = settings_of(asked, 1)
    assert longer.training.rounds == asked.training.rounds
    assert longer.cnn != asked.cnn or longer.training != asked.training


def test_a_study_without_a_search_has_its_own_settings_only() -> None:
    plain = study()
    assert settings_of(plain, OWN).cnn == plain.cnn
    assert settings_of(plain, OWN).training is plain.training
    assert trains_by(plain, OWN)
    assert not trains_by(plain, 1)
    with pytest.raises(RunError, match="no trial 1"):
        settings_of(plain, 1)
    asked = study(budget=21)
    assert not trains_by(asked, OWN)
    assert trains_by(asked, 9)
    for number in (-1, 10):
        with pytest.raises(RunError):
            settings_of(asked, number)


def test_a_budget_that_pays_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="the cheapest takes 21"):
        Search(budget=20)
    with pytest.raises(ValueError, match="paid for"):
        Study.model_validate(
            study(budget=21).model_dump() | {"privacy": {"epsilon": 8.0, "covers": "network"}}
        )
