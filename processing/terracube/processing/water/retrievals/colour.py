"""The colour of water as the eye would see it: hue angle and number on the scale of Forel and Ule.

Weighted sums of the visible bands stand for the tristimulus values X, Y, Z of the CIE observer of 1931. The hue angle
is that of the chromaticity (x, y) around white (1/3, 1/3), counted from the x axis: 230 degrees is indigo, 100 green,
40 brown. A polynomial of the sensor corrects what the few bands miss. Weights and polynomial belong together, so that
a set is taken whole or not at all: of the sets of a sensor, the first whose bands are all there.

References
----------
Van der Woerd and Wernand 2015, doi:10.3390/s151025663 (MODIS, MERIS, OLCI), and 2018, doi:10.3390/rs10020180 (MSI,
OLI, ETM+). Novoa, Wernand, Van der Woerd 2013, doi:10.2971/jeos.2013.13057 (hue angles of the scale).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

from terracube.core.errors import InputError, NotFoundError
from terracube.processing.formula import arctan2, maximum, minimum, where
from terracube.processing.water.coefficients import load_coefficients
from terracube.processing.water.retrievals.base import Bands, Formula, Retrieval, Retrieved, register_retrieval
from terracube.processing.water.retrievals.optics import polynomial
from terracube.processing.water.sensors import WaterSensor

_WHITE = 1.0 / 3.0


def tristimulus(bands: Mapping[str, Any], weights: Mapping[str, Sequence[float]]) -> tuple[Any, Any, Any]:
    """Give X, Y, Z as weighted sums of bands.

    Examples
    --------
    >>> tristimulus({"green": 2.0, "red": 1.0}, {"green": [50.0, 60.0, 2.0], "red": [30.0, 15.0, 0.0]})
    (130.0, 135.0, 4.0)
    """
    x, y, z = (sum(bands[role] * weight[axis] for role, weight in weights.items()) for axis in range(3))
    return x, y, z


def hue_of(x: Any, y: Any) -> Any:
    """Give the angle of a chromaticity around white, 0 to 360 degrees.

    Examples
    --------
    >>> round(float(hue_of(0.3649, 0.4220)), 2)
    70.4
    """
    angle = arctan2(y - _WHITE, x - _WHITE) * (180.0 / math.pi)
    return where(angle < 0.0, angle + 360.0, angle)


def raw_hue(bands: Mapping[str, Any], weights: Mapping[str, Sequence[float]]) -> tuple[Any, Any]:
    """Give the hue angle that the bands alone make (degrees), and the sum X + Y + Z."""
    x, y, z = tristimulus(bands, weights)
    total = x + y + z
    return hue_of(x / total, y / total), total


def corrected_hue(raw: Any, known: Mapping[str, Any]) -> tuple[Any, Any]:
    """Correct the hue angle of the sensor's bands (degrees), and say where there is no correction.

    Parameters
    ----------
    raw : value
        Hue angle of the bands alone, degrees.
    known : mapping
        ``correction``: polynomial of the angle over 100 degrees, from the constant upwards; ``fit``: the angles
        between which it holds. Beyond them it runs to hundreds of degrees.
    """
    hue = raw + polynomial(known["correction"], raw * 0.01)
    lowest, highest = known["fit"]
    return hue, (raw < lowest) | (raw > highest) | (hue < 0.0) | (hue > 360.0)


def class_of(hue: Any, limits: Sequence[float]) -> Any:
    """Give the number on the scale of Forel and Ule, 1 (indigo) to 21 (cola brown).

    Parameters
    ----------
    hue : value
        Hue angle, degrees.
    limits : sequence
        22 angles, falling: upper end of the scale, limits between its numbers, lower end. What lies beyond an end
        belongs to the number at that end.

    Examples
    --------
    >>> import numpy as np
    >>> class_of(np.array([240.0, 200.0, 100.0, 35.0, 5.0]), [229.4 - 10 * i for i in range(22)]).tolist()
    [1.0, 3.0, 13.0, 20.0, 21.0]
    """
    number: Any = 1.0
    for limit in limits[1:-1]:
        number = number + where(hue <= limit, 1.0, 0.0)
    # No hue, no number: the comparisons above are false then.
    return number + 0.0 * hue


def index_of(hue: Any, limits: Sequence[float]) -> Any:
    """Give the place on the scale of Forel and Ule without steps: n - 0.5 to n + 0.5 across number n.

    Examples
    --------
    >>> float(index_of(95.0, [100.0, 90.0, 80.0]))
    1.0
    """
    return _between(hue, limits, [number + 0.5 for number in range(len(limits))])


def wavelength_of(hue: Any, angles: Sequence[float], wavelengths: Sequence[float]) -> Any:
    """Give the wavelength (nm) of the spectral colour of this hue, linear between the angles (falling).

    Examples
    --------
    >>> float(wavelength_of(95.0, [100.0, 90.0, 80.0], [540.0, 545.0, 550.0]))
    542.5
    """
    return _between(hue, angles, wavelengths)


def _between(x: Any, falling: Sequence[float], values: Sequence[float]) -> Any:
    """Interpolate in a table whose arguments fall and values rise; beyond its ends the values there."""
    found: Any = values[0]
    for (upper, first), (lower, last) in pairwise(zip(falling, values, strict=True)):
        step = (upper - x) * ((last - first) / (upper - lower))
        found = found + maximum(minimum(step, last - first), 0.0)
    return found


def _sets(sensor: WaterSensor) -> Mapping[str, Any]:
    """Give the sets of weights for a sensor, by name, the one with the most bands first."""
    family = load_coefficients("hue_angle")
    found = family.find(sensor.name)
    if found is None:
        raise NotFoundError(
            "the formula has no coefficients for this sensor",
            where="hue_angle",
            expected=", ".join(sorted({name for one in family.sets for name in one.sensors})),
            got=sensor.name,
        )
    return found.values


@dataclass(frozen=True, slots=True)
class ColourRetrieval(Retrieval):
    """A product of the hue angle: which bands it needs depends on the sensor."""

    def roles(self, sensor: WaterSensor) -> tuple[str, ...]:
        """Give the roles of the smallest set of weights."""
        choices: list[tuple[str, ...]] = [tuple(one["weights"]) for one in _sets(sensor).values()]
        return min(choices, key=len)

    def optional(self, sensor: WaterSensor) -> tuple[str, ...]:
        """Give the roles that larger sets have besides."""
        needed = self.roles(sensor)
        every = (role for one in _sets(sensor).values() for role in one["weights"])
        return tuple(dict.fromkeys(role for role in every if role not in needed))


def _hue(bands: Bands) -> tuple[Any, Any]:
    """Give the hue angle by the largest set whose bands are all there, and where the spectrum has none."""
    sets = _sets(bands.sensor).values()
    known = next((one for one in sets if all(role in bands for role in one["weights"])), None)
    if known is None:
        raise InputError(
            "the bands are not enough for a hue angle",
            where=bands.sensor.name,
            expected=" or ".join(", ".join(one["weights"]) for one in sets),
            got=", ".join(bands.values),
        )
    raw, total = raw_hue(bands.values, known["weights"])
    hue, beyond = corrected_hue(raw, known)
    darkest = reduce(minimum, (bands[role] for role in known["weights"]))
    return hue, (darkest < 0.0) | (total <= 0.0) | beyond


def _hue_angle(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
    hue, outside = _hue(bands)
    return Retrieved(hue, outside=outside)


def _forel_ule(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    hue, outside = _hue(bands)
    return Retrieved(class_of(hue, known["limits"]), outside=outside)


def _forel_ule_index(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    hue, outside = _hue(bands)
    return Retrieved(index_of(hue, known["limits"]), outside=outside)


def _dominant_wavelength(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    hue, outside = _hue(bands)
    return Retrieved(wavelength_of(hue, known["angles"], known["wavelengths"]), outside=outside)


def _register(name: str, title: str, unit: str, formula: Formula) -> None:
    register_retrieval(
        ColourRetrieval(
            name=name,
            title=title,
            unit=unit,
            quantity="any",
            needs=("green", "red"),
            formula=formula,
            coefficients=name,
            built_on=() if name == "hue_angle" else ("hue_angle",),
        )
    )


_register("hue_angle", "Hue angle of the water", "degree", _hue_angle)
_register("forel_ule", "Number on the scale of Forel and Ule, 1 (indigo) to 21 (cola brown)", "1", _forel_ule)
_register("forel_ule_index", "Place on the scale of Forel and Ule, without steps", "1", _forel_ule_index)
_register("dominant_wavelength", "Dominant wavelength of the water's colour", "nm", _dominant_wavelength)
