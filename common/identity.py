"""Who a site is: the keys made at the site, and the two small files that make the acquaintance.

A site has two keys. With the one of its *node* it connects, and the coordinator knows it by that:
its name follows from the registered key, never from what it says. With its *identity* key its
worker signs, and the other sites know it by that. Both are made at the site, and their private
halves never leave it. The join request carries the public halves to the coordinator; the
invitation brings back the coordinator's address, its certificate authority and the study.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.x509 import load_pem_x509_certificate

from common.errors import WrongUse
from common.files import replacing
from common.site_name import SITE_NAME

Content = TypeVar("Content", bound="JoinRequest | Invitation")


@dataclass(frozen=True)
class JoinRequest:
    """What a site hands to the coordinator: its name and its public keys (OpenSSH lines).

    `public_key` is that of the node, `identity` that of the worker.
    """

    name: str
    public_key: str
    identity: str
    created: str

    @classmethod
    def of(cls, name: str, public_key: str, identity: str) -> JoinRequest:
        """Make a request now."""
        return cls(name, public_key, identity, datetime.now(UTC).isoformat(timespec="seconds"))

    def save(self, path: Path) -> None:
        """Write the request as JSON."""
        _save(self, path)

    @classmethod
    def load(cls, path: Path) -> JoinRequest:
        """Read a request and check its name and keys.

        Raises
        ------
        WrongUse
            The file is no join request, or its name or a key cannot be used.
        """
        found = _load(cls, path, "join request", "Ask the site for the file of 'myofed site init'.")
        if not SITE_NAME.fullmatch(found.name):
            raise WrongUse(
                f"{found.name!r} cannot be a site's name.",
                "Small letters, digits, '-' and '_', beginning with a letter, at most 40.",
            )
        fingerprint(found.public_key)
        identity_bytes(found.identity)
        return found


@dataclass(frozen=True)
class Invitation:
    """What the coordinator hands to a site: where it is, how to know it, and the study.

    `address` is host:port; `ca_certificate` is PEM; `study` is the canonical JSON of the protocol.
    """

    address: str
    ca_certificate: str
    ca_fingerprint: str
    study: str
    study_fingerprint: str

    def save(self, path: Path) -> None:
        """Write the invitation as JSON."""
        _save(self, path)

    @classmethod
    def load(cls, path: Path) -> Invitation:
        """Read an invitation and check that its fingerprints are those of its content.

        Raises
        ------
        WrongUse
            The file is no invitation, or was changed on its way.
        """
        again = "Ask the coordinator for a new one."
        found = _load(cls, path, "invitation", again)
        if certificate_fingerprint(found.ca_certificate) != found.ca_fingerprint:
            raise WrongUse(f"The certificate in {path} does not have its fingerprint.", again)
        if hashlib.sha256(found.study.encode()).hexdigest() != found.study_fingerprint:
            raise WrongUse(f"The study in {path} does not have its fingerprint.", again)
        return found


def make_key(path: Path) -> str:
    """Make a node's key pair; the private half (P-384, OpenSSH, mode 0600) goes to `path`.

    Returns
    -------
    str
        The public half, as an OpenSSH line.

    Raises
    ------
    WrongUse
        There is a key at `path` already; it is never overwritten.
    """
    save_private(path, ec.generate_private_key(ec.SECP384R1()))
    return public_half(path)


def save_private(path: Path, private: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
    """Write a private key (OpenSSH, mode 0600) to a new file; nothing is left if that fails.

    Raises
    ------
    WrongUse
        There is a file at `path` already; it is never overwritten.
    """
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WrongUse(
            f"{path} is there already; a site's key is never overwritten.",
            "Go on with it, or move it away: the coordinator must then admit the site anew.",
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def public_half(path: Path) -> str:
    """Give the public half (an OpenSSH line) of the node's private key at `path`.

    Raises
    ------
    WrongUse
        The file is no key of a site, or others than its owner can read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise WrongUse(f"{path} can be read by others than its owner.", f"chmod 600 {path}")
        private = load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise WrongUse(f"{path} is not the key of a site.", "Make one: myofed site init") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise WrongUse(f"{path} is not an elliptic-curve key.", "Make one: myofed site init")
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def fingerprint(public_key: str) -> str:
    """Fingerprint of an OpenSSH public key, as `ssh-keygen -l` shows it.

    Raises
    ------
    WrongUse
        It is not a public key on a NIST curve.
    """
    _public(public_key)
    return line_fingerprint(public_key)


def line_fingerprint(line: str) -> str:
    """Fingerprint of a line in OpenSSH's format, whatever kind of key it holds."""
    blob = base64.b64decode(line.split()[1])
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def identity_line(key: Ed25519PublicKey) -> str:
    """Write a public identity key as a study's roster does: an OpenSSH line without a comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


def identity_bytes(line: str) -> bytes:
    """Give the 32 bytes of a site's public identity key, from its OpenSSH line.

    Raises
    ------
    WrongUse
        It is not an Ed25519 key as a study's roster writes it.
    """
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey) or identity_line(key) != line:
        raise WrongUse(
            "This is not a site's identity key: an Ed25519 key as an OpenSSH line, no comment.",
            "Use the line of identity.pub at the site, or of 'myofed coordinator roster'.",
        )
    return key.public_bytes_raw()


def node_key(public_key: str) -> bytes:
    """Give the public key as Flower registers and reports a node's: PEM."""
    return _public(public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate_fingerprint(pem: str) -> str:
    """SHA-256 of a PEM certificate, as `openssl x509 -fingerprint -sha256` shows it."""
    try:
        der = load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    except ValueError:
        raise WrongUse("This is not a PEM certificate.", "Ask the coordinator for it.") from None
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[place : place + 2] for place in range(0, 64, 2))


def _public(line: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise WrongUse(
            "This is not a public key on a NIST curve, in OpenSSH's format.",
            "Use the file that 'myofed site init' wrote, unchanged.",
        )
    return key


def _save(content: JoinRequest | Invitation, path: Path) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(asdict(content), indent=2) + "\n", encoding="utf-8")


def _load(kind: type[Content], path: Path, what: str, fix: str) -> Content:
    try:
        held: Any = json.loads(path.read_text(encoding="utf-8"))
        wanted = {item.name for item in fields(kind)}
        if not isinstance(held, dict) or set(held) != wanted:
            raise ValueError
        if not all(isinstance(value, str) for value in held.values()):
            raise ValueError
    except (OSError, ValueError):
        raise WrongUse(f"{path} is not a MyoFed {what}.", fix) from None
    return kind(**held)
