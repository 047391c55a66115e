"""One chlorophyll for all waters: a blue-green formula where water is clear, a red-edge formula where algae are dense.

The share of each follows the ratio of the red edge to the red (Smith et al. 2018, doi:10.1016/j.rse.2018.06.002),
which sorts waters by what dominates their colour; it changes smoothly, so that there are no seams in a map. Both
formulas are held where they are defined, so that **every** valid spectrum gets a positive value. A spectrum is valid if
green and the largest of the blue bands are finite and above zero, and blue not below it; red or red edge at or below
zero is clear water. On sensors without a red edge the blue-green formula stands alone, and dense blooms come out too
low. Only ratios of bands are taken: any quantity of reflectance will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terracube.processing.formula import Value, isfinite, log10, maximum, minimum, where
from terracube.processing.water.retrievals.base import Bands, Key, Retrieval, Retrieved, register_retrieval

_VIOLET, _TURQUOISE, _FLUORESCENCE = 412, 510, 681
_PAIRS: dict[str, tuple[Key, Key]] = {
    "violet": (_VIOLET, "coastal"),
    "deep_blue": ("coastal", "blue"),
    "fluorescence": (_FLUORESCENCE, "red"),
    "red": ("red", "green"),
}
"""Ratios that the correction may take, by the name of their coefficient."""
_ALSO: tuple[Key, ...] = ("red", "coastal", _TURQUOISE, "rededge1", _VIOLET, _FLUORESCENCE)


def _held(x: Value, low: float, high: float) -> Any:
    return minimum(maximum(x, low), high)


def _largest_blue(bands: Bands) -> Any:
    """Take the largest of the blue bands that are there; a missing one among several is left out."""
    blue = bands["blue"]
    for key in ("coastal", _TURQUOISE):
        if key in bands:
            other = bands[key]
            blue = where(other > blue, other, where(isfinite(blue), blue, other))
    return blue


def _turn(bands: Bands, ratio: Value, known: Mapping[str, Any]) -> Any:
    """Correct for what turns the blue-green ratio beside chlorophyll: dissolved matter and turbidity.

    Without the bands, or where one of them is missing or not above zero, it is the plain gain.
    """
    by = known.get("turn", {})
    pairs = [pair for name, pair in _PAIRS.items() if name in by]
    if not by or not all(key in bands for pair in pairs for key in pair):
        return known["gain"]
    turn = by["constant"] + by["max_ratio"] * ratio
    there = bands["green"] > 0
    for name, (above, below) in _PAIRS.items():
        if name in by:
            turn = turn + by[name] * log10(bands[above] / bands[below])
            there = there & (bands[above] > 0) & (bands[below] > 0)
    return where(there, _held(turn, -by["limit"], by["limit"]), known["gain"])


def _blue_green(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Compute chlorophyll from the ratio of the largest blue reflectance to green, mg m-3."""
    ratio = _held(log10(_largest_blue(bands) / bands["green"]), *known["clip"])
    a0, a1, a2, a3, a4 = known["blue_green"]
    exponent = a0 + ratio * (a1 + ratio * (a2 + ratio * (a3 + ratio * a4)))
    return 10 ** (exponent + _turn(bands, ratio, known))


def _edge_ratio(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Compute the ratio of the red edge to the red as the band of MERIS would see it.

    Reflectance goes as 1 / absorption, and water absorbs most of the light there: between bands the ratio goes as the
    absorption of pure water. A red or red edge that is missing or not above zero counts as no red edge.
    """
    edge = bands["rededge1"] * (bands.optics("rededge1").aw / known["red_edge"]["aw_edge"])
    ratio = edge / bands["red"]
    return where(isfinite(ratio) & (bands["red"] > 0), minimum(ratio, known["red_edge"]["largest"]), 0.0)


def _rise(x: Value, low: float, high: float) -> Any:
    """Rise from 0 at ``low`` to 1 at ``high``, without a kink."""
    step = _held((x - low) / (high - low), 0.0, 1.0)
    return step * step * (3 - 2 * step)


def _share(ratio: Value, bands: Bands, known: Mapping[str, Any]) -> Any:
    """Compute the share of the red-edge formula, 0 to 1.

    None in blue water, where red and red edge are next to nothing and their ratio is noise.
    """
    blue = log10(_largest_blue(bands) / bands["green"])
    return _rise(ratio, *known["switch"]) * (1 - _rise(blue, *known["blue_water"]))


def _red_edge(ratio: Value, known: Mapping[str, Any]) -> Any:
    """Compute chlorophyll from the ratio of the red edge to the red, mg m-3 (Gilerson et al. 2010)."""
    by = known["red_edge"]
    absorption = maximum(ratio, known["switch"][0]) * by["water_edge"] - by["water_red"]
    return (absorption / by["specific"]) ** (1 / (1 + by["exponent"]))


def _valid(bands: Bands) -> Any:
    return (bands["green"] > 0) & (_largest_blue(bands) > 0)


def _chlorophyll(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    value = _blue_green(bands, known)
    if "red_edge" in known and "red" in bands and "rededge1" in bands:
        ratio = _edge_ratio(bands, known)
        share = _share(ratio, bands, known)
        value = share * _red_edge(ratio, known) + (1 - share) * value
    return Retrieved(value, outside=~_valid(bands) | _blind(bands, known))


def _blind(bands: Bands, known: Mapping[str, Any]) -> Any:
    """Say where the red edge was looked at and is missing: then nobody knows which formula is to be taken."""
    if "red_edge" in known and "red" in bands and "rededge1" in bands:
        return ~(isfinite(bands["red"]) & isfinite(bands["rededge1"]))
    return False


def _edge_share(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    share = _share(_edge_ratio(bands, known), bands, known)
    return Retrieved(share, outside=~_valid(bands) | _blind(bands, known))


register_retrieval(
    Retrieval(
        name="chl_blend",
        title="Chlorophyll a, blend of a blue-green and a red-edge formula",
        unit="mg m-3",
        quantity="ratio",
        needs=("blue", "green"),
        formula=_chlorophyll,
        coefficients="chl_blend",
        also=_ALSO,
        cf_name="mass_concentration_of_chlorophyll_a_in_sea_water",
    )
)
register_retrieval(
    Retrieval(
        name="chl_blend_share",
        title="Share of the red-edge formula in the blend of chlorophyll, 0 to 1",
        unit="1",
        quantity="ratio",
        needs=("blue", "green", "red", "rededge1"),
        formula=_edge_share,
        coefficients="chl_blend_share",
        also=("coastal", _TURQUOISE),
    )
)
