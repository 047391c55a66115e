"""Windows around pixels: Bayesian smoothing of a plane of logits, votes of a window, votes of a square of pixels.

A pixel's result is a function of the values in its window alone: the same to the bit wherever the array is cut, as
long as the window is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 256
_SIGN = np.uint32(0x80000000)
_ONES = np.uint32(0xFFFFFFFF)


def smooth_plane(
    logits: NDArray[np.float32], radius: int, fraction: float, variance: float, flat: float
) -> NDArray[np.float32]:
    """Smooth one plane of logits by an empirical Bayes estimate from the highest values around each pixel.

    Of the valid values of the window the highest ``ceil(fraction * n)`` make a normal prior with their mean m and
    their sample variance s (0 if there is one). With an observation of variance v the posterior mean is
    ``(s x + v m) / (s + v)``.

    Parameters
    ----------
    logits : float32 array (y + 2 radius, x + 2 radius)
        With its margin; NaN = missing.
    radius : int
        The window has 2 radius + 1 pixels along each side.
    fraction : float
        Part of the window that makes the prior, in (0, 1].
    variance : float
        v, > 0.
    flat : float
        Below this variance of the prior its mean is taken.

    Returns
    -------
    float32 array (y, x)
        NaN where the pixel is missing.

    Examples
    --------
    >>> plane = np.zeros((3, 3), "float32"); plane[1, 1] = 4
    >>> smooth_plane(plane, 1, 0.5, 20.0, 1e-4).astype(float).round(3).tolist()
    [[1.241]]
    """
    rows, columns = logits.shape[0] - 2 * radius, logits.shape[1] - 2 * radius
    out = np.empty((rows, columns), np.float32)
    plane = np.ascontiguousarray(logits, np.float32)
    lanes, sums = np.empty((5, LANES), np.uint32), np.empty((2, LANES))
    _smooth(plane, _keys(plane), (radius, fraction, variance, flat), lanes, sums, out)
    return out


def _keys(plane: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Give whole numbers in the order of the values; 0 for what is missing."""
    # Adding 0 makes -0 the same as 0.
    bits = (plane + np.float32(0)).view(np.uint32)
    keys: NDArray[np.uint32] = np.where(bits & _SIGN, bits ^ _ONES, bits | _SIGN)
    keys[np.isnan(plane)] = 0
    return keys


@njit(nogil=True)
def _smooth(plane: Any, keys: Any, facts: Any, lanes: Any, sums: Any, out: Any) -> None:
    radius, fraction, variance, flat = facts
    rows, columns = out.shape
    side = 2 * radius + 1
    for y in range(rows):
        for x in range(0, columns, LANES):
            size = min(LANES, columns - x)
            some = (lanes[0, :size], lanes[1, :size], lanes[2, :size], lanes[3, :size], lanes[4, :size])
            mean, spread = sums[0, :size], sums[1, :size]
            _select(keys, y, x, side, fraction, some)
            _moments(plane, keys, y, x, side, some, (mean, mean, False))
            _moments(plane, keys, y, x, side, some, (mean, spread, True))
            centre = plane[y + radius, x + radius : x + radius + size]
            into = out[y, x : x + size]
            for lane in range(size):
                part = spread[lane] / (spread[lane] + variance) if spread[lane] >= flat else 0.0
                value = part * centre[lane] + (1.0 - part) * mean[lane]
                into[lane] = value if centre[lane] == centre[lane] else np.nan


@njit(nogil=True)
def _select(keys: Any, y: int, x: int, side: int, fraction: float, lanes: Any) -> None:
    """Find for all lanes at once, bit by bit, a number that just the wanted highest keys reach, or more if equal.

    Lanes: that number, how many are wanted, how many reach it, the number tried and how many reach that. Once a lane
    has as many as are wanted, further bits change the number but not which keys reach it.
    """
    lowest, wanted, reach, tried, count = lanes
    size = lowest.size
    tried[:] = np.uint32(1)
    _count(keys, y, x, side, tried, reach)
    for lane in range(size):
        wanted[lane] = np.uint32(np.ceil(fraction * reach[lane]))
        lowest[lane] = np.uint32(0)
    for bit in range(31, -1, -1):
        step = np.uint32(1) << np.uint32(bit)
        for lane in range(size):
            tried[lane] = lowest[lane] | step
        _count(keys, y, x, side, tried, count)
        unsettled = 0
        for lane in range(size):
            enough = count[lane] >= wanted[lane]
            lowest[lane] = tried[lane] if enough else lowest[lane]
            reach[lane] = count[lane] if enough else reach[lane]
            unsettled += reach[lane] != wanted[lane]
        if unsettled == 0:
            break


@njit(nogil=True)
def _count(keys: Any, y: int, x: int, side: int, lowest: Any, count: Any) -> None:
    """Count, in the window of each lane, the keys that reach a number."""
    size = lowest.size
    count[:] = np.uint32(0)
    for row in range(y, y + side):
        for column in range(x, x + side):
            seen = keys[row, column : column + size]
            for lane in range(size):
                count[lane] += np.uint32(seen[lane] >= lowest[lane])


@njit(nogil=True)
def _moments(plane: Any, keys: Any, y: int, x: int, side: int, lanes: Any, sums: Any) -> None:
    """Give the mean, or the sample variance around it, of the wanted highest values, added row by row."""
    lowest, wanted, reach, tried, above = lanes
    mean, total, squares = sums
    size = lowest.size
    # Where equal keys are more than are wanted, they are left out here and added as often as there is room.
    for lane in range(size):
        tied = reach[lane] > wanted[lane]
        tried[lane] = max(np.uint32(1), lowest[lane] + np.uint32(tied))
    _count(keys, y, x, side, tried, above)
    total[:] = 0.0
    for row in range(y, y + side):
        for column in range(x, x + side):
            seen, values = keys[row, column : column + size], plane[row, column : column + size]
            for lane in range(size):
                value = np.float64(values[lane])
                value = (value - mean[lane]) * (value - mean[lane]) if squares else value
                total[lane] += value if seen[lane] >= tried[lane] else 0.0
    for lane in range(size):
        if reach[lane] > wanted[lane]:
            value = np.float64(_value(lowest[lane]))
            value = (value - mean[lane]) * (value - mean[lane]) if squares else value
            total[lane] += (np.int64(wanted[lane]) - np.int64(above[lane])) * value
        number = np.int64(wanted[lane]) - squares
        total[lane] = total[lane] / number if number > 0 else 0.0


@njit(nogil=True)
def _value(key: Any) -> Any:
    """Give the value of a key."""
    bits = key ^ np.uint32(0x80000000) if key & np.uint32(0x80000000) else ~key
    return np.uint32(bits).view(np.float32)


def vote(codes: NDArray[np.uint16], radius: int, size: int) -> NDArray[np.uint16]:
    """Give each pixel the code that most pixels of its window have.

    Parameters
    ----------
    codes : uint16 array (y, x)
        0 = missing: it has no vote and stays. Others 1 to ``size``.
    radius : int
        The window has 2 radius + 1 pixels along each side; beyond the array nobody votes.
    size : int
        The largest code.

    Returns
    -------
    uint16 array (y, x)
        With equal votes a pixel keeps its code if that is among the first, else the lowest code wins.

    Examples
    --------
    >>> vote(np.array([[1, 1, 1], [1, 2, 1], [0, 1, 1]], "uint16"), 1, 2).tolist()
    [[1, 1, 1], [1, 1, 1], [0, 1, 1]]
    """
    out = np.empty(codes.shape, np.uint16)
    _vote(np.ascontiguousarray(codes), radius, np.zeros(size + 1, np.int32), out)
    return out


@njit(nogil=True)
def _vote(codes: Any, radius: int, votes: Any, out: Any) -> None:
    rows, columns = codes.shape
    for y in range(rows):
        top, bottom = max(0, y - radius), min(rows, y + radius + 1)
        votes[:] = 0
        for x in range(min(radius, columns)):
            for row in range(top, bottom):
                votes[codes[row, x]] += 1
        for x in range(columns):
            if x + radius < columns:
                for row in range(top, bottom):
                    votes[codes[row, x + radius]] += 1
            if x - radius > 0:
                for row in range(top, bottom):
                    votes[codes[row, x - radius - 1]] -= 1
            best = codes[y, x]
            if best:
                for code in range(1, votes.size):
                    if votes[code] > votes[best]:
                        best = code
            out[y, x] = best


def vote_squares(codes: NDArray[np.uint16], factor: int, size: int) -> NDArray[np.uint16]:
    """Give each square of ``factor`` x ``factor`` pixels the code that most of its pixels have.

    Parameters
    ----------
    codes : uint16 array (y, x)
        0 = missing, without a vote. Others 1 to ``size``.
    factor : int
        Pixels along each side of a square; those at the southern and eastern edges may be smaller.
    size : int
        The largest code.

    Returns
    -------
    uint16 array (ceil(y / factor), ceil(x / factor))
        The lowest code of equal votes; 0 where nobody votes.

    Examples
    --------
    >>> vote_squares(np.array([[1, 2, 0], [2, 1, 0]], "uint16"), 2, 2).tolist()
    [[1, 0]]
    """
    rows, columns = (-(-side // factor) for side in codes.shape)
    out = np.empty((rows, columns), np.uint16)
    _vote_squares(np.ascontiguousarray(codes), factor, np.zeros(size + 1, np.int32), out)
    return out


@njit(nogil=True)
def _vote_squares(codes: Any, factor: int, votes: Any, out: Any) -> None:
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            votes[:] = 0
            for row in range(y * factor, min(codes.shape[0], (y + 1) * factor)):
                for column in range(x * factor, min(codes.shape[1], (x + 1) * factor)):
                    votes[codes[row, column]] += 1
            best = 0
            for code in range(1, votes.size):
                if votes[code] > (votes[best] if best else 0):
                    best = code
            out[y, x] = best
