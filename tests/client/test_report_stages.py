"""What a report asks: the same under masks and without, of one site and of all, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from described_samples import PATIENTS, ROLES, sites_of, some_rows, study_of
from federation_samples import FEATURES, Course, Sites
from site_samples import hold
from sklearn.metrics import roc_auc_score

from client.cohort.rows import SiteRows
from client.described import levels_of, numbers_of
from client.stages import card as site_card
from client.stages import describe as site_describe
from client.stages.card import groups_of
from client.stages.fuse import remembered
from common.errors import RunError
from common.heads import MODELS, SCORED
from common.message_parts import parts_of
from common.messages import DescribeQuestion, Hidden, ValidateQuestion
from common.statistics.between_batches import between_sums, eta_squared
from common.statistics.table_one import level_counts, number_sums
from common.study import Study
from common.subgroup_cells import subgroups_in_words
from common.table_cells import bins_of, level_cells, number_cells
from server.described_results import described_results
from server.stages import card, describe
from server.stages.card import Compared
from server.stages.describe import TOGETHER, DescribedPatients
from server.stages.fuse import Fused
from server.subgroups import ask_subgroups

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]


@dataclass
class Whole:
    sites: Sites
    described: DescribedPatients
    fused: Fused
    compared: Compared
    subgroups: dict[str, Any]
    looks: list[str]
    said: list[tuple[str, str, Any]]

    @classmethod
    def of(cls, study: Study, folder: Path) -> Whole:
        sites = sites_of(study, folder / "sites")
        said: list[tuple[str, str, Any]] = []

        def listens(site: str, exchange: str, answer: object) -> object:
            said.append((site, exchange, answer))
            return answer

        course = Course.over(sites, folder / "run", listens)
        federation, roster = course.federation, sites.roster
        described = describe.run(federation, roster, study)
        harmonized = course.harmonize()
        fused = course.fuse(harmonized, course.train(harmonized))
        calibrated = course.calibrate(fused)
        compared = card.run(federation, roster, study, fused)
        validated = course.validate(fused, calibrated)
        subgroups = ask_subgroups(federation, roster, study, tuple(validated.answers))
        looks = [e["site"] for e in federation.run.events() if e["event"] == "looked"]
        return cls(sites, described, fused, compared, subgroups, looks, said)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole.of(study_of(secure=True), tmp_path_factory.mktemp("masked"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole.of(study_of(secure=False), tmp_path_factory.mktemp("plain"))


def training(whole: Whole) -> Iterator[SiteRows]:
    study = whole.sites.study
    return (whole.sites.rows[name] for name in study.training_sites)


def test_table_1_of_the_total_is_that_of_all_patients(masked: Whole) -> None:
    study, rows = masked.sites.study, list(training(masked))
    labels = np.concatenate([one.patient_labels for one in rows])
    age, sex, vendor = study.report.variables
    ages = np.concatenate([numbers_of(one, age) for one in rows])
    cells = masked.described.groups[TOGETHER]
    pooled = number_cells(number_sums(ages, labels, bins_of(age)), age, 3)
    for name, array in pooled.items():
        np.testing.assert_array_equal(cells["age"][name], array)
    for variable in (sex, vendor):
        levels = np.concatenate([levels_of(one, variable) for one in rows])
        pooled = level_cells(level_counts(levels, labels, 2), 3)
        for name, array in pooled.items():
            np.testing.assert_array_equal(cells[variable.name][name], array)
    # F, M, another text, missing: eight of the 24 patients of each site are M.
    assert cells["sex"]["counts"].sum(axis=0).tolist() == [64, 32, 0, 0]
    assert list(masked.described.groups) == [TOGETHER, "x"]


def test_without_masks_every_site_is_a_group_of_its_own(plain: Whole, masked: Whole) -> None:
    assert list(plain.described.groups) == ["a", "b", "c", "d", "x"]
    for name, block in masked.described.groups["x"].items():
        for key, array in block.items():
            np.testing.assert_array_equal(plain.described.groups["x"][name][key], array)


def test_masks_give_the_same_and_hide(plain: Whole, masked: Whole) -> None:
    for variant, share in plain.compared.between.items():
        np.testing.assert_allclose(masked.compared.between[variant], share, rtol=1e-9)
    for one, other in zip(masked.compared.cards, plain.compared.cards, strict=True):
        assert (one.of, one.levels) == (other.of, other.levels)
        for variant, own in other.accuracy.items():
            assert one.accuracy[variant].value == pytest.approx(own.value, rel=1e-12)
    assert masked.subgroups.keys() == plain.subgroups.keys() == {"x"}
    hidden = {exchange for site, exchange, one in masked.said if isinstance(one, Hidden)}
    assert {"describe.sums", "card.sums", "card.held-out"} <= hidden
    clear = {(s, e) for s, e, one in masked.said if not isinstance(one, Hidden)}
    assert {s for s, e in clear if e == "describe.flow"} == set(ROLES)
    assert {s for s, e in clear if e == "describe.table"} == {"x"}


def test_the_order_of_the_sites_does_not_matter(
    masked: Whole, tmp_path_factory: pytest.TempPathFactory
) -> None:
    turned = study_of(secure=True, roles=dict(reversed(ROLES.items())))
    other = Whole.of(turned, tmp_path_factory.mktemp("turned"))
    for name, block in masked.described.groups[TOGETHER].items():
        for key, array in block.items():
            np.testing.assert_allclose(other.described.groups[TOGETHER][name][key], array)
    for variant, share in masked.compared.between.items():
        np.testing.assert_allclose(other.compared.between[variant], share, atol=1e-5)
    assert [set(one.levels) for one in other.compared.cards] == [
        set(one.levels) for one in masked.compared.cards
    ]


def test_variance_between_sites_is_that_of_all_rows(plain: Whole) -> None:
    study = plain.sites.study
    for variant in ("harmonized", "raw"):
        shares = []
        for fold in range(2):
            x, batch = [], []
            for rows in training(plain):
                context = plain.sites.workers[rows.site].context
                trains = rows.trains(fold)
                x.append(getattr(remembered(context, fold), variant)[trains])
                batch += [rows.site] * int(trains.sum())
            shares.append(eta_squared(between_sums(np.concatenate(x), batch)))
        np.testing.assert_allclose(
            plain.compared.between[variant], np.mean(shares, axis=0), rtol=1e-9
        )
    found = described_results(study, [f"f{k}" for k in range(FEATURES)], None, plain.compared, {})
    lower = [own["after"] < 0.1 * own["before"] for own in found["harmonization_features"].values()]
    assert len(lower) == FEATURES
    assert all(lower)


def test_combat_makes_sites_harder_to_tell(plain: Whole) -> None:
    of_site, of_vendor = plain.compared.cards
    assert (of_site.levels, of_vendor.levels) == (("a", "b", "c", "d"), ("GE", "Siemens"))
    for one in plain.compared.cards:
        before, after = one.accuracy["raw"], one.accuracy["harmonized"]
        chance = 1 / len(one.levels)
        assert before.lower > chance + 0.2
        assert after.value < before.lower
        assert after.lower <= chance


def test_the_card_is_that_of_all_held_out_patients(plain: Whole) -> None:
    from common.statistics.telling_apart import separate, telling_sums

    study, names = plain.sites.study, plain.sites.study.training_sites
    for number, variant in ((0, "harmonized"), (1, "raw")):
        right = dict.fromkeys(names, 0)
        for fold in range(2):
            x, held, groups = [], [], []
            for place, rows in enumerate(training(plain)):
                memory = plain.sites.workers[rows.site].context.memory
                x.append(memory.load(f"card-{fold}")[str(number)])
                held.append(rows.folds == fold)
                groups.append(np.full(PATIENTS, place))
            columns, out, group = (np.concatenate(one) for one in (x, held, groups))
            rule = separate(telling_sums(columns[~out], group[~out], 4), np.ones(4, bool))
            told = np.argmax(columns[out] @ rule.weights.T + rule.intercepts, axis=1)
            for place, name in enumerate(names):
                right[name] += int((told[group[out] == place] == place).sum())
        expected = np.mean([count / PATIENTS for count in right.values()])
        assert plain.compared.cards[0].accuracy[variant].value == pytest.approx(expected)
    assert study.report.site_card == ("site", "vendor")


def test_a_group_of_few_patients_is_left_out_by_the_site() -> None:
    study = study_of(secure=True, minimum=5)
    rows = some_rows("a", study)
    assert (groups_of(rows, study, "site") == 0).all()
    few = replace(rows, described=rows.described | {"vendor": ["Siemens"] * 9 + ["GE"] * 15})
    # Nine patients over two folds: one of them trains or validates fewer than five.
    assert set(groups_of(few, study, "vendor").tolist()) == {-1, 0}
    assert (groups_of(some_rows("a", study, patients=8), study, "site") == -1).all()


def test_subgroups_are_those_of_the_patients_own_scores(masked: Whole) -> None:
    study, rows = masked.sites.study, masked.sites.rows["x"]
    kept = masked.sites.workers["x"].context.memory.load("external-scores")
    sex = study.report.variables[1]
    block = {
        key.removeprefix("sex."): array
        for key, array in masked.subgroups["x"].items()
        if key.startswith("sex.")
    }
    for place, found in enumerate(subgroups_in_words(sex, block)):
        own = levels_of(rows, sex) == place
        labels = rows.patient_labels[own]
        assert found["patients"] == {
            "positive": int(labels.sum()),
            "negative": int((1 - labels).sum()),
        }
        for model in MODELS:
            row = SCORED.index((model, "harmonized"))
            scores, threshold = kept["scores"][row][own], kept["thresholds"][row]
            said = found["models"][model]
            assert said["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
            positive = scores >= threshold
            assert said["sensitivity"] == pytest.approx(positive[labels == 1].mean())
            assert said["specificity"] == pytest.approx((~positive)[labels == 0].mean())


def test_a_subgroup_that_is_small_takes_the_others_with_it(masked: Whole) -> None:
    # Of one patient the age is not known, and the rest would tell of that one by subtraction.
    found = described_results(masked.sites.study, [], None, None, masked.subgroups)["subgroups"]
    ages = [one for one in found["x"] if one["variable"] == "age"]
    assert [one["level"] for one in ages] == ["below 55", "55 and above"]
    for one in ages:
        assert one["patients"] is None
        assert one["models"] is None
        assert "Withheld" in one["warning"]
    cells = {key: value for key, value in masked.subgroups["x"].items() if key.startswith("age.")}
    assert not any(np.asarray(array).any() for array in cells.values())


def test_both_looks_are_counted(masked: Whole) -> None:
    assert masked.looks == ["x", "x"]


def test_no_cell_below_the_minimum_is_in_an_answer_that_leaves_in_the_clear(
    masked: Whole, plain: Whole
) -> None:
    counted = 0
    for whole in (masked, plain):
        for _, exchange, answer in whole.said:
            if isinstance(answer, Hidden) or not exchange.startswith(("describe", "card")):
                continue
            for name, array in parts_of(answer)[1].items():
                if name.rpartition(".")[2] in ("count", "counts", "held", "used", "excluded"):
                    small = np.isin(array, (1, 2))
                    counted += array.size
                    assert not small.any(), (exchange, name)
    assert counted > 100


def test_each_is_asked_only_what_is_its_part(masked: Whole, tmp_path: Path) -> None:
    study = masked.sites.study
    for name, step in (("a", "table"), ("x", "sums")):
        context = hold(masked.sites.rows[name], study, tmp_path)
        with pytest.raises(RunError, match="was asked for the step"):
            site_describe.answer(DescribeQuestion(study.fingerprint, step), context)


def test_subgroups_are_not_told_before_the_scores(masked: Whole, tmp_path: Path) -> None:
    from client.stages import validate

    context = hold(masked.sites.rows["x"], masked.sites.study, tmp_path)
    with pytest.raises(RunError, match="Nothing is kept"):
        validate.answer(ValidateQuestion(masked.sites.study.fingerprint, "subgroups"), context)


def test_axes_of_another_shape_are_refused(plain: Whole) -> None:
    from common.messages import CardQuestion

    study = plain.sites.study
    context = plain.sites.workers["a"].context
    model = {}
    for place, own in plain.fused.components.items():
        model |= {f"{place}.center": own.center, f"{place}.axes": np.eye(FEATURES)}
    with pytest.raises(RunError, match="along axes"):
        site_card.answer(CardQuestion(study.fingerprint, "sums", model), context)


def test_what_only_one_site_knows_is_not_shown_as_a_total(tmp_path: Path) -> None:
    study = study_of(secure=True)
    sites = sites_of(study, tmp_path / "sites")
    for name in ("b", "c", "d"):
        sites.rows[name].described["sex"][:] = [""] * PATIENTS
    course = Course.over(sites, tmp_path / "run")
    found = describe.run(course.federation, sites.roster, study)
    assert not any(np.asarray(one).any() for one in found.groups[TOGETHER]["sex"].values())
    assert found.groups[TOGETHER]["vendor"]["shown"].all()
