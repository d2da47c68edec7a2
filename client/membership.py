"""How a site becomes a member of a study: its key first, then the coordinator's invitation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from client.approval_place import own_place
from client.approved import approve, fingerprints
from client.cohort.site_folder import SITE_FILE, SiteFolder
from client.doctor.route import Address
from client.identity_key import KEY_FILE, PUBLIC_FILE, make_identity
from client.rooms import LINK, NODE, NodeRoom, NodeSettings
from common.errors import StudyError, WrongUse
from common.files import replacing
from common.identity import (
    Invitation,
    JoinRequest,
    certificate_fingerprint,
    fingerprint,
    line_fingerprint,
    make_key,
    public_half,
)
from common.site_name import SITE_NAME
from common.study import Study
from common.study_tables import Site

_OURS = {
    *(NODE, LINK, KEY_FILE, PUBLIC_FILE),
    *("studies", "runs", "ledger", "cache", "site.log", "worker.log"),
}


@dataclass(frozen=True)
class Initialised:
    """What `initialise` made: the join request, and the fingerprints of the two keys in it."""

    name: str
    request: Path
    key_fingerprint: str
    identity_fingerprint: str
    has_cohort: bool
    key_is_new: bool
    identity_is_new: bool


@dataclass(frozen=True)
class Joined:
    """What a site has joined, to be compared by telephone.

    `place` is the site's entry in the roster; `approved` the fingerprints of the approved studies.
    """

    address: str
    ca_fingerprint: str
    study: Study
    place: Site
    replaced: bool
    approved: tuple[str, ...]


def initialise(site: Path, name: str = "", request: Path | None = None) -> Initialised:
    """Make a site's two key pairs and its join request; an existing key is kept.

    Without a `name` the cohort's is taken. The request goes to `request`, or into the folder.

    Raises
    ------
    WrongUse
        The folder holds something else, the name cannot be used or is another one's, or a key
        that is there cannot be used.
    CohortError
        The folder's site.json is damaged.
    """
    cohort = SiteFolder.open(site).name if (site / SITE_FILE).exists() else ""
    _refuse_other_content(site)
    name = name or cohort
    if not SITE_NAME.fullmatch(name):
        raise WrongUse(
            f"{name!r} cannot be a site's name." if name else f"{site} has no name yet.",
            "Give one with --name: small letters, digits, '-' and '_', beginning with a letter, "
            "at most 40, as in the study's roster.",
        )
    if cohort and cohort != name:
        raise WrongUse(
            f"The cohort in {site} is of the site {cohort}, not of {name}.",
            f"Leave out --name, or import the cohort with --name {name}.",
        )
    room = NodeRoom.of(site)
    if room.settings_file.exists() and (held := room.settings().site) != name:
        raise WrongUse(
            f"{site} holds the key of the site {held}, not of {name}.",
            "Use another folder: each site has a key of its own.",
        )
    room.make()
    key_is_new, identity_is_new = not room.key.exists(), not (site / KEY_FILE).exists()
    identity = make_identity(site)
    line = make_key(room.key) if key_is_new else public_half(room.key)
    if not room.settings_file.exists():
        room.save(NodeSettings(name))
    path = request or site / f"{name}.join.json"
    JoinRequest.of(name, line, identity).save(path)
    return Initialised(
        name,
        path,
        fingerprint(line),
        line_fingerprint(identity),
        bool(cohort),
        key_is_new,
        identity_is_new,
    )


def join(
    site: Path,
    invitation: Path,
    replacing_ca: bool = False,
    coordinator_health: str = "",
    health: str = "",
    show: Callable[[Joined], None] = lambda _: None,
    approving: bool = True,
) -> Joined:
    """Take a coordinator's invitation: trust its authority, and approve its study.

    Parameters
    ----------
    show
        Called with what will be trusted before anything is written.
    approving
        Whether to approve the study too; without, the site only joins the coordinator.

    Raises
    ------
    WrongUse
        The invitation cannot be used, is not for this site or has another key for it, or comes
        from another coordinator than the one already joined.
    StudyError
        The study is of another release of MyoFed.
    """
    room = NodeRoom.of(site)
    settings = room.settings()
    given = Invitation.load(invitation)
    Address.parse(given.address)
    for address in filter(None, (coordinator_health, health)):
        Address.parse(address)
    study = study_of(given)
    place = own_place(site, settings.site, study)
    other = _other_authority(room, given)
    if other and not replacing_ca:
        raise WrongUse(
            f"{site} trusts a coordinator with the fingerprint {other}; the invitation's is "
            f"{given.ca_fingerprint}.",
            "If the coordinator confirms the new one by telephone, join again with --replace.",
        )
    names = dict.fromkeys([*fingerprints(site), *([study.fingerprint] if approving else [])])
    joined = Joined(given.address, given.ca_fingerprint, study, place, bool(other), tuple(names))
    show(joined)
    with replacing(room.ca) as part:
        part.write_text(given.ca_certificate, encoding="ascii")
    if other:
        room.number.unlink(missing_ok=True)
    room.save(
        replace(
            settings,
            coordinator=given.address,
            coordinator_health=coordinator_health or settings.coordinator_health,
            health=health or settings.health,
        )
    )
    if approving:
        approve(site, study)
    return joined


def study_of(given: Invitation) -> Study:
    """Read the study of an invitation.

    Raises
    ------
    StudyError
        It is of another release of MyoFed.
    """
    again = "Install the coordinator's release of MyoFed, or ask it for an invitation of yours."
    try:
        study = Study.model_validate(json.loads(given.study))
    except (ValidationError, ValueError):
        raise StudyError(
            "The invitation's study cannot be read by this release of MyoFed.", again
        ) from None
    if study.fingerprint != given.study_fingerprint:
        raise StudyError(
            f"The invitation's study has the fingerprint {given.study_fingerprint[:12]} and, by "
            f"this release of MyoFed, {study.fingerprint[:12]}.",
            again,
        )
    return study


def _refuse_other_content(site: Path) -> None:
    if site.exists() and not site.is_dir():
        raise WrongUse(f"{site} is a file.", "Name a folder.")
    if not site.exists() or (site / SITE_FILE).exists():
        return
    strange = [
        path.name
        for path in site.iterdir()
        if path.name not in _OURS and not path.name.endswith(".join.json")
    ]
    if strange:
        raise WrongUse(
            f"{site} is no site folder and holds something else ({sorted(strange)[0]}).",
            "Name a new folder, or one that 'myofed site import' made.",
        )


def _other_authority(room: NodeRoom, given: Invitation) -> str:
    """Give the fingerprint of the authority that is trusted now, if it is another one."""
    if not room.ca.is_file():
        return ""
    held = certificate_fingerprint(room.ca.read_text(encoding="ascii"))
    return held if held != given.ca_fingerprint else ""
