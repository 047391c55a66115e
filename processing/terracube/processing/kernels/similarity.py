"""Scores of classes as sums over features or over training samples, in a fixed order for each sample."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def linear_scores(
    x: NDArray[np.float64], weights: NDArray[np.float64], offset: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Compute ``out = x @ weights + offset``: x (n, features), weights (features, classes), out (n, classes)."""
    samples, features = x.shape
    classes = offset.size
    for i in range(samples):
        for c in range(classes):
            out[i, c] = offset[c]
        for f in range(features):
            value = x[i, f]
            for c in range(classes):
                out[i, c] += value * weights[f, c]


@njit(nogil=True)
def radial_scores(
    x: NDArray[np.float64],
    centres: NDArray[np.float64],
    weights: NDArray[np.float64],
    offset: NDArray[np.float64],
    gamma: float,
    out: NDArray[np.float64],
) -> None:
    """Compute ``out = exp(-gamma d^2) @ weights + offset``, with d the distances of samples to centres.

    x (n, features), centres (features, m): one column per centre, weights (m, classes), out (n, classes).
    """
    samples, features = x.shape
    many, classes = weights.shape
    square = np.empty(many, np.float64)
    for i in range(samples):
        square[:] = 0.0
        for f in range(features):
            value = x[i, f]
            for j in range(many):
                step = value - centres[f, j]
                square[j] += step * step
        for c in range(classes):
            out[i, c] = offset[c]
        for j in range(many):
            alike = math.exp(-gamma * square[j])
            for c in range(classes):
                out[i, c] += alike * weights[j, c]


@njit(nogil=True)
def softmax(scores: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Turn scores (n, classes) into probabilities (n, classes); ``scores`` is overwritten."""
    samples, classes = scores.shape
    for i in range(samples):
        most = scores[i, 0]
        for c in range(1, classes):
            most = max(most, scores[i, c])
        total = 0.0
        for c in range(classes):
            scores[i, c] = math.exp(scores[i, c] - most)
            total += scores[i, c]
        for c in range(classes):
            out[i, c] = scores[i, c] / total
