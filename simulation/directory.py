"""Which simulated node is which site: the k-th node of the engine is the k-th site of the roster.

The engine numbers its nodes at random and tells only the node its place, so each is asked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from common.errors import Interrupted
from server.directory import Present

PLACE = "place"
PAUSE_SECONDS = 0.05


def answer_places(app: ClientApp) -> None:
    """Let a simulated node say which place in the roster is its own."""

    @app.query(PLACE)
    def _(message: Message, context: Context) -> Message:
        place = int(context.node_config["partition-id"])
        return Message(RecordDict({PLACE: ConfigRecord({PLACE: place})}), reply_to=message)


class SimulatedDirectory:
    """The sites of a simulation, all of them there from beginning to end."""

    def __init__(self, grid: Grid, *, roster: Sequence[str], stop: Event) -> None:
        self.grid = grid
        self.roster = list(roster)
        self.stop = stop
        self._sites: dict[str, Present] = {}

    def present(self) -> dict[str, Present]:
        """Give the sites' nodes, asking them at the first call."""
        if not self._sites:
            self._sites = self._ask()
        return dict(self._sites)

    def _ask(self) -> dict[str, Present]:
        while len(nodes := list(self.grid.get_node_ids())) < len(self.roster):
            self._pause()
        letters = [Message(RecordDict(), node, f"query.{PLACE}") for node in nodes]
        waiting = dict(zip(self.grid.push_messages(letters), nodes, strict=True))
        found: dict[str, Present] = {}
        while waiting:
            for reply in self.grid.pull_messages(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id)
                place = int(str(reply.content.config_records[PLACE][PLACE]))
                found[self.roster[place]] = Present(node, "")
            self._pause()
        return found

    def _pause(self) -> None:
        if self.stop.wait(PAUSE_SECONDS):
            raise Interrupted
