"""Leave one site out over real processes: approved once, taken up again, and as in simulation."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import copied, release_bytes, study_text
from consortium import MYOFED, Consortium, until

from client.approved import fingerprints
from client.egress.reading import lines_of
from common.leave_one_out import left_out
from common.study_file import read_study
from simulation.leave_one_out import run_leaving_out

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LONG = 600.0
COMMAND = ("coordinator", "run", "coord", "study.toml", "--leave-one-site-out")


@pytest.fixture(scope="module")
def consortium(measured_sites: Path) -> Iterator[Consortium]:
    """Four sites that train, so that three are left to hide among."""
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        text = study_text("leave_one_site_out = true", rounds=2)
        made = Consortium(Path(folder), text, copied(measured_sites, Path(folder)))
        try:
            made.found()
            made.start()
            yield made
        finally:
            made.stop_all()


@pytest.fixture(scope="module")
def table(consortium: Consortium) -> Path:
    """The folder of the table; the command was stopped once, and given again."""
    first = subprocess.Popen([str(MYOFED), *COMMAND], cwd=consortium.folder)
    until(consortium.runs, LONG, "a run has begun")
    begun = consortium.runs()[0].name
    until(lambda: consortium.reached(begun, "harmonize", "features"), LONG, "it came somewhere")
    first.send_signal(signal.SIGINT)
    assert first.wait(60) != 0
    done = consortium.command(*COMMAND, "--json")
    (folder,) = (consortium.coord / "leave-one-site-out").iterdir()
    assert json.loads(done.stdout) == json.loads((folder / "leave-one-site-out.json").read_text())
    assert begun in {path.resolve().name for path in folder.glob("without-*")}
    return folder


def test_one_run_a_site_and_the_releases_of_the_simulation(
    consortium: Consortium, table: Path, measured_sites: Path, tmp_path: Path
) -> None:
    assert len(consortium.runs()) == len(consortium.sites)
    study = read_study(consortium.study)
    simulated = run_leaving_out(study, measured_sites, tmp_path / "simulated")
    found = json.loads((table / "leave-one-site-out.json").read_text())
    for site in consortium.sites:
        over_network = release_bytes(table / f"without-{site}")
        assert over_network == release_bytes(tmp_path / "simulated" / f"without-{site}")
    assert found["models"] == simulated["models"]


def test_a_site_approved_once_and_was_asked_what_it_approved(
    consortium: Consortium, table: Path
) -> None:
    study = read_study(consortium.study)
    runs = {site: (table / f"without-{site}").resolve().name for site in left_out(study)}
    for name, folder in consortium.sites.items():
        assert fingerprints(folder) == [study.fingerprint]
        kept = json.loads((folder / "sum-sets.json").read_text())
        assert list(kept) == [study.fingerprint]
        assert kept[study.fingerprint]["changes"] == 0
        for site, run in runs.items():
            rules = {line.rule for line in lines_of(folder, run) if line.kind == "answer"}
            stages = {rule.split("/")[0] for rule in rules if rule}
            if name == site:
                assert stages <= {"enrol", "validate"}, rules
                assert "validate/scores" in rules
            else:
                assert "validate" not in stages
                assert {"harmonize", "train", "fuse", "calibrate"} <= stages


def test_a_study_that_does_not_ask_for_it_is_refused(consortium: Consortium, table: Path) -> None:
    plain = consortium.folder / "plain.toml"
    text = consortium.study.read_text().replace("leave_one_site_out = true", "")
    plain.write_text(text)
    refused = consortium.command(
        "coordinator", "run", consortium.coord, plain, "--leave-one-site-out", check=False
    )
    assert refused.returncode != 0
    assert "does not ask for leave one site out" in refused.stdout + refused.stderr
    assert len(consortium.runs()) == len(consortium.sites)
