"""What is unusual: each value of a series against what other years had at that time of the year.

What lies within half a year before or after a value never takes part in what is expected of it, so that an extreme does
not hide itself, not over the turn of the year either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError

METHODS = ("harmonic", "window")
_YEAR = 365.2425
_DAY = np.timedelta64(1, "D")
# The median distance from the median times this is the standard deviation of a normal distribution.
_ROBUST = 1.4826
# A harmonic fit needs so many values for each of its coefficients.
_PER_COEFFICIENT = 2
# Spread of less than so many values says nothing.
_LEAST = 3
_WORST = 1e4


@dataclass(frozen=True, slots=True)
class Climate:
    """How what is expected is found."""

    method: str = "harmonic"
    """``harmonic``: a mean and waves of one year, half a year, ...; ``window``: the median of what lies within days."""
    harmonics: int = 2
    """Waves per year of the fit; fewer where the dates are few."""
    window: float = 20.0
    """Days before and after in the year."""
    min_years: int = 2
    """Other years that have to have a value within ``window`` days of the date in the year; a year is what lies within
    half a year of the same date."""


def anomaly(
    table: pd.DataFrame, column: str, *, log: bool = False, relative_to: tuple[str, str] | None = None, **climate: Any
) -> pd.DataFrame:
    """Compare a series with what other years had at the same time of the year.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`terracube.processing.water.lakes.series`, of one lake or more: ``time``, ``id`` if there, and the
        column. Each lake is judged by itself.
    column : str
        What is judged: ``chl_blend_median``, ``area_wet``.
    log : bool
        Judge logarithms, as for concentrations that spread over decades: ``expected`` is then a geometric mean, and
        ``anomaly`` the ratio of the value to it. Values that are not positive are missing.
    relative_to : (str, str), optional
        First and last date (inclusive, UTC) of the years that make up what is expected; all unless given.
    **climate
        Fields of :class:`Climate`: ``method``, ``harmonics``, ``window``, ``min_years``.

    Returns
    -------
    pandas.DataFrame
        The same rows: ``id``, ``time``, ``value``; ``expected`` (from what lies more than half a year away), ``spread``
        (robust standard deviation of that around it; in decades if ``log``), ``anomaly`` (value minus expected, or
        their ratio), ``score`` (anomaly over spread), ``years`` and ``n`` (other years, and values in all, near this
        time of the year). NaN where there is no value, or too few years have one near.

    Raises
    ------
    InputError
        If there is no such column, or an option is wrong.
    MetadataError
        If a date is missing.

    Examples
    --------
    >>> dates = pd.to_datetime(["2019-08-01", "2020-08-01", "2021-08-01", "2022-08-01"])
    >>> table = pd.DataFrame({"time": dates, "chl": [4.0, 5.0, 6.0, 50.0]})
    >>> anomaly(table, "chl", method="window")["anomaly"].tolist()
    [-2.0, -1.0, 1.0, 45.0]
    """
    settled = _settled(climate)
    absent = [name for name in ("time", column) if name not in table.columns]
    if absent:
        got = ", ".join(map(str, table.columns))[:200]
        raise InputError("there is no such column", where="table", expected=", ".join(absent), got=got)
    if table["time"].isna().any():
        raise MetadataError("a date is missing", where="time", expected="a date in each row", got="NaT")
    grouped = [] if "id" not in table.columns else list(table.groupby("id", sort=False).indices.values())
    places = grouped or [np.arange(len(table))]
    found = [_judged(table.iloc[rows], column, log=log, span=relative_to, climate=settled) for rows in places]
    return pd.concat(found).iloc[np.argsort(np.concatenate(places))]


def _settled(given: dict[str, Any]) -> Climate:
    known = Climate.__slots__
    wrong = [name for name in given if name not in known]
    if wrong:
        raise InputError("unknown option", where=", ".join(wrong), expected=", ".join(known))
    climate = Climate(**given)
    if climate.method not in METHODS:
        raise InputError("unknown method", where="method", expected=", ".join(METHODS), got=repr(climate.method))
    if not (climate.harmonics >= 0 and 0 < climate.window <= _YEAR / 2 and climate.min_years >= 1):
        expected = "harmonics >= 0, 0 < window <= 182, min_years >= 1"
        raise InputError("a number is out of range", where="climate", expected=expected, got=str(climate))
    return climate


def _judged(
    part: pd.DataFrame, column: str, *, log: bool, span: tuple[str, str] | None, climate: Climate
) -> pd.DataFrame:
    """Judge the series of one lake."""
    times = part["time"].dt.tz_localize(None) if part["time"].dt.tz is not None else part["time"]
    dates = times.to_numpy().astype("datetime64[D]")
    values = part[column].to_numpy(dtype="float64")
    usable = np.isfinite(values) & ((values > 0) if log else True)
    numbers = np.where(usable, np.log10(np.where(usable, values, 1.0)) if log else values, np.nan)
    base = usable & _within(dates, span)
    expected, spread, years, count = _expected(dates, numbers, base, climate)
    off = numbers - expected
    told: dict[str, Any] = {name: part[name] for name in ("id", "time") if name in part.columns}
    told |= {"value": values, "expected": 10.0**expected if log else expected, "spread": spread}
    told |= {"anomaly": 10.0**off if log else off}
    told["score"] = np.divide(off, spread, out=np.full(off.shape, np.nan), where=spread > 0)
    told |= {"years": years, "n": count}
    return pd.DataFrame(told, index=part.index)


def _within(dates: NDArray[np.datetime64], span: tuple[str, str] | None) -> NDArray[np.bool_]:
    if span is None:
        return np.ones(dates.shape, np.bool_)
    try:
        first, last = (np.datetime64(one, "D") for one in span)
    except ValueError as error:
        raise InputError("these are no dates", where="relative_to", expected="2016-01-01", got=str(span)) from error
    return np.asarray((dates >= first) & (dates <= last), np.bool_)


def _expected(
    dates: NDArray[np.datetime64], values: NDArray[np.float64], base: NDArray[np.bool_], climate: Climate
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Give what is expected and its spread, and how many other years and values are near, for every date."""
    calendar = ((dates - dates.astype("datetime64[Y]")) / _DAY).astype("float64")
    day = (dates - np.datetime64("1970-01-01", "D")) / _DAY
    expected, spread = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    years, count = np.zeros(values.shape, np.int64), np.zeros(values.shape, np.int64)
    design = _design(calendar, climate.harmonics) if climate.method == "harmonic" else None
    for at in range(values.size):
        others = np.flatnonzero(base & (np.abs(day - day[at]) > _YEAR / 2))
        apart = np.abs(calendar[others] - calendar[at])
        near = others[np.minimum(apart, _YEAR - apart) <= climate.window]
        years[at] = np.unique(np.rint((day[near] - day[at]) / _YEAR)).size
        count[at] = near.size
        if years[at] < climate.min_years or np.isnan(values[at]):
            continue
        if design is None:
            expected[at] = np.median(values[near])
            spread[at] = _spread(values[near] - expected[at])
        else:
            expected[at], spread[at] = _waves(design[others], values[others], design[at])
    return expected, spread, years, count


def _waves(
    design: NDArray[np.float64], values: NDArray[np.float64], wanted: NDArray[np.float64]
) -> tuple[float, float]:
    """Fit a mean and waves by least squares, as many as the values carry; give them at a date, and the spread."""
    most = (min(design.shape[1], values.size // _PER_COEFFICIENT) - 1) // 2
    products = design.T @ design
    # Where the dates fill a part of the year alone, waves would swing freely beside it.
    sizes = (2 * waves + 1 for waves in range(max(most, 0), -1, -1))
    used = next(size for size in sizes if size == 1 or np.linalg.cond(products[:size, :size]) <= _WORST**2)
    fitted = np.linalg.solve(products[:used, :used], design[:, :used].T @ values)
    return float(wanted[:used] @ fitted), _spread(values - design[:, :used] @ fitted, used=used)


def _design(season: NDArray[np.float64], waves: int) -> NDArray[np.float64]:
    """Give the columns of a fit, (date, 1 + 2 waves): the mean, then both parts of each wave, the longest first."""
    turn = 2 * math.pi * season[:, None] / _YEAR * np.arange(1, waves + 1)
    parts = np.stack([np.cos(turn), np.sin(turn)], axis=2).reshape(season.size, 2 * waves)
    return np.hstack([np.ones((season.size, 1)), parts])


def _spread(residual: NDArray[np.float64], *, used: int = 1) -> float:
    """Robust standard deviation; NaN where too few values are left beside what was fitted."""
    spare = residual.size - used
    if spare < _LEAST - 1:
        return math.nan
    return _ROBUST * float(np.median(np.abs(residual))) * math.sqrt(residual.size / spare)
