"""The grid on which items lie, or that holds them all in another CRS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from terracube.core.errors import BudgetError, EmptyResultError, InputError
from terracube.cubes.crs import Bounds, full_turn, project_bbox, to_crs_text, transform_points
from terracube.cubes.grid import Grid
from terracube.cubes.sources import Scene, SceneSet, read_scenes

_SIDE_POINTS = 257
# All of a zone of UTM at 10 m is 5e10.
_MOST_PIXELS = 1 << 36


def grid_of_items(
    items: Any,
    bands: Sequence[str] | None,
    *,
    crs: Any,
    resolution: float | tuple[float, float] | None,
    bbox: Iterable[float] | None,
    bbox_crs: Any,
) -> Grid:
    """Make the grid of items; see :meth:`terracube.cubes.grid.Grid.from_items`."""
    found = items if isinstance(items, SceneSet) else read_scenes(items, bands, mask=False)
    if not found.scenes:
        raise EmptyResultError("there is no item to take a grid from")
    finest = [_finest(scene) for scene in found.scenes]
    grids = list(dict.fromkeys(finest))
    like = min(grids, key=_area)
    if crs is None and resolution is None:
        return _bounded(_native(finest, like, bbox, bbox_crs))
    return _bounded(_chosen(grids, like, crs=crs, resolution=resolution, bbox=bbox, bbox_crs=bbox_crs))


def _bounded(grid: Grid) -> Grid:
    """Refuse a grid that no cube can have: a header may claim any size, and a catalogue hold the whole globe."""
    if grid.shape.y * grid.shape.x > _MOST_PIXELS:
        raise BudgetError(
            "the grid of the items has too many pixels",
            where="grid",
            expected=f"at most {_MOST_PIXELS:,}",
            got=f"{grid.shape.y:,} x {grid.shape.x:,}",
            todo="give bbox=, a coarser resolution=, or grid=",
        )
    return grid


def _finest(scene: Scene) -> Grid:
    if not scene.bands:
        raise InputError("no band was asked for", where="bands", expected="one or more")
    return min((source.grid for source in scene.bands.values()), key=_area)


def _area(grid: Grid) -> float:
    return -grid.resolution.y * grid.resolution.x


def _native(finest: Sequence[Grid], like: Grid, bbox: Iterable[float] | None, bbox_crs: Any) -> Grid:
    """Give the grid of which all items are windows."""
    if not all(grid.same_pixels(like) for grid in finest):
        kinds = Counter(
            f"{grid.crs[:40]} at {grid.resolution.x:g}, phase ({grid.phase.y:g}, {grid.phase.x:g})" for grid in finest
        )
        raise InputError(
            "the items do not lie on one grid",
            where="items",
            expected="one CRS, one pixel size and one phase",
            got="; ".join(f"{kind}: {count} items" for kind, count in kinds.most_common(8)),
            todo="give crs= and resolution=, or the grid of one of them with Grid.covering(grids, like=that)",
        )
    if bbox is None:
        return Grid.covering(dict.fromkeys(finest), like=like)
    size = (-like.resolution.y, like.resolution.x)
    return Grid.from_bbox(bbox, crs=like.crs, resolution=size, bbox_crs=bbox_crs, align=like)


def _chosen(
    grids: Sequence[Grid],
    like: Grid,
    *,
    crs: Any,
    resolution: float | tuple[float, float] | None,
    bbox: Iterable[float] | None,
    bbox_crs: Any,
) -> Grid:
    """Give a grid of the caller's CRS or resolution, aligned with the items where that is theirs."""
    native = {grid.crs for grid in grids}
    if crs is None and len(native) > 1:
        raise InputError(
            "the items lie in several CRS",
            where="crs",
            expected="one of them, or another",
            got=", ".join(sorted(native)),
        )
    target = like.crs if crs is None else to_crs_text(crs)
    if resolution is None and native != {target}:
        raise InputError(
            "the items have no pixel size in this CRS",
            where="resolution",
            expected=f"a pixel size in units of {target}",
            got="none",
            todo="give resolution=",
        )
    size = (-like.resolution.y, like.resolution.x) if resolution is None else resolution
    align = like if target == like.crs and _is_size(like, size) else None
    if bbox is None:
        bbox, bbox_crs = _around(grids, target), target
    return Grid.from_bbox(bbox, crs=target, resolution=size, bbox_crs=bbox_crs, align=align)


def _is_size(grid: Grid, size: float | tuple[float, float]) -> bool:
    y, x = (size, size) if isinstance(size, int | float) else size
    return (-grid.resolution.y, grid.resolution.x) == (y, x)


def _around(grids: Sequence[Grid], crs: str) -> tuple[float, float, float, float]:
    """Give the box around all grids; across the antimeridian its west is greater than its east."""
    boxes = [bounds_in(grid, crs) for grid in grids]
    bottom, top = min(box.bottom for box in boxes), max(box.top for box in boxes)
    turn = full_turn(crs)
    if turn is None:
        return min(box.left for box in boxes), bottom, max(box.right for box in boxes), top
    left, width = _shortest_arc([(box.left, box.right) for box in boxes], turn)
    if width >= turn:
        return -turn / 2, bottom, turn / 2, top
    half = turn / 2
    west = (left + half) % turn - half
    east = west + width
    return west, bottom, east - turn if east > half else east, top


def _shortest_arc(spans: Sequence[tuple[float, float]], turn: float) -> tuple[float, float]:
    """Give the start and the width of the shortest arc of a circle that holds all arcs."""
    starts = np.array([left for left, _ in spans])
    widths = np.array([right - left for left, right in spans])
    best = (0.0, turn)
    for start in np.unique(starts % turn):
        width = float((((starts - start) % turn) + widths).max())
        if width < best[1]:
            best = (float(start), width)
    return best


def bounds_in(grid: Grid, crs: str) -> Bounds:
    """Give the box around a grid in another CRS; longitudes go on beyond 180 across the antimeridian.

    Raises
    ------
    InputError
        If the grid lies outside the CRS, or the CRS cuts it.
    """
    turn = full_turn(crs)
    if turn is None or grid.crs == crs:
        return project_bbox(grid.bounds, grid.crs, crs)
    x, y = _ring(grid.bounds)
    longitude, latitude = transform_points(grid.crs, crs, x, y)
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        raise InputError("the grid lies outside the area of the CRS", expected=f"inside {crs}", got=str(grid.bounds))
    unwrapped = np.unwrap(longitude, period=turn)
    bottom, top = float(latitude.min()), float(latitude.max())
    if abs(unwrapped[-1] - unwrapped[0]) > turn / 2:  # once around: a pole lies inside
        quarter = turn / 4
        return Bounds(-turn / 2, bottom if top > 0 else -quarter, turn / 2, quarter if top > 0 else top)
    return Bounds(float(unwrapped.min()), bottom, float(unwrapped.max()), top)


def _ring(bounds: Bounds) -> tuple[Any, Any]:
    """Give points around a box, closed."""
    t = np.linspace(0.0, 1.0, _SIDE_POINTS)
    along_x = bounds.left + (bounds.right - bounds.left) * t
    along_y = bounds.bottom + (bounds.top - bounds.bottom) * t
    ends = np.ones_like(t)
    x = np.concatenate([along_x, ends * bounds.right, along_x[::-1], ends * bounds.left])
    y = np.concatenate([ends * bounds.bottom, along_y, ends * bounds.top, along_y[::-1]])
    return x, y
