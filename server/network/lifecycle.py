"""Start a run, stop it, and go on with one that was interrupted."""

from __future__ import annotations

import time

from common.bundle import bundle
from common.errors import WrongUse
from common.study import Study
from server.network.admission import admitted
from server.network.control import Control
from server.network.folder import CoordinatorFolder
from server.network.follow import flower_of, how_it_stands
from server.network.roster_keys import require_keys
from server.network.runs import STOPPED, STOPPING, SUBMITTED, begin, is_held
from server.run import RunFolder

RELEASE_SECONDS = 30.0
LOOK_SECONDS = 0.1


def start(folder: CoordinatorFolder, study: Study, control: Control) -> RunFolder:
    """Begin a run of a study and hand it to Flower.

    Raises
    ------
    WrongUse
        Sites of the roster are not admitted, or their keys in it are not the admitted ones.
    SuperLinkDown
        The coordinator is not up.
    """
    require_admitted(folder, study)
    require_keys(folder, study)
    control.nodes()  # Is it up? Asked before a folder is made that nobody would work on.
    run = begin(folder, study)
    submit(run, control)
    return run


def resume(folder: CoordinatorFolder, run: RunFolder, control: Control) -> None:
    """Hand a run to Flower again: it goes on where it stopped.

    Raises
    ------
    WrongUse
        It is finished, somebody works on it, or a site is no longer admitted, or with another key.
    SuperLinkDown
        The coordinator is not up.
    """
    control.nodes()
    now = how_it_stands(run, control)
    if now.state == "finished":
        raise WrongUse(f"{run.identity} is finished.", "Begin a new run: myofed coordinator run")
    if now.state in ("running", "starting"):
        raise WrongUse(
            f"{run.identity} is {now.state}.", "Follow it: myofed coordinator watch FOLDER RUN"
        )
    require_admitted(folder, run.study)
    require_keys(folder, run.study)
    # Flower takes a minute to notice that a ServerApp is gone; until then it counts as running.
    before = flower_of(run, control)
    if before is not None and not before.over:
        control.stop(before.run)
    # Opened anew, so that a last event which a crash tore does not swallow the next one.
    submit(RunFolder.begin(run.path, run.study), control)


def stop(run: RunFolder, control: Control) -> bool:
    """Stop a run; what is done is kept. Give whether its process has ended already.

    Raises
    ------
    WrongUse
        It has ended before.
    SuperLinkDown
        The coordinator is not up.
    """
    now = how_it_stands(run, control)
    if now.state in ("finished", "failed", "stopped"):
        raise WrongUse(
            f"{run.identity} is {now.state} already.", "See: myofed coordinator status FOLDER"
        )
    control.nodes()  # Is it up? Asked before anything is written down.
    run.event(event=STOPPING)
    if now.flower is not None:
        control.stop(now.flower)
    until = time.monotonic() + RELEASE_SECONDS
    while is_held(run) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    run.event(event=STOPPED)
    return not is_held(run)


def submit(run: RunFolder, control: Control) -> None:
    """Start a run of Flower's for a run of ours, and write its number down."""
    run.event(event=SUBMITTED, flower=control.start(bundle(), run.identity))


def require_admitted(folder: CoordinatorFolder, study: Study) -> None:
    """Refuse a study with sites that cannot connect.

    Raises
    ------
    WrongUse
        Sites of the roster are not admitted; all are listed.
    """
    known = admitted(folder)
    missing = [site.name for site in study.sites if site.name not in known]
    if missing:
        raise WrongUse(
            f"These sites of the roster are not admitted: {', '.join(missing)}.",
            "Admit each with its join request: myofed coordinator admit FOLDER NAME.join.json",
        )
