"""What the readers of fixed formats share: bounded text, plain numbers, positions, times as microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from terracube.core.errors import AssetError, HostileInputError, MetadataError
from terracube.ingest.insitu.decoding import decode
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.positions import to_lonlat
from terracube.ingest.insitu.table import TEXT, Action, Issue
from terracube.ingest.insitu.times import read_times
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.vocabulary import Term, term_named
from terracube.ingest.insitu.zones import find_zone

MAX_TEXT_BYTES = 1 << 29
"""Largest text file that is read: 512 MiB, some five million rows."""
_MAX_LINE = 1 << 20
Microseconds = np.dtype("M8[us]")


def head(path: Path, size: int = 4096) -> bytes:
    """Give the first bytes of a file, none if there is no such file; never raises."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(size)
    except (OSError, ValueError):
        return b""


def text_head(path: Path, size: int = 4096) -> str:
    """Give the beginning of a text file, empty for a file that is none; never raises."""
    raw = head(path, size)
    return "" if b"\0" in raw else raw.decode("utf-8-sig", errors="replace")


def read_lines(
    path: Path, mapping: Mapping | None = None, *, limit: int = MAX_TEXT_BYTES
) -> tuple[list[str], tuple[str, ...]]:
    """Read the lines of a text file, without their ends; notes and errors as in `read_text`.

    Raises
    ------
    AssetError
        Also if a line is longer than a mebibyte.
    """
    content, notes = read_text(path, mapping, limit=limit)
    lines = content.decode("utf-8").split("\n")
    longest = max(map(len, lines))
    if longest > _MAX_LINE:
        raise AssetError("a line too long for this format", where=str(path), got=f"{longest} characters")
    return lines, notes


def read_text(
    path: Path, mapping: Mapping | None = None, *, limit: int = MAX_TEXT_BYTES
) -> tuple[bytes, tuple[str, ...]]:
    """Read a text file as UTF-8 with plain line ends, and notes on how it was decoded.

    Raises
    ------
    AssetError, MetadataError
        If the file is absent, unreadable, binary, or neither UTF-8 nor of the encoding that the mapping tells.
    HostileInputError
        If it is larger than ``limit`` bytes.
    """
    encoding = mapping.layout.encoding if mapping else ""
    decoded = decode(read_bytes(path, limit=limit), encoding=encoding, where=str(path))
    if b"\0" in decoded.content:
        raise AssetError("a binary file where text is expected", where=str(path))
    return decoded.content, decoded.notes


def read_bytes(path: Path, *, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Read a file of at most ``limit`` bytes; errors as in `read_text`."""
    try:
        if not path.is_file():
            raise AssetError("no such file", where=str(path), expected="a file on this machine")
        size = path.stat().st_size
        if size > limit:
            raise HostileInputError("a file too large", where=str(path), expected=f"<= {limit} bytes", got=str(size))
        with path.open("rb") as stream:
            return stream.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise AssetError("the file cannot be read", where=repr(str(path)), got=str(error)[:200]) from error


def numbers(texts: Any) -> np.ndarray:
    """Give plain finite numbers as float64, NaN for every other text.

    Examples
    --------
    >>> numbers(["1.5", "-2e3", "", "inf", "x"]).tolist()
    [1.5, -2000.0, nan, nan, nan]
    """
    found = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    return np.where(np.isfinite(found), found, np.nan)


def integers(texts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give whole numbers as int64 and where a text is one; 0 elsewhere."""
    found = numbers(texts)
    whole = (np.abs(found) < 2**53) & (found == np.floor(found))
    return np.where(whole, found, 0).astype("int64"), whole


def dates(year: Any, month: Any, day: Any) -> np.ndarray:
    """Give days as ``datetime64[us]``, NaT where a calendar has no such day.

    Examples
    --------
    >>> dates(["2020", "2021"], ["2", "2"], ["29", "29"]).astype("M8[D]").astype(str).tolist()
    ['2020-02-29', 'NaT']
    """
    (y, y_fits), (m, m_fits), (d, d_fits) = integers(year), integers(month), integers(day)
    fits = y_fits & m_fits & d_fits & (y >= 1) & (y <= 9999) & (m >= 1) & (m <= 12) & (d >= 1) & (d <= 31)
    y, m, d = (np.where(fits, part, 1) for part in (y, m, d))
    months = (y - 1970) * 12 + m - 1
    day_one = months.astype("M8[M]").astype("M8[D]")
    made = day_one + (d - 1)
    fits &= made.astype("M8[M]") == day_one.astype("M8[M]")
    return np.where(fits, made.astype(Microseconds), np.datetime64("NaT", "us"))


def seconds(count: np.ndarray) -> np.ndarray:
    """Give seconds (float64, may be NaN) as ``timedelta64[us]``, NaT where not finite or beyond 10 000 years."""
    fits = np.isfinite(count) & (np.abs(count) < 3.2e11)
    micro = np.round(np.where(fits, count, 0.0) * 1e6).astype("int64").astype("m8[us]")
    return np.where(fits, micro, np.timedelta64("NaT", "us"))


def in_unit_of(values: np.ndarray, unit: str, term: Term) -> np.ndarray:
    """Convert to the unit of the vocabulary; NaN stays NaN."""
    return np.asarray(convert(np.asarray(values, dtype="float64"), unit, term), dtype="float64")


def to_wgs84(x: float, y: float, crs: str, where: str) -> tuple[float, float]:
    """Give longitude and latitude (WGS 84, degrees) of a position in another system, told as ``EPSG:n``.

    Raises
    ------
    MetadataError
        If the position lies outside the system, or the system is not known.
    """
    east, north = to_lonlat(np.array([x], dtype="float64"), np.array([y], dtype="float64"), crs)
    lon, lat = float(east[0]), float(north[0])
    if not (np.isfinite(lon) and np.isfinite(lat) and abs(lat) <= 90 and abs(lon) <= 180):
        raise MetadataError("no position on Earth", where=where, expected=crs, got=f"{x}, {y}")
    return lon, lat


def around(lon: Any) -> Any:
    """Bring longitudes to -180 (included) ... 180 (excluded) degrees.

    Examples
    --------
    >>> around(243.5), around(-229.25)
    (-116.5, 130.75)
    """
    return (lon + 180.0) % 360.0 - 180.0


def counted(source: str, names: Iterable[Any], *, field: str, what: str, action: Action = "left out") -> list[Issue]:
    """Tell how often each of the names stood there: one issue per name, in their order, with the number of rows."""
    told = pd.Series(list(names), dtype=object)
    counts = told.value_counts(sort=False)
    return [
        Issue(source, None, field, what, f"{str(name)[:80]} ({number} rows)", action)
        for name, number in sorted(counts.items(), key=lambda pair: str(pair[0]))
    ]


def texts(values: Sequence[Any] | np.ndarray) -> pd.Series:
    """Give a column of text, as the table of observations keeps it."""
    return pd.Series(values, dtype=object).astype(TEXT)


def sources(name: str, rows: np.ndarray) -> pd.Series:
    """Give ``file:row`` for rows counted from 1."""
    return f"{name}:" + pd.Series(np.asarray(rows, dtype="int64")).astype(TEXT)


def terms(*names: str) -> tuple[Term, ...]:
    """Give the terms of these names."""
    return tuple(map(term_named, names))


def about(mapping: Mapping | None) -> dict[str, str]:
    """Give what the mapping tells of the data set."""
    told = mapping.about.model_dump() if mapping else {}
    return {name: value for name, value in told.items() if value}


def zone_of(mapping: Mapping | None) -> str | None:
    """Give the time zone that the mapping tells, if it does."""
    return mapping.time.zone if mapping else None


def to_utc(local: np.ndarray, zone: str) -> tuple[np.ndarray, np.ndarray]:
    """Give local times in UTC, and where they are unsure because a clock was put forward or back.

    Examples
    --------
    >>> utc, unsure = to_utc(np.array(["2020-10-25T02:30", "2020-07-01T12:00"], "M8[us]"), "Europe/Amsterdam")
    >>> utc.astype("M8[h]").astype(str).tolist(), unsure.tolist()
    (['2020-10-25T00', '2020-07-01T10'], [True, False])
    """
    found = find_zone(zone)
    if isinstance(found, timezone):
        return np.asarray(local) - np.timedelta64(found.utcoffset(None), "us"), np.zeros(len(local), dtype=bool)
    told = np.where(np.isnat(local), "", np.datetime_as_string(local, unit="us"))
    read = read_times(pa.array(told.tolist(), pa.string()), zone=zone)
    return read.utc, read.ambiguous | read.nonexistent


def constant_time(text: str, mapping: Mapping | None) -> np.datetime64:
    """Give the one time that a mapping tells for all rows, in UTC.

    Raises
    ------
    MetadataError
        If it is no time, or has no zone.
    """
    where = "time.constant in the mapping"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise MetadataError("no time", where=where, expected="ISO 8601", got=text[:80]) from error
    if moment.tzinfo is not None:
        return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
    zone = zone_of(mapping)
    if zone is None:
        raise MetadataError("a time without a zone", where=where, expected="time.zone in the mapping", got=text[:80])
    utc = to_utc(np.array([moment], dtype=Microseconds), zone)[0][0]
    return np.datetime64(utc, "us")


def depth_of_pressure(pressure: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Give the depth below the surface (m) of a pressure (dbar, less the atmosphere's) at a latitude (degrees).

    The closed form of Saunders and Fofonoff for a standard ocean (35, 0 degC); true within 0.1 m of it to 10 000 dbar.
    NaN where either is.

    References
    ----------
    Fofonoff and Millard (1983), Algorithms for computation of fundamental properties of seawater, UNESCO Technical
    Papers in Marine Science 44, section 4. DOI 10.25607/OBP-1450.

    Examples
    --------
    >>> round(float(depth_of_pressure(10_000.0, 30.0)), 3)
    9712.653
    """
    p, x = np.asarray(pressure, dtype="float64"), np.sin(np.radians(latitude)) ** 2
    gravity = 9.780318 * (1.0 + (5.2788e-3 + 2.36e-5 * x) * x) + 1.092e-6 * p
    standard = (((-1.82e-15 * p + 2.279e-10) * p - 2.2512e-5) * p + 9.72659) * p
    return np.asarray(standard / gravity)


def in_metres(values: np.ndarray, unit: str) -> np.ndarray:
    """Convert depths to metres; raises MetadataError if the unit is no length."""
    return in_unit_of(values, unit, term_named("water_depth"))
