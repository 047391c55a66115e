"""The sensors by name, put together from the tables of this folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.water.sensors._responses import Response, averaged, responses_of
from terracube.processing.water.sensors._types import BandOptics, WaterSensor

_COSINE = math.cos(math.radians(45.0))
# What a water of moderate brightness under a clear sky adds to the molecules of the air, as reflectance.
_WATER, _AEROSOL = 0.02, 0.01
# Below a tenth of the radiance at which a ratio was stated, the noise of the electronics keeps it from falling further.
_FLOOR = 0.1


def water_sensor_names() -> tuple[str, ...]:
    """Give the names of the sensors that the water formulas know.

    Examples
    --------
    >>> "S2A_MSI" in water_sensor_names()
    True
    """
    return tuple(_sensors())


@cache
def load_water_sensor(name: str) -> WaterSensor:
    """Give a sensor with the wavelength, width, pure-water optics and noise of each of its bands.

    Parameters
    ----------
    name : str
        Name of the sensor, one of `water_sensor_names`.

    Returns
    -------
    WaterSensor
        `aw` and `bbw` of bands that reach beyond 900 nm, where the table of pure water ends, are NaN.

    Raises
    ------
    InputError
        There is no sensor of that name.

    Notes
    -----
    The noise of a band is that of its signal-to-noise ratio `snr` at the radiance `L`, carried to the radiance `Lw`
    of a water of reflectance 0.02 under clear air and a sun at 45 degrees as photon noise, and from there to the
    surface: ``pi * L / snr * sqrt(Lw / L) / (F0 * cos(45 deg) * t)``, with the solar irradiance `F0` and the two-way
    transmittance `t` of the molecules of the air (optical thickness of Hansen and Travis 1974,
    doi:10.1007/BF00168069). It is the noise of one pixel of the native size of the band; ratios of sensors that are
    specified for binned pixels are brought to it. Where the ratios come from is told in ``noise.csv``.

    Examples
    --------
    >>> red = load_water_sensor("S2A_MSI").band("red")
    >>> round(red.wavelength, 1), round(red.aw, 3)
    (664.6, 0.414)
    """
    facts = _sensors().get(name)
    if facts is None:
        raise InputError(
            "no such sensor", where="sensor", expected=", ".join(water_sensor_names()), got=name, todo="give its name"
        )
    noise = _noise_facts()
    bands = {
        role: _band(role, response, noise[name, role])
        for role, response in sorted(responses_of(name).items(), key=lambda pair: pair[1].mean)
    }
    return WaterSensor(name, facts["title"], facts["platform"], facts["form"], MappingProxyType(bands))


def sensor_of_item_properties(platform: str | None, instruments: Iterable[str] | None = None) -> str | None:
    """Find the sensor that the properties of a STAC item name.

    Parameters
    ----------
    platform : str or None
        Property ``platform``, in any case, with hyphens or underscores.
    instruments : iterable of str or None
        Property ``instruments``. May be left out for Sentinel-2, which carries nothing but the MSI.

    Returns
    -------
    str or None
        Name of the sensor; None where the properties do not name one of `water_sensor_names`.

    Examples
    --------
    >>> sensor_of_item_properties("sentinel-2b", ["msi"]), sensor_of_item_properties("LANDSAT_8", ["oli", "tirs"])
    ('S2B_MSI', 'L8_OLI')
    >>> sensor_of_item_properties("sentinel-3a", ["slstr"]) is None
    True
    """
    wanted = _plain(platform or "")
    aboard = {_plain(one) for one in instruments or ()}
    for name, facts in _sensors().items():
        only = facts["instrument"] == "msi" and not aboard
        if _plain(facts["platform"]) == wanted and (only or aboard & _spellings(facts["instrument"])):
            return name
    return None


def table(file: str) -> list[dict[str, str]]:
    """Read one table of this package; lines that begin with # are comments."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@cache
def pure_water() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give wavelength (nm), absorption and backscattering (m-1) of pure water, 340 to 900 nm."""
    rows = table("pure_water.csv")
    wavelength, aw, bbw = (np.array([float(row[key]) for row in rows]) for key in ("wavelength", "aw", "bbw"))
    return wavelength, aw, bbw


def _band(role: str, response: Response, facts: tuple[float, float, float]) -> BandOptics:
    wavelength, aw, bbw = pure_water()
    return BandOptics(
        role=role,
        wavelength=response.mean,
        width=response.width,
        aw=float(averaged(response, wavelength, aw)),
        bbw=float(averaged(response, wavelength, bbw)),
        noise=_noise(*facts, response.mean / 1000.0),
    )


def _noise(radiance: float, snr: float, irradiance: float, micrometres: float) -> float:
    thickness = 0.008569 * micrometres**-4 * (1 + 0.0113 * micrometres**-2 + 0.00013 * micrometres**-4)
    # Single scattering by molecules, seen from above: phase function at 135 degrees over 4 cos(sun).
    path = thickness * 0.75 * (1 + 0.5) / (4 * _COSINE)
    over_water = irradiance * _COSINE / math.pi * (path + _AEROSOL + _WATER)
    transmittance = math.exp(-0.5 * thickness * (1 + 1 / _COSINE))
    ratio = max(over_water / radiance, _FLOOR)
    return math.pi * radiance / snr * math.sqrt(ratio) / (irradiance * _COSINE * transmittance)


@cache
def _noise_facts() -> Mapping[tuple[str, str], tuple[float, float, float]]:
    return {
        (row["sensor"], row["role"]): (float(row["radiance"]), float(row["snr"]), float(row["irradiance"]))
        for row in table("noise.csv")
    }


@cache
def _sensors() -> Mapping[str, Mapping[str, str]]:
    return {row["name"]: row for row in table("sensors.csv")}


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _spellings(instrument: str) -> set[str]:
    return {"etm", "etm+"} if instrument == "etm" else {instrument, f"{instrument}-2"}
