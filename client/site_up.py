"""A site's two processes, kept running, and what happens to them in plain lines."""

from __future__ import annotations

import fcntl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from client.doctor.route import Address
from client.link.place import SOCKET, target_of
from client.node.words import last_words
from client.rooms import NodeRoom, Part, link_of
from common.errors import WrongUse
from common.health import SERVING, health_of
from common.supervise import Child, Supervisor
from common.threads import ENVIRONMENT

_ADDED = {"PYTHONUNBUFFERED": "1", **ENVIRONMENT}
"""To the environment of both."""

LOOK_SECONDS = 0.5
WORKER_SECONDS = 1.0
AGAIN_SECONDS = 20.0
_SERVED = "Stop the other 'myofed site up' first; a site has one of each."


def up(
    site: Path,
    stop: threading.Event,
    tell: Callable[[str], None],
    only: Part | None = None,
    link: Path | None = None,
    health: str = "",
) -> None:
    """Run worker and node, or one of them, until `stop` is set; all they started ends with them.

    Raises
    ------
    WrongUse
        The site has not joined a coordinator, or is up already, or `health` is no address.
    LinkError
        The link's folder has too long a path.
    CohortError
        There is no cohort for the worker.
    """
    folder = (link or link_of(site)).absolute()
    target_of(folder)
    parts = [only] if only else [Part.WORKER, Part.NODE]
    children, looks = [], []
    for part in parts:
        if part is Part.WORKER:
            child, look = _worker(site.absolute(), folder)
        else:
            child, look = _node(site.absolute(), folder, health)
        children.append(child)
        looks.append(look)
    supervisor = Supervisor(children, tell)
    watching = threading.Thread(target=_watch, args=(looks, tell, stop))
    watching.start()
    try:
        supervisor.run(stop)
    finally:
        stop.set()
        watching.join()


def _worker(site: Path, link: Path) -> tuple[Child, Callable[[], str]]:
    from client.cohort.site_folder import SiteFolder

    SiteFolder.open(site)
    if _worker_serves(link):
        raise WrongUse(f"A worker serves {link} already.", _SERVED)
    argv = (sys.executable, "-m", "client.worker.process", str(site), "--link", str(link))
    child = Child(Part.WORKER.value, argv, _ADDED, site / "worker.log")
    return child, WorkerLook(link)


def _node(site: Path, link: Path, health: str) -> tuple[Child, Callable[[], str]]:
    room = NodeRoom.of(site)
    room.joined()
    _refuse_second_node(room)
    room.state.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "client.node.process", str(room.path), "--link", str(link)]
    if health:
        argv += ["--health", str(Address.parse(health))]
    child = Child(Part.NODE.value, argv, _ADDED, room.log)

    def look() -> str:
        state, words = last_words(room)
        return f"node: {state}: {words}" if state else ""

    return child, look


class WorkerLook:
    """Says that the worker of a link is ready, where it is.

    While it is the one that was ready, it is asked seldom: an answer takes it a few milliseconds of
    the core on which it computes.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._socket = self._stamp()
        self._until = float("-inf")

    def __call__(self) -> str:
        """Give the line to tell; empty while no worker is ready."""
        if (socket := self._stamp()) != self._socket:
            # Another worker: that it is ready is worth telling again.
            self._socket, self._until = socket, float("-inf")
            return ""
        if time.monotonic() >= self._until:
            if not _worker_serves(self._link):
                return ""
            self._until = time.monotonic() + AGAIN_SECONDS
        return "worker: ready"

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = (self._link / SOCKET).stat()
        except OSError:
            return None
        return found.st_ino, found.st_ctime_ns


def _worker_serves(link: Path) -> bool:
    return health_of(target_of(link), WORKER_SECONDS) == SERVING


def _watch(
    looks: list[Callable[[], str]], tell: Callable[[str], None], stop: threading.Event
) -> None:
    """Tell each change once."""
    before = [""] * len(looks)
    while not stop.wait(LOOK_SECONDS):
        for place, look in enumerate(looks):
            now = look()
            if now and now != before[place]:
                tell(now)
            before[place] = now


def _refuse_second_node(room: NodeRoom) -> None:
    if not room.lock.exists():
        return
    with room.lock.open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WrongUse(f"A node runs with {room.path} already.", _SERVED) from None
