"""What sun and terrain do to pixels: a low sun, shade, steep slopes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.gridlike import to_grid
from terracube.processing.kernels.shade import shaded
from terracube.processing.landcover.relief import terrain
from terracube.processing.water.masks._blocks import halo_of, over_blocks
from terracube.processing.water.masks.flags import bitmask
from terracube.processing.water.masks.pixels import pixel_sizes

type Doubles = NDArray[np.float64]


def low_sun_flag(elevation: float | None, least: float) -> int:
    """Give the bit for a sun that stands lower than ``least`` degrees, or 0.

    Raises
    ------
    InputError
        If the elevation is none.
    """
    if elevation is None:
        return 0
    if not -90 <= elevation <= 90:
        raise InputError("no such elevation of the sun", where="sun_elevation", expected="-90..90", got=str(elevation))
    return bitmask(["low_sun"]) if elevation < least else 0


def terrain_flags(
    dem: xr.DataArray,
    *,
    sun_azimuth: float | None = None,
    sun_elevation: float | None = None,
    steep: float = 12.0,
    reach: float = 5000.0,
) -> Any:
    """Flag steep pixels, and those in the shade of terrain.

    Parameters
    ----------
    dem : DataArray (y, x)
        Elevation, from north to south, numpy or Dask, with CRS and ``attrs["units"]``; NaN or ``attrs["nodata"]`` =
        missing: neither steep nor shaded.
    sun_azimuth, sun_elevation : float, optional
        Degrees, clockwise from the grid's north, and above the horizon. Without both nothing is shaded, nor with a sun
        that is not above the horizon.
    steep : float
        Degrees from which a slope (Horn's) is flagged: water is level.
    reach : float
        Metres up to which terrain is looked at towards the sun.

    Returns
    -------
    uint16 array (y, x)
        Bits ``steep`` and ``terrain_shadow``; lazy if ``dem`` is, the same to the bit whatever the chunks.

    Raises
    ------
    InputError
        If the reach is more than 2048 pixels, or the azimuth is no angle; as :func:`terrain`.
    MetadataError
        As :func:`terrain`.
    """
    layers = terrain(dem, ["elevation", "slope"])
    flags = [layers["slope"].data]
    if sun_azimuth is None or sun_elevation is None or sun_elevation <= 0:
        return over_blocks(_steep, flags, "uint16", least=steep)
    if not math.isfinite(sun_azimuth):
        raise InputError("no such azimuth", where="sun_azimuth", expected="degrees", got=str(sun_azimuth))
    width, height = pixel_sizes(to_grid(dem))
    steps = halo_of(reach, np.concatenate([width, height]), "shade_reach")
    angle = math.radians(sun_azimuth)
    sun = (math.sin(angle), math.cos(angle), math.tan(math.radians(sun_elevation)))
    shade = over_blocks(
        _shade, [layers["elevation"].data, width[:, None], height[:, None]], "uint16", halo=steps, sun=sun, steps=steps
    )
    return over_blocks(_steep, [*flags, shade], "uint16", least=steep)


def _shade(
    dem: NDArray[Any], width: Doubles, height: Doubles, *, sun: tuple[float, float, float], steps: int
) -> NDArray[np.uint16]:
    out = np.zeros(dem.shape, np.bool_)
    shaded(dem.astype(np.float64), width.ravel(), height.ravel(), sun, steps, out)
    return out.astype(np.uint16) * np.uint16(bitmask(["terrain_shadow"]))


def _steep(slope: NDArray[Any], *more: NDArray[np.uint16], least: float) -> NDArray[np.uint16]:
    found = (slope > least).astype(np.uint16) * np.uint16(bitmask(["steep"]))
    for flags in more:
        found |= flags
    return found
