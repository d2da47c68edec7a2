"""The account of the messages: which are with a node, which were answered, which got lost.

Flower hands a message to its node once and never asks whether it arrived. If the line is cut in
that moment, or either process killed, nobody ever answers it and nobody says so. But a node works
on one message at a time and then asks for the next. So a node that asks and is given nothing while
a message to it is unanswered never got that message, and it has to be sent again.

The SuperLink writes the account and the ServerApp, a process on the same machine, reads it: thus
it also learns when an answer has come, without asking all the time. It is a file of lines that
only grows, ``sent ID NODE``, ``whole ID``, ``answered ID``, ``lost ID``, so a SuperLink that starts
anew still knows what it had sent.

A SuperLink that is killed while a message comes in keeps what it has of it, hands it out, and lets
the node wait minutes for the rest, which nobody will send. Such *torsos* are known by their missing
line ``whole``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.files import replacing

_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")

LARGEST = 2**24
"""Bytes beyond which the file is shortened, when the SuperLink starts, to what is under way."""

Sent = tuple[str, int]
"""A message's id, and the node it is for."""


class Account:
    """The SuperLink's side: it writes."""

    def __init__(self, path: Path) -> None:
        self._open, whole = _unanswered(path)
        self._torsos = set(self._open) - whole
        if path.exists() and path.stat().st_size > LARGEST:
            _shorten(path, self._open, whole)
        self._file = path.open("a", encoding="ascii", buffering=1)

    def sending(self, messages: Iterable[Sent]) -> None:
        """Note messages before the SuperLink takes them: after that a node may have them."""
        for one, node in messages:
            if _ID.fullmatch(one):
                self._file.write(f"sent {one} {node}\n")

    def sent(self, messages: Sequence[Sent]) -> None:
        """Note that the SuperLink has taken the messages: from now on their nodes can get them."""
        self._open.update((one, node) for one, node in messages if _ID.fullmatch(one))
        self._torsos.difference_update(one for one, _ in messages)

    def whole(self, messages: Iterable[Sent]) -> None:
        """Note that all parts of messages have come to the SuperLink."""
        for one, _ in messages:
            if one in self._open:
                self._file.write(f"whole {one}\n")

    def is_torso(self, message: str) -> bool:
        """Say whether a message came in when an earlier SuperLink ended, and never as a whole."""
        return message in self._torsos

    def answered(self, node: int, messages: Iterable[str]) -> None:
        """Note that the answers to messages are there; only the message's own node can say so."""
        for one in messages:
            if self._open.get(one) == node:
                del self._open[one]
                self._file.write(f"answered {one}\n")

    def with_node(self, node: int) -> list[str]:
        """List the messages that a node has, or can get, and has not answered."""
        return [one for one, its in self._open.items() if its == node]

    def lost(self, messages: Iterable[str]) -> None:
        """Note that messages got lost, but for those that were answered meanwhile."""
        for one in messages:
            if self._open.pop(one, None) is not None:
                self._file.write(f"lost {one}\n")


@dataclass
class News:
    """The ServerApp's side: what has been noted since it was made, read as it is written.

    Attributes
    ----------
    answered, lost : ids of messages; whoever has dealt with one takes it out
    """

    path: Path
    answered: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    _place: int = 0
    _number: int = 0

    def __post_init__(self) -> None:
        self._place, self._number = _end(self.path)

    def read(self) -> None:
        """Take in the lines that came since the last look."""
        end, number = _end(self.path)
        if number != self._number:
            # A new SuperLink has begun a new file.
            self._place, self._number = 0, number
        if end <= self._place:
            return
        with self.path.open("rb") as file:
            file.seek(self._place)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._place += len(whole)
        for line in whole.decode("ascii").splitlines():
            kind, one = line.split()[:2]
            if kind == "answered":
                self.answered.add(one)
            elif kind == "lost":
                self.lost.add(one)


def _shorten(path: Path, unanswered: Mapping[str, int], whole: Container[str]) -> None:
    lines = [f"sent {one} {node}\n" for one, node in unanswered.items()]
    lines += [f"whole {one}\n" for one in unanswered if one in whole]
    with replacing(path) as part:
        part.write_text("".join(lines), encoding="ascii")


def _unanswered(path: Path) -> tuple[dict[str, int], set[str]]:
    """Read which messages are with which node, and which messages are whole."""
    found: dict[str, int] = {}
    whole: set[str] = set()
    if not path.exists():
        return found, whole
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        match line.split():
            case ["sent", one, node] if _ID.fullmatch(one) and node.lstrip("-").isdecimal():
                found[one] = int(node)
            case ["whole", one]:
                whole.add(one)
            case ["answered" | "lost", one]:
                found.pop(one, None)
    return found, whole


def _end(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return status.st_size, status.st_ino
