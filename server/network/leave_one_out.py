"""Leave one site out over the network: one run after the other, each an ordinary one.

    leave-one-site-out/<study>-<fingerprint>/study.json          the study that the sites approved
    leave-one-site-out/<study>-<fingerprint>/without-<site>      points to the run, in runs/
    leave-one-site-out/<study>-<fingerprint>/leave-one-site-out.json

What was begun, and is the run of which site, is thus on disk, and the same command goes on with it.
"""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import StudyError
from common.leave_one_out import left_out
from common.study import Study
from server.leave_one_out import begin_table, place_of
from server.network.control import Control
from server.network.folder import CoordinatorFolder
from server.network.follow import how_it_stands
from server.network.lifecycle import resume, start
from server.network.runs import find
from server.run import RunFolder


def begin(folder: CoordinatorFolder, study: Study) -> tuple[Path, dict[str, Study]]:
    """Make or open the folder of a study's table; give it, and the derived studies by site.

    Raises
    ------
    StudyError
        The study does not ask for leave one site out, so no site approved it; or it cannot.
    RunError
        The folder holds something else.
    """
    if not study.leave_one_site_out:
        raise StudyError(
            f"The study {study.name} does not ask for leave one site out, so its sites would "
            "refuse.",
            "Write 'leave_one_site_out = true' at its top, and let the sites approve it.",
        )
    derived = left_out(study)
    path = folder.path / "leave-one-site-out" / f"{study.name}-{study.fingerprint[:12]}"
    begin_table(path, study)
    return path, derived


def run_without(
    folder: CoordinatorFolder, path: Path, site: str, derived: Study, control: Control
) -> RunFolder:
    """See that the run without a site is at work, or is finished; begin it or go on with it.

    Raises
    ------
    WrongUse
        A site of the roster is not admitted, or with another key.
    SuperLinkDown
        The coordinator is not up.
    """
    place = place_of(path, site)
    if not place.is_symlink():
        begun = start(folder, derived, control)
        place.symlink_to(os.path.relpath(begun.path, path))
        return begun
    run = find(folder, place.resolve().name)
    if how_it_stands(run, control).state not in ("running", "starting", "finished"):
        resume(folder, run, control)
    return run
