"""Noise that adds up from date to date, carried through a fit: pixels innermost, each alone, sums in float64.

A parameter is ``A G' V d``, ``A`` the inverse of the normal matrix; an increment of the noise is in all dates beyond,
so that it moves the parameters by ``A B``, ``B`` the sum of ``G' V`` over these dates, and chi squared by what is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

TILE = 128

type Doubles = NDArray[np.float64]
type Floats = NDArray[np.floating[Any]]


@inner
def _steps(deviations: Floats, reference: int, start: int, count: int, steps: Doubles) -> None:
    """Find what each date adds to the variance on the way from the reference date; what is not known adds nothing."""
    dates = deviations.shape[0]
    most = np.zeros(count)
    for turn in range(dates):
        date = reference + turn if turn < dates - reference else dates - 1 - turn
        if turn == dates - reference:
            for lane in range(count):
                most[lane] = 0.0
        for lane in range(count):
            value = np.float64(deviations[date, start + lane])
            variance = value * value if np.isfinite(value) else 0.0
            steps[date, lane] = variance - most[lane] if variance > most[lane] else 0.0
            most[lane] = variance if variance > most[lane] else most[lane]


@inner
def _add(
    design: Doubles, weights: Floats, date: int, start: int, work: tuple[Doubles, Doubles, Doubles, Doubles]
) -> None:
    """Add a date to the sums beyond, and these to the moments, times what the date adds."""
    steps, beyond, moved, sums = work
    terms, count = beyond.shape
    for lane in range(count):
        weight = weights[date, start + lane]
        sums[0, lane] += weight
        sums[1, lane] += steps[date, lane] * sums[0, lane]
    for row in range(terms):
        factor = design[date, row]
        for lane in range(count):
            beyond[row, lane] += factor * weights[date, start + lane]
    at = 0
    for row in range(terms):
        for column in range(row + 1):
            for lane in range(count):
                moved[at, lane] += steps[date, lane] * beyond[row, lane] * beyond[column, lane]
            at += 1


@inner
def _place(row: int, column: int) -> int:
    return row * (row + 1) // 2 + column if row >= column else column * (column + 1) // 2 + row


@kernel
def walk_pixels(
    design: Doubles, weights: Floats, deviations: Floats, reference: int, inverse: Doubles,
    outs: tuple[Doubles, Doubles],
) -> None:  # fmt: skip
    """Propagate the walk of all pixels.

    Parameters
    ----------
    design : float64 (T, p)
    weights : (T, P)
        0 where a date is missing.
    deviations : (T, P)
        Standard deviations since the reference date; NaN where not known.
    reference : int
        Number of dates before the reference date.
    inverse : float64 (p (p + 1) / 2, P)
        Of the normal matrix, triangle by row.
    outs : tuple of float64 (p (p + 1) / 2, P) and (P,)
        Are written: the covariance of the parameters by the walk, and what it brings to chi squared.
    """
    dates, terms = design.shape
    entries, pixels = inverse.shape
    covariance, expected = outs
    for start in range(0, pixels, TILE):
        count = min(TILE, pixels - start)
        steps, beyond = np.empty((dates, count)), np.zeros((terms, count))
        moved, sums, half = np.zeros((entries, count)), np.zeros((2, count)), np.zeros((terms * terms, count))
        _steps(deviations, reference, start, count, steps)
        for turn in range(dates):
            # From the end to the reference date, then from the beginning up to it.
            date = dates - 1 - turn if turn < dates - reference else turn - (dates - reference)
            if turn == dates - reference:
                beyond[:] = 0.0
                for lane in range(count):
                    sums[0, lane] = 0.0
            _add(design, weights, date, start, (steps, beyond, moved, sums))
        for row in range(terms):
            for column in range(terms):
                for k in range(terms):
                    one, other = _place(row, k), _place(k, column)
                    for lane in range(count):
                        half[row * terms + column, lane] += inverse[one, start + lane] * moved[other, lane]
        for row in range(terms):
            for lane in range(count):
                sums[1, lane] -= half[row * terms + row, lane]
            for column in range(row + 1):
                at = _place(row, column)
                for lane in range(count):
                    covariance[at, start + lane] = 0.0
                for k in range(terms):
                    other = _place(k, column)
                    for lane in range(count):
                        covariance[at, start + lane] += half[row * terms + k, lane] * inverse[other, start + lane]
        for lane in range(count):
            expected[start + lane] = max(sums[1, lane], 0.0)
