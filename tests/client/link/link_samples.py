"""Records that hold everything a record can, and a stand-in worker in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from client.link.wire import pack

ROOT = Path(__file__).parents[3]
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", ">f4", ">i8", "S5", "U3"),
)
SHAPES = ((), (0,), (1,), (3, 4), (2, 0, 5), (2, 3, 4))


def array_of(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    numbers = np.random.default_rng(7).integers(0, 100, shape)
    return np.asarray(numbers).astype(dtype)


def every_kind() -> RecordDict:
    """Arrays of each type and shape, and fields of each kind."""
    arrays = {
        f"{dtype}/{'x'.join(map(str, shape))}": Array(array_of(dtype, shape))
        for dtype in DTYPES
        for shape in SHAPES
    }
    fields = ConfigRecord(
        {
            "truth": True,
            "number": -(2**62),
            "large": 2**63 + 1,
            "not a number": float("nan"),
            "tiny": 5e-324,
            "text": "Herzmuskel – 心筋",
            "bytes": b"\x00\xff",
            "texts": ["a", ""],
            "nothing": [],
            "truths": [True, False],
        }
    )
    return RecordDict(
        {
            "second": ArrayRecord({"only": Array(np.arange(5))}),
            "arrays": ArrayRecord(arrays),
            "empty": ArrayRecord({}),
            "fields": fields,
            "measured": MetricRecord({"loss": [0.1, 0.2], "count": 3}),
        }
    )


def vector(count: int, dtype: str = "float32") -> RecordDict:
    numbers = np.random.default_rng(1).standard_normal(count).astype(dtype)
    return RecordDict({"arrays": ArrayRecord({"x": Array(numbers)})})


def bits(record: RecordDict) -> tuple[bytes, ...]:
    """All of a record, so that two of them can be compared."""
    return pack("any", record).parts


def word(record: RecordDict, name: str) -> Any:
    return record.config_records["fields"][name]


def tell(**fields: Any) -> RecordDict:
    return RecordDict({"fields": ConfigRecord(fields)})


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def peak_bytes() -> int:
    """Most memory that this program had; what `getrusage` says is its parent's at least."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.01)


def stand_in(link: Path, marks: Path) -> subprocess.Popen[bytes]:
    """Start the stand-in worker."""
    marks.mkdir(exist_ok=True)
    script = Path(__file__).with_name("stand_in_worker.py")
    return subprocess.Popen([sys.executable, str(script), str(link), str(marks)], cwd=ROOT)
