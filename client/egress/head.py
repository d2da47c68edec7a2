"""The head: how many lines the ledger has, and the hash of the last, signed.

Without it the last lines could be taken away and the rest would still be whole. It is replaced
after each line, and its signature has a purpose of its own: the signature in a line does not make
a head of that line.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Limits

from client.egress.line import Digest, Signature, canonical
from common.files import replacing
from common.secure_sum.framing import framed

HEAD_FILE = "head.json"

_PURPOSE = b"myofed ledger head 1"


class Head(BaseModel):
    """The number of the last line (0 before the first), its hash, and the site's signature."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    number: int = Limits(ge=0)
    hash: Digest
    signature: Signature

    @classmethod
    def of(cls, number: int, digest: str, identity: Ed25519PrivateKey) -> Head:
        """Sign a head."""
        signature = identity.sign(_statement(number, digest)).hex()
        return cls(number=number, hash=digest, signature=signature)

    def save(self, folder: Path) -> None:
        """Put the head into the ledger's folder, in place of the one before, safe on the disk."""
        with replacing(folder / HEAD_FILE) as part, part.open("wb") as file:
            file.write(canonical(self.model_dump()) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_head(raw: bytes, public: Ed25519PublicKey) -> Head | None:
    """Read a head; None if it is damaged, or not signed with this key."""
    try:
        head = Head.model_validate_json(raw)
        public.verify(bytes.fromhex(head.signature), _statement(head.number, head.hash))
    except (ValidationError, InvalidSignature):
        return None
    return head if canonical(head.model_dump()) + b"\n" == raw else None


def _statement(number: int, digest: str) -> bytes:
    return framed(_PURPOSE, str(number).encode(), digest.encode())
