"""The line between water and land, finer than a pixel, and the threshold it is drawn at.

Lines are those of marching squares on a water index, cut where the image is missing or clouded. What a line is on a
flat beach depends on the tide and on the run-up of the waves: it is the instantaneous water line. `transects` brings
it to a reference level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, InputError, MetadataError
from terracube.cubes import Grid

if TYPE_CHECKING:
    import geopandas
    import shapely

_MOST_PIXELS = 100_000_000
_BINS = 512

type _Lines = list[NDArray[np.float64]]


def shoreline(
    index: xr.DataArray,
    threshold: float | xr.DataArray,
    *,
    clear: xr.DataArray | None = None,
    margin: float = 30.0,
    least_length: float = 0.0,
) -> geopandas.GeoDataFrame:
    """Draw the water lines of one or more dates.

    Between neighbouring pixels the index is taken as a straight line, so that the water line lies where it crosses the
    threshold (marching squares; Lorensen and Cline 1987, doi:10.1145/37402.37422, in two dimensions).

    Parameters
    ----------
    index : xarray.DataArray (y, x) or (time, y, x)
        Water index, higher over water (MNDWI, NDWI, ...), on a projected grid in metres. NaN is missing. It is
        computed, one date at a time.
    threshold : float or xarray.DataArray (time)
        Value at which water begins, of all dates or of each.
    clear : xarray.DataArray of bool, like `index`, optional
        False where cloud, shadow or anything else hides the ground.
    margin : float
        Points closer than this to a pixel that is missing or not clear are dropped, m; lines are cut there.
    least_length : float
        Lines shorter than this are dropped, m: ponds, boats, speckle.

    Returns
    -------
    geopandas.GeoDataFrame
        One row per line, longest first within a date: ``time`` (if the index has it), ``threshold``, ``length_m``,
        ``geometry`` (LineString in the CRS of the index, water on its left). A date without a line has no row.

    Raises
    ------
    InputError
        If the index is no image, another array has other pixels, the threshold is not finite, or the CRS is geographic.
    MetadataError
        If the index does not tell its CRS or grid.
    BudgetError
        If an image has more than 100 million pixels.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> x, y = np.arange(5, 100, 10.0), np.arange(95, 0, -10.0)
    >>> beach = xr.DataArray(np.tile(np.linspace(-1, 0.8, 10), (10, 1)), {"y": y, "x": x}, ["y", "x"])
    >>> lines = shoreline(beach.rio.write_crs(32630), 0.0)
    >>> round(float(lines.geometry[0].coords[0][0]), 6)
    55.0
    """
    import geopandas

    grid = _metric_grid(index)
    clear = _alike(index, clear)
    rows: list[Mapping[str, Any]] = []
    for number, picture in _dates(index):
        level = _level(threshold, number)
        hidden = None if clear is None else ~_picture(clear, number)
        for line in _sorted(_drawn(picture, hidden, level, grid, margin), least_length):
            when = {} if number is None else {"time": index["time"].values[number]}
            rows.append(when | {"threshold": level, "length_m": line.length, "geometry": line})
    columns = (["time"] if "time" in index.dims else []) + ["threshold", "length_m", "geometry"]
    return geopandas.GeoDataFrame(rows, columns=columns, geometry="geometry", crs=grid.crs)


def shore_threshold(index: xr.DataArray, water: xr.DataArray, land: xr.DataArray) -> float:
    """Find the value that parts water from land near the shore, both weighing the same.

    Otsu's threshold (1979, doi:10.1109/TSMC.1979.4310076) of the histogram of both classes, each brought to the same
    weight, because it leans towards a class that is rare (Vos et al. 2019, doi:10.1016/j.envsoft.2019.104528).

    Parameters
    ----------
    index : xarray.DataArray (y, x)
        Water index. NaN is missing. It is computed.
    water, land : xarray.DataArray of bool (y, x)
        Pixels known to be water, and known to be bare land (sand), best from near the shore.

    Returns
    -------
    float
        To 1/512 of the range of the values.

    Raises
    ------
    InputError
        If a class has no pixel, or another array has other pixels.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> index = xr.DataArray([[-0.5, -0.3, 0.4, 0.6]], dims=["y", "x"])
    >>> -0.3 < shore_threshold(index, index > 0, index < 0) < 0.4
    True
    """
    values = np.asarray(index.values, np.float64)
    parts = []
    for name, mask in (("water", water), ("land", land)):
        chosen = _alike(index, mask)
        found = values[chosen.values.astype(bool) & np.isfinite(values)] if chosen is not None else values[:0]
        if not found.size:
            raise InputError("a class has no pixel", where=name, expected="at least one pixel with an index", got="0")
        parts.append(found)
    low, high = min(map(np.min, parts)), max(map(np.max, parts))
    if low == high:
        return float(low)
    edges = np.linspace(low, high, _BINS + 1)
    shares = sum(np.histogram(found, edges)[0] / found.size for found in parts) / 2
    return _otsu(np.asarray(shares, np.float64), edges)


def _otsu(shares: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    middles = (edges[:-1] + edges[1:]) / 2
    below, moment = np.cumsum(shares)[:-1], np.cumsum(shares * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.square(moment[-1] * below - moment[:-1]) / (below * (1.0 - below))
    between[~np.isfinite(between)] = -1.0
    # Empty bins part the classes equally well: the middle of them.
    best = np.flatnonzero(between >= between.max() * (1.0 - 1e-9))
    return float(edges[1 + int(best[best.size // 2])])


def _drawn(
    picture: NDArray[np.float64], hidden: NDArray[np.bool_] | None, level: float, grid: Grid, margin: float
) -> _Lines:
    """Lines in map coordinates, cut near pixels that are missing or hidden."""
    from contourpy import LineType, contour_generator

    missing = ~np.isfinite(picture)
    if hidden is not None:
        missing |= hidden
    if min(picture.shape) < 2 or missing.all():
        return []
    y, x = grid.centres()
    # Cells with a missing corner hold no line.
    contours = contour_generator(
        x, y, np.ma.masked_array(picture, missing), name="serial", corner_mask=False, line_type=LineType.Separate
    )
    lines = cast(_Lines, contours.lines(level))
    if margin <= 0 or not missing.any():
        return lines
    near = _near(missing, grid, margin)
    return [piece for line in lines for piece in _pieces(line, _at(near, line, grid))]


def _near(missing: NDArray[np.bool_], grid: Grid, margin: float) -> NDArray[np.bool_]:
    """Pixels whose centre lies closer than the margin to the centre of a missing one."""
    from scipy.ndimage import distance_transform_edt

    steps = (abs(grid.resolution.y), abs(grid.resolution.x))
    return np.asarray(distance_transform_edt(~missing, sampling=steps) < margin)


def _at(near: NDArray[np.bool_], line: NDArray[np.float64], grid: Grid) -> NDArray[np.bool_]:
    columns, rows = ~grid.transform * (line[:, 0], line[:, 1])
    inside = (near.shape[0] - 1, near.shape[1] - 1)
    where = np.clip(rows.astype(int), 0, inside[0]), np.clip(columns.astype(int), 0, inside[1])
    return np.asarray(near[where])


def _pieces(line: NDArray[np.float64], dropped: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Runs of two points or more that are kept."""
    borders = np.flatnonzero(np.diff(dropped)) + 1
    for piece, gone in zip(np.split(line, borders), np.split(dropped, borders), strict=True):
        if not gone[0] and len(piece) > 1:
            yield piece


def _sorted(lines: _Lines, least: float) -> list[shapely.LineString]:
    """Long lines first; of equal ones, the one that starts in the west and south."""
    import shapely

    # Contours keep what is higher on one side of the direction in which rows and columns run: with rows that run
    # south, that is the right of the map.
    shapes = [shapely.LineString(line[::-1]) for line in lines if len(line) > 1]
    kept = [shape for shape in shapes if shape.length >= least and shape.length > 0]
    return sorted(kept, key=lambda shape: (-shape.length, shape.coords[0]))


def _dates(index: xr.DataArray) -> Iterator[tuple[int | None, NDArray[np.float64]]]:
    numbers = range(index.sizes["time"]) if "time" in index.dims else [None]
    for number in numbers:
        yield number, np.asarray(_picture(index, number), np.float64)


def _picture(data: xr.DataArray, number: int | None) -> NDArray[Any]:
    return np.asarray((data if number is None else data.isel(time=number)).values)


def _level(threshold: float | xr.DataArray, number: int | None) -> float:
    given = threshold
    if isinstance(given, xr.DataArray):
        given = given if given.ndim == 0 or number is None else given[number]
        if given.ndim:
            raise InputError("one image, several thresholds", where="threshold", expected="one", got=str(given.shape))
    level = float(given)
    if not np.isfinite(level):
        raise InputError("the threshold is not finite", where="threshold", expected="a number", got=str(level))
    return level


def _alike(index: xr.DataArray, mask: xr.DataArray | None) -> xr.DataArray | None:
    if mask is not None and (mask.dims != index.dims or mask.shape != index.shape):
        raise InputError(
            "two images have different pixels",
            where=str(mask.name or "mask"),
            expected=f"{index.dims} {index.shape}",
            got=f"{mask.dims} {mask.shape}",
        )
    return mask


def _metric_grid(index: xr.DataArray) -> Grid:
    """The grid of an index, refused where lengths would not be metres."""
    from pyproj import CRS

    if index.ndim not in (2, 3) or (index.ndim == 3 and index.dims[0] != "time"):
        raise InputError("this is no image", where="index", expected="(y, x) or (time, y, x)", got=str(index.dims))
    picture = index if index.ndim == 2 else index.isel(time=0, drop=True) if index.sizes["time"] else index[:0]
    if picture.ndim == 3:
        raise InputError("there is no date", where="index", expected="at least one", got="0")
    if picture.size > _MOST_PIXELS:
        raise BudgetError(
            "the image is too large for one piece", where="index", expected=f"<= {_MOST_PIXELS}", got=str(picture.size)
        )
    grid = Grid.like(picture)
    axes = CRS.from_user_input(grid.crs).axis_info
    if not axes or any(axis.unit_conversion_factor != 1.0 or axis.unit_name != "metre" for axis in axes[:2]):
        raise InputError(
            "lengths along a shore need metres",
            where="CRS",
            expected="a projected CRS in metres",
            got=grid.crs[:100],
            todo="bring the index to a UTM grid",
        )
    dims, step = picture.dims, picture[picture.dims[0]].values
    if step.size > 1 and step[0] < step[-1]:
        raise MetadataError("rows run north", where=str(dims[0]), expected="from north to south", todo="sort by y")
    return grid
