"""Which pixels of an elevation model lie in the shade of others: a ray from each towards the sun."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

type Doubles = NDArray[np.float64]

# What the sine of half a turn leaves is no slant: it would lead out of the first row.
_LEVEL = 1e-9


@inner
def _height(dem: Doubles, row: float, col: float) -> float:
    """Give the height at a place on a line between two pixels' centres; NaN outside, or where one needed is missing."""
    top, left = int(np.floor(row)), int(np.floor(col))
    down, right = row - top, col - left
    if top < 0 or left < 0 or top + (down > 0.0) >= dem.shape[0] or left + (right > 0.0) >= dem.shape[1]:
        return np.nan
    here: float = dem[top, left]
    if down > 0.0:
        here += down * (dem[top + 1, left] - here)
    elif right > 0.0:
        here += right * (dem[top, left + 1] - here)
    return here


@kernel
def shaded(
    dem: Doubles, width: Doubles, height: Doubles, sun: tuple[float, float, float], steps: int, out: NDArray[np.bool_]
) -> None:
    """Tell which pixels do not see the sun because terrain is in the way.

    The ray goes from the centre of a pixel, by one row or one column a step, whichever it crosses faster; between the
    two pixels it passes the height is linear. The Earth is flat: over 10 km its curve takes 8 m.

    Parameters
    ----------
    dem : float64 (rows, columns)
        Elevation in metres, rows from north to south; NaN = missing: it shades nothing and is not shaded.
    width, height : float64 (rows,)
        Size of a row's pixels on the ground, metres.
    sun : three floats
        East and north part of the horizontal unit vector to the sun, and the tangent of its elevation, above 0.
    steps : int
        How many rows or columns the ray is followed.
    out : bool (rows, columns)
        Is written.

    Examples
    --------
    >>> dem, out = np.array([[0.0, 0, 0, 25]]), np.empty((1, 4), np.bool_)
    >>> shaded(dem, np.full(1, 10.0), np.full(1, 10.0), (1.0, 0.0, 1.0), 3, out)
    >>> out.tolist()
    [[False, True, True, False]]
    """
    east, north, steepness = sun
    highest = -np.inf
    for value in dem.flat:
        highest = max(highest, value) if value == value else highest
    for row in range(dem.shape[0]):
        across, along = east / width[row], -north / height[row]
        length = 1.0 / max(abs(across), abs(along))
        across, along = across * length, along * length
        # The faster one is one pixel exactly, so that the ray meets the centres of rows or of columns.
        if abs(across) >= abs(along):
            across, along = np.sign(across), (along if abs(along) > _LEVEL else 0.0)
        else:
            across, along = (across if abs(across) > _LEVEL else 0.0), np.sign(along)
        rise = length * steepness
        for col in range(dem.shape[1]):
            ground = dem[row, col]
            out[row, col] = False
            step = 1
            while step <= steps and ground + step * rise < highest:
                if _height(dem, row + step * along, col + step * across) > ground + step * rise:
                    out[row, col] = True
                    break
                step += 1
