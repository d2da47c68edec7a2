"""Section 1: the study, its sites, the flow of patients, and table 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from common.study import Study
from common.trials import Settings
from server.report.record import FinishedRun, Result
from server.report.words import NONE, count, decimal, listed, p_value, percent, plural


@dataclass(frozen=True)
class FlowRow:
    """A site in the flow of patients; None where a number was withheld, or not `asked`."""

    site: str
    external: bool
    asked: bool
    listed: int | None
    excluded: list[tuple[str, int | None]]
    used: int
    positive: int
    negative: int


@dataclass(frozen=True)
class TableRow:
    """A row of table 1: heading of a variable, or one of its lines; a cell a group and class."""

    label: str
    cells: list[str]
    test: str = ""
    heading: bool = False


def context(run: FinishedRun) -> dict[str, Any]:
    """Gather what the section's template reads."""
    described = run.optional("described")
    rows = flow(run, described)
    return {
        "protocol": protocol(run.study, run.settings),
        "identity": _identity(run),
        "flow": rows,
        "flow_known": described is not None,
        "table_one": None if described is None else table_one(described["table1"], run.study),
    }


def flow(run: FinishedRun, described: Result | None) -> list[FlowRow]:
    """Say of each site how many patients were listed, excluded and why, and used."""
    rows = []
    for site, own in run.results["sites"].items():
        positive, negative = own["patients"]["positive"], own["patients"]["negative"]
        said = {} if described is None else described["flow"].get(site, {})
        rows.append(
            FlowRow(
                site,
                own["role"] == "external",
                bool(said),
                said.get("listed"),
                sorted(said.get("excluded", {}).items()),
                said.get("used") or positive + negative,
                positive,
                negative,
            )
        )
    return rows


def _identity(run: FinishedRun) -> list[tuple[str, str]]:
    began = sum(
        1 for one in run.events if one["event"] == "stage-began" and one["stage"] == "enrol"
    )
    return [
        ("Study", run.study.name),
        ("Fingerprint", run.study.fingerprint),
        ("Run", run.results["run"]),
        ("Interrupted and resumed", f"{count(max(0, began - 1))} times"),
    ]


def protocol(study: Study, settings: Settings) -> list[tuple[str, str]]:
    """Say the protocol in words, a line a subject; `settings` are those of its networks."""
    preprocessing, harmonization, fusion = study.preprocessing, study.harmonization, study.fusion
    own, cnn, training = Settings(study.cnn, study.training), settings.cnn, settings.training
    found = " (width, dropout and rate found by the search)" if settings != own else ""
    sizes = listed([str(size) for size in fusion.sizes])
    batch = "a site" if harmonization.batch == "site" else "a scanner within a site"
    covariates = [one.name for one in harmonization.covariates]
    keeps = f"keeping {listed(covariates)}" if covariates else "keeping no covariate"
    combat = (
        "none"
        if harmonization.mode == "none"
        else f"ComBat ({harmonization.mode.replace('_', ' ')}), a batch is {batch}, {keeps}; "
        f"{harmonization.transform} transform first"
    )
    hidden = (
        "secure summation: the coordinator reads sums over the training sites only"
        if study.secure_sum.enabled
        else "none: the coordinator reads each site's sums"
    )
    return [
        ("Outcome", f"{study.outcome.positive} against {study.outcome.negative}"),
        (
            "Images",
            f"short-axis cine, phase {listed(study.cohort.phases)}, "
            f"{'every slice' if study.cohort.slices == 'all' else 'the middle slice'} with "
            f"myocardium; {preprocessing.spacing_mm:g} mm in plane, intensity scaled by "
            f"{preprocessing.intensity}",
        ),
        (
            "Radiomics",
            f"PyRadiomics, bin width {study.radiomics.bin_width:g} on a grey range of "
            f"{study.radiomics.grey_range:g}, wavelet {study.radiomics.wavelet}",
        ),
        ("Harmonisation", combat),
        (
            "Network",
            f"seven convolutional blocks at width {cnn.width:g}, dropout "
            f"{cnn.dropout:g}; {training.strategy}, {training.rounds} rounds of "
            f"{plural(training.local_epochs, 'local epoch')}, batch {training.batch_size}, "
            f"learning rate {training.learning_rate:g}{found}; mean of the last "
            f"{training.averaged_rounds} rounds",
        ),
        (
            "Heads",
            f"correlation limit {fusion.correlation_limit:g}, LASSO to {sizes} features, "
            "L1 logistic regression, stacked into the fused model; a patient's score is "
            f"the {fusion.patient_score} over slices",
        ),
        (
            "Folds",
            f"{study.folds}, each with {percent(study.cohort.validation_fraction)} of the training "
            "sites' patients for validation"
            if study.folds == 1
            else f"{study.folds}; each patient of a training site validates one of them",
        ),
        (
            "Operating point",
            f"sensitivity of at least {decimal(study.operating_point.sensitivity, 2)} on "
            "validation patients, then frozen",
        ),
        ("Class weights", training.class_weight),
        ("Smallest cell", f"{study.cohort.minimum_patients_per_class} patients of a class"),
        ("Hiding sites", hidden),
        ("Seed", str(study.seed)),
    ]


def table_one(described: Result, study: Study) -> dict[str, Any]:
    """Lay table 1 out: a column a group and class, a test a group beneath its classes."""
    groups = list(described["groups"])
    rows = []
    for variable in described["variables"]:
        cells = {group: variable["groups"].get(group, {}) for group in groups}
        tests = "; ".join(
            f"{group}: {_test(own.get('test'))}" for group, own in cells.items() if own.get("test")
        )
        rows.append(TableRow(variable["name"], [], tests, heading=True))
        if variable["kind"] == "numeric":
            rows.append(TableRow("mean ± SD", _each(cells, _mean)))
            rows.append(TableRow("median (quartiles)", _each(cells, _median)))
        else:
            for level in _all_levels(variable):
                rows.append(TableRow(str(level), _each(cells, partial(_level, level=str(level)))))
        rows.append(TableRow("missing", _each(cells, lambda cell: count(cell.get("missing")))))
    classes = [study.outcome.positive, study.outcome.negative]
    return {"groups": groups, "classes": classes, "rows": rows}


def _all_levels(variable: Result) -> list[str]:
    """Give the levels that the study names, and those that a site counted besides."""
    counted = [
        level
        for group in variable["groups"].values()
        for label in ("positive", "negative")
        for level in ((group.get(label) or {}).get("counts") or {})
    ]
    return list(dict.fromkeys([*map(str, variable["levels"]), *counted]))


def _each(cells: Mapping[str, Result], say: Callable[[Result], str]) -> list[str]:
    return [
        say(own[label]) if own.get(label) is not None else NONE
        for own in cells.values()
        for label in ("positive", "negative")
    ]


def _mean(cell: Result) -> str:
    if cell.get("mean") is None:
        return NONE
    spread = "" if cell.get("sd") is None else f" ± {_short(cell['sd'])}"
    return f"{_short(cell['mean'])}{spread}"


def _median(cell: Result) -> str:
    if cell.get("median") is None:
        return NONE
    quartiles = (cell.get("q1"), cell.get("q3"))
    beside = "" if None in quartiles else f" ({_short(quartiles[0])} to {_short(quartiles[1])})"
    return f"{_short(cell['median'])}{beside}"


def _level(cell: Result, level: str) -> str:
    patients = (cell.get("counts") or {}).get(level)
    if patients is None:
        return NONE
    known = cell.get("n")
    return f"{count(patients)} ({percent(patients / known)})" if known else count(patients)


def _short(value: float | None) -> str:
    if value is None:
        return NONE
    return decimal(value, 1 if abs(value) >= 1.0 or value == 0.0 else 3)


def _test(test: Result | None) -> str:
    if test is None:
        return ""
    statistic = test.get("statistic")
    said = "" if statistic is None else f" {decimal(statistic, 2)},"
    return f"{test['name']}{said} p {p_value(test.get('p'))}"
