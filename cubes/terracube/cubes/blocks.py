"""The block engine's inner part: read one block of a cube, all dates and bands, ready for a reducer.

For each date the scenes are placed in canonical order (time, then id). A pixel takes the first scene that saw it
clearly, with all its bands; where a scene's bands or classes are missing, the next one is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from terracube.cubes.grid import Grid
from terracube.cubes.lattice import Lookup, nearest
from terracube.cubes.readers import read_window
from terracube.cubes.sources import Scene, Source


@dataclass(frozen=True)
class CubeSpec:
    """What to read, and how observations are chosen."""

    bands: tuple[str, ...]
    """Role names, in the order of the band axis."""
    masked: tuple[int, ...] | None
    """Classes of the sensor's mask layer that are left out; ``None`` = no mask is read."""
    groupby: str = "solar_day"
    """``solar_day``: scenes of one day are one date. ``scene``: each scene is a date."""
    radiometry: str = "physical"
    """``physical`` values, or ``dn``: the numbers of the file."""


@dataclass(frozen=True)
class CubePlan:
    """Everything a block needs to read itself: small, frozen, sent once to each worker."""

    spec: CubeSpec
    grid: Grid
    dates: tuple[date, ...]
    """One per step of the time axis: solar days, or moments (UTC) where each scene is a step."""
    groups: tuple[tuple[Scene, ...], ...]
    """The scenes of each date, in canonical order."""


def read_block(plan: CubePlan, target: Grid) -> NDArray[np.float32]:
    """Read one block of a cube.

    Parameters
    ----------
    plan : CubePlan
    target : Grid
        The block's pixels.

    Returns
    -------
    float32 array (time, band, y, x)
        NaN where no scene of the date has a clear observation with all bands.

    Raises
    ------
    AssetError
        If pixels cannot be decoded.
    """
    return BlockReader(plan, target).rows(0, target.shape.y)


class BlockReader:
    """Reads a block in strips of rows: each file is decoded once, and only a strip is ever held as float values.

    What is kept for the whole block are the numbers of the files, in their own type, and for each pair of grids where
    each pixel finds its number.
    """

    def __init__(self, plan: CubePlan, target: Grid) -> None:
        self._plan, self._target = plan, target
        self._keep = None if plan.spec.masked is None else _class_table(plan.spec.masked)
        self._lookups: dict[Grid, Lookup | None] = {}
        self._numbers: dict[tuple[str, int], NDArray[Any]] = {}

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give rows ``start`` to ``stop`` of the block: float32 (time, band, y, x), as :func:`read_block`."""
        plan = self._plan
        cube = np.full((len(plan.groups), len(plan.spec.bands), stop - start, self._target.shape.x), np.nan, "float32")
        scratch = np.empty(cube.shape[1:], "float32")
        for step, scenes in enumerate(plan.groups):
            for scene in scenes:
                clear = self._clear(scene.mask, start, stop)
                wanted = clear is not None and bool((clear & np.isnan(cube[step, 0])).any())
                if wanted and self._bands(scene, start, stop, scratch):
                    _place(scratch, clear, cube[step])
        return cube

    def _found(self, source: Source) -> tuple[NDArray[Any], NDArray[np.int32]] | None:
        """Give the numbers that a source has for the block, and where each pixel finds its own among them."""
        if source.grid not in self._lookups:
            self._lookups[source.grid] = nearest(source.grid, self._target)
        lookup = self._lookups[source.grid]
        if lookup is None:
            return None
        key = (source.path, source.band)
        if key not in self._numbers:
            self._numbers[key] = _needed(read_window(Path(source.path), source.band, lookup.window), lookup)
        return self._numbers[key], _place_of(self._numbers[key], lookup)

    def _clear(self, mask: Source | None, start: int, stop: int) -> NDArray[np.bool_] | None:
        """Give the clear pixels of a scene, or ``None`` if it has none here."""
        clear = np.ones((stop - start, self._target.shape.x), "bool")
        if mask is None or self._keep is None:
            return clear
        found = self._found(mask)
        if found is None:
            return None
        return clear if _classify(found[0], found[1][start:stop], self._keep, clear) else None

    def _bands(self, scene: Scene, start: int, stop: int, out: NDArray[np.float32]) -> bool:
        """Make the values of all bands of a scene; tell whether it reaches the block."""
        physical = self._plan.spec.radiometry == "physical"
        for number, name in enumerate(self._plan.spec.bands):
            source = scene.bands[name]
            found = self._found(source)
            if found is None:
                return False
            scale, offset = (source.scale, source.offset) if physical else (1.0, 0.0)
            nodata = np.nan if source.nodata is None else source.nodata
            _sample(found[0], found[1][start:stop], nodata, np.float32(scale), np.float32(offset), out[number])
        return True


def _needed(window: NDArray[Any], lookup: Lookup) -> NDArray[Any]:
    """Keep the numbers of a window; of one that is larger than the block, only those that the block takes."""
    numbers: NDArray[Any] = window.ravel()
    return numbers if numbers.size <= lookup.index.size else numbers[np.maximum(lookup.index.ravel(), 0)]


def _place_of(numbers: NDArray[Any], lookup: Lookup) -> NDArray[np.int32]:
    """Give where each pixel finds its number, among all of a window or among those kept."""
    if lookup.window.width * lookup.window.height <= lookup.index.size:
        return lookup.index
    order = np.arange(numbers.size, dtype="int32").reshape(lookup.index.shape)
    return np.where(lookup.index >= 0, order, np.int32(-1))


def _class_table(masked: tuple[int, ...]) -> NDArray[np.bool_]:
    keep = np.ones(256, "bool")
    keep[list(masked)] = False
    return keep


@njit(nogil=True)
def _classify(classes: Any, index: Any, keep: Any, clear: Any) -> bool:
    """Look up each pixel's class; a class beyond the table, or no pixel at all, is not clear."""
    found = False
    height, width = index.shape
    for y in range(height):
        for x in range(width):
            at = index[y, x]
            ok = at >= 0 and 0 <= classes[at] < 256 and keep[classes[at]]
            clear[y, x] = ok
            found = found or ok
    return found


@njit(nogil=True)
def _sample(values: Any, index: Any, nodata: float, scale: Any, offset: Any, out: Any) -> None:
    """Take each pixel's number and make it a value; NaN where there is none."""
    height, width = index.shape
    for y in range(height):
        for x in range(width):
            at = index[y, x]
            if at < 0 or values[at] == nodata:
                out[y, x] = np.float32(np.nan)
            else:
                out[y, x] = np.float32(values[at]) * scale + offset


@njit(nogil=True)
def _place(values: Any, clear: Any, out: Any) -> None:
    """Fill pixels that are still empty with observations that are clear and complete."""
    bands, height, width = values.shape
    for y in range(height):
        for x in range(width):
            take = clear[y, x] and not np.isfinite(out[0, y, x])
            for band in range(bands):
                take = take and np.isfinite(values[band, y, x])
            if take:
                for band in range(bands):
                    out[band, y, x] = values[band, y, x]
