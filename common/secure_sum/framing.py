"""Several pieces of bytes as one, for what is hashed or signed."""

from __future__ import annotations


def framed(*parts: bytes) -> bytes:
    """Join pieces, each after its length: no piece can be taken for a part of the next."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
