"""How far a source can reach in a target, once for all windows of the target."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from terracube.cubes.crs import full_turn
from terracube.cubes.grid import Grid
from terracube.cubes.warp.operation import canonical, operation

type Box = tuple[int, int, int, int]

# A side that bulges between two of these points does so by less than 1e-5 of its length, if it bends like the earth.
_EDGE_POINTS = 257
_INNER_POINTS = 17
_MARGIN = 1e-3
_MARGIN_PIXELS = 2
# An index that no grid has: reach without an end on that side.
_ENDLESS = 1 << 40


def reach(source: Grid, target: Grid) -> Box | None:
    """Give the target pixels that a source can touch, on the safe side.

    Parameters
    ----------
    source : Grid
    target : Grid
        Any window. It only matters in geographic CRS, where a source comes again each turn: then the turns that meet
        the window are taken.

    Returns
    -------
    (row0, row1, col0, col1) or None
        Absolute indices of the target's canonical grid, the ends excluded; beyond all grids where the source has no
        end (poles, seams of the target's CRS). ``None`` where it is nowhere.

    Raises
    ------
    InputError
        If no way leads from one CRS to the other.

    Examples
    --------
    >>> source = Grid.from_bbox((0, 0, 90, 90), crs="EPSG:32633", resolution=10, bbox_crs="EPSG:32633")
    >>> target = Grid.from_bbox((0, 0, 900, 900), crs="EPSG:32633", resolution=30, bbox_crs="EPSG:32633")
    >>> reach(source, target)
    (-6, 3, -3, 6)
    """
    box = _reach(source, canonical(target))
    turn = full_turn(target.crs)
    if box is None or turn is None or box[3] - box[2] >= _ENDLESS:
        return box
    row0, row1, col0, col1 = box
    period = turn / target.resolution.x
    first = math.ceil((target.offset.x - col1) / period)
    last = math.floor((target.offset.x + target.shape.x - col0) / period)
    if last < first:
        return None
    return row0, row1, math.floor(col0 + first * period), math.ceil(col1 + last * period)


@lru_cache(maxsize=4096)
def _reach(source: Grid, target: Grid) -> Box | None:
    way = operation(source, target.crs)
    if way.anchor is None:
        return None
    x, y = _outline(source)
    edges = x.size
    inner_x, inner_y = _inside(source)
    px, py = way.to_target(np.concatenate([x, inner_x]), np.concatenate([y, inner_y]))
    rows, cols = py / target.resolution.y - target.phase.y, px / target.resolution.x - target.phase.x
    if not (np.isfinite(rows).all() and np.isfinite(cols).all()):
        return (-_ENDLESS, _ENDLESS, -_ENDLESS, _ENDLESS)
    turn = full_turn(target.crs)
    if turn:
        cols = _unwrapped(cols, edges, turn / target.resolution.x)
    return *_range(rows, edges), *_range(cols, edges)


def _unwrapped(cols: NDArray[np.float64], edges: int, period: float) -> NDArray[np.float64]:
    outline = np.unwrap(cols[:edges], period=period)
    middle = (outline.min() + outline.max()) / 2
    inner = cols[edges:]
    return np.concatenate([outline, inner - period * np.rint((inner - middle) / period)])


def _range(places: NDArray[np.float64], edges: int) -> tuple[int, int]:
    """Give the first index and the one after the last; without end where the outline is torn or not the outline."""
    outline = places[:edges]
    low, high = float(outline.min()), float(outline.max())
    extent = high - low
    slack = _MARGIN * extent + _MARGIN_PIXELS
    jumps = float(np.abs(np.diff(outline, append=outline[0])).max()) > 0.25 * extent + _MARGIN_PIXELS
    if jumps or places.min() < low - slack or places.max() > high + slack:
        return -_ENDLESS, _ENDLESS
    return math.floor(low - slack), math.ceil(high + slack)


def _outline(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, bottom, right, top = grid.bounds
    t = np.linspace(0.0, 1.0, _EDGE_POINTS)[:-1]
    west_east, north_south = left + (right - left) * t, top + (bottom - top) * t
    east_west, south_north = right + (left - right) * t, bottom + (top - bottom) * t
    x = np.concatenate([west_east, np.full_like(t, right), east_west, np.full_like(t, left)])
    y = np.concatenate([np.full_like(t, top), north_south, np.full_like(t, bottom), south_north])
    return x, y


def _inside(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, bottom, right, top = grid.bounds
    t = np.linspace(0.0, 1.0, _INNER_POINTS + 2)[1:-1]
    x, y = np.meshgrid(left + (right - left) * t, top + (bottom - top) * t)
    return x.ravel(), y.ravel()
