"""Extraction of many cases: cache, damage, resuming, faults, processes."""

import csv
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest
import SimpleITK as sitk

import client.imaging.extract as extract
import client.imaging.processes as processes
from client.imaging.cache import Entry, case_key, load, read_entry, save
from client.imaging.extract import Case, extract_cases
from client.imaging.preprocess import Preprocessing, crop_window, prepare_slice
from client.imaging.radiomics import RadiomicsRecipe, extract_slice

PREPROCESSING = Preprocessing()
RECIPE = RadiomicsRecipe()
HEARTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnms-hcm"


def make_case(folder, name, slices=2, shear=0.0):
    """A small heart: `slices` rings between an empty first and last slice."""
    rng = np.random.default_rng(sum(map(ord, name)))
    y, x = np.mgrid[:64, :64] - 32
    r = np.hypot(y, x)
    image = rng.normal(200, 20, (slices + 2, 64, 64)) + 200 * (r < 12)
    labels = np.zeros(image.shape, dtype=np.uint8)
    labels[1:-1] = np.where(r < 12, 1, np.where(r < 19, 2, 0))
    affine = np.diag([-1.3, -1.3, 8.0, 1.0])
    affine[0, 1] = shear
    paths = folder / f"{name}.nii.gz", folder / f"{name}_gt.nii.gz"
    for path, array in zip(paths, (image.astype(np.int16), labels), strict=True):
        nibabel.save(nibabel.Nifti1Image(array.T, affine), path)
    return Case(name, *paths)


def run(cases, folder, **more):
    return extract_cases(cases, PREPROCESSING, RECIPE, folder, **{"workers": 1, **more})


def same(one, two):
    return one.features.tobytes() == two.features.tobytes() and one.slices == two.slices


def test_a_case_is_its_slices_measured_one_by_one(tmp_path):
    case = make_case(tmp_path, "A", slices=3)
    (result,) = run([case], tmp_path / "cache")
    assert result.fault is None
    assert result.slices == (1, 2, 3)
    assert result.features.shape == (3, 939)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(case.image)))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(case.mask))) == 2
    spacing = sitk.ReadImage(str(case.image)).GetSpacing()[:2]
    entry = read_entry(result.entry)
    for row, z in enumerate(result.slices):
        prepared = prepare_slice(image[z], mask[z], spacing, PREPROCESSING)
        assert np.allclose(result.features[row], extract_slice(prepared, RECIPE), rtol=1e-12)
        assert result.areas_mm2[row] == prepared.mask.sum()
        window = crop_window(prepared.mask, PREPROCESSING)
        assert np.array_equal(entry.images[row], prepared.image[window])
        assert np.array_equal(entry.masks[row], prepared.mask[window])


def test_a_repeat_comes_from_the_cache_bit_by_bit(tmp_path, monkeypatch):
    case = make_case(tmp_path, "A")
    (first,) = run([case], tmp_path / "cache")
    monkeypatch.setattr(extract, "measure", None)  # a second measurement would fail
    (again,) = run([case], tmp_path / "cache")
    assert not first.cached
    assert again.cached
    assert same(first, again)
    assert np.array_equal(first.areas_mm2, again.areas_mm2)


def test_the_key_covers_all_that_matters(tmp_path):
    a, b = make_case(tmp_path, "A"), make_case(tmp_path, "B")

    def key(case=a, preprocessing=PREPROCESSING, recipe=RECIPE):
        chosen = (case.frame, case.myocardium, case.slices)
        return case_key(case.image, case.mask, *chosen, preprocessing, recipe)

    keys = [
        key(),
        key(b),
        key(replace(a, mask=a.image)),
        key(replace(a, frame=0)),
        key(replace(a, myocardium=1)),
        key(replace(a, slices=(1,))),
        key(preprocessing=Preprocessing(size=128)),
        key(recipe=RadiomicsRecipe(bin_width=5)),
    ]
    assert len(set(keys)) == len(keys)
    moved = tmp_path / "moved.nii.gz"
    moved.write_bytes(a.image.read_bytes())
    assert key(replace(a, case_id="renamed", image=moved)) == key()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "other"])
def test_a_damaged_entry_is_measured_again(tmp_path, damage):
    case = make_case(tmp_path, "A", slices=1)
    (first,) = run([case], tmp_path / "cache")
    content = bytearray(first.entry.read_bytes())
    content[len(content) // 2] ^= 0x01
    first.entry.write_bytes(
        {"flip": content, "truncate": content[:-200], "empty": b"", "other": b"PK\x03\x04abc"}[
            damage
        ]
    )
    assert load(first.entry.parent, first.entry.stem) is None
    (again,) = run([case], tmp_path / "cache")
    assert not again.cached
    assert same(first, again)
    assert read_entry(again.entry).images.shape == (1, 128, 128)


def test_an_entry_with_arrays_of_other_lengths_is_not_believed(tmp_path):
    zeros = np.zeros
    entry = Entry(
        zeros((2, 939)), zeros(3, int), zeros(3), zeros((3, 4, 4), "f4"), zeros((3, 4, 4), bool)
    )
    save(tmp_path, "k", entry)
    assert load(tmp_path, "k") is None


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    cases = [make_case(tmp_path, name, slices=1) for name in "ABC"]
    cache = tmp_path / "cache"

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cases, cache, progress=stop)
    assert len(list(cache.iterdir())) == 2
    assert not list(cache.glob(".writing*"))
    seen = []
    results = run(cases, cache, progress=lambda done, total: seen.append((done, total)))
    assert sorted(r.cached for r in results) == [False, True, True]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    (result,) = run([make_case(tmp_path, "A", slices=1)], tmp_path / "cache")
    assert "no space left" in result.fault.found
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_bad_case_is_a_fault_and_the_others_go_on(tmp_path):
    good, bad, flat = (make_case(tmp_path, name, slices=1) for name in ("good", "bad", "flat"))
    bad.image.write_bytes(bad.image.read_bytes()[:300])
    absent = Case("absent", tmp_path / "none.nii.gz", good.mask)
    wrong = replace(good, case_id="wrong", slices=(1, 9))
    empty = replace(good, case_id="empty", slices=(0,))
    cases = [bad, good, absent, wrong, empty]
    results = run(cases, tmp_path / "cache")
    assert [r.case_id for r in results] == ["bad", "good", "absent", "wrong", "empty"]
    assert [r.fault is None for r in results] == [False, True, False, False, False]
    assert {r.fault.code for r in results if r.fault} == {"image-invalid"}
    said = [str(r.fault) for r in results if r.fault]
    assert said[0].startswith("case bad, bad.nii.gz: ")
    assert "does not exist" in said[1]
    assert "slice 9 does not exist: the image has 3" in said[2]
    assert "slice 0 shows no myocardium" in said[3]
    assert results[0].entry is None
    image = nibabel.load(flat.image)
    nibabel.save(nibabel.Nifti1Image(np.ones(image.shape, np.int16), image.affine), flat.image)
    (constant,) = run([flat], tmp_path / "cache")
    assert constant.fault.found.startswith("slice 1: the slice is constant")


def test_a_skewed_image_is_measured_and_noted(tmp_path):
    straight, skewed = make_case(tmp_path, "A", 1), make_case(tmp_path, "B", 1, shear=0.02)
    results = run([straight, skewed], tmp_path / "cache")
    assert [bool(r.notes) for r in results] == [False, True]
    assert "right angles" in run([skewed], tmp_path / "cache")[0].notes[0]


@pytest.mark.slow
def test_one_process_and_two_give_the_same_bits(tmp_path):
    cases = [make_case(tmp_path, name, slices=1) for name in "ABC"]
    bad = make_case(tmp_path, "bad", slices=1)
    bad.mask.write_bytes(b"")
    one = run([*cases, bad], tmp_path / "one", workers=1)
    two = run([*cases, bad], tmp_path / "two", workers=2)
    assert all(same(a, b) for a, b in zip(one, two, strict=True))
    assert two[3].fault == one[3].fault
    for a, b in zip(one[:3], two[:3], strict=True):
        entries = read_entry(a.entry), read_entry(b.entry)
        for name in ("images", "masks"):
            assert len({getattr(entry, name).tobytes() for entry in entries}) == 1


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not HEARTS.is_dir(), reason=f"no M&Ms hearts at {HEARTS}")
def test_a_real_heart_of_each_centre(tmp_path):
    with (HEARTS / "patients.csv").open() as stream:
        rows = {row["centre"]: row["patient_id"] for row in csv.DictReader(stream)}
    cases = []
    for centre, patient in rows.items():
        path = HEARTS / f"centre{centre}" / patient / f"{patient}_sa_ED.nii.gz"
        cases.append(Case(patient, path, path.with_name(f"{patient}_sa_ED_gt.nii.gz")))
    results = run(cases, tmp_path / "cache")
    assert all(r.fault is None for r in results)
    for result in results:
        assert len(result.slices) >= 4
        assert np.isfinite(result.features).all()
        assert 300 < np.median(result.areas_mm2) < 6000


def test_nan_that_itk_would_read_as_zero_is_refused(tmp_path):
    case = make_case(tmp_path, "A")
    stored = nibabel.load(case.image)
    values = np.asarray(stored.dataobj, dtype=np.float32)
    values[20, 20, 1] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, stored.affine), case.image)
    (result,) = run([case], tmp_path / "cache")
    assert result.fault is not None
    assert "1 voxels that are NaN" in result.fault.found


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Even if that is killed: nobody else would end them."""
    script = tmp_path / "extracts.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from multiprocessing import get_context\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from client.imaging.processes import _make_ready\n"
        "from client.imaging.radiomics import RadiomicsRecipe\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(\n"
        "        2, get_context('spawn'), _make_ready, (RadiomicsRecipe(),))\n"
        "    list(pool.map(abs, range(4)))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_processes_are_started_for_cases_that_wait_and_for_no_others(tmp_path, monkeypatch):
    asked = []

    class Noted(processes.ProcessPoolExecutor):
        def submit(self, task, *arguments):
            asked.append(getattr(task, "func", task).__name__)
            return super().submit(task, *arguments)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Noted)
    cases = [make_case(tmp_path, name, slices=1) for name in "ABCDE"]
    folder = tmp_path / "cache"
    run(cases[:3], folder)
    for left, starts in (([], 0), (cases[3:4], 0), (cases[3:], 1)):
        asked.clear()
        results = run(cases[:3] + left, folder, workers=4)
        assert asked.count("_begin") == starts
        assert asked.count("_extract") == 2 * starts
        assert [one.cached for one in results] == [True] * 3 + [False] * len(left)
        for case in left:  # the next time it is measured again
            next(one.entry for one in results if one.case_id == case.case_id).unlink()
    asked.clear()
    run([make_case(tmp_path, name, slices=1) for name in "VWXYZ"], tmp_path / "other", workers=2)
    assert asked.count("_begin") == 1


def own_id(seconds):
    time.sleep(seconds)
    return os.getpid()


def ended():
    if multiprocessing.parent_process() is None:
        return own_id(0.02)
    os._exit(1)


def test_the_process_that_begins_others_measures_too():
    with processes.Processes(2, RECIPE) as some:
        some.begin(2)
        found = list(some.each({number: partial(own_id, 0.02) for number in range(40, 0, -1)}))
    assert sorted(number for number, _ in found) == list(range(1, 41))
    by = dict(found)
    assert by[1] == os.getpid()
    assert by[40] != os.getpid()
    assert len(set(by.values())) == 2


def test_a_process_that_is_ended_leaves_no_task_without_an_answer():
    with processes.Processes(3, RECIPE) as some:
        some.begin(2)
        some.begin(3)
        found = dict(some.each(dict.fromkeys(range(20), ended)))
    assert sorted(found) == list(range(20))
    assert found[0] is None
    assert set(found.values()) <= {None, os.getpid()}
