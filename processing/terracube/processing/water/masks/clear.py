"""What hides or spoils a pixel, as bits: gaps, negative values, snow or ice, haze, and clouds grown by a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels import wofs as kernel
from terracube.processing.kernels.nearest import distances
from terracube.processing.water.masks.flags import BITS, NODATA, UNCLEAR, bitmask

VISIBLE = ("coastal", "blue", "green", "yellow", "red")
TESTED = ("blue", "green", "red", "nir", "swir16", "cirrus")
"""Bands that the tests for ice and haze look at, where they are there."""
SATURATED = 1.6
"""Reflectance above is no reflectance: what 16 bits of Landsat's Collection 2 can hold."""

type Flags = NDArray[np.uint16]

_UNCLEAR = bitmask(UNCLEAR)
_UNSEEN = np.uint16(bitmask(["nodata", "contiguity"]))
_WET = np.uint16(bitmask(["wet"]))


@dataclass(frozen=True, slots=True)
class Screen:
    """Which bits are looked for in which arrays; a function of the pixels of a block."""

    names: tuple[str, ...]
    """Roles of the bands handed, in their order; further arrays are flags that are added."""
    needed: tuple[str, ...]
    """Roles of those without which nothing can be said."""
    tests: tuple[str, ...] = ("ice", "haze")

    def __call__(self, *arrays: NDArray[Any]) -> Flags:
        """Give the flags of a block, without that for water."""
        bands = dict(zip(self.names, arrays, strict=False))
        flags = self._gaps(bands)
        for name in VISIBLE:
            if name in bands and name not in self.needed:
                flags |= _bit(bands[name] < 0, "negative")
        seen = (flags & _UNSEEN) == 0
        if "ice" in self.tests:
            flags |= _bit(is_ice(bands) & seen, "ice")
        if "haze" in self.tests:
            flags |= _bit(is_hazy(bands) & ~is_ice(bands) & seen, "haze")
        for more in arrays[len(self.names) :]:
            flags |= more.astype(np.uint16)
        return flags

    def _gaps(self, bands: dict[str, NDArray[Any]]) -> Flags:
        shape = bands[self.needed[0]].shape
        state = np.zeros(shape, np.uint8)
        for name in self.needed:
            kernel.add_state(np.ascontiguousarray(bands[name]).ravel(), SATURATED, name in VISIBLE, state.ravel())
        found: Flags = _STATES[state]
        return found


def _states() -> Flags:
    """Give the flags of each state of a pixel."""
    table = np.zeros(8, np.uint16)
    for state in range(8):
        names = ["negative"] if state & kernel.NEGATIVE else []
        if not state & kernel.SEEN:
            names.append("nodata")
        elif state & kernel.MISSING:
            names.append("contiguity")
        table[state] = bitmask(names)
    return table


_STATES = _states()


@np.errstate(invalid="ignore", over="ignore")
def is_ice(bands: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Tell where there is snow or ice.

    Snow is bright in green and dark in the short-wave infrared, as water is, but bright in the near infrared: NDSI
    above 0.4, near infrared above 0.11, green above 0.1 (Hall et al. 1995, doi:10.1016/0034-4257(95)00137-P; numbers
    from memory). Water full of sediment can be so too, but is far brighter in red than in blue, where snow is white:
    where both are there, blue is above 0.85 of red. Nowhere without green, near and short-wave infrared.
    """
    green, nir, swir = (bands.get(name) for name in ("green", "nir", "swir16"))
    if green is None or nir is None or swir is None:
        return _nowhere(bands)
    found: NDArray[np.bool_] = (green - swir > 0.4 * (green + swir)) & (nir > 0.11) & (green > 0.1)
    if "blue" in bands and "red" in bands:
        found &= bands["blue"] > 0.85 * bands["red"]
    return found


@np.errstate(invalid="ignore", over="ignore")
def is_hazy(bands: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Tell where there is cirrus or haze.

    Cirrus: reflectance at 1375 nm above 0.005, where there is such a band. Haze: blue is too bright for its red (by
    the haze-optimised transform of Zhang et al. 2002, doi:10.1016/S0034-4257(02)00034-2, in the form of Fmask,
    blue - red / 2 above 0.08; numbers from memory), and the short-wave infrared above 0.03 shows that it is no bright
    blue water. Ice is not told to be hazy.
    """
    found = _nowhere(bands)
    if "cirrus" in bands:
        found |= bands["cirrus"] > 0.005
    if all(name in bands for name in ("blue", "red", "swir16")):
        found |= (bands["blue"] - 0.5 * bands["red"] > 0.08) & (bands["swir16"] > 0.03)
    return found


def grown(mask: NDArray[Any], *, radius: float, bits: int) -> Flags:
    """Give ``bits`` to the pixels whose centres lie within ``radius`` pixels of those of a mask.

    Examples
    --------
    >>> (grown(np.eye(1, 5, dtype=bool), radius=1.5, bits=32) > 0).tolist()
    [[True, True, False, False, False]]
    """
    marked = np.ascontiguousarray(mask != 0)
    if radius > 0 and marked.any():
        one, away = np.ones(marked.shape[0]), np.empty(marked.shape, np.float32)
        limit = radius + 0.01
        distances(marked, one, one, limit, np.empty(marked.shape, np.int32), away)
        marked = away < radius + 0.005
    return marked.astype(np.uint16) * np.uint16(bits)


def with_water(flags: Flags, wet: NDArray[np.bool_]) -> Flags:
    """Add the flag for water where all needed bands have values."""
    found: Flags = flags | np.where((flags & _UNSEEN) == 0, wet, False).astype(np.uint16) * _WET
    return found


def is_clear(flags: Flags) -> NDArray[np.bool_]:
    """Tell where something can be said about water."""
    found: NDArray[np.bool_] = (flags & _UNCLEAR) == 0
    return found


def classes(flags: Flags) -> NDArray[np.uint8]:
    """Give the class of each pixel from its flags: 0 dry, 1 wet, 255 no data.

    Examples
    --------
    >>> classes(np.array([0, 128, 192, 1], np.uint16)).tolist()
    [0, 1, 255, 255]
    """
    wet = ((flags & _WET) > 0).astype(np.uint8)
    return np.where(is_clear(flags), wet, np.uint8(NODATA))


def _bit(where: NDArray[np.bool_], name: str) -> Flags:
    found: Flags = where.astype(np.uint16) << np.uint16(BITS[name])
    return found


def _nowhere(bands: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    return np.zeros(next(iter(bands.values())).shape, np.bool_)
