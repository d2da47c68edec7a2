"""A run's page as it changes: each part has the number of its last change.

Whoever has seen the page up to some number is sent what changed since, and nothing else. A run of
100 sites and 1,000 rounds sends the rows of the sites that answered, and the points that are new.
"""

from __future__ import annotations

import secrets
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

from server.dashboard import pages
from server.dashboard.reading import RunReader
from server.dashboard.snapshot import SiteNow, Snapshot

LOOK_SECONDS = 0.4
"""How old a look at the run's folder may be before another is taken."""


class Presence(Protocol):
    """Says which sites are connected, where anybody knows."""

    def online(self) -> Mapping[str, bool]:
        """Give whether each site is connected, by name; without those of whom nobody knows."""
        ...


@dataclass
class Live:
    """One run, and what of its page changed when.

    Attributes
    ----------
    mark : names this account; a page that knows another one begins anew
    version : number of the last change
    """

    reader: RunReader
    presence: Presence
    mark: str = field(default_factory=lambda: secrets.token_hex(4))
    version: int = 0
    _snapshot: Snapshot | None = None
    _looked: float = float("-inf")
    _parts: dict[str, tuple[str, int]] = field(default_factory=dict)
    _sites: dict[str, SiteNow] = field(default_factory=dict)
    _points: dict[int, list[int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def look(self) -> Snapshot:
        """Give a snapshot that is not older than `LOOK_SECONDS`."""
        with self._lock:
            return self._look()

    def body(self) -> tuple[Snapshot, dict[str, str], int]:
        """Give the snapshot, all parts of the page, and the number up to which they are."""
        with self._lock:
            shown = self._look()
            return shown, {name: html for name, (html, _) in self._parts.items()}, self.version

    def since(self, version: int) -> tuple[int, dict[str, Any]]:
        """Give what changed after a number, and the number up to which that is."""
        with self._lock:
            shown = self._look()
            changed = {
                name: html for name, (html, number) in self._parts.items() if number > version
            }
            curves = []
            for curve in shown.curves:
                begin = bisect_right(self._points[curve.fold], version)
                if begin < len(curve.rounds):
                    curves.append(pages.drawn(curve, begin))
            return self.version, {
                "parts": changed,
                "curves": curves,
                "title": pages.title(shown) if "title" in changed else "",
            }

    def _look(self) -> Snapshot:
        now = time.monotonic()
        if self._snapshot is None or now - self._looked >= LOOK_SECONDS:
            shown = self.reader.look(self.presence.online())
            self._take(shown)
            self._snapshot, self._looked = shown, time.monotonic()
        return self._snapshot

    def _take(self, shown: Snapshot) -> None:
        """Render anew what may have changed, and number what has."""
        number = self.version + 1
        fresh = {name: pages.part(name, shown) for name in pages.PARTS}
        for site in shown.sites:
            if self._sites.get(site.name) != site:
                self._sites[site.name] = site
                fresh[f"site-{site.name}"] = pages.row(site)
        for name, html in fresh.items():
            if self._parts.get(name, ("", 0))[0] != html or name not in self._parts:
                self._parts[name] = (html, number)
                self.version = number
        for curve in shown.curves:
            numbers = self._points.setdefault(curve.fold, [])
            new = len(curve.rounds) - len(numbers)
            if new:
                numbers += [number] * new
                self.version = number
