"""How fast the live page is with 100 sites and 1,000 rounds, in a real Chromium.

Run: python benchmarks/dashboard.py OUT [--sites 100] [--rounds 1000] [--turns 8]

A run's folder of that size is made, the dashboard is started on it as its own process, and further
rounds are written as a run writes them. Printed: from the writing of a round to its sight on the
page; the first paint of a page that is opened; how long the page was busy while rounds came in.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[1]
sys.path[:0] = [str(HOME), str(HOME / "tests" / "dashboard"), str(HOME / "tests")]

WATCH_FOR_LONG_TASKS = """window.long = []; new PerformanceObserver(list => {
    for (const one of list.getEntries()) window.long.push(Math.round(one.duration));
}).observe({type: 'longtask'})"""
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
WIDE = {"viewport": {"width": 1280, "height": 900}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=8)
    asked = parser.parse_args()
    from page_samples import chromium, dashboard_of
    from run_samples import large_run

    from server.network.locks import locked

    shutil.rmtree(asked.out, ignore_errors=True)
    made = large_run(asked.out, asked.sites, asked.rounds, now=time.time() - 5)
    with locked(asked.out / "lock"), dashboard_of(asked.out) as address, chromium() as browser:
        seen, long_tasks = rounds_on_the_page(browser, address, made, asked)
        paints = [first_paint(browser, address) for _ in range(asked.turns)]
    show("event to screen, s", seen)
    show("first paint, s", paints)
    print("tasks over 50 ms while rounds came in, ms:", long_tasks)


def rounds_on_the_page(
    browser: Any, address: str, made: Any, asked: argparse.Namespace
) -> tuple[list[float], list[int]]:
    page = browser.new_page(**WIDE)
    page.goto(address)
    page.get_by_text("live", exact=True).wait_for()
    page.evaluate(WATCH_FOR_LONG_TASKS)
    seen = []
    for number in range(asked.rounds, asked.rounds + asked.turns):
        made.now = time.time()
        made.round(0, number, seconds=0.2)
        begun = time.monotonic()
        page.get_by_text(f"fold 0, round {number}").first.wait_for()
        seen.append(time.monotonic() - begun)
    found = page.evaluate("window.long")
    page.close()
    return seen, list(found)


def first_paint(browser: Any, address: str) -> float:
    page = browser.new_page(**WIDE)
    page.goto(address)
    page.wait_for_timeout(300)
    found = float(page.evaluate(FIRST_PAINT)) / 1000
    page.close()
    return found


def show(what: str, values: list[float]) -> None:
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"{what}: median {middle:.2f} ({low:.2f} to {high:.2f}), {len(values)} times")


if __name__ == "__main__":
    main()
