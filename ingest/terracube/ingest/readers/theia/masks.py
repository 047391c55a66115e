"""The bit masks of MAJA, and the one made of three of them that tells what is clear.

Bits of CLM (clouds) and MG2 (what covers the ground, how the light falls): "SENTINEL-2A L2A Products Description"
(PSC-NT-411-0362-CNES, issue 1.0), and the page of CESBIO on the format. The metadata count bits from 1, here from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import MetadataError
from terracube.ingest.readers.theia.metadata import Muscate

LAYERS = {"CLM": "clm", "MG2": "mg2", "EDG": "edg", "SAT": "sat", "DFP": "dfp", "IAB": "iab", "IAO": "iab"}
"""Role name of each mask by the agency's; IAO is the older form of IAB."""

_CLM = {
    0: "cloud, thinnest left out, or shadow",
    1: "cloud, thinnest left out",
    2: "cloud, found in one date",
    3: "cloud, found in several dates",
    4: "thinnest cloud",
    5: "shadow of a cloud in the image",
    6: "shadow of a cloud beyond the image",
    7: "high cloud, found at 1.38 um",
}
_MG2 = {
    0: "water",
    1: "cloud",
    2: "snow",
    3: "shadow of a cloud",
    4: "shadow of the relief",
    5: "hidden by the relief",
    6: "sun too low",
    7: "sun grazes the slope",
}
_NATURES = {
    "Water": 0,
    "Cloud": 1,
    "Snow": 2,
    "Cloud_Shadow": 3,
    "Topography_Shadow": 4,
    "Hidden_Surface": 5,
    "Sun_Too_Low": 6,
    "Tangent_Sun": 7,
}
_FIXED = {
    "CLM": _CLM,
    "MG2": _MG2,
    "EDG": {0: "outside the image"},
    "IAB": {0: "water vapour interpolated", 1: "aerosol optical thickness interpolated"},
    "IAO": {0: "aerosol optical thickness interpolated"},
}
_PER_BAND = {"SAT": ("Saturation", "saturated"), "DFP": ("Defective_Pixel", "defective")}


def made_mask(clm: NDArray[Any], mg2: NDArray[Any], edg: NDArray[Any]) -> NDArray[np.uint8]:
    """Join clouds, ground and edge into one byte: the mask of which the sources' descriptions tell the bits.

    Bits: 0 outside the image (then alone), 1 cloud, 2 thin cloud, 3 high cloud, 4 cloud shadow, 5 water, 6 snow, 7
    light spoilt by the relief. Where CLM holds only the sum of its findings, that counts as cloud.

    Parameters
    ----------
    clm, mg2, edg : integer arrays of one shape
        The masks as MAJA delivers them.

    Returns
    -------
    uint8 array of that shape

    Examples
    --------
    >>> made_mask(np.array([0, 3, 33, 0]), np.array([1, 2, 8, 0]), np.array([0, 0, 0, 1])).tolist()
    [32, 2, 16, 1]
    """
    joined: NDArray[np.uint8] = _CLOUDS[clm.astype("uint8", copy=False)] | _GROUND[mg2.astype("uint8", copy=False)]
    joined[edg != 0] = 1
    return joined


def _table(facts: Mapping[int, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Give for every number of a byte the bits whose facts hold of it."""
    table = np.zeros(256, "uint8")
    for bit, fact in facts.items():
        table[fact] |= np.uint8(1 << bit)
    return table


_BYTE = np.arange(256)
_CLOUDS = _table(
    {
        1: (_BYTE & 0b1110 != 0) | (_BYTE == 1),
        2: _BYTE & 0b10000 != 0,
        3: _BYTE & 0b10000000 != 0,
        4: _BYTE & 0b1100000 != 0,
    }
)
_GROUND = _table({5: _BYTE & 1 != 0, 6: _BYTE & 0b100 != 0, 7: _BYTE & 0b11110000 != 0})


def bits_of(told: Muscate, start: str, group: str, groups: Mapping[str, list[str]]) -> dict[int, str]:
    """Give what each bit of a delivered mask means.

    Raises
    ------
    MetadataError
        If the metadata give the bits another meaning than the format does, or two bands one bit.
    """
    if start == "MG2":
        _check_ground(told)
    if start in _FIXED:
        return dict(_FIXED[start])
    nature, meaning = _PER_BAND[start]
    bands = groups.get(group) or groups.get("XS", [])
    order = {band: bit for bit, band in enumerate(bands)}
    for file in told.listed():
        if file.nature == nature and file.owner in order and file.index:
            order[file.owner] = file.index - 1
    if len(set(order.values())) != len(order) or not all(0 <= bit < 16 for bit in order.values()):
        raise MetadataError("the bits of a mask are not one per band", where=told.where(nature), got=str(order)[:120])
    return {bit: f"{band} {meaning}" for band, bit in sorted(order.items(), key=lambda pair: pair[1])}


def _check_ground(told: Muscate) -> None:
    for file in told.listed():
        bit = _NATURES.get(file.nature)
        if bit is not None and file.token.startswith("MG2_") and file.index not in (None, bit + 1):
            raise MetadataError(
                "the metadata give a bit of MG2 another meaning than the format",
                where=told.where(file.nature),
                expected=f"bit_number {bit + 1}",
                got=str(file.index),
            )
