"""From a map of pixels to polygons, one per connected area of a class, with what is known of each.

Polygons are joined over the edges of chunks: shapes, numbers and order are the same to the bit however the map is cut.
They follow the sides of pixels, meet without gaps or overlaps, and are valid; areas that touch at a corner alone are
two polygons.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import NDArray
from pyproj import CRS, Geod

from terracube.core.errors import InputError
from terracube.core.files import atomic_path
from terracube.cubes import Grid
from terracube.processing.landcover.post._arrays import check_map, nodata_of
from terracube.processing.landcover.post._outlines import Areas, Piece, areas, piece
from terracube.processing.landcover.post.sieve import pixel_area

if TYPE_CHECKING:
    import geopandas

MOST = 5_000_000
_TAKEN = ("id", "class", "name", "pixels", "area_m2", "dominant", "dominant_share", "probability", "margin", "geometry")
_PAIR = 2
_SIDE = 4096


def vectorise(
    classes: xr.DataArray,
    *,
    probabilities: xr.DataArray | None = None,
    layers: Mapping[str, xr.DataArray] | None = None,
    before: xr.DataArray | None = None,
    names: Mapping[int, str] | None = None,
    nodata: int | None = None,
    simplify: float | None = None,
    most: int = MOST,
) -> geopandas.GeoDataFrame:
    """Turn a map into polygons; chunks of a lazy map are computed one by one.

    While blocks are joined, some 150 bytes are needed for each corner of a polygon beside the polygons themselves.

    Parameters
    ----------
    classes : xarray.DataArray (y, x)
        Whole numbers, with a CRS and regular coordinates, rows from north to south.
    probabilities : xarray.DataArray (class, y, x) or None
        With the codes as coordinate of its first dimension: adds the columns ``probability`` (mean probability of the
        polygon's own class) and ``margin`` (mean difference of the two highest).
    layers : mapping of names to xarray.DataArray (y, x), or None
        Adds the mean of each, NaN left out. Values up to 65536, rounded to 2**-20.
    before : xarray.DataArray (y, x) or None
        The map before it was regularised: adds ``dominant``, the code that most pixels had (the lowest of equal ones),
        and ``dominant_share``, their part.
    names : mapping of codes to names, or None
        Adds ``name``.
    nodata : int or None
        Pixels of this code are in no polygon; the one that the map's attributes tell, unless given.
    simplify : float or None
        Simplify all outlines together, so that they still meet, to this tolerance in units of the CRS.
    most : int
        Polygons above which the work is refused.

    Returns
    -------
    geopandas.GeoDataFrame
        One row per area, in the order of their first pixels: ``id`` (from 1), ``class``, ``pixels``, ``area_m2``
        (of the pixels; on the ellipsoid where the CRS is geographic), the columns above, ``geometry``.

    Raises
    ------
    InputError
        If this is no map, or another array has other pixels than the map.
    MetadataError
        If the map does not tell its CRS.
    BudgetError
        If there are too many polygons.
    """
    missing = nodata_of(classes, nodata)
    grid = _grid(classes)
    extra = _layers(classes, layers, before)
    given = None if probabilities is None else _probabilities(classes, probabilities)
    pieces, starts = _pieces(classes.data, extra, given, missing)
    return _frame(areas(pieces, starts, most=most), grid, names, simplify)


def write_vectors(frame: geopandas.GeoDataFrame, path: str | Path) -> Path:
    """Write polygons as GeoParquet, or as another format that the suffix names, atomically.

    Parameters
    ----------
    frame : geopandas.GeoDataFrame
    path : str or Path
        ``.parquet`` or ``.gpkg``.

    Raises
    ------
    InputError
        If the suffix is another.
    StorageError
        If the disk refuses.
    """
    goal = Path(path)
    if goal.suffix not in (".parquet", ".gpkg"):
        raise InputError("unknown format of vectors", where=str(path), expected=".parquet or .gpkg", got=goal.suffix)
    with atomic_path(goal) as temporary:
        if goal.suffix == ".parquet":
            frame.to_parquet(temporary, index=False, write_covering_bbox=True)
        else:
            frame.to_file(temporary, driver="GPKG", layer=goal.stem, engine="pyogrio")
    return goal


def _grid(classes: xr.DataArray) -> Grid:
    grid = Grid.like(classes)
    name = str(classes.dims[0])
    if grid.shape.y > 1 and name in classes.coords and classes[name].values[0] < classes[name].values[-1]:
        raise InputError("rows run north", where=name, expected="from north to south", todo="sort the map by y")
    return grid


def _layers(
    classes: xr.DataArray, layers: Mapping[str, xr.DataArray] | None, before: xr.DataArray | None
) -> dict[str, xr.DataArray]:
    """Check the further layers; the map before goes by the empty name."""
    found = dict(layers or {})
    wrong = [name for name in found if name in _TAKEN or not name]
    if wrong:
        raise InputError("a layer has the name of another column", where="layers", got=", ".join(map(str, wrong)))
    if before is not None:
        check_map(before, where="before")
        found[""] = before
    for name, layer in found.items():
        _same_pixels(classes, layer, name or "before")
    return found


def _same_pixels(classes: xr.DataArray, other: xr.DataArray, where: str) -> None:
    alike = other.dims[-2:] == classes.dims and other.shape[-2:] == classes.shape
    for name in classes.dims if alike else ():
        if name in classes.coords and name in other.coords:
            alike &= bool(np.array_equal(classes[name].values, other[name].values))
    if not alike:
        raise InputError(
            "the array has other pixels than the map",
            where=where,
            expected=f"{classes.dims} of shape {classes.shape}, equal coordinates",
            got=f"{other.dims} of shape {other.shape}",
        )


def _probabilities(classes: xr.DataArray, probabilities: xr.DataArray) -> tuple[Any, tuple[int, ...]]:
    """Check the probabilities; give them with the codes of their classes."""
    _same_pixels(classes, probabilities, "probabilities")
    name = probabilities.dims[0]
    codes = probabilities[name].values if probabilities.ndim == 3 and name in probabilities.coords else np.empty(0)
    if codes.dtype.kind not in "iu" or np.unique(codes).size != codes.size or not codes.size:
        raise InputError(
            "the probabilities do not tell their classes",
            where="probabilities",
            expected="(class, y, x) with the codes as coordinate",
            got=f"{probabilities.dims}",
        )
    return probabilities.data, tuple(int(code) for code in codes)


def _pieces(
    data: Any, extra: Mapping[str, xr.DataArray], given: tuple[Any, tuple[int, ...]] | None, nodata: int | None
) -> tuple[list[list[Piece]], tuple[list[int], list[int]]]:
    """Tell of each block; blocks of arrays in memory are computed at once."""
    chunks = _chunks(data)
    starts = tuple(np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist() for sizes in chunks)
    arrays = {name: _blocks(layer.data, chunks) for name, layer in extra.items()}
    cut = _blocks(data, chunks)
    odds = None if given is None else _blocks(given[0], chunks)
    codes = () if given is None else given[1]
    rows: list[list[Any]] = []
    for row in range(len(chunks[0])):
        rows.append([])
        for col in range(len(chunks[1])):
            parts = {name: blocks[row][col] for name, blocks in arrays.items()}
            place = (starts[0][row], starts[1][col])
            task = delayed(_piece, pure=True)
            rows[-1].append(
                task(cut[row][col], parts, None if odds is None else odds[row][col], codes, start=place, nodata=nodata)
            )
    told: list[list[Piece]] = compute(rows)[0]
    return told, (starts[0], starts[1])


def _chunks(data: Any) -> tuple[tuple[int, ...], ...]:
    """Give the chunks of a map; those that are very large, and arrays in memory, are cut: polygons do not show it."""
    chunks: tuple[tuple[int, ...], ...] = data.chunks if isinstance(data, da.Array) else ((_SIDE * 2,),) * 2
    if max(max(sizes, default=0) for sizes in chunks) > _SIDE:
        return tuple((*(_SIDE,) * (side // _SIDE), *([side % _SIDE] if side % _SIDE else [])) for side in data.shape)
    return chunks


def _blocks(array: Any, chunks: tuple[tuple[int, ...], ...]) -> Any:
    """Cut an array (..., y, x) like the map."""
    if not isinstance(array, da.Array):
        array = da.from_array(np.asarray(array), chunks=-1)
    whole = array.rechunk((*((sum(sizes),) for sizes in array.chunks[:-2]), *chunks))
    blocks = whole.to_delayed()
    return blocks.reshape(blocks.shape[-2:]).tolist()


def _piece(
    codes: NDArray[Any],
    layers: Mapping[str, NDArray[Any]],
    odds: NDArray[Any] | None,
    known: tuple[int, ...],
    *,
    start: tuple[int, int],
    nodata: int | None,
) -> Piece:
    classes = codes.astype(np.int32)
    values = {name: np.asarray(layer, np.float32) for name, layer in layers.items() if name}
    if odds is not None:
        values |= _confidence(classes, odds, known)
    raw = layers[""].astype(np.int32) if "" in layers else None
    return piece(classes, values, raw, start=start, nodata=nodata)


def _confidence(
    classes: NDArray[np.int32], odds: NDArray[Any], known: tuple[int, ...]
) -> dict[str, NDArray[np.float32]]:
    """Give the probability of each pixel's class, and the difference of the two highest."""
    own = np.full(classes.shape, np.nan, np.float32)
    for code, plane in zip(known, odds, strict=True):
        np.copyto(own, plane.astype(np.float32), where=classes == code)
    if len(known) < _PAIR:
        return {"probability": own, "margin": own}
    high = np.partition(odds, len(known) - _PAIR, axis=0)
    return {"probability": own, "margin": (high[-1] - high[-2]).astype(np.float32)}


def _frame(found: Areas, grid: Grid, names: Mapping[int, str] | None, simplify: float | None) -> geopandas.GeoDataFrame:
    import geopandas

    shapes = _polygons(found, grid)
    columns: dict[str, Any] = {"id": np.arange(1, found.codes.size + 1), "class": found.codes}
    if names is not None:
        columns["name"] = [names.get(int(code)) for code in found.codes]
    columns["pixels"] = found.pixels
    columns["area_m2"] = _area(found, shapes, grid)
    columns |= found.means
    if found.dominant is not None:
        columns |= {"dominant": found.dominant, "dominant_share": found.share}
    if simplify is not None:
        shapes = _simplified(shapes, simplify)
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=grid.crs)


def _polygons(found: Areas, grid: Grid) -> NDArray[Any]:
    """Make the polygons, in units of the CRS, outer rings counter-clockwise."""
    import shapely

    transform = grid.transform
    places = found.corners.astype(np.float64)
    coordinates = np.stack([transform.c + places[:, 1] * transform.a, transform.f + places[:, 0] * transform.e], axis=1)
    shapes = np.empty(found.codes.size, object)
    if found.codes.size:
        lines: Any = shapely.linearrings(coordinates, indices=found.ring)
        shapes[found.order] = shapely.polygons(lines, indices=found.region)
    return shapes


def _area(found: Areas, shapes: NDArray[Any], grid: Grid) -> NDArray[np.float64]:
    crs = CRS.from_user_input(grid.crs)
    if crs.is_projected:
        return found.pixels.astype(np.float64) * pixel_area(grid)
    geod = crs.get_geod() or Geod(ellps="WGS84")
    return np.array([abs(geod.geometry_area_perimeter(shape)[0]) for shape in shapes], np.float64)


def _simplified(shapes: NDArray[Any], tolerance: float) -> NDArray[Any]:
    import shapely

    if not (np.isfinite(tolerance) and tolerance > 0):
        raise InputError(
            "the tolerance is none", where="simplify", expected="> 0, units of the CRS", got=str(tolerance)
        )
    simpler: NDArray[Any] = shapely.coverage_simplify(shapes, tolerance)
    return simpler
