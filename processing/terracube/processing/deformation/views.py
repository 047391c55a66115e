"""Looks: what was seen of the ground's motion along one direction, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.gridlike import grid_like

# How producers write units, and how this package does.
_UNITS = {
    "m": "m",
    "metre": "m",
    "meter": "m",
    "m/yr": "m/year",
    "m/year": "m/year",
    "m yr-1": "m/year",
    "m year-1": "m/year",
    "m/a": "m/year",
    "m a-1": "m/year",
}
_LINE = ("los_east", "los_north", "los_up")
_EAST, _NORTH, _UP = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
# Offsets in metres, and motion that is decomposed already; the first whose first two are there is taken.
_AXES = ((("east", _EAST), ("north", _NORTH), ("up", _UP)), (("dx", _EAST), ("dy", _NORTH)))
_USUAL = ("velocity", "displacement", "step")
# Coordinates of grids that are equal may differ by so much of a pixel.
_APART = 1e-3

type Vector = tuple[xr.DataArray | float, xr.DataArray | float, xr.DataArray | float]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Motion along one direction.

    Parameters
    ----------
    name : str
        For messages and records.
    value : DataArray (y, x) or (time, y, x)
        Positive along the direction; NaN is missing.
    std : DataArray (y, x) or (time, y, x)
        Standard deviation, independent from date to date.
    vector : tuple of three DataArrays (y, x) or numbers
        The direction, east, north, up: a unit vector, for radar that from the ground to the satellite.
    unit : str
        ``"m"`` or ``"m/year"``.
    std_shared : DataArray (time, y, x), optional
        A second part of the standard deviation, which is shared by neighbouring dates (that of the network).
    """

    name: str
    value: xr.DataArray
    std: xr.DataArray
    vector: Vector
    unit: str
    std_shared: xr.DataArray | None = None

    @property
    def is_series(self) -> bool:
        """Whether it has dates."""
        return "time" in self.value.dims

    @property
    def total_std(self) -> xr.DataArray:
        """Both parts of the standard deviation."""
        if self.std_shared is None:
            return self.std
        return root(self.std**2 + self.std_shared**2)


def looks_of(data: Look | xr.Dataset, *, variable: str | None = None, name: str = "") -> tuple[Look, ...]:
    """Take the looks of a dataset.

    Parameters
    ----------
    data : Look or Dataset
        With motion towards a satellite (``velocity``, ``displacement`` or ``step``), its standard deviation
        (``std_X`` or ``X_std``; of a series ``std_network`` and, where there is one, ``std_atmosphere``, at dates that
        lack it its mean over the others) and
        ``los_east``, ``los_north``, ``los_up``; or offsets of images with ``east``, ``north``, ``std_east``,
        ``std_north`` (or ``dx`` and ``dy`` in metres to the east and the north): two looks; or with ``up`` as well, as
        of stations: three.
    variable : str, optional
        Which variable is the motion.
    name : str
        For messages.

    Raises
    ------
    InputError
        If motion, standard deviation or direction is missing.
    MetadataError
        If the unit is not told, or is neither metres nor metres per year.

    Examples
    --------
    >>> plane = xr.DataArray(np.ones((1, 1)), dims=("y", "x"), attrs={"units": "m/yr"})
    >>> ground = xr.Dataset({"velocity": plane, "std_velocity": plane, "los_east": 0 * plane, "los_north": 0 * plane,
    ...                      "los_up": plane})
    >>> [(look.name, look.unit) for look in looks_of(ground, name="ascending")]
    [('ascending velocity', 'm/year')]
    """
    if isinstance(data, Look):
        return (data,)
    if not isinstance(data, xr.Dataset):
        raise InputError("this is no look", expected="a Dataset or a Look", got=type(data).__name__)
    for axes in _AXES:
        there = tuple((each, vector) for each, vector in axes if each in data.variables)
        if variable is None and there[:2] == axes[:2]:
            return tuple(_one(data, each, vector, name) for each, vector in there)
    chosen = variable or next((each for each in _USUAL if each in data), "")
    if chosen not in data:
        raise InputError(
            "this dataset holds no motion",
            where=name,
            expected=variable or "velocity, displacement or step; east and north; dx and dy",
            got=", ".join(sorted(map(str, data.data_vars)))[:300],
        )
    return (_one(data, chosen, _line_of_sight(data, name), name),)


def _one(data: xr.Dataset, variable: str, vector: Vector, name: str) -> Look:
    value = data[variable]
    std, shared = _stds(data, variable, name)
    plain = tuple(each.reset_coords(drop=True) if isinstance(each, xr.DataArray) else each for each in vector)
    first, second, third = plain
    return Look(
        name=f"{name} {variable}".strip(),
        value=value.reset_coords(drop=True),
        std=std,
        vector=(first, second, third),
        unit=_unit(value, f"{name} {variable}".strip()),
        std_shared=shared,
    )


def _stds(data: xr.Dataset, variable: str, name: str) -> tuple[xr.DataArray, xr.DataArray | None]:
    def taken(std: str) -> xr.DataArray:
        # One number per date, or one for all, counts for every pixel.
        wide = data[std].reset_coords(drop=True).broadcast_like(data[variable])
        return wide.transpose(*data[variable].dims)

    told = [each for each in (f"std_{variable}", f"{variable}_std") if each in data]
    if told:
        return taken(told[0]), None
    if variable == "displacement" and "std_network" in data:
        network = taken("std_network")
        return _air(taken("std_atmosphere"), network) if "std_atmosphere" in data else xr.zeros_like(network), network
    raise InputError(
        "the motion has no standard deviation, and looks are weighed by theirs",
        where=f"{name} {variable}".strip(),
        expected=f"std_{variable}",
        todo="give it as a variable; a constant will do where nothing else is known",
    )


def _air(values: xr.DataArray, network: xr.DataArray) -> xr.DataArray:
    """Take the air of dates that came later, where nobody has told it, to be the mean of that of the others."""
    if "time" not in values.dims:
        return values
    whole = [one.chunk({"time": -1}) if one.chunks else one for one in (values, network)]
    found: xr.DataArray = xr.apply_ufunc(
        _filled, *whole, input_core_dims=[["time"], ["time"]], output_core_dims=[["time"]], dask="parallelized",
        output_dtypes=["float32"], keep_attrs=True,
    )  # fmt: skip
    return found.transpose(*values.dims)


def _filled(values: NDArray[Any], network: NDArray[Any]) -> NDArray[np.float32]:
    """Fill a block (y, x, time) where the part of the network is known; the reference date's 0 is no part of a mean."""
    squares = np.square(values, dtype="float64")
    known = np.isfinite(squares) & (squares > 0)
    count = known.sum(axis=-1, keepdims=True)
    mean = np.where(known, squares, 0.0).sum(axis=-1, keepdims=True) / np.maximum(count, 1)
    lacking = np.isnan(squares) & np.isfinite(network)
    return np.where(lacking, np.sqrt(mean), values).astype("float32")


def _line_of_sight(data: xr.Dataset, name: str) -> Vector:
    missing = [each for each in _LINE if each not in data.variables]
    if missing:
        raise InputError(
            "the line of sight is missing, without which motion cannot be decomposed",
            where=name,
            expected=", ".join(_LINE),
            got=f"without {', '.join(missing)}",
            todo="the unit vector from the ground to the satellite, as variables (y, x) or numbers",
        )
    east, north, up = (data[each].drop_attrs() for each in _LINE)
    return east, north, up


def _unit(value: xr.DataArray, name: str) -> str:
    told = value.attrs.get("units")
    found = _UNITS.get(" ".join(str(told).split()))
    if found is None:
        raise MetadataError(
            "the unit of the motion is not told" if told is None else "the unit of the motion is not one of ours",
            where=f"{name}, attribute units",
            expected="m or m/year",
            got=str(told),
        )
    return found


def check_looks(looks: Sequence[Look], grids: Sequence[xr.Dataset | xr.DataArray]) -> None:
    """Refuse looks that are not of one grid, one unit and one kind.

    Parameters
    ----------
    looks : sequence of Look
    grids : sequence of Dataset or DataArray
        What they came from: CRS and coordinates.

    Raises
    ------
    InputError
        If units, kinds, shapes, coordinates or CRS differ.
    """
    units, kinds = {look.unit for look in looks}, {look.is_series for look in looks}
    if len(units) > 1 or len(kinds) > 1:
        got = "; ".join(f"{look.name}: {look.unit}{', with dates' if look.is_series else ''}" for look in looks)
        raise InputError(
            "the looks do not measure the same", expected="all velocities, steps, or series", got=got[:500]
        )
    for first, second in pairwise(grids):
        _same_place(first, second)


def _same_place(first: xr.Dataset | xr.DataArray, second: xr.Dataset | xr.DataArray) -> None:
    for axis in ("y", "x"):
        if axis not in first.dims or axis not in second.dims or first.sizes[axis] != second.sizes[axis]:
            got = f"{dict(first.sizes)} and {dict(second.sizes)}"
            raise InputError("the grids differ", where=axis, expected="one grid of pixels (y, x)", got=got[:300])
        if axis in first.coords and axis in second.coords:
            a, b = (np.asarray(each[axis].values, "float64") for each in (first, second))
            step = np.abs(np.diff(a)).min() if a.size > 1 else np.inf
            apart = float(np.abs(a - b).max(initial=0.0))
            if not (apart <= _APART * step if a.size > 1 else apart == 0.0):
                todo = "bring them to one grid first"
                raise InputError("the grids differ", where=axis, got=f"coordinates {apart:g} apart", todo=todo)
    told = [_crs(each) for each in (first, second)]
    if told[0] != told[1]:
        raise InputError("the grids differ", where="CRS", got=f"{told[0]} and {told[1]}")


def _crs(data: xr.Dataset | xr.DataArray) -> str:
    """Give the CRS as text; empty for pixels without one."""
    if not any(name in data.coords or name in data.attrs for name in ("spatial_ref", "crs")):
        return ""
    return str(grid_like(data).crs)


def root(values: xr.DataArray) -> xr.DataArray:
    """Take the square root, of Dask arrays too."""
    found: xr.DataArray = xr.apply_ufunc(np.sqrt, values, dask="allowed")
    return found
