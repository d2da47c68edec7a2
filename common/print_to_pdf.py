"""Print a page of ours to PDF by a browser that is there: no window, nothing from a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from common.errors import RunError
from common.files import replacing

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")
_SECONDS = 120


def browser() -> str | None:
    """Give the browser to print with, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def print_to_pdf(page: Path, pdf: Path) -> bool:
    """Print an HTML file; False where there is no browser.

    Raises
    ------
    RunError
        The browser does not print it.
    """
    command = browser()
    if command is None:
        return False
    with replacing(pdf) as part, tempfile.TemporaryDirectory() as profile:
        # Chromium's sandbox refuses root, as which containers often run; the page is our own file.
        free = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        asked = [
            command, "--headless", *free, "--disable-gpu", "--no-first-run",
            "--disable-extensions", "--disable-background-networking",
            f"--user-data-dir={profile}", "--no-pdf-header-footer",
            "--disable-dev-shm-usage", "--generate-pdf-document-outline",
            f"--print-to-pdf={part}", page.absolute().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                asked, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
            why = done.stderr.strip()[-200:]
        except subprocess.TimeoutExpired:
            why = f"it took more than {_SECONDS} seconds"
        if not part.read_bytes().startswith(b"%PDF"):
            raise RunError(
                f"{Path(command).name} did not print {page}: {why}.",
                "Open the page in a browser and print it from there.",
            )
        part.chmod(0o644)
    return True
