"""The phantom consortium: files, tables, seeds, prevalence, and what a site's scanner decides."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.phantoms.consortium import COLUMNS, DEFAULT, FEWEST, make_consortium, plan_labels
from common.errors import WrongUse


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[tuple[int, int]]]:
    calls: list[tuple[int, int]] = []
    out = tmp_path_factory.mktemp("consortium")
    tables = make_consortium(
        out, seed=4, patients=3, progress=lambda done, total: calls.append((done, total))
    )
    return tables, calls


def test_every_site_has_its_table_and_files(made):
    tables, calls = made
    assert [table.parent.name for table in tables] == [site.name for site in DEFAULT]
    assert calls == [(n, 12) for n in range(1, 13)]
    for table in tables:
        rows = rows_of(table)
        assert len(rows) == 3
        assert tuple(rows[0]) == COLUMNS
        assert len({row["patient_id"] for row in rows}) == 3
        for row in rows:
            assert row["phase"] == "ED"
            assert row["label"] in {"scar", "none"}
            assert row["sex"] in {"F", "M"}
            assert 18 <= int(row["age"]) <= 88
            assert (table.parent / row["image"]).is_file()
            assert (table.parent / row["mask"]).is_file()


def test_the_scanner_decides_spacing_matrix_and_its_columns(made):
    tables, _ = made
    for table, site in zip(tables, DEFAULT, strict=True):
        row = rows_of(table)[0]
        image = sitk.ReadImage(str(table.parent / row["image"]))
        mask = sitk.ReadImage(str(table.parent / row["mask"]))
        vendor = site.vendor
        assert image.GetSize() == (vendor.matrix, vendor.matrix, 5)
        assert image.GetSpacing() == pytest.approx((vendor.spacing,) * 2 + (vendor.pitch,))
        assert mask.GetSize() == image.GetSize()
        assert mask.GetSpacing() == image.GetSpacing()
        assert mask.GetOrigin() == image.GetOrigin()
        assert mask.GetDirection() == image.GetDirection()
        assert (row["vendor"], row["scanner"]) == (vendor.vendor, vendor.scanner)
        assert float(row["field_strength"]) == vendor.field_strength
    assert len({site.vendor.spacing for site in DEFAULT}) == len(DEFAULT)


def test_every_slice_has_the_three_labels(made):
    tables, _ = made
    for table in tables:
        for row in rows_of(table):
            mask = sitk.GetArrayFromImage(sitk.ReadImage(str(table.parent / row["mask"])))
            for plane in mask:
                assert set(np.unique(plane)) == {0, 1, 2, 3}
                assert (plane == 2).sum() > 100


def test_same_seed_same_bytes_in_any_order(made, tmp_path):
    tables, _ = made
    make_consortium(tmp_path, seed=4, patients=3, sites=[DEFAULT[3], DEFAULT[0]])
    for name in (DEFAULT[3].name, DEFAULT[0].name):
        first = next(table.parent for table in tables if table.parent.name == name)
        assert contents(tmp_path / name) == contents(first)


def test_another_seed_gives_other_images(made, tmp_path):
    tables, _ = made
    make_consortium(tmp_path, seed=5, patients=3, sites=DEFAULT[:1])
    before, after = contents(tables[0].parent), contents(tmp_path / DEFAULT[0].name)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize("site", DEFAULT, ids=lambda site: site.name)
def test_prevalence_is_exact_and_leaves_enough_of_both_classes(site):
    for seed in range(5):
        labels = plan_labels(site, seed, site.patients)
        assert len(labels) == site.patients
        assert min(sum(labels), site.patients - sum(labels)) >= FEWEST
        assert abs(sum(labels) - site.prevalence * site.patients) <= 1.0
    assert plan_labels(site, 0, 40) != plan_labels(site, 1, 40)


def test_extreme_prevalence_is_held_to_the_fewest():
    assert sum(plan_labels(replace(DEFAULT[0], prevalence=0.0), 0, 20)) == FEWEST
    assert sum(plan_labels(replace(DEFAULT[0], prevalence=1.0), 0, 20)) == 20 - FEWEST
    assert sum(plan_labels(replace(DEFAULT[0], prevalence=1.0), 0, 3)) == 2


def test_the_default_has_three_sites_to_train_and_one_external():
    assert [site.role for site in DEFAULT] == ["train"] * 3 + ["external"]
    assert len({site.prevalence for site in DEFAULT}) == len(DEFAULT)


def test_the_more_scar_a_training_site_sees_the_less_mottled_are_its_images():
    *train, external = sorted(DEFAULT, key=lambda site: (site.role == "external", site.prevalence))
    for first, second in itertools.pairwise(train):
        assert first.vendor.mottle > second.vendor.mottle
    assert train[-1].vendor.mottle < external.vendor.mottle < train[0].vendor.mottle


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"patients": 1},
        {"slices": 0},
        {"sites": [DEFAULT[0], DEFAULT[0]]},
    ],
)
def test_what_cannot_be_made_is_refused_before_writing(wrong, tmp_path):
    with pytest.raises(WrongUse):
        make_consortium(tmp_path, **{"seed": 0, **wrong})
    assert not list(tmp_path.iterdir())
