"""The identity key: is it there, and can its owner alone read it."""

from __future__ import annotations

import os
from pathlib import Path

from client.identity_key import KEY_FILE, public_identity
from common.check import Check, failed, passed, warned
from common.errors import WrongUse
from common.identity import line_fingerprint

NAME = "identity"


def identity_check(site: Path) -> Check:
    """Read the key with which the site signs, and show by which fingerprint the others know it."""
    try:
        shown = line_fingerprint(public_identity(site))
    except WrongUse as error:
        return failed(NAME, error.what, error.fix)
    if (site / KEY_FILE).stat().st_uid != os.getuid():
        return warned(
            NAME,
            f"{site / KEY_FILE} belongs to another user.",
            "Call the doctor as the user who runs the site.",
        )
    return passed(NAME, f"This site's identity is {shown}.")
