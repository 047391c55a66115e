"""The motion of tectonic plates as rigid pieces of a sphere, seen along the line of sight."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.corrections._place import places_of
from terracube.processing.deformation.corrections._record import (
    check_series,
    from_point,
    needed,
    reference_index,
    taken_off,
    years_of,
)

type Doubles = NDArray[np.float64]
type Rotation = tuple[float, float, float]

PLATES: Mapping[str, Rotation] = MappingProxyType(
    {
        "ANTA": (-0.248, -0.324, 0.675),
        "ARAB": (1.154, -0.136, 1.444),
        "AUST": (1.510, 1.182, 1.215),
        "EURA": (-0.085, -0.531, 0.770),
        "INDI": (1.154, -0.005, 1.454),
        "NAZC": (-0.333, -1.544, 1.623),
        "NOAM": (0.024, -0.694, -0.063),
        "NUBI": (0.099, -0.614, 0.733),
        "PCFC": (-0.409, 1.047, -2.169),
        "SOAM": (-0.270, -0.301, -0.140),
        "SOMA": (-0.121, -0.794, 0.884),
    }
)
"""Rotation of each plate in ITRF2014 about the earth's X, Y and Z axes, milliarcseconds per year.

Altamimi et al. 2017, ITRF2014 plate motion model, table 1, doi:10.1093/gji/ggx136.
"""
_MAS = np.pi / 180 / 3600 / 1000
# WGS 84.
_AXIS, _FLATTENING = 6_378_137.0, 1 / 298.257223563


def plate_velocity(rotation: str | Rotation, latitude: Doubles, longitude: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Compute the velocity of points on a plate: ``v = omega x r``.

    Parameters
    ----------
    rotation : str or three floats
        A name of :data:`PLATES`, or a rotation about X, Y, Z in milliarcseconds per year.
    latitude, longitude : arrays of one shape
        Degrees (geodetic), on the ellipsoid.

    Returns
    -------
    east, north, up : arrays
        m/year. The last is not quite zero, because the ellipsoid is no sphere (below 0.1 mm/year).

    Raises
    ------
    InputError
        If the plate is unknown or the rotation unusable.

    Examples
    --------
    Potsdam moves to the north-east, by 25 mm a year:

    >>> east, north, up = plate_velocity("EURA", np.array(52.38), np.array(13.07))
    >>> round(float(east) * 1000, 1), round(float(north) * 1000, 1)
    (19.5, 15.4)
    """
    omega = np.array(_rotation(rotation)) * _MAS
    phi, lam = np.radians(latitude), np.radians(longitude)
    squared = _FLATTENING * (2 - _FLATTENING)
    radius = _AXIS / np.sqrt(1 - squared * np.sin(phi) ** 2)
    x, y = radius * np.cos(phi) * np.cos(lam), radius * np.cos(phi) * np.sin(lam)
    z = radius * (1 - squared) * np.sin(phi)
    vx, vy, vz = omega[1] * z - omega[2] * y, omega[2] * x - omega[0] * z, omega[0] * y - omega[1] * x
    east = -np.sin(lam) * vx + np.cos(lam) * vy
    outward = np.cos(lam) * vx + np.sin(lam) * vy
    return east, -np.sin(phi) * outward + np.cos(phi) * vz, np.cos(phi) * outward + np.sin(phi) * vz


def correct_plate_motion(
    series: xr.Dataset, plate: str | Rotation, *, reference: tuple[float, float] | None = None
) -> xr.Dataset:
    """Take the motion of a rigid plate off a series.

    Over a wide swath the line of sight turns, so that a plate's motion looks like a ramp in range that grows with time
    (Stephenson et al. 2022, doi:10.1029/2022GL099835). It is known, not estimated; nothing else is removed.

    Parameters
    ----------
    series : Dataset
        ``displacement`` (time, y, x) m with a CRS, ``attrs["reference_date"]``, and the line of sight ``los_east``,
        ``los_north``, ``los_up`` (y, x). Lazy in, lazy out.
    plate : str or three floats
        The plate on which the ground lies, as for :func:`plate_velocity`; never guessed.
    reference : (y, x)
        Point, in units of the CRS, whose displacement stays as it is; a series whose displacement is relative to a
        point is given that point. By default the whole motion is removed.

    Raises
    ------
    InputError, MetadataError
        If the series, the plate or the point is unusable, or the line of sight is missing.
    """
    check_series(series)
    rotation = _rotation(plate)
    looks = [needed(series, f"los_{name}").astype("float64") for name in ("east", "north", "up")]
    longitude, latitude = places_of(series)
    if isinstance(longitude, da.Array):
        parts = [
            da.map_blocks(_part, latitude, longitude, rotation=rotation, part=k, dtype="float64") for k in range(3)
        ]
    else:
        parts = list(plate_velocity(rotation, latitude, longitude))
    velocity = xr.zeros_like(looks[0])
    for look, part in zip(looks, parts, strict=True):
        velocity = velocity + look * xr.DataArray(part, dims=("y", "x"))
    years = years_of(series)
    passed = xr.DataArray(years - years[reference_index(series)], dims="time", coords={"time": series["time"]})
    field = passed * from_point(velocity, reference)
    facts = {"plate": plate if isinstance(plate, str) else "given", "rotation_mas_per_year": list(rotation)}
    facts |= {"model": "ITRF2014" if isinstance(plate, str) else "given", "reference": _told(reference)}
    return taken_off(series, field, "plate_motion", **facts)


def _part(latitude: Doubles, longitude: Doubles, rotation: Rotation, part: int) -> Doubles:
    return plate_velocity(rotation, latitude, longitude)[part]


def _rotation(plate: str | Rotation) -> Rotation:
    if isinstance(plate, str):
        if plate not in PLATES:
            raise InputError("unknown plate", where="plate", expected=", ".join(PLATES), got=repr(plate))
        return PLATES[plate]
    try:
        x, y, z = (float(value) for value in plate)
    except (TypeError, ValueError) as error:
        raise InputError("no rotation", where="plate", expected="a name, or x, y, z", got=repr(plate)) from error
    if not np.isfinite([x, y, z]).all() or max(abs(x), abs(y), abs(z)) > 100:
        raise InputError("no rotation of a plate", where="plate", expected="milliarcseconds per year", got=repr(plate))
    return x, y, z


def _told(reference: tuple[float, float] | None) -> str | list[float]:
    return "whole motion" if reference is None else [float(value) for value in reference]
