"""docker-compose.yml: walls between the services, and every service's command as a process."""

from __future__ import annotations

import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SITES = ("aldgate", "bergamo", "coimbra", "dorpat")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["services"]
    return found


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where each volume of a service is mounted, by the volume's name."""
    pairs = (volume.rsplit("/images", 1)[0] + ":/images" if "/images" in volume else volume
             for volume in service["volumes"])  # fmt: skip
    return {source: target for source, target in (pair.rsplit(":", 1) for pair in pairs)}


def test_the_file_is_one_that_compose_accepts() -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("there is no docker-compose here")
    done = subprocess.run(
        [compose, "--file", "docker-compose.yml", "config", "--quiet"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/tmp"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_there_is_a_coordinator_and_two_services_a_site(services: dict[str, Any]) -> None:
    expected = {f"{site}-{part}" for site in SITES for part in ("node", "worker", "setup")}
    assert set(services) == expected | {"coordinator"}
    for name, service in services.items():
        assert ("profiles" in service) == name.endswith("-setup")


def test_every_service_is_hardened_and_says_whether_it_is_well(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "ports" not in service or name == "coordinator"
        if not name.endswith("-setup"):
            assert service["healthcheck"]["test"][:4] == ["CMD", "python", "-m", "common.health"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    base = dockerfile[dockerfile.index(" AS base") :]
    assert "\nUSER myofed\n" in base
    assert "USER root" not in dockerfile


def test_a_worker_has_no_network_and_a_node_has_no_data(services: dict[str, Any]) -> None:
    for site in SITES:
        node, worker = services[f"{site}-node"], services[f"{site}-worker"]
        assert worker["network_mode"] == "none"
        assert "networks" not in worker
        assert services[f"{site}-setup"]["network_mode"] == "none"
        assert "network_mode" not in node
        assert set(mounts(node)) == {f"{site}-node", f"{site}-link"}
        assert f"{site}-node" not in mounts(worker)
        shared = set(mounts(node)) & set(mounts(worker))
        assert shared == {f"{site}-link"}


def test_no_site_sees_another(services: dict[str, Any]) -> None:
    for one, other in combinations(SITES, 2):
        parts = ("node", "worker", "setup")
        own, theirs = (
            {volume for part in parts for volume in mounts(services[f"{site}-{part}"])}
            for site in (one, other)
        )
        assert not own & theirs
        assert not set(services[f"{one}-node"]["networks"]) & set(
            services[f"{other}-node"]["networks"]
        )
    assert set(services["coordinator"]["networks"]) == set(SITES)
    assert set(mounts(services["coordinator"])) == {"coordinator"}
