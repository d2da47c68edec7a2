"""What an importer gathers on its way, and what it tells in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from client.cohort.importers.split import take_part
from client.cohort.site_folder import SiteFolder, check_names
from client.cohort.table import CohortRow
from common.errors import CohortError, Fault
from common.patient_flow import EXCLUDED_LABEL, NO_IMAGE, NO_LABEL, NO_PHASE, OTHER_LABEL, REASONS


@dataclass(frozen=True)
class ImportReport:
    """The site that was made, and what became of the patients.

    Attributes:
        site: the new site folder.
        patients: patients imported, by label.
        skipped: patients left out, by reason.
        notes: sentences for a person.
        faults: things wrong with the source; what they concern was left out.
    """

    site: SiteFolder
    patients: dict[str, int]
    skipped: dict[str, int]
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass
class Draft:
    """A site in the making: rows by patient, reasons for leaving out, notes and faults."""

    name: str
    source: str
    positive: str
    negative: str
    myocardium: int
    rows: dict[str, list[CohortRow]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    is_part: bool = False

    def __post_init__(self) -> None:
        check_names(self.name, self.positive, self.negative, self.myocardium)

    def add(self, rows: Iterable[CohortRow]) -> None:
        """Add rows to their patients."""
        for row in rows:
            self.rows.setdefault(row.patient_id, []).append(row)

    def wants(self, label: str) -> bool:
        """Say whether a label is one of the two classes; count the patient if not."""
        if label in (self.positive, self.negative):
            return True
        self.skipped[f"label {label!r} is neither class" if label else "no label"] += 1
        return False

    def take(self, part: tuple[int, int] | None, seed: int) -> None:
        """Keep the patients of one part; whom the import left out before is of all parts."""
        self.is_part = part is not None
        labels = {
            patient: self.positive if self.positive in (r.label for r in rows) else rows[0].label
            for patient, rows in self.rows.items()
        }
        chosen = take_part(labels, part, seed)
        left = len(self.rows) - len(chosen)
        if left and part is not None:
            self.skipped[f"not in part {part[0]} of {part[1]}"] += left
        self.rows = {patient: rows for patient, rows in self.rows.items() if patient in chosen}

    def write(self, folder: Path) -> None:
        """Write the site into a folder lent by `new_site_folder`.

        Raises:
            CohortError: no patient is left to import.
        """
        if not self.rows:
            reasons = "; ".join(f"{count} {why}" for why, count in self.skipped.items())
            faults = "".join(f"\n  {fault}" for fault in self.faults)
            raise CohortError(
                f"No patient was imported ({reasons or 'none was found'}).{faults}",
                "Check the folder, --positive and --negative.",
            )
        SiteFolder.write(
            folder,
            [row for rows in self.rows.values() for row in rows],
            name=self.name,
            source=self.source,
            myocardium=self.myocardium,
            positive=self.positive,
            negative=self.negative,
            left_out=None if self.is_part else left_out(self.skipped),
        )

    def report(self, path: Path | str) -> ImportReport:
        """Open the finished site and tell what became of it."""
        site = SiteFolder.open(path)
        by_label: Counter[str] = Counter()
        for rows in self.rows.values():
            labels = {row.label for row in rows}
            by_label[self.positive if self.positive in labels else rows[0].label] += 1
        return ImportReport(
            site,
            dict(sorted(by_label.items())),
            dict(sorted(self.skipped.items())),
            tuple(self.notes),
            tuple(self.faults),
        )


_NOT_PATIENTS = ("another centre", "not in part", "second folder")
"""Beginnings of reasons for which a line, and no patient of this site, was left out."""


def left_out(skipped: Mapping[str, int]) -> dict[str, int]:
    """Count the patients that were left out by the reasons that a site may tell."""
    found = dict.fromkeys((reason for reason in REASONS if reason != NO_PHASE), 0)
    for why, count in skipped.items():
        if why.startswith(_NOT_PATIENTS):
            continue
        if why == "no label":
            reason = NO_LABEL
        elif why == "label excluded":
            reason = EXCLUDED_LABEL
        else:
            reason = OTHER_LABEL if why.endswith("neither class") else NO_IMAGE
        found[reason] += count
    return found
