"""What the coordinator's memory grows to: `python benchmarks/memory.py OUT [--sites 3 12]`.

Runs one small study of tiny phantom sites at width 1, 13.7 million weights or 55 MB a message, over
real processes: once for each number of sites. Prints the highest resident memory of the two
processes that see the weights, the ServerApp and the SuperLink. Twelve sites need some 16 GB.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "deployment"))

from consortium import Consortium

from client.cohort.importers import import_table
from client.cohort.rows import load_rows
from client.cohort.site_folder import SiteFolder
from client.phantoms.consortium import DEFAULT, make_consortium
from common.study import Study
from common.study_file import parse_study

PATIENTS, SLICES, ROUNDS = 6, 1, 2
WATCHED = ("serverapp", "superlink")
LONG = 3600.0


def names_of(count: int) -> list[str]:
    return [f"site{number:02d}" for number in range(count)]


def study_text(width: float) -> str:
    """The protocol without its roster; the sites of a deployment have keys in theirs."""
    return (
        f'name = "memory"\n[cohort]\nminimum_patients_per_class = 2\n'
        f"[cnn]\nwidth = {width}\n[training]\nrounds = {ROUNDS}\naveraged_rounds = 1\n"
        '[fusion]\nsizes = [2]\ninverse_penalties = [1.0]\npatient_score = "mean"\n'
    )


def roster_text(count: int) -> str:
    return "".join(f'[[sites]]\nname = "{name}"\nrole = "train"\n' for name in names_of(count))


def make_sites(out: Path, count: int, study: Study) -> dict[str, Path]:
    """Make phantom sites, of which each is a copy of the first one in other clothes."""
    sites = [replace(DEFAULT[0], name=name) for name in names_of(count)]
    folders = {}
    for table in make_consortium(out / "phantoms", 1, PATIENTS, sites, slices=SLICES):
        name = table.parent.name
        folders[name] = out / "sites" / name
        import_table(
            table, folders[name], name=name, positive="scar", negative="none", myocardium=2
        )
        load_rows(SiteFolder.open(folders[name]), study, external=False, workers=2)
    return folders


def highest(pid: int) -> float:
    """Highest resident memory of a process so far, in MB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) / 1024.0 if found else 0.0


def measure(out: Path, count: int, width: float) -> dict[str, float]:
    text = study_text(width)
    folders = make_sites(out, count, parse_study(text + roster_text(count)))
    root = out / "deployment"
    root.mkdir()
    consortium = Consortium(root, text, folders)
    found: dict[str, float] = {}
    try:
        consortium.found()
        consortium.start()
        run = consortium.submit()
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            for what in WATCHED:
                for pid in consortium.pids(what):
                    try:
                        found[what] = max(found.get(what, 0.0), highest(pid))
                    except OSError:
                        continue
            events = consortium.events(run)
            if events and events[-1]["event"] in ("finished", "failed", "stopped"):
                print(f"{count} sites: {events[-1]['event']}", flush=True)
                break
            time.sleep(0.5)
    finally:
        consortium.stop_all()
    return {what: round(value, 1) for what, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sites", type=int, nargs="+", default=[3, 12])
    parser.add_argument("--width", type=float, default=1.0)
    given = parser.parse_args()
    for count in given.sites:
        out = (given.out / str(count)).absolute()
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        found = measure(out, count, given.width)
        print(json.dumps({"sites": count, "megabytes": found}), flush=True)


if __name__ == "__main__":
    main()
