"""The report in Chromium: accessible in every form, no wider than a phone, and printed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from report_optional import left_out, optional_keys
from report_samples import add, finished_run

from common.print_to_pdf import browser as browser_there
from common.print_to_pdf import print_to_pdf
from server.report.document import write_report
from server.report.record import FinishedRun

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_there() is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which everything is there that can be."""
    folder = tmp_path_factory.mktemp("report")
    made = finished_run(folder / "run", external=("dorpat", "edinburgh"))
    add(made, **optional_keys())
    run = FinishedRun.open(made.path, left_out(folder / "loso"))
    write_report(run, folder / "report.html", recalibrate=True)
    return folder / "report.html"


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1360),
        ("dark", 360),
        pytest.param("dark", 1360, marks=pytest.mark.soak),
        pytest.param("light", 360, marks=pytest.mark.soak),
    ],
)
def test_axe_finds_nothing_and_nothing_is_loaded(
    page: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_there(), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        for place in tab.locator("details").all():
            place.evaluate("one => one.open = true")
        found = Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert asked == [page.as_uri()]
        browser.close()


def test_it_is_printed(page: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.pdf"
    assert print_to_pdf(page, out)
    content = out.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") > 10 or content.count(b"/Type/Page") > 10
    assert list(tmp_path.iterdir()) == [out]
