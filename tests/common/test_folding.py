"""A small record as one part: what is folded is what is unfolded, and nothing else can be."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from common import folding
from common.errors import RunError
from common.folding import FOLDED, folded, unfolded
from common.messages import Refusal, TrainAnswer
from common.records import (
    Envelope,
    from_answer,
    record_bytes,
    refusal_record,
    sealed,
    to_record,
    unsealed,
)

ANSWER = TrainAnswer(
    slices=3,
    patients=2,
    loss=0.5,
    change=np.arange(5, dtype=np.float32),
    validation=np.array([0.25, 4.0]),
    histogram=np.zeros((2, 3), np.int64),
)


def same(one: RecordDict, other: RecordDict) -> bool:
    return list(one) == list(other) and one.object_id == other.object_id


def test_a_message_is_one_part_and_comes_back_whole() -> None:
    record = to_record(ANSWER)
    one = folded(record)
    assert list(one) == [FOLDED]
    assert same(unfolded(one), record)
    back = from_answer(TrainAnswer, one)
    assert isinstance(back, TrainAnswer)
    np.testing.assert_array_equal(back.change, ANSWER.change)
    assert back.loss == ANSWER.loss
    assert record_bytes(one) == pytest.approx(record_bytes(record), rel=0.5)


def test_a_refusal_and_a_sealed_question_pass_through() -> None:
    refusal = Refusal("cohort-invalid", "The site's cohort did not pass its checks.")
    assert from_answer(TrainAnswer, folded(refusal_record(refusal))) == refusal
    envelope = Envelope("run-1", "train.0.1")
    shut = sealed(to_record(ANSWER), envelope)
    assert list(shut) == [FOLDED]
    found, inside = unsealed(shut)
    assert found == envelope
    assert same(inside, to_record(ANSWER))


def test_an_empty_part_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    record = RecordDict({"fields": ConfigRecord({}), "more": ConfigRecord({"a": 1})})
    assert same(unfolded(folded(record)), record)


def test_what_is_large_or_of_another_kind_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for record in (
        RecordDict({"numbers": MetricRecord({"a": 1.0})}),
        RecordDict({"arrays": ArrayRecord({"x": Array(np.arange(3.0))})}),
        RecordDict({"arrays": ArrayRecord({})}),
    ):
        assert folded(record) is record
        assert unfolded(record) is record
    record = to_record(ANSWER)
    monkeypatch.setattr(folding, "LARGEST", len(record["arrays"]["safetensors"].data) - 1)
    assert folded(record) is record
    monkeypatch.setattr(folding, "LARGEST", len(record["arrays"]["safetensors"].data))
    assert list(folded(record)) == [FOLDED]


@pytest.mark.parametrize(
    "held",
    [
        {"parts": "a", "b/x": 1},
        {"parts": "a", "ax": 1},
        {"parts": "a", "a/x": b"bytes of no kind"},
        {"parts": "a", "b/x/kind": b"of another part"},
        {"parts": "a", "a/x/kind": b"bytes", "a/y": 1},
        {"a/x": 1},
    ],
)
def test_what_was_not_folded_by_us_is_refused(held: dict[str, object]) -> None:
    with pytest.raises(RunError, match="put together"):
        unfolded(RecordDict({FOLDED: ConfigRecord(held)}))  # type: ignore[arg-type]


def as_flower_makes_it(record: RecordDict) -> RecordDict:
    return RecordDict({name: ConfigRecord(dict(part)) for name, part in record.items()})  # type: ignore[arg-type]


def test_the_object_is_flowers_and_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    deflate = ConfigRecord.deflate
    one = folded(to_record(ANSWER))
    usual = as_flower_makes_it(one)
    monkeypatch.setattr(ConfigRecord, "deflate", lambda self: made.append(self) or deflate(self))
    assert one.object_id == usual.object_id
    assert one[FOLDED].deflate() == usual[FOLDED].deflate()
    made.clear()
    assert usual.object_id == one.object_id
    assert made == [usual[FOLDED]] * 2  # Flower's own does it each time


def test_a_part_that_is_changed_is_made_anew() -> None:
    one = folded(to_record(ANSWER))
    part = one[FOLDED]
    assert isinstance(part, ConfigRecord)
    before = one.object_id
    part["more"] = "x"
    assert one.object_id == as_flower_makes_it(one).object_id != before
    del part["more"]
    assert one.object_id == before


def test_it_goes_to_another_process_as_flowers_own() -> None:
    one = folded(to_record(ANSWER))
    name = one.object_id
    other = pickle.loads(pickle.dumps(one))
    assert type(other[FOLDED]) is ConfigRecord
    assert other.object_id == name
