"""How strongly a water surface mirrors the sun at each wavelength: the refractive index of water, and Fresnel's law."""

from __future__ import annotations

import math

from terracube.core.errors import InputError

# IAPWS R9-97, table 1: coefficients a0 to a7 and the two resonances (in units of the reference wavelength).
_A = (0.244257733, 9.74634476e-3, -3.73234996e-3, 2.68678472e-4, 1.58920570e-3, 2.45934259e-3, 0.900704920)
_A7 = -1.66626219e-2
_ULTRAVIOLET, _INFRARED = 0.2292020, 5.432937
_REFERENCE_NM, _REFERENCE_K, _REFERENCE_DENSITY = 589.0, 273.15, 1000.0
_SHORTEST, _LONGEST = 200.0, 2500.0
_RIGHT_ANGLE = 90.0


def refractive_index(wavelength: float, *, temperature: float = 20.0, density: float = 998.2) -> float:
    """Give the real refractive index of pure water.

    Parameters
    ----------
    wavelength : float
        nm, 200 to 2500. The formula is recommended up to 1100 nm, and its extension is called reasonable up to 1900 nm.
        At 2200 nm it gives 1.287; the older table of Hale and Querry (1973, doi:10.1364/AO.12.000555) has 1.296.
    temperature : float
        Degrees Celsius.
    density : float
        kg m-3.

    Returns
    -------
    float
        No unit. Sea water has about 0.006 more in the visible, which hardly changes ratios between wavelengths.

    Raises
    ------
    InputError
        If the wavelength is out of range.

    References
    ----------
    IAPWS R9-97, Release on the Refractive Index of Ordinary Water Substance as a Function of Wavelength, Temperature
    and Pressure, equation 1; Harvey, Gallagher and Levelt Sengers 1998, doi:10.1063/1.556029.

    Examples
    --------
    >>> round(refractive_index(589.3, temperature=25, density=997.047435), 6)
    1.332858
    """
    if not _SHORTEST <= wavelength <= _LONGEST:
        expected = f"{_SHORTEST:g} to {_LONGEST:g} nm"
        raise InputError("no refractive index of water is known here", where="wavelength", expected=expected,
                         got=f"{wavelength:g} nm")  # fmt: skip
    square = (wavelength / _REFERENCE_NM) ** 2
    heat, mass = (temperature + _REFERENCE_K) / _REFERENCE_K, density / _REFERENCE_DENSITY
    total = _A[0] + _A[1] * mass + _A[2] * heat + _A[3] * square * heat + _A[4] / square
    total += _A[5] / (square - _ULTRAVIOLET**2) + _A[6] / (square - _INFRARED**2) + _A7 * mass**2
    refraction = mass * total
    return math.sqrt((1 + 2 * refraction) / (1 - refraction))


def fresnel_reflectance(index: float, incidence: float = 0.0) -> float:
    """Give the share of unpolarised light that a flat surface between air and a medium mirrors.

    Parameters
    ----------
    index : float
        Refractive index of the medium.
    incidence : float
        Angle between the ray and the normal of the facet, degrees, 0 to 90.

    Raises
    ------
    InputError
        If the angle is out of range.

    Examples
    --------
    >>> round(fresnel_reflectance(1.334), 5), fresnel_reflectance(1.334, 90)
    (0.02048, 1.0)
    """
    if not 0 <= incidence <= _RIGHT_ANGLE:
        raise InputError("no angle of incidence", where="incidence", expected="0 to 90 degrees", got=f"{incidence:g}")
    if incidence == _RIGHT_ANGLE:
        return 1.0
    into = math.cos(math.radians(incidence))
    out = math.sqrt(1 - (math.sin(math.radians(incidence)) / index) ** 2)
    across = (into - index * out) / (into + index * out)
    along = (index * into - out) / (index * into + out)
    return (across**2 + along**2) / 2


def glint_ratio(wavelength: float, reference: float, incidence: float = 0.0) -> float:
    """Give the sun glint at a wavelength per glint at a reference wavelength, as reflectances.

    The facets of the surface that mirror the sun are the same at all wavelengths, so glint reflectance goes as Fresnel
    reflectance does (Gao and Li 2021, doi:10.21926/aeer.2103017).

    Parameters
    ----------
    wavelength, reference : float
        nm.
    incidence : float
        Angle of incidence on the facet, degrees: half the sun's zenith angle where the sensor looks straight down. Up
        to 40 degrees the ratio hardly depends on it.

    Examples
    --------
    >>> round(glint_ratio(560, 1610), 3), round(glint_ratio(560, 1610, 40), 3)
    (1.115, 1.106)
    """
    own, other = (fresnel_reflectance(refractive_index(one), incidence) for one in (wavelength, reference))
    return own / other
