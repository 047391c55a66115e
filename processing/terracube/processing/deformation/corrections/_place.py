"""Where the pixels of a series lie on the earth, and coarse grids brought to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import transform_points
from terracube.cubes.gridlike import to_grid

type Doubles = NDArray[np.float64]

_GEOGRAPHIC = "EPSG:4326"
_NAMES = (("y", "x"), ("latitude", "longitude"), ("lat", "lon"))


def places_of(series: xr.Dataset, crs: str = _GEOGRAPHIC) -> tuple[Any, Any]:
    """Give x and y (longitude and latitude by default) of all pixels in a CRS, each (y, x); lazy where the series is.

    Raises
    ------
    MetadataError
        If the series has no CRS.
    """
    own = to_grid(series).crs
    y, x = (series[name].values.astype("float64") for name in "yx")
    sides = series["displacement"].chunks
    if sides is None:
        return _projected(y[:, None], x[None, :], own, crs)
    down, across = da.from_array(y, chunks=(sides[1],)), da.from_array(x, chunks=(sides[2],))
    found = [
        da.map_blocks(_part, down[:, None], across[None, :], own=own, crs=crs, part=part, dtype="float64",
                      chunks=sides[1:], meta=np.empty((0, 0)))
        for part in (0, 1)
    ]  # fmt: skip
    return found[0], found[1]


def _projected(y: Doubles, x: Doubles, own: str, crs: str) -> tuple[Doubles, Doubles]:
    wide_y, wide_x = (np.ascontiguousarray(side) for side in np.broadcast_arrays(y, x))
    return (wide_x, wide_y) if own == crs else transform_points(own, crs, wide_x, wide_y)


def _part(y: Doubles, x: Doubles, own: str, crs: str, part: int) -> Doubles:
    return _projected(y, x, own, crs)[part]


def match_dates(
    series: xr.Dataset, given: xr.DataArray | xr.Dataset, where: str, tolerance: timedelta = timedelta(0)
) -> list[int]:
    """Find, for each date of the series, the one date of what is given that lies within the tolerance.

    Raises
    ------
    MetadataError
        If dates are missing or several fit equally well, naming them.
    """
    if "time" not in given.dims or "time" not in given.coords:
        raise MetadataError("the dates are not told", where=where, expected="a dimension time", got=str(given.dims))
    if not isinstance(tolerance, timedelta) or tolerance < timedelta(0):
        expected = "a datetime.timedelta, 0 or more"
        raise InputError("no duration", where="tolerance", expected=expected, got=repr(tolerance))
    most = np.timedelta64(tolerance // timedelta(microseconds=1), "us").astype("timedelta64[ns]")
    times = np.asarray(given["time"].values, "datetime64[ns]")
    found, missing = [], []
    for time in np.asarray(series["time"].values, "datetime64[ns]"):
        away = np.abs(times - time)
        near = np.flatnonzero((away <= most) & (away == away.min(initial=most)))
        if near.size != 1:
            missing.append(f"{np.datetime_as_string(time, unit='m')} ({near.size})")
        found.extend(near[:1].tolist())
    if missing:
        raise MetadataError(
            "not every date has one field",
            where=f"{where}, time",
            expected=f"one within {tolerance} of each date of the series",
            got="; ".join(missing[:10]),
            todo="give the missing dates, or a tolerance such as timedelta(minutes=30)",
        )
    return found


def on_same_pixels(given: xr.DataArray, series: xr.Dataset) -> bool:
    """Tell whether a grid has the pixels of the series already."""
    if not {"y", "x"} <= set(given.dims):
        return False
    return all(
        given.sizes[dim] == series.sizes[dim] and np.array_equal(given[dim].values, series[dim].values) for dim in "yx"
    )


@dataclass(frozen=True, slots=True)
class Lattice:
    """A regular or irregular lattice of increasing coordinates, and what lies on it, (layer, [level,] y, x)."""

    y: Doubles
    x: Doubles
    values: Doubles
    levels: Doubles | None = None
    """Heights, m, increasing."""

    def at(self, y: Doubles, x: Doubles, height: Doubles | None = None) -> Doubles:
        """Interpolate (bi)linearly in space, and linearly in height: (layer, rows, columns).

        NaN where a point lies outside, a neighbour that counts is missing, or the height is beyond the levels.
        """
        rows, up = _cell(self.y, y)
        columns, right = _cell(self.x, x)
        if self.levels is None or height is None:
            return _bilinear(self.values, rows, columns, up, right)
        level, above = _cell(self.levels, height)
        total = np.zeros((len(self.values), *y.shape))
        for step, share in ((0, 1.0 - above), (1, above)):
            # Fancy places in three axes at once: one level per pixel.
            part = _bilinear(self.values, rows, columns, up, right, level + step)
            total += np.where(share != 0, part * share, 0.0)
        return np.where(np.isfinite(level + above), total, np.nan)


def lattice_of(given: xr.DataArray, where: str, level: str | None = None) -> tuple[Lattice, str]:
    """Accept a grid of its own, and give it with its CRS; ``given`` is (time, [level,] y, x) in any order.

    Raises
    ------
    InputError, MetadataError
        If its axes are unusable or it has no CRS and no axes named latitude and longitude.
    """
    names = next((pair for pair in _NAMES if set(pair) <= set(given.dims)), None)
    if names is None:
        raise InputError("no grid", where=where, expected="dimensions y, x or latitude, longitude", got=str(given.dims))
    crs = _GEOGRAPHIC if names != ("y", "x") else to_grid(given).crs
    dims = ["time", *([level] if level else []), *names]
    extra = [str(dim) for dim in given.dims if dim not in dims]
    if extra:
        raise InputError("dimensions too many", where=where, expected=", ".join(dims), got=", ".join(extra))
    for dim in dims[1:]:
        given = given.sortby(dim)
        axis = np.asarray(given[dim].values, "float64")
        if axis.size < 2 or not (np.isfinite(axis).all() and (np.diff(axis) > 0).all()):
            raise InputError("unusable axis", where=f"{where}, {dim}", expected="two different numbers or more")
    values = np.asarray(given.transpose(*dims).values, "float64")
    axes: Sequence[Doubles] = [np.asarray(given[dim].values, "float64") for dim in dims[1:]]
    return Lattice(axes[-2], axes[-1], values, axes[0] if level else None), crs


def brought(
    lattice: Lattice, crs: str, series: xr.Dataset, where: str, height: xr.DataArray | None = None
) -> xr.DataArray:
    """Interpolate a lattice to the pixels of the series: (time, y, x), lazy where the series is.

    Raises
    ------
    InputError
        If the series reaches beyond the lattice.
    """
    x, y = places_of(series, crs)
    _check_cover(lattice, crs, series, where)
    if crs == _GEOGRAPHIC and lattice.x[-1] > 180:
        x = x % 360.0
    args = [y, x]
    if height is not None:
        args.append(height.astype("float64").data)
    if isinstance(x, da.Array):
        made = da.map_blocks(
            _at, *(_like(one, x)[None] for one in args), lattice=lattice, dtype="float64", meta=np.empty((0, 0, 0)),
            chunks=((len(lattice.values),), *x.chunks),
        )  # fmt: skip
    else:
        made = lattice.at(*(np.asarray(one) for one in args))
    return xr.DataArray(made, dims=("time", "y", "x"), coords={"time": series["time"].values})


def _like(one: Any, x: da.Array) -> da.Array:
    cut: da.Array = da.asarray(one).rechunk(x.chunks)
    return cut


def _at(*args: Doubles, lattice: Lattice) -> Doubles:
    return lattice.at(*(one[0] for one in args))


def _check_cover(lattice: Lattice, crs: str, series: xr.Dataset, where: str) -> None:
    """Refuse a series that reaches beyond the lattice, by the outline of the series."""
    y, x = (series[name].values.astype("float64") for name in "yx")
    outline_y = np.concatenate([np.full_like(x, y[0]), np.full_like(x, y[-1]), y, y])
    outline_x = np.concatenate([x, x, np.full_like(y, x[0]), np.full_like(y, x[-1])])
    px, py = _projected(outline_y, outline_x, to_grid(series).crs, crs)
    if crs == _GEOGRAPHIC and lattice.x[-1] > 180:
        px = px % 360.0
    for name, own, axis in (("y", py, lattice.y), ("x", px, lattice.x)):
        if not (own.min() >= axis[0] and own.max() <= axis[-1]):
            raise InputError(
                "the series reaches beyond the grid",
                where=f"{where}, {name}",
                expected=f"{own.min():.10g} to {own.max():.10g} in {crs}",
                got=f"{axis[0]:.10g} to {axis[-1]:.10g}",
            )


def _cell(axis: Doubles, at: Doubles) -> tuple[NDArray[np.int64], Doubles]:
    """Find the cell in which each point lies, and how far into it (0 to 1); NaN outside."""
    low = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, axis.size - 2)
    share = (at - axis[low]) / (axis[low + 1] - axis[low])
    return low, np.where((share >= 0) & (share <= 1), share, np.nan)


def _bilinear(
    values: Doubles, rows: NDArray[np.int64], columns: NDArray[np.int64], up: Doubles, right: Doubles, level: Any = None
) -> Doubles:
    total = np.zeros((len(values), *rows.shape))
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (up if down else 1.0 - up) * (right if across else 1.0 - right)
        spot = (rows + down, columns + across)
        part = values[:, *spot] if level is None else values[:, level, *spot]
        # A neighbour that does not count may be missing.
        total += np.where(share != 0, part * share, 0.0)
    return total
