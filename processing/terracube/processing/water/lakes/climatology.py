"""What is unusual: each value of a series against what other years had at that time of the year.

The year of a value never takes part in what is expected of it, so that an extreme does not hide itself.
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
_WORST = 1e8


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
    """Other years that have to have a value within ``window`` days of the date in the year."""


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
        The same rows: ``id``, ``time``, ``value``; ``expected`` (from other years), ``spread`` (robust standard
        deviation of other years around it; in decades if ``log``), ``anomaly`` (value minus expected, or their ratio),
        ``score`` (anomaly over spread), ``years`` and ``n`` (other years, and values in all, near this time of the
        year). NaN where there is no value, or too few years have one near.

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
    calendar = dates.astype("datetime64[Y]").astype("int64")
    season = ((dates - dates.astype("datetime64[Y]")) / _DAY).astype("float64")
    expected, spread = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    years, count = np.zeros(values.shape, np.int64), np.zeros(values.shape, np.int64)
    for year in np.unique(calendar):
        mine, others = np.flatnonzero(calendar == year), base & (calendar != year)
        apart = np.abs(season[mine, None] - season[None, others])
        near = np.minimum(apart, _YEAR - apart) <= climate.window
        other_years = calendar[others]
        years[mine] = [len(np.unique(other_years[row])) for row in near]
        count[mine] = near.sum(axis=1)
        enough = (years[mine] >= climate.min_years) & ~np.isnan(values[mine])
        if enough.any():
            chosen, close = mine[enough], near[enough]
            function = _waves if climate.method == "harmonic" else _windowed
            expected[chosen], spread[chosen] = function(season[others], values[others], season[chosen], close, climate)
    return expected, spread, years, count


def _windowed(
    _: NDArray[np.float64], values: NDArray[np.float64], wanted: NDArray[np.float64], near: NDArray[np.bool_],
    __: Climate,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Median of the values near each date in the year, and their spread."""
    middle = np.array([np.median(values[row]) for row in near])
    spread = np.array([_spread(values[row] - one) for row, one in zip(near, middle, strict=True)])
    return middle.reshape(wanted.shape), spread


def _waves(
    season: NDArray[np.float64], values: NDArray[np.float64], wanted: NDArray[np.float64], near: NDArray[np.bool_],
    climate: Climate,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Least squares of a mean and waves; as many waves as the values carry, spread about the fit."""
    waves = min(climate.harmonics, (values.size // _PER_COEFFICIENT - 1) // 2)
    design = _design(season, waves)
    # Where the dates fill a part of the year alone, waves would swing freely beside it.
    while waves > 0 and np.linalg.cond(design) > _WORST:
        waves -= 1
        design = _design(season, waves)
    fitted, *_ = np.linalg.lstsq(design, values, rcond=None)
    residual = values - design @ fitted
    spread = _spread(residual, used=2 * waves + 1)
    return _design(wanted, waves) @ fitted, np.full(len(near), spread)


def _design(season: NDArray[np.float64], waves: int) -> NDArray[np.float64]:
    turn = 2 * math.pi * season[:, None] / _YEAR * np.arange(1, waves + 1)
    return np.hstack([np.ones((season.size, 1)), np.cos(turn), np.sin(turn)])


def _spread(residual: NDArray[np.float64], *, used: int = 1) -> float:
    """Robust standard deviation; NaN where too few values are left beside what was fitted."""
    spare = residual.size - used
    if spare < _LEAST - 1:
        return math.nan
    return _ROBUST * float(np.median(np.abs(residual))) * math.sqrt(residual.size / spare)
