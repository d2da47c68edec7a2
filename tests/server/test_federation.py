"""Named sites over a Grid: order, bytes, and who failed and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coordinator_samples import FakeGrid, Reply, enrolled, federation_over, make_study, trained
from flwr.app import ConfigRecord, Error, RecordDict

from common.errors import Interrupted, RunError, StudyMismatch
from common.messages import (
    EnrolQuestion,
    HarmonizeAnswer,
    HarmonizeQuestion,
    Refusal,
    TrainAnswer,
    TrainQuestion,
)
from common.records import record_bytes, refusal_record, to_record
from server.federation import Federation
from server.stages import enrol
from server.stages.enrol import compare

STUDY = make_study()
NODES = {"a": 30, "b": 20, "x": 10}
QUESTION = TrainQuestion(STUDY.fingerprint, 0, 3, 1, 0.0, np.ones(2), np.zeros(4, np.float32))


def site(name: str, train: RecordDict | Error | str | None = "train") -> Reply:
    """A node that enrols as `name`, and answers a round of training with `train`."""

    def reply(stage: str, record: RecordDict) -> RecordDict | Error | None:
        if stage == "enrol":
            return to_record(enrolled(name, STUDY))
        if isinstance(train, str):
            return to_record(trained(np.full(4, NODES[name])))
        return train

    return reply


def met(folder: Path, patience: float = 5.0, **others: RecordDict | Error | None) -> Federation:
    nodes = {NODES[name]: site(name, others.get(name, "train")) for name in NODES}
    federation, _ = federation_over(FakeGrid(nodes), folder, STUDY, patience)
    enrol.run(federation, STUDY)
    return federation


def test_answers_come_in_the_order_asked_whatever_order_they_arrived_in(tmp_path: Path) -> None:
    federation = met(tmp_path / "run")
    assert federation.nodes == NODES
    for order in (["a", "b"], ["b", "a"]):
        answers = federation.ask(QUESTION, order, TrainAnswer)
        assert list(answers) == order
        assert [one.weights[0] for one in answers.values()] == [NODES[name] for name in order]
    event = federation.run.events()[-1]
    assert (event["stage"], event["round"], event["fold"]) == ("train", 3, 0)
    sent = record_bytes(to_record(QUESTION))
    back = record_bytes(to_record(trained(np.zeros(4))))
    for one in event["sites"].values():
        assert (one["received_bytes"], one["sent_bytes"]) == (sent, back)
    assert event["failures"] == {}


def torn() -> RecordDict:
    record = to_record(trained(np.zeros(4)))
    array = record.array_records["arrays"]["validation"]
    array.data = array.data[:-3]
    return record


BAD = {
    "refusal": (
        refusal_record(Refusal("image-invalid", "The site found a bad image.")),
        "b: The site found a bad image. (image-invalid)",
    ),
    "dead node": (Error(1, "secret"), "b: The site's process failed before it could answer."),
    "another answer": (to_record(enrolled("b", STUDY)), "b: A TrainAnswer lacks"),
    "empty": (RecordDict({}), "b: A TrainAnswer must hold"),
    "not records": (
        RecordDict({"fields": ConfigRecord({}), "arrays": ConfigRecord({})}),
        "b: A TrainAnswer must hold",
    ),
    "damaged": (torn(), "b: The array validation of a TrainAnswer cannot be read"),
    "silence": (None, "b: did not answer within"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_site_that_fails_is_named_with_its_reason(tmp_path: Path, case: str) -> None:
    answer, reason = BAD[case]
    federation = met(tmp_path / "run", patience=0.3, b=answer)
    with pytest.raises(RunError) as caught:
        federation.ask(QUESTION, ["a", "b"], TrainAnswer)
    assert reason in caught.value.what
    assert "stage train" in caught.value.what
    assert "a:" not in caught.value.what
    assert "secret" not in str(caught.value)
    event = federation.run.events()[-1]
    assert list(event["failures"]) == ["b"]
    assert event["sites"]["b"]["sent_bytes"] == 0


def test_all_failing_sites_are_named_at_once(tmp_path: Path) -> None:
    refusal = refusal_record(Refusal("internal", "No."))
    federation = met(tmp_path / "run", patience=0.3, a=Error(1, ""), b=refusal)
    federation.grid.unreachable = [NODES["x"]]  # type: ignore[attr-defined]
    with pytest.raises(RunError) as caught:
        federation.ask(QUESTION, ["a", "b", "x"], TrainAnswer)
    for name in ("a: The site's process", "b: No.", "x: could not be reached"):
        assert name in caught.value.what


def test_meeting_names_who_is_missing_and_who_came_twice(tmp_path: Path) -> None:
    def meet(folder: str, names: list[str]) -> None:
        nodes = {number: site(name) for number, name in enumerate(names, start=1)}
        federation, _ = federation_over(FakeGrid(nodes), tmp_path / folder, STUDY, 0.3)
        federation.meet(EnrolQuestion(STUDY.fingerprint))

    with pytest.raises(RunError, match="did not come: b, x"):
        meet("1", ["a"])
    with pytest.raises(RunError, match="Two nodes call themselves a"):
        meet("2", ["a", "x", "a"])
    with pytest.raises(RunError, match="did not come: b"):
        meet("3", ["a", "x", "stranger"])


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    federation = met(tmp_path / "run", patience=60.0, b=None)
    federation.stop.set()
    with pytest.raises(Interrupted, match="stopped"):
        federation.ask(QUESTION, ["a", "b"], TrainAnswer)


def test_an_answer_of_another_stage_is_a_mistake_of_ours(tmp_path: Path) -> None:
    federation = met(tmp_path / "run")
    with pytest.raises(TypeError, match="HarmonizeAnswer does not answer the stage train"):
        federation.ask(QUESTION, ["a"], HarmonizeAnswer)
    assert HarmonizeQuestion.stage == "harmonize"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fingerprint": "0" * 64}, "b approved the study 000000000000"),
        ({"recipe": "r2"}, "b has another recipe than a"),
        ({"self_test": "s2"}, "self-test of b gives other values than that of a"),
        ({"versions": json.dumps({"numpy": "2.1", "torch": "2.8"})}, "b runs torch 2.8, a 2.7"),
        ({"versions": json.dumps({"numpy": "2.1"})}, "b runs torch absent, a 2.7"),
    ],
)
def test_enrolment_names_the_site_and_the_difference(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    answers = {name: enrolled(name, STUDY) for name in NODES}
    assert compare(STUDY, answers) == []
    odd = enrolled("b", STUDY, **changes)
    found = compare(STUDY, answers | {"b": odd})
    assert len(found) == 1
    assert reason in found[0]
    nodes = {NODES[name]: site(name) for name in NODES}
    nodes[NODES["b"]] = lambda stage, record: to_record(odd)
    federation, _ = federation_over(FakeGrid(nodes), tmp_path / "run", STUDY)
    with pytest.raises(StudyMismatch, match="b "):
        enrol.run(federation, STUDY)
