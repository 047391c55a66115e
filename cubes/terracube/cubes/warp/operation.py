"""The one coordinate operation between a source and a target, fixed for the whole source, and its kernel scale.

PROJ may know several operations between two systems and choose one for each point. Here the operation is chosen once,
at the centre of the source grid, and used for every point of the pair: two pixels of one image never come by two ways.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from terracube.core.errors import InputError
from terracube.cubes.crs import full_turn
from terracube.cubes.grid import YX, Grid, Pair

type Points = NDArray[np.float64]

# Points along each side of the source that are tried, nearest to its centre first, where the centre has no place in
# the target's CRS.
_TRIES = 33
# Half the step, in target pixels, over which the kernel scale is measured; a whole pixel of a coarse target can be
# larger than the source.
_STEP = 1 / 16
# As GDAL does: a ratio this near to a whole number is that number, so that 2.002 does not blur a third row in.
_WHOLE = 0.05
_QUANTUM = 1024
# Overviews of a raster of 915 pixels have 457: the ratio is 2.0022, and meant is 2.
_OVERVIEW_SLACK = 5e-3


@dataclass(frozen=True, slots=True)
class Operation:
    """How points come from the CRS of a source to that of a target and back."""

    source: Grid
    target: str
    """CRS of the target."""
    text: str
    """PROJ text of the way from source to target; empty within one CRS."""
    anchor: tuple[float, float] | None
    """The place (x, y) in the source's CRS for which it was chosen; ``None`` if no place has a counterpart."""

    def to_target(self, x: Points, y: Points) -> tuple[Points, Points]:
        """Project from the source's CRS to the target's; what cannot be projected becomes infinite."""
        return self._run(x, y, "FORWARD")

    def to_source(self, x: Points, y: Points) -> tuple[Points, Points]:
        """Project from the target's CRS to the source's; what cannot be projected becomes infinite."""
        return self._run(x, y, "INVERSE")

    def _run(self, x: Points, y: Points, direction: str) -> tuple[Points, Points]:
        if not self.text:
            return x, y
        px, py = _transformer(self.text).transform(x, y, direction=direction)
        return np.asarray(px, "float64"), np.asarray(py, "float64")


@lru_cache(maxsize=64)
def _transformer(text: str) -> Transformer:
    return Transformer.from_pipeline(text)


@lru_cache(maxsize=64)
def _chooser(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def canonical(grid: Grid) -> Grid:
    """Give the one grid that stands for all windows of a raster."""
    return replace(grid, offset=YX(0, 0), shape=YX(1, 1))


@lru_cache(maxsize=512)
def operation(source: Grid, target: str) -> Operation:
    """Choose the operation from a source grid to a CRS.

    Raises
    ------
    InputError
        If no way leads from one CRS to the other (a local one, another planet).
    """
    x, y = _tries(source)
    if source.crs == target:
        return Operation(source, target, "", (float(x[0]), float(y[0])))
    try:
        px, py = _chooser(source.crs, target).transform(x, y)
    except ProjError as error:
        raise InputError(
            "one CRS cannot be projected to the other", expected="two CRS of the earth", got=str(error)[:200]
        ) from error
    for at in np.flatnonzero(np.isfinite(px) & np.isfinite(py)):
        text = _choice(source.crs, target, (float(x[at]), float(y[at])))
        found = Operation(source, target, text, (float(x[at]), float(y[at])))
        back = found.to_source(*found.to_target(x[at : at + 1], y[at : at + 1]))
        if math.hypot(*_pixels_apart(source, (x[at], y[at]), back)) < 0.5:
            return found
    return Operation(source, target, "", None)


def _tries(source: Grid) -> tuple[Points, Points]:
    """Give places all over a source, its centre first, then by their distance from it."""
    along = (np.arange(_TRIES) + 0.5) / _TRIES
    down, across = (part.ravel() for part in np.meshgrid(along, along, indexing="ij"))
    order = np.argsort((down - 0.5) ** 2 + (across - 0.5) ** 2, kind="stable")
    left, bottom, right, top = source.bounds
    return left + (right - left) * across[order], top + (bottom - top) * down[order]


def _choice(source: str, target: str, place: tuple[float, float]) -> str:
    # A transformer of its own: the last operation used is a state, and threads share the other one.
    chooser = Transformer.from_crs(source, target, always_xy=True)
    chooser.transform(*place)
    return str(chooser.get_last_used_operation().definition)


def _pixels_apart(grid: Grid, place: tuple[float, float], back: tuple[Points, Points]) -> tuple[float, float]:
    across, turn = float(back[0][0]) - place[0], full_turn(grid.crs)
    if turn and math.isfinite(across):
        across -= turn * round(across / turn)
    return across / grid.resolution.x, (float(back[1][0]) - place[1]) / grid.resolution.y


def pipeline(source: Grid, target: Grid) -> str:
    """Give the PROJ text of the operation from a source to a target, for the records; ``noop`` within one CRS.

    Raises
    ------
    InputError
        If no way leads from one CRS to the other.

    Examples
    --------
    >>> source = Grid.from_bbox((15, 46, 16, 47), crs="EPSG:32633", resolution=1000)
    >>> pipeline(source, Grid.from_bbox((15, 46, 16, 47), crs="EPSG:3857", resolution=1000)).split()[3]
    'proj=utm'
    """
    return operation(source, target.crs).text or "proj=noop"


def pair_scale(source: Grid, target: Grid) -> Pair:
    """Give the kernel scale: how many target pixels a source pixel is high and wide, at the centre of the source.

    One number per axis of the source and per pair of rasters, whatever windows of them are asked for. Below 1 the
    source is finer, and bilinear and cubic kernels are widened by the inverse, which is snapped to a whole number
    within 0.05 of one and else kept to 1/1024. Where the centre of the source has no place in the target's CRS, the
    nearest place that has one counts.

    Returns
    -------
    Pair
        ``y``, ``x``; (1, 1) where the source has no place in the target's CRS at all.

    Examples
    --------
    >>> source = Grid.from_bbox((0, 0, 100, 100), crs="EPSG:32633", resolution=10, bbox_crs="EPSG:32633")
    >>> pair_scale(source, Grid.from_bbox((0, 0, 100, 100), crs="EPSG:32633", resolution=20, bbox_crs="EPSG:32633"))
    Pair(y=0.5, x=0.5)
    """
    return _pair_scale(source, canonical(target))


@lru_cache(maxsize=512)
def _pair_scale(source: Grid, target: Grid) -> Pair:
    used = operation(source, target.crs)
    if used.anchor is None:
        return Pair(1.0, 1.0)
    x, y = used.to_target(np.array([used.anchor[0]]), np.array([used.anchor[1]]))
    across, down = target.resolution.x * _STEP, target.resolution.y * _STEP
    px, py = used.to_source(x + across * np.array([-1.0, 1.0, 0.0, 0.0]), y + down * np.array([0.0, 0.0, -1.0, 1.0]))
    rows = (py[1::2] - py[::2]) / source.resolution.y
    return Pair(_snapped(rows), _snapped(_steps(px / source.resolution.x, source)))


def _steps(cols: Points, source: Grid) -> Points:
    steps, turn = cols[1::2] - cols[::2], full_turn(source.crs)
    if turn:
        period = turn / source.resolution.x
        steps = steps - period * np.rint(steps / period)
    return steps


def _snapped(steps: Points) -> float:
    """Turn source pixels per step to the east and to the south into the scale along one axis of the source."""
    ratio = math.hypot(*steps.tolist()) / (2 * _STEP)
    if not math.isfinite(ratio):
        return 1.0
    whole = round(ratio)
    if whole >= 1 and abs(ratio - whole) < _WHOLE:
        return 1 / whole
    return _QUANTUM / max(round(ratio * _QUANTUM), 1)


def overview_level(source: Grid, target: Grid, overviews: tuple[tuple[int, int], ...]) -> int:
    """Give the coarsest overview that is still as fine as the target, the same for every window of the target.

    Parameters
    ----------
    source, target : Grid
        The full resolution of the source, and any window of the target.
    overviews : tuples (height, width)
        Finest first.

    Returns
    -------
    int
        0 for full resolution, ``n`` for the n-th overview.

    Examples
    --------
    >>> source = Grid.from_bbox((0, 0, 9150, 9150), crs="EPSG:32633", resolution=10, bbox_crs="EPSG:32633")
    >>> target = Grid.from_bbox((0, 0, 9150, 9150), crs="EPSG:32633", resolution=20, bbox_crs="EPSG:32633")
    >>> overview_level(source, target, ((457, 457), (228, 228)))
    1
    """
    ratio = 1 / max(pair_scale(source, target))
    level = 0
    for at, (height, width) in enumerate(overviews, 1):
        if max(source.shape.y / height, source.shape.x / width) <= ratio * (1 + _OVERVIEW_SLACK):
            level = at
    return level
