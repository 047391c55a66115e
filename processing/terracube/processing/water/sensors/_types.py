"""What is known of the bands of a water-colour sensor, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from terracube.core.errors import InputError


@dataclass(frozen=True, slots=True)
class BandOptics:
    """One band as a water formula sees it: where it lies, and what pure water does there."""

    role: str
    """Role name of the band: blue, red, rededge1, oa05, ..."""
    wavelength: float
    """Mean wavelength of the spectral response, nm."""
    width: float
    """Full width of the response at half of its maximum, nm."""
    aw: float
    """Absorption of pure water averaged over the response, m-1; NaN where the tables do not reach."""
    bbw: float
    """Backscattering of pure sea water averaged over the response, m-1; NaN where the tables do not reach."""
    noise: float
    """One standard deviation of the noise of one pixel of the band over water, as reflectance (rho, no unit)."""


@dataclass(frozen=True, slots=True)
class WaterSensor:
    """One instrument on one platform, with the bands that the water formulas may use."""

    name: str
    """Name of the sensor, like ``S2A_MSI``."""
    title: str
    """Name for people."""
    platform: str
    """Platform as STAC items write it, like ``sentinel-2a``."""
    form: str
    """What the responses are: ``measured``; ``moved`` (of a sister unit, shifted and stretched to the centre and
    width of this one); ``trapezoid`` (from the half-maximum wavelengths alone)."""
    bands: Mapping[str, BandOptics]
    """Bands by role, in order of wavelength."""

    def band(self, key: str | int, within: float = 10.0) -> BandOptics:
        """Give the band of a role, or the nearest one to a wavelength.

        Parameters
        ----------
        key : str or int
            A role name, or a wavelength in nm.
        within : float
            How far from the wavelength the mean wavelength of a band may lie, nm.

        Returns
        -------
        BandOptics

        Raises
        ------
        InputError
            The sensor has no such band.

        Examples
        --------
        >>> from terracube.processing.water.sensors import load_water_sensor
        >>> load_water_sensor("S3A_OLCI").band(510).role
        'oa05'
        """
        found = self.find(key, within)
        if found is None:
            raise InputError(
                "the sensor has no such band",
                where=self.name,
                expected=", ".join(f"{one.role} ({one.wavelength:.0f} nm)" for one in self.bands.values()),
                got=key if isinstance(key, str) else f"{key} nm (within {within:g} nm)",
            )
        return found

    def find(self, key: str | int, within: float = 10.0) -> BandOptics | None:
        """Give the band of a role or wavelength as `band` does, or None where the sensor has none."""
        if isinstance(key, str):
            return self.bands.get(key)
        near = min(self.bands.values(), key=lambda one: abs(one.wavelength - key), default=None)
        return near if near is not None and abs(near.wavelength - key) <= within else None
