"""Errors with two faces: one for the person whose data it is, one for the coordinator.

Every error says what was found, where, and what to do. The coordinator's face holds the code and
a fixed sentence only, never a case, a path or the text of an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MyoFedError(Exception):
    """An expected failure: `what` was found and `fix`, what to do about it.

    `code` is a short stable word (for example ``study-invalid``); `public` is the sentence that a
    coordinator may read, free of any detail of patients, paths and exceptions.
    """

    code = "failed"
    public = "The site could not answer. Its own log says why."

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} {self.fix}".strip()

    def __reduce__(self) -> tuple[type[MyoFedError], tuple[str, str]]:
        return (type(self), (self.what, self.fix))


class WrongUse(MyoFedError):
    """The command was called in a way that cannot work (exit code 2)."""

    code = "wrong-use"
    public = "The request was not understood."


class StudyError(MyoFedError):
    """The protocol file is not a valid study."""

    code = "study-invalid"
    public = "The study file is not valid."


class StudyMismatch(MyoFedError):
    """A site approved another study, or runs another recipe or other versions."""

    code = "study-mismatch"
    public = "The site holds another study, recipe or version."


class ChangedSinceEnrolment(StudyMismatch):
    """A site's software, recipe or cohort changed in the middle of a run."""

    code = "changed-since-enrolment"
    public = "The site's software or cohort is not what it enrolled with in this run."


class CohortError(MyoFedError):
    """The cohort of a site cannot be used as it is."""

    code = "cohort-invalid"
    public = "The site's cohort did not pass its checks."


class TooFewPatients(CohortError):
    """A class or a batch has fewer patients or slices than the study's minimum."""

    code = "too-few-patients"
    public = "The site has fewer patients of a class than the study's minimum."


class ImageError(MyoFedError):
    """An image or mask cannot be read or used."""

    code = "image-invalid"
    public = "The site found an image that it cannot use."


class HarmonizationError(MyoFedError):
    """ComBat cannot be computed from what it was given."""

    code = "harmonization-failed"
    public = "Harmonisation could not be computed."


class RunError(MyoFedError):
    """A run cannot begin or go on."""

    code = "run-failed"
    public = "The run cannot go on."


class Interrupted(RunError):
    """Somebody asked the run to stop. Nothing is wrong; it can go on later."""

    code = "interrupted"
    public = "The run was stopped."

    def __init__(
        self,
        what: str = "The run was stopped.",
        fix: str = "Run the same command again: it goes on where it stopped.",
    ) -> None:
        super().__init__(what, fix)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one case or column of a cohort.

    `code` groups faults of one kind in what is shared; `where`, `found` and `fix` stay at the site.
    """

    code: str
    where: str
    found: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}. {self.fix}"


def count_by_code(faults: Sequence[Fault]) -> dict[str, int]:
    """Count faults of each kind: the only form of them that may be shared."""
    counts: dict[str, int] = {}
    for fault in faults:
        counts[fault.code] = counts.get(fault.code, 0) + 1
    return dict(sorted(counts.items()))
