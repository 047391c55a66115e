"""Grow masks: what lies within a distance of a masked pixel is masked too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def dilate(mask: NDArray[np.bool_], reach: tuple[int, int]) -> NDArray[np.bool_]:
    """Grow the true pixels of a mask by an ellipse.

    Parameters
    ----------
    mask : bool array (y, x)
    reach : (int, int)
        Half axes in pixels along y and x; a pixel is taken whose centre lies in the ellipse around a true one.

    Returns
    -------
    bool array (y, x)
        New, unless there is nothing to grow by.

    Examples
    --------
    >>> grown = dilate(np.eye(5, dtype=bool) & (np.arange(5) == 2), (1, 1))
    >>> grown.astype(int).tolist()[1:4]
    [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    """
    down, across = reach
    if not (down or across):
        return mask
    rows = np.arange(-down, down + 1)
    share = np.sqrt(1.0 - np.square(rows / max(down, 1)))
    widths = np.floor(across * share + 1e-9).astype("int64")
    grown = np.zeros(mask.shape, "bool")
    _dilate(np.ascontiguousarray(mask), widths, grown)
    return grown


@njit(nogil=True)
def _dilate(mask: Any, widths: Any, grown: Any) -> None:
    """Set, for each run of true pixels in a row, the run it makes in each row of the ellipse."""
    height, width = mask.shape
    down = widths.size // 2
    for y in range(height):
        x = 0
        while x < width:
            if not mask[y, x]:
                x += 1
                continue
            start = x
            while x < width and mask[y, x]:
                x += 1
            for step in range(widths.size):
                row = y + step - down
                if 0 <= row < height:
                    grown[row, max(0, start - widths[step]) : min(width, x + widths[step])] = True
