"""Import a hospital's own cohort CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from client.cohort.importers.result import Draft, ImportReport
from client.cohort.site_folder import new_site_folder
from client.cohort.table import read_table
from common.errors import CohortError


def import_table(
    csv: Path | str,
    out: Path | str,
    *,
    name: str,
    positive: str,
    negative: str | None = None,
    myocardium: int = 1,
    exclude: Sequence[str] = (),
    part: tuple[int, int] | None = None,
    seed: int = 0,
) -> ImportReport:
    """Make a site folder of a cohort CSV (columns: see `client.cohort.table`).

    Without `negative`, the table must have exactly one label beside `positive`. Rows whose label
    is in `exclude` are left out; any other label outside the two classes is kept, and `check_site`
    faults it. Images stay where they are.

    Raises:
        TableFaults: the CSV cannot be read; every fault is listed.
        CohortError: `positive` is not a label of the table, `negative` cannot be told, nothing is
            left to import, or `out` holds something already.
    """
    table = read_table(csv)
    rows = [row for row in table.rows if row.label not in exclude]
    labels = sorted({row.label for row in rows if row.label})
    shown = ", ".join(map(repr, labels)) or "none"
    if positive not in labels:
        raise CohortError(
            f"{table.path}, column label: no row is labelled {positive!r}; the labels are {shown}.",
            "Give the label of the positive class with --positive.",
        )
    if negative is None:
        others = [label for label in labels if label != positive]
        if len(others) != 1:
            raise CohortError(
                f"{table.path}, column label: beside {positive!r} there are {len(others)} labels; "
                f"the labels are {shown}.",
                "Give the negative class with --negative, and leave labels out with --exclude.",
            )
        negative = others[0]
    draft = Draft(name, "table", positive, negative, myocardium)
    excluded = {row.patient_id for row in table.rows} - {row.patient_id for row in rows}
    if excluded:
        draft.skipped["label excluded"] = len(excluded)
    draft.add(rows)
    draft.take(part, seed)
    with new_site_folder(out) as work:
        draft.write(work)
    return draft.report(out)
