"""What a node says: lines in its log, and the last of them in a file for `myofed site up`."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

from client.rooms import NodeRoom
from common.files import write_json

WAITING, CONNECTED = "waiting", "connected"


class Words:
    """Says each thing once: the same words twice in a row are one line."""

    def __init__(self, room: NodeRoom) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._last = ("", "")

    def say(self, state: str, words: str) -> None:
        """Log a change of the connection and keep it where others can read it."""
        with self._lock:
            if (state, words) == self._last:
                return
            self._last = (state, words)
            self.note(words)
            write_json(self._room.state, {"state": state, "words": words})

    @staticmethod
    def note(words: str) -> None:
        """Log a line."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        print(f"{now} myofed: {words}", flush=True)


def last_words(room: NodeRoom) -> tuple[str, str]:
    """Read the state and the words that the node said last; empty where it said none."""
    try:
        held = json.loads(room.state.read_text(encoding="utf-8"))
        return str(held["state"]), str(held["words"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""
