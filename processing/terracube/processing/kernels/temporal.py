"""Statistics over the dates of series: extremes, moments, quantiles and the straight-line slope, missing left out.

A variable of a series (date, variable, pixel) is worked on in tiles of pixels; a pixel's results come from its own
values, added up in the order of the dates in float64, so they are the same to the bit wherever it lies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

MIN, MAX, MEAN, STD, RANGE, SUM, SLOPE, QUANTILE = range(8)
TILE = 128
_NAN, _INF, _ZERO = np.float32(np.nan), np.float32(np.inf), np.float32(0)
# Rows of the sums of a tile.
_COUNT, _TOTAL, _MEAN, _SPREAD, _DAYS, _DAY_SPREAD, _PRODUCT, _ROWS = range(8)


type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]
type Codes = NDArray[np.int64]


def statistics(series: Floats, variable: int, days: Doubles, codes: Codes, fractions: Doubles, out: Floats) -> None:
    """Reduce one variable over the dates.

    Parameters
    ----------
    series : float32 (dates, variables, pixels), C-contiguous
        NaN = missing.
    variable : int
        Which one.
    days : float64 (dates,)
        Increasing.
    codes : int64 (results,)
        What to compute: ``MIN``, ``MAX``, ``MEAN``, ``STD`` (of the population: divided by the count), ``RANGE``
        (largest less least), ``SUM``, ``SLOPE`` (least-squares line, per day), ``QUANTILE``.
    fractions : float64 (results,)
        For ``QUANTILE``, which, 0 to 1: between two values by linear interpolation (Hyndman and Fan, 1996, type 7,
        doi:10.1080/00031305.1996.10473566). Not looked at for the others.
    out : float32 (results, pixels), C-contiguous
        Is written: NaN where no date has a value, and, for the slope, where only one has.

    Examples
    --------
    >>> series = np.float32([1, 2, np.nan, 4]).reshape(4, 1, 1)
    >>> out = np.empty((3, 1), np.float32)
    >>> statistics(series, 0, np.arange(4.0), np.array([MEAN, SLOPE, QUANTILE]), np.array([0, 0, 0.5]), out)
    >>> out.ravel().round(3).tolist()
    [2.3329999446868896, 1.0, 2.0]
    """
    work = np.empty((len(series), min(TILE, max(out.shape[1], 1))), np.float32)
    _reduce(series, variable, days, codes, fractions, work, np.empty((_ROWS, work.shape[1])), out)


@inner
def _load(values: Floats, place: Floats, low: Floats, high: Floats, count: Doubles, total: Doubles) -> None:
    """Take one date of a tile: its values, missing ones as infinity, into the extremes and the sum."""
    for lane in range(place.size):
        value = values[lane] + _ZERO  # turns -0.0 into 0.0: equal values must have equal bits
        there = value == value
        place[lane] = value if there else _INF
        low[lane] = value if there and value < low[lane] else low[lane]
        high[lane] = value if there and value > high[lane] else high[lane]
        count[lane] += 1.0 if there else 0.0
        total[lane] += np.float64(value) if there else 0.0


@inner
def _products(day: float, place: Floats, means: Doubles, days: Doubles, spread: Doubles, product: Doubles) -> None:
    """Add one date to the sums of squares and products about the means."""
    for lane in range(place.size):
        there = place[lane] < _INF
        value = (np.float64(place[lane]) if there else 0.0) - means[lane]
        spread[lane] += value * value if there else 0.0
        product[lane] += (day - days[lane]) * value if there else 0.0


@inner
def _day_spread(day: float, place: Floats, days: Doubles, spread: Doubles) -> None:
    for lane in range(place.size):
        away = day - days[lane]
        spread[lane] += away * away if place[lane] < _INF else 0.0


@inner
def _days_of(day: float, place: Floats, total: Doubles) -> None:
    for lane in range(place.size):
        total[lane] += day if place[lane] < _INF else 0.0


@inner
def _exchange(one: Floats, two: Floats) -> None:
    for lane in range(one.size):
        low, high = one[lane], two[lane]
        one[lane] = high if high < low else low
        two[lane] = low if high < low else high


@inner
def _sort(work: Floats, lanes: int) -> None:
    """Sort the dates of every lane by Batcher's merge exchange (1968, doi:10.1145/1468075.1468121)."""
    size, block = work.shape[0], 1
    while block < size:
        apart = block
        while apart:
            for first in range(apart % block, size - apart, 2 * apart):
                for one in range(first, min(first + apart, size - apart)):
                    # Only within the pair of blocks that is merged.
                    if one // (2 * block) == (one + apart) // (2 * block):
                        _exchange(work[one, :lanes], work[one + apart, :lanes])
            apart //= 2
        block *= 2


@inner
def _quantile(work: Floats, fraction: float, count: Doubles, out: Floats) -> None:
    for lane in range(out.size):
        size = int(count[lane])
        if size == 0:
            out[lane] = _NAN
            continue
        place = fraction * (size - 1)
        below = min(math.floor(place), size - 1)
        one = np.float64(work[below, lane])
        two = np.float64(work[min(below + 1, size - 1), lane])
        out[lane] = one + (two - one) * (place - below)


@inner
def _write(code: int, sums: Doubles, low: Floats, high: Floats, out: Floats) -> None:
    """Write one statistic of a tile."""
    for lane in range(out.size):
        count, found = sums[_COUNT, lane], np.nan
        if count > 0:
            if code == MIN:
                found = np.float64(low[lane])
            elif code == MAX:
                found = np.float64(high[lane])
            elif code == MEAN:
                found = sums[_MEAN, lane]
            elif code == STD:
                found = math.sqrt(sums[_SPREAD, lane] / count)
            elif code == RANGE:
                found = np.float64(high[lane]) - np.float64(low[lane])
            elif code == SUM:
                found = sums[_TOTAL, lane]
            elif sums[_DAY_SPREAD, lane] > 0:
                found = sums[_PRODUCT, lane] / sums[_DAY_SPREAD, lane]
        out[lane] = found


@inner
def _gather(
    series: Floats, variable: int, start: int, days: Doubles, work: Floats, sums: Doubles, low: Floats, high: Floats
) -> None:
    """Read a tile once, and leave its counts, means, extremes, and sums about the means."""
    lanes = low.size
    sums[:] = 0.0
    low[:] = _INF
    high[:] = -_INF
    for date in range(series.shape[0]):
        values, place = series[date, variable, start : start + lanes], work[date, :lanes]
        _load(values, place, low, high, sums[_COUNT, :lanes], sums[_TOTAL, :lanes])
        _days_of(days[date], place, sums[_DAYS, :lanes])
    for lane in range(lanes):
        count = max(sums[_COUNT, lane], 1.0)
        sums[_MEAN, lane] = sums[_TOTAL, lane] / count
        sums[_DAYS, lane] /= count
    for date in range(series.shape[0]):
        place, means = work[date, :lanes], sums[_DAYS, :lanes]
        _products(days[date], place, sums[_MEAN, :lanes], means, sums[_SPREAD, :lanes], sums[_PRODUCT, :lanes])
        _day_spread(days[date], place, means, sums[_DAY_SPREAD, :lanes])


@kernel
def _reduce(
    series: Floats, variable: int, days: Doubles, codes: Codes, fractions: Doubles, work: Floats, sums: Doubles,
    out: Floats,
) -> None:  # fmt: skip
    pixels = out.shape[1]
    low, high = np.empty(work.shape[1], np.float32), np.empty(work.shape[1], np.float32)
    for start in range(0, pixels, work.shape[1]):
        lanes = min(work.shape[1], pixels - start)
        _gather(series, variable, start, days, work, sums, low[:lanes], high[:lanes])
        ordered = False
        for number in range(codes.size):
            place = out[number, start : start + lanes]
            if codes[number] == QUANTILE:
                if not ordered:
                    _sort(work, lanes)
                    ordered = True
                _quantile(work, fractions[number], sums[_COUNT, :lanes], place)
            else:
                _write(codes[number], sums, low, high, place)
