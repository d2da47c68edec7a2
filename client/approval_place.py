"""A site's own place in a study: its name, its role, and the key that the roster has for it."""

from __future__ import annotations

from pathlib import Path

from client.cohort.site_folder import SITE_FILE, SiteFolder
from client.identity_key import public_identity
from client.rooms import NodeRoom
from common.errors import WrongUse
from common.identity import line_fingerprint
from common.study import Study
from common.study_tables import Site


def name_of_site(site: Path) -> str:
    """Give the name of a site folder: its cohort's, or else its node's.

    Raises
    ------
    WrongUse
        The folder is that of no site.
    CohortError
        Its site.json is damaged.
    """
    if (site / SITE_FILE).exists():
        return SiteFolder.open(site).name
    return NodeRoom.of(site).settings().site


def own_place(site: Path, name: str, study: Study) -> Site:
    """Give a site's entry in a study's roster.

    Raises
    ------
    WrongUse
        The roster has no such site; or gives it a key that is not its own, or none where secure
        summation needs one; or the site's identity key cannot be used.
    """
    found = next((one for one in study.sites if one.name == name), None)
    if found is None:
        roster = ", ".join(one.name for one in study.sites)
        raise WrongUse(
            f"The study {study.name} has no site {name}; its roster is: {roster}.",
            "Ask the coordinator to put the site into the roster and to send a new invitation.",
        )
    if not found.key:
        if study.secure_sum.enabled and found.role == "train":
            raise WrongUse(
                f"The study {study.name} uses secure summation, and its roster has no key for "
                f"{name}.",
                "Ask the coordinator for a study with the roster of 'myofed coordinator roster'.",
            )
        return found
    own = public_identity(site)
    if found.key != own:
        raise WrongUse(
            f"In the study {study.name} the key of {name} is {line_fingerprint(found.key)}, and "
            f"this site's identity is {line_fingerprint(own)}.",
            "With another's key in its place, somebody could read what this site alone says. Ask "
            "the coordinator by telephone which key it admitted; if this site has a new one, send "
            "the join request of 'myofed site init' again.",
        )
    return found
