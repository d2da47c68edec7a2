"""A simulation that fails at a site says what the site's own log says."""

from __future__ import annotations

from pathlib import Path

import pytest
from federation_run import NAMES, make_sites, quiet, tiny_study

from client.site_log import SITE_LOG
from common.console import show_error
from common.errors import RunError
from common.feature_names import all_names
from server.run import RunFolder
from simulation.engine import federate
from simulation.site_logs import LINES, SiteLogs


def test_only_failures_since_the_beginning_are_told(tmp_path: Path) -> None:
    sites = {name: tmp_path / name for name in ("aldgate", "bergamo", "coimbra")}
    for folder in sites.values():
        folder.mkdir()
    old = "2026-11-28 10:00:00,000 ERROR enrol: an old failure\n"
    (sites["aldgate"] / SITE_LOG).write_text(old)
    logs = SiteLogs(sites)
    assert logs.failures() == {}
    with (sites["aldgate"] / SITE_LOG).open("a") as log:
        log.write("2026-11-28 11:00:00,000 ERROR fuse failed\n" + "a line\n" * LINES + "KeyError\n")
    (sites["bergamo"] / SITE_LOG).write_text("2026-11-28 11:00:00,000 INFO fuse answered\n")
    told = logs.failures()
    assert set(told) == {"aldgate"}
    assert "old failure" not in told["aldgate"]
    assert told["aldgate"].splitlines()[-1] == "KeyError"
    assert len(told["aldgate"].splitlines()) == LINES


@pytest.mark.slow
@pytest.mark.soak
def test_a_failed_simulation_shows_the_log_of_the_site(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = make_sites(tmp_path)
    (sites / "coimbra" / "cohort.csv").write_text("a table,without its columns\n")
    run = RunFolder.begin(tmp_path / "run", tiny_study())
    with pytest.raises(RunError, match="coimbra") as raised:
        federate(run, {name: sites / name for name in NAMES}, list(all_names()), quiet)
    assert "cohort.csv" not in str(raised.value)
    show_error(raised.value)
    told = capsys.readouterr().err
    assert "The log of coimbra:" in told
    assert "cohort.csv" in told.partition("The log of coimbra:")[2]
    assert "aldgate" not in told
