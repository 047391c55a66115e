"""Cells as numbers: nothing mended, nothing lost."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.ingest.insitu.numbers import (
    ABSENT,
    CENSORED,
    EMPTY,
    NUMBER,
    REMARK,
    UNDETECTED,
    WRONG,
    Style,
    look_alikes,
    read_numbers,
)


def one(text: str | None, style: Style | None = None) -> tuple[float, int, bool]:
    """Read one cell."""
    found = read_numbers(pa.array([text], pa.string()), style or Style())
    return float(found.values[0]), int(found.status[0]), bool(found.above[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("-0", 0.0),
        ("+3", 3.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1E-3", 0.001),
        ("\u22125", -5.0),
        ("\uff10.\uff15", 0.5),
    ],
)
def test_plain_numbers(text: str, value: float) -> None:
    """Blanks, signs, powers, the typographic minus and full-width digits."""
    assert one(text)[:2] == (value, NUMBER)


@pytest.mark.parametrize(
    ("text", "value", "above"),
    [
        ("<0.01", 0.01, False),
        ("< 0.01", 0.01, False),
        ("> 200", 200.0, True),
        ("≤3", 3.0, False),
        ("&lt;0.5", 0.5, False),
        ("\uff1c0.5", 0.5, False),
        (">=7", 7.0, True),
    ],
)
def test_censored_values_keep_their_limit(text: str, value: float, above: bool) -> None:
    """Below 0.01 is censored at 0.01, and never zero."""
    assert one(text) == (value, CENSORED, above)


@pytest.mark.parametrize(
    "text", ["n.d.", "ND", "nd", "BDL", "bdl", "b.d.l.", "<LOD", "<DL", "未检出", "not detected", "Below Detection"]
)
def test_undetected_is_no_number_and_no_zero(text: str) -> None:
    """Whatever a laboratory calls it; without a limit there is no value."""
    value, status, _ = one(text)
    assert status == UNDETECTED
    assert np.isnan(value)


@pytest.mark.parametrize("text", ["-", "--", "\u2013", "NA", "n/a", "NaN", "null", "#N/A", "无", "缺测"])
def test_marks_of_no_value(text: str) -> None:
    """A dash in a column of numbers says that there is none."""
    assert one(text)[1] == ABSENT


@pytest.mark.parametrize("text", ["", "  ", None])
def test_empty_cells(text: str | None) -> None:
    """Blank and null cells are empty."""
    assert one(text)[1] == EMPTY


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("abc", "no number"),
        ("TRUE", "true or false"),
        ("#DIV/0!", "spreadsheet"),
        ("=A1*2", "formula"),
        ("3,5", "decimal mark"),
        ("1e400", "no number"),
        ("inf", "no number"),
        ("0x10", "no number"),
        ("1_000", "no number"),
        ("1.2-1.5", "no number"),
        ("1.2.3", "no number"),
        ("12.5 mg/L", "no number"),
    ],
)
def test_what_is_no_number_is_told_with_the_reason(text: str, why: str) -> None:
    """Nothing is mended: a comma where a point is declared is no number."""
    found = read_numbers(pa.array([text]), Style())
    assert found.status[0] == WRONG
    assert np.isnan(found.values[0])
    assert why in found.reasons[text]


@pytest.mark.parametrize(
    ("text", "value"), [("~5", 5.0), ("5.1*", 5.1), ("12 J", 12.0), ("7?", 7.0), ("ca. 3", 3.0), ("约3", 3.0)]
)
def test_remarked_numbers_are_kept_with_a_doubt(text: str, value: float) -> None:
    """A laboratory's remark leaves the number, and a flag."""
    assert one(text)[:2] == (value, REMARK)


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("1,5", Style(","), 1.5),
        ("<0,01", Style(","), 0.01),
        ("1.234,5", Style(",", "."), 1234.5),
        ("1.234", Style(",", "."), 1234.0),
        ("-1.234.567", Style(",", "."), -1234567.0),
        ("1,234.5", Style(".", ","), 1234.5),
        ("12 345,6", Style(",", " "), 12345.6),
        ("1'234", Style(".", "'"), 1234.0),
    ],
)
def test_decimal_commas_and_thousands_as_declared(text: str, style: Style, value: float) -> None:
    """Only as declared."""
    assert one(text, style)[0] == value


@pytest.mark.parametrize(
    ("text", "style"), [("1.5", Style(",")), ("12,34", Style(".", ",")), ("1.23.456,5", Style(",", "."))]
)
def test_marks_against_the_declaration_are_wrong(text: str, style: Style) -> None:
    """1.5 in a column of decimal commas may be anything."""
    assert one(text, style)[1] == WRONG


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("-999", (-999,)),
        ("-999.0", (-999,)),
        ("9.969209968386869e36", (9.96921e36,)),
        ("lost", ("lost",)),
        ("999.99", ("999.99",)),
    ],
)
def test_declared_marks_are_missing(text: str, missing: tuple[str | float, ...]) -> None:
    """Numbers by their value, texts as they stand."""
    assert one(text, Style(missing=missing))[1] == ABSENT


def test_limits_are_not_taken_for_marks() -> None:
    """A censored value that equals a declared mark is no mark: it has its sign."""
    assert one("<999", Style(missing=(999,)))[:2] == (999.0, CENSORED)


def test_look_alikes_stand_out() -> None:
    """A sentinel is one if it is impossible, or far beyond all others; the same number among its like is a value."""
    values = np.array([3.0, 5.0, 999.99, -999.0, 9.96921e36, np.nan])
    assert look_alikes(values, values < 0).tolist() == [False, False, True, True, True, False]
    among = np.array([700.0, 999.0, 800.0])
    assert not look_alikes(among, among < 0).any()
    assert look_alikes(np.zeros(0), np.zeros(0, bool)).tolist() == []


def test_no_cells_no_numbers() -> None:
    """An empty column, in one piece or in chunks."""
    assert len(read_numbers(pa.array([], pa.string()), Style()).values) == 0
    assert len(read_numbers(pa.chunked_array([["1"], ["x"]]), Style()).values) == 2


@given(
    st.lists(st.text(max_size=20) | st.none(), max_size=20),
    st.sampled_from([Style(), Style(","), Style(",", "."), Style(".", " ")]),
)
def test_any_texts_are_read(texts: list[str | None], style: Style) -> None:
    """No text breaks it; a value stands exactly where the status says so, and is finite."""
    found = read_numbers(pa.array(texts, pa.string()), style)
    has = np.isin(found.status, (NUMBER, CENSORED, REMARK))
    assert np.isfinite(found.values[has]).all()
    assert np.isnan(found.values[~has]).all()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_numbers_are_read_as_python_reads_them(values: list[float]) -> None:
    """To the last bit, alone and beside a cell that is none: both ways of reading agree."""
    texts = [repr(value) for value in values]
    plain = read_numbers(pa.array(texts, pa.string()), Style()).values
    mixed = read_numbers(pa.array([*texts, "x"], pa.string()), Style()).values[:-1]
    np.testing.assert_array_equal(plain, np.array(values, dtype="float64"))
    np.testing.assert_array_equal(plain, mixed)
