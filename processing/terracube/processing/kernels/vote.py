"""Move phases towards those of their neighbours: by a whole cycle where most of a window lies half a cycle away, else
to the mean of what lies nearer than that.

The first is the median of the differences to the middle, rounded to whole cycles, but counted instead of sorted; the
second leaves out what is wrong by a cycle, and the far side of a fault. A pixel's result is a function of its window
alone, summed in the same order wherever the array is cut.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from terracube.processing.kernels.compiling import inner, kernel

_ZERO, _ONE = np.float32(0), np.float32(1)
_CYCLE, _HALF_CYCLE = np.float32(2 * math.pi), np.float32(math.pi)
_LANES = 256
_FEWEST = np.float32(9)


@inner
def _compare(line: Any, size: int, room: Any) -> None:
    """Count what is above, below and there at all; count and add up what is near."""
    for lane in range(size):
        apart = line[lane] - room[lane]
        room[_LANES + lane] += _ONE if apart > _HALF_CYCLE else _ZERO
        room[2 * _LANES + lane] += _ONE if apart < -_HALF_CYCLE else _ZERO
        room[3 * _LANES + lane] += _ONE if apart == apart else _ZERO
        close = abs(apart) <= _HALF_CYCLE
        room[4 * _LANES + lane] += _ONE if close else _ZERO
        room[5 * _LANES + lane] += apart if close else _ZERO


@inner
def _settle(size: int, room: Any, out: Any) -> None:
    for lane in range(size):
        there = room[3 * _LANES + lane]
        most, near = there / np.float32(2), room[4 * _LANES + lane]
        mean = room[5 * _LANES + lane] / (near if near > _ZERO else _ONE)
        lower = -_CYCLE if room[2 * _LANES + lane] > most else mean
        step = _CYCLE if room[_LANES + lane] > most else lower
        out[lane] = room[lane] + (step if there >= _FEWEST else _ZERO)


@kernel
def draw_near(values: Any, radius: int, out: Any) -> None:
    """Move each value of each layer towards its window.

    Parameters
    ----------
    values : float32 (D, Y + 2 radius, X + 2 radius)
        Phases, rad, with a margin; NaN = missing.
    radius : int
        The window has 2 radius + 1 pixels along each side.
    out : float32 (D, Y, X)
        Written here: a cycle more or less where more than half of the window lies more than pi above or below, else
        the mean of the window's values within pi. NaN where there was none; unchanged where the window has fewer than
        9 values.
    """
    side = 2 * radius + 1
    # One array with constant offsets: several would have to be told apart before their loop can be a vector.
    room = np.empty(6 * _LANES, np.float32)
    for layer in range(values.shape[0]):
        for y in range(out.shape[1]):
            for start in range(0, out.shape[2], _LANES):
                size = min(_LANES, out.shape[2] - start)
                room[:] = _ZERO
                room[:size] = values[layer, y + radius, start + radius : start + radius + size]
                for row in range(side):
                    for column in range(side):
                        _compare(values[layer, y + row, start + column : start + column + size], size, room)
                _settle(size, room, out[layer, y, start : start + size])
