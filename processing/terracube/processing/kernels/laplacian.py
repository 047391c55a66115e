"""Least squares on a network of pairs: its normal matrix is a weighted graph Laplacian, factorised once in symbols.

Minimised is ``sum_m w_m (x_j - x_i - y_m)^2`` over the values ``x`` of the dates; the first is zero (grounded).
Which entries of the factor can differ from zero depends on the network alone, so the order of elimination and each of
its products are settled once (:func:`eliminate`) and the numbers are worked out for 256 pixels, side by side, in the
same steps. A pair of weight zero is missing: it keeps its place and adds nothing.

All loops take tiles: arrays of float32 whose last axis is :data:`LANES` pixels. A lane never depends on its neighbours.
Where dates hang together with no pair to the first one, one of them is grounded as well (its pivot vanishes): the
others are then relative to it.

References
----------
Berardino et al. 2002 (doi:10.1109/TGRS.2002.803792) for the problem; Takahashi, Fagan and Chin 1973 for the entries of
the inverse.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner

type Tile = NDArray[np.float32]
type Marks = NDArray[np.uint8]
type Index = NDArray[np.int32]

LANES = 256
"""Pixels per tile."""

WEAK = 1e-4
"""A pivot below this share of the diagonal before elimination: the pairs left hardly hold, or do not hold, the date."""

# A network so dense that its steps do not fit here was not made by acquisitions.
_MOST_UPDATES = 4_000_000
_ZERO, _ONE = np.float32(0), np.float32(1)


class Elimination(NamedTuple):
    """The steps that solve any weights on one network: N + 1 dates, M pairs, N columns in order of elimination.

    ``matrix`` is (size, LANES): the diagonal and what lies below it in the columns of the factor, then N rows of room
    for the diagonal as it was. ``right`` is (N, LANES), by column.
    """

    column: Index
    """(N + 1,): column of each date; -1 for the first, which is grounded."""
    place: Index
    """(M, 3): value of the entry between the dates of each pair, of the diagonal of the first and of the second; -1
    where a date is grounded."""
    diagonal: Index
    """(N,): value of the diagonal of each column."""
    starts: Index
    """(N + 1,): where the updates of each column begin."""
    updates: Index
    """(T, 3): values ``t, a, b``: once their column is scaled, ``t`` loses ``a b``. ``a`` lies below ``b`` or is it."""
    pointers: Index
    """(N + 1,): where the entries below the diagonal of each column begin."""
    rows: Index
    """Row (as column number) of each entry below the diagonal."""
    values: Index
    """Value of each entry below the diagonal."""
    size: Index
    """(1,): number of rows of ``matrix``."""


def eliminate(pairs: Index, dates: int) -> Elimination:
    """Settle the order of elimination (least degree first) and each of its steps.

    Parameters
    ----------
    pairs : int32 (M, 2)
        Indices of the dates of each pair, each pair once.
    dates : int
        Number of dates, N + 1; dates without a pair, and parts that do not hang together, are allowed.

    Returns
    -------
    Elimination

    Raises
    ------
    ValueError
        If a pair names no date or the same one twice, or the network is too dense to be one of acquisitions.

    Examples
    --------
    >>> plan = eliminate(np.array([[0, 1], [1, 2], [0, 2], [2, 3]], np.int32), 4)
    >>> plan.column.tolist(), len(plan.updates), plan.size.tolist()
    ([-1, 0, 1, 2], 2, [8])
    """
    ends = np.asarray(pairs, np.int64).reshape(-1, 2)
    if dates < 1 or (ends.size and (ends.min() < 0 or ends.max() >= dates)) or (ends[:, 0] == ends[:, 1]).any():
        raise ValueError(f"a pair names no two of {dates} dates: {ends[:3].tolist()}")
    order, below = _order(ends, dates)
    column = np.full(dates, -1, np.int32)
    column[order] = np.arange(dates - 1, dtype=np.int32)
    columns = [np.sort(column[rows]) for rows in below]
    counts = np.array([0, *(len(rows) for rows in columns)], np.int64)
    pointers = np.cumsum(counts)
    # Each column is kept whole: its diagonal, then what lies below it.
    diagonal = pointers[:-1] + np.arange(dates - 1)
    updates = [_updates(p, columns, diagonal) for p in range(dates - 1)]
    starts = np.cumsum([0, *(len(each) for each in updates)])
    return Elimination(
        column=column,
        place=_place(column[ends], columns, diagonal),
        diagonal=diagonal.astype(np.int32),
        starts=starts.astype(np.int32),
        updates=np.concatenate([np.empty((0, 3), np.int32), *updates]).astype(np.int32),
        pointers=pointers.astype(np.int32),
        rows=np.concatenate([np.empty(0, np.int32), *columns]).astype(np.int32),
        values=(np.arange(pointers[-1]) + np.repeat(np.arange(dates - 1), counts[1:]) + 1).astype(np.int32),
        size=np.array([pointers[-1] + 2 * (dates - 1)], np.int32),
    )


def _order(ends: NDArray[np.int64], dates: int) -> tuple[list[int], list[list[int]]]:
    """Take the date with fewest neighbours, join these, go on; ties go to the earliest. Gives each one's neighbours."""
    near: list[set[int]] = [set() for _ in range(dates)]
    for i, j in ends.tolist():
        if i and j:
            near[i].add(j)
            near[j].add(i)
    queue = [(len(near[date]), date) for date in range(1, dates)]
    heapq.heapify(queue)
    order: list[int] = []
    below: list[list[int]] = []
    done, work = [False] * dates, 0
    while queue:
        degree, date = heapq.heappop(queue)
        if done[date] or degree != len(near[date]):
            continue
        done[date] = True
        order.append(date)
        below.append(sorted(near[date]))
        work += degree * (degree + 1) // 2
        if work > _MOST_UPDATES:
            raise ValueError(f"the network is too dense to solve: more than {_MOST_UPDATES} steps")
        for other in near[date]:
            near[other] |= near[date]
            near[other] -= {date, other}
            heapq.heappush(queue, (len(near[other]), other))
    return order, below


def _value(columns: list[Index], diagonal: NDArray[np.int64], column: int, rows: Index) -> NDArray[np.int64]:
    """Give the values of rows below the diagonal of a column."""
    return np.asarray(diagonal[column] + 1 + np.searchsorted(columns[column], rows), np.int64)


def _updates(p: int, columns: list[Index], diagonal: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the products of the entries of a column, and what they are taken from."""
    rows = columns[p]
    found = np.empty((len(rows) * (len(rows) + 1) // 2, 3), np.int64)
    at, own = 0, diagonal[p] + 1 + np.arange(len(rows))
    for number, row in enumerate(rows):
        here = found[at : at + len(rows) - number]
        here[0, 0] = diagonal[row]
        here[1:, 0] = _value(columns, diagonal, row, rows[number + 1 :])
        here[:, 1], here[:, 2] = own[number:], own[number]
        at += len(here)
    return found


def _place(ends: Index, columns: list[Index], diagonal: NDArray[np.int64]) -> Index:
    """Give the values that each pair adds to; ``ends`` are columns."""
    place = np.full((len(ends), 3), -1, np.int32)
    for number, (i, j) in enumerate(ends.tolist()):
        if i >= 0:
            place[number, 1] = diagonal[i]
        if j >= 0:
            place[number, 2] = diagonal[j]
        if i >= 0 and j >= 0:
            low, high = min(i, j), max(i, j)
            place[number, 0] = _value(columns, diagonal, low, np.array([high], np.int32))[0]
    return place


@inner
def _fill(rows: Tile) -> None:
    # A length that the compiler does not know: it would write out each kilobyte of zeros, store by store.
    for row in range(rows.shape[0]):
        for lane in range(rows.shape[1]):
            rows[row, lane] = _ZERO


@inner
def _gain(weight: Tile, target: Tile) -> None:
    for lane in range(LANES):
        target[lane] += weight[lane]


@inner
def _gain_three(weight: Tile, entry: Tile, first: Tile, second: Tile) -> None:
    for lane in range(LANES):
        v = weight[lane]
        entry[lane] -= v
        first[lane] += v
        second[lane] += v


@inner
def _pull(weight: Tile, value: Tile, second: Tile) -> None:
    for lane in range(LANES):
        v = weight[lane]
        # The value of a missing pair may be anything, NaN included.
        pull = v * value[lane]
        second[lane] += pull if v > _ZERO else _ZERO


@inner
def _push(weight: Tile, value: Tile, first: Tile) -> None:
    for lane in range(LANES):
        v = weight[lane]
        pull = v * value[lane]
        first[lane] -= pull if v > _ZERO else _ZERO


@inner
def _pull_two(weight: Tile, value: Tile, first: Tile, second: Tile) -> None:
    for lane in range(LANES):
        v = weight[lane]
        pull = v * value[lane]
        pull = pull if v > _ZERO else _ZERO
        first[lane] -= pull
        second[lane] += pull


@inner
def pull(plan: Elimination, pairs: Index, w: Tile, y: Tile, right: Tile) -> None:
    """Write the right-hand side alone, as :func:`assemble` does: other values under the same weights."""
    _fill(right)
    for m in range(pairs.shape[0]):
        i, j = plan.column[pairs[m, 0]], plan.column[pairs[m, 1]]
        if i >= 0 and j >= 0:
            _pull_two(w[m], y[m], right[i], right[j])
        elif j >= 0:
            _pull(w[m], y[m], right[j])
        else:
            _push(w[m], y[m], right[i])


@inner
def assemble(plan: Elimination, pairs: Index, w: Tile, y: Tile, matrix: Tile, right: Tile) -> None:
    """Write the normal equations of a tile.

    Parameters
    ----------
    plan : Elimination
        Of these pairs.
    pairs : int32 (M, 2)
        Dates of each pair.
    w : float32 (M, LANES)
        Weights, finite, at least 0; 0 is missing.
    y : float32 (M, LANES)
        Second date less first date; anything where the weight is 0.
    matrix : float32 (plan.size[0], LANES)
        Is written.
    right : float32 (N, LANES)
        Is written, by column.
    """
    _fill(matrix)
    for m in range(pairs.shape[0]):
        entry, first, second = plan.place[m, 0], plan.place[m, 1], plan.place[m, 2]
        if entry >= 0:
            _gain_three(w[m], matrix[entry], matrix[first], matrix[second])
        else:
            _gain(w[m], matrix[second if second >= 0 else first])
    pull(plan, pairs, w, y, right)


@inner
def _root(values: Tile, before: Tile, weak: Marks, least: np.float32) -> None:
    """Take one over the root of a pivot; one that vanished counts as infinite, which grounds its date."""
    for lane in range(LANES):
        pivot, floor, told = values[lane], least * before[lane], weak[lane]
        sound = (pivot > floor) & (told == 0)
        found = _ONE / np.float32(math.sqrt(pivot if sound else _ONE))
        values[lane] = found if sound else _ZERO
        weak[lane] = np.uint8(0 if sound else 1)


@inner
def _scale(values: Tile, by: Tile) -> None:
    for lane in range(LANES):
        values[lane] *= by[lane]


@inner
def _take(target: Tile, a: Tile, b: Tile) -> None:
    for lane in range(LANES):
        target[lane] -= a[lane] * b[lane]


@inner
def _take_two(target: Tile, a: Tile, b: Tile, c: Tile, d: Tile) -> None:
    """Take two products, one after the other: what they are taken from stays in registers."""
    for lane in range(LANES):
        target[lane] = (target[lane] - a[lane] * b[lane]) - c[lane] * d[lane]


@inner
def _copy(source: Tile, target: Tile) -> None:
    for lane in range(LANES):
        target[lane] = source[lane]


@inner
def factor_within(plan: Elimination, matrix: Tile, weak: Marks, least: float) -> None:
    """Factorise as :func:`factor`, with the share of the diagonal below which a pivot counts as vanished."""
    count = plan.diagonal.size
    room, share = plan.size[0] - count, np.float32(least)
    for p in range(count):
        _copy(matrix[plan.diagonal[p]], matrix[room + p])
    for p in range(count):
        own = plan.diagonal[p]
        _root(matrix[own], matrix[room + p], weak[p], share)
        for entry in range(plan.pointers[p], plan.pointers[p + 1]):
            _scale(matrix[plan.values[entry]], matrix[own])
        for step in range(plan.starts[p], plan.starts[p + 1]):
            t, a, b = plan.updates[step, 0], plan.updates[step, 1], plan.updates[step, 2]
            _take(matrix[t], matrix[a], matrix[b])


@inner
def factor(plan: Elimination, matrix: Tile, weak: Marks) -> None:
    """Factorise in place, matrix = L L^T; the diagonal then holds one over that of L.

    Parameters
    ----------
    plan, matrix
        As :func:`assemble` left them. The last N rows then hold the diagonal before elimination, by column: the sum of
        the weights at a date.
    weak : uint8 (N, LANES)
        By column. Not zero on entry: ground this date. Is written: 1 where a date is grounded, because it was asked
        for or because its pivot is not above :data:`WEAK` of its diagonal, else 0. Zero it before each call.
    """
    factor_within(plan, matrix, weak, WEAK)


@inner
def solve(plan: Elimination, matrix: Tile, right: Tile) -> None:
    """Solve in place with the factor: ``right`` becomes the solution, by column; 0 where a date is grounded."""
    count = plan.diagonal.size
    for p in range(count):
        _scale(right[p], matrix[plan.diagonal[p]])
        for entry in range(plan.pointers[p], plan.pointers[p + 1]):
            _take(right[plan.rows[entry]], matrix[plan.values[entry]], right[p])
    for p in range(count - 1, -1, -1):
        first, last = plan.pointers[p], plan.pointers[p + 1]
        if (last - first) % 2:
            _take(right[p], matrix[plan.values[first]], right[plan.rows[first]])
            first += 1
        for entry in range(first, last, 2):
            one, other = plan.values[entry], plan.values[entry + 1]
            _take_two(right[p], matrix[one], right[plan.rows[entry]], matrix[other], right[plan.rows[entry + 1]])
        _scale(right[p], matrix[plan.diagonal[p]])


@inner
def phases(plan: Elimination, right: Tile, x: Tile) -> None:
    """Bring a solution into the order of dates: ``x`` (N + 1, LANES), 0 at the first date."""
    for date in range(x.shape[0]):
        if plan.column[date] >= 0:
            _copy(right[plan.column[date]], x[date])
        else:
            _fill(x[date : date + 1])


@inner
def _differ(first: Tile, second: Tile, value: Tile, weight: Tile, out: Tile) -> None:
    for lane in range(LANES):
        left = value[lane] - (second[lane] - first[lane])
        out[lane] = left if weight[lane] > _ZERO else _ZERO


@inner
def residuals(pairs: Index, x: Tile, y: Tile, w: Tile, e: Tile) -> None:
    """Write ``e = y - (x_j - x_i)``, (M, LANES); 0 where the weight is 0. ``x`` (N + 1, LANES) is in order of dates."""
    for m in range(pairs.shape[0]):
        _differ(x[pairs[m, 0]], x[pairs[m, 1]], y[m], w[m], e[m])


@inner
def _add_product(target: Tile, a: Tile, b: Tile) -> None:
    for lane in range(LANES):
        target[lane] += a[lane] * b[lane]


@inner
def _add_products(first: Tile, second: Tile, by: Tile, a: Tile, b: Tile) -> None:
    """Add the products of one row with two others, each to a row of its own."""
    for lane in range(LANES):
        v = by[lane]
        first[lane] += v * b[lane]
        second[lane] += v * a[lane]


@inner
def _less(values: Tile, by: Tile) -> None:
    for lane in range(LANES):
        values[lane] *= -by[lane]


@inner
def variances(plan: Elimination, matrix: Tile, scratch: Tile, out: Tile) -> None:
    """Write the diagonal of the inverse of the normal matrix: the variances of the dates where weights are inverse
    variances.

    Parameters
    ----------
    plan, matrix
        As :func:`factor` left them.
    scratch : float32 (plan.size[0], LANES)
        Room; is overwritten.
    out : float32 (N + 1, LANES)
        Is written, in order of dates: 0 at the first date and where a date is grounded.
    """
    for p in range(plan.diagonal.size - 1, -1, -1):
        own, first, last = plan.diagonal[p], plan.pointers[p], plan.pointers[p + 1]
        for entry in range(first, last):
            _fill(scratch[plan.values[entry] : plan.values[entry] + 1])
        # Entries of the inverse in this column follow from those of later columns, in the pattern of the factor.
        for step in range(plan.starts[p], plan.starts[p + 1]):
            t, a, b = plan.updates[step, 0], plan.updates[step, 1], plan.updates[step, 2]
            if a != b:
                _add_products(scratch[a], scratch[b], scratch[t], matrix[a], matrix[b])
            else:
                _add_product(scratch[a], scratch[t], matrix[b])
        _copy(matrix[own], scratch[own])
        for entry in range(first, last):
            value = plan.values[entry]
            _less(scratch[value], matrix[own])
            _take(scratch[own], scratch[value], matrix[value])
        _scale(scratch[own], matrix[own])
    for date in range(out.shape[0]):
        if plan.column[date] >= 0:
            _copy(scratch[plan.diagonal[plan.column[date]]], out[date])
        else:
            _fill(out[date : date + 1])
