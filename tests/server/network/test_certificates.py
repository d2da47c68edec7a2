"""Certificates, judged by real TLS handshakes as a site makes them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.errors import WrongUse
from common.identity import certificate_fingerprint
from server.network.certificates import (
    AUTHORITY_DAYS,
    SERVER_DAYS,
    check_host,
    key_fits,
    make_authority,
    make_server_certificate,
    validity,
)


class Files:
    def __init__(self, path: Path) -> None:
        self.ca, self.ca_key = path / "ca.pem", path / "ca.key"
        self.server, self.key = path / "server.pem", path / "server.key"

    def serve(self, *names: str, days: float = SERVER_DAYS) -> None:
        make_server_certificate(self.ca, self.ca_key, self.server, self.key, names, days)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    make_authority(made.ca, made.ca_key)
    made.serve("coordinator.example.org", "192.0.2.7")
    return made


def handshake(files: Files, name: str, authority: Path) -> str:
    """Shake hands in memory; give the name of the TLS version."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.server, files.key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_verify_locations(authority)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there, server_hostname=name)
    other = server.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one.version() or ""


@pytest.mark.parametrize(
    "name", ["coordinator.example.org", "192.0.2.7", "localhost", "127.0.0.1", "::1"]
)
def test_a_site_that_trusts_the_authority_connects_under_each_name(files: Files, name: str) -> None:
    assert handshake(files, name, files.ca) == "TLSv1.3"


def test_another_name_is_refused(files: Files) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(files, "elsewhere.example.org", files.ca)


def test_another_authority_is_refused(files: Files, tmp_path: Path) -> None:
    other = Files(tmp_path / "other")
    make_authority(other.ca, other.ca_key)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        handshake(files, "localhost", other.ca)
    assert not validity(files.server, other.ca).signed


def test_an_expired_certificate_is_refused_and_renewed_for_the_same_authority(files: Files) -> None:
    files.serve("localhost", days=-1)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        handshake(files, "localhost", files.ca)
    assert validity(files.server, files.ca).days_left < 0
    before = files.ca.read_bytes()
    files.serve("localhost")
    assert handshake(files, "localhost", files.ca) == "TLSv1.3"
    assert files.ca.read_bytes() == before


def test_what_a_certificate_is_good_for(files: Files) -> None:
    found = validity(files.server, files.ca)
    assert found.signed
    assert found.names == ("coordinator.example.org", "localhost", "192.0.2.7", "127.0.0.1", "::1")
    assert found.days_left == pytest.approx(SERVER_DAYS, abs=0.1)
    assert found.begins < datetime.now(UTC) - timedelta(minutes=5)
    assert validity(files.ca, files.ca).days_left == pytest.approx(AUTHORITY_DAYS, abs=0.1)


def test_keys_are_their_owners_only_and_fit(files: Files) -> None:
    for key in (files.ca_key, files.key):
        assert key.stat().st_mode & 0o777 == 0o600
        assert b"PRIVATE KEY" in key.read_bytes()
    assert key_fits(files.server, files.key)
    assert not key_fits(files.server, files.ca_key)
    assert not key_fits(files.server, files.server)
    for public in (files.ca, files.server):
        assert b"PRIVATE" not in public.read_bytes()


def test_a_missing_or_broken_certificate_is_named(files: Files) -> None:
    files.server.write_text("no certificate")
    with pytest.raises(WrongUse, match=r"server\.pem"):
        validity(files.server, files.ca)


def test_the_fingerprint_is_that_of_the_site_s_side(files: Files) -> None:
    shown = certificate_fingerprint(files.ca.read_text())
    assert len(shown.split(":")) == 32


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ("Coordinator.Example.ORG", "coordinator.example.org"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_hosts_are_held_in_one_form(given: str, held: str) -> None:
    assert check_host(given) == held


@pytest.mark.parametrize(
    "given", ["", "https://example.org", "example.org:9443", "a b", "-a.org", "é.org", "a" * 64]
)
def test_what_is_no_host_is_refused(given: str) -> None:
    with pytest.raises(WrongUse, match="neither a host name nor an address"):
        check_host(given)
