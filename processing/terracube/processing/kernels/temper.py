"""Probabilities made sharper or softer by a temperature, without ever changing which class comes first."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def temper(chances: NDArray[np.float32], power: float) -> None:
    """Raise probabilities to a power and scale each row to sum 1 again, in place.

    The first of the largest of a row stays so: where rounding makes another one equal to it that was below and lies
    before it, it is raised to the next number.

    Parameters
    ----------
    chances : float32 (pixels, classes)
        A row with NaN, or of zeros, stays as it is.
    power : float
        Above 0: 1/T of a temperature T.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, arXiv:1706.04599.
    """
    pixels, classes = chances.shape
    for pixel in range(pixels):
        row = chances[pixel]
        best, top, known = 0, row[0], True
        for number in range(classes):
            value = row[number]
            known &= value == value
            if value > top:
                best, top = number, value
        if not known or top <= np.float32(0.0):
            continue
        total = 0.0
        for number in range(classes):
            if row[number] > np.float32(0.0):
                share = math.exp(power * math.log(row[number] / float(top)))
                row[number] = share
                total += share
        highest = np.float32(0.0)
        for number in range(classes):
            row[number] = row[number] / total
            if number != best and row[number] > highest:
                highest = row[number] if number < best else np.nextafter(row[number], np.float32(0.0))
        if row[best] <= highest:
            row[best] = np.nextafter(highest, np.float32(2.0))
