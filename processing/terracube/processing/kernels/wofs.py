"""The decision tree of Water Observations from Space, pixel by pixel, and what bands say of their own gaps.

Mueller et al. 2016, doi:10.1016/j.rse.2015.11.003, whose tree takes reflectance times 10 000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

SEEN, MISSING, NEGATIVE = 1, 2, 4
"""Bits of a pixel's state: a band has a value, a band has none or is saturated, a visible band is below zero."""

_SCALE = 10_000.0
# The tree was made for whole numbers; as reflectance of either precision, one that equals a threshold may come out
# above it by less than this. No ratio of whole numbers up to 10 000 is closer to a threshold without being equal.
_TIE = 2.5e-7
_TIED = 0.01


@inner
def _left(blue: float, swir22: float, ndi43: float, ndi72: float) -> bool:
    """Decide where swir16 is below green."""
    if not blue <= 2083.5:
        return False
    if swir22 <= 323.5:
        return ndi43 <= 0.61 + _TIE
    if not blue <= 1400.5:
        return ndi43 <= -0.01 + _TIE
    if not ndi72 <= -0.23 + _TIE:
        return blue <= 379.0 + _TIED
    return ndi43 <= 0.22 + _TIE or blue <= 473.0 + _TIED


@inner
def _right(blue: float, red: float, ndi52: float, ndi43: float) -> bool:
    """Decide where swir16 is not below green: dark water alone is wet here."""
    if ndi52 <= 0.23 + _TIE:
        if not (blue <= 334.5 and ndi43 <= 0.54 + _TIE):
            return False
        return ndi52 <= 0.12 + _TIE or blue <= (129.5 if red <= 364.5 else 300.5)
    return ndi52 <= 0.34 + _TIE and blue <= 129.5 and ndi43 <= 0.45 + _TIE and red <= 364.5


@kernel
def wet_pixels(
    blue: NDArray[Any],
    green: NDArray[Any],
    red: NDArray[Any],
    nir: NDArray[Any],
    swir16: NDArray[Any],
    swir22: NDArray[Any],
    out: NDArray[np.bool_],
) -> None:
    """Decide for each pixel whether the tree calls it water.

    Parameters
    ----------
    blue, green, red, nir, swir16, swir22 : float (pixels,)
        Surface reflectance without unit, all of one type. A pixel with a NaN that the tree asks for is not water.
    out : bool (pixels,)
        Is written.

    Examples
    --------
    >>> out = np.empty(2, np.bool_)
    >>> wet_pixels(*np.array([[0.02, 0.05], [0.03, 0.08], [0.02, 0.1], [0.01, 0.2], [0.004, 0.3], [0.002, 0.2]]), out)
    >>> out.tolist()
    [True, False]
    """
    for at in range(out.size):
        b1, b2, b3 = blue[at] * _SCALE, green[at] * _SCALE, red[at] * _SCALE
        b4, b5, b7 = nir[at] * _SCALE, swir16[at] * _SCALE, swir22[at] * _SCALE
        ndi52 = (b5 - b2) / (b5 + b2)
        ndi43 = (b4 - b3) / (b4 + b3)
        if ndi52 <= -0.01 + _TIE:
            out[at] = _left(b1, b7, ndi43, (b7 - b2) / (b7 + b2))
        else:
            out[at] = _right(b1, b3, ndi52, ndi43)


@kernel
def add_state(values: NDArray[Any], most: float, visible: bool, state: NDArray[np.uint8]) -> None:
    """Add to the state of each pixel what one band says.

    Parameters
    ----------
    values : float (pixels,)
        Reflectance; NaN = missing.
    most : float
        What is above is saturated; what is below its negative is no reflectance either.
    visible : bool
        Whether values below zero count as ``NEGATIVE``.
    state : uint8 (pixels,)
        Bits ``SEEN``, ``MISSING``, ``NEGATIVE`` are added.
    """
    below = NEGATIVE if visible else 0
    for at in range(state.size):
        value = values[at]
        found = state[at]
        found |= SEEN if value == value else MISSING
        found |= MISSING if value > most or value < -most else 0
        found |= below if value < 0.0 else 0
        state[at] = found
