"""Leave one site out on this machine: one run after the other, then the table."""

from __future__ import annotations

from pathlib import Path

from common.console import to_person
from common.leave_one_out import left_out
from common.study import Study
from server.leave_one_out import Result, begin_table, finished, place_of, write_table
from server.run import RunFolder
from simulation.cli import federate_over, found_sites, measure


def run_leaving_out(study: Study, sites: Path, out: Path) -> Result:
    """Run the study once for each training site, which is external in it; give the table.

    Sites are checked and measured once. Runs that are finished are read and not repeated, and one
    that was stopped goes on, so the same command continues.

    Raises
    ------
    StudyError
        A site cannot be left out of this study.
    MyoFedError
        What ended one of the runs.
    """
    derived = left_out(study)
    found = found_sites(study, sites)
    begin_table(out, study)
    left = {site: one for site, one in derived.items() if not finished(out, site, one)}
    if left:
        measure(study, found)
    for site, one in left.items():
        to_person.print(f"without {site}: {', '.join(one.training_sites)} train", soft_wrap=True)
        federate_over(RunFolder.begin(place_of(out, site), one), found)
    return write_table(out, study, derived)
