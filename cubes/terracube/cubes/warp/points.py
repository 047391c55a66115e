"""Resampling kernels that look around the centre of a target pixel: nearest, bilinear and cubic.

All sums are float64 in the source's row order, in strict IEEE arithmetic, so that the answer for a pixel is the same
to the bit in every block. A row of results is float64 with NaN where a pixel has no value; a pixel has none if its
centre lies outside the source or in a source pixel that is missing. Taps that are missing or beyond the true edge of
the source are left out and the others made to weigh one again.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from terracube.cubes.warp.frame import (
    HALF,
    HEIGHT,
    HIGH,
    LEFT,
    LOW,
    MASK,
    ONE,
    POSITION_BITS,
    TOP,
    WIDTH,
    Array,
    Geometry,
)
from terracube.cubes.warp.positions import centres

_UNIT = 1.0 / ONE
type Scratch = tuple[Array, ...]


@njit(nogil=True)
def is_missing(value: float, nodata: float, has_nodata: bool) -> bool:
    """Tell whether a source value stands for none: NaN always does."""
    return value != value or (has_nodata and value == nodata)


@njit(nogil=True)
def copy_nearest(
    values: Array, nodata: float, has_nodata: bool, geometry: Geometry, wanted: Array, scratch: Scratch, out: Array
) -> None:
    """Write nearest values into an array of the same dtype, which holds the fill value before."""
    frame, x, y = geometry[0], scratch[0], scratch[1]
    height, width, top, left = frame[HEIGHT], frame[WIDTH], frame[TOP], frame[LEFT]
    for i in range(out.shape[0]):
        centres(geometry, i, wanted, x, y)
        for j in range(x.size):
            row, col = y[j] >> POSITION_BITS, x[j] >> POSITION_BITS
            if 0 <= row < height and 0 <= col < width:
                value = values[row - top, col - left]
                if not is_missing(value, nodata, has_nodata):
                    out[i, j] = value


@njit(nogil=True)
def nearest(
    values: Array, nodata: float, has_nodata: bool, geometry: Geometry, wanted: Array, scratch: Scratch, span: Array
) -> None:
    """Give the values of the source pixels that hold the centres, in rows ``span`` of the block."""
    frame, x, y, out = geometry[0], scratch[0], scratch[1], scratch[2]
    height, width, top, left = frame[HEIGHT], frame[WIDTH], frame[TOP], frame[LEFT]
    for i in range(span[0], span[1]):
        centres(geometry, i, wanted, x, y)
        for j in range(x.size):
            row, col = y[j] >> POSITION_BITS, x[j] >> POSITION_BITS
            found = math.nan
            if 0 <= row < height and 0 <= col < width:
                value = values[row - top, col - left]
                if not is_missing(value, nodata, has_nodata):
                    found = float(value)
            out[i - span[0], j] = found


@njit(nogil=True)
def bilinear(
    values: Array, nodata: float, has_nodata: bool, geometry: Geometry, wanted: Array, scratch: Scratch, span: Array
) -> None:
    """Interpolate between the four source pixels around the centres."""
    frame, x, y, out = geometry[0], scratch[0], scratch[1], scratch[2]
    bounds = (frame[HEIGHT], frame[WIDTH], frame[LOW], frame[HIGH], frame[TOP], frame[LEFT])
    for i in range(span[0], span[1]):
        centres(geometry, i, wanted, x, y)
        for j in range(x.size):
            out[i - span[0], j] = _bilinear(values, nodata, has_nodata, x[j], y[j], bounds)


type _Bounds = tuple[int, int, int, int, int, int]


@njit(nogil=True)
def _bilinear(values: Array, nodata: float, has_nodata: bool, x: int, y: int, bounds: _Bounds) -> float:
    height, width, low, high, top, left = bounds
    row, col = y >> POSITION_BITS, x >> POSITION_BITS
    if not (0 <= row < height and 0 <= col < width):
        return math.nan
    centre = values[row - top, col - left]
    if is_missing(centre, nodata, has_nodata):
        return math.nan
    if (x & MASK) == HALF and (y & MASK) == HALF:
        return float(centre)
    row, col = (y - HALF) >> POSITION_BITS, (x - HALF) >> POSITION_BITS
    down, across = ((y - HALF) & MASK) * _UNIT, ((x - HALF) & MASK) * _UNIT
    found = math.nan
    if row >= 0 and row + 1 < height and col >= low and col + 1 < high:
        found = _two_by_two(values, nodata, has_nodata, (row - top, col - left, down, across))
    if found != found:
        found = _around(values, nodata, has_nodata, (row, col, down, across), bounds)
    return found


@njit(nogil=True)
def _two_by_two(values: Array, nodata: float, has_nodata: bool, at: tuple[int, int, float, float]) -> float:
    """Interpolate between four pixels; NaN where one is missing."""
    row, col, down, across = at
    # Unsigned indices: numba then leaves out its look for negative ones.
    north, south, west, east = np.uint64(row), np.uint64(row + 1), np.uint64(col), np.uint64(col + 1)
    nw, ne, sw, se = values[north, west], values[north, east], values[south, west], values[south, east]
    missing = is_missing(nw, nodata, has_nodata) | is_missing(ne, nodata, has_nodata)
    missing |= is_missing(sw, nodata, has_nodata) | is_missing(se, nodata, has_nodata)
    above = float(nw) + across * (float(ne) - float(nw))
    below = float(sw) + across * (float(se) - float(sw))
    return math.nan if missing else above + down * (below - above)


@njit(nogil=True)
def _around(
    values: Array, nodata: float, has_nodata: bool, at: tuple[int, int, float, float], bounds: _Bounds
) -> float:
    """Interpolate between those of four source pixels that have a value."""
    row, col, down, across = at
    height, _, low, high, top, left = bounds
    total = weight = 0.0
    for r in range(max(row, 0), min(row + 2, height)):
        along = down if r > row else 1.0 - down
        for c in range(max(col, low), min(col + 2, high)):
            value = values[r - top, c - left]
            if not is_missing(value, nodata, has_nodata):
                share = along * (across if c > col else 1.0 - across)
                total += share * float(value)
                weight += share
    return total / weight if weight > 0.0 else math.nan


@njit(nogil=True)
def cubic(
    values: Array, nodata: float, has_nodata: bool, geometry: Geometry, wanted: Array, scratch: Scratch, span: Array
) -> None:
    """Convolve 4 x 4 source pixels around the centres; bilinear where one of them is missing or beyond the edge."""
    frame, x, y, out = geometry[0], scratch[0], scratch[1], scratch[2]
    bounds = (frame[HEIGHT], frame[WIDTH], frame[LOW], frame[HIGH], frame[TOP], frame[LEFT])
    for i in range(span[0], span[1]):
        centres(geometry, i, wanted, x, y)
        for j in range(x.size):
            found = math.nan
            if (x[j] & MASK) != HALF or (y[j] & MASK) != HALF:
                found = _cubic(values, nodata, has_nodata, x[j], y[j], bounds)
            if found != found:
                found = _bilinear(values, nodata, has_nodata, x[j], y[j], bounds)
            out[i - span[0], j] = found


@njit(nogil=True)
def _cubic(values: Array, nodata: float, has_nodata: bool, x: int, y: int, bounds: _Bounds) -> float:
    """Give NaN where there are not sixteen valid pixels, or the centre lies outside the source."""
    height, _, low, high, top, left = bounds
    row, col = ((y - HALF) >> POSITION_BITS) - 1, ((x - HALF) >> POSITION_BITS) - 1
    if row < 0 or row + 4 > height or col < low or col + 4 > high:
        return math.nan
    down, across = _keys(((y - HALF) & MASK) * _UNIT), _keys(((x - HALF) & MASK) * _UNIT)
    return four_by_four(values, nodata, has_nodata, row - top, col - left, down, across)


type _Four = tuple[float, float, float, float]


@njit(nogil=True)
def four_by_four(
    values: Array, nodata: float, has_nodata: bool, row: int, col: int, down: _Four, across: _Four
) -> float:
    """Sum sixteen weighted pixels; NaN where one is missing."""
    total, missing = 0.0, False
    # Unsigned indices: numba then leaves out its look for negative ones.
    first = np.uint64(col)
    second, third, fourth = first + np.uint64(1), first + np.uint64(2), first + np.uint64(3)
    for r in range(4):
        line = values[np.uint64(row + r)]
        a, b, c, d = line[first], line[second], line[third], line[fourth]
        missing |= is_missing(a, nodata, has_nodata) | is_missing(b, nodata, has_nodata)
        missing |= is_missing(c, nodata, has_nodata) | is_missing(d, nodata, has_nodata)
        west, east = across[0] * float(a) + across[1] * float(b), across[2] * float(c) + across[3] * float(d)
        total += (west + east) * (down[0] if r == 0 else down[1] if r == 1 else down[2] if r == 2 else down[3])
    return math.nan if missing else total


@njit(nogil=True)
def _keys(t: float) -> _Four:
    """Give the weights of four pixels at distances 1 + t, t, 1 - t, 2 - t: cubic convolution with a = -1/2."""
    w0 = t * (-0.5 + t * (1.0 - 0.5 * t))
    w1 = 1.0 + t * t * (1.5 * t - 2.5)
    w2 = t * (0.5 + t * (2.0 - 1.5 * t))
    w3 = t * t * (0.5 * t - 0.5)
    return w0, w1, w2, w3
