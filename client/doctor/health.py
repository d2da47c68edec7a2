"""The coordinator's own word: does it say that it is well."""

from __future__ import annotations

import http.client
from pathlib import Path

from client.doctor.route import Address, Proxy, connect, trusting
from client.doctor.trouble import trouble_of
from common.check import NETWORK_SECONDS, Check, failed, passed
from common.health import SERVING, health_of

WEB_NAME, GRPC_NAME = "coordinator", "coordinator (gRPC health)"
_ASK = "Ask the coordinator; its own 'myofed coordinator' commands say more."


def web_check(
    address: Address, ca: Path, proxy: Proxy | None, seconds: float = NETWORK_SECONDS
) -> Check:
    """Ask the SuperLink's own health page, over the connection that the study will use."""
    try:
        connection = connect(address, trusting(ca), proxy, seconds)
        try:
            connection.request("GET", "/health")
            status = connection.getresponse().status
        finally:
            connection.close()
    except OSError as error:
        return failed(WEB_NAME, trouble_of(error, address, proxy).found, "Solve that first.")
    except (ValueError, http.client.HTTPException) as error:
        return failed(WEB_NAME, f"What answers at {address} is no SuperLink ({error}).", _ASK)
    if status != http.client.OK:
        return failed(WEB_NAME, f"The coordinator's health page answers with {status}.", _ASK)
    return passed(WEB_NAME, "The SuperLink answers and is well.")


def grpc_check(health: str, seconds: float = NETWORK_SECONDS) -> Check:
    """Ask the standard gRPC health service at `health`, host:port, which speaks without TLS."""
    found = health_of(health, seconds)
    if found == SERVING:
        return passed(GRPC_NAME, f"The coordinator at {health} is serving.")
    if found.isupper():
        return failed(GRPC_NAME, f"The coordinator calls itself {found}.", _ASK)
    return failed(GRPC_NAME, f"The health service at {health} does not answer ({found}).", _ASK)
