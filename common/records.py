"""Typed messages to and from Flower's records.

A message becomes a `RecordDict` with one `ConfigRecord` ("fields": numbers and texts) and one
`ArrayRecord` ("arrays") of a single entry: all arrays as safetensors, by field name, those of a
dictionary as ``field/key``. Flower fetches every array of a record on its own, so a message of
hundreds would take seconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors.numpy import load, save

from common.errors import RunError
from common.folding import folded, unfolded
from common.message_parts import message_of, parts_of
from common.messages import Refusal
from common.secure_sum.session import Announcement

Message = TypeVar("Message")

PACKED = "safetensors"
_RUN = re.compile(r"[a-z][a-zA-Z0-9_-]{0,99}")
_EXCHANGE = re.compile(r"[a-z][a-zA-Z0-9.-]{0,99}")


@dataclass(frozen=True)
class Envelope:
    """Which question of which run a record is: what lets a site answer each of them once.

    `run` is the run's identity and `exchange` the question's place in it, for example
    ``train.0.7``. Both become names of files at a site, so what they may hold is narrow. Where the
    answers are to be summed under masks, `announced` holds the session keys of all sites that take
    part.
    """

    run: str
    exchange: str
    announced: tuple[Announcement, ...] = ()

    def __post_init__(self) -> None:
        if not _RUN.fullmatch(self.run) or not _EXCHANGE.fullmatch(self.exchange):
            raise RunError("The envelope of a question names no run or no place in it.")


def sealed(record: RecordDict, envelope: Envelope) -> RecordDict:
    """Put a question's record into its envelope, ready to be sent."""
    parts = dict(record.items())
    keys = [[one.site, one.key.hex(), one.signature.hex()] for one in envelope.announced]
    content = ConfigRecord(
        {"run": envelope.run, "exchange": envelope.exchange, "announced": json.dumps(keys)}
    )
    return folded(RecordDict({**parts, "envelope": content}))


def unsealed(record: RecordDict) -> tuple[Envelope, RecordDict]:
    """Take a question's record out of its envelope.

    Raises
    ------
    RunError
        There is no envelope, it names no run, or its keys cannot be read.
    """
    parts = dict(unfolded(record).items())
    content = parts.pop("envelope", None)
    if not isinstance(content, ConfigRecord) or set(content) != {"run", "exchange", "announced"}:
        raise RunError("A question came without its envelope.")
    try:
        announced = tuple(
            Announcement(str(site), bytes.fromhex(key), bytes.fromhex(signature))
            for site, key, signature in json.loads(str(content["announced"]))
        )
    except (ValueError, TypeError, RecursionError):
        raise RunError("The keys in a question's envelope cannot be read.") from None
    envelope = Envelope(str(content["run"]), str(content["exchange"]), announced)
    return envelope, RecordDict(parts)


def digest_of(message: RecordDict) -> str:
    """SHA-256 over all fields and arrays of a message's record."""
    digest = hashlib.sha256()
    for name in sorted(message):
        part = message[name]
        if isinstance(part, ArrayRecord):
            for key in sorted(part):
                digest.update(f"{name}/{key}:".encode())
                digest.update(part[key].data)
        else:
            digest.update(f"{name}:{json.dumps(dict(part), sort_keys=True)}".encode())
    return digest.hexdigest()


def to_record(message: object) -> RecordDict:
    """Turn a message dataclass into a Flower record."""
    scalars, arrays = parts_of(message)
    return packed_record(scalars, save(arrays))


def packed_record(scalars: Mapping[str, Any], packed: bytes) -> RecordDict:
    """Make a message's record of its fields and its packed arrays."""
    one = Array(dtype="uint8", shape=(len(packed),), stype=PACKED, data=packed)
    fields_ = ConfigRecord(dict(scalars))
    return RecordDict({"fields": fields_, "arrays": ArrayRecord({PACKED: one})})


def packed_arrays(record: RecordDict) -> bytes:
    """Give the arrays of a message's record, as safetensors.

    Raises
    ------
    RunError
        The record holds something else.
    """
    parts = record.get("arrays")
    if not isinstance(parts, ArrayRecord) or list(parts) != [PACKED]:
        raise RunError("The arrays of a message are not packed as they should be.")
    return bytes(parts[PACKED].data)


def from_record(kind: type[Message], record: RecordDict) -> Message:
    """Read a message of `kind` back.

    Raises
    ------
    RunError
        A field is missing, is of another type, or is not one of the message's.
    """
    name = kind.__name__
    parts = {key: type(part) for key, part in record.items()}
    if parts != {"fields": ConfigRecord, "arrays": ArrayRecord}:
        raise RunError(f"A {name} must hold the records 'fields' and 'arrays' only.")
    # Not by `config_records`: such a view and its record hold each other, and the arrays would
    # stay in memory until the next collection of garbage.
    return message_of(kind, dict(record["fields"]), _unpacked(name, record))


def from_answer(kind: type[Message], record: RecordDict) -> Message | Refusal:
    """Read an answer of `kind`, or the refusal that came in its place.

    Raises
    ------
    RunError
        As `from_record`.
    """
    record = unfolded(record)
    content = record.get("refusal")
    if isinstance(content, ConfigRecord):
        return Refusal(code=str(content.get("code", "")), public=str(content.get("public", "")))
    return from_record(kind, record)


def refusal_record(refusal: Refusal) -> RecordDict:
    """Turn a refusal into a Flower record."""
    content = ConfigRecord({"code": refusal.code, "public": refusal.public})
    return RecordDict({"refusal": content})


def record_bytes(record: RecordDict) -> int:
    """Bytes of payload in a record: arrays as serialised, texts and numbers as written."""
    total = 0
    for part in record.values():
        if isinstance(part, ArrayRecord):
            total += sum(len(array.data) + len(key) for key, array in part.items())
        else:
            total += sum(_bytes_of(value) + len(key) for key, value in part.items())
    return total


def _bytes_of(value: object) -> int:
    return len(value) if isinstance(value, bytes) else len(str(value))


def _unpacked(name: str, record: RecordDict) -> dict[str, np.ndarray]:
    packed = packed_arrays(record)
    try:
        return dict(load(packed))
    except Exception as error:  # whatever damaged bytes provoke
        raise RunError(f"The arrays of a {name} cannot be read.") from error
