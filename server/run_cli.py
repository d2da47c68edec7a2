"""`myofed coordinator run`, `watch`, `stop` and `resume`: the runs of a coordinator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.console import FAILED, console, show_error, show_json, to_person
from common.errors import RunError, WrongUse

if TYPE_CHECKING:
    from common.study import Study
    from server.network.control import Control
    from server.run import RunFolder

Folder = Annotated[Path, typer.Argument(help="The coordinator's folder.")]
Identity = Annotated[str, typer.Argument(help="Identity of the run, or its beginning.")]
Detach = Annotated[bool, typer.Option("--detach", help="Print its identity; do not wait.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print results.json instead of the table.")]


def run(
    folder: Folder,
    study: Annotated[Path, typer.Argument(help="The study's protocol file.")],
    detach: Detach = False,
    as_json: AsJson = False,
    leave_one_site_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-site-out",
            help="One run for each training site, external in it; then the whole table.",
        ),
    ] = False,
) -> None:
    """Run a study over the sites of its roster; show how it goes, and the results.

    Ctrl-C leaves the run at work. The exit code is 0 only when the run is finished. With
    --leave-one-site-out the same command goes on with the runs that are left.
    """
    from common.study_file import read_study

    if leave_one_site_out:
        _leave_one_out(folder, read_study(study), detach, as_json)
        return
    from server.network.control import Control
    from server.network.folder import CoordinatorFolder
    from server.network.lifecycle import start
    from server.network.status import online

    opened, protocol = CoordinatorFolder.open(folder), read_study(study)
    with Control(opened) as control:
        begun = start(opened, protocol, control)
        there = online(opened, control)
        away = [site.name for site in protocol.sites if site.name not in there]
        if away:
            to_person.print(f"not connected yet: {', '.join(away)}", soft_wrap=True)
        _attend(folder, begun, control, detach, as_json)


def _leave_one_out(folder: Path, study: Study, detach: bool, as_json: bool) -> None:
    """Run a study without each of its training sites in turn, and show the table."""
    from common.leave_one_out_table import show_table
    from server.leave_one_out import finished, write_table
    from server.network.control import Control
    from server.network.folder import CoordinatorFolder
    from server.network.leave_one_out import begin, run_without

    if detach:
        raise WrongUse(
            "--leave-one-site-out starts one run after the other, so it cannot be left.",
            "Take --detach out; should the command end, give it again.",
        )
    opened = CoordinatorFolder.open(folder)
    path, derived = begin(opened, study)
    left = {site: one for site, one in derived.items() if not finished(path, site, one)}
    if left:
        with Control(opened) as control:
            for site, one in left.items():
                to_person.print(f"without {site}:", markup=False)
                _follow(folder, run_without(opened, path, site, one, control), control)
    table = write_table(path, study, derived)
    if as_json:
        show_json(table)
    else:
        show_table(table, path)


def watch(folder: Folder, identity: Identity, as_json: AsJson = False) -> None:
    """Follow a run that was started earlier, to its end. Ctrl-C leaves it at work."""
    from server.network.control import Control
    from server.network.folder import CoordinatorFolder
    from server.network.runs import find

    opened = CoordinatorFolder.open(folder)
    with Control(opened) as control:
        _attend(folder, find(opened, identity), control, False, as_json)


def stop(folder: Folder, identity: Identity) -> None:
    """Stop a run. What is done is kept; 'resume' goes on with it."""
    from server.network.control import Control
    from server.network.folder import CoordinatorFolder
    from server.network.lifecycle import stop as stop_run
    from server.network.runs import find

    opened = CoordinatorFolder.open(folder)
    found = find(opened, identity)
    with Control(opened) as control:
        ended = stop_run(found, control)
    if not ended:
        to_person.print("Its process is in the middle of a computation and ends after it.")
    console.print(f"Stopped. To go on: myofed coordinator resume {folder} {found.identity}",
                  markup=False, soft_wrap=True)  # fmt: skip


def resume(
    folder: Folder, identity: Identity, detach: Detach = False, as_json: AsJson = False
) -> None:
    """Go on with a run that was stopped or interrupted, or that failed, where it stopped."""
    from server.network.control import Control
    from server.network.folder import CoordinatorFolder
    from server.network.lifecycle import resume as resume_run
    from server.network.runs import find

    opened = CoordinatorFolder.open(folder)
    found = find(opened, identity)
    with Control(opened) as control:
        resume_run(opened, found, control)
        _attend(folder, found, control, detach, as_json)


def _attend(folder: Path, run: RunFolder, control: Control, detach: bool, as_json: bool) -> None:
    """Follow a run to its end and leave with its exit code; or leave it at once."""
    from common.results_table import show_results

    name = f"{folder} {run.identity}"
    how = f"Watch it: myofed coordinator watch {name}\nStop it: myofed coordinator stop {name}"
    if detach:
        console.print(run.identity, markup=False, soft_wrap=True)
        to_person.print(how, markup=False, soft_wrap=True)
        return
    _follow(folder, run, control)
    results = json.loads((run.path / "results.json").read_text(encoding="utf-8"))
    if as_json:
        show_json(results)
    else:
        show_results(results, run.path)


def _follow(folder: Path, run: RunFolder, control: Control) -> None:
    """Follow a run until it is finished; leave with its exit code if it ends otherwise."""
    from common.supervise import stop_signals
    from server.network.follow import follow, progress_of

    name = f"{folder} {run.identity}"
    how = f"Watch it: myofed coordinator watch {name}\nStop it: myofed coordinator stop {name}"
    with stop_signals() as stop:
        to_person.print(f"Following {run.identity}; Ctrl-C leaves it at work.", soft_wrap=True)
        with progress_of(run.study) as tell:
            end = follow(run, control, tell, stop)
    if end is None:
        to_person.print("The run goes on without being watched.", how, sep="\n", markup=False,
                        soft_wrap=True)  # fmt: skip
        raise typer.Exit(FAILED)
    again = f"Go on with it: myofed coordinator resume {name}"
    if end.state == "finished":
        return
    what, fix = end.problem or ("", "")
    if end.state == "failed":
        show_error(RunError(what, f"{fix} {again}".strip()))
    elif end.state == "stopped":
        to_person.print(f"The run was stopped. {again}", markup=False, soft_wrap=True)
    else:
        ended = f"The process of the run ended without a word, at: {end.where or 'its begin'}."
        show_error(RunError(f"{ended} {what}".strip(), again))
    raise typer.Exit(FAILED)
