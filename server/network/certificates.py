"""The coordinator's own certificate authority, and the server certificate that it signs.

Sites get the authority's certificate with their invitation and trust nothing else. So no public
authority is needed, and a renewed server certificate asks nothing of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import WrongUse
from common.files import replacing

AUTHORITY_DAYS = 3650
SERVER_DAYS = 398
CLOCK_TOLERANCE = timedelta(minutes=10)
"""Certificates are valid from a little earlier: a site's clock may be behind."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9-]{1,63})*")


@dataclass(frozen=True)
class Validity:
    """What a certificate is good for: until when, for which names, and whose signature it bears."""

    begins: datetime
    ends: datetime
    names: tuple[str, ...]
    signed: bool

    @property
    def days_left(self) -> float:
        """Days until it expires; negative when it has."""
        return (self.ends - datetime.now(UTC)) / timedelta(days=1)


def make_authority(certificate: Path, key: Path) -> None:
    """Make a certificate authority: the certificate is for everybody, the key for its owner."""
    private = ec.generate_private_key(ec.SECP384R1())
    name = _name("MyoFed coordinator authority")
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    built = (
        _builder(name, name, private.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(private, SHA384())
    )
    write_secret(key, _private_bytes(private))
    _write(certificate, built.public_bytes(Encoding.PEM))


def make_server_certificate(
    authority: Path,
    authority_key: Path,
    certificate: Path,
    key: Path,
    names: Sequence[str],
    days: float = SERVER_DAYS,
) -> None:
    """Make the server's key and certificate, or new ones in the place of those that expire.

    Parameters
    ----------
    names
        Host names and addresses that sites may use; those of this machine itself are added.
    """
    ca = x509.load_pem_x509_certificate(authority.read_bytes())
    ca_key = load_pem_private_key(authority_key.read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise WrongUse(f"{authority_key} is not the authority's key.", "Restore it from a backup.")
    private = ec.generate_private_key(ec.SECP384R1())
    every = tuple(dict.fromkeys([*names, *LOCAL_NAMES]))
    built = (
        _builder(_name(names[0]), ca.subject, private.public_key(), days)
        .add_extension(x509.SubjectAlternativeName([_alternative(n) for n in every]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
        )
        .sign(ca_key, SHA384())
    )
    # The key goes first: a certificate without its key is found at the next start, and renewed.
    write_secret(key, _private_bytes(private))
    _write(certificate, built.public_bytes(Encoding.PEM))


def validity(certificate: Path, authority: Path) -> Validity:
    """Read what a certificate is good for, and whether the authority signed it.

    Raises
    ------
    WrongUse
        One of the files is no certificate.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        ca = x509.load_pem_x509_certificate(authority.read_bytes())
    except (OSError, ValueError):
        raise WrongUse(
            f"{certificate} or {authority.name} is missing or no certificate.",
            "Restore the authority from a backup; then: myofed coordinator renew",
        ) from None
    try:
        found.verify_directly_issued_by(ca)
        signed = True
    except Exception:  # whatever is wrong with a signature, it is not the authority's
        signed = False
    return Validity(found.not_valid_before_utc, found.not_valid_after_utc, _names(found), signed)


def key_fits(certificate: Path, key: Path) -> bool:
    """Say whether a private key is that of a certificate."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return False
    return private.public_key() == found


def check_host(host: str) -> str:
    """Give a host name or address as certificates hold it.

    Raises
    ------
    WrongUse
        It is neither.
    """
    text = host.strip().lower()
    address = _address(text)
    if address is not None:
        return str(address)
    if not HOST_NAME.fullmatch(text):
        raise WrongUse(
            f"{host!r} is neither a host name nor an address.",
            "Give the name under which sites reach this machine, without port or https://.",
        )
    return text


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    with replacing(path) as part:
        part.chmod(0o600)
        part.write_bytes(content)


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(content)
        os.chmod(part, 0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    ends = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, ends) - CLOCK_TOLERANCE)
        .not_valid_after(ends)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
