"""Fixed point against Python's own whole numbers, which have no size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from common.secure_sum.fixed_point import STATISTICS, WEIGHTS, FixedPoint, OutOfRange
from common.secure_sum.ring import Ring, add, negate

FORMATS = [STATISTICS, WEIGHTS, FixedPoint(64, 30)]


def whole_numbers(found: Ring) -> list[int]:
    """Read elements as Python's whole numbers, from their bytes."""
    return [int.from_bytes(row.astype("<u4").tobytes(), "little", signed=True) for row in found]


def numbers_of(form: FixedPoint, terms: int) -> some.SearchStrategy[np.ndarray]:
    most = np.nextafter(form.largest(terms), 0.0)
    return arrays(np.float64, 5, elements=some.floats(-most, most))


@settings(deadline=None)
@pytest.mark.parametrize("form", FORMATS)
@given(data=some.data())
def test_a_number_is_rounded_to_the_nearest(form: FixedPoint, data: some.DataObject) -> None:
    values = data.draw(numbers_of(form, 3))
    found = form.encode(values, 3)
    assert whole_numbers(found) == [round(Fraction(v) * 2**form.fraction) for v in values]
    exact = np.array([float(Fraction(n, 2**form.fraction)) for n in whole_numbers(found)])
    np.testing.assert_allclose(form.decode(found), exact, rtol=4e-16, atol=0)
    half = 2.0 ** -(form.fraction + 1)
    np.testing.assert_allclose(form.decode(found), values, rtol=4e-16, atol=half)


@settings(deadline=None)
@pytest.mark.parametrize("form", FORMATS)
@given(data=some.data())
def test_sums_and_negatives_are_those_of_whole_numbers(
    form: FixedPoint, data: some.DataObject
) -> None:
    terms = 4
    vectors = [form.encode(data.draw(numbers_of(form, terms)), terms) for _ in range(terms)]
    total = vectors[0]
    for vector in vectors[1:]:
        total = add(total, vector)
    columns = zip(*map(whole_numbers, vectors), strict=True)
    assert whole_numbers(total) == [sum(column) for column in columns]
    assert whole_numbers(negate(total)) == [-number for number in whole_numbers(total)]


@pytest.mark.parametrize("terms", [1, 3, 4, 7])
@pytest.mark.parametrize("form", FORMATS)
def test_a_number_that_is_rounded_up_does_not_wrap_either(form: FixedPoint, terms: int) -> None:
    below = form.encode(np.array([np.nextafter(form.largest(terms), 0.0)]), terms)
    assert whole_numbers(below)[0] * terms < 2 ** (form.bits - 1)
    # A quarter of a step below the bound it would be rounded to the bound itself.
    edge = 2.0 ** (form.bits - 1 - form.fraction) / terms
    with pytest.raises(OutOfRange):
        form.encode(np.array([edge - 2.0 ** -(form.fraction + 2)]), terms)


@pytest.mark.parametrize("form", FORMATS)
def test_what_could_wrap_in_the_sum_is_refused_and_its_value_is_not_told(form: FixedPoint) -> None:
    most = form.largest(5)
    form.encode(np.array([np.nextafter(most, 0.0)]), 5)
    for bad in (most, -most, np.nan, np.inf, -np.inf, 1e300):
        with pytest.raises(OutOfRange, match="Number 1 of 3") as refused:
            form.encode(np.array([0.0, bad, 0.0]), 5)
        if np.isfinite(bad) and bad > 1e6:
            assert f"{bad:.6g}" not in refused.value.what.replace(f"{most:.3g}", "")


def test_the_smallest_numbers_of_either_sign() -> None:
    smallest = 2.0**-STATISTICS.fraction
    carried = [-(2.0**-32), -(2.0**-33), -1.0, -(2.0**16), -(2.0**30), 2.0**30]
    values = np.array([smallest, -smallest, 0.0, -0.0, *carried])
    assert STATISTICS.decode(STATISTICS.encode(values, 1)).tolist() == values.tolist()
