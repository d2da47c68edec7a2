"""The form of a field: what an answer's parts are held against, one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from client.egress.passed import TEXT, Array, Field, field_of_array, field_of_scalar
from client.egress.refused import refuse
from common.message_parts import Scalar


@dataclass(frozen=True)
class Form:
    """What a field must be.

    Attributes
    ----------
    kind
        ``int``, ``float`` or ``text``, or the dtype of an array. Whole numbers are counts: never
        below 0, but for the levels of a change (int8). Others must be finite.
    shape
        Of an array.
    pattern
        What a text must match in full; without one, no text fits.
    zero
        Nothing but zeros: the field is there because the message has it.
    """

    kind: str
    shape: tuple[int, ...] = ()
    pattern: str = ""
    zero: bool = False


Forms = dict[str, Form]


def matched(
    forms: Mapping[str, Form], scalars: Mapping[str, Scalar], arrays: Mapping[str, Array]
) -> tuple[Field, ...]:
    """Hold an answer's parts against their forms; describe them, by name.

    Raises
    ------
    EgressRefused
        A part is not listed, is missing, or has another form.
    """
    held = {**scalars, **arrays}
    if set(held) != set(forms):
        unlisted, missing = set(held) - set(forms), set(forms) - set(held)
        raise refuse(f"it holds {len(unlisted)} unlisted fields and lacks {len(missing)}")
    try:
        found = [field_of_scalar(*one) for one in scalars.items()]
        found += [field_of_array(*one) for one in arrays.items()]
    except ValueError as error:
        raise refuse(str(error)) from None
    for field in found:
        form = forms[field.name]
        if (field.dtype, field.shape) != (form.kind, form.shape):
            raise refuse(
                f"{field.name} is {field.dtype} {field.shape}, not {form.kind} {form.shape}"
            )
        _require_content(field.name, form, held[field.name])
    return tuple(sorted(found, key=lambda field: field.name))


def _require_content(name: str, form: Form, value: Scalar | Array) -> None:
    if form.kind == TEXT:
        if not re.fullmatch(form.pattern or r"(?!)", str(value), re.ASCII):
            raise refuse(f"the text of {name} is not of its form")
        return
    numbers = np.asarray(value)
    if not np.isfinite(numbers).all():
        raise refuse(f"{name} is not finite")
    if numbers.dtype.kind == "i" and form.kind != "int8" and (numbers < 0).any():
        raise refuse(f"{name} is negative")
    if form.zero and numbers.any():
        raise refuse(f"{name} holds something where nothing was asked for")
