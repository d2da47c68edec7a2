"""The two rooms of a site on disk, and the door between them.

    sites/tufts/        the worker's room: cohort, identity key, approved studies, runs. No network
    sites/tufts/node/   the node's room: its own key, certificate authority, settings. No data
    sites/tufts/link/   the door: a socket and a token, shared by both

In containers each room is a volume of its own, so nothing here asks for the other one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from common.errors import WrongUse
from common.files import write_json

NODE, LINK = "node", "link"
_JOIN = "Join with the coordinator's invitation: myofed site join FOLDER invitation.json"


class Part(StrEnum):
    """One of a site's two processes, where they run apart."""

    WORKER = "worker"
    NODE = "node"

    @classmethod
    def of(cls, text: str) -> Part | None:
        """Read what a person wrote; None for nothing.

        Raises
        ------
        WrongUse
            It is neither.
        """
        try:
            return cls(text) if text else None
        except ValueError:
            raise WrongUse(
                f"There is no {text!r}.", "Write --only worker or --only node."
            ) from None


@dataclass(frozen=True)
class NodeSettings:
    """What the node must know. Addresses are host:port, and empty where there is none.

    `coordinator` is the SuperLink's, `coordinator_health` its gRPC health service; `health` is
    where the node's own health service listens.
    """

    site: str
    coordinator: str = ""
    coordinator_health: str = ""
    health: str = ""


@dataclass(frozen=True)
class NodeRoom:
    """The node's folder, and what lies where in it."""

    path: Path

    @classmethod
    def of(cls, site: Path) -> NodeRoom:
        """Give the node's room of a site folder."""
        return cls(Path(os.path.abspath(site)) / NODE)

    @property
    def key(self) -> Path:
        """The node's private key; mode 0600, never sent, never logged."""
        return self.path / "key"

    @property
    def ca(self) -> Path:
        """The coordinator's certificate authority (PEM), from the invitation."""
        return self.path / "ca.pem"

    @property
    def settings_file(self) -> Path:
        """The settings, as JSON."""
        return self.path / "node.json"

    @property
    def flower(self) -> Path:
        """Where Flower keeps its own state."""
        return self.path / "flwr"

    @property
    def log(self) -> Path:
        """What the node and Flower say."""
        return self.path / "node.log"

    @property
    def state(self) -> Path:
        """The node's last word on its connection, for `myofed site up`."""
        return self.path / "state.json"

    @property
    def commands(self) -> Path:
        """Commands of ours that take the place of Flower's."""
        return self.path / "bin"

    @property
    def number(self) -> Path:
        """Under which number the coordinator knows the node."""
        return self.path / "number.json"

    @property
    def lock(self) -> Path:
        """Held by the one node process of this folder."""
        return self.path / "lock"

    def make(self) -> None:
        """Make the folder, for its owner only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def settings(self) -> NodeSettings:
        """Read the settings.

        Raises
        ------
        WrongUse
            There are none, or they are damaged.
        """
        path = self.settings_file
        if not path.is_file():
            raise WrongUse(
                f"{self.path} is not a node's folder.",
                "Make one: myofed site init FOLDER --name NAME",
            )
        try:
            held: Any = json.loads(path.read_text(encoding="utf-8"))
            known = {item.name for item in fields(NodeSettings)}
            if not isinstance(held, dict) or not {"site"} <= set(held) <= known:
                raise ValueError
            if not all(isinstance(value, str) for value in held.values()):
                raise ValueError
        except (OSError, ValueError):
            raise WrongUse(
                f"{path} is damaged.", "Remove it, then: myofed site init, myofed site join."
            ) from None
        return NodeSettings(**held)

    def joined(self) -> NodeSettings:
        """Read the settings of a node that has joined a coordinator.

        Raises
        ------
        WrongUse
            The site has not joined yet.
        """
        found = self.settings()
        if not found.coordinator or not self.ca.is_file():
            raise WrongUse(f"Site {found.site} has not joined a coordinator yet.", _JOIN)
        return found

    def save(self, settings: NodeSettings) -> None:
        """Write the settings."""
        write_json(self.settings_file, asdict(settings))


def link_of(site: Path) -> Path:
    """Give the folder where the two rooms of a site meet by default."""
    return Path(os.path.abspath(site)) / LINK
