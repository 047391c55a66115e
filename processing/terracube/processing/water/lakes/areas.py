"""How large a pixel is on the ground, whatever the CRS does to areas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod, Proj

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import Grid
from terracube.cubes.crs import full_turn, metres_per_unit, transform_points

AREAS = ("auto", "grid", "ground")
# A CRS whose areas are off by less is taken at its word: UTM stays within 0.2 % in and around its zone.
_DISTORTED = 0.01
_TILE = 256
_WORLD = "EPSG:4326"


def pixel_areas(grid: Grid, rows: NDArray[Any], cols: NDArray[Any], *, ground: bool) -> NDArray[np.float64]:
    """Give the area of pixels of one tile in m2.

    Parameters
    ----------
    grid : Grid
    rows, cols : integer arrays (n,)
        Counted from the origin of the CRS, all in one tile of 256 x 256 pixels.
    ground : bool
        On the ellipsoid. Else in the plane of the (projected) CRS: all pixels are equal.

    Returns
    -------
    float64 array (n,)
        A function of the pixel alone. On the ellipsoid it is exact for longitude and latitude; for a projected CRS the
        plane's area is divided by the areal scale factor, as it varies along the tile's middle row and column.

    Examples
    --------
    >>> grid = Grid.from_bbox((14, 46, 15, 47), crs="EPSG:4326", resolution=1.0)
    >>> area = pixel_areas(grid, np.array([grid.offset.y]), np.array([grid.offset.x]), ground=True)
    >>> round(float(area[0]) / 1e6)  # km2
    8533
    """
    if not ground:
        return np.full(rows.shape, plane_area(grid))
    if full_turn(grid.crs) is not None:
        return _geographic(grid, rows)
    return plane_area(grid) / _scales(grid, rows, cols)


def plane_area(grid: Grid) -> float:
    """Give the area of a pixel in the plane of a projected CRS, in m2."""
    return abs(grid.resolution.x * grid.resolution.y) * metres_per_unit(grid.crs) ** 2


def on_ground(grid: Grid, shape: Any, area: str) -> bool:
    """Decide whether the pixels of a polygon (in pixel coordinates) are measured on the ellipsoid.

    ``"auto"``: in longitude and latitude, and where the projected CRS is off by more than 1 % in area.

    Raises
    ------
    InputError
        If ``area`` is unknown, or the plane is asked for where there is none.
    """
    if area not in AREAS:
        raise InputError("unknown kind of area", where="area", expected=", ".join(AREAS), got=repr(area))
    geographic = full_turn(grid.crs) is not None
    if area == "grid" and geographic:
        raise InputError("degrees have no area", where="area", expected="auto or ground", got=area)
    if area != "auto" or geographic:
        return geographic or area == "ground"
    middle = shapely.centroid(shape)
    scale = _scales_at(grid, np.array([middle.y]), np.array([middle.x]))[0]
    return bool(abs(scale - 1) > _DISTORTED)


def _geographic(grid: Grid, rows: NDArray[Any]) -> NDArray[np.float64]:
    """Area between two parallels on the ellipsoid (Snyder 1987, doi:10.3133/pp1395, eq. 3-12), a pixel wide."""
    geod: Geod = CRS.from_user_input(grid.crs).get_geod() or Geod(ellps="WGS84")
    turn = full_turn(grid.crs) or 360.0
    edges = (np.stack([rows, rows + 1]) + grid.phase.y) * grid.resolution.y * (2 * math.pi / turn)
    sine = np.sin(np.clip(edges, -math.pi / 2, math.pi / 2))
    e = math.sqrt(geod.es)
    zone = sine if e == 0 else (1 - geod.es) * (sine / (1 - geod.es * sine**2) + np.arctanh(e * sine) / e) / 2
    width = abs(grid.resolution.x) * 2 * math.pi / turn
    areas: NDArray[np.float64] = geod.a**2 * width * (zone[0] - zone[1])
    return areas


def _scales(grid: Grid, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.float64]:
    """Areal scale as the product of how it changes along the middle row and the middle column of the tile."""
    row, col = (float(index[0] // _TILE * _TILE + _TILE // 2) for index in (rows, cols))
    own_rows, at_row = np.unique(rows, return_inverse=True)
    own_cols, at_col = np.unique(cols, return_inverse=True)
    down = _scales_at(grid, own_rows + 0.5, np.full(own_rows.shape, col))
    along = _scales_at(grid, np.full(own_cols.shape, row), own_cols + 0.5)
    middle = _scales_at(grid, np.array([row]), np.array([col]))
    return down[at_row] * along[at_col] / middle


def _scales_at(grid: Grid, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.float64]:
    """Areal scale of a projected CRS at places in pixel coordinates.

    Raises
    ------
    MetadataError
        If the CRS has none there.
    """
    x, y = (cols + grid.phase.x) * grid.resolution.x, (rows + grid.phase.y) * grid.resolution.y
    longitude, latitude = transform_points(grid.crs, _WORLD, x, y)
    with np.errstate(all="ignore"):
        scales = np.asarray(Proj(grid.crs).get_factors(longitude, latitude).areal_scale, dtype="float64")
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise MetadataError(
            "the CRS has no scale of area at a polygon", where=grid.crs[:80], todo="choose another CRS for the cube"
        )
    return scales
