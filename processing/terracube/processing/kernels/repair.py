"""Find pairs that are wrong by whole cycles: a solution that few large residuals cannot move, and these rounded.

Each pixel is solved on the network of dates (:mod:`~terracube.processing.kernels.laplacian`) with weights that first
approach those of least absolute residuals and then those of Geman and McClure, ``(c^2 / (c^2 + e^2))^2``, with a
falling width ``c``. Residuals beyond half a cycle and a margin are rounded and taken off, until none is left. Pixels
are worked on in tiles of lanes; one that has no more to do is left as it is, so its bits depend on nothing else.

References
----------
Geman and McClure 1987 (Bull. Int. Stat. Inst. 52(4), 5-21) for the loss; Daubechies et al. 2010
(doi:10.1002/cpa.20303) for reweighting towards least absolute residuals.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel, part
from terracube.processing.kernels.laplacian import (
    LANES,
    Elimination,
    assemble,
    eliminate,
    factor,
    phases,
    residuals,
    solve,
)
from terracube.processing.kernels.rivals import NO_LOOP, TIED, count_gains, find_rivals, mark_loose

__all__ = [
    "CYCLE", "NO_LOOP", "TIED", "Web", "judge_pixels", "mend_pixels", "round_pixels", "screen_pixels", "solve_pixels",
    "web_of",
]  # fmt: skip

type Floats = NDArray[np.float32]

CYCLE = np.float32(2 * math.pi)
_PER_CYCLE = np.float32(1 / (2 * math.pi))
_ZERO, _ONE, _HALF, _NAN = np.float32(0), np.float32(1), np.float32(0.5), np.float32(np.nan)
# A weight that vanishes would cut the network: this much of a pair always counts.
_LEAST = np.float32(2e-3)
# Cycles are kept in eight bits; a pair beyond is none that a few cycles mend.
_MOST = np.float32(120)

STEPS = np.array([[0, 1.0], [0, 0.5], [0, 0.25], [0, 0.1], [1, 4.0], [1, 3.5], [1, 3.0], [1, 2.5], [1, 2.5]], "f4")
"""What reweights after each solution: 0 and the least residual of a weight ``1 / |e|``, or 1 and the width, rad."""


class Web(NamedTuple):
    """A network as the loops here need it."""

    plan: Elimination
    pairs: NDArray[np.int32]
    starts: NDArray[np.int32]
    """(N + 2,): where the pairs of each date begin."""
    incident: NDArray[np.int32]
    """Pairs of each date."""


def web_of(pairs: NDArray[np.int32], dates: int) -> Web:
    """Settle all that does not depend on pixels.

    Examples
    --------
    >>> web_of(np.array([[0, 1], [1, 2]], np.int32), 3).incident.tolist()
    [0, 0, 1, 1]
    """
    ends = np.asarray(pairs, np.int32).reshape(-1, 2)
    order = np.argsort(ends.ravel(), kind="stable")
    starts = np.searchsorted(ends.ravel()[order], np.arange(dates + 1))
    return Web(eliminate(ends, dates), ends, starts.astype(np.int32), (order // 2).astype(np.int32))


class _Room(NamedTuple):
    """What a tile is worked on in."""

    y: Any
    valid: Any
    w: Any
    e: Any
    matrix: Any
    right: Any
    weak: Any
    x: Any


@inner
def _room(web: Any) -> Any:
    pairs, count = web.pairs.shape[0], web.plan.diagonal.size
    sheet, rows = np.empty((4, pairs, LANES), np.float32), np.empty((count, LANES), np.float32)
    return _Room(
        sheet[0], sheet[1], sheet[2], sheet[3], np.empty((web.plan.size[0], LANES), np.float32), rows,
        np.empty((count, LANES), np.uint8), np.empty((count + 1, LANES), np.float32),
    )  # fmt: skip


@part
def _load(y: Any, cycles: Any, todo: Any, start: int, room: Any) -> None:
    """Gather pixels, with the cycles found so far; lanes behind the last one are missing."""
    size = min(LANES, todo.size - start)
    for m in range(y.shape[0]):
        for lane in range(size):
            at = todo[start + lane]
            x = y[m, at]
            sound = x - x == _ZERO
            room.y[m, lane] = x + np.float32(cycles[m, at]) * CYCLE if sound else _ZERO
            room.valid[m, lane] = _ONE if sound else _ZERO
        for lane in range(size, LANES):
            room.y[m, lane], room.valid[m, lane] = _ZERO, _ZERO


@inner
def _solve(web: Any, room: Any, w: Any) -> None:
    """Solve a tile with weights, and leave its residuals."""
    room.weak[:] = 0
    assemble(web.plan, web.pairs, w, room.y, room.matrix, room.right)
    factor(web.plan, room.matrix, room.weak)
    solve(web.plan, room.matrix, room.right)
    phases(web.plan, room.right, room.x)
    residuals(web.pairs, room.x, room.y, room.valid, room.e)


@part
def _reweight(kind: float, width: float, room: Any) -> None:
    scale = np.float32(width)
    square = scale * scale
    for m in range(room.w.shape[0]):
        for lane in range(LANES):
            size = abs(room.e[m, lane])
            far = scale / (size if size > scale else scale)
            near = square / (square + size * size)
            weight = far if kind == _ZERO else near * near
            room.w[m, lane] = (weight if weight > _LEAST else _LEAST) * room.valid[m, lane]


@inner
def whole_cycles(left: Any, margin: Any) -> Any:
    """Give the whole cycles of a residual that lies beyond half a cycle and a margin, rad."""
    size = abs(left)
    count = np.floor((size - margin) * _PER_CYCLE + _HALF)
    count = count if count > _ZERO else _ZERO
    count = count if count < _MOST else _MOST
    return count if left > _ZERO else -count


@part
def _round(todo: Any, start: int, margin: Any, room: Any, cycles: Any, open_: Any) -> None:
    """Take whole cycles off; pixels of which some had to be taken stay open."""
    size = min(LANES, todo.size - start)
    for lane in range(size):
        open_[start + lane] = 0
    for m in range(room.e.shape[0]):
        for lane in range(size):
            count = whole_cycles(room.e[m, lane], margin)
            if count != _ZERO:
                at = todo[start + lane]
                found = np.float32(cycles[m, at]) - count
                cycles[m, at] = np.int8(max(-_MOST, min(_MOST, found)))
                open_[start + lane] = 1


@part
def _reached(web: Any, room: Any, here: Any) -> None:
    """Mark the dates that hang together with the first one."""
    here[:] = 0
    here[0] = 1
    changed = True
    while changed:
        changed = False
        for m in range(web.pairs.shape[0]):
            i, j = web.pairs[m, 0], web.pairs[m, 1]
            for lane in range(LANES):
                if room.valid[m, lane] > _ZERO and here[i, lane] != here[j, lane]:
                    here[i, lane], here[j, lane] = 1, 1
                    changed = True


@kernel
def round_pixels(y: Any, x: Any, pairs: Any, margin: float, cycles: Any, changed: Any) -> None:
    """Settle the cycles of each pair by the phases of its dates.

    Parameters
    ----------
    y : float32 (M, P)
    x : float32 (N + 1, P)
        rad; where a date has none, its pairs keep their cycles.
    pairs : int32 (M, 2)
    margin : float
        rad.
    cycles : int8 (M, P)
        Changed here.
    changed : uint8 (P,)
        Written here: 1 where cycles changed.
    """
    extra = np.float32(margin)
    changed[:] = 0
    for m in range(y.shape[0]):
        i, j = pairs[m, 0], pairs[m, 1]
        for at in range(y.shape[1]):
            left = y[m, at] - (x[j, at] - x[i, at])
            if left - left == _ZERO:
                found = np.int8(-whole_cycles(left, extra))
                changed[at] = 1 if found != cycles[m, at] else changed[at]
                cycles[m, at] = found


@part
def _screen(limit: Any, todo: Any, start: int, room: Any, open_: Any) -> None:
    """Mark pixels that have a residual beyond a limit."""
    size = min(LANES, todo.size - start)
    for lane in range(size):
        open_[start + lane] = 0
    for m in range(room.e.shape[0]):
        for lane in range(size):
            if abs(room.e[m, lane]) > limit:
                open_[start + lane] = 1


@part
def _series(web: Any, todo: Any, start: int, room: Any, here: Any, x: Any) -> None:
    """Write the phases of the dates that hang together with the first one, then the sum of squared residuals."""
    _reached(web, room, here)
    last = x.shape[0] - 1
    for lane in range(min(LANES, todo.size - start)):
        x[last, todo[start + lane]] = _ZERO
    for m in range(room.e.shape[0]):
        for lane in range(min(LANES, todo.size - start)):
            x[last, todo[start + lane]] += room.e[m, lane] * room.e[m, lane]
    for date in range(last):
        for lane in range(min(LANES, todo.size - start)):
            x[date, todo[start + lane]] = room.x[date, lane] if here[date, lane] else _NAN


@part
def _judge(web: Any, limits: Any, todo: Any, start: int, room: Any, cycles: Any, out: Any) -> None:
    many, lever = cycles.shape[0], np.float32(limits[0])
    scratch, spread = np.empty(room.matrix.shape, np.float32), np.empty(room.x.shape, np.float32)
    gains, flags = np.empty((2, many, LANES), np.int16), np.empty((many, LANES), np.uint8)
    least = np.empty(LANES, np.int16)
    mark_loose(web, room, scratch, spread, lever, flags)
    count_gains(cycles, todo, start, room, gains)
    find_rivals(web, int(limits[2]), int(limits[1]), gains, room, least, flags)
    for lane in range(min(LANES, todo.size - start)):
        out.slack[todo[start + lane]] = np.int8(max(-128, min(127, least[lane])))
        for m in range(many):
            out.undecided[m, todo[start + lane]] = flags[m, lane]


@kernel
def _pixels(y: Any, web: Any, task: int, steps: Any, limits: Any, cycles: Any, out: Any) -> None:
    """Solve pixels and do one of four things with the solution; compiled once for all of them."""
    room, todo = _room(web), out.todo
    here = np.empty((room.x.shape[0], LANES), np.uint8)
    for start in range(0, todo.size, LANES):
        _load(y, cycles, todo, start, room)
        _solve(web, room, room.valid)
        for step in range(steps.shape[0]):
            _reweight(steps[step, 0], steps[step, 1], room)
            _solve(web, room, room.w)
        if task == _SCREEN:
            _screen(np.float32(limits[0]), todo, start, room, out.open)
        elif task == _MEND:
            _round(todo, start, np.float32(limits[0]), room, cycles, out.open)
        elif task == _SERIES:
            _series(web, todo, start, room, here, out.x)
        else:
            _judge(web, limits, todo, start, room, cycles, out)


class _Out(NamedTuple):
    """The pixels to be done, and what is written for them; what a task does not write is empty."""

    todo: NDArray[np.int64]
    open: NDArray[np.uint8]
    x: Floats
    slack: NDArray[np.int8]
    undecided: NDArray[np.uint8]


_SCREEN, _MEND, _SERIES, _JUDGE = 0, 1, 2, 3
_NO_STEPS = STEPS[:0].copy()


def _out(todo: NDArray[np.int64]) -> _Out:
    return _Out(todo, np.empty(0, "u1"), np.empty((0, 0), "f4"), np.empty(0, "i1"), np.empty((0, 0), "u1"))


def screen_pixels(y: Floats, web: Web, cycles: NDArray[np.int8], limit: float) -> NDArray[np.int64]:
    """Solve by least squares, and find the pixels that have a residual beyond a limit.

    Parameters
    ----------
    y : float32 (M, P)
        Phases, rad; NaN = missing.
    web : Web
    cycles : int8 (M, P)
        Added to them.
    limit : float
        rad.

    Returns
    -------
    int64 array
        Their numbers.
    """
    out = _out(np.arange(y.shape[1]))._replace(open=np.empty(y.shape[1], np.uint8))
    _pixels(y, web, _SCREEN, _NO_STEPS, (float(limit), 0.0, 0.0), cycles, out)
    return out.todo[out.open > 0]


def mend_pixels(
    y: Floats, web: Web, cycles: NDArray[np.int8], margin: float, todo: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Do one round: a robust solution, and the whole cycles of its residuals.

    Parameters
    ----------
    y, web
        As for :func:`screen_pixels`.
    cycles : int8 (M, P)
        Added to the phases so far; changed here.
    margin : float
        Residuals beyond pi and this are rounded, rad.
    todo : int64 array
        Pixels to be mended.

    Returns
    -------
    int64 array
        Those of them that were changed.
    """
    out = _out(todo)._replace(open=np.empty(todo.size, np.uint8))
    _pixels(y, web, _MEND, STEPS, (float(margin), 0.0, 0.0), cycles, out)
    return out.todo[out.open > 0]


def solve_pixels(y: Floats, web: Web, cycles: NDArray[np.int8]) -> tuple[Floats, Floats]:
    """Solve the mended phases by least squares.

    Returns
    -------
    float32 (N + 1, P)
        Phase of each date less that of the first, rad; NaN where no pairs join them.
    float32 (P,)
        Sum of squared residuals, rad2.
    """
    out = _out(np.arange(y.shape[1]))._replace(x=np.empty((web.starts.size, y.shape[1]), np.float32))
    _pixels(y, web, _SERIES, _NO_STEPS, (0.0, 0.0, 0.0), cycles, out)
    return out.x[:-1], out.x[-1]


def judge_pixels(
    y: Floats, web: Web, cycles: NDArray[np.int8], *, leverage: float, rivals: int, reach: int
) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Tell what the network cannot decide.

    Parameters
    ----------
    y, web, cycles
        As for :func:`screen_pixels`.
    leverage : float
        Above it, a pair is in no loop that could tell.
    rivals : int
        So many more wrong pairs, or fewer, make a rival.
    reach : int
        Runs of so many dates are shifted; of any number, where they begin with the first or end with the last date.

    Returns
    -------
    int8 (P,)
        Least number of further wrong pairs of another solution; 127 where there is no pair.
    uint8 (M, P)
        Bits :data:`NO_LOOP` and :data:`TIED`.
    """
    out = _out(np.arange(y.shape[1]))
    out = out._replace(slack=np.empty(y.shape[1], np.int8), undecided=np.empty(y.shape, np.uint8))
    _pixels(y, web, _JUDGE, _NO_STEPS, (float(leverage), float(rivals), float(reach)), cycles, out)
    return out.slack, out.undecided
