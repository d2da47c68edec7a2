"""Logs of the coordinator's processes: one form of line, times in UTC, nothing of routine."""

from __future__ import annotations

import logging
import time

LINE, TIME = "%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
ROUTINE = ("ControlServicer.List", "[Fleet.PushMessages]", "[Fleet.GetRun]")
"""Beginnings of what Flower says at every look of ours and at every answer of a site."""


def formatter() -> logging.Formatter:
    """Make lines with the time in UTC first."""
    line = logging.Formatter(LINE, TIME)
    line.converter = time.gmtime
    return line


def log_to_stderr() -> None:
    """Send our own log, Flower's and uvicorn's to the error output, in place of Flower's colours.

    Call it after Flower was imported: it sets its own handler then.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    handler.addFilter(lambda record: not record.getMessage().startswith(ROUTINE))
    for name in ("myofed", "flwr", "uvicorn"):
        log = logging.getLogger(name)
        log.handlers[:] = [handler]
        log.setLevel(logging.INFO)
        log.propagate = False
