"""A consortium of real processes on loopback, started by the commands that people use.

Everything goes through the `myofed` command. Processes are found by what they
are (`superlink`, `serverapp`, `node`, `worker`), so that tests can kill them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from client.node.words import CONNECTED, last_words
from client.rooms import NodeRoom

MYOFED = Path(sys.executable).parent / "myofed"
START_SECONDS = 120.0
HALT_SECONDS = 6.0
MARKS = {
    "superlink": "server.network.superlink",
    "serverapp": "flwr-serverapp",
    "node": "client.node.process",
    "worker": "client.worker.process",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until the condition holds; fail with `what` after so many seconds.

    At least half of the time nothing is asked: a condition may be a command, and the processes that
    are waited for need the cores.
    """
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} seconds for: {what}")
        time.sleep(max(0.1, time.monotonic() - began))


@dataclass
class Consortium:
    """A coordinator below `folder`/coord and the sites' folders, by name.

    `protocol` is the study without its roster; that follows from the keys of the admitted sites.
    """

    folder: Path
    protocol: str
    sites: Mapping[str, Path]
    external: str = ""
    host: str = "localhost"
    port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def coord(self) -> Path:
        return self.folder / "coord"

    @property
    def study(self) -> Path:
        return self.folder / "study.toml"

    def command(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a `myofed` command to its end."""
        given = [str(MYOFED), *(str(one) for one in arguments)]
        done = subprocess.run(
            given, cwd=self.folder, env=self._environment(), capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(given)}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def found(self) -> None:
        """Make the coordinator, admit every site, write the study and let each site join."""
        self.command(
            "coordinator", "init", self.coord, "--host", self.host, "--port", self.port,
            "--bind", "127.0.0.1" if self.host == "localhost" else "0.0.0.0",
            "--health-port", self.health_port,
        )  # fmt: skip
        for name, path in self.sites.items():
            self.command("site", "init", path, "--name", name)
            self.command("coordinator", "admit", self.coord, path / f"{name}.join.json")
        role = ("--external", self.external) if self.external else ()
        roster = self.command("coordinator", "roster", self.coord, *role)
        self.study.write_text(self.protocol + roster.stdout, encoding="utf-8")
        invitation = self.folder / "invitation.json"
        self.command("coordinator", "invite", self.coord, self.study, "--out", invitation)
        for path in self.sites.values():
            self.command("site", "join", path, invitation)

    def start_coordinator(self) -> None:
        """Bring the coordinator up and wait until it serves."""
        self._start("coordinator", "coordinator", "up", self.coord)
        until(lambda: self.status()["up"], START_SECONDS, "the coordinator is up")

    def start_site(self, name: str, *options: str) -> None:
        """Bring a site up."""
        link = self.folder / f"l-{name}"
        # What an earlier node said last is no word of this one.
        NodeRoom.of(self.sites[name]).state.unlink(missing_ok=True)
        self._start(name, "site", "up", self.sites[name], "--link", link, *options)

    def start(self) -> None:
        """Bring the coordinator and all sites up, and wait until they are online."""
        self.start_coordinator()
        for name in self.sites:
            self.start_site(name)
        until(lambda: self.online() == set(self.sites), START_SECONDS, "all sites are online")
        until(lambda: all(map(self.says_connected, self.sites)), 10, "all sites say so")

    def says_connected(self, name: str) -> bool:
        """Whether a site says of itself that it is connected."""
        return last_words(NodeRoom.of(self.sites[name]))[0] == CONNECTED

    def online(self) -> set[str]:
        """Names of the sites that the coordinator sees."""
        return {one["name"] for one in self.status()["sites"] if one["online"]}

    def status(self) -> dict[str, Any]:
        """What `coordinator status --json` says."""
        found: dict[str, Any] = json.loads(
            self.command("coordinator", "status", self.coord, "--json").stdout
        )
        return found

    def submit(self) -> str:
        """Start a run and leave it; give its identity."""
        before = {path.name for path in self.runs()}
        self.command("coordinator", "run", self.coord, self.study, "--detach")
        return next(path.name for path in self.runs() if path.name not in before)

    def runs(self) -> list[Path]:
        return sorted(path.parent for path in (self.coord / "runs").glob("*/run.json"))

    def run_folder(self, identity: str) -> Path:
        return self.coord / "runs" / identity

    def events(self, identity: str) -> list[dict[str, Any]]:
        """The events of a run so far."""
        path = self.run_folder(identity) / "events.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def reached(self, identity: str, stage: str, step: str = "", number: int = 0) -> bool:
        """Whether a question of the run has been settled."""
        return any(
            event["event"] == "asked"
            and event["stage"] == stage
            and event.get("step", "") == step
            and event.get("round", 0) == number
            for event in self.events(identity)
        )

    def state(self, identity: str) -> str:
        """How a run stands, as the coordinator says."""
        found = [one["state"] for one in self.status()["runs"] if one["identity"] == identity]
        return str(found[0]) if found else ""

    def outcome(self, identity: str, seconds: float) -> dict[str, Any]:
        """Wait for the end of a run; give its last event."""

        def ended() -> bool:
            every = self.events(identity)
            return bool(every) and every[-1]["event"] in ("finished", "failed", "stopped")

        until(ended, seconds, f"the end of {identity}")
        return self.events(identity)[-1]

    def pids(self, what: str, site: str = "") -> list[int]:
        """Processes of a kind that belong to this consortium, or to one of its sites."""
        mark = MARKS[what]
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if site:
                # The command of a node and of a worker names the site's folder.
                its = str(self.sites[site]) in line
            else:
                its = str(self.folder) in line or self._is_ours(process)
            if mark in line and its:
                found.append(process.pid)
        return found

    def kill(self, what: str, site: str = "") -> None:
        """Kill -9 the processes of a kind; one that is being started again is waited for."""
        until(lambda: self.pids(what, site), START_SECONDS, f"there is a {what} {site} to kill")
        for pid in self.pids(what, site):
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def halted(self, site: str) -> Iterator[None]:
        """Halt a site's worker for a while; it notices nothing of it."""
        pids = self.pids("worker", site)
        assert pids, f"no worker of {site} to halt"
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def hold_up(
        self, site: str, condition: Callable[[], object], seconds: float, what: str
    ) -> None:
        """Make a site slow until the condition holds, so that a run is not over before.

        It is halted for much less than the deadline of a question, and has the time to answer
        between two halts.
        """
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds:.0f} seconds for: {what}"
            with self.halted(site):
                on = time.monotonic() + HALT_SECONDS
                while time.monotonic() < on and not condition():
                    time.sleep(0.1)
            time.sleep(HALT_SECONDS / 4)

    def stop(self, name: str) -> None:
        """End a coordinator or a site in order."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    def stop_all(self) -> None:
        """End everything."""
        for name in reversed(list(self.processes)):
            self.stop(name)

    def start_script(self, name: str, script: str, *arguments: object) -> None:
        """Run a script that lies beside this file in the place of one of our processes."""
        self._launch(name, sys.executable, Path(__file__).with_name(script), *arguments)

    def _start(self, name: str, *arguments: object) -> None:
        self._launch(name, MYOFED, *arguments)

    def _launch(self, name: str, *command: object) -> None:
        log = (self.folder / f"{name}.out").open("ab")
        self.processes[name] = subprocess.Popen(
            [str(one) for one in command],
            cwd=self.folder, env=self._environment(), stdout=log, stderr=log,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log.close()

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether a process was started, at whatever remove, by one of ours."""
        ours = {started.pid for started in self.processes.values()}
        try:
            return any(parent.pid in ours for parent in process.parents())
        except psutil.Error:
            return False

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "COLUMNS": "200"}
