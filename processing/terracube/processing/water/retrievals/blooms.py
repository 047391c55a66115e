"""Blooms: line heights and differences that see floating and dense algae, and flags of cyanobacteria."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from terracube.processing.formula import exp, maximum, where
from terracube.processing.water.retrievals.base import (
    Bands,
    Formula,
    Key,
    Retrieval,
    Retrieved,
    register_retrieval,
)
from terracube.processing.water.retrievals.chlorophyll import ndci


def line_height(bands: Bands, left: Key, peak: Key, right: Key) -> Any:
    """Height of a band over the straight line between two others.

    Wavelengths are those of the sensor in whole nanometres, the form in which papers and other software give them.

    Examples
    --------
    >>> from terracube.processing.water.sensors import load_water_sensor
    >>> bands = Bands({"red": 0.02, "nir08": 0.05, "swir16": 0.001}, load_water_sensor("S2A_MSI"))
    >>> round(line_height(bands, "red", "nir08", "swir16"), 4)
    0.034
    """
    start, top, end = (round(bands.optics(key).wavelength) for key in (left, peak, right))
    share = (top - start) / (end - start)
    return bands[peak] - (bands[left] + (bands[right] - bands[left]) * share)


def _ndci(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
    return Retrieved(ndci(bands))


def _height(left: Key, peak: Key, right: Key) -> Formula:
    def formula(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
        return Retrieved(line_height(bands, left, peak, right))

    return formula


def _ci_cyano(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
    """Dip at 681 nm where the shape at 665 nm shows phycocyanin; zero where both were looked for and not found."""
    dip = 0.0 - line_height(bands, "red", 681, "rededge1")
    phycocyanin = line_height(bands, "yellow", "red", 681)
    found = where((dip > 0) & (phycocyanin > 0), dip, 0.0)
    return Retrieved(found)


@dataclass(frozen=True, slots=True)
class _Peak:
    """What the maximum peak height sees of a spectrum, all above the line from 665 to 885 nm unless said."""

    inner: Any
    """Height of the larger one of 681 and 709 nm."""
    height: Any
    """Height of the largest one of 681, 709 and 754 nm."""
    edge: Any
    """Height of 709 nm."""
    at_754: Any
    """Whether 754 nm is the largest."""
    fluorescence: Any
    """Height of 681 nm over the line from 665 to 709 nm."""
    phycocyanin: Any
    """Height of 665 nm over the line from 620 to 681 nm."""
    ndvi: Any
    """Normalized difference of 885 and 665 nm."""

    def floating(self, known: Mapping[str, Any]) -> Any:
        """Leaves or scum above the water."""
        return self.at_754 & ((self.height >= known["floating_mph"]) | (self.ndvi >= known["floating_ndvi"]))

    def cyanobacteria(self, known: Mapping[str, Any]) -> Any:
        """Pigment of cyanobacteria: no fluorescence of chlorophyll, and absorption at 620 nm."""
        immersed = ~self.at_754 & (self.edge > known["edge"])
        return (self.fluorescence < 0) & (self.phycocyanin > 0) & (immersed | self.floating(known))


def _peak(bands: Bands) -> _Peak:
    at_681, at_709, at_754 = (line_height(bands, "red", key, 885) for key in (681, "rededge1", "rededge2"))
    largest_754 = bands["rededge2"] > maximum(bands[681], bands["rededge1"])
    inner = where(bands["rededge1"] >= bands[681], at_709, at_681)
    return _Peak(
        inner=inner,
        height=where(largest_754, at_754, inner),
        edge=at_709,
        at_754=largest_754,
        fluorescence=line_height(bands, "red", 681, "rededge1"),
        phycocyanin=line_height(bands, "yellow", "red", 681),
        ndvi=(bands[885] - bands["red"]) / (bands[885] + bands["red"]),
    )


def _mph(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
    return Retrieved(_peak(bands).height)


def _chl_mph(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    peak = _peak(bands)
    cyano = peak.cyanobacteria(known)
    x = peak.inner
    a0, a1, a2, a3, a4 = known["algae"]
    algae = a0 + x * (a1 + x * (a2 + x * (a3 + x * a4)))
    factor, rate = known["cyano"]
    value = where(cyano, factor * exp(rate * peak.height), algae)
    # Floating plants have no chlorophyll per volume of water; left of its lowest point the polynomial rises again.
    lost = (peak.floating(known) | (x < known["lowest"])) & ~cyano
    # There the exponential has left all sense; so high a peak is a cloud, a wall or a wrong number.
    return Retrieved(value, outside=lost, saturated=cyano & (peak.height > known["highest"]))


def _cyano_mph(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    return Retrieved(where(_peak(bands).cyanobacteria(known), 1.0, 0.0))


def _bloom(peak: Key, right: Key) -> Formula:
    """Floating algae by the height of the near infrared, else algae in the water by NDCI, but not in turbid water."""

    def formula(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
        height = line_height(bands, "red", peak, right)
        found = where(height > known["height"], 2.0, where(ndci(bands) > known["ndci"], 1.0, 0.0))
        return Retrieved(where(bands["red"] <= known["red"], found, 0.0))

    return formula


_SIX: tuple[Key, ...] = ("yellow", "red", 681, "rededge1", "rededge2", 885)


def _register(name: str, title: str, needs: tuple[Key, ...], formula: Formula, **more: Any) -> Retrieval:
    told = {"unit": "1", "quantity": "rhow", "signed": True, "coefficients": name, **more}
    return register_retrieval(Retrieval(name=name, title=title, needs=needs, formula=formula, **told))


_register("ndci", "Normalized difference chlorophyll index", ("red", "rededge1"), _ndci, quantity="any", signed=False)
_register("fai", "Floating algae index", ("red", "nir08", "swir16"), _height("red", "nir08", "swir16"))
_register("afai", "Alternative floating algae index", ("red", 748, "nir08"), _height("red", 748, "nir08"))
_register("flh", "Fluorescence line height", ("red", 681, "rededge1"), _height("red", 681, "rededge1"))
_register("flh_modis", "Fluorescence line height of MODIS", ("red", 678, 748), _height("red", 678, 748))
_register("slh", "Scattering line height", ("red", "rededge1", "rededge2"), _height("red", "rededge1", "rededge2"))
_register("ci_cyano", "Cyanobacteria index", ("yellow", "red", 681, "rededge1"), _ci_cyano)
_register("mph", "Maximum peak height", _SIX, _mph)
_register("chl_mph", "Chlorophyll a, maximum peak height", _SIX, _chl_mph, unit="mg m-3")
_register(
    "cyano_mph",
    "Cyanobacteria by maximum peak height",
    _SIX,
    _cyano_mph,
    classes={0: "not found", 1: "cyanobacteria"},
)
_BLOOM = {0: "not found", 1: "bloom in the water", 2: "floating algae"}
_register(
    "bloom",
    "Bloom of algae by NDCI and floating algae index",
    ("red", "rededge1", "nir08", "swir16"),
    _bloom("nir08", "swir16"),
    classes=_BLOOM,
)
_register(
    "bloom_afai",
    "Bloom of algae by NDCI and alternative floating algae index",
    ("red", "rededge1", 748, "nir08"),
    _bloom(748, "nir08"),
    classes=_BLOOM,
)
