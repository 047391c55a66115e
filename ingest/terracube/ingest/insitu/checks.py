"""Quality tests on arrays: QARTOD's, on irregular times, for many series in one pass.

The tests are those of the QARTOD manuals (IOOS, Manual for Real-Time Quality Control of In-situ Temperature and
Salinity Data, version 2.1, 2020, doi:10.25923/x02m-m555, tests 4 to 8). ``ioos_qc`` makes gross range, climatology and
spike. It derives the length of a flat line from the median time step, and cuts time steps to whole seconds for the
rate of change: both are wrong where times are irregular, so these two are made here, and equal its results where
times are regular.

A series is a run of rows with one number in ``series``; rows come sorted by series, then time, and each time appears
once in a series.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from ioos_qc import qartod
from numpy.typing import NDArray
from pandas.api.indexers import BaseIndexer

from terracube.ingest.insitu.qc_config import Climate, FlatLine, Rate, Spike
from terracube.ingest.insitu.table import FAIL, GOOD, NOT_EVALUATED, SUSPECT

Flags = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Spans = tuple[float, float]
_Rows = np.ndarray[tuple[int], np.dtype[np.int64]]

_HOUR = 3_600_000_000
_EVERYTHING = (-math.inf, math.inf)


def gross_range(values: Floats, censored: NDArray[Any], *, fail: Spans | None, suspect: Spans | None) -> Flags:
    """Flag values beyond the spans; of a censored one only the end that its limit speaks of counts.

    ``<5`` may be anything below 5, so it is wrong only if 5 itself lies below the span.

    Parameters
    ----------
    values : float64 array
        Finite.
    censored : array of text
        ``""``, ``"<"`` or ``">"``.
    fail, suspect : (low, high)
        Both ends included; ``suspect`` lies within ``fail``.

    Examples
    --------
    >>> gross_range(np.array([1.0, 7, 9, 9]), np.array(["", "", "", "<"]), fail=(0, 8), suspect=(0, 6)).tolist()
    [1, 3, 4, 1]
    """
    flags = np.full(len(values), NOT_EVALUATED, "uint8")
    outer, inner = fail or _EVERYTHING, suspect or fail or _EVERYTHING
    for mark, low, high in (("", 1, 1), ("<", 1, 0), (">", 0, 1)):
        chosen = censored == mark
        if chosen.any():
            spans = [(span[0] if low else -math.inf, span[1] if high else math.inf) for span in (outer, inner)]
            flags[chosen] = qartod.gross_range_test(values[chosen], spans[0], spans[1])
    return flags


def climatology(values: Floats, times: NDArray[np.datetime64], depths: Floats, members: tuple[Climate, ...]) -> Flags:
    """Flag values that are unusual for their month and depth; 2 where no member of the climatology applies.

    Examples
    --------
    >>> winter = Climate(months=(11, 2), suspect=(0, 8), fail=(-2, 20))
    >>> times = np.array(["2020-01-05", "2020-07-05", "2020-12-05"], "M8[us]")
    >>> climatology(np.array([9.0, 9.0, 7.0]), times, np.full(3, np.nan), (winter,)).tolist()
    [3, 2, 1]
    """
    flags = np.full(len(values), NOT_EVALUATED, "uint8")
    told = np.isfinite(depths)
    # Apart, for ioos_qc lets members with a depth judge values without one.
    for chosen, apply in ((told, members), (~told, [member for member in members if member.depth is None])):
        if chosen.any() and apply:
            config = qartod.ClimatologyConfig()
            for member in apply:
                _add(config, member)
            found = qartod.climatology_test(config, values[chosen], times[chosen], depths[chosen])
            flags[chosen] = np.asarray(found)
    return flags


def _add(config: Any, member: Climate) -> None:
    first, last = member.months
    # ioos_qc sorts the ends of a period, and so cannot go over the turn of the year.
    for months in [(first, last)] if first <= last else [(first, 12), (1, last)]:
        config.add(tspan=months, vspan=member.suspect, fspan=member.fail, zspan=member.depth, period="month")


def apart(series: Ints, times: Ints, longest: float) -> Bools:
    """Tell for each row whether it starts anew: first of a series, or too long after the row before.

    Parameters
    ----------
    series, times : int64 arrays
        Number of the series; microseconds.
    longest : float
        Hours.
    """
    fresh = np.ones(len(series), bool)
    fresh[1:] = (np.diff(series) != 0) | (np.diff(times) > longest * _HOUR)
    return fresh


def spikes(values: Floats, fresh: Bools, limits: Spike) -> Flags:
    """Flag values that stand out from both neighbours, on the same side; 2 at ends, which have but one.

    What is compared is the smaller of the two steps (QARTOD's test 6 in its differential form): it needs no regular
    times, and lets the neighbours of a spike be.

    Examples
    --------
    >>> spikes(np.array([1.0, 1, 9, 1, 1]), np.array([True, False, False, False, False]), Spike(suspect=3)).tolist()
    [2, 1, 3, 1, 2]
    """
    if len(values) == 0:
        return np.zeros(0, "uint8")
    # A NaN between pieces keeps their ends from being compared, so that one call does all series.
    cuts = np.flatnonzero(fresh)
    padded = np.insert(values, cuts, np.nan)
    flags = qartod.spike_test(padded, limits.suspect, limits.fail, method="differential")
    inside = np.ones(len(padded), bool)
    inside[cuts + np.arange(len(cuts))] = False
    found = np.asarray(flags).astype("uint8")[inside]
    last = np.append(fresh[1:], True)
    found[fresh | last] = NOT_EVALUATED
    return found


def rates(values: Floats, times: Ints, fresh: Bools, limits: Rate) -> Flags:
    """Flag values reached too fast from the one before; 2 for those that have none before.

    Examples
    --------
    >>> times = np.arange(4) * 3_600_000_000
    >>> rates(np.array([1.0, 1, 9, 9]), times, np.array([True, False, False, False]), Rate(suspect=3)).tolist()
    [2, 1, 3, 1]
    """
    flags = np.full(len(values), GOOD, "uint8")
    hours = np.maximum(np.diff(times) / _HOUR, limits.shortest_hours)
    rate = np.abs(np.diff(values)) / hours
    flags[1:][rate > limits.suspect] = SUSPECT
    if limits.fail is not None:
        flags[1:][rate > limits.fail] = FAIL
    flags[fresh] = NOT_EVALUATED
    return flags


class _Back(BaseIndexer):
    """Windows of any length that end at each row."""

    first: _Rows

    def get_window_bounds(
        self,
        num_values: int = 0,
        min_periods: int | None = None,
        center: bool | None = None,
        closed: str | None = None,
        step: int | None = None,
    ) -> tuple[_Rows, _Rows]:
        """Give first row and end of each window."""
        del min_periods, center, closed, step
        return self.first, np.arange(1, num_values + 1)


def flat_lines(values: Floats, times: Ints, fresh: Bools, limits: FlatLine) -> Flags:
    """Flag values that have stayed within a tolerance for too long a time.

    The window that ends at a row reaches back to the last row that is at least the threshold older: it spans the
    threshold however irregular the times are. On regular times, and without ``whole``, this is ``ioos_qc``'s result,
    but that a difference equal to the tolerance is within it.

    Examples
    --------
    >>> times = np.arange(7) * 3_600_000_000
    >>> fresh = np.arange(7) == 0
    >>> limits = FlatLine(suspect_hours=3, fewest=3)
    >>> flat_lines(np.array([1.0, 5, 5, 5, 5, 5, 2]), times, fresh, limits).tolist()
    [1, 3, 3, 3, 3, 3, 1]
    """
    flags = np.full(len(values), GOOD, "uint8")
    if len(values) == 0:
        return flags
    begin = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    for hours, flag in ((limits.suspect_hours, SUSPECT), (limits.fail_hours, FAIL)):
        if hours is not None:
            flat, first = _flat(values, times, begin, hours=hours, limits=limits)
            flags[_covered(first, flat) if limits.whole else flat] = flag
    return flags


def _flat(values: Floats, times: Ints, begin: Ints, *, hours: float, limits: FlatLine) -> tuple[Bools, Ints]:
    """Tell which windows are flat, and where each begins."""
    reach = round(hours * _HOUR)
    # All pieces on one axis that only grows, each beyond the reach of the one before: one search serves them all.
    steps = np.append(0, np.diff(times))
    axis = np.cumsum(np.where(begin == np.arange(len(begin)), reach + 1, steps))
    first = np.searchsorted(axis, axis - reach, side="right") - 1
    long = (first >= begin) & (np.arange(len(values)) - first + 1 >= limits.fewest)
    first = np.maximum(first, begin)
    rolling = pd.Series(values).rolling(_Back(first=first), min_periods=1)
    spread = (rolling.max() - rolling.min()).to_numpy()
    return long & (spread <= limits.tolerance), first


def _covered(first: Ints, flat: Bools) -> Bools:
    """Give the rows that lie in any flat window."""
    edges = np.zeros(len(flat) + 1, "int64")
    np.add.at(edges, first[flat], 1)
    np.add.at(edges, np.flatnonzero(flat) + 1, -1)
    return np.asarray(np.cumsum(edges)[:-1] > 0)
