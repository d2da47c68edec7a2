"""Measure many cases on all cores, from the cache where they have been measured before.

Each case is kept the moment that it is done: an interrupted run goes on where it stopped. A case
that cannot be used becomes a `Fault` and does not stop the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.imaging import cache
from client.imaging.engine import engine_set, on_engine
from client.imaging.measure import measure
from client.imaging.preprocess import Preprocessing
from client.imaging.processes import Processes
from client.imaging.radiomics import RadiomicsRecipe
from common.errors import Fault, ImageError
from common.feature_names import all_names

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Case:
    """One heart at one moment. `slices`: which to use; None for all with enough myocardium.

    `perturbed`: measured with its mask ``dilated`` or ``eroded`` by a pixel; empty as it is.
    """

    case_id: str
    image: Path
    mask: Path
    frame: int | None = None
    myocardium: int = 2
    slices: tuple[int, ...] | None = None
    perturbed: str = ""


@dataclass(frozen=True, eq=False)
class CaseFeatures:
    """What was measured on a case of n slices, or the `fault` that kept it from being measured.

    `slices`: indices z; `features` (n, 939) float64; `areas_mm2` (n,); `notes`: what was mended;
    `entry`: its file, for `cache.read_entry`; `cached`: it was there before this run.
    """

    case_id: str
    slices: tuple[int, ...]
    features: npt.NDArray[np.float64]
    areas_mm2: npt.NDArray[np.float64]
    notes: tuple[str, ...] = ()
    entry: Path | None = None
    cached: bool = False
    fault: Fault | None = None


def extract_cases(
    cases: Sequence[Case],
    preprocessing: Preprocessing,
    recipe: RadiomicsRecipe,
    cache_dir: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[CaseFeatures]:
    """Measure every case; the answers come in the order of `cases`.

    `workers`: processes, all cores by default; 1 stays in this process. A site that has set an
    engine (`client.imaging.engine`) has them measured there instead. `progress(done, total)` is
    called as cases finish. Raises nothing for a bad case: see `CaseFeatures.fault`; and `WrongUse`
    where the engine does not answer.
    """
    engine = engine_set()
    found: dict[int, CaseFeatures] = {}

    def done(index: int, result: CaseFeatures) -> None:
        found[index] = result
        if progress is not None:
            progress(len(found), len(cases))

    waiting: list[int] = []
    most = min(workers or available_cores(), len(cases))
    with Processes(most, recipe) as processes:
        for index, case in enumerate(cases):
            hit = _from_cache(case, preprocessing, recipe, cache_dir)
            if hit is not None:
                done(index, hit)
                continue
            waiting.append(index)
            if not engine:
                # They take a while to start, while this one still looks into the cache.
                processes.begin(len(waiting))
        # The longest first: none is left for last.
        waiting.sort(key=lambda i: -_bytes(cases[i].image))
        work = partial(_extract, preprocessing=preprocessing, recipe=recipe, cache_dir=cache_dir)
        if engine and waiting:
            measured = on_engine(engine, work, [cases[i] for i in waiting])
            for index, result in zip(waiting, measured, strict=True):
                done(index, result)
        elif processes.begun:
            for index, kept in processes.each({i: partial(work, cases[i]) for i in waiting}):
                done(index, kept or _ended(cases[index]))
        else:
            for index in waiting:
                done(index, work(cases[index]))
    return [found[index] for index in range(len(cases))]


def available_cores() -> int:
    """Count the cores that this process may use (containers are often given fewer)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ended(case: Case) -> CaseFeatures:
    what = "a process of the extraction was ended from outside, often for memory"
    fix = "Run it again with fewer workers; cases already measured are kept."
    return _faulty(case, "extraction-failed", what, fix)


def _extract(
    case: Case, preprocessing: Preprocessing, recipe: RadiomicsRecipe, cache_dir: Path
) -> CaseFeatures:
    try:
        entry = measure(
            case.image,
            case.mask,
            case.frame,
            case.myocardium,
            case.slices,
            preprocessing,
            recipe,
            case.perturbed,
        )
        path = cache.save(cache_dir, _key(case, preprocessing, recipe), entry)
        return _result(case, entry, path, cached=False)
    except ImageError as error:
        return _faulty(case, error.code, error.what, error.fix)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        return _faulty(case, "extraction-failed", what, "Report this line, never the image.")


def _from_cache(
    case: Case, preprocessing: Preprocessing, recipe: RadiomicsRecipe, cache_dir: Path
) -> CaseFeatures | None:
    try:
        key = _key(case, preprocessing, recipe)
    except OSError:
        return None
    entry = cache.load(cache_dir, key)
    if entry is None:
        return None
    return _result(case, entry, cache.entry_path(cache_dir, key), cached=True)


def _key(case: Case, preprocessing: Preprocessing, recipe: RadiomicsRecipe) -> str:
    return cache.case_key(
        case.image,
        case.mask,
        case.frame,
        case.myocardium,
        case.slices,
        preprocessing,
        recipe,
        case.perturbed,
    )


def _result(case: Case, entry: cache.Entry, path: Path, *, cached: bool) -> CaseFeatures:
    slices = tuple(int(z) for z in entry.slices)
    return CaseFeatures(
        case.case_id, slices, entry.features, entry.areas_mm2, entry.notes, path, cached
    )


def _faulty(case: Case, code: str, what: str, fix: str) -> CaseFeatures:
    where = f"case {case.case_id}, {case.image.name}"
    fault = Fault(code, where, what.rstrip("."), fix)
    return CaseFeatures(case.case_id, (), np.empty((0, len(all_names()))), np.empty(0), fault=fault)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
