"""Answers on disk: whole or not there, fixed once settled, and never two in memory."""

from __future__ import annotations

import gc
import json
import os
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_samples import FakeGrid, Killed, Reply, federation_over, make_study, trained
from flwr.app import RecordDict

from common import files as files_module
from common.errors import RunError
from common.messages import FuseAnswer, FuseQuestion, TrainAnswer, TrainQuestion, ValidateAnswer
from common.records import digest_of, to_record
from common.secure_sum.session import Announcement
from server.federation import Federation
from server.journal import Answers, Exchange, read_answer, write_answer
from server.plain_sum import plain_sum

pytestmark = pytest.mark.usefixtures("fast")

NAMES = ("a", "b", "c")
STUDY = make_study(NAMES, quorum={"min_sites": 2})


def question(number: int = 1, weights: float = 0.0) -> TrainQuestion:
    at = np.full(4, weights, np.float32)
    return TrainQuestion(STUDY.fingerprint, 0, number, 30, np.ones(2), at)


def says(value: float, size: int = 4) -> Reply:
    return lambda stage, record: to_record(trained(np.full(size, value)))


def over(folder: Path, **others: Reply) -> tuple[Federation, FakeGrid]:
    grid = FakeGrid({name: says(k) for k, name in enumerate(NAMES)} | others)
    return federation_over(grid, folder, STUDY)[0], grid


def values(answers: Answers[TrainAnswer]) -> dict[str, float]:
    return {name: float(one.change[0]) for name, one in answers.items()}


EVERY = [
    trained(np.array([np.nan, -0.0, 3.0]), histogram=np.arange(2002).reshape(2, 1001)),
    FuseAnswer({"0.count": np.asarray(7), "keep": np.zeros((0, 3)), "x": np.ones((2, 2), "f4")}),
    FuseAnswer({}),
    ValidateAnswer(3, placements={"counts": np.array([3, 4])}),
]


@pytest.mark.parametrize("answer", EVERY, ids=lambda answer: type(answer).__name__)
def test_an_answer_comes_back_from_disk_as_it_went(tmp_path: Path, answer: Any) -> None:
    write_answer(tmp_path / "new" / "a.answer", answer)
    back = read_answer(tmp_path / "new" / "a.answer", type(answer))
    for name, value in vars(answer).items():
        found = getattr(back, name)
        pairs = [(value, found)]
        if isinstance(value, dict):
            assert set(value) == set(found)
            pairs = [(value[key], found[key]) for key in value]
        for one, two in pairs:
            assert type(one) is type(two)
            if isinstance(one, np.ndarray):
                assert (one.dtype, one.shape) == (two.dtype, two.shape)
                assert one.tobytes() == two.tobytes()
            else:
                assert one == two
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.answer"]


def test_an_answer_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Exchange.open(tmp_path, "train.0.1", to_record(question()))
    exchange.keep("a", trained([1.0]))

    def dies(part: Path, path: Path) -> None:
        raise Killed

    monkeypatch.setattr(files_module.Path, "replace", dies)
    for site in ("a", "b"):
        with pytest.raises(Killed):
            exchange.keep(site, trained([2.0]))
    monkeypatch.undo()
    assert exchange.answered(NAMES) == ["a"]
    assert read_answer(exchange.folder / "a.answer", TrainAnswer).change.tolist() == [1.0]
    assert sorted(os.listdir(exchange.folder)) == ["a.answer", "question.json"]


def test_the_outcome_is_fixed_once_it_is_settled(tmp_path: Path) -> None:
    federation, grid = over(tmp_path / "run")
    grid.away = {"b"}
    first = federation.ask(question(), NAMES, TrainAnswer)
    grid.away = set()
    again, others = over(tmp_path / "run")
    second = again.ask(question(), NAMES, TrainAnswer)
    assert values(first) == values(second) == {"a": 0.0, "c": 2.0}
    assert first.missing == second.missing == {"b": "is not connected"}
    assert others.asked == []
    assert sum(event["event"] == "asked" for event in again.run.events()) == 1


@pytest.mark.parametrize("dies_at", [1, 2, 3])
@pytest.mark.parametrize("number", [1, 2])
def test_what_was_answered_is_not_asked_again(tmp_path: Path, dies_at: int, number: int) -> None:
    """The coordinator dies over the second of two questions, or over the first."""
    federation, grid = over(tmp_path / "run")
    grid.dies_at = 3 * (number - 1) + dies_at
    if number == 2:
        federation.ask(question(1), NAMES, TrainAnswer)
    with pytest.raises(Killed):
        federation.ask(question(number), NAMES, TrainAnswer)
    answered = [name for name in NAMES if _kept(federation, number, name)]
    resumed, others = over(tmp_path / "run", a=says(10))
    found = [values(resumed.ask(question(one), NAMES, TrainAnswer)) for one in (1, 2)]
    expected = {"a": 10.0, "b": 1.0, "c": 2.0}
    assert found[number - 1] == expected | ({"a": 0.0} if "a" in answered else {})
    if number == 2:
        assert found[0] == {"a": 0.0, "b": 1.0, "c": 2.0}
    asked = [name for name, _ in others.asked]
    assert len(asked) == 3 * (3 - number) - len(answered)


def _kept(federation: Federation, number: int, site: str) -> bool:
    return (federation.run.journal / f"train.0.{number}" / f"{site}.answer").exists()


def test_it_may_die_between_an_answer_and_the_next(tmp_path: Path) -> None:
    def dies(stage: str, record: RecordDict) -> RecordDict:
        raise Killed

    federation, _ = over(tmp_path / "run", b=dies)
    with pytest.raises(Killed):
        federation.ask(question(), NAMES, TrainAnswer)
    assert [name for name in NAMES if _kept(federation, 1, name)] == ["a"]
    resumed, grid = over(tmp_path / "run", a=says(10))
    answers = resumed.ask(question(), NAMES, TrainAnswer)
    assert values(answers) == {"a": 0.0, "b": 1.0, "c": 2.0}
    assert [name for name, _ in grid.asked] == ["b", "c"]


@pytest.mark.parametrize("settled", [True, False])
def test_another_question_in_the_same_place_is_refused(tmp_path: Path, settled: bool) -> None:
    federation, grid = over(tmp_path / "run")
    if not settled:
        grid.dies_at = 2
        with pytest.raises(Killed):
            federation.ask(question(), NAMES, TrainAnswer)
    else:
        federation.ask(question(), NAMES, TrainAnswer)
    resumed, others = over(tmp_path / "run")
    with pytest.raises(RunError, match=r"kept for train\.0\.1 belong to another question"):
        resumed.ask(question(weights=1e-7), NAMES, TrainAnswer)
    assert others.asked == []
    assert list(resumed.ask(question(), NAMES, TrainAnswer)) == list(NAMES)


def test_a_digest_is_over_all_of_a_question() -> None:
    model = {"x": np.arange(3.0), "y": np.zeros(2)}
    one = FuseQuestion("f", "moments", model=model)
    same = FuseQuestion("f", "moments", model=dict(reversed(model.items())))
    assert digest_of(to_record(one)) == digest_of(to_record(same))
    others = [
        FuseQuestion("g", "moments", model=model),
        FuseQuestion("f", "stack", model=model),
        FuseQuestion("f", "moments", round=1, model=model),
        FuseQuestion("f", "moments", problems=model),
        FuseQuestion("f", "moments", model=model | {"x": np.arange(3)}),
        FuseQuestion("f", "moments", model=model | {"x": np.arange(3.0)[None]}),
        FuseQuestion("f", "moments", model={"x": model["x"]}),
        FuseQuestion("f", "moments", model={"x": model["y"], "y": model["x"]}),
    ]
    digests = {digest_of(to_record(other)) for other in [one, *others]}
    assert len(digests) == 1 + len(others)


def test_forgetting_removes_the_answers_and_only_those(tmp_path: Path) -> None:
    federation, grid = over(tmp_path / "run")
    for number in (1, 2):
        federation.ask(question(number), NAMES, TrainAnswer)
    federation.forget(question(1))
    federation.forget(question(7))
    assert [path.name for path in federation.run.journal.iterdir()] == ["train.0.2"]
    before = len(grid.asked)
    federation.ask(question(1, weights=3.0), NAMES, TrainAnswer)
    assert len(grid.asked) == before + 3


def test_nothing_but_numbers_and_reasons_is_written_down(tmp_path: Path) -> None:
    federation, grid = over(tmp_path / "run")
    grid.away = {"b"}
    federation.ask(question(), NAMES, TrainAnswer)
    folder = federation.run.journal / "train.0.1"
    assert json.loads((folder / "outcome.json").read_text()) == {
        "sites": ["a", "c"],
        "missing": {"b": "is not connected"},
    }
    asked = json.loads((folder / "question.json").read_text())
    assert asked == {"digest": digest_of(to_record(question())), "keys": {}}


def announced(**keys: int) -> tuple[Announcement, ...]:
    return tuple(Announcement(site, bytes([own] * 32), b"") for site, own in keys.items())


@pytest.mark.parametrize("settled", [True, False])
def test_answers_under_the_masks_of_other_keys_are_of_no_use_until_they_are_settled(
    tmp_path: Path, settled: bool
) -> None:
    def opened(**keys: int) -> Exchange:
        return Exchange.open(tmp_path, "train.0.1", to_record(question()), announced(**keys))

    exchange = opened(a=1, b=2, c=3)
    for name in NAMES:
        exchange.keep(name, trained([1.0]))
    if settled:
        exchange.settle(NAMES, {})
    assert opened(a=1, b=2, c=3).answered(NAMES) == list(NAMES)
    again = opened(a=1, b=7, c=3)
    assert again.answered(NAMES) == (list(NAMES) if settled else [])
    # The new keys are those of the exchange now.
    again.keep("a", trained([2.0]))
    assert "a" in opened(a=1, b=7, c=3).answered(NAMES)
    with pytest.raises(RunError, match="belong to another question"):
        Exchange.open(tmp_path, "train.0.1", to_record(question(weights=1.0)), announced(a=1))


def test_each_set_of_sites_has_a_place_of_its_own(tmp_path: Path) -> None:
    def opened(attempt: int, name: str = "train.0.1") -> Exchange:
        return Exchange.open(tmp_path, name, to_record(question()), attempt=attempt)

    opened(1).keep("a", trained([1.0]))
    opened(2).keep("b", trained([2.0]))
    opened(12).keep("c", trained([3.0]))
    opened(1, "train.0.10").keep("c", trained([4.0]))
    assert opened(1).answered(NAMES) == ["a"]
    assert opened(2).answered(NAMES) == ["b"]
    Exchange.forget(tmp_path, "train.0.1")
    assert [path.name for path in tmp_path.iterdir()] == ["train.0.10"]


SIZE = 500_000
MANY = tuple(f"site-{k}" for k in range(8))


def many(folder: Path) -> tuple[Federation, TrainQuestion]:
    study = make_study(MANY, quorum={"deadline_seconds": {"train": 60.0}})
    grid = FakeGrid({name: says(k, SIZE) for k, name in enumerate(MANY)})
    federation, _ = federation_over(grid, folder, study)
    zeros = np.zeros(SIZE, np.float32)
    return federation, TrainQuestion(study.fingerprint, 0, 1, 80, np.ones(2), zeros)


def test_memory_does_not_grow_with_the_number_of_sites(tmp_path: Path) -> None:
    """Eight answers of 2 MB are taken in and added up in the room of a few, garbage or not."""
    federation, asked = many(tmp_path / "run")
    one = 4 * SIZE
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        answers = federation.ask(asked, MANY, TrainAnswer, judge=_looks_at_all)
        held, taken_in = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        summed = plain_sum(TrainAnswer, answers.values())
        _, added = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert summed.change[0] == sum(range(len(MANY)))
    # What stays is the question, which the fake Grid holds; the running sum is in float64.
    assert held < 1.5 * one
    assert taken_in < 7 * one
    assert added - held < 9 * one


def _looks_at_all(answers: Any) -> dict[str, str]:
    assert len({float(one.change[0]) for one in answers.values()}) == len(MANY)
    return {}


def test_answers_let_go_of_what_they_gave(tmp_path: Path) -> None:
    federation, asked = many(tmp_path / "run")
    answers = federation.ask(asked, MANY, TrainAnswer)
    gc.disable()
    try:
        seen: list[weakref.ref[Any]] = []
        for answer in answers.values():
            assert [one for one in seen if one() is not None] == []
            seen.append(weakref.ref(answer.change))
        del answer
        assert [one for one in seen if one() is not None] == []
    finally:
        gc.enable()
