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
    INNER,
    KERNEL,
    LEFT,
    LOW,
    MASK,
    ONE,
    POSITION_BITS,
    TOP,
    WIDTH,
    Array,
)
from terracube.cubes.warp.lines import dot
from terracube.cubes.warp.missing import is_missing

_UNIT = 1.0 / ONE
type Scratch = tuple[Array, ...]


@njit(**KERNEL)
def pixels_at(frame: Array, stride: int, x: Array, y: Array, at: Array) -> None:
    """Give the source pixels that hold the centres, as indices into rows of ``stride`` values; -1 outside."""
    height, width, top, left = frame[HEIGHT], frame[WIDTH], frame[TOP], frame[LEFT]
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            row, col = y[i, j] >> POSITION_BITS, x[i, j] >> POSITION_BITS
            inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
            at[i, j] = (row - top) * stride + (col - left) if inside else -1


@njit(**KERNEL)
def nearest(values: Array, nodata: float, has_nodata: bool, at: Array, out: Array) -> None:
    """Write the values of the source pixels that hold the centres; what has none is left alone."""
    flat = values.reshape(-1)
    for i in range(at.shape[0]):
        for j in range(at.shape[1]):
            if at[i, j] >= 0:
                value = flat[at[i, j]]
                if not is_missing(value, nodata, has_nodata):
                    out[i, j] = value


@njit(**KERNEL)
def bilinear(values: Array, nodata: float, has_nodata: bool, frame: Array, scratch: Scratch, out: Array) -> None:
    """Interpolate between the four source pixels around the centres."""
    x, y = scratch[0], scratch[1]
    bounds = (frame[HEIGHT], frame[WIDTH], frame[LOW], frame[HIGH], frame[TOP], frame[LEFT])
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = _bilinear(values, nodata, has_nodata, x[i, j], y[i, j], bounds)


type _Bounds = tuple[int, int, int, int, int, int]


@njit(**INNER)
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


@njit(**INNER)
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


@njit(**INNER)
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


@njit(**KERNEL)
def cubic(values: Array, nodata: float, has_nodata: bool, frame: Array, scratch: Scratch, out: Array) -> None:
    """Convolve 4 x 4 source pixels around the centres; bilinear where one of them is missing or beyond the edge.

    The scratch holds positions, and marks where 4 x 4 pixels begin of which one is missing.
    """
    x, y, marks = scratch
    bounds = (frame[HEIGHT], frame[WIDTH], frame[LOW], frame[HIGH], frame[TOP], frame[LEFT])
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            found = math.nan
            if (x[i, j] & MASK) != HALF or (y[i, j] & MASK) != HALF:
                found = _cubic(values, marks, x[i, j], y[i, j], bounds)
            if found != found:
                found = _bilinear(values, nodata, has_nodata, x[i, j], y[i, j], bounds)
            out[i, j] = found


@njit(**INNER)
def _cubic(values: Array, marks: Array, x: int, y: int, bounds: _Bounds) -> float:
    """Give NaN where there are not sixteen valid pixels, or the centre lies outside the source."""
    height, _, low, high, top, left = bounds
    row, col = ((y - HALF) >> POSITION_BITS) - 1, ((x - HALF) >> POSITION_BITS) - 1
    if row < 0 or row + 4 > height or col < low or col + 4 > high:
        return math.nan
    first_row, first_col, stride = np.uint64(row - top), np.uint64(col - left), np.uint64(values.shape[1])
    if marks.size and marks[first_row, first_col]:
        return math.nan
    down, across = _keys(((y - HALF) & MASK) * _UNIT), _keys(((x - HALF) & MASK) * _UNIT)
    found: float = four_by_four(values, first_row * stride + first_col, stride, down, across)
    return found


type _Four = tuple[float, float, float, float]


@njit(**INNER)
def four_by_four(values: Array, first: int, stride: int, down: _Four, across: _Four) -> float:
    """Sum sixteen weighted pixels that are all there."""
    total: float = dot(values, first, across) * down[0]
    total += dot(values, first + stride, across) * down[1]
    total += dot(values, first + np.uint64(2) * stride, across) * down[2]
    total += dot(values, first + np.uint64(3) * stride, across) * down[3]
    return total


@njit(**INNER)
def _keys(t: float) -> _Four:
    """Give the weights of four pixels at distances 1 + t, t, 1 - t, 2 - t: cubic convolution with a = -1/2."""
    w0 = t * (-0.5 + t * (1.0 - 0.5 * t))
    w1 = 1.0 + t * t * (1.5 * t - 2.5)
    w2 = t * (0.5 + t * (2.0 - 1.5 * t))
    w3 = t * t * (0.5 * t - 0.5)
    return w0, w1, w2, w3
