"""What an honest site with a working machine would never send."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coordinator_samples import enrolled, make_study
from hypothesis import assume, given
from hypothesis import strategies as st

from server.firewall import (
    FEWEST,
    LARGEST,
    Implausible,
    require,
    require_arrays,
    require_count,
    require_histograms,
    require_products,
    unlike_the_others,
)

OWN = enrolled("a", make_study(), positive=6, negative=8)
SHAPES = {"x": (2, 3), "n": (), "none": (0,)}


def good() -> dict[str, Any]:
    return {"x": np.ones((2, 3), np.float32), "n": np.asarray(3), "none": np.zeros(0)}


def test_a_requirement_is_its_reason() -> None:
    require(True, "no")
    require(np.True_, "no")
    for wrong in (False, np.False_, 0, None):
        with pytest.raises(Implausible, match="too tall"):
            require(wrong, "too tall")


def test_plausible_arrays_pass() -> None:
    require_arrays("its sums", good(), SHAPES)
    extreme = {"x": np.full((2, 3), -LARGEST), "n": np.asarray(2**62), "none": np.zeros(0)}
    require_arrays("its sums", extreme, SHAPES)


def spoilt(name: str, value: Any) -> dict[str, Any]:
    return good() | {name: value}


def at(value: float, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    array = np.ones((2, 3), dtype)
    array[1, 2] = value
    return array


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "nan": (spoilt("x", at(np.nan)), "its sums: x is not finite"),
    "nan in float32": (spoilt("x", at(np.nan, np.float32)), "x is not finite"),
    "infinite": (spoilt("x", at(-np.inf)), "x is not finite"),
    "huge": (spoilt("x", at(1e101)), "x is too large"),
    "shape": (spoilt("x", np.ones((3, 2))), r"x has the shape \(3, 2\), not \(2, 3\)"),
    "broadcasts": (spoilt("x", np.ones((1, 3))), "x has the shape"),
    "scalar for an array": (spoilt("x", np.asarray(1.0)), "x has the shape"),
    "not empty": (spoilt("none", np.ones(1)), "none has the shape"),
    "absent": ({"x": good()["x"]}, "its sums lack n, none"),
    "too many": (spoilt("patients", np.ones(1)), "hold arrays that were not asked for"),
    "another": ({"x": at(1), "n": np.asarray(1), "nine": np.zeros(0)}, "lack none"),
    "half precision": (spoilt("x", at(1, np.float16)), "x does not hold numbers of a known"),
    "complex": (spoilt("x", at(1, np.complex128)), "x does not hold numbers of a known"),
    "booleans": (spoilt("x", at(1, np.bool_)), "x does not hold numbers of a known"),
    "unsigned": (spoilt("x", at(1, np.uint64)), "x does not hold numbers of a known"),
    "bytes": (spoilt("x", at(1, np.uint8)), "x does not hold numbers of a known"),
    "foreign order": (spoilt("x", at(1, ">f8")), "x does not hold numbers of a known"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_implausible_arrays_are_refused(case: str) -> None:
    arrays, reason = ARRAYS[case]
    with pytest.raises(Implausible, match=reason):
        require_arrays("its sums", arrays, SHAPES)


@pytest.mark.parametrize("value", [1, 40, 17.0, np.int64(3)])
def test_a_plausible_count(value: float) -> None:
    require_count("its number", value, 1, 40)


@pytest.mark.parametrize("value", [0, 41, -1, 1.5, np.nan, np.inf, -np.inf, 2**63, 1e300])
def test_an_implausible_count(value: float) -> None:
    with pytest.raises(Implausible, match="its number is not a whole number from 1 to 40"):
        require_count("its number", value, 1, 40)


def histograms(**counts: int) -> np.ndarray[Any, Any]:
    """Two histograms of 3 negatives and 2 positives; keys `h_label_bin` change a count."""
    found = np.zeros((2, 2, 1001), np.int64)
    found[:, 0, 7], found[:, 1, 900] = 3, 2
    for place, count in counts.items():
        histogram, label, place_ = (int(part) for part in place.split("_")[1:])
        found[histogram, label, place_] = count
    return found


def test_plausible_histograms() -> None:
    require_histograms(histograms(), (2, 2, 1001), OWN)
    require_histograms(histograms(h_0_0_7=8, h_1_1_900=6), (2, 2, 1001), OWN)
    require_histograms(np.zeros((2, 1001), np.int64), (2, 1001), OWN)


HISTOGRAMS: dict[str, tuple[Any, str]] = {
    "negative": (histograms(h_1_0_5=-1), "negative counts"),
    "too many of a class": (histograms(h_0_1_5=5), "more patients than the site enrolled"),
    "too many negatives": (histograms(h_0_0_7=9), "more patients"),
    # Four counts of 2^62 add up to 0 in 64 bits.
    "an overflow": (
        histograms(h_0_0_1=2**62, h_0_0_2=2**62, h_0_0_3=2**62, h_0_0_7=2**62),
        "more patients",
    ),
    "another shape": (histograms()[:1], "histograms have the shape"),
    "fewer bins": (histograms()[:, :, :-1], "histograms have the shape"),
    "no whole numbers": (histograms().astype(float), "does not hold counts"),
}


@pytest.mark.parametrize("case", HISTOGRAMS)
def test_implausible_histograms(case: str) -> None:
    found, reason = HISTOGRAMS[case]
    with pytest.raises(Implausible, match=reason):
        require_histograms(found, (2, 2, 1001), OWN)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(-150, 150))
def test_products_of_rows_are_never_refused(seed: int, rows: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rows, 3)) * 10.0 ** (power / 3)
    b = rng.normal(size=(rows, 2)) * rng.integers(0, 2, 2)
    require_products("its sums", a.T @ b, (a * a).sum(0)[:, None], (b * b).sum(0))
    square = a.T @ a
    require_products("its sums", square, square.diagonal()[:, None], square.diagonal())


@pytest.mark.parametrize(
    ("ab", "aa", "bb", "reason"),
    [
        ([2.1], [4.0], [1.0], "are not those of any rows"),
        ([-2.1], [4.0], [1.0], "are not those of any rows"),
        ([0.1], [4.0], [0.0], "are not those of any rows"),
        ([0.0], [-4.0], [1.0], "a sum of squares is negative"),
        ([0.0], [4.0], [-1e-9], "a sum of squares is negative"),
    ],
)
def test_products_that_no_rows_have(
    ab: list[float], aa: list[float], bb: list[float], reason: str
) -> None:
    with pytest.raises(Implausible, match=reason):
        require_products("its sums", np.array(ab), np.array(aa), np.array(bb))


NORMS = st.lists(st.floats(1e-6, 1e6), min_size=FEWEST, max_size=9)
LIMITS = st.floats(2.0, 12.0)


def named(norms: list[float]) -> dict[str, float]:
    return {f"site-{k}": norm for k, norm in enumerate(norms)}


@given(NORMS, LIMITS, st.floats(1e-9, 1e9))
def test_the_scale_of_all_updates_does_not_matter(
    norms: list[float], limit: float, scale: float
) -> None:
    _assume_clear(norms, limit)
    one = unlike_the_others(named(norms), limit)
    other = unlike_the_others(named([norm * scale for norm in norms]), limit)
    assert set(one) == set(other)


@given(NORMS, LIMITS, st.randoms())
def test_the_order_of_sites_does_not_matter(norms: list[float], limit: float, order: Any) -> None:
    sites = list(named(norms).items())
    order.shuffle(sites)
    assert unlike_the_others(dict(sites), limit) == unlike_the_others(named(norms), limit)


@given(NORMS, LIMITS)
def test_a_majority_is_never_unlike_the_others(norms: list[float], limit: float) -> None:
    assert len(unlike_the_others(named(norms), limit)) < len(norms) / 2 + 1e-9


@given(st.lists(st.floats(0.0, 1e300), max_size=FEWEST - 1), LIMITS)
def test_fewer_than_three_sites_judge_nobody(norms: list[float], limit: float) -> None:
    assert unlike_the_others(named(norms), limit) == {}


def _assume_clear(norms: list[float], limit: float) -> None:
    """Leave out what lies on the limit to within rounding."""
    logs = np.log(norms)
    away = np.abs(logs - np.median(logs))
    spread = max(1.4826 * np.median(away), 0.25)
    assume((np.abs(away / spread - limit) > 1e-6).all())


def test_the_one_that_is_wrong_is_named_with_how_far_it_is() -> None:
    norms = {"a": 1.0, "b": 1.2, "c": 0.9, "d": 1e6}
    (reason,) = unlike_the_others(norms, 8.0).values()
    assert list(unlike_the_others(norms, 8.0)) == ["d"]
    assert "1e+06" in reason
    assert "robust deviations from the others' median" in reason
    small = unlike_the_others(norms | {"d": 0.0}, 8.0)
    assert list(small) == ["d"]
    # Honest sites differ by small factors, also where the others are as one.
    assert unlike_the_others({"a": 1.0, "b": 1.0, "c": 1.0, "d": 4.0}, 8.0) == {}
    assert unlike_the_others(dict.fromkeys("abc", 0.0), 8.0) == {}
