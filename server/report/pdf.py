"""The report as PDF, printed by a headless Chromium where the machine has one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from common.errors import RunError
from common.files import replacing

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120


def browser() -> str | None:
    """Find a Chromium; None where there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_pdf(page: Path, out: Path) -> None:
    """Print an HTML page to a PDF with its outline and page numbers.

    Raises
    ------
    RunError
        There is no Chromium, or it failed.
    """
    found = browser()
    if found is None:
        raise RunError(
            f"There is no Chromium on this machine; {page} was written, the PDF was not.",
            "Install chromium, or open the page in any browser and print it to a file.",
        )
    with tempfile.TemporaryDirectory() as profile, replacing(out) as part:
        command = [
            found,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            f"--print-to-pdf={part}",
            page.resolve().as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # Chromium's sandbox refuses root; the page is ours and holds no script.
            command.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(page, str(error)) from error
        if done.returncode != 0 or part.stat().st_size == 0:
            raise _failed(page, done.stderr.decode(errors="replace").strip()[-300:])
        part.chmod(0o644)


def _failed(page: Path, why: str) -> RunError:
    return RunError(
        f"Chromium could not print {page}: {why}",
        "The page is there: open it in any browser and print it to a file.",
    )
