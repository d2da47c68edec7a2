"""Radiomics a slice on one core: ours against the `pyradiomics` command, the same 939 values.

    python benchmarks/radiomics_speed.py OUT [--slices 40] [--repeats 5] [--data DIR]

Phantoms, or real images: DIR holds pairs `*.nii.gz` and `*_gt.nii.gz` at any depth, myocardium = 2.
The command gets the very pixels that we measure, as NRRD files in one batch. Its start is not
counted: a batch of one slice is measured too and taken off. Since a machine's pace changes, the
command and ours take turns, and processor time stands beside wall time. OUT/radiomics.json has all.

The file is not called radiomics.py, or scripts beside it would import it for PyRadiomics.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from table import Row

from client.imaging.measure import choose_slices, single_thread
from client.imaging.preprocess import PreparedSlice, prepare_slice
from client.imaging.radiomics import (
    FILTERS,
    by_pyradiomics,
    extract_slice,
    feature_names,
    itk_pair,
    settings,
)
from client.imaging.reading import read_pair
from client.imaging.recipes import preprocessing_of, radiomics_of
from client.phantoms.consortium import DEFAULT
from client.phantoms.patient import make_patient, seeds
from common.feature_names import SHAPES, TEXTURES
from common.files import write_json
from common.study_tables import Preprocessing, Radiomics

PREPARING, RECIPE = preprocessing_of(Preprocessing()), radiomics_of(Radiomics())
COMMAND = Path(sys.executable).with_name("pyradiomics")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
Seconds = tuple[float, float]
"""Wall time and processor time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    source = phantoms() if given.data is None else hearts(given.data)
    slices = list(islice(source, given.slices))
    found = measure(slices, given.out, given.repeats)
    write_json(given.out / "radiomics.json", found)
    kind = "phantom" if given.data is None else "real"
    print(f"{found['slices']} {kind} slices, {given.repeats} repeats, one core")
    for clock in ("processor", "wall"):
        times = {who: statistics.median(found[clock][who]) for who in found[clock]}
        for who, ratio in found["ratio"][clock].items():
            print(f"{clock} ms a slice: {who} {1000 * times[who]:.1f}, ours"
                  f" {1000 * times['ours']:.1f}: {ratio['median']:.1f} times"
                  f" ({ratio['lowest']:.1f} to {ratio['highest']:.1f})")  # fmt: skip
    print(f"largest relative difference from the command's values: {found['difference']:.1e}")


def measure(slices: list[PreparedSlice], folder: Path, repeats: int = 5) -> dict[str, Any]:
    """Return seconds a slice by who and clock, the ratios to ours, and the largest difference.

    Below `folder` the pairs, the parameters and the command's tables are written. The first 10^-12
    of a difference do not count, so that a zero can be compared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole, single = _batch(folder, slices, "all"), _batch(folder, slices[:1], "one")
    with single_thread():
        ours = np.array([extract_slice(each, RECIPE) for each in slices])
    contenders: dict[str, Callable[[], Seconds]] = {
        "command": lambda: _less(_command(whole), _command(single), len(slices) - 1),
        "ours": lambda: _here(lambda each: extract_slice(each, RECIPE), slices),
        "pyradiomics in this process": lambda: _here(
            lambda each: by_pyradiomics(each, RECIPE), slices
        ),
    }
    taken: dict[str, list[Seconds]] = {who: [] for who in contenders}
    for turn in range(repeats):
        order = list(contenders) if turn % 2 == 0 else list(contenders)[::-1]
        for who in order:
            taken[who].append(contenders[who]())
        print(f"{turn + 1} of {repeats} repeats", file=sys.stderr, flush=True)
    clocks = {
        clock: {who: [pair[place] for pair in pairs] for who, pairs in taken.items()}
        for place, clock in enumerate(("wall", "processor"))
    }
    return {
        "slices": len(slices),
        **clocks,
        "ratio": {clock: _ratios(seconds) for clock, seconds in clocks.items()},
        "difference": _difference(ours, _table(whole)),
    }


def rows(out: Path, data: Path | None, count: int = 40, repeats: int = 5) -> list[Row]:
    """Measure phantom slices, and real ones where there are; processor time of one core."""
    sources = {"phantom": phantoms()} | ({} if data is None else {"real": hearts(data)})
    made = []
    for kind, source in sources.items():
        found = measure(list(islice(source, count)), out / kind, repeats)
        command, ours = found["processor"]["command"], found["processor"]["ours"]
        assert found["difference"] <= 1e-9, found["difference"]
        made.append(
            Row(
                f"radiomics of a slice, one core, {count} {kind} slices",
                "the pyradiomics command, the same 939 values",
                "times as fast",
                3.0,
                [one / other for one, other in zip(command, ours, strict=True)],
                f"{1000 * statistics.median(ours):.1f} ms against "
                f"{1000 * statistics.median(command):.1f} ms",
            )
        )
    return made


def _ratios(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    found = {}
    for who, times in seconds.items():
        if who != "ours":
            each = [a / b for a, b in zip(times, seconds["ours"], strict=True)]
            middle = statistics.median(each)
            found[who] = {"median": middle, "lowest": min(each), "highest": max(each)}
    return found


def _batch(folder: Path, slices: list[PreparedSlice], name: str) -> Path:
    """Write pairs, list and parameters of a batch; return the path of its list."""
    rows = []
    for number, prepared in enumerate(slices):
        paths = [folder / f"{name}-{number:04d}-{kind}.nrrd" for kind in ("image", "mask")]
        for path, item in zip(paths, itk_pair(prepared, RECIPE), strict=True):
            sitk.WriteImage(item, str(path))
        rows.append([str(path.resolve()) for path in paths])
    listed = folder / f"{name}.csv"
    with listed.open("w", newline="") as stream:
        csv.writer(stream).writerows([["Image", "Mask"], *rows])
    parameters = {
        "setting": settings(RECIPE),
        "imageType": {name: {} for name in FILTERS}
        | {"Wavelet": {"wavelet": RECIPE.wavelet, "level": 1}},
        "featureClass": {"shape2D": list(SHAPES)}
        | {group: list(names) for group, names in TEXTURES.items()},
    }
    (folder / "parameters.yaml").write_text(json.dumps(parameters))  # JSON is YAML
    return listed


def _command(listed: Path) -> Seconds:
    """Run the command on a batch, on one core."""
    table = listed.with_suffix(".out.csv")
    table.unlink(missing_ok=True)
    call = [str(COMMAND), str(listed), "--out", str(table), "--format", "csv", "--jobs", "1",
            "--param", str(listed.with_name("parameters.yaml"))]  # fmt: skip
    environment = os.environ | dict.fromkeys(THREADS, "1")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(call, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _less(many: Seconds, start: Seconds, slices: int) -> Seconds:
    return (many[0] - start[0]) / slices, (many[1] - start[1]) / slices


def _here(measured: Callable[[PreparedSlice], object], slices: list[PreparedSlice]) -> Seconds:
    """Seconds a slice in this process, on one core."""
    with single_thread():
        started, used = time.perf_counter(), time.process_time()
        for each in slices:
            measured(each)
        wall, processor = time.perf_counter() - started, time.process_time() - used
    return wall / len(slices), processor / len(slices)


def _table(listed: Path) -> np.ndarray:
    """Return the command's values, (slices, 939), in our order."""
    with listed.with_suffix(".out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return np.array([[float(row[name]) for name in feature_names(RECIPE)] for row in rows])


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    beyond = np.maximum(np.abs(ours - theirs) - 1e-12, 0)
    return float((beyond / np.maximum(np.abs(theirs), 1e-300)).max())


def phantoms() -> Iterator[PreparedSlice]:
    """Yield five slices of each of many phantom patients, the four sites in turn."""
    for index in range(10**6):
        site = DEFAULT[index % len(DEFAULT)]
        spacing = (site.vendor.spacing, site.vendor.spacing)
        made = make_patient(
            seeds(2026, site.name, index), site.vendor, index % 2 == 0, site.mean_age
        )
        for pixels, labels in zip(made.image, made.mask, strict=True):
            yield prepare_slice(pixels, labels == 2, spacing, PREPARING)


def hearts(folder: Path) -> Iterator[PreparedSlice]:
    """Yield one slice of each real image, from base to apex in turn, spread over the folder."""
    truths = sorted(folder.rglob("*_gt.nii.gz"))
    for turn, truth in enumerate(truths[::3] + truths[1::3] + truths[2::3]):
        image = truth.with_name(truth.name.replace("_gt.nii.gz", ".nii.gz"))
        volume, mask = read_pair(image, truth, None, 2)
        spacing = (volume.spacing[0], volume.spacing[1])
        chosen = choose_slices(mask, spacing, None, PREPARING)
        z = chosen[turn % len(chosen)]
        yield prepare_slice(volume.array[z], mask[z], spacing, PREPARING)


if __name__ == "__main__":
    main()
