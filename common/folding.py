"""A small record as one object of Flower's.

Flower stores, fetches and confirms every part of a message on its own, each with several requests.
A record of ours has five parts or more, most of them a few bytes, so a message that is not large is
sent as a single part that holds the others.
"""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common.errors import RunError

LARGEST = 16 * 2**20
"""Bytes of arrays up to which a record is folded. Larger ones travel in pieces, as Flower cuts
them."""

FOLDED = "folded"
_PARTS = "parts"
_UINT8 = "uint8"


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
    return RecordDict({FOLDED: ConfigRecord(held)})  # type: ignore[arg-type]


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
