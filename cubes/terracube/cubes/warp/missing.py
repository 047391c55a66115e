"""Which source values stand for none, and around which pixels there are any: asked once for a window."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from terracube.cubes.warp.frame import INNER, Array

_NOTHING = np.empty((0, 0), "uint8")


@njit(**INNER)
def is_missing(value: float, nodata: float, has_nodata: bool) -> bool:
    """Tell whether a source value stands for none: NaN always does."""
    return value != value or (has_nodata and value == nodata)


def holes(values: Array, nodata: float, has_nodata: bool) -> NDArray[np.uint8]:
    """Mark the values that stand for none with 1; an array without pixels if there are none."""
    found = np.isnan(values) if values.dtype.kind == "f" else None
    if has_nodata:
        same = values == nodata
        found = same if found is None else np.logical_or(found, same, out=found)
    return _NOTHING if found is None or not found.any() else found.view("uint8")


def around(marks: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Mark each pixel at which a box of some height and width begins that holds a mark.

    Only where the box is inside: what is said of the last rows and columns means nothing. The marks are used up.
    """
    if not marks.size:
        return marks
    found, room = marks.reshape(-1), np.empty(marks.size, "uint8")
    for length, stride in ((width, 1), (height, marks.shape[1])):
        reached = 1
        while reached < length:
            step = min(reached, length - reached)
            # Rows run on into each other here: at their ends no box is inside.
            stop = max(found.size - step * stride, 0)
            np.bitwise_or(found[:stop], found[step * stride :], out=room[:stop])
            found, room = room, found
            reached += step
    return found.reshape(marks.shape)
