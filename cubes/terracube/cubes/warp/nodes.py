"""Where target pixels lie in a source, as fixed-point numbers: a lattice of exact points, as coarse as a bound allows.

All is keyed on the absolute index of the target pixel. The plane is divided into root cells of 32 x 32 pixels; each has
the coarsest step of 32, 16, 8, 4 pixels at which straight lines between the nodes keep to the bound, as found by
probing between them, or else each of its pixels is projected. Nodes are rounded to 2^-20 source pixels as int64, and
everything after that is integer arithmetic: no block, order or processor can change a bit of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.cubes.crs import full_turn
from terracube.cubes.grid import YX, Grid
from terracube.cubes.warp.frame import EMPTY, EXACT, FARTHEST, LEVELS, NODE_BITS, POSITION_BITS, ROOT
from terracube.cubes.warp.operation import Operation, canonical, operation

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]

_UNIT = float(1 << NODE_BITS)
_TO_POSITION = POSITION_BITS - NODE_BITS
_FAR = float(FARTHEST)
# Target pixels by which a point may miss itself on the way to the source and back.
_HOME = 0.5
# Columns by which the width of a source may miss a full turn of the globe.
_TURN_SLACK = 1e-2


@dataclass(frozen=True, slots=True)
class Projector:
    """Finds canonical target pixels in a source."""

    source: Grid
    target: Grid
    """Canonical: of any window, only CRS, resolution and phase matter."""
    way: Operation
    period: int
    """A full turn of the source's longitudes in 2^-20 pixels; 0 if its CRS is not geographic."""

    @classmethod
    def between(cls, source: Grid, target: Grid) -> Projector:
        """Make the projector of a pair of grids."""
        return cls(source, canonical(target), operation(source, target.crs), _period(source))

    @property
    def whole_turn(self) -> bool:
        """Whether the source runs once around the globe, so that its last column is next to its first."""
        return self.period == self.source.shape.x << NODE_BITS

    def _places(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """Give x and y, each with one rounding: ``rows + phase`` is exact."""
        x = (cols + self.target.phase.x) * self.target.resolution.x
        return x, (rows + self.target.phase.y) * self.target.resolution.y

    def find(self, rows: Floats, cols: Floats) -> tuple[Ints, Ints, Flags]:
        """Give row and column of pixel edges ``rows``, ``cols`` in the source, in 2^-20 pixels, and which are valid."""
        px, py = self.way.to_source(*self._places(rows, cols))
        down = py / self.source.resolution.y - (self.source.offset.y + self.source.phase.y)
        across = px / self.source.resolution.x - (self.source.offset.x + self.source.phase.x)
        valid = (np.abs(down) < _FAR) & (np.abs(across) < _FAR)
        return _fixed(down, valid), _fixed(across, valid), valid

    def returns(self, rows: Floats, cols: Floats) -> Flags:
        """Tell which points come back to themselves: outside its domain a projection folds over."""
        x, y = self._places(rows, cols)
        bx, by = self.way.to_target(*self.way.to_source(x, y))
        turn = full_turn(self.target.crs)
        with np.errstate(invalid="ignore"):
            off = (bx - x) - turn * np.rint((bx - x) / turn) if turn else bx - x
            near = np.abs(off) < _HOME * self.target.resolution.x
            found: Flags = near & (np.abs(by - y) < -_HOME * self.target.resolution.y)
        return found

    def brought_near(self, cols: Ints, to: Ints) -> Ints:
        """Move columns by whole turns to within half a turn of others."""
        if not self.period:
            return cols
        moved: Ints = cols + self.period * np.rint((to - cols) / self.period).astype("int64")
        return moved

    def brought_home(self, cols: Ints) -> Ints:
        """Move columns by whole turns into the turn that has the source in its middle, its western end included."""
        if not self.period:
            return cols
        west = (self.source.shape.x << (NODE_BITS - 1)) - self.period // 2
        return cols - self.period * ((cols - west) // self.period)


def _period(source: Grid) -> int:
    turn = full_turn(source.crs)
    if not turn:
        return 0
    columns = turn / source.resolution.x
    if abs(columns - source.shape.x) < _TURN_SLACK:
        return source.shape.x << NODE_BITS
    return round(columns * _UNIT)


def _fixed(places: Floats, valid: Flags) -> Ints:
    fixed: Ints = np.rint(np.where(valid, places, 0.0) * _UNIT).astype("int64")
    return fixed


def separable(projector: Projector, target: Grid, *, boxes: bool) -> Ints:
    """Find the columns and rows of a block within one CRS.

    Returns
    -------
    int64 (2, n) or (4, n)
        32.32-bit positions of column and row centres; or of western, eastern, northern and southern edges.
    """
    found = np.full((4 if boxes else 2, max(target.shape)), _away(), "int64")
    cols = np.arange(target.offset.x, target.offset.x + target.shape.x, dtype="float64")
    rows = np.arange(target.offset.y, target.offset.y + target.shape.y, dtype="float64")
    # Any row does for all columns, and the other way round.
    middle = projector.brought_home(projector.find(rows[:1] + 0 * cols, cols + 0.5)[1])
    shifts = (0.0, 1.0) if boxes else (0.5,)
    for at, shift in enumerate(shifts):
        _, edge, valid = projector.find(rows[:1] + 0 * cols, cols + shift)
        found[at, : cols.size] = np.where(valid, projector.brought_near(edge, middle), _away())
    for at, shift in enumerate(shifts, len(shifts)):
        edge, _, valid = projector.find(rows + shift, cols[:1] + 0 * rows)
        found[at, : rows.size] = np.where(valid, edge, _away())
    return found << _TO_POSITION


@dataclass(slots=True)
class _Cells:
    """Root cells of a block while they are filled; ``kind`` and ``start`` go to the kernels as they are."""

    kind: Ints
    start: Ints
    parts: list[Ints]
    used: int = 0

    def put(self, which: Ints, kind: int, nodes: Ints) -> None:
        """Store nodes (axes, cells, points) of root cells."""
        axes, cells, points = nodes.shape
        self.kind[which] = kind
        self.start[which] = self.used + points * np.arange(cells)
        self.parts.append(nodes.reshape(axes, cells * points))
        self.used += cells * points


def lattice(
    projector: Projector, roots: tuple[YX, YX], wanted: Flags, *, boxes: bool, bound: float
) -> tuple[Ints, Ints] | None:
    """Find the nodes of the root cells of a block.

    Parameters
    ----------
    roots
        Index of the first root cell and number of root cells, (y, x).
    wanted : bool (y, x)
        Root cells that the source may reach.
    boxes
        Whether pixel edges are asked for, not centres.
    bound
        Largest distance, in source pixels and along each axis, of an interpolated point from its true place.

    Returns
    -------
    cells : int64 (y, x, 2)
        What a root cell holds and where its nodes start.
    nodes : int64 (2, n) or (4, n)
        Columns and rows; for the pixels of exact cells positions, or west, east, north, south.
    """
    first, number = roots
    chosen = np.flatnonzero(wanted)
    if not chosen.size:
        return None
    cells = _Cells(np.full(wanted.size, EMPTY, "int64"), np.zeros(wanted.size, "int64"), [])
    corners = np.stack([first.y + chosen // number.x, first.x + chosen % number.x]) * ROOT
    left = _interpolated(projector, cells, chosen, corners, bound=bound) if bound > 0 else np.ones(chosen.size, bool)
    if left.any():
        _exact(projector, cells, chosen[left], corners[:, left], boxes=boxes)
    if not cells.parts:
        return None
    axes = 4 if boxes else 2
    nodes = np.zeros((axes, cells.used), "int64")
    at = 0
    for part in cells.parts:
        nodes[: part.shape[0], at : at + part.shape[1]] = part
        at += part.shape[1]
    return np.stack([cells.kind, cells.start], axis=-1).reshape(*wanted.shape, 2), nodes


def _interpolated(projector: Projector, cells: _Cells, which: Ints, corners: Ints, *, bound: float) -> Flags:
    """Fill the root cells that a lattice can hold; tell which are left."""
    left = np.ones(which.size, bool)
    nodes, error = _tried(projector, corners, LEVELS[0])
    error[~_comes_back(projector, corners)] = np.inf
    # Straight lines err by the square of the step: steps that this rules out are not tried.
    with np.errstate(divide="ignore"):
        hopeful = LEVELS[0] - np.ceil(np.log2(np.maximum(error / bound, 1.0)) / 2)
    _keep(projector, cells, which[error <= bound], LEVELS[0], nodes[:, error <= bound])
    left &= error > bound
    for level in LEVELS[1:]:
        now = np.flatnonzero(left & (hopeful >= level))
        if now.size:
            nodes, error = _tried(projector, corners[:, now], level)
            _keep(projector, cells, which[now[error <= bound]], level, nodes[:, error <= bound])
            left[now[error <= bound]] = False
    return left


def _tried(projector: Projector, corners: Ints, level: int) -> tuple[Ints, Floats]:
    """Find the nodes of root cells, and how far they mislead at most, in source pixels (infinite if invalid)."""
    step, side = 1 << level, (ROOT >> level) + 1
    down, across = (part.ravel() for part in np.meshgrid(*(np.arange(side) * step,) * 2, indexing="ij"))
    base = (part.ravel() for part in np.meshgrid(*(np.arange(side - 1) * step,) * 2, indexing="ij"))
    probes = np.array([(2, 2), (0, 2), (2, 0), (4, 2), (2, 4), (1, 1), (1, 3)]) * step // 4
    probe_down, probe_across = (np.add.outer(part, probes[:, axis]).ravel() for axis, part in enumerate(base))
    down, across = np.concatenate([down, probe_down]), np.concatenate([across, probe_across])
    rows, cols = (np.add.outer(corners[axis], part) for axis, part in enumerate((down, across)))
    found = projector.find(rows.ravel().astype("float64"), cols.ravel().astype("float64"))
    y, x, valid = (part.reshape(rows.shape) for part in found)
    x = projector.brought_near(x, x[:, :1])
    count = side * side
    error = np.where(valid.all(axis=1), np.maximum(*(_misled(part, side, probes / step) for part in (y, x))), np.inf)
    return np.stack([x[:, :count], y[:, :count]]), error


def _misled(places: Ints, side: int, probes: Floats) -> Floats:
    cells, count = places.shape[0], side * side
    nodes = places[:, :count].reshape(cells, side, side)
    truth = places[:, count:].reshape(cells, side - 1, side - 1, len(probes))
    origin = nodes[:, :1, :1]
    nw, ne, sw, se = (
        (nodes[:, y : side - 1 + y, x : side - 1 + x] - origin)[..., None] for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    v, u = probes[:, 0], probes[:, 1]
    guess = (nw * (1 - u) + ne * u) * (1 - v) + (sw * (1 - u) + se * u) * v
    off: Floats = np.abs(guess - (truth - origin[..., None])).reshape(cells, -1).max(axis=1) / _UNIT
    return off


def _comes_back(projector: Projector, corners: Ints) -> Flags:
    points = np.array([(0, 0), (0, ROOT), (ROOT, 0), (ROOT, ROOT), (ROOT // 2, ROOT // 2)])
    rows, cols = (np.add.outer(corners[axis], points[:, axis]).astype("float64") for axis in (0, 1))
    found: Flags = projector.returns(rows.ravel(), cols.ravel()).reshape(rows.shape).all(axis=1)
    return found


def _keep(projector: Projector, cells: _Cells, which: Ints, level: int, nodes: Ints) -> None:
    """Store the root cells that touch the source, in the turn of the globe in which it lies."""
    if not which.size:
        return
    x, y = nodes
    middle = (x.min(axis=1) + x.max(axis=1)) // 2
    x = x + (projector.brought_home(middle) - middle)[:, None]
    touches = (y.max(axis=1) >= 0) & (y.min(axis=1) < projector.source.shape.y << NODE_BITS)
    if not projector.whole_turn:
        touches &= (x.max(axis=1) >= 0) & (x.min(axis=1) < projector.source.shape.x << NODE_BITS)
    cells.put(which[touches], level, np.stack([x, y])[:, touches])


def _exact(projector: Projector, cells: _Cells, which: Ints, corners: Ints, *, boxes: bool) -> None:
    """Project each pixel of root cells."""
    along = np.arange(ROOT) + 0.5
    down, across = (part.ravel() for part in np.meshgrid(along, along, indexing="ij"))
    rows, cols = (np.add.outer(corners[axis], part) for axis, part in enumerate((down, across)))
    y, x, valid = (part.reshape(rows.shape) for part in projector.find(rows.ravel(), cols.ravel()))
    valid &= projector.returns(rows.ravel(), cols.ravel()).reshape(rows.shape)
    x = projector.brought_home(x)
    height, width = (side << NODE_BITS for side in projector.source.shape)
    if not boxes:
        touches = (valid & (y >= 0) & (y < height) & (x >= 0) & (x < width)).any(axis=1)
        put = np.stack([np.where(valid, x, _away()), np.where(valid, y, _away())])
    else:
        put = _boxes(projector, corners, (y, x, valid))
        touches = ((put[0] < width) & (put[1] > 0) & (put[2] < height) & (put[3] > 0)).any(axis=1)
        touches |= projector.whole_turn & valid.any(axis=1)
    if touches.any():
        cells.put(which[touches], EXACT, put[:, touches] << _TO_POSITION)


def _away() -> int:
    """Give the place of a pixel that has none, which becomes NOWHERE as a position."""
    return -(1 << (62 - _TO_POSITION))


def _boxes(projector: Projector, corners: Ints, centres: tuple[Ints, Ints, Flags]) -> Ints:
    """Give west, east, north, south of each pixel of root cells, from its own four corners.

    Where the corners do not surround the centre (a pole, a seam), the source pixel at the centre stands for the box.
    """
    y, x, valid = centres
    cells, side = x.shape[0], ROOT + 1
    down, across = (part.ravel() for part in np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    rows, cols = (np.add.outer(corners[axis], part).astype("float64") for axis, part in enumerate((down, across)))
    all_y, all_x, all_valid = projector.find(rows.ravel(), cols.ravel())
    cys, corner_xs = _corners(all_y, cells), _corners(all_x, cells)
    cxs = [projector.brought_near(part, x) for part in corner_xs]
    sound = valid & np.logical_and.reduce(_corners(all_valid, cells)).astype(bool)
    box = _extent(cxs, cys)
    sound &= _surrounds(box[0], box[1], x) & _surrounds(box[2], box[3], y)
    unit = 1 << NODE_BITS
    pixel_x, pixel_y = x & -unit, y & -unit
    single = np.stack([pixel_x, pixel_x + unit, pixel_y, pixel_y + unit])
    return np.where(valid, np.where(sound, box, single), _away())


def _corners(points: NDArray[Any], cells: int) -> list[NDArray[Any]]:
    """Give the corners of all pixels of root cells: north-west, north-east, south-west, south-east."""
    grid = points.reshape(cells, ROOT + 1, ROOT + 1)
    places = ((0, 0), (0, 1), (1, 0), (1, 1))
    return [grid[:, y : ROOT + y, x : ROOT + x].reshape(cells, -1) for y, x in places]


def _extent(cxs: list[Ints], cys: list[Ints]) -> Ints:
    """Give the box between the first and the last corner, or around all four where that one would collapse."""
    along, aside = (cxs[3] - cxs[0], cys[3] - cys[0]), (cxs[2] - cxs[1], cys[2] - cys[1])
    area = np.abs(along[0].astype("float64") * aside[1] - along[1].astype("float64") * aside[0]) / 2
    thin = np.abs(along[0].astype("float64") * along[1]) < 0.5 * area
    rims = []
    for ends in (cxs, cys):
        rims.append(np.where(thin, np.minimum.reduce(ends), np.minimum(ends[0], ends[3])))
        rims.append(np.where(thin, np.maximum.reduce(ends), np.maximum(ends[0], ends[3])))
    return np.stack(rims)


def _surrounds(low: Ints, high: Ints, centre: Ints) -> Flags:
    off = np.abs(2 * centre - low - high)
    found: Flags = off <= (high - low) // 2 + (1 << NODE_BITS)
    return found
