"""Bilinear and cubic kernels stretched over target pixels that are larger than the source's, against aliasing."""

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
    REACH_X,
    REACH_Y,
    TOP,
    WIDTH,
    Array,
    Geometry,
)
from terracube.cubes.warp.points import Scratch, four_by_four, is_missing
from terracube.cubes.warp.positions import centres

_UNIT = 1.0 / ONE
# Taps that weigh less than this together give no value: with negative lobes they could cancel.
_LEAST = 1e-6
# First entries of the array of weights: the scales of rows and columns; then come weights of rows, then of columns.
SCALES = 2
# Kernels.
BILINEAR, CUBIC = 1, 2


@njit(nogil=True)
def widened(
    values: Array, nodata: float, has_nodata: bool, geometry: Geometry, wanted: Array, scratch: Scratch, span: Array
) -> None:
    """Convolve with a stretched kernel in rows ``span[0]`` to ``span[1]``; ``span[2]`` tells cubic from bilinear."""
    frame = geometry[0]
    x, y, out, weights = scratch[0], scratch[1], scratch[2], scratch[3]
    height, width, top, left = frame[HEIGHT], frame[WIDTH], frame[TOP], frame[LEFT]
    small = span[2] == BILINEAR and frame[REACH_Y] == 2 and frame[REACH_X] == 2
    for i in range(span[0], span[1]):
        centres(geometry, i, wanted, x, y)
        for j in range(x.size):
            found = math.nan
            row, col = y[j] >> POSITION_BITS, x[j] >> POSITION_BITS
            inside = 0 <= row < height and 0 <= col < width
            if inside and not is_missing(values[row - top, col - left], nodata, has_nodata):
                if small:
                    found = _four(values, nodata, has_nodata, frame, weights, x[j] - HALF, y[j] - HALF)
                if found != found:
                    found = _all(values, nodata, has_nodata, frame, weights, x[j] - HALF, y[j] - HALF, span[2])
            out[i - span[0], j] = found


@njit(nogil=True)
def _four(values: Array, nodata: float, has_nodata: bool, frame: Array, weights: Array, x: int, y: int) -> float:
    """Take a triangle that reaches two pixels to either side, faster than the general way; NaN where that must do."""
    row, col = (y >> POSITION_BITS) - 1, (x >> POSITION_BITS) - 1
    if row < 0 or row + 4 > frame[HEIGHT] or col < frame[LOW] or col + 4 > frame[HIGH]:
        return math.nan
    down, across = _triangle((y & MASK) * _UNIT, weights[0]), _triangle((x & MASK) * _UNIT, weights[1])
    total = four_by_four(values, nodata, has_nodata, row - frame[TOP], col - frame[LEFT], down, across)
    weight = (down[0] + down[1]) + (down[2] + down[3])
    return total / (weight * ((across[0] + across[1]) + (across[2] + across[3])))


@njit(nogil=True)
def _triangle(offset: float, scale: float) -> tuple[float, float, float, float]:
    return (
        max(1.0 - (1.0 + offset) * scale, 0.0),
        max(1.0 - offset * scale, 0.0),
        max(1.0 - (1.0 - offset) * scale, 0.0),
        max(1.0 - (2.0 - offset) * scale, 0.0),
    )


@njit(nogil=True)
def _all(
    values: Array, nodata: float, has_nodata: bool, frame: Array, weights: Array, x: int, y: int, kernel: int
) -> float:
    reach_y, reach_x = frame[REACH_Y], frame[REACH_X]
    weight = _weigh(weights, SCALES, reach_y, (y & MASK) * _UNIT, weights[0], kernel)
    weight *= _weigh(weights, SCALES + 2 * reach_y, reach_x, (x & MASK) * _UNIT, weights[1], kernel)
    row, col = (y >> POSITION_BITS) - reach_y + 1, (x >> POSITION_BITS) - reach_x + 1
    if row >= 0 and row + 2 * reach_y <= frame[HEIGHT] and frame[LOW] <= col and col + 2 * reach_x <= frame[HIGH]:
        total = _full(values, nodata, has_nodata, frame, weights, row, col)
        if total == total:
            return total / weight
    return _part(values, nodata, has_nodata, frame, weights, row, col)


@njit(nogil=True)
def _weigh(weights: Array, at: int, reach: int, offset: float, scale: float, kernel: int) -> float:
    """Weigh the taps of one axis, of which the middle two lie ``offset`` before and ``1 - offset`` after the centre."""
    for k in range(2 * reach):
        t = abs((k - reach + 1 - offset) * scale)
        if kernel == CUBIC:
            near = 1.0 + t * t * (1.5 * t - 2.5)
            far = 2.0 + t * (-4.0 + t * (2.5 - 0.5 * t))
            weights[at + k] = near if t < 1.0 else far if t < 2.0 else 0.0
        else:
            weights[at + k] = 1.0 - t if t < 1.0 else 0.0
    total = 0.0
    for k in range(0, 2 * reach, 2):
        total += weights[at + k] + weights[at + k + 1]
    return total


@njit(nogil=True)
def _full(values: Array, nodata: float, has_nodata: bool, frame: Array, weights: Array, row: int, col: int) -> float:
    """Sum taps that are all inside; NaN where one is missing."""
    total, missing = 0.0, False
    across = SCALES + 2 * frame[REACH_Y]
    # Unsigned indices: numba then leaves out its look for negative ones, half the time of this loop.
    first_row, first_col = np.uint64(row - frame[TOP]), np.uint64(col - frame[LEFT])
    for r in range(np.uint64(2 * frame[REACH_Y])):
        line = 0.0
        for pair in range(np.uint64(frame[REACH_X])):
            c = np.uint64(2) * pair
            one, two = values[first_row + r, first_col + c], values[first_row + r, first_col + c + np.uint64(1)]
            missing |= is_missing(one, nodata, has_nodata) | is_missing(two, nodata, has_nodata)
            at = np.uint64(across) + c
            line += weights[at] * float(one) + weights[at + np.uint64(1)] * float(two)
        total += weights[np.uint64(SCALES) + r] * line
    return math.nan if missing else total


@njit(nogil=True)
def _part(values: Array, nodata: float, has_nodata: bool, frame: Array, weights: Array, row: int, col: int) -> float:
    """Average the taps that are valid and inside the true source; the first is at ``row``, ``col`` of the source."""
    first, last = max(row, 0), min(row + 2 * frame[REACH_Y], frame[HEIGHT])
    begin, end = max(col, frame[LOW]), min(col + 2 * frame[REACH_X], frame[HIGH])
    down, across = SCALES - row, SCALES + 2 * frame[REACH_Y] - col
    total = weight = 0.0
    for r in range(first, last):
        line = share = 0.0
        for c in range(begin, end):
            value = values[r - frame[TOP], c - frame[LEFT]]
            if not is_missing(value, nodata, has_nodata):
                line += weights[across + c] * float(value)
                share += weights[across + c]
        total += weights[down + r] * line
        weight += weights[down + r] * share
    return total / weight if weight > _LEAST else math.nan
