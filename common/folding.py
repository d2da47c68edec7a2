"""A small record as one object of Flower's.

Flower stores, fetches and confirms every part of a message on its own, each with several requests.
A record of ours has five parts or more, most of them a few bytes, so a message that is not large is
sent as a single part that holds the others. Flower also makes and hashes a part anew each time that
it wants its name, four times a message; the single part is made once.
"""

from __future__ import annotations

from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common.errors import RunError

LARGEST = 16 * 2**20
"""Bytes of arrays up to which a record is folded. Larger ones travel in pieces, as Flower cuts
them."""

FOLDED = "folded"
_PARTS = "parts"
_UINT8 = "uint8"


class _Once(ConfigRecord):
    """A part whose object is made once, and its name with it, until the part is changed."""

    _object: bytes | None = None

    @property
    def is_dirty(self) -> bool:
        """Say whether the object is to be made, and its name does not hold."""
        return self._object is None

    def deflate(self) -> bytes:
        """Give the object, as Flower makes it."""
        if self._object is None:
            self._object = super().deflate()
        return self._object

    def __setitem__(self, key: str, value: Any) -> None:
        """Change the part: its object is made anew."""
        self._object = None
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        """Change the part: its object is made anew."""
        self._object = None
        super().__delitem__(key)

    def __reduce__(self) -> tuple[type[ConfigRecord], tuple[dict[str, Any]]]:
        """Go to another process as Flower's own."""
        return ConfigRecord, (dict(self),)


# Flower writes this name into the object.
_Once.__qualname__ = ConfigRecord.__qualname__


def folded(record: RecordDict) -> RecordDict:
    """Make one part of the parts of a record, if all its arrays are bytes and not too many."""
    held: dict[str, object] = {_PARTS: ",".join(record)}
    size = 0
    for name, part in record.items():
        if isinstance(part, ConfigRecord):
            held |= {f"{name}/{key}": value for key, value in part.items()}
        elif isinstance(part, ArrayRecord) and part:
            for key, array in part.items():
                if array.dtype != _UINT8:
                    return record
                held[f"{name}/{key}/{array.stype}"] = array.data
                size += len(array.data)
        else:
            return record
    if size > LARGEST:
        return record
    return RecordDict({FOLDED: _Once(held)})  # type: ignore[arg-type]


def unfolded(record: RecordDict) -> RecordDict:
    """Give back the record that was folded; any other one as it is.

    Raises
    ------
    RunError
        What is folded was not made by `folded`.
    """
    if list(record) != [FOLDED] or not isinstance(record[FOLDED], ConfigRecord):
        return record
    held = dict(record[FOLDED])
    names = str(held.pop(_PARTS, "")).split(",")
    texts: dict[str, dict[str, object]] = {name: {} for name in names if name}
    arrays: dict[str, dict[str, Array]] = {}
    try:
        for place, value in held.items():
            name, key = place.split("/", 1)
            if isinstance(value, bytes):
                key, stype = key.rsplit("/", 1)
                one = Array(dtype=_UINT8, shape=(len(value),), stype=stype, data=value)
                arrays.setdefault(name, {})[key] = one
            else:
                texts[name][key] = value
    except (KeyError, ValueError):
        raise RunError("A message is not put together as it should be.") from None
    if any(texts.get(name) for name in arrays) or not set(arrays) <= set(texts):
        raise RunError("A message is not put together as it should be.")
    return RecordDict(
        {
            name: ArrayRecord(arrays[name]) if name in arrays else ConfigRecord(text)  # type: ignore[arg-type]
            for name, text in texts.items()
        }
    )
