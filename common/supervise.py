"""Keep a few processes running: restart those that end, and leave nothing behind.

Each child leads a process group of its own, so what it starts ends with it: at a restart, at a
stop, and (on Linux) when the supervisor itself is killed.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.2
FORCE_SECONDS = 2.0
STEADY_SECONDS = 60.0
LARGEST_LOG = 20_000_000

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Child:
    """A process to keep running: its name, what to run, additions to the environment, its log."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path


@dataclass
class _State:
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wait: float = 0.0
    due: float = 0.0
    ends: int = 0
    again: bool = False


class Supervisor:
    """Runs children until it is told to stop.

    Parameters
    ----------
    children
        Started in this order.
    tell
        Told in one sentence of every start, end and restart. Nothing of the environment is in it.
    grace
        Seconds between the request to end and the end by force.
    first_wait, longest_wait
        Seconds before the first restart, and at most; doubled each time, and back to the first
        after a child ran for a minute.
    """

    def __init__(
        self,
        children: Sequence[Child],
        tell: Callable[[str], None] = lambda _: None,
        grace: float = 15.0,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
    ) -> None:
        self.children = tuple(children)
        self.tell = tell
        self.grace = grace
        self.first_wait = first_wait
        self.longest_wait = longest_wait
        self._states = {child.name: _State() for child in children}

    def run(self, stop: threading.Event) -> None:
        """Keep the children running until `stop` is set, then end them and all they started."""
        try:
            while not stop.is_set():
                for child in self.children:
                    self._look_after(child, self._states[child.name])
                stop.wait(LOOK_SECONDS)
        finally:
            self._end_all()

    def running(self) -> dict[str, int]:
        """Give the process number of every child that runs now."""
        found = {}
        for name, state in self._states.items():
            process = state.process
            if process is not None and process.poll() is None:
                found[name] = process.pid
        return found

    def restart(self, name: str) -> None:
        """Let a child end and start again, for example with a new certificate. From any thread."""
        state = self._states[name]
        process = state.process
        if process is not None:
            state.again = True
            _signal_group(process.pid, signal.SIGTERM)

    def ends(self, name: str) -> int:
        """Say how often a child has ended by itself."""
        return self._states[name].ends

    def _look_after(self, child: Child, state: _State) -> None:
        now = time.monotonic()
        if state.process is None:
            if now >= state.due:
                self._start(child, state)
            return
        code = state.process.poll()
        if code is None:
            return
        _end_group(state.process.pid)
        state.process = None
        if state.again:
            state.again, state.due = False, now
            return
        state.ends += 1
        steady = now - state.started > STEADY_SECONDS
        state.wait = self.first_wait if steady else max(state.wait * 2, self.first_wait)
        state.wait = min(state.wait, self.longest_wait)
        state.due = now + state.wait
        self.tell(
            f"{child.name} ended ({_reason(code)}) after {now - state.started:.0f} s; it starts "
            f"again in {state.wait:.0f} s. Its log: {child.log}"
        )

    def _start(self, child: Child, state: _State) -> None:
        state.started = time.monotonic()
        log = _open_log(child.log)
        try:
            state.process = subprocess.Popen(
                list(child.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **child.env},
                start_new_session=True,
                preexec_fn=_end_with_parent if _libc is not None else None,  # noqa: PLW1509
            )
        except OSError as error:
            state.ends += 1
            state.wait = min(max(state.wait * 2, self.first_wait), self.longest_wait)
            state.due = state.started + state.wait
            self.tell(f"{child.name} could not be started ({error.strerror}).")
            return
        finally:
            os.close(log)
        self.tell(f"{child.name} started (process {state.process.pid})")

    def _end_all(self) -> None:
        """Ask every group to end, the last started first; after the grace, force it."""
        processes = [
            state.process
            for child in reversed(self.children)
            if (state := self._states[child.name]).process is not None
        ]
        for process in processes:
            _signal_group(process.pid, signal.SIGTERM)
        until = time.monotonic() + self.grace
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            _wait_for_group(process.pid, until)
            _end_group(process.pid)
            process.wait()
        for state in self._states.values():
            state.process = None


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Lend an event that Ctrl-C or SIGTERM sets; use it in the main thread.

    The handler must not set the event itself: should the signal come while the main thread is
    about to wait for it, both would want the event's lock. A thread of its own sets it.
    """
    stop = threading.Event()
    asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set_when_asked() -> None:
        asked.get()
        stop.set()

    threading.Thread(target=set_when_asked, daemon=True).start()
    before = {
        number: signal.signal(number, lambda *_: asked.put(None))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    """Ask the kernel to end this process when the supervisor is gone, however that happened."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _end_group(group: int) -> None:
    """End by force whatever is left of a child's process group."""
    if _lives(group):
        _signal_group(group, signal.SIGKILL)
        _wait_for_group(group, time.monotonic() + FORCE_SECONDS)


def _wait_for_group(group: int, until: float) -> None:
    while _lives(group) and time.monotonic() < until:
        time.sleep(0.02)


def _lives(group: int) -> bool:
    """Say whether a process of the group is alive; one that only waits to be buried is not."""
    if sys.platform != "linux":
        try:
            os.killpg(group, 0)
        except OSError:
            return False
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False


def _open_log(path: Path) -> int:
    """Open a log to append to, readable by its owner only; a large one is set aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
