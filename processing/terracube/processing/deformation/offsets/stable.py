"""What ground that does not move tells of a pair: a common shift, and jitter of the sensor along its track."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.core.errors import InputError

_COMPONENTS = ("dy", "dx")
_METRES = {"dy": "north", "dx": "east"}
_CLIP = 3.0
_TO_SIGMA = 1.4826


def remove_shift(offsets: xr.Dataset, stable: xr.DataArray, *, least: int = 25) -> xr.Dataset:
    """Take the median motion of ground that does not move from both components.

    Parameters
    ----------
    offsets : xarray.Dataset (y, x)
        As :func:`~terracube.processing.deformation.offsets.track` gives them, or several pairs (pair, y, x).
    stable : xarray.DataArray of bool (y, x)
        On the same points: where the ground does not move.
    least : int
        Points needed.

    Returns
    -------
    xarray.Dataset
        The offsets, and per component ``shift_dx``, ``shift_dy`` (what was taken away, pixels), ``stable_std_dx``,
        ``stable_std_dy`` (1.4826 times the median absolute deviation on stable ground: the uncertainty that also holds
        what noise does not explain) and ``n_stable``: single numbers, or one per pair. With too few points all are NaN
        and so is the motion: a pair that cannot be referenced is not used.

    Raises
    ------
    InputError
        If the points differ.
    """
    mask = _alike(offsets, stable)
    found = offsets.copy()
    for name in _COMPONENTS:
        values = offsets[name]
        told = _statistics(values, mask, least)
        _subtract(found, offsets, name, told[0])
        found[f"shift_{name}"] = told[0].assign_attrs(long_name=f"median {name} of stable ground", units="pixel")
        found[f"stable_std_{name}"] = told[1].assign_attrs(
            long_name=f"spread of {name} on stable ground", units="pixel"
        )
    found["n_stable"] = told[2].assign_attrs(long_name="points of stable ground", units="1")
    return found


def remove_jitter(
    offsets: xr.Dataset, stable: xr.DataArray, *, heading: float | None = None, width: float = 4.0, least: int = 20
) -> xr.Dataset:
    """Take from both components what stable ground shows as a function of the place along the track alone.

    Points are sorted into lines across the track. The median of a line's stable points, those beyond three robust
    standard deviations left out, is its jitter; lines with too few points take it from those around by straight lines,
    and before the first and behind the last nothing is taken away.

    Parameters
    ----------
    offsets : xarray.Dataset (y, x)
        One pair; a common shift may remain in it.
    stable : xarray.DataArray of bool (y, x)
        Where the ground does not move.
    heading : float, optional
        Of the track, degrees clockwise from up the image (north on a north-up grid); by default the track runs along
        the rows' order (180), as in images that are not map projected.
    width : float
        Of a line, points.
    least : int
        Stable points that a line needs.

    Returns
    -------
    xarray.Dataset
        The offsets, and ``jitter_dx``, ``jitter_dy`` (y, x): what was taken away, pixels.

    Raises
    ------
    InputError
        If the points differ, or there is more than one pair.
    """
    mask = _alike(offsets, stable)
    if offsets["dx"].ndim != 2:
        raise InputError("jitter is a matter of one pair", expected="(y, x)", got=str(offsets["dx"].dims))
    if not 0.5 <= width <= 1e6 or least < 1:
        raise InputError("no such lines", where="width, least", expected=">= 0.5 points, >= 1", got=f"{width}, {least}")
    angle = np.deg2rad(180.0 if heading is None else heading)
    lines = _lines(offsets["dx"].shape, float(angle), width)
    found = offsets.copy()
    for name in _COMPONENTS:
        values = offsets[name]
        jitter = _whole(_line_medians, values.data, mask.data, lines=lines, least=least)
        told = xr.DataArray(jitter, dims=values.dims, coords=values.coords)
        _subtract(found, offsets, name, told)
        found[f"jitter_{name}"] = told.assign_attrs(long_name=f"jitter taken from {name}", units="pixel")
    return found


def _alike(offsets: xr.Dataset, stable: xr.DataArray) -> xr.DataArray:
    like = offsets["dx"]
    if stable.dims != like.dims[-2:] or stable.shape != like.shape[-2:]:
        raise InputError(
            "the mask lies on other points", where="stable", expected=str(like.shape[-2:]), got=str(stable.shape)
        )
    return stable.astype(bool)


def _subtract(found: xr.Dataset, offsets: xr.Dataset, name: str, told: xr.DataArray) -> None:
    """Take something from a component in pixels, and as much in metres."""
    found[name] = (offsets[name] - told).astype(np.float32).transpose(*offsets[name].dims)
    found[name].attrs = dict(offsets[name].attrs)
    metres = _METRES[name]
    if metres in offsets:
        size = np.float32(offsets[metres].attrs["metres_per_pixel"])
        found[metres] = (found[name] * size).assign_attrs(offsets[metres].attrs)


def _statistics(values: xr.DataArray, mask: xr.DataArray, least: int) -> list[xr.DataArray]:
    """Give median, robust spread and number of the stable points, per pair if there are several."""
    lead = values.dims[:-2]
    layers = [values.data] if not lead else [values.data[k] for k in range(values.shape[0])]
    rows = [_whole(_median_of, layer, mask.data, shape=(3,), least=least) for layer in layers]
    if lead:
        stack: Any = da.stack(rows) if isinstance(rows[0], da.Array) else np.stack(rows)
        coords = {name: coord for name, coord in values.coords.items() if coord.dims == lead}
        return [xr.DataArray(stack[:, k], dims=lead, coords=coords) for k in range(3)]
    return [xr.DataArray(rows[0][k]) for k in range(3)]


def _whole(core: Any, values: Any, mask: Any, *, shape: tuple[int, ...] | None = None, **facts: Any) -> Any:
    """Call a function on whole arrays: they have one value per point, not per pixel."""
    if not isinstance(values, da.Array) and not isinstance(mask, da.Array):
        return core(np.asarray(values), np.asarray(mask), **facts)
    task = delayed(core, pure=True)(values, mask, **facts)
    wanted = values.shape if shape is None else shape
    found = da.from_delayed(task, wanted, np.float32, meta=np.empty((0,) * len(wanted), np.float32))
    return found if shape is not None or not isinstance(values, da.Array) else found.rechunk(values.chunks)


def _median_of(values: NDArray[np.float32], mask: NDArray[np.bool_], *, least: int) -> NDArray[np.float32]:
    chosen = values[mask & np.isfinite(values)].astype("float64")
    if chosen.size < least:
        return np.array([np.nan, np.nan, chosen.size], np.float32)
    median = np.median(chosen)
    return np.array([median, _TO_SIGMA * np.median(np.abs(chosen - median)), chosen.size], np.float32)


def _lines(shape: tuple[int, ...], angle: float, width: float) -> NDArray[np.int32]:
    """Number the line across the track that each point lies in."""
    rows, columns = np.arange(shape[0])[:, np.newaxis], np.arange(shape[1])
    along = (-np.cos(angle) * rows + np.sin(angle) * columns) / width
    # Rounded, so that a heading of 90 degrees does not split lines by the last digit of its cosine.
    numbers = np.floor(np.round(along, 9)).astype(np.int32)
    return np.asarray(numbers - numbers.min(), np.int32)


def _line_medians(
    values: NDArray[np.float32], mask: NDArray[np.bool_], *, lines: NDArray[np.int32], least: int
) -> NDArray[np.float32]:
    """Give the median of each line at all its points, less that of all of them."""
    good = mask & np.isfinite(values)
    count = int(lines.max()) + 1
    order = np.argsort(lines[good], kind="stable")
    numbers, chosen = lines[good][order], values[good].astype("float64")[order]
    limits = np.searchsorted(numbers, np.arange(count + 1))
    medians = np.full(count, np.nan)
    for line in range(count):
        own = chosen[limits[line] : limits[line + 1]]
        if own.size >= least:
            medians[line] = _clipped(own)
    known = np.flatnonzero(np.isfinite(medians))
    if not known.size:
        return np.zeros(values.shape, np.float32)
    medians -= np.median(medians[known])
    told = np.interp(np.arange(count), known, medians[known], left=0.0, right=0.0)
    return np.asarray(told[lines], np.float32)


def _clipped(values: NDArray[np.float64]) -> float:
    """Give the median without what lies beyond three robust standard deviations."""
    median = np.median(values)
    spread = _TO_SIGMA * np.median(np.abs(values - median))
    return float(np.median(values[np.abs(values - median) <= _CLIP * spread])) if spread > 0 else float(median)
