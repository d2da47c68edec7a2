"""`myofed predict`: score new patients with a release, a cohort or one patient."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.console import console, progress_bar
from common.errors import WrongUse

if TYPE_CHECKING:
    from client.predict import Predictions
    from client.reader.site_effects import SiteEffects
    from common.release import Release


def predict(
    release: Annotated[Path, typer.Argument(help="Folder 'release' of a finished run.")],
    patients: Annotated[
        Path, typer.Argument(help="Cohort CSV (no labels needed), or one patient's folder.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="CSV of scores to write; for one patient, an HTML page.")
    ],
    myocardium: Annotated[
        int, typer.Option("--myocardium", min=1, help="Value of the myocardium in the masks.")
    ] = 2,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for measured radiomics; kept.")
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain", help="Folder for a picture per patient: where the network looks."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            help="Cohort CSV of earlier patients of this hospital, to estimate its scanners' "
            "effects from.",
        ),
    ] = None,
    site_effects: Annotated[
        Path | None,
        typer.Option(
            "--site-effects",
            help="File of these effects: written with --like, read without. Keep it here.",
        ),
    ] = None,
    frame: Annotated[
        int | None,
        typer.Option("--frame", min=0, help="Frame of a 4-D image, from 0; one patient only."),
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            "--covariate", help="name=value, where the study needs it; one patient only. Repeat it."
        ),
    ] = None,
) -> None:
    """Score patients with a release. For research; it decides about nobody.

    Of a cohort, batch effects are estimated from its own images, so scores depend on which patients
    are scored together. Of one patient none can be, unless --like or --site-effects gives them.
    """
    from common.release import Release

    started = time.monotonic()
    model = Release.load(release)
    folder = cache or out.parent / ".myofed-cache"
    if out.exists():
        raise WrongUse(f"{out} exists already.", "Give another --out, or move it away first.")
    effects = _effects(model, myocardium, folder, like, site_effects)
    if patients.is_dir():
        from client.reader.one_patient import read_one

        written = read_one(
            model, release, patients, out, myocardium, folder, effects,
            explain, frame, covariate or [], started,
        )  # fmt: skip
        console.print(written, soft_wrap=True)
        return
    if frame is not None or covariate:
        raise WrongUse(
            "--frame and --covariate are for one patient's folder.",
            "Write them as columns of the cohort CSV.",
        )
    _cohort(model, patients, out, myocardium, folder, effects, explain)


def _effects(
    model: Release, myocardium: int, cache: Path, like: Path | None, kept: Path | None
) -> SiteEffects | None:
    """Estimate the hospital's effects, or read them; None where neither is asked for."""
    from client.predict import estimate_site_effects
    from client.reader.site_effects import SiteEffects

    if like is None:
        return None if kept is None else SiteEffects.load(model, kept)
    if kept is not None and kept.exists():
        raise WrongUse(f"{kept} exists already.", "Leave --like out to use it, or name another.")
    with progress_bar("radiomics of earlier patients") as progress:
        found = estimate_site_effects(model, like, myocardium, cache, progress=progress)
    found.require_some(model)
    if kept is not None:
        found.save(model, kept)
    return found


def _cohort(
    model: Release,
    table: Path,
    out: Path,
    myocardium: int,
    cache: Path,
    effects: SiteEffects | None,
    explain: Path | None,
) -> None:
    from client.predict import predict as score
    from client.predict import write_scores

    with progress_bar("radiomics") as progress:
        found = score(model, table, myocardium, cache, progress=progress, effects=effects)
    write_scores(found, out)
    console.print(
        f"{len(found.patients)} patients scored into {out}; {_how(found)}.", soft_wrap=True
    )
    if explain is not None:
        from client.explain.of_patients import write_pictures

        count = write_pictures(model, found, explain)
        console.print(f"{count} pictures written into {explain}.", soft_wrap=True)


def _how(found: Predictions) -> str:
    known, small = found.batches_known, found.batches_below_minimum
    if known:
        how = f"{known} batch(es) harmonised by effects known before"
    else:
        how = f"{found.batches_estimated} batch(es) harmonised from {found.slices} slices"
    return how + (f", {small} too small or unknown and left as they are" if small else "")
