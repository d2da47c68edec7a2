"""Answers under masks: their sum is that of the plain ones, and nothing less than it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from common.errors import RunError
from common.message_parts import parts_of
from common.messages import (
    CalibrateAnswer,
    EnrolAnswer,
    FuseAnswer,
    HarmonizeAnswer,
    Hidden,
    TrainAnswer,
)
from common.secure_sum.adding import Adding, hide, require_layout
from common.secure_sum.fixed_point import STATISTICS, WEIGHTS, OutOfRange
from common.secure_sum.layout import NotSummable
from common.secure_sum.masks import TooFewToHide, context_of
from common.secure_sum.ring import Ring, add

SITES = ("aldgate", "bergamo", "coimbra", "dorpat", "evora", "falmouth")
QUESTION = b"q" * 32
KINDS = (HarmonizeAnswer, TrainAnswer, FuseAnswer, CalibrateAnswer)
STEP = 2.0**-WEIGHTS.fraction


def context(sites: Sequence[str], run: str = "run-1", exchange: str = "train.0.7") -> bytes:
    return context_of(run, exchange, QUESTION, sites)


def secrets_of(sites: Sequence[str]) -> dict[str, dict[str, bytes]]:
    """A secret for each two of the sites."""
    rng = np.random.default_rng(5)
    found: dict[str, dict[str, bytes]] = {site: {} for site in sites}
    for one, other in combinations(sites, 2):
        found[one][other] = found[other][one] = rng.bytes(32)
    return found


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    """Of either sign, and of sizes from a thousandth to a million."""
    found = rng.normal(size=shape) * 10.0 ** rng.uniform(-3, 6, shape)
    return np.asarray(found)


def an_answer(kind: type[Any], seed: int) -> Any:
    """An answer with fields of every form that a stage of that kind sends."""
    rng = np.random.default_rng(seed)
    weights = (rng.integers(-(2**28), 2**28, 50) * STEP).astype(np.float32)
    sums = {
        "0.count": np.asarray(rng.integers(1, 1000), np.int64),
        "0.weight": np.asarray(float(numbers(rng))),
        "0.x": numbers(rng, 40),
        "0.xx": np.asfortranarray(numbers(rng, 7, 5)),
        "0.histogram": rng.integers(0, 50, (2, 101)),
        "0.none": np.zeros((0, 5)),
        "0.nothing": np.zeros(0, np.int64),
    }
    if kind is TrainAnswer:
        return TrainAnswer(
            slices=int(rng.integers(1, 1000)),
            patients=int(rng.integers(1, 100)),
            loss=float(rng.uniform(0, 500)),
            change=(weights.astype(np.float64) * 0.3 / STEP).round().astype(np.float32) * STEP,
            validation=numbers(rng, 2),
            histogram=rng.integers(0, 50, (2, 101)),
        )
    if kind is CalibrateAnswer:
        return CalibrateAnswer(rng.integers(0, 50, (6, 2, 101)), numbers(rng, 6, 3))
    if kind is FuseAnswer:
        sums |= {"w": weights, "v": np.asarray(0.25, np.float32), "e": np.zeros(0, np.float32)}
    return kind(sums)


def hidden(
    answers: Mapping[str, Any], run: str = "run-1", exchange: str = "train.0.7"
) -> dict[str, Hidden]:
    sites = list(answers)
    secrets = secrets_of(sites)
    bound_to = context(sites, run, exchange)
    return {site: hide(own, site, secrets[site], bound_to, 3) for site, own in answers.items()}


def summed(given: Sequence[Hidden], kind: type[Any]) -> Any:
    adding = Adding()
    for one in given:
        adding.add(one)
    return adding.total(kind)


@pytest.mark.parametrize("count", [3, 4, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_is_that_of_the_plain_answers(kind: type[Any], count: int) -> None:
    answers = {site: an_answer(kind, seed) for seed, site in enumerate(SITES[:count])}
    total = summed(list(hidden(answers).values()), kind)
    assert [item.name for item in fields(total)] == [item.name for item in fields(kind)]
    found_scalars, found_arrays = parts_of(total)
    every = [parts_of(one) for one in answers.values()]
    for name, found in found_scalars.items():
        terms = [scalars[name] for scalars, _ in every]
        assert type(found) is type(terms[0])
        if isinstance(found, int):
            assert found == sum(terms)  # type: ignore[arg-type]
        else:
            size = sum(abs(float(one)) for one in terms)
            assert abs(float(found) - sum(map(float, terms))) <= 1e-12 * size
    for name, array in found_arrays.items():
        own = [arrays[name] for _, arrays in every]
        assert (array.dtype, array.shape) == (own[0].dtype, own[0].shape)
        exact = np.sum([one.astype(np.float64) for one in own], axis=0)
        if array.dtype == np.int64:
            assert np.array_equal(array, np.sum(own, axis=0))
        elif array.dtype == np.float32:
            # Multiples of the format's step are summed as they are.
            assert np.array_equal(array, exact.astype(np.float32))
        else:
            size = np.sum(np.abs(own), axis=0)
            assert (np.abs(array - exact) <= 1e-12 * size).all(), name
    assert set(found_arrays) == set(every[0][1])


def test_weights_between_two_steps_lose_half_a_step_each() -> None:
    rng = np.random.default_rng(0)
    answers = {
        site: FuseAnswer({"w": rng.normal(size=2000).astype(np.float32) / 10}) for site in SITES[:4]
    }
    total = summed(list(hidden(answers).values()), FuseAnswer)
    exact = np.sum([one.sums["w"].astype(np.float64) for one in answers.values()], axis=0)
    rounding = 4 * STEP / 2 + np.spacing(np.float32(1.0))
    assert np.abs(total.sums["w"] - exact).max() <= rounding
    assert np.abs(total.sums["w"] - exact).max() > STEP / 4


def test_the_order_of_the_sites_does_not_matter() -> None:
    answers = {site: an_answer(TrainAnswer, seed) for seed, site in enumerate(SITES[:4])}
    given = list(hidden(answers).values())
    seen = set()
    for order in permutations(given):
        scalars, arrays = parts_of(summed(order, TrainAnswer))
        seen.add((repr(scalars), *(array.tobytes() for array in arrays.values())))
    assert len(seen) == 1


def uniform(seen: Ring) -> float:
    """How likely bytes like these are, if they were drawn at random (chi-square)."""
    counts = np.bincount(seen.astype("<u4").view(np.uint8).ravel(), minlength=256)
    return float(chisquare(counts).pvalue)


LARGE = {"x": np.full(4000, 3.25), "w": np.full(12_000, 0.125, np.float32)}


def test_what_one_site_sends_is_uniform() -> None:
    given = hidden({site: FuseAnswer(LARGE) for site in SITES[:3]})
    for one in given.values():
        for seen in (one.statistics, one.weights):
            assert seen.dtype == np.uint32
            assert uniform(seen) > 0.001
    total = [given[SITES[0]].statistics, given[SITES[0]].weights]
    for site in SITES[1:3]:
        total = [add(total[0], given[site].statistics), add(total[1], given[site].weights)]
    assert [uniform(one) for one in total] == [0.0, 0.0]
    # The two vectors are not under one stream of masks.
    first = given[SITES[0]]
    assert uniform(first.weights - first.statistics.reshape(-1, 1)) > 0.001


def test_another_context_is_another_noise() -> None:
    site, own = SITES[0], secrets_of(SITES[:3])[SITES[0]]
    contexts = [
        context(SITES[:3]),
        context(SITES[:3], run="run-2"),
        context(SITES[:3], exchange="train.0.8"),
        context(SITES[:4]),
        context_of("run-1", "train.0.7", b"r" * 32, SITES[:3]),
    ]
    sent = [hide(FuseAnswer(LARGE), site, own, one, 3) for one in contexts]
    assert len({one.layout for one in sent}) == 1
    for one, other in combinations(sent, 2):
        assert uniform(one.statistics - other.statistics) > 0.001
        assert uniform(one.weights - other.weights) > 0.001
    again = hide(FuseAnswer(LARGE), site, own, contexts[0], 3)
    assert again.statistics.tobytes() == sent[0].statistics.tobytes()
    assert again.weights.tobytes() == sent[0].weights.tobytes()


@pytest.mark.parametrize("missing", range(4))
def test_without_one_site_the_sum_is_garbage(missing: int) -> None:
    answers = {site: FuseAnswer(LARGE) for site in SITES[:4]}
    given = [one for place, one in enumerate(hidden(answers).values()) if place != missing]
    total = summed(given, FuseAnswer)
    # Noise over the whole range of the formats, not a number that is a little off.
    for found, form in ((total.sums["x"], STATISTICS), (total.sums["w"], WEIGHTS)):
        reach = form.largest(1)
        assert np.abs(found).mean() == pytest.approx(reach / 2, rel=0.05)
        assert abs(found.mean()) < 0.05 * reach
        assert (np.abs(found - 3 * 3.25) > 0.001 * reach).mean() > 0.99


def test_with_one_answer_to_another_question_the_sum_is_garbage() -> None:
    answers = {site: FuseAnswer(LARGE) for site in SITES[:4]}
    given, stray = hidden(answers), hidden(answers, exchange="train.0.8")
    total = summed([*list(given.values())[:3], stray[SITES[3]]], FuseAnswer)
    assert np.abs(total.sums["x"]).mean() > 0.4 * STATISTICS.largest(1)


def test_an_answer_of_another_layout_is_refused() -> None:
    answers = {site: an_answer(HarmonizeAnswer, seed) for seed, site in enumerate(SITES[:3])}
    good = hidden(answers)
    sums = answers[SITES[2]].sums
    others = [
        HarmonizeAnswer({**sums, "more": np.zeros(1)}),
        HarmonizeAnswer({name: array for name, array in sums.items() if name != "0.xx"}),
        HarmonizeAnswer({**sums, "0.xx": sums["0.xx"].T}),
        HarmonizeAnswer({**sums, "0.count": np.asarray(3.0)}),
        HarmonizeAnswer({**sums, "0.x": np.zeros(40, np.float32)}),
        HarmonizeAnswer({("y" if name == "0.x" else name): one for name, one in sums.items()}),
    ]
    for other in others:
        odd = hidden({**answers, SITES[2]: other})[SITES[2]]
        for before, last in [([good[SITES[0]], good[SITES[1]]], odd), ([odd], good[SITES[0]])]:
            adding = Adding()
            for one in before:
                adding.add(one)
            with pytest.raises(NotSummable, match="another layout"):
                adding.add(last)


def test_lengths_that_lie_are_refused() -> None:
    good = hidden({site: an_answer(FuseAnswer, seed) for seed, site in enumerate(SITES[:3])})[
        SITES[0]
    ]
    require_layout(good)
    statistics, weights = good.statistics, good.weights
    lying = [
        replace(good, statistics=statistics[:-1]),
        replace(good, statistics=np.concatenate([statistics, statistics[:1]])),
        replace(good, statistics=statistics[:, :2]),
        replace(good, statistics=statistics.ravel()),
        replace(good, statistics=statistics[:1]),
        replace(good, weights=weights[:-1]),
        replace(good, weights=weights.ravel()),
        replace(good, weights=np.zeros((0, 1), np.uint32)),
        replace(good, weights=np.repeat(weights, 3, axis=1)),
        replace(good, statistics=weights, weights=statistics),
        replace(good, layout=good.layout.replace("[40]", "[41]")),
        replace(good, layout=good.layout.replace("[40]", f"[{2**64 + 40}]")),
        replace(good, layout='[["x", "float64", [Infinity]]]'),
        replace(good, layout=""),
    ]
    for one in lying:
        with pytest.raises(NotSummable):
            require_layout(one)
        with pytest.raises(NotSummable):
            Adding().add(one)
        adding = Adding()
        adding.add(good)
        with pytest.raises(NotSummable):
            adding.add(one)


def test_texts_are_not_hidden_but_refused() -> None:
    enrolled = EnrolAnswer("aldgate", "f", "r", "s", "{}", 5, 6, 70)
    with pytest.raises(NotSummable):
        hide(enrolled, SITES[0], secrets_of(SITES[:3])[SITES[0]], context(SITES[:3]), 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**31])
def test_what_is_too_large_or_not_finite_is_refused(bad: float) -> None:
    own = secrets_of(SITES[:3])[SITES[0]]
    for array in (np.array([0.0, bad]), np.array([0.0, bad], np.float32)):
        with pytest.raises(OutOfRange):
            hide(FuseAnswer({"x": array}), SITES[0], own, context(SITES[:3]), 3)


def test_the_sum_may_use_the_whole_range() -> None:
    """Of as many sites as there are, each may go up to its part of it."""
    count = 5
    most = np.nextafter(STATISTICS.largest(count), 0.0)
    heavy = np.nextafter(np.float32(WEIGHTS.largest(count)), np.float32(0.0))
    content = {"x": np.array([most, -most]), "w": np.array([heavy, -heavy], np.float32)}
    answers = {site: FuseAnswer(content) for site in SITES[:count]}
    total = summed(list(hidden(answers).values()), FuseAnswer)
    np.testing.assert_allclose(total.sums["x"], [count * most, -count * most], rtol=1e-15)
    np.testing.assert_allclose(total.sums["w"], [count * heavy, -count * heavy], rtol=1e-6)


def test_too_few_hide_nobody() -> None:
    own = secrets_of(SITES[:4])[SITES[0]]
    answer = FuseAnswer({"x": np.zeros(3)})
    hide(answer, SITES[0], own, context(SITES[:4]), 4)
    two = {site: own[site] for site in SITES[1:2]}
    for peers, fewest in ((own, 5), (two, 3), (two, 1), ({}, 0)):
        with pytest.raises(TooFewToHide):
            hide(answer, SITES[0], peers, context(SITES[:4]), fewest)


def test_a_sum_is_read_as_what_it_is() -> None:
    answers = {site: an_answer(CalibrateAnswer, seed) for seed, site in enumerate(SITES[:3])}
    with pytest.raises(RunError):
        summed(list(hidden(answers).values()), TrainAnswer)
    with pytest.raises(NotSummable, match="nothing to add up"):
        Adding().total(TrainAnswer)
