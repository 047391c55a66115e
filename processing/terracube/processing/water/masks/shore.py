"""How far from the shore a pixel of water lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes import Grid
from terracube.cubes.gridlike import to_grid
from terracube.processing.kernels.nearest import distances
from terracube.processing.water.masks._blocks import halo_of, layers_of, over_blocks, stacked
from terracube.processing.water.masks.flags import DRY, WET, bitmask
from terracube.processing.water.masks.pixels import pixel_sizes

type Doubles = NDArray[np.float64]


def shore_distance(water: xr.DataArray, *, reach: float = 1000.0) -> xr.DataArray:
    """Measure the distance of each pixel of water to the nearest dry one.

    Parameters
    ----------
    water : DataArray of uint8 (y, x) or (time, y, x)
        0 dry, 1 wet, 255 no data, with CRS and coordinates; numpy or Dask.
    reach : float
        Metres up to which distances are exact. Greater ones are said to be this.

    Returns
    -------
    DataArray of float32
        Metres from the centre of the pixel to that of the nearest dry one; 0 where it is dry, NaN where it has no data.
        Pixels without data are no shore, and beyond the edge of the grid there is none. In degrees, pixels have the
        size of their row. Lazy if ``water`` is, the same to the bit whatever the chunks.

    Raises
    ------
    InputError
        If this is no map of water, or the reach is more than 2048 pixels.
    MetadataError
        If it has no CRS.

    Examples
    --------
    >>> import rioxarray
    >>> seen = np.array([[0, 1, 1, 255], [1, 1, 1, 1]], np.uint8)
    >>> water = xr.DataArray(seen, coords={"y": [10.0, 0], "x": [0.0, 10, 20, 30]})
    >>> shore_distance(water.rio.write_crs("EPSG:32633")).round().values.tolist()
    [[0.0, 10.0, 20.0, nan], [10.0, 14.0, 22.0, 32.0]]
    """
    if not isinstance(water, xr.DataArray) or water.dtype != np.uint8 or water.dims[-2:] != ("y", "x"):
        got = f"{water.dtype} {water.dims}" if isinstance(water, xr.DataArray) else type(water).__name__
        raise InputError("this is no map of water", where="water", expected="uint8 (y, x) or (time, y, x)", got=got)
    measured = [distance_array(layer, to_grid(water), reach) for layer in layers_of(water.data)]
    found = water.copy(data=stacked(measured, like=water.data))
    found.name = "shore_distance"
    found.attrs = {"long_name": "distance to the shore", "units": "m", "reach": reach}
    return found


def distance_array(water: Any, grid: Grid, reach: float) -> Any:
    """Measure distances of one date, as :func:`shore_distance`: float32 array (y, x)."""
    width, height = pixel_sizes(grid)
    halo = halo_of(reach, np.concatenate([width, height]), "reach")
    return over_blocks(_away, [water, width[:, None], height[:, None]], "float32", halo=halo, reach=reach)


def near_land_flags(flags: NDArray[np.uint16], away: NDArray[np.float32], *, metres: float) -> NDArray[np.uint16]:
    """Add the flag for water that is closer than some metres to the shore."""
    near: NDArray[np.bool_] = (away > 0) & (away < metres)
    return flags | near.astype(np.uint16) * np.uint16(bitmask(["near_land"]))


def _away(water: NDArray[np.uint8], width: Doubles, height: Doubles, *, reach: float) -> NDArray[np.float32]:
    out = np.empty(water.shape, np.float32)
    steps = np.empty(water.shape, np.int32)
    distances(np.ascontiguousarray(water == DRY), width.ravel(), height.ravel(), reach, steps, out)
    out[(water != DRY) & (water != WET)] = np.nan
    return out
