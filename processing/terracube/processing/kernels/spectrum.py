"""The length of spectra: brightness, whatever the bands."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

TILE = 1024

type Floats = NDArray[np.float32]


@njit(nogil=True, error_model="numpy")
def lengths(values: Floats, out: Floats) -> None:
    """Take the root of the sum of the squares of the bands: float32 (bands, pixels), C-contiguous, to (pixels,).

    NaN where a band is missing.

    Examples
    --------
    >>> out = np.empty(1, np.float32)
    >>> lengths(np.float32([[3], [4]]), out)
    >>> out.tolist()
    [5.0]
    """
    for start in range(0, out.size, TILE):
        stop = min(start + TILE, out.size)
        place = out[start:stop]
        place[:] = np.float32(0)
        for band in range(values.shape[0]):
            row = values[band, start:stop]
            for lane in range(place.size):
                place[lane] += row[lane] * row[lane]
        for lane in range(place.size):
            place[lane] = math.sqrt(place[lane])
