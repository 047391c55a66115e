"""The noise of bands as they are: each band's own, and what a correction put into all of them at once."""

from __future__ import annotations

import math

import xarray as xr

from terracube.core.errors import InputError
from terracube.processing.water.sensors import WaterSensor

OWN, BAND, FACTOR = "noise", "noise_band", "noise_factor"
"""Attributes of a band: its own noise, one standard deviation in its quantity; the band that was subtracted from it,
and times what. A band that is subtracted from itself is exactly zero."""


def band_noise(cube: xr.Dataset, sensor: WaterSensor) -> tuple[dict[str, float], dict[str, float]]:
    """Give the noise of bands that is their own, where they say it, and the part that bands have in common.

    Parameters
    ----------
    cube : xarray.Dataset
        Bands of a sensor, with ``attrs["quantity"]``.
    sensor : WaterSensor

    Returns
    -------
    own, shared : dict of role to float
        One standard deviation in the quantity of the cube. ``shared`` is one and the same random number in all bands,
        times these: what a subtracted band brings.

    Raises
    ------
    InputError
        If a band says that its noise is no number from zero on.
    """
    own: dict[str, float] = {}
    shared: dict[str, float] = {}
    for name, band in cube.data_vars.items():
        role = str(name)
        if role not in sensor.bands:
            continue
        if OWN in band.attrs:
            own[role] = _number(role, band.attrs[OWN])
        source = band.attrs.get(BAND)
        if source == role:
            own[role] = 0.0
        elif source is not None:
            shared[role] = float(band.attrs[FACTOR]) * _of(cube, str(source), sensor)
    return own, shared


def _of(cube: xr.Dataset, role: str, sensor: WaterSensor) -> float:
    if role in cube.data_vars and OWN in cube[role].attrs:
        return _number(role, cube[role].attrs[OWN])
    return nominal(sensor, role, str(cube.attrs.get("quantity")))


def nominal(sensor: WaterSensor, role: str, quantity: str) -> float:
    """Give the noise of a band as the sensor's table has it, in a quantity."""
    return sensor.band(role).noise * (1 / math.pi if quantity == "rrs" else 1.0)


def _number(role: str, told: object) -> float:
    value = float(told) if isinstance(told, int | float) else math.nan
    if not (value >= 0 and math.isfinite(value)):
        raise InputError("the noise of a band is no number from 0 on", where=role, got=repr(told)[:60])
    return value
