"""The same answer twice: it counts once, and the release is the one that it always is."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Build, release_bytes
from consortium import Consortium, until

from client.rooms import NodeRoom

pytestmark = [pytest.mark.slow, pytest.mark.soak]

SITE = "bergamo"


def start_repeating(consortium: Consortium, notes: Path) -> None:
    """Bring a site up whose node says everything twice."""
    consortium.start_site(SITE, "--only", "worker")
    node, link = NodeRoom.of(consortium.sites[SITE]).path, consortium.folder / f"l-{SITE}"
    consortium.start_script("repeats", "node_that_repeats.py", node, link, notes)


def test_every_answer_of_a_site_comes_twice(
    build: Build, simulated: dict[str, bytes], tmp_path: Path
) -> None:
    consortium = build()
    consortium.start_coordinator()
    for name in consortium.sites:
        if name != SITE:
            consortium.start_site(name)
    start_repeating(consortium, tmp_path / "notes")
    until(lambda: consortium.online() == set(consortium.sites), 120.0, "all sites are online")
    run = consortium.submit()
    assert consortium.outcome(run, 300.0)["event"] == "finished"
    assert release_bytes(consortium.run_folder(run)) == simulated
    asked = [event for event in consortium.events(run) if event["event"] == "asked"]
    assert not any(event["failures"] for event in asked)
    its = [event for event in asked if SITE in event["sites"]]
    notes = (tmp_path / "notes").read_text(encoding="utf-8")
    assert notes.count("PushMessages: ") >= len(its)
