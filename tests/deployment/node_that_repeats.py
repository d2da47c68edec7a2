"""A site's node that sends all it has to say twice: `python node_that_repeats.py NODE LINK NOTES`.

The first announcement of an answer is made twice, as by a node that did not hear that it had
arrived. When all parts of an answer are there, everything is sent again, to the last byte. What
came of it is noted, a line each.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from flwr.supernode.fleet_http_client import FleetHttpClient

from client.node import process

ANNOUNCE, PART = FleetHttpClient.PushMessages, FleetHttpClient.PushObject


class Repeating:
    """Stands in for two calls of Flower's client."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        self.sent: list[tuple[Any, Any]] = []
        self.left = 0
        self._lock = threading.Lock()

    def announce(self, client: FleetHttpClient, request: Any) -> Any:
        ANNOUNCE(client, request)
        response = ANNOUNCE(client, request)
        self.sent, self.left = [(ANNOUNCE, request)], len(response.objects_to_push)
        return response

    def part(self, client: FleetHttpClient, request: Any) -> Any:
        response = PART(client, request)
        with self._lock:
            self.sent.append((PART, request))
            self.left -= 1
            if self.left == 0:
                for call, again in self.sent:
                    self.note(call, client, again)
        return response

    def note(self, call: Any, client: FleetHttpClient, request: Any) -> None:
        try:
            came = str(call(client, request)).replace("\n", " ")[:100]
        except Exception as error:
            came = repr(error)[:100]
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(f"{call.__name__}: {came}\n")


def main() -> None:
    node, link, notes = sys.argv[1:]
    repeating = Repeating(Path(notes))

    def announce(client: FleetHttpClient, request: Any) -> Any:
        return repeating.announce(client, request)

    def part(client: FleetHttpClient, request: Any) -> Any:
        return repeating.part(client, request)

    FleetHttpClient.PushMessages = announce  # type: ignore[method-assign]
    FleetHttpClient.PushObject = part  # type: ignore[method-assign]
    sys.exit(process.main([node, "--link", link]))


if __name__ == "__main__":
    main()
