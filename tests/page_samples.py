"""The dashboard as people start it, and a browser to look at it with."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.print_to_pdf import browser as installed

MYOFED = Path(sys.executable).parent / "myofed"
NO_BROWSER = "there is no Chromium on this machine"
SIZES = ((1280, 900), (360, 740))
SCHEMES = ("light", "dark")


def has_browser() -> bool:
    return installed() is not None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def dashboard_of(folder: Path, *options: str) -> Iterator[str]:
    """Run `myofed coordinator dashboard` on a folder; give its address."""
    argv = [str(MYOFED), "coordinator", "dashboard", str(folder), "--port", str(free_port()),
            *options]  # fmt: skip
    environment = {**os.environ, "COLUMNS": "300"}
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        try:
            assert first.startswith("http"), first + process.stderr.read()
            yield first.split()[0]
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; `new_page` of it opens a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=installed(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Any, address: str, **how: Any) -> Iterator[Any]:
    """A page that must not complain: of scripts that fail, of anything the headers forbid."""
    complaints: list[str] = []
    page = browser.new_page(**how)
    page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda one: None if one.url.startswith(address) else complaints.append(one.url),
    )
    try:
        page.goto(address)
        yield page
    finally:
        page.close()
    assert not complaints


def violations(page: Any) -> list[str]:
    """What axe has against a page as it is shown now."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
