"""Describe: what became of the patients listed, and table 1, of this site or into a sum."""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.described import levels_of, numbers_of, used
from common.errors import RunError
from common.heads import under
from common.messages import Arrays, DescribeAnswer, DescribeQuestion
from common.patient_flow import NO_PHASE, flow_arrays
from common.statistics.small_cells import is_small
from common.statistics.table_one import NumberSums, level_counts, number_sums
from common.study_report import Variable
from common.table_cells import bins_of, level_cells, number_cells


def answer(question: DescribeQuestion, context: SiteContext) -> DescribeAnswer:
    """Answer the step ``flow``, ``table`` or ``sums``.

    Raises
    ------
    RunError
        The step is not for this site: its own table is asked where it is to be hidden in a sum, or
        the other way round.
    """
    if question.step == "flow":
        return DescribeAnswer(flow=_flow(context))
    if (question.step == "sums") != context.hides:
        raise RunError(
            f"Site {context.site.name} was asked for the step {question.step} of its table.",
            "Ask sites that are summed under masks for sums, and others for their table.",
        )
    cells: Arrays = {}
    for variable in context.study.report.variables:
        own = _sums(variable, context) if context.hides else _cells(variable, context)
        cells |= under(own, variable.name)
    return DescribeAnswer(sums=cells) if context.hides else DescribeAnswer(table=cells)


def _flow(context: SiteContext) -> Arrays:
    rows = context.rows
    chosen = used(rows)
    excluded = dict(context.site.info.left_out or {})
    excluded[NO_PHASE] = len(rows.patient_ids) - chosen.size
    positive = int(rows.patient_labels[chosen].sum())
    minimum = context.study.cohort.minimum_patients_per_class
    return flow_arrays(excluded, (int(chosen.size) - positive, positive), minimum)


def _cells(variable: Variable, context: SiteContext) -> Arrays:
    minimum = context.study.cohort.minimum_patients_per_class
    if variable.kind == "categorical":
        return level_cells(_counts(variable, context), minimum)
    return number_cells(_numbers(variable, context), variable, minimum)


def _sums(variable: Variable, context: SiteContext) -> Arrays:
    """Sum a variable; a class of whom too few are known adds nothing but how many are missing.

    Where other sites know it of nobody, a total is this site's own.
    """
    minimum = context.study.cohort.minimum_patients_per_class
    if variable.kind == "categorical":
        counts = _counts(variable, context)
        for row in counts:
            if is_small(int(row[:-1].sum()), minimum):
                row[-1], row[:-1] = row.sum(), 0
        return {"counts": counts, "sites": np.array(int(counts[:, :-1].any()))}
    sums = _numbers(variable, context)
    arrays = dict(sums.arrays())
    small = np.array([is_small(int(count), minimum) for count in sums.count])
    arrays["missing"] = sums.missing + sums.count * small
    for name in ("count", "total", "squares", "histogram"):
        arrays[name] = arrays[name] * (~small if arrays[name].ndim == 1 else ~small[:, None])
    return arrays | {"sites": np.array(int(arrays["count"].any()))}


def _counts(variable: Variable, context: SiteContext) -> np.ndarray:
    rows = context.rows
    places = levels_of(rows, variable)
    return level_counts(places, rows.patient_labels[used(rows)], len(variable.levels))


def _numbers(variable: Variable, context: SiteContext) -> NumberSums:
    rows = context.rows
    labels = rows.patient_labels[used(rows)]
    return number_sums(numbers_of(rows, variable), labels, bins_of(variable))
