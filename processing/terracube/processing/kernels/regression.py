"""A linear model fitted to each pixel's series by least squares, missing dates left out, with covariance.

The normal equations of a tile of pixels are summed in float64 with the pixels innermost, factorised (Cholesky) and
inverted together. A pixel's result never depends on its neighbours, nor on where the tile begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel, part

MOST_PARAMETERS = 12
TILE = 128
_SLAB = 64 * TILE
# What is left of a column's sum of squares after the others explained it: below this they cannot be told apart.
_DEGENERATE = 1e-9

type Floats = NDArray[np.floating[Any]]
type Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """What a fit gives; NaN where the dates do not hold the model."""

    parameters: Doubles
    """(parameter, pixel)."""
    inverse: Doubles
    """Inverse of the normal matrix, its lower triangle row by row, (p (p + 1) / 2, pixel)."""
    count: Doubles
    """Dates with a value, (pixel,); never NaN."""
    chi2: Doubles
    """Weighted sum of the squares of what is left, (pixel,)."""
    squares: Doubles
    """Sum of the squares of what is left, (pixel,)."""
    lagged: Doubles
    """Mean product of what is left at successive dates with a value, each times the root of its weight, (pixel,)."""


def entry(row: int, column: int) -> int:
    """Give where the triangle holds an entry, ``column <= row``.

    Examples
    --------
    >>> [entry(0, 0), entry(1, 0), entry(1, 1), entry(2, 1)]
    [0, 1, 2, 4]
    """
    return row * (row + 1) // 2 + column


def regress(series: Floats, design: Doubles, weights: Floats | None = None) -> Regression:
    """Fit ``series = design @ parameters`` to each pixel.

    Parameters
    ----------
    series : float32 or float64 array (date, pixel)
        NaN = missing.
    design : float64 array (date, parameter)
        Up to 12 columns, best of similar size.
    weights : array (date, pixel) or (date, 1), optional
        Inverse variances; 0 and NaN leave a date out. All 1 by default.

    Returns
    -------
    Regression
        All NaN but the count where there are no more dates than parameters, or where the dates there are cannot tell
        two terms apart.

    Examples
    --------
    >>> days = np.arange(5.0)
    >>> found = regress(np.float32([1 + 2 * days]).T, np.stack([days**0, days], axis=1))
    >>> found.parameters.ravel().round(6).tolist(), found.count.tolist()
    ([1.0, 2.0], [5.0])
    """
    dates, pixels = series.shape
    terms = design.shape[1]
    told = np.ones((dates, 1), np.float32) if weights is None else weights
    columns = np.ascontiguousarray(design.T, np.float64)
    products = np.stack([columns[row] * columns[column] for row in range(terms) for column in range(row + 1)])
    plan = (np.ascontiguousarray(columns.T), columns, products)
    room = tuple(np.empty((rows, TILE)) for rows in (dates, dates, terms * (terms + 3) // 2, terms, 7))
    out = np.empty((terms * (terms + 3) // 2 + 4, pixels))
    # Slabs in double precision: one compiled form for all types, and little memory.
    for start in range(0, pixels, _SLAB):
        cut = slice(start, start + _SLAB)
        values = np.ascontiguousarray(series[:, cut], np.float64)
        given = np.ascontiguousarray(told if told.shape[1] == 1 else told[:, cut], np.float64)
        part = np.empty((len(out), values.shape[1]))
        _regress(values, given, plan, room, part)
        out[:, cut] = part
    return Regression(out[:terms], out[terms:-4], *out[-4:])


def combine(factors: Doubles, rows: Floats) -> Doubles:
    """Sum rows, each times its factor: the matrix product, whose bits here do not depend on the number of pixels.

    Parameters
    ----------
    factors : float64 array (sum, row)
    rows : float array (row, pixel)
        NaN goes into all sums of its pixel.

    Returns
    -------
    float64 array (sum, pixel)

    Examples
    --------
    >>> combine(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0], [10.0, 20.0]])).tolist()
    [[21.0, 43.0]]
    """
    out = np.empty((len(factors), rows.shape[1]))
    room = np.empty((len(rows) + 1, TILE))
    _combine(np.ascontiguousarray(factors, np.float64), np.ascontiguousarray(rows, np.float64), room, out)
    return out


@kernel
def _combine(factors: Doubles, rows: Doubles, room: Doubles, out: Doubles) -> None:
    count = rows.shape[0]
    tile, total = room[:count], room[count]
    for start in range(0, out.shape[1], room.shape[1]):
        stop = min(start + room.shape[1], out.shape[1])
        tile[:] = 0.0
        for row in range(count):
            for lane in range(stop - start):
                tile[row, lane] = rows[row, start + lane]
        for each in range(factors.shape[0]):
            _clear(total)
            _add_rows(factors[each], tile, total)
            for lane in range(stop - start):
                out[each, start + lane] = total[lane]


@inner
def _take(values: Any, weights: Any, weight: Doubles, value: Doubles) -> None:
    """Take one date of a tile: its weight, and weight times value, where both are there, else 0 and 0."""
    weight[values.size :] = 0.0
    value[values.size :] = 0.0
    for lane in range(values.size):
        there = (abs(values[lane]) < np.inf) & (weights[lane] > 0) & (weights[lane] < np.inf)
        weight[lane] = np.float64(weights[lane]) if there else 0.0
        value[lane] = weight[lane] * np.float64(values[lane]) if there else 0.0


@inner
def _take_alike(values: Any, given: float, weight: Doubles, value: Doubles) -> None:
    weight[values.size :] = 0.0
    value[values.size :] = 0.0
    for lane in range(values.size):
        there = (abs(values[lane]) < np.inf) & (given > 0) & (given < np.inf)
        weight[lane] = given if there else 0.0
        value[lane] = weight[lane] * np.float64(values[lane]) if there else 0.0


@inner
def _clear(values: Doubles) -> None:
    for lane in range(values.size):
        values[lane] = 0.0


@inner
def _copy(values: Doubles, target: Doubles) -> None:
    # Row by row: the assignment of one array to another compiles all that it would say of shapes that differ.
    for lane in range(target.size):
        target[lane] = values[lane]


@inner
def _add(factor: float, values: Doubles, total: Doubles) -> None:
    for lane in range(total.size):
        total[lane] += factor * values[lane]


@inner
def _add_four(c: Any, at: int, values: Doubles, total: Doubles) -> None:
    """Add four rows: the sum stays in registers meanwhile."""
    c0, c1, c2, c3 = c[at], c[at + 1], c[at + 2], c[at + 3]
    v0, v1, v2, v3 = values[at], values[at + 1], values[at + 2], values[at + 3]
    for lane in range(total.size):
        total[lane] += c0 * v0[lane] + c1 * v1[lane] + c2 * v2[lane] + c3 * v3[lane]


@inner
def _add_rows(c: Any, values: Doubles, total: Doubles) -> None:
    """Add rows, each times its number."""
    four = c.size - c.size % 4
    for at in range(0, four, 4):
        _add_four(c, at, values, total)
    for at in range(four, c.size):
        _add(c[at], values[at], total)


@inner
def _add_product(factor: float, one: Doubles, other: Doubles, total: Doubles) -> None:
    for lane in range(total.size):
        total[lane] += factor * one[lane] * other[lane]


@inner
def _take_away(one: Doubles, other: Doubles, total: Doubles) -> None:
    for lane in range(total.size):
        total[lane] -= one[lane] * other[lane]


@inner
def _pivot(values: Doubles, whole: Doubles, good: Doubles) -> None:
    """Take the root of a pivot; where it is too small, mark the pixel and go on with 1."""
    for lane in range(values.size):
        fine = values[lane] > _DEGENERATE * whole[lane]
        good[lane] = good[lane] if fine else 0.0
        values[lane] = np.sqrt(values[lane] if fine else 1.0)


@inner
def _reciprocal(values: Doubles) -> None:
    for lane in range(values.size):
        values[lane] = 1.0 / values[lane]


@inner
def _negate_divide(by: Doubles, values: Doubles) -> None:
    """Finish an entry of the inverse factor: minus the sum, times the diagonal's reciprocal."""
    for lane in range(values.size):
        values[lane] = -values[lane] * by[lane]


@inner
def _left(values: Any, model: Doubles, weight: Doubles, last: Doubles, sums: Any) -> None:
    """Count one date and add what is left: weighted squares, squares, products with the date before, their number."""
    count, chi2, squares, lagged, links = sums
    for lane in range(values.size):
        there = weight[lane] > 0.0
        e = np.float64(values[lane]) - model[lane] if there else 0.0
        count[lane] += 1.0 if there else 0.0
        scaled = np.sqrt(weight[lane]) * e
        chi2[lane] += scaled * scaled
        squares[lane] += e * e
        # `last` is NaN before the first date.
        linked = there & (last[lane] == last[lane])
        lagged[lane] += scaled * last[lane] if linked else 0.0
        links[lane] += 1.0 if linked else 0.0
        last[lane] = scaled if there else last[lane]


@part
def _normal(columns: Doubles, products: Doubles, weights: Doubles, values: Doubles, found: Doubles) -> None:
    """Sum the normal equations of a tile: right-hand sides, then the triangle."""
    terms = columns.shape[0]
    found[:] = 0.0
    for row in range(terms):
        _add_rows(columns[row], values, found[row])
    for at in range(products.shape[0]):
        _add_rows(products[at], weights, found[terms + at])


@part
def _factor(matrix: Doubles, terms: int, whole: Doubles, good: Doubles) -> None:
    """Factorise in place; the diagonal holds reciprocals of the factor's."""
    for row in range(terms):
        base = row * (row + 1) // 2
        _copy(matrix[base + row], whole)
        for column in range(row + 1):
            other = column * (column + 1) // 2
            for k in range(column):
                _take_away(matrix[base + k], matrix[other + k], matrix[base + column])
            if column < row:
                for lane in range(whole.size):
                    matrix[base + column, lane] *= matrix[other + column, lane]
            else:
                _pivot(matrix[base + row], whole, good)
                _reciprocal(matrix[base + row])


@part
def _solve(matrix: Doubles, right: Doubles) -> None:
    terms = right.shape[0]
    for row in range(terms):
        base = row * (row + 1) // 2
        for k in range(row):
            _take_away(matrix[base + k], right[k], right[row])
        for lane in range(right.shape[1]):
            right[row, lane] *= matrix[base + row, lane]
    for row in range(terms - 1, -1, -1):
        for k in range(row + 1, terms):
            _take_away(matrix[k * (k + 1) // 2 + row], right[k], right[row])
        for lane in range(right.shape[1]):
            right[row, lane] *= matrix[row * (row + 1) // 2 + row, lane]


@part
def _invert(matrix: Doubles, terms: int, room: Doubles) -> None:
    """Turn the factor into the inverse of the normal matrix, in place: first the factor's inverse, then its square."""
    for column in range(terms):
        for row in range(column + 1, terms):
            base = row * (row + 1) // 2
            _clear(room[row])
            for k in range(column, row):
                _add_product(1.0, matrix[base + k], matrix[k * (k + 1) // 2 + column], room[row])
            # Neither later rows nor later columns need this entry of the factor.
            _negate_divide(matrix[base + row], room[row])
            _copy(room[row], matrix[base + column])
    for row in range(terms):
        for column in range(row + 1):
            at = row * (row + 1) // 2 + column
            _clear(room[0])
            for k in range(row, terms):
                below = k * (k + 1) // 2
                _add_product(1.0, matrix[below + row], matrix[below + column], room[0])
            _copy(room[0], matrix[at])


@part
def _finish(good: Doubles, terms: int, found: Doubles, sums: Any, start: int, out: Doubles) -> None:
    """Write a tile; NaN where it is no good, but for the number of dates."""
    count, chi2, squares, lagged, links = sums
    base = found.shape[0]
    for lane in range(min(good.size, out.shape[1] - start)):
        pixel = start + lane
        fine = (good[lane] > 0.0) & (count[lane] > terms)
        for row in range(base):
            out[row, pixel] = found[row, lane] if fine else np.nan
        out[base, pixel] = count[lane]
        out[base + 1, pixel] = chi2[lane] if fine else np.nan
        out[base + 2, pixel] = squares[lane] if fine else np.nan
        out[base + 3, pixel] = lagged[lane] / links[lane] if fine else np.nan


@part
def _read(series: Any, given: Any, start: int, weights: Doubles, values: Doubles) -> None:
    # Rows are cut where they are used: the compiler must see that they are contiguous.
    stop = min(start + weights.shape[1], series.shape[1])
    for date in range(series.shape[0]):
        if given.shape[1] == 1:
            _take_alike(series[date, start:stop], np.float64(given[date, 0]), weights[date], values[date])
        else:
            _take(series[date, start:stop], given[date, start:stop], weights[date], values[date])


@part
def _tile(series: Any, given: Any, plan: Any, room: Any, start: int, out: Doubles) -> None:
    """Fit one tile."""
    design, columns, products = plan
    weights, values, found, spare, rest = room
    dates, terms = design.shape
    right, matrix = found[:terms], found[terms:]
    sums, last = (rest[1], rest[2], rest[3], rest[4], rest[5]), rest[6]
    _read(series, given, start, weights, values)
    _normal(columns, products, weights, values, found)
    rest[0, :] = 1.0
    rest[1:6, :] = 0.0
    rest[6, :] = np.nan
    _factor(matrix, terms, spare[0], rest[0])
    _solve(matrix, right)
    stop = min(start + weights.shape[1], series.shape[1])
    for date in range(dates):
        _clear(spare[0])
        _add_rows(design[date], right, spare[0])
        _left(series[date, start:stop], spare[0], weights[date], last, sums)
    _invert(matrix, terms, spare)
    _finish(rest[0], terms, found, sums, start, out)


@kernel
def _regress(series: Any, given: Any, plan: Any, room: Any, out: Doubles) -> None:
    for start in range(0, out.shape[1], room[0].shape[1]):
        _tile(series, given, plan, room, start, out)
