"""Sums of the leaf values of boosted trees, walked as the libraries that trained them walk."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

TILE = 512
PLAIN, ZERO, NAN = 0, 1, 2
"""What a missing value is to a node: nothing special (NaN counts as 0), a value near 0, or NaN."""
DEFAULT_LEFT = 4
"""Added to it where missing values go left."""
# What counts as zero: the constant of LightGBM, a float32.
_NEAR_ZERO = float(np.float32(1e-35))


class Boosted(NamedTuple):
    """All trees; a node below zero in ``feature`` is a leaf."""

    start: NDArray[np.int64]
    """First node of each tree, and the end."""
    feature: NDArray[np.int32]
    """What a node looks at; -1 for a leaf."""
    left: NDArray[np.int64]
    """Left child, counted over all trees; the right one follows it."""
    threshold: NDArray[np.float64]
    """The largest value that goes left; in a leaf, its value."""
    rule: NDArray[np.uint8]
    """What a missing value is, and whether it goes left."""
    column: NDArray[np.int64]
    """Column of the scores that each tree adds to."""


@inner
def _goes_right(value: Any, threshold: Any, rule: Any) -> Any:
    """Decide at one node."""
    kind = rule & 3
    if np.isnan(value) and kind != NAN:
        value = 0.0
    if (kind == NAN and np.isnan(value)) or (kind == ZERO and abs(value) <= _NEAR_ZERO):
        return (rule & DEFAULT_LEFT) == 0
    return not value <= threshold


@kernel
def add_scores(x: Any, trees: Any, scores: Any) -> None:
    """Add the value of the leaf each sample comes to in each tree, in the order of the trees.

    Parameters
    ----------
    x : (n, features) float64
    trees : Boosted
    scores : (n, columns) float64
        Added to.
    """
    for origin in range(0, x.shape[0], TILE):
        end = min(origin + TILE, x.shape[0])
        for tree in range(len(trees.column)):
            for p in range(origin, end):
                node = trees.start[tree]
                while trees.feature[node] >= 0:
                    right = _goes_right(x[p, trees.feature[node]], trees.threshold[node], trees.rule[node])
                    node = trees.left[node] + np.int64(right)
                scores[p, trees.column[tree]] += trees.threshold[node]
