"""The environment of Flower's processes at the coordinator, and of our own when it speaks to them.

Flower is told to be quiet (no telemetry, no search for updates), to install nothing, and to keep
its files in the coordinator's folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from common import threads
from server.network.folder import CoordinatorFolder

FOLDER_VARIABLE = "MYOFED_COORDINATOR"
"""Names the coordinator's folder to a ServerApp, which Flower starts."""

TASK_POLL_SECONDS = "0.25"


def flower_environment(folder: CoordinatorFolder) -> dict[str, str]:
    """Give what to add to the environment of a process of Flower's."""
    programs = str(Path(sys.executable).parent)
    given = [os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")]
    around = ["localhost", "127.0.0.1", "::1", folder.local_host, *",".join(given).split(",")]
    no_proxy = ",".join(dict.fromkeys(host for host in around if host))
    return {
        FOLDER_VARIABLE: str(folder.path),
        "FLWR_HOME": str(folder.flower_home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": TASK_POLL_SECONDS,
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        # Flower starts a program by its name, so ours must be the first that is found. And a
        # proxy of the hospital's must not come between this machine and itself.
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
        **threads.ENVIRONMENT,
        # Else each of many threads keeps memory of its own that it no longer needs.
        "MALLOC_ARENA_MAX": "2",
    }


def quiet_flower(folder: CoordinatorFolder) -> None:
    """Set the environment for this very process; call it before Flower is imported."""
    os.environ.update(flower_environment(folder))
