"""The last steps to a geometric median, one pixel at a time in float64: a sample test and damped Newton steps.

Few pixels come here: those whose accelerated steps have not arrived after a fixed number, and those that stopped
close to a sample. The distance sum has a kink at every sample, so the nearest one is tested first: it is the
minimiser exactly when the pull of the other samples does not exceed the number of samples that lie there.
"""

from __future__ import annotations

import numpy as np

from terracube.cubes._geomedian.lanes import LANES, LIMIT, Scratch, Work, inlined, stage

# Distance sum, sum of weights, samples met, row of the nearest sample.
type Here = tuple[float, float, float, int]

_ROUNDS = 50
# Damping is a share of the sum of weights; a step only counts as arrived when it was hardly damped.
_DAMPING, _LIGHT, _HEAVY = 1e-3, 1e-4, 1e6
# Rows of the scratch, one value per band each; the Hessian, its factor and the samples follow.
_MEDIAN, _PULL, _TRIAL, _TRIAL_PULL, _STEP, _ROWS = range(6)


def scratch_shape(dates: int, bands: int) -> tuple[int, int]:
    """Shape of the float64 scratch array of one thread."""
    return _ROWS + 2 * bands + dates, bands


@stage
def _gather(work: Work, place: int, kept: int, scratch: Scratch) -> int:
    """Copy the median and the clear samples of one lane together; gives the end of the samples' rows."""
    bands = scratch.shape[1]
    end: int = _ROWS + 2 * bands
    for band in range(bands):
        scratch[_TRIAL, band] = work[place + band * LANES]
    for date in range(kept):
        sample = place + (4 + date) * bands * LANES
        if work[sample] < LIMIT:
            for band in range(bands):
                scratch[end, band] = work[sample + band * LANES]
            end += 1
    return end


@stage
def _pull(scratch: Scratch, end: int) -> Here:
    """Sum the distances, weights and unit vectors from the trial point to the samples."""
    bands = scratch.shape[1]
    total, weights, met, nearest, near = 0.0, 0.0, 0.0, 0, np.inf
    for band in range(bands):
        scratch[_TRIAL_PULL, band] = 0.0
    for sample in range(_ROWS + 2 * bands, end):
        square = 0.0
        for band in range(bands):
            square += (scratch[sample, band] - scratch[_TRIAL, band]) ** 2
        if square < near:
            near, nearest = square, sample
        weight = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
        met += 0.0 if square > 0.0 else 1.0
        total += weight * square
        weights += weight
        for band in range(bands):
            scratch[_TRIAL_PULL, band] += (scratch[sample, band] - scratch[_TRIAL, band]) * weight
    return total, weights, met, nearest


@stage
def _curvature(scratch: Scratch, end: int) -> None:
    """Write the Hessian of the distance sum at the median: the sum of (I - u u') / distance, lower triangle."""
    bands = scratch.shape[1]
    for row in range(bands):
        for column in range(row + 1):
            scratch[_ROWS + row, column] = 0.0
    for sample in range(_ROWS + 2 * bands, end):
        square = 0.0
        for band in range(bands):
            scratch[_STEP, band] = scratch[sample, band] - scratch[_MEDIAN, band]
            square += scratch[_STEP, band] ** 2
        weight = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
        share = weight / square if square > 0.0 else 0.0
        for row in range(bands):
            scratch[_ROWS + row, row] += weight
            for column in range(row + 1):
                scratch[_ROWS + row, column] -= scratch[_STEP, row] * scratch[_STEP, column] * share


@stage
def _solve(scratch: Scratch, damping: float) -> None:
    """Solve (Hessian + damping) step = pull by Cholesky factors."""
    bands = scratch.shape[1]
    hessian, factor = _ROWS, _ROWS + bands
    for row in range(bands):
        value = scratch[_PULL, row]
        for column in range(row):
            entry = scratch[hessian + row, column]
            for k in range(column):
                entry -= scratch[factor + row, k] * scratch[factor + column, k]
            entry /= scratch[factor + column, column]
            scratch[factor + row, column] = entry
            value -= entry * scratch[_STEP, column]
        entry = scratch[hessian + row, row] + damping
        for k in range(row):
            entry -= scratch[factor + row, k] ** 2
        # Rounding may leave a flat direction slightly negative.
        scratch[factor + row, row] = np.sqrt(entry if entry > 0.0 else 1e-300)
        scratch[_STEP, row] = value / scratch[factor + row, row]
    for row in range(bands - 1, -1, -1):
        value = scratch[_STEP, row]
        for k in range(row + 1, bands):
            value -= scratch[factor + k, row] * scratch[_STEP, k]
        scratch[_STEP, row] = value / scratch[factor + row, row]


@stage
def _keep(scratch: Scratch) -> None:
    """Make the trial point and its pull the median's."""
    for band in range(scratch.shape[1]):
        scratch[_MEDIAN, band] = scratch[_TRIAL, band]
        scratch[_PULL, band] = scratch[_TRIAL_PULL, band]


@inlined
def _visit(scratch: Scratch, end: int, here: Here) -> tuple[bool, Here]:
    """Settle on the nearest sample if it is the minimiser (true), or leave from it if it lies lower (false)."""
    length = 0.0
    for band in range(scratch.shape[1]):
        scratch[_TRIAL, band] = scratch[here[3], band]
    there = _pull(scratch, end)
    for band in range(scratch.shape[1]):
        length += scratch[_TRIAL_PULL, band] ** 2
    settled = np.sqrt(length) < there[2] * (1.0 - 1e-9)
    if not settled and (here[2] > 0.0 or there[0] < here[0] * (1.0 - 1e-12)):
        # Vardi and Zhang's step away from a sample lowers the sum whenever the sample is not the minimiser.
        share = 1.0 - there[2] / np.sqrt(length)
        for band in range(scratch.shape[1]):
            scratch[_TRIAL, band] += (share if share > 0.0 else 0.0) / there[1] * scratch[_TRIAL_PULL, band]
        here = _pull(scratch, end)
        _keep(scratch)
    elif settled:
        _keep(scratch)
    return settled, here


@inlined
def _descend(scratch: Scratch, end: int, here: Here, damping: float) -> tuple[float, float, Here]:
    """Take one Newton step, damped until the distance sum falls: (next damping, squared length, where it led)."""
    next_damping, length, there = 0.1 * damping, 0.0, here
    _curvature(scratch, end)
    while damping < _HEAVY:
        _solve(scratch, damping * here[1])
        length, gain = 0.0, 0.0
        for band in range(scratch.shape[1]):
            move = scratch[_STEP, band]
            scratch[_TRIAL, band] = scratch[_MEDIAN, band] + move
            length += move * move
            gain += move * scratch[_PULL, band]
        there = _pull(scratch, end)
        if there[0] <= here[0] - 1e-4 * gain:
            _keep(scratch)
            break
        damping = 10.0 * (damping if damping > 1e-6 else 1e-6)
        next_damping = damping
    return next_damping, length, there


@stage
def finish(work: Work, place: int, kept: int, tolerance: np.float32, scratch: Scratch) -> None:
    """Move the median of one lane, first value at ``place``, to the minimiser; ``tolerance`` is the square of eps."""
    end = _gather(work, place, kept, scratch)
    here = _pull(scratch, end)
    _keep(scratch)
    damping, tested = _DAMPING, -1
    for _ in range(_ROUNDS):
        if here[3] != tested:
            tested = here[3]
            settled, here = _visit(scratch, end, here)
            if settled:
                break
        damping, length, here = _descend(scratch, end, here, damping)
        if damping >= _HEAVY or (length < 0.01 * tolerance and damping <= _LIGHT):
            break
    for band in range(scratch.shape[1]):
        work[place + band * LANES] = np.float32(scratch[_MEDIAN, band])
