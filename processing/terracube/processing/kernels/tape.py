"""Run many formulas on pixels in one pass: a table of steps over a tile of lanes.

Each step is a row of five integers ``(code, target, a, b, c)`` and two numbers. Operands and targets are slots: rows of
1024 values, one per pixel of the tile. Bands are read once per tile and each product is written once; all between
stays in the caches of the core. Nothing is compiled per formula.

In float32 logarithm, power of two and arc tangent are polynomials of their own (relative error below 2e-7), because
those of the system's library cannot be vectorised, and give other last digits on other machines; in float64 they are
those of the library. Numbers below 1.2e-38 have no exact logarithm in float32. A pixel's result depends neither on its
place nor on its neighbours: every tile is full, the last one with missing values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

type Floats = NDArray[np.float32] | NDArray[np.float64]

TILE = 1024
"""Pixels worked on at once: enough for the choice of a step to cost little beside it, few enough for the slots to stay
in the second cache (measured: 256 costs up to three times as much per step)."""

LOAD, FILL, STORE, FLAG = 0, 1, 2, 3
ADD, SUB, MUL, DIV, MULZ, MIN, MAX, LT, LE, ARCTAN2 = 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
ADDC, RSUBC, MULC, RDIVC, MINC, MAXC, LTC, LEC, GTC, GEC, POWC, LINC = 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25
ABS, SQRT, LOG2, EXP2, FINITE = 26, 27, 28, 29, 30
MAD, MADC, WHERE, WHERE_A, WHERE_B, WHERE_AB = 31, 32, 33, 34, 35, 36
REASON, EMIT, AXPY = 37, 38, 39
CODES = 40
"""Number of codes. ``C`` at the end: with a constant; ``R`` before: the constant comes first."""

MISSING, NEGATIVE, OUTSIDE, BELOW, ABOVE = 1, 2, 4, 16, 32
"""Bits of a reason: why a product has no value, or lies beyond its range."""

# The square root of one half as bits, and the mantissa's: they cut a number into mantissa and exponent.
_HALF_ROOT, _MANTISSA, _BIAS = 0x3F3504F3, 0x007FFFFF, 127
# Minimax polynomials: log2(1 + f) / f for f in sqrt(1/2) - 1 .. sqrt(2) - 1; 2**f for |f| <= 1/2; arctan(z) / z in
# z**2 for z in 0..1. Fitted by weighted least squares (Lawson), rounded to float32.
_L = tuple(np.float32(k) for k in (1.4426950216293335, -0.7213473320007324, 0.48091062903404236, -0.3607036769390106,
                                   0.28791624307632446, -0.23894494771957397, 0.21571584045886993,
                                   -0.20726893842220306, 0.1258353739976883))  # fmt: skip
_E = tuple(np.float32(k) for k in (1.0, 0.6931471824645996, 0.24022646248340607, 0.05550328642129898,
                                   0.009618489071726799, 0.0013399930903688073, 0.0001534580806037411))  # fmt: skip
_A = tuple(np.float32(k) for k in (1.0, -0.3333307206630707, 0.1999261975288391, -0.14203642308712006,
                                   0.10640924423933029, -0.0750427395105362, 0.04269127547740936,
                                   -0.016068479046225548, 0.002849851967766881))  # fmt: skip
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1), np.float32(0)
_NAN, _INF = np.float32(np.nan), np.float32(np.inf)
_PI, _HALF_PI = np.float32(math.pi), np.float32(math.pi / 2)
_LEAST, _MOST = np.float32(-150), np.float32(129)


def _log2(x: Any, target: Any, spare: Any) -> None:
    """Take the logarithm to the base two of a slot."""


def _exp2(x: Any, target: Any, spare: Any) -> None:
    """Raise two to the power of a slot."""


def _arctan2(y: Any, x: Any, target: Any) -> None:
    """Take the angle of two slots."""


_OPTIONS: Any = {"nogil": True, "error_model": "numpy"}


@overload(_log2, jit_options=_OPTIONS)
def _log2_of(x: Any, target: Any, spare: Any) -> Any:  # noqa: ARG001, numba calls it with the types of all
    if x.dtype.bitwidth == 64:

        def library(x: Any, target: Any, spare: Any) -> None:  # noqa: ARG001
            for i in range(TILE):
                target[i] = np.log2(x[i])

        return library

    def own(x: Any, target: Any, spare: Any) -> None:
        bits, mantissa = x.view(np.int32), target.view(np.int32)
        for i in range(TILE):
            beyond = bits[i] - np.int32(_HALF_ROOT)
            spare[i] = np.float32(beyond >> np.int32(23))
            mantissa[i] = (beyond & np.int32(_MANTISSA)) + np.int32(_HALF_ROOT)
        for i in range(TILE):
            f = target[i] - _ONE
            p = _L[7] + f * _L[8]
            p = _L[5] + f * (_L[6] + f * p)
            p = _L[3] + f * (_L[4] + f * p)
            p = _L[1] + f * (_L[2] + f * p)
            found = spare[i] + f * (_L[0] + f * p)
            found = found if x[i] > _ZERO else _NAN
            found = -_INF if x[i] == _ZERO else found
            target[i] = x[i] if x[i] == _INF else found

    return own


@overload(_exp2, jit_options=_OPTIONS)
def _exp2_of(x: Any, target: Any, spare: Any) -> Any:  # noqa: ARG001
    if x.dtype.bitwidth == 64:

        def library(x: Any, target: Any, spare: Any) -> None:  # noqa: ARG001
            for i in range(TILE):
                target[i] = np.exp2(x[i])

        return library

    def own(x: Any, target: Any, spare: Any) -> None:
        scale = spare.view(np.int32)
        for i in range(TILE):
            y = x[i]
            y = _LEAST if y < _LEAST else y
            y = _MOST if y > _MOST else y
            whole = np.floor(y + _HALF)
            f = y - whole
            p = _E[5] + f * _E[6]
            p = _E[3] + f * (_E[4] + f * p)
            p = _E[1] + f * (_E[2] + f * p)
            target[i] = _E[0] + f * p
            # What is missing has no whole part, and an integer cannot say so.
            spare[i] = whole if y == y else _ZERO
        # The power goes in as bits, in two halves: beyond 2**127 and below 2**-126 one would not do.
        for i in range(TILE):
            half = np.int32(spare[i]) >> np.int32(1)
            rest = np.int32(spare[i]) - half
            scale[i] = (half + np.int32(_BIAS)) << np.int32(23)
            target[i] = target[i] * spare[i]
            scale[i] = (rest + np.int32(_BIAS)) << np.int32(23)
            target[i] = target[i] * spare[i]

    return own


@overload(_arctan2, jit_options=_OPTIONS)
def _arctan2_of(y: Any, x: Any, target: Any) -> Any:  # noqa: ARG001
    if x.dtype.bitwidth == 64:

        def library(y: Any, x: Any, target: Any) -> None:
            for i in range(TILE):
                target[i] = math.atan2(y[i], x[i])

        return library

    def own(y: Any, x: Any, target: Any) -> None:
        for i in range(TILE):
            across, up = abs(x[i]), abs(y[i])
            less, more = (up, across) if up < across else (across, up)
            t = less / more if more > _ZERO else less
            z = t * t
            p = _A[7] + z * _A[8]
            p = _A[5] + z * (_A[6] + z * p)
            p = _A[3] + z * (_A[4] + z * p)
            p = _A[1] + z * (_A[2] + z * p)
            angle = t * (_A[0] + z * p)
            angle = _HALF_PI - angle if up > across else angle
            angle = _PI - angle if x[i] < _ZERO else angle
            angle = -angle if y[i] < _ZERO else angle
            target[i] = angle if x[i] == x[i] and y[i] == y[i] else _NAN

    return own


@inner
def _ends(code: int, target: Floats, a: Floats, k: Any) -> None:
    """Steps of one slot and a constant."""
    if code == ADDC:
        for i in range(TILE):
            target[i] = a[i] + k
    elif code == RSUBC:
        for i in range(TILE):
            target[i] = k - a[i]
    elif code == MULC:
        for i in range(TILE):
            target[i] = a[i] * k
    elif code == RDIVC:
        for i in range(TILE):
            target[i] = k / a[i]
    elif code == MINC:
        for i in range(TILE):
            target[i] = k if a[i] > k else a[i]
    elif code == MAXC:
        for i in range(TILE):
            target[i] = k if a[i] < k else a[i]
    elif code == LTC:
        for i in range(TILE):
            target[i] = a[i] < k
    elif code == LEC:
        for i in range(TILE):
            target[i] = a[i] <= k
    elif code == GTC:
        for i in range(TILE):
            target[i] = a[i] > k
    elif code == GEC:
        for i in range(TILE):
            target[i] = a[i] >= k
    elif code == ABS:
        for i in range(TILE):
            target[i] = abs(a[i])
    elif code == SQRT:
        for i in range(TILE):
            target[i] = math.sqrt(a[i])
    elif code == FINITE:
        for i in range(TILE):
            target[i] = a[i] - a[i] == a[i] - a[i]


@inner
def _pair(code: int, target: Floats, a: Floats, b: Floats) -> None:
    """Steps of two slots."""
    if code == ADD:
        for i in range(TILE):
            target[i] = a[i] + b[i]
    elif code == SUB:
        for i in range(TILE):
            target[i] = a[i] - b[i]
    elif code == MUL:
        for i in range(TILE):
            target[i] = a[i] * b[i]
    elif code == DIV:
        for i in range(TILE):
            target[i] = a[i] / b[i]
    elif code == MULZ:
        for i in range(TILE):
            target[i] = a[i] if a[i] == 0 else a[i] * b[i]
    elif code == MIN:
        for i in range(TILE):
            least = b[i] if a[i] > b[i] else a[i]
            target[i] = least if b[i] == b[i] else b[i]
    elif code == MAX:
        for i in range(TILE):
            most = b[i] if a[i] < b[i] else a[i]
            target[i] = most if b[i] == b[i] else b[i]
    elif code == LT:
        for i in range(TILE):
            target[i] = a[i] < b[i]
    elif code == LE:
        for i in range(TILE):
            target[i] = a[i] <= b[i]


@inner
def _more(code: int, target: Floats, a: Floats, b: Floats, c: Floats, numbers: Floats) -> None:
    """Steps of up to three slots and two constants."""
    k, other = numbers[0], numbers[1]
    if code == MAD:
        for i in range(TILE):
            target[i] = a[i] * b[i] + c[i]
    elif code == MADC:
        for i in range(TILE):
            target[i] = a[i] * b[i] + k
    elif code == LINC:
        for i in range(TILE):
            target[i] = a[i] * k + other
    elif code == AXPY:
        for i in range(TILE):
            target[i] = a[i] * k + b[i]
    elif code == WHERE:
        # Both are read before one is taken: a read that depends on a condition is not made a vector.
        for i in range(TILE):
            taken, other_one = b[i], c[i]
            target[i] = taken if a[i] != 0 else other_one
    elif code == WHERE_A:
        for i in range(TILE):
            target[i] = k if a[i] != 0 else c[i]
    elif code == WHERE_B:
        for i in range(TILE):
            target[i] = b[i] if a[i] != 0 else k
    elif code == WHERE_AB:
        for i in range(TILE):
            target[i] = k if a[i] != 0 else other
    elif code == FILL:
        for i in range(TILE):
            target[i] = k
    elif code == REASON:
        for i in range(TILE):
            value, least, given = a[i], b[i], c[i]
            found = given if given != 0 else (0 if value - value == 0 else OUTSIDE)
            found = NEGATIVE if least < 0 else found
            target[i] = found if least == least else MISSING


@inner
def _load(values: Floats, start: int, target: Floats) -> None:
    size = min(TILE, values.size - start)
    for i in range(size):
        target[i] = values[start + i]
    for i in range(size, TILE):
        target[i] = np.nan


@inner
def _store(a: Floats, start: int, out: Floats) -> None:
    for i in range(min(TILE, out.size - start)):
        out[start + i] = a[i] if math.isfinite(a[i]) else np.nan


@inner
def _flag(a: Floats, start: int, out: NDArray[np.uint8]) -> None:
    for i in range(min(TILE, out.size - start)):
        out[start + i] = np.uint8(a[i])


@inner
def _emit(value: Floats, reason: Floats, start: int, out: Floats) -> None:
    for i in range(min(TILE, out.size - start)):
        x = value[i]
        good = reason[i] == 0 and x - x == 0
        out[start + i] = x if good else np.nan


@inner
def _judge(value: Floats, reason: Floats, start: int, limits: Floats, out: NDArray[np.uint8]) -> None:
    low, high = limits[0], limits[1]
    for i in range(min(TILE, out.size - start)):
        x, why = value[i], np.int32(reason[i])
        beyond = np.int32(x < low) * np.int32(BELOW) + np.int32(x > high) * np.int32(ABOVE)
        out[start + i] = np.uint8(why if why != 0 else beyond)


@inner
def _step(code: int, row: NDArray[np.int32], numbers: Floats, work: Floats, spare: Floats) -> None:
    target, a = work[row[1]], work[row[2]]
    if code == LOG2:
        _log2(a, target, spare)
    elif code == EXP2:
        _exp2(a, target, spare)
    elif code == POWC:
        # The last slot is free: no step names it.
        between = work[work.shape[0] - 1]
        _log2(a, between, spare)
        for i in range(TILE):
            between[i] = between[i] * numbers[0]
        _exp2(between, target, spare)
    elif code == ARCTAN2:
        _arctan2(a, work[row[3]], target)
    elif ADD <= code <= LE:
        _pair(code, target, a, work[row[3]])
    elif ADDC <= code <= GEC or ABS <= code <= FINITE:
        _ends(code, target, a, numbers[0])
    else:
        _more(code, target, a, work[row[3]], work[row[4]], numbers)


@kernel
def run(
    table: NDArray[np.int32], numbers: Floats, slots: int, values: Floats, out: Floats, flags: NDArray[np.uint8]
) -> None:
    """Run a table of steps on all pixels.

    Parameters
    ----------
    table : int32 (P, 5)
        Rows ``(code, target, a, b, c)`` in the order in which they are done. ``LOAD`` takes a band's number as ``a``,
        ``STORE`` a product's and ``FLAG`` a flag's number as ``target``. ``EMIT`` writes the product ``target`` of slot
        ``a`` where the reason in slot ``b`` is 0, and, unless ``c`` is negative, flags ``c``: the reason, or whether
        the value lies below or above its two numbers. ``REASON`` takes a value, the least of its bands (NaN: one is
        missing), and a reason of the formula's own. All else are slots. The caller has checked that each is in range,
        and that a step's target is none of its operands.
    numbers : float (P, 2)
        Constants of each step, in the type of the values.
    slots : int
        Number of slots that the table names.
    values : float32 or float64 (V, N), C-contiguous
        Bands, pixels innermost; NaN is missing.
    out : (K, N), same type
        Products, written here; what is not finite becomes NaN.
    flags : uint8 (M, N)
        Numbers 0 to 255, written here.
    """
    work = np.empty((slots + 1, TILE), values.dtype)
    spare = np.empty(TILE, values.dtype)
    for start in range(0, values.shape[1], TILE):
        for step in range(table.shape[0]):
            row = table[step]
            code = row[0]
            if code == LOAD:
                _load(values[row[2]], start, work[row[1]])
            elif code == STORE:
                _store(work[row[2]], start, out[row[1]])
            elif code == FLAG:
                _flag(work[row[2]], start, flags[row[1]])
            elif code == EMIT:
                _emit(work[row[2]], work[row[3]], start, out[row[1]])
                if row[4] >= 0:
                    _judge(work[row[2]], work[row[3]], start, numbers[step], flags[row[4]])
            else:
                _step(code, row, numbers[step], work, spare)
