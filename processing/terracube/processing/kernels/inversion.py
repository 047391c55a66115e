"""Solve the network of pairs at each pixel: values of the dates, their variances, and how well the pairs agree.

On top of :mod:`~terracube.processing.kernels.laplacian`. Which dates hang together at a pixel is settled by following
its pairs, not by looking at pivots, so that no pixel is taken for disconnected because its weights differ much. Each
solution is refined once with its own residuals; a pixel whose pivots come close to vanishing is solved in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.agreement import (
    LEAST_RESIDUAL,
    add_cut,
    add_squares,
    add_turn,
    below,
    clear,
    largest,
    redescend,
    soften,
)
from terracube.processing.kernels.compiling import inner, kernel
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
_ROWS, _ROUNDS, _HALVINGS = 9, 8, 18
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
    w: Tile
    v: Tile
    y: Tile
    e: Tile
    matrix: Tile
    scratch: Tile
    right: Tile
    x: Tile
    variance: Tile
    sums: Tile
    weak: Marks
    labels: Index
    last: Index
    alone: Marks
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

    def rows(count: int) -> Tile:
        return np.zeros((count, LANES), np.float32)

    return _Room(
        w=rows(pairs),
        v=rows(pairs if choices.robust else 1),
        y=rows(pairs),
        e=rows(pairs),
        matrix=rows(size),
        scratch=rows(size),
        right=rows(dates - 1),
        x=rows(dates),
        variance=rows(dates),
        sums=rows(_ROWS),
        weak=np.zeros((dates - 1, LANES), np.uint8),
        labels=np.zeros((dates, LANES), np.int32),
        last=np.zeros(dates, np.int32),
        alone=np.zeros(LANES, np.uint8),
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
    for lane in range(count, LANES):
        y[lane] = _ZERO
        w[lane] = -_ONE
    if table.size > 1:
        for lane in range(LANES):
            place = w[lane] * last
            place = place if place < last else last
            # Half an entry is added before the fraction is cut off; what is missing reads the first one.
            number = np.int32(place + _HALF)
            found = table[number if number > 0 else 0]
            w[lane] = found if w[lane] >= _ZERO else _ZERO
    else:
        for lane in range(LANES):
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
def _follow(system: System, room: _Room) -> bool:
    """Label each date by the first one that pairs lead to; tell whether all lead to the reference date everywhere."""
    dates, count = system.turn.size, system.pairs.shape[0]
    for date in range(dates):
        for lane in range(LANES):
            room.labels[date, lane] = np.int32(date)
    turns, changed = 0, 1
    while changed:
        changed = 0
        for number in range(count):
            # Once forward, once backward: a chain of pairs is followed in either direction at once.
            m = number if turns % 2 == 0 else count - 1 - number
            changed |= _join(room.labels[system.pairs[m, 0]], room.labels[system.pairs[m, 1]], room.w[m])
        apart = np.int32(0)
        for date in range(dates):
            for lane in range(LANES):
                apart |= room.labels[date, lane]
        if apart == 0:
            return True
        turns += 1
    return False


@inner
def _unmark(weak: Marks) -> None:
    for column in range(weak.shape[0]):
        for lane in range(LANES):
            weak[column, lane] = np.uint8(0)


@inner
def _ground(system: System, room: _Room) -> None:
    """Mark, in each part that does not lead to the reference date, the date that is eliminated last."""
    dates = system.turn.size
    _unmark(room.weak)
    last = room.last
    for lane in range(LANES):
        if room.sums[_PARTS, lane] == _ONE:
            continue
        for part in range(dates):
            last[part] = -1
        for date in range(dates):
            part = room.labels[date, lane]
            last[part] = max(last[part], system.plan.column[date])
        for part in range(1, dates):
            if last[part] >= 0:
                room.weak[last[part], lane] = np.uint8(1)


@inner
def _count(labels: Index, weights: Tile, parts: Tile, pairs: Tile) -> None:
    for lane in range(LANES):
        parts[lane] = _ZERO
        pairs[lane] = _ZERO
    for date in range(labels.shape[0]):
        for lane in range(LANES):
            parts[lane] += _ONE if labels[date, lane] == date else _ZERO
    for m in range(weights.shape[0]):
        for lane in range(LANES):
            pairs[lane] += _ONE if weights[m, lane] > _ZERO else _ZERO


@inner
def _isolate(system: System, room: _Room) -> None:
    """Tell where the reference date has no pair: then nothing is known of it either."""
    for lane in range(LANES):
        room.alone[lane] = np.uint8(1)
    for date in range(1, system.turn.size):
        for lane in range(LANES):
            room.alone[lane] &= np.uint8(room.labels[date, lane] != 0)


@inner
def _add(change: Tile, x: Tile) -> None:
    for lane in range(LANES):
        x[lane] += change[lane]


@inner
def _solve_tile(system: System, weights: Tile, room: _Room, whole: bool) -> None:
    """Solve a tile, once more for what its rounding left over; what is close to singular in float64."""
    plan, pairs = system.plan, system.pairs
    if whole:
        _unmark(room.weak)
    else:
        _ground(system, room)
    assemble(plan, pairs, weights, room.y, room.matrix, room.right)
    factor(plan, room.matrix, room.weak)
    solve(plan, room.matrix, room.right)
    phases(plan, room.right, room.x)
    residuals(pairs, room.x, room.y, weights, room.e)
    pull(plan, pairs, weights, room.e, room.right)
    solve(plan, room.matrix, room.right)
    for date in range(room.x.shape[0]):
        if plan.column[date] >= 0:
            _add(room.right[plan.column[date]], room.x[date])
    residuals(pairs, room.x, room.y, weights, room.e)


@inner
def _close(system: System, weights: Tile, room: _Room, whole: bool) -> None:
    """Solve again, in float64, lanes of which more dates were grounded than their parts call for."""
    grounded = room.sums[_SPARE]
    clear(grounded)
    for column in range(room.weak.shape[0]):
        for lane in range(LANES):
            grounded[lane] += np.float32(room.weak[column, lane])
    doubtful = False
    for lane in range(LANES):
        doubtful |= grounded[lane] != room.sums[_PARTS, lane] - _ONE
    if not doubtful:
        return
    if whole:
        _unmark(room.weak)
    else:
        _ground(system, room)
    for lane in range(LANES):
        if grounded[lane] != room.sums[_PARTS, lane] - _ONE:
            _alone(system, weights, room, lane)


@inner
def _alone(system: System, weights: Tile, room: _Room, lane: int) -> None:
    """Solve one lane in float64, and take what is found into the tile; NaN where the weights cannot tell."""
    plan = system.plan
    sound = solve_alone(plan, system.pairs, room.y, weights, room.weak, lane, room.doubles)
    for date in range(system.turn.size):
        column = plan.column[date]
        if column >= 0:
            room.x[date, lane] = np.float32(room.doubles[1, column]) if sound else _NAN
            variance = np.float32(room.doubles[2, plan.diagonal[column]])
            room.variance[date, lane] = variance if sound else _NAN
    for m in range(system.pairs.shape[0]):
        i, j = system.pairs[m, 0], system.pairs[m, 1]
        left = room.y[m, lane] - (room.x[j, lane] - room.x[i, lane])
        room.e[m, lane] = left if weights[m, lane] > _ZERO else _ZERO


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
def _median(room: _Room) -> None:
    """Find the median of the squares of weighted residuals of each lane, by halving: ends in the row ``_UPPER``."""
    low, high, count, total = room.sums[_COSINES], room.sums[_UPPER], room.sums[_SPARE], room.sums[_TOTAL]
    middle, pairs = room.sums[_SINES], room.sums[_PAIRS]
    for lane in range(LANES):
        low[lane] = _ZERO
        high[lane] = _ZERO
        total[lane] = _ZERO
    for m in range(room.e.shape[0]):
        largest(room.e[m], room.w[m], high, total)
    for _ in range(_HALVINGS):
        for lane in range(LANES):
            middle[lane] = (low[lane] + high[lane]) * _HALF
            count[lane] = _ZERO
        for m in range(room.e.shape[0]):
            below(room.e[m], room.w[m], middle, count)
        for lane in range(LANES):
            enough = count[lane] >= _HALF * pairs[lane]
            high[lane] = middle[lane] if enough else high[lane]
            low[lane] = low[lane] if enough else middle[lane]


@inner
def _bound(room: _Room, dates: int) -> None:
    """Make of the median the square of the residual beyond which a pair is doubted: three times the spread."""
    for lane in range(LANES):
        pairs = room.sums[_PAIRS, lane]
        spare = pairs - (np.float32(dates) - room.sums[_PARTS, lane])
        share = pairs / spare if spare > _ONE else pairs
        spread = _NINE * _SPREAD_OF_MEDIAN * _SPREAD_OF_MEDIAN * room.sums[_UPPER, lane] * share
        least = LEAST_RESIDUAL * LEAST_RESIDUAL * room.sums[_TOTAL, lane] / (pairs if pairs > _ZERO else _ONE)
        bound = spread if spread > least else least
        room.sums[_UPPER, lane] = bound if bound > _ZERO else _ONE


@inner
def _weigh(room: _Room, dates: int, turn: int) -> None:
    """Find weights under which pairs that contradict the others hardly count: absolute values, then a bound."""
    if turn == _ROUNDS + 1:
        _median(room)
        _bound(room, dates)
    for m in range(room.e.shape[0]):
        if turn <= _ROUNDS:
            soften(room.e[m], room.w[m], room.v[m])
        else:
            redescend(room.e[m], room.w[m], room.sums[_UPPER], room.v[m])


@inner
def _calm(room: _Room, dates: int) -> None:
    """Take the variance of unit weight from squares cut at the bound: in chi squared, contradictions hardly count."""
    total = room.sums[_TOTAL]
    clear(total)
    for m in range(room.e.shape[0]):
        add_cut(room.e[m], room.w[m], room.sums[_UPPER], total)
    for lane in range(LANES):
        spare = room.sums[_PAIRS, lane] - (np.float32(dates) - room.sums[_PARTS, lane])
        room.sums[_SPARE, lane] = total[lane] / spare if spare > _ZERO else _NAN


@inner
def _link(system: System, room: _Room, lane: int, link: int) -> None:
    x, labels, spare = room.link[0], room.link[1], room.link[2:]
    for date in range(system.turn.size):
        x[system.turn[date]] = room.x[date, lane]
        labels[system.turn[date]] = room.labels[date, lane]
    if link == VELOCITY:
        slow_down(x, labels, system.days, room.square, spare[0])
    else:
        straighten(x, labels, system.days, spare)
    for date in range(system.turn.size):
        room.x[date, lane] = np.float32(x[system.turn[date]])


@inner
def _write(system: System, choices: Choices, room: _Room, start: int, out: Solution) -> None:
    """Write values and deviations of a tile."""
    count = min(LANES, out.values.shape[1] - start)
    scale, size = np.float32(choices.scale), np.float32(abs(choices.scale))
    for date in range(system.turn.size):
        row = system.turn[date]
        for lane in range(count):
            near, there = room.labels[date, lane] == 0, room.sums[_PAIRS, lane] > _ZERO
            told = near & ((date > 0) | (room.alone[lane] == 0))
            unit = _ONE if choices.absolute else room.sums[_SPARE, lane]
            value = room.x[date, lane] * scale + _ZERO
            shown = told | ((choices.link != APART) & there)
            out.values[row, start + lane] = value if shown else _NAN
            deviation = np.float32(math.sqrt(room.variance[date, lane] * unit)) * size
            deviation = _ZERO if date == 0 else deviation
            out.deviations[row, start + lane] = deviation if told else _NAN


@kernel
def _all(y: Tile, w: Tile, table: Tile, system: System, choices: Choices, room: _Room, out: Solution) -> None:
    dates, last = system.turn.size, 2 * _ROUNDS if choices.robust else 0
    for start in range(0, y.shape[1], LANES):
        count = min(LANES, y.shape[1] - start)
        for m in range(y.shape[0]):
            _load(y[m, start : start + count], w[m, start : start + count], table, room.y[m], room.w[m])
        whole = _follow(system, room)
        _count(room.labels, room.w, room.sums[_PARTS], room.sums[_PAIRS])
        _isolate(system, room)
        weights = room.w
        for turn in range(last + 1):
            if turn > 0:
                _weigh(room, dates, turn)
                weights = room.v
            _solve_tile(system, weights, room, whole)
            if turn == last:
                variances(system.plan, room.matrix, room.scratch, room.variance)
            _close(system, weights, room, whole)
        for row in range(_PARTS):
            clear(room.sums[row])
        for m in range(room.e.shape[0]):
            add_turn(room.e[m], room.w[m], room.sums[_COSINES], room.sums[_SINES])
            add_squares(room.e[m], weights[m], room.sums[_SQUARES], room.sums[_WEIGHTED])
        _judge(room.sums, dates, out.layers, start, count)
        if choices.robust:
            _calm(room, dates)
        if choices.link != APART and not whole:
            for lane in range(count):
                if room.sums[_PARTS, lane] > _ONE:
                    _link(system, room, lane, choices.link)
        _write(system, choices, room, start, out)
