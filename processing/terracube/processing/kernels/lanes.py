"""Logarithm, power of two and angle of one value, written so that loops over them become vectors.

In float32 they are polynomials (relative error below 2e-7), because those of the system's library cannot be vectorised,
and give other last digits on other machines; in float64 they are those of the library. Numbers below 1.2e-38 have no
exact logarithm in float32, and a power that small is zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import overload

# The square root of one half as bits, and the mantissa's: they cut a number into mantissa and exponent.
_HALF_ROOT, _MANTISSA, _BITS = np.int32(0x3F3504F3), np.int32(0x007FFFFF), np.int32(23)
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
_ONE, _ZERO, _NAN, _INF = np.float32(1), np.float32(0), np.float32(np.nan), np.float32(np.inf)
_PI, _HALF_PI = np.float32(math.pi), np.float32(math.pi / 2)
_LEAST, _MOST = np.float32(-126), np.float32(128)
# Added, it leaves no room for a fraction: the sum ends, as bits, in the nearest whole number.
_ROUNDER = np.float32(1.5 * 2**23)


def log2_lane(x: Any) -> Any:
    """Take the logarithm to the base two."""


def exp2_lane(x: Any) -> Any:
    """Raise two to a power."""


def arctan2_lane(y: Any, x: Any) -> Any:
    """Take the angle of a point."""


_OPTIONS: Any = {"nogil": True, "error_model": "numpy"}


@overload(log2_lane, jit_options=_OPTIONS)
def _log2_of(x: Any) -> Any:
    if x.bitwidth == 64:

        def library(x: Any) -> Any:
            return np.log2(x)

        return library

    def own(x: Any) -> Any:
        # Every sum of integers is cut to 32 bits again: half as many fit a vector otherwise.
        beyond = np.int32(np.float32(x).view(np.int32) - _HALF_ROOT)
        whole = np.float32(np.int32(beyond >> _BITS))
        mantissa = np.int32(np.int32(beyond & _MANTISSA) + _HALF_ROOT)
        f = np.int32(mantissa).view(np.float32) - _ONE
        p = _L[7] + f * _L[8]
        p = _L[5] + f * (_L[6] + f * p)
        p = _L[3] + f * (_L[4] + f * p)
        p = _L[1] + f * (_L[2] + f * p)
        found = whole + f * (_L[0] + f * p)
        found = found if x < _INF else x
        return found if x > _ZERO else (-_INF if x == _ZERO else _NAN)

    return own


@overload(exp2_lane, jit_options=_OPTIONS)
def _exp2_of(x: Any) -> Any:
    if x.bitwidth == 64:

        def library(x: Any) -> Any:
            return np.exp2(x)

        return library

    def own(x: Any) -> Any:
        # What is missing goes along as the least, so that its bits are those of a number.
        y = x if x > _LEAST else _LEAST
        y = _MOST if y > _MOST else y
        rounded = y + _ROUNDER
        f = y - (rounded - _ROUNDER)
        p = _E[5] + f * _E[6]
        p = _E[3] + f * (_E[4] + f * p)
        p = _E[1] + f * (_E[2] + f * p)
        p = _E[0] + f * p
        # The whole part goes to the exponent, as bits.
        bits = np.int32(np.int32(np.float32(rounded).view(np.int32) << _BITS) + np.float32(p).view(np.int32))
        found = np.int32(bits).view(np.float32)
        return found if x >= _LEAST else (_ZERO if x == x else x)

    return own


@overload(arctan2_lane, jit_options=_OPTIONS)
def _arctan2_of(y: Any, x: Any) -> Any:
    if x.bitwidth == 64 or y.bitwidth == 64:

        def library(y: Any, x: Any) -> Any:
            return math.atan2(y, x)

        return library

    def own(y: Any, x: Any) -> Any:
        across, up = abs(x), abs(y)
        less, more = (up, across) if up < across else (across, up)
        t = less / more if more > _ZERO else less
        z = t * t
        p = _A[7] + z * _A[8]
        p = _A[5] + z * (_A[6] + z * p)
        p = _A[3] + z * (_A[4] + z * p)
        p = _A[1] + z * (_A[2] + z * p)
        angle = t * (_A[0] + z * p)
        angle = _HALF_PI - angle if up > across else angle
        angle = _PI - angle if x < _ZERO else angle
        angle = -angle if y < _ZERO else angle
        return angle if x == x and y == y else _NAN

    return own
