"""The workers of a simulation: in the engine's own processes, one loaded site each at a time.

The engine runs a message in whichever of its processes is free, so each keeps the sites that it
has loaded. What a site must remember between messages lies in its folder.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flwr.app import Context

from client.cohort.site_folder import SiteFolder
from client.context import SiteContext
from client.worker.worker import Worker
from common.study import Study


@dataclass(frozen=True)
class LocalWorkers:
    """Finds the worker of a simulated node: node k is the k-th site of the roster."""

    folders: tuple[str, ...]
    study: str
    run: str

    def __call__(self, context: Context) -> Worker:
        """Give the worker of the node that the context belongs to."""
        number = int(context.node_config["partition-id"])
        return _worker(self.folders[number], self.study, self.run)


@lru_cache(maxsize=4)
def _worker(folder: str, study: str, run: str) -> Worker:
    site = SiteFolder.open(folder)
    log_to(site.path / "site.log", site.name)
    return Worker(SiteContext(site, Study.model_validate_json(study), run))


def log_to(path: Path, site: str) -> None:
    """Send a site's log to its own file."""
    log = logging.getLogger(f"myofed.site.{site}")
    if not log.handlers:
        handler = logging.FileHandler(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
