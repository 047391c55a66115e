"""The size of pixels on the ground."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from terracube.core.errors import MetadataError
from terracube.cubes import Grid
from terracube.cubes.crs import metres_per_unit

type Doubles = NDArray[np.float64]


def pixel_sizes(grid: Grid) -> tuple[Doubles, Doubles]:
    """Give the width and height of the pixels of each row in metres, float64 (rows,).

    On a projected grid these are the nominal ones; in degrees, lengths on the ellipsoid at the middle of the row.

    Examples
    --------
    >>> grid = Grid.from_bbox((9, 59, 10, 60), crs="EPSG:4326", resolution=0.5)
    >>> [size.round().tolist() for size in pixel_sizes(grid)]
    [[28110.0, 28529.0], [55704.0, 55700.0]]
    """
    y, x = grid.centres()
    width, height, crs = grid.resolution.x, -grid.resolution.y, CRS.from_user_input(grid.crs)
    if not crs.is_geographic:
        metres = metres_per_unit(grid.crs)
        return np.full(y.size, width * metres), np.full(y.size, height * metres)
    geod = crs.get_geod()
    if geod is None:
        raise MetadataError("the CRS has no ellipsoid", got=grid.crs[:80])
    degrees = math.degrees(crs.axis_info[0].unit_conversion_factor)
    lon, lat, dx, dy = np.full(y.size, x[0] * degrees), y * degrees, width * degrees / 2, height * degrees / 2
    across = geod.inv(lon - dx, lat, lon + dx, lat)[2]
    along = geod.inv(lon, np.maximum(lat - dy, -90), lon, np.minimum(lat + dy, 90))[2]
    return np.asarray(across), np.asarray(along)
