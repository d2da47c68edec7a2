"""Where the two rooms meet: a folder with a socket in it, or a private network address.

The folder is the site's own, and holds the token too. Who prepares it for two users of one group
(two containers, for example) makes it writable for that group; otherwise nobody but its owner may
enter.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from common.errors import MyoFedError

SOCKET, LOCK = "worker.sock", "worker.lock"
LONGEST_SOCKET = 107
"""Bytes that the system's calls take for the path of a Unix socket."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


class LinkError(MyoFedError):
    """The node and the worker of a site cannot reach each other."""

    code = "worker-unreachable"
    public = "The site's node could not reach its worker. The node's own log says why."


def target_of(folder: Path, address: str | None = None) -> str:
    """Give the place as gRPC names it.

    Raises
    ------
    LinkError
        The socket's path is too long, or the address is none or a public one.
    """
    if address is not None:
        return _private(address)
    path = os.fsencode(folder / SOCKET)
    if len(path) > LONGEST_SOCKET:
        raise LinkError(
            f"The socket {os.fsdecode(path)} has a path of {len(path)} bytes; the system takes at "
            f"most {LONGEST_SOCKET}.",
            "Name a shorter folder with --link, the same for the worker and the node.",
        )
    return f"unix:{quote(path)}"


def opened(folder: Path | str) -> Path:
    """Make the folder for its owner alone if it is not there; give its absolute path.

    Raises
    ------
    LinkError
        Everybody could write into it, or it cannot be made.
    """
    path = Path(os.path.abspath(folder))
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode
    except OSError as error:
        raise LinkError(
            f"The folder {path} cannot be used ({error.strerror}).", "Name another with --link."
        ) from None
    if mode & 0o002:
        raise LinkError(
            f"Everybody can write into {path}, so anybody could stand in for the worker.",
            f"chmod o-w {path}, or name a folder of the site's own with --link.",
        )
    return path


def is_shared(folder: Path) -> bool:
    """Say whether the folder was prepared for a group."""
    return bool(folder.stat().st_mode & 0o020)


class OnlyServer:
    """Held by the one server of a folder; the system lets it go when that process ends, however."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._handle = -1

    def __enter__(self) -> OnlyServer:
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            busy = isinstance(error, BlockingIOError)
            raise LinkError(
                f"Another worker serves {self._path.parent} already."
                if busy
                else f"{self._path} cannot be locked ({error.strerror}).",
                "Stop that one first; a site has one worker."
                if busy
                else "Name a folder on a local disk with --link.",
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)


def _private(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > 65535:
        raise LinkError(f"{address!r} is not an address.", "Give HOST:PORT, e.g. worker:9200.")
    try:
        public = ipaddress.ip_address(found["host"].strip("[]")).is_global
    except ValueError:
        public = False  # a name: of a container, as a rule
    if public:
        raise LinkError(
            f"{address} is a public address, and the link is not encrypted.",
            "Give an address of a network that only the node and the worker are in.",
        )
    return address
