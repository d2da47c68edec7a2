"""Sites with a node on the loopback network, and an echo for a worker."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flwr.app import ConfigRecord, RecordDict
from loopback_superlink import SuperLink
from loopback_tls import Authority, until

from client.link.service import LinkServer
from client.node.words import CONNECTED, last_words
from client.rooms import NodeRoom, NodeSettings, Part, link_of
from client.site_up import up
from common.identity import fingerprint, make_key, node_key

ROOT = Path(__file__).parents[3]


def question(number: int = 0) -> RecordDict:
    return RecordDict({"question": ConfigRecord({"number": number})})


def make_room(site: Path, name: str, address: str, ca: str) -> str:
    """A node's room as `site init` and `site join` leave it; gives the public key."""
    room = NodeRoom.of(site)
    room.make()
    line = make_key(room.key)
    room.save(NodeSettings(name, address))
    room.ca.write_text(ca)
    return line


class Site:
    """A site whose worker gives every question back."""

    def __init__(self, folder: Path, name: str, address: str, authority: Authority) -> None:
        self.path = folder / name
        self.room = NodeRoom.of(self.path)
        self.public_key = make_room(self.path, name, address, authority.ca.read_text())
        self.server = LinkServer(lambda stage, record: record, link_of(self.path))
        self.server.start()
        self.number = 0
        self.told: list[str] = []

    @property
    def key(self) -> str:
        return fingerprint(self.public_key)

    @property
    def log(self) -> str:
        return self.room.log.read_text(errors="replace") if self.room.log.exists() else ""

    @property
    def processes(self) -> list[int]:
        """Every process that the supervisor started, by its own words."""
        found = (re.search(r"node started \(process (\d+)\)", line) for line in list(self.told))
        return [int(match.group(1)) for match in found if match]

    def admit(self, superlink: SuperLink) -> None:
        self.number = superlink.admit(node_key(self.public_key))

    def says(self, words: str) -> bool:
        return words in last_words(self.room)[1]

    def connected(self) -> bool:
        return last_words(self.room)[0] == CONNECTED

    @contextmanager
    def up(self, *environment: tuple[str, str]) -> Iterator[None]:
        """Run the node under the site's own supervisor."""
        before = {name: os.environ.get(name) for name, _ in environment}
        os.environ.update(environment)
        stop = threading.Event()
        running = threading.Thread(
            target=up, args=(self.path, stop, self.told.append), kwargs={"only": Part.NODE}
        )
        running.start()
        try:
            yield
        finally:
            stop.set()
            running.join(30)
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            assert not running.is_alive()
            assert not [pid for pid in self.processes if group_lives(pid)]

    def close(self) -> None:
        self.server.stop()


def group_lives(group: int) -> bool:
    """Whether a process of the group is there that has not ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(found) == group and state != "Z":
            return True
    return False


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="myofed-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sites(
    superlink: SuperLink, names: Sequence[str], admitted: bool = True
) -> Iterator[list[Site]]:
    """Make sites; their nodes are not up yet."""
    with short_folder() as folder:
        made = [Site(folder, name, superlink.address, superlink.authority) for name in names]
        try:
            for site in made:
                if admitted:
                    site.admit(superlink)
            yield made
        finally:
            for site in made:
                site.close()


def start_node(room: NodeRoom, link: Path) -> subprocess.Popen[str]:
    """Start a node without a supervisor."""
    return subprocess.Popen(
        [sys.executable, "-m", "client.node.process", str(room.path), "--link", str(link)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not group_lives(pid), 10.0)
