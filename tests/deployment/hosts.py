"""A host of its own on this machine: a network namespace at the end of a line that can be spoiled.

The line joins two TUN devices, one here and one in the namespace, and carries their packets in this
process. `tc netem` would do as much, but the kernels of many virtual machines come without it.
"""

from __future__ import annotations

import fcntl
import heapq
import ipaddress
import os
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

TUN = Path("/dev/net/tun")
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
LARGEST_PACKET = 65536

NAMESPACE = re.compile(r"myofed-test-(\d+)-\d+")
"""A namespace bears the number of the process that made it: so leftovers are known as such."""
NETWORKS = list(ipaddress.IPv4Network("10.213.0.0/16").subnets(new_prefix=30))


class Unavailable(Exception):
    """Says why there can be no hosts here."""


@dataclass(frozen=True)
class Quality:
    """How good a line is, in each of its directions.

    Attributes
    ----------
    delay, jitter : seconds that a packet takes, and how much more or less it may be
    loss : share of the packets that get lost
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0


WHOLE = Quality()
CUT = Quality(loss=1.0)
"""Packets vanish and nobody is told, as when a cable is cut some way off. Were a device set down
instead, the kernel would know: its routes and addresses would go, and every send would fail at
once rather than be waited for."""


class Line(threading.Thread):
    """Carries the packets between two TUN devices until it is closed.

    Attributes
    ----------
    carried, lost : packets so far
    """

    def __init__(self, near: int, far: int) -> None:
        super().__init__(name="line", daemon=True)
        self.quality = WHOLE
        self.carried = self.lost = 0
        self._other = {near: far, far: near}
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._numbers = count()
        self._chance = random.Random(1)
        self._closing, self._close = os.pipe()
        self.start()

    @contextmanager
    def spoiled(self, quality: Quality) -> Iterator[None]:
        """Make the line worse for a while."""
        self.quality = quality
        try:
            yield
        finally:
            self.quality = WHOLE

    def close(self) -> None:
        """End the line; its devices vanish."""
        os.close(self._close)
        self.join()
        for one in (self._closing, *self._other):
            os.close(one)

    def run(self) -> None:
        """Take packets, and give them when they are due."""
        while True:
            wait = self._under_way[0][0] - time.monotonic() if self._under_way else None
            ends = [*self._other, self._closing]
            ready = select.select(ends, [], [], None if wait is None else max(wait, 0.0))[0]
            if self._closing in ready:
                return
            for end in ready:
                self._take(os.read(end, LARGEST_PACKET), self._other[end])
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                self._give(*heapq.heappop(self._under_way)[2:])

    def _take(self, packet: bytes, to: int) -> None:
        quality = self.quality
        if self._chance.random() < quality.loss:
            self.lost += 1
            return
        takes = quality.delay + self._chance.uniform(-quality.jitter, quality.jitter)
        heapq.heappush(self._under_way, (time.monotonic() + takes, next(self._numbers), to, packet))

    def _give(self, to: int, packet: bytes) -> None:
        if self.quality is CUT:
            self.lost += 1
            return
        os.write(to, packet)
        self.carried += 1


class Host:
    """A host that reaches this one, and nothing else, over its line.

    Attributes
    ----------
    line : the way between the two
    near, far : the addresses of its ends: of this machine, and of the host
    """

    def __init__(self) -> None:
        _require()
        remove_leftovers()
        self.name = f"myofed-test-{os.getpid()}-{next(_numbers)}"
        self.near, self.far = _free_addresses()
        try:
            _ip("netns", "add", self.name)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"no network namespace can be made: {error.stderr}") from None
        try:
            self.line = self._laid()
        except BaseException:
            _remove(self.name)
            raise

    def command(self, *arguments: object) -> list[str]:
        """Give the command that runs another one on the host; it becomes that other process."""
        return ["ip", "netns", "exec", self.name, *(str(one) for one in arguments)]

    def remove(self) -> None:
        """End what still runs on the host, and the host."""
        try:
            self.line.close()
        finally:
            _remove(self.name)

    def _laid(self) -> Line:
        """Lay the line, and give its ends their addresses."""
        here, near = _tun()
        try:
            there, far = _tun()
        except BaseException:
            os.close(here)
            raise
        try:
            _ip("link", "set", far, "netns", self.name)
            inside = ("-n", self.name)
            _ip(*inside, "link", "set", "lo", "up")
            for where, device, address in (((), near, self.near), (inside, far, self.far)):
                _ip(*where, "addr", "add", f"{address}/30", "dev", device)
                _ip(*where, "link", "set", device, "up")
        except BaseException:
            os.close(here)
            os.close(there)
            raise
        return Line(here, there)


def remove_leftovers() -> None:
    """Remove the hosts of test processes that were killed; their lines went with them."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        made = NAMESPACE.fullmatch(name)
        if made and not Path("/proc", made[1]).exists():
            _remove(name)


_numbers = count()


def _require() -> None:
    if os.geteuid() != 0:
        raise Unavailable("only root can make network namespaces")
    if shutil.which("ip") is None:
        raise Unavailable("there is no command 'ip' (iproute2)")
    if not TUN.exists():
        raise Unavailable(f"there is no {TUN}: this kernel or container has no TUN devices")


def _remove(name: str) -> None:
    for process in _ip("netns", "pids", name).split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
    _ip("netns", "delete", name)


def _free_addresses() -> tuple[str, str]:
    """Find two addresses of a private network that this machine has nothing to do with."""
    taken = _ip("-4", "-oneline", "addr") + _ip("-4", "route")
    for place in range(len(NETWORKS)):
        # Test processes that run at once begin at different places.
        network = NETWORKS[(os.getpid() + place) % len(NETWORKS)]
        near, far = (str(address) for address in network.hosts())
        if f"{near}/" not in taken and str(network) not in taken:
            return near, far
    raise Unavailable("there is no free private network")


def _tun() -> tuple[int, str]:
    """Make a TUN device; it is there for as long as its file is open."""
    try:
        file = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"{TUN} cannot be opened: {error.strerror}") from None
    try:
        asked = struct.pack("16sH22x", b"myofed%d", IFF_TUN | IFF_NO_PI)
        made = fcntl.ioctl(file, TUNSETIFF, asked)
    except OSError as error:
        os.close(file)
        raise Unavailable(f"no TUN device can be made: {error.strerror}") from None
    return file, made[:16].rstrip(b"\0").decode()


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
