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
    """One per step of the time axis."""
    groups: tuple[tuple[Scene, ...], ...]
    """The scenes of each date, in canonical order."""


class _Lookups:
    """Lookups of one block, one per source grid, shared by all its dates and bands."""

    def __init__(self, target: Grid) -> None:
        self._target = target
        self._known: dict[Grid, Lookup | None] = {}

    def get(self, source: Grid) -> Lookup | None:
        if source not in self._known:
            self._known[source] = nearest(source, self._target)
        return self._known[source]


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
    cube = np.full((len(plan.groups), len(plan.spec.bands), *target.shape), np.nan, "float32")
    lookups = _Lookups(target)
    keep = None if plan.spec.masked is None else _class_table(plan.spec.masked)
    scratch = np.empty(cube.shape[1:], "float32")
    for step, scenes in enumerate(plan.groups):
        for scene in scenes:
            clear = _clear(scene.mask, lookups, keep, target)
            wanted = clear is not None and bool((clear & np.isnan(cube[step, 0])).any())
            if wanted and _read_bands(scene, plan, lookups, scratch):
                _place(scratch, clear, cube[step])
    return cube


def _class_table(masked: tuple[int, ...]) -> NDArray[np.bool_]:
    keep = np.ones(256, "bool")
    keep[list(masked)] = False
    return keep


def _clear(
    mask: Source | None, lookups: _Lookups, keep: NDArray[np.bool_] | None, target: Grid
) -> NDArray[np.bool_] | None:
    """Give the clear pixels of a scene, or ``None`` if it has none here."""
    if mask is None or keep is None:
        return np.ones(target.shape, "bool")
    lookup = lookups.get(mask.grid)
    if lookup is None:
        return None
    classes = read_window(Path(mask.path), mask.band, lookup.window)
    clear = np.empty(target.shape, "bool")
    return clear if _classify(classes.ravel(), lookup.index, keep, clear) else None


def _read_bands(scene: Scene, plan: CubePlan, lookups: _Lookups, out: NDArray[np.float32]) -> bool:
    physical = plan.spec.radiometry == "physical"
    for number, name in enumerate(plan.spec.bands):
        source = scene.bands[name]
        lookup = lookups.get(source.grid)
        if lookup is None:
            return False
        values = read_window(Path(source.path), source.band, lookup.window)
        scale, offset = (source.scale, source.offset) if physical else (1.0, 0.0)
        nodata = np.nan if source.nodata is None else source.nodata
        _sample(values.ravel(), lookup.index, nodata, np.float32(scale), np.float32(offset), out[number])
    return True


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
