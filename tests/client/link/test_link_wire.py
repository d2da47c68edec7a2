"""Parcels: what is packed comes out the same, and what is damaged does not come out."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import numpy as np
import pytest
from flwr.app import RecordDict
from link_samples import DTYPES, SHAPES, array_of, bits, every_kind, vector

from client.link.wire import (
    PIECE_BYTES,
    VERSION,
    Damaged,
    Parcel,
    TooLarge,
    WrongVersion,
    pack,
    unpack,
)
from client.link.worker_pb2 import Header, Piece


def travelled(parcel: Parcel) -> list[Piece]:
    """The pieces as they arrive: serialised and read back."""
    return [Piece.FromString(piece.SerializeToString()) for piece in parcel.pieces()]


def test_a_record_of_every_kind_comes_out_the_same() -> None:
    record = every_kind()
    stage, back = unpack(iter(travelled(pack("fuse", record))))
    assert stage == "fuse"
    assert list(back) == list(record)
    assert bits(back) == bits(record)
    for dtype in DTYPES:
        for shape in SHAPES:
            sent = array_of(dtype, shape)
            found = back.array_records["arrays"][f"{dtype}/{'x'.join(map(str, shape))}"].numpy()
            assert (found.dtype, found.shape) == (sent.dtype, sent.shape)
            np.testing.assert_array_equal(found, sent)


def test_an_empty_record_is_a_record() -> None:
    assert unpack(iter(travelled(pack("enrol", RecordDict({}))))) == ("enrol", RecordDict({}))


@pytest.mark.parametrize("count", [1, PIECE_BYTES // 4 - 32, PIECE_BYTES // 4, 3 * PIECE_BYTES])
def test_no_piece_is_larger_than_one_mebibyte(count: int) -> None:
    record = vector(count)
    pieces = travelled(pack("train", record))
    assert pieces[0].HasField("header")
    assert max(len(piece.data) for piece in pieces) <= PIECE_BYTES
    assert sum(len(piece.data) for piece in pieces) == pieces[0].header.total
    assert bits(unpack(iter(pieces))[1]) == bits(record)


def test_the_record_that_was_packed_is_left_as_it_was() -> None:
    record, again = vector(1000), vector(1000)
    pack("train", record)
    assert bits(record) == bits(again)


def flipped(pieces: list[Piece]) -> list[Piece]:
    data = bytearray(pieces[-1].data)
    data[len(data) // 2] ^= 1
    return [*pieces[:-1], Piece(data=bytes(data))]


def doubled(pieces: list[Piece]) -> list[Piece]:
    return [*pieces, pieces[-1]]


def other_header(pieces: list[Piece], **fields: object) -> list[Piece]:
    header = Header()
    header.CopyFrom(pieces[0].header)
    for name, value in fields.items():
        setattr(header, name, value)
    return [Piece(header=header), *pieces[1:]]


def no_record(_: list[Piece]) -> list[Piece]:
    junk = b"\xff" * 40
    header = Header(version=VERSION, total=40, skeleton=40, sha256=sha256(junk).digest())
    return [Piece(header=header), Piece(data=junk)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda pieces: [],
        lambda pieces: pieces[1:],
        lambda pieces: pieces[:-1],
        lambda pieces: [pieces[0], *pieces[2:]],
        lambda pieces: [*pieces[:2], pieces[3], pieces[2]],
        lambda pieces: [pieces[0], Piece(), *pieces[1:]],
        lambda pieces: [pieces[0], *pieces],
        lambda pieces: other_header(pieces, total=5),
        lambda pieces: other_header(pieces, sha256=b"0" * 32),
        flipped,
        doubled,
        no_record,
    ],
)
def test_what_is_damaged_is_refused(damage: Callable[[list[Piece]], list[Piece]]) -> None:
    pieces = travelled(pack("train", vector(PIECE_BYTES // 2)))
    with pytest.raises(Damaged):
        unpack(iter(damage(pieces)))


def test_another_version_is_refused_by_both_names() -> None:
    pieces = other_header(travelled(pack("train", vector(10))), version="7")
    with pytest.raises(WrongVersion, match=rf"version {VERSION} .* version 7\. Install the same"):
        unpack(iter(pieces))


def test_a_record_over_the_limit_is_refused_where_it_is_sent_and_where_it_arrives() -> None:
    record = vector(1000)
    with pytest.raises(TooLarge, match=r"stage train has \d+ bytes, and the link carries 4000"):
        pack("train", record, limit=4000)
    with pytest.raises(TooLarge, match="was announced, and the link carries 4000"):
        unpack(iter(travelled(pack("train", record))), limit=4000)
