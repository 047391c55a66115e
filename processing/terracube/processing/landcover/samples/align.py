"""One axis of days for samples that were observed at different dates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, ConflictError, InputError

#: Days by which dates of different samples may be apart and count as the same; their middle stands for them.
SAME_DATE = 1.0
_MOST_BYTES = 4 << 30
_DAY = re.compile(r"^[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4})(?:[T ]|$)")


def to_times(given: Iterable[Any], where: str) -> NDArray[np.datetime64]:
    """Read times, taken as UTC where they do not say; what is missing becomes NaT.

    Raises
    ------
    InputError
        If one is neither a date of ISO 8601 with its day, nor between 1900 and 2200.

    Examples
    --------
    >>> to_times(["2018-01-02", None, "2018-01-02T13:00+02:00"], "date").astype("datetime64[h]").astype(str).tolist()
    ['2018-01-02T00', 'NaT', '2018-01-02T11']
    """
    told = pd.Series([None if pd.isna(one) or one == "" else one for one in given], dtype=object)
    vague = [one for one in told if isinstance(one, int | float) or (isinstance(one, str) and not _DAY.match(one))]
    if vague:
        raise InputError("a day cannot be read", where=where, expected="YYYY-MM-DD", got=repr(vague[0])[:60])
    try:
        times = pd.to_datetime(told, utc=True, format="ISO8601").dt.tz_localize(None)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError("a day cannot be read", where=where, expected="YYYY-MM-DD", got=str(error)[:160]) from error
    far = times.notna() & ((times.dt.year < 1900) | (times.dt.year > 2200))
    if far.any():
        raise InputError(
            "a day is too far",
            where=where,
            expected="1900 to 2200",
            got=str(told.iloc[int(far.to_numpy().argmax())])[:60],
        )
    return times.to_numpy("datetime64[ns]")


def days_since(times: NDArray[np.datetime64], start: NDArray[np.datetime64] | np.datetime64) -> NDArray[np.float64]:
    """Give days, with their fraction, from the start of a season to each time.

    Examples
    --------
    >>> days_since(np.array(["2018-01-02T12:00"], "datetime64[ns]"), np.datetime64("2018-01-01")).tolist()
    [1.5]
    """
    past = np.asarray(times, "datetime64[ns]") - np.asarray(start, "datetime64[ns]")
    days: NDArray[np.float64] = past / np.timedelta64(1, "D")
    return days


def season_start(times: NDArray[np.datetime64], start: str) -> NDArray[np.datetime64]:
    """Give the start, to the day, of the season that holds each time; seasons are a year long.

    Parameters
    ----------
    times : array of datetime64
        Any times.
    start : str
        First day of every season: ``"MM-DD"``, not 02-29.

    Raises
    ------
    InputError
        If it is no such day.

    Examples
    --------
    >>> season_start(np.array(["2014-08-31", "2014-09-01"], "datetime64[D]"), "09-01").astype(str).tolist()
    ['2013-09-01', '2014-09-01']
    """
    offset = month_day(start)
    years = np.asarray(times, "datetime64[D]").astype("datetime64[Y]")
    here = _first(years, offset)
    return np.where(
        here <= np.asarray(times, "datetime64[D]"), here, _first(np.asarray(years - np.timedelta64(1, "Y")), offset)
    )


def month_day(text: str) -> tuple[int, int]:
    """Read ``"MM-DD"``, a day that every year has.

    Raises
    ------
    InputError
        If it is none.
    """
    month, _, day = str(text).partition("-")
    if len(month) == 2 and len(day) == 2 and (month + day).isdecimal() and (month + day).isascii():
        try:
            np.datetime64(f"2001-{month}-{day}")
        except ValueError:
            pass
        else:
            return int(month), int(day)
    raise InputError("this is no day of the year", where="season", expected="MM-DD, such as 09-01", got=str(text)[:40])


def _first(years: NDArray[Any], offset: tuple[int, int]) -> NDArray[np.datetime64]:
    months = years.astype("datetime64[M]") + np.timedelta64(offset[0] - 1, "M")
    return np.asarray(months.astype("datetime64[D]") + np.timedelta64(offset[1] - 1, "D"))


def common_days(owner: NDArray[np.int64], days: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Put the days of all samples on one axis.

    Days of different samples that lie within one day of each other are taken for the same, and their middle stands for
    them: periods of 16 days that begin anew each year shift by a day after a leap day. If one sample has two days so
    near, they stay as they are. The axis depends on which days there are, not on their order.

    Parameters
    ----------
    owner : array of int
        (m,) number of the sample of each observation.
    days : array of float
        (m,) days since the start of its season.

    Returns
    -------
    axis : array of float
        (T,) days, strictly increasing.
    place : array of int
        (m,) position on the axis of each observation.

    Raises
    ------
    ConflictError
        If a sample has two observations at one time.

    Examples
    --------
    >>> axis, place = common_days(np.array([0, 0, 1, 1]), np.array([0.0, 109.0, 0.0, 110.0]))
    >>> axis.tolist(), place.tolist()
    ([0.0, 109.5], [0, 1, 0, 1])
    """
    exact, at = np.unique(days, return_inverse=True)
    order = np.lexsort((days, owner))
    twin = (owner[order][1:] == owner[order][:-1]) & (np.diff(days[order]) <= SAME_DATE)
    same = twin & (np.diff(days[order]) == 0)
    if same.any():
        row = int(order[np.flatnonzero(same)[0]])
        raise ConflictError("a sample has two observations at one time", where=f"sample number {owner[row]}")
    near = set(zip(at[order][:-1][twin].tolist(), at[order][1:][twin].tolist(), strict=True))
    cluster = _clusters(exact, near)
    middle = (np.minimum.reduceat(exact, cluster) + np.maximum.reduceat(exact, cluster)) / 2
    number = np.zeros(len(exact), np.int64)
    number[cluster[1:]] = 1
    return middle, np.cumsum(number)[at]


def _clusters(exact: NDArray[np.float64], near: set[tuple[int, int]]) -> NDArray[np.int64]:
    """Give the first of each run of days that are one: at most a day wide, no two of one sample."""
    apart = np.array(sorted(near), np.int64).reshape(-1, 2)
    firsts: list[int] = []
    start = 0
    while start < len(exact):
        stop = int(np.searchsorted(exact, exact[start] + SAME_DATE, side="right"))
        torn = ((apart[:, 0] >= start) & (apart[:, 1] < stop)).any()
        firsts.extend(range(start, stop) if torn else [start])
        start = stop
    return np.array(firsts, np.int64)


def blank(samples: int, dates: int, bands: int) -> NDArray[np.float32]:
    """Make series (n, T, B) of nothing but NaN.

    Raises
    ------
    BudgetError
        If they take more than 4 GiB.
    """
    size = 4 * samples * dates * bands
    if size > _MOST_BYTES:
        raise BudgetError(
            "the series are too large",
            expected=f"at most {_MOST_BYTES >> 20} MiB",
            got=f"{size >> 20} MiB: {samples} samples, {dates} dates, {bands} bands",
            todo="take fewer samples, or samples of one season at a time",
        )
    return np.full((samples, dates, bands), np.nan, np.float32)
