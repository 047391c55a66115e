"""Inherent optical properties by the quasi-analytical algorithm, and the attenuation and clarity that follow.

The algorithm (QAA) turns the remote-sensing reflectance of four bands (violet-blue, blue, green, red: roles
``coastal``, ``blue``, ``green``, ``red``) into absorption and backscattering by two relations of radiative transfer
and one empirical estimate of the absorption at a reference band. It holds for water that is optically deep. The
attenuation of downwelling light, the depth of the euphotic zone and the Secchi depth are functions of the two.

References
----------
Lee, Carder, Arnone 2002, doi:10.1364/AO.41.005755 (QAA). Lee, Lubac, Werdell, Arnone 2009, "An update of the
quasi-analytical algorithm (QAA_v5)", and Lee 2014, "Update of the quasi-analytical algorithm (QAA_v6)", notes of the
IOCCG algorithm group. Lee, Du, Arnone 2005, doi:10.1029/2004JC002275, and Lee et al. 2013, doi:10.1002/jgrc.20308
(attenuation). Lee et al. 2007, doi:10.1029/2006JC003802 (euphotic zone). Lee et al. 2015,
doi:10.1016/j.rse.2015.08.002 (Secchi depth).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from terracube.core.errors import InputError
from terracube.processing.formula import absolute, exp, log, log10, maximum, minimum, sqrt, where
from terracube.processing.water.coefficients import load_coefficients
from terracube.processing.water.retrievals.base import Bands, Formula, Retrieval, Retrieved, register_retrieval

QAA_ROLES = ("coastal", "blue", "green", "red")
"""Bands of the inversion."""
_NOMINAL = {"coastal": 443, "blue": 490, "green": 560, "red": 665}


def polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """Give the value of a polynomial, coefficients from the constant upwards."""
    value: Any = coefficients[-1]
    for one in coefficients[-2::-1]:
        value = value * x + one
    return value


def below_surface(rrs: Any, crossing: Sequence[float]) -> Any:
    """Carry the remote-sensing reflectance to just below the surface (sr-1): ``Rrs / (0.52 + 1.7 Rrs)``."""
    return rrs / (crossing[0] + crossing[1] * rrs)


def backscattering_share(rrs_below: Any, g: Sequence[float]) -> Any:
    """Give ``u = bb / (a + bb)`` from the reflectance below the surface, the root of ``r = g0 u + g1 u^2``."""
    return (sqrt(g[0] * g[0] + 4.0 * g[1] * rrs_below) - g[0]) / (2.0 * g[1])


@dataclass(frozen=True, slots=True)
class Inversion:
    """Absorption and backscattering of one spectrum, at the bands of the inversion."""

    rrs: Mapping[str, Any]
    """Reflectance just below the surface by role, sr-1."""
    u: Mapping[str, Any]
    """bb / (a + bb) by role."""
    bbp: Mapping[str, Any]
    """Backscattering of particles by role, m-1."""
    bbw: Mapping[str, float]
    """Backscattering of pure water by role, m-1."""
    outside: Any
    """Where the spectrum has no such inverse: no particles, black, or brighter than without absorption."""

    def bb(self, role: str) -> Any:
        """Give the whole backscattering, m-1."""
        return self.bbp[role] + self.bbw[role]

    def a(self, role: str) -> Any:
        """Give the whole absorption, m-1."""
        return (1.0 - self.u[role]) * self.bb(role) / self.u[role]


def invert(bands: Bands, numbers: Mapping[str, Any], version: int = 6) -> Inversion:
    """Invert the reflectance of four bands by the quasi-analytical algorithm.

    Parameters
    ----------
    bands : Bands
        Remote-sensing reflectance (sr-1) of the roles coastal, blue, green and red.
    numbers : mapping
        A set of the coefficients ``qaa``.
    version : {5, 6}
        Version 5 always starts from the green band. Version 6 starts from the red one where ``Rrs`` of it reaches
        ``switch`` (0.0015 sr-1): water that is not clear.

    Returns
    -------
    Inversion

    Notes
    -----
    The replacement of a red reflectance outside of two limits, which the note on version 5 has for noisy spectra, is
    left out. In turbid water the green estimate of version 5 turns around (chi below -1.46): use version 6 there.
    """
    if version not in (5, 6):
        raise InputError("unknown version of the algorithm", where="version", expected="5 or 6", got=str(version))
    rrs = {role: below_surface(bands[role], numbers["crossing"]) for role in QAA_ROLES}
    u = {role: backscattering_share(rrs[role], numbers["g"]) for role in QAA_ROLES}
    place, bbw = _water(bands, numbers)
    green, red = (_reference(bands, numbers, role) for role in ("green", "red"))
    start = _from_green(rrs, u, numbers, green)
    away = {role: _log_ratio(green[0], place[role], role == "green") for role in QAA_ROLES}
    if version == 6:
        turbid = bands["red"] >= numbers["switch"]
        start = where(turbid, _from_red(bands, u, numbers, red), start)
        away = {role: where(turbid, _log_ratio(red[0], place[role], role == "red"), away[role]) for role in QAA_ROLES}
    e = numbers["slope"]
    slope = e[0] * (1.0 - e[1] * exp(-e[2] * rrs["coastal"] / rrs["green"]))
    bbp = {role: start * exp(slope * away[role]) for role in QAA_ROLES}
    brightest = maximum(maximum(u["coastal"], u["blue"]), maximum(u["green"], u["red"]))
    darkest = minimum(minimum(u["coastal"], u["blue"]), minimum(u["green"], u["red"]))
    return Inversion(rrs, u, bbp, bbw, (start <= 0.0) | (darkest <= 0.0) | (brightest >= 1.0))


def _log_ratio(reference: float, wavelength: float, same: bool) -> Any:
    # What was found at the band that it starts from holds there, whatever wavelength the algorithm's table gives it.
    return 0.0 if same else math.log(reference / wavelength)


def _from_green(rrs: Mapping[str, Any], u: Mapping[str, Any], numbers: Mapping[str, Any], at: Sequence[float]) -> Any:
    chi = log10(
        (rrs["coastal"] + rrs["blue"]) / (rrs["green"] + numbers["mix"] * rrs["red"] * rrs["red"] / rrs["blue"])
    )
    a = at[1] + 10.0 ** polynomial(numbers["h"], chi)
    return u["green"] * a / (1.0 - u["green"]) - at[2]


def _from_red(bands: Bands, u: Mapping[str, Any], numbers: Mapping[str, Any], at: Sequence[float]) -> Any:
    # Of the reflectance above the surface: the note on version 6 writes Rrs here, rrs elsewhere.
    factor, power = numbers["red"]
    a = at[1] + factor * (bands["red"] / (bands["coastal"] + bands["blue"])) ** power
    return u["red"] * a / (1.0 - u["red"]) - at[2]


def _water(bands: Bands, numbers: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Give wavelength and backscattering of pure water per role: of the set, or of the band's response."""
    told = numbers.get("water")
    if told is not None:
        return {role: told[role][0] for role in QAA_ROLES}, {role: told[role][1] for role in QAA_ROLES}
    optics = {role: bands.optics(role) for role in QAA_ROLES}
    return {role: one.wavelength for role, one in optics.items()}, {role: one.bbw for role, one in optics.items()}


def _reference(bands: Bands, numbers: Mapping[str, Any], role: str) -> tuple[float, float, float]:
    """Give wavelength, absorption and backscattering of pure water of the band that the inversion starts from."""
    told = numbers.get("reference")
    if told is not None:
        wavelength, aw, bbw = told[role]
        return wavelength, aw, bbw
    one = bands.optics(role)
    return one.wavelength, one.aw, one.bbw


def kd_lee2013(a: Any, bb: Any, bbw: float, known: Mapping[str, Any]) -> Any:
    """Give the attenuation of downwelling light (m-1) from absorption and backscattering, Lee et al. 2013."""
    m = known["kd"]
    sun = 1.0 + m[0] * known["sun_zenith"]
    return sun * a + m[1] * (1.0 - m[2] * bbw / bb) * (1.0 - m[3] * exp(-m[4] * a)) * bb


def kd_lee2005(a: Any, bb: Any, known: Mapping[str, Any]) -> Any:
    """Give the attenuation of downwelling light (m-1), Lee et al. 2005, coefficients of one height of the sun."""
    m = known["kd"]
    return m[0] * a + m[1] * (1.0 - m[2] * exp(-m[3] * a)) * bb


def secchi_lee2015(kd: Sequence[Any], rrs: Sequence[Any], known: Mapping[str, Any]) -> tuple[Any, Any]:
    """Give the Secchi depth (m) and the reflectance above the surface at the most transparent band.

    Parameters
    ----------
    kd, rrs : sequence
        Attenuation (m-1) and remote-sensing reflectance (sr-1) of the visible bands, in the same order.
    known : mapping
        ``contrast``: reflectance of the disk and the threshold of sight (0.14 and 0.013 sr-1), and the factor of the
        attenuation (2.5).
    """
    least, there = kd[0], rrs[0]
    for one, reflectance in zip(kd[1:], rrs[1:], strict=True):
        there = where(one < least, reflectance, there)
        least = minimum(least, one)
    disk, threshold, factor = known["contrast"]
    return log(absolute(disk - there) / threshold) / (factor * least), there


def kpar_terms(a490: Any, bb490: Any, known: Mapping[str, Any]) -> tuple[Any, Any]:
    """Give K1 and K2 (m-1) of ``K_PAR(z) = K1 + K2 / sqrt(1 + z)``, Lee et al. 2005 and 2007."""
    chi, zeta, alpha = known["k1"], known["k2"], known["sun"]
    sun = math.radians(known["sun_zenith"])
    first = (chi[0] + chi[1] * sqrt(a490) + chi[2] * bb490) * (1.0 + alpha[0] * math.sin(sun))
    second = (zeta[0] + zeta[1] * a490 + zeta[2] * bb490) * (alpha[1] + alpha[2] * math.cos(sun))
    return first, second


def euphotic_depth(k1: Any, k2: Any, thickness: float) -> Any:
    """Solve ``(K1 + K2 / sqrt(1 + z)) z = thickness`` for the depth z (m).

    With ``y = sqrt(1 + z)`` this is a cubic. It is convex above y = 1, so that Newton's steps from above come down
    without passing the root: five leave less than 1e-10 of the thickness. K1 and K1 + K2 must be positive.

    Examples
    --------
    >>> float(round(euphotic_depth(0.04, 0.1, 4.605), 3))
    91.359
    """
    # Bounds from above: of either term alone; where K2 is negative, of the least attenuation, that at the surface.
    first = sqrt(1.0 + thickness / k1)
    second = (thickness + sqrt(thickness * thickness + 4.0 * k2 * k2)) / (2.0 * maximum(k2, 1e-6))
    y = where(k2 > 0.0, minimum(first, second), sqrt(1.0 + thickness / maximum(k1 + k2, 1e-6)))
    for _ in range(5):
        value = ((k1 * y + k2) * y - (k1 + thickness)) * y - k2
        y = y - value / ((3.0 * k1 * y + 2.0 * k2) * y - (k1 + thickness))
    return y * y - 1.0


def inverted(bands: Bands) -> Inversion:
    """Invert by version 6, with the numbers of the sensor."""
    found = load_coefficients("qaa").find(bands.sensor.name)
    if found is None:
        raise InputError("the inversion has no coefficients for this sensor", where="qaa", got=bands.sensor.name)
    return invert(bands, found.values)


def _absorption(role: str, version: int) -> Formula:
    def formula(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
        found = invert(bands, known, version)
        return Retrieved(found.a(role), outside=found.outside)

    return formula


def _particles(role: str, version: int) -> Formula:
    def formula(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
        found = invert(bands, known, version)
        return Retrieved(found.bbp[role], outside=found.outside)

    return formula


def _kd490_lee2013(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    found = inverted(bands)
    kd = kd_lee2013(found.a("blue"), found.bb("blue"), found.bbw["blue"], known)
    return Retrieved(kd, outside=found.outside)


def _kd490_lee2005(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    found = inverted(bands)
    return Retrieved(kd_lee2005(found.a("blue"), found.bb("blue"), known), outside=found.outside)


def _kd490_kd2(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    x = log10(bands["blue"] / bands["green"])
    return Retrieved(known["water"] + 10.0 ** polynomial(known["a"], x), outside=bands["green"] <= 0.0)


def _kdpar_nechad(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    found = inverted(bands)
    kd = kd_lee2005(found.a("blue"), found.bb("blue"), known)
    factor, shift = known["par"]
    return Retrieved(factor * log(1.0 + kd) + shift, outside=found.outside)


def _euphotic(bands: Bands, known: Mapping[str, Any]) -> tuple[Any, Any]:
    found = inverted(bands)
    k1, k2 = kpar_terms(found.a("blue"), found.bb("blue"), known)
    return euphotic_depth(k1, k2, known["thickness"]), found.outside | (k1 <= 0.0) | (k1 + k2 <= 0.0)


def _zeu_lee2007(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    depth, outside = _euphotic(bands, known)
    return Retrieved(depth, outside=outside)


def _kdpar_lee2007(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    depth, outside = _euphotic(bands, known)
    return Retrieved(known["thickness"] / depth, outside=outside)


def _secchi_lee2015(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    found = inverted(bands)
    kd = [kd_lee2013(found.a(role), found.bb(role), found.bbw[role], known) for role in QAA_ROLES]
    depth, there = secchi_lee2015(kd, [bands[role] for role in QAA_ROLES], known)
    disk, threshold, _ = known["contrast"]
    # Water as bright as the disk: none can be seen in it.
    return Retrieved(depth, outside=found.outside, saturated=there >= disk - threshold)


def _secchi_pitarch2021(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    found = _secchi_lee2015(bands, known)
    return Retrieved(polynomial(known["sensor"], found.value), outside=found.outside, saturated=found.saturated)


def _register(name: str, title: str, formula: Formula, coefficients: str, unit: str = "m-1", **more: Any) -> None:
    # All but the inversion itself, and the ratio that does without, take its absorption and backscattering.
    inner = () if coefficients in ("qaa", "qaa_bbp", "kd490_kd2") else ("qaa",)
    facts: dict[str, Any] = {"quantity": "rrs", "needs": QAA_ROLES, "built_on": inner} | more
    register_retrieval(
        Retrieval(name=name, title=title, unit=unit, formula=formula, coefficients=coefficients, **facts)
    )


def _register_inversion(version: int) -> None:
    kinds: tuple[tuple[str, str, Callable[[str, int], Formula], str], ...] = (
        ("a", "Absorption of the water with all in it", _absorption, "qaa"),
        ("bbp", "Backscattering of particles", _particles, "qaa_bbp"),
    )
    for short, what, build, coefficients in kinds:
        for role, nominal in _NOMINAL.items():
            _register(
                f"{short}{nominal}_qaa{version}",
                f"{what} at {nominal} nm (band {role}), quasi-analytical algorithm version {version}",
                build(role, version),
                coefficients,
            )


_register_inversion(5)
_register_inversion(6)
_register(
    "kd490_lee2013", "Attenuation of downwelling light at 490 nm, Lee et al. 2013", _kd490_lee2013, "kd490_lee2013"
)
_register(
    "kd490_lee2005", "Attenuation of downwelling light at 490 nm, Lee et al. 2005", _kd490_lee2005, "kd490_lee2005"
)
_register(
    "kd490_kd2",
    "Attenuation of downwelling light at 490 nm, blue to green ratio (KD2)",
    _kd490_kd2,
    "kd490_kd2",
    quantity="ratio",
    needs=("blue", "green"),
)
_register(
    "kdpar_nechad", "Attenuation of photosynthetically active light from that at 490 nm", _kdpar_nechad, "kdpar_nechad"
)
_register(
    "kdpar_lee2007",
    "Attenuation of photosynthetically active light, mean of the euphotic zone, Lee et al. 2007",
    _kdpar_lee2007,
    "kdpar_lee2007",
)
_register(
    "zeu_lee2007", "Depth of the euphotic zone (1 % of light), Lee et al. 2007", _zeu_lee2007, "zeu_lee2007", unit="m"
)
_register("secchi_lee2015", "Secchi depth, Lee et al. 2015", _secchi_lee2015, "secchi_lee2015", unit="m")
_register(
    "secchi_pitarch2021",
    "Secchi depth, Lee et al. 2015 with the sensor polynomial of Pitarch and Vanhellemont 2021",
    _secchi_pitarch2021,
    "secchi_pitarch2021",
    unit="m",
)
