"""The page is sent once, and then only what changed in it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from run_samples import MadeRun, large_run, study_of

from server.dashboard import live as live_module
from server.dashboard import pages
from server.dashboard.live import Live
from server.dashboard.presence import Nobody
from server.dashboard.reading import RunReader
from server.dashboard.snapshot import Curve
from server.dashboard.web import _changes
from server.network.locks import locked


@pytest.fixture(autouse=True)
def always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "LOOK_SECONDS", 0.0)


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    made = MadeRun.begin(tmp_path / "run", study_of(3, quorum={"min_sites": 2}))
    made.enrol()
    made.began("train")
    made.round(0, 1)
    (made.folder.path / "lock").touch()
    return made


def live_of(made: MadeRun) -> Live:
    return Live(RunReader(made.folder.path), Nobody())


def test_what_has_not_changed_is_not_sent(made: MadeRun) -> None:
    live = live_of(made)
    _, body, version = live.body()
    assert {name for name in body if not name.startswith("site-")} == set(pages.PARTS)
    latest, changed = live.since(version)
    assert latest == version
    assert changed["parts"] == {}
    assert changed["curves"] == []


def test_a_round_sends_its_point_and_the_rows_of_its_sites(made: MadeRun) -> None:
    live = live_of(made)
    _, _, version = live.body()
    made.round(0, 2, sites=["site-000", "site-002"])
    latest, changed = live.since(version)
    assert latest > version
    rows = {name for name in changed["parts"] if name.startswith("site-")}
    assert rows == {"site-site-000", "site-site-002"}
    assert "versions" not in changed["parts"]
    (curve,) = changed["curves"]
    assert curve["rounds"] == [1]
    assert live.since(latest)[1]["parts"] == {}
    # Who comes later, or lost the connection, gets what happened meanwhile.
    assert live.since(version)[1] == changed
    assert live.since(-1)[1]["curves"][0]["rounds"] == [0, 1]


def test_a_stream_begins_where_the_page_ended_and_tells_a_page_of_old_to_reload(
    made: MadeRun,
) -> None:
    live = live_of(made)
    _, _, version = live.body()

    async def first(seen: str, count: int) -> list[str]:
        found = []
        async for text in _changes(live, seen, set()):
            found.append(text)
            if len(found) == count:
                break
        return found

    made.round(0, 2)
    sent = asyncio.run(first(f"{live.mark}.{version}", 2))
    assert sent[1].startswith(f"id: {live.mark}.{live.version}\nevent: parts\ndata: {{")
    data: dict[str, Any] = json.loads(sent[1].partition("data: ")[2])
    assert data["curves"][0]["rounds"] == [1]
    assert "afresh" in asyncio.run(first("another.7", 2))[1]


def test_words_of_a_site_are_text_and_never_markup(made: MadeRun) -> None:
    made.round(0, 2, {"site-001": "quarantined: <script>alert(1)</script>"})
    _, body, _ = live_of(made).body()
    assert "<script>" not in "".join(body.values())
    assert "&lt;script&gt;" in body["alerts"]
    assert "</script>" not in pages.island({"a": "</script>"})


def test_long_curves_are_drawn_with_fewer_points_and_keep_their_ends() -> None:
    values = tuple(float(one) for one in range(1000))
    curve = Curve(0, tuple(range(1000)), values, values, values)
    drawn = pages.drawn(curve, most=300)
    assert len(drawn["rounds"]) <= 301
    assert (drawn["rounds"][0], drawn["rounds"][-1]) == (0, 999)
    assert drawn["validation_auc"] == [float(one) for one in drawn["rounds"]]
    assert pages.drawn(curve, 998)["rounds"] == [998, 999]
    assert pages.drawn(curve, 1000)["rounds"] == []


@pytest.mark.slow
def test_an_event_of_a_large_run_sends_kilobytes(tmp_path: Path) -> None:
    made = large_run(tmp_path / "run", now=time.time())
    live = live_of(made)
    with locked(made.folder.path / "lock"):
        _, body, version = live.body()
        made.now = time.time()
        made.asking("train", made.study.training_sites, fold=0, round=1000)
        version, asked = live.since(version)
        made.answered("train.0.1000", ["site-003"])
        _, one_answer = live.since(version)
    whole = sum(map(len, body.values()))
    # One of the hundred is gone, and stays so.
    assert sum(name.startswith("site-") for name in asked["parts"]) == 99
    rows = [name for name in one_answer["parts"] if name.startswith("site-")]
    assert rows == ["site-site-003"]
    assert len(json.dumps(one_answer)) < 10_000 < whole
