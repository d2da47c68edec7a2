"""A message as its parts, and parts as a message: texts and numbers by field, arrays by name.

The arrays of a dictionary field are named ``field/key``. Putting a message together checks that
names and types are exactly those of the dataclass: a missing or an extra field is refused, so
nothing can ride along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from common.errors import RunError

Message = TypeVar("Message")
Scalar = bool | int | float | str
Array = np.ndarray[Any, Any]

_SCALARS = (bool, int, float, str)


def parts_of(message: object) -> tuple[dict[str, Scalar], dict[str, Array]]:
    """Give a message's texts and numbers, and its arrays."""
    scalars: dict[str, Scalar] = {}
    arrays: dict[str, Array] = {}
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
    return scalars, arrays


def message_of(
    kind: type[Message], scalars: Mapping[str, object], arrays: Mapping[str, Array]
) -> Message:
    """Put a message of `kind` together.

    Raises
    ------
    RunError
        A field is missing, is of another type, or is not one of the message's.
    """
    name = kind.__name__
    texts, held = dict(scalars), dict(arrays)
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        hint = hints[item.name]
        if get_origin(hint) is dict:
            prefix = f"{item.name}/"
            keys = [key for key in held if key.startswith(prefix)]
            values[item.name] = {key.removeprefix(prefix): held.pop(key) for key in keys}
        elif get_origin(hint) is np.ndarray:
            values[item.name] = _array(name, item, hint, held)
        else:
            values[item.name] = _scalar(name, item, hint, texts)
    extra = sorted([*texts, *held])
    if extra:
        raise RunError(f"A {name} has the unknown fields {', '.join(extra)}.")
    return kind(**values)


def _array(name: str, item: Field[Any], hint: Any, arrays: dict[str, Array]) -> Array:
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
