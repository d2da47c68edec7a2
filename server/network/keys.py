"""Who is online, by name: a node is the site whose admitted key it connected with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from server.directory import Present

log = logging.getLogger("myofed.coordinator")


class Seen(Protocol):
    """What Flower says of a node that is online."""

    node_id: int
    public_key: bytes
    last_activated_at: str


class Nodes(Protocol):
    """The part of Flower's Grid that lists the nodes with their keys."""

    def get_nodes(self) -> Iterable[Seen]:
        """List the nodes that are online."""
        ...


class KeyDirectory:
    """Names the nodes that are online by their registered keys.

    Parameters
    ----------
    grid
        Flower's grid.
    admitted
        Gives the names of the admitted sites by their public keys (PEM); asked anew each time.
    """

    def __init__(self, grid: Nodes, admitted: Callable[[], Mapping[bytes, str]]) -> None:
        self._grid = grid
        self._admitted = admitted
        self._said: set[int] = set()

    def present(self) -> dict[str, Present]:
        """Give the sites that are online now.

        A node whose key is not admitted does not count. Flower refuses a second node with a key
        that is registered; should there be two, the one that joined last counts.
        """
        names = self._admitted()
        found: dict[str, Present] = {}
        for node in self._grid.get_nodes():
            name = names.get(node.public_key)
            if name is None:
                self._say(node.node_id, f"node {node.node_id} is ignored: its key is not admitted")
                continue
            one, before = Present(node.node_id, node.last_activated_at), found.get(name)
            if before is not None:
                self._say(node.node_id, f"{name} has two nodes; the one that joined last counts")
            if before is None or (one.since, one.node) > (before.since, before.node):
                found[name] = one
        return found

    def _say(self, node: int, words: str) -> None:
        if node not in self._said:
            self._said.add(node)
            log.warning(words)
