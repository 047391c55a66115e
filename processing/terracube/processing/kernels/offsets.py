"""Series of offsets from a redundant network of pairs, of which some are wrong by pixels.

Both components of a pair share one weight. The weights start equal and are narrowed step by step (graduated
non-convexity: least squares, then Geman and McClure's function with ever smaller scales), at last pairs beyond a hard
limit go. Starting wide matters: what agrees with the many is found before the few can pull.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel, part
from terracube.processing.kernels.laplacian import (
    LANES,
    Elimination,
    assemble,
    factor,
    phases,
    pull,
    residuals,
    solve,
    variances,
)

type Floats = NDArray[np.float32]
type Whole = NDArray[np.int32]

_ZERO, _ONE = np.float32(0), np.float32(1)


@part
def _reweigh(known: Floats, down: Floats, right: Floats, limit: float, hard: bool, out: Floats) -> None:
    """Weigh pairs by what is left of both components; ``known`` weights are those before any was doubted."""
    square = np.float32(limit * limit)
    for m in range(known.shape[0]):
        w, a, b, into = known[m], down[m], right[m], out[m]
        if hard:
            for lane in range(LANES):
                into[lane] = w[lane] if a[lane] * a[lane] + b[lane] * b[lane] <= square else _ZERO
        else:
            for lane in range(LANES):
                share = square / (square + a[lane] * a[lane] + b[lane] * b[lane])
                into[lane] = w[lane] * share * share


@part
def _round(plan: Elimination, pairs: Whole, known: Floats, room: Any) -> None:
    """Solve both components with the weights of now; write what is left of every known pair."""
    down, right, w, matrix, first, second, weak, y, x, e, f = room
    weak[:] = 0
    assemble(plan, pairs, w, down, matrix, first)
    pull(plan, pairs, w, right, second)
    factor(plan, matrix, weak)
    solve(plan, matrix, first)
    solve(plan, matrix, second)
    phases(plan, first, y)
    phases(plan, second, x)
    residuals(pairs, y, down, known, e)
    residuals(pairs, x, right, known, f)


@part
def _reach(pairs: Whole, w: Floats, reached: Floats) -> None:
    """Mark the dates that agreeing pairs join with the first."""
    for date in range(reached.shape[0]):
        for lane in range(LANES):
            reached[date, lane] = _ONE if date == 0 else _ZERO
    news = np.int32(1)
    while news > 0:
        news = np.int32(0)
        for m in range(pairs.shape[0]):
            a, b, own = reached[pairs[m, 0]], reached[pairs[m, 1]], w[m]
            for lane in range(LANES):
                joined = (own[lane] > _ZERO) & (a[lane] != b[lane])
                a[lane] = _ONE if joined else a[lane]
                b[lane] = _ONE if joined else b[lane]
                news += np.int32(joined)


@part
def _count(pairs: Whole, w: Floats, counts: Floats) -> None:
    """Count the agreeing pairs of each date."""
    for date in range(counts.shape[0]):
        for lane in range(LANES):
            counts[date, lane] = _ZERO
    for m in range(pairs.shape[0]):
        a, b, own = counts[pairs[m, 0]], counts[pairs[m, 1]], w[m]
        for lane in range(LANES):
            one = _ONE if own[lane] > _ZERO else _ZERO
            a[lane] += one
            b[lane] += one


@part
def _rest(
    pairs: Whole, weights: tuple[Floats, Floats], left: tuple[Floats, Floats], reached: Floats, out: Floats
) -> None:
    """Sum over pairs (4, LANES): weighted squares of those that lead to the first date; agreeing, known, leading."""
    (known, w), (e, f) = weights, left
    total, agreeing, all_known, leading = out[0], out[1], out[2], out[3]
    for lane in range(out.shape[1]):
        total[lane], agreeing[lane], all_known[lane], leading[lane] = _ZERO, _ZERO, _ZERO, _ZERO
    for m in range(w.shape[0]):
        a, b, own, was, there = e[m], f[m], w[m], known[m], reached[pairs[m, 0]]
        for lane in range(LANES):
            one = _ONE if own[lane] > _ZERO else _ZERO
            total[lane] += own[lane] * there[lane] * (a[lane] * a[lane] + b[lane] * b[lane])
            agreeing[lane] += one
            leading[lane] += one * there[lane]
            all_known[lane] += _ONE if was[lane] > _ZERO else _ZERO


@part
def _tell(parts: Any, start: int, count: int, out: Floats) -> None:
    """Write a tile's results: motion, variance per unit weight and agreeing pairs per date, then sums per pixel."""
    y, x, spread, counts, reached, sums = parts
    dates = y.shape[0]
    for date in range(dates):
        for lane in range(count):
            there = reached[date, lane] > 0
            out[date, start + lane] = y[date, lane] if there else np.nan
            out[dates + date, start + lane] = x[date, lane] if there else np.nan
            out[2 * dates + date, start + lane] = spread[date, lane] if there else np.nan
            out[3 * dates + date, start + lane] = counts[date, lane]
    for lane in range(count):
        unknowns = -1.0
        for date in range(dates):
            unknowns += reached[date, lane]
        freedom = 2 * (sums[3, lane] - unknowns)
        out[4 * dates, start + lane] = math.sqrt(sums[0, lane] / freedom) if freedom > 0 else np.nan
        out[4 * dates + 1, start + lane] = sums[1, lane]
        out[4 * dates + 2, start + lane] = sums[2, lane]


@inner
def _rooms(rows: int) -> Floats:
    return np.zeros((rows, LANES), np.float32)


@inner
def _load(source: Floats, start: int, size: int, tile: Floats) -> None:
    """Copy the pixels of a tile; those that are left over have no weight."""
    for row in range(tile.shape[0]):
        for lane in range(size):
            tile[row, lane] = source[row, start + lane]
        for lane in range(size, tile.shape[1]):
            tile[row, lane] = _ZERO


@kernel
def invert_offsets(
    plan: Elimination, pairs: Whole, values: tuple[Floats, Floats, Floats], scales: Any, out: Floats
) -> None:
    """Invert both components of the offsets of all pixels.

    Parameters
    ----------
    plan : Elimination
        Of these pairs.
    pairs : int32 (M, 2)
        Dates of each pair, from 0; the first date is the reference.
    values : tuple of float32 (M, P)
        Motion along y and x, and weights: finite, at least 0, 0 where a pair is missing.
    scales : tuple of float64 arrays
        Scales of Geman and McClure's function in turn, then hard limits, in the unit of the motion.
    out : float32 (4 (N + 1) + 3, P)
        Is written: per date motion along y, along x, variance for a pair of weight and variance one (NaN where agreeing
        pairs do not join the date with the first) and number of agreeing pairs; then the root mean square of what is
        left, weighted, per degree of freedom (NaN without), the number of agreeing and of known pairs.
    """
    count, dates = pairs.shape[0], plan.column.size
    down, right, known = _rooms(count), _rooms(count), _rooms(count)
    w, e, f = _rooms(count), _rooms(count), _rooms(count)
    matrix, scratch = _rooms(plan.size[0]), _rooms(plan.size[0])
    first, second = _rooms(dates - 1), _rooms(dates - 1)
    weak = np.zeros((dates - 1, LANES), np.uint8)
    y, x, spread, counts, reached = _rooms(dates), _rooms(dates), _rooms(dates), _rooms(dates), _rooms(dates)
    sums = _rooms(4)
    soft, hard = scales
    room = down, right, w, matrix, first, second, weak, y, x, e, f
    for start in range(0, values[0].shape[1], LANES):
        size = min(LANES, values[0].shape[1] - start)
        _load(values[0], start, size, down)
        _load(values[1], start, size, right)
        _load(values[2], start, size, known)
        _load(known, 0, known.shape[1], w)
        # One place that solves, so that it is compiled once.
        for step in range(1 + soft.size + hard.size):
            if step > soft.size:
                _reweigh(known, e, f, hard[step - soft.size - 1], True, w)
            elif step > 0:
                _reweigh(known, e, f, soft[step - 1], False, w)
            _round(plan, pairs, known, room)
        variances(plan, matrix, scratch, spread)
        _reach(pairs, w, reached)
        _count(pairs, w, counts)
        _rest(pairs, (known, w), (e, f), reached, sums)
        _tell((y, x, spread, counts, reached, sums), start, size, out)
