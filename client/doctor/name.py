"""The coordinator's name: is it resolved here."""

from __future__ import annotations

import socket

from client.doctor.route import Address, Proxy
from client.doctor.trouble import trouble_of
from common.check import Check, failed, passed

NAME = "name (DNS)"


def name_check(address: Address, proxy: Proxy | None) -> Check:
    """Resolve the coordinator's name; behind a proxy that is the proxy's work, and its own name's.

    Resolving is the system's and cannot be given a deadline; whoever calls this must keep one.
    """
    host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        trouble = trouble_of(error, address, proxy)
        return failed(NAME, trouble.found, trouble.fix)
    numbers = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    if proxy:
        return passed(NAME, f"The proxy {host} is {numbers}; it resolves {address.host} itself.")
    return passed(NAME, f"{host} is {numbers}.")
