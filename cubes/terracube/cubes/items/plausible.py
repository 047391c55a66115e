"""Whether the place that an item claims for a raster can be true: it has to meet the item's own bbox."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.crs import transform_points
from terracube.cubes.grid import Grid

_LONLAT = "EPSG:4326"
# Boxes of items are rounded, and some are those of a coarse footprint.
_SLACK = 0.25
_HALF_TURN, _TURN = 180.0, 360.0
# Nearer to a pole longitudes say little.
_POLAR = 80.0


def misses_bbox(grid: Grid, bbox: Any) -> bool:
    """Tell whether a claimed grid lies wholly beside the bbox of its item.

    Parameters
    ----------
    grid : Grid
        As the item claims it.
    bbox
        West, south, east, north in degrees, or with heights; of anything else nothing can be told.

    Examples
    --------
    >>> zone = Grid.from_bbox((15, 46, 15.1, 46.1), crs="EPSG:32633", resolution=100)
    >>> misses_bbox(zone, [14.9, 45.9, 15.2, 46.2]), misses_bbox(zone, [20.9, 45.9, 21.2, 46.2])
    (False, True)
    """
    box = _numbers(bbox)
    return box is not None and _misses(grid, box)


# Items of one tile share grid and box.
@lru_cache(maxsize=4096)
def _misses(grid: Grid, box: tuple[float, float, float, float]) -> bool:
    west, south, east, north = box
    longitude, latitude = _outline(grid)
    if not longitude.size:
        return False
    if latitude.min() > north + _SLACK or latitude.max() < south - _SLACK:
        return True
    if max(np.abs(latitude).max(), abs(south), abs(north)) > _POLAR:
        return False
    width = east - west + (_TURN if west > east else 0.0)
    beyond = (longitude - (west + width / 2) + _HALF_TURN) % _TURN - _HALF_TURN
    far = width / 2 + _SLACK
    # A grid that spans more than half a turn, or lies on the other side of the globe, wraps.
    return bool(np.ptp(beyond) < _HALF_TURN and (beyond.min() > far or beyond.max() < -far))


def _numbers(bbox: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(bbox, list | tuple) or len(bbox) not in (4, 6):
        return None
    half = len(bbox) // 2
    chosen = [bbox[0], bbox[1], bbox[half], bbox[half + 1]]
    if not all(type(one) in (int, float) and abs(one) <= _TURN for one in chosen):
        return None
    west, south, east, north = map(float, chosen)
    return west, south, east, north


def _outline(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give longitude and latitude of corners and middles of the sides; none where they cannot be projected."""
    left, bottom, right, top = grid.bounds
    x, y = (part.ravel() for part in np.meshgrid([left, (left + right) / 2, right], [bottom, (bottom + top) / 2, top]))
    nothing = np.empty(0), np.empty(0)
    try:
        longitude, latitude = transform_points(grid.crs, _LONLAT, x, y)
    except InputError:
        return nothing
    return (longitude, latitude) if np.isfinite(longitude).all() and np.isfinite(latitude).all() else nothing
