"""The site folders below one folder, by the names that they carry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from client.cohort.site_folder import SITE_FILE, SiteFolder
from common.errors import CohortError


def find_sites(parent: Path | str, roster: Sequence[str] | None = None) -> dict[str, SiteFolder]:
    """Open every site folder directly below `parent`; with a roster, those named in it.

    Raises:
        CohortError: `parent` is not a folder or holds no site, two folders carry the same name, or
            the roster names a site that has no folder.
    """
    parent = Path(parent)
    if not parent.is_dir():
        raise CohortError(
            f"{parent} is not a folder.", "Give the folder that holds the site folders."
        )
    sites: dict[str, SiteFolder] = {}
    problems = []
    for file in sorted(parent.glob(f"[!.]*/{SITE_FILE}")):
        site = SiteFolder.open(file.parent)
        if site.name in sites:
            problems.append(
                f"{sites[site.name].path} and {site.path} both carry the name {site.name!r}"
            )
        else:
            sites[site.name] = site
    if problems:
        raise CohortError(
            "; ".join(problems) + ".",
            "Import one of them anew under another name; every site of a study has its own.",
        )
    missing = [name for name in roster or () if name not in sites]
    if missing or not sites:
        lacking = f"no site folder for {', '.join(missing)}" if missing else "no site folder"
        raise CohortError(
            f"{parent} holds {lacking}; there: {', '.join(sites) or 'none'}.",
            "Import the missing site with: myofed site import ... --out FOLDER, "
            "or correct the roster.",
        )
    return sites if roster is None else {name: sites[name] for name in roster}
