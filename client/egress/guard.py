"""The guard at a site's door: an answer passes if its rule lists all that it holds.

The plain answer is checked before it is put under masks, since afterwards nobody can look into it.
What leaves then is checked against it: as many numbers as the plain answer has, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from client.egress.form import Form, matched
from client.egress.minimum_cell import behind, require_cells, said_in
from client.egress.passed import REAL, TEXT, WHOLE, Passed, field_of_scalar, numbers_in
from client.egress.patients import Patients
from client.egress.refused import refuse
from client.egress.report_rules import held_under_masks
from client.egress.rules import FEATURES, is_summed, rule_of
from client.egress.words import MASKED, PRIVATE, REFUSAL
from common.errors import MyoFedError
from common.message_parts import parts_of
from common.messages import Hidden, Question, Refusal
from common.question_kinds import ANSWERS, QUESTIONS, Answer
from common.secure_sum.fixed_point import LEVELS, STATISTICS, WEIGHTS
from common.secure_sum.layout import Entry, written
from common.study import Study

INTERNAL = "internal"
"""The code of a refusal that no error of ours stands behind."""


def check(
    study: Study,
    question: Question,
    answer: object,
    patients: Patients | None = None,
    features: int = FEATURES,
) -> Passed:
    """See that an answer holds what its stage may send, and nothing else.

    Where the study sums the stage under masks, the answer itself may not leave (`Passed.to_hide`):
    `check_hidden` passes what may. The minimum cell counts for what leaves in the clear.

    Parameters
    ----------
    patients
        The site's own counts. Without them the minimum cell is held against what the answer says
        of itself.
    features
        Number of radiomic features, p.

    Raises
    ------
    EgressRefused
        A field is unlisted, missing, or of another form; a sum is over too few patients; or there
        is no such question in the study.
    """
    kind = ANSWERS.get(question.stage)
    if kind is None or type(question) is not QUESTIONS[question.stage]:
        raise refuse("there is no such question")
    if question.fingerprint != study.fingerprint:
        raise refuse("its question is of another study")
    if type(answer) is not kind:
        raise refuse(f"it is a {type(answer).__name__}, not a {kind.__name__}")
    rule = rule_of(study, question, features)
    try:
        parts = parts_of(answer)
    except TypeError as error:
        raise refuse(str(error)) from None
    fields = matched(rule.forms, *parts)
    masks = study.secure_sum.enabled and is_summed(question)
    # Noise that hides each patient hides small cells as well.
    noisy = rule.name.endswith(PRIVATE)
    if not masks and not noisy:
        _require_minimum(study, question, answer, patients)
    elif held_under_masks(question):
        require_cells(study, said_in(study, question, answer))
    return Passed("answer", rule.name, fields, to_hide=masks)


def check_hidden(plain: Passed, hidden: Hidden) -> Passed:
    """See that an answer under masks is as long as the plain one that passed, and nothing else.

    Raises
    ------
    EgressRefused
        It has another layout, other sizes or other dtypes; or the plain answer was not to be
        hidden.
    """
    if not plain.to_hide or type(hidden) is not Hidden:
        raise refuse("an answer is under masks that should not be")
    layout = [Entry(one.name, one.dtype, one.shape) for one in plain.fields]
    if hidden.layout != written(layout):
        raise refuse("an answer under masks has another layout than the plain one")
    numbers = numbers_in(plain.fields, WHOLE, REAL, "int64", "float64")
    weights, levels = (numbers_in(plain.fields, kind) for kind in ("float32", "int8"))
    forms = {
        "layout": Form(TEXT, pattern=r"[ -~]*"),
        "statistics": Form("uint32", (numbers, STATISTICS.limbs)),
        "weights": Form("uint32", (weights, WEIGHTS.limbs)),
        "levels": Form("uint8", (levels, LEVELS.limbs)),
    }
    fields = matched(forms, *parts_of(hidden))
    return replace(plain, rule=plain.rule + MASKED, fields=fields, to_hide=False)


def check_refusal(refusal: Refusal) -> Passed:
    """See that a refusal is a code and its fixed sentence.

    Raises
    ------
    EgressRefused
        No error of MyoFed has that code and that sentence.
    """
    said = (refusal.code, refusal.public)
    if said not in set(_sentences()):
        raise refuse("a refusal says something else than a fixed sentence")
    fields = tuple(
        field_of_scalar(name, text) for name, text in zip(("code", "public"), said, strict=True)
    )
    return Passed("refusal", REFUSAL, fields, code=refusal.code, sentence=refusal.public)


def _require_minimum(
    study: Study, question: Question, answer: Answer, patients: Patients | None
) -> None:
    require_cells(study, said_in(study, question, answer))
    if patients is not None:
        require_cells(study, behind(study, question, patients))


def _sentences() -> Iterator[tuple[str, str]]:
    """Give code and sentence of every kind of error that there is."""
    yield INTERNAL, MyoFedError.public
    kinds: list[type[MyoFedError]] = [MyoFedError]
    while kinds:
        kind = kinds.pop()
        yield kind.code, kind.public
        kinds += kind.__subclasses__()
