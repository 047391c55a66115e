"""The pixels that points and polygons hold, one by one, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, InputError
from terracube.cubes.grid import Grid
from terracube.cubes.sampling._gather import Indices, Pixels, gather
from terracube.cubes.sampling._places import _as_series, _check_shapes, to_places
from terracube.cubes.sampling._points import to_spots
from terracube.cubes.sampling._raster import Raster, missing_in, nodata_of, to_raster
from terracube.cubes.sampling._zones import _windows, membership
from terracube.cubes.window import Window

# Pixels that may be found at once (40 bytes each), and bytes of values that may be read at once.
_MOST_PIXELS, _MOST_BYTES = 1 << 25, 4 << 30


@dataclass(frozen=True, eq=False, slots=True)
class Held:
    """Pixels held by geometries, sorted by geometry, row and column; a pixel may be held by several."""

    grid: Grid
    """The pixels of the cube, north up."""
    place: Indices
    """(n,) number of the geometry, in the order in which they were given."""
    rows: Indices
    """(n,) row in the grid."""
    cols: Indices
    """(n,) column in the grid."""
    outside: NDArray[np.bool_]
    """Per geometry: True where it lies beyond the grid, entirely or partly."""

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give x and y of the centre of each pixel, in the CRS of the grid."""
        y, x = self.grid.centres()
        return x[self.cols], y[self.rows]


@dataclass(frozen=True, eq=False, slots=True)
class Read:
    """Values of pixels."""

    times: NDArray[Any] | None
    """(T,) dates; ``None`` if no variable has any."""
    series: dict[str, NDArray[np.float32]]
    """(T, n) values of each variable with dates, NaN where missing or beyond float32."""
    static: dict[str, NDArray[np.float32]]
    """(n,) values of each variable without."""


def find_pixels(
    cube: xr.Dataset | xr.DataArray, geometries: Any, *, crs: Any = None, all_touched: bool = False
) -> Held:
    """Find which pixels of a cube lie in polygons (their centres), or hold points; nothing is read.

    The pixels of a geometry do not depend on the other geometries, on chunks, or on what part of the grid the cube is.

    Parameters
    ----------
    cube : xarray.Dataset or xarray.DataArray
        With CRS and evenly spaced coordinates.
    geometries : geopandas.GeoDataFrame, geopandas.GeoSeries, or shapely geometries
        Either points or polygons and multipolygons, in any CRS.
    crs : optional
        CRS of geometries that carry none.
    all_touched : bool
        Take all pixels that a polygon touches, instead of those whose centre lies inside.

    Raises
    ------
    InputError
        If a geometry is empty, invalid or of another kind (naming its row).
    MetadataError
        If the CRS of the cube or of the geometries is missing.
    BudgetError
        If the geometries hold more than 2^25 pixels.

    Examples
    --------
    >>> import rioxarray
    >>> values = xr.DataArray(np.ones((3, 3)), dims=("y", "x"), coords={"y": [25.0, 15, 5], "x": [5.0, 15, 25]})
    >>> held = find_pixels(values.rio.write_crs("EPSG:32633"), [shapely.box(0, 0, 20, 10)], crs="EPSG:32633")
    >>> held.rows.tolist(), held.cols.tolist()
    ([2, 2], [0, 1])
    """
    grid = to_raster(cube, {}).grid
    places = to_places(geometries, grid, crs=crs, id=None, kind="any")
    if shapely.get_dimensions(places.pixels[0]) == 0:
        spots = to_spots(places.pixels, grid)
        inside = np.flatnonzero(spots.inside)
        return Held(grid, inside, spots.rows[inside], spots.cols[inside], ~spots.inside)
    return _in_polygons(grid, places.pixels, all_touched=all_touched)


def read_pixels(cube: xr.Dataset | xr.DataArray, rows: Indices, cols: Indices) -> Read:
    """Read the values of every variable at some pixels, each chunk that holds one once, in one computation.

    Rows count from the north whatever the cube's own order is, as :func:`find_pixels` counts them.

    Raises
    ------
    InputError
        If a pixel lies beyond the cube.
    BudgetError
        If the values take more than 4 GiB.
    """
    raster = to_raster(cube, {})
    inside = (rows >= 0) & (rows < raster.grid.shape.y) & (cols >= 0) & (cols < raster.grid.shape.x)
    if not inside.all():
        raise InputError("a pixel lies beyond the cube", expected=str(tuple(raster.grid.shape)))
    _check_budget(raster, len(rows))
    found = gather(raster.variables, Pixels(rows, cols))
    series: dict[str, NDArray[np.float32]] = {}
    static: dict[str, NDArray[np.float32]] = {}
    for array, values in zip(raster.variables, found, strict=True):
        with np.errstate(over="ignore"):
            told = values.astype(np.float32)
        told[missing_in(values, nodata_of(array)) | ~np.isfinite(told)] = np.nan
        (series if "time" in array.dims else static)[str(array.name)] = told
    return Read(raster.times, series, static)


def to_shapes(geometries: Any, *, crs: Any = None) -> geopandas.GeoSeries:
    """Check geometries: points, or polygons and multipolygons, with a CRS; heights are dropped.

    Raises
    ------
    InputError
        If there is none, or one is empty, invalid or of another kind (naming its row).
    MetadataError
        If the CRS is missing.
    """
    series, _ = _as_series(geometries, crs)
    shapes = np.asarray(series.values, dtype=object)
    _check_shapes(shapes, series.index, "any")
    return geopandas.GeoSeries(shapely.force_2d(shapes), index=series.index, crs=series.crs)


def _check_budget(raster: Raster, pixels: int) -> None:
    per_pixel = sum(array.sizes.get("time", 1) * (array.dtype.itemsize + 4) for array in raster.variables)
    if per_pixel * pixels > _MOST_BYTES:
        raise BudgetError(
            "the values of these pixels are too many at once",
            expected=f"at most {_MOST_BYTES >> 20} MiB",
            got=f"{per_pixel * pixels >> 20} MiB: {pixels} pixels of {per_pixel} bytes",
            todo="take fewer pixels of each polygon, fewer bands or fewer dates",
        )


def _in_polygons(grid: Grid, shapes: NDArray[Any], *, all_touched: bool) -> Held:
    whole = Window(grid.offset.y, grid.offset.x, grid.shape.y, grid.shape.x)
    count, places, found = 0, [np.empty(0, np.int64)], [np.empty((2, 0), np.int64)]
    with rasterio.Env():  # entered once: each drawing would make one of its own
        for number, shape in enumerate(shapes):
            pixels = _in_polygon(shape, whole, all_touched=all_touched)
            count += pixels.shape[1]
            if count > _MOST_PIXELS:
                raise BudgetError(
                    "the polygons hold too many pixels at once",
                    expected=f"at most {_MOST_PIXELS}",
                    got=f"more in the first {number + 1} of {len(shapes)} polygons",
                    todo="take a coarser cube, or the polygons in several parts",
                )
            places.append(np.full(pixels.shape[1], number))
            found.append(pixels)
    rows, cols = np.concatenate(found, axis=1)
    left, top, right, bottom = shapely.bounds(shapes).reshape(-1, 4).T
    beyond = (left < whole.col) | (top < whole.row) | (right > whole.stop[1]) | (bottom > whole.stop[0])
    return Held(grid, np.concatenate(places), rows, cols, beyond)


def _in_polygon(shape: Any, whole: Window, *, all_touched: bool) -> Indices:
    """Give rows and columns of the pixels of a polygon that the grid has, sorted."""
    shapely.prepare(shape)
    parts = [np.empty((2, 0), np.int64)]
    for window in _windows(shape, whole):
        rows, cols = np.nonzero(membership(shape, window, all_touched=all_touched))
        place = window.within(whole)
        rows, cols = rows + place.row, cols + place.col
        kept = (rows >= 0) & (rows < whole.height) & (cols >= 0) & (cols < whole.width)
        parts.append(np.stack([rows[kept], cols[kept]]))
    pixels = np.concatenate(parts, axis=1)
    return pixels[:, np.lexsort((pixels[1], pixels[0]))]
