"""What the sites of a simulation wrote into their logs while it ran.

At a real site only its own people read the log. Whoever simulates stands in for all sites, and is
told at once what went wrong at one of them instead of being sent to look for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from client.site_log import SITE_LOG

LINES = 40
"""So many last lines of each log are told: a traceback, and what came before it."""


class SiteLogs:
    """The ends of the sites' logs from now on; `sites` are their folders by name."""

    def __init__(self, sites: Mapping[str, Path]) -> None:
        self._logs = {name: folder / SITE_LOG for name, folder in sites.items()}
        self._before = {name: _size(log) for name, log in self._logs.items()}

    def failures(self) -> dict[str, str]:
        """Give the last lines of each log in which a failure was written since the beginning."""
        found = {}
        for name, log in self._logs.items():
            if _size(log) <= self._before[name]:
                continue
            with log.open("rb") as file:
                file.seek(self._before[name])
                text = file.read().decode("utf-8", "replace")
            if " ERROR " in text:
                found[name] = "\n".join(text.splitlines()[-LINES:])
        return found


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
