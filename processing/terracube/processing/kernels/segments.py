"""Distances of points to line segments."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def nearest_square(
    x: NDArray[np.float64], y: NDArray[np.float64], segments: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Find the squared distance of each node of a lattice to the nearest segment.

    Parameters
    ----------
    x : float64 (columns,)
    y : float64 (rows,)
    segments : float64 (n, 4)
        ``x0, y0, x1, y1`` of each.
    out : float64 (rows, columns)
        Lowered where a segment is nearer than what it holds; each value depends on its node and the segments alone,
        in any order.
    """
    for s in range(segments.shape[0]):
        x0, y0 = segments[s, 0], segments[s, 1]
        dx, dy = segments[s, 2] - x0, segments[s, 3] - y0
        length = dx * dx + dy * dy
        for row in range(y.size):
            py = y[row] - y0
            for column in range(x.size):
                px = x[column] - x0
                along = (px * dx + py * dy) / length if length > 0.0 else 0.0
                along = min(1.0, max(0.0, along))
                ex, ey = px - along * dx, py - along * dy
                out[row, column] = min(out[row, column], ex * ex + ey * ey)
