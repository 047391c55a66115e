"""Coarser levels of a raster, each made from the pixels of full resolution beneath it.

``average`` is the mean of all valid pixels beneath a pixel, summed in one fixed order in double precision; it is not
a mean of means, so a level does not depend on the levels before it. ``nearest`` picks the pixel south and east of the
centre, ``mode`` the most frequent valid value (the smallest of equals). A block that starts at a multiple of 2^levels
gives the same pixels as the whole raster does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.grid import YX

METHODS = ("average", "nearest", "mode")


def count_levels(shape: tuple[int, int], chunk: int, asked: bool | int) -> int:
    """Give the number of levels beside the full resolution.

    Parameters
    ----------
    shape : (rows, columns)
    chunk : int
        Pixels along each side of a chunk, a power of two.
    asked : bool or int
        ``True`` = until one chunk holds the whole raster; ``False`` = none; or a number.

    Raises
    ------
    InputError
        If a number is negative, or so large that a pixel would stand for more than a chunk.
    """
    most = chunk.bit_length() - 1
    if asked is True:
        return min(most, max(0, math.ceil(math.log2(max(shape) / chunk))))
    if not 0 <= asked <= most:
        raise InputError(
            "a pyramid cannot have so many levels", where="multiscales", expected=f"0..{most}", got=f"{asked}"
        )
    return int(asked)


def reduce_levels(values: NDArray[Any], levels: int, method: str, missing: float | None) -> list[NDArray[Any]]:
    """Give levels 1 to ``levels`` of a raster (y, x), each in its type.

    Parameters
    ----------
    values : array (y, x)
        Integers or floats; NaN is always missing.
    levels : int
    method : "average", "nearest" or "mode"
    missing : float or None
        The number that stands for missing; where nothing below has a value the pixel holds it (NaN in floats that
        have none). A mean that would round to it is moved by one.

    Examples
    --------
    >>> reduce_levels(np.array([[1, 3, 9], [0, 5, 0]], "uint8"), 1, "average", 0)[0].tolist()
    [[3, 9]]
    """
    if method == "nearest":
        return [_picked(values, 1 << level) for level in range(1, levels + 1)]
    told = math.nan if missing is None else float(missing)
    if method == "mode":
        return [_modes(values, 1 << level, told) for level in range(1, levels + 1)]
    return _averages(values, levels, told)


def halved(shape: tuple[int, int], level: int) -> YX:
    """Give the rows and columns of a level of a raster of this shape."""
    return YX(-(-shape[0] // (1 << level)), -(-shape[1] // (1 << level)))


def _picked(values: NDArray[Any], size: int) -> NDArray[Any]:
    rows, cols = (np.minimum(np.arange(size // 2, side + size // 2, size), side - 1) for side in values.shape)
    return np.ascontiguousarray(values[rows][:, cols])


def _modes(values: NDArray[Any], size: int, missing: float) -> NDArray[Any]:
    # In one type for all, which holds every class there is: sorting is slow to compile.
    out = np.empty(halved(values.shape, size.bit_length() - 1))
    _mode_kernel(values.astype("float64"), size, missing, out, np.empty(size * size))
    return out.astype(values.dtype)


def _averages(values: NDArray[Any], levels: int, missing: float) -> list[NDArray[Any]]:
    found: list[NDArray[Any]] = []
    whole = values.dtype.kind in "iub"
    limit = float(np.iinfo(values.dtype).max) if values.dtype.kind in "iu" else math.inf
    sums, counts = _empty_sums(values.shape, 1)
    if levels:
        _gather_kernel(np.ascontiguousarray(values), missing, sums, counts)
    for level in range(1, levels + 1):
        means = np.empty(halved(values.shape, level))
        _mean_kernel(sums, counts, missing, whole, limit, means)
        found.append(means.astype(values.dtype))
        if level < levels:
            finer, (sums, counts) = (sums, counts), _empty_sums(values.shape, level + 1)
            _fold_kernel(*finer, sums, counts)
    return found


def _empty_sums(shape: tuple[int, ...], level: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give sums and counts of a level, of even size: what lies beyond the edge is empty, so all squares are whole."""
    even = tuple(side + side % 2 for side in halved((shape[0], shape[1]), level))
    return np.zeros(even), np.zeros(even, "int64")


@njit(nogil=True)
def _gather_kernel(values: NDArray[Any], missing: float, sums: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """Add up the valid pixels of each square of 2 x 2; squares at the edges may have fewer."""
    height, width = values.shape
    for row in range((height + 1) // 2):
        upper = values[2 * row]
        lower = values[min(2 * row + 1, height - 1)]
        two = 2 * row + 1 < height
        for col in range(width // 2):
            # One order for all: north-west, north-east, south-west, south-east. No branch: a pixel that is missing
            # adds zero.
            a, b = float(upper[2 * col]), float(upper[2 * col + 1])
            c, d = float(lower[2 * col]), float(lower[2 * col + 1])
            has_a, has_b = a == a and a != missing, b == b and b != missing
            has_c, has_d = two and c == c and c != missing, two and d == d and d != missing
            total = (a if has_a else 0.0) + (b if has_b else 0.0)
            sums[row, col] = total + (c if has_c else 0.0) + (d if has_d else 0.0)
            counts[row, col] = int(has_a) + int(has_b) + int(has_c) + int(has_d)
        if width % 2:
            a, c = float(upper[width - 1]), float(lower[width - 1])
            has_a, has_c = a == a and a != missing, two and c == c and c != missing
            sums[row, width // 2] = (a if has_a else 0.0) + (c if has_c else 0.0)
            counts[row, width // 2] = int(has_a) + int(has_c)


@njit(nogil=True)
def _fold_kernel(
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    out_sums: NDArray[np.float64],
    out_counts: NDArray[np.int64],
) -> None:
    """Add up the sums and counts of each square of 2 x 2, all of them whole."""
    for row in range(sums.shape[0] // 2):
        for col in range(sums.shape[1] // 2):
            y, x = 2 * row, 2 * col
            out_sums[row, col] = sums[y, x] + sums[y, x + 1] + sums[y + 1, x] + sums[y + 1, x + 1]
            out_counts[row, col] = counts[y, x] + counts[y, x + 1] + counts[y + 1, x] + counts[y + 1, x + 1]


@njit(nogil=True)
def _mean_kernel(
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    missing: float,
    whole: bool,
    limit: float,
    out: NDArray[np.float64],
) -> None:
    """Divide; whole numbers are rounded, and moved off the one that stands for missing."""
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            mean = missing
            if counts[row, col] > 0:
                mean = sums[row, col] / counts[row, col]
                if whole:
                    mean = np.rint(mean)
                    if mean == missing:
                        mean = mean + 1.0 if mean < limit else mean - 1.0
            out[row, col] = mean


@njit(nogil=True)
def _mode_kernel(
    values: NDArray[np.float64], size: int, missing: float, out: NDArray[np.float64], seen: NDArray[np.float64]
) -> None:
    """Find the longest run of equal values in each sorted square."""
    height, width = values.shape
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            count = 0
            for y in range(size * row, min(size * row + size, height)):
                for x in range(size * col, min(size * col + size, width)):
                    value = values[y, x]
                    if value == value and value != missing:
                        seen[count] = value
                        count += 1
            seen[:count].sort()
            best, longest, run = missing, 0, 0
            for at in range(count):
                run = run + 1 if at > 0 and seen[at] == seen[at - 1] else 1
                if run > longest:
                    best, longest = seen[at], run
            out[row, col] = best
