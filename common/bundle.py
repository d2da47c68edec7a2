"""The app bundle that a run brings to Flower. It holds no code: it only names what is installed.

The same release makes the same bundle to the byte, on every machine. So its hash says which
release a coordinator runs, and a site can refuse any other.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from importlib.metadata import version

RUN_KEY = "myofed-run"
"""Key of Flower's run configuration that holds the identity of the MyoFed run."""

SERVER_APP, CLIENT_APP = "server.network.app:app", "client.app:app"

_DATE = (2026, 1, 1, 0, 0, 0)


def bundle() -> bytes:
    """Make the bundle of the installed release."""
    return _bundle_of(version("myofed"))


def bundle_hash() -> str:
    """SHA-256 (hex) of the bundle, as Flower knows it."""
    return hashlib.sha256(bundle()).hexdigest()


@cache
def _bundle_of(release: str) -> bytes:
    project = (
        "[project]\n"
        'name = "myofed-run"\n'
        f'version = "{release}"\n'
        'description = "Names the installed MyoFed; holds no code"\n'
        'license = "Apache-2.0"\n'
        "dependencies = []\n"
        "\n"
        "[tool.flwr.app]\n"
        'publisher = "myofed"\n'
        "\n"
        "[tool.flwr.app.components]\n"
        f'serverapp = "{SERVER_APP}"\n'
        f'clientapp = "{CLIENT_APP}"\n'
        "\n"
        "[tool.flwr.app.config]\n"
        f'{RUN_KEY} = ""\n'
    ).encode()
    listed = f"pyproject.toml,{hashlib.sha256(project).hexdigest()},{len(project) * 8}"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as file:
        for name, content in (("pyproject.toml", project), (".info/CONTENT", listed.encode())):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return held.getvalue()
