"""How far a pixel's features lie from those of the training samples: prototypes in a subspace, and what is left."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Pixels that are worked on together.
_LANES = 128


@njit(nogil=True)
def distances(
    x: NDArray[np.float32],
    shift: NDArray[np.float32],
    factor: NDArray[np.float32],
    axes: NDArray[np.float32],
    prototypes: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Find the distance of each pixel to the nearest prototype.

    Features are scaled, ``s = (x - shift) * factor``, and projected on the rows of ``axes`` (orthonormal). The distance
    is ``sqrt(min_k |axes s - prototype_k|^2 + |s|^2 - |axes s|^2)``: that in the full space to prototypes that lie in
    the subspace. Sums run in a fixed order for each pixel, so that its value does not depend on the others.

    Parameters
    ----------
    x : float32 (features, pixels)
        NaN = missing: the distance is NaN.
    shift, factor : float32 (features,)
    axes : float32 (q, features)
    prototypes : float32 (k, q)
    out : float32 (pixels,)
    """
    features, pixels = x.shape
    q, many = axes.shape[0], prototypes.shape[0]
    scores = np.empty((q, _LANES), np.float32)
    rest = np.empty(_LANES, np.float32)
    near = np.empty(_LANES, np.float32)
    far = np.empty(_LANES, np.float32)
    for start in range(0, pixels, _LANES):
        lanes = min(_LANES, pixels - start)
        scores[:] = np.float32(0.0)
        rest[:] = np.float32(0.0)
        near[:] = np.float32(np.inf)
        for f in range(features):
            for lane in range(lanes):
                far[lane] = (x[f, start + lane] - shift[f]) * factor[f]
                rest[lane] += far[lane] * far[lane]
            for c in range(q):
                weight = axes[c, f]
                for lane in range(lanes):
                    scores[c, lane] += weight * far[lane]
        for c in range(q):
            for lane in range(lanes):
                rest[lane] -= scores[c, lane] * scores[c, lane]
        for k in range(many):
            far[:] = np.float32(0.0)
            for c in range(q):
                place = prototypes[k, c]
                for lane in range(lanes):
                    step = scores[c, lane] - place
                    far[lane] += step * step
            for lane in range(lanes):
                near[lane] = min(near[lane], far[lane])
        for lane in range(lanes):
            left = rest[lane]
            # Rounding may leave a little less than nothing; a missing value stays missing.
            left = np.float32(0.0) if left < 0.0 else left
            out[start + lane] = math.sqrt(near[lane] + left)
