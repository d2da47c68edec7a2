"""How Flower's own commands are called, for both ways of running a node."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from client.rooms import NodeRoom, NodeSettings

LOOPBACK = "127.0.0.1"
POLL_SECONDS = "0.25"


def environment(room: NodeRoom, link: Path) -> dict[str, str]:
    """Give what Flower reads from the environment: its home, no calls home, and no proxy to itself.

    The HTTP client of Flower would send even its calls to this computer to a proxy.
    """
    return {
        "FLWR_HOME": str(room.flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": POLL_SECONDS,
        "MYOFED_LINK": str(link),
        "NO_PROXY": _with_loopback(),
        "no_proxy": _with_loopback(),
        "PATH": os.pathsep.join(
            [str(room.commands), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        ),
    }


def arguments(room: NodeRoom, settings: NodeSettings, port: int) -> list[str]:
    """Give the arguments of `flower-supernode` that both ways have in common."""
    found = ["--superlink", settings.coordinator]
    found += ["--root-certificates", str(room.ca)]
    found += ["--auth-supernode-private-key", str(room.key)]
    found += ["--host", LOOPBACK, "--port", str(port)]
    if settings.health:
        found += ["--health-server-address", settings.health]
    return found


def free_port() -> int:
    """Find a free port on the loopback interface."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port: int = found.getsockname()[1]
        return port


def _with_loopback() -> str:
    held = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    entries = [entry.strip() for entry in held.split(",") if entry.strip()]
    return ",".join(dict.fromkeys([*entries, LOOPBACK, "localhost"]))
