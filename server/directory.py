"""Which sites are there now: site names to Flower's nodes.

In deployment a name follows from the key that the coordinator admitted; in simulation, from the
place in the roster. The federation asks names only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Present:
    """A site's node, and when its process joined: a later `since` means that it started anew."""

    node: int
    since: str


class Directory(Protocol):
    """Says which sites are online."""

    def present(self) -> dict[str, Present]:
        """Give the nodes that are online now, by the name of their site."""
        ...
