"""Typed messages to and from Flower's records.

A message becomes a `RecordDict` with one `ConfigRecord` ("fields": numbers and texts) and one
`ArrayRecord` ("arrays") of a single entry: all arrays as safetensors, by field name, those of a
dictionary as ``field/key``. Flower fetches every array of a record on its own, so a message of
hundreds would take seconds. Reading back checks that names and types are exactly those of the
dataclass: a missing or an extra field is refused, so nothing can ride along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors.numpy import load, save

from common.errors import RunError
from common.folding import folded, unfolded
from common.messages import Refusal

Message = TypeVar("Message")

PACKED = "safetensors"
_SCALARS = (bool, int, float, str)
_RUN = re.compile(r"[a-z][a-zA-Z0-9_-]{0,99}")
_EXCHANGE = re.compile(r"[a-z][a-zA-Z0-9.-]{0,99}")


@dataclass(frozen=True)
class Envelope:
    """Which question of which run a record is: what lets a site answer each of them once.

    `run` is the run's identity and `exchange` the question's place in it, for example
    ``train.0.7``. Both become names of files at a site, so what they may hold is narrow.
    """

    run: str
    exchange: str

    def __post_init__(self) -> None:
        if not _RUN.fullmatch(self.run) or not _EXCHANGE.fullmatch(self.exchange):
            raise RunError("The envelope of a question names no run or no place in it.")


def sealed(record: RecordDict, envelope: Envelope) -> RecordDict:
    """Put a question's record into its envelope, ready to be sent."""
    parts = dict(record.items())
    content = ConfigRecord({"run": envelope.run, "exchange": envelope.exchange})
    return folded(RecordDict({**parts, "envelope": content}))


def unsealed(record: RecordDict) -> tuple[Envelope, RecordDict]:
    """Take a question's record out of its envelope.

    Raises
    ------
    RunError
        There is no envelope, or it names no run.
    """
    parts = dict(unfolded(record).items())
    content = parts.pop("envelope", None)
    if not isinstance(content, ConfigRecord) or set(content) != {"run", "exchange"}:
        raise RunError("A question came without its envelope.")
    return Envelope(str(content["run"]), str(content["exchange"])), RecordDict(parts)


def to_record(message: object) -> RecordDict:
    """Turn a message dataclass into a Flower record."""
    scalars: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for item in fields(message):  # type: ignore[arg-type]
        value = getattr(message, item.name)
        if isinstance(value, Mapping):
            for key, array in value.items():
                arrays[f"{item.name}/{key}"] = np.asarray(array, order="C")
        elif isinstance(value, np.ndarray):
            arrays[item.name] = np.asarray(value, order="C")
        elif isinstance(value, _SCALARS):
            scalars[item.name] = value
        else:
            raise TypeError(f"{item.name} of {type(message).__name__} is a {type(value).__name__}")
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
    scalars: dict[str, Any] = dict(record["fields"])
    arrays = _unpacked(name, record)
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        hint = hints[item.name]
        if get_origin(hint) is dict:
            prefix = f"{item.name}/"
            keys = [key for key in arrays if key.startswith(prefix)]
            values[item.name] = {key.removeprefix(prefix): arrays.pop(key) for key in keys}
        elif get_origin(hint) is np.ndarray:
            values[item.name] = _array(name, item, hint, arrays)
        else:
            values[item.name] = _scalar(name, item, hint, scalars)
    extra = sorted([*scalars, *arrays])
    if extra:
        raise RunError(f"A {name} has the unknown fields {', '.join(extra)}.")
    return kind(**values)


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


def _array(name: str, item: Field[Any], hint: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if item.name not in arrays:
        raise RunError(f"A {name} lacks the array {item.name}.")
    value = arrays.pop(item.name)
    wanted = np.dtype(get_args(get_args(hint)[1])[0])
    if value.dtype != wanted:
        raise RunError(f"{item.name} of a {name} is {value.dtype}, not {wanted}.")
    return value


def _scalar(name: str, item: Field[Any], hint: type, scalars: dict[str, Any]) -> Any:
    if item.name not in scalars:
        raise RunError(f"A {name} lacks the field {item.name}.")
    value = scalars.pop(item.name)
    if type(value) is not hint:
        raise RunError(f"{item.name} of a {name} is {type(value).__name__}, not {hint.__name__}.")
    return value
