"""`myofed simulate` and `myofed demo`: a whole study on one machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from client.cli import check_for_study, extract_site
from client.cohort.site_folder import SiteFolder
from client.cohort.sites import find_sites
from client.context import memory_of
from common.console import console, progress_bar, show_json, table_of, to_person
from common.errors import CohortError
from common.feature_names import all_names
from common.heads import MODELS
from common.study import Study, read_study
from server.federation import Watch
from server.run import RunFolder


def simulate(
    study: Annotated[Path, typer.Argument(help="The study's protocol file.")],
    sites: Annotated[Path, typer.Option("--sites", help="Folder that holds the site folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run, for example runs/first.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print results.json instead of the table.")
    ] = False,
) -> None:
    """Run a whole federation on this machine: check, measure, train, fuse, validate.

    Every site of the roster needs a folder below --sites. A run that was stopped goes on when the
    same command is given again; a finished run is never overwritten.
    """
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
    from simulation.engine import federate

    found = find_sites(sites, [site.name for site in study.sites])
    run = RunFolder.begin(out, study)
    _check_all(found, study)
    for site in found.values():
        extract_site(site, study)
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


def show_results(results: dict[str, Any], out: Path) -> None:
    """Print the external results as a table, and where everything lies."""
    rows = []
    for site, one in results["external"].items():
        for model in MODELS:
            own, raw = one["models"][model], one["unharmonized"][model]
            low, high = own["auc_ci"]
            cells = [f"{own['auc']:.3f} ({low:.3f}-{high:.3f})", f"{raw['auc']:.3f}"]
            shares = [own[name] for name in ("sensitivity", "specificity", "ppv", "npv")]
            cells += ["-" if share is None else f"{share:.2f}" for share in shares]
            rows.append([site, model, *cells])
    columns = ["external", "model", "AUC (95 % CI)", "raw", "sens.", "spec.", "PPV", "NPV"]
    console.print(table_of(f"Study {results['study']}", columns, rows))
    console.print("raw: the AUC without harmonisation; intervals of an AUC are DeLong's")
    for site, one in results["external"].items():
        for test in one["comparisons"][:2]:
            p = "undefined" if test["p"] is None else f"{test['p']:.3f}"
            console.print(
                f"{site}: {test['a']} minus {test['b']}: {test['difference']:+.3f}, p {p}",
                markup=False,
            )
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in results["seconds"].items())
    console.print(f"{results['messages']} messages; {seconds}")
    console.print(f"Results: {out / 'results.json'}   release: {out / 'release'}", soft_wrap=True)


@contextmanager
def _stages(study: Study) -> Iterator[Watch]:
    """Show where a run stands: a bar over the rounds of training, and the stage beside it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    rounds = study.folds * (study.training.rounds + 1)
    with Progress(*columns, console=to_person) as bar:
        task = bar.add_task("federation: starting", total=rounds + 5)

        def watch(stage: str, detail: str) -> None:
            text = f"federation: {stage} {detail}".rstrip()
            bar.update(task, description=text, advance=1 if detail or stage == "enrol" else 0)

        yield watch
        bar.update(task, completed=rounds + 5, description="federation: done")
