"""Grow masks: what lies within a distance of a masked pixel is masked too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Grow the true pixels of a mask by a disk.

    Parameters
    ----------
    mask : bool array (y, x)
    radius : int
        In pixels; a pixel is taken whose centre lies within this distance of a true one.

    Returns
    -------
    bool array (y, x)
        New, unless the radius is 0.

    Examples
    --------
    >>> grown = dilate(np.eye(5, dtype=bool) & (np.arange(5) == 2), 1)
    >>> grown.astype(int).tolist()[1:4]
    [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    """
    if radius < 1:
        return mask
    rows = np.arange(-radius, radius + 1)
    reach = np.floor(np.sqrt(radius * radius - rows * rows)).astype("int64")
    grown = np.zeros(mask.shape, "bool")
    _dilate(np.ascontiguousarray(mask), reach, grown)
    return grown


@njit(nogil=True)
def _dilate(mask: Any, reach: Any, grown: Any) -> None:
    """Set, for each run of true pixels in a row, the run it makes in each row of the disk."""
    height, width = mask.shape
    radius = reach.size // 2
    for y in range(height):
        x = 0
        while x < width:
            if not mask[y, x]:
                x += 1
                continue
            start = x
            while x < width and mask[y, x]:
                x += 1
            for step in range(reach.size):
                row = y + step - radius
                if 0 <= row < height:
                    grown[row, max(0, start - reach[step]) : min(width, x + reach[step])] = True
