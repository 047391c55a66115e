"""Why a pixel is masked: one table of bits, the lower eight those of Water Observations from Space."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from terracube.core.errors import InputError

BITS: MappingProxyType[str, int] = MappingProxyType(
    {
        "nodata": 0,
        "contiguity": 1,
        "low_sun": 2,
        "terrain_shadow": 3,
        "steep": 4,
        "cloud_shadow": 5,
        "cloud": 6,
        "wet": 7,
        "haze": 8,
        "ice": 9,
        "near_land": 10,
        "glint": 11,
        "negative": 12,
    }
)
"""Bit of a flag in ``flags`` (uint16), by name.

The lower eight are those of the observation flags of Water Observations from Space (Mueller et al. 2016,
doi:10.1016/j.rse.2015.11.003), so that the lower byte can be compared with its tiles.
"""

MEANINGS: MappingProxyType[str, str] = MappingProxyType(
    {
        "nodata": "no observation: no band holds a value",
        "contiguity": "a needed band is missing or saturated",
        "low_sun": "the sun stands too low",
        "terrain_shadow": "shaded by the terrain",
        "steep": "the slope is too steep for water",
        "cloud_shadow": "in or beside the shadow of a cloud",
        "cloud": "in or beside a cloud",
        "wet": "water, whatever the other flags say",
        "haze": "cirrus or haze",
        "ice": "snow or ice",
        "near_land": "closer to the shore than given: light from land may be mixed in",
        "glint": "strong sun glint",
        "negative": "reflectance below zero in a visible band",
    }
)
"""One sentence for each flag."""

DRY, WET, NODATA = 0, 1, 255
"""Classes of ``water`` (uint8)."""

UNCLEAR = ("nodata", "contiguity", "low_sun", "terrain_shadow", "steep", "cloud_shadow", "cloud", "ice")
"""Flags under which nothing is said about water: the pixel is ``NODATA`` in ``water``."""


def bitmask(names: Iterable[str]) -> int:
    """Give the whole number in which the bits of some flags are set.

    Raises
    ------
    InputError
        If a name is not in ``BITS``.

    Examples
    --------
    >>> bitmask(["cloud", "wet"])
    192
    """
    found = 0
    for name in names:
        if name not in BITS:
            raise InputError("no flag of this name", expected=", ".join(BITS), got=repr(name))
        found |= 1 << BITS[name]
    return found


def flag_attrs(**more: Any) -> dict[str, Any]:
    """Give the attributes of a variable of flags, as the CF conventions ask (section 3.5)."""
    return {
        "long_name": "observation flags",
        "flag_masks": [1 << bit for bit in BITS.values()],
        "flag_meanings": " ".join(BITS),
        **more,
    }


def are_our_flags(flags: xr.DataArray) -> bool:
    """Tell whether a variable of flags says that its bits are those of ``BITS``."""
    masks = flags.attrs.get("flag_masks")
    ours = list(flag_attrs()["flag_masks"])
    named = str(flags.attrs.get("flag_meanings", "")).split() == list(BITS)
    return flags.dtype.kind in "iu" and named and (masks is None or np.asarray(masks).ravel().tolist() == ours)


def no_flags_of_others(flags: xr.DataArray) -> None:
    """Refuse flags that are no bits, or say that their bits are others than those of ``BITS``.

    Raises
    ------
    InputError
        Naming what they say.
    """
    told = flags.attrs.get("flag_meanings")
    if flags.dtype.kind not in "iu" or not (told is None or are_our_flags(flags)):
        raise InputError(
            "these flags are no flags of water masks",
            where=str(flags.name),
            expected=f"whole numbers with bits {' '.join(BITS)}",
            got=f"{flags.dtype}, {'no flag_meanings' if told is None else str(told)[:200]}",
            todo=f"rename it, like rename({flags.name}='quality'), and mask with it before",
        )


def water_attrs(**more: Any) -> dict[str, Any]:
    """Give the attributes of a variable of water classes."""
    return {
        "long_name": "water",
        "nodata": NODATA,
        "flag_values": [DRY, WET, NODATA],
        "flag_meanings": "dry wet no_data",
        **more,
    }
