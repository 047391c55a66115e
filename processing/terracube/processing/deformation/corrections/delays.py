"""Tropospheric delays from weather models, given as grids, taken off along the line of sight."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import xarray as xr

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.corrections._compare import compared
from terracube.processing.deformation.corrections._place import brought, lattice_of, match_dates, on_same_pixels
from terracube.processing.deformation.corrections._record import (
    check_series,
    from_point,
    needed,
    since_reference,
    taken_off,
    upward,
)

NAME = "delays"
LEVEL = "height"
_DIRECTIONS = ("zenith", "line_of_sight")


def correct_delays(
    series: xr.Dataset,
    delays: xr.DataArray,
    *,
    direction: str,
    tolerance: timedelta = timedelta(0),
    reference: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Remove tropospheric delays that are known from elsewhere: ERA5, GACOS or any other zenith total delay.

    A longer delay is a longer way, which is a displacement away from the satellite: on each date, ``(delay - delay of
    the reference date) / cos(incidence)`` is added to the displacement (Yu et al. 2018, doi:10.1029/2017JB015305;
    Jolivet et al. 2011, doi:10.1029/2011GL048757). All that the grids say is removed; nothing is estimated.

    Parameters
    ----------
    series : Dataset
        ``displacement`` (time, y, x) m with a CRS, ``attrs["reference_date"]``; for zenith delays ``los_up`` or
        ``incidence_angle`` (degrees); for delays by height ``dem`` (m). Lazy in, lazy out.
    delays : DataArray
        One-way delay (time, y, x), with ``attrs["units"]`` "m" or "mm" or "cm": on the pixels of the series (then lazy
        if it is), or on a grid of its own (``y``, ``x`` with a CRS, or ``latitude``, ``longitude``), held in memory
        and interpolated linearly. With a dimension ``height`` (m, of the same datum as ``dem``) also in height.
    direction : "zenith" or "line_of_sight"
        Along which the delay is given.
    tolerance : timedelta
        How far the time of a field may be from that of the date. Every date needs exactly one nearest field.
    reference : (y, x)
        Point, in units of the CRS, whose displacement stays as it is; a series whose displacement is relative to a
        point is given that point.

    Returns
    -------
    Dataset
        The corrected series; where the delay is missing, the displacement is. Whether the delays are seen in it at all
        tell ``delays_std_before``, ``delays_std_after`` (m, over the scene) and ``delays_correlation`` (time): a date
        that has become rougher is better left uncorrected, or its weather model is wrong.

    Raises
    ------
    InputError
        If a parameter is unusable, or the series reaches beyond the grid.
    MetadataError
        If a date has no field, or unit, CRS, incidence, heights or the reference date are not told.
    """
    check_series(series)
    if direction not in _DIRECTIONS:
        raise InputError("unknown direction", where="direction", expected=" or ".join(_DIRECTIONS), got=repr(direction))
    metres = delays * _metres(delays)
    chosen = metres.isel(time=match_dates(series, delays, "delays", tolerance))
    field = since_reference(_on_pixels(chosen, series), series)
    if direction == "zenith":
        field = field / upward(series)
    facts: dict[str, Any] = {
        "direction": direction,
        "tolerance": str(tolerance),
        "source": str(delays.attrs.get("source", "not told")),
    }
    facts |= {"reference": "none" if reference is None else [float(value) for value in reference]}
    away = -from_point(field, reference)
    return taken_off(series, away, NAME, **facts).assign(compared(series, away, NAME))


def _metres(delays: xr.DataArray) -> float:
    known = {"m": 1.0, "metre": 1.0, "cm": 0.01, "mm": 0.001}
    told = delays.attrs.get("units")
    if told not in known:
        raise MetadataError(
            "the unit is not told", where="delays.attrs['units']", expected=", ".join(known), got=repr(told)
        )
    return known[told]


def _on_pixels(chosen: xr.DataArray, series: xr.Dataset) -> xr.DataArray:
    """Bring the fields to the pixels of the series, (time, y, x)."""
    levels = LEVEL in chosen.dims
    if on_same_pixels(chosen, series) and not levels:
        plain = chosen.transpose("time", "y", "x").astype("float64")
        return plain.drop_vars([*plain.coords]).assign_coords(time=series["time"].values)
    lattice, crs = lattice_of(chosen, "delays", LEVEL if levels else None)
    return brought(lattice, crs, series, "delays", needed(series, "dem") if levels else None)
