"""Serves the dashboard: on this machine alone, or beyond it under TLS and with a token."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from common.errors import WrongUse
from server.network.folder import CoordinatorFolder, join

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PORT = 9445
LEAST_TOKEN = 32
"""Characters of a token: `openssl rand -hex 32` gives 64."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CLOSE_SECONDS = 1


@dataclass(frozen=True)
class Place:
    """Where the dashboard listens and how it is protected; `certificate` and `key` for TLS."""

    host: str = "127.0.0.1"
    port: int = PORT
    token: str = ""
    certificate: Path | None = None
    key: Path | None = None

    @property
    def secure(self) -> bool:
        """Whether it is served over TLS."""
        return self.certificate is not None

    @property
    def address(self) -> str:
        """What a browser is given."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{'https' if self.secure else 'http'}://{join(shown, self.port)}/"


def place_of(
    host: str, port: int, token_file: Path | None, tls: bool, folder: CoordinatorFolder | None
) -> Place:
    """See that the dashboard may be served so.

    Raises
    ------
    WrongUse
        It would be seen beyond this machine without both a token and TLS, or one of them cannot be
        used.
    """
    token = "" if token_file is None else _token(token_file)
    if tls and folder is None:
        raise WrongUse(
            "TLS takes a coordinator's certificate, and none belongs to this folder.",
            "Give the coordinator's folder as well, or look from this machine only.",
        )
    if not _is_loopback(host) and not (token and tls):
        lacking = " and ".join(
            one for one, given in (("--token-file", token), ("--tls", tls)) if not given
        )
        raise WrongUse(
            f"{host} can be reached from beyond this machine, where the dashboard is shown under "
            "TLS and to whoever has its token only.",
            f"Add {lacking}, or leave --host out and come in by an SSH tunnel.",
        )
    if tls and folder is not None:
        return Place(host, port, token, folder.certificate, folder.server_key)
    return Place(host, port, token)


def hosts_of(place: Place, folder: CoordinatorFolder | None) -> tuple[str, ...]:
    """List the names under which the dashboard may be asked for."""
    own = () if folder is None or _is_loopback(place.host) else folder.settings.hosts
    return tuple(dict.fromkeys([*LOOPBACK, place.host, *own]))


def serve(app: ASGIApp, place: Place, stop: Event, came_up: Callable[[], None]) -> None:
    """Serve until `stop` is set.

    Raises
    ------
    WrongUse
        The port is in use, or the address is none of this machine.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        host=place.host,
        port=place.port,
        ssl_certfile=None if place.certificate is None else str(place.certificate),
        ssl_keyfile=None if place.key is None else str(place.key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )

    server = uvicorn.Server(config)
    listening = _listen(place)
    # In a thread of its own it leaves the signals to us.
    serving = Thread(target=server.run, args=([listening],), name="dashboard")
    serving.start()
    while serving.is_alive() and not server.started:
        stop.wait(0.02)
    if server.started:
        came_up()
    while serving.is_alive() and not stop.wait(0.2):
        pass
    server.should_exit = True
    serving.join()


def _listen(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((place.host, place.port))
    except OSError as error:
        listening.close()
        raise WrongUse(
            f"The dashboard cannot listen on {join(place.host, place.port)} ({error.strerror}).",
            "Give another port with --port, or an address of this machine with --host.",
        ) from None
    return listening


def _token(path: Path) -> str:
    try:
        others = path.stat().st_mode & 0o077
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise WrongUse(f"{path} cannot be read.", "Make one: openssl rand -hex 32") from None
    if others:
        raise WrongUse(f"{path} can be read by others than its owner.", f"chmod 600 {path}")
    if len(token) < LEAST_TOKEN:
        raise WrongUse(
            f"The token in {path} has {len(token)} characters.",
            f"It must have {LEAST_TOKEN} or more: openssl rand -hex 32",
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
