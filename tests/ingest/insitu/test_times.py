"""Times: UTC or told why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import MetadataError
from terracube.ingest.insitu.times import from_serials, join_clock, join_parts, read_times
from terracube.ingest.insitu.zones import find_zone

WARSAW = "Europe/Warsaw"


def utc(text: str, **told: str) -> str:
    """Read one time; give it to the minute."""
    return str(read_times(pa.array([text]), **told).utc[0])[:16]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-07-01 12:00", "2020-07-01T10:00"),
        ("2020-07-01T12:00:30", "2020-07-01T10:00"),
        ("2020-07-01T12:00Z", "2020-07-01T12:00"),
        ("2020-07-01T12:00+05:30", "2020-07-01T06:30"),
        ("2020-07-01 12:00 -0500", "2020-07-01T17:00"),
        ("2020-07-01 1200", "2020-07-01T10:00"),
        ("2020-07-01T24:00", "2020-07-01T22:00"),
        ("2020-01-01T23:59:60", "2020-01-01T23:00"),
        ("2020-07-01T12:00:00,5", "2020-07-01T10:00"),
    ],
)
def test_iso_times(text: str, expected: str) -> None:
    """A zone in the cell goes before the zone of the mapping; 24:00 is the next day, a 60th second the next minute."""
    assert utc(text, zone=WARSAW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2020-02-30",
        "2020-13-01",
        "2020-01-01 25:30",
        "2020-01-01 12:60",
        "20-01-01",
        "1500-01-01",
        "9999-12-31",
        "2020-01",
    ],
)
def test_no_times(text: str) -> None:
    """A day that never was, a month alone, and days that cannot be kept are no times."""
    found = read_times(pa.array([text, "2020-01-01"]), zone="UTC")
    assert np.isnat(found.utc[0])
    assert not np.isnat(found.utc[1])


def test_a_day_is_a_day_in_any_zone() -> None:
    """Without a time of day, 00:00 stands for the day as written, and is told; a zone does not move it."""
    found = read_times(pa.array(["2019-08-20"]), zone="Asia/Shanghai")
    assert str(found.utc[0])[:16] == "2019-08-20T00:00"
    assert found.day_only[0]


def test_times_without_any_zone_are_not_guessed() -> None:
    """A time of day without a zone is no moment."""
    found = read_times(pa.array(["2020-07-01 12:00", "2020-07-01 12:00Z", "2020-07-01"]))
    assert found.zoneless.tolist() == [True, False, False]
    assert np.isnat(found.utc[0])


def test_the_hour_that_comes_twice_is_flagged_or_chosen() -> None:
    """Night of 25 October 2020 in Warsaw: 02:30 was at 00:30 and at 01:30 UTC."""
    cells = pa.array(["2020-10-25 02:30", "2020-10-25 03:30", "2020-10-25 01:59"])
    found = read_times(cells, zone=WARSAW)
    assert found.ambiguous.tolist() == [True, False, False]
    assert [str(time)[11:16] for time in found.utc] == ["00:30", "02:30", "23:59"]
    first, second = (read_times(cells, zone=WARSAW, folds=fold) for fold in ("first", "second"))
    assert not first.ambiguous.any()
    assert str(first.utc[0])[11:16] == "00:30"
    assert str(second.utc[0])[11:16] == "01:30"


def test_the_hour_that_never_comes_is_flagged() -> None:
    """Night of 29 March 2020 in Warsaw: 02:30 did not come; read as if the clock had not been put forward."""
    found = read_times(pa.array(["2020-03-29 02:30", "2020-03-29 03:00"]), zone=WARSAW)
    assert found.nonexistent.tolist() == [True, False]
    assert [str(time)[11:16] for time in found.utc] == ["01:30", "01:00"]


def test_midnight_that_never_comes() -> None:
    """In Beirut, 26 March 2000 began at 01:00: a change at the edge of a day is seen too."""
    found = read_times(pa.array(["2000-03-26 00:30", "2000-03-25 23:30"]), zone="Asia/Beirut")
    assert found.nonexistent.tolist() == [True, False]


@given(
    st.lists(st.datetimes(datetime(1950, 1, 1), datetime(2037, 1, 1)), min_size=1, max_size=20),
    st.sampled_from([WARSAW, "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Monrovia"]),
)
def test_local_times_agree_with_the_standard_library(moments: list[datetime], zone: str) -> None:
    """Every local time becomes what Python's own zones make of it, first fold first."""
    texts = [moment.isoformat(sep=" ", timespec="microseconds") for moment in moments]
    found = read_times(pa.array(texts), zone=zone)
    expected = [moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None) for moment in moments]
    assert found.utc.tolist() == expected


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("01.02.2020 13:05", "%d.%m.%Y %H:%M", "2020-02-01T13:05"),
        ("02/01/2020 1:05 PM", "%m/%d/%Y %I:%M %p", "2020-02-01T13:05"),
        ("1/2/2020 00:00", "%d/%m/%Y %H:%M", "2020-02-01T00:00"),
        ("2019年8月20日", "%Y年%m月%d日", "2019-08-20T00:00"),
        ("20190820", "%Y%m%d", "2019-08-20T00:00"),
        ("2020-02-01 13:05", "%d.%m.%Y %H:%M", "2020-02-01T13:05"),
        ("1580562300", "unix", "2020-02-01T13:05"),
        ("01.02.2020", "%d.%m.%Y %H:%M", "2020-02-01T00:00"),
    ],
)
def test_declared_forms(text: str, form: str, expected: str) -> None:
    """As the mapping says; ISO 8601 whatever it says; a day among times is a day."""
    assert utc(text, form=form, zone="UTC") == expected


def test_forms_that_are_none_and_cells_that_do_not_fit() -> None:
    """A wrong format is told; a cell that does not fit is no time, and never read the other way round."""
    with pytest.raises(MetadataError, match="no format"):
        read_times(pa.array(["x"]), form="%Q", zone="UTC")
    assert np.isnat(read_times(pa.array(["13/25/2020"]), form="%d/%m/%Y").utc[0])


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        (1, "1900-01-01"),
        (59, "1900-02-28"),
        (60, "NaT"),
        (61, "1900-03-01"),
        (43697, "2019-08-20"),
        (2958465, "9999-12-31"),
        (2958466, "NaT"),
        (0, "NaT"),
        (-1, "NaT"),
        (np.inf, "NaT"),
    ],
)
def test_serial_days_from_1900(serial: float, expected: str) -> None:
    """Day 60 is a 29 February that never was (ECMA-376, part 1, section 18.17.4.1)."""
    assert str(from_serials(np.array([serial]))[0])[:10] == expected


def test_serial_days_from_1904_and_fractions() -> None:
    """The two systems are 1462 days apart; a third of a day is eight hours to the millisecond."""
    assert from_serials(np.array([43697.0 - 1462]), of_1904=True)[0] == np.datetime64("2019-08-20")
    assert str(from_serials(np.array([43697 + 1 / 3]))[0]) == "2019-08-20T08:00:00.000000"


def test_serials_of_midnight_among_times_are_times() -> None:
    """Whole numbers among fractions are midnights; whole numbers alone are days."""
    mixed = read_times(pa.array(["43697.5", "43698"]), form="excel", zone="+08:00")
    assert not mixed.day_only.any()
    assert str(mixed.utc[1])[:16] == "2019-08-20T16:00"
    assert read_times(pa.array(["43697", "43698"]), form="excel").day_only.all()


def test_zones_per_row() -> None:
    """Letters of a column, names, an empty cell that takes the mapping's zone, and letters that mean two zones."""
    zones = pa.array(["EST", "America/Chicago", "", "CST"])
    found = read_times(pa.array(["2020-07-01 12:00"] * 4), zones=zones, zone="UTC")
    assert [str(time)[11:16] for time in found.utc[:3]] == ["17:00", "17:00", "12:00"]
    assert found.zoneless.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    "name", ["", "CST", "IST", "Mars/Olympus", "+25:00", "../etc", "x" * 999, "/etc/passwd", "a/../b"]
)
def test_zones_that_are_none(name: str) -> None:
    """Names that mean nothing, or two things, are told."""
    with pytest.raises(MetadataError, match="zone"):
        find_zone(name)


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("+08:00", 8), ("-0330", -3.5), ("UTC+8", 8), ("EST", -5), ("Asia/Shanghai", 8)]
)
def test_zones_that_are_one(name: str, hours: float) -> None:
    """Names, shifts and letters."""
    assert datetime(2020, 1, 1, tzinfo=find_zone(name)).utcoffset() == timedelta(hours=hours)


def test_date_and_clock_of_two_columns() -> None:
    """ISO by default, with short clocks; as the form says otherwise; an empty clock leaves the day."""
    dates = pa.array(["2020-01-01", "2020-01-01T00:00:00", "2020-01-01", "2020-01-01"])
    joined = join_clock(dates, pa.array(["9:05", "13:30:00", "930", None]), "iso")
    found = read_times(joined, zone="UTC")
    assert [str(time)[11:16] for time in found.utc] == ["09:05", "13:30", "09:30", "00:00"]
    assert found.day_only.tolist() == [False, False, False, True]
    assert join_clock(pa.array(["01.02.2020"]), pa.array([" 9:05 "]), "%d.%m.%Y %H:%M").to_pylist() == [
        "01.02.2020 9:05"
    ]


def test_parts_of_columns() -> None:
    """Year, month, day and what follows; a 30 February and a thirteenth month are none."""
    numbers = {"year": [2020, 2020, 2020, np.nan], "month": [2, 2, 13, 1], "day": [29, 30, 1, 1], "hour": [3, 3, 3, 3]}
    joined = join_parts({name: np.array(values, dtype="float64") for name, values in numbers.items()})
    found = read_times(joined, zone="UTC")
    assert str(found.utc[0])[:16] == "2020-02-29T03:00"
    assert np.isnat(found.utc[1:]).all()
    days = join_parts({"year": np.array([2020.0]), "month": np.array([1.0]), "day": np.array([5.0])})
    assert read_times(days).day_only.all()


def test_days_to_come_and_days_long_past_are_odd() -> None:
    """Tomorrow's measurement, and one of 1799."""
    found = read_times(pa.array(["2020-01-03", "2020-01-01", "1799-12-31", ""]))
    odd = found.odd(datetime(2020, 1, 1, tzinfo=UTC))
    assert odd["future"].tolist() == [True, False, False, False]
    assert odd["too_old"].tolist() == [False, False, True, False]


@given(
    st.lists(st.text(max_size=25) | st.none(), max_size=10),
    st.sampled_from(["iso", "excel", "excel1904", "unix", "%d.%m.%Y %H:%M", "%Y%m%d", "%b %d, %Y"]),
)
def test_any_texts_are_times_or_none(texts: list[str | None], form: str) -> None:
    """No text breaks it."""
    found = read_times(pa.array(texts, pa.string()), form=form, zone=WARSAW)
    assert len(found.utc) == len(texts)


@given(
    st.lists(
        st.from_regex(
            r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:?[0-9]{2}"
            r"(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
        ),
        max_size=5,
    )
)
def test_texts_like_times_are_read_alike_alone_and_together(texts: list[str]) -> None:
    """A cell does not depend on its neighbours: the quick way and the careful way agree."""
    together = read_times(pa.array(texts, pa.string()), zone="UTC").utc
    alone = [read_times(pa.array([text]), zone="UTC").utc[0] for text in texts]
    assert pd.Series(together).equals(pd.Series(np.array(alone, dtype="datetime64[us]")))
