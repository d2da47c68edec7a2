"""What a site says of a study, signed with its identity key: that it approves it, or no longer.

One small JSON file each, beside the study. A file that was forged or damaged says nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from common.errors import StudyMismatch
from common.files import write_json
from common.secure_sum.framing import framed


class Kind(Enum):
    """The two things that a site can say; the value is the ending of the file."""

    APPROVAL = "approval"
    REVOCATION = "revoked"


_PURPOSE = {Kind.APPROVAL: b"myofed approval 1", Kind.REVOCATION: b"myofed revocation 1"}


@dataclass(frozen=True)
class _Statement:
    """The content of a file: `time` is UTC (ISO 8601), `signature` 128 hexadecimal digits."""

    fingerprint: str
    time: str
    signature: str


def write_statement(
    path: Path, private: Ed25519PrivateKey, kind: Kind, fingerprint: str, time: datetime
) -> None:
    """Sign and write a statement on a study (its fingerprint), of a time in UTC."""
    text = time.isoformat(timespec="microseconds")
    signature = private.sign(_signed(kind, fingerprint, text)).hex()
    write_json(path, asdict(_Statement(fingerprint, text, signature)))


def read_statement(path: Path, public: Ed25519PublicKey, kind: Kind, fingerprint: str) -> datetime:
    """Read a statement on a study, and give its time.

    Raises
    ------
    FileNotFoundError
        There is none.
    StudyMismatch
        The file is damaged, is about another study, or is not signed with this key.
    """
    try:
        found = _Statement(**json.loads(path.read_text(encoding="utf-8")))
        if found.fingerprint != fingerprint:
            raise ValueError
        time = datetime.fromisoformat(found.time)
        if time.utcoffset() != UTC.utcoffset(None):
            raise ValueError
        public.verify(bytes.fromhex(found.signature), _signed(kind, fingerprint, found.time))
    except FileNotFoundError:
        raise
    except InvalidSignature:
        raise StudyMismatch(
            f"{path} is not signed with this site's identity key.", _again(kind)
        ) from None
    except (OSError, ValueError, TypeError, AttributeError):
        raise StudyMismatch(f"{path} is damaged.", _again(kind)) from None
    return time


def _again(kind: Kind) -> str:
    what = "" if kind is Kind.APPROVAL else " Until then the study counts as withdrawn."
    return f"Look at the study again, and approve it anew: myofed site approve.{what}"


def _signed(kind: Kind, fingerprint: str, time: str) -> bytes:
    return framed(_PURPOSE[kind], fingerprint.encode(), time.encode())
