"""The door of the SuperLink: who may reach which part of it.

Flower serves three interfaces on one port. *Fleet* is for the sites, and Flower checks their
signatures. *Control* starts runs, that is code, and is open to everybody by default. *Runtime* is
for the processes that the coordinator starts itself. The guard lets sites with an admitted key to
Fleet only, and this machine to the rest; Control needs a secret as well. All else is not there.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Container
from datetime import UTC, datetime
from enum import Enum
from ipaddress import IPv6Address, ip_address

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from common.identity import line_fingerprint
from server.network.asgi import Application, Message, Receive, Scope, Send

TOKEN_HEADER = "x-myofed-control"
"""Carries the secret that opens Control."""

KEY_HEADER, TIME_HEADER = "flwr-public-key", "flwr-timestamp"
BEHIND_SECONDS, AHEAD_SECONDS = 305.0, 5.0
"""How far Flower lets a site's clock be behind and ahead."""

JOINING = ("/v1/fleet/register-node", "/v1/fleet/activate-node")
NODE_REFUSED = 2004
"""Flower's code for a node that may not join; the node shows the text beside it and ends."""

LARGEST_REQUEST = 2**26
"""Bytes that a site may send at once; Flower cuts arrays into pieces of 5 MB. A site's public key
is no secret, and its signature is looked at when all has come."""

REFUSED = {403: "Refused.", 404: "Not found.", 413: "Too large."}
QUIET_SECONDS = 60.0
MOST_REMEMBERED = 1000

log = logging.getLogger("myofed.guard")


class Family(Enum):
    """The parts of the SuperLink."""

    FLEET = "/v1/fleet/"
    CONTROL = "/v1/control/"
    RUNTIME = "/v1/runtime/"
    HEALTH = "/health"
    CLOSED = ""


def family_of(path: str) -> Family:
    """Say which part a path belongs to; CLOSED is for everything that nobody needs."""
    if path == Family.HEALTH.value:
        return Family.HEALTH
    for family in (Family.FLEET, Family.CONTROL, Family.RUNTIME):
        if path.startswith(family.value) and path != family.value:
            return family
    return Family.CLOSED


class Guard:
    """Wraps the SuperLink's application and lets through only what may pass.

    Parameters
    ----------
    token
        The secret that opens Control.
    admitted
        Gives the public keys (PEM) that may connect, as they are now.
    local_host
        The address by which this machine reaches the SuperLink, if it is no loopback address.
    """

    def __init__(
        self,
        app: Application,
        token: str,
        admitted: Callable[[], Container[bytes]],
        local_host: str = "127.0.0.1",
    ) -> None:
        self.app = app
        self.admitted = admitted
        self.local_host = local_host
        self._token = token.encode()
        self._told: dict[tuple[str, str], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        status, words = self._judge(scope)
        if status == 0:
            await self.app(scope, _at_most(LARGEST_REQUEST, receive), send)
            return
        content = _refusal(words) if words else {"detail": REFUSED[status]}
        await _answer(send, status, json.dumps(content).encode())

    def _judge(self, scope: Scope) -> tuple[int, str]:
        """Give 0 for a request that may pass; else the status to refuse it with, and why."""
        path, peer = str(scope["path"]), _peer(scope)
        family = family_of(path)
        headers = {name.decode("latin-1").lower(): value for name, value in scope["headers"]}
        if family is Family.HEALTH:
            return 0, ""
        if family is Family.FLEET:
            status, words = self._judge_site(path, peer, headers)
            if status == 0 and _announced(headers) > LARGEST_REQUEST:
                self._tell(peer, path, f"{peer} was refused {_shown(path)}: too large")
                return 413, ""
            return status, words
        if family is Family.CLOSED or not self._is_local(peer, headers):
            whose = "is open to nobody" if family is Family.CLOSED else "only this machine may use"
            self._tell(peer, path, f"{peer} was refused {_shown(path)}, which {whose}")
            return 404, ""
        if family is Family.CONTROL and not hmac.compare_digest(
            headers.get(TOKEN_HEADER, b""), self._token
        ):
            self._tell(peer, path, f"{peer} was refused {_shown(path)}: no control token")
            return 403, ""
        return 0, ""

    def _judge_site(self, path: str, peer: str, headers: dict[str, bytes]) -> tuple[int, str]:
        refused = 412 if path in JOINING else 401
        try:
            key = b64decode(headers[KEY_HEADER], validate=True)
            known = key in self.admitted()
            # Of a key that is known nobody needs the fingerprint, and to make it takes a while.
            shown = "" if known else fingerprint_of(key)
        except (KeyError, ValueError, NotBase64):
            self._tell(peer, path, f"{peer} was refused {_shown(path)}: no key of a site")
            return refused, "This coordinator admits sites by their key only."
        if not known:
            self._tell(
                peer,
                shown,
                f"a node with the unknown key {shown} ({peer}) was refused; if the site confirms "
                "this fingerprint, admit it with: myofed coordinator admit FOLDER NAME.join.json",
            )
            return refused, (
                f"The coordinator does not know this site's key {shown}. Send it the join request "
                "that 'myofed site init' wrote, and compare the fingerprint by telephone."
            )
        off = _seconds_ahead(headers)
        if off is not None and not -BEHIND_SECONDS < off < AHEAD_SECONDS:
            way = f"{abs(off):.0f} seconds {'ahead of' if off > 0 else 'behind'}"
            shown = fingerprint_of(key)
            self._tell(peer, shown, f"the node with the key {shown} ({peer}) was refused: its "
                       f"clock is {way} this machine's")  # fmt: skip
            return refused, (
                f"This site's clock is {way} the coordinator's. Set both by a time server (NTP)."
            )
        return 0, ""

    def _is_local(self, peer: str, headers: dict[str, bytes]) -> bool:
        if "x-forwarded-for" in headers or "forwarded" in headers:
            return False
        return peer == self.local_host or is_loopback(peer)

    def _tell(self, peer: str, subject: str, words: str) -> None:
        """Log a refusal, the same one once a minute: an open port is knocked at all day."""
        now = time.monotonic()
        if len(self._told) > MOST_REMEMBERED:
            self._told.clear()
        if now - self._told.get((peer, subject), -QUIET_SECONDS) >= QUIET_SECONDS:
            self._told[peer, subject] = now
            log.warning(words)


def fingerprint_of(key: bytes) -> str:
    """Fingerprint of a public key in PEM, as `ssh-keygen -l` shows it.

    Raises
    ------
    ValueError
        It is no public key.
    """
    try:
        line = load_pem_public_key(key).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except (UnsupportedAlgorithm, TypeError) as error:
        raise ValueError("no public key") from error
    return line_fingerprint(line.decode())


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "somebody"


def _shown(path: str) -> str:
    """Show a path in the log: printable, and not longer than a line."""
    return ascii(path[:100])[1:-1]


def _seconds_ahead(headers: dict[str, bytes]) -> float | None:
    try:
        then = datetime.fromisoformat(headers[TIME_HEADER].decode("ascii"))
        return (then - datetime.now(UTC)).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def _announced(headers: dict[str, bytes]) -> int:
    """How many bytes a request says that it has; 0 if it does not say."""
    try:
        return int(headers.get("content-length", b"0"))
    except ValueError:
        return 0


def _at_most(most: int, receive: Receive) -> Receive:
    """Let so many bytes of a request through; after that its sender is as good as gone."""
    left = most

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    return limited


def _refusal(words: str) -> dict[str, str | int]:
    """Write a refusal as Flower's nodes read it, so that the site's own log says why."""
    return {"code": NODE_REFUSED, "detail": "The coordinator refused this node.", "extra": words}


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
