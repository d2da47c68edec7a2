"""The certificate: is it the invitation's coordinator that answers."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from client.doctor.route import Address, Proxy, connect, trusting
from client.doctor.trouble import trouble_of
from common.check import NETWORK_SECONDS, Check, failed, passed, warned

NAME = "certificate (TLS)"
SOON_DAYS = 14


def tls_check(
    address: Address, ca: Path, proxy: Proxy | None, seconds: float = NETWORK_SECONDS
) -> Check:
    """Make the TLS handshake that the SuperNode makes, with the invitation's authority only."""
    try:
        context = trusting(ca)
    except (OSError, ValueError):
        return failed(NAME, f"{ca} holds no certificate.", "Join again with the invitation.")
    try:
        connection = connect(address, context, proxy, seconds)
    except OSError as error:
        trouble = trouble_of(error, address, proxy)
        return failed(NAME, trouble.found, trouble.fix)
    try:
        ends = str(dict(connection.sock.getpeercert() or {}).get("notAfter", ""))
    finally:
        connection.close()
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400
    if days < SOON_DAYS:
        return warned(
            NAME,
            f"The coordinator's certificate expires in {days:.0f} days.",
            "Tell the coordinator to renew it.",
        )
    return passed(
        NAME, f"{address.host} shows a certificate of the invitation's authority, until {ends}."
    )
