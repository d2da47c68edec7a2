"""The studies that a site approved: one file each, in the site's folder, named by its content.

A worker computes for these studies only. What a file holds is checked against its name, so an
approval cannot change under the site's hands.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import ValidationError

from common.errors import StudyError, StudyMismatch
from common.files import replacing
from common.study import Study

FOLDER = "studies"
_NAME = re.compile(r"[0-9a-f]{64}")


def approve(site_path: Path, study: Study) -> Path:
    """Keep the site's approval of a study; give its file."""
    path = _file(site_path, study.fingerprint)
    with replacing(path) as part:
        part.write_text(study.canonical(), encoding="utf-8")
    return path


def approved(site_path: Path) -> dict[str, Study]:
    """Read all that the site approved, by fingerprint.

    Raises
    ------
    StudyError
        A file is not what was approved; the message names it.
    """
    return {name: _read(_file(site_path, name)) for name in fingerprints(site_path)}


def approved_study(site_path: Path, fingerprint: str) -> Study:
    """Read the one study that a question is of.

    Raises
    ------
    StudyMismatch
        The site did not approve it; the message says what it did.
    StudyError
        Its file is not what was approved.
    """
    names = fingerprints(site_path)
    if fingerprint not in names:
        held = ", ".join(name[:12] for name in names) or "none"
        raise StudyMismatch(
            f"The question is of study {fingerprint[:12]}, and this site approved: {held}.",
            "Compare the study files; approve the new one if you agree to it.",
        )
    return _read(_file(site_path, fingerprint))


def fingerprints(site_path: Path) -> list[str]:
    """List the fingerprints of what the site approved, unread.

    Raises
    ------
    StudyError
        A JSON file beside the approvals is none.
    """
    names = sorted(path.stem for path in (site_path / FOLDER).glob("*.json"))
    for name in names:
        if not _NAME.fullmatch(name):
            raise StudyError(
                f"{_file(site_path, name)} is not an approval: its name is no fingerprint.",
                "Take it out of that folder; approve a study by command.",
            )
    return names


def _file(site_path: Path, fingerprint: str) -> Path:
    return Path(site_path) / FOLDER / f"{fingerprint}.json"


def _read(path: Path) -> Study:
    again = "Take the file away, look at the study again, and approve it anew."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}).", again) from None
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise StudyError(f"{path} was changed after it was approved.", again)
    try:
        study = Study.model_validate_json(content)
    except ValidationError:
        raise StudyError(f"{path} was approved with another release of MyoFed.", again) from None
    if study.fingerprint != path.stem:
        raise StudyError(f"{path} was approved with another release of MyoFed.", again)
    return study
