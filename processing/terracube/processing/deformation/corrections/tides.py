"""Tides of the solid earth, taken off along the line of sight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import project_bbox
from terracube.cubes.gridlike import to_grid
from terracube.processing.deformation.corrections._place import brought, lattice_of, match_dates, on_same_pixels
from terracube.processing.deformation.corrections._record import (
    check_series,
    from_point,
    needed,
    since_reference,
    taken_off,
    times_of,
)

_PARTS = ("east", "north", "up")


def solid_earth_tides(series: xr.Dataset, *, step: float = 0.05) -> xr.Dataset:
    """Compute the tides of the solid earth over the area and at the times of a series.

    Needs ``pysolid``, which is no part of TerraCube because of its licence (GPL): section 7.1.1 of the IERS Conventions
    2010, doi of the software's description 10.1109/TGRS.2022.3168509.

    Parameters
    ----------
    series : Dataset
        With a CRS, and dates with their time of day (UTC).
    step : float
        Of the lattice, degrees; tides are smooth.

    Returns
    -------
    Dataset
        ``east``, ``north``, ``up`` (time, latitude, longitude) float32, m; in memory.

    Raises
    ------
    InputError
        If pysolid is not installed, or the step is unusable.
    MetadataError
        If the times of day are not told: all dates say midnight.
    """
    check_series(series)
    if not 0 < step <= 1:
        raise InputError("unusable step", where="step", expected="0 to 1 degree", got=repr(step))
    times = _timed(series)
    try:
        computer = import_module("pysolid")
    except ImportError as error:
        raise InputError(
            "the tides cannot be computed",
            where="pysolid",
            expected="the package pysolid, which is not installed with TerraCube (GPL)",
            got="not installed",
            todo="install pysolid, or give the tides computed elsewhere to correct_tides",
        ) from error
    return _lattice(computer.calc_solid_earth_tides_grid, times, series, step)


def correct_tides(
    series: xr.Dataset,
    tides: xr.Dataset,
    *,
    tolerance: timedelta = timedelta(minutes=1),
    reference: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Remove tides of the solid earth: ``los . (tide - tide of the reference date)``.

    Parameters
    ----------
    series : Dataset
        ``displacement`` (time, y, x) m with a CRS, ``attrs["reference_date"]``, ``los_east``, ``los_north``, ``los_up``
        and dates with their time of day. Lazy in, lazy out.
    tides : Dataset
        ``east``, ``north``, ``up``, m, (time, y, x) on the pixels of the series, or on a grid of its own as
        :func:`solid_earth_tides` gives it, interpolated linearly.
    tolerance : timedelta
        How far the times of tides and dates may be apart.
    reference : (y, x)
        Point, in units of the CRS, whose displacement stays as it is; a series whose displacement is relative to a
        point is given that point.

    Raises
    ------
    InputError, MetadataError
        If the series or the tides are unusable, dates do not match, or the times of day are not told.
    """
    check_series(series)
    _timed(series)
    missing = [name for name in _PARTS if name not in tides]
    if missing:
        raise InputError(
            "these are no tides", where="tides", expected=", ".join(_PARTS), got=f"no {', '.join(missing)}"
        )
    at = match_dates(series, tides, "tides", tolerance)
    seen: Any = 0.0
    for name in _PARTS:
        look = needed(series, f"los_{name}").astype("float64")
        seen = seen + look.drop_vars([*look.coords]) * _on_pixels(tides[name].isel(time=at), series)
    field = from_point(
        since_reference(seen, series).assign_coords(y=series["y"].values, x=series["x"].values), reference
    )
    told = "none" if reference is None else [float(value) for value in reference]
    source = str(tides.attrs.get("source", "not told"))
    return taken_off(series, field, "solid_earth_tides", source=source, tolerance=str(tolerance), reference=told)


def _on_pixels(tide: xr.DataArray, series: xr.Dataset) -> xr.DataArray:
    if on_same_pixels(tide, series):
        plain = tide.transpose("time", "y", "x").astype("float64")
        return plain.drop_vars([*plain.coords]).assign_coords(time=series["time"].values)
    lattice, crs = lattice_of(tide, f"tides, {tide.name}")
    return brought(lattice, crs, series, f"tides, {tide.name}")


def _timed(series: xr.Dataset) -> list[datetime]:
    """Give the times, which must be more than days: half a day changes a tide by decimetres."""
    times = times_of(series)
    if (times == times.astype("datetime64[D]").astype("datetime64[ns]")).all():
        raise MetadataError(
            "the times of day are not told",
            where="time",
            expected="UTC of each acquisition",
            got="midnight on all dates",
            todo='series.assign_coords(time=series["time"] + np.timedelta64(5 * 60 + 43, "m"))',
        )
    seconds = times.astype("datetime64[s]").astype("int64").tolist()
    return [datetime.fromtimestamp(second, UTC).replace(tzinfo=None) for second in seconds]


def _lattice(compute: Any, times: list[datetime], series: xr.Dataset, step: float) -> xr.Dataset:
    """Compute the tides of each time on a lattice that covers the series."""
    grid = to_grid(series)
    bounds = grid.bounds
    west, south, east, north = project_bbox(
        (bounds.left, bounds.bottom, bounds.right, bounds.top), grid.crs, "EPSG:4326"
    )
    columns, rows = (int(np.ceil(size / step)) + 3 for size in (east - west, north - south))
    facts = {"LENGTH": rows, "WIDTH": columns, "X_FIRST": west - 1.5 * step, "Y_FIRST": north + 1.5 * step}
    facts |= {"X_STEP": step, "Y_STEP": -step}
    made = [compute(time, facts, display=False, verbose=False) for time in times]
    longitude = facts["X_FIRST"] + (np.arange(columns) + 0.5) * step
    latitude = facts["Y_FIRST"] - (np.arange(rows) + 0.5) * step
    dims = ("time", "latitude", "longitude")
    values = {
        name: (dims, np.stack([np.asarray(one[part], "float32") for one in made]), {"units": "m"})
        for part, name in enumerate(_PARTS)
    }
    coords = {"time": series["time"].values, "latitude": latitude, "longitude": longitude}
    return xr.Dataset(values, coords, attrs={"source": "pysolid, IERS Conventions 2010, 7.1.1"})
