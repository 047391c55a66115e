"""Solve one lane of a tile in float64, by the steps that :mod:`~terracube.processing.kernels.laplacian` takes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, part
from terracube.processing.kernels.laplacian import Elimination, Index, Marks, Tile

type Doubles = NDArray[np.float64]

# A pivot this small against its diagonal holds nothing even in float64.
_VANISHED = 1e-12
_ZERO, _NAN = np.float32(0), np.float32(np.nan)


@inner
def solve_alone(plan: Elimination, pairs: Index, y: Tile, w: Tile, weak: Marks, lane: int, room: Doubles) -> bool:
    """Solve a lane.

    Parameters
    ----------
    plan, pairs, y, w
        As for :func:`~terracube.processing.kernels.laplacian.assemble`; ``y`` is finite.
    weak : uint8 (N, LANES)
        By column: 1 where a date is grounded. Not written.
    lane : int
    room : float64 (3, plan.size[0])
        Is written: the factor; the solution by column; the inverse, its diagonal at ``plan.diagonal``.

    Returns
    -------
    bool
        Whether the weights tell all dates that are not grounded.
    """
    matrix, right, inverse = room[0], room[1], room[2]
    room[:, :] = 0.0
    for m in range(pairs.shape[0]):
        entry, i, j = plan.place[m, 0], plan.column[pairs[m, 0]], plan.column[pairs[m, 1]]
        weight = np.float64(w[m, lane])
        pull = weight * y[m, lane]
        if i >= 0:
            matrix[plan.diagonal[i]] += weight
            right[i] -= pull
        if j >= 0:
            matrix[plan.diagonal[j]] += weight
            right[j] += pull
        if entry >= 0:
            matrix[entry] -= weight
    sound: bool = _factor_alone(plan, weak, lane, matrix)
    _solve_alone(plan, matrix, right)
    _variances_alone(plan, matrix, inverse)
    return sound


@part
def _factor_alone(plan: Elimination, weak: Marks, lane: int, matrix: Doubles) -> bool:
    count, sound = plan.diagonal.size, True
    room = matrix.size - count
    for p in range(count):
        matrix[room + p] = matrix[plan.diagonal[p]]
    for p in range(count):
        own = plan.diagonal[p]
        there = weak[p, lane] == 0
        firm = matrix[own] > _VANISHED * matrix[room + p]
        sound &= firm | (not there)
        matrix[own] = 1.0 / math.sqrt(matrix[own]) if there & firm else 0.0
        for entry in range(plan.pointers[p], plan.pointers[p + 1]):
            matrix[plan.values[entry]] *= matrix[own]
        for step in range(plan.starts[p], plan.starts[p + 1]):
            t, a, b = plan.updates[step, 0], plan.updates[step, 1], plan.updates[step, 2]
            matrix[t] -= matrix[a] * matrix[b]
    return sound


@part
def _solve_alone(plan: Elimination, matrix: Doubles, right: Doubles) -> None:
    count = plan.diagonal.size
    for p in range(count):
        right[p] *= matrix[plan.diagonal[p]]
        for entry in range(plan.pointers[p], plan.pointers[p + 1]):
            right[plan.rows[entry]] -= matrix[plan.values[entry]] * right[p]
    for p in range(count - 1, -1, -1):
        for entry in range(plan.pointers[p], plan.pointers[p + 1]):
            right[p] -= matrix[plan.values[entry]] * right[plan.rows[entry]]
        right[p] *= matrix[plan.diagonal[p]]


@part
def _variances_alone(plan: Elimination, matrix: Doubles, inverse: Doubles) -> None:
    for p in range(plan.diagonal.size - 1, -1, -1):
        own = plan.diagonal[p]
        for step in range(plan.starts[p], plan.starts[p + 1]):
            t, a, b = plan.updates[step, 0], plan.updates[step, 1], plan.updates[step, 2]
            inverse[a] -= inverse[t] * matrix[b] * matrix[own]
            if a != b:
                inverse[b] -= inverse[t] * matrix[a] * matrix[own]
        inverse[own] = matrix[own] * matrix[own]
        for entry in range(plan.pointers[p], plan.pointers[p + 1]):
            value = plan.values[entry]
            inverse[own] -= inverse[value] * matrix[value] * matrix[own]
