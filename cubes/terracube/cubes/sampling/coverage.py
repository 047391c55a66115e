"""How much of each pixel lies in a polygon: exact shares of area, not yes or no.

The edges of a polygon are walked once; each leaves, in the cells that it crosses, the area that lies to its right, with
the sign of its direction. Summed along a row this is the share of every cell: what is called a signed-area
accumulation buffer in the drawing of letters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from terracube.cubes.window import Window

# Shares are kept to 2^-16 of a pixel: what rounding leaves outside is 0, and what is whole is 1.
_STEPS = 65536.0


def edges_of_shape(shape: Any) -> NDArray[np.float64]:
    """Give the edges of a polygon or multipolygon as (x0, y0, x1, y1), holes running the other way round than shells.

    Returns
    -------
    float64 array (edge, 4)
    """
    rings = shapely.get_rings(shapely.get_parts(shapely.orient_polygons(shape)))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    return np.ascontiguousarray(np.hstack([points[:-1][same], points[1:][same]]))


def coverage(edges: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Give the share of each pixel of a window that lies in a polygon.

    Parameters
    ----------
    edges : float64 array (edge, 4)
        What :func:`edges_of_shape` gives, in pixel coordinates: x = column, y = row.
    window : Window
        Pixels, counted as the coordinates are.

    Returns
    -------
    float64 array (height, width)
        In [0, 1], a multiple of 2^-16. The same pixel of the same window has the same share to the bit.

    Examples
    --------
    >>> triangle = edges_of_shape(shapely.Polygon([(0, 0), (2, 0), (0, 2)]))
    >>> coverage(triangle, Window(0, 0, 2, 2)).tolist()
    [[1.0, 0.5], [0.5, 0.0]]
    """
    left = np.zeros((window.height, window.width + 1))
    _accumulate(edges, float(window.row), float(window.col), left)
    shares = np.abs(np.cumsum(left[:, :-1], axis=1))
    rounded: NDArray[np.float64] = np.clip(np.rint(shares * _STEPS) / _STEPS, 0.0, 1.0)
    return rounded


@njit(nogil=True, error_model="numpy")
def _accumulate(edges: NDArray[np.float64], top: float, left: float, out: NDArray[np.float64]) -> None:
    """Add what every edge leaves in the cells that it crosses to ``out`` (row, column and one more)."""
    height = out.shape[0]
    for edge in range(edges.shape[0]):
        x0, y0 = edges[edge, 0] - left, edges[edge, 1] - top
        x1, y1 = edges[edge, 2] - left, edges[edge, 3] - top
        if y0 == y1 or max(y0, y1) <= 0.0 or min(y0, y1) >= height:
            continue
        sign = 1.0
        if y0 > y1:
            x0, y0, x1, y1, sign = x1, y1, x0, y0, -1.0
        slope = (x1 - x0) / (y1 - y0)
        first, last = max(0, math.floor(y0)), min(height, math.ceil(y1))
        for row in range(first, last):
            low, high = max(y0, float(row)), min(y1, row + 1.0)
            if high > low:
                begin = x0 if low == y0 else x0 + (low - y0) * slope
                end = x1 if high == y1 else x0 + (high - y0) * slope
                _spread(out[row], min(begin, end), max(begin, end), sign * (high - low))


@njit(nogil=True, error_model="numpy")
def _spread(out: NDArray[np.float64], start: float, stop: float, rise: float) -> None:
    """Add a piece of an edge that lies within one row, from ``start`` to ``stop``, of signed height ``rise``."""
    width = out.size - 1
    if start >= width:
        return
    if stop <= 0.0:
        out[0] += rise
        return
    length = stop - start
    if length == 0.0:
        cell = math.floor(start)
        out[cell] += rise * (cell + 1.0 - start)
        out[cell + 1] += rise * (start - cell)
        return
    if start < 0.0:
        out[0] += rise * (-start / length)
    for cell in range(max(0, math.floor(start)), min(width, math.ceil(stop))):
        low, high = max(start, float(cell)), min(stop, cell + 1.0)
        part, right = rise * ((high - low) / length), cell + 1.0 - 0.5 * (low + high)
        out[cell] += part * right
        out[cell + 1] += part * (1.0 - right)
