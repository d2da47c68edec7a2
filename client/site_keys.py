"""The keys with which a site hides what it says: its identity, its peers', and one for each run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from client.identity_key import load_identity
from common.identity import identity_bytes
from common.study import Study

SESSION_FILE = "session.key"


@dataclass(frozen=True)
class SiteKeys:
    """The site's private identity key, and the public ones (32 bytes) of the study's roster."""

    own: Ed25519PrivateKey
    roster: Mapping[str, bytes]


def keys_of(site: Path, study: Study) -> SiteKeys:
    """Read a site's identity key, and those in the roster of a study that it approved.

    Raises
    ------
    WrongUse
        The site has no identity key, or the file can be read by others.
    """
    roster = {one.name: identity_bytes(one.key) for one in study.sites if one.key}
    return SiteKeys(load_identity(site), roster)


def session_key(folder: Path) -> X25519PrivateKey:
    """Give the key of one run, kept in the site's folder of that run; made at the first call."""
    path = folder / SESSION_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Written elsewhere first: a worker that is killed here leaves no half key behind.
        part = path.with_suffix(f".{os.getpid()}")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(X25519PrivateKey.generate().private_bytes_raw())
        os.replace(part, path)
    return X25519PrivateKey.from_private_bytes(path.read_bytes())
