"""A line of the ledger: an entry, its number and time, chained to the line before it and signed.

`hash` is over everything else in the line but the signature, the hash of the line before included;
so a change anywhere changes all that follows. The signature is over number and hash: without the
site's key nobody makes a line.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Limits

from client.egress.entry import Entry, Kind, plain
from client.egress.passed import Field
from common.secure_sum.framing import framed

GENESIS = "0" * 64
"""The hash before the first line."""

_PURPOSE = b"myofed ledger line 1"

Digest = Annotated[str, Limits(pattern=r"^[0-9a-f]{64}\z")]
Signature = Annotated[str, Limits(pattern=r"^[0-9a-f]{128}\z")]


class Line(BaseModel):
    """A line as it stands in the ledger; `time` is UTC with milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    number: int = Limits(ge=1)
    time: str
    kind: Kind
    study: str
    run: str
    stage: str
    exchange: str
    question: str
    sites: tuple[str, ...]
    rule: str
    fields: tuple[Field, ...]
    code: str
    sentence: str
    previous: Digest
    hash: Digest
    signature: Signature

    def written(self) -> bytes:
        """The line as it stands in the file, without the end of the line."""
        return canonical(self.model_dump())

    @property
    def size(self) -> int:
        """Bytes of all fields that left."""
        return sum(one.bytes for one in self.fields)


def sealed(entry: Entry, number: int, previous: str, identity: Ed25519PrivateKey) -> Line:
    """Make the line of an entry, now."""
    asked = entry.asked
    draft = Line(
        number=number,
        time=_now(),
        kind=entry.kind,
        study=plain(asked.study),
        run=plain(asked.run),
        stage=plain(asked.stage),
        exchange=plain(asked.exchange),
        question=plain(asked.question),
        sites=tuple(plain(site) for site in asked.sites),
        rule=entry.rule,
        fields=entry.fields,
        code=entry.code,
        sentence=entry.sentence,
        previous=previous,
        hash=GENESIS,
        signature="0" * 128,
    )
    digest = _hash_of(draft)
    signature = identity.sign(_statement(number, digest)).hex()
    return draft.model_copy(update={"hash": digest, "signature": signature})


def read(raw: bytes) -> Line | None:
    """Read a line; None if it is not exactly what the ledger writes, or its hash is not its own."""
    try:
        line = Line.model_validate_json(raw)
    except ValidationError:
        return None
    # Written again it must be the same bytes: what a reader skips is a change as well.
    return line if line.written() == raw and _hash_of(line) == line.hash else None


def is_signed(line: Line, public: Ed25519PublicKey) -> bool:
    """Say whether a line that `read` gave is signed with a site's key."""
    try:
        public.verify(bytes.fromhex(line.signature), _statement(line.number, line.hash))
    except InvalidSignature:
        return False
    return True


def canonical(content: dict[str, Any]) -> bytes:
    """Write JSON in the one form that is hashed: keys sorted, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def _hash_of(line: Line) -> str:
    content = line.model_dump(exclude={"hash", "signature"})
    return hashlib.sha256(canonical(content)).hexdigest()


def _statement(number: int, digest: str) -> bytes:
    return framed(_PURPOSE, str(number).encode(), digest.encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
