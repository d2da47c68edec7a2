"""The worker's room: can other accounts of this computer look into it."""

from __future__ import annotations

from pathlib import Path

from client.rooms import NODE
from common.check import Check, passed, warned

NAME = "data"


def room_check(site: Path) -> Check:
    """See that the site's folder is closed, and that the node is not of the same account.

    Whoever runs as the node's user could otherwise read what the worker keeps from the network.
    """
    found = site.stat()
    if found.st_mode & 0o077:
        return warned(
            NAME,
            f"Other accounts of this computer may look into {site}.",
            f"chmod 700 {site}",
        )
    node = site / NODE
    if node.is_dir() and node.stat().st_uid == found.st_uid:
        return warned(
            NAME,
            f"Only its owner can look into {site}, but the node is run by the same account.",
            "Give the node an account, or a container, of its own: docs/site.md says how.",
        )
    return passed(NAME, f"Only its owner can look into {site}.")
