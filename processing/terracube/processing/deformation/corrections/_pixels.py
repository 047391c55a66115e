"""Least squares in every pixel on a few shared columns, over the dates that each pixel has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Doubles = NDArray[np.float64]

# Below this share of a column's own square, the others explain it: it cannot be estimated.
_LEAST = 1e-8


@dataclass(frozen=True, slots=True)
class Fitted:
    """The coefficient of the first column, in arrays (pixel,)."""

    first: Doubles
    """NaN where the dates do not determine it."""
    std: Doubles
    """Its standard deviation, from the residuals; NaN without a spare date."""
    spare: Doubles
    """Dates beyond the number of columns."""


def fit_columns(values: NDArray[np.float32], design: Doubles) -> Fitted:
    """Fit the columns to each pixel.

    Parameters
    ----------
    values : array (time, pixel)
        NaN is missing.
    design : array (time, column), float64
        Of the order of one.

    Notes
    -----
    All operations work element by element, so that a pixel's bits do not depend on its neighbours.

    Examples
    --------
    >>> slope, constant = np.array([0.0, 1.0, 2.0, 3.0]), np.ones(4)
    >>> found = fit_columns(np.array([[1.0], [3.0], [np.nan], [7.0]]), np.stack([slope, constant], axis=1))
    >>> found.first.round(9).tolist(), found.spare.tolist()
    ([2.0], [1.0])
    """
    seen = np.isfinite(values)
    clean = np.where(seen, values, 0).astype("float64")
    marks = seen.astype("float64")
    # The column of interest comes last in the elimination: its pivot is what the others leave of it.
    order = [*range(1, design.shape[1]), 0]
    matrix, right = _products(clean, marks, design[:, order])
    count = marks.sum(axis=0)
    return _solved(matrix, right, (clean * clean).sum(axis=0), count - design.shape[1])


def _products(clean: Doubles, marks: Doubles, design: Doubles) -> tuple[list[list[Doubles]], list[Doubles]]:
    """Make the normal equations: the lower triangle and the right-hand side, each (pixel,)."""
    size, pixels = design.shape[1], clean.shape[1]
    matrix = [[np.zeros(pixels) for _ in range(row + 1)] for row in range(size)]
    right = [np.zeros(pixels) for _ in range(size)]
    for date, columns in enumerate(design):
        for row in range(size):
            right[row] += columns[row] * clean[date]
            for column in range(row + 1):
                matrix[row][column] += (columns[row] * columns[column]) * marks[date]
    return matrix, right


def _solved(matrix: list[list[Doubles]], right: list[Doubles], square: Doubles, spare: Doubles) -> Fitted:
    """Factor L D L^T and give the last unknown, with its variance 1 / pivot."""
    size = len(right)
    good = spare >= 0
    rest = square
    pivots: list[Doubles] = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for column in range(size):
            full = matrix[column][column].copy()
            pivot = full.copy()
            for before in range(column):
                pivot -= matrix[column][before] ** 2 * pivots[before]
            good &= pivot > _LEAST * full
            pivot = np.where(good, pivot, 1.0)
            pivots.append(pivot)
            for before in range(column):
                right[column] = right[column] - matrix[column][before] * right[before]
            for row in range(column + 1, size):
                for before in range(column):
                    matrix[row][column] = matrix[row][column] - (
                        matrix[row][before] * matrix[column][before] * pivots[before]
                    )
                matrix[row][column] = matrix[row][column] / pivot
            rest = rest - right[column] ** 2 / pivot
        first = np.where(good, right[-1] / pivots[-1], np.nan)
        variance = np.maximum(rest, 0.0) / spare / pivots[-1]
        std = np.where(good & (spare > 0), np.sqrt(variance), np.nan)
    return Fitted(first, std, spare)
