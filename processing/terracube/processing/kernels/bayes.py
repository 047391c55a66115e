"""Naive Bayes with normal features: which of a few classes a pixel most likely belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import kernel

type Doubles = NDArray[np.float64]


@kernel
def likeliest(
    x: NDArray[np.float32], means: Doubles, weights: Doubles, offsets: Doubles, out: NDArray[np.uint8]
) -> None:
    """Find the class of each pixel with the greatest ``offset - sum_f weight_f (x_f - mean_f)^2``.

    With ``weight = 1 / (2 variance)`` and ``offset = log(prior) - sum_f log(variance_f) / 2`` that is the class of the
    greatest probability.

    Parameters
    ----------
    x : float32 (features, pixels)
        NaN makes a pixel class 0.
    means, weights : float64 (classes, features)
    offsets : float64 (classes,)
    out : uint8 (pixels,)
        Is written: number of the class, the lowest of equals.

    Examples
    --------
    >>> out, one = np.empty(2, np.uint8), np.ones((2, 1))
    >>> likeliest(np.array([[0.1, 4.0]], np.float32), np.array([[0.0], [5.0]]), one, np.zeros(2), out)
    >>> out.tolist()
    [0, 1]
    """
    features = x.shape[0]
    for at in range(out.size):
        most, found = -np.inf, 0
        for number in range(offsets.size):
            score = offsets[number]
            for feature in range(features):
                away = x[feature, at] - means[number, feature]
                score -= weights[number, feature] * away * away
            if score > most:
                most, found = score, number
        out[at] = found
