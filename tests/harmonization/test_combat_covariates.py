"""One design at all sites; missing values refused or filled from pooled sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonization import (
    CovariateError,
    CovariateSpec,
    CovariateSums,
    ShapeError,
    covariate_sums,
    design_matrix,
    solve_means,
)

SPEC = CovariateSpec(("age",), {"sex": ("F", "M"), "field": ("1.5T", "3T", "7T")})


def test_columns_come_in_the_spec_order_with_the_first_level_as_reference():
    table = {"field": ["3T", "1.5T", "7T"], "sex": ["M", "F", " M "], "age": [50, "61.5", 70.0]}
    rows = design_matrix(SPEC, {**table, "other": ["x"] * 3})
    assert rows.names == ("age", "sex=M", "field=3T", "field=7T")
    assert rows.z.tolist() == [[50, 1, 1, 0], [61.5, 0, 0, 0], [70, 1, 0, 1]]
    assert rows.missing == {"age": 0, "sex": 0, "field": 0}


def test_a_level_no_site_row_has_still_has_its_column():
    rows = design_matrix(SPEC, {"age": [1.0], "sex": ["F"], "field": ["1.5T"]})
    assert rows.z.shape == (1, 4)


def test_numeric_levels_read_from_a_table_match_text_levels():
    spec = CovariateSpec((), {"nyha": ("1", "2", "3")})
    values = [1, 2.0, np.int64(3), "2"]
    assert design_matrix(spec, {"nyha": values}).z.tolist() == [[0, 0], [1, 0], [0, 1], [1, 0]]


def test_unknown_level_is_named():
    with pytest.raises(CovariateError, match=r"'sex' has the level 'male'.*add the level") as error:
        design_matrix(SPEC, {"age": [1.0], "sex": ["male"], "field": ["3T"]})
    assert error.value.what
    assert error.value.fix


def test_missing_values_are_counted_and_refused():
    table = {"age": [None, float("nan"), 3.0], "sex": ["F", "", "M"], "field": ["3T"] * 3}
    with pytest.raises(CovariateError, match=r"'age: 2', 'sex: 1'"):
        design_matrix(SPEC, table)
    with pytest.raises(ShapeError, match="training means"):
        design_matrix(SPEC, table, "mean")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_missing_values_are_filled_with_the_pooled_means(seed, sites):
    rng = np.random.default_rng(seed)
    tables = []
    for _ in range(sites):
        n = int(rng.integers(3, 20))
        age = [None if rng.random() < 0.2 else float(rng.uniform(20, 90)) for _ in range(n)]
        sex = [None if rng.random() < 0.2 else str(rng.choice(["F", "M"])) for _ in range(n)]
        field = [str(rng.choice(["1.5T", "3T", "7T"])) for _ in range(n)]
        tables.append({"age": [40.0, *age], "sex": ["F", *sex], "field": ["7T", *field]})
    total = covariate_sums(SPEC, tables[0])
    for table in tables[1:]:
        total = total + CovariateSums.from_arrays(covariate_sums(SPEC, table).arrays())
    means = solve_means(total, SPEC.names)
    ages = [a for t in tables for a in t["age"] if a is not None]
    sexes = [s for t in tables for s in t["sex"] if s is not None]
    assert means[0] == pytest.approx(np.mean(ages))
    assert means[1] == pytest.approx(np.mean([s == "M" for s in sexes]))
    rows = design_matrix(SPEC, tables[0], "mean", means=means)
    assert np.isfinite(rows.z).all()
    assert rows.missing["age"] == sum(a is None for a in tables[0]["age"])
    gaps = [k for k, s in enumerate(tables[0]["sex"]) if s is None]
    assert rows.missing["sex"] == len(gaps)
    assert (rows.z[gaps, 1] == means[1]).all()


def test_a_column_nobody_observed_is_named():
    sums = covariate_sums(SPEC, {"age": [None], "sex": ["F"], "field": ["3T"]})
    with pytest.raises(CovariateError, match="covariate 'age'"):
        solve_means(sums, SPEC.names)
    with pytest.raises(CovariateError, match="covariate 'column 0'"):
        solve_means(sums)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"age": ["old"], "sex": ["F"], "field": ["3T"]}, "Row 0 of the numeric covariate 'age'"),
        ({"age": [np.inf], "sex": ["F"], "field": ["3T"]}, "'age' has 1 infinite"),
        ({"age": [1.0], "sex": ["F"]}, "no column 'field'"),
    ],
)
def test_unreadable_columns_are_named(table, message):
    with pytest.raises(CovariateError, match=message):
        design_matrix(SPEC, table)


def test_columns_of_different_length_are_refused():
    with pytest.raises(ShapeError, match="one value a row"):
        design_matrix(SPEC, {"age": [1.0, 2.0], "sex": ["F"], "field": ["3T"]})


def test_no_covariates():
    none = CovariateSpec()
    assert design_matrix(none, {}, rows=4).z.shape == (4, 0)
    assert design_matrix(none, {"id": ["a", "b"]}).z.shape == (2, 0)
    assert solve_means(covariate_sums(none, {}, rows=4)).shape == (0,)
    with pytest.raises(ShapeError, match="rows="):
        design_matrix(none, {})


@pytest.mark.parametrize(
    ("numeric", "categorical", "message"),
    [
        (("age", "age"), {}, "'age' is listed twice"),
        (("sex",), {"sex": ("F", "M")}, "'sex' is listed twice"),
        ((), {"sex": ("F",)}, "at least two levels"),
        ((), {"sex": ("F", "F")}, "all different"),
    ],
)
def test_a_spec_that_cannot_work_is_refused(numeric, categorical, message):
    with pytest.raises(CovariateError, match=message):
        CovariateSpec(numeric, categorical)


def test_an_unknown_missing_rule_is_refused():
    with pytest.raises(CovariateError, match="no rule 'drop'"):
        design_matrix(SPEC, {}, "drop")
