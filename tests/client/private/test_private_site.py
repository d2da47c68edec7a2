"""What a site keeps for privacy: its secret, and folds that do not depend on each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from site_samples import make_study

from client.cohort.folds import draw_private_folds
from client.private.secret import SECRET_FILE, site_secret
from common.errors import WrongUse

IDS = [f"patient {number}" for number in range(3000)]


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    first = site_secret(tmp_path)
    assert len(first) == 32
    assert site_secret(tmp_path) == first
    assert (tmp_path / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / "b").mkdir()
    assert site_secret(tmp_path / "b") != first
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [SECRET_FILE]


def test_a_secret_that_others_read_is_refused(tmp_path: Path) -> None:
    site_secret(tmp_path)
    (tmp_path / SECRET_FILE).chmod(0o640)
    with pytest.raises(WrongUse, match="chmod 600"):
        site_secret(tmp_path)


def test_a_damaged_secret_is_not_replaced(tmp_path: Path) -> None:
    site_secret(tmp_path)
    (tmp_path / SECRET_FILE).write_bytes(b"short")
    with pytest.raises(WrongUse, match="32 bytes"):
        site_secret(tmp_path)


def drawn(ids: list[str], seed: int, site: str, folds: int) -> np.ndarray:
    return draw_private_folds(ids, make_study(seed=seed, folds=folds), site)


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_the_fold_of_a_patient_is_its_own(folds: int) -> None:
    whole = drawn(IDS, 2026, "a", folds)
    assert np.array_equal(whole[1:700], drawn(IDS[1:700], 2026, "a", folds))
    assert not np.array_equal(whole, drawn(IDS, 2026, "b", folds))
    assert not np.array_equal(whole, drawn(IDS, 2027, "a", folds))


def test_folds_are_even_on_average() -> None:
    several = drawn(IDS, 1, "a", 5)
    assert np.bincount(several) == pytest.approx(np.full(5, 600), abs=5 * np.sqrt(480))
    single = drawn(IDS, 1, "a", 1)
    assert set(single.tolist()) == {-1, 0}
    assert float((single == 0).mean()) == pytest.approx(0.25, abs=0.04)
