"""Import Sunnybrook: DICOM frames with contours as polygons."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from client.cohort.importers.result import Draft, ImportReport
from client.cohort.importers.stack import build_stack, find_contours
from client.cohort.importers.volume import write_stack
from client.cohort.site_folder import new_site_folder
from client.cohort.table import CohortRow, TableFaults, read_cells
from common.errors import CohortError

MYOCARDIUM = 2
"""The masks that are written: 1 cavity, 2 myocardium, as in M&Ms."""


def import_sunnybrook(
    root: Path | str,
    out: Path | str,
    *,
    name: str,
    positive: str,
    negative: str,
    labels: Path | str | None = None,
    contours: Path | str | None = None,
    part: tuple[int, int] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Make a site folder of Sunnybrook: below `root` a folder for each patient, with its DICOM.

    Frames are put in order by their headers. The contours of a patient lie in the same folder, or
    in the folder of the same name below `contours`; `IM-0001-NNNN-icontour-manual.txt` belongs to
    the frame with InstanceNumber NNNN. Only end-diastole is imported: the epicardium is drawn there
    alone. Images and masks are written to `out/images` without any identifying header.

    `labels` is a CSV with patient_id (the folder's name) and label. Patients without a label, or
    with one outside the two classes, are left out and counted; without the file, all are imported
    with an empty label, which `check_site` faults.

    Raises:
        CohortError: no patient folder, no usable labels, nothing to import, or `out` holds
            something already.
    """
    root = Path(os.path.abspath(root))
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    if not folders:
        raise CohortError(
            f"{root} holds no patient folders.", "Give the folder that holds one folder a patient."
        )
    given = None if labels is None else read_labels(Path(labels))
    draft = Draft(name, "sunnybrook", positive, negative, MYOCARDIUM)
    if given is None:
        draft.notes.append("No --labels given: the column label is empty and must be filled in.")
    else:
        missing = len(set(given) - {folder.name for folder in folders})
        if missing:
            draft.notes.append(f"{missing} patients of {labels} have no folder below {root}.")
    chosen: dict[str, list[CohortRow]] = {}
    for folder in folders:
        label = "" if given is None else given.get(folder.name, "")
        if given is None or draft.wants(label):
            nowhere = Path()
            draft.add([CohortRow(folder.name, nowhere, nowhere, "ED", label)])
    draft.take(part, seed)
    with new_site_folder(out) as work:
        (work / "images").mkdir()
        for number, (patient, rows) in enumerate(draft.rows.items(), 1):
            place = root if contours is None else Path(os.path.abspath(contours))
            row = _convert(root / patient, place / patient, work, number, rows[0].label, draft)
            if row is not None:
                chosen[patient] = [row]
            if progress is not None:
                progress(number, len(draft.rows))
        draft.rows = chosen
        draft.write(work)
    return draft.report(out)


def read_labels(file: Path) -> dict[str, str]:
    """Read a CSV with patient_id and label.

    Raises:
        TableFaults: the file cannot be read, lacks a column, or gives a patient two labels.
    """
    header, lines = read_cells(file)
    names = [name.strip().lower() for name in header]
    for column in ("patient_id", "label"):
        if names.count(column) != 1:
            raise TableFaults(
                f"{file}: column {column} is there {names.count(column)} times; the file has "
                f"{', '.join(names)}.",
                "Give the columns patient_id and label.",
            )
    patient_at, label_at = names.index("patient_id"), names.index("label")
    labels: dict[str, str] = {}
    for number, cells in lines:
        if len(cells) <= max(patient_at, label_at):
            raise TableFaults(f"{file}, line {number}: a cell is missing.", "Complete the line.")
        patient, label = cells[patient_at].strip(), cells[label_at].strip()
        if labels.setdefault(patient, label) != label:
            raise TableFaults(
                f"{file}, line {number}: patient {patient} is labelled {label!r}, and "
                f"{labels[patient]!r} before.",
                "Give each patient one label.",
            )
    return labels


def _convert(
    folder: Path, drawn: Path, work: Path, number: int, label: str, draft: Draft
) -> CohortRow | None:
    stack = build_stack(folder, find_contours(drawn))
    draft.faults += stack.faults
    draft.notes += stack.notes
    if not stack.frames:
        draft.skipped[stack.reason] += 1
        return None
    image = work / "images" / f"case{number:04d}_ED.nii.gz"
    mask = work / "images" / f"case{number:04d}_ED_mask.nii.gz"
    write_stack(stack.frames, stack.pixels, stack.rings, stack.cavities, image, mask)
    return CohortRow(
        patient_id=folder.name,
        image=image,
        mask=mask,
        phase="ED",
        label=label,
        covariates=dict(stack.frames[0].scanner),
    )
