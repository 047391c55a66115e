"""Solve the network of pairs at each pixel: values of the dates, their variances, and how well the pairs agree.

On top of :mod:`~terracube.processing.kernels.laplacian`. Which dates hang together at a pixel is settled by following
its pairs, not by looking at pivots, so that no pixel is taken for disconnected because its weights differ much. Each
solution is refined once with its own residuals; a pixel whose pivots come close to vanishing is solved in float64.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.agreement import (
    LEAST_RESIDUAL,
    add_cut,
    add_squares,
    add_turn,
    below,
    clear,
    copy,
    largest,
    redescend,
    soften,
)
from terracube.processing.kernels.compiling import inner, kernel, part
from terracube.processing.kernels.inversion_links import slow_down, straighten
from terracube.processing.kernels.inversion_single import solve_alone
from terracube.processing.kernels.laplacian import (
    LANES,
    Elimination,
    Index,
    Marks,
    Tile,
    assemble,
    factor,
    phases,
    pull,
    residuals,
    solve,
    variances,
)

type Doubles = NDArray[np.float64]

APART, VELOCITY, LINEAR = 0, 1, 2
"""What becomes of dates that no pair joins to the reference date: missing; so that velocities from date to date are
least; on the straight line that fits all parts best."""

COHERENCE, RESIDUAL, CHI2, PAIRS, PARTS = 0, 1, 2, 3, 4
"""Rows of the layers."""

# Rows of the sums of a tile.
_COSINES, _SINES, _SQUARES, _WEIGHTED, _PARTS, _PAIRS, _SPARE, _UPPER, _TOTAL = 0, 1, 2, 3, 4, 5, 6, 7, 8
_ALONE, _ROWS, _ROUNDS, _HALVINGS = 9, 10, 8, 18
_SPREAD_OF_MEDIAN = np.float32(1.4826)
_ZERO, _HALF, _ONE, _NINE = (np.float32(k) for k in (0, 0.5, 1, 9))
_NAN = np.float32(np.nan)


class System(NamedTuple):
    """A network as the loops take it: dates are numbered from the reference date, which is 0."""

    plan: Elimination
    pairs: Index
    """(M, 2)."""
    turn: Index
    """(N + 1,): place in time of each date."""
    days: Doubles
    """(N + 1,): days of the dates in the order of time."""


class Choices(NamedTuple):
    """What to do with each pixel."""

    scale: float
    """Factor from the unit of the pairs to that of the results; may be negative."""
    absolute: int
    """1: weights are one over variances. 0: they are relative, and the variance of unit weight is estimated."""
    robust: int
    """1: downweight pairs that contradict the others."""
    link: int
    """:data:`APART`, :data:`VELOCITY` or :data:`LINEAR`."""


class Solution(NamedTuple):
    """What is found at P pixels."""

    values: Tile
    """(N + 1, P), in the order of time; 0 at the reference date, NaN where nothing tells."""
    deviations: Tile
    """(N + 1, P): standard deviations against the reference date; NaN where the date is linked by assumption only."""
    layers: Tile
    """(5, P): temporal coherence, root of the mean square of the residuals (unit of the pairs; both NaN without any
    pair), chi squared per degree of freedom (NaN without redundancy), number of pairs, number of parts that the dates
    fall into."""


class _Room(NamedTuple):
    """Where a tile is worked on. Few arrays: each costs time to compile wherever it is handed on."""

    tiles: Tile
    """Rows of pixels: weights, values, residuals and changed weights of the pairs, matrix, scratch, then by date."""
    sums: Tile
    marks: Marks
    """(2 N + 1, LANES): dates that are grounded, by column; dates that pairs lead to."""
    labels: Index
    last: Index
    doubles: Doubles
    link: Doubles
    square: Doubles


def invert_pixels(
    y: Tile, w: Tile, system: System, choices: Choices, *, table: Tile | None = None, out: Tile | None = None
) -> Solution:
    """Solve all pixels.

    Parameters
    ----------
    y : float32 (M, P)
        Values of the pairs; NaN is missing.
    w : float32 (M, P)
        Weights, or with a table what they follow from; NaN and less than zero are missing, and so is a weight of zero.
    system : System
    choices : Choices
    table : float32 (n,), optional
        Weights at the values 0, 1 / (n - 1), ... 1 of ``w``, of which the nearest is taken.
    out : float32 (2 N + 7, P), optional
        Room for the solution, which is written into its rows: values, deviations, layers.

    Returns
    -------
    Solution

    Examples
    --------
    >>> from terracube.processing.kernels.laplacian import eliminate
    >>> pairs = np.array([[0, 1], [1, 2], [0, 2]], np.int32)
    >>> system = System(eliminate(pairs, 3), pairs, np.arange(3, dtype=np.int32), np.array([0.0, 12, 24]))
    >>> found = invert_pixels(np.float32([[1], [1], [2.3]]), np.ones((3, 1), np.float32), system, Choices(1.0, 1, 0, 0))
    >>> found.values.ravel().astype(float).round(3).tolist(), found.layers[3:].ravel().tolist()
    ([0.0, 1.1, 2.2], [3.0, 1.0])
    """
    dates, pixels = system.turn.size, y.shape[1]
    rows = np.empty((2 * dates + 5, pixels), np.float32) if out is None else out
    found = Solution(rows[:dates], rows[dates : 2 * dates], rows[2 * dates :])
    if pixels:
        given = [np.ascontiguousarray(each, np.float32) for each in (y, w)]
        known = np.ones(1, np.float32) if table is None else np.asarray(table, np.float32)
        _all(*given, known, system, choices, _room(system, choices), found)
    return found


def _room(system: System, choices: Choices) -> _Room:
    dates, pairs, size = system.turn.size, len(system.pairs), int(system.plan.size[0])
    return _Room(
        tiles=np.zeros(((4 if choices.robust else 3) * pairs + 2 * size + 3 * dates - 1, LANES), np.float32),
        sums=np.zeros((_ROWS, LANES), np.float32),
        marks=np.zeros((2 * dates - 1, LANES), np.uint8),
        labels=np.zeros((dates, LANES), np.int32),
        last=np.zeros(dates, np.int32),
        doubles=np.zeros((3, size)),
        link=np.zeros((4, dates)),
        square=np.zeros((dates, dates) if choices.link == VELOCITY else (1, 1)),
    )


@inner
def _load(values: Tile, weights: Tile, table: Tile, y: Tile, w: Tile) -> None:
    """Bring a row of pixels in; what is missing, and lanes behind the last pixel, get weight zero."""
    count, last = values.size, np.float32(table.size - 1)
    for lane in range(count):
        value, weight = values[lane], weights[lane]
        there = (weight >= _ZERO) & (weight - weight == _ZERO) & (value - value == _ZERO)
        y[lane] = value if there else _ZERO
        w[lane] = weight if there else -_ONE
    for lane in range(count, y.size):
        y[lane] = _ZERO
        w[lane] = -_ONE
    if table.size > 1:
        for lane in range(y.size):
            place = w[lane] * last
            place = place if place < last else last
            # Half an entry is added before the fraction is cut off; what is missing reads the first one. A number
            # without a sign needs no look at whether it counts from the end.
            found = table[np.uint32(np.int32((place if place > _ZERO else _ZERO) + _HALF))]
            w[lane] = found if w[lane] >= _ZERO else _ZERO
    else:
        for lane in range(y.size):
            w[lane] = w[lane] if w[lane] > _ZERO else _ZERO


@inner
def _join(first: Index, second: Index, weight: Tile) -> int:
    """Give both dates of a pair the smaller of their labels, where the pair is there; tell whether one changed."""
    changed = np.int32(0)
    for lane in range(LANES):
        a, b = first[lane], second[lane]
        least = a if a < b else b
        there = weight[lane] > _ZERO
        first[lane] = least if there else a
        second[lane] = least if there else b
        changed |= np.int32(a ^ b) if there else np.int32(0)
    return int(changed)


@inner
def _meet(first: Marks, second: Marks, weight: Tile) -> int:
    """Mark both dates of a pair that is there where one of them is marked; tell whether one changed."""
    changed = np.uint8(0)
    for lane in range(LANES):
        a, b = first[lane], second[lane]
        there = np.uint8(weight[lane] > _ZERO)
        both = np.uint8((a | b) & there)
        changed |= np.uint8((a ^ b) & there)
        first[lane] = a | both
        second[lane] = b | both
    return int(changed)


@inner
def _reach(pairs: Index, w: Tile, reached: Marks) -> bool:
    """Mark the dates that pairs lead to; tell whether two rounds see that these are all dates everywhere."""
    reached[:] = 0
    reached[0, :] = 1
    turns, changed = 0, 1
    while changed and turns < 2:
        changed = 0
        for number in range(pairs.shape[0]):
            # Once forward, once backward: a chain of pairs is followed in either direction at once.
            m = number if turns % 2 == 0 else pairs.shape[0] - 1 - number
            changed |= _meet(reached[pairs[m, 0]], reached[pairs[m, 1]], w[m])
        everywhere = np.uint8(1)
        for date in range(reached.shape[0]):
            for lane in range(LANES):
                everywhere &= reached[date, lane]
        if everywhere:
            return True
        turns += 1
    return False


@inner
def _follow(pairs: Index, w: Tile, labels: Index) -> None:
    """Label each date by the first one that pairs lead to."""
    for date in range(labels.shape[0]):
        for lane in range(labels.shape[1]):
            labels[date, lane] = np.int32(date)
    turns, changed = 0, 1
    while changed:
        changed = 0
        for number in range(pairs.shape[0]):
            m = number if turns % 2 == 0 else pairs.shape[0] - 1 - number
            changed |= _join(labels[pairs[m, 0]], labels[pairs[m, 1]], w[m])
        turns += 1


@inner
def _mark(plan: Elimination, labels: Index, parts: Tile, last: Index, weak: Marks) -> None:
    """Mark, in each part that does not lead to the reference date, the date that is eliminated last."""
    weak[:] = 0
    for lane in range(LANES):
        if parts[lane] == _ONE:
            continue
        last[:] = -1
        for date in range(last.size):
            part = labels[date, lane]
            last[part] = max(last[part], plan.column[date])
        for part in range(1, last.size):
            if last[part] >= 0:
                weak[last[part], lane] = np.uint8(1)


@inner
def _count(labels: Index, weights: Tile, whole: bool, sums: Tile) -> None:
    """Count parts and pairs, and tell where the reference date has no pair: then nothing is known of it either."""
    parts, pairs, alone = sums[_PARTS], sums[_PAIRS], sums[_ALONE]
    for lane in range(sums.shape[1]):
        parts[lane] = _ONE if whole else _ZERO
        pairs[lane] = _ZERO
        alone[lane] = _ZERO if whole or labels.shape[0] == 1 else _ONE
    for m in range(weights.shape[0]):
        for lane in range(LANES):
            pairs[lane] += _ONE if weights[m, lane] > _ZERO else _ZERO
    if whole:
        labels[:] = 0
        return
    for date in range(labels.shape[0]):
        for lane in range(LANES):
            parts[lane] += _ONE if labels[date, lane] == date else _ZERO
            alone[lane] = _ZERO if (labels[date, lane] == 0) & (date > 0) else alone[lane]


@inner
def _add(change: Tile, x: Tile) -> None:
    for lane in range(LANES):
        x[lane] += change[lane]


@inner
def _again(plan: Elimination, right: Tile, x: Tile) -> None:
    """Add what a second solution gives."""
    for date in range(x.shape[0]):
        if plan.column[date] >= 0:
            _add(right[plan.column[date]], x[date])


@inner
def _doubtful(weak: Marks, parts: Tile, grounded: Tile) -> bool:
    """Tell whether somewhere more dates were grounded than their parts call for; the number of these, less one, stays
    in ``grounded``."""
    clear(grounded)
    for column in range(weak.shape[0]):
        for lane in range(LANES):
            grounded[lane] += np.float32(weak[column, lane])
    doubtful = False
    for lane in range(LANES):
        grounded[lane] -= parts[lane] - _ONE
        doubtful |= grounded[lane] != _ZERO
    return doubtful


@inner
def _take_alone(plan: Elimination, found: Doubles, sound: bool, lane: int, both: tuple[Tile, Tile]) -> None:
    """Take what was found for one lane in float64 into the tile; NaN where the weights cannot tell."""
    x, variance = both
    for date in range(x.shape[0]):
        column = plan.column[date]
        if column >= 0:
            x[date, lane] = np.float32(found[1, column]) if sound else _NAN
            variance[date, lane] = np.float32(found[2, plan.diagonal[column]]) if sound else _NAN


@inner
def _judge(sums: Tile, dates: int, layers: Tile, start: int, count: int) -> None:
    """Write the layers of a tile."""
    for lane in range(count):
        pairs, parts, at = sums[_PAIRS, lane], sums[_PARTS, lane], start + lane
        spare = pairs - (np.float32(dates) - parts)
        there = pairs > _ZERO
        length = np.float32(math.sqrt(sums[_COSINES, lane] ** 2 + sums[_SINES, lane] ** 2)) / pairs
        layers[COHERENCE, at] = length if there else _NAN
        layers[RESIDUAL, at] = np.float32(math.sqrt(sums[_SQUARES, lane] / pairs)) if there else _NAN
        chi2 = sums[_WEIGHTED, lane] / spare if spare > _ZERO else _NAN
        sums[_SPARE, lane] = chi2
        layers[CHI2, at] = chi2
        layers[PAIRS, at] = pairs
        layers[PARTS, at] = parts


@inner
def _median(e: Tile, w: Tile, sums: Tile) -> None:
    """Find the median of the squares of weighted residuals of each lane, by halving: ends in the row ``_UPPER``."""
    low, high, count, total = sums[_COSINES], sums[_UPPER], sums[_SPARE], sums[_TOTAL]
    middle, pairs = sums[_SINES], sums[_PAIRS]
    clear(low)
    clear(high)
    clear(total)
    for m in range(e.shape[0]):
        largest(e[m], w[m], high, total)
    for _ in range(_HALVINGS):
        for lane in range(LANES):
            middle[lane] = (low[lane] + high[lane]) * _HALF
            count[lane] = _ZERO
        for m in range(e.shape[0]):
            below(e[m], w[m], middle, count)
        for lane in range(LANES):
            enough = count[lane] >= _HALF * pairs[lane]
            high[lane] = middle[lane] if enough else high[lane]
            low[lane] = low[lane] if enough else middle[lane]


@inner
def _bound(sums: Tile, dates: int) -> None:
    """Make of the median the square of the residual beyond which a pair is doubted: three times the spread."""
    for lane in range(LANES):
        pairs = sums[_PAIRS, lane]
        spare = pairs - (np.float32(dates) - sums[_PARTS, lane])
        share = pairs / spare if spare > _ONE else pairs
        spread = _NINE * _SPREAD_OF_MEDIAN * _SPREAD_OF_MEDIAN * sums[_UPPER, lane] * share
        least = LEAST_RESIDUAL * LEAST_RESIDUAL * sums[_TOTAL, lane] / (pairs if pairs > _ZERO else _ONE)
        bound = spread if spread > least else least
        sums[_UPPER, lane] = bound if bound > _ZERO else _ONE


@inner
def _weigh(e: Tile, w: Tile, v: Tile, sums: Tile, turn: int) -> None:
    """Find weights under which pairs that contradict the others hardly count: absolute values, then a bound."""
    for m in range(e.shape[0]):
        if turn == 0:
            copy(w[m], v[m])
        elif turn <= _ROUNDS:
            soften(e[m], w[m], v[m])
        else:
            redescend(e[m], w[m], sums[_UPPER], v[m])


@inner
def _calm(e: Tile, w: Tile, sums: Tile, dates: int) -> None:
    """Take the variance of unit weight from squares cut at the bound: in chi squared, contradictions hardly count."""
    total = sums[_TOTAL]
    clear(total)
    for m in range(e.shape[0]):
        add_cut(e[m], w[m], sums[_UPPER], total)
    for lane in range(LANES):
        spare = sums[_PAIRS, lane] - (np.float32(dates) - sums[_PARTS, lane])
        sums[_SPARE, lane] = total[lane] / spare if spare > _ZERO else _NAN


@inner
def _link(turn: Index, days: Doubles, room: _Room, values: Tile, lane: int, link: int) -> None:
    x, labels, spare = room.link[0], room.link[1], room.link[2:]
    for date in range(turn.size):
        x[turn[date]] = values[date, lane]
        labels[turn[date]] = room.labels[date, lane]
    if link == VELOCITY:
        slow_down(x, labels, days, room.square, spare[0])
    else:
        straighten(x, labels, days, spare)
    for date in range(turn.size):
        values[date, lane] = np.float32(x[turn[date]])


@inner
def _write_values(x: Tile, near: Index, sums: Tile, facts: tuple[np.float32, bool, bool], out: Tile) -> None:
    """Write a date's values where pairs, or the assumption that links the parts, tell them."""
    scale, linked, first = facts
    alone, pairs = sums[_ALONE], sums[_PAIRS]
    for lane in range(out.size):
        told = (near[lane] == 0) & ((not first) | (alone[lane] == _ZERO))
        value = x[lane] * scale + _ZERO
        out[lane] = value if told | (linked & (pairs[lane] > _ZERO)) else _NAN


@inner
def _write_deviations(variance: Tile, near: Index, sums: Tile, facts: tuple[np.float32, bool, bool], out: Tile) -> None:
    """Write a date's deviations where pairs tell them."""
    size, absolute, first = facts
    alone, spare = sums[_ALONE], sums[_SPARE]
    for lane in range(out.size):
        told = (near[lane] == 0) & ((not first) | (alone[lane] == _ZERO))
        unit = _ONE if absolute else spare[lane]
        deviation = np.float32(math.sqrt(variance[lane] * unit)) * size
        deviation = _ZERO if first else deviation
        out[lane] = deviation if told else _NAN


@part
def _solve_tile(plan: Elimination, pairs: Index, given: Any, weak: Marks, rooms: Any) -> None:
    """Solve a tile, and once more for what its rounding left over."""
    y, v = given
    matrix, right, x, e = rooms
    assemble(plan, pairs, v, y, matrix, right)
    factor(plan, matrix, weak)
    # Twice the same: one place that solves is compiled once.
    for again in range(2):
        if again:
            pull(plan, pairs, v, e, right)
        solve(plan, matrix, right)
        if again:
            _again(plan, right, x)
        else:
            phases(plan, right, x)
        residuals(pairs, x, y, v, e)


@part
def _close(plan: Elimination, pairs: Index, given: Any, weak: Marks, rooms: Any) -> None:
    """Solve lanes that are close to singular again, in float64; grounded are only dates that their parts call for."""
    y, v = given
    x, variance, e, grounded, doubles = rooms
    for lane in range(LANES):
        if grounded[lane] != _ZERO:
            sound = solve_alone(plan, pairs, y, v, weak, lane, doubles)
            _take_alone(plan, doubles, sound, lane, (x, variance))
            for m in range(pairs.shape[0]):
                left = y[m, lane] - (x[pairs[m, 1], lane] - x[pairs[m, 0], lane])
                e[m, lane] = left if v[m, lane] > _ZERO else _ZERO


@part
def _sum(pairs: int, e: Tile, w: Tile, v: Tile, sums: Tile) -> None:
    for row in range(_PARTS):
        clear(sums[row])
    for m in range(pairs):
        add_turn(e[m], w[m], sums[_COSINES], sums[_SINES])
        add_squares(e[m], v[m], sums[_SQUARES], sums[_WEIGHTED])


@part
def _write(turn: Index, labels: Index, sums: Tile, choices: Any, at: Any, found: Any) -> None:
    """Write values and deviations of a tile."""
    x, variance, values, deviations = found
    scale, size = np.float32(choices[0]), np.float32(abs(choices[0]))
    for date in range(turn.size):
        row, start, stop = turn[date], at[0], at[0] + at[1]
        facts = (scale, choices[3] != APART, date == 0)
        _write_values(x[date], labels[date], sums, facts, values[row, start:stop])
        told = (size, choices[1] != 0, date == 0)
        _write_deviations(variance[date], labels[date], sums, told, deviations[row, start:stop])


@kernel
def _all(y: Tile, w: Tile, table: Tile, system: System, choices: Choices, room: _Room, out: Solution) -> None:
    plan, pairs, turn, sums, labels = system.plan, system.pairs, system.turn, room.sums, room.labels
    many, dates, size, last = y.shape[0], turn.size, plan.size[0], 2 * _ROUNDS if choices.robust else 0
    u, z, e = room.tiles[:many], room.tiles[many : 2 * many], room.tiles[2 * many : 3 * many]
    rest = room.tiles[(4 if choices.robust else 3) * many :]
    v = room.tiles[3 * many : 4 * many] if choices.robust else u
    matrix, scratch, dated = rest[:size], rest[size : 2 * size], rest[2 * size :]
    x, variance, right = dated[:dates], dated[dates : 2 * dates], dated[2 * dates :]
    weak, reached, grounded = room.marks[: dates - 1], room.marks[dates - 1 :], sums[_SPARE]
    for start in range(0, y.shape[1], LANES):
        count = min(LANES, y.shape[1] - start)
        for m in range(many):
            _load(y[m, start : start + count], w[m, start : start + count], table, z[m], u[m])
        whole = _reach(pairs, u, reached)
        if not whole:
            _follow(pairs, u, labels)
        _count(labels, u, whole, sums)
        for number in range(last + 1):
            if number == _ROUNDS + 1:
                _median(e, u, sums)
                _bound(sums, dates)
            if last > 0:
                _weigh(e, u, v, sums, number)
            _mark(plan, labels, sums[_PARTS], room.last, weak)
            _solve_tile(plan, pairs, (z, v), weak, (matrix, right, x, e))
            if number == last:
                variances(plan, matrix, scratch, variance)
            if _doubtful(weak, sums[_PARTS], grounded):
                _mark(plan, labels, sums[_PARTS], room.last, weak)
                _close(plan, pairs, (z, v), weak, (x, variance, e, grounded, room.doubles))
        _sum(many, e, u, v, sums)
        _judge(sums, dates, out.layers, start, count)
        if choices.robust:
            _calm(e, u, sums, dates)
            for lane in range(count):
                out.layers[CHI2, start + lane] = sums[_SPARE, lane]
        if choices.link != APART and not whole:
            for lane in range(count):
                if sums[_PARTS, lane] > _ONE:
                    _link(turn, system.days, room, x, lane, choices.link)
        _write(turn, labels, sums, choices, (start, count), (x, variance, out.values, out.deviations))
