"""The worker as a process of its own: it alone opens a site's data, and no network reaches it.

`python -m client.worker.process SITE_FOLDER` serves until it is told to end.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from client.approved import fingerprints
from client.imaging.extract import available_cores
from client.link.service import LinkServer
from client.site_log import SITE_LOG, log_to
from client.worker.desk import WorkerDesk
from common.console import exit_code, show_error
from common.errors import MyoFedError
from common.memory import keep_freed_memory

LINK_FOLDER = "link"
LOOK_SECONDS = 0.5
"""How often a worker that waits looks whether it was told to end."""


def serve(
    site_path: Path, link: Path | None, address: str | None, told_to_end: Callable[[], object]
) -> bool:
    """Serve a site until `told_to_end` returns; say whether no question is being computed then.

    Raises
    ------
    MyoFedError
        There is no such site, its approvals are damaged, or the link's place cannot be used.
    """
    desk = WorkerDesk(site_path, cores=available_cores())
    site = desk.site
    log_to(site.path / SITE_LOG, site.name, "myofed.link")
    names = fingerprints(site.path)
    server = LinkServer(desk.ask, link or site.path / LINK_FOLDER, address)
    server.start()
    studies = ", ".join(name[:12] for name in names) or "none yet"
    desk.log.info("Serving at %s; studies approved: %s.", server.target, studies)
    print(f"The worker of {site.name} serves at {server.target}.", flush=True)
    told_to_end()
    idle = server.stop()
    desk.log.info("Ended%s.", "" if idle else ", in the middle of a question")
    return idle


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser("python -m client.worker.process", description=__doc__)
    parser.add_argument("site", type=Path, metavar="SITE_FOLDER")
    parser.add_argument("--link", type=Path, help="folder of the link; by default SITE_FOLDER/link")
    parser.add_argument("--address", metavar="HOST:PORT", help="listen here, not on a socket")
    given = parser.parse_args(arguments)
    keep_freed_memory()
    # An event could not be set here: the signal may come while this very thread holds its lock.
    ends: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ends.put(number))
    try:
        idle = serve(given.site, given.link, given.address, lambda: _await(ends))
    except MyoFedError as error:
        show_error(error)
        return exit_code(error)
    if not idle:
        # A computation cannot be stopped, and Python would wait for it. Files of the site are
        # written whole or not at all, so leaving now does no harm.
        logging.shutdown()
        os._exit(0)
    return 0


def _await(ends: SimpleQueue[int]) -> None:
    # Not without a time limit: a signal that comes between Python's last look for signals and the
    # wait itself would not end the wait, and its handler would run when something else does.
    while True:
        try:
            ends.get(timeout=LOOK_SECONDS)
        except Empty:
            continue
        return


if __name__ == "__main__":
    sys.exit(main())
