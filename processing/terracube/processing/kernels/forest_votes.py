"""From the sums of a forest's leaves to probabilities, and the exact way for pixels that the sums cannot decide."""

from __future__ import annotations

from typing import Any

import numpy as np

from terracube.processing.kernels.compiling import inner, kernel
from terracube.processing.kernels.forest import INFINITY, LEAF, MAGNITUDE, ROW, rank

_ONE, _TWO = np.uint64(1), np.uint64(2)
# Two classes nearer than this are told apart in float64 too, so that their float32 probabilities differ.
_CLOSE = 2.0**-21


@kernel
def probabilities(sums: Any, trees: int, scale: int, out: Any, doubtful: Any) -> Any:
    """Turn sums into probabilities and list the pixels whose best class they cannot tell.

    Parameters
    ----------
    sums : (pixels, padded classes) uint32
    trees, scale : int
    out : (pixels, classes) float32
        Filled.
    doubtful : (pixels + 1,) int64
        Filled from its start.

    Returns
    -------
    int
        The number of doubtful pixels.
    """
    count = 0
    one = 1.0 / (float(trees) * float(scale))
    margin = np.int64(trees + float(trees) * float(scale) * _CLOSE)
    for p in range(sums.shape[0]):
        best, second = np.int64(-1), np.int64(-1)
        for k in range(out.shape[1]):
            value = np.int64(sums[p, k])
            out[p, k] = np.float32(value * one)
            second = max(second, min(best, value))
            best = max(best, value)
        doubtful[count] = p
        count += int(second >= 0 and best - second <= margin)
    return count


@kernel
def exact(pixels: Any, first: int, which: Any, trees: Any, leaves: Any, sums: Any, out: Any) -> None:
    """Walk some pixels again, summing in float64 in the order of the trees, as scikit-learn does.

    The largest probability is made the first largest in float32 too: where rounding makes two equal, the true best
    is raised by one unit in the last place. Here NaN, and infinity with it, goes where each node says.

    Parameters
    ----------
    pixels : Pixels
    first : int
        The pixel that is the first row of ``out``.
    which : (n,) int64
        The pixels, counted from there.
    trees : Trees
    leaves : Leaves
    sums : (classes,) float64
        Scratch.
    out : (pixels, classes) float32
        Rows of ``which`` are filled.
    """
    shift = np.uint64(trees.shift)
    for p in which:
        sums[:] = 0.0
        for tree in range(len(trees.start) - 1):
            node = _arrive(trees, pixels, trees.start[tree], np.uint64((first + p) * pixels.by_pixel), shift)
            row = leaves.first[tree] + np.uint64(np.uint32(trees.words[node * _TWO]) & ROW)
            for entry in range(leaves.start[row], leaves.start[row + _ONE]):
                sums[leaves.classes[entry]] += leaves.values[entry]
        _settle(sums, len(trees.start) - 1, out[p])


@inner
def _arrive(trees: Any, pixels: Any, base: Any, at: Any, shift: Any) -> Any:
    """Give the node at which the walk of one pixel ends."""
    mask = (_ONE << shift) - _ONE
    step = np.uint64(pixels.by_feature)
    node = base
    threshold = trees.words[node * _TWO]
    while threshold < LEAF:
        ref = np.uint64(np.uint32(trees.words[node * _TWO + _ONE]))
        value = pixels.bits[at + (ref & mask) * step]
        right = rank(value) > threshold
        if (value & MAGNITUDE) >= INFINITY:
            right = len(trees.missing_left) > 0 and trees.missing_left[node] == 0
        node = base + (ref >> shift) + np.uint64(right)
        threshold = trees.words[node * _TWO]
    return node


@inner
def _settle(sums: Any, trees: Any, out: Any) -> None:
    """Divide, round, and keep the first of the largest the first of the largest."""
    best = 0
    for k in range(len(sums)):
        sums[k] /= trees
        out[k] = np.float32(sums[k])
        if sums[k] > sums[best]:
            best = k
    for k in range(best):
        if out[k] == out[best]:
            out[best] = np.nextafter(out[best], np.float32(2.0))
