"""What an xarray Dataset is, in the words of a store: its grid, its variables, its labels.

Values are kept as they are in memory: nothing is decoded, scaled or rounded on the way to disk. What says that a number
means missing is kept in the words it was told in: ``nodata`` (the values stay as they are when read again), or CF's
``_FillValue`` and ``missing_value`` (readers of CF then see NaN). All three reach GDAL as the nodata value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.core.files import safe_name
from terracube.cubes.grid import Grid
from terracube.cubes.gridlike import grid_like
from terracube.cubes.storage.attributes import OWN
from terracube.cubes.storage.chunks import Variable, unused_value
from terracube.cubes.storage.pyramid import METHODS
from terracube.cubes.storage.zarr import Coordinate

# Coordinates may lie off the even distances by this share of a pixel: text and float32 round.
_UNEVEN = 1e-2
_AGREE = 1e-6
# Not float16: neither GDAL's compression nor our levels know it.
_TYPES = {"bool", "float32", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
_CF_MISSING = ("_FillValue", "missing_value")
_COUNTS = ("status_flag", "number_of_observations")
_EPOCH = np.datetime64("1970-01-01T00:00:00")
_UNITS = {"days": "D", "seconds": "s", "milliseconds": "ms", "microseconds": "us"}


def grid_of(ds: xr.Dataset | xr.DataArray) -> Grid:
    """Give the grid of a dataset whose rows run from north to south along ``y``, and columns east along ``x``.

    Raises
    ------
    MetadataError
        If there is no CRS, no coordinates (and no transform), they are not even, they contradict the transform, or
        rows run north.
    """
    if "y" not in ds.sizes or "x" not in ds.sizes:
        raise MetadataError(
            "the dataset has no axes y and x", got=", ".join(map(str, ds.sizes)), todo="rename its axes to y and x"
        )
    if "y" in ds.coords and ds.sizes["y"] > 1 and ds["y"].values[0] < ds["y"].values[-1]:
        raise MetadataError(
            "rows run north", where="y", expected="north to south", todo='ds.sortby("y", ascending=False)'
        )
    return grid_like(ds)


def asked_method(name: str, resampling: str | Mapping[str, str] | None) -> str | None:
    """Give the method asked for a variable, by its name or for all others."""
    if resampling is None or isinstance(resampling, str):
        return resampling
    return resampling.get(name, resampling.get("*"))


def ordered(name: str, array: xr.DataArray) -> xr.DataArray:
    """Put the axes y and x of a variable last.

    Raises
    ------
    InputError
        If it has only one of them, or no pixel.
    """
    if not {"y", "x"} <= set(array.dims):
        raise InputError("a variable has one of y and x only", where=name, got=", ".join(map(str, array.dims)))
    if 0 in array.shape:
        raise InputError("a variable has no pixels", where=name, got=str(dict(array.sizes)))
    return array.transpose(..., "y", "x")


def variable_of(name: str, array: xr.DataArray, method: str | None) -> Variable:
    """Describe a variable with axes y and x.

    Raises
    ------
    InputError
        If its name, axes or type cannot be stored, or the method is unknown.
    MetadataError
        If what it says of its missing value is contradictory or no value of its type.
    """
    dims = tuple(map(str, array.dims))
    if array.dtype.kind not in "biuf" or array.dtype.name not in _TYPES:
        raise InputError(
            "a type that cannot be stored", where=name, expected="integers, floats or bool", got=str(array.dtype)
        )
    missing, words = missing_of(name, array)
    dtype = array.dtype.newbyteorder("=").name
    fill = unused_value(dtype) if missing is None else missing
    return Variable(
        safe_name(name, what="name of a variable"),
        dims,
        array.shape[:-2],
        dtype,
        fill,
        math.nan if missing is None and array.dtype.kind == "f" else missing,
        method_of(name, array, method),
        {**attributes_of(array.attrs, where=name), **words},
    )


def method_of(name: str, array: xr.DataArray, asked: str | None) -> str:
    """Choose how levels are made: as asked, as the variable says, ``nearest`` for classes and counts, else the mean."""
    found = asked or array.attrs.get("overview_resampling")
    if found is None:
        classes = any(str(key).startswith("flag_") for key in array.attrs) or array.dtype.kind == "b"
        counted = str(array.attrs.get("standard_name", "")).rsplit(" ", 1)[-1] in _COUNTS
        found = "nearest" if classes or counted else "average"
    if found not in METHODS:
        raise InputError("unknown way to make levels", where=name, expected=", ".join(METHODS), got=str(found))
    return str(found)


def missing_of(name: str, array: xr.DataArray) -> tuple[float | None, dict[str, Any]]:
    """Give the number that means missing, NaN if told, and the attributes that say so.

    Raises
    ------
    MetadataError
        If two are told, or one that is no value of the type.
    """
    cf = {key: array.attrs[key] for key in _CF_MISSING if key in array.attrs}
    if not cf and array.dtype.kind != "f":
        cf = {key: array.encoding[key] for key in _CF_MISSING if array.encoding.get(key) is not None}
    told = cf | ({"nodata": array.attrs["nodata"]} if array.attrs.get("nodata") is not None else {})
    values = {key: _number(name, key, value, array.dtype) for key, value in told.items()}
    if not values:
        return None, {}
    distinct = {"NaN" if math.isnan(value) else repr(value) for value in values.values()}
    if len(distinct) > 1:
        raise MetadataError("a variable has two missing values", where=name, got=str(told), todo="keep one of them")
    value = next(iter(values.values()))
    if math.isnan(value):  # needs no telling
        return value, {}
    return value, ({"missing_value": value} if cf else {}) | ({"nodata": value} if "nodata" in told else {})


def _number(name: str, key: str, value: Any, dtype: np.dtype[Any]) -> float:
    """Give a missing value as a number of the variable's type."""
    try:
        number = float(np.asarray(value).reshape(()))
        held = float(np.asarray(value).reshape(()).astype(dtype))
    except (TypeError, ValueError, OverflowError) as error:
        raise MetadataError("a missing value is no number", where=f"{name}: {key}", got=repr(value)) from error
    if dtype.kind != "f":
        limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not (math.isfinite(number) and number == int(number) and limits[0] <= number <= limits[1]):
            raise MetadataError(
                "a missing value is no value of its type", where=f"{name}: {key}", expected=str(dtype), got=repr(value)
            )
        return int(number)
    return held


def attributes_of(attrs: Mapping[Any, Any], *, where: str) -> dict[str, Any]:
    """Give attributes as JSON values, without those that the store writes itself.

    Raises
    ------
    InputError
        Naming an attribute that JSON cannot hold.
    """
    drop = (*_CF_MISSING, "nodata", "dtype")
    kept = {str(k): v for k, v in attrs.items() if not str(k).startswith(OWN) and str(k) not in drop}
    return {key: _json(value, f"{where}: {key}") for key, value in kept.items()}


def _json(value: Any, where: str) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _json(inner, where) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner, where) for inner in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise InputError(
        "an attribute cannot be stored",
        where=where,
        expected="text, finite numbers, lists and mappings of them",
        got=repr(value)[:120],
        todo="drop it or turn it into text",
    )


def coordinate_of(name: str, array: xr.DataArray) -> Coordinate:
    """Describe a coordinate without y and x; times become CF numbers since 1970.

    Raises
    ------
    InputError
        If its type cannot be stored, or a time is missing.
    """
    values = np.asarray(array.values)
    attrs = attributes_of(array.attrs, where=name)
    dims = tuple(map(str, array.dims))
    safe_name(name, what="name of a coordinate")
    if values.dtype.kind == "M":
        numbers, unit = _times(name, values)
        told = {"standard_name": "time"} if name == "time" else {}
        return Coordinate(dims, numbers, told | attrs | {"units": unit, "calendar": "proleptic_gregorian"})
    if values.dtype.kind in "OTU" and all(isinstance(value, str) for value in values.ravel().tolist()):
        return Coordinate(dims, values, attrs)
    if values.dtype.kind in "biuf":
        return Coordinate(dims, values, attrs)
    raise InputError(
        "a coordinate cannot be stored",
        where=name,
        expected="numbers, times or text",
        got=str(values.dtype),
        todo=f"drop it: ds.drop_vars({name!r})",
    )


def _times(name: str, values: NDArray[Any]) -> tuple[NDArray[np.int64], str]:
    """Count times in the longest unit that loses nothing."""
    if np.isnat(values).any():
        raise InputError("a time is missing", where=name, todo="drop that date")
    since = values - _EPOCH
    numbers, unit = since.astype("timedelta64[ns]"), "nanoseconds"
    for longer, code in _UNITS.items():
        whole = since.astype(f"timedelta64[{code}]")
        if (whole == since).all():
            numbers, unit = whole, longer
            break
    return numbers.astype("int64"), f"{unit} since 1970-01-01"
