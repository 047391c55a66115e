"""The lake: from chlorophyll and suspended matter to water-leaving reflectance.

Inherent optical properties are summed over pure water, phytoplankton, dissolved and suspended matter; the reflectance
below the surface follows Albert & Mobley 2003 (10.1364/OE.11.002873), deep water. None of this is the inverse of a
retrieval: no single-band, band-ratio or quasi-analytical algorithm is used. Fluorescence, glint, Raman scattering and
the bottom are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from terracube.ingest.simulate.fields import FloatArray
from terracube.ingest.simulate.sensor import SpectralBand

_TABLE = "optical-constants.csv"
REFRACTIVE_INDEX = 1.34


@dataclass(frozen=True)
class Optics:
    """Optical properties of what is dissolved and suspended. Sources behind each value."""

    dissolved: float = 0.3
    """Absorption of coloured dissolved matter at 440 nm, 1/m; a moderately stained lake."""
    dissolved_slope: float = 0.014
    """Its exponential decay, 1/nm (Bricaud, Morel & Prieur 1981, 10.4319/lo.1981.26.1.0043)."""
    particle_absorption: float = 0.041
    """Absorption of the suspended matter at 443 nm, m2/g (Babin et al. 2003, 10.1029/2001JC000882; from memory)."""
    particle_slope: float = 0.0123
    """Its exponential decay, 1/nm (same)."""
    particle_backscattering: float = 0.009
    """Backscattering of the suspended matter at 555 nm, m2/g; between organic 0.005 and inorganic 0.012 (Neukermans et
    al. 2012, 10.4319/lo.2011.57.1.0124)."""
    backscattering_exponent: float = 0.6
    """It falls as ``wavelength ** -0.6``; 0.1 to 1.2 in three estuaries (Doxaran et al. 2007)."""


@cache
def _constants() -> FloatArray:
    text = resources.files(__package__).joinpath(_TABLE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line[0].isdigit()]
    table = np.array([[float(value) for value in line.split(",")] for line in lines])
    table.flags.writeable = False
    return table


def wavelengths_of(band: SpectralBand) -> FloatArray:
    """List the tabulated wavelengths (nm) inside a band."""
    nm = _constants()[:, 0]
    return nm[(nm >= band.low) & (nm <= band.high)]


def inherent_optics(
    chlorophyll: FloatArray, suspended: FloatArray, *, nm: float, optics: Optics
) -> tuple[FloatArray, FloatArray]:
    """Sum up absorption and backscattering at one tabulated wavelength.

    Parameters
    ----------
    chlorophyll : array
        mg m-3, >= 0.
    suspended : array
        Dry mass of the suspended matter, g m-3, >= 0; algae are part of it.
    nm : float
        One of :func:`wavelengths_of`.

    Returns
    -------
    absorption, backscattering : arrays
        Of the shape of the inputs, 1/m.
    """
    table = _constants()
    _, water, water_back, factor, exponent = table[table[:, 0] == nm][0]
    particles = optics.particle_absorption * np.exp(-optics.particle_slope * (nm - 443))
    dissolved = optics.dissolved * np.exp(-optics.dissolved_slope * (nm - 440))
    scattering = optics.particle_backscattering * (nm / 555) ** -optics.backscattering_exponent
    absorption = water + dissolved + factor * chlorophyll**exponent + particles * suspended
    return absorption, water_back + scattering * suspended


def subsurface_reflectance(absorption: FloatArray, backscattering: FloatArray, *, sun_zenith: float) -> FloatArray:
    """Compute the remote-sensing reflectance just below the surface, seen from the nadir, 1/sr.

    Albert & Mobley 2003, equation for deep water with the coefficients for r_rs and no wind; range of validity
    u <= 0.8, sun zenith in water <= 46 degrees.

    Parameters
    ----------
    sun_zenith : float
        In air, degrees.
    """
    u = backscattering / (absorption + backscattering)
    cos_sun = np.cos(np.arcsin(np.sin(np.radians(sun_zenith)) / REFRACTIVE_INDEX))
    shape = 1 + 4.6659 * u - 7.8387 * u**2 + 5.4571 * u**3
    return np.asarray(0.0512 * shape * (1 + 0.1098 / cos_sun) * (1 + 0.4021) * u)


def above_surface(subsurface: FloatArray) -> FloatArray:
    """Carry r_rs through the surface: Rrs = t_down t_up / n^2 * r_rs / (1 - r Q r_rs), 1/sr.

    Fresnel transmittance of irradiance down 0.96 and of nadir radiance up 0.979, n = 1.34, internal reflection
    r = 0.48 (Gordon et al. 1988, 10.1029/JD093iD09p10909), Q = 4 sr.
    """
    return np.asarray(0.96 * 0.979 / REFRACTIVE_INDEX**2 * subsurface / (1 - 0.48 * 4 * subsurface))


def water_reflectance(
    band: SpectralBand,
    chlorophyll: FloatArray,
    suspended: FloatArray,
    *,
    sun_zenith: float = 40.0,
    optics: Optics | None = None,
) -> FloatArray:
    """Compute the water-leaving reflectance rho_w = pi Rrs of one band.

    Parameters
    ----------
    chlorophyll, suspended : array
        mg m-3 and g m-3, same shape.
    sun_zenith : float
        In air, degrees.

    Returns
    -------
    float64 array of the same shape, no unit; mean over the tabulated wavelengths (5 nm apart) inside the band.

    Examples
    --------
    >>> from terracube.ingest.simulate.sensor import BANDS
    >>> clear, turbid = water_reflectance(BANDS["red"], np.array([3.0, 3.0]), np.array([1.0, 20.0]))
    >>> bool(0.001 < clear < 0.01 < turbid < 0.1)
    True
    """
    known = optics or Optics()
    total = np.zeros(np.broadcast(chlorophyll, suspended).shape)
    for nm in (inside := wavelengths_of(band)):
        a, bb = inherent_optics(chlorophyll, suspended, nm=float(nm), optics=known)
        total += above_surface(subsurface_reflectance(a, bb, sun_zenith=sun_zenith))
    return np.pi * total / len(inside)
