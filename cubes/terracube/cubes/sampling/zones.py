"""One answer per polygon from the cube, whatever is asked: each block that polygons touch is read once, others never.

What :func:`terracube.cubes.reduce_blocks` is for a whole cube this is for polygons. Polygons are measured tile by tile:
tiles of 256 x 256 pixels at multiples of 256 counted from the origin of the CRS, and pixels belong to a polygon by the
share of their area that lies in it. So an answer is the same to the bit however the cube is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from dask.base import compute, tokenize
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.core.errors import MetadataError
from terracube.cubes.grid import Grid
from terracube.cubes.sampling._gather import _lazy_piece, edges_of
from terracube.cubes.sampling._places import to_places
from terracube.cubes.sampling._raster import Raster, nodata_of, to_raster
from terracube.cubes.sampling._zones import TILE, _cut, _hits, _moved, _slices, _windows
from terracube.cubes.sampling.coverage import coverage, edges_of_shape
from terracube.cubes.window import Window

type Values = NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class ZoneTile:
    """The pixels of one tile that lie in a polygon, at some dates."""

    number: int
    """Number of the polygon, in the order in which they were given."""
    rows: NDArray[np.int64]
    """(n,) row of each pixel, counted from the origin of the CRS."""
    cols: NDArray[np.int64]
    """(n,) column of each pixel, likewise."""
    shares: NDArray[np.float64]
    """(n,) share of the pixel that lies in the polygon, in (0, 1]."""
    values: Mapping[str, Values]
    """(T, n) of variables with dates, (n,) of others; as they are stored."""


@dataclass(frozen=True, eq=False, slots=True)
class Zones:
    """Polygons on a cube, checked and brought to its pixels; nothing is read."""

    raster: Raster
    """The cube."""
    ids: pd.Index[Any]
    """One name per polygon, all different."""
    given: Any
    """The polygons as they were given (GeoSeries, with CRS)."""
    shapes: NDArray[Any]
    """The polygons in pixel coordinates: x = column, y = row, counted from the origin of the CRS."""

    @property
    def grid(self) -> Grid:
        """The pixels of the cube, north up."""
        return self.raster.grid

    @property
    def times(self) -> NDArray[Any] | None:
        """Dates of the cube; ``None`` if it has none."""
        return self.raster.times

    @property
    def nodata(self) -> dict[str, float | None]:
        """The number, besides NaN, that stands for missing in each variable."""
        return {str(array.name): nodata_of(array) for array in self.raster.variables}

    def outside(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which polygons lie beyond the grid entirely, and which in part."""
        offset, size = self.grid.offset, self.grid.shape
        left, top, right, bottom = shapely.bounds(self.shapes).reshape(-1, 4).T
        left, right, top, bottom = left - offset.x, right - offset.x, top - offset.y, bottom - offset.y
        gone = (right <= 0) | (bottom <= 0) | (left >= size.x) | (top >= size.y)
        return gone, ~gone & ((left < 0) | (top < 0) | (right > size.x) | (bottom > size.y))


def find_zones(
    cube: xr.Dataset | xr.DataArray,
    polygons: Any,
    *,
    id: str | None = None,  # noqa: A002  the word users look for
    crs: Any = None,
) -> Zones:
    """Bring polygons to the pixels of a cube.

    Parameters
    ----------
    cube : xarray.Dataset or xarray.DataArray
        Variables (time, y, x) or (y, x), lazy or not, with CRS and evenly spaced coordinates.
    polygons : geopandas.GeoDataFrame, geopandas.GeoSeries, or shapely geometries
        Polygons and multipolygons in any CRS.
    id : str, optional
        Column that names the polygons; without it their index does. Names must differ.
    crs : optional
        CRS of polygons that carry none.

    Raises
    ------
    InputError
        If a polygon is empty, invalid or of another kind (naming its row), or two have one name.
    MetadataError
        If the CRS of the cube or of the polygons is missing, or a date is.
    """
    raster = to_raster(cube, {})
    if raster.times is not None and np.isnat(np.asarray(raster.times, "datetime64[ns]")).any():
        raise MetadataError("a date is missing", where="time", expected="a date for each step", got="NaT")
    places = to_places(polygons, raster.grid, crs=crs, id=id, kind="polygon")
    return Zones(raster, places.ids, places.given, places.pixels)


def reduce_zones(
    zones: Zones, partial: Callable[[ZoneTile], Any], combine: Callable[[list[Any]], Any]
) -> list[list[Any]]:
    """Gather one answer per polygon and run of dates, in one computation.

    Parameters
    ----------
    zones : Zones
        What :func:`find_zones` gives.
    partial : callable
        From the pixels of one tile in one polygon (a :class:`ZoneTile`) to something small.
    combine : callable
        From what ``partial`` gave for the tiles of one polygon, in row order of the tiles, to the answer. It runs as
        soon as these are there, and they are let go.

    Returns
    -------
    list of list
        Per polygon, the answers for the runs of dates in their order (as the cube is cut along time; one if it has no
        dates). Empty where no pixel of the cube lies in the polygon.

    Examples
    --------
    >>> import rioxarray
    >>> values = xr.DataArray(np.ones((3, 3)), dims=("y", "x"), coords={"y": [25.0, 15, 5], "x": [5.0, 15, 25]})
    >>> zones = find_zones(values.rio.write_crs("EPSG:32633"), [shapely.box(0, 0, 15, 10)], crs="EPSG:32633")
    >>> reduce_zones(zones, lambda tile: float(tile.shares.sum()), sum)
    [[1.5]]
    """
    arrays, cuts = _cut(zones.raster)
    hits = _hits(zones.shapes, cuts, zones.grid.offset)
    times = np.unique(np.concatenate([edges_of(a, "time") for a in arrays if "time" in a.dims] or [np.array([0, 1])]))
    edges = [edges_of_shape(shape) for shape in zones.shapes]
    extents = np.array([shapely.box(*bounds) for bounds in shapely.bounds(zones.shapes).reshape(-1, 4)], object)
    often = np.bincount([number for numbers in hits.values() for number in numbers], minlength=len(edges))
    work = _Work(arrays, partial, combine, _token(arrays, zones, partial, combine), {})
    found: list[tuple[list[int], Any]] = []
    for span in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        shared: dict[int, list[Any]] = {}
        for piece, numbers in hits.items():
            whole = _moved(piece, zones.grid.offset)
            orders = [_Order(n, _near(edges[n], whole), extents[n], bool(often[n] == 1)) for n in numbers]
            alone, across = work.measure(piece, span, whole, orders)
            found.append(([order.number for order in orders if order.alone], alone))
            for number, parts in across.items():
                shared.setdefault(number, []).append(parts)
        found += [([number], [work.join(parts, f"{number}-{span[0]}")]) for number, parts in shared.items()]
    return _sorted([numbers for numbers, _ in found], compute([told for _, told in found])[0], len(edges))


def _sorted(numbers: list[list[int]], found: list[list[tuple[Any, ...]]], size: int) -> list[list[Any]]:
    """Give the answers by polygon; those of one polygon are in the order of the dates."""
    answers: list[list[Any]] = [[] for _ in range(size)]
    for some, told in zip(numbers, found, strict=True):
        for number, answer in zip(some, told, strict=True):
            answers[number].extend(answer)
    return answers


def _token(arrays: Sequence[xr.DataArray], zones: Zones, *functions: Callable[..., Any]) -> str:
    """Name the work by its content, so that the same work has the same tasks."""
    lazy = [array.data.name if array.chunks is not None else array.name for array in arrays]
    return str(tokenize(lazy, zones.grid.as_dict(), shapely.to_wkb(zones.shapes).tolist(), functions))


def _near(edges: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Leave out edges that lie above, below or to the right of a window: they change nothing in it."""
    low, high = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    left = np.minimum(edges[:, 0], edges[:, 2])
    kept = (high > window.row) & (low < window.stop[0]) & (left < window.stop[1])
    return np.ascontiguousarray(edges[kept])


@dataclass(frozen=True, eq=False, slots=True)
class _Order:
    """One polygon to be measured."""

    number: int
    edges: NDArray[np.float64]
    extent: Any
    """The box around it."""
    alone: bool
    """Whether all of it lies in one piece."""


@dataclass(frozen=True, eq=False, slots=True)
class _Work:
    """How pieces are measured and joined: now, or as tasks of one graph."""

    arrays: Sequence[xr.DataArray]
    partial: Callable[[ZoneTile], Any]
    combine: Callable[[list[Any]], Any]
    token: str
    blocks: dict[int, Any]

    @property
    def lazy(self) -> bool:
        """Whether anything is still to be computed."""
        return any(array.chunks is not None for array in self.arrays)

    def measure(
        self, piece: Window, span: tuple[int, int], whole: Window, orders: list[_Order]
    ) -> tuple[Any, dict[int, Any]]:
        """Measure the polygons of a piece at some dates, in one task.

        Gives the answers of those that lie in this piece alone, in their order, and the parts of each of the others.
        """
        names = [str(array.name) for array in self.arrays]
        values = [_lazy_piece(array, _slices(array, piece, span), self.blocks) for array in self.arrays]
        across = [order.number for order in orders if not order.alone]
        given = (values, names, whole, orders, self.partial, self.combine)
        if not self.lazy:
            told = _measure(*given)
            return told[0], dict(zip(across, told[1:], strict=True))
        key = f"zone-{self.token}-{piece.row}-{piece.col}-{span[0]}"
        parts = list(delayed(_measure, nout=1 + len(across), traverse=False)(*given, dask_key_name=key))
        return parts[0], dict(zip(across, parts[1:], strict=True))

    def join(self, found: list[Any], name: str) -> Any:
        """Join what the pieces know of one polygon."""
        if not self.lazy:
            return _join(found, self.combine)
        return delayed(_join)(found, self.combine, dask_key_name=f"zones-{self.token}-{name}")


def _measure(
    values: list[Values],
    names: list[str],
    whole: Window,
    orders: list[_Order],
    partial: Callable[[ZoneTile], Any],
    combine: Callable[[list[Any]], Any],
) -> tuple[Any, ...]:
    """Measure polygons: the answers of those that are here alone, then the parts of each of the others."""
    given = {name: np.asarray(array) for name, array in zip(names, values, strict=True)}
    alone, across = [], []
    for order in orders:
        parts = [(at, partial(tile)) for at, tile in _tiles(given, whole, order)]
        if order.alone:
            alone.append(_join([parts], combine))
        else:
            across.append(parts)
    return (alone, *across)


def _tiles(given: Mapping[str, Values], whole: Window, order: _Order) -> list[tuple[tuple[int, int], ZoneTile]]:
    """Give the tiles of a piece that hold pixels of a polygon."""
    found = []
    for window in _windows(order.extent, whole):
        shares = coverage(order.edges, window)
        place = window.within(whole)
        rows, cols = np.nonzero(shares)
        inside = (rows + place.row >= 0) & (rows + place.row < whole.height)
        inside &= (cols + place.col >= 0) & (cols + place.col < whole.width)
        rows, cols = rows[inside], cols[inside]
        if rows.size:
            at = (..., rows + place.row, cols + place.col)
            # Indexing leaves the axes in an order of its own, and sums depend on it.
            picked = {name: np.ascontiguousarray(array[at]) for name, array in given.items()}
            tile = ZoneTile(order.number, rows + window.row, cols + window.col, shares[rows, cols], picked)
            found.append(((window.row // TILE, window.col // TILE), tile))
    return found


def _join(found: list[list[tuple[tuple[int, int], Any]]], combine: Callable[[list[Any]], Any]) -> tuple[Any, ...]:
    """Combine the parts of a polygon in the order of their tiles; nothing if there is none."""
    parts = sorted((part for parts in found for part in parts), key=lambda part: part[0])
    return (combine([value for _, value in parts]),) if parts else ()
