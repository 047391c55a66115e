"""Terrain of an elevation model on a cube's grid: elevation, slope, aspect and shade, without seams between blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import YX, Grid, map_blocks
from terracube.cubes.crs import metres_per_unit
from terracube.cubes.gridlike import to_grid
from terracube.cubes.layout import georeference
from terracube.processing.kernels import terrain as kernel

_CODES = {
    "elevation": kernel.ELEVATION,
    "slope": kernel.SLOPE,
    "aspect_sin": kernel.ASPECT_SIN,
    "aspect_cos": kernel.ASPECT_COS,
    "hillshade": kernel.HILLSHADE,
}
TERRAIN = tuple(_CODES)
_FACTS = {
    "elevation": ("elevation", "m"),
    "slope": ("slope of the terrain", "degree"),
    "aspect_sin": ("sine of the aspect: towards east", "1"),
    "aspect_cos": ("cosine of the aspect: towards north", "1"),
    "hillshade": ("shade of the terrain: cosine of the angle to the light", "1"),
}
_METRES = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "ft": 0.3048, "foot": 0.3048,
           "feet": 0.3048, "us-ft": 1200 / 3937}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Frame:
    """What turns pixels and numbers into metres, and where the light is."""

    width: float
    """Metres; radians of longitude on an ellipsoid."""
    height: float
    """Metres; radians of latitude on an ellipsoid."""
    ellipsoid: tuple[float, float, float] | None
    """Semi-major axis (m), square of the eccentricity, radians per unit of the CRS; None for projected CRS."""
    metres: float
    """Per unit of the elevation."""
    nodata: float | None
    light: tuple[float, float, float]

    def sizes(self, y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the width and height of the pixels of rows, in metres."""
        if self.ellipsoid is None:
            return np.full(y.size, self.width), np.full(y.size, self.height)
        axis, square, unit = self.ellipsoid
        sine = np.sin(y * unit)
        flat = 1.0 - square * sine * sine
        across, along = axis / np.sqrt(flat), axis * (1.0 - square) / flat**1.5
        return across * np.cos(y * unit) * self.width, along * self.height


def terrain(
    dem: xr.DataArray,
    names: Iterable[str] = ("elevation", "slope", "aspect_sin", "aspect_cos"),
    *,
    unit: str | None = None,
    azimuth: float = 315.0,
    altitude: float = 45.0,
) -> xr.Dataset:
    """Compute layers of the terrain by Horn's gradient (1981, doi:10.1109/PROC.1981.11918).

    Parameters
    ----------
    dem : DataArray (y, x)
        Elevation, from north to south, numpy or Dask. NaN, or ``attrs["nodata"]``, is missing. Where the CRS is
        geographic, distances are those on its ellipsoid at the latitude of the row.
    names : iterable of str
        ``elevation`` (m), ``slope`` (degrees), ``aspect_sin``, ``aspect_cos`` (of the direction of descent, clockwise
        from north of the grid; both 0 where it is level) and ``hillshade`` (cosine of the angle to the light, 0 to 1).
    unit : str, optional
        Unit of the elevation: ``m``, ``ft`` or ``us-ft``; left out, it is read from ``attrs["units"]``.
    azimuth, altitude : float
        Direction of the light for the shade, degrees clockwise from north, and above the horizon.

    Returns
    -------
    Dataset of float32 (y, x)
        Lazy if ``dem`` is; the same to the bit whatever the chunks. NaN where the elevation is missing. At the edge of
        the grid and beside missing pixels, a neighbour that is not there continues the line through the pixel from the
        opposite one.

    Raises
    ------
    MetadataError
        If nothing tells the unit, or the CRS has none.
    InputError
        If a name is unknown or ``dem`` is not (y, x).

    Examples
    --------
    >>> from terracube.cubes.layout import georeference
    >>> grid = Grid.from_bbox((0, 0, 30, 30), crs="EPSG:32633", bbox_crs="EPSG:32633", resolution=10)
    >>> dem = georeference(xr.DataArray(np.arange(9.0).reshape(3, 3) % 3 * 10, dims=("y", "x")), grid)
    >>> terrain(dem, ["slope", "aspect_sin"], unit="m").isel(y=0, x=0).to_array().values.tolist()
    [45.0, -1.0]
    """
    wanted = _checked(dem, tuple(names))
    grid = to_grid(dem)
    frame = _frame(dem, grid, unit, (azimuth, altitude))
    plain = dem.drop_attrs(deep=False).assign_attrs({k: v for k, v in dem.attrs.items() if k == "nodata"})
    if dem.chunks:
        block = partial(_block, names=wanted, frame=frame)
        template = dict.fromkeys(wanted, "float32")
        found = map_blocks(plain.to_dataset(name="dem"), None, block, template, halo=1)
    else:
        around = grid.window(YX(-1, -1), YX(grid.shape.y + 2, grid.shape.x + 2))
        values = np.pad(_numbers(plain.values, frame), 1, constant_values=np.nan)
        layers = _layers(values, around.centres()[0], wanted, frame)
        found = xr.Dataset(
            {name: georeference(xr.DataArray(layer, dims=("y", "x")), grid) for name, layer in layers.items()}
        )
    for name in wanted:
        found[name].attrs.update(zip(("long_name", "units"), _FACTS[name], strict=True))
    return found


def _checked(dem: xr.DataArray, names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in _CODES]
    if unknown or not names or len(set(names)) < len(names):
        got = ", ".join(map(repr, names))[:200] or "none"
        raise InputError("no such layers of the terrain", where="names", expected=", ".join(TERRAIN), got=got)
    if not isinstance(dem, xr.DataArray) or dem.dims != ("y", "x") or not dem.size or dem.dtype.kind not in "iuf":
        got = f"{dem.dtype} {dem.dims}" if isinstance(dem, xr.DataArray) else type(dem).__name__
        raise InputError("not an elevation model", where="dem", expected="DataArray of numbers (y, x)", got=got)
    if dem.sizes["y"] > 1 and dem["y"].values[0] < dem["y"].values[-1]:
        raise InputError("rows run north", where="dem", expected="from north to south", todo='sortby("y", False)')
    return names


def _frame(dem: xr.DataArray, grid: Grid, unit: str | None, light: tuple[float, float]) -> _Frame:
    """Settle units."""
    told = str(dem.attrs.get("units", "")) if unit is None else unit
    if told not in _METRES:
        raise MetadataError(
            "the unit of the elevation is not known",
            where="dem",
            expected="attrs['units']: " + ", ".join(_METRES),
            got=repr(told)[:80],
            todo='give unit="m"',
        )
    azimuth, altitude = (math.radians(angle) for angle in light)
    if not (math.isfinite(azimuth) and 0 < altitude <= math.pi / 2):
        raise InputError("no such light", where="azimuth, altitude", expected="altitude above 0 to 90", got=str(light))
    up = math.cos(altitude)
    towards = (math.sin(azimuth) * up, math.cos(azimuth) * up, math.sin(altitude))
    nodata = dem.attrs.get("nodata")
    width, height, crs = grid.resolution.x, -grid.resolution.y, CRS.from_user_input(grid.crs)
    scale, shape = 1.0, None
    if not crs.is_geographic:
        scale = metres_per_unit(grid.crs)
    elif crs.ellipsoid is None:
        raise MetadataError("the CRS has no ellipsoid", where="dem", got=grid.crs[:80])
    else:
        scale = crs.axis_info[0].unit_conversion_factor
        a, b = crs.ellipsoid.semi_major_metre, crs.ellipsoid.semi_minor_metre
        shape = (a, 1.0 - (b / a) ** 2, scale)
    missing = None if nodata is None else float(nodata)
    return _Frame(width * scale, height * scale, shape, _METRES[told], missing, towards)


def _numbers(values: NDArray[np.generic], frame: _Frame) -> NDArray[np.float64]:
    """Give elevations in metres, NaN where missing."""
    found = values.astype(np.float64)
    if frame.nodata is not None:
        found[found == frame.nodata] = np.nan
    found[~np.isfinite(found)] = np.nan
    found *= frame.metres
    return found


def _block(block: xr.Dataset, *, names: tuple[str, ...], frame: _Frame) -> dict[str, NDArray[np.float32]]:
    return _layers(_numbers(block["dem"].values, frame), block["y"].values, names, frame)


def _layers(
    values: NDArray[np.float64], y: NDArray[np.float64], names: tuple[str, ...], frame: _Frame
) -> dict[str, NDArray[np.float32]]:
    """Compute the layers of a block with one pixel around."""
    width, height = frame.sizes(y[1:-1])
    out = np.empty((len(names), values.shape[0] - 2, values.shape[1] - 2), np.float32)
    codes = np.array([_CODES[name] for name in names])
    kernel.layers(np.ascontiguousarray(values), width, height, np.array(frame.light), codes, out)
    return dict(zip(names, out, strict=True))
