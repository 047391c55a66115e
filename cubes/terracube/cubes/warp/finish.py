"""From float64 results to the target's dtype: the one place where a value is rounded."""

from __future__ import annotations

import numpy as np
from numba import njit

from terracube.cubes.warp.frame import KERNEL, Array


@njit(**KERNEL)
def to_floats(found: Array, scale: float, offset: float, out: Array) -> None:
    """Write ``found * scale + offset`` where there is a value."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            value = found[i, j]
            if value == value:
                out[i, j] = value * scale + offset


@njit(**KERNEL)
def to_integers(found: Array, limits: Array, out: Array) -> None:
    """Write values rounded half up and clamped; one that would read as nodata moves by one.

    ``limits`` holds the smallest and largest number of the dtype, the nodata number and where values on it go.
    """
    low, high, nodata, beside = limits[0], limits[1], limits[2], limits[3]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            value = found[i, j]
            if value == value:
                value = min(max(np.floor(value + 0.5), low), high)
                out[i, j] = int(beside if value == nodata else value)
