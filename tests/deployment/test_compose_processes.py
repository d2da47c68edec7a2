"""Every service of docker-compose.yml, by its very command: a study runs from images to release."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import EXTERNAL, study_text
from consortium import until
from containers import Containers
from hosts import Host, Unavailable

from client.phantoms.consortium import DEFAULT, make_consortium

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ROOT = Path(__file__).parents[2]
SITES = ("aldgate", "bergamo", "coimbra", "dorpat")
LONG = 300.0


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    content = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services: dict[str, Any] = content["services"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mf-")))
        try:
            hosts = {}
            for site in SITES:
                hosts[f"{site}-node"] = Host()
                stack.callback(hosts[f"{site}-node"].remove)
            made = Containers(folder, services, hosts)
        except Unavailable as reason:
            pytest.skip(str(reason))
        stack.callback(made.down)
        yield made


def set_up(containers: Containers) -> None:
    """What people do before they start the services, by the commands that the file shows."""
    coordinator = containers.volume("coordinator")
    containers.run(
        "coordinator", ["myofed", "coordinator", "init", "/coordinator", "--host", "coordinator"]
    )
    phantoms = containers.folder / "phantoms"
    for table in make_consortium(phantoms, 3, 8, DEFAULT, slices=2):
        site = table.parent.name
        images = containers.volume(f"images-{site}")
        shutil.copytree(table.parent, images, dirs_exist_ok=True)
        words = f"table /images/table.csv --out /site --name {site} --positive scar --negative none"
        for command in (
            f"myofed site import {words} --myocardium 2",
            "myofed site init /site",
        ):
            containers.run(f"{site}-setup", command.split())
        [request] = containers.volume(f"{site}-data").glob("*.join.json")
        shutil.copy(request, coordinator)
        admit = f"myofed coordinator admit /coordinator /coordinator/{request.name}"
        containers.run("coordinator", admit.split())
    roster = f"myofed coordinator roster /coordinator --external {EXTERNAL}"
    study = study_text() + containers.run("coordinator", roster.split())
    (coordinator / "study.toml").write_text(study, encoding="utf-8")
    invite = "myofed coordinator invite /coordinator /coordinator/study.toml --out"
    containers.run("coordinator", [*invite.split(), "/coordinator/invitation.json"])
    for site in SITES:
        shutil.copy(coordinator / "invitation.json", containers.volume(f"images-{site}"))
        for command in (
            "myofed site join /site /images/invitation.json --no-approve",
            "myofed site approve /site /images/invitation.json --yes",
        ):
            containers.run(f"{site}-setup", command.split())


def test_a_study_runs_by_the_commands_of_the_services(containers: Containers) -> None:
    set_up(containers)
    services = ["coordinator", *(f"{site}-{part}" for site in SITES for part in ("worker", "node"))]
    for service in services:
        containers.up(service)
    for service in services:
        until(lambda: containers.is_well(service), LONG, f"{service} is well")  # noqa: B023
    asked = ["myofed", "coordinator", "run", "/coordinator", "/coordinator/study.toml", "--detach"]
    containers.run("coordinator", asked)
    [run] = (containers.volume("coordinator") / "runs").glob("tiny-*")

    def ended() -> bool:
        events = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return json.loads(events[-1])["event"] in ("finished", "failed")

    until(ended, LONG, "the end of the run")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert set(results["sites"]) == set(SITES)
    assert (run / "release" / "release.json").exists()


def test_a_worker_has_no_way_out_and_sees_no_other_site(containers: Containers) -> None:
    look = "import socket; socket.create_connection(('127.0.0.1', 9443), 5)"
    with pytest.raises(AssertionError, match=r"refused|unreachable"):
        containers.run("aldgate-worker", ["python", "-c", look])
    seen = containers.run("aldgate-node", ["ls", "/site", "/link"]).split()
    assert "cohort.csv" not in seen
    assert "node" in seen
    find = ["find", "/site", "/link", "-name", "identity*"]
    assert containers.run("aldgate-node", find) == ""
    assert "/site/identity.key" in containers.run("aldgate-worker", find).split()
    assert containers.run("aldgate-worker", ["myofed", "site", "approvals", "/site"])
    with pytest.raises(AssertionError, match="Read-only file system"):
        containers.run("aldgate-worker", ["touch", "/etc/changed"])
    with pytest.raises(AssertionError, match="No such file"):
        containers.run("aldgate-worker", ["ls", str(containers.folder)])
