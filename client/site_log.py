"""A site's own log: the only place where the detail of a failure is written."""

from __future__ import annotations

import logging
from pathlib import Path

SITE_LOG = "site.log"


def log_to(path: Path, site: str, *also: str) -> None:
    """Send a site's log to its own file, and the loggers named in `also` with it.

    A process that has worked for another folder of the same site no longer writes there.
    """
    handler: logging.Handler | None = None
    for name in (f"myofed.site.{site}", *also):
        log = logging.getLogger(name)
        held = [one for one in log.handlers if isinstance(one, logging.FileHandler)]
        if any(Path(one.baseFilename) == path.absolute() for one in held):
            continue
        for other in held:
            log.removeHandler(other)
            other.close()
        if handler is None:
            handler = logging.FileHandler(path, encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
