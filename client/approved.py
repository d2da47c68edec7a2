"""The studies that a site approved: three small files each, in the site's folder.

    studies/<fingerprint>.json       the study, named by its content
    studies/<fingerprint>.approval   the site's signature under it
    studies/<fingerprint>.revoked    its withdrawal, if there was one; it outlives the approval

A worker computes for these studies only. The signatures are checked whenever a question comes, with
the site's own key. So nobody approves a study by putting a file there, and an approval that was
withdrawn cannot be put back: one that counts is later than the last withdrawal.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from client.approval import Kind, read_statement, write_statement
from client.egress.entry import Entry
from client.egress.ledger import Ledger
from client.identity_key import load_identity
from common.errors import StudyError, StudyMismatch, WrongUse
from common.files import replacing
from common.study import Study

FOLDER = "studies"
_NAME = re.compile(r"[0-9a-f]{64}")
_TICK = timedelta(microseconds=1)
_APPROVE = "Look at the study, and approve it if you agree: myofed site approve FOLDER study.toml"


class ApprovalWithdrawn(StudyMismatch):
    """The site approved the study once, and withdrew that."""

    code = "approval-withdrawn"
    public = "The site has withdrawn its approval of this study."


@dataclass(frozen=True)
class Standing:
    """How a study stands at a site: approved if there is no `problem`.

    `name` is empty where the study's file cannot be read; `since` is the time of the approval, or
    of the withdrawal, if one is known.
    """

    fingerprint: str
    name: str
    since: datetime | None
    problem: StudyError | StudyMismatch | None


def approve(site_path: Path, study: Study) -> Path:
    """Sign and keep the site's approval of a study; give the study's file.

    An approval that counts stays as it is. One after a withdrawal is dated after it.

    Raises
    ------
    WrongUse
        The site's identity key is missing or cannot be used.
    LedgerFailed
        The approval could not be written into the site's ledger.
    """
    private = load_identity(site_path)
    public, fingerprint = private.public_key(), study.fingerprint
    path = _file(site_path, fingerprint)
    with replacing(path) as part:
        part.write_text(study.canonical(), encoding="utf-8")
    try:
        withdrawn = _time(site_path, public, Kind.REVOCATION, fingerprint)
    except StudyMismatch:
        # What it said nobody knows; the site says now what counts.
        _file(site_path, fingerprint, Kind.REVOCATION).unlink()
        withdrawn = None
    if _problem(site_path, public, fingerprint) is not None:
        time = datetime.now(UTC)
        if withdrawn is not None:
            time = max(time, withdrawn + _TICK)
        Ledger(site_path, private).record(Entry.approval(fingerprint))
        statement = _file(site_path, fingerprint, Kind.APPROVAL)
        write_statement(statement, private, Kind.APPROVAL, fingerprint, time)
    return path


def revoke(site_path: Path, fingerprint: str) -> bool:
    """Withdraw the approval of a study, from the next question on; False if it was already.

    Raises
    ------
    WrongUse
        The site holds no such study, or its identity key cannot be used.
    """
    if fingerprint not in held(site_path):
        raise WrongUse(
            f"This site has no study {fingerprint[:12]} to withdraw.",
            "'myofed site approvals FOLDER' lists what it has.",
        )
    private = load_identity(site_path)
    public = private.public_key()
    if isinstance(_problem(site_path, public, fingerprint), ApprovalWithdrawn):
        return False
    times = [datetime.now(UTC)]
    for kind in Kind:
        try:
            times.append(_time(site_path, public, kind, fingerprint) or times[0])
        except StudyMismatch:
            continue
    Ledger(site_path, private).record(Entry.revocation(fingerprint))
    # It must beat every approval so far, even if the clock was wrong then.
    statement = _file(site_path, fingerprint, Kind.REVOCATION)
    write_statement(statement, private, Kind.REVOCATION, fingerprint, max(times))
    _file(site_path, fingerprint, Kind.APPROVAL).unlink(missing_ok=True)
    return True


def approved(site_path: Path) -> dict[str, Study]:
    """Read all that the site approves now, by fingerprint.

    Raises
    ------
    StudyError
        A study is not what was approved; the message names its file.
    """
    return {name: _read(_file(site_path, name)) for name in fingerprints(site_path)}


def approved_study(site_path: Path, fingerprint: str) -> Study:
    """Read the one study that a question is of.

    Raises
    ------
    StudyMismatch
        The site did not approve it, or its approval is forged or damaged; the message says what
        the site did approve. `ApprovalWithdrawn` if it was withdrawn.
    StudyError
        The study's file is not what was approved.
    """
    if fingerprint not in held(site_path):
        names = ", ".join(name[:12] for name in fingerprints(site_path)) or "none"
        raise StudyMismatch(
            f"The question is of study {fingerprint[:12]}, and this site approved: {names}.",
            "Compare the study files; approve the new one if you agree to it.",
        )
    problem = _problem(site_path, _own(site_path), fingerprint)
    if problem is not None:
        raise problem
    return _read(_file(site_path, fingerprint))


def held_study(site_path: Path, fingerprint: str) -> Study:
    """Read a study that lies in the site's folder, approved or not.

    Raises
    ------
    StudyError
        Its file is missing, or not the one that its name says.
    """
    return _read(_file(site_path, fingerprint))


def fingerprints(site_path: Path) -> list[str]:
    """List the fingerprints of what the site approves now; the studies themselves are not read.

    Raises
    ------
    StudyError
        A JSON file beside the approvals is none.
    """
    names = held(site_path)
    try:
        public = _own(site_path)
    except StudyMismatch:
        return []
    return [name for name in names if _problem(site_path, public, name) is None]


def approvals(site_path: Path) -> list[Standing]:
    """Say of every study that the site holds how it stands, and why if it does not count.

    Raises
    ------
    StudyError
        A JSON file beside the approvals is none.
    """
    return [_standing(site_path, name) for name in held(site_path)]


def held(site_path: Path) -> list[str]:
    """List the fingerprints of all studies that lie in the site's folder, approved or not.

    Raises
    ------
    StudyError
        A JSON file there is no study.
    """
    names = sorted(path.stem for path in (Path(site_path) / FOLDER).glob("*.json"))
    for name in names:
        if not _NAME.fullmatch(name):
            raise StudyError(
                f"{_file(site_path, name)} is not an approval: its name is no fingerprint.",
                "Take it out of that folder; approve a study by command.",
            )
    return names


def _standing(site_path: Path, fingerprint: str) -> Standing:
    since = None
    problem: StudyError | StudyMismatch | None
    try:
        public = _own(site_path)
        problem = _problem(site_path, public, fingerprint)
        gone = isinstance(problem, ApprovalWithdrawn)
        if problem is None or gone:
            kind = Kind.REVOCATION if gone else Kind.APPROVAL
            since = _time(site_path, public, kind, fingerprint)
    except StudyMismatch as error:
        problem = error
    try:
        name = _read(_file(site_path, fingerprint)).name
    except StudyError as error:
        name, problem = "", problem or error
    return Standing(fingerprint, name, since, problem)


def _own(site_path: Path) -> Ed25519PublicKey:
    """Give the key under which a statement counts; the coordinator is told nothing of its file."""
    try:
        return load_identity(site_path).public_key()
    except WrongUse as error:
        raise StudyMismatch(f"No approval can be checked: {error.what}", error.fix) from None


def _problem(site_path: Path, public: Ed25519PublicKey, fingerprint: str) -> StudyMismatch | None:
    """Say why a study that the site holds does not count as approved; None if it does."""
    try:
        since = _time(site_path, public, Kind.APPROVAL, fingerprint)
        withdrawn = _time(site_path, public, Kind.REVOCATION, fingerprint)
    except StudyMismatch as error:
        return error
    if withdrawn is not None and (since is None or since <= withdrawn):
        return ApprovalWithdrawn(
            f"This site withdrew its approval of study {fingerprint[:12]} at "
            f"{withdrawn:%Y-%m-%d %H:%M:%S} UTC.",
            _APPROVE,
        )
    if since is None:
        return StudyMismatch(f"{_file(site_path, fingerprint)} bears no approval.", _APPROVE)
    return None


def _time(
    site_path: Path, public: Ed25519PublicKey, kind: Kind, fingerprint: str
) -> datetime | None:
    try:
        return read_statement(_file(site_path, fingerprint, kind), public, kind, fingerprint)
    except FileNotFoundError:
        return None


def _file(site_path: Path, fingerprint: str, kind: Kind | None = None) -> Path:
    return Path(site_path) / FOLDER / f"{fingerprint}.{kind.value if kind else 'json'}"


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
