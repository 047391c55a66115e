"""What all corrections share: the checks at the door, and the record of what was done."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.stack.nearest import half_pixel

DISPLACEMENT = "displacement"
RECORD = "corrections"
"""Attribute: a JSON list with one entry per correction, in the order in which they were made."""
DAYS_PER_YEAR = 365.25
_DAY = 86_400e9


def check_series(series: xr.Dataset) -> xr.DataArray:
    """Accept a series of displacements.

    Returns
    -------
    Its displacement (time, y, x), m, towards the satellite.

    Raises
    ------
    InputError
        If there is no displacement (time, y, x) in metres, or its dates do not increase.
    """
    found = series.data_vars.get(DISPLACEMENT)
    if found is None or found.dims != ("time", "y", "x") or "time" not in found.coords:
        got = "none" if found is None else str(found.dims)
        raise InputError("this is no series", where=DISPLACEMENT, expected="(time, y, x) with its dates", got=got)
    if found.attrs.get("units", "m") != "m":
        raise InputError(
            "the displacement is not in metres", where=DISPLACEMENT, expected="m", got=found.attrs["units"]
        )
    if found.sizes["time"] > 1 and not (np.diff(times_of(series).astype("int64")) > 0).all():
        raise InputError("the dates do not increase", where="time", todo='sort with series.sortby("time")')
    return found


def times_of(series: xr.Dataset) -> NDArray[np.datetime64]:
    """Give the dates, datetime64[ns]."""
    return np.asarray(series["time"].values, "datetime64[ns]")


def years_of(series: xr.Dataset) -> NDArray[np.float64]:
    """Give the years of 365.25 days since the first date."""
    times = times_of(series).astype("int64")
    return np.asarray((times - times[0]) / (_DAY * DAYS_PER_YEAR), "float64")


def reference_index(series: xr.Dataset) -> int:
    """Find the date on which the displacement is zero by definition.

    Raises
    ------
    MetadataError
        If the series does not tell it, or tells a date that it does not have.
    """
    told = series.attrs.get("reference_date")
    if told is None:
        raise MetadataError(
            "the reference date is not told",
            where="attrs['reference_date']",
            expected="the date on which the displacement is zero",
            todo='write series.attrs["reference_date"] = "2018-01-06"',
        )
    times = times_of(series)
    try:
        wanted = np.datetime64(str(told).removesuffix("Z").removesuffix("+00:00"), "ns")
    except ValueError as error:
        raise MetadataError("no date", where="attrs['reference_date']", expected="2018-01-06", got=str(told)) from error
    hits = np.flatnonzero(times == wanted)
    if not hits.size:
        hits = np.flatnonzero(times.astype("datetime64[D]") == wanted.astype("datetime64[D]"))
    if hits.size != 1:
        listed = ", ".join(np.datetime_as_string(times[:10], unit="s"))
        raise MetadataError(
            "the reference date is none of the dates", where="attrs['reference_date']", expected=listed, got=str(told)
        )
    return int(hits[0])


def since_reference(field: xr.DataArray, series: xr.Dataset) -> xr.DataArray:
    """Take the field (time, ...) of the reference date off all dates."""
    return field - field.isel(time=reference_index(series), drop=True)


def from_point(field: xr.DataArray, reference: tuple[float, float] | None) -> xr.DataArray:
    """Take the field (..., y, x) at a point off all pixels, so that the point keeps its displacement.

    Parameters
    ----------
    reference : (y, x)
        In units of the CRS; ``None`` leaves the field as it is.

    Raises
    ------
    InputError
        If the point lies outside.
    """
    if reference is None:
        return field
    return field - field.isel(zip_point(field, reference), drop=True)


def zip_point(field: xr.DataArray | xr.Dataset, reference: tuple[float, float]) -> dict[str, int]:
    """Find row and column of the pixel that holds a point (y, x).

    Raises
    ------
    InputError
        If the point lies outside.
    """
    found = {}
    for name, value in zip("yx", reference, strict=True):
        centres = np.asarray(field[name].values, "float64")
        away = np.abs(centres - value)
        at = int(np.argmin(away))
        if not away[at] <= half_pixel(field, name) * 1.0000002:
            limits = f"{centres.min():.10g} to {centres.max():.10g}"
            raise InputError("the point lies outside", where=f"reference, {name}", expected=limits, got=f"{value!r}")
        found[name] = at
    return found


def taken_off(series: xr.Dataset, field: xr.DataArray, name: str, /, **facts: Any) -> xr.Dataset:
    """Subtract a field from the displacement and write down that and how it was done.

    Parameters
    ----------
    field : DataArray
        (time, y, x) or what broadcasts to it, m towards the satellite; NaN makes the displacement missing.
    name : str
        Of the correction.
    **facts
        What goes into the record beside the name; plain values.
    """
    own = series[DISPLACEMENT]
    fixed = (own - field).transpose("time", "y", "x").astype(own.dtype).assign_attrs(own.attrs)
    return recorded(series.assign({DISPLACEMENT: fixed}), name, **facts)


def recorded(data: xr.Dataset, name: str, /, **facts: Any) -> xr.Dataset:
    """Append an entry to the record of corrections.

    Raises
    ------
    InputError
        If this correction was made before: done twice it would add what it is to remove.
    """
    entries = corrections_of(data)
    if any(entry["name"] == name for entry in entries):
        raise InputError("this correction was made before", where=RECORD, got=name, todo="start from the uncorrected")
    return data.assign_attrs({RECORD: json.dumps([*entries, {"name": name} | facts])})


def corrections_of(data: xr.Dataset) -> list[dict[str, Any]]:
    """List the corrections that were made, in their order.

    Examples
    --------
    >>> corrections_of(recorded(xr.Dataset(), "plate_motion", plate="EURA"))
    [{'name': 'plate_motion', 'plate': 'EURA'}]

    Raises
    ------
    MetadataError
        If the record cannot be read.
    """
    try:
        entries = json.loads(data.attrs.get(RECORD, "[]"))
        good = isinstance(entries, list) and all(isinstance(entry, dict) and "name" in entry for entry in entries)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise MetadataError("the record of corrections cannot be read", where=f"attrs['{RECORD}']")
    return [dict(entry) for entry in entries]


def needed(series: xr.Dataset, name: str, given: xr.DataArray | None = None) -> xr.DataArray:
    """Give a layer (y, x): the one that is given, or that of the series.

    Raises
    ------
    MetadataError
        If there is none.
    InputError
        If it lies on other pixels.
    """
    found = series.get(name) if given is None else given
    if found is None:
        raise MetadataError("a layer is missing", where=name, expected=f"a variable {name} (y, x) of the series")
    if set(found.dims) != {"y", "x"} or any(found.sizes[dim] != series.sizes[dim] for dim in "yx"):
        raise InputError("not the pixels of the series", where=name, expected="(y, x)", got=str(dict(found.sizes)))
    for dim in "yx":
        if dim in found.coords and not np.array_equal(found[dim].values, series[dim].values):
            raise InputError("not the pixels of the series", where=f"{name}, {dim}", todo="bring it to the same grid")
    return found.transpose("y", "x")


def upward(series: xr.Dataset) -> xr.DataArray:
    """Give the cosine of the incidence angle: the upward part of the line of sight, or of the angle in degrees.

    Raises
    ------
    MetadataError
        If neither ``los_up`` nor ``incidence_angle`` is there, or the angle's unit is another.
    """
    if "los_up" in series:
        return needed(series, "los_up").astype("float64")
    if "incidence_angle" not in series:
        raise MetadataError("the incidence is not known", where="los_up, incidence_angle", expected="one of the two")
    angle = needed(series, "incidence_angle")
    if angle.attrs.get("units", "degrees") not in ("degree", "degrees"):
        raise MetadataError("unit of the angle", where="incidence_angle", expected="degrees", got=angle.attrs["units"])
    cosine: xr.DataArray = xr.ufuncs.cos(xr.ufuncs.deg2rad(angle.astype("float64")))
    return cosine
