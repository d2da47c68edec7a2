"""Check a whole site: every fault in one pass, none of which stops it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

from client.cohort.check_images import CaseFindings, check_case
from client.cohort.check_table import (
    class_faults,
    covariate_faults,
    label_faults,
    phase_faults,
    row_faults,
)
from client.cohort.patients import Case, CaseKey, case_key, label_of
from client.cohort.report import CheckReport
from client.cohort.rules import CohortRules
from client.cohort.site_folder import SiteFolder
from client.cohort.table import CohortRow, CohortTable, TableFaults, read_table
from common.errors import Fault

Progress = Callable[[int, int], None]


def check_site(
    site: SiteFolder, rules: CohortRules | None = None, progress: Progress | None = None
) -> CheckReport:
    """Check the table and every image of a site against a study's rules.

    Nothing found in the cohort raises. `progress` is called with cases done and cases in all.
    """
    rules = rules or CohortRules()
    try:
        table = read_table(site.table_path, strict=False)
    except TableFaults as error:
        unread = error.faults or (
            Fault("table-unreadable", str(site.table_path), error.what.rstrip("."), error.fix),
        )
        counts = _counts([], {}, site)
        return CheckReport(
            site.name, tuple(unread), (), counts, minimum=rules.minimum_patients_per_class
        )
    rows = [row for row in table.rows if not rules.phases or row.phase in rules.phases]
    cases = _cases(rows)
    counts = _counts(rows, cases, site)
    faults = _table_faults(table, rows, counts, site, rules)
    notes = _unused_phases(table, rules)
    done: list[tuple[Case, CaseFindings]] = []
    for case, slices in cases.values():
        found = check_case(case, slices, site.myocardium, rules)
        faults += found.faults
        notes += found.notes
        if case.second_mask is not None and not found.faults:
            faults += _second_mask_faults(case, site, rules)
        done.append((case, found))
        if progress is not None:
            progress(len(done), len(cases))
    shared_faults, shared_notes = _shared_images(done)
    return CheckReport(
        site.name,
        tuple(faults + shared_faults),
        tuple(notes + shared_notes),
        counts,
        minimum=rules.minimum_patients_per_class,
    )


def _table_faults(
    table: CohortTable,
    rows: list[CohortRow],
    counts: dict[str, int],
    site: SiteFolder,
    rules: CohortRules,
) -> list[Fault]:
    faults = [*table.faults]
    faults += row_faults(rows)
    faults += label_faults(rows, site.positive, site.negative)
    faults += class_faults(counts, site.positive, site.negative, rules)
    faults += phase_faults(list(table.rows), rules)
    faults += covariate_faults(table, rules)
    return faults


def _cases(rows: list[CohortRow]) -> dict[CaseKey, tuple[Case, tuple[int, ...]]]:
    """Gather rows by image, whatever their labels: a bad label hides no bad image."""
    grouped: dict[CaseKey, list[int]] = {}
    for row in rows:
        slices = grouped.setdefault(case_key(row), [])
        if row.slice is not None:
            slices.append(row.slice)
    seconds = {case_key(row): row.second_mask for row in reversed(rows) if row.second_mask}
    return {
        key: (Case(*key, second_mask=seconds.get(key)), tuple(sorted(set(slices))))
        for key, slices in grouped.items()
    }


def _second_mask_faults(case: Case, site: SiteFolder, rules: CohortRules) -> list[Fault]:
    """Check the second mask as the first; its image is known to be good."""
    assert case.second_mask is not None
    other = replace(case, mask=case.second_mask, second_mask=None)
    found = check_case(other, (), site.myocardium, rules).faults
    return [
        replace(fault, where=fault.where.replace("column mask", "column second_mask"))
        for fault in found
    ]


def _counts(
    rows: list[CohortRow], cases: Mapping[CaseKey, object], site: SiteFolder
) -> dict[str, int]:
    labels: dict[str, int] = {}
    for row in rows:
        label = label_of(row, site.positive, site.negative)
        if label is not None:
            labels[row.patient_id] = max(label, labels.get(row.patient_id, 0))
    positive = sum(labels.values())
    return {
        "patients": len({row.patient_id for row in rows}),
        "positive": positive,
        "negative": len(labels) - positive,
        "cases": len(cases),
        "rows": len(rows),
    }


def _unused_phases(table: CohortTable, rules: CohortRules) -> list[Fault]:
    if not rules.phases:
        return []
    unused: dict[str, int] = defaultdict(int)
    for row in table.rows:
        if row.phase not in rules.phases:
            unused[row.phase] += 1
    used = ", ".join(rules.phases)
    return [
        Fault(
            "phase-unused",
            "column phase",
            f"{count} rows of phase {phase!r} are not looked at: the study uses {used}",
            "Nothing to do",
        )
        for phase, count in unused.items()
    ]


def _shared_images(done: list[tuple[Case, CaseFindings]]) -> tuple[list[Fault], list[Fault]]:
    """Find cases that share slices, pixel for pixel: a fault between patients, else a note."""
    holders: dict[str, list[Case]] = defaultdict(list)
    for case, findings in done:
        for content in dict.fromkeys(findings.slices.values()):
            holders[content].append(case)
    shared: dict[tuple[str, str], int] = defaultdict(int)
    cases: dict[tuple[str, str], tuple[Case, Case]] = {}
    for held in holders.values():
        for i, first in enumerate(held):
            for second in held[i + 1 :]:
                pair = (first.where, second.where)
                if first.patient_id == second.patient_id:
                    if first.phase == second.phase:
                        continue
                else:
                    pair = (first.patient_id, second.patient_id)
                shared[pair] += 1
                cases.setdefault(pair, (first, second))
    faults, notes = [], []
    for pair, count in shared.items():
        first, second = cases[pair]
        found = f"{count} slices are, pixel for pixel, those of {first.where}"
        where = f"{second.where}, column image"
        if first.patient_id == second.patient_id:
            fix = "Check that the two phases are not the same frame"
            notes.append(Fault("same-image-two-phases", where, found, fix))
        else:
            fix = "Keep the image under one patient; if it is one person, keep one patient_id"
            faults.append(Fault("same-image-two-patients", where, found, fix))
    return faults, notes
