"""Attention: each patient as 0 to 1 by segment, sums by class, and what the coordinator refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from site_samples import federation_of, make_rows, make_study, with_origin

from client.approval_words import what_leaves
from client.explain.attention import attention_sums, patient_attention, places_of
from client.explain.heart_frame import HeartFrame, segments
from client.stages import validate as site_validate
from common.aha import MIDDLE, SEGMENTS
from common.course import OffCourse, position
from common.errors import RunError
from common.messages import ValidateAnswer, ValidateQuestion
from server import attention
from server.firewall import Implausible
from server.stages.validate import Validated

STUDY = make_study({"a": "train", "b": "train", "x": "external"}, explain={"attention": True})


def some(patients: int = 6, slices: int = 2):
    rows = make_rows("x", STUDY, seed=4, patients=patients, slices=slices)
    heat = np.random.default_rng(1).random(rows.images.shape).astype(np.float32)
    rng = np.random.default_rng(2)
    places = [
        (HeartFrame(float(rng.uniform(-3, 3)), int(rng.choice([-1, 1])), True), int(third))
        for third in rng.integers(0, 3, rows.patient.size)
    ]
    return rows, heat, places


def naive(rows, heat, places) -> np.ndarray:
    """Pixel by pixel."""
    held: dict[tuple[int, int], list[float]] = {}
    for number, (frame, third) in enumerate(places):
        found = segments(rows.masks[number] > 0.5, third, frame)
        for y, x in zip(*np.nonzero(found >= 0), strict=True):
            key = (int(rows.patient[number]), int(found[y, x]))
            held.setdefault(key, []).append(float(heat[number, y, x]))
    table = np.full((len(rows.patient_ids), len(SEGMENTS)), np.nan)
    for (patient, segment), values in held.items():
        table[patient, segment] = sum(values) / len(values)
    return table / np.nanmax(table, axis=1, keepdims=True)


def test_a_patient_s_attention_is_its_mean_heat_over_that_of_the_hottest_segment() -> None:
    rows, heat, places = some()
    found = patient_attention(rows, heat, places)
    assert found == pytest.approx(naive(rows, heat, places), rel=1e-5, nan_ok=True)
    assert np.nanmax(found, axis=1) == pytest.approx(np.ones(6))
    assert np.nanmin(found) >= 0.0


def test_it_does_not_depend_on_how_much_heat_a_patient_has() -> None:
    rows, heat, places = some()
    scale = np.random.default_rng(3).uniform(0.1, 50, 6)[rows.patient][:, None, None]
    louder = (heat * scale).astype(np.float32)
    one, other = patient_attention(rows, heat, places), patient_attention(rows, louder, places)
    assert one == pytest.approx(other, rel=1e-5, nan_ok=True)


def test_a_patient_without_heat_counts_with_nothing() -> None:
    rows, heat, places = some()
    heat[rows.patient == 2] = 0.0
    found = patient_attention(rows, heat, places)
    assert np.nansum(found[2]) == 0.0
    assert np.isfinite(found[2]).any()


def test_heat_in_one_wall_is_attention_in_its_segment_alone() -> None:
    rows, heat, _ = some()
    frame = HeartFrame(np.pi, 1, True)
    places = [(frame, MIDDLE)] * rows.patient.size
    inferior = SEGMENTS.index("mid inferior")
    for number in range(rows.patient.size):
        heat[number] = segments(rows.masks[number] > 0.5, MIDDLE, frame) == inferior
    found = patient_attention(rows, heat, places)
    assert (found[:, inferior] == 1.0).all()
    assert np.nansum(found) == 6.0


def test_sums_are_over_the_patients_of_a_class_and_small_cells_are_left_out() -> None:
    own = np.random.default_rng(0).random((9, 16))
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])
    own[:, 3] = np.nan
    own[[1, 3], 5] = np.nan  # two of four positives left
    sums = attention_sums(own, labels, least=3)
    assert sums["classes"].tolist() == [5, 4]
    assert sums["seen"][0].tolist() == [5, 5, 5, 0] + [5] * 12
    assert sums["seen"][1, 5] == 0
    assert sums["heat"][1, 5] == 0.0
    assert sums["heat"][0, 5] == pytest.approx(own[labels == 0, 5].sum())
    order = np.random.default_rng(1).permutation(9)
    shuffled = attention_sums(own[order], labels[order], least=3)
    assert shuffled["heat"] == pytest.approx(sums["heat"])


def test_places_come_from_the_masks_as_drawn(tmp_path: Path) -> None:
    rows = with_origin(make_rows("x", STUDY, seed=4, patients=4, slices=3), tmp_path)
    places = places_of(rows, 2)
    assert len(places) == 12
    assert {frame.from_right_ventricle for frame, _ in places} == {True}
    assert abs(places[0][0].septum) == pytest.approx(np.pi, abs=0.1)
    assert sorted(third for _, third in places[:3]) == [0, 1, 2]


def asked(folder: Path, spoil=None):
    """Ask an external site in memory by the coordinator's own code."""
    rows = [make_rows(name, STUDY, seed, patients=10) for seed, name in enumerate("abx")]
    rows[2] = with_origin(rows[2], folder / "masks")
    direct, roster = federation_of(rows, STUDY, folder)
    context = direct.contexts["x"]
    sums = attention_sums(
        np.random.default_rng(0).random((10, 16)), rows[2].patient_labels, least=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            site_validate.attention,
            "answer",
            lambda _: ValidateAnswer(attention=spoil(sums) if spoil else sums),
        )
        found = attention.run(direct, roster, STUDY, Validated({"x": ValidateAnswer()}, None))
    return found, sums, context


def test_the_coordinator_gives_means_by_class(tmp_path: Path) -> None:
    found, sums, _ = asked(tmp_path)
    assert found is not None
    own = found["x"]
    assert own["segments"] == list(SEGMENTS)
    assert own["positive"]["patients"] == own["negative"]["patients"] == 5
    assert own["positive"]["mean"] == pytest.approx(sums["heat"][1] / 5)
    assert own["negative"]["mean"] == pytest.approx(sums["heat"][0] / 5)


BAD = {
    "a class is of other patients": lambda s: s | {"classes": np.array([4, 6])},
    "more have a segment than there are": lambda s: s | {"seen": s["seen"] + 1},
    "heat is above the number of patients": lambda s: s | {"heat": s["heat"] + 5.1},
    "heat is negative": lambda s: s | {"heat": s["heat"] - 5.0},
    "heat where nobody is": lambda s: s | {"seen": np.zeros((2, 16), np.int64)},
}


@pytest.mark.parametrize("name", BAD)
def test_the_coordinator_refuses_what_no_site_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(Implausible):
        asked(tmp_path, BAD[name])


def test_only_a_study_that_says_so_asks() -> None:
    question = ValidateQuestion(STUDY.fingerprint, "attention")
    assert position(question, STUDY) > position(replace(question, step="placements"), STUDY)
    silent = make_study({"a": "train", "b": "train", "x": "external"})
    with pytest.raises(OffCourse):
        position(replace(question, fingerprint=silent.fingerprint), silent)
    assert attention.run(None, None, silent, Validated({"x": ValidateAnswer()}, None)) is None


def test_the_site_is_told_before_it_approves() -> None:
    silent = make_study({"a": "train", "b": "train", "x": "external"})
    for study in (STUDY, silent):
        own = next(site for site in study.sites if site.name == "x")
        said = " ".join(text for _, text in what_leaves(study, own))
        assert ("where the network looks" in said) == study.explain.attention


def test_without_the_release_of_the_scores_there_is_no_answer(tmp_path: Path) -> None:
    _, _, context = asked(tmp_path)
    with pytest.raises(RunError, match="Nothing is kept"):
        site_validate.attention.answer(context)
