"""What is sampled: any dataset of pixels, brought to one form at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.grid import Grid
from terracube.cubes.gridlike import grid_like

_AXES = (("y", "x"), ("latitude", "longitude"), ("lat", "lon"))
# Part of a pixel by which a coordinate may be off its place: what float32 coordinates of fine grids need.
_EVEN = 0.01


@dataclass(frozen=True, eq=False, slots=True)
class Raster:
    """Variables on one grid."""

    grid: Grid
    variables: tuple[xr.DataArray, ...]
    """(time, y, x) or (y, x), north-up, numbers or booleans, named."""
    times: NDArray[Any] | None
    """Labels of the time axis; ``None`` if no variable has one."""

    @property
    def names(self) -> list[str]:
        """Names of the variables."""
        return [str(array.name) for array in self.variables]


def to_raster(data: Any, load_options: Mapping[str, Any]) -> Raster:
    """Bring a dataset, an array or STAC items to the form that is sampled; nothing is computed.

    Raises
    ------
    InputError
        If there is nothing to sample, or options for loading come with what is loaded already.
    MetadataError
        If the CRS is missing, or the coordinates do not say where the pixels lie.
    """
    if isinstance(data, xr.Dataset | xr.DataArray):
        if load_options:
            raise InputError("these options are for items only", where="load_options", got=", ".join(load_options))
        cube = data
    else:
        from terracube.cubes.load import load  # here, because loading is not needed for what is loaded already

        cube = load(data, **load_options)
    return _from_dataset(_as_dataset(cube))


def nodata_of(array: xr.DataArray) -> float | None:
    """Give the number that stands for a missing value besides NaN, as the attributes tell it.

    Raises
    ------
    MetadataError
        If what they tell is no number.
    """
    told = array.attrs.get("nodata", array.attrs.get("_FillValue"))
    if told is None:
        return None
    try:
        number = float(np.asarray(told).item())
    except (TypeError, ValueError) as error:
        raise MetadataError("nodata is no number", where=str(array.name), got=repr(told)[:120]) from error
    return None if math.isnan(number) else number


def missing_in(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Tell where values are missing."""
    absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)
    if nodata is not None and values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            absent |= values == values.dtype.type(nodata)
    elif nodata is not None:
        absent |= values == nodata  # a number that the type cannot hold equals none of them
    return absent


def is_classes(array: xr.DataArray) -> bool:
    """Tell whether the numbers of a variable are names (classes, flags), which have no mean."""
    return array.dtype.kind == "b" or "flag_values" in array.attrs or "flag_masks" in array.attrs


def _as_dataset(cube: xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(cube, xr.Dataset):
        return cube
    if "band" in cube.dims:
        parts = {
            str(name): cube.sel(band=name, drop=True) for name in cube.indexes.get("band", range(cube.sizes["band"]))
        }
        return xr.Dataset(parts, attrs=cube.attrs)
    return cube.to_dataset(name=str(cube.name or "value"))


def _from_dataset(cube: xr.Dataset) -> Raster:
    found = [axes for axes in _AXES if set(axes) <= set(cube.dims)]
    if not found:
        raise InputError(
            "there are no pixels to sample", expected="dimensions y, x", got=", ".join(map(str, cube.dims))
        )
    placed = cube.rename(dict(zip(found[0], ("y", "x"), strict=True))) if found[0] != ("y", "x") else cube
    if not (placed.sizes["y"] and placed.sizes["x"]):
        raise InputError("there are no pixels to sample", where="y, x", expected="at least one", got="none")
    grid = grid_like(placed)
    flip = placed.sizes["y"] > 1 and bool(placed["y"].values[-1] > placed["y"].values[0])
    arrays = [array for array in placed.data_vars.values() if {"y", "x"} <= set(array.dims)]
    if not arrays:
        raise InputError("there are no pixels to sample", expected="a variable with dimensions y, x", got="none")
    variables = tuple(_oriented(array, flip) for array in arrays)
    timed = any("time" in array.dims for array in arrays)
    if timed and "time" not in placed.coords:
        raise MetadataError("the time axis has no dates", where="time", todo="assign the coordinate 'time'")
    return Raster(grid, variables, placed["time"].values if timed else None)


def _oriented(array: xr.DataArray, flip: bool) -> xr.DataArray:
    """Give an array as (time, y, x) or (y, x), rows running south."""
    if not set(array.dims) <= {"time", "y", "x"} or array.dtype.kind not in "biuf":
        raise InputError(
            "this variable cannot be sampled",
            where=str(array.name),
            expected="numbers with dimensions time, y, x",
            got=f"{array.dtype} with {', '.join(map(str, array.dims))}",
            todo="select or drop it first",
        )
    turned = array.isel(y=slice(None, None, -1)) if flip else array
    return turned.transpose(..., "y", "x")
