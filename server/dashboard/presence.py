"""Who is connected: asked of the coordinator's SuperLink, and only while somebody looks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Thread

from server.network.folder import CoordinatorFolder

ASK_SECONDS = 1.5


class Nobody:
    """Knows of no site: in a simulation all of them are in one process."""

    def online(self) -> Mapping[str, bool]:
        """Give nothing."""
        return {}


class SuperLinkPresence:
    """Asks the SuperLink in the background; an answer is as old as the question before it.

    Nothing is known while the SuperLink is not up.
    """

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder
        self._known: Mapping[str, bool] = {}
        self._asked = float("-inf")
        self._asking: Thread | None = None

    def online(self) -> Mapping[str, bool]:
        """Give whether each admitted site is connected, by name."""
        busy = self._asking is not None and self._asking.is_alive()
        if not busy and time.monotonic() - self._asked >= ASK_SECONDS:
            self._asked = time.monotonic()
            self._asking = Thread(target=self._ask, daemon=True)
            self._asking.start()
            if not self._known:
                # The first page should not show all sites as unknown.
                self._asking.join(0.3)
        return self._known

    def _ask(self) -> None:
        from common.errors import MyoFedError
        from server.network.control import Control
        from server.network.status import sites_of

        try:
            with Control(self._folder) as control:
                found = sites_of(self._folder, control.nodes())
        except (MyoFedError, OSError):
            self._known = {}
            return
        self._known = {one.name: one.online for one in found if one.online is not None}
