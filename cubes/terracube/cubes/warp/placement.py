"""Where a block of the target lies in a source: computed once, used for every date and band."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, InputError
from terracube.cubes.crs import full_turn
from terracube.cubes.grid import YX, Grid, Pair
from terracube.cubes.warp import frame as slot
from terracube.cubes.warp.extent import reach
from terracube.cubes.warp.frame import POSITION_BITS, ROOT, ROOT_BITS, Geometry
from terracube.cubes.warp.nodes import Projector, lattice, separable
from terracube.cubes.warp.operation import pair_scale
from terracube.cubes.warp.positions import hull_of_boxes, hull_of_centres
from terracube.cubes.window import Window

METHODS = ("nearest", "bilinear", "cubic", "average", "mode")
AREAS = ("average", "mode")
# GDAL's limit too: a source hardly finer than the target is interpolated, not smoothed.
_WIDENED_BELOW = 0.95
# A window is read whole; one gigabyte of float32 is more than a block ever needs.
_MAX_WINDOW = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """All that resampling a block from a source needs, but the values."""

    source: Grid
    target: Grid
    """The block."""
    method: str
    window: Window
    """The part of the source that is needed; every pixel that a kernel can take lies in it."""
    copy: bool
    """Whether target pixels are source pixels: then the values are a plain slice, to go to ``part``."""
    part: Window
    """The part of the block in which values can come to lie; just that of the slice where ``copy``."""
    scale: Pair
    """Kernel scale, at most 1 for the two methods that have a kernel; see :func:`pair_scale`."""
    pad: tuple[int, int]
    """Columns to repeat on the left and on the right of a source around the globe."""
    largest: int
    """Source pixels in the largest box; 1 for the methods that look at centres."""
    geometry: Geometry
    """Frame, root cells and nodes: what the kernels read."""
    kept: dict[str, NDArray[Any]]
    """What was worked out from these for one date and band, and is the same for the next."""

    @property
    def widened(self) -> bool:
        """Whether the kernel is stretched over target pixels larger than source pixels."""
        return self.scale != (1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """What the methods that look at centres, or at boxes, have in common for a block."""

    geometry: Geometry
    hull: tuple[int, int, int, int]
    """First row, row after the last, first and after-last column that target pixels fall on."""
    largest: int
    kept: dict[str, NDArray[Any]] = field(default_factory=dict)


def place(source: Grid, target: Grid, method: str, *, bound: float = 2e-4) -> Placement | None:
    """Find a block of the target in a source.

    Parameters
    ----------
    source : Grid
        The whole source, at the level of the overview that will be read.
    target : Grid
        Any window of the target; each of its pixels is placed as in every other window that holds it.
    method : str
        One of ``METHODS``.
    bound : float
        Largest error of a position, in source pixels; 0 projects every pixel.

    Returns
    -------
    Placement or None
        ``None`` where no target pixel falls on the source.

    Raises
    ------
    InputError
        If the method is unknown, the bound is negative, or no way leads from one CRS to the other.
    BudgetError
        If the block spans so much of the source that the part to read would not fit in memory.

    Examples
    --------
    >>> source = Grid.from_bbox((0, 0, 900, 900), crs="EPSG:32633", resolution=10, bbox_crs="EPSG:32633")
    >>> target = Grid.from_bbox((300, 300, 420, 360), crs="EPSG:32633", resolution=30, bbox_crs="EPSG:32633")
    >>> place(source, target, "average").window
    Window(row=54, col=30, height=6, width=12)
    """
    if method not in METHODS:
        raise InputError("unknown resampling", where="resampling", expected=", ".join(METHODS), got=str(method)[:80])
    if not 0 <= bound < math.inf:
        raise InputError("the bound of positions is no distance", where="bound", expected=">= 0", got=str(bound))
    if max(source.shape) >= slot.FARTHEST:
        raise BudgetError("the source has too many pixels", expected=f"< {slot.FARTHEST:,}", got=str(source.shape))
    if min(source.shape) < 1 or min(target.shape) < 1:
        return None
    if _same_pixels(source, target):
        return _slice(source, target, method)
    found = _placed(source, target, method in AREAS, bound)
    return None if found is None else _fitted(source, target, method, found)


def _same_pixels(source: Grid, target: Grid) -> bool:
    """Tell whether target pixels are source pixels, of the same turn of the globe."""
    if not source.same_pixels(target):
        return False
    turn = full_turn(source.crs)
    if turn is None:
        return True
    middle, half = source.offset.x + source.shape.x / 2, turn / source.resolution.x / 2
    return middle - half <= target.offset.x and target.offset.x + target.shape.x <= middle + half


def _slice(source: Grid, target: Grid, method: str) -> Placement | None:
    row0, col0 = (max(s, t) for s, t in zip(source.offset, target.offset, strict=True))
    row1, col1 = (
        min(source.offset[axis] + source.shape[axis], target.offset[axis] + target.shape[axis]) for axis in (0, 1)
    )
    if row0 >= row1 or col0 >= col1:
        return None
    size = (row1 - row0, col1 - col0)
    window = Window(row0 - source.offset.y, col0 - source.offset.x, *size)
    part = Window(row0 - target.offset.y, col0 - target.offset.x, *size)
    nodes = np.zeros((2, max(target.shape)), "int64")
    for axis in (0, 1):
        first = target.offset[1 - axis] - source.offset[1 - axis]
        nodes[axis] = ((first + np.arange(nodes.shape[1])) << POSITION_BITS) + slot.HALF
    frame = _frame(source, target, separable=True, period=0)
    frame[slot.TOP], frame[slot.LEFT] = window.row, window.col
    geometry = (frame, np.zeros((0, 0, 2), "int64"), nodes)
    return Placement(source, target, method, window, True, part, Pair(1.0, 1.0), (0, 0), 1, geometry, {})


@lru_cache(maxsize=16)
def _placed(source: Grid, target: Grid, boxes: bool, bound: float) -> _Place | None:
    projector = Projector.between(source, target)
    period = projector.period << (POSITION_BITS - slot.NODE_BITS) if projector.whole_turn else 0
    if source.crs == target.crs:
        frame = _frame(source, target, separable=True, period=period)
        geometry = (frame, np.zeros((0, 0, 2), "int64"), separable(projector, target, boxes=boxes))
    else:
        first = YX(target.offset.y >> ROOT_BITS, target.offset.x >> ROOT_BITS)
        wanted = _roots_in_reach(source, target, first)
        found = lattice(projector, (first, YX(*wanted.shape)), wanted, boxes=boxes, bound=bound)
        if found is None:
            return None
        frame = _frame(source, target, separable=False, period=period)
        geometry = (frame, *found)
    return _hull(geometry, target.shape, boxes=boxes)


def _roots_in_reach(source: Grid, target: Grid, first: YX) -> NDArray[np.bool_]:
    last = YX(*((o + s - 1 >> ROOT_BITS) + 1 for o, s in zip(target.offset, target.shape, strict=True)))
    box = reach(source, target)
    rows, cols = (np.arange(first[axis], last[axis]) * ROOT for axis in (0, 1))
    if box is None:
        return np.zeros((rows.size, cols.size), bool)
    near: NDArray[np.bool_] = np.logical_and.outer(
        (rows + ROOT > box[0]) & (rows < box[1]), (cols + ROOT > box[2]) & (cols < box[3])
    )
    return near


def _frame(source: Grid, target: Grid, *, separable: bool, period: int) -> NDArray[np.int64]:
    frame = np.zeros(slot.SLOTS, "int64")
    frame[slot.ROW], frame[slot.COL] = target.offset.y % ROOT, target.offset.x % ROOT
    frame[slot.HEIGHT], frame[slot.WIDTH] = source.shape
    frame[slot.HIGH] = source.shape.x
    frame[slot.PERIOD], frame[slot.SEPARABLE] = period, separable
    return frame


def _hull(geometry: Geometry, shape: YX, *, boxes: bool) -> _Place | None:
    hull = np.ones(5, "int64")
    if boxes:
        hull_of_boxes(geometry, shape.y, np.empty((4, shape.x), "int64"), hull)
    else:
        hull_of_centres(geometry, shape.y, np.empty(shape.x, "int64"), np.empty(shape.x, "int64"), hull)
    top, bottom, left, right, largest = hull.tolist()
    return _Place(geometry, (top, bottom, left, right), largest) if top < bottom and left < right else None


def _fitted(source: Grid, target: Grid, method: str, found: _Place) -> Placement:
    """Fit window and frame to the taps of a method."""
    scale = _kernel_scale(source, target, method)
    radius = {"bilinear": 1, "cubic": 2}.get(method, 0)
    tap_y, tap_x = (math.ceil(radius / part) for part in scale)
    top, bottom, left, right = found.hull
    top, bottom = max(top - tap_y, 0), min(bottom + tap_y, source.shape.y)
    left, right = left - tap_x, right + tap_x
    pad = (0, 0)
    if found.geometry[0][slot.PERIOD] and (left < 0 or right > source.shape.x):
        pad = (max(-left, 0), max(right - source.shape.x, 0))
        left, right = 0, source.shape.x
    window = Window(top, max(left, 0), bottom - top, min(right, source.shape.x) - max(left, 0))
    if window.height * window.width > _MAX_WINDOW:
        raise BudgetError(
            "a block spans too many pixels of a scene",
            expected=f"at most {_MAX_WINDOW:,}",
            got=f"{window.height:,} x {window.width:,}",
            todo="choose smaller blocks, a finer resolution, or overviews",
        )
    frame = found.geometry[0].copy()
    frame[slot.TOP], frame[slot.LEFT] = window.row, window.col - pad[0]
    frame[slot.LOW], frame[slot.HIGH] = -pad[0], source.shape.x + pad[1]
    frame[slot.REACH_Y], frame[slot.REACH_X] = tap_y, tap_x
    whole, geometry = Window(0, 0, *target.shape), (frame, *found.geometry[1:])
    return Placement(source, target, method, window, False, whole, scale, pad, found.largest, geometry, found.kept)


def _kernel_scale(source: Grid, target: Grid, method: str) -> Pair:
    if method not in ("bilinear", "cubic"):
        return Pair(1.0, 1.0)
    scale = pair_scale(source, target)
    if min(scale) >= _WIDENED_BELOW:
        return Pair(1.0, 1.0)
    return Pair(min(scale.y, 1.0), min(scale.x, 1.0))
