"""Import the ACDC challenge in its official layout."""

from __future__ import annotations

import os
from pathlib import Path

from client.cohort.importers.result import Draft, ImportReport
from client.cohort.site_folder import new_site_folder
from client.cohort.table import CohortRow, present
from common.errors import CohortError, Fault

MYOCARDIUM = 2
"""ACDC's masks: 1 right ventricle, 2 myocardium, 3 left ventricle."""


def import_acdc(
    root: Path | str,
    out: Path | str,
    *,
    name: str,
    positive: str = "HCM",
    negative: str = "NOR",
    myocardium: int = MYOCARDIUM,
    part: tuple[int, int] | None = None,
    seed: int = 0,
) -> ImportReport:
    """Make a site folder of ACDC: folders `patientNNN` with Info.cfg, below `root` at any depth.

    The classes are groups of Info.cfg (NOR, MINF, DCM, HCM, RV); patients of other groups are left
    out and counted. Both phases, ED and ES, are taken; images stay where they are.

    Raises:
        CohortError: no such folder, no patient of either class, or `out` holds something already.
    """
    root = Path(os.path.abspath(root))
    files = sorted(root.rglob("Info.cfg"))
    if not files:
        raise CohortError(
            f"{root} has no patientNNN/Info.cfg below it.",
            "Give the unpacked ACDC folder (the one that holds training/ and testing/).",
        )
    draft = Draft(name, "acdc", positive, negative, myocardium)
    for file in files:
        folder = file.parent
        info, where = read_info(file), f"patient {folder.name}, Info.cfg"
        lacking = [key for key in ("Group", "ED", "ES") if not info.get(key)]
        lacking += [key for key in ("ED", "ES") if key not in lacking and not info[key].isdigit()]
        if lacking:
            found = f"no usable {' and '.join(lacking)}; the file has {', '.join(info) or 'none'}"
            draft.faults.append(Fault("info-invalid", where, found, "Restore the file from ACDC"))
            draft.skipped["Info.cfg cannot be used"] += 1
        elif folder.name in draft.rows:
            found = f"{folder} is the second folder of this name"
            fix = "Import one of the two folders, or rename one"
            draft.faults.append(Fault("patient-twice", where, found, fix))
            draft.skipped["second folder of the same name"] += 1
        elif draft.wants(info["Group"]):
            draft.add(_rows(folder, info))
    draft.take(part, seed)
    with new_site_folder(out) as work:
        draft.write(work)
    return draft.report(out)


def read_info(file: Path) -> dict[str, str]:
    """Read the `Key: value` lines of an Info.cfg; other lines are ignored."""
    pairs = [line.partition(":") for line in file.read_text("utf-8", "replace").splitlines()]
    return {key.strip(): present(value) for key, colon, value in pairs if colon and key.strip()}


def _rows(folder: Path, info: dict[str, str]) -> list[CohortRow]:
    rows = []
    for phase in ("ED", "ES"):
        stem = f"{folder.name}_frame{int(info[phase]):02d}"
        rows.append(
            CohortRow(
                patient_id=folder.name,
                image=_file(folder, stem),
                mask=_file(folder, f"{stem}_gt"),
                phase=phase,
                label=info["Group"],
                covariates={
                    "height_cm": info.get("Height", ""),
                    "weight_kg": info.get("Weight", ""),
                },
            )
        )
    return rows


def _file(folder: Path, stem: str) -> Path:
    """Give the packed or unpacked file; the packed name where neither is there, for the check."""
    plain = folder / f"{stem}.nii"
    return plain if plain.is_file() else folder / f"{stem}.nii.gz"
