"""The ServerApp of a deployment, which Flower starts in a process of its own for each run.

Nobody looks at its screen. So what ends a run is written into the run's events, where
`myofed coordinator run` and `status` read it, and a traceback goes to the run's own log.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import cast

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from common.bundle import RUN_KEY
from common.errors import Interrupted, MyoFedError
from common.memory import FOR_MESSAGES, keep_freed_memory
from server.export.follower import exporting
from server.network.account import News
from server.network.admission import AdmittedNow
from server.network.announced import AnnouncedGrid
from server.network.environment import FOLDER_VARIABLE
from server.network.folder import CoordinatorFolder
from server.network.keys import KeyDirectory, Nodes
from server.network.logs import formatter
from server.network.runs import BEGAN, FAILED, FINISHED, STOPPING, events, find, holding
from server.run import RunFolder

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Take the run that the configuration names through its stages."""
    keep_freed_memory(FOR_MESSAGES)
    folder = CoordinatorFolder.open(Path(os.environ[FOLDER_VARIABLE]))
    run = find(folder, str(context.run_config[RUN_KEY]))
    with holding(run), _log_into(run.path / "coordinator.log"), _outcome_told(run):
        _conduct(grid, folder, RunFolder.begin(run.path, run.study))


def _conduct(grid: Grid, folder: CoordinatorFolder, run: RunFolder) -> None:
    """Hand over to the stages; here deployment and simulation meet."""
    from common.feature_names import all_names
    from common.flower_objects import quicken_objects
    from server.app import conduct
    from server.federation import Federation

    quicken_objects()
    log = logging.getLogger("myofed.coordinator")
    directory = KeyDirectory(cast(Nodes, grid), AdmittedNow(folder))

    def watch(stage: str, detail: str) -> None:
        log.info("%s %s", stage, detail)

    post = AnnouncedGrid(grid, News(folder.account))
    federation = Federation(post, run, directory, watch, Event())
    with exporting(run):
        conduct(federation, run, list(all_names()), watch)


@contextmanager
def _outcome_told(run: RunFolder) -> Iterator[None]:
    """Write into the run's events that it began, and how it ended."""
    run.event(event=BEGAN)
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        log = logging.getLogger("myofed.coordinator")
        expected = isinstance(error, MyoFedError)
        log.error("%s", error if expected else traceback.format_exc())
        if not _is_being_stopped(run):
            run.event(event=FAILED, **_told(error, run))
        raise
    run.event(event=FINISHED)


def _told(error: Exception, run: RunFolder) -> dict[str, str]:
    """Say what a failure was and what to do, for the coordinator's own eyes."""
    if isinstance(error, MyoFedError):
        return {"code": error.code, "what": error.what, "fix": error.fix}
    return {
        "code": "unexpected",
        "what": f"{type(error).__name__}: {error}",
        "fix": f"{run.path / 'coordinator.log'} holds the traceback. Report it, then resume.",
    }


def _is_being_stopped(run: RunFolder) -> bool:
    """Say whether somebody is stopping the run: Flower then fails whatever the run asks of it."""
    kinds = [event.get("event") for event in events(run)]
    since = len(kinds) - 1 - kinds[::-1].index(BEGAN)
    return STOPPING in kinds[since:]


@contextmanager
def _log_into(path: Path) -> Iterator[None]:
    """Send the coordinator's log of a run to a file beside it."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(formatter())
    log = logging.getLogger("myofed")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
