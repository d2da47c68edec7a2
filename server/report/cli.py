"""`myofed report`: the evidence of a finished run as one page to read, send and print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.console import console
from common.errors import RunError, WrongUse


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write; RUN/report.html by default.")
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print it to a PDF beside it as well, by Chromium.")
    ] = False,
    recalibrate: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Show what recalibration would do: fitted on the training sites' validation "
            "patients, never on an external site.",
        ),
    ] = False,
    leave_one_site_out: Annotated[
        Path | None,
        typer.Option("--leave-one-site-out", help="Folder of a leave-one-site-out command."),
    ] = None,
) -> None:
    """Write the report of a finished run: one HTML file that needs nothing else.

    The corners of its curves are single patients: a score and a class, no name.
    """
    from common.print_to_pdf import print_to_pdf
    from server.report.document import write_report
    from server.report.record import FinishedRun

    finished = FinishedRun.open(run, leave_one_site_out)
    page = out or run / "report.html"
    if page.suffix == ".pdf":
        raise WrongUse("--out names a PDF.", "Give an HTML file and --pdf: both are written.")
    write_report(finished, page, recalibrate)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)
    if pdf:
        printed = page.with_suffix(".pdf")
        if not print_to_pdf(page, printed):
            raise RunError(
                f"There is no Chromium on this machine; {page} was written, the PDF was not.",
                "Install chromium, or open the page in any browser and print it to a file.",
            )
        console.print(f"PDF: {printed}", markup=False, soft_wrap=True)
