"""The carrier is not trusted: whatever runs as the node's user gets only what the study allows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_carrier import GROUP
from phantom_site import NAME, make_site

from client.approved import approve
from client.egress.reading import lines_of
from client.egress.verify import examine
from client.identity_key import PUBLIC_FILE
from client.link.place import target_of
from common.health import SERVING, health_of
from common.identity import identity_bytes
from common.study import Study

ROOT = Path(__file__).parents[3]
HOSTILE = Path(__file__).with_name("hostile_carrier.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]


def hospital_study(key: str) -> Study:
    names = (NAME, "bergamo", "coimbra")
    keys = {NAME: key}
    return Study.model_validate(
        {
            "name": "tiny",
            "sites": [{"name": one, "role": "train", "key": keys.get(one, "")} for one in names],
            "cohort": {"minimum_patients_per_class": 2},
            "cnn": {"width": 0.02},
            "training": {"rounds": 1, "averaged_rounds": 1},
        }
    )


@pytest.fixture(scope="module")
def loot() -> Iterator[tuple[dict[str, Any], Path]]:
    """What the hostile app brought home, and the site that it was at."""
    folder = Path(tempfile.mkdtemp(prefix="myofed-"))
    folder.chmod(0o755)
    try:
        site = make_site(folder)
        public = (site / PUBLIC_FILE).read_text(encoding="ascii").strip()
        study = hospital_study(public)
        approve(site, study)
        (folder / "study.json").write_text(study.canonical(), encoding="utf-8")
        # The folder of the link is made ready for two users of one group, as docs/site.md says.
        link = folder / "link"
        link.mkdir()
        os.chown(link, 0, GROUP)
        link.chmod(0o2770)
        yield stolen(folder, site, link), site
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stolen(folder: Path, site: Path, link: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "client.worker.process", str(site), "--link", str(link)]
    environment = os.environ | {"A_SECRET_OF_THE_WORKER": "do-not-tell"}
    worker = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        for _ in range(300):
            if health_of(target_of(link), 1.0) == SERVING:
                break
        out = folder / "loot.json"
        here = os.pathsep.join([str(ROOT), str(HOSTILE.parent)])
        done = subprocess.run(
            [sys.executable, HOSTILE, link, site, str(worker.pid), folder / "study.json", out],
            cwd="/", env=os.environ | {"PYTHONPATH": here}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        held: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return held
    finally:
        worker.terminate()
        worker.wait(30)


def test_it_reads_no_file_of_the_site_and_nothing_of_the_worker(
    loot: tuple[dict[str, Any], Path],
) -> None:
    found, site = loot
    assert {"cohort.csv", "identity.key", "ledger"} <= {path.name for path in site.iterdir()}
    assert found["files"] == {}
    assert found["process"] == {}
    assert "do-not-tell" not in json.dumps(found)


CODES = {
    "another study": "study-mismatch",
    "no envelope": "run-failed",
    "an unknown stage": "wrong-use",
    "another stage's question": "run-failed",
    "a strange record": "run-failed",
    "a place that climbs": "run-failed",
    "calibrate first": "run-failed",
    "a round that is none": "off-course",
    "a fold that is none": "off-course",
    "another place in the envelope": "off-course",
    "another step": "off-course",
    "all of fuse": "off-course",
    "validate where it trains": "run-failed",
    "a sum of nobody": "too-few-to-hide",
    "keys of its own making": "forged-key",
    "the site alone": "too-few-to-hide",
    "a key in the site's name": "lost-session-key",
}


def test_the_worker_gives_it_enrolment_and_nothing_else(loot: tuple[dict[str, Any], Path]) -> None:
    answers = loot[0]["answers"]
    assert {what: told.get("code") for what, told in answers.items()} == CODES | {"enrol": None}
    assert answers["enrol"]["parts"] == ["arrays", "fields"]


def test_no_patient_is_in_its_loot(loot: tuple[dict[str, Any], Path]) -> None:
    found, site = loot
    text = json.dumps(found)
    table = (site / "cohort.csv").read_text(encoding="utf-8").splitlines()
    patients = {line.split(",")[0] for line in table[1:]}
    assert len(patients) > 4
    assert not [patient for patient in patients if patient in text]
    assert str(site) not in json.dumps(found["answers"])


def test_each_of_its_questions_is_in_the_ledger(loot: tuple[dict[str, Any], Path]) -> None:
    found, site = loot
    lines = [line for line in lines_of(site, "") if line.kind in ("answer", "refusal")]
    assert len(lines) == len(found["answers"])
    assert [line.kind for line in lines].count("answer") == 1
    told = sorted(line.code for line in lines if line.kind == "refusal")
    assert told == sorted(CODES.values())
    public = (site / PUBLIC_FILE).read_text(encoding="ascii").strip()
    assert not examine(site, identity_bytes(public)).faults
