"""The cohort table: one row for each image of a patient, or for each labelled slice of it."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import CohortError, Fault

REQUIRED = ("patient_id", "image", "mask", "phase", "label")
OPTIONAL = ("frame", "slice")
SECOND = "second_mask"
"""A column of another contour of the same image; a cell of it may be empty."""
_DELIMITERS = (",", ";", "\t")
_MISSING = {"na", "n/a", "nan", "none", "null", "."}


class TableFaults(CohortError):
    """A table that cannot be used; `faults` lists everything wrong with it."""

    def __init__(self, what: str, fix: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(what, fix)
        self.faults = tuple(faults)


@dataclass(frozen=True)
class CohortRow:
    """One image and its mask, or one labelled slice of them.

    `frame` is the 0-based index on the fourth axis of a 4-D file, `slice` the 0-based index on z;
    a row with a slice labels that slice only. `line` is where the row stands in its file.
    `second_mask` is another contour of the same image, for example another reader's.
    """

    patient_id: str
    image: Path
    mask: Path
    phase: str
    label: str
    frame: int | None = None
    slice: int | None = None
    covariates: dict[str, str] = field(default_factory=dict)
    line: int = 0
    second_mask: Path | None = None

    @property
    def where(self) -> str:
        """Name the row as a person at the site would: patient, phase, slice."""
        text = f"patient {self.patient_id}, phase {self.phase}"
        return text if self.slice is None else f"{text}, slice {self.slice}"


@dataclass(frozen=True)
class CohortTable:
    """The rows of a cohort, the names of its covariates, and what is wrong with single rows."""

    path: Path
    rows: tuple[CohortRow, ...]
    covariates: tuple[str, ...]
    faults: tuple[Fault, ...] = ()


def read_table(path: Path | str, *, strict: bool = True, require_label: bool = True) -> CohortTable:
    """Read a cohort CSV (comma, semicolon or tab; UTF-8 with or without byte-order mark).

    Image and mask paths are taken relative to the file. With ``strict=False`` rows that cannot be
    read are left out and listed in ``faults``; otherwise they raise. With ``require_label=False``
    the column label may be absent (for prediction).

    Raises:
        TableFaults: the file is missing or not text, a column is missing or there twice, it has no
            rows, or (strict) a row cannot be read. The text and ``faults`` list all of it.
    """
    path = Path(path)
    header, cells = read_cells(path)
    names = [name.strip().lower().replace(" ", "_") for name in header]
    _check_columns(path, header, names, require_label)
    covariates = tuple(n for n in names if n and n not in (*REQUIRED, *OPTIONAL, SECOND))
    rows: list[CohortRow] = []
    faults: list[Fault] = []
    for line, values in cells:
        row = _read_row(path, line, names, values, covariates, faults)
        if row is not None:
            rows.append(row)
    if not rows and not faults:
        raise TableFaults(
            f"{path} has a header and no rows.", "Add one line for each image of a patient."
        )
    if strict and faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise TableFaults(
            f"{path} has {len(faults)} rows that cannot be read:\n{listed}\n",
            "Correct these lines.",
            faults,
        )
    return CohortTable(path, tuple(rows), covariates, tuple(faults))


def write_table(path: Path | str, rows: Iterable[CohortRow]) -> None:
    """Write rows as a normalised cohort CSV; files below the CSV's folder get relative paths.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row.covariates))
    optional = [n for n in OPTIONAL if any(getattr(row, n) is not None for row in rows)]
    second = [SECOND] if any(row.second_mask is not None for row in rows) else []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*REQUIRED, *optional, *second, *names])
        for row in rows:
            extra = [getattr(row, n) for n in optional]
            writer.writerow(
                [
                    row.patient_id,
                    _shown(row.image, path.parent),
                    _shown(row.mask, path.parent),
                    row.phase,
                    row.label,
                    *("" if value is None else value for value in extra),
                    *(
                        _shown(row.second_mask, path.parent) if row.second_mask else ""
                        for _ in second
                    ),
                    *(row.covariates.get(name, "") for name in names),
                ]
            )


def read_cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a CSV's header, and its other lines that are not blank, each with its number.

    Raises:
        TableFaults: the file is missing, not UTF-8, not a CSV, or empty.
    """
    return _split(path, _text(path))


def present(text: str | None) -> str:
    """Strip a cell; the usual words for a missing value become the empty text."""
    text = (text or "").strip()
    return "" if text.lower() in _MISSING else text


def _second(path: Path, text: str) -> Path | None:
    return Path(os.path.abspath(path.parent / text)) if text else None


def _shown(file: Path, folder: Path) -> str:
    file, folder = Path(os.path.abspath(file)), Path(os.path.abspath(folder))
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise TableFaults(f"{path} does not exist.", "Give the path of the cohort CSV.") from None
    except UnicodeDecodeError as error:
        raise TableFaults(
            f"{path} is not UTF-8 text (byte {error.start}).", "Save it as 'CSV UTF-8'."
        ) from None
    except OSError as error:
        raise TableFaults(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from None


def _split(path: Path, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Split the text by the delimiter under which its header shows most of the known columns."""
    best: tuple[int, list[str], list[tuple[int, list[str]]]] | None = None
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            lines = [(reader.line_num, row) for row in reader if any(c.strip() for c in row)]
        except csv.Error as error:
            raise TableFaults(
                f"{path}, line {reader.line_num}: not a CSV ({error}).", "Save it anew as CSV."
            ) from None
        if not lines:
            raise TableFaults(f"{path} is empty.", f"It needs the columns {', '.join(REQUIRED)}.")
        header = lines[0][1]
        score = len({c.strip().lower() for c in header} & set(REQUIRED)) * 1000 + len(header)
        if best is None or score > best[0]:
            best = (score, header, lines[1:])
    assert best is not None
    return best[1], best[2]


def _check_columns(path: Path, header: list[str], names: list[str], require_label: bool) -> None:
    faults = []
    found = ", ".join(name.strip() for name in header if name.strip()) or "none"
    for name in REQUIRED:
        if name not in names and (require_label or name != "label"):
            faults.append(
                Fault(
                    "column-missing",
                    f"column {name}",
                    f"the column is missing; the file has {found}",
                    f"Add the column {name}, or rename the one that holds it",
                )
            )
    for name, count in Counter(n for n in names if n).items():
        if count > 1:
            faults.append(
                Fault(
                    "column-twice",
                    f"column {name}",
                    f"the column is there {count} times",
                    "Keep one of them",
                )
            )
    if faults:
        raise TableFaults(f"{path}: " + "; ".join(f"{f}" for f in faults) + ".", "", faults)


def _read_row(
    path: Path,
    line: int,
    names: list[str],
    values: list[str],
    covariates: tuple[str, ...],
    faults: list[Fault],
) -> CohortRow | None:
    where = f"line {line}"
    while len(values) > len(names) and not values[-1].strip():
        values = values[:-1]
    if len(values) != len(names):
        found = f"the line has {len(values)} cells, the header {len(names)}"
        fix = "Quote cells that hold the delimiter, and fill or remove cells"
        faults.append(Fault("row-cells", where, found, fix))
        return None
    cells = {name: value.strip() for name, value in zip(names, values, strict=True)}
    before = len(faults)
    for name in ("patient_id", "image", "mask", "phase"):
        if not cells[name]:
            faults.append(
                Fault(
                    "cell-empty", f"{where}, column {name}", "the cell is empty", f"Fill in {name}"
                )
            )
    numbers: dict[str, int | None] = {}
    for name in OPTIONAL:
        text = present(cells.get(name))
        numbers[name] = int(text) if text.isascii() and text.isdigit() else None
        if text and numbers[name] is None:
            found = f"{text!r} is not a whole number from 0"
            fix = f"Give the 0-based {name}, or leave the cell empty"
            faults.append(Fault(f"{name}-invalid", f"{where}, column {name}", found, fix))
    if len(faults) > before:
        return None
    return CohortRow(
        patient_id=cells["patient_id"],
        image=Path(os.path.abspath(path.parent / cells["image"])),
        mask=Path(os.path.abspath(path.parent / cells["mask"])),
        phase=cells["phase"],
        label=cells.get("label", ""),
        frame=numbers["frame"],
        slice=numbers["slice"],
        covariates={name: present(cells[name]) for name in covariates},
        line=line,
        second_mask=_second(path, present(cells.get(SECOND))),
    )
