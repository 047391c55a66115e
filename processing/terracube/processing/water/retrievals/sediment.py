"""Suspended matter and turbidity from the reflectance of water.

Single-band laws saturate: reflectance in a band no longer grows with the load, the earlier the shorter the wavelength.
Switching laws (Dogliotti, Novoa, Jiang) therefore go from green to red to near infrared. All loads are g m-3, which is
mg L-1, turbidities FNU. The numbers lie in ``water/coefficients``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from terracube.core.errors import NotFoundError
from terracube.processing.formula import exp, log, log10, maximum, minimum, power, sqrt, where
from terracube.processing.water.coefficients import CoefficientSet
from terracube.processing.water.retrievals.base import Bands, Key, Retrieval, Retrieved, register_retrieval
from terracube.processing.water.sensors import WaterSensor

_SPM, _TURBIDITY = "g m-3", "FNU"
# Bands of 645 and 859 nm, for which some laws were made: MODIS has them beside its ocean bands.
_MODIS_RED, _MODIS_NIR = 645, 859
# Laws of the near infrared near 865 nm do not hold at the 840 nm of TM and ETM+: the key leaves these sensors without.
_NIR = 865
_LONGER = ("rededge1", "rededge2", "rededge3", "nir", "nir08")


class _SingleBand(Retrieval):
    """A law of one band: a sensor has it only if the table has numbers for that band."""

    __slots__ = ()

    def coefficient_set(self, sensor: WaterSensor) -> CoefficientSet:
        found = Retrieval.coefficient_set(self, sensor)
        if self.needs[0] not in found.values:
            raise NotFoundError(
                "the formula has no coefficients for this band of the sensor",
                where=self.name,
                expected=", ".join(name for name in found.values if name != "saturation"),
                got=str(self.needs[0]),
            )
        return found


def hyperbola(x: Any, law: Mapping[str, float]) -> Any:
    """Give ``a x / (1 - x / c)``: the load for the reflectance of one band, which cannot pass ``c``.

    Parameters
    ----------
    x : value
        Water reflectance (pi Rrs), no unit.
    law : mapping
        ``a`` in the unit of the load, ``c`` without unit.

    Returns
    -------
    value
        Load in the unit of ``a``; negative or infinite from ``c`` on: the caller cuts before.

    References
    ----------
    Nechad, Ruddick & Park 2010, doi:10.1016/j.rse.2009.11.022, equation 12.

    Examples
    --------
    >>> round(hyperbola(0.05, {"a": 355.85, "c": 0.1728}), 3)
    25.037
    """
    return law["a"] * x / (1 - x / law["c"])


def _nechad(role: str, bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    x, law = bands[role], known[role]
    # Half of the asymptote: from there on small errors of the reflectance become large ones of the load.
    return Retrieved(hyperbola(x, law), outside=x < 0, saturated=x >= known["saturation"] * law["c"])


def _dogliotti(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    red = _first(bands, _MODIS_RED, "red")
    low, high = known["switch"]
    of_red = hyperbola(red, known["red"])
    if "nir08" not in bands and _MODIS_NIR not in bands:
        # The red law alone, as far as it goes alone.
        return Retrieved(of_red, outside=(red < 0) | (red > low))
    nir = _first(bands, _MODIS_NIR, "nir08")
    weight = minimum(maximum((red - low) / (high - low), 0.0), 1.0)
    of_nir = hyperbola(nir, known["nir"])
    mixed = (1 - weight) * of_red + weight * of_nir
    # A law without weight may be infinite, at its asymptote, or made of noise: it must not enter the sum.
    value = where(weight <= 0, of_red, where(weight >= 1, of_nir, mixed))
    saturated = (weight > 0) & (nir >= known["nir"]["c"])
    return Retrieved(value, outside=(red < 0) | ((weight > 0) & (nir < 0)), saturated=saturated)


def _first(bands: Bands, wavelength: int, role: str) -> Any:
    """Give the band of a wavelength where there is one, else that of the role."""
    return bands[wavelength] if wavelength in bands else bands[role]


def _switching(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Give the load by the laws of green, red and near infrared with logarithmic weights between them."""
    green, red = bands["green"], bands["red"]
    of_red = known["red"] * red
    clear = _share(red, known["green_red"])
    load = clear * (known["green"] * green) + (1 - clear) * of_red
    if _NIR not in bands:
        return load
    nir = bands[_NIR]
    of_nir = known["nir"][0] * nir + known["nir"][1] * nir * nir
    turbid = _share(red, known["red_nir"])
    return where(red > known["red_nir"][0], turbid * of_red + (1 - turbid) * of_nir, load)


def _blind(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Say where the water is too turbid for the red law, and the infrared says nothing: missing, or taken off."""
    if _NIR not in bands:
        return False
    return (bands["red"] > known["red_nir"][0]) & ~(bands[_NIR] > 0)


def _share(x: Any, bounds: list[float]) -> Any:
    """Give the share of the law below the bounds: 1 up to the lower, 0 from the upper, logarithmic between."""
    low, high = bounds
    # Held within the bounds first: the logarithm of what is not positive never arises.
    return log(high / minimum(maximum(x, low), high)) / log(high / low)


def _novoa(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    outside = (bands["green"] < 0) | (bands["red"] < 0) | _blind(bands, known)
    return Retrieved(_switching(bands, known), outside=outside)


def _ratio(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Give log10 of the load by the cubic of red over green, which is held where the data ended."""
    x = minimum(bands["red"] / bands["green"], known["most"])
    k = known["k"]
    return k[0] + x * (k[1] + x * (k[2] + x * k[3]))


def _qiu(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    return Retrieved(10.0 ** _ratio(bands, known), outside=(bands["green"] <= 0) | (bands["red"] < 0))


def _blend(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    """Mix a ratio law and a switching law geometrically; the weight is logistic in the logarithm of the red band.

    In clear water the red band is small and what it gives per load differs from place to place (organic flocs,
    offsets of the reflectance); the ratio of red to green suffers less. In turbid water the ratio saturates, and the
    brightness of the red, then of the near infrared, carries the load.
    """
    red, green = bands["red"], bands["green"]
    weight = 1 / (1 + power(red / known["centre"], known["steepness"]))
    mixed = weight * _ratio(bands, known["ratio"]) + (1 - weight) * log10(_switching(bands, known["bands"]))
    return Retrieved(10.0**mixed, outside=(green <= 0) | (red <= 0) | _blind(bands, known["bands"]))


def _jiang(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    blue, green, edge = (bands[role] for role in ("blue", "green", "rededge2"))
    a, yellow = _absorptions(bands, known), _yellow(bands, known)
    load = {role: _load_of_backscattering(bands[role], a[role], role, known) for role in a}
    turbid = where((edge > blue) & (edge > known["extreme"]), load["nir08"], load["rededge2"])
    value = where(blue > green, load["green"], where(blue > yellow, load["red"], turbid))
    return Retrieved(value, outside=value < 0)


def _absorptions(bands: Bands, known: Mapping[str, Any]) -> dict[str, Any]:
    """Give the absorption at each band of reference, m-1: that of water alone in the infrared."""
    below = {role: _below(bands[role], known) for role in ("coastal", "blue", "green", "red")}
    shape = (below["coastal"] + below["blue"]) / (below["green"] + 5 * below["red"] * below["red"] / below["blue"])
    x = log10(shape)
    of_water, k, (factor, exponent) = known["aw"], known["a_green"], known["a_red"]
    more_red = factor * power(bands["red"] / (bands["coastal"] + bands["blue"]), exponent)
    more_green = 10.0 ** (k[0] + x * (k[1] + x * k[2]))
    return dict(of_water) | {"green": of_water["green"] + more_green, "red": of_water["red"] + more_red}


def _yellow(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Give the reflectance at 620 nm: measured, or from that at 665 nm where the sensor has no such band."""
    if "yellow" in bands:
        return bands["yellow"]
    k, red = known["yellow"], bands["red"]
    return k[0] + red * (k[1] + red * (k[2] + red * k[3]))


def _below(x: Any, known: Mapping[str, Any]) -> Any:
    """Give the reflectance just below the surface (Lee et al. 2002, doi:10.1364/AO.41.005755)."""
    across, back = known["below"]
    return x / (across + back * x)


def _load_of_backscattering(x: Any, a: Any, role: str, known: Mapping[str, Any]) -> Any:
    g0, g1 = known["g"]
    u = (sqrt(g0 * g0 + 4 * g1 * _below(x, known)) - g0) / (2 * g1)
    return known["scale"][role] * (u * a / (1 - u) - known["bbw"][role])


def _gaa(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    blue, green, red, edge, nir = (bands[key] for key in ("blue", "green", "red", 746, "nir08"))
    total = (red + edge + nir) * green
    index = (
        known["green_blue"] * green / blue
        + (known["red_green"] * red * red + known["rededge_green"] * edge * edge + known["nir_green"] * nir * nir)
        / total
    )
    factor, exponent = known["power"]
    return Retrieved(factor * power(index, exponent), outside=(blue <= 0) | (green <= 0) | (total <= 0))


def _petus(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    red, k = _first(bands, _MODIS_RED, "red"), known["k"]
    return Retrieved(k[0] + red * (k[1] + red * k[2]), outside=red < 0)


def _miller(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    load = known["k"][0] + known["k"][1] * _first(bands, _MODIS_RED, "red")
    return Retrieved(load, outside=load < 0)


def _lymburner(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    factor, exponent = known["power"]
    mean = (bands["green"] + bands["red"]) / 2
    return Retrieved(factor * exp(exponent * log(mean)), outside=mean <= 0)


def _register_single_band(family: str, title: str, unit: str, roles: tuple[str, ...]) -> None:
    """Register the law of a family for the red band under its name, for other bands under ``<family>_<role>``."""
    for role in roles:
        name, of = (family, "") if role == "red" else (f"{family}_{role}", f" ({role} band)")
        register_retrieval(
            _SingleBand(
                name=name,
                title=title + of,
                unit=unit,
                quantity="rhow",
                needs=(role,),
                formula=partial(_nechad, role),
                coefficients=family,
            )
        )


def _register(name: str, title: str, formula: Any, needs: tuple[Key, ...], **facts: Any) -> None:
    told = {"unit": _SPM, "quantity": "rhow", "coefficients": name} | facts
    register_retrieval(Retrieval(name=name, title=title, formula=formula, needs=needs, **told))


_SINGLE: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("spm_nechad2010", "Suspended matter, Nechad 2010", _SPM, ("red", "green", *_LONGER)),
    ("turbidity_nechad2009", "Turbidity, Nechad 2009", _TURBIDITY, ("red", *_LONGER)),
    ("spm_nechad2010_srf", "Suspended matter, Nechad 2010 over the spectral response", _SPM, ("red", *_LONGER)),
    ("turbidity_nechad2009_srf", "Turbidity, Nechad 2009 over the spectral response", _TURBIDITY, ("red", *_LONGER)),
    ("spm_nechad2016", "Suspended matter, Nechad 2016", _SPM, ("red", *_LONGER)),
    ("turbidity_nechad2016", "Turbidity, Nechad 2016", _TURBIDITY, ("red", *_LONGER)),
    ("spm_obs2co", "Suspended matter, coefficients of WaterDetect (OBS2CO)", _SPM, ("red", "green", *_LONGER)),
)
for _family, _title, _unit, _roles in _SINGLE:
    _register_single_band(_family, _title, _unit, _roles)
_register(
    "turbidity_dogliotti2015",
    "Turbidity, red to near infrared, Dogliotti 2015",
    _dogliotti,
    ("red",),
    unit=_TURBIDITY,
    also=("nir08", _MODIS_RED, _MODIS_NIR),
)
_register(
    "spm_novoa2017", "Suspended matter, green to near infrared, Novoa 2017", _novoa, ("green", "red"), also=(_NIR,)
)
_register("spm_qiu2013", "Suspended matter, red over green, Qiu 2013", _qiu, ("green", "red"), quantity="ratio")
_register("spm_blend", "Suspended matter, blend of ratio and switching laws", _blend, ("green", "red"), also=(_NIR,))
_register(
    "spm_jiang2021",
    "Suspended matter, semi-analytical, Jiang 2021",
    _jiang,
    ("coastal", "blue", "green", "red", "rededge2", "nir08"),
    quantity="rrs",
    also=("yellow",),
)
_register(
    "spm_gaa2019",
    "Suspended matter, sum of band ratios, Yu 2019",
    _gaa,
    ("blue", "green", "red", 746, "nir08"),
    quantity="ratio",
)
_register("spm_petus2010", "Suspended matter, Petus 2010", _petus, ("red",), quantity="rrs", also=(_MODIS_RED,))
_register(
    "spm_miller2004", "Suspended matter, Miller and McKee 2004", _miller, ("red",), quantity="rrs", also=(_MODIS_RED,)
)
_register("spm_lymburner2016", "Suspended matter, Lymburner 2016", _lymburner, ("green", "red"))
