"""stackstac's call, served by our own engine, for those who move: one array (time, band, y, x), one step per item."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from terracube.core.errors import EmptyResultError, InputError
from terracube.cubes.crs import project_bbox
from terracube.cubes.engines.stack_coords import band_coords as coords_of_bands
from terracube.cubes.engines.stack_coords import item_coords, pixel_coords
from terracube.cubes.engines.stack_grid import Place, choose_grid
from terracube.cubes.grid import Grid
from terracube.cubes.items.view import ItemView, acquired, to_items
from terracube.cubes.load import load
from terracube.cubes.sources import Scene, read_scenes

_RASTERS = frozenset({"image/tiff", "image/x.geotiff", "image/vnd.stac.geotiff", "image/jp2"})


class IgnoredArgumentWarning(UserWarning):
    """An argument of the other library's call means nothing here, and was ignored."""


@dataclass(frozen=True)
class _Numbers:
    """How values come out."""

    dtype: np.dtype[Any]
    fill: Any
    rescale: bool
    resampling: str
    chunks: Any
    on_error: str


# The arguments are those of the call that is replaced, all of them, so that a call can move unchanged.
def stack(
    items: Any,
    assets: Sequence[str] | Set[str] | None = _RASTERS,
    epsg: int | None = None,
    resolution: float | tuple[float, float] | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    bounds_latlon: tuple[float, float, float, float] | None = None,
    snap_bounds: bool = True,
    resampling: Any = "nearest",
    chunksize: Any = "auto",
    dtype: Any = "float64",
    fill_value: float = np.nan,
    rescale: bool = True,
    sortby_date: str | bool = "asc",
    xy_coords: str | bool = "topleft",
    properties: bool | str | Sequence[str] = True,
    band_coords: bool = True,
    gdal_env: Any = None,
    errors_as_nodata: Sequence[Exception] = (),
    reader: Any = None,
) -> xr.DataArray:
    """Stack STAC items into a lazy array, as stackstac's function of that name is called.

    Parameters
    ----------
    items : pystac items, ItemCollection, a search, dicts, or one of them
    assets : sequence of str, set of str, or None
        Asset keys; a set names media types, of which all assets are taken; ``None`` = all assets.
    epsg : int or None
        Target CRS; ``None`` = that of the files, if they share one. ``proj:code`` is understood.
    resolution : float or (x, y), or None
        Pixel size in units of the target CRS; ``None`` = the finest of the files.
    bounds, bounds_latlon : four numbers or None
        West, south, east, north in the target CRS, or in degrees; ``None`` = around all files. Items that lie beside
        given bounds are left out.
    snap_bounds : bool
        Move the bounds outwards to multiples of the resolution.
    resampling : str or rasterio Resampling
        nearest, bilinear, cubic, average or mode.
    chunksize : int, (y, x), (time, band, y, x) or "auto"
        Rows and columns of a block; all times and bands of a block are one task, so their sizes mean nothing here.
    dtype, fill_value
        Type of the array, and the number for nothing seen.
    rescale : bool
        Apply scale and offset, as settled for each item: an offset that the provider has applied already is not
        applied again.
    sortby_date : "asc", "desc" or False
    xy_coords : "topleft", "center" or False
        Whether ``x`` and ``y`` are those of the pixels' upper left corners or centres.
    properties : bool, str or sequence of str
        Which item properties become coordinates; nested ones become JSON text.
    band_coords : bool
        Whether what all items say of an asset becomes coordinates.
    gdal_env
        Ignored, with a warning.
    errors_as_nodata : sequence of exceptions
        If there is any, items that cannot be read are empty steps instead of an error.
    reader
        Refused.

    Returns
    -------
    xarray.DataArray
        (time, band, y, x) with coordinates time, id, band, x, y, epsg; it can be written to Zarr.

    Raises
    ------
    InputError
        If an argument is unknown or means nothing here.
    EmptyResultError
        If no item is left.
    TerraCubeError
        As :func:`terracube.cubes.load` raises it.

    References
    ----------
    stackstac 0.5.1, documentation of ``stackstac.stack``.
    """
    _check_unused(gdal_env, reader)
    numbers = _Numbers(
        np.dtype(dtype),
        _fill(fill_value, np.dtype(dtype), rescale),
        rescale,
        str(getattr(resampling, "name", resampling)),
        _chunks(chunksize),
        "skip" if errors_as_nodata else "raise",
    )
    members = _sorted(to_items(items), sortby_date)
    keys = _asset_keys(members, assets)
    scenes = _scenes(members, keys, numbers.on_error)
    grid = choose_grid(list(scenes.values()), Place(epsg, resolution, bounds, bounds_latlon, snap_bounds))
    if bounds is not None or bounds_latlon is not None:
        members = [item for item in members if _name(item) not in scenes or _reaches(scenes[_name(item)], grid)]
    if not members:
        raise EmptyResultError("no item reaches the bounds", where="bounds", got=str(tuple(grid.bounds)))
    values, spatial_ref = _values(members, keys, scenes, grid, numbers)
    coords = {
        **item_coords(members, properties),
        **({"band": list(keys)} | (coords_of_bands(members, keys) if band_coords else {})),
        **pixel_coords(grid, xy_coords),
        "spatial_ref": spatial_ref,
    }
    size = {"resolution": grid.resolution.x} if grid.resolution.x == -grid.resolution.y else {}
    attrs = {"crs": grid.crs.lower(), "transform": list(grid.transform)[:6], **size}
    return xr.DataArray(values, dims=("time", "band", "y", "x"), coords=coords, attrs=attrs, name="stack")


def _check_unused(gdal_env: Any, reader: Any) -> None:
    if reader is not None:
        raise InputError(
            "files are read by our own readers alone", where="reader", got=str(reader)[:80], todo="leave it out"
        )
    if gdal_env is not None:
        told = "gdal_env is ignored: reading does not follow GDAL's settings; cubes.load takes signer= for access"
        warnings.warn(told, IgnoredArgumentWarning, stacklevel=3)


def _fill(fill_value: float, dtype: np.dtype[Any], rescale: bool) -> Any:
    if rescale and dtype.kind != "f":
        raise InputError("scaled values are floats", where="dtype", got=dtype.name, todo="give rescale=False")
    if dtype.kind != "f" and not (np.isfinite(fill_value) and np.asarray(fill_value).astype(dtype) == fill_value):
        raise InputError(
            "the type cannot hold the fill value", where="fill_value", expected=dtype.name, got=str(fill_value)
        )
    return dtype.type(fill_value)


def _chunks(chunksize: Any) -> Any:
    """Give rows and columns of a block in the form that :func:`load` takes."""
    sizes = tuple(chunksize) if isinstance(chunksize, tuple | list) else (chunksize,)
    rows, columns = (sizes[-2], sizes[-1]) if len(sizes) in (2, 4) else (sizes[0], sizes[0])
    if (rows, columns) == ("auto", "auto"):
        return "auto"
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in (rows, columns))
    if len(sizes) not in (1, 2, 4) or not whole:
        raise InputError(
            "unknown chunk size",
            where="chunksize",
            expected="a number, (y, x), (time, band, y, x) or 'auto'",
            got=repr(chunksize)[:80],
        )
    return rows if rows == columns and rows > 0 else {"y": rows, "x": columns}


def _sorted(items: list[ItemView], order: str | bool) -> list[ItemView]:
    if order not in ("asc", "desc", False):
        raise InputError("unknown order", where="sortby_date", expected="'asc', 'desc' or False", got=repr(order)[:80])
    return items if order is False else sorted(items, key=_moment, reverse=order == "desc")


def _moment(item: ItemView) -> datetime:
    return acquired(item)[0]


def _asset_keys(items: Sequence[ItemView], assets: Sequence[str] | Set[str] | None) -> tuple[str, ...]:
    """Choose the assets: by key, by media type, or all of them."""
    if not items:
        raise EmptyResultError("there is no item to stack", where="items", got="none")
    if isinstance(assets, str):
        assets = [assets]
    if assets is None:
        keys = max((list(item.assets) for item in items), key=len)
    elif isinstance(assets, Set):
        types: dict[str, list[str]] = {}
        for item in items:
            for key, asset in item.assets.items():
                types.setdefault(key, []).append(str(asset.get("type") or ""))
        keys = [key for key, found in types.items() if all(_is_one_of(one, assets) for one in found)]
    else:
        keys = list(assets)
    if not keys:
        raise InputError("no asset is asked for", where="assets", expected="keys of assets, or media types they have")
    return tuple(keys)


def _is_one_of(media_type: str, wanted: Set[str]) -> bool:
    """Tell whether a media type is one of those wanted, which may name fewer of its parts."""
    kind, *parameters = (part.strip() for part in media_type.split(";"))
    for one in wanted:
        name, *needed = (part.strip() for part in one.split(";"))
        if (kind == name or ("/" not in name and kind.startswith(f"{name}/"))) and set(needed) <= set(parameters):
            return True
    return False


def _name(item: ItemView) -> tuple[str, str]:
    return item.collection, item.id


def _groups(items: Iterable[ItemView], keys: Sequence[str]) -> dict[tuple[str, ...], list[ItemView]]:
    """Put items together that have the same of the assets; those with none are left out."""
    groups: dict[tuple[str, ...], list[ItemView]] = {}
    for item in items:
        if there := tuple(key for key in keys if key in item.assets):
            groups.setdefault(there, []).append(item)
    return groups


def _scenes(items: Sequence[ItemView], keys: Sequence[str], on_error: str) -> dict[tuple[str, str], Scene]:
    """Say what there is to read of each item."""
    found: dict[tuple[str, str], Scene] = {}
    for there, members in _groups(items, keys).items():
        scenes = read_scenes(members, there, mask=False, on_error=on_error).scenes
        found |= {(scene.collection, scene.id): scene for scene in scenes}
    if not found:
        raise EmptyResultError("no item has any of the assets", where="assets", expected=", ".join(keys)[:200])
    return found


def _reaches(scene: Scene, grid: Grid) -> bool:
    return any(_touch(source.grid, grid) for source in scene.bands.values())


@lru_cache(maxsize=256)
def _touch(source: Grid, grid: Grid) -> bool:
    box, wanted = project_bbox(source.bounds, source.crs, grid.crs), grid.bounds
    beside = box.left >= wanted.right or wanted.left >= box.right
    return not (beside or box.bottom >= wanted.top or wanted.bottom >= box.top)


def _values(
    items: Sequence[ItemView],
    keys: Sequence[str],
    scenes: Mapping[tuple[str, str], Scene],
    grid: Grid,
    numbers: _Numbers,
) -> tuple[da.Array, xr.DataArray]:
    """Load the items that have the same assets together, and put their steps in the order of the items."""
    places = {_name(item): place for place, item in enumerate(items)}
    layers: dict[tuple[int, str], da.Array] = {}
    readable = [item for item in items if _name(item) in scenes]
    for there, members in _groups(readable, keys).items():
        cube = _load(members, there, grid, numbers)
        # Steps of the cube are in canonical order: by time, then id.
        order = [places[_name(item)] for item in sorted(members, key=lambda one: (_moment(one), one.id, _name(one)))]
        if len(members) == len(items) and there == tuple(keys):
            return _whole(cube, keys, order, numbers), cube.spatial_ref
        layers |= {
            (place, key): _numbers(cube[key], numbers)[step] for key in there for step, place in enumerate(order)
        }
    empty = da.full(tuple(grid.shape), numbers.fill, dtype=numbers.dtype, chunks=next(iter(layers.values())).chunks)
    rows = [da.stack([layers.get((place, key), empty) for key in keys]) for place in range(len(items))]
    return da.stack(rows), cube.spatial_ref


def _load(items: Sequence[ItemView], keys: tuple[str, ...], grid: Grid, numbers: _Numbers) -> xr.Dataset:
    return load(
        items,
        bands=keys,
        grid=grid,
        groupby=None,
        mask=None,
        radiometry="physical" if numbers.rescale else "dn",
        resampling=numbers.resampling,
        chunks=numbers.chunks,
    )


def _whole(cube: xr.Dataset, keys: Sequence[str], order: list[int], numbers: _Numbers) -> da.Array:
    """Join the bands of one cube, its steps in the order of the items."""
    joined = da.stack([_numbers(cube[key], numbers) for key in keys], axis=1)
    ranked: da.Array = joined if order == sorted(order) else joined[np.argsort(order)]
    return ranked


def _numbers(layer: xr.DataArray, numbers: _Numbers) -> da.Array:
    """Give a variable in the type asked for, with its fill value where nothing was seen."""
    convert = partial(_converted, nodata=layer.attrs.get("nodata"), fill=numbers.fill)
    converted: da.Array = layer.data.map_blocks(convert, dtype=numbers.dtype)
    return converted


def _converted(values: Any, *, nodata: Any, fill: Any) -> Any:
    missing = np.isnan(values) if values.dtype.kind == "f" else values == nodata
    out = np.where(missing, values.dtype.type(0), values).astype(fill.dtype)
    out[missing] = fill
    return out
