"""Messages to Flower records and back: exact, and nothing can be missing or ride along."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors.numpy import load, save

from common import errors, messages
from common.errors import MyoFedError, RunError
from common.messages import (
    CalibrateAnswer,
    CalibrateQuestion,
    CardAnswer,
    CardQuestion,
    CompareAnswer,
    CompareQuestion,
    DescribeAnswer,
    DescribeQuestion,
    EnrolAnswer,
    EnrolQuestion,
    FuseAnswer,
    FuseQuestion,
    HarmonizeAnswer,
    HarmonizeQuestion,
    Hidden,
    Refusal,
    SearchQuestion,
    TrainAnswer,
    TrainQuestion,
    ValidateAnswer,
    ValidateQuestion,
)
from common.question_kinds import ANSWERS, QUESTIONS
from common.records import (
    PACKED,
    Envelope,
    digest_of,
    from_answer,
    from_record,
    packed_arrays,
    packed_record,
    record_bytes,
    refusal_record,
    sealed,
    to_record,
    unsealed,
)
from common.secure_sum.session import Announcement

RNG = np.random.default_rng(3)
MIXED: messages.Arrays = {
    "0.count": np.asarray(7, np.int64),
    "0.x": RNG.normal(size=(3, 2)),
    "keep": np.array([True, False]),
    "w": RNG.normal(size=4).astype(np.float32),
    "none": np.zeros((0, 5)),
    "fortran": np.asfortranarray(RNG.normal(size=(3, 4))),
}
HISTOGRAM = RNG.integers(0, 9, (2, 1001))
EVERY: list[Any] = [
    EnrolQuestion("f"),
    EnrolAnswer("a", "f", "r", "s", '{"python": "3"}', 5, 6, 70),
    EnrolAnswer("a", "f", "r", "s", "{}", 5, 6, 70, "0a" * 32, "0b" * 64),
    HarmonizeQuestion("f", "features", MIXED),
    HarmonizeQuestion("f", "covariates"),
    HarmonizeAnswer(MIXED),
    HarmonizeAnswer({}),
    TrainQuestion("f", 1, 2, 60, np.array([1.0, 2.0]), RNG.normal(size=9).astype(np.float32)),
    TrainQuestion("f", 1, 2, 60, np.ones(2), RNG.normal(size=9).astype(np.float32), 4),
    SearchQuestion("f", "train", 2, 0, 4, 3, 60, np.ones(2), np.ones(9, np.float32)),
    TrainAnswer(7, 3, 0.5, np.array([np.nan, -0.0], np.float32), np.ones(2), HISTOGRAM),
    FuseQuestion("f", "moments", model=MIXED),
    FuseQuestion("f", "heads", 3, {}, MIXED),
    FuseAnswer(MIXED),
    CalibrateQuestion("f", MIXED),
    CalibrateAnswer(HISTOGRAM[None], np.ones((1, 3))),
    CompareQuestion("f", "fit", 3, MIXED, MIXED),
    CompareAnswer(MIXED),
    CompareAnswer({}, HISTOGRAM[None], np.ones((1, 3))),
    DescribeQuestion("f", "flow"),
    DescribeAnswer(flow=MIXED),
    DescribeAnswer(table=MIXED, sums=MIXED),
    CardQuestion("f", "sums", MIXED),
    CardAnswer(MIXED),
    ValidateQuestion("f", "scores", MIXED, {}),
    ValidateAnswer(),
    ValidateAnswer(3, placements=MIXED),
    ValidateAnswer(subgroups=MIXED),
    Hidden(
        "[]",
        RNG.integers(0, 2**32, (4, 3), np.uint32),
        np.zeros((0, 1), np.uint32),
        RNG.integers(0, 2**8, (5, 1), np.uint8),
    ),
]


def name_of(message: object) -> str:
    return type(message).__name__


def same(one: object, two: object) -> None:
    assert type(one) is type(two)
    for item in fields(one):  # type: ignore[arg-type]
        a, b = getattr(one, item.name), getattr(two, item.name)
        pairs = [(a, b)]
        if isinstance(a, dict):
            assert set(a) == set(b)
            pairs = [(a[key], b[key]) for key in a]
        for x, y in pairs:
            assert type(x) is type(y)
            if isinstance(x, np.ndarray):
                assert (x.dtype, x.shape) == (y.dtype, y.shape)
                assert x.tobytes() == y.tobytes()
            else:
                assert x == y


def test_every_message_is_tried_here() -> None:
    known = {*QUESTIONS.values(), *ANSWERS.values(), Hidden}
    assert {type(message) for message in EVERY} == known
    assert set(QUESTIONS) == set(ANSWERS)


@pytest.mark.parametrize("message", EVERY, ids=name_of)
def test_a_message_comes_back_as_it_went(message: object) -> None:
    record = to_record(message)
    same(message, from_record(type(message), record))
    same(message, from_answer(type(message), record))
    assert list(record.array_records["arrays"]) == [PACKED]
    held = sum(array.nbytes for array in load(packed_arrays(record)).values())
    assert record_bytes(record) >= held


def test_a_message_is_the_same_bytes_whatever_the_order_of_its_arrays() -> None:
    turned = dict(reversed(MIXED.items()))
    one, two = (packed_arrays(to_record(FuseAnswer(arrays))) for arrays in (MIXED, turned))
    assert one == two


def scalars_and_arrays(message: object) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    record = to_record(message)
    return dict(record.config_records["fields"]), dict(load(packed_arrays(record)))


def record_of(scalars: dict[str, Any], arrays: dict[str, np.ndarray]) -> RecordDict:
    return packed_record(scalars, save(arrays))


@pytest.mark.parametrize("message", EVERY, ids=name_of)
def test_missing_wrong_and_extra_fields_are_refused(message: object) -> None:
    kind = type(message)
    scalars, arrays = scalars_and_arrays(message)
    broken: list[tuple[str, RecordDict]] = []
    for name, value in scalars.items():
        others = {key: own for key, own in scalars.items() if key != name}
        broken.append((name, record_of(others, arrays)))
        wrong: Any = 1.5 if isinstance(value, str | int) else "text"
        broken.append((name, record_of(others | {name: wrong}, arrays)))
        broken.append((name, record_of(others | {name: True}, arrays)))
    for name in arrays:
        if "/" in name:
            continue
        others = {key: own for key, own in arrays.items() if key != name}
        broken.append((name, record_of(scalars, others)))
        for other in (np.frombuffer(b"a patient", np.uint8), np.zeros(3, np.float16)):
            if other.dtype != arrays[name].dtype:
                broken.append((name, record_of(scalars, others | {name: other})))
    broken.append(("patient", record_of(scalars | {"patient": "P07"}, arrays)))
    extra = np.zeros(3)
    broken.append(("images", record_of(scalars, arrays | {"images": extra})))
    if kind is not ValidateAnswer:
        broken.append(("images/0", record_of(scalars, arrays | {"images/0": extra})))
    for name, record in broken:
        if name == "images" and kind is ValidateAnswer:
            continue
        with pytest.raises(RunError, match=name):
            from_record(kind, record)


def test_a_record_that_is_no_message_is_refused() -> None:
    record = to_record(EnrolQuestion("f"))
    fine, arrays = record.config_records["fields"], record.array_records["arrays"]
    for broken in (
        RecordDict({}),
        RecordDict({"fields": fine}),
        RecordDict({"fields": fine, "arrays": arrays, "notes": fine}),
        RecordDict({"fields": arrays, "arrays": arrays}),
        RecordDict({"fields": fine, "arrays": fine}),
        RecordDict({"refusal": arrays}),
        RecordDict({"fields": fine, "arrays": arrays, "refusal": arrays}),
    ):
        with pytest.raises(RunError, match="EnrolQuestion"):
            from_answer(EnrolQuestion, broken)
    one = Array(np.zeros(3))
    for unpacked in ({}, {"weights": one}, {PACKED: arrays[PACKED], "weights": one}):
        with pytest.raises(RunError, match="packed"):
            from_record(
                EnrolQuestion, RecordDict({"fields": fine, "arrays": ArrayRecord(unpacked)})
            )


@pytest.mark.parametrize("spoil", [lambda b: b[:-5], lambda b: b[:4], lambda b: b"\xff" * len(b)])
def test_damaged_arrays_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    record = to_record(CalibrateAnswer(HISTOGRAM[None], np.ones((1, 3))))
    damaged = packed_record({}, spoil(packed_arrays(record)))
    with pytest.raises(RunError, match="of a CalibrateAnswer cannot be read"):
        from_record(CalibrateAnswer, damaged)


def test_an_envelope_says_which_question_of_which_run_it_is() -> None:
    record = to_record(EnrolQuestion("f"))
    envelope = Envelope("tiny-20260101T000000-0a1b2c", "train.0.7")
    found, inside = unsealed(sealed(record, envelope))
    assert found == envelope
    assert inside == record
    assert set(record) == {"fields", "arrays"}
    with pytest.raises(RunError, match="EnrolQuestion"):
        from_record(EnrolQuestion, sealed(record, envelope))


@pytest.mark.parametrize(
    ("run", "exchange"),
    [
        ("", "enrol"),
        ("tiny", ""),
        ("../tiny", "enrol"),
        ("tiny/..", "enrol"),
        ("tiny.x", "enrol"),
        ("tiny", "../enrol"),
        ("tiny", "enrol/x"),
        ("tiny", ".enrol"),
        ("tiny", "enrol\n"),
        ("t" * 101, "enrol"),
    ],
)
def test_an_envelope_names_no_other_place(run: str, exchange: str) -> None:
    with pytest.raises(RunError, match="envelope"):
        Envelope(run, exchange)
    record = to_record(EnrolQuestion("f"))
    content = ConfigRecord({"run": run, "exchange": exchange, "announced": "[]"})
    forged = RecordDict({**record, "envelope": content})
    with pytest.raises(RunError, match="envelope"):
        unsealed(forged)


KEYS = (Announcement("a", bytes(range(32)), bytes(64)), Announcement("b", b"\x01" * 32, b"\x02"))


def test_an_envelope_carries_the_session_keys_of_who_takes_part() -> None:
    record = to_record(EnrolQuestion("f"))
    envelope = Envelope("tiny", "train.0.7", KEYS)
    found, inside = unsealed(sealed(record, envelope))
    assert found == envelope
    assert inside == record
    # They are part of the letter, not of the question.
    assert digest_of(inside) == digest_of(unsealed(sealed(record, Envelope("tiny", "x")))[1])


@pytest.mark.parametrize(
    "announced",
    [
        "",
        "{",
        "7",
        "null",
        '["abc"]',
        '[["a", "00"]]',
        '[["a", "00", "00", "00"]]',
        '[["a", "no hex", "00"]]',
        '[["a", 7, "00"]]',
        '{"a": 1}',
        "[" * 100_000,
    ],
)
def test_session_keys_that_cannot_be_read_are_refused(announced: str) -> None:
    record = to_record(EnrolQuestion("f"))
    content = ConfigRecord({"run": "tiny", "exchange": "enrol", "announced": announced})
    with pytest.raises(RunError, match="envelope cannot be read"):
        unsealed(RecordDict({**record, "envelope": content}))


def test_a_question_without_its_envelope_is_refused() -> None:
    record = to_record(EnrolQuestion("f"))
    arrays = record.array_records["arrays"]
    less = {"run": "tiny", "exchange": "enrol"}
    more = ConfigRecord({**less, "announced": "[]", "site": "a"})
    for broken in (
        record,
        RecordDict({**record, "envelope": arrays}),
        RecordDict({**record, "envelope": ConfigRecord({"run": "tiny"})}),
        RecordDict({**record, "envelope": ConfigRecord(less)}),
        RecordDict({**record, "envelope": more}),
    ):
        with pytest.raises(RunError, match="without its envelope"):
            unsealed(broken)


def test_a_message_with_anything_else_in_it_is_not_sent() -> None:
    with pytest.raises(TypeError, match="site of EnrolAnswer is a list"):
        to_record(EnrolAnswer(["a"], "f", "r", "s", "v", 1, 2, 3))  # type: ignore[arg-type]


def test_a_refusal_is_two_texts() -> None:
    refusal = Refusal("image-invalid", "The site found an image that it cannot use.")
    record = refusal_record(refusal)
    assert from_answer(FuseAnswer, record) == refusal
    assert dict(record.config_records["refusal"]) == {
        "code": refusal.code,
        "public": refusal.public,
    }


def every_error() -> list[type[MyoFedError]]:
    found, waiting = [], [MyoFedError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_errors_survive_a_process_and_keep_their_two_faces(kind: type[MyoFedError]) -> None:
    error = kind("Patient P07 in /data/x.nii has no mask.", "Draw one.")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (back.what, back.fix, str(back)) == (error.what, error.fix, str(error))
    assert str(error) == "Patient P07 in /data/x.nii has no mask. Draw one."
    assert "P07" not in kind.public
    assert kind.public.endswith(".")
    assert kind.code == kind.code.lower()


def test_codes_and_public_sentences_differ() -> None:
    kinds = every_error()
    assert len(kinds) >= 10
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert len({kind.public for kind in kinds}) == len(kinds)


def test_faults_are_shared_as_counts_only() -> None:
    faults = [errors.Fault(code, "patient P07", "no mask", "Draw one") for code in ("b", "a", "b")]
    assert errors.count_by_code(faults) == {"a": 1, "b": 2}
