"""Coordinators in temporary folders, on free ports of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.identity import JoinRequest, identity_line, make_key
from common.study import Study
from common.study_file import parse_study
from server.network.folder import CoordinatorFolder, Settings

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0
"""Longest wait for anything of a process; reached only when something is broken."""


def free_ports(count: int) -> list[int]:
    """Find ports that are free now, below the range from which the system gives out its own."""
    found: list[int] = []
    start = 12000 + (os.getpid() * 37) % 15000
    for port in range(start, start + 4000):
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free port")


def make_folder(path: Path, *hosts: str) -> CoordinatorFolder:
    port, health = free_ports(2)
    settings = Settings(hosts=hosts or ("localhost",), port=port, health_port=health)
    return CoordinatorFolder.create(path, settings)


def request_of(folder: Path, name: str, key: str | None = None) -> JoinRequest:
    """Make a site's node key below `folder`, and an identity, and give its join request."""
    return JoinRequest.of(name, make_key(folder / f"{key or name}.key"), new_identity())


def new_identity() -> str:
    """The public line of an identity key that nobody has."""
    return identity_line(Ed25519PrivateKey.generate().public_key())


def make_study(*names: str, deadline: float = 3600.0, name: str = "tiny") -> Study:
    """A study of training sites without secure summation."""
    return parse_study(study_text(*names, deadline=deadline, name=name))


def study_text(*names: str, deadline: float = 3600.0, name: str = "tiny") -> str:
    sites = "".join(f'[[sites]]\nname = "{one}"\nrole = "train"\n' for one in names)
    return (
        f'name = "{name}"\n{sites}[quorum.deadline_seconds]\nenrol = {deadline}\n'
        "[secure_sum]\nenabled = false\n"
    )


def until(what: Callable[[], object], seconds: float = PATIENCE) -> object:
    """Wait until something is true, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "myofed", *map(str, arguments)]


def myofed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE, check=False
    )


def processes_of(mark: Path | str) -> dict[int, str]:
    """Find the living processes that have a text in their command line or environment.

    Python's tracker of shared memory does not count that this very process started, in whatever
    environment it had then.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if b"resource_tracker" in line and int(parent) == os.getpid():
                continue
            if str(mark).encode() in line and state != "Z":
                shown = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = shown.decode(errors="replace")
        except OSError:
            continue
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
