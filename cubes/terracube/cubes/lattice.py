"""Which source pixel each target pixel takes: computed once per pair of grids, used for every date and band.

Nearest neighbour, exact: the centre of each target pixel is projected by PROJ itself, point by point, so the answer
for a pixel does not depend on the block it is asked in. The pixel that holds the centre is taken. A centre that lies
exactly on an edge between two pixels (tiles half a pixel apart) goes to the one after the edge, that is to
``floor(x + 0.5)`` when ``x`` counts from pixel centres: to the south and to the east. Coordinates are rounded to 2^-20
of a source pixel first, so that such ties are decided by this rule and not by the last bit of a division.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from terracube.core.errors import BudgetError
from terracube.cubes.crs import full_turn, transform_points
from terracube.cubes.grid import Grid

_FRACTION = float(1 << 20)
# A window is read whole; one gigabyte of float32 is more than a block ever needs.
_MAX_WINDOW = 1 << 28


@dataclass(frozen=True)
class Lookup:
    """Where a block finds its pixels in one source grid."""

    window: Window
    """The part of the source that is needed."""
    index: NDArray[np.int32]
    """For each target pixel (y, x): position in the flattened window, or -1 where the source has no pixel."""


def nearest(source: Grid, target: Grid) -> Lookup | None:
    """Find the nearest source pixel of every target pixel.

    Parameters
    ----------
    source, target : Grid
        In the same CRS or not.

    Returns
    -------
    Lookup or None
        ``None`` where the source does not reach the target.

    Raises
    ------
    BudgetError
        If the target spans so much of the source that the part to read would not fit in memory.
    """
    rows, cols = _source_pixels(source, target)
    inside = (rows >= 0) & (rows < source.shape.y) & (cols >= 0) & (cols < source.shape.x)
    if not inside.any():
        return None
    used_rows, used_cols = (np.broadcast_to(part, inside.shape)[inside] for part in (rows, cols))
    top, left = int(used_rows.min()), int(used_cols.min())
    height, width = int(used_rows.max()) - top + 1, int(used_cols.max()) - left + 1
    if height * width > _MAX_WINDOW:
        raise BudgetError(
            "a block spans too many pixels of a scene",
            expected=f"at most {_MAX_WINDOW:,}",
            got=f"{height:,} x {width:,}",
            todo="choose smaller blocks or a finer resolution",
        )
    flat = (rows - top) * width + (cols - left)
    index = np.where(inside, flat, -1).astype("int32")
    return Lookup(Window(left, top, width, height), index)


def _source_pixels(source: Grid, target: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give source rows and columns; shapes (y, 1) and (1, x) in one CRS, (y, x) both between two."""
    y, x = target.centres()
    if source.crs == target.crs:
        return _pixel(y, source, axis=0)[:, None], _pixel(x, source, axis=1)[None, :]
    grid_x, grid_y = np.meshgrid(x, y)
    px, py = transform_points(target.crs, source.crs, grid_x.ravel(), grid_y.ravel())
    return _pixel(py, source, axis=0).reshape(target.shape), _pixel(px, source, axis=1).reshape(target.shape)


def _pixel(coordinate: NDArray[np.float64], source: Grid, *, axis: int) -> NDArray[np.int64]:
    resolution, phase, offset = source.resolution[axis], source.phase[axis], source.offset[axis]
    position = coordinate / resolution - (offset + phase)
    # Points that PROJ cannot project are infinite: they become -1, outside every raster.
    position = _rounded(np.where(np.isfinite(position), position, -1.0))
    turn = full_turn(source.crs)
    if axis == 1 and turn:
        # Longitudes are counted on from the western edge, so that 185 and -175 degrees are one place.
        turns = np.floor(position / (turn / resolution))
        position = np.where(turns == 0, position, _rounded(position - turns * (turn / resolution)))
    return np.floor(position).astype("int64")


def _rounded(position: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.rint(position * _FRACTION) / _FRACTION
    return rounded
