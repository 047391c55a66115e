"""Distance of each pixel to the nearest marked one, exact up to a limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

_FAR = 1 << 30


@inner
def _columns(marked: NDArray[np.bool_], steps: NDArray[np.int32]) -> None:
    """Give for each pixel how many rows away the nearest marked one of its column is."""
    rows, cols = marked.shape
    for row in range(rows):
        for col in range(cols):
            before = steps[row - 1, col] if row else _FAR
            steps[row, col] = 0 if marked[row, col] else min(before + 1, _FAR)
    for row in range(rows - 2, -1, -1):
        for col in range(cols):
            steps[row, col] = min(steps[row, col], steps[row + 1, col] + 1)


@kernel
def distances(
    marked: NDArray[np.bool_],
    width: NDArray[np.float64],
    height: NDArray[np.float64],
    limit: float,
    steps: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Find the distance of each pixel's centre to that of the nearest marked pixel.

    Parameters
    ----------
    marked : bool (rows, columns)
    width, height : float64 (rows,)
        Size of a row's pixels. Where it changes from row to row, that of the pixel's own row counts.
    limit : float
        In the unit of the sizes; farther is said to be as far as this.
    steps : int32 (rows, columns)
        Work space.
    out : float32 (rows, columns)
        Is written.

    Examples
    --------
    >>> marked, one = np.array([[True, False, False], [False, False, False]]), np.ones(2)
    >>> out = np.empty((2, 3), np.float32)
    >>> distances(marked, one, one, 2.0, np.empty((2, 3), np.int32), out)
    >>> out.round(2).tolist()
    [[0.0, 1.0, 2.0], [1.0, 1.409999966621399, 2.0]]
    """
    _columns(marked, steps)
    rows, cols = marked.shape
    for row in range(rows):
        wide, high = width[row], height[row]
        for col in range(cols):
            down = steps[row, col] * high
            best = min(limit * limit, down * down)
            aside = 1
            while aside * wide * aside * wide < best:
                left = steps[row, col - aside] if col >= aside else _FAR
                right = steps[row, col + aside] if col + aside < cols else _FAR
                down = min(left, right) * high
                best = min(best, aside * wide * aside * wide + down * down)
                if aside > cols:
                    break
                aside += 1
            out[row, col] = np.sqrt(best)
