"""Two processes: either half dies and comes back, and the answer still arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from link_samples import ROOT, bits, stand_in, tell, vector, wait_until, word

from client.link.line import WorkerLine
from client.link.place import SOCKET

Started = list[subprocess.Popen[bytes]]


@pytest.fixture
def started() -> Iterator[Started]:
    processes: Started = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def lines_of(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_an_answer_arrives_though_the_worker_is_killed_over_the_question(
    link: Path, started: Started
) -> None:
    marks = link.with_name("marks")
    started.append(stand_in(link, marks))
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(WorkerLine(link).ask, "stay", vector(10**6))
        wait_until(lambda: len(lines_of(marks / "asked")) == 1)
        started[0].kill()
        started[0].wait()
        assert (link / SOCKET).is_socket()  # left behind, as nobody could remove it
        started.append(stand_in(link, marks))
        wait_until(lambda: len(lines_of(marks / "asked")) == 2)
        (marks / "go").touch()
        assert bits(coming.result(60)) == bits(vector(10**6))
    assert lines_of(marks / "asked") == [str(process.pid) for process in started]


def test_a_worker_that_dies_over_each_try_is_given_up(link: Path, started: Started) -> None:
    marks = link.with_name("marks")
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(WorkerLine(link, tries=2).ask, "stay", vector(3))
        for number in (1, 2):
            started.append(stand_in(link, marks))
            wait_until(lambda number=number: len(lines_of(marks / "asked")) == number)
            started[-1].kill()
            started[-1].wait()
        assert coming.result(60).config_records["refusal"]["code"] == "worker-unreachable"


NODE = """
import sys
from flwr.app import ConfigRecord, RecordDict
from client.link.line import WorkerLine
record = RecordDict({"fields": ConfigRecord({"number": 7})})
answer = WorkerLine(sys.argv[1]).ask(sys.argv[2], record)
print(answer.config_records["fields"]["number"], flush=True)
"""


def node(link: Path, stage: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", NODE, str(link), stage], cwd=ROOT, stdout=subprocess.PIPE
    )


def test_a_node_that_is_killed_and_comes_back_has_its_answer(link: Path, started: Started) -> None:
    marks = link.with_name("marks")
    worker = stand_in(link, marks)
    first = node(link, "stay")
    started += [worker, first]
    wait_until(lambda: len(lines_of(marks / "asked")) == 1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = node(link, "stay")
    started.append(second)
    (marks / "go").touch()
    assert second.communicate(timeout=60)[0].strip() == b"7"
    assert worker.poll() is None
    assert set(lines_of(marks / "asked")) == {str(worker.pid)}


LARGE = """
import sys, time
sys.path.insert(0, "tests/client/link")
import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from client.link.line import WorkerLine
from link_samples import peak_bytes
line = WorkerLine(sys.argv[1])
line.ask("echo", RecordDict({"arrays": ArrayRecord({"x": Array(np.zeros(10))})}))
count = int(sys.argv[2])
numbers = np.arange(count // 4, dtype=np.uint32)
array = Array(numbers)
del numbers
record = RecordDict({"arrays": ArrayRecord({"x": array})})
begun = time.perf_counter()
back = line.ask("echo", record).array_records["arrays"]["x"]
seconds = time.perf_counter() - begun
assert back.data == array.data
print(peak_bytes(), seconds)
"""


@pytest.mark.slow
def test_three_hundred_megabytes_stream_in_bounded_memory(link: Path, started: Started) -> None:
    size = 300_000_000
    started.append(stand_in(link, link.with_name("marks")))
    line = WorkerLine(link)
    before = word(line.ask("memory", tell(a=1)), "peak")
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(link), str(size)],
        cwd=ROOT, capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    node_peak, seconds = (float(word) for word in done.stdout.split())
    worker_copies = (word(line.ask("memory", tell(a=1)), "peak") - before) / size
    node_copies = (node_peak - before) / size  # both start from the same imports
    print(f"{seconds:.2f} s; copies: worker {worker_copies:.2f}, node {node_copies:.2f}")
    assert worker_copies < 2.5
    assert node_copies < 3.5
    assert seconds < 120


def test_the_time_of_a_question(link: Path, started: Started) -> None:
    started.append(stand_in(link, link.with_name("marks")))
    line = WorkerLine(link)
    line.ask("echo", vector(3))
    for count in (250, 55_000_000 // 4):
        record, times = vector(count), []
        for _ in range(5):
            begun = time.perf_counter()
            assert "refusal" not in line.ask("echo", record)
            times.append(time.perf_counter() - begun)
        print(f"{4 * count} bytes: {1000 * np.median(times):.1f} ms there and back")
        assert min(times) < 20


def test_the_nodes_half_imports_nothing_that_opens_data() -> None:
    code = """
import sys
import client.app, client.link.line
heavy = ("torch", "SimpleITK", "radiomics", "pandas", "nibabel", "pydicom", "ray",
         "client.imaging", "client.cohort", "client.stages", "client.context", "client.worker")
print([name for name in heavy if name in sys.modules])
"""
    environment = {key: value for key, value in os.environ.items() if key != "MYOFED_LINK"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
