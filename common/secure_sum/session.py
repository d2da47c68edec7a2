"""The keys of one run: made by each site for it, and signed with the key by which it is known.

The coordinator hands the announcements round. It could swap a key for one of its own, and would
then know the masks of two sites; so each site signs what it announces, and the others verify it
with the identity keys in the roster of the study that they approved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from common.errors import MyoFedError
from common.secure_sum.framing import framed

_PURPOSE = b"myofed session key 1"


class ForgedKey(MyoFedError):
    """A session key does not bear the signature of the site whose it is said to be."""

    code = "forged-key"
    public = "A site's session key for secure summation is not signed by that site."


@dataclass(frozen=True)
class Announcement:
    """A site's public session key for a run (32 bytes), with its signature (64 bytes)."""

    site: str
    key: bytes
    signature: bytes


def announce(
    session: X25519PrivateKey, identity: Ed25519PrivateKey, run: str, study: str, site: str
) -> Announcement:
    """Sign a session key for one run of one study (its fingerprint)."""
    key = session.public_key().public_bytes_raw()
    return Announcement(site, key, identity.sign(_statement(run, study, site, key)))


def secrets_with(
    peers: Mapping[str, Announcement],
    identities: Mapping[str, bytes],
    session: X25519PrivateKey,
    run: str,
    study: str,
) -> dict[str, bytes]:
    """Give the secret (32 bytes) shared with each peer, by name.

    Parameters
    ----------
    peers
        What the others announced, as the coordinator handed it round.
    identities
        The roster's public identity keys (32 bytes), by name.

    Raises
    ------
    ForgedKey
        An announcement is not signed with the key in the roster, for this run and study.
    """
    return {
        name: _secret(name, announced, identities, session, run, study)
        for name, announced in peers.items()
    }


def _secret(
    name: str,
    announced: Announcement,
    identities: Mapping[str, bytes],
    session: X25519PrivateKey,
    run: str,
    study: str,
) -> bytes:
    try:
        if announced.site != name:
            raise InvalidSignature
        identity = Ed25519PublicKey.from_public_bytes(identities[name])
        identity.verify(announced.signature, _statement(run, study, name, announced.key))
        # A key that would make the secret known to everybody is refused here too.
        return session.exchange(X25519PublicKey.from_public_bytes(announced.key))
    except (InvalidSignature, KeyError, ValueError):
        raise ForgedKey(
            f"The session key that was handed round as that of {name} is not signed with the key "
            f"of {name} in the study's roster, for the run {run}.",
            "Somebody between the sites swaps keys, or the roster is not the one you approved. "
            "Stop the run and speak to the other site.",
        ) from None


def _statement(run: str, study: str, site: str, key: bytes) -> bytes:
    return framed(_PURPOSE, run.encode(), study.encode(), site.encode(), key)
