"""The patients of a cohort table: rows gathered by patient, phase and slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from client.cohort.table import CohortRow, CohortTable, TableFaults
from common.errors import Fault


@dataclass(frozen=True)
class Case:
    """One image with its mask: one phase of one patient.

    `slice_labels` gives 1 or 0 for each labelled slice; empty where the label is the patient's.
    `second_mask` is another contour of the same image, where the table has one.
    """

    patient_id: str
    phase: str
    image: Path
    mask: Path
    frame: int | None = None
    slice_labels: dict[int, int] = field(default_factory=dict)
    second_mask: Path | None = None

    @property
    def where(self) -> str:
        """Name the case as a person at the site would: patient and phase."""
        return f"patient {self.patient_id}, phase {self.phase}"


@dataclass(frozen=True)
class Patient:
    """One patient: `label` is 1 if the patient, or any labelled slice, is positive."""

    patient_id: str
    label: int
    cases: tuple[Case, ...]
    covariates: dict[str, str]

    def case(self, phase: str) -> Case | None:
        """Give the patient's case of a phase, or None."""
        return next((case for case in self.cases if case.phase == phase), None)


CaseKey = tuple[str, str, Path, Path, int | None]


def case_key(row: CohortRow) -> CaseKey:
    """Give what rows of the same image share: patient, phase, image, mask and frame."""
    return (row.patient_id, row.phase, row.image, row.mask, row.frame)


def label_of(row: CohortRow, positive: str, negative: str) -> int | None:
    """Give 1 for the positive name, 0 for the negative, None for any other."""
    return {positive: 1, negative: 0}.get(row.label)


def label_fault(row: CohortRow, positive: str, negative: str) -> Fault:
    """Say that a row's label is neither class, and what is probably meant."""
    near = [name for name in (positive, negative) if name.lower() == row.label.lower()]
    fix = (
        f"Write {near[0]!r}: capitals count"
        if near
        else f"Label it {positive!r} or {negative!r}, or leave the label out at import (--exclude)"
    )
    found = f"label {row.label!r}" if row.label else "the label is empty"
    found = f"{found}; the site's classes are {positive!r} and {negative!r}"
    return Fault("label-outside-classes", f"{row.where}, column label", found, fix)


def patients(table: CohortTable, positive: str, negative: str) -> list[Patient]:
    """Gather a table's rows by patient, in the order in which the patients first appear.

    A covariate is the first value given in any of the patient's rows.

    Raises:
        TableFaults: a label is neither `positive` nor `negative`; all such rows are listed.
    """
    faults = []
    grouped: dict[str, dict[CaseKey, list[CohortRow]]] = {}
    labels: dict[str, int] = {}
    covariates: dict[str, dict[str, str]] = {}
    for row in table.rows:
        label = label_of(row, positive, negative)
        if label is None:
            faults.append(label_fault(row, positive, negative))
            continue
        grouped.setdefault(row.patient_id, {}).setdefault(case_key(row), []).append(row)
        labels[row.patient_id] = max(label, labels.get(row.patient_id, 0))
        known = covariates.setdefault(row.patient_id, {})
        for name, value in row.covariates.items():
            known[name] = known.get(name) or value
    if faults:
        raise TableFaults("\n".join(str(fault) for fault in faults), "", faults)
    found = []
    for patient_id, cases in grouped.items():
        built = tuple(_case(key, rows, positive) for key, rows in cases.items())
        found.append(Patient(patient_id, labels[patient_id], built, covariates[patient_id]))
    return found


def _case(key: CaseKey, rows: list[CohortRow], positive: str) -> Case:
    patient_id, phase, image, mask, frame = key
    slices: dict[int, int] = {}
    for row in rows:
        if row.slice is not None:
            slices[row.slice] = int(row.label == positive)
    return Case(patient_id, phase, image, mask, frame, slices, second_of(rows))


def second_of(rows: Sequence[CohortRow]) -> Path | None:
    """Give the first second mask that rows of one image name."""
    return next((row.second_mask for row in rows if row.second_mask is not None), None)
