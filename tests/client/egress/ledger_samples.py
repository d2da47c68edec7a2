"""Ledgers with lines of every kind, quickly: nothing waits for the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client.egress.entry import Asked, Entry
from client.egress.ledger import FOLDER, LEDGER_FILE, Ledger
from client.egress.passed import Field

KEY = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()

STUDY = "ab" * 32


def field(name: str, size: int = 8) -> Field:
    return Field(name, "float64", (size // 8,), size, hashlib.sha256(name.encode()).hexdigest())


def answer(number: int, run: str = "run-1", masked: bool = False) -> Entry:
    sites = ("a", "b", "c") if masked else ()
    asked = Asked(STUDY, run, "train", f"train.0.{number}", "cd" * 32, sites)
    fields = (field("loss"), field("validation", 16))
    return Entry("answer", asked, "train/masked" if masked else "train", fields)


def refusal(run: str = "run-1", stage: str = "rows") -> Entry:
    asked = Asked(STUDY, run, stage, f"{stage}.1")
    said = "The request was not understood."
    return Entry("refusal", asked, "refusal", (field("code"),), "wrong-use", said)


def entries(count: int) -> list[Entry]:
    """An approval, then answers with a refusal among them."""
    made = [Entry.approval(STUDY)]
    made += [refusal() if number % 3 == 2 else answer(number) for number in range(1, count)]
    return made[:count]


def fill(site: Path, count: int, key: Ed25519PrivateKey = KEY) -> Path:
    """Record so many entries; give the file of the lines."""
    ledger = Ledger(site, key)
    for entry in entries(count):
        ledger.record(entry)
    return file_of(site)


def file_of(site: Path) -> Path:
    return site / FOLDER / LEDGER_FILE


def save_public(site: Path, key: Ed25519PrivateKey = KEY) -> None:
    """Write the public half as 'myofed site init' does."""
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    (site / "identity.pub").write_text(line + "\n", encoding="ascii")


def without_waiting(patch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk."""
    patch.setattr(os, "fsync", lambda _: None)
