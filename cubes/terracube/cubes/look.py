"""A cube made small enough to look at: some bands of one date, coarse, with what says where they lie.

From a Zarr store the coarsest level that is fine enough is read, from a COG its overviews; of any other lazy cube every
n-th pixel is kept, block by block, so that what is in memory is small though all blocks are computed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
import zarr
from dask.base import compute
from numpy.typing import NDArray
from rasterio.enums import Resampling

from terracube.core.errors import AssetError, InputError, NotFoundError
from terracube.cubes.crs import Bounds, to_crs_text
from terracube.cubes.readers import open_raster
from terracube.cubes.storage.describe import grid_of, missing_of

SIDE = 1200
TRUE_COLOUR = ("red", "green", "blue")


@dataclass(frozen=True, slots=True)
class Look:
    """Bands of one date, coarse."""

    bands: Mapping[str, NDArray[Any]]
    """Values (y, x) by name: floats with NaN where missing; classes stay whole numbers."""
    seen: Mapping[str, NDArray[np.bool_]]
    """Where each band has a value."""
    attrs: Mapping[str, Mapping[str, Any]]
    """Attributes of each band."""
    crs: str
    bounds: Bounds
    """Outer edges, in units of the CRS."""
    date: str = ""
    """Date, or date and time (UTC); empty where there is none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is looked at."""

    rgb: Sequence[str] | None = TRUE_COLOUR
    """Three variables shown as red, green and blue, if the cube has them all."""
    band: str | None = None
    """One variable, instead."""
    time: Any = None
    """A date, or a position; ``None`` = the last."""
    side: int = SIDE
    """Pixels of the longer side, at most."""

    def among(self, names: Sequence[str]) -> tuple[str, ...]:
        """Give the variables to look at: three, or one.

        Raises
        ------
        NotFoundError
            If one that was asked for is not there.
        InputError
            If three are asked for, and not three are named.
        """
        if self.band is not None:
            return _known((self.band,), names)
        if self.rgb is not None and len(self.rgb) != 3:
            raise InputError("a colour picture needs three bands", where="rgb", got=", ".join(self.rgb))
        if self.rgb is not None and (tuple(self.rgb) != TRUE_COLOUR or set(self.rgb) <= set(names)):
            return _known(tuple(self.rgb), names)
        return _known(tuple(names[:1]), names)


def look(source: xr.Dataset | xr.DataArray | str | os.PathLike[str], choice: Choice) -> Look:
    """Read a cube coarsely.

    Parameters
    ----------
    source : Dataset, DataArray or path
        A path names a Zarr store, a raster file (its first three bands, or its only one), or a folder of files
        ``{variable}.tif``.
    choice : Choice

    Raises
    ------
    NotFoundError
        If there is no such variable, date or path.
    AssetError
        If the path is neither a Zarr store nor a raster.
    """
    if isinstance(source, xr.DataArray):
        return _look_at(source.to_dataset(name=str(source.name or "data")), choice)
    if isinstance(source, xr.Dataset):
        return _look_at(source, choice)
    path = Path(source)
    if not path.exists():
        raise NotFoundError("there is nothing to look at", where=str(path), todo="check the path")
    if (path / "zarr.json").is_file() or (path / ".zgroup").is_file():
        return _look_at(xr.open_zarr(path, chunks={}, decode_coords="all"), choice)
    if path.is_file():
        return _look_in_file(path, choice)
    files = {file.stem: file for file in sorted(path.glob("*.tif"))}
    if not files:
        raise AssetError("no Zarr store and no folder of rasters", where=str(path), expected="zarr.json or *.tif")
    parts = [_look_in_file(files[name], Choice(None, None, side=choice.side), name) for name in choice.among([*files])]
    first = parts[0]
    joined = [{k: v for part in parts for k, v in getattr(part, what).items()} for what in ("bands", "seen", "attrs")]
    return Look(joined[0], joined[1], joined[2], first.crs, first.bounds)


def _known(wanted: tuple[str, ...], names: Sequence[str]) -> tuple[str, ...]:
    lacking = [name for name in wanted if name not in names]
    if lacking or not wanted:
        raise NotFoundError(
            "no such variable",
            where=", ".join(lacking),
            expected=", ".join(sorted(names)[:20]) or "a variable with y and x",
        )
    return wanted


def _look_at(ds: xr.Dataset, choice: Choice) -> Look:
    spatial = [str(name) for name, array in ds.data_vars.items() if {"y", "x"} <= set(array.dims)]
    names = choice.among(spatial)
    arrays, date = [], ""
    for name in names:
        array = _coarse_level(ds, name, choice.side)
        array, date = _at_time(array, choice.time)
        if set(array.dims) != {"y", "x"}:
            left = ", ".join(str(dim) for dim in array.dims if dim not in ("y", "x"))
            raise InputError("a picture shows one layer", where=name, got=f"also {left}", todo="select one of them")
        arrays.append(array.transpose("y", "x"))
    grid = grid_of(arrays[0])
    step = max(1, math.ceil(max(grid.shape) / choice.side))
    thinned = [array.isel(y=slice(step // 2, None, step), x=slice(step // 2, None, step)) for array in arrays]
    pairs = [_values(array) for array in compute(*thinned)]
    return Look(
        dict(zip(names, (values for values, _ in pairs), strict=True)),
        dict(zip(names, (seen for _, seen in pairs), strict=True)),
        {name: dict(ds[name].attrs) for name in names},
        grid.crs,
        grid.bounds,
        date,
    )


def _values(array: xr.DataArray) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    values = np.asarray(array.values)
    missing, _ = missing_of(str(array.name), array)
    seen = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, "bool")
    if missing is not None and not math.isnan(missing):
        seen &= values != missing
    return values, seen


def _coarse_level(ds: xr.Dataset, name: str, side: int) -> xr.DataArray:
    """Give a variable from a level of the store that it was opened from, if it still is what was opened."""
    array = ds[name]
    source = ds.encoding.get("source")
    # Only dask names what an array is made of: one that was changed in any way has another name.
    untouched = array.chunks is not None and str(array.data.name).startswith(f"open_dataset-{name}-")
    if not (untouched and source and Path(str(source)).is_dir() and max(array.sizes["y"], array.sizes["x"]) > side):
        return array
    level = _level(Path(str(source)), name, side)
    if not level:
        return array
    raw = any(key in array.attrs for key in ("_FillValue", "missing_value", "scale_factor", "add_offset"))
    opened: xr.Dataset = xr.open_zarr(source, group=str(level), chunks={}, decode_coords="all", mask_and_scale=not raw)
    return opened[name]


def _level(store: Path, name: str, side: int) -> int:
    """Find the finest level of an array whose longer side is at most ``side``, or the coarsest; 0 if there is none."""
    found = 0
    told = zarr.open_group(str(store), mode="r").attrs.get("multiscales")
    entries = told.get("layout", []) if isinstance(told, dict) else []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        asset, shape = str(entry.get("asset", "")).partition("/"), entry.get("spatial:shape")
        if asset[2] == name and asset[0].isdigit() and isinstance(shape, list) and shape:
            found = int(asset[0])
            if max(int(size) for size in shape) <= side:
                break
    return found


def _at_time(array: xr.DataArray, wanted: Any) -> tuple[xr.DataArray, str]:
    """Take one date of an array, and say which."""
    if "time" not in array.dims:
        moment = array.coords["time"].values if "time" in array.coords else None
        return array, "" if moment is None else _date_text(moment)
    moments = array.coords["time"].values if "time" in array.coords else np.arange(array.sizes["time"])
    at = _position(moments, wanted)
    return array.isel(time=at), _date_text(moments[at])


def _position(moments: NDArray[Any], wanted: Any) -> int:
    if wanted is None:
        return len(moments) - 1
    if isinstance(wanted, int | np.integer):
        if not -len(moments) <= wanted < len(moments):
            raise NotFoundError("no such date", where="time", expected=f"0..{len(moments) - 1}", got=str(wanted))
        return int(wanted)
    try:
        moment = pd.Timestamp(wanted)
    except (TypeError, ValueError) as error:
        raise InputError(
            "not a date", where="time", expected="like 2024-05-31, or a position", got=repr(wanted)
        ) from error
    times = pd.DatetimeIndex(moments)
    same = np.flatnonzero(times == moment) if (times == moment).any() else np.flatnonzero(times.normalize() == moment)
    if not same.size:
        near = times[int(np.abs(times - moment).argmin())]
        raise NotFoundError("no such date", where="time", expected=f"like {_date_text(near)}", got=str(wanted))
    return int(same[0])


def _date_text(moment: Any) -> str:
    try:
        told = pd.Timestamp(moment)
    except (TypeError, ValueError):
        return str(moment)
    return told.strftime("%Y-%m-%d" if told == told.normalize() else "%Y-%m-%d %H:%M UTC")


def _look_in_file(path: Path, choice: Choice, name: str | None = None) -> Look:
    with open_raster(path) as raster:
        if raster.crs is None:
            raise AssetError("the raster has no CRS", where=str(path))
        count = 3 if raster.count >= 3 and choice.rgb is not None and choice.band is None else 1
        names = [name or path.stem] if count == 1 else list(choice.rgb or TRUE_COLOUR)
        step = max(1, math.ceil(max(raster.shape) / choice.side))
        shape = (count, -(-raster.height // step), -(-raster.width // step))
        classes = raster.dtypes[0] == "uint8" and count == 1
        # Overviews that are there are used either way; the last step is a choice of pixels for classes only.
        how = Resampling.nearest if classes else Resampling.average
        read = raster.read(list(range(1, count + 1)), out_shape=shape, masked=True, resampling=how)
        attrs = {"units": raster.units[0] or "", "long_name": raster.descriptions[0] or ""} if count == 1 else {}
        crs = to_crs_text(raster.crs.to_wkt())
        bounds = Bounds(*raster.bounds)
        scaled = [
            read[n] * raster.scales[n] + raster.offsets[n] if _scaled(raster, n) else read[n] for n in range(count)
        ]
    bands = {each: np.ma.getdata(values) for each, values in zip(names, scaled, strict=True)}
    seen = {each: ~np.ma.getmaskarray(values) for each, values in zip(names, scaled, strict=True)}
    seen = {each: mask & np.isfinite(bands[each]) for each, mask in seen.items()}
    return Look(bands, seen, dict.fromkeys(names, attrs), crs, bounds)


def _scaled(raster: rasterio.DatasetReader, band: int) -> bool:
    return (raster.scales[band], raster.offsets[band]) != (1.0, 0.0)
