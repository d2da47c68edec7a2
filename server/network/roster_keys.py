"""The roster of a study and the admitted sites: written from them, and compared with them.

With the keys in the roster the sites verify each other's session keys, whoever hands those round.
So a key in a study must be the one that its site showed when it was admitted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import WrongUse
from common.identity import JoinRequest, line_fingerprint
from common.study import Study
from common.study_tables import Site
from server.network.admission import admitted
from server.network.folder import CoordinatorFolder

_ADMIT = "myofed coordinator admit FOLDER NAME.join.json"


def roster_tables(folder: CoordinatorFolder, external: Collection[str] = ()) -> str:
    """Write the admitted sites as the `[[sites]]` tables of a study (TOML), in their names' order.

    Parameters
    ----------
    external
        Names of the sites that never train.

    Raises
    ------
    WrongUse
        No site is admitted, or a name in `external` is not that of an admitted one.
    """
    held = admitted(folder)
    strangers = [name for name in external if name not in held]
    if strangers or not held:
        found = ", ".join(held) or "none"
        what = f"{', '.join(strangers)} is not admitted" if strangers else "No site is admitted"
        raise WrongUse(f"{what}. Admitted: {found}.", f"Admit each site first: {_ADMIT}")
    return "\n".join(
        f'[[sites]]\nname = "{name}"\nrole = "{"external" if name in external else "train"}"\n'
        f'key = "{request.identity}"\n'
        for name, request in held.items()
    )


def require_keys(folder: CoordinatorFolder, study: Study) -> None:
    """Refuse a study whose keys are not those of the admitted sites.

    With secure summation each training site needs a key. Without it none does, but a key that is
    there must be right.

    Raises
    ------
    WrongUse
        A key is missing, or another one than the admitted; every such site is named.
    """
    held = admitted(folder)
    faults = [fault for site in study.sites if (fault := _fault(site, study, held))]
    if faults:
        raise WrongUse(
            f"The roster of {study.name} cannot be used: {'; '.join(faults)}.",
            "Put the tables that 'myofed coordinator roster FOLDER' prints into the study. It is "
            "another study then, which every site must approve.",
        )


def _fault(site: Site, study: Study, held: Mapping[str, JoinRequest]) -> str:
    """Say what is wrong with a site's key in a study; empty if nothing is."""
    if not site.key:
        wanted = study.secure_sum.enabled and site.role == "train"
        return f"{site.name} has no key, and secure summation needs it" if wanted else ""
    if site.name not in held:
        return f"{site.name} has a key, but is not admitted ({_ADMIT})"
    if site.key == held[site.name].identity:
        return ""
    return (
        f"the key of {site.name} is {line_fingerprint(site.key)}, and it was admitted with "
        f"{line_fingerprint(held[site.name].identity)}"
    )
