"""The proxy: does the environment send the site's connection through one."""

from __future__ import annotations

from client.doctor.route import Address, Proxy
from common.check import Check, passed, warned

NAME = "proxy"


def proxy_check(address: Address, proxy: Proxy | None) -> Check:
    """Say which way the connection goes. A proxy may be the only way out, so it is no fault."""
    if proxy is None:
        return passed(NAME, f"The way to {address.host} goes through no proxy.")
    return warned(
        NAME,
        f"HTTPS_PROXY or ALL_PROXY sends the connection to {address.host} through {proxy}.",
        f"If the coordinator is reached directly, set NO_PROXY={address.host}; if not, the proxy "
        "must allow CONNECT and must not open TLS.",
    )
