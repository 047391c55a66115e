"""Stations of satellite navigation: their series, and how the motion that radar saw compares with them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import AssetError, EmptyResultError, HostileInputError, InputError, MetadataError

type Doubles = NDArray[np.float64]
type Columns = dict[str, list[str]]

_LARGEST = 64 * 1024 * 1024
_UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
# Such stations are younger than 1980; days and times without a zone, which are UTC, or with that of UTC.
_ISO = re.compile(r"(19[89]\d|20\d\d)-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?Z?)?")
MOST_WINDOW = 36_525.0
"""Days around a date that may count for it."""
_AXES = ("east", "north", "up")
_PAIRS = (("en", 0, 1), ("eu", 0, 2), ("nu", 1, 2))
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# Where the format keeps what: whole metres, the rest of them, standard deviations, correlations.
_TENV3 = {
    "whole": ("_e0(m)", "____n0(m)", "u0(m)"),
    "rest": ("__east(m)", "_north(m)", "____up(m)"),
    "std": ("sig_e(m)", "sig_n(m)", "sig_u(m)"),
    "correlation": ("__corr_en", "__corr_eu", "__corr_nu"),
}
_PLACE = ("_latitude(deg)", "_longitude(deg)")


def read_gnss(
    path: str | Path, *, unit: str | None = None, at: tuple[float, float] | None = None, name: str | None = None
) -> xr.Dataset:
    """Read the series of a station.

    Two forms are known. ``.tenv3``: text with blanks between its columns and their names in the first line, in metres,
    a value per day (Nevada Geodetic Laboratory, "Data file formats": tenv3); days are taken at noon. Otherwise a table
    with commas and names in the first line: ``time`` (ISO 8601, UTC), ``east``, ``north``, ``up``, ``std_east``,
    ``std_north``, ``std_up``, and where known ``correlation_en``, ``correlation_eu``, ``correlation_nu``, ``station``,
    ``latitude``, ``longitude``.

    Parameters
    ----------
    path : str or Path
    unit : {"m", "cm", "mm"}, optional
        Of a table with commas, which does not tell.
    at : (latitude, longitude), optional
        Degrees, where the file does not tell.
    name : str, optional
        Of the station, where the file does not tell.

    Returns
    -------
    Dataset (time)
        ``east``, ``north``, ``up`` and ``std_east`` ... in metres, relative to the first date; ``correlation_en`` ...
        (0 where not told); attributes ``station``, ``latitude``, ``longitude`` (of the first line).

    Raises
    ------
    AssetError
        If the file cannot be read or is not of this form.
    MetadataError
        If the unit or the place is not told.
    HostileInputError
        If it is larger than 64 MB.

    References
    ----------
    Blewitt, Hammond, Kreemer 2018, Harnessing the GPS data explosion for interdisciplinary science, Eos 99,
    doi:10.1029/2018EO104623.
    """
    place = Path(path)
    try:
        size = place.stat().st_size
        if size > _LARGEST:
            raise HostileInputError("the file is too large", where=str(path), expected=f"<= {_LARGEST}", got=str(size))
        lines = place.read_text(encoding="utf-8").splitlines()
        is_tenv3 = place.suffix == ".tenv3"
        rows = [line.split() for line in lines] if is_tenv3 else list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AssetError("the series cannot be read", where=str(path), got=str(error)[:200]) from error
    columns = _columns(rows, str(path))
    if is_tenv3:
        times, values = _days(columns, str(path)), _of_tenv3(columns, str(path))
    else:
        times, values = _times(columns, str(path)), _of_table(columns, unit, str(path))
    return _station(times, values, _facts(columns, at, name, place, is_tenv3))


def _columns(rows: Iterable[Sequence[str]], where: str) -> Columns:
    filled = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if len(filled) < 2:
        raise AssetError("the series is empty", where=where, expected="names of columns, and one line or more")
    width = len(filled[0])
    for number, row in enumerate(filled):
        if len(row) != width:
            got = f"{len(row)} columns in line {number + 1}, {width} names"
            raise AssetError("a line of the series is not whole", where=where, got=got)
    return {name: [row[n] for row in filled[1:]] for n, name in enumerate(filled[0])}


def _numbers(columns: Columns, names: Sequence[str], where: str) -> Doubles:
    missing = [name for name in names if name not in columns]
    if missing:
        got = ", ".join(missing)
        raise AssetError(
            "columns are missing from the series", where=where, expected=", ".join(names), got=f"without {got}"
        )
    try:
        return np.array([[float(cell or "nan") for cell in columns[name]] for name in names])
    except ValueError as error:
        raise AssetError("a value of the series is no number", where=where, got=str(error)[:100]) from error


def _of_tenv3(columns: Columns, where: str) -> Doubles:
    # A station that moves changes its whole metres too, so the parts are read apart and joined without rounding.
    whole, rest = (_numbers(columns, _TENV3[part], where) for part in ("whole", "rest"))
    moved = (whole - whole[:, :1]) + rest
    return np.concatenate([moved, *(_numbers(columns, _TENV3[part], where) for part in ("std", "correlation"))])


def _of_table(columns: Columns, unit: str | None, where: str) -> Doubles:
    if unit not in _UNITS:
        raise MetadataError("the unit of the series is not told", where="unit", expected="m, cm or mm", got=str(unit))
    moved = _numbers(columns, (*_AXES, *(f"std_{axis}" for axis in _AXES)), where) * _UNITS[unit]
    names = [f"correlation_{pair}" for pair, _, _ in _PAIRS]
    told = [_numbers(columns, [name], where)[0] if name in columns else np.zeros(moved.shape[1]) for name in names]
    return np.concatenate([moved, np.stack(told)])


def _days(columns: Columns, where: str) -> NDArray[np.datetime64]:
    found = []
    for text in columns.get("YYMMMDD", []):
        # A two-digit year: GNSS is younger than 1980.
        try:
            year = int(text[:2])
            day = date((1900 if year >= 80 else 2000) + year, _MONTHS.index(text[2:5].upper()) + 1, int(text[5:]))
        except ValueError as error:
            raise AssetError("a date of the series is none", where=where, expected="04JAN31", got=text[:40]) from error
        found.append(np.datetime64(day, "ns") + np.timedelta64(12, "h"))
    if not found:
        raise AssetError("columns are missing from the series", where=where, expected="YYMMMDD")
    return np.array(found, "datetime64[ns]")


def _times(columns: Columns, where: str) -> NDArray[np.datetime64]:
    cells = columns.get("time", [])
    if not cells or not all(cells):
        raise AssetError("a date of the series is missing", where=where, expected="a column time")
    for cell in cells:
        if not _ISO.fullmatch(cell):
            raise AssetError(
                "a date of the series is none", where=where, expected="ISO 8601, UTC, 1980 to 2099", got=cell[:40]
            )
    try:
        return np.array([cell.removesuffix("Z") for cell in cells], "datetime64[ns]")
    except ValueError as error:
        raise AssetError(
            "a date of the series is none", where=where, expected="ISO 8601", got=str(error)[:100]
        ) from error


def _facts(columns: Columns, at: Any, name: str | None, place: Path, is_tenv3: bool) -> dict[str, Any]:
    names = _PLACE if is_tenv3 else ("latitude", "longitude")
    told = at
    if told is None and all(each in columns for each in names):
        told = tuple(float(each) for each in _numbers(columns, names, str(place))[:, 0])
    if told is None or not (abs(told[0]) <= 90 and abs(told[1]) <= 360):
        got = "nothing" if told is None else str(told)
        raise MetadataError("where the station stands is not told", where=str(place), expected="at=(lat, lon)", got=got)
    own = columns.get("site" if is_tenv3 else "station", [place.stem])[0]
    # Longitudes may be counted from -360.
    longitude = (float(told[1]) + 180.0) % 360.0 - 180.0
    return {"station": name or own, "latitude": float(told[0]), "longitude": longitude}


def _station(times: NDArray[np.datetime64], values: Doubles, facts: Mapping[str, Any]) -> xr.Dataset:
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[:, order]
    if (np.diff(times).astype("int64") <= 0).any():
        raise AssetError("a date of the series comes twice", where=str(facts["station"]))
    there = np.isfinite(values).all(axis=0) & (values[3:6] > 0).all(axis=0)
    if not there.any():
        raise EmptyResultError("no line of the series is whole", where=str(facts["station"]))
    times, values = times[there], values[:, there]
    values[:3] -= values[:3, :1]
    names = (*_AXES, *(f"std_{axis}" for axis in _AXES))
    data: dict[str, Any] = {name: ("time", values[n], {"units": "m"}) for n, name in enumerate(names)}
    data |= {f"correlation_{pair}": ("time", values[6 + n], {"units": "1"}) for n, (pair, _, _) in enumerate(_PAIRS)}
    return xr.Dataset(data, coords={"time": times}, attrs=dict(facts))


def project_gnss(station: xr.Dataset, vector: tuple[float, float, float]) -> tuple[Doubles, Doubles]:
    """Project a station's motion on a direction.

    Parameters
    ----------
    station : Dataset
        Of :func:`read_gnss`.
    vector : (east, north, up)
        Unit vector, from the ground to the satellite.

    Returns
    -------
    motion, std : float64 (time,)
        m, positive along the direction; the correlations of the axes are in the standard deviation.

    Examples
    --------
    >>> times = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    >>> names = ("east", "north", "up", "std_east", "std_north", "std_up")
    >>> made = xr.Dataset({name: ("time", [0.0, 0.01] if "_" not in name else [0.002, 0.002]) for name in names},
    ...                   coords={"time": times})
    >>> motion, std = project_gnss(made, (0.6, 0.0, 0.8))
    >>> motion.round(4).tolist(), std.round(4).tolist()
    ([0.0, 0.014], [0.002, 0.002])
    """
    values = np.stack([station[axis].values for axis in _AXES])
    stds = np.stack([station[f"std_{axis}"].values for axis in _AXES])
    u = np.asarray(vector, "float64")
    variance = (u[:, None] ** 2 * stds**2).sum(axis=0)
    for pair, a, b in _PAIRS:
        if f"correlation_{pair}" in station:
            variance = variance + 2 * u[a] * u[b] * station[f"correlation_{pair}"].values * stds[a] * stds[b]
    return np.asarray(u @ values), np.sqrt(np.maximum(variance, 0.0))


def at_times(
    times: NDArray[np.datetime64], values: Doubles, stds: Doubles, wanted: NDArray[np.datetime64], *, window: float
) -> tuple[Doubles, Doubles]:
    """Average a station's values around dates, weighed by their inverse variances.

    Parameters
    ----------
    times, values, stds : arrays (n,)
    wanted : array (m,) of datetime64
    window : float
        Days before and after a date that count for it, to 36525.

    Returns
    -------
    value, std : float64 (m,)
        NaN where no day is near.

    Raises
    ------
    InputError
        If the window is none.

    Examples
    --------
    >>> days = np.array(["2020-01-01", "2020-01-02", "2020-01-09"], "datetime64[ns]")
    >>> value, std = at_times(days, np.array([1.0, 3.0, 9.0]), np.ones(3), days[[0, 2]], window=1.5)
    >>> value.tolist(), std.round(3).tolist()
    ([2.0, 9.0], [0.707, 1.0])
    """
    if not 0 < window <= MOST_WINDOW:
        raise InputError("no window", where="window", expected=f"above 0, to {MOST_WINDOW:g} days", got=str(window))
    found, spread = np.full(wanted.size, np.nan), np.full(wanted.size, np.nan)
    reach = np.timedelta64(int(window * 86_400e9), "ns")
    for n, moment in enumerate(wanted):
        near = (times >= moment - reach) & (times <= moment + reach)
        if near.any():
            trust = 1 / stds[near] ** 2
            found[n] = (trust * values[near]).sum() / trust.sum()
            spread[n] = trust.sum() ** -0.5
    return found, spread
