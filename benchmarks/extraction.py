"""Radiomics over cores and from the cache, on the cases of a site folder.

    python benchmarks/extraction.py SITE --cases 15

Measures the first cases with one process and with all cores, in turn, `--repeats` times, into
empty caches; then all of them again from the cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from client.cohort.rows import Source, cases_of
from client.cohort.site_folder import SiteFolder
from client.imaging.extract import Case, available_cores, extract_cases
from client.imaging.recipes import preprocessing_of, radiomics_of
from common.study import Study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--cases", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    site = SiteFolder.open(arguments.site)
    sites = [{"name": "x", "role": "train"}]
    study = Study.model_validate(
        {"name": "bench", "sites": sites, "secure_sum": {"enabled": False}}
    )
    source = Source(site.name, site.cache, site.myocardium)
    cases = cases_of(source, site.patients(), study)[: arguments.cases]
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
