"""Slope, aspect and shade of an elevation model by Horn's gradient (1981, doi:10.1109/PROC.1981.11918)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

ELEVATION, SLOPE, ASPECT_SIN, ASPECT_COS, HILLSHADE = range(5)


type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]


@inner
def _neighbour(dem: Doubles, row: int, col: int, down: int, right: int, otherwise: float) -> float:
    """Give a neighbour's height above the pixel; where it is missing, what continues the opposite one."""
    centre = dem[row, col]
    there = dem[row + down, col + right] - centre
    opposite = dem[row - down, col - right] - centre
    found: float = there if there == there else -opposite if opposite == opposite else otherwise
    return found


@inner
def _gradient(dem: Doubles, row: int, col: int, width: float, height: float) -> tuple[float, float]:
    """Give the rise towards east and towards north, in metres per metre."""
    north, south = _neighbour(dem, row, col, -1, 0, 0.0), _neighbour(dem, row, col, 1, 0, 0.0)
    west, east = _neighbour(dem, row, col, 0, -1, 0.0), _neighbour(dem, row, col, 0, 1, 0.0)
    north_west = _neighbour(dem, row, col, -1, -1, north + west)
    north_east = _neighbour(dem, row, col, -1, 1, north + east)
    south_west = _neighbour(dem, row, col, 1, -1, south + west)
    south_east = _neighbour(dem, row, col, 1, 1, south + east)
    eastward = (north_east + 2.0 * east + south_east) - (north_west + 2.0 * west + south_west)
    northward = (north_west + 2.0 * north + north_east) - (south_west + 2.0 * south + south_east)
    return eastward / (8.0 * width), northward / (8.0 * height)


@inner
def _value(code: int, east: float, north: float, light: Doubles) -> float:
    """Give one layer of a pixel from its gradient."""
    steep = math.sqrt(east * east + north * north)
    if code == SLOPE:
        return math.degrees(math.atan(steep))
    if code == HILLSHADE:
        lit = (light[2] - light[0] * east - light[1] * north) / math.sqrt(1.0 + steep * steep)
        return 0.0 if lit < 0.0 else lit
    if steep == 0.0:
        return 0.0
    return -east / steep if code == ASPECT_SIN else -north / steep


@kernel
def layers(
    dem: Doubles, width: Doubles, height: Doubles, light: Doubles, codes: NDArray[np.int64], out: Floats
) -> None:
    """Compute layers of the terrain.

    Parameters
    ----------
    dem : float64 (rows + 2, columns + 2)
        Elevation in metres with one pixel around; NaN = missing. Rows run south. A missing neighbour is taken to
        continue the line from the opposite one through the pixel; where both are missing, to be level with the pixel,
        or, in a corner, to lie on the plane through those beside it.
    width, height : float64 (rows,)
        Size of a row's pixels on the ground, metres.
    light : float64 (3,)
        Unit vector to the light: east, north, up.
    codes : int64 (layers,)
        ``ELEVATION`` (m), ``SLOPE`` (degrees), ``ASPECT_SIN`` and ``ASPECT_COS`` (of the direction of descent,
        clockwise from north; both 0 where it is level), ``HILLSHADE`` (cosine of the angle to the light, 0 to 1).
    out : float32 (layers, rows, columns)
        Is written: NaN where the pixel itself is missing.

    Examples
    --------
    >>> out, one = np.empty((2, 1, 1), np.float32), np.ones(1)
    >>> layers(np.arange(9.0).reshape(3, 3) % 3, one, one, np.array([0.0, 0, 1]), np.array([SLOPE, ASPECT_SIN]), out)
    >>> out.ravel().tolist()
    [45.0, -1.0]
    """
    for row in range(out.shape[1]):
        for col in range(out.shape[2]):
            centre = dem[row + 1, col + 1]
            east, north = np.nan, np.nan
            if centre == centre:
                east, north = _gradient(dem, row + 1, col + 1, width[row], height[row])
            for number in range(codes.size):
                if codes[number] == ELEVATION:
                    out[number, row, col] = centre
                elif centre == centre:
                    out[number, row, col] = _value(codes[number], east, north, light)
                else:
                    out[number, row, col] = np.nan
