"""Flower's `flwr-clientapp`, for a node at Flower's own pace: it runs no foreign app.

There Flower starts a process for each message, unpacks in it what the coordinator sent, and runs
it. The node puts a command of that name first on its path, which does the same once the sent app
has been compared, byte for byte, with what the installed release sends.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

from common.bundle import bundle_hash
from common.errors import MyoFedError

COMMAND = "flwr-clientapp"


class ForeignApp(MyoFedError):
    """What the coordinator sent is not the app of the installed release."""

    code = "foreign-app"
    public = "The run brings another app than that of the site's release of MyoFed."

    def __str__(self) -> str:
        # Flower tells the coordinator what an exception says.
        return self.public


def put_first(folder: Path) -> None:
    """Write the command into a folder of the node's room, for the path."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / COMMAND
    path.write_text(
        f"#!{sys.executable}\nfrom client.node.checked_app import main\nmain()\n", encoding="utf-8"
    )
    path.chmod(0o700)


def require_ours(content: bytes) -> None:
    """Compare an app with the installed release's.

    Raises
    ------
    ForeignApp
        It is another one.
    """
    if hashlib.sha256(content).hexdigest() != bundle_hash():
        raise ForeignApp("The coordinator sent another app.", "Ask it which release it runs.")


def main() -> None:
    """Run Flower's command with the comparison before it unpacks anything."""
    runtime: Any = importlib.import_module("flwr.supernode.runtime.run_clientapp")
    unpack = runtime.install_from_fab  # a Flower without it runs nothing here

    def unpack_ours(content: bytes, *more: Any, **options: Any) -> Any:
        require_ours(content)
        return unpack(content, *more, **options)

    runtime.install_from_fab = unpack_ours
    command: Any = importlib.import_module("flwr.supernode.cli")
    command.flwr_clientapp()
