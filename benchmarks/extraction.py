"""Radiomics over cores and from the cache, on the cases of a site folder.

    python benchmarks/extraction.py SITE --cases 15

As a row of the table of benchmarks: on phantoms, in seconds of extraction over seconds with all
cores, by cores; the start of the processes counts.

Measures the first cases with one process and with all cores, in turn, `--repeats` times, into
empty caches; then all of them again from the cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from table import Row

from client.cohort.importers import import_table
from client.cohort.rows import Source, cases_of
from client.cohort.site_folder import SiteFolder
from client.imaging.extract import Case, available_cores, extract_cases
from client.imaging.recipes import preprocessing_of, radiomics_of
from client.phantoms.consortium import DEFAULT, make_consortium
from common.study import Study

PATIENTS, SLICES = 240, 8


def rows(out: Path, repeats: int = 3) -> list[Row]:
    """Measure phantoms of 8 slices with one process and with all cores, in turn."""
    site = out / "site"
    if not site.exists():
        (table,) = make_consortium(out / "phantoms", 1, PATIENTS, DEFAULT[:1], slices=SLICES)
        import_table(table, site, name="aldgate", positive="scar", negative="none", myocardium=2)
    study = study_of()
    cases = cases_at(SiteFolder.open(site), study)
    cores = available_cores()
    shares, seconds = [], []
    for _ in range(repeats):
        one, slices = measure(cases, study, 1)
        many, _ = measure(cases, study, cores)
        shares.append(one / many / cores)
        seconds.append((one, many))
    one, many = (statistics.median(column) for column in zip(*seconds, strict=True))
    return [
        Row(
            f"radiomics over {cores} cores, {slices} slices",
            "one core",
            "of linear",
            0.95,
            shares,
            f"{many:.1f} s against {one:.1f} s",
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--cases", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    site = SiteFolder.open(arguments.site)
    study = study_of()
    cases = cases_at(site, study)[: arguments.cases]
    cores = available_cores()
    ratios, per_slice = [], []
    for _ in range(arguments.repeats):
        one, slices = measure(cases, study, 1)
        many, _ = measure(cases, study, cores)
        ratios.append(one / many)
        per_slice.append(1000 * one / slices)
        print(f"{slices} slices: one process {one:.2f} s, {cores} processes {many:.2f} s, "
              f"{one / many:.2f} times", flush=True)  # fmt: skip
    print(f"median {statistics.median(per_slice):.1f} ms a slice on one core; "
          f"{statistics.median(ratios):.2f} times on {cores} cores")  # fmt: skip


def study_of() -> Study:
    sites = [{"name": "x", "role": "train"}]
    return Study.model_validate({"name": "bench", "sites": sites, "secure_sum": {"enabled": False}})


def cases_at(site: SiteFolder, study: Study) -> list[Case]:
    return cases_of(Source(site.name, site.cache, site.myocardium), site.patients(), study)


def measure(cases: list[Case], study: Study, workers: int) -> tuple[float, int]:
    """Seconds into an empty cache, and the number of slices; prints a repeat from the cache."""
    preprocessing, recipe = preprocessing_of(study.preprocessing), radiomics_of(study.radiomics)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        results = extract_cases(cases, preprocessing, recipe, Path(folder), workers=workers)
        seconds = time.perf_counter() - started
        again = time.perf_counter()
        repeated = extract_cases(cases, preprocessing, recipe, Path(folder), workers=workers)
        assert all(result.cached for result in repeated)
        print(f"  from the cache: {time.perf_counter() - again:.2f} s for {len(cases)} cases")
    return seconds, sum(len(result.slices) for result in results)


if __name__ == "__main__":
    main()
