"""Card: how a training site's features differ from the others', before and after ComBat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from client.cohort.rows import SiteRows
from client.context import SiteContext
from client.described import levels_of, used
from client.fold_features import FoldFeatures
from client.stages.fuse import remembered
from common.errors import RunError
from common.heads import VARIANTS, under
from common.messages import Arrays, CardAnswer, CardQuestion
from common.statistics.between_batches import between_sums
from common.statistics.leading_components import ComponentAxes
from common.statistics.telling_apart import Discriminants, share_right, telling_sums
from common.study import Study
from common.study_report import SITE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def answer(question: CardQuestion, context: SiteContext) -> CardAnswer:
    """Answer the step ``sums`` or ``held-out``."""
    if question.step == "sums":
        return CardAnswer(_sums(question.model, context))
    return CardAnswer(_held_out(question.model, context))


def _sums(model: Arrays, context: SiteContext) -> Arrays:
    rows, study = context.rows, context.study
    asked = study.report
    groups = {of: groups_of(rows, study, of) for of in asked.site_card}
    batch = np.array(rows.batch, dtype=object)
    sums: Arrays = {}
    for fold in range(study.folds):
        features, trains = remembered(context, fold), rows.trains(fold)
        kept: Arrays = {}
        for number, variant in enumerate(VARIANTS):
            place, x = f"{fold}.{number}", _radiomics(features, variant)
            if asked.features:
                sums |= under(between_sums(x[trains], batch[trains].tolist()).arrays(), place)
            if not groups:
                continue
            own = _by_patient(_components(model, place, x, study).of(x), rows)
            kept[str(number)] = own
            for of, found in groups.items():
                count = len(asked.levels_of(of, study.training_sites))
                training = np.where(rows.folds == fold, -1, found)
                told = telling_sums(own, training, count)
                sums |= under(told.arrays(), f"{place}.{of}")
        for of, found in groups.items():
            count = len(asked.levels_of(of, study.training_sites))
            held = found[(rows.folds == fold) & (found >= 0)]
            sums[f"{fold}.{of}.held"] = np.bincount(held, minlength=count).astype(np.int64)
        if kept:
            context.memory.save(f"card-{fold}", kept)
    return sums


def _held_out(model: Arrays, context: SiteContext) -> Arrays:
    """Add up what the validation patients that are told right count for, over all folds."""
    rows, study = context.rows, context.study
    sums: Arrays = {}
    for of in study.report.site_card:
        found = groups_of(rows, study, of)
        for number in range(len(VARIANTS)):
            right = 0.0
            for fold in range(study.folds):
                place = f"{fold}.{number}.{of}"
                rule = Discriminants(
                    np.asarray(model[f"{place}.weights"], np.float64),
                    np.asarray(model[f"{place}.intercepts"], np.float64),
                )
                own = np.asarray(context.memory.load(f"card-{fold}")[str(number)], np.float64)
                held = np.where(rows.folds == fold, found, -1)
                right += share_right(own, held, rule, model[f"{of}.share"])
            sums[f"right.{number}.{of}"] = np.asarray(right)
    return sums


def groups_of(rows: SiteRows, study: Study, of: str) -> Ints:
    """Give each patient's group (P,); -1 where it is not known, or too few are of it.

    Sums over the training patients of several folds tell, by their differences, sums over the
    validation patients of each. Groups of which a fold trains or validates fewer patients than the
    minimum are therefore left out: a row of the card may be this site's alone.
    """
    found = np.full(len(rows.patient_ids), -1, np.int64)
    chosen = used(rows)
    if of == SITE:
        found[chosen] = study.training_sites.index(rows.site)
    else:
        variable = next(one for one in study.report.variables if one.name == of)
        levels = levels_of(rows, variable)
        found[chosen] = np.where(levels < len(variable.groups), levels, -1)
    for level in np.unique(found[found >= 0]):
        validates = [int(((found == level) & (rows.folds == f)).sum()) for f in range(study.folds)]
        every = int((found == level).sum())
        sizes = [*validates, *(every - one for one in validates)]
        if min(sizes) < study.cohort.minimum_patients_per_class:
            found[found == level] = -1
    return found


def _radiomics(features: FoldFeatures, variant: str) -> Floats:
    return features.harmonized if variant == "harmonized" else features.raw


def _components(model: Arrays, place: str, x: Floats, study: Study) -> ComponentAxes:
    """Read where to look.

    Raises
    ------
    RunError
        The coordinator asks for more components than the study, or for none of these features.
    """
    center, axes = (np.asarray(model[f"{place}.{name}"], np.float64) for name in ("center", "axes"))
    wanted = (x.shape[1], study.report.components)
    if axes.shape != wanted or center.shape != wanted[:1]:
        raise RunError(
            f"The site card was asked along axes of shape {axes.shape}, not {wanted}.",
            "The coordinator does not follow the study. Speak to it before you go on.",
        )
    return ComponentAxes(center, axes)


def _by_patient(components: Floats, rows: SiteRows) -> Floats:
    """Average the slices of each patient: (P, k); 0 for one without any."""
    count = np.bincount(rows.patient, minlength=len(rows.patient_ids)).astype(np.float64)
    total = np.zeros((count.size, components.shape[1]))
    np.add.at(total, rows.patient, components)
    mean: Floats = total / np.maximum(count, 1.0)[:, None]
    return mean
