"""Run formulas on pixels: a table of steps over a tile of lanes, no text evaluated and nothing compiled per formula.

A formula in postfix order is a list of steps, each of which takes one or two operands and gives one. Here an operand
is not pushed but named by its slot: a row of 256 float32 values, one per pixel of the tile. A step is a row of four
integers ``(code, target, a, b)``; the table of several formulas is the rows of all of them, so that bands are read once
per tile. What decides speed is that each step is one loop over lanes of a tile that stays in the first cache; who
decides which step is next costs nothing beside it.

All operations are those of IEEE 754 in float32, in the order of the table: a pixel's result depends neither on its
place nor on its neighbours.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

TILE = 256
"""Pixels worked on at once: a slot is 1 KiB, so the slots of a dozen bands and their steps fit a cache of 32 KiB."""

LOAD = 0
"""``target`` = band ``a``; what is not finite is missing."""
STORE = 1
"""Result ``target`` = slot ``a``; what is not finite is missing."""
ADD = 2
SUBTRACT = 3
MULTIPLY = 4
DIVIDE = 5
"""By zero, and beyond the largest number: missing, never infinite."""
POWER = 6
"""Of a negative number to a fraction, and of zero to a negative number: missing."""
NEGATE = 7
ROOT = 8
EXPONENTIAL = 9
LOGARITHM = 10
CODES = 11
"""Number of codes."""


@njit(nogil=True, error_model="numpy")
def _load(values: NDArray[np.float32], start: int, size: int, target: NDArray[np.float32]) -> None:
    for i in range(size):
        x = values[start + i]
        target[i] = x if math.isfinite(x) else np.float32(np.nan)
    for i in range(size, TILE):
        target[i] = np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _store(source: NDArray[np.float32], start: int, size: int, out: NDArray[np.float32]) -> None:
    for i in range(size):
        x = source[i]
        out[start + i] = x if math.isfinite(x) else np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _two(code: int, target: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    """Do a step of two operands; the target is another slot than they are, or the loops would not be vectorised."""
    if code == ADD:
        for i in range(TILE):
            target[i] = a[i] + b[i]
    elif code == SUBTRACT:
        for i in range(TILE):
            target[i] = a[i] - b[i]
    elif code == MULTIPLY:
        for i in range(TILE):
            target[i] = a[i] * b[i]
    elif code == DIVIDE:
        for i in range(TILE):
            x = a[i] / b[i]
            target[i] = x if math.isfinite(x) else np.float32(np.nan)
    else:
        for i in range(TILE):
            # A missing number to the power of zero would be one.
            x = math.pow(a[i], b[i]) + np.float32(0.0) * a[i]
            target[i] = x if math.isfinite(x) else np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _one(code: int, target: NDArray[np.float32], a: NDArray[np.float32]) -> None:
    if code == NEGATE:
        for i in range(TILE):
            target[i] = -a[i]
    elif code == ROOT:
        for i in range(TILE):
            target[i] = math.sqrt(a[i])
    elif code == EXPONENTIAL:
        for i in range(TILE):
            target[i] = math.exp(a[i])
    else:
        for i in range(TILE):
            x = math.log(a[i]) if a[i] > 0 else np.float32(np.nan)
            target[i] = x


@njit(nogil=True, error_model="numpy")
def run(
    table: NDArray[np.int32],
    constants: NDArray[np.float32],
    slots: int,
    values: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Run a table of steps on all pixels.

    Parameters
    ----------
    table : int32 (P, 4)
        Rows ``(code, target, a, b)`` in the order in which they are done. ``LOAD`` takes a band's number as ``a`` and
        ``STORE`` a result's number as ``target``; all else are slots. The caller has checked that each number is in
        range and that the target of a step is neither of its operands.
    constants : float32 (K,)
        They stand in the slots 0 to K - 1, at all pixels.
    slots : int
        Number of slots, constants included.
    values : float32 (V, N)
        Bands, pixels innermost; NaN, or anything that is not finite, is missing.
    out : float32 (I, N)
        Results, written here; NaN where an operand is missing or the formula has no finite value.
    """
    work = np.empty((slots, TILE), np.float32)
    for k in range(constants.size):
        work[k, :] = constants[k]
    pixels = values.shape[1]
    for start in range(0, pixels, TILE):
        size = min(TILE, pixels - start)
        for step in range(table.shape[0]):
            code, target, a, b = table[step, 0], table[step, 1], table[step, 2], table[step, 3]
            if code == LOAD:
                _load(values[a], start, size, work[target])
            elif code == STORE:
                _store(work[a], start, size, out[target])
            elif code < NEGATE:
                _two(code, work[target], work[a], work[b])
            else:
                _one(code, work[target], work[a])
