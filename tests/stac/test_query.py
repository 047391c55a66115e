"""Searches as users write them."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.stac import Filter, Query, parse_bbox, parse_filter, parse_interval, to_query
from terracube.stac.query import split_bbox

MOMENTS = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC))
DATES = st.dates()
PROPERTIES = st.from_regex(r"[A-Za-z0-9_:.-]{1,40}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=100)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ORDERS = st.sampled_from(["<", "<=", ">", ">=", "=", "!="])


@given(PROPERTIES, ORDERS, NUMBERS | TEXTS)
def test_a_filter_written_and_read_is_the_same(name: str, operator: str, value: float | str) -> None:
    """parse_filter undoes str()."""
    one = Filter(name, operator, value)  # type: ignore[arg-type]
    assert parse_filter(str(one)) == one
    assert type(parse_filter(str(one)).value) is type(value)


@given(PROPERTIES, st.sampled_from(["=", "!="]), st.booleans())
def test_a_boolean_filter_written_and_read_is_the_same(name: str, operator: str, value: bool) -> None:
    """true and false stay booleans."""
    one = Filter(name, operator, value)  # type: ignore[arg-type]
    assert parse_filter(str(one)) == one
    assert parse_filter(str(one)).value is value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eo:cloud_cover<60", Filter("eo:cloud_cover", "<", 60.0)),
        (" eo:cloud_cover <= 6e1 ", Filter("eo:cloud_cover", "<=", 60.0)),
        ("a>=-.5", Filter("a", ">=", -0.5)),
        ("platform=sentinel-2a", Filter("platform", "=", "sentinel-2a")),
        ('platform="60"', Filter("platform", "=", "60")),
        ("a=x<y", Filter("a", "=", "x<y")),
        ("flag!=true", Filter("flag", "!=", True)),
        ("a=nan", Filter("a", "=", "nan")),
    ],
)
def test_filters_are_read(text: str, expected: Filter) -> None:
    """Numbers, booleans, quoted and bare texts, with blanks around."""
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<60",
        "a",
        "a<",
        "a< ",
        "a b<3",
        "a'<3",
        'a")<3',
        "a==3",
        "a=<3",
        "a<1e999",
        "a<true",
        'a="x',
        "a=\0",
        "a<" + "9" * 5000,
    ],
)
def test_malformed_filters_are_refused(text: str) -> None:
    """A filter that cannot be meant is an error, never another filter."""
    with pytest.raises(InputError):
        parse_filter(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, "", "a\nb", "\ud800"])
def test_filter_values_that_compare_with_nothing_are_refused(value: float | str) -> None:
    """Also when a filter is built by hand."""
    with pytest.raises(InputError):
        Filter("a", "=", value)


def test_filter_operator_is_checked() -> None:
    """An operator that no store knows never reaches one."""
    with pytest.raises(InputError, match="operator"):
        Filter("a", "LIKE", 1.0)  # type: ignore[arg-type]


@given(DATES)
def test_a_day_is_all_of_it(day: datetime) -> None:
    """From its first to its last microsecond."""
    start, end = parse_interval(day.isoformat())
    assert start == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert end is not None
    assert start is not None
    assert end - start == timedelta(days=1) - timedelta(microseconds=1)


@given(st.integers(1, 9999), st.integers(1, 12))
def test_a_month_is_all_of_it(year: int, month: int) -> None:
    """Its last day is the calendar's."""
    start, end = parse_interval(f"{year:04}-{month:02}")
    last = calendar.monthrange(year, month)[1]
    assert start == datetime(year, month, 1, tzinfo=UTC)
    assert end == datetime(year, month, last, 23, 59, 59, 999999, tzinfo=UTC)


@given(st.integers(1, 9999))
def test_a_year_is_all_of_it(year: int) -> None:
    """January to December."""
    start, end = parse_interval(f"{year:04}")
    assert start == datetime(year, 1, 1, tzinfo=UTC)
    assert end == datetime(year, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@given(MOMENTS, MOMENTS)
def test_an_interval_written_and_read_is_the_same(one: datetime, other: datetime) -> None:
    """RFC 3339 in, the same moments out, in order or refused."""
    text = f"{one.isoformat()}/{other.isoformat()}"
    if one <= other:
        assert parse_interval(text) == (one, other)
    else:
        with pytest.raises(InputError, match="before it starts"):
            parse_interval(text)


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_an_offset_moves_the_moment_to_utc(moment: datetime, minutes: int) -> None:
    """The same moment, told in another zone."""
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_interval(there.isoformat()) == (moment, moment)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2023-08-01/2023-08-31", "2023-08-01T00:00:00+00:00", "2023-08-31T23:59:59.999999+00:00"),
        ("2023-08/2023-09", "2023-08-01T00:00:00+00:00", "2023-09-30T23:59:59.999999+00:00"),
        ("2023-08-01T00:00:00z/..", "2023-08-01T00:00:00+00:00", None),
        ("../2023", None, "2023-12-31T23:59:59.999999+00:00"),
        ("/2023", None, "2023-12-31T23:59:59.999999+00:00"),
    ],
)
def test_intervals_are_read(text: str, start: str | None, end: str | None) -> None:
    """Periods at both ends, and open ends."""
    assert [moment and moment.isoformat() for moment in parse_interval(text)] == [start, end]


@pytest.mark.parametrize(
    "text",
    ["", "..", "../..", "/", "2023/2024/2025", "23", "2023-13", "2023-02-30", "0000", "2023-08-01T10:00:00",
     "yesterday",
     "2023-09/2023-08", "9999-12-31T23:59:59-14:00", "2023-08-01T00:00:60Z",
     "x" * 10000],
)  # fmt: skip
def test_malformed_intervals_are_refused(text: str) -> None:
    """No date, no zone, no order: no guess."""
    with pytest.raises(InputError):
        parse_interval(text)


@pytest.mark.parametrize("value", ["14,46,15,47", " 14 , 46, 15 ,47", (14, 46, 15, 47), [14.0, 46.0, 15.0, 47.0]])
def test_bboxes_are_read(value: str | list[float]) -> None:
    """As text or as numbers."""
    assert parse_bbox(value) == (14.0, 46.0, 15.0, 47.0)


@pytest.mark.parametrize(
    "value",
    ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,1,1", "0,0,inf,1", "0,1,1,0", "0,0,0,1", "0,0,1,0", "0,-91,1,0",
     "0,0,1,91", "-181,0,1,1", "0,0,181,1"],
)  # fmt: skip
def test_malformed_bboxes_are_refused(value: str) -> None:
    """Wrong number of numbers, no numbers, off the globe, upside down, empty."""
    with pytest.raises(InputError):
        parse_bbox(value)


def test_a_box_over_the_antimeridian_is_two() -> None:
    """And any other stays one."""
    assert split_bbox((170, -20, -170, -10)) == ((170, -20, 180, -10), (-180, -20, -170, -10))
    assert split_bbox((-10, 0, 10, 1)) == ((-10, 0, 10, 1),)


def test_the_door_makes_one_canonical_query() -> None:
    """Whatever form the parts came in."""
    expected = Query(
        collections=("s2",),
        bbox=(1.0, 2.0, 3.0, 4.0),
        start=datetime(2023, 1, 1, tzinfo=UTC),
        end=datetime(2023, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ids=("a", "b"),
        filters=(Filter("eo:cloud_cover", "<", 60.0),),
        limit=3,
    )
    texts = to_query(
        collections="s2", bbox="1,2,3,4", datetime="2023", ids=["a", "b"], filters="eo:cloud_cover<60", limit=3
    )
    values = to_query(
        collections=["s2"], bbox=[1, 2, 3, 4], datetime="2023", ids=("a", "b"), filters=expected.filters, limit=3
    )
    assert texts == values == expected
    assert to_query() == Query()


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": -1},
        {"ids": [""]},
        {"ids": "a\0"},
        {"collections": "x" * 1001},
        {"filters": ["a<1"] * 51},
    ],
)
def test_wrong_parts_of_a_query_are_refused(options: dict[str, object]) -> None:
    """Limits, names and numbers of filters are bounded."""
    with pytest.raises(InputError):
        to_query(**options)  # type: ignore[arg-type]


def test_a_query_built_by_hand_is_checked_too() -> None:
    """A value that exists is a value that is right."""
    with pytest.raises(InputError, match="time zone"):
        Query(start=datetime(2023, 1, 1))
    with pytest.raises(InputError, match="globe"):
        Query(bbox=(0, 0, 1, 100))
