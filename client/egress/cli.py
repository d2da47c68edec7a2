"""`myofed site ledger show`, `verify`, `export`: what left this hospital, and the proof of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.console import FAILED, console, show_json, show_wide, table_of

if TYPE_CHECKING:
    from client.egress.line import Line

app = typer.Typer(
    help="What left this hospital, when, and by which rule; and whether that record is whole.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="The site's folder, for example sites/tufts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@app.command()
def show(
    folder: Folder,
    run: Annotated[str, typer.Option("--run", help="Only what left in this run.")] = "",
    as_json: AsJson = False,
) -> None:
    """List what left: one line for each answer and refusal, and for each approval of a study.

    No values are in the ledger: names, forms, sizes and hashes of fields only. --json lists each
    field.
    """
    from client.egress.reading import lines_of

    lines = list(lines_of(folder, run))
    if as_json:
        show_json([line.model_dump(mode="json") for line in lines])
        return
    if not lines:
        told = f"Nothing left in the run {run}." if run else "Nothing left yet."
        console.print(told, markup=False, soft_wrap=True)
        return
    columns = ["line", "time (UTC)", "what", "run", "question", "fields", "bytes"]
    show_wide(table_of("What left", columns, [_row(line) for line in lines]))


@app.command()
def verify(folder: Folder, as_json: AsJson = False) -> None:
    """Find any line of the ledger that was edited, taken away, moved or put in.

    The exit code is 1 if there is one. What cannot be found: a ledger that was put back, all of it,
    as it was earlier. So keep the number and hash that are printed, or an export, elsewhere.
    """
    from dataclasses import asdict

    from client.egress.verify import examine
    from common.identity import line_fingerprint

    line = _public_line(folder)
    found = examine(folder, _bytes_of(line))
    if as_json:
        head = found.head.model_dump(exclude={"signature"}) if found.head else None
        show_json(
            {
                "lines": found.lines,
                "head": head,
                "identity": line_fingerprint(line),
                "faults": [asdict(fault) for fault in found.faults],
                "notes": list(found.notes),
            }
        )
    else:
        for fault in found.faults:
            console.print(str(fault), markup=False, soft_wrap=True)
        for note in found.notes:
            console.print(note, markup=False, soft_wrap=True)
        verdict = f"faults: {len(found.faults)}" if found.faults else "the ledger is whole"
        console.print(f"good lines: {found.lines}; {verdict}", soft_wrap=True)
        if found.head:
            console.print(f"head     line {found.head.number}, {found.head.hash}", soft_wrap=True)
        console.print(f"identity {line_fingerprint(line)}", markup=False, soft_wrap=True)
        console.print("Compare the identity with the study's roster.")
    if found.faults:
        raise typer.Exit(FAILED)


@app.command()
def export(
    folder: Folder,
    out: Annotated[
        Path, typer.Option("--out", help="File to write: .html to read, .csv with every field.")
    ],
) -> None:
    """Write the ledger for the data protection officer: a page to read, or a table of every field.

    No data of patients are in it.
    """
    from client.egress.export import export as write

    write(folder, out, _bytes_of(_public_line(folder)))
    console.print(f"Wrote {out}.", markup=False, soft_wrap=True)


def _row(line: Line) -> list[str]:
    from rich.markup import escape

    what = line.code if line.kind == "refusal" else line.rule
    if line.kind in ("approval", "revocation"):
        what = f"{line.kind} {line.study[:12]}"
    elif line.kind == "refusal":
        what = f"refused: {what}"
    time = line.time[:19].replace("T", " ")
    # A stranger may have written what a refused question was called.
    texts = [escape(text) for text in (what, line.run, line.exchange or line.stage)]
    return [str(line.number), time, *texts, str(len(line.fields)), str(line.size)]


def _public_line(folder: Path) -> str:
    """Read the public half of the site's identity key.

    Raises
    ------
    WrongUse
        There is none.
    """
    from client.identity_key import PUBLIC_FILE
    from common.errors import WrongUse

    path = folder / PUBLIC_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise WrongUse(
            f"There is no public identity key in {path}.",
            "Name the site's folder. 'myofed site init' makes the key.",
        ) from None


def _bytes_of(line: str) -> bytes:
    from common.identity import identity_bytes

    return identity_bytes(line)
