"""Numbers of grids: pairs with their order in their names, and pixels counted from an origin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import index
from typing import Any, NamedTuple

import numpy as np

from terracube.core.errors import InputError
from terracube.cubes.crs import Bounds

FRACTION = 1 << 20
SNAP = 1e-6
# Pixels beyond this index cannot be told apart: index and phase together would need more than the 53 bits of a float.
MAX_INDEX = 1 << 31


class YX(NamedTuple):
    """A pair of integers with its order in its name."""

    y: int
    x: int


class Pair(NamedTuple):
    """A pair of numbers with its order in its name."""

    y: float
    x: float


def from_plain(values: Mapping[str, Any]) -> tuple[Pair, Pair, YX, YX]:
    """Read resolution, phase, offset and shape from plain JSON values.

    Raises
    ------
    InputError
        If a field is missing or malformed.
    """
    try:
        resolution, phase = (Pair(*map(float, values[key])) for key in ("resolution", "phase"))
        offset, shape = (YX(*map(index, values[key])) for key in ("offset", "shape"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError("malformed grid", expected="crs, resolution, phase, offset, shape", got=repr(error)) from error
    signs = resolution.y < 0 < resolution.x and max(map(abs, resolution)) < math.inf and min(shape) > 0
    small = max(map(abs, (*offset, *shape))) < MAX_INDEX
    if not (signs and small and all(0 <= part < 1 for part in phase)):
        raise InputError(
            "malformed grid", expected="resolution (-, +), phase in [0, 1), shape > 0", got=str(values)[:200]
        )
    return resolution, phase, offset, shape


def split(edge: float) -> tuple[float, int]:
    """Split an edge, in pixels, into its phase (kept to 2^-20) and its integer index."""
    index, fraction = divmod(round(edge * FRACTION), FRACTION)
    return fraction / FRACTION, index


def positive(resolution: float | tuple[float, float]) -> Pair:
    """Accept a pixel size, a number or (y, x), and give it signed."""
    try:
        y, x = map(float, (resolution, resolution) if np.isscalar(resolution) else resolution)
    except (TypeError, ValueError) as error:
        raise InputError("the resolution is no number", expected="a number, or (y, x)", got=repr(resolution)) from error
    if not (math.isfinite(y) and math.isfinite(x) and y > 0 and x > 0):
        raise InputError("the resolution is not positive", expected="> 0, in units of the CRS", got=str(resolution))
    return Pair(-y, x)


def check_fineness(box: Bounds, size: Pair) -> None:
    """Refuse pixels that are too small to be counted so far from the origin."""
    farthest = max(max(abs(box.top), abs(box.bottom)) / -size.y, max(abs(box.left), abs(box.right)) / size.x)
    if farthest >= MAX_INDEX:
        raise InputError(
            "the resolution is too fine for this CRS",
            where="resolution",
            expected="pixels that can be counted",
            got=f"{size.x:g}, which makes {farthest:.3g} pixels from the origin of the CRS",
            todo="give the resolution in units of the CRS",
        )


def cover(first: float, last: float, phase: float) -> tuple[int, int]:
    """Give the first index and the index after the last of the pixels that cover [first, last] (in pixels)."""
    start = math.floor(first - phase + SNAP)
    stop = math.ceil(last - phase - SNAP)
    return start, max(stop, start + 1)


def hold(first: float, last: float, phase: float) -> tuple[int, int]:
    """Give the first index and the number of the pixels whose centres lie in [first, last) (in pixels)."""
    start = math.ceil(first - phase - 0.5 - SNAP)
    stop = math.ceil(last - phase - 0.5 - SNAP)
    return start, max(stop - start, 1)


def pieces(size: int, block: int) -> tuple[int, ...]:
    """Cut a length into blocks."""
    return tuple(min(block, size - start) for start in range(0, size, block))
