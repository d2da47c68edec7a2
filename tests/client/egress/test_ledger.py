"""The ledger: lines in a chain, on the disk before anything leaves; crashes are repaired."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ledger_samples import (
    KEY,
    OTHER,
    PUBLIC,
    STUDY,
    answer,
    entries,
    field,
    file_of,
    fill,
    refusal,
    without_waiting,
)

from client.egress import ledger as ledger_module
from client.egress.entry import Asked, Entry
from client.egress.head import HEAD_FILE, Head
from client.egress.ledger import FOLDER, LOCK_FILE, Ledger, LedgerDamaged, LedgerFailed
from client.egress.tail import BLOCK, read_tail
from client.egress.verify import examine, verify
from common.secure_sum.framing import framed


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting(monkeypatch)


def lines(site: Path) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in file_of(site).read_bytes().splitlines()]


def test_lines_hold_what_left_and_are_chained(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, KEY)
    assert [ledger.record(entry) for entry in entries(4)] == [1, 2, 3, 4]
    found = lines(tmp_path)
    assert [one["kind"] for one in found] == ["approval", "answer", "refusal", "answer"]
    assert found[1]["rule"] == "train"
    assert found[1]["exchange"] == "train.0.1"
    assert found[1]["fields"][1] == {
        "name": "validation",
        "dtype": "float64",
        "shape": [2],
        "bytes": 16,
        "sha256": hashlib.sha256(b"validation").hexdigest(),
    }
    assert (found[2]["code"], found[2]["sentence"]) == (
        "wrong-use",
        "The request was not understood.",
    )
    assert found[0]["study"] == STUDY
    previous = "0" * 64
    for number, one in enumerate(found, start=1):
        digest, signature = one.pop("hash"), one.pop("signature")
        assert (one["number"], one["previous"]) == (number, previous)
        text = json.dumps(one, sort_keys=True, separators=(",", ":"))
        assert digest == hashlib.sha256(text.encode()).hexdigest()
        statement = framed(b"myofed ledger line 1", str(number).encode(), digest.encode())
        Ed25519PublicKey.from_public_bytes(PUBLIC).verify(bytes.fromhex(signature), statement)
        previous = digest
    assert verify(tmp_path, PUBLIC) == []


def test_the_time_is_utc_with_milliseconds(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    text = lines(tmp_path)[0]["time"]
    written = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert len(text) == len("2026-11-20T19:22:17.123Z")
    assert abs(written.timestamp() - time.time()) < 10


def test_a_second_ledger_object_goes_on(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    assert Ledger(tmp_path, KEY).record(answer(9)) == 3
    assert verify(tmp_path, PUBLIC) == []


def test_only_the_site_may_read_it(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    folder = tmp_path / FOLDER
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {path.name for path in files} == {"ledger.jsonl", HEAD_FILE, LOCK_FILE}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_line_is_on_the_disk_before_the_record_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 1)
    seen: list[str] = []

    def fsync(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        content = b"" if os.path.isdir(path) else Path(path).read_bytes()
        seen.append(f"{Path(path).name.split('.')[0] or 'head'} {content.count(b'train.0.5')}")

    monkeypatch.setattr(os, "fsync", fsync)
    Ledger(tmp_path, KEY).record(answer(5))
    assert seen == ["ledger 1", "head 0", "ledger 0"]


def test_texts_from_a_stranger_are_made_harmless(tmp_path: Path) -> None:
    asked = Asked("x" * 500, "run\n\x1b[31m", "rows\ud800", "é" * 200, "", ("a\n",))
    Ledger(tmp_path, KEY).record(Entry("refusal", asked))
    found = lines(tmp_path)[0]
    assert (found["study"], found["run"]) == ("x" * 100, "run??[31m")
    assert (found["stage"], found["exchange"], found["sites"]) == ("rows?", "?" * 100, ["a?"])
    assert verify(tmp_path, PUBLIC) == []


def crash_after_line(site: Path) -> None:
    head = site / FOLDER / HEAD_FILE
    before = head.read_bytes()
    Ledger(site, KEY).record(answer(7))
    head.write_bytes(before)


def test_a_crash_between_line_and_head_is_no_fault_and_is_repaired(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    crash_after_line(tmp_path)
    found = examine(tmp_path, PUBLIC)
    assert (found.faults, found.lines) == ((), 4)
    assert "line 4" in found.notes[0]
    assert Ledger(tmp_path, KEY).record(answer(8)) == 5
    assert examine(tmp_path, PUBLIC).notes == ()


def test_a_crash_before_the_first_head_is_repaired(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    head = tmp_path / FOLDER / HEAD_FILE
    Head.of(0, "0" * 64, KEY).save(tmp_path / FOLDER)
    assert verify(tmp_path, PUBLIC) == []
    assert Ledger(tmp_path, KEY).record(answer(8)) == 2
    file_of(tmp_path).write_bytes(b"")
    head.unlink()
    assert Ledger(tmp_path, KEY).record(answer(8)) == 1


def test_two_crashes_in_a_row_are_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repaired head is written before the next line: the head is never two behind."""
    fill(tmp_path, 2)
    crash_after_line(tmp_path)
    save, calls = Head.save, []

    def crashing(head: Head, folder: Path) -> None:
        calls.append(head.number)
        if len(calls) == 2:
            raise OSError(errno.EIO, "the machine stops")
        save(head, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Head, "save", crashing)
        with pytest.raises(LedgerFailed):
            Ledger(tmp_path, KEY).record(answer(8))
    assert calls == [3, 4]
    assert verify(tmp_path, PUBLIC) == []
    assert Ledger(tmp_path, KEY).record(answer(9)) == 5
    assert verify(tmp_path, PUBLIC) == []


@pytest.mark.parametrize("keep", [1, 100, -1])
def test_a_torn_line_is_no_fault_and_is_repaired(tmp_path: Path, keep: int) -> None:
    path = fill(tmp_path, 3)
    whole = path.read_bytes()
    next_line = whole.splitlines()[1].replace(b'"number":2', b'"number":4')
    path.write_bytes(whole + next_line[:keep])
    found = examine(tmp_path, PUBLIC)
    assert (found.faults, found.lines) == ((), 3)
    assert "not written to its end" in found.notes[0]
    assert Ledger(tmp_path, KEY).record(answer(8)) == 4
    assert path.read_bytes().startswith(whole)
    assert verify(tmp_path, PUBLIC) == []


def test_a_full_disk_raises_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fill(tmp_path, 2)
    whole, write = path.read_bytes(), os.write
    room = [100]

    def full(handle: int, content: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(handle, bytes(content)[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(LedgerFailed, match="No space left") as raised:
            Ledger(tmp_path, KEY).record(answer(3))
    assert raised.value.code == "ledger-failed"
    assert str(tmp_path) not in raised.value.public
    assert path.read_bytes() == whole
    assert Ledger(tmp_path, KEY).record(answer(3)) == 3


def test_a_disk_that_is_full_for_the_head_raises_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 2)

    def full(_: Head, __: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Head, "save", full)
        with pytest.raises(LedgerFailed):
            Ledger(tmp_path, KEY).record(answer(3))
    assert verify(tmp_path, PUBLIC) == []
    assert Ledger(tmp_path, KEY).record(answer(3)) == 4


def _cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"train.0.3", b"train.0.4"))


def _forge_head(path: Path) -> None:
    Head.of(4, lines(path.parent.parent)[-1]["hash"], OTHER).save(path.parent)


def _drop_head(path: Path) -> None:
    (path.parent / HEAD_FILE).unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("change", [_cut, _edit, _forge_head, _drop_head, _empty])
def test_a_changed_end_takes_no_further_line(tmp_path: Path, change: Any) -> None:
    path = fill(tmp_path, 4)
    change(path)
    before = path.read_bytes()
    with pytest.raises(LedgerDamaged, match="evidence"):
        Ledger(tmp_path, KEY).record(answer(9))
    assert path.read_bytes() == before
    assert verify(tmp_path, PUBLIC) != []


def test_another_key_takes_no_further_line(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    with pytest.raises(LedgerDamaged):
        Ledger(tmp_path, OTHER).record(answer(9))


def test_a_forged_line_at_the_end_is_not_taken_for_a_crash(tmp_path: Path) -> None:
    """Whoever knows the form of a line can chain one; without the key nobody signs it."""
    path = fill(tmp_path, 2)
    held = path.read_bytes()
    other = tmp_path / "other"
    (other / FOLDER).mkdir(parents=True)
    file_of(other).write_bytes(b"")
    line = ledger_module.sealed(answer(9), 3, lines(tmp_path)[-1]["hash"], OTHER)
    path.write_bytes(held + line.written() + b"\n")
    assert [fault.code for fault in verify(tmp_path, PUBLIC)] == ["inserted"]
    with pytest.raises(LedgerDamaged):
        Ledger(tmp_path, KEY).record(answer(9))


def _record_many(site: Path, count: int) -> None:
    for number in range(count):
        Ledger(site, KEY).record(answer(number))


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_record_many, args=(tmp_path, 20)) for _ in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    assert [one.exitcode for one in writers] == [0, 0, 0]
    assert verify(tmp_path, PUBLIC) == []
    assert len(lines(tmp_path)) == 61


def test_a_writer_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 1)
    monkeypatch.setattr(ledger_module, "PATIENCE", 0.05)
    with (
        ledger_module._locked(tmp_path / FOLDER / LOCK_FILE),
        pytest.raises(LedgerFailed, match="Another process"),
    ):
        Ledger(tmp_path, KEY).record(answer(2))


def test_a_hundred_thousand_lines_make_no_difference(tmp_path: Path) -> None:
    path = fill(tmp_path, 3)
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(before[1] * 100_000 + last)
    ledger = Ledger(tmp_path, KEY)
    took = []
    for number in range(20):
        start = time.perf_counter()
        ledger.record(answer(number))
        took.append(time.perf_counter() - start)
    # The quickest: what a busy machine adds is not the ledger's.
    assert min(took) < 0.01


def test_a_line_longer_than_a_block_is_read_back(tmp_path: Path) -> None:
    asked = Asked(STUDY, "run-1", "fuse", "fuse.moments")
    fields = tuple(field(f"sums/{number}.xwx") for number in range(3000))
    ledger = Ledger(tmp_path, KEY)
    for number in range(3):
        assert ledger.record(Entry("answer", asked, "fuse/moments", fields)) == number + 1
    assert len(file_of(tmp_path).read_bytes().splitlines()[0]) > 2 * BLOCK
    assert verify(tmp_path, PUBLIC) == []


def contents() -> Iterator[tuple[bytes, tuple[bytes, int, bool]]]:
    yield b"", (b"", 0, False)
    yield b"a", (b"", 0, True)
    yield b"a\n", (b"a", 2, False)
    yield b"a\nb", (b"a", 2, True)
    yield b"a\nbc\n", (b"bc", 5, False)
    yield b"\n", (b"", 1, False)
    long = b"x" * (BLOCK - 1)
    yield long + b"\n" + b"y" * BLOCK + b"\n", (b"y" * BLOCK, 2 * BLOCK + 1, False)
    yield long + b"\n" + b"y" * BLOCK, (long, BLOCK, True)


@pytest.mark.parametrize(("content", "wanted"), list(contents()), ids=range(8))
def test_the_tail_is_the_last_whole_line(
    tmp_path: Path, content: bytes, wanted: tuple[bytes, int, bool]
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(content)
    with path.open("rb") as file:
        found = read_tail(file.fileno())
    assert (found.last, found.end, found.is_torn) == wanted


def test_a_refusal_and_an_answer_under_masks_are_told_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, KEY)
    ledger.record(answer(1, masked=True))
    ledger.record(refusal())
    ledger.record(Entry.revocation(STUDY))
    first, second, third = lines(tmp_path)
    assert (first["rule"], first["sites"]) == ("train/masked", ["a", "b", "c"])
    assert (second["kind"], third["kind"]) == ("refusal", "revocation")
