"""What an error of a connection means, in one sentence, and what to do about it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from cryptography import x509

from client.doctor.route import Address, Proxy, connect

EXPIRED, NOT_YET_VALID, OTHER_NAME, OTHER_ADDRESS = 10, 9, 62, 64
"""Codes of OpenSSL's verification that have a sentence of their own."""


@dataclass(frozen=True)
class Trouble:
    """Why a connection does not come about."""

    found: str
    fix: str

    def __str__(self) -> str:
        return f"{self.found} {self.fix}"


def trouble_of(error: OSError, address: Address, proxy: Proxy | None) -> Trouble:
    """Put an error of a connection to the coordinator into words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, address, proxy)
    if isinstance(error, ssl.SSLError):
        return Trouble(
            f"What listens on {address} does not speak TLS as a coordinator does "
            f"({error.reason or 'handshake failed'}).",
            "Ask the coordinator for the right port; a firewall that opens TLS must let this "
            "address through unopened.",
        )
    return _transport(error, address, proxy)


def _transport(error: OSError, address: Address, proxy: Proxy | None) -> Trouble:
    place = f"the proxy {proxy}" if proxy else str(address)
    if isinstance(error, socket.gaierror):
        host = proxy.host if proxy else address.host
        return Trouble(
            f"The name {host} cannot be resolved.",
            "Ask your network administrators to resolve it, or the coordinator for its right name.",
        )
    if isinstance(error, ConnectionRefusedError):
        return Trouble(
            f"The connection to {place} is refused.",
            "The coordinator is down, or a firewall rejects it: ask the coordinator, then your "
            "network administrators.",
        )
    if isinstance(error, TimeoutError):
        return Trouble(
            f"Nothing answers at {place}.",
            "A firewall drops the packets, or the host is down: ask your network administrators "
            f"to allow outgoing TCP to {address}.",
        )
    if proxy and "Tunnel connection failed" in str(error):
        reason = str(error).removeprefix("Tunnel connection failed: ").strip()
        return Trouble(
            f"The proxy {proxy} does not let the connection to {address} through ({reason}).",
            "Ask your network administrators to allow CONNECT to it, or put its host into "
            "NO_PROXY.",
        )
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return Trouble(
            f"The connection to {place} was cut.",
            "A firewall may cut it; ask your network administrators.",
        )
    return Trouble(
        f"There is no way to {place} ({error.strerror or error}).",
        "Check this computer's network.",
    )


def _certificate(
    error: ssl.SSLCertVerificationError, address: Address, proxy: Proxy | None
) -> Trouble:
    code = error.verify_code
    if code in {OTHER_NAME, OTHER_ADDRESS}:
        names = ", ".join(_names(address, proxy)) or "no name at all"
        return Trouble(
            f"The coordinator's certificate is for {names}, and not for {address.host}.",
            "Ask the coordinator for an invitation with that name, or for a certificate with "
            "this one.",
        )
    if code == EXPIRED:
        return Trouble(
            f"The certificate of {address} has expired.",
            "Ask the coordinator to renew it; if it is not yet due, correct this computer's clock.",
        )
    if code == NOT_YET_VALID:
        return Trouble(
            f"The certificate of {address} is not valid yet.",
            "Correct the clock, of this computer or of the coordinator.",
        )
    return Trouble(
        f"The certificate of {address} is not signed by the authority of the invitation.",
        "This may be another server in the coordinator's place, or a firewall that opens TLS. Ask "
        "the coordinator by telephone for its fingerprint; if it has a new authority, join again "
        "with its new invitation and --replace.",
    )


def _names(address: Address, proxy: Proxy | None) -> list[str]:
    """Read the names in a certificate that did not pass; nothing is sent over this connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        connection = connect(address, context, proxy)
        try:
            der = connection.sock.getpeercert(binary_form=True) or b""
        finally:
            connection.close()
        certificate = x509.load_der_x509_certificate(der)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []
    names = extension.value.get_values_for_type(x509.DNSName)
    return [*names, *map(str, extension.value.get_values_for_type(x509.IPAddress))]
