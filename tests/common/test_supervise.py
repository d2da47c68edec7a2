"""The supervisor: children are restarted, and nothing is left behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.supervise import LARGEST_LOG, Child, Supervisor, stop_signals

ROOT = Path(__file__).resolve().parents[2]
FOREVER = "import time\nwhile True: time.sleep(0.1)"
WITH_GRANDCHILD = (
    "import pathlib, subprocess, sys, time\n"
    f"one = subprocess.Popen([sys.executable, '-c', {FOREVER!r}])\n"
    "pathlib.Path(sys.argv[1]).write_text(str(one.pid))\n"
    "time.sleep(60)"
)
STUBBORN = (
    "import pathlib, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "pathlib.Path(sys.argv[1]).write_text('ready')\n"
    "time.sleep(60)"
)


def until(what: Callable[[], object], seconds: float = 20.0) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it took too long")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def child(name: str, script: str, log: Path, *arguments: str) -> Child:
    return Child(name, [sys.executable, "-c", script, *arguments], {"MARK": name}, log)


@contextmanager
def supervised(supervisor: Supervisor) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30.0)
        assert not thread.is_alive()
    assert supervisor.running() == {}


def pid_in(file: Path) -> int:
    return int(str(until(lambda: file.exists() and file.read_text())))


def test_a_killed_child_starts_again_without_what_it_had_started(tmp_path: Path) -> None:
    file, told = tmp_path / "grandchild", list[str]()
    one = child("one", WITH_GRANDCHILD, tmp_path / "one.log", str(file))
    other = child("other", FOREVER, tmp_path / "other.log")
    supervisor = Supervisor([one, other], told.append, first_wait=0.05)
    with supervised(supervisor):
        grandchild = pid_in(file)
        until(lambda: set(supervisor.running()) == {"one", "other"})
        before = supervisor.running()
        file.unlink()
        os.kill(before["one"], signal.SIGKILL)
        second = pid_in(file)
        until(lambda: not alive(grandchild))
        assert supervisor.running()["one"] != before["one"]
        assert supervisor.running()["other"] == before["other"]
        assert supervisor.ends("one") == 1
        assert supervisor.ends("other") == 0
    assert not alive(second)
    assert any("one ended (signal SIGKILL)" in sentence for sentence in told)


def test_a_child_that_keeps_ending_is_started_ever_more_seldom(tmp_path: Path) -> None:
    log = tmp_path / "brief.log"
    script = "import time; print(time.monotonic(), flush=True)"
    supervisor = Supervisor([child("brief", script, log)], first_wait=0.2, longest_wait=1.0)
    with supervised(supervisor):
        until(lambda: supervisor.ends("brief") >= 4)
    starts = [float(line) for line in log.read_text().split()]
    assert starts[1] - starts[0] >= 0.2
    assert starts[2] - starts[1] >= 0.4
    assert starts[3] - starts[2] >= 0.8


def test_one_that_does_not_end_when_asked_is_ended_by_force(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    one = child("stubborn", STUBBORN, tmp_path / "log", str(ready))
    supervisor = Supervisor([one], grace=0.3)
    with supervised(supervisor):
        until(ready.exists)
        pid = supervisor.running()["stubborn"]
    assert not alive(pid)


def test_a_restart_that_was_asked_for_is_no_end(tmp_path: Path) -> None:
    supervisor = Supervisor([child("one", FOREVER, tmp_path / "log")], first_wait=30.0)
    with supervised(supervisor):
        until(supervisor.running)
        before = supervisor.running()["one"]
        supervisor.restart("one")
        until(lambda: supervisor.running().get("one", before) != before)
        assert supervisor.ends("one") == 0


def test_a_program_that_is_not_there_is_told_and_tried_again(tmp_path: Path) -> None:
    told = list[str]()
    one = Child("none", [str(tmp_path / "absent")], {}, tmp_path / "log")
    supervisor = Supervisor([one], told.append, first_wait=0.05)
    with supervised(supervisor):
        until(lambda: supervisor.ends("none") >= 2)
    assert "none could not be started" in told[0]


def test_the_log_is_its_owners_only_and_set_aside_when_large(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "one.log"
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(LARGEST_LOG + 1)
    script = "import os, time; print(os.environ['MARK'], flush=True); time.sleep(60)"
    with supervised(Supervisor([child("one", script, log)])):
        until(lambda: log.exists() and log.read_text() == "one\n")
    assert log.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "logs" / "one.log.1").stat().st_size == LARGEST_LOG + 1


SUPERVISING = """
import sys
from pathlib import Path
from common.supervise import Child, Supervisor, stop_signals
with stop_signals() as stop:
    argv = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
    Supervisor([Child("one", argv, {}, Path(sys.argv[2] + ".log"))]).run(stop)
print("ended in order")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_supervisor_ends(tmp_path: Path, number: int) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux ends the children of a killed process")
    file = tmp_path / "pid"
    script = "import os, pathlib, sys, time\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))"
    argv = [sys.executable, "-c", SUPERVISING, f"{script}\ntime.sleep(60)", str(file)]
    supervisor = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = pid_in(file)
    supervisor.send_signal(number)
    out, _ = supervisor.communicate(timeout=30)
    until(lambda: not alive(pid))
    assert (out == "ended in order\n") is (number != signal.SIGKILL)


def test_signals_go_back_to_what_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5.0)
    assert signal.getsignal(signal.SIGTERM) == before
