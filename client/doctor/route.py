"""The way to the coordinator: directly, or through the proxy that the environment names.

The SuperNode's HTTP client follows HTTPS_PROXY, ALL_PROXY and NO_PROXY. Every check takes the same
way, or it would praise a path that is not taken, or blame one.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from common.check import NETWORK_SECONDS
from common.errors import WrongUse

_ADDRESS = re.compile(
    r"(\[(?P<number>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})"
)


@dataclass(frozen=True)
class Address:
    """Where the coordinator listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port``; an IPv6 host stands in brackets.

        Raises
        ------
        WrongUse
            It is not of that form.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 2**16:
            raise WrongUse(
                f"{text!r} is not an address of the form host:port.",
                "For example coordinator.example.org:9092; ask the coordinator for a new "
                "invitation.",
            )
        return cls(found["number"] or found["name"], int(found["port"]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Proxy:
    """A proxy that the environment names. What it needs to log in is not shown."""

    host: str
    port: int
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_to(address: Address) -> Proxy | None:
    """Find the proxy that the SuperNode would use, by the rules of its HTTP client (httpx)."""
    named = getproxies()
    url = named.get("https") or named.get("all")
    excepted = [entry.strip() for entry in named.get("no", "").split(",")]
    if not url or any(_excepts(entry, address) for entry in excepted if entry):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    default = 443 if parts.scheme == "https" else 80
    return Proxy(parts.hostname or "", parts.port or default, headers)


def connect(
    address: Address, context: ssl.SSLContext, proxy: Proxy | None, seconds: float = NETWORK_SECONDS
) -> http.client.HTTPSConnection:
    """Open a TLS connection to the coordinator the way the SuperNode would.

    Raises
    ------
    OSError
        As the sockets and `ssl` raise it.
    """
    if proxy is None:
        direct = http.client.HTTPSConnection(
            address.host, address.port, timeout=seconds, context=context
        )
        direct.connect()
        return direct
    through = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=seconds, context=context)
    through.set_tunnel(address.host, address.port, proxy.headers)
    through.connect()
    return through


def trusting(ca: Path) -> ssl.SSLContext:
    """Trust the coordinator's certificate authority and no other.

    Raises
    ------
    OSError, ssl.SSLError
        There is no certificate in the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca.read_text(encoding="ascii"))
    return context


def _excepts(entry: str, address: Address) -> bool:
    """Say whether an entry of NO_PROXY takes this address out."""
    if entry == "*":
        return True
    host, at = entry.lower(), address.host.lower()
    if "://" in host:
        parts = urlsplit(host)
        if parts.scheme not in {"all", "https"} or (parts.port or address.port) != address.port:
            return False
        return not parts.hostname or parts.hostname == at
    if _is_number(host) or host == "localhost":
        return host.strip("[]") == at
    host, _, port = host.partition(":")
    if port and port != str(address.port):
        return False
    return at.endswith(host) if host.startswith(".") else at == host or at.endswith(f".{host}")


def _is_number(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
