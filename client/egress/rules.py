"""What the answer to each question may hold: exactly these fields, of these dtypes and shapes.

The layouts follow from the study, from the question, and from nothing that a site measured. What
is not listed here does not leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from client.egress.compare_rule import compared_forms, fit_forms
from client.egress.enrol_rule import enrol_forms
from client.egress.form import Form, Forms
from client.egress.heads_rule import heads_forms
from client.egress.refused import refuse
from client.egress.report_rules import card_forms, describe_forms, subgroup_forms
from common.aha import ATTENTION_SHAPES
from common.course import in_search
from common.covariates import covariate_spec
from common.feature_names import DEEP_FEATURES, all_names
from common.heads import MODELS, SCORED, VARIANTS
from common.messages import (
    CalibrateQuestion,
    CardQuestion,
    CompareQuestion,
    DescribeQuestion,
    EnrolQuestion,
    FuseQuestion,
    HarmonizeQuestion,
    Question,
    SearchQuestion,
    TrainQuestion,
    ValidateQuestion,
)
from common.privacy.histograms import COARSE
from common.statistics.intraclass import PairSums, pair_shapes
from common.statistics.moments import Moments, moment_shapes
from common.statistics.scores import BINS
from common.study import Study
from harmonization import combat_shapes

FEATURES = len(all_names())
"""Radiomic features of a slice."""

SUMMED = frozenset({"harmonize", "search", "train", "fuse", "calibrate", "compare", "card"})
"""Stages whose answers leave under masks only, where the study sums under masks."""


def is_summed(question: Question) -> bool:
    """Say whether the answer leaves under masks only, where the study sums under masks."""
    if isinstance(question, DescribeQuestion):
        return question.step == "sums"
    return question.stage in SUMMED


_M = len(SCORED)
_HISTOGRAM = Form("int64", (2, BINS))


@dataclass(frozen=True)
class Rule:
    """A stable `name`, and what an answer by it holds; `client.egress.words` explains it."""

    name: str
    forms: Mapping[str, Form]


def rule_of(study: Study, question: Question, features: int = FEATURES) -> Rule:
    """Give the rule for the answer to a question.

    Parameters
    ----------
    features
        Number of radiomic features, p.

    Raises
    ------
    EgressRefused
        There is no such stage, step, fold or round in the study, or the question does not fit
        itself.
    """
    if isinstance(question, SearchQuestion):
        return Rule(f"search/{question.step}", _search(study, question))
    noisy = _private_rule(study, question, features) if study.privacy.on else None
    further = _further_rule(study, question, features)
    if study.comparison.on:
        further = further or _compared_rule(study, question, features)
    return noisy or further or _exact_rule(study, question, features)


def _further_rule(study: Study, question: Question, features: int) -> Rule | None:
    """Give the rule of a question that is only asked for the report; None for any other."""
    match question:
        case DescribeQuestion(step=step) if study.report.patients:
            return Rule(f"describe/{step}", describe_forms(study, step))
        case CardQuestion(step=step) if study.report.compares:
            return Rule(f"card/{step}", card_forms(study, step, features))
        case ValidateQuestion(step="subgroups") if study.report.subgroups:
            return Rule("validate/subgroups", _empty_validate() | subgroup_forms(study))
        case ValidateQuestion(step="attention") if study.explain.attention:
            return Rule("validate/attention", _attention())
    return None


def _exact_rule(study: Study, question: Question, features: int) -> Rule:
    match question:
        case EnrolQuestion():
            name, forms = "enrol", enrol_forms(study)
        case HarmonizeQuestion(step="covariates") if study.harmonization.fills:
            name, forms = "harmonize/covariates", _covariates(study)
        case HarmonizeQuestion(step="features"):
            name, forms = "harmonize/features", _features(study, features)
        case HarmonizeQuestion(step="reproducibility") if study.reduction.measures_icc:
            name, forms = "harmonize/reproducibility", _pairs(study, features)
        case TrainQuestion():
            name, forms = "train", _train(study, question)
        case FuseQuestion(step="moments"):
            name, forms = "fuse/moments", _moments(study, features + DEEP_FEATURES)
        case FuseQuestion(step="heads"):
            name, forms = "fuse/heads", heads_forms(study, question.problems)
        case FuseQuestion(step="stack"):
            name, forms = "fuse/stack", _below("sums", dict.fromkeys(VARIANTS, _moment_forms(2)))
        case CalibrateQuestion():
            name, forms = "calibrate", _calibrate()
        case ValidateQuestion(step="scores"):
            name, forms = "validate/scores", _validate(study.folds)
        case ValidateQuestion(step="placements"):
            name, forms = "validate/placements", _placements()
        case _:
            raise refuse(f"the study has no such question in the stage {question.stage}")
    return Rule(name, forms)


def _compared_rule(study: Study, question: Question, features: int) -> Rule | None:
    """Give the rule of a question of the comparison; None for others."""
    match question:
        case CompareQuestion(step="fit"):
            return Rule("compare/fit", fit_forms(study, question, features + DEEP_FEATURES))
        case CompareQuestion(step="scores"):
            return Rule("compare/scores", compared_forms(study))
        case ValidateQuestion(step="classifiers"):
            forms = _validate(study.folds, len(study.comparison.classifiers))
            nothing = {name: replace(forms[name], zero=True) for name in ("images", "batches")}
            return Rule("validate/classifiers", forms | nothing)
    return None


def _below(name: str, blocks: Mapping[str, Forms]) -> Forms:
    """Name the forms of several blocks as the keys of one dictionary: ``name/block.key``."""
    return {
        f"{name}/{block}.{key}": form for block, own in blocks.items() for key, form in own.items()
    }


def _folds(study: Study, own: Forms) -> Forms:
    return _below("sums", {str(fold): own for fold in range(study.folds)})


def _covariates(study: Study) -> Forms:
    one = Form("float64", (len(covariate_spec(study).names),))
    return _folds(study, {"total": one, "count": one})


def _features(study: Study, features: int) -> Forms:
    shapes = combat_shapes(features, len(covariate_spec(study).names))
    own = {name: Form("float64", shape) for name, shape in shapes.items()}
    if study.harmonization.reference:
        own |= {f"reference.{name}": form for name, form in own.items()}
    own |= {
        "classes": Form("int64", (2,)),
        "filled": Form("int64", (len(study.harmonization.covariates),)),
    }
    return _folds(study, own)


def _pairs(study: Study, features: int) -> Forms:
    own = {
        name: Form("int64" if name in PairSums.integers else "float64", shape)
        for name, shape in pair_shapes(features).items()
    }
    return _folds(study, own)


def _train(study: Study, question: TrainQuestion) -> Forms:
    if not (0 <= question.fold < study.folds and 1 <= question.round <= study.training.rounds):
        raise refuse(f"the study has no round {question.round} of fold {question.fold}")
    return {
        "slices": Form("int"),
        "patients": Form("int"),
        "loss": Form("float"),
        "change": Form("float32", (question.weights.size,)),
        "validation": Form("float64", (2,)),
        "histogram": _HISTOGRAM,
        "levels": Form("int8", (question.levels.size,)),
    }


def _search(study: Study, question: SearchQuestion) -> Forms:
    """A round of a trial says nothing of validation, and a measurement nothing else."""
    if in_search(question, study) is None:
        raise refuse(f"the study has no such trial in rung {question.rung}")
    trains = question.step == "train"
    return {
        "slices": Form("int", zero=not trains),
        "patients": Form("int", zero=not trains),
        "loss": Form("float", zero=not trains),
        "change": Form("float32", (question.weights.size if trains else 0,)),
        "validation": Form("float64", (2,), zero=trains),
        "histogram": replace(_HISTOGRAM, zero=trains),
        "levels": Form("int8", (0,)),
    }


def _private_train(study: Study, question: TrainQuestion) -> Forms:
    """The change, and numbers that are public: how many patients the site enrolled."""
    silent = {"loss", "validation", "histogram"}
    return {
        name: replace(form, zero=name in silent) for name, form in _train(study, question).items()
    }


def _private_rule(study: Study, question: Question, features: int) -> Rule | None:
    """Give the rule where noise hides each patient; None where the exact one counts."""
    match question:
        case TrainQuestion():
            return Rule("train/private", _private_train(study, question))
        case EnrolQuestion() | ValidateQuestion():
            return None
        case _ if not study.privacy.everything:
            return None
        case HarmonizeQuestion(step="features"):
            shapes = combat_shapes(features, 0)
            own = {name: Form("float64", shape) for name, shape in shapes.items()}
            return Rule("harmonize/private", _folds(study, own))
        case FuseQuestion(step="moments"):
            packed = Form("float64", (2, (features + 1) * (features + 2) // 2))
            blocks = {
                f"{fold}.{number}": {"classes": packed}
                for fold in range(study.folds)
                for number in range(len(VARIANTS))
            }
            return Rule("fuse/moments/private", _below("sums", blocks))
        case CalibrateQuestion():
            noisy = Form("float64", (len(MODELS), 2, COARSE))
            return Rule("calibrate/private", _calibrate(0) | {"noisy": noisy})
        case _:
            raise refuse(f"the study has no such question in the stage {question.stage}")


def _moment_forms(features: int) -> Forms:
    return {
        name: Form("int64" if name in Moments.integers else "float64", shape)
        for name, shape in moment_shapes(features).items()
    }


def _moments(study: Study, features: int) -> Forms:
    own: Forms = {"validation": Form("float64", (2,)), "histogram": _HISTOGRAM}
    for number in range(len(VARIANTS)):
        own |= {f"{number}.{name}": form for name, form in _moment_forms(features).items()}
    return _folds(study, own)


def _calibrate(models: int = _M) -> Forms:
    return {
        "histograms": Form("int64", (models, 2, BINS)),
        "within": Form("float64", (models, 3)),
        "noisy": Form("float64", (0, 2, COARSE)),
    }


def _validate(folds: int, models: int = _M) -> Forms:
    return {
        "images": Form("int"),
        "batches": Form("int64", (2,)),
        "histograms": Form("int64", (models, 2, BINS)),
        "auc": Form("float64", (models,)),
        "covariance": Form("float64", (models, models)),
        "confusion": Form("int64", (models, 4)),
        "fold_auc": Form("float64", (folds, models)),
    }


def _placements() -> Forms:
    """The sums of placement values, and nothing in the fields of the other step."""
    return _empty_validate() | {
        "placements/counts": Form("int64", (2,)),
        "placements/values": Form("float64", (2, _M)),
        "placements/products": Form("float64", (2, _M * (_M + 1) // 2)),
    }


def _attention() -> Forms:
    """Counts of patients and sums of their heat, and nothing in the fields of the other steps."""
    kinds = {"classes": "int64", "seen": "int64", "heat": "float64"}
    return _empty_validate() | {
        f"attention/{name}": Form(kinds[name], shape) for name, shape in ATTENTION_SHAPES.items()
    }


def _empty_validate() -> Forms:
    """Nothing in the fields of the first step."""
    return {
        "images": Form("int", zero=True),
        "batches": Form("int64", (2,), zero=True),
        "histograms": Form("int64", (0, 2, BINS)),
        "auc": Form("float64", (0,)),
        "covariance": Form("float64", (0, 0)),
        "confusion": Form("int64", (0, 4)),
        "fold_auc": Form("float64", (0, 0)),
    }
