"""What answers for the report may hold, and how many patients their cells are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from client.egress.form import Form, Forms
from client.egress.refused import refuse
from common.heads import VARIANTS
from common.messages import CardAnswer, DescribeAnswer, Question, ValidateAnswer
from common.patient_flow import flow_shapes
from common.statistics.between_batches import between_shapes
from common.statistics.telling_apart import telling_shapes
from common.study import Study
from common.subgroup_cells import subgroup_shapes
from common.table_cells import cell_shapes, sum_shapes

_WHOLE = frozenset({"count", "held"})


def held_under_masks(question: Question) -> bool:
    """Say whether small cells are refused under masks too.

    A row of these sums may be one site's alone: that of the site itself, of a vendor that only it
    has, or of a variable that only it knows.
    """
    return question.stage in ("describe", "card")


def describe_forms(study: Study, step: str) -> Forms:
    """Give the forms of the flow, of a site's table, or of its part of the sums.

    Raises
    ------
    EgressRefused
        The study has no such step.
    """
    variables = study.report.variables
    if step == "flow":
        return {f"flow/{name}": Form("int64", shape) for name, shape in flow_shapes().items()}
    if step not in ("table", "sums") or (step == "sums" and not study.secure_sum.enabled):
        raise refuse("the study has no such question in the stage describe")
    shapes_of = cell_shapes if step == "table" else sum_shapes
    return {
        f"{step}/{variable.name}.{name}": Form(*form)
        for variable in variables
        for name, form in shapes_of(variable).items()
    }


def card_forms(study: Study, step: str, features: int) -> Forms:
    """Give the forms of the sums of features (p of them) and components, or of who is told right.

    Raises
    ------
    EgressRefused
        The study has no such step.
    """
    asked, folds = study.report, range(study.folds)
    if step == "held-out":
        return {
            f"sums/right.{number}.{of}": Form("float64")
            for number in range(len(VARIANTS))
            for of in asked.site_card
        }
    if step != "sums":
        raise refuse("the study has no such question in the stage card")
    shapes: dict[str, tuple[int, ...]] = {}
    for fold in folds:
        for number in range(len(VARIANTS)):
            if asked.features:
                own = between_shapes(features).items()
                shapes |= {f"{fold}.{number}.{name}": shape for name, shape in own}
            for of in asked.site_card:
                groups = len(asked.levels_of(of, study.training_sites))
                sums = telling_shapes(groups, asked.components).items()
                shapes |= {f"{fold}.{number}.{of}.{name}": shape for name, shape in sums}
        for of in asked.site_card:
            shapes[f"{fold}.{of}.held"] = (len(asked.levels_of(of, study.training_sites)),)
    return {
        f"sums/{key}": Form("int64" if key.rpartition(".")[2] in _WHOLE else "float64", shape)
        for key, shape in shapes.items()
    }


def subgroup_forms(study: Study) -> Forms:
    """Give the forms of the subgroups of an external site."""
    return {
        f"subgroups/{variable.name}.{name}": Form(*form)
        for variable in study.report.subgroups
        for name, form in subgroup_shapes(variable).items()
    }


def counted_in(answer: DescribeAnswer | CardAnswer | ValidateAnswer) -> Iterator[tuple[str, int]]:
    """Give what an answer counts patients of, and how many: each none, or enough."""
    match answer:
        case DescribeAnswer():
            yield from _counts(answer.flow, ("excluded", "used"))
            yield from _counts(answer.table, ("count", "counts"))
            for name, counts in answer.sums.items():
                if name.endswith(".count"):
                    yield from _each(name, counts)
                elif name.endswith(".counts"):
                    # Levels are hidden in the total; who knows the variable at all must be enough.
                    yield from _each(name, np.asarray(counts)[:, :-1].sum(axis=1))
        case CardAnswer():
            yield from _counts(answer.sums, ("count", "held"))
        case ValidateAnswer():
            yield from _counts(answer.subgroups, ("patients",))


def _counts(arrays: Mapping[str, object], endings: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for name, counts in arrays.items():
        if name.rpartition(".")[2] in endings:
            yield from _each(name, counts)


def _each(name: str, counts: object) -> Iterator[tuple[str, int]]:
    for count in np.ravel(np.asarray(counts)):
        yield name, int(count)
