"""The outcome of checking a site: all of it for the site, counts only for anyone else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import Fault, count_by_code


@dataclass(frozen=True)
class CheckReport:
    """What `check_site` found.

    Attributes:
        site: the site's name.
        faults: what must be corrected before the site can take part.
        notes: what a person should look at; it does not keep the site from taking part.
        counts: patients by class ("positive", "negative"), "patients", "cases", "rows".
        minimum: counts below it are not shared.
    """

    site: str
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]
    counts: Mapping[str, int]
    minimum: int = 5

    @property
    def passed(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def shareable(self) -> dict[str, Any]:
        """Give what may leave the site: counts by code and class, small ones as '<n'.

        No identifier, path, value or text of a finding is in it.
        """
        return {
            "site": self.site,
            "passed": self.passed,
            "patients": {
                "positive": self._shown(self.counts.get("positive", 0)),
                "negative": self._shown(self.counts.get("negative", 0)),
            },
            "faults": {c: self._shown(n) for c, n in count_by_code(self.faults).items()},
            "notes": {c: self._shown(n) for c, n in count_by_code(self.notes).items()},
        }

    def listing(self) -> str:
        """Give every finding in full, for the eyes of the site only."""
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        lines = [f"{self.site}: {counts}"]
        for title, findings in (("faults", self.faults), ("notes", self.notes)):
            if findings:
                lines.append(f"{len(findings)} {title}:")
                lines += [f"  [{finding.code}] {finding}" for finding in findings]
        if self.passed:
            lines.append("No fault.")
        return "\n".join(lines)

    def _shown(self, count: int) -> int | str:
        return count if count >= self.minimum else f"<{self.minimum}"
