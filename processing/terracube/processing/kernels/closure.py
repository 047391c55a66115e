"""Sums of phases around loops of pairs: where they do not close by whole cycles, and what is left within a cycle.

A loop is a row of pairs with signs, so that its dates cancel. Pixels are innermost and worked on in tiles of lanes, the
last of which is filled with missing values: a pixel's result depends neither on its place nor on its neighbours.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

LANES = 256
"""Pixels worked on at once."""

VALID, BAD, VALID_LONG, BAD_LONG, SUM, SQUARES = 0, 1, 2, 3, 4, 5
ROWS = 6
"""Rows of the counts: triplets that are there, those that do not close, the same of longer loops, and of the part of
all triplets' closures that lies within half a cycle the sum (rad) and the sum of squares (rad2)."""

_CYCLE = np.float32(2 * math.pi)
_PER_CYCLE = np.float32(1 / (2 * math.pi))
_HALF, _ONE, _ZERO, _NAN = np.float32(0.5), np.float32(1), np.float32(0), np.float32(np.nan)


class LoopTable(NamedTuple):
    """Loops as rows of one list: those of loop ``k`` are entries ``starts[k]`` to ``starts[k + 1]``."""

    starts: NDArray[np.int32]
    members: NDArray[np.int32]
    """Numbers of pairs."""
    signs: NDArray[np.float32]
    """1, or -1 where the loop runs against the pair."""


@inner
def _copy(values: Any, start: int, tile: Any) -> None:
    """Fill a tile with pixels; what is infinite or lies behind the last pixel is missing."""
    size = min(LANES, values.shape[1] - start)
    for row in range(tile.shape[0]):
        for lane in range(size):
            x = values[row, start + lane]
            tile[row, lane] = x if x - x == _ZERO else _NAN
        for lane in range(size, LANES):
            tile[row, lane] = _NAN


@inner
def _close(table: Any, loop: int, tile: Any, total: Any, cycles: Any) -> None:
    """Sum one loop: whole cycles, and in ``total`` what is left of the sum, NaN where a pair is missing."""
    for lane in range(LANES):
        total[lane] = _ZERO
    for entry in range(table.starts[loop], table.starts[loop + 1]):
        pair, sign = table.members[entry], table.signs[entry]
        for lane in range(LANES):
            total[lane] += sign * tile[pair, lane]
    for lane in range(LANES):
        whole = np.floor(total[lane] * _PER_CYCLE + _HALF)
        cycles[lane] = whole
        total[lane] -= whole * _CYCLE


@inner
def _count(triplet: bool, total: Any, cycles: Any, counts: Any) -> None:
    here, wrong = (VALID, BAD) if triplet else (VALID_LONG, BAD_LONG)
    for lane in range(LANES):
        valid = total[lane] == total[lane]
        counts[here, lane] += _ONE if valid else _ZERO
        counts[wrong, lane] += _ONE if valid and cycles[lane] != _ZERO else _ZERO
    if triplet:
        for lane in range(LANES):
            left = total[lane] if total[lane] == total[lane] else _ZERO
            counts[SUM, lane] += left
            counts[SQUARES, lane] += left * left


@inner
def _share(table: Any, loop: int, total: Any, cycles: Any, seen: Any, wrong: Any) -> None:
    """Count a loop for each of its pairs."""
    for entry in range(table.starts[loop], table.starts[loop + 1]):
        pair = table.members[entry]
        for lane in range(LANES):
            valid = total[lane] == total[lane]
            seen[pair, lane] += _ONE if valid else _ZERO
            wrong[pair, lane] += _ONE if valid and cycles[lane] != _ZERO else _ZERO


@kernel
def close_pixels(y: Any, table: Any, triplets: int, counts: Any, shares: Any) -> None:
    """Close all loops of all pixels.

    Parameters
    ----------
    y : float32 (M, P)
        Phases, rad; NaN = missing.
    table : LoopTable
    triplets : int
        So many loops, the first ones, have three pairs and are counted as such.
    counts : float32 (ROWS, P)
        Written here.
    shares : float32 (M, P)
        Part of the loops through a pair that do not close, written here; NaN where there is no loop.
    """
    many, pixels = y.shape
    room, rows = np.empty((3, many, LANES), np.float32), np.empty((ROWS, LANES), np.float32)
    tile, seen, wrong = room[0], room[1], room[2]
    total, cycles = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for start in range(0, pixels, LANES):
        _copy(y, start, tile)
        seen[:], wrong[:], rows[:] = _ZERO, _ZERO, _ZERO
        for loop in range(table.starts.size - 1):
            _close(table, loop, tile, total, cycles)
            _count(loop < triplets, total, cycles, rows)
            _share(table, loop, total, cycles, seen, wrong)
        size = min(LANES, pixels - start)
        for row in range(ROWS):
            for lane in range(size):
                counts[row, start + lane] = rows[row, lane]
        for pair in range(many):
            for lane in range(size):
                part = wrong[pair, lane] / seen[pair, lane]
                shares[pair, start + lane] = part if seen[pair, lane] > _ZERO else _NAN


@kernel
def cumulate_pixels(y: Any, table: Any, ends: Any, scale: float, sums: Any, counts: Any) -> None:
    """Add up, over time, what loops leave within half a cycle.

    Parameters
    ----------
    y : float32 (M, P)
        Phases, rad; NaN = missing.
    table : LoopTable
        In the order of their ends.
    ends : int32 (L,)
        Date at which each loop ends, increasing.
    scale : float
        What each is multiplied by.
    sums : float32 (N, P)
        The sum, rad, at each date, written here. A loop that is not there adds nothing.
    counts : float32 (P,)
        Loops that are there, written here.
    """
    tile = np.empty((y.shape[0], LANES), np.float32)
    total, cycles, running = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    factor = np.float32(scale)
    for start in range(0, y.shape[1], LANES):
        size = min(LANES, y.shape[1] - start)
        _copy(y, start, tile)
        running[:] = _ZERO
        counts[start : start + size] = _ZERO
        loop = 0
        for date in range(sums.shape[0]):
            while loop < ends.size and ends[loop] <= date:
                _close(table, loop, tile, total, cycles)
                for lane in range(size):
                    valid = total[lane] == total[lane]
                    running[lane] += total[lane] * factor if valid else _ZERO
                    counts[start + lane] += _ONE if valid else _ZERO
                loop += 1
            for lane in range(size):
                sums[date, start + lane] = running[lane]
