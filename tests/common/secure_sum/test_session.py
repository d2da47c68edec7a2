"""Session keys: two sites come to one secret, and a key that was swapped is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from common.secure_sum.session import Announcement, ForgedKey, announce, secrets_with

SITES = ("aldgate", "bergamo", "coimbra")
RUN, STUDY = "run-1", "f" * 64
IDENTITIES = {site: Ed25519PrivateKey.generate() for site in SITES}
ROSTER = {site: key.public_key().public_bytes_raw() for site, key in IDENTITIES.items()}
SESSIONS = {site: X25519PrivateKey.generate() for site in SITES}


def announced(site: str, run: str = RUN, study: str = STUDY) -> Announcement:
    return announce(SESSIONS[site], IDENTITIES[site], run, study, site)


def secrets(site: str, **changed: Announcement) -> dict[str, bytes]:
    others = {peer: announced(peer) for peer in SITES if peer != site} | changed
    return secrets_with(others, ROSTER, SESSIONS[site], RUN, STUDY)


def test_each_two_come_to_one_secret() -> None:
    found = {site: secrets(site) for site in SITES}
    for one in SITES:
        assert len(set(found[one].values())) == len(SITES) - 1
        for other in found[one]:
            assert found[one][other] == found[other][one]


def swapped() -> Announcement:
    """The coordinator's own key in place of a site's, signed with a key of its own."""
    mine = announce(
        X25519PrivateKey.generate(), Ed25519PrivateKey.generate(), RUN, STUDY, "bergamo"
    )
    return mine


@pytest.mark.parametrize(
    "forged",
    [
        swapped(),
        replace(announced("bergamo"), key=SESSIONS["coimbra"].public_key().public_bytes_raw()),
        announced("coimbra"),
        replace(announced("coimbra"), site="bergamo"),
        announced("bergamo", run="run-0"),
        announced("bergamo", study="0" * 64),
        replace(announced("bergamo"), signature=bytes(64)),
        replace(announced("bergamo"), key=b"short"),
    ],
    ids=["swapped", "key", "peer", "name", "replayed", "study", "signature", "short"],
)
def test_a_forged_announcement_is_refused_by_name(forged: Announcement) -> None:
    with pytest.raises(ForgedKey, match="bergamo"):
        secrets("aldgate", bergamo=forged)


def test_a_key_that_makes_the_secret_known_to_everybody_is_refused() -> None:
    """A point of small order, signed by the site itself."""
    zero = bytes(32)

    class Known:
        def public_key(self) -> Known:
            return self

        def public_bytes_raw(self) -> bytes:
            return zero

    weak = announce(Known(), IDENTITIES["bergamo"], RUN, STUDY, "bergamo")  # type: ignore[arg-type]
    with pytest.raises(ForgedKey, match="bergamo"):
        secrets("aldgate", bergamo=weak)


def test_a_site_that_is_not_in_the_roster_is_refused() -> None:
    stranger = announce(SESSIONS["bergamo"], IDENTITIES["bergamo"], RUN, STUDY, "dorpat")
    with pytest.raises(ForgedKey, match="dorpat"):
        secrets("aldgate", dorpat=stranger)
