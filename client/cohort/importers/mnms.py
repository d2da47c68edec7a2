"""Import the M&Ms challenge: its official 4-D layout, or one folder a centre with single phases."""

from __future__ import annotations

import csv as csv_module
import os
from collections.abc import Mapping
from pathlib import Path

from client.cohort.importers.result import Draft, ImportReport
from client.cohort.site_folder import new_site_folder
from client.cohort.table import CohortRow, present
from common.errors import CohortError, Fault

MYOCARDIUM = 2
"""M&Ms' masks: 1 left ventricle, 2 myocardium, 3 right ventricle."""

_NAMES = {
    "patient": ("external code", "patient_id"),
    "label": ("pathology", "diagnosis"),
    "centre": ("centre", "center"),
    "vendor": ("vendorname", "vendor_name", "vendor"),
    "age": ("age",),
    "sex": ("sex",),
    "height_cm": ("height", "height_cm"),
    "weight_kg": ("weight", "weight_kg"),
    "ED": ("ed",),
    "ES": ("es",),
}


def import_mnms(
    root: Path | str,
    out: Path | str,
    *,
    name: str,
    positive: str = "HCM",
    negative: str = "NOR",
    myocardium: int = MYOCARDIUM,
    centre: int | None = None,
    part: tuple[int, int] | None = None,
    seed: int = 0,
    csv: Path | str | None = None,
) -> ImportReport:
    """Make a site folder of M&Ms; images stay where they are.

    Official layout: `<code>_sa.nii.gz` and `<code>_sa_gt.nii.gz` (4-D) at any depth, and the
    challenge's CSV, whose ED and ES are 0-based frames. Other layout: `<id>_sa_ED.nii.gz`,
    `<id>_sa_ED_gt.nii.gz` (ES alike) and patients.csv. `csv` names the table where it is not the
    only fitting one below `root`. `centre` imports one centre; `part=(k, n)` the k-th of n parts,
    alike in labels. Other pathologies, and patients without masks, are left out and counted.

    Raises:
        CohortError: no table, several tables, no patient to import, or `out` holds something.
    """
    root = Path(os.path.abspath(root))
    table = Path(csv) if csv is not None else _find_table(root)
    records = _read_records(table)
    files = {f.name: f for f in sorted(root.rglob("*_sa*.nii*")) if f.is_file()}
    draft = Draft(name, "mnms", positive, negative, myocardium)
    centres = sorted({record["centre"] for record in records if record["centre"]})
    for record in records:
        patient = record["patient"]
        if centre is not None and record["centre"] != str(centre):
            draft.skipped["another centre"] += 1
        elif patient in draft.rows:
            found, fix = "the patient is there twice; the first is taken", "Remove one of the lines"
            where = f"{table.name}, patient {patient}"
            draft.faults.append(Fault("patient-twice", where, found, fix))
        elif draft.wants(record["label"]):
            rows = _phase_rows(record, files) or _frame_rows(record, files, draft)
            draft.add(rows)
            if not rows:
                draft.skipped["no image with mask"] += 1
    if centre is not None and str(centre) not in centres:
        raise CohortError(
            f"{table} has no patient of centre {centre}; its centres are {', '.join(centres)}.",
            "Give one of these with --centre.",
        )
    draft.take(part, seed)
    draft.notes.append("The table has no scanner: the column holds vendor and centre instead.")
    with new_site_folder(out) as work:
        draft.write(work)
    return draft.report(out)


def _find_table(root: Path) -> Path:
    fitting = []
    for file in sorted(root.rglob("*.csv")):
        first = file.open(encoding="utf-8-sig", errors="replace").readline().lower()
        if any(key in first for key in _NAMES["patient"]) and any(
            key in first for key in _NAMES["label"]
        ):
            fitting.append(file)
    if len(fitting) == 1:
        return fitting[0]
    found = ", ".join(map(str, fitting)) or "none"
    raise CohortError(
        f"{root} should hold one table with 'External code' and 'Pathology' (or 'patient_id' and "
        f"'diagnosis'); found: {found}.",
        "Name the table with --csv.",
    )


def _read_records(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv_module.DictReader(file))
    except (OSError, UnicodeDecodeError, csv_module.Error) as error:
        raise CohortError(f"{table} cannot be read: {error}.", "Check the path.") from None
    records = []
    for line in lines:
        held = {(k or "").strip().lower(): v for k, v in line.items() if isinstance(v, str)}
        record = {
            name: next((value for c in columns if (value := present(held.get(c)))), "")
            for name, columns in _NAMES.items()
        }
        record["centre"] = record["centre"].removesuffix(".0")
        if record["patient"]:
            records.append(record)
    if not records:
        raise CohortError(f"{table} has no patient.", "Name the right table with --csv.")
    return records


def _covariates(record: Mapping[str, str]) -> dict[str, str]:
    names = ("age", "sex", "vendor", "centre", "height_cm", "weight_kg")
    held = {name: record[name] for name in names}
    scanner = " centre ".join(filter(None, (record["vendor"], record["centre"])))
    return {**held, "scanner": scanner}


def _pair(stem: str, files: Mapping[str, Path]) -> tuple[Path, Path] | None:
    for ending in (".nii.gz", ".nii"):
        image, mask = files.get(f"{stem}{ending}"), files.get(f"{stem}_gt{ending}")
        if image is not None and mask is not None:
            return image, mask
    return None


def _phase_rows(record: Mapping[str, str], files: Mapping[str, Path]) -> list[CohortRow]:
    """Give rows for the layout with one file a phase."""
    rows = []
    for phase in ("ED", "ES"):
        pair = _pair(f"{record['patient']}_sa_{phase}", files)
        if pair is not None:
            rows.append(_row(record, phase, pair, None))
    return rows


def _frame_rows(
    record: Mapping[str, str], files: Mapping[str, Path], draft: Draft
) -> list[CohortRow]:
    """Give rows for the official layout: one 4-D file, with the phases' frames in the table."""
    pair = _pair(f"{record['patient']}_sa", files)
    if pair is None:
        return []
    rows = []
    for phase in ("ED", "ES"):
        text = record[phase].removesuffix(".0")
        if text.isdigit():
            rows.append(_row(record, phase, pair, int(text)))
        else:
            found = f"the frame is {record[phase]!r}" if text else "the cell is empty"
            where = f"patient {record['patient']}, column {phase}"
            fix = "Fill in the 0-based frame; the phase was left out"
            draft.faults.append(Fault("frame-invalid", where, found, fix))
    return rows


def _row(
    record: Mapping[str, str], phase: str, pair: tuple[Path, Path], frame: int | None
) -> CohortRow:
    return CohortRow(
        patient_id=record["patient"],
        image=pair[0],
        mask=pair[1],
        phase=phase,
        label=record["label"],
        frame=frame,
        covariates=_covariates(record),
    )
