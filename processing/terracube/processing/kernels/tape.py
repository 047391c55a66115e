"""Run many formulas on pixels in one pass: a table of steps over a tile of lanes.

Each step is a row of seven integers ``(code, target, a, b, c, d, e)`` and three numbers. Operands and targets are
slots: rows of 1024 values, one per pixel of the tile. Bands are read once per tile and each product is written once;
all between stays in the caches of the core. Nothing is compiled per formula. There are few kinds of steps, each of
which does what often comes together: a product with a sum, a function with the scaling before or after it.

In float32 logarithm, power of two and arc tangent are those of :mod:`~terracube.processing.kernels.lanes`. A pixel's
result depends neither on its place nor on its neighbours: every tile is full, the last one with missing values.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel
from terracube.processing.kernels.lanes import arctan2_lane, exp2_lane, log2_lane

type Floats = NDArray[np.float32] | NDArray[np.float64]
# Target and operands, and the numbers, of a step: single numbers cost less to hand on than rows of arrays.
type _At = tuple[int, int, int, int]
type _Known = tuple[float, float, float]

TILE = 1024
"""Pixels worked on at once: enough for the choice of a step (10 ns) to cost little beside it, few enough for the slots
to stay in the second cache (measured on 12 to 120 products: 512 costs a tenth more)."""

LOAD, FILL, STORE, FLAG, EMIT = 0, 1, 2, 3, 4
LINC, AXPY, MADC, MAD, MULZ, DIV, RDIVC = 5, 6, 7, 8, 9, 10, 11
MIN, MAX, CLAMP, LT, LE, LTC, LEC, FINITE = 12, 13, 14, 15, 16, 17, 18, 19
WHERE, WHERE_A, WHERE_B, WHERE_AB = 20, 21, 22, 23
ABS, SQRT, LOG2, EXP2, POWC, ARCTAN2 = 24, 25, 26, 27, 28, 29
CODES = 30
"""Number of codes. With ``k, m, n`` for the numbers of a step: ``LINC`` is ``a k + m``, ``AXPY`` is ``a k + b``,
``MADC`` is ``a b k + m``, ``MAD`` is ``a b k + c``, ``MULZ`` is ``a b``, zero where ``a`` is; ``DIV`` is
``a / (b k + m)``, ``RDIVC`` is ``n / (a k + m)``; ``CLAMP`` holds within ``k`` and ``m``; ``LTC`` and ``LEC`` compare
``a k`` with ``m``; ``WHERE_A`` takes ``k`` instead of ``b``, ``WHERE_B`` instead of ``c``, ``WHERE_AB`` takes ``k`` or
``m``; ``SQRT`` and ``EXP2`` are those of ``a k + m``; ``LOG2`` is ``k log2(a) + m``, ``POWC`` is ``k a**n + m``."""

MISSING, NEGATIVE, OUTSIDE, BELOW, ABOVE = 1, 2, 4, 16, 32
"""Bits of a reason: why a product has no value, or lies beyond its range."""


@inner
def _sums(code: int, at: _At, known: _Known, work: Floats) -> None:
    """Sums, products and quotients."""
    (t, a, b, c), (k, m, n) = at, known
    if code == LINC:
        for i in range(TILE):
            work[t, i] = work[a, i] * k + m
    elif code == AXPY:
        for i in range(TILE):
            work[t, i] = work[a, i] * k + work[b, i]
    elif code == MADC:
        for i in range(TILE):
            work[t, i] = work[a, i] * work[b, i] * k + m
    elif code == MAD:
        for i in range(TILE):
            work[t, i] = work[a, i] * work[b, i] * k + work[c, i]
    elif code == MULZ:
        for i in range(TILE):
            x, y = work[a, i], work[b, i]
            work[t, i] = x if x == 0 else x * y
    elif code == DIV:
        for i in range(TILE):
            work[t, i] = work[a, i] / (work[b, i] * k + m)
    else:
        for i in range(TILE):
            work[t, i] = n / (work[a, i] * k + m)


@inner
def _comparisons(code: int, at: _At, known: _Known, work: Floats) -> None:
    """The smaller, the larger, and whether one is."""
    (t, a, b, _), (k, m, _) = at, known
    if code == MIN:
        for i in range(TILE):
            x, y = work[a, i], work[b, i]
            least = y if x > y else x
            work[t, i] = least if y == y else y
    elif code == MAX:
        for i in range(TILE):
            x, y = work[a, i], work[b, i]
            most = y if x < y else x
            work[t, i] = most if y == y else y
    elif code == CLAMP:
        for i in range(TILE):
            x = work[a, i]
            x = k if x < k else x
            work[t, i] = m if x > m else x
    elif code == LT:
        for i in range(TILE):
            work[t, i] = work[a, i] < work[b, i]
    elif code == LE:
        for i in range(TILE):
            work[t, i] = work[a, i] <= work[b, i]
    elif code == LTC:
        for i in range(TILE):
            work[t, i] = work[a, i] * k < m
    elif code == LEC:
        for i in range(TILE):
            work[t, i] = work[a, i] * k <= m
    else:
        for i in range(TILE):
            x = work[a, i]
            work[t, i] = x - x == x - x


@inner
def _choices(code: int, at: _At, known: _Known, work: Floats) -> None:
    """Take one of two. Both are read before: a read that depends on a condition is not made a vector."""
    (t, a, b, c), (k, m, _) = at, known
    if code == WHERE:
        for i in range(TILE):
            x, y = work[b, i], work[c, i]
            work[t, i] = x if work[a, i] != 0 else y
    elif code == WHERE_A:
        for i in range(TILE):
            y = work[c, i]
            work[t, i] = k if work[a, i] != 0 else y
    elif code == WHERE_B:
        for i in range(TILE):
            x = work[b, i]
            work[t, i] = x if work[a, i] != 0 else k
    elif code == WHERE_AB:
        for i in range(TILE):
            work[t, i] = k if work[a, i] != 0 else m
    else:
        for i in range(TILE):
            work[t, i] = k


@inner
def _functions(code: int, at: _At, known: _Known, work: Floats) -> None:
    """Functions of one slot, with the scaling before or after them, and the angle of two."""
    (t, a, b, _), (k, m, n) = at, known
    if code == ABS:
        for i in range(TILE):
            work[t, i] = abs(work[a, i])
    elif code == SQRT:
        for i in range(TILE):
            work[t, i] = math.sqrt(work[a, i] * k + m)
    elif code == LOG2:
        for i in range(TILE):
            work[t, i] = log2_lane(work[a, i]) * k + m
    elif code == EXP2:
        for i in range(TILE):
            work[t, i] = exp2_lane(work[a, i] * k + m)
    elif code == POWC:
        for i in range(TILE):
            work[t, i] = exp2_lane(log2_lane(work[a, i]) * n) * k + m
    elif code == ARCTAN2:
        for i in range(TILE):
            work[t, i] = arctan2_lane(work[a, i], work[b, i])


@inner
def _load(values: Floats, work: Floats, t: int) -> None:
    for i in range(TILE):
        x = values[i]
        # What is infinite was never measured: a ratio would make a sound-looking number of it.
        work[t, i] = x if x - x == 0 else np.nan


@inner
def _store(work: Floats, a: int, out: Floats) -> None:
    for i in range(TILE):
        x = work[a, i]
        out[i] = x if x - x == 0 else np.nan


@inner
def _flag(work: Floats, a: int, out: NDArray[np.uint8]) -> None:
    for i in range(TILE):
        out[i] = np.uint8(np.int32(work[a, i]))


@inner
def _reason(at: _At, beside: int, scale: float, work: Floats, reasons: NDArray[np.int32]) -> None:
    _, _, least, given = at
    for i in range(TILE):
        x, low = work[beside, i], work[least, i]
        told = np.int32(work[given, i] * scale)
        told = told if told != 0 else np.int32(0 if x - x == 0 else OUTSIDE)
        told = np.int32(NEGATIVE) if low < 0 else told
        reasons[i] = told if low == low else np.int32(MISSING)


@inner
def _emit(work: Floats, a: int, reasons: NDArray[np.int32], out: Floats) -> None:
    for i in range(TILE):
        x = work[a, i]
        good = x if x - x == 0 else np.nan
        out[i] = good if reasons[i] == 0 else np.nan


@inner
def _judge(work: Floats, a: int, known: _Known, reasons: NDArray[np.int32], out: NDArray[np.uint8]) -> None:
    low, high, _ = known
    for i in range(TILE):
        x, told = work[a, i], reasons[i]
        beyond = np.int32(BELOW) if x < low else np.int32(0)
        beyond = np.int32(ABOVE) if x > high else beyond
        out[i] = np.uint8(told if told != 0 else beyond)


@inner
def _tile(
    table: NDArray[np.int32],
    numbers: Floats,
    rooms: tuple[Floats, NDArray[np.int32]],
    starts: tuple[int, int],
    values: Floats,
    out: Floats,
    flags: NDArray[np.uint8],
) -> None:
    """Do all steps for the pixels of one tile, which begins somewhere in the bands and somewhere in the output."""
    work, reasons = rooms
    source, start = starts
    end = start + TILE
    for step in range(table.shape[0]):
        code, t, a = table[step, 0], table[step, 1], table[step, 2]
        at = t, a, table[step, 3], table[step, 4]
        known = numbers[step, 0], numbers[step, 1], numbers[step, 2]
        if code == LOAD:
            _load(values[a, source : source + TILE], work, t)
        elif code == STORE:
            _store(work, a, out[t, start:end])
        elif code == FLAG:
            _flag(work, a, flags[t, start:end])
        elif code == EMIT:
            mark, beside = table[step, 5], table[step, 6]
            _reason(at, beside, known[2], work, reasons)
            _emit(work, a, reasons, out[t, start:end])
            if mark >= 0:
                _judge(work, a, known, reasons, flags[mark, start:end])
        elif code >= ABS:
            _functions(code, at, known, work)
        elif code >= WHERE or code == FILL:
            _choices(code, at, known, work)
        elif code >= MIN:
            _comparisons(code, at, known, work)
        else:
            _sums(code, at, known, work)


@kernel
def run(
    table: NDArray[np.int32],
    numbers: Floats,
    slots: int,
    values: Floats,
    first: int,
    out: Floats,
    flags: NDArray[np.uint8],
) -> None:
    """Run a table of steps on pixels.

    Parameters
    ----------
    table : int32 (P, 7)
        Rows ``(code, target, a, b, c, d, e)`` in the order in which they are done. ``LOAD`` takes a band's number as
        ``a``, ``STORE`` a product's and ``FLAG`` a flag's number as ``target``. ``EMIT`` writes the product ``target``
        of slot ``a`` where nothing speaks against it: the least of its bands in slot ``b`` (NaN: one is missing, below
        zero: one is negative), a reason of the formula's own in slot ``c``, times the third number, and whether slot
        ``e``, the value itself or one that it goes with, is finite. Unless ``d`` is negative, it writes the reason as
        flag ``d``, or whether the value lies below the first or above the second number. All else are slots. The
        caller has checked that each is in range, and that a step's target is none of its operands.
    numbers : float (P, 3)
        Constants of each step, in the type of the values.
    slots : int
        Number of slots that the table names.
    values : float32 or float64 (V, N), C-contiguous
        Bands, pixels innermost; NaN is missing, and so is what is infinite.
    first : int
        Where the first of these pixels lies in the output.
    out : (K, all), same type
        Products, written here; what is not finite becomes NaN.
    flags : uint8 (M, all)
        Numbers 0 to 255, written here.
    """
    # Slots begin where lines of the cache do: a vector across two of them costs twice.
    room = np.empty(slots * TILE + 64, values.dtype)
    skip = (-room.ctypes.data % 64) // room.itemsize
    rooms = room[skip : skip + slots * TILE].reshape(slots, TILE), np.empty(TILE, np.int32)
    whole = values.shape[1] // TILE * TILE
    for start in range(0, whole, TILE):
        _tile(table, numbers, rooms, (start, first + start), values, out, flags)
    if whole == values.shape[1]:
        return
    # What is left fills a tile of its own, with missing values behind it.
    rest = values.shape[1] - whole
    last = np.full((values.shape[0], TILE), np.nan, values.dtype)
    last[:, :rest] = values[:, whole:]
    last_out, last_flags = np.empty((out.shape[0], TILE), out.dtype), np.empty((flags.shape[0], TILE), np.uint8)
    _tile(table, numbers, rooms, (0, 0), last, last_out, last_flags)
    out[:, first + whole : first + values.shape[1]] = last_out[:, :rest]
    flags[:, first + whole : first + values.shape[1]] = last_flags[:, :rest]
