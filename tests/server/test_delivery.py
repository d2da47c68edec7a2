"""One question under way: sent again when its site was away or failed, until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from coordinator_samples import FakeGrid, Reply, trained
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from common.messages import TrainAnswer
from common.records import Envelope, from_record, sealed, to_record
from server import delivery
from server.delivery import LONGEST_PAUSE, MOST_FAILURES, NOT_ANSWERED, NOT_CONNECTED, Delivery

pytestmark = pytest.mark.usefixtures("fast")

NAMES = ("a", "b", "c")
QUESTION = sealed(to_record(trained([0.0])), Envelope("tiny-1", "train.0.1"))
CRASHED = ErrorCode.CLIENT_APP_CRASHED
AWAY = ErrorCode.NODE_UNAVAILABLE


def says(value: float) -> Reply:
    return lambda stage, record: to_record(trained([value]))


def in_turn(*replies: RecordDict | Error | None) -> Reply:
    """Give these replies one after the other, then the last for ever."""
    left = list(replies)
    return lambda stage, record: left.pop(0) if len(left) > 1 else left[0]


def deliver(
    grid: FakeGrid,
    seconds: float = 5.0,
    enough: Callable[[], bool] = lambda: False,
    pause: Callable[[], None] = lambda: time.sleep(0.001),
) -> tuple[Delivery, list[tuple[str, float]]]:
    """Deliver the question to all sites; what came, in the order in which it came."""
    found = Delivery(grid, grid, QUESTION, "query.train", list(grid.sites), pause)  # type: ignore[arg-type]
    came = []
    for site, content in found.answers(time.monotonic() + seconds, enough):
        came.append((site, float(from_record(TrainAnswer, content).change[0])))
    return found, came


def honest() -> dict[str, Reply]:
    return {name: says(k) for k, name in enumerate(NAMES)}


def test_answers_are_pulled_one_at_a_time_and_come_as_they_arrive() -> None:
    grid = FakeGrid(honest(), slow={"a": 4, "b": 2})
    done, came = deliver(grid)
    assert came == [("c", 2.0), ("b", 1.0), ("a", 0.0)]
    assert {len(ids) for ids in grid.pulled} == {1}
    assert sorted(grid.asked) == [(name, "train") for name in NAMES]
    assert (done.open, done.failed, done.posted) == ({}, {}, dict.fromkeys(NAMES, 1))


def test_all_are_asked_before_the_first_is_waited_for() -> None:
    asked: list[int] = []
    grid = FakeGrid(honest())
    grid.sites["a"] = lambda *_: asked.append(len(grid.asked)) or to_record(trained([0]))  # type: ignore[func-returns-value]
    deliver(grid)
    assert asked == [3]


def test_a_process_that_fails_is_asked_again_up_to_the_limit() -> None:
    error = Error(CRASHED, "secret")
    grid = FakeGrid(honest() | {"b": in_turn(error)})
    done, came = deliver(grid)
    assert [site for site, _ in came] == ["a", "c"]
    assert done.posted == {"a": 1, "b": MOST_FAILURES, "c": 1}
    assert done.failed == {"b": "has a process that failed before it could answer"}
    assert done.open == {}
    healed = FakeGrid(honest() | {"b": in_turn(error, error, to_record(trained([7])))})
    done, came = deliver(healed)
    assert ("b", 7.0) in came
    assert (done.failed, done.posted["b"]) == ({}, 3)


@pytest.mark.parametrize("code", sorted(delivery.UNREACHED))
def test_a_site_out_of_reach_is_asked_until_the_deadline(code: int) -> None:
    grid = FakeGrid(honest() | {"b": in_turn(Error(code, ""))})
    done, came = deliver(grid, seconds=0.5)
    assert [site for site, _ in came] == ["a", "c"]
    assert done.posted["b"] > 2 * MOST_FAILURES
    assert done.failed == {}
    assert done.open["b"].reason == "lost its connection"


def test_a_lost_connection_is_not_held_against_the_site_s_process() -> None:
    lost = [Error(AWAY, "")] * 6
    replies = [*lost, Error(CRASHED, ""), *lost, to_record(trained([7]))]
    done, came = deliver(FakeGrid({"b": in_turn(*replies)}))
    assert came == [("b", 7.0)]
    assert (done.failed, done.posted["b"]) == ({}, len(replies))


def test_a_message_that_cannot_be_pushed_is_tried_until_the_deadline() -> None:
    grid = FakeGrid(honest(), unreachable={"b"})
    done, _ = deliver(grid, seconds=0.05)
    assert done.open["b"].reason == "could not be reached"
    assert "b" not in done.posted
    grid = FakeGrid(honest(), unreachable={"b"})
    grid.at_look = lambda look: grid.unreachable.clear() if look == 3 else None
    assert dict(deliver(grid)[1]) == {"a": 0.0, "b": 1.0, "c": 2.0}


def test_the_pause_doubles_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE", 30.0)
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    times: list[float] = []

    def fails(stage: str, record: RecordDict) -> Error:
        times.append(clock[0])
        return Error(AWAY, "")

    def pause() -> None:
        clock[0] += 0.5

    deliver(FakeGrid({"b": fails}), seconds=150.0, pause=pause)
    steps = np.diff(times)
    assert steps.tolist() == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert LONGEST_PAUSE == 30.0


def test_a_node_that_started_anew_is_asked_again_and_answers_once() -> None:
    grid = FakeGrid(honest() | {"b": says(1)}, slow={"a": 20, "b": 10})

    def restart(look: int) -> None:
        if look == 4:
            grid.since["b"] = "tuesday"

    grid.at_look = restart
    done, came = deliver(grid)
    assert sorted(came) == [("a", 0.0), ("b", 1.0), ("c", 2.0)]
    assert done.posted == {"a": 1, "b": 2, "c": 1}
    lost, fresh = (k + 1 for k, (site, _) in enumerate(grid.asked) if site == "b")
    last = [ids for ids in grid.pulled if ids[0] in {f"message {lost}", f"message {fresh}"}][-1]
    assert last == [f"message {fresh}"]


def test_a_site_that_comes_later_is_asked_then() -> None:
    grid = FakeGrid(honest(), away={"b"})
    grid.at_look = lambda look: grid.away.discard("b") if look == 5 else None
    done, came = deliver(grid)
    assert came == [("a", 0.0), ("c", 2.0), ("b", 1.0)]
    assert done.posted["b"] == 1


def test_why_there_is_no_answer_yet_is_said_as_it_stands() -> None:
    def at(look: int) -> None:
        if look == 3:
            grid.away.add("b")
        if look == 6:
            grid.away.remove("b")
        reasons.append(deliveries[0].open["b"].reason if deliveries else "")

    reasons: list[str] = []
    deliveries: list[Delivery] = []
    grid = FakeGrid({"b": lambda *_: None}, at_look=at)
    found = Delivery(grid, grid, QUESTION, "query.train", ["b"], lambda: time.sleep(0.001))  # type: ignore[arg-type]
    deliveries.append(found)
    assert list(found.answers(time.monotonic() + 0.1, lambda: False)) == []
    # The site was there, went, and came back as the same process: it is asked once only.
    assert reasons[0] == NOT_CONNECTED
    assert reasons[4] == NOT_CONNECTED
    assert found.open["b"].reason == NOT_ANSWERED
    assert found.posted == {"b": 1}


class Repeating(FakeGrid):
    """Gives every reply twice, in one pull and again at the next."""

    def pull_messages(self, ids: list[str]) -> list[Message]:  # type: ignore[override]
        replies = list(super().pull_messages(ids))
        return replies + replies


def test_an_answer_that_comes_twice_counts_once() -> None:
    done, came = deliver(Repeating(honest()))
    assert sorted(came) == [("a", 0.0), ("b", 1.0), ("c", 2.0)]
    assert done.open == {}


def test_nothing_is_waited_for_beyond_the_deadline_or_when_it_is_enough() -> None:
    silent: dict[str, Reply] = {"a": says(0), "b": lambda *_: None}
    began = time.monotonic()
    done, came = deliver(FakeGrid(silent), seconds=0.1)
    assert 0.1 <= time.monotonic() - began < 1.0
    assert (came, list(done.open)) == ([("a", 0.0)], ["b"])
    began = time.monotonic()
    grid = FakeGrid(silent)
    _, came = deliver(grid, seconds=60.0, enough=lambda: len(grid.pulled) >= 4)
    assert came == [("a", 0.0)]
    assert time.monotonic() - began < 1.0


def test_a_question_is_sent_once_more_where_its_answer_was_of_no_use() -> None:
    grid = FakeGrid({"b": in_turn(to_record(trained([1])), to_record(trained([2])))})
    found = Delivery(grid, grid, QUESTION, "query.train", ["b"], lambda: time.sleep(0.001))  # type: ignore[arg-type]
    came = []
    for site, content in found.answers(time.monotonic() + 5.0, lambda: False):
        came.append(float(from_record(TrainAnswer, content).change[0]))
        if len(came) == 1:
            found.again(site, "its worker rests")
            assert found.open["b"].reason == "its worker rests"
    assert came == [1.0, 2.0]
    assert found.posted == {"b": 2}
