"""The key by which the other sites know this one: made here, kept in the worker's room.

It signs what the site approves, and the session keys of secure summation. The node has a key of its
own for the network (`node/key`); it never sees this one.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from common.errors import WrongUse
from common.files import replacing
from common.identity import identity_line, save_private

KEY_FILE, PUBLIC_FILE = "identity.key", "identity.pub"
_MAKE = "Make one: myofed site init FOLDER"


def make_identity(site: Path) -> str:
    """Make a site's identity key unless it has one; give its public line (OpenSSH).

    The private half (Ed25519, mode 0600) goes to `identity.key` and is never overwritten. The
    public line is also written to `identity.pub`, for people; nothing reads it there.

    Raises
    ------
    WrongUse
        There is a file `identity.key` that cannot be used.
    """
    path = Path(site) / KEY_FILE
    if not path.exists():
        save_private(path, Ed25519PrivateKey.generate())
    line = public_identity(site)
    with replacing(path.with_name(PUBLIC_FILE)) as part:
        part.write_text(f"{line}\n", encoding="ascii")
    return line


def load_identity(site: Path) -> Ed25519PrivateKey:
    """Read a site's identity key.

    Raises
    ------
    WrongUse
        There is none, others than its owner can read it, or it is damaged.
    """
    path = Path(site) / KEY_FILE
    try:
        if path.stat().st_mode & 0o077:
            raise WrongUse(f"{path} can be read by others than its owner.", f"chmod 600 {path}")
        private = load_ssh_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        raise WrongUse(f"{site} has no identity key.", _MAKE) from None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise WrongUse(
            f"{path} is not the identity key of a site.",
            "Bring it back from a backup. If there is none, move it away and make a new one "
            "(myofed site init): the coordinator must then admit it, and each study's roster name "
            "it.",
        )
    return private


def public_identity(site: Path) -> str:
    """Give a site's public identity line, worked out from the private key.

    Raises
    ------
    WrongUse
        As `load_identity`.
    """
    return identity_line(load_identity(site).public_key())
