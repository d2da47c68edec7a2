"""Runs on a coordinator that is up: real ServerApps, started, watched, lost, stopped, resumed."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from network_samples import (
    PATIENCE,
    ROOT,
    command,
    kill,
    make_study,
    myofed,
    processes_of,
    study_text,
    until,
)

from common.check import Verdict
from common.errors import WrongUse
from common.study import Study
from server.network.control import Control
from server.network.doctor import doctor
from server.network.folder import CoordinatorFolder
from server.network.follow import how_it_stands
from server.network.lifecycle import resume, start, stop
from server.network.runs import find, identities, is_held
from server.network.status import status_of
from server.run import RunFolder

pytestmark = pytest.mark.slow

ENDLESS = make_study("tufts", name="endless")
BRIEF = make_study("tufts", name="brief", deadline=1.0)


def study_file(path: Path, study: Study) -> Path:
    text = study_text("tufts", deadline=study.deadline("enrol"), name=study.name)
    path.write_text(text, encoding="utf-8")
    return path


def server_app(folder: CoordinatorFolder) -> int:
    (pid,) = [pid for pid, line in processes_of(folder.path).items() if "flwr-serverapp" in line]
    return pid


def running(run: RunFolder, control: Control) -> bool:
    now = how_it_stands(run, control)
    return now.state == "running" and now.where == "enrol"


def test_a_run_fails_with_the_names_of_the_sites_that_did_not_come(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    ended = myofed("coordinator", "run", coordinator.path, study_file(tmp_path / "s.toml", BRIEF))
    assert ended.returncode == 1
    assert "not connected yet: tufts" in ended.stderr
    assert "quorum" in ended.stderr
    assert "tufts" in ended.stderr
    assert "myofed coordinator resume" in ended.stderr
    (identity,) = [one for one in identities(coordinator) if one.startswith("brief")]
    run = find(coordinator, identity)
    last = run.events()[-1]
    assert (last["event"], last["code"]) == ("failed", "run-failed")
    assert last["fix"]
    assert "quorum" in (run.path / "coordinator.log").read_text()


def test_a_lost_serverapp_is_noticed_and_the_run_resumed_and_stopped(
    coordinator: CoordinatorFolder, control: Control, tmp_path: Path
) -> None:
    file = study_file(tmp_path / "s.toml", ENDLESS)
    attending = subprocess.Popen(
        command("coordinator", "run", coordinator.path, file),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    (identity,) = until(  # type: ignore[misc]
        lambda: [one for one in identities(coordinator) if one.startswith("endless")]
    )
    run = find(coordinator, identity)
    until(lambda: running(run, control))
    with pytest.raises(WrongUse, match="is running"):
        resume(coordinator, run, control)
    assert [one.state for one in status_of(coordinator).runs if one.identity == identity] == [
        "running"
    ]
    kill(server_app(coordinator))
    _, said = attending.communicate(timeout=PATIENCE)
    assert attending.returncode == 1
    assert "ended without a word" in said
    assert f"resume {coordinator.path} {identity}" in said

    again = myofed("coordinator", "resume", coordinator.path, identity, "--detach")
    assert again.returncode == 0
    assert f"stop {coordinator.path} {identity}" in again.stderr
    until(lambda: running(run, control))
    assert stop(run, control)
    assert not is_held(run)
    assert how_it_stands(run, control).state == "stopped"
    with pytest.raises(WrongUse, match="stopped already"):
        stop(run, control)
    watched = myofed("coordinator", "watch", coordinator.path, identity)
    assert watched.returncode == 1
    assert "was stopped" in watched.stderr


def test_ctrl_c_leaves_the_run_at_work_and_it_outlives_the_superlink(
    coordinator: CoordinatorFolder, control: Control, tmp_path: Path
) -> None:
    run = start(coordinator, ENDLESS, control)
    until(lambda: running(run, control))
    watching = subprocess.Popen(
        command("coordinator", "watch", coordinator.path, run.identity),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stderr is not None
    assert "Ctrl-C leaves it at work" in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 1
    assert "goes on without being watched" in said
    assert f"watch {coordinator.path} {run.identity}" in said
    assert running(run, control)

    app = server_app(coordinator)
    pids = processes_of(coordinator.path)
    (superlink,) = [pid for pid, line in pids.items() if "server.network.superlink" in line]
    kill(superlink)
    until(lambda: not _answers(coordinator), 10.0)
    until(lambda: _answers(coordinator))
    assert server_app(coordinator) == app
    with Control(coordinator) as again:
        assert running(run, again)
        assert stop(run, again)


def test_the_doctor_of_one_that_is_up_finds_it_well(coordinator: CoordinatorFolder) -> None:
    checks = [check for check in doctor(coordinator) if check.name != "disk"]
    assert {check.verdict for check in checks} == {Verdict.PASS}, [
        check.as_dict() for check in checks
    ]


def test_a_proxy_does_not_come_between_the_machine_and_itself(
    coordinator: CoordinatorFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")
    held = json.loads(myofed("coordinator", "status", coordinator.path, "--json").stdout)
    assert held["up"] is True


def test_one_that_is_up_is_not_started_twice(coordinator: CoordinatorFolder) -> None:
    second = myofed("coordinator", "up", coordinator.path)
    assert second.returncode == 2
    assert "up already" in second.stderr
    held = json.loads(myofed("coordinator", "status", coordinator.path, "--json").stdout)
    assert held["up"] is True


def test_a_site_is_admitted_while_it_is_up(
    coordinator: CoordinatorFolder, control: Control, tmp_path: Path
) -> None:
    from network_samples import request_of

    from common.identity import node_key

    request = request_of(tmp_path, "oslo")
    request.save(tmp_path / "oslo.join.json")
    done = myofed("coordinator", "admit", coordinator.path, tmp_path / "oslo.join.json")
    assert done.returncode == 0
    assert "can connect now" in done.stdout
    assert node_key(request.public_key) in {node.key for node in control.nodes()}


def test_a_renewed_certificate_is_served_without_anybody_s_doing(
    coordinator: CoordinatorFolder,
) -> None:
    import ssl

    where = ("127.0.0.1", coordinator.settings.port)
    before = ssl.get_server_certificate(where)
    assert myofed("coordinator", "renew", coordinator.path).returncode == 0
    wanted = coordinator.certificate.read_text().split()

    def served() -> bool:
        try:
            return ssl.get_server_certificate(where).split() == wanted
        except OSError:  # it is just starting again
            return False

    assert before.split() != wanted
    until(served)
    assert _answers(coordinator)


def _answers(folder: CoordinatorFolder) -> bool:
    from server.network.control import health

    return health(folder) is not None
