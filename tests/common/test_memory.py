"""Memory that is freed is kept: counted by the pages that the system has to give."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from common import memory

COUNT = """
import resource, sys, threading
from common.memory import keep_freed_memory
if "keep" in sys.argv:
    assert keep_freed_memory()

def steps(number):
    for _ in range(number):
        bytearray(40_000_000)

def faults(number):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for work in (threading.Thread(target=steps, args=(number,)) for _ in range(2)):
        work.start()
        work.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(3)
print(faults(30))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again() -> None:
    def pages(*arguments: str) -> int:
        command = [sys.executable, "-c", COUNT, *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return int(found.stdout)

    # 60 blocks of 40 MB are 586,000 pages.
    assert pages("keep") < 10_000 < 100_000 < pages()


PEAK_AND_REST = """
import pathlib, sys
from common.memory import keep_freed_memory
assert keep_freed_memory(int(sys.argv[1]))

def held():
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)

blocks = [bytearray(40_000_000) for _ in range(10)]
most = held()
blocks.clear()
print(most - held())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize(("most", "given_back"), [(2**20, True), (2**29, False)])
def test_what_is_beyond_the_most_is_given_back(most: int, given_back: bool) -> None:
    command = [sys.executable, "-c", PEAK_AND_REST, str(most)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    # Ten blocks of 40 MB were in use; 64 MB stay at hand in any case.
    assert (int(found.stdout) > 300_000) is given_back


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()
