"""A record on its way between the rooms: a parcel, cut into pieces of at most 1 MiB and put
together again.

The data of arrays travels beside the record and not in it: a record of 300 MB is then held once
where it is sent and at most twice where it arrives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordProto
from google.protobuf.message import DecodeError

from client.link.worker_pb2 import Header, Piece
from common.errors import RunError

SERVICE = "myofed.link.v1.Worker"
VERSION = "1"
PIECE_BYTES = 2**20
LIMIT_BYTES = 2**31 - 2**20


class WrongVersion(RunError):
    """The two rooms speak different versions of the link."""


class TooLarge(RunError):
    """A record has more bytes than the link carries."""


class Damaged(RunError):
    """What arrived is not what was sent."""


@dataclass(frozen=True)
class Parcel:
    """A record ready to be sent, as often as needed."""

    header: Header
    parts: tuple[bytes, ...]

    def pieces(self) -> Iterator[Piece]:
        """Cut the parcel; no piece holds bytes of two parts."""
        yield Piece(header=self.header)
        for part in self.parts:
            view = memoryview(part)
            for start in range(0, len(view), PIECE_BYTES):
                yield Piece(data=bytes(view[start : start + PIECE_BYTES]))


def pack(stage: str, record: RecordDict, limit: int = LIMIT_BYTES) -> Parcel:
    """Make a stage's record ready to be sent.

    Raises
    ------
    TooLarge
        It has more than `limit` bytes.
    """
    bare = RecordDict(
        {
            key: _emptied(part) if isinstance(part, ArrayRecord) else part
            for key, part in record.items()
        }
    )
    skeleton = recorddict_to_proto(bare).SerializeToString()
    data = [array.data for array in _arrays(record)]
    parts = (skeleton, *data)
    total = sum(map(len, parts))
    if total > limit:
        raise TooLarge(
            f"A record of the stage {stage} has {total} bytes, and the link carries {limit}.",
            "Make the study's network or its number of folds smaller.",
        )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    header = Header(
        version=VERSION,
        stage=stage,
        total=total,
        sha256=digest.digest(),
        skeleton=len(skeleton),
        arrays=[len(part) for part in data],
    )
    return Parcel(header, parts)


def unpack(pieces: Iterator[Piece], limit: int = LIMIT_BYTES) -> tuple[str, RecordDict]:
    """Put a stage's record together again.

    Raises
    ------
    WrongVersion
        It was sent in another version of the link.
    TooLarge
        It says that it has more than `limit` bytes.
    Damaged
        It is not whole, or not a record.
    """
    header = _header(pieces, limit)
    digest = hashlib.sha256()
    skeleton = _part(pieces, header.skeleton, digest)
    data = [_part(pieces, size, digest) for size in header.arrays]
    if next(pieces, None) is not None:
        raise Damaged("More bytes arrived over the link than were announced.")
    if digest.digest() != header.sha256:
        raise Damaged("The bytes that arrived over the link are not those that were sent.")
    try:
        record = recorddict_from_proto(RecordProto.FromString(skeleton))
        for array, content in zip(_arrays(record), data, strict=True):
            array.data = content
    except (DecodeError, TypeError, ValueError) as error:
        raise Damaged("What arrived over the link is not a record.") from error
    return header.stage, record


def _header(pieces: Iterator[Piece], limit: int) -> Header:
    first = next(pieces, None)
    if first is None or not first.HasField("header"):
        raise Damaged("What arrived over the link does not begin with a header.")
    header = first.header
    if header.version != VERSION:
        raise WrongVersion(
            f"This side speaks version {VERSION} of the link, the other version "
            f"{header.version[:20] or '(none)'}.",
            "Install the same release of MyoFed for the site's node and its worker.",
        )
    if header.total > limit:
        raise TooLarge(
            f"A record of {header.total} bytes was announced, and the link carries {limit}."
        )
    if header.skeleton + sum(header.arrays) != header.total:
        raise Damaged("The header of what arrived over the link contradicts itself.")
    return header


def _part(pieces: Iterator[Piece], size: int, digest: hashlib._Hash) -> bytes:
    found: list[bytes] = []
    while size > 0:
        piece = next(pieces, None)
        if piece is None or not piece.data or len(piece.data) > size:
            raise Damaged("Fewer bytes arrived over the link than were announced, or others.")
        data = piece.data
        digest.update(data)
        found.append(data)
        size -= len(data)
    return found[0] if len(found) == 1 else b"".join(found)


def _arrays(record: RecordDict) -> list[Array]:
    return [
        array
        for part in record.values()
        if isinstance(part, ArrayRecord)
        for array in part.values()
    ]


def _emptied(part: ArrayRecord) -> ArrayRecord:
    return ArrayRecord(
        {
            key: Array(dtype=array.dtype, shape=array.shape, stype=array.stype, data=b"")
            for key, array in part.items()
        }
    )
