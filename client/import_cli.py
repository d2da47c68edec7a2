"""`myofed site import`: make a site folder from a cohort as it lies on a disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.console import console, progress_bar, to_person
from common.errors import WrongUse

if TYPE_CHECKING:
    from client.cohort.importers.result import ImportReport

app = typer.Typer(
    help="Make a site folder from a cohort as it lies on your disk. Images are not copied unless "
    "they must be converted.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option("--out", help="Site folder to make, for example sites/tufts.")]
Name = Annotated[
    str, typer.Option("--name", help="The site's name in the roster; by default the folder's.")
]
PositiveClass = Annotated[str, typer.Option("--positive", help="Label of the positive class.")]
NegativeClass = Annotated[str, typer.Option("--negative", help="Label of the negative class.")]
Myocardium = Annotated[
    int, typer.Option("--myocardium", min=1, help="Value of the myocardium in the masks.")
]
Part = Annotated[
    str,
    typer.Option("--part", help="K/N: only the K-th of N parts, to cut one cohort into sites."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of --part.")]


@app.command("table")
def import_table(
    csv: Annotated[Path, typer.Argument(help="CSV with patient_id, image, mask, phase, label.")],
    out: Out,
    name: Name = "",
    positive: PositiveClass = "scar",
    negative: Annotated[
        str, typer.Option("--negative", help="Label of the negative class; else the other label.")
    ] = "",
    myocardium: Myocardium = 2,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="A label to leave out; may be repeated.")
    ] = None,
    part: Part = "",
    seed: Seed = 0,
) -> None:
    """Import a CSV of images and masks in any format that SimpleITK reads.

    Optional columns: frame (of a 4-D file), slice (then labels are per slice), and covariates such
    as age, sex, vendor, scanner, field_strength. Paths are relative to the CSV, or absolute.
    """
    from client.cohort import importers as kinds

    _tell(
        kinds.import_table(
            csv,
            out,
            name=name or out.name,
            positive=positive,
            negative=negative or None,
            myocardium=myocardium,
            exclude=tuple(exclude or ()),
            part=_part(part),
            seed=seed,
        )
    )


@app.command("acdc")
def import_acdc(
    root: Annotated[Path, typer.Argument(help="Folder with patientNNN folders.")],
    out: Out,
    name: Name = "",
    positive: PositiveClass = "HCM",
    negative: NegativeClass = "NOR",
    part: Part = "",
    seed: Seed = 0,
) -> None:
    """Import the ACDC challenge in its official layout (Info.cfg, patientNNN_frameNN)."""
    from client.cohort import importers as kinds

    _tell(
        kinds.import_acdc(
            root,
            out,
            name=name or out.name,
            positive=positive,
            negative=negative,
            part=_part(part),
            seed=seed,
        )
    )


@app.command("mnms")
def import_mnms(
    root: Annotated[Path, typer.Argument(help="Folder of the M&Ms challenge.")],
    out: Out,
    name: Name = "",
    positive: PositiveClass = "HCM",
    negative: NegativeClass = "NOR",
    centre: Annotated[int | None, typer.Option("--centre", help="Only this centre.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="The challenge's table, if not below the folder.")
    ] = None,
    part: Part = "",
    seed: Seed = 0,
) -> None:
    """Import the M&Ms challenge: 4-D files with their CSV, or one folder a centre and patient."""
    from client.cohort import importers as kinds

    _tell(
        kinds.import_mnms(
            root,
            out,
            name=name or out.name,
            positive=positive,
            negative=negative,
            centre=centre,
            csv=csv,
            part=_part(part),
            seed=seed,
        )
    )


@app.command("sunnybrook")
def import_sunnybrook(
    root: Annotated[Path, typer.Argument(help="Folder with one folder a patient.")],
    out: Out,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="CSV with patient_id and label.")
    ] = None,
    name: Name = "",
    positive: PositiveClass = "HCM",
    negative: NegativeClass = "NOR",
    contours: Annotated[
        Path | None, typer.Option("--contours", help="Folder of contours, if not with the images.")
    ] = None,
) -> None:
    """Import Sunnybrook: DICOM frames and contour polygons, converted to NIfTI in the site folder.

    Frames are sorted by their headers; no header is copied.
    """
    from client.cohort import importers as kinds

    with progress_bar("patients") as progress:
        report = kinds.import_sunnybrook(
            root,
            out,
            name=name or out.name,
            positive=positive,
            negative=negative,
            labels=labels,
            contours=contours,
            progress=progress,
        )
    _tell(report)


def _tell(report: ImportReport) -> None:
    site = report.site
    counts = ", ".join(f"{number} {label}" for label, number in report.patients.items())
    console.print(f"{site.name}: imported {counts} into {site.path}", soft_wrap=True)
    for reason, number in report.skipped.items():
        console.print(f"  left out: {number}, {reason}", markup=False)
    for note in report.notes:
        console.print(f"  note: {note}", markup=False, soft_wrap=True)
    for fault in report.faults:
        to_person.print(f"  [{fault.code}] {fault}", markup=False, soft_wrap=True)
    console.print(f"Next: myofed site check {site.path}", soft_wrap=True)


def _part(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, _, second = text.partition("/")
    if not (first.isdigit() and second.isdigit()):
        raise WrongUse(f"--part {text} is not K/N.", "Write, for example, --part 1/2.")
    return int(first), int(second)
