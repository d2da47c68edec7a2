"""What a release keeps besides its models: distributions, and how it did on external patients."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_heads_and_release import STUDY, saved, some_fold

from common import print_to_pdf
from common.errors import RunError
from common.external_figures import FIGURES, read_external, shares, write_external
from common.release import DISTRIBUTIONS, Release
from common.statistics.distance import Distribution

COUNTS = {"tp": 9, "fp": 2, "tn": 6, "fn": 1}
RESULTS = {
    "fingerprint": "abc",
    "external": {
        site: {"models": {"fused": {"auc": 0.8, "confusion": COUNTS}}} for site in ("x", "y")
    },
}


def test_distributions_come_back_and_are_not_needed(tmp_path: Path) -> None:
    saved(tmp_path / "without")
    assert not (tmp_path / "without" / DISTRIBUTIONS).exists()
    assert Release.load(tmp_path / "without").distributions == ()
    own = tuple(
        Distribution(np.array([1, 4]), np.array([0.0, k]), np.ones(2), np.eye(2), 30 + k)
        for k in (0, 1)
    )
    release = Release(STUDY, [some_fold(0), some_fold(1)], {"fused": 0.5}, ("a",), {}, own)
    release.save(tmp_path / "with")
    back = Release.load(tmp_path / "with").distributions
    assert [one.rows for one in back] == [30, 31]
    row = np.arange(5.0)[None]
    assert [b.distances(row) for b in back] == [pytest.approx(o.distances(row)) for o in own]
    (tmp_path / "with" / DISTRIBUTIONS).write_bytes(b"no")
    with pytest.raises(RunError, match="not a complete release"):
        Release.load(tmp_path / "with")


def test_the_figures_of_external_sites_are_kept_and_added_up(tmp_path: Path) -> None:
    write_external(tmp_path, RESULTS)
    found = read_external(tmp_path, "abc")
    assert found == {site: {"fused": COUNTS} for site in ("x", "y")}
    added = shares(found, "fused")
    assert added["sensitivity"] is not None
    assert (added["sensitivity"].numerator, added["sensitivity"].denominator) == (18, 20)
    assert added["specificity"] is not None
    assert (added["specificity"].numerator, added["specificity"].denominator) == (12, 16)


def test_figures_of_another_study_do_not_count_and_older_releases_look_beside(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "release"
    write_external(folder, RESULTS)
    assert read_external(folder, "another") == {}
    (folder / FIGURES).unlink()
    assert read_external(folder, "abc") == {}
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    assert read_external(folder, "abc") == {site: {"fused": COUNTS} for site in ("x", "y")}
    (tmp_path / "results.json").write_text("[1")
    assert read_external(folder, "abc") == {}


def test_without_external_sites_nothing_is_kept(tmp_path: Path) -> None:
    write_external(tmp_path, {"fingerprint": "abc", "external": {}})
    assert list(tmp_path.iterdir()) == []


def test_without_a_browser_there_is_no_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(print_to_pdf.shutil, "which", lambda _: None)
    page = tmp_path / "p.html"
    page.write_text("<p>")
    assert not print_to_pdf.print_to_pdf(page, tmp_path / "p.pdf")
    assert not (tmp_path / "p.pdf").exists()


def test_a_browser_that_prints_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(print_to_pdf.shutil, "which", lambda _: "/bin/false")
    page = tmp_path / "p.html"
    page.write_text("<p>")
    with pytest.raises(RunError, match="did not print"):
        print_to_pdf.print_to_pdf(page, tmp_path / "p.pdf")
    assert sorted(tmp_path.iterdir()) == [page]
