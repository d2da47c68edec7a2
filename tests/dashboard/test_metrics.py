"""The metrics are what Prometheus' own parser reads, with the numbers of the snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from run_samples import MadeRun, study_of

from server.dashboard.metrics import metrics_of
from server.dashboard.runs import Runs

Labels = frozenset[tuple[str, str]]


@pytest.fixture
def read(tmp_path: Path) -> dict[tuple[str, Labels], float]:
    made = MadeRun.begin(tmp_path / "run", study_of(3, quorum={"min_sites": 2}, folds=2))
    made.enrol()
    made.began("train")
    made.round(0, 1)
    made.round(0, 2, {"site-001": "is not connected"})
    made.say(event="looked", site="external-0")
    text, kind = metrics_of(Runs.of(None, made.folder.path))
    assert kind.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation
        for sample in family.samples:
            labels = {key: value for key, value in sample.labels.items() if key != "run"}
            assert sample.labels["run"] == made.folder.identity
            key = (sample.name, frozenset(labels.items()))
            assert key not in found, "a series comes once"
            found[key] = sample.value
    return found


def of(**labels: str) -> Labels:
    return frozenset(labels.items())


def test_they_say_what_the_events_say(read: dict[tuple[str, Labels], float]) -> None:
    study = {"study": "made-up"}
    assert read["myofed_run_questions_total", of(**study)] == 3
    assert read["myofed_run_progress_ratio", of(**study)] == pytest.approx(2 / 30)
    assert read["myofed_run_open_failures", of(**study)] == 1
    assert read["myofed_training_round", of(fold="0")] == 1
    assert 0.4 < read["myofed_validation_auc", of(fold="0")] < 1.0
    assert read["myofed_site_missed_questions_total", of(site="site-001")] == 1
    assert read["myofed_site_missed_questions_total", of(site="site-000")] == 0
    assert read["myofed_site_bytes_total", of(site="site-000", direction="sent")] == 3 * 4_835_745
    assert read["myofed_external_looks_total", of(site="external-0")] == 1


def test_a_site_and_a_run_are_in_one_state(read: dict[tuple[str, Labels], float]) -> None:
    for site, state in (("site-001", "gone"), ("external-0", "unknown")):
        own = {
            dict(labels)["state"]: value
            for (name, labels), value in read.items()
            if name == "myofed_site_state" and dict(labels)["site"] == site
        }
        assert sum(own.values()) == 1
        assert own[state] == 1, own
    states = [value for (name, _), value in read.items() if name == "myofed_run_state"]
    assert sum(states) == 1
