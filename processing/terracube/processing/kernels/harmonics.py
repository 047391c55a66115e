"""Yearly harmonics fitted to each pixel's observations by least squares, missing dates left out.

The model is ``y = b0 + sum_k a_k cos(k w t) + b_k sin(k w t)``, w = 2 pi / 365.25 per day. Products of two of its terms
are sums of terms of up to twice the order, so the normal equations of a pixel need only the sums of ``cos(k w t)`` and
``sin(k w t)``, k up to twice the order, over its clear dates. They are solved by Cholesky's factorisation in float64.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

YEAR = 365.25
TILE = 128
# A pivot this small against its diagonal: the dates cannot tell the terms apart.
_DEGENERATE = 1e-7


type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]
type Marks = NDArray[np.uint8]


def clear_dates(series: Floats) -> Marks:
    """Tell on which dates all variables of a pixel are there: (dates, variables, pixels) to uint8 (dates, pixels).

    NaN, infinite values and 1e15 and more in magnitude are missing.
    """
    clear = np.ones((series.shape[0], series.shape[2]), np.uint8)
    _mark(series, clear)
    return clear


@kernel
def _mark(series: Floats, clear: Marks) -> None:
    for date in range(series.shape[0]):
        for variable in range(series.shape[1]):
            _unmark(series[date, variable], clear[date])


@inner
def _unmark(values: Floats, clear: Marks) -> None:
    for lane in range(clear.size):
        clear[lane] &= np.uint8(abs(values[lane]) < np.float32(1e15))


def fit(series: Floats, variable: int, clear: Marks, days: Doubles, order: int, out: Floats) -> None:
    """Fit one variable.

    Parameters
    ----------
    series : float32 (dates, variables, pixels), C-contiguous
        NaN = missing.
    variable : int
        Which one.
    clear : uint8 (dates, pixels), C-contiguous
        0 leaves a date out.
    days : float64 (dates,)
        Days, increasing; phases count from day 0.
    order : int
        Number of harmonics, 1 to 3.
    out : float32 (2 order + 2, pixels), C-contiguous
        Is written: the mean level b0; cosine and sine of each harmonic; the root of the mean square of what is left
        (divided by the dates less the parameters). NaN where the clear dates are not more than the 2 order + 1
        parameters, or lie so that the terms cannot be told apart.

    Examples
    --------
    >>> days = np.arange(0.0, 365, 30)
    >>> series = np.float32(3 + 2 * np.cos(2 * np.pi * days / 365.25)).reshape(-1, 1, 1)
    >>> out = np.empty((4, 1), np.float32)
    >>> fit(series, 0, clear_dates(series), days, 1, out)
    >>> (out.ravel().round(3) + 0).tolist()
    [3.0, 2.0, 0.0, 0.0]
    """
    angles = 2 * math.pi / YEAR * days
    terms = np.empty((4 * order + 1, days.size))
    terms[0] = 1.0
    for k in range(1, 2 * order + 1):
        terms[2 * k - 1], terms[2 * k] = np.cos(k * angles), np.sin(k * angles)
    tile, size = min(TILE, max(out.shape[1], 1)), 2 * order + 1
    sums, right = np.zeros((4 * order + 1, tile)), np.zeros((size + 1, tile))
    _fit(series, variable, clear, np.ascontiguousarray(terms.T), sums, right, out)


@inner
def _take(values: Floats, clear: Marks, weight: Doubles, value: Doubles) -> None:
    """Take one date of a tile: weight 1 and the value where it counts, else 0 and 0."""
    for lane in range(weight.size):
        there = (clear[lane] != 0) & (values[lane] == values[lane])
        weight[lane] = 1.0 if there else 0.0
        value[lane] = np.float64(values[lane]) if there else 0.0


@inner
def _add(term: float, values: Doubles, total: Doubles) -> None:
    for lane in range(total.size):
        total[lane] += term * values[lane]


@inner
def _add_squares(weight: Doubles, values: Doubles, total: Doubles) -> None:
    for lane in range(total.size):
        total[lane] += weight[lane] * values[lane] * values[lane]


@inner
def _entry(sums: Doubles, row: int, column: int, lane: int) -> float:
    """Give the sum of the product of two terms, by the formulas for products of cosines and sines."""
    if column == 0 or row == 0:
        alone: float = sums[row + column, lane]
        return alone
    k, m = (row + 1) // 2, (column + 1) // 2
    both = sums[2 * (k + m) - 1, lane] if row % 2 == column % 2 else sums[2 * (k + m), lane]
    apart = 0.0
    if row % 2 == column % 2:
        apart = sums[2 * abs(k - m) - 1, lane] if k != m else sums[0, lane]
    elif k != m:
        apart = sums[2 * abs(k - m), lane]
    # cos cos = (cos(k - m) + cos(k + m)) / 2, sin sin = (cos(k - m) - cos(k + m)) / 2;
    # sin(a) cos(b) = (sin(a + b) + sin(a - b)) / 2, a that of the sine, which has the even row.
    sine_below = (k if row % 2 == 0 else m) < (m if row % 2 == 0 else k)
    if row % 2 == column % 2:
        found: float = apart + both if row % 2 else apart - both
    else:
        found = both - apart if sine_below else both + apart
    return 0.5 * found


@inner
def _factor(sums: Doubles, lane: int, factor: Doubles) -> bool:
    """Factorise the normal matrix of a pixel; tell whether its terms can be told apart."""
    size = factor.shape[0]
    for row in range(size):
        for column in range(row + 1):
            entry = _entry(sums, row, column, lane)
            whole = entry
            for k in range(column):
                entry -= factor[row, k] * factor[column, k]
            if column < row:
                factor[row, column] = entry / factor[column, column]
            elif entry > _DEGENERATE * whole:
                factor[row, row] = math.sqrt(entry)
            else:
                return False
    return True


@inner
def _solve(factor: Doubles, right: Doubles, lane: int) -> None:
    size = factor.shape[0]
    for row in range(size):
        value = right[row, lane]
        for k in range(row):
            value -= factor[row, k] * right[k, lane]
        right[row, lane] = value / factor[row, row]
    for row in range(size - 1, -1, -1):
        value = right[row, lane]
        for k in range(row + 1, size):
            value -= factor[k, row] * right[k, lane]
        right[row, lane] = value / factor[row, row]


@inner
def _sum_up(values: Floats, clear: Marks, terms: Doubles, sums: Doubles, right: Doubles, room: Doubles) -> None:
    """Add one date of a tile to its normal equations."""
    # Rows are cut where they are used: the compiler must see that they are contiguous.
    lanes = values.size
    weight, value = room[0, :lanes], room[1, :lanes]
    _take(values, clear, weight, value)
    for term in range(sums.shape[0]):
        _add(terms[term], weight, sums[term, :lanes])
    for term in range(right.shape[0] - 1):
        _add(terms[term], value, right[term, :lanes])


@inner
def _leave(values: Floats, clear: Marks, terms: Doubles, right: Doubles, room: Doubles) -> None:
    """Add the squares of what the model leaves of one date to the last row of ``right``."""
    lanes, size = values.size, right.shape[0] - 1
    weight, value = room[0, :lanes], room[1, :lanes]
    _take(values, clear, weight, value)
    for term in range(size):
        _add(-terms[term], right[term, :lanes], value)
    _add_squares(weight, value, right[size, :lanes])


@kernel
def _fit(
    series: Floats, variable: int, clear: Marks, terms: Doubles, sums: Doubles, right: Doubles, out: Floats
) -> None:
    pixels, size = out.shape[1], right.shape[0] - 1
    factor, room = np.empty((size, size)), np.empty((2, sums.shape[1]))
    for start in range(0, pixels, sums.shape[1]):
        stop = min(start + sums.shape[1], pixels)
        sums[:] = 0.0
        right[:] = 0.0
        for date in range(series.shape[0]):
            _sum_up(series[date, variable, start:stop], clear[date, start:stop], terms[date], sums, right, room)
        for lane in range(stop - start):
            if sums[0, lane] > size and _factor(sums, lane, factor):
                _solve(factor, right, lane)
            else:
                right[:size, lane] = np.nan
        for date in range(series.shape[0]):
            _leave(series[date, variable, start:stop], clear[date, start:stop], terms[date], right, room)
        for lane in range(stop - start):
            for row in range(size):
                out[row, start + lane] = right[row, lane]
            # NaN parameters leave NaN here too.
            out[size, start + lane] = math.sqrt(right[size, lane] / max(sums[0, lane] - size, 1.0))
