"""Regular series: the clear observations of a cube at given dates, and smoothing along time.

For cubes, lazy in, lazy out: :func:`regular_series`, :func:`whittaker`, :func:`savgol`. For plain arrays (dates,
bands, pixels), as a chain that fuses steps needs them: :func:`fill_series`, :func:`smooth_series`,
:func:`whittaker_series`, :func:`choose_lambda`. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import annotate, tokenize
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import as_array
from terracube.cubes.doors import pick
from terracube.processing.landcover._series import (
    Floats,
    Smooth,
    check_lambda,
    check_method,
    checked_smooth,
    choose_lambda,
    fill_series,
    smooth_series,
    whittaker_series,
)
from terracube.processing.landcover.samples.align import to_times

__all__ = [
    "choose_lambda",
    "days_since",
    "fill_series",
    "regular_series",
    "savgol",
    "smooth_series",
    "whittaker",
    "whittaker_series",
]

type Block = dict[str, NDArray[Any]]
_NS_PER_DAY = 86_400_000_000_000
_MOST_DATES = 65_535


def regular_series(
    cube: xr.Dataset | xr.DataArray,
    *,
    start: str | date,
    step: float,
    count: int,
    method: str = "linear",
    smooth: Smooth = None,
) -> xr.Dataset:
    """Give a cube's values at regular dates, gaps filled from the clear dates around.

    Parameters
    ----------
    cube : Dataset (time, y, x) per band, or DataArray (time, band, y, x)
        NaN (or ``attrs["nodata"]`` of whole numbers) is missing; a date counts in a pixel when all bands are there.
        Dates may be in any order, but all different: load with one date per day.
    start : str or date
        First date of the result; UTC where the cube has no other time.
    step : float
        Days from one date to the next.
    count : int
        Number of dates.
    method : str
        ``"linear"`` or ``"akima"``, as :func:`fill_series`.
    smooth : None, ("whittaker", lam) or ("savgol", window, order)
        Applied to the filled series, as :func:`smooth_series`.

    Returns
    -------
    xarray.Dataset
        Per band float32 (time, y, x), NaN where a pixel has no clear date; and ``clear``: uint16 (y, x), the number of
        clear dates. Lazy where the cube is; no value depends on its chunks.

    Raises
    ------
    InputError
        If dates repeat or a parameter is wrong.
    MetadataError
        If the cube's time is no date.

    Examples
    --------
    >>> time = np.array(["2018-01-01", "2018-01-05", "2018-01-11"], "datetime64[ns]")
    >>> red = np.float32([0.1, np.nan, 0.3]).reshape(3, 1, 1)
    >>> cube = xr.Dataset({"red": (("time", "y", "x"), red)}, coords={"time": time})
    >>> found = regular_series(cube, start="2018-01-01", step=5, count=3)
    >>> found.red.values.ravel().astype(float).round(3).tolist(), found.clear.item()
    ([0.1, 0.2, 0.3], 2)
    """
    origin, targets = _targets(start, step, count)
    check_method(method)
    checked_smooth(smooth, targets)
    values, days = _in_order(cube, origin)
    names = _names(values)
    work = partial(_regular, days=days, targets=targets, names=names, method=method, smooth=smooth)
    found = _apply(values, work, dict.fromkeys(names, count) | {"clear": 0}, "regular-series")
    time = origin + np.round(targets * _NS_PER_DAY).astype("timedelta64[ns]")
    product = _dataset(cube, values, found, time)
    product["clear"].attrs = {"long_name": "dates on which all bands are clear", "units": "1"}
    return product


def whittaker(
    cube: xr.Dataset | xr.DataArray, lam: float, *, weights: xr.DataArray | None = None, unit: float | None = None
) -> xr.Dataset:
    """Smooth a cube along its own dates, gaps included, by Whittaker's smoother.

    Parameters
    ----------
    cube : Dataset (time, y, x) per band, or DataArray (time, band, y, x)
        As for :func:`regular_series`.
    lam, unit
        As for :func:`whittaker_series`: with ``unit`` left out, times count in the mean distance of the dates.
    weights : DataArray (time, y, x), optional
        0 or more, NaN is 0; of the cube's own dates and pixels.

    Returns
    -------
    xarray.Dataset
        Per band float32 (time, y, x) at the dates of the cube, in order; NaN where a pixel has no clear date.

    Raises
    ------
    InputError, MetadataError
        As :func:`whittaker_series` and :func:`regular_series`; if the weights are those of another cube.

    Examples
    --------
    >>> time = np.array(["2018-01-01", "2018-01-05", "2018-01-11"], "datetime64[ns]")
    >>> red = np.float32([1, np.nan, 11]).reshape(3, 1, 1)
    >>> cube = xr.Dataset({"red": (("time", "y", "x"), red)}, coords={"time": time})
    >>> whittaker(cube, 10.0).red.values.ravel().astype(float).round(3).tolist()
    [1.0, 5.0, 11.0]
    """
    check_lambda(lam)
    values, days = _in_order(cube, None)
    names = _names(values)
    others = () if weights is None else (_like(weights, cube, values),)
    work = partial(_whittaker, days=days, names=names, lam=float(lam), unit=unit)
    found = _apply(values, work, dict.fromkeys(names, days.size), "whittaker", *others)
    return _dataset(cube, values, found, values["time"].values)


def savgol(cube: xr.Dataset | xr.DataArray, window: int, order: int) -> xr.Dataset:
    """Smooth a regular series by moving polynomials (Savitzky and Golay 1964, doi:10.1021/ac60214a047).

    Parameters
    ----------
    cube : Dataset (time, y, x) per band, or DataArray (time, band, y, x)
        Dates at one distance, gaps filled: NaN spreads over the window.
    window : int
        Odd number of dates.
    order : int
        Degree of the polynomial, below ``window``. Near the ends the first and last whole window decide.

    Returns
    -------
    xarray.Dataset
        Per band float32 (time, y, x).

    Raises
    ------
    InputError, MetadataError
        If the dates are not regular, fewer than the window, or no dates; if the window is even or too small.
    """
    values, days = _in_order(cube, None)
    names = _names(values)
    how = ("savgol", window, order)
    checked_smooth(how, days)
    work = partial(_savgol, days=days, names=names, how=how)
    found = _apply(values, work, dict.fromkeys(names, days.size), "savgol")
    return _dataset(cube, values, found, values["time"].values)


def days_since(time: Any, origin: np.datetime64) -> NDArray[np.float64]:
    """Give dates as days since another.

    Parameters
    ----------
    time : array of datetime64
    origin : numpy.datetime64

    Returns
    -------
    numpy.ndarray of float64

    Raises
    ------
    MetadataError
        If they are no dates, or one is missing.

    Examples
    --------
    >>> days_since(np.array(["2018-01-02T12:00"], "datetime64[ns]"), np.datetime64("2018-01-01")).tolist()
    [1.5]
    """
    found = np.asarray(time)
    if found.dtype.kind != "M" or np.isnat(found).any():
        got = "a missing date" if found.dtype.kind == "M" else str(found.dtype)
        raise MetadataError("a time is no date", where="time", expected="datetime64", got=got)
    apart = (found.astype("datetime64[ns]") - origin.astype("datetime64[ns]")).astype(np.int64)
    return np.asarray(apart / _NS_PER_DAY, np.float64)


def _targets(start: str | date, step: float, count: int) -> tuple[np.datetime64, NDArray[np.float64]]:
    """Give the first date and the days of all since it."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= _MOST_DATES:
        raise InputError("no number of dates", where="count", expected=f"1 to {_MOST_DATES}", got=repr(count)[:80])
    if isinstance(step, bool | str) or not 0 < step * count < 100_000:
        raise InputError("no step in days", where="step", expected="days, above 0", got=repr(step)[:80])
    first = to_times([start], "start")[0]
    if np.isnat(first):
        raise InputError("no date", where="start", expected="like 2018-01-01", got=repr(start)[:80])
    return first, np.arange(count, dtype=np.float64) * step


def _in_order(
    cube: xr.Dataset | xr.DataArray, origin: np.datetime64 | None
) -> tuple[xr.DataArray, NDArray[np.float64]]:
    """Give the cube as one array (time, band, y, x), dates in order, and their days since the origin or the first."""
    values = as_array(cube).astype(np.float32)
    if "time" not in values.coords:
        raise MetadataError("the cube has no dates", where="time", expected="a coordinate of dates", got="none")
    time = values["time"].values
    first = origin if origin is not None or not time.size else time.min()
    days = days_since(time, np.datetime64(0, "D") if first is None else first)
    order = np.argsort(days, kind="stable")
    if not (np.diff(days[order]) > 0).all():
        todo = "merge scenes of one day: load with groupby='solar_day'"
        twice = time[order][1:][np.diff(days[order]) <= 0][0]
        raise InputError("a date comes twice", where="time", expected="different dates", got=str(twice), todo=todo)
    if (order != np.arange(order.size)).any():
        values = values.isel(time=order)
        values = values.chunk(time=-1) if values.chunks is not None else values
    return values, days[order]


def _names(values: xr.DataArray) -> tuple[str, ...]:
    names = tuple(str(name) for name in values["band"].values)
    if len(set(names)) != len(names) or "clear" in names:
        raise InputError("bands need different names, none of them 'clear'", where="band", got=", ".join(names)[:80])
    return names


def _like(weights: xr.DataArray, cube: xr.Dataset | xr.DataArray, values: xr.DataArray) -> xr.DataArray:
    """Give weights (time, y, x) in the order of the cube's dates, cut like it."""
    sizes = {name: cube.sizes[name] for name in ("time", "y", "x")}
    if dict(weights.sizes) != sizes:
        raise InputError("weights of another shape", where="weights", expected=str(sizes), got=str(dict(weights.sizes)))
    placed = weights.transpose("time", "y", "x").astype(np.float32)
    for name in ("time", "y", "x"):
        if name in placed.coords and name in cube.coords and not placed[name].equals(cube[name]):
            raise InputError("weights of another place or time", where=f"weights.{name}", expected=f"the cube's {name}")
    if "time" in placed.coords:
        placed = placed.sel(time=values["time"])
    else:
        placed = placed.isel(time=np.argsort(cube["time"].values, kind="stable"))
    if values.chunks is not None:
        return placed.chunk(dict(zip(("time", "y", "x"), (values.chunks[0], *values.chunks[2:]), strict=True)))
    return placed.compute()


def _apply(
    values: xr.DataArray, work: Any, rows: Mapping[str, int], name: str, *others: xr.DataArray
) -> dict[str, Any]:
    """Call a function on the cube or on each of its blocks; ``rows``: dates of each result, 0 for one without."""
    if not isinstance(values.data, da.Array):
        found: Block = work(np.asarray(values.data), *(np.asarray(other.data) for other in others))
        return found
    data = values.data
    arrays = (data, *(other.data[:, None] for other in others))
    key = f"{name}-{tokenize([array.name for array in arrays], work)[:24]}"
    ones = ((1,), (1,), *((1,) * len(sizes) for sizes in data.chunks[2:]))
    # Fused into the small tasks that take its variables out, a block would be computed once for each of them.
    with annotate(fuse=False):
        done = da.map_blocks(
            _boxed, *arrays, work=work, chunks=ones, dtype=object, meta=np.empty((0,) * 4, object), name=key
        )
    done = done[0, 0]
    lazy = {}
    for one, count in rows.items():
        kind = np.dtype("float32" if count else "uint16")
        chunks = (*([(count,)] if count else []), *data.chunks[2:])
        lazy[one] = da.map_blocks(
            pick, done, one, chunks=chunks, dtype=kind, meta=np.empty((0,) * len(chunks), kind), name=f"{one}-{key}",
            new_axis=[0] if count else None,
        )  # fmt: skip
    return lazy


def _boxed(*arrays: NDArray[Any], work: Any) -> NDArray[Any]:
    out = np.empty((1, 1, 1, 1), object)
    out[0, 0, 0, 0] = work(arrays[0], *(array[:, 0] for array in arrays[1:]))
    return out


def _flat(block: NDArray[np.float32]) -> Floats:
    return np.ascontiguousarray(block).reshape(*block.shape[:2], block.shape[2] * block.shape[3])


def _split(result: Floats, names: tuple[str, ...], shape: tuple[int, ...]) -> Block:
    return {name: result[:, band].reshape(len(result), *shape) for band, name in enumerate(names)}


def _regular(
    block: NDArray[np.float32], *, days: NDArray[np.float64], targets: NDArray[np.float64], names: tuple[str, ...],
    method: str, smooth: Smooth,
) -> Block:  # fmt: skip
    filled, count = fill_series(_flat(block), days, targets, method)
    shape = block.shape[2:]
    return _split(smooth_series(filled, targets, smooth), names, shape) | {"clear": count.reshape(shape)}


def _whittaker(
    block: NDArray[np.float32], weights: NDArray[np.float32] | None = None, *, days: NDArray[np.float64],
    names: tuple[str, ...], lam: float, unit: float | None,
) -> Block:  # fmt: skip
    given = None if weights is None else weights.reshape(len(weights), block.shape[2] * block.shape[3])
    smoothed = whittaker_series(_flat(block), days, lam, weights=given, unit=unit)
    return _split(smoothed, names, block.shape[2:])


def _savgol(block: NDArray[np.float32], *, days: NDArray[np.float64], names: tuple[str, ...], how: Smooth) -> Block:
    return _split(smooth_series(_flat(block), days, how), names, block.shape[2:])


def _dataset(cube: xr.Dataset | xr.DataArray, values: xr.DataArray, found: dict[str, Any], time: Any) -> xr.Dataset:
    """Give the results as variables with the places, titles and units of the cube."""
    kept = {name: values.coords[name] for name in ("y", "x", "spatial_ref") if name in values.coords}
    variables = {}
    for name, result in found.items():
        dims = ("time", "y", "x")[-result.ndim :]
        variables[name] = xr.DataArray(result, dims=dims, coords=kept | ({"time": time} if "time" in dims else {}))
        if isinstance(cube, xr.Dataset) and name in cube:
            attrs = cube[name].attrs
            variables[name].attrs = {key: attrs[key] for key in ("long_name", "units", "grid_mapping") if key in attrs}
    return xr.Dataset(variables)
