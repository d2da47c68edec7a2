"""All benchmarks, one table: `make bench`, or `python benchmarks/bench.py OUT [--only NAME ...]`.

Each benchmark runs in a process of its own, one after the other, and gives rows: a ratio against
something that does the same work, measured several times in this very run. The table is printed and
written to benchmarks/results.json, each row with its machine, versions and time; with --only the
others stay as they were. docs/performance.md says what each row means. Nothing else should
run meanwhile; it takes about two hours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from table import Row, show

from common.files import write_json
from common.machine import machine_in_words
from common.versions import package_versions

RESULTS = Path(__file__).with_name("results.json")
Data = Path | None
BENCHMARKS: dict[str, Callable[[Any, Path, Data], Sequence[Row]]] = {
    "radiomics_speed": lambda module, out, data: module.rows(out, data),
    "extraction": lambda module, out, data: module.rows(out),
    "training": lambda module, out, data: module.rows(),
    "gpu": lambda module, out, data: module.rows(),
    "combat": lambda module, out, data: module.rows(),
    "network": lambda module, out, data: module.rows(out),
    "scale": lambda module, out, data: module.rows(out),
    "same_auc": lambda module, out, data: [
        *module.rows(out),
        *(module.real_rows(out, data) if data else ()),
    ],
    "centralised": lambda module, out, data: module.rows(data, out) if data else (),
}
"""Each a module of this folder, and how it is asked for its rows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="a folder for what the benchmarks make")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, help="these benchmarks alone")
    parser.add_argument("--data", type=Path, help="M&Ms, for what is measured on real images")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        out = given.out / given.child
        measured = BENCHMARKS[given.child](import_module(given.child), out, given.data)
        told = {
            "benchmark": given.child,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine_in_words(),
            "versions": package_versions(),
        }
        write_json(given.out / f"{given.child}.json", [told | row.content() for row in measured])
        return
    given.out.mkdir(parents=True, exist_ok=True)
    held = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for name in given.only or BENCHMARKS:
        print(f"{name} ...", flush=True)
        command = [sys.executable, __file__, str(given.out), "--child", name]
        if given.data is not None:
            command += ["--data", str(given.data)]
        subprocess.run(command, check=True)
        # Written after each, so that one which is interrupted loses no other.
        measured = json.loads((given.out / f"{name}.json").read_text(encoding="utf-8"))
        held = [row for row in held if row["benchmark"] != name] + measured
        held.sort(key=lambda row: list(BENCHMARKS).index(row["benchmark"]))
        write_json(RESULTS, held)
    show([row_of(row) for row in held])


def row_of(held: dict[str, Any]) -> Row:
    """Read a row that a benchmark measured, in this run or in one before it."""
    names = ("name", "against", "unit", "goal", "values", "detail", "at_most")
    return Row(**{name: held[name] for name in names})


if __name__ == "__main__":
    main()
