"""Score one patient's folder and write the reader's page, as HTML and, with a browser, as PDF."""

from __future__ import annotations

import time
from pathlib import Path

from client.explain.of_patients import heat_of, picture_path, write_picture
from client.predict import predict_patients
from client.reader.page import Reading, page
from client.reader.patient_folder import read_covariates, read_patient_folder
from client.reader.site_effects import SiteEffects
from client.reader.unusual import unusual
from common.console import progress_bar
from common.errors import RunError, WrongUse
from common.external_figures import read_external
from common.files import replacing
from common.print_to_pdf import print_to_pdf
from common.release import Release


def read_one(
    release: Release,
    place: Path,
    folder: Path,
    out: Path,
    myocardium: int,
    cache: Path,
    effects: SiteEffects | None,
    explain: Path | None,
    frame: int | None,
    covariates: list[str],
    started: float,
) -> str:
    """Score the patient in `folder`, write the page to `out`; say in a sentence what came out.

    Parameters
    ----------
    place
        The release's own folder: how it did elsewhere is kept in it.
    started
        `time.monotonic` when the command began.

    Raises
    ------
    WrongUse
        `out` is no name of a page, or a file to be written is there already.
    CohortError
        The folder cannot be used.
    """
    pdf = out.with_suffix(".pdf")
    if out.suffix.lower() not in {".html", ".htm"}:
        raise WrongUse(
            f"{out} is no HTML file, and {folder} is one patient.",
            "Give --out a name such as patient.html; a PDF goes beside it.",
        )
    if pdf.exists():
        raise WrongUse(f"{pdf} exists already.", "Give another --out, or move it away first.")
    given = read_covariates(covariates)
    _require_covariates(release, given)
    patient = read_patient_folder(folder.resolve(), release.study, myocardium, frame, given)
    picture = None if explain is None else picture_path(explain, patient.patient_id)
    begun = time.monotonic()
    with progress_bar("radiomics") as progress:
        found = predict_patients(release, [patient], myocardium, cache, 1, progress, effects)
    scored = time.monotonic()
    heat = None
    if picture is not None:
        heat = heat_of(release, found, 0)
        write_picture(release, found, 0, heat, picture)
    seconds = {"release and site effects": begun - started, "measuring and scoring": scored - begun}
    if picture is not None:
        seconds["explaining"] = time.monotonic() - scored
    seconds["in all"] = time.monotonic() - started
    reading = Reading(
        unusual(release, found, 0),
        read_external(place, release.study.fingerprint),
        0 if effects is None else effects.rows,
        heat,
        seconds,
    )
    text = page(release, found, reading)
    with replacing(out) as part:
        part.write_text(text, encoding="utf-8")
    return f"{_said(out, pdf)} {seconds['in all']:.1f} s to the score."


def _require_covariates(release: Release, given: dict[str, str]) -> None:
    """Refuse at once, and not after minutes of radiomics, what the study cannot do without."""
    asked = release.study.harmonization
    needed = [one.name for one in asked.covariates] if asked.missing == "refuse" else []
    needed += ["scanner"] if asked.batch == "scanner" else []
    missing = [name for name in needed if name not in given]
    if missing:
        raise WrongUse(
            f"The study of this release needs to know of the patient: {', '.join(missing)}.",
            f"Add --covariate {missing[0]}=VALUE.",
        )


def _said(out: Path, pdf: Path) -> str:
    try:
        printed = print_to_pdf(out, pdf)
    except RunError as error:
        return f"Written: {out}. No PDF: {error.what} {error.fix}"
    return f"Written: {out} and {pdf}." if printed else f"Written: {out} (no browser for a PDF)."
