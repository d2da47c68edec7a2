"""What a container engine does for a service of docker-compose.yml, as far as a test needs it.

A service's very command runs as a process that sees a read-only system, the service's own volumes
and nothing else of the machine's temporary files, without capabilities, and with no network if the
service has none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hosts import Host, Unavailable

PROJECT = Path(__file__).parents[2]
ENTER = """
set -e
root=$1 hosts=$2 volumes=$3 project=$4
shift 4
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
for one in /*; do
    case $one in /tmp|/site|/link|/images|/coordinator) continue ;; esac
    if [ -L "$one" ]; then cp -P "$one" "$root$one"
    elif [ -d "$one" ]; then
        mkdir "$root$one"
        mount --rbind "$one" "$root$one"
        case $one in /proc|/dev|/sys) ;; *) mount -o remount,bind,ro "$root$one" ;; esac
    fi
done
mkdir "$root/tmp"
for pair in $volumes; do
    mkdir -p "$root${pair#*=}"
    mount --bind "${pair%%=*}" "$root${pair#*=}"
done
mount --bind "$hosts" "$root/etc/hosts"
mount -t tmpfs tmpfs "$root/tmp"
case $project in /tmp/*) mkdir -p "$root$project"; mount --rbind "$project" "$root$project" ;; esac
mount -o remount,ro "$root"
exec chroot "$root" setpriv --no-new-privs --bounding-set=-all --inh-caps=-all \\
    env --chdir=/tmp "$@"
"""


@dataclass
class Containers:
    """The services of a compose file, below `folder`, each on a host of its own if it has one.

    Attributes
    ----------
    hosts : where a service's node runs, by service; others run on this machine
    """

    folder: Path
    services: Mapping[str, Any]
    hosts: Mapping[str, Host]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if os.geteuid() != 0:
            raise Unavailable("only root can do what a container engine does")

    def volume(self, name: str) -> Path:
        """Where a volume, or a folder of the machine, lies."""
        path = self.folder / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def run(self, service: str, command: Sequence[object]) -> str:
        """Run another command in a service's place, to its end; what it printed."""
        done = subprocess.run(
            self._enter(service, command), capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"{service}: {command}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self, service: str) -> None:
        """Start a service by its own command."""
        log = (self.folder / f"{service}.out").open("ab")
        self.running[service] = subprocess.Popen(
            self._enter(service, self.services[service]["command"]),
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log.close()

    def is_well(self, service: str) -> bool:
        """Ask a service's own health check."""
        test = self.services[service]["healthcheck"]["test"]
        assert test[0] == "CMD"
        done = subprocess.run(self._enter(service, test[1:]), capture_output=True, check=False)
        return done.returncode == 0

    def down(self) -> None:
        """End everything."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        self.running.clear()

    def _enter(self, service: str, command: Sequence[object]) -> list[str]:
        content = self.services[service]
        pairs = " ".join(f"{source}={target}" for source, target in self._mounts(content))
        root = self.folder / "roots" / service
        root.mkdir(parents=True, exist_ok=True)
        alone = ["--net"] if content.get("network_mode") == "none" else []
        inside = [
            "unshare", "--mount", *alone, "bash", "-c", ENTER, "enter",
            str(root), str(self._hosts_file(service)), pairs, str(PROJECT),
            f"PATH={Path(sys.executable).parent}:/usr/bin:/bin", "HOME=/tmp",
            "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
            *(str(one) for one in command),
        ]  # fmt: skip
        host = self.hosts.get(service)
        return host.command(*inside) if host is not None else inside

    def _mounts(self, content: Mapping[str, Any]) -> list[tuple[Path, str]]:
        found = []
        for volume in content["volumes"]:
            if volume.startswith("${MYOFED_IMAGES"):
                source, target = volume.split("}/", 1)[1].split(":")[:2]
                found.append((self.volume(f"images-{source}"), target))
            else:
                source, target = volume.split(":")[:2]
                found.append((self.volume(source), target))
        # A volume inside another one is put there after it.
        return sorted(found, key=lambda pair: pair[1])

    def _hosts_file(self, service: str) -> Path:
        """Names as the engine's own DNS gives them: a node knows the coordinator, and no other."""
        path = self.folder / f"{service}.hosts"
        lines = ["127.0.0.1 localhost"]
        host = self.hosts.get(service)
        if host is not None:
            lines.append(f"{host.near} coordinator")
        elif service == "coordinator":
            lines.append("127.0.0.1 coordinator")
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return path
