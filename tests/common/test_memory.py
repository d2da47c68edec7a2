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


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()
