"""Resampling kernels over the box of source pixels that a target pixel covers: average and mode.

Each source pixel counts by the length and the height of it that the box covers; a box that stays within one column or
one row counts that whole. The box is cut off at the true edge of the source.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from terracube.cubes.warp.frame import HEIGHT, HIGH, INNER, KERNEL, LEFT, LOW, ONE, POSITION_BITS, TOP, Array
from terracube.cubes.warp.missing import is_missing
from terracube.cubes.warp.points import Scratch
from terracube.cubes.warp.positions import span

_UNIT = 1.0 / ONE
# Odd, near 2^64 divided by the golden ratio: multiplied by it, near numbers spread over a table.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)

# Boxes up to this many pixels keep their values in a list, larger ones in a hash table.
_FEW = 32

type _Box = tuple[int, int, int, int]


@njit(**INNER)
def _covered(low: int, high: int, at: int, count: int) -> float:
    """Give the share of source pixel ``at`` that the stretch from ``low`` to ``high`` covers."""
    if count == 1:
        return 1.0
    place = at << POSITION_BITS
    return (min(place + ONE, high) - max(place, low)) * _UNIT


@njit(**KERNEL)
def average(values: Array, nodata: float, has_nodata: bool, frame: Array, scratch: Scratch, out: Array) -> None:
    """Average what target pixels cover."""
    boxes, weights = scratch[0], scratch[1]
    for i in range(boxes.shape[0]):
        box = boxes[i]
        for j in range(box.shape[1]):
            top, bottom = span(box[2, j], box[3, j], 0, frame[HEIGHT])
            left, right = span(box[0, j], box[1, j], frame[LOW], frame[HIGH])
            found = math.nan
            if top < bottom and left < right:
                for c in range(left, right):
                    weights[c - left] = _covered(box[0, j], box[1, j], c, right - left)
                for r in range(top, bottom):
                    weights[right - left + r - top] = _covered(box[2, j], box[3, j], r, bottom - top)
                inner = (top - frame[TOP], bottom - frame[TOP], left - frame[LEFT], right - frame[LEFT])
                found = _mean(values, nodata, has_nodata, inner, weights)
            out[i, j] = found


@njit(**INNER)
def _mean(values: Array, nodata: float, has_nodata: bool, box: _Box, weights: Array) -> float:
    """Average a box; ``weights`` are those of its columns and then of its rows."""
    top, bottom, left, right = box
    total = weight = 0.0
    for r in range(top, bottom):
        line = share = 0.0
        for c in range(left, right):
            missing = is_missing(values[r, c], nodata, has_nodata)
            part = 0.0 if missing else weights[c - left]
            line += part * (0.0 if missing else float(values[r, c]))
            share += part
        down = weights[right - left + r - top]
        total += down * line
        weight += down * share
    return total / weight if weight > 0.0 else math.nan


@njit(**KERNEL)
def mode(values: Array, nodata: float, has_nodata: bool, frame: Array, scratch: Scratch, out: Array) -> None:
    """Give the value that covers most of target pixels; of two that cover as much, the first to do so."""
    boxes, weights, stamp = scratch[0], scratch[1], scratch[3]
    for i in range(boxes.shape[0]):
        box = boxes[i]
        for j in range(box.shape[1]):
            top, bottom = span(box[2, j], box[3, j], 0, frame[HEIGHT])
            left, right = span(box[0, j], box[1, j], frame[LOW], frame[HIGH])
            found = math.nan
            if top < bottom and left < right:
                for c in range(left, right):
                    weights[c - left] = _covered(box[0, j], box[1, j], c, right - left)
                for r in range(top, bottom):
                    weights[right - left + r - top] = _covered(box[2, j], box[3, j], r, bottom - top)
                inner = (top - frame[TOP], bottom - frame[TOP], left - frame[LEFT], right - frame[LEFT])
                # A number of its own for each pixel tells its entries in the table from older ones.
                stamp[0] += 1.0
                found = _most(values, nodata, has_nodata, inner, weights, scratch[2], stamp[0])
            out[i, j] = found


@njit(**INNER)
def _most(
    values: Array, nodata: float, has_nodata: bool, box: _Box, weights: Array, table: Array, pixel: float
) -> float:
    top, bottom, left, right = box
    few = (bottom - top) * (right - left) <= _FEW
    found = before = math.nan
    best, slot, count = 0.0, 0, 0
    for r in range(top, bottom):
        down = weights[right - left + r - top]
        for c in range(left, right):
            if is_missing(values[r, c], nodata, has_nodata):
                continue
            # Plus zero: the two zeros of floats are one value.
            value = float(values[r, c]) + 0.0
            if value != before:
                before = value
                if few:
                    slot = _listed(table, value, count)
                    count = max(count, slot + 1)
                else:
                    slot = _slot(table, value, pixel)
            table[2, slot] += down * weights[c - left]
            if table[2, slot] > best:
                best, found = table[2, slot], value
    return found


@njit(**INNER)
def _listed(table: Array, value: float, count: int) -> int:
    """Find the place of a value among the first ``count``, or put it behind them."""
    for slot in range(count):
        if table[1, slot] == value:
            return slot
    # No stamp of a pixel: what a box with many pixels left here is overwritten.
    table[0, count], table[1, count], table[2, count] = -1.0, value, 0.0
    return count


@njit(**INNER)
def _slot(table: Array, value: float, pixel: float) -> int:
    """Find or make the place of a value in a table of stamps, values and weights; its size is a power of two."""
    last = table.shape[1] - 1
    slot: int = int((np.float64(value).view(np.uint64) * _SPREAD) >> np.uint64(40)) & last
    while table[0, slot] == pixel and table[1, slot] != value:
        slot = (slot + 1) & last
    if table[0, slot] != pixel:
        table[0, slot], table[1, slot], table[2, slot] = pixel, value, 0.0
    return slot
