"""Chlorophyll a: ratios of blue to green, the colour index of clear water, and red against the red edge.

Blue-green ratios and the colour index serve clear and oceanic water; where sediment and dissolved matter colour the
water they see these, and the red-edge formulas (about 3 mg m-3 and more) take over. None is right everywhere: a value
outside of what a formula is for is NaN with its reason, and no value is silently turned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from terracube.processing.formula import exp, log10, maximum, minimum, power, where
from terracube.processing.water.retrievals.base import (
    Bands,
    Formula,
    Key,
    Retrieval,
    Retrieved,
    register_retrieval,
)

_CF_NAME = "mass_concentration_of_chlorophyll_a_in_sea_water"
_BLUES: tuple[Key, ...] = ("coastal", "blue")


def _polynomial(numbers: Sequence[float], x: Any) -> Any:
    """Sum of ``numbers[i] * x**i``, from the highest power down."""
    total: Any = numbers[-1]
    for number in reversed(numbers[:-1]):
        total = total * x + number
    return total


def band_ratio(values: Sequence[Any], below: Any) -> Any:
    """Largest of some bands over another one: what the OC formulas see of a spectrum."""
    largest = values[0]
    for value in values[1:]:
        largest = maximum(largest, value)
    return largest / below


def ocx(ratio: Any, known: Mapping[str, Any]) -> Retrieved:
    """Polynomial of the logarithm of a band ratio, ``log10(chl) = sum(a_i * log10(ratio)**i)``.

    Parameters
    ----------
    ratio : value
        Largest blue over green reflectance.
    known : mapping
        ``a`` and the ``ratio`` limits between which spectra of water lie.

    References
    ----------
    O'Reilly and Werdell (2019), Remote Sensing of Environment 229, 32-47, doi:10.1016/j.rse.2019.04.021.

    Examples
    --------
    Where blue equals green, the first coefficient alone counts:

    >>> known = {"a": [0.3308, -2.6684, 1.599, 0.5525, -1.4876], "ratio": [0.21, 30.0]}
    >>> round(float(ocx(1.0, known).value), 3)
    2.142
    """
    low, high = known["ratio"]
    value = power(10.0, _polynomial(known["a"], log10(ratio)))
    return Retrieved(value, outside=(ratio < low) | (ratio > high))


def _oc(blues: tuple[Key, ...]) -> Formula:
    def formula(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
        return ocx(band_ratio([bands[key] for key in blues], bands["green"]), known)

    return formula


def _oc6(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    blues = [bands[key] for key in (412, "coastal", "blue", 510)]
    return ocx(band_ratio(blues, (bands["green"] + bands["red"]) * 0.5), known)


def green_at_555(green: Any, known: Mapping[str, Any]) -> Any:
    """Move the reflectance of a green band to 555 nm.

    Two branches for dark and bright water meet at ``limit``; without ``shift`` the band lies there already.

    References
    ----------
    Hu et al. (2019), Journal of Geophysical Research: Oceans 124, 1524-1543, doi:10.1029/2019JC014941.
    """
    shift = known.get("shift")
    if shift is None:
        return green
    slope, offset = shift["log"]
    factor, rest = shift["line"]
    return where(green < shift["limit"], power(10.0, slope * log10(green) + offset), factor * green + rest)


def colour_index(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Height of the green over the line from blue to red, sr-1; below zero in clear water.

    Wavelengths are taken in whole nanometres, the green at 555.

    References
    ----------
    Hu, Lee and Franz (2012), Journal of Geophysical Research 117, C01011, doi:10.1029/2011JC007395.
    """
    blue, red = (round(bands.optics(key).wavelength) for key in ("coastal", "red"))
    share = (555 - blue) / (red - blue)
    return green_at_555(bands["green"], known) - (bands["coastal"] + share * (bands["red"] - bands["coastal"]))


def _index_chlorophyll(bands: Bands, known: Mapping[str, Any]) -> Any:
    return power(10.0, known["a"][0] + known["a"][1] * colour_index(bands, known))


def _ci(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    value = _index_chlorophyll(bands, known)
    return Retrieved(value, outside=value > known["limit"])


def _oci(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    with_510 = "oc4" in known and 510 in bands
    blues = [bands[key] for key in (*_BLUES, *((510,) if with_510 else ()))]
    wide = ocx(
        band_ratio(blues, bands["green"]),
        {"a": known["oc4" if with_510 else "oc3"], "ratio": known["ratio"]},
    )
    clear = _index_chlorophyll(bands, known)
    low, high = known["between"]
    weight = minimum(maximum((clear - low) / (high - low), 0.0), 1.0)
    # Each of the two counts only where it has a weight: the other may have no value there.
    mixed = where(weight < 1.0, (1.0 - weight) * clear, 0.0) + where(weight > 0.0, weight * wide.value, 0.0)
    return Retrieved(mixed, outside=(weight > 0.0) & wide.outside)


def red_edge_ratio(bands: Bands) -> Any:
    """Reflectance near 705 nm over the one near 665 nm: the more chlorophyll, the larger."""
    return bands["rededge1"] / bands["red"]


def three_band(bands: Bands, third: Key = "rededge2") -> Any:
    """Difference of the reciprocals at 665 and 705 nm, times the reflectance at 754 nm, where water alone absorbs."""
    return bands[third] * (1.0 / bands["red"] - 1.0 / bands["rededge1"])


def _rising(numbers: Sequence[float], x: Any) -> Retrieved:
    """Polynomial of first or second order, as far as it rises with ``x`` and is above zero."""
    value = _polynomial(numbers, x)
    outside = value <= 0
    if len(numbers) == 3:
        outside = outside | (x < -numbers[1] / (2 * numbers[2]))
    return Retrieved(value, outside=outside)


def _of(index: Callable[[Bands], Any]) -> Formula:
    def formula(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
        line = known["a"]
        if "power" not in known:
            return _rising(line, index(bands))
        base = _polynomial(line, index(bands))
        return Retrieved(power(maximum(base, 0.0), known["power"]), outside=base <= 0)

    return formula


def ndci(bands: Bands) -> Any:
    """Normalized difference of the bands near 705 and 665 nm."""
    return (bands["rededge1"] - bands["red"]) / (bands["rededge1"] + bands["red"])


def backscatter(nir: Any, known: Mapping[str, Any]) -> Any:
    """Backscattering at 778 nm from the water-leaving reflectance there, m-1 (Gons et al.)."""
    top, water, slope = known["bb"]
    return top * nir / (water - slope * nir)


def _gons_absorption(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Absorption by chlorophyll at 665 nm, m-1: zero and less has no meaning."""
    bb = backscatter(bands["rededge3"], known)
    edge, red = known["aw"]
    return red_edge_ratio(bands) * (edge + bb) - red - power(bb, known["p"])


def _gons(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    value = _gons_absorption(bands, known) / known["a_star"]
    low = red_edge_ratio(bands) <= known["ratio_above"]
    dark = bands["red"] <= known["red_above"]
    return Retrieved(value, outside=low | dark | (value <= 0))


def _bramich(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    absorption = _gons_absorption(bands, known)
    value = power(maximum(absorption, 0.0), known["power"]) / known["a_star"]
    return Retrieved(value, outside=absorption <= 0)


_TC2_KEYS: tuple[Key, ...] = ("coastal", "green", "red", "rededge1", "rededge2")


def _tc2(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    """Split absorption at 665 nm; the band where water alone absorbs is 709 nm, or 754 nm where algae are many."""
    aw, bbw, (g0, g1) = known["aw"], known["bbw"], known["g"]
    nm = [float(round(bands.optics(key).wavelength)) for key in _TC2_KEYS]
    rrs = [bands[key] / (0.52 + 1.7 * bands[key]) for key in _TC2_KEYS]
    u = [(((g0 * g0 + 4 * g1 * one) ** 0.5) - g0) / (2 * g1) for one in rrs]
    slope = 2.0 * (1.0 - 1.2 * exp(-0.9 * rrs[0] / rrs[1]))
    line = bands["red"] + (bands["rededge2"] - bands["red"]) * ((nm[3] - nm[2]) / (nm[4] - nm[2]))
    many = bands["rededge1"] - line > known["mci"]

    def particles(at: int, i: int) -> Any:
        return (u[at] * aw[at] / (1.0 - u[at]) - bbw[at]) * exp(slope * math.log(nm[at] / nm[i]))

    def absorption(i: int) -> Any:
        total = where(many, particles(4, i), particles(3, i)) + bbw[i]
        return (1.0 - u[i]) * total / u[i] - aw[i]

    eta = known["eta"]
    value = (absorption(2) - eta * absorption(1) - (1.0 - eta) * absorption(3)) / known["a_star"]
    return Retrieved(value, outside=value <= 0)


def _register(name: str, title: str, needs: tuple[Key, ...], formula: Formula, **more: Any) -> Retrieval:
    return register_retrieval(
        Retrieval(
            name=f"chl_{name}",
            title=f"Chlorophyll a, {title}",
            unit="mg m-3",
            quantity=more.pop("quantity", "rrs"),
            needs=needs,
            formula=formula,
            coefficients=f"chl_{name}",
            cf_name=_CF_NAME,
            **more,
        )
    )


_TWO: tuple[Key, ...] = ("red", "rededge1")
_THREE: tuple[Key, ...] = (*_TWO, "rededge2")
_FOUR: tuple[Key, ...] = (*_TWO, "rededge3")
_CLEAR: tuple[Key, ...] = ("coastal", "green", "red")
_OC4: tuple[Key, ...] = (*_BLUES, 510)
_OC5: tuple[Key, ...] = (412, *_OC4)

_register("oc2", "OC2", ("blue", "green"), _oc(("blue",)))
_register("oc2_franz2015", "OC2 of Franz et al. 2015", ("blue", "green"), _oc(("blue",)))
_register("oc3", "OC3", (*_BLUES, "green"), _oc(_BLUES))
_register("oc3_franz2015", "OC3 of Franz et al. 2015", (*_BLUES, "green"), _oc(_BLUES))
_register("oc4", "OC4", (*_OC4, "green"), _oc(_OC4))
_register("oc4_v6", "OC4 of the NASA reprocessing of 2009", (*_OC4, "green"), _oc(_OC4))
_register("oc5", "OC5", (*_OC5, "green"), _oc(_OC5))
_register("oc6", "OC6", (*_OC5, "green", "red"), _oc6)
# The colour index is a difference: a red band a little below zero is nothing wrong in clear water.
_register("ci", "colour index of Hu et al. 2019", _CLEAR, _ci, signed=True)
_register("ci_hu2012", "colour index of Hu et al. 2012", _CLEAR, _ci, signed=True)
_register(
    "oci", "colour index and band ratio, Hu et al. 2019", (*_BLUES, "green", "red"), _oci, also=(510,), signed=True
)
_register("moses2b", "two bands, Moses et al. 2009", _TWO, _of(red_edge_ratio))
_register("gitelson2b", "two bands, Gitelson et al. 2011", _TWO, _of(red_edge_ratio))
_register("gilerson2b", "two bands, Gilerson et al. 2010", _TWO, _of(red_edge_ratio))
_register("gurlin2b", "two bands, Gurlin et al. 2011", _TWO, _of(red_edge_ratio))
_register("ndci", "NDCI, Mishra and Mishra 2012", _TWO, _of(ndci))
_register("ndci_simulated", "NDCI, Mishra and Mishra 2012, from simulated spectra", _TWO, _of(ndci))
_register("moses3b", "three bands, Moses et al. 2009", _THREE, _of(three_band))
_register(
    "moses3b_rededge3",
    "three bands, Moses et al. 2009, with the band at 783 nm",
    _FOUR,
    _of(lambda bands: three_band(bands, "rededge3")),
)
_register("gitelson3b", "three bands, Gitelson et al. 2011", _THREE, _of(three_band))
_register("gilerson3b", "three bands, Gilerson et al. 2010", _THREE, _of(three_band))
_register("gurlin3b", "three bands, Gurlin et al. 2011", _THREE, _of(three_band))
_register("gons", "Gons et al. 2008", _FOUR, _gons, quantity="rhow")
_register("gons2002", "Gons et al. 2002", _FOUR, _gons, quantity="rhow")
_register("bramich2021", "Bramich et al. 2021", _FOUR, _bramich, quantity="rhow")
_register("tc2", "TC2, Liu et al. 2020", _TC2_KEYS, _tc2)
