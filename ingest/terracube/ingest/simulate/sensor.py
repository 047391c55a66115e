"""The simulated instrument: bands and their grids, where the sun stands, how reflectance becomes numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.core.sensors import load_sensor
from terracube.ingest.simulate.fields import FloatArray
from terracube.ingest.simulate.parameters import Noise

SENSOR = load_sensor("sentinel-2-l2a")
QUANTIFICATION = 10_000
OFFSET = 1000
"""Added to every number since processing baseline 04.00: ``reflectance = (number - 1000) / 10000``."""
PASS_HOUR = 9.96
"""Hour of the day (UTC) at which Sentinel-2 passes at 15 degrees east."""


@dataclass(frozen=True)
class SpectralBand:
    """One band of the instrument."""

    name: str
    """Role name: ``red``."""
    file: str
    """The agency's name: ``B04``."""
    resolution: int
    """Pixel size in metres: 10, 20 or 60."""
    low: float
    high: float
    """Edges of the pass band in nm, taken as rectangular (Sentinel-2A, ESA Sentinel-2 User Handbook)."""

    @property
    def centre(self) -> float:
        """Middle of the pass band, nm."""
        return (self.low + self.high) / 2


BANDS: dict[str, SpectralBand] = {
    band.name: band
    for band in (
        SpectralBand("coastal", "B01", 60, 432.7, 452.7),
        SpectralBand("blue", "B02", 10, 460.2, 525.2),
        SpectralBand("green", "B03", 10, 542.3, 577.3),
        SpectralBand("red", "B04", 10, 649.6, 679.6),
        SpectralBand("rededge1", "B05", 20, 697.1, 711.1),
        SpectralBand("rededge2", "B06", 20, 733.5, 747.5),
        SpectralBand("rededge3", "B07", 20, 773.3, 792.3),
        SpectralBand("nir", "B08", 10, 780.3, 885.3),
        SpectralBand("nir08", "B8A", 20, 854.2, 875.2),
        SpectralBand("nir09", "B09", 60, 935.6, 954.6),
        SpectralBand("swir16", "B11", 20, 1568.7, 1658.7),
        SpectralBand("swir22", "B12", 20, 2115.4, 2289.4),
    )
}


def band_of(name: str) -> SpectralBand:
    """Give a band by its role name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in BANDS:
        raise InputError("unknown band", where="band", expected=", ".join(BANDS), got=repr(name))
    return BANDS[name]


def to_date(day: date | str) -> date:
    """Accept a date or its ISO form.

    Examples
    --------
    >>> to_date("2023-08-15")
    datetime.date(2023, 8, 15)
    """
    if isinstance(day, datetime):
        return day.date()
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise InputError("not a date", where="date", expected="like 2023-08-15", got=repr(day)) from error


def acquisition_dates(
    first: date | str = "2023-01-05", last: date | str = "2023-12-31", *, every: int = 15
) -> list[date]:
    """List the days on which the region is seen.

    Parameters
    ----------
    first, last : date or str
        First day, and the day that is not passed.
    every : int
        Days between acquisitions: 5 with two satellites, 10 with one.

    Examples
    --------
    >>> [str(day) for day in acquisition_dates("2023-08-01", "2023-08-31", every=15)]
    ['2023-08-01', '2023-08-16', '2023-08-31']
    """
    start, end = to_date(first), to_date(last)
    if every < 1 or end < start:
        raise InputError("no dates", where="first, last, every", expected="first <= last, every >= 1", got=f"{every}")
    return [start + timedelta(days=d) for d in range(0, (end - start).days + 1, every)]


def platform_of(day: date) -> str:
    """Tell which satellite passes: A and B take turns every five days."""
    return "AB"[day.toordinal() // 5 % 2]


def acquisition_time(day: date) -> datetime:
    """Give the moment of the pass in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=PASS_HOUR)


@dataclass(frozen=True)
class Sun:
    """Where the sun stands."""

    azimuth: float
    """Degrees clockwise from north."""
    elevation: float
    """Degrees above the horizon."""


def sun_position(day: date, *, longitude: float, latitude: float) -> Sun:
    """Compute where the sun stands when Sentinel-2 passes, to about half a degree.

    Declination and equation of time as Fourier series of the day angle (Spencer 1971, as quoted in Iqbal, An
    Introduction to Solar Radiation, 1983; typed from memory).

    Parameters
    ----------
    longitude, latitude : float
        Degrees east and north.

    Examples
    --------
    >>> sun = sun_position(date(2023, 8, 15), longitude=15.7, latitude=46.4)  # the real scene says 152.4, 55.0
    >>> round(sun.azimuth), round(sun.elevation)
    (152, 55)
    """
    g = 2 * math.pi * (day.timetuple().tm_yday - 1) / 365
    declination = (
        0.006918 - 0.399912 * math.cos(g) + 0.070257 * math.sin(g) - 0.006758 * math.cos(2 * g)
        + 0.000907 * math.sin(2 * g) - 0.002697 * math.cos(3 * g) + 0.00148 * math.sin(3 * g)
    )  # fmt: skip
    minutes = 229.18 * (
        0.000075 + 0.001868 * math.cos(g) - 0.032077 * math.sin(g)
        - 0.014615 * math.cos(2 * g) - 0.040849 * math.sin(2 * g)
    )  # fmt: skip
    hour = math.radians(15 * (PASS_HOUR + minutes / 60 + longitude / 15 - 12))
    phi = math.radians(latitude)
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour)
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(hour)
    return Sun(math.degrees(math.atan2(east, north)) % 360, math.degrees(math.asin(up)))


def noise_std(reflectance: FloatArray, noise: Noise) -> FloatArray:
    """Give the standard deviation of the noise: a floor and a part that grows with the signal, independent."""
    return np.asarray(np.hypot(noise.floor, noise.relative * reflectance))


def digital_numbers(reflectance: FloatArray, *, valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Turn reflectance into the numbers of the product: 0 where not valid, else at least 1.

    Examples
    --------
    >>> digital_numbers(np.array([0.05, -0.2, 0.3]), valid=np.array([True, True, False])).tolist()
    [1500, 1, 0]
    """
    numbers = np.clip(np.rint(reflectance * QUANTIFICATION) + OFFSET, 1, 2**15 - 1)
    return np.where(valid, numbers, 0).astype(np.uint16)


def eo_band(band: SpectralBand) -> dict[str, Any]:
    """Describe a band as the STAC eo extension (version 1) wants it."""
    known = SENSOR.bands[band.name]
    common = "rededge" if band.name.startswith("rededge") else known.common_name
    return {
        "name": band.name,
        "common_name": common,
        "description": known.title,
        "center_wavelength": known.center_wavelength,
        "full_width_half_max": known.full_width_half_max,
    }
