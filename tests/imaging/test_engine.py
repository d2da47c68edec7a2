"""Extraction on a cluster: the same numbers, and what is said where the setting is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_imaging_extract import PREPROCESSING, RECIPE, make_case, same

from client.imaging.engine import SETTING, engine_set
from client.imaging.extract import extract_cases
from common.errors import WrongUse


@pytest.mark.parametrize("address", ["", "ray", "ray://head:10001", "dask://scheduler:8786"])
def test_an_engine_is_one_setting(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(SETTING, address)
    assert engine_set() == address


@pytest.mark.parametrize("address", ["spark://x:1", "ray://", "dask", "10.0.0.1:8786"])
def test_what_is_no_engine_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(SETTING, address)
    with pytest.raises(WrongUse, match=SETTING):
        engine_set()


def test_dask_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(SETTING, "dask://127.0.0.1:9")
    with pytest.raises(WrongUse, match="Dask"):
        extract_cases([make_case(tmp_path, "A")], PREPROCESSING, RECIPE, tmp_path / "cache")


@pytest.mark.slow
def test_ray_measures_the_same_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import ray

    cases = [make_case(tmp_path, name) for name in ("A", "B", "C")]
    alone = extract_cases(cases, PREPROCESSING, RECIPE, tmp_path / "one", workers=1)
    monkeypatch.setenv(SETTING, "ray")
    told: list[tuple[int, int]] = []
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        on_ray = extract_cases(
            cases,
            PREPROCESSING,
            RECIPE,
            tmp_path / "two",
            progress=lambda done, total: told.append((done, total)),
        )
    finally:
        ray.shutdown()
    assert all(same(one, other) for one, other in zip(alone, on_ray, strict=True))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert not any(one.cached for one in on_ray)
    again = extract_cases(cases, PREPROCESSING, RECIPE, tmp_path / "two")
    assert all(one.cached for one in again)
