"""The coordinator's port: can a connection be opened."""

from __future__ import annotations

import socket

from client.doctor.route import Address, Proxy
from client.doctor.trouble import trouble_of
from common.check import NETWORK_SECONDS, Check, failed, passed

NAME = "port"


def port_check(address: Address, proxy: Proxy | None, seconds: float = NETWORK_SECONDS) -> Check:
    """Open a TCP connection, to the coordinator or to the proxy on the way to it."""
    host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as error:
        trouble = trouble_of(error, address, proxy)
        return failed(NAME, trouble.found, trouble.fix)
    return passed(NAME, f"{f'The proxy {proxy}' if proxy else address} accepts connections.")
