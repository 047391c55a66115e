"""The canonical table: what it holds, what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from terracube.core.errors import InputError
from terracube.ingest.insitu.table import COLUMNS, TEXT, Issue, check, doubt, empty, join, make, tell

NOON = np.array(["2020-01-01T12:00"], "M8[us]")


def good(**columns: object) -> pd.DataFrame:
    """Make a table of one good row, some columns changed."""
    told = {"station": "A", "time": NOON, "variable": "ph", "value": [8.1], "unit": "1", "source": "a.csv:2", **columns}
    return make(**told)


def test_empty_table_keeps_the_contract() -> None:
    """A table without rows has all columns and types."""
    check(empty())
    assert list(empty().columns) == list(COLUMNS)


def test_made_table_keeps_the_contract_and_flags_what_is_not_told() -> None:
    """Numbers not told are NaN, texts empty, qc 2, and 9 where the value is NaN."""
    table = good(value=[np.nan])
    check(table)
    assert table.loc[0, "qc"] == 9
    assert np.isnan(table.loc[0, "depth"])
    assert table.loc[0, "method"] == ""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("station", ""),
        ("variable", ""),
        ("source", ""),
        ("unit", ""),
        ("time", None),
        ("qc", [7]),
        ("censored", "="),
        ("lon", [1.0]),
        ("value", [np.inf]),
    ],
)
def test_check_names_the_column_that_is_wrong(column: str, value: object) -> None:
    """Each broken promise is told with the name of its column."""
    with pytest.raises(InputError) as caught:
        check(good(**{column: value}))
    assert caught.value.where == column


def test_check_refuses_a_value_missing_without_its_flag() -> None:
    """NaN stands only where qc is 9."""
    with pytest.raises(InputError, match="not a table"):
        check(good(value=[np.nan], qc=[2]))


def test_check_refuses_other_columns_and_types() -> None:
    """The columns, their order and their types are fixed."""
    with pytest.raises(InputError):
        check(good().drop(columns="qc"))
    with pytest.raises(InputError):
        check(good().astype({"qc": "int64"}))


def test_make_accepts_arrow_lists_categories_and_zones() -> None:
    """Texts of any kind become one type; times in a zone become UTC; nothing is shared with the caller."""
    values = np.array([1.0, 2.0])
    table = make(
        station=pa.array(["A", None]),
        station_name=pd.Series(["x", "y"], dtype="category"),
        time=pd.Series(pd.to_datetime(["2020-07-01 12:00"] * 2).tz_localize("Europe/Warsaw")),
        variable=["ph", "tn"],
        value=values,
    )
    values[0] = 99
    assert table.station.dtype == TEXT
    assert table.station.tolist() == ["A", ""]
    assert table.time[0] == pd.Timestamp("2020-07-01T10:00Z")
    assert table.value.tolist() == [1.0, 2.0]


def test_make_refuses_what_does_not_fit() -> None:
    """Unknown columns, different lengths and wrong values are named."""
    with pytest.raises(InputError, match="no such column"):
        make(size=1, nonsense="x")
    with pytest.raises(InputError, match="length"):
        make(value=[1.0], depth=[1.0, 2.0])
    with pytest.raises(InputError):
        make(value=["x"])
    with pytest.raises(InputError, match="length"):
        make(station="A")


def test_join_makes_one_index_and_of_nothing_nothing() -> None:
    """Tables below each other have rows from 0; no tables give the empty table."""
    assert join([good(), empty(), good()]).index.tolist() == [0, 1]
    check(join([]))


def test_many_issues_are_told_as_a_number() -> None:
    """The first thousand one by one, the rest in one line; nothing is silent."""
    issues = tell("a.csv", range(1, 1501), "T", what="no number", values=["x"] * 1500, action="flagged")
    assert len(issues) == 1001
    assert "500 more rows, the last is row 1500" in issues[-1].value


def test_issue_is_a_sentence_with_file_row_and_field() -> None:
    """A person finds the place."""
    assert str(Issue("a.csv", 3, "TN", "no number", "x", "flagged")) == "a.csv, row 3, TN: no number: x (flagged)"
    assert str(Issue("a.csv", None, "TN", "no unit", "", "refused")) == "a.csv, TN: no unit (refused)"


def test_doubt_adds_and_never_overwrites() -> None:
    """A second test is added behind a comma; where nothing is doubtful the column is the same object."""
    tests = pd.Series(["", "spike:3"], dtype=TEXT)
    assert doubt(tests, "future", np.array([True, True])).tolist() == ["future:3", "spike:3,future:3"]
    assert doubt(tests, "future", np.array([False, False])) is tests
    assert tests.tolist() == ["", "spike:3"]
