"""What the guard let pass: each field by name, form, size and hash, never by value."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from common.message_parts import Scalar

Array = np.ndarray[Any, Any]

TEXT, WHOLE, REAL = "text", "int", "float"
"""Kinds of single values; arrays have their dtype's name."""


@dataclass(frozen=True)
class Field:
    """One field that leaves: `name` (``field/key`` in a dictionary), `dtype`, `shape`.

    `bytes` is its size and `sha256` the hash of its bytes: of a text as UTF-8, of a number as
    eight bytes, of an array as it lies in memory, the least significant byte first.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Passed:
    """What may leave, by which rule, and its fields as they leave.

    Attributes
    ----------
    kind
        An answer, or the refusal in its place.
    to_hide
        The answer may leave under masks only: `check_hidden` gives what does leave.
    code, sentence
        Of a refusal; else empty.
    """

    kind: Literal["answer", "refusal"]
    rule: str
    fields: tuple[Field, ...]
    to_hide: bool = False
    code: str = ""
    sentence: str = ""


def field_of_scalar(name: str, value: Scalar) -> Field:
    """Describe a text or a number.

    Raises
    ------
    ValueError
        It is of another type, or does not fit into eight bytes.
    """
    # By exact type: a bool is an int, and NumPy's numbers are not what a message holds.
    if type(value) is str:
        content, kind = value.encode(), TEXT
    elif type(value) in (int, float):
        kind = type(value).__name__
        try:
            content = struct.pack("<q" if kind == WHOLE else "<d", value)
        except struct.error:
            raise ValueError(f"{name} does not fit into eight bytes") from None
    else:
        raise ValueError(f"{name} is a {type(value).__name__}")
    return Field(name, kind, (), len(content), hashlib.sha256(content).hexdigest())


def field_of_array(name: str, array: Array) -> Field:
    """Describe an array of numbers.

    Raises
    ------
    ValueError
        It holds something else than numbers.
    """
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {array.dtype}")
    # Byte order first: the hash is the same on every machine.
    own = array.astype(array.dtype.newbyteorder("<"), copy=False)
    content = np.ascontiguousarray(own).reshape(-1).view(np.uint8).data
    digest = hashlib.sha256(content).hexdigest()
    return Field(name, array.dtype.name, array.shape, content.nbytes, digest)


def numbers_in(fields: tuple[Field, ...], *kinds: str) -> int:
    """Count the numbers in the fields of these kinds."""
    return sum(math.prod(one.shape) for one in fields if one.dtype in kinds)
