"""Which approval a question goes back to: that of its study, or of the study it is derived from.

Who approves a study that asks for leave one site out approves with it the studies in which each
training site is left out in turn (`common.leave_one_out`), and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client.approved import approved_study, held, held_study
from common.errors import StudyError, StudyMismatch
from common.leave_one_out import family
from common.study import Study


@dataclass(frozen=True)
class Asked:
    """A study that the site answers for.

    `family` is the fingerprint of the approved study that asks for leave one site out and that
    this one is, or is derived from; empty for a study that stands alone. What a coordinator could
    work out from totals over several sets of sites is counted over the family.
    """

    study: Study
    family: str = ""


def asked_study(site_path: Path, fingerprint: str) -> Asked:
    """Find the study that a question is of.

    Where the site has said something of this very study, that counts, be it an approval or a
    withdrawal; else what it said of the study that this one is derived from.

    Raises
    ------
    StudyMismatch
        The site approved neither; `ApprovalWithdrawn` if it withdrew what it approved.
    StudyError
        A study's file is not what was approved.
    """
    known = held(site_path)
    found = _derived(site_path, known, fingerprint)
    if fingerprint in known:
        study = approved_study(site_path, fingerprint)
        parents = [name for name in found if _stands(site_path, name)]
        own = fingerprint if study.leave_one_site_out else ""
        return Asked(study, parents[0] if parents else own)
    if not found:
        return Asked(approved_study(site_path, fingerprint))
    standing = [name for name in found if _stands(site_path, name)] or list(found)
    approved_study(site_path, standing[0])
    return Asked(found[standing[0]], standing[0])


def _derived(site_path: Path, known: list[str], fingerprint: str) -> dict[str, Study]:
    """Give the studies that a fingerprint is derived from, and what it is, approved or not."""
    found = {}
    for name in known:
        try:
            derived = family(held_study(site_path, name))
        except StudyError:  # it says so when it is asked for itself
            continue
        if fingerprint in derived:
            found[name] = derived[fingerprint]
    return found


def _stands(site_path: Path, fingerprint: str) -> bool:
    try:
        approved_study(site_path, fingerprint)
    except (StudyMismatch, StudyError):
        return False
    return True
