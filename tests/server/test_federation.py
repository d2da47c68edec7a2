"""Named sites over a Grid: order, bytes, and who failed and why."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from coordinator_samples import (
    DEADLINE,
    FakeGrid,
    Reply,
    enrolled,
    federation_over,
    make_study,
    trained,
)
from flwr.app import ArrayRecord, ConfigRecord, Error, RecordDict

from common.course import describe, exchange_of
from common.errors import Interrupted, RunError
from common.messages import (
    EnrolQuestion,
    FuseQuestion,
    HarmonizeAnswer,
    HarmonizeQuestion,
    Refusal,
    TrainAnswer,
    TrainQuestion,
)
from common.records import (
    Envelope,
    packed_arrays,
    packed_record,
    record_bytes,
    refusal_record,
    sealed,
    to_record,
)
from server.federation import Federation

pytestmark = pytest.mark.usefixtures("fast")

STUDY = make_study()
VALUES = {"a": 30, "b": 20, "x": 10}
QUESTION = TrainQuestion(STUDY.fingerprint, 0, 3, 30, np.ones(2), np.zeros(4, np.float32))


def answer(name: str) -> RecordDict:
    return to_record(trained(np.full(4, VALUES[name])))


def over(
    folder: Path, slow: dict[str, int] | None = None, **others: RecordDict | Error | None
) -> tuple[Federation, FakeGrid, list[tuple[str, str]]]:
    """Sites that answer a round of training, or what is given for them."""

    def site(name: str) -> Reply:
        return lambda *_: others[name] if name in others else answer(name)

    grid = FakeGrid({name: site(name) for name in VALUES}, slow=slow or {})
    federation, told = federation_over(grid, folder, STUDY)
    return federation, grid, told


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
@pytest.mark.parametrize("last", ["a", "b"])
def test_answers_come_in_the_order_asked_whatever_order_they_arrived_in(
    tmp_path: Path, order: list[str], last: str
) -> None:
    federation, _, told = over(tmp_path / "run", slow={last: 5})
    answers = federation.ask(QUESTION, order, TrainAnswer)
    assert list(answers) == order
    assert len(answers) == 2
    assert [one.change[0] for one in answers.values()] == [VALUES[name] for name in order]
    assert answers.missing == {}
    with pytest.raises(KeyError):
        answers["x"]
    assert told == [("train", "fold 0, round 3")]
    event = federation.run.events()[-1]
    assert (event["event"], event["stage"]) == ("asked", "train")
    assert (event["round"], event["fold"]) == (3, 0)
    letter = sealed(to_record(QUESTION), Envelope(federation.run.identity, "train.0.3"))
    sent, back = record_bytes(letter), record_bytes(answer("a"))
    assert set(event["sites"]) == {"a", "b"}
    for one in event["sites"].values():
        assert (one["received_bytes"], one["sent_bytes"]) == (sent, back)
        assert 0.0 <= one["seconds"] <= event["seconds"]
    assert event["failures"] == {}


def torn() -> RecordDict:
    record = answer("b")
    return packed_record(record.config_records["fields"], packed_arrays(record)[:-3])


BAD = {
    "refusal": (
        refusal_record(Refusal("image-invalid", "The site found a bad image.")),
        "b: The site found a bad image. (image-invalid)",
    ),
    "dead node": (Error(1, "secret"), "b: has a process that failed before it could answer"),
    "node that is away": (Error(5, "secret"), "b: lost its connection"),
    "another answer": (to_record(enrolled("b", STUDY)), "b: A TrainAnswer lacks"),
    "empty": (RecordDict({}), "b: A TrainAnswer must hold"),
    "not records": (
        RecordDict({"fields": ConfigRecord({}), "arrays": ConfigRecord({})}),
        "b: A TrainAnswer must hold",
    ),
    "a refusal that is none": (
        RecordDict({"refusal": ArrayRecord({})}),
        "b: A TrainAnswer must hold",
    ),
    "not packed": (
        RecordDict({"fields": ConfigRecord({}), "arrays": ArrayRecord({})}),
        "b: The arrays of a message are not packed",
    ),
    "damaged": (torn(), "b: The arrays of a TrainAnswer cannot be read"),
    "silence": (None, "b: did not answer in time"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_site_that_fails_is_named_with_its_reason(tmp_path: Path, case: str) -> None:
    reply, reason = BAD[case]
    federation, grid, told = over(tmp_path / "run", b=reply)
    with pytest.raises(RunError) as caught:
        federation.ask(QUESTION, ["a", "b"], TrainAnswer)
    assert reason in caught.value.what
    assert "stage train" in caught.value.what
    assert "1 training sites answered, at least 2 must" in caught.value.what
    assert "a:" not in caught.value.what
    assert "secret" not in str(caught.value)
    assert told == []
    event = federation.run.events()[-1]
    assert list(event["failures"]) == ["b"]
    if reply is None or isinstance(reply, Error):
        assert event["sites"]["b"]["sent_bytes"] == 0
    # Once b is well again only b is asked, and the answer of a counts.
    grid.sites["b"] = lambda *_: answer("b")
    before = len(grid.asked)
    again = federation.ask(QUESTION, ["a", "b"], TrainAnswer)
    assert [one.change[0] for one in again.values()] == [30, 20]
    assert grid.asked[before:] == [("b", "train")]


def test_whoever_watches_is_told_what_is_asked_and_who_refuses_as_it_happens(
    tmp_path: Path,
) -> None:
    reply, _ = BAD["refusal"]
    federation, _, _ = over(tmp_path / "run", a=reply, b=None)
    with pytest.raises(RunError):
        federation.ask(QUESTION, ["a", "b"], TrainAnswer)
    asking, refused, asked = federation.run.events()
    assert (asking["event"], asking["sites"], asking["attempt"]) == ("asking", ["a", "b"], 1)
    assert (asking["stage"], asking["fold"], asking["round"]) == ("train", 0, 3)
    assert asking["deadline"] == DEADLINE
    assert (refused["event"], refused["site"]) == ("refused", "a")
    assert refused["reason"] == asked["failures"]["a"]
    # While b, which never answered, was still waited for.
    assert refused["time"] < asked["time"]


def test_all_failing_sites_are_named_at_once(tmp_path: Path) -> None:
    refusal = refusal_record(Refusal("internal", "No."))
    federation, grid, _ = over(tmp_path / "run", a=Error(1, ""), b=refusal)
    grid.unreachable = {"x"}
    with pytest.raises(RunError) as caught:
        federation.ask(QUESTION, ["a", "b", "x"], TrainAnswer)
    for reason in ("a: has a process that failed", "b: No. (internal)", "x: could not be reached"):
        assert reason in caught.value.what


def test_a_site_whose_worker_is_away_is_asked_again(tmp_path: Path) -> None:
    away = refusal_record(Refusal("worker-unreachable", "The site's worker does not answer."))
    left = [away, away, answer("b")]
    federation, grid, _ = over(tmp_path / "run")
    grid.sites["b"] = lambda *_: left.pop(0)
    answers = federation.ask(QUESTION, ["a", "b"], TrainAnswer)
    assert list(answers) == ["a", "b"]
    event = federation.run.events()[-1]["sites"]
    assert event["b"]["received_bytes"] == 3 * event["a"]["received_bytes"]
    federation, _, _ = over(tmp_path / "other", b=away)
    with pytest.raises(RunError, match=r"b: The site's worker does not answer\."):
        federation.ask(QUESTION, ["a", "b"], TrainAnswer)


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    patient = make_study(quorum={"deadline_seconds": {"train": 60.0}})
    grid = FakeGrid({"a": lambda *_: answer("a"), "b": lambda *_: None})
    federation, _ = federation_over(grid, tmp_path / "run", patient)
    federation.stop.set()
    began = time.monotonic()
    with pytest.raises(Interrupted, match="stopped"):
        federation.ask(QUESTION, ["a", "b"], TrainAnswer)
    assert time.monotonic() - began < 1.0


def test_an_answer_of_another_stage_is_a_mistake_of_ours(tmp_path: Path) -> None:
    federation, _, _ = over(tmp_path / "run")
    with pytest.raises(TypeError, match="HarmonizeAnswer does not answer the stage train"):
        federation.ask(QUESTION, ["a"], HarmonizeAnswer)


def test_a_question_is_named_and_described_by_its_place_in_the_run() -> None:
    print_ = STUDY.fingerprint
    for question, name, words in [
        (EnrolQuestion(print_), "enrol", ""),
        (HarmonizeQuestion(print_, "covariates"), "harmonize.covariates", "step covariates"),
        (QUESTION, "train.0.3", "fold 0, round 3"),
        (FuseQuestion(print_, "moments"), "fuse.moments.0", "step moments"),
        (FuseQuestion(print_, "heads", round=7), "fuse.heads.7", "step heads, round 7"),
    ]:
        assert (exchange_of(question), describe(question)) == (name, words)
