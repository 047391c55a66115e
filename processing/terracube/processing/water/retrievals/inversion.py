"""What is in the water, sought so that a model of its colour meets the reflectance of all bands at once.

Absorption is that of pure water, phytoplankton, dissolved matter and particles, backscattering that of water and
particles; the reflectance below the surface follows Lee, Carder and Du 2004, doi:10.1364/AO.43.004957, in which
molecules and particles have their own share. Sought are four logarithms, by a fixed number of Gauss-Newton steps from a
start that the spectrum itself gives, with broad log-normal priors (optimal estimation, Rodgers 2000,
doi:10.1142/3171). Every pixel takes the same steps, so that the whole is one formula and the noise of the bands can be
carried through it. What a correction of the atmosphere left over the water may be a fifth unknown: an offset that falls
with the wavelength.

The model is run on the properties averaged over the response of a band; the logarithm of its reflectance is then lifted
by what averaging the reflectance itself adds, linearised around the water of the priors.

How much a milligram of chlorophyll absorbs is known to a factor of two at best, and this is what separates the two
retrievals: phytoplankton of coasts and lakes (Bi et al. 2023), and of the ocean (Lee et al. 1998), whose chlorophyll is
more for the same colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.formula import exp, isfinite, log, maximum, minimum, where
from terracube.processing.water.retrievals.base import Bands, Key, Retrieval, Retrieved, register_retrieval
from terracube.processing.water.sensors import band_average, pure_water, response_of

_NEEDS: tuple[Key, ...] = ("coastal", "blue", "green", "red")
# Not 681 nm: sunlight makes chlorophyll glow there, which the model leaves out.
_ALSO: tuple[Key, ...] = (412, 510, "yellow", "rededge1", "rededge2", "rededge3", "nir08")
_AMOUNTS = 4
"""Logarithms that are sought; where the coefficients name `haze`, that of the scene is the fifth unknown."""
_STEPS = 4
_LONGEST = 1.5
"""No step changes a logarithm by more, nor haze by more standard deviations."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What the model holds fixed at a wavelength, or in a band: numbers, or arrays of them by wavelength."""

    aw: Any
    bbw: Any
    a0: Any
    a1: Any
    dissolved: Any
    particle: Any
    scattering: Any


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one band says."""

    place: _Place
    lift: tuple[float, ...]
    """What averaging the reflectance adds to the logarithm: a constant, then its change with each of the state."""
    rrs: Any
    """Logarithm of the reflectance below the surface."""
    weight: Any
    """One over the variance of that logarithm; 0 where the band is missing."""
    haze: float
    """What haze of one standard deviation adds to the reflectance below the surface, sr-1; 0: none is sought."""


def spectral_properties(nm: NDArray[np.float64], known: Mapping[str, Any]) -> _Place:
    """Give by wavelength (nm) what the model holds fixed."""
    wavelength, aw, bbw = pure_water()
    pigment = known["pigment"]
    a0 = np.interp(nm, pigment["wavelength"], pigment["a0"], left=0.0, right=0.0)
    a1 = np.interp(nm, pigment["wavelength"], pigment.get("a1", [0.0] * len(pigment["a0"])), left=0.0, right=0.0)
    return _Place(
        np.interp(nm, wavelength, aw, right=math.nan),
        np.interp(nm, wavelength, bbw, right=math.nan),
        a0,
        a1,
        np.exp(-known["dissolved"] * (nm - 440.0)),
        np.exp(-known["particle"] * (nm - 443.0)),
        (nm / 555.0) ** -known["backscattering"],
    )


def _band_properties(sensor: str, role: str, known: Mapping[str, Any]) -> tuple[_Place, tuple[float, ...]]:
    """Give what the model holds fixed in a band, and what averaging the reflectance itself adds to its logarithm.

    The latter is a constant and its change with each of the state, found by differences over a factor of e around the
    water of the priors.
    """
    nm = response_of(sensor, role).wavelength
    spectral = spectral_properties(nm, known)
    place = _Place(*(float(band_average(sensor, role, nm, getattr(spectral, one.name))) for one in fields(_Place)))
    usual = [math.log(one) for one in known["prior"]["median"]]

    def lift(number: int, change: float) -> float:
        state = [one + change * (i == number) for i, one in enumerate(usual)]
        inside = band_average(sensor, role, nm, np.exp(forward(state, spectral, known)[0]))
        return math.log(inside) - float(forward(state, place, known)[0])

    slopes = [0.5 * (lift(i, 1.0) - lift(i, -1.0)) for i in range(len(usual))]
    constant = lift(0, 0.0) - sum(slope * one for slope, one in zip(slopes, usual, strict=True))
    return place, (constant, *slopes)


def pigment_absorption(chlorophyll: Any, place: _Place, known: Mapping[str, Any]) -> tuple[Any, Any]:
    """Give the absorption of phytoplankton (m-1) and its derivative by the logarithm of chlorophyll.

    Parameters
    ----------
    chlorophyll : value
        Its natural logarithm, of mg m-3.
    """
    law = known["pigment"]
    rise: Any = law["exponent"]
    power = chlorophyll * rise
    if "linear_below" in law:
        knee = math.log(law["linear_below"]) * (rise - 1.0)
        linear = chlorophyll + knee
        rise = where(linear < power, 1.0, rise)
        power = minimum(linear, power)
    power = power + math.log(law["scale"])
    p = exp(power)
    if not np.any(place.a1):
        return p * place.a0, p * place.a0 * rise
    share = place.a0 + power * place.a1
    held = maximum(share, place.a0 * 0.05)
    return p * held, p * rise * where(share > place.a0 * 0.05, held + place.a1, held)


def forward(state: Sequence[Any], place: _Place, known: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """Give the logarithm of the reflectance just below the surface, and its derivatives by the state.

    Parameters
    ----------
    state : sequence of four values
        Natural logarithms of what `prior` of the coefficients lists.
    """
    of_water, g0, g1, g2 = known["reflectance"]
    pigment, rising = pigment_absorption(state[0], place, known)
    dissolved = exp(state[1]) * place.dissolved
    load = exp(state[2])
    scattered = load * place.scattering
    particle = exp(state[3]) * load * place.particle
    k = 1.0 / (pigment + dissolved + particle + scattered + (place.aw + place.bbw))
    y = scattered * k
    decay = exp(y * -g2) * g1
    shape = (1.0 - decay) * g0
    water = k * (of_water * place.bbw)
    rrs = water + shape * y
    # d rrs / d y at constant K, and with it the relative change of rrs with any absorption.
    slope = shape + y * decay * (g0 * g2)
    by_load = slope * y / rrs
    by_absorption = k * (water / rrs + by_load)
    down = 0.0 - by_absorption
    return log(rrs), [
        down * rising,
        down * dissolved,
        by_load + down * (particle + scattered),
        down * particle,
    ]


def _roles(bands: Bands) -> list[str]:
    keys = [*_NEEDS, *(key for key in _ALSO if key in bands)]
    roles = dict.fromkeys(bands.optics(key).role for key in keys)
    return [role for role in roles if math.isfinite(bands.optics(role).aw)]


def _below(rhow: Any, known: Mapping[str, Any]) -> Any:
    rrs = rhow * (1.0 / math.pi)
    return rrs / (rrs * known["crossing"][1] + known["crossing"][0])


def _look(bands: Bands, known: Mapping[str, Any]) -> dict[str, _Seen]:
    """Take what the bands say, with less weight the less light there is beside the noise."""
    seen = {}
    for role in _roles(bands):
        noise = bands.optics(role).noise
        # Below its noise a band only says that there is not more light than that.
        held = maximum(bands[role], noise)
        place, lift = _band_properties(bands.sensor.name, role, known)
        relative = noise / held
        there = isfinite(bands[role])
        weight = where(there, 1.0 / (relative * relative + known["closure"] ** 2), 0.0)
        haze = known.get("haze", 0.0) * 550.0 / bands.optics(role).wavelength / (math.pi * known["crossing"][0])
        seen[role] = _Seen(place, lift, where(there, log(_below(held, known)), 0.0), weight, haze)
    return seen


def _start(seen: Mapping[str, _Seen], known: Mapping[str, Any]) -> list[Any]:
    """Give a state near the spectrum: particles from the red, the absorption in the blue halved among what absorbs."""
    red, blue = seen["red"].place, seen["coastal"].place
    y = minimum(exp(seen["red"].rrs) * 10.0, 0.8)
    load = maximum(y / (1.0 - y) * (red.aw + 0.1) - red.bbw, 1e-4)
    y = minimum(exp(seen["coastal"].rrs) * 10.0, 0.8)
    half = maximum((load * blue.scattering + blue.bbw) * (1.0 - y) / y - blue.aw, 0.01) * 0.5
    law = known["pigment"]
    chlorophyll = (log(half) - math.log(law["scale"] * blue.a0)) / law["exponent"]
    state = [chlorophyll, log(half), log(load), math.log(known["prior"]["median"][3])]
    return [*state, 0.0] if "haze" in known else state


def _step(state: Sequence[Any], seen: Mapping[str, _Seen], known: Mapping[str, Any]) -> list[Any]:
    """Take one step of Gauss and Newton towards what bands and priors say together."""
    n = len(state)
    usual = [*(math.log(one) for one in known["prior"]["median"]), 0.0]
    sure = [*(1.0 / one**2 for one in known["prior"]["spread"]), 1.0]
    pull: list[Any] = [(usual[i] - state[i]) * sure[i] for i in range(n)]
    matrix: list[list[Any]] = [[sure[i] if i == j else 0.0 for j in range(i + 1)] for i in range(n)]
    for one in seen.values():
        found, slopes = _expected(state, one, known)
        far = (one.rrs - found) * one.weight
        for i in range(n):
            pull[i] = pull[i] + slopes[i] * far
            weighted = slopes[i] * one.weight
            for j in range(i + 1):
                matrix[i][j] = matrix[i][j] + weighted * slopes[j]
    change = solve(matrix, pull)
    return [state[i] + _tamed(change[i], amount=i < _AMOUNTS) for i in range(n)]


def _expected(state: Sequence[Any], one: _Seen, known: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """Give the logarithm of what a band would see, averaging and haze included, and its derivatives by the state."""
    found, slopes = forward(state[:_AMOUNTS], one.place, known)
    found = found + one.lift[0]
    for i, slope in enumerate(one.lift[1:]):
        found = found + state[i] * slope
        slopes[i] = slopes[i] + slope
    if one.haze == 0.0:
        return found, slopes
    clean = exp(found)
    # Haze below zero cannot take all the light away.
    whole = maximum(clean + state[_AMOUNTS] * one.haze, clean * 0.2)
    share = clean / whole
    return log(whole), [*(slope * share for slope in slopes), one.haze / whole]


def _tamed(change: Any, *, amount: bool) -> Any:
    """Shorten a step: of a logarithm upwards as if the reflectance went with the amount itself; none is too long."""
    if amount:
        change = log(1.0 + maximum(change, 0.0)) + minimum(change, 0.0)
    return maximum(minimum(change, _LONGEST), -_LONGEST)


def solve(matrix: Sequence[Sequence[Any]], right: Sequence[Any]) -> list[Any]:
    """Solve a symmetric positive definite system, given its lower triangle, by L D L^T."""
    n = len(right)
    lower: list[list[Any]] = [[0.0] * n for _ in range(n)]
    inverse: list[Any] = [0.0] * n
    scaled: list[list[Any]] = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = matrix[i][j]
            for k in range(j):
                rest = rest - scaled[i][k] * lower[j][k]
            if i == j:
                inverse[i] = 1.0 / rest
            else:
                scaled[i][j] = rest
                lower[i][j] = rest * inverse[j]
    found = list(right)
    for i in range(n):
        for k in range(i):
            found[i] = found[i] - lower[i][k] * found[k]
    found = [found[i] * inverse[i] for i in range(n)]
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            found[i] = found[i] - lower[k][i] * found[k]
    return found


def invert(bands: Bands, known: Mapping[str, Any], steps: int = _STEPS) -> list[Any]:
    """Give the logarithms of what is in the water (order of `prior`), and the haze in standard deviations if sought.

    Parameters
    ----------
    bands : Bands
        Water reflectance (pi Rrs).
    known : mapping
        A set of the coefficients ``chl_inversion``.
    """
    seen = _look(bands, known)
    state = _start(seen, known)
    for _ in range(steps):
        state = _step(state, seen, known)
    return state


def _chlorophyll(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    brightest = maximum(_below(bands["green"], known), _below(bands["red"], known))
    return Retrieved(exp(invert(bands, known)[0]), saturated=brightest >= known["brightest"])


def _register(name: str, title: str, weak: bool) -> None:
    register_retrieval(
        Retrieval(
            name=name,
            title=title,
            unit="mg m-3",
            quantity="rhow",
            needs=_NEEDS,
            formula=_chlorophyll,
            coefficients=name,
            also=_ALSO,
            cf_name="mass_concentration_of_chlorophyll_a_in_sea_water",
            weak=weak,
        )
    )


_register("chl_inversion", "Chlorophyll a, bio-optical inversion of all bands, pigment law of Bi et al. 2023", False)
_register(
    "chl_inversion_lee1998",
    "Chlorophyll a, bio-optical inversion of all bands, pigment law of the ocean (Lee et al. 1998)",
    True,
)
