"""The secret from which a site draws private noise: made here, on its own disk, never sent."""

from __future__ import annotations

import secrets
from pathlib import Path

from common.errors import WrongUse
from common.files import replacing
from common.privacy.secret_noise import SECRET_BYTES

SECRET_FILE = "privacy.key"


def site_secret(site: Path) -> bytes:
    """Read a site's secret (32 bytes), or make it, mode 0600.

    With another secret a question gets other noise, which the ledger counts as another release.

    Raises
    ------
    WrongUse
        The file can be read by others than its owner, or holds something else.
    """
    path = Path(site) / SECRET_FILE
    if not path.exists():
        with replacing(path) as part:  # its temporary file is made with mode 0600
            part.write_bytes(secrets.token_bytes(SECRET_BYTES))
    if path.stat().st_mode & 0o077:
        raise WrongUse(f"{path} can be read by others than its owner.", f"chmod 600 {path}")
    found = path.read_bytes()
    if len(found) != SECRET_BYTES:
        raise WrongUse(
            f"{path} does not hold {SECRET_BYTES} bytes.",
            "Put it back from a backup, or remove it: a new one is made.",
        )
    return found
