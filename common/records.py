"""Typed messages to and from Flower's records.

A message becomes a `RecordDict` with one `ConfigRecord` ("fields": numbers and texts) and one
`ArrayRecord` ("arrays": arrays by field name, those of a dictionary as ``field/key``). Reading
back checks that names and types are exactly those of the dataclass: a missing or an extra field is
refused, so nothing can ride along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common.errors import RunError
from common.messages import Refusal

Message = TypeVar("Message")

_SCALARS = (bool, int, float, str)


def to_record(message: object) -> RecordDict:
    """Turn a message dataclass into a Flower record."""
    scalars: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for item in fields(message):  # type: ignore[arg-type]
        value = getattr(message, item.name)
        if isinstance(value, Mapping):
            for key, array in value.items():
                arrays[f"{item.name}/{key}"] = Array(np.asarray(array, order="C"))
        elif isinstance(value, np.ndarray):
            arrays[item.name] = Array(np.asarray(value, order="C"))
        elif isinstance(value, _SCALARS):
            scalars[item.name] = value
        else:
            raise TypeError(f"{item.name} of {type(message).__name__} is a {type(value).__name__}")
    return RecordDict({"fields": ConfigRecord(scalars), "arrays": ArrayRecord(arrays)})


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
    scalars: dict[str, Any] = dict(record.config_records["fields"])
    arrays: dict[str, Array] = dict(record.array_records["arrays"])
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        hint = hints[item.name]
        if get_origin(hint) is dict:
            prefix = f"{item.name}/"
            keys = [key for key in arrays if key.startswith(prefix)]
            values[item.name] = {
                key.removeprefix(prefix): _read(name, key, arrays.pop(key)) for key in keys
            }
        elif get_origin(hint) is np.ndarray:
            values[item.name] = _array(name, item, hint, arrays)
        else:
            values[item.name] = _scalar(name, item, hint, scalars)
    extra = sorted([*scalars, *arrays])
    if extra:
        raise RunError(f"A {name} has the unknown fields {', '.join(extra)}.")
    return kind(**values)


def from_answer(kind: type[Message], record: RecordDict) -> Message | Refusal:
    """Read an answer of `kind`, or the refusal that came in its place."""
    if "refusal" in record:
        content = record.config_records["refusal"]
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
            total += sum(len(str(value)) + len(key) for key, value in part.items())
    return total


def _read(name: str, key: str, array: Array) -> np.ndarray:
    try:
        return array.numpy()
    except Exception as error:  # whatever damaged bytes provoke
        raise RunError(f"The array {key} of a {name} cannot be read.") from error


def _array(name: str, item: Field[Any], hint: Any, arrays: dict[str, Array]) -> np.ndarray:
    if item.name not in arrays:
        raise RunError(f"A {name} lacks the array {item.name}.")
    value = _read(name, item.name, arrays.pop(item.name))
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
