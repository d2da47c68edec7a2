"""`myofed simulate` and `myofed demo`: a whole study on one machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from client.cli import check_for_study, extract_site
from client.cohort.site_folder import SiteFolder
from common.console import console, progress_bar, show_json, to_person
from common.course import MOST_NEWTON_ROUNDS
from common.errors import CohortError
from common.feature_names import all_names
from common.results_table import show_results
from common.study import Study
from common.study_file import read_study

if TYPE_CHECKING:
    from server.federation import Watch
    from server.run import RunFolder

BESIDE_ROUNDS = 12
"""About how many questions a run puts beside its rounds of training."""


def simulate(
    study: Annotated[Path, typer.Argument(help="The study's protocol file.")],
    sites: Annotated[Path, typer.Option("--sites", help="Folder that holds the site folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run, for example runs/first.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print results.json instead of the table.")
    ] = False,
    leave_one_site_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-site-out",
            help="One run for each training site, external in it; then the whole table.",
        ),
    ] = False,
) -> None:
    """Run a whole federation on this machine: check, measure, train, fuse, validate.

    Every site of the roster needs a folder below --sites. A run that was stopped goes on when the
    same command is given again; a finished run is never overwritten.
    """
    if leave_one_site_out:
        from common.leave_one_out_table import show_table
        from simulation.leave_one_out import run_leaving_out

        table = run_leaving_out(read_study(study), sites, out)
        if as_json:
            show_json(table)
        else:
            show_table(table, out)
        return
    run_study(read_study(study), sites, out)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    if as_json:
        show_json(results)
    else:
        show_results(results, out)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the demo.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", help="Seed of the phantoms.")] = 2026,
) -> None:
    """Make a consortium of phantom hospitals and run a study over it, from images to results."""
    from simulation.demo import make_demo

    started = time.monotonic()
    study, sites = make_demo(out, seed)
    run_study(read_study(study), sites, out / "run")
    results = json.loads((out / "run" / "results.json").read_text(encoding="utf-8"))
    show_results(results, out / "run")
    console.print(f"{time.monotonic() - started:.0f} seconds in all.")


def run_study(study: Study, sites: Path, out: Path) -> None:
    """Check and measure every site of the roster, then run the federation."""
    from server.run import RunFolder

    found = found_sites(study, sites)
    run = RunFolder.begin(out, study)
    measure(study, found)
    federate_over(run, found)


def found_sites(study: Study, sites: Path) -> dict[str, SiteFolder]:
    """Find the folder of every site of the roster."""
    from client.cohort.sites import find_sites

    return find_sites(sites, [site.name for site in study.sites])


def measure(study: Study, found: dict[str, SiteFolder]) -> None:
    """Check every site, and measure its radiomics."""
    _check_all(found, study)
    for site in found.values():
        extract_site(site, study)


def federate_over(run: RunFolder, found: dict[str, SiteFolder]) -> None:
    """Run the federation over sites that are measured."""
    from client.context import memory_of
    from simulation.engine import federate

    study = run.study
    with _stages(study) as watch:
        folders = {name: site.path for name, site in found.items()}
        federate(run, folders, list(all_names()), watch)
    for site in found.values():
        memory_of(site, run.identity).forget()


def _check_all(sites: dict[str, SiteFolder], study: Study) -> None:
    """Check every site, so that one pass lists the faults of all."""
    refused: list[CohortError] = []
    for name, site in sites.items():
        try:
            with progress_bar(f"checking {name}") as progress:
                check_for_study(site, study, progress)
        except CohortError as error:
            refused.append(error)
    if refused:
        raise CohortError("\n".join(error.what for error in refused), refused[0].fix)


@contextmanager
def _stages(study: Study) -> Iterator[Watch]:
    """Show where a run stands: a bar over the rounds of training, and the stage beside it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    messages = study.folds * study.training.rounds + BESIDE_ROUNDS
    messages += study.comparison.most_rounds(MOST_NEWTON_ROUNDS)
    messages += sum(rung.cost + rung.places for rung in study.search.rungs)
    with Progress(*columns, console=to_person) as bar:
        task = bar.add_task("federation: starting", total=messages)

        def watch(stage: str, detail: str) -> None:
            text = f"federation: {stage} {detail}".rstrip()
            bar.update(task, description=text, advance=1 if detail or stage == "enrol" else 0)

        yield watch
        bar.update(task, completed=messages, description="federation: done")
