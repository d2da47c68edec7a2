"""A simulation in which the coordinator sees sums only: it gives what one does that sees all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_run import make_sites, numbers_of, release_bytes, run_near, tiny_study
from safetensors.numpy import load_file

from simulation import engine
from simulation.cli import run_study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]

# The order of the roster is none of the alphabet: each site must get its own identity.
ROLES = {"coimbra": "train", "dorpat": "external", "bergamo": "train", "aldgate": "train"}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sites(tmp_path_factory.mktemp("masks"), slices=1, roles=ROLES)


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory, sites: Path) -> Path:
    out = tmp_path_factory.mktemp("hidden") / "run"
    run_near(sites, out, study=tiny_study(1, ROLES, hides=True))
    return out


def close(one: Any, other: Any, where: str = "") -> None:
    """Compare results: what is counted, named or chosen exactly, the rest to rounding."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for name in one:
            close(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            close(*pair, f"{where}.{number}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9), where
    else:
        assert one == other, where


def test_masks_change_no_result(tmp_path: Path, sites: Path, hidden: Path) -> None:
    run_near(sites, tmp_path / "run", study=tiny_study(1, ROLES))
    one, other = (numbers_of(out) for out in (hidden, tmp_path / "run"))
    assert one.pop("fingerprint") != other.pop("fingerprint")
    close(one, other)
    for path in (hidden / "release").glob("*.safetensors"):
        found = load_file(path)
        expected = load_file(tmp_path / "run" / "release" / path.name)
        assert set(found) == set(expected)
        for name, array in expected.items():
            if array.dtype == np.float32:
                assert found[name].tobytes() == array.tobytes(), name
            else:
                np.testing.assert_allclose(found[name], array, rtol=1e-7, atol=1e-9)
    sums = json.loads((hidden / "sets.json").read_text())
    assert sums["changes"] == 0
    assert set(map(tuple, sums["scopes"].values())) == {("coimbra", "bergamo", "aldgate")}


def test_the_engine_s_sites_hide_from_each_other_too(
    tmp_path: Path, sites: Path, hidden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their identities are made for the simulation; the bits are those of no engine at all."""
    monkeypatch.setattr(engine, "available_cores", lambda: 1)
    run_study(tiny_study(1, ROLES, hides=True), sites, tmp_path / "run")
    assert release_bytes(tmp_path / "run") == release_bytes(hidden)
    assert numbers_of(tmp_path / "run") == numbers_of(hidden)
