"""Phenology of regular series: when the main season starts, peaks and ends, and how much grows in it.

The season is the one around the largest value. On each side of the peak lies a lowest value; the season starts, going
back from the peak, where the series falls below that of the left plus a share of the rise to the peak, and ends
likewise on the right: the threshold method of Jonsson and Eklundh (2004, doi:10.1016/j.cageo.2004.05.006). Between
dates the series is taken as straight lines; the peak lies at the top of the parabola through the largest value and its
neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

START, PEAK, END, LENGTH, INTEGRAL, AMPLITUDE, BASE, METRICS = range(8)
TILE = 64


type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]


def seasons(series: Floats, variable: int, days: Doubles, threshold: float, out: Floats) -> None:
    """Measure the main season of one variable.

    Parameters
    ----------
    series : float32 (dates, variables, pixels), C-contiguous
        Filled and, better, smoothed series; dates with NaN are left out.
    variable : int
        Which one.
    days : float64 (dates,)
        Strictly increasing.
    threshold : float
        Share of the rise at which the season starts and ends, 0 to 1 exclusive.
    out : float32 (7, pixels), C-contiguous
        Is written. Start, peak and end, in days; length = end - start, in days; integral of the series above its base
        from start to end, in units of the variable times days; amplitude = largest value - base; base = mean of the
        lowest values left and right of the peak. A season that is cut off by the first or last date starts or ends
        there; a peak on the first or last date has one side only, whose lowest value is the base.
        All NaN where no date has a value; where all values are equal there is no season: base is that value,
        amplitude and integral are 0, and the days NaN.

    Examples
    --------
    >>> out = np.empty((METRICS, 1), np.float32)
    >>> series = np.float32([0, 0, 1, 2, 1, 0, 0]).reshape(7, 1, 1)
    >>> seasons(series, 0, np.arange(7) * 10.0, 0.5, out)
    >>> out.ravel().tolist()
    [20.0, 30.0, 40.0, 20.0, 30.0, 2.0, 0.0]
    """
    tile = min(TILE, max(out.shape[1], 1))
    _measure(series, variable, days, threshold, np.empty((2, len(series))), tile, out)


@inner
def _highest(values: Doubles, size: int) -> tuple[int, int, int]:
    """Find the largest value and the lowest on each side of it; of equals, those nearest to the peak."""
    peak = 0
    for at in range(1, size):
        if values[at] > values[peak]:
            peak = at
    left = right = peak
    for at in range(peak - 1, -1, -1):
        if values[at] < values[left]:
            left = at
    for at in range(peak + 1, size):
        if values[at] < values[right]:
            right = at
    return left, peak, right


@inner
def _crossing(days: Doubles, values: Doubles, level: float, peak: int, stop: int) -> tuple[float, int]:
    """Walk from the peak to where the series falls below a level: the day, and the last date that is not below."""
    step = 1 if stop > peak else -1
    at = peak
    while at != stop:
        ahead = at + step
        if values[ahead] < level:
            share = (values[at] - level) / (values[at] - values[ahead])
            return days[at] + share * (days[ahead] - days[at]), at
        at = ahead
    return days[at], at


@inner
def _top(days: Doubles, values: Doubles, peak: int, size: int) -> float:
    """Give the top of the parabola through a largest value and its neighbours."""
    top: float = days[peak]
    if peak == 0 or peak == size - 1:
        return top
    before, after = days[peak - 1] - days[peak], days[peak + 1] - days[peak]
    fall, sink = (values[peak - 1] - values[peak]) / before, (values[peak + 1] - values[peak]) / after
    bend = (sink - fall) / (after - before)
    if bend < 0.0:
        top -= (fall - bend * before) / (2.0 * bend)
    return top


@inner
def _area(days: Doubles, values: Doubles, base: float, ends: tuple[float, int, float, int, float, float]) -> float:
    """Integrate the series above its base between two days, by trapezes."""
    start, first, end, last, low, high = ends
    total: float = 0.5 * (days[first] - start) * (low + values[first] - 2.0 * base)
    for at in range(first, last):
        total += 0.5 * (days[at + 1] - days[at]) * (values[at] + values[at + 1] - 2.0 * base)
    total += 0.5 * (end - days[last]) * (values[last] + high - 2.0 * base)
    return total


@inner
def _pixel(days: Doubles, values: Doubles, size: int, threshold: float, out: Floats) -> None:
    """Measure one pixel's season; at least one value."""
    left, peak, right = _highest(values, size)
    top = values[peak]
    low, high = values[left], values[right]
    base = high if peak == 0 else low if peak == size - 1 else 0.5 * (low + high)
    out[BASE], out[AMPLITUDE] = base, top - base
    if not top > base:
        out[:INTEGRAL], out[INTEGRAL] = np.nan, 0.0
        return
    rise, fall = low + threshold * (top - low), high + threshold * (top - high)
    start, first = _crossing(days, values, rise, peak, 0)
    end, last = _crossing(days, values, fall, peak, size - 1)
    out[START], out[PEAK], out[END], out[LENGTH] = start, _top(days, values, peak, size), end, end - start
    ends = (start, first, end, last, rise if start < days[first] else values[first],
            fall if end > days[last] else values[last])  # fmt: skip
    out[INTEGRAL] = _area(days, values, base, ends)


@kernel
def _measure(
    series: Floats, variable: int, days: Doubles, threshold: float, room: Doubles, tile: int, out: Floats
) -> None:
    pixels = out.shape[1]
    columns = np.empty((tile, series.shape[0]))
    found = np.empty(METRICS, np.float32)
    for start in range(0, pixels, tile):
        lanes = min(tile, pixels - start)
        for date in range(series.shape[0]):
            for lane in range(lanes):
                columns[lane, date] = series[date, variable, start + lane]
        for lane in range(lanes):
            size = 0
            for date in range(series.shape[0]):
                value = columns[lane, date]
                room[0, size], room[1, size] = days[date], value
                size += 1 if value == value else 0
            if size:
                _pixel(room[0], room[1], size, threshold, found)
            else:
                found[:] = np.nan
            for metric in range(METRICS):
                out[metric, start + lane] = found[metric]
