"""A message as two vectors and back, and what a layout may be."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.message_parts import message_of, parts_of
from common.messages import (
    CalibrateAnswer,
    EnrolAnswer,
    FuseAnswer,
    HarmonizeAnswer,
    TrainAnswer,
    ValidateAnswer,
)
from common.secure_sum.layout import (
    Entry,
    NotSummable,
    flattened,
    layout_of,
    read,
    restored,
    sizes,
    written,
)

RNG = np.random.default_rng(11)
MIXED = {
    "0.count": np.asarray(7, np.int64),
    "0.weight": np.asarray(2.5),
    "0.x": np.asfortranarray(RNG.normal(size=(3, 4))),
    "none": np.zeros((0, 5)),
    "nothing": np.zeros(0, np.float32),
    "w": RNG.normal(size=(2, 3)).astype(np.float32),
    "v": np.asarray(0.5, np.float32),
}
HISTOGRAM = RNG.integers(0, 9, (2, 1001))
TRAINED = TrainAnswer(
    slices=7,
    patients=3,
    loss=0.25,
    change=RNG.normal(size=9).astype(np.float32),
    validation=RNG.normal(size=2),
    histogram=HISTOGRAM,
)
COARSE = replace(
    TRAINED, change=np.zeros(0, np.float32), levels=np.array([-127, -1, 0, 3, 126], np.int8)
)
EVERY: list[Any] = [
    COARSE,
    HarmonizeAnswer(MIXED),
    HarmonizeAnswer({"x": np.zeros(0)}),
    TRAINED,
    FuseAnswer(MIXED),
    CalibrateAnswer(HISTOGRAM[None], RNG.normal(size=(1, 3))),
    ValidateAnswer(3, placements={"counts": np.array([2, 3])}),
]


@pytest.mark.parametrize("message", EVERY, ids=lambda one: type(one).__name__)
def test_a_message_comes_back_from_its_vectors(message: Any) -> None:
    parts = parts_of(message)
    layout = layout_of(*parts)
    vectors = flattened(layout, *parts)
    assert [one.dtype for one in vectors] == [np.float64, np.float32, np.int8]
    assert tuple(one.size for one in vectors) == sizes(layout)
    again = read(written(layout))
    assert again == layout
    back = message_of(type(message), *restored(again, *vectors))
    for one, other in zip(parts, parts_of(back), strict=True):
        assert set(one) == set(other)
        for name, value in one.items():
            found = other[name]
            assert type(found) is type(value)
            if isinstance(value, np.ndarray):
                assert (found.dtype, found.shape) == (value.dtype, value.shape)
                assert np.array_equal(found, value)
            else:
                assert found == value


def test_float32_counts_as_weights_and_int8_as_levels_and_nothing_else_does() -> None:
    layout = layout_of(*parts_of(TRAINED))
    assert sizes(layout) == (3 + 2 + HISTOGRAM.size, 9, 0)
    assert sizes(layout_of(*parts_of(COARSE))) == (3 + 2 + HISTOGRAM.size, 0, 5)
    assert sizes(layout_of({}, MIXED)) == (1 + 1 + 12, 7, 0)
    assert sizes(layout_of({}, {"none": np.zeros(0)})) == (0, 0, 0)


def test_the_layout_depends_on_neither_the_numbers_nor_their_order() -> None:
    names = list(MIXED)
    other = {name: np.zeros_like(MIXED[name]) for name in reversed(names)}
    one, two = (layout_of({"b": 1, "a": 0.5}, arrays) for arrays in (MIXED, other))
    assert one == two == layout_of({"a": -1.0, "b": 0}, MIXED)
    vectors = [flattened(layout, {"a": 1.0, "b": 2}, MIXED) for layout in (one, two)]
    for own, same in zip(*vectors, strict=True):
        assert own.tobytes() == same.tobytes()


@pytest.mark.parametrize(
    "parts",
    [
        ({"site": "a"}, {}),
        ({"well": True}, {}),
        ({}, {"x": np.zeros(2, np.float16)}),
        ({}, {"x": np.zeros(2, np.int32)}),
        ({}, {"x": np.zeros(2, np.uint8)}),
        ({}, {"x": np.zeros(2, np.bool_)}),
        ({}, {"x": np.zeros(2, np.complex128)}),
        ({}, {"x": np.array(["patient"])}),
        ({}, {"x": np.array([None])}),
        ({}, {"x": np.zeros(2, ">f8")}),
    ],
)
def test_what_is_no_number_of_a_known_type_is_not_summable(parts: Any) -> None:
    with pytest.raises(NotSummable, match=next(iter({**parts[0], **parts[1]}))):
        layout_of(*parts)


def test_texts_of_a_message_are_not_summable() -> None:
    enrolled = EnrolAnswer("a", "f", "r", "s", "{}", 5, 6, 70)
    with pytest.raises(NotSummable, match="is a str"):
        layout_of(*parts_of(enrolled))


GOOD = [["x", "float64", [3, 2]], ["n", "int", []]]
BAD = {
    "nothing": "",
    "no fields": "[]",
    "not JSON": "[[",
    "a number": "7",
    "a text": '"abc"',
    "null": "null",
    "no shape": '[["x", "float64"]]',
    "more": '[["x", "float64", [1], 2]]',
    "another kind": '[["x", "object", [1]]]',
    "a text's kind": '[["x", "str", []]]',
    "negative": '[["x", "float64", [-1]]]',
    "twice negative": '[["x", "float64", [-2, -3]]]',
    "no size": '[["x", "float64", ["a"]]]',
    "a size that is none": '[["x", "float64", [NaN]]]',
    "endless": '[["x", "float64", [Infinity]]]',
    "too large to be endless": '[["x", "float64", [1e999]]]',
    "many digits": f'[["x", "float64", [{"9" * 5000}]]]',
    "a size in a list": '[["x", "float64", [[1]]]]',
    "several single numbers": '[["slices", "int", [2]]]',
    "no single number": '[["loss", "float", [0]]]',
    "deep": "[" * 100_000,
    "a table": '{"abc": 1}',
}


@pytest.mark.parametrize("case", BAD)
def test_a_layout_that_is_none_is_refused(case: str) -> None:
    read(json.dumps(GOOD))
    with pytest.raises(NotSummable, match="cannot be read"):
        read(BAD[case])


@given(some.text() | some.lists(some.lists(some.text() | some.integers())).map(json.dumps))
def test_any_text_is_a_layout_or_refused(text: str) -> None:
    try:
        found = read(text)
    except NotSummable:
        return
    assert all(isinstance(one, Entry) for one in found)


def test_whole_numbers_are_whole_again() -> None:
    layout = [
        Entry("a", "int"),
        Entry("b", "int64", (2,)),
        Entry("c", "float"),
        Entry("d", "int64", ()),
    ]
    near = np.array([3.0 - 1e-9, -4.0 + 1e-9, 2.0**30 + 1e-9, 0.5, 7.0 - 1e-9])
    scalars, arrays = restored(layout, near, np.zeros(0))
    assert scalars == {"a": 3, "c": 0.5}
    assert type(scalars["a"]) is int
    assert arrays["b"].tolist() == [-4, 2**30]
    assert arrays["d"].dtype == np.int64
    assert (arrays["d"].shape, int(arrays["d"])) == ((), 7)
