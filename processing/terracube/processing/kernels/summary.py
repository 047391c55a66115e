"""What the probabilities of the classes say of a pixel: the first of the most probable ones, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def summarise(probabilities: NDArray[np.float32], best: NDArray[np.int16], sure: NDArray[np.float32]) -> None:
    """Find the most probable class of each pixel, of equal ones the first.

    Parameters
    ----------
    probabilities : float32 (classes, pixels)
        NaN where a pixel has none.
    best : int16 (pixels,)
        Number of the class; -1 where a probability is missing.
    sure : float32 (3, pixels)
        Its probability, how much more probable it is than the next, and the entropy -sum p ln p (nats). NaN where a
        probability is missing.
    """
    classes, pixels = probabilities.shape
    for pixel in range(pixels):
        first, second = np.float32(-1.0), np.float32(-1.0)
        found, entropy, missing = -1, 0.0, False
        for number in range(classes):
            value = probabilities[number, pixel]
            if value != value:
                missing = True
                break
            if value > first:
                second, first, found = first, value, number
            elif value > second:
                second = value
            if value > 0.0:
                entropy -= value * math.log(value)
        if missing:
            best[pixel] = -1
            sure[0, pixel] = sure[1, pixel] = sure[2, pixel] = np.nan
        else:
            best[pixel] = found
            sure[0, pixel] = first
            sure[1, pixel] = first - max(second, np.float32(0.0))
            sure[2, pixel] = entropy
