"""The phase of a reference that was named: a point or an area, found tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.grid import Grid

MOST_PIXELS = 1 << 18
"""Of an area that is named: its pixels are held at once."""


def area_pixels(values: NDArray[np.float32], grid: Grid, reference: Sequence[float]) -> NDArray[np.float32] | None:
    """Take the pixels of a point (y, x) or an area (left, bottom, right, top) from a tile (pair, band, y, x).

    Returns
    -------
    array (pair, band, pixel), or None
        NaN where missing; ``None`` if none of them lies in the tile.

    Raises
    ------
    InputError
        If the area is of more pixels than 2^18, in the tile or beyond it.
    """
    if len(reference) == 2:
        index = [math.floor(place / size - phase) - start for place, size, phase, start in
                 zip(reference, grid.resolution, grid.phase, grid.offset, strict=True)]  # fmt: skip
        inside = all(0 <= at < size for at, size in zip(index, grid.shape, strict=True))
        return values[..., index[0], index[1], None] if inside else None
    left, bottom, right, top = reference
    pixels = math.prod(abs(far / size) for far, size in zip((top - bottom, right - left), grid.resolution, strict=True))
    if not pixels <= MOST_PIXELS:
        raise InputError(
            "the reference area is too large", where="reference", expected=f"<= {MOST_PIXELS} pixels", got=f"{pixels:g}"
        )
    y, x = grid.centres()
    rows, cols = (y >= bottom) & (y <= top), (x >= left) & (x <= right)
    if not (rows.any() and cols.any()):
        return None
    return values[..., rows, :][..., cols].reshape(*values.shape[:2], -1)


def common_phase(
    values: NDArray[np.floating], names: Sequence[str], text: str, *, median: bool = False
) -> NDArray[np.float64]:
    """Give the phase of an area in each pair, over the pixels that are valid in all; their order does not matter.

    Parameters
    ----------
    values : array (pair, pixel)
        rad; NaN = missing.
    names : sequence of str
        What the pairs are called in errors.
    text : str
        What the reference is called in errors.
    median : bool
        The median instead of the mean.

    Raises
    ------
    InputError
        If no pixel is valid in all pairs; the pairs with the fewest are named.
    """
    valid = np.isfinite(values)
    inside = valid.all(axis=0)
    if inside.any():
        known = np.ascontiguousarray(values[:, inside], "float64")
        return np.median(known, axis=1) if median else np.array([math.fsum(row) / len(row) for row in known.tolist()])
    seen = valid.sum(axis=1)
    worst = [f"{name}: {count} of {inside.size}" for count, name in sorted(zip(seen.tolist(), names, strict=True))]
    raise InputError(
        "the reference has no pixel with a phase in every pair",
        where=f"reference, {text}",
        expected="one pixel or more valid in all pairs",
        got="; ".join(worst[:5]) if inside.size else "no pixel of the stack",
        todo="choose another place, or leave out these pairs",
    )
