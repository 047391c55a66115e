"""NetCDF files read with care: local ones only, sizes known before anything is read, errors in our words.

Values are unpacked here (fill values, valid ranges, scale and offset), and times decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pyarrow as pa

from terracube.core.errors import AssetError, BudgetError, MetadataError
from terracube.cubes.access import Location, open_bytes
from terracube.cubes.readers import netcdf
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.table import TEXT

MAX_CELLS = 20_000_000
"""Largest number of cells of one variable, and of all measured variables of a file together."""
_MAX_VARIABLES = 2000
_MAX_BYTES = 1 << 33
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
_ANCHOR = datetime(2000, 1, 1)  # UTC
_JULIAN_DAY = 2_451_545  # of that day, at noon
#: Units of time in seconds, by all the names that UDUNITS knows; months and years have no fixed length.
_STEPS = {
    name: size
    for size, names in (
        (1e-6, "microsecond microseconds microsec microsecs"),
        (1e-3, "millisecond milliseconds millisec millisecs msec msecs ms"),
        (1.0, "second seconds sec secs s"),
        (60.0, "minute minutes min mins"),
        (3600.0, "hour hours hr hrs h"),
        (86_400.0, "day days d"),
        (604_800.0, "week weeks"),
    )
    for name in names.split()
}
_START = re.compile(
    r"(?P<year>\d{1,4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:(?:T|\s+)(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}(?:\.\d*)?))?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?"
)
# What netCDF4 raises for files that are broken in one way or another.
_FAULTS = (OSError, RuntimeError, ValueError, IndexError, KeyError, AttributeError, TypeError, OverflowError)


def is_netcdf(path: Path) -> bool:
    """Tell whether a file starts like NetCDF 3 or HDF5; never raises."""
    return common.head(path, 8).startswith(netcdf.MAGIC)


@contextmanager
def opened(path: Path) -> Iterator[netCDF4.Dataset]:
    """Open a local NetCDF file, alone: no other thread may call the library meanwhile.

    Raises
    ------
    AssetError
        If there is no such file, or it is no NetCDF file or a broken one.
    HostileInputError
        If the library does not come to an end with it.
    """
    if not is_netcdf(path):
        raise AssetError("no NetCDF file on this machine", where=str(path), expected="NetCDF 3 or 4")
    if path.stat().st_size > _MAX_BYTES:
        raise BudgetError("the file is too large", where=str(path), expected=f"<= {_MAX_BYTES} bytes")
    # The whole path, so that nothing in it can be taken for the address of a server.
    location = Location(str(path.resolve()))
    with netcdf.dataset(location, open_bytes(location), cells=MAX_CELLS) as data:
        if len(data.variables) > _MAX_VARIABLES:
            raise BudgetError("too many variables", where=str(path), got=str(len(data.variables)))
        yield data


def broken(path: Path, error: Exception) -> AssetError:
    """Say that a file is damaged."""
    return AssetError("the NetCDF file cannot be read", where=str(path), got=str(error)[:200], todo="fetch it again")


def attribute(variable: Any, name: str) -> Any:
    """Give an attribute of a variable or data set, None if it has none or an unreadable one."""
    try:
        return variable.getncattr(name)
    except _FAULTS:
        return None


def text(variable: Any, name: str) -> str:
    """Give a textual attribute, stripped; empty if there is none."""
    found = attribute(variable, name)
    return found.strip() if isinstance(found, str) else ""


def words(variable: Any, name: str) -> list[str]:
    """Give the words of a textual attribute."""
    return text(variable, name).split()


def is_number(variable: Any) -> bool:
    """Tell whether a variable holds plain numbers."""
    return isinstance(variable.dtype, np.dtype) and variable.dtype.kind in "iuf"


def is_text(variable: Any) -> bool:
    """Tell whether a variable holds characters or strings."""
    return variable.dtype is str or (isinstance(variable.dtype, np.dtype) and variable.dtype.kind in "SU")


def raw(path: Path, variable: Any) -> np.ndarray:
    """Read all of a variable as it is stored.

    Raises
    ------
    BudgetError
        If it has more than `MAX_CELLS` cells.
    AssetError
        If it cannot be read.
    """
    cells = 1
    for size in variable.shape:
        cells *= int(size)
    if cells > MAX_CELLS * (16 if is_text(variable) else 1):
        raise BudgetError(
            "a variable is too large",
            where=f"{path}, {variable.name}",
            expected=f"<= {MAX_CELLS} cells",
            got=str(cells),
            todo="split the file",
        )
    try:
        return np.asarray(variable[...])
    except _FAULTS as error:
        raise broken(path, error) from error


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a variable."""

    values: np.ndarray
    """float64, unpacked, NaN where missing."""
    shown: np.ndarray
    """The same in the type that a person would see: the stored one if nothing was packed."""
    invalid: np.ndarray
    """Where a value is there but lies outside the range that the file says is valid."""


def numbers(path: Path, variable: Any) -> Numbers:
    """Read a variable of numbers: fill values become NaN, packed values are unpacked."""
    stored = raw(path, variable)
    if text(variable, "_Unsigned").lower() == "true" and stored.dtype.kind == "i":
        stored = stored.view(stored.dtype.str.replace("i", "u"))
    missing = ~np.isfinite(stored) if stored.dtype.kind == "f" else np.zeros(stored.shape, dtype=bool)
    for fill in (
        *_listed(variable, "_FillValue"),
        *_listed(variable, "missing_value"),
        *_default_fill(variable, stored),
    ):
        missing |= stored == np.asarray(fill).astype(stored.dtype)
    low, high = _valid(variable)
    invalid = ~missing & ((stored < low) | (stored > high))
    scale, offset = (_one(variable, name, start) for name, start in (("scale_factor", 1.0), ("add_offset", 0.0)))
    packed = scale != 1.0 or offset != 0.0
    values = np.where(missing, np.nan, stored.astype("float64"))
    values = values * scale + offset if packed else values
    values[np.isinf(values)] = np.nan
    return Numbers(values, values if packed else stored, invalid)


def _listed(variable: Any, name: str) -> list[Any]:
    """Give an attribute as numbers, none if it holds none."""
    found = attribute(variable, name)
    if found is None or isinstance(found, str):
        return []
    try:
        given = np.atleast_1d(np.asarray(found, dtype="float64" if variable.dtype.kind == "f" else None))
    except (TypeError, ValueError):
        return []
    return [value for value in given.ravel()[:100] if given.dtype.kind in "iuf" and np.isfinite(value)]


def _default_fill(variable: Any, stored: np.ndarray) -> list[Any]:
    """Give what the library fills with if the file names nothing; bytes have no such value."""
    if attribute(variable, "_FillValue") is not None or stored.dtype.itemsize == 1:
        return []
    fill = netCDF4.default_fillvals.get(stored.dtype.str[1:])
    return [] if fill is None else [fill]


def _valid(variable: Any) -> tuple[float, float]:
    both = _listed(variable, "valid_range")
    if len(both) == 2:
        return float(both[0]), float(both[1])
    return _one(variable, "valid_min", -np.inf), _one(variable, "valid_max", np.inf)


def _one(variable: Any, name: str, otherwise: float) -> float:
    found = _listed(variable, name)
    return float(found[0]) if len(found) == 1 else otherwise


def strings(path: Path, variable: Any) -> np.ndarray:
    """Read a variable of texts (characters along its last dimension, strings, or whole numbers) as objects of str."""
    stored = raw(path, variable)
    if is_text(variable) and stored.dtype.kind in "SU" and stored.dtype.itemsize in (1, 4) and stored.ndim:
        width = stored.shape[-1]
        joined = np.ascontiguousarray(stored).view(f"{stored.dtype.kind}{max(width, 1)}") if width else stored[..., :0]
        stored = joined.reshape(stored.shape[:-1]) if width else np.full(stored.shape[:-1], b"", dtype=object)
    flat = [_clean(value) for value in np.atleast_1d(stored).ravel().tolist()]
    made = np.empty(stored.size, dtype=object)
    made[:] = flat
    return made.reshape(stored.shape)


def _clean(value: Any) -> str:
    plain = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    return plain.replace("\0", " ").strip()


def flags(path: Path, variable: Any) -> np.ndarray:
    """Read a variable of one-character flags as ``S1``, blank where it has none."""
    stored = raw(path, variable)
    return stored.astype("S1") if stored.dtype.kind in "SU" else np.full(stored.shape, b" ", dtype="S1")


def moments(values: np.ndarray, units: str, calendar: str, where: str) -> np.ndarray:
    """Decode times to UTC, as ``datetime64[us]``; NaN becomes NaT.

    A unit without a zone means UTC (CF conventions 1.11, section 4.4).

    Raises
    ------
    MetadataError
        If unit or calendar do not tell true dates.

    Examples
    --------
    >>> moments(np.array([1.5, np.nan]), "days since 1950-01-01", "", "juld").tolist()
    [datetime.datetime(1950, 1, 2, 12, 0), None]
    """
    told = (calendar or "standard").lower()
    if told not in _CALENDARS:
        raise MetadataError("a calendar without true dates", where=where, expected=", ".join(_CALENDARS), got=told[:80])
    word, _, start = units.partition(" since ")
    step, found = _STEPS.get(word.strip().lower()), _START.fullmatch(start.strip())
    try:
        if step is None or found is None:
            raise ValueError(units)
        days = _days(*(int(found[part]) for part in ("year", "month", "day")), mixed=told != "proleptic_gregorian")
    except ValueError as error:
        expected = "<unit> since <date> <time> <offset from UTC>, no zone by name but UTC"
        raise MetadataError("no unit of time", where=where, expected=expected, got=units[:80]) from error
    clock = 3600 * float(found["hour"] or 0) + 60 * float(found["minute"] or 0) + float(found["second"] or 0)
    anchor = -86_400.0 * days - clock + _offset(found["zone"] or "")
    passed = np.asarray(values, dtype="float64") * step - anchor
    return np.datetime64(_ANCHOR, "us") + common.seconds(passed)


def _days(year: int, month: int, day: int, *, mixed: bool) -> int:
    """Give the days from 2000-01-01 to a date; before 15 October 1582 the mixed calendar is the Julian one."""
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise ValueError("no such day")
    if mixed and (year, month, day) < (1582, 10, 15):
        # Day number of a Julian date, counted from March so that leap days end a year.
        years, months = year + 4800 - (14 - month) // 12, month + 12 * ((14 - month) // 12) - 3
        return day + (153 * months + 2) // 5 + 365 * years + years // 4 - 32_083 - _JULIAN_DAY
    return (date(year, month, day) - _ANCHOR.date()).days


def _offset(zone: str) -> float:
    """Give seconds east of Greenwich."""
    if zone in ("", "Z", "UTC", "GMT"):
        return 0.0
    digits = zone[1:].replace(":", "")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    return (3600.0 * int(hours) + 60.0 * int(minutes)) * (-1 if zone[0] == "-" else 1)


def shown(values: np.ndarray) -> pd.Series:
    """Give numbers as the shortest texts that mean them.

    Examples
    --------
    >>> shown(np.array([12.3, 4.0], dtype="float32")).tolist()
    ['12.3', '4']
    """
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype("float64")
    return pd.Series(pa.array(values.ravel()).cast(pa.string()), dtype=pd.ArrowDtype(pa.string())).astype(TEXT)


def places(name: str, dimensions: Sequence[str], indices: Sequence[np.ndarray]) -> pd.Series:
    """Give ``file.nc:dim=3,dim=5`` for cells, counted from 0 as NetCDF tools do."""
    told: Any = f"{name}:"
    for number, (dimension, index) in enumerate(zip(dimensions, indices, strict=True)):
        told = told + f"{',' if number else ''}{dimension}=" + shown(np.asarray(index, dtype="int64"))
    return told if isinstance(told, pd.Series) else pd.Series([told], dtype=TEXT)
