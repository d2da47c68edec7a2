"""Whatever one changes in a ledger is found; and nothing is found where nothing was changed."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_samples import KEY, OTHER, PUBLIC, answer, file_of, fill, without_waiting

from client.egress.head import HEAD_FILE, Head
from client.egress.ledger import FOLDER
from client.egress.line import canonical, sealed
from client.egress.order import longest_rise, stretches
from client.egress.verify import HEAD, Fault, examine, verify

COUNT = 9

quietly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes], bytes]:
    """A ledger's folder, its lines and its head as they were written."""
    site = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        without_waiting(patch)
        path = fill(site, COUNT)
    head = (site / FOLDER / HEAD_FILE).read_bytes()
    return site, path.read_bytes().splitlines(keepends=True), head


def faults(kept: Any, lines: list[bytes], head: bytes | None = None) -> list[Fault]:
    """What is found where these are the lines; the head as it was, unless another is given."""
    site, _, own = kept
    file_of(site).write_bytes(b"".join(lines))
    (site / FOLDER / HEAD_FILE).write_bytes(own if head is None else head)
    return verify(site, PUBLIC)


def told(found: list[Fault]) -> list[tuple[int, str]]:
    return [(fault.line, fault.code) for fault in found]


place = st.integers(0, COUNT - 1)


def test_nothing_is_found_in_what_the_site_wrote(kept: Any) -> None:
    assert faults(kept, kept[1]) == []
    found = examine(kept[0], PUBLIC)
    assert found.head is not None
    assert (found.lines, found.head.number, found.notes) == (COUNT, COUNT, ())


@given(at=place, byte=st.integers(0, 255), data=st.data())
@quietly
def test_an_edited_byte_is_found(kept: Any, at: int, byte: int, data: st.DataObject) -> None:
    lines = list(kept[1])
    where = data.draw(st.integers(0, len(lines[at]) - 1))
    edited = bytearray(lines[at])
    if edited[where] == byte:
        return
    edited[where] = byte
    lines[at] = bytes(edited)
    found = faults(kept, lines)
    assert found
    if byte != ord("\n") and where < len(edited) - 1:
        assert told(found) == [(at + 1, found[0].code)]
        assert found[0].code in ("edited", "forged")


@given(at=place, data=st.data())
@quietly
def test_an_edited_value_is_found_even_with_its_hash_made_anew(
    kept: Any, at: int, data: st.DataObject
) -> None:
    lines = list(kept[1])
    content = json.loads(lines[at])
    key = data.draw(st.sampled_from(sorted(set(content) - {"hash", "signature"})))
    value = content[key]
    content[key] = {int: 77, str: "f" * 64 if key == "previous" else "other", list: []}[type(value)]
    if content[key] == value:
        return
    del content["hash"], content["signature"]
    digest = hashlib.sha256(canonical(content)).hexdigest()
    signature = json.loads(lines[at])["signature"]
    lines[at] = canonical({**content, "hash": digest, "signature": signature}) + b"\n"
    assert any(fault.line == at + 1 for fault in faults(kept, lines))


def spaced(line: bytes) -> bytes:
    return line.replace(b'":', b'": ', 1)


def loud(line: bytes) -> bytes:
    signature = json.loads(line)["signature"].encode()
    return line.replace(signature, signature.upper())


def with_more(line: bytes) -> bytes:
    return line.replace(b'"kind":', b'"note":"P07","kind":', 1)


def with_more_in_a_field(line: bytes) -> bytes:
    return line.replace(b'"dtype":', b'"note":"P07","dtype":', 1)


def said_twice(line: bytes) -> bytes:
    return line.replace(b'"number":', b'"number":77,"number":', 1)


def other_letters(line: bytes) -> bytes:
    return line.replace(b'"train"', b'"tr\\u0061in"', 1)


def turned(line: bytes) -> bytes:
    return (
        json.dumps(dict(reversed(json.loads(line).items())), separators=(",", ":")).encode() + b"\n"
    )


@pytest.mark.parametrize(
    "change",
    [spaced, loud, with_more, with_more_in_a_field, said_twice, other_letters, turned],
)
def test_what_a_reader_would_pass_over_is_found(kept: Any, change: Any) -> None:
    lines = list(kept[1])
    lines[1] = change(lines[1])
    assert lines[1] != kept[1][1]
    assert told(faults(kept, lines)) == [(2, "edited")]


@given(first=place, count=st.integers(1, COUNT))
@quietly
def test_removed_lines_are_found(kept: Any, first: int, count: int) -> None:
    lines = list(kept[1])
    del lines[first : first + count]
    found = faults(kept, lines)
    assert told(found) == [(first + 1, "removed")]
    last = min(first + count, COUNT)
    assert ("up to" in found[0].found) == (last > first + 1)
    if last > first + 1:
        assert found[0].found.endswith(str(last))


@given(one=place, other=place)
@quietly
def test_two_lines_that_changed_places_are_found(kept: Any, one: int, other: int) -> None:
    if one == other:
        return
    lines = list(kept[1])
    lines[one], lines[other] = lines[other], lines[one]
    found = faults(kept, lines)
    assert {fault.code for fault in found} == {"reordered"}
    assert len(found) <= 2
    assert {fault.line for fault in found} & {one + 1, other + 1}


@given(start=place, to=place)
@quietly
def test_a_line_that_was_moved_is_one_fault(kept: Any, start: int, to: int) -> None:
    if abs(start - to) < 2:
        return
    lines = list(kept[1])
    lines.insert(to, lines.pop(start))
    assert told(faults(kept, lines)) == [(start + 1, "reordered")]


@given(at=place, to=st.integers(0, COUNT))
@quietly
def test_a_line_that_stands_there_twice_is_found(kept: Any, at: int, to: int) -> None:
    lines = list(kept[1])
    lines.insert(to, kept[1][at])
    assert told(faults(kept, lines)) == [(at + 1, "duplicated")]


@given(to=st.integers(0, COUNT), key=st.sampled_from(["other", "none"]))
@quietly
def test_a_line_that_was_put_in_is_found(kept: Any, to: int, key: str) -> None:
    lines = list(kept[1])
    previous = json.loads(lines[to - 1])["hash"] if to else "0" * 64
    line = sealed(answer(5), to + 1, previous, OTHER).written() + b"\n"
    lines.insert(to, line if key == "other" else b"{}\n")
    assert told(faults(kept, lines)) == [(to, "inserted")]


@given(data=st.data())
@quietly
def test_a_file_cut_anywhere_is_found(kept: Any, data: st.DataObject) -> None:
    whole = b"".join(kept[1])
    size = data.draw(st.integers(0, len(whole) - 1))
    found = faults(kept, [whole[:size]])
    assert [fault.code for fault in found] == ["removed"]
    assert found[0].line == whole[:size].count(b"\n") + 1


@given(data=st.data())
@quietly
def test_an_edited_head_is_found(kept: Any, data: st.DataObject) -> None:
    head = bytearray(kept[2])
    where = data.draw(st.integers(0, len(head) - 1))
    byte = data.draw(st.integers(0, 255))
    if head[where] == byte:
        return
    head[where] = byte
    assert told(faults(kept, kept[1], bytes(head))) == [(HEAD, "forged-head")]


@given(number=st.integers(0, COUNT + 3))
@quietly
def test_a_head_of_another_key_is_found(kept: Any, number: int) -> None:
    digest = json.loads(kept[1][-1])["hash"]
    head = Head.of(number, digest, OTHER).model_dump()
    found = faults(kept, kept[1], canonical(head) + b"\n")
    assert told(found) == [(HEAD, "forged-head")]


@given(number=st.integers(0, COUNT - 1))
@quietly
def test_lines_cannot_be_cut_with_the_signature_of_a_line_as_head(kept: Any, number: int) -> None:
    """Each line holds a signature over its number and hash; it is none of a head."""
    lines = kept[1][: number + 1]
    last = json.loads(lines[-1])
    head = {name: last[name] for name in ("number", "hash", "signature")}
    assert told(faults(kept, lines, canonical(head) + b"\n")) == [(HEAD, "forged-head")]


@given(number=st.integers(0, COUNT - 2))
@quietly
def test_an_earlier_head_is_found(kept: Any, number: int) -> None:
    digest = json.loads(kept[1][number - 1])["hash"] if number else "0" * 64
    head = canonical(Head.of(number, digest, KEY).model_dump()) + b"\n"
    assert told(faults(kept, kept[1], head)) == [(HEAD, "old-head")]


def test_a_head_of_another_line_is_found(kept: Any) -> None:
    head = canonical(Head.of(COUNT, "ab" * 32, KEY).model_dump()) + b"\n"
    assert told(faults(kept, kept[1], head)) == [(HEAD, "other-head")]
    behind = canonical(Head.of(COUNT - 1, "ab" * 32, KEY).model_dump()) + b"\n"
    assert told(faults(kept, kept[1], behind)) == [(HEAD, "old-head")]


def test_a_ledger_of_another_key_is_one_fault(kept: Any) -> None:
    assert faults(kept, kept[1]) == []
    other = OTHER.public_key().public_bytes_raw()
    assert told(verify(kept[0], other)) == [(HEAD, "other-key")]


def test_another_chain_of_the_same_site_is_found(kept: Any, tmp_path: Path) -> None:
    """A line from a ledger that the site began anew is signed, but does not follow."""
    with pytest.MonkeyPatch.context() as patch:
        without_waiting(patch)
        fill(tmp_path, COUNT)
    others = file_of(tmp_path).read_bytes().splitlines(keepends=True)
    lines = list(kept[1])
    lines[4] = others[4]
    assert told(faults(kept, lines)) == [(5, "unchained"), (6, "unchained")]
    lines = [*kept[1][:5], others[4], *kept[1][5:]]
    assert (5, "inserted") in told(faults(kept, lines))


def test_no_head_and_no_ledger_are_faults(kept: Any, tmp_path: Path) -> None:
    faults(kept, kept[1])
    os.unlink(kept[0] / FOLDER / HEAD_FILE)
    assert told(verify(kept[0], PUBLIC)) == [(HEAD, "no-head")]
    assert told(verify(tmp_path, PUBLIC)) == [(HEAD, "no-ledger")]


def test_several_changes_are_each_named(kept: Any) -> None:
    lines = list(kept[1])
    lines[1] = lines[1].replace(b"train.0.1", b"train.0.9")
    del lines[6:8]
    lines.append(lines[3])
    found = faults(kept, lines)
    assert told(found) == [(2, "edited"), (4, "duplicated"), (7, "removed")]
    assert str(found[2]) == "line 7: it is gone, and all up to 8"


@given(st.lists(st.integers(0, 12), max_size=9))
def test_the_longest_rise_is_rising_and_longest(numbers: list[int]) -> None:
    found = longest_rise(numbers)
    values = [numbers[one] for one in found]
    assert found == sorted(found)
    assert values == sorted(set(values))
    best = 0
    for chosen in range(2 ** len(numbers)):
        part = [number for place, number in enumerate(numbers) if chosen >> place & 1]
        if part == sorted(set(part)):
            best = max(best, len(part))
    assert len(found) == best


@given(st.sets(st.integers(0, 30)))
def test_stretches_hold_the_same_numbers(numbers: set[int]) -> None:
    found = stretches(sorted(numbers))
    assert {n for first, last in found for n in range(first, last + 1)} == numbers
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))
