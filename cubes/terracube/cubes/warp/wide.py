"""Bilinear and cubic kernels stretched over target pixels that are larger than the source's, against aliasing."""

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
    REACH_X,
    REACH_Y,
    TOP,
    WIDTH,
    Array,
)
from terracube.cubes.warp.lines import dot
from terracube.cubes.warp.missing import is_missing
from terracube.cubes.warp.points import Scratch, four_by_four

_UNIT = 1.0 / ONE
# Taps that weigh less than this together give no value: with negative lobes they could cancel.
_LEAST = 1e-6
# Pixels whose weights are worked out side by side.
RUN = 128


@njit(**KERNEL)
def widened(values: Array, nodata: float, has_nodata: bool, frame: Array, scratch: Scratch, out: Array) -> None:
    """Convolve with a stretched kernel.

    The scratch holds positions; marks where boxes as large as the kernel begin that miss a value; of some pixels the
    weights of the rows and of the columns, each with their sum as the last, and the first taps; and whether the kernel
    is cubic and how it is stretched along y and x. ``out`` holds NaN before.
    """
    x, y, marks, down, across, firsts, stretch = scratch
    cubic, scale_y, scale_x = stretch[0] != 0.0, stretch[1], stretch[2]
    tall, wide = frame[REACH_Y], frame[REACH_X]
    for i in range(x.shape[0]):
        for begin in range(0, x.shape[1], RUN):
            xs, ys, found = x[i, begin : begin + RUN], y[i, begin : begin + RUN], out[i, begin : begin + RUN]
            _weigh(ys, cubic, scale_y, down)
            _weigh(xs, cubic, scale_x, across)
            _find(xs, ys, marks, frame, values.shape[1], firsts)
            # A run at a time: these are too large to be built into the loop, and a call for each pixel costs more.
            if tall == 2 and wide == 2:
                _sum_four(values, firsts, down, across, found)
            elif tall == 3 and wide == 3:
                _sum_six(values, firsts, down, across, found)
            else:
                _sum_any(values, firsts, down, across, found)
            _sum_rest(values, nodata, has_nodata, frame, (xs, ys), (down, across), found)


@njit(**INNER)
def _weigh(places: Array, cubic: bool, scale: float, weights: Array) -> None:
    """Weigh the taps of one axis, of which the middle two lie ``offset`` before and ``1 - offset`` after the centre."""
    taps = weights.shape[0] - 1
    for k in range(taps):
        middle = float(k - taps // 2 + 1)
        if cubic:
            for j in range(places.size):
                t = abs((middle - ((places[j] - HALF) & MASK) * _UNIT) * scale)
                near = 1.0 + t * t * (1.5 * t - 2.5)
                far = 2.0 + t * (-4.0 + t * (2.5 - 0.5 * t))
                weights[k, j] = near if t < 1.0 else far if t < 2.0 else 0.0
        else:
            for j in range(places.size):
                t = abs((middle - ((places[j] - HALF) & MASK) * _UNIT) * scale)
                weights[k, j] = 1.0 - t if t < 1.0 else 0.0
    weights[taps] = 0.0
    for k in range(0, taps, 2):
        for j in range(places.size):
            weights[taps, j] += weights[k, j] + weights[k + 1, j]


@njit(**INNER)
def _find(xs: Array, ys: Array, marks: Array, frame: Array, stride: int, firsts: Array) -> None:
    """Give the first taps as indices into the values; -1 where one is missing or outside, or the centre is."""
    height, width, low, high, top, left = frame[HEIGHT], frame[WIDTH], frame[LOW], frame[HIGH], frame[TOP], frame[LEFT]
    tall, wide = frame[REACH_Y], frame[REACH_X]
    for j in range(xs.size):
        row, col = ((ys[j] - HALF) >> POSITION_BITS) - tall + 1, ((xs[j] - HALF) >> POSITION_BITS) - wide + 1
        inside = (row >= 0) & (row + 2 * tall <= height) & (col >= low) & (col + 2 * wide <= high)
        inside &= (xs[j] >= 0) & ((xs[j] >> POSITION_BITS) < width)
        firsts[j] = (row - top) * stride + (col - left) if inside else -1
    if marks.size:
        flags = marks.reshape(-1)
        for j in range(xs.size):
            if firsts[j] >= 0 and flags[firsts[j]]:
                firsts[j] = -1


@njit(**INNER)
def _sum_four(values: Array, firsts: Array, down: Array, across: Array, out: Array) -> None:
    stride = values.shape[1]
    for j in range(out.size):
        first = firsts[j]
        if first >= 0:
            rows = (down[0, j], down[1, j], down[2, j], down[3, j])
            cols = (across[0, j], across[1, j], across[2, j], across[3, j])
            total = four_by_four(values, np.uint64(first), np.uint64(stride), rows, cols)
            out[j] = total / (down[4, j] * across[4, j])


@njit(**INNER)
def _sum_six(values: Array, firsts: Array, down: Array, across: Array, out: Array) -> None:
    stride = values.shape[1]
    for j in range(out.size):
        first = firsts[j]
        if first >= 0:
            cols = (across[0, j], across[1, j], across[2, j], across[3, j], across[4, j], across[5, j])
            total = dot(values, np.uint64(first), cols) * down[0, j]
            for r in range(1, 6):
                total += dot(values, np.uint64(first + r * stride), cols) * down[r, j]
            out[j] = total / (down[6, j] * across[6, j])


@njit(**INNER)
def _sum_any(values: Array, firsts: Array, down: Array, across: Array, out: Array) -> None:
    stride = values.shape[1]
    height, width = down.shape[0] - 1, across.shape[0] - 1
    for j in range(out.size):
        first = firsts[j]
        if first >= 0:
            total = 0.0
            for r in range(height):
                line = 0.0
                for c in range(0, width, 2):
                    line += dot(values, np.uint64(first + c), (across[c, j], across[c + 1, j]))
                total += down[r, j] * line
                first += stride
            out[j] = total / (down[height, j] * across[width, j])


@njit(**INNER)
def _sum_rest(
    values: Array,
    nodata: float,
    has_nodata: bool,
    frame: Array,
    places: tuple[Array, Array],
    weights: tuple[Array, Array],
    out: Array,
) -> None:
    """Average, where not all taps are there, those that are, if the pixel at the centre is."""
    height, width, top, left = frame[HEIGHT], frame[WIDTH], frame[TOP], frame[LEFT]
    xs, ys = places
    for j in range(out.size):
        if out[j] == out[j]:
            continue
        row, col = ys[j] >> POSITION_BITS, xs[j] >> POSITION_BITS
        if 0 <= row < height and 0 <= col < width and not is_missing(values[row - top, col - left], nodata, has_nodata):
            row = ((ys[j] - HALF) >> POSITION_BITS) - frame[REACH_Y] + 1
            col = ((xs[j] - HALF) >> POSITION_BITS) - frame[REACH_X] + 1
            out[j] = _part(values, nodata, has_nodata, frame, (row, col, j), weights[0], weights[1])


@njit(**INNER)
def _part(
    values: Array,
    nodata: float,
    has_nodata: bool,
    frame: Array,
    at: tuple[int, int, int],
    down: Array,
    across: Array,
) -> float:
    """Average the taps that are valid and inside the true source; the first is at ``row``, ``col`` of the source."""
    row, col, j = at
    total = weight = 0.0
    for r in range(max(row, 0), min(row + 2 * frame[REACH_Y], frame[HEIGHT])):
        line = share = 0.0
        for c in range(max(col, frame[LOW]), min(col + 2 * frame[REACH_X], frame[HIGH])):
            value = values[r - frame[TOP], c - frame[LEFT]]
            if not is_missing(value, nodata, has_nodata):
                line += across[c - col, j] * float(value)
                share += across[c - col, j]
        total += down[r - row, j] * line
        weight += down[r - row, j] * share
    return total / weight if weight > _LEAST else math.nan
