"""Checks of a cohort table that need no image: rows, labels, classes, phases, covariates."""

from __future__ import annotations

import math
from collections import defaultdict

from client.cohort.patients import label_fault, label_of
from client.cohort.rules import CohortRules
from client.cohort.table import CohortRow, CohortTable
from common.errors import Fault


def row_faults(rows: list[CohortRow]) -> list[Fault]:
    """Find rows that are there twice, and phases of a patient with more than one image."""
    faults = []
    seen: dict[tuple[object, ...], CohortRow] = {}
    phases: dict[tuple[str, str], CohortRow] = {}
    for row in rows:
        key = (row.patient_id, row.phase, row.image, row.mask, row.frame, row.slice)
        first = seen.setdefault(key, row)
        if first is not row:
            found = f"line {row.line} repeats line {first.line}"
            faults.append(Fault("duplicate-row", row.where, found, "Remove one of the two lines"))
            continue
        same = phases.setdefault((row.patient_id, row.phase), row)
        if (same.image, same.mask, same.frame) != (row.image, row.mask, row.frame):
            found = f"lines {same.line} and {row.line} give two images for one phase"
            fix = "Keep one of them, or give them different phases"
            faults.append(Fault("phase-twice", row.where, found, fix))
        elif (same.slice is None) != (row.slice is None):
            found = f"line {same.line} and line {row.line}: one labels a slice, one the patient"
            fix = "Label every slice with its own row, or the whole image with one row"
            faults.append(Fault("slices-mixed", row.where, found, fix))
    return faults


def label_faults(rows: list[CohortRow], positive: str, negative: str) -> list[Fault]:
    """Find labels outside the two classes, and patients whose rows disagree."""
    faults = []
    given: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if label_of(row, positive, negative) is None:
            faults.append(label_fault(row, positive, negative))
        elif row.slice is None:
            given[row.patient_id].setdefault(row.label, row.line)
    for patient_id, labels in given.items():
        if len(labels) > 1:
            found = " and ".join(f"{label!r} (line {line})" for label, line in labels.items())
            faults.append(
                Fault(
                    "two-labels",
                    f"patient {patient_id}, column label",
                    f"the patient is labelled {found}",
                    "Give the patient one label in all rows, or label slices one by one",
                )
            )
    return faults


def class_faults(
    counts: dict[str, int], positive: str, negative: str, rules: CohortRules
) -> list[Fault]:
    """Find an empty class, and classes below the study's minimum."""
    faults = []
    for kind, name in (("positive", positive), ("negative", negative)):
        count = counts[kind]
        where = f"column label, class {name!r} ({kind})"
        if count == 0:
            fix = f"A site needs patients of both classes; check --{kind} at import"
            faults.append(Fault("one-class", where, "no patient has this label", fix))
        elif count < rules.minimum_patients_per_class:
            found = f"{count} patients, the study's minimum is {rules.minimum_patients_per_class}"
            fix = "Add patients of this class; the site cannot take part with fewer"
            faults.append(Fault("too-few-patients", where, found, fix))
    return faults


def phase_faults(rows: list[CohortRow], rules: CohortRules) -> list[Fault]:
    """Find patients who lack a phase that the study uses."""
    had: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        had[row.patient_id][row.phase] = None
    faults = []
    for patient_id, phases in had.items():
        for phase in rules.phases:
            if phase not in phases:
                found = f"no row for phase {phase!r}; there: {', '.join(phases)}"
                fix = f"Add the image of {phase!r}, or write the phase as the study does"
                where = f"patient {patient_id}, column phase"
                faults.append(Fault("phase-missing", where, found, fix))
    return faults


def covariate_faults(table: CohortTable, rules: CohortRules) -> list[Fault]:
    """Find covariates that are missing, unknown to the study, no numbers, or contradictory."""
    faults = []
    for name in rules.covariates:
        column = f"column {name}"
        if name not in table.covariates:
            if name in rules.required:
                there = ", ".join(table.covariates) or "none"
                found = f"the study needs this covariate; the table has: {there}"
                fix = f"Add the column {name}, or rename the one that holds it"
                faults.append(Fault("covariate-column-missing", column, found, fix))
            continue
        values: dict[str, dict[str, int]] = defaultdict(dict)
        for row in table.rows:
            held = values[row.patient_id]
            if row.covariates[name]:
                held.setdefault(row.covariates[name], row.line)
        for patient_id, held in values.items():
            faults += _value_faults(name, f"patient {patient_id}, {column}", held, rules)
    return faults


def _value_faults(name: str, where: str, held: dict[str, int], rules: CohortRules) -> list[Fault]:
    faults = []
    if not held and name in rules.required:
        fix = f"Fill in {name}, or ask for a study that allows it to be missing"
        faults.append(Fault("covariate-missing", where, "the cell is empty", fix))
    if len(held) > 1:
        found = " and ".join(f"{value!r} (line {line})" for value, line in held.items())
        fix = "Give the patient one value in all rows"
        faults.append(Fault("covariate-twice", where, f"the patient has {found}", fix))
    known = rules.levels.get(name)
    for value in held:
        if known is not None and value not in known:
            near = [level for level in known if level.lower() == value.lower()]
            fix = f"Write {near[0]!r}" if near else "Use one of these, or have the study add it"
            found = f"the study does not know {value!r}; it knows {', '.join(map(repr, known))}"
            faults.append(Fault("covariate-level-unknown", where, found, fix))
        if name in rules.numeric and not _is_number(value):
            fix = "Write a number with a decimal point, or leave the cell empty"
            faults.append(Fault("covariate-not-number", where, f"{value!r} is no number", fix))
    return faults


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
