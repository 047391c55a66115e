"""Decision trees as flat arrays, breadth first: children of a tree's k-th inner node are its nodes 2k+1 and 2k+2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.landcover.models.checks import demand

LEAF = 65535
"""What stands for the feature in a leaf."""
MAX_TREES = 100_000
MAX_DEPTH = 2048

type Numbers = NDArray[np.int64]


def check_nodes(start: Numbers, feature: NDArray[np.uint16], threshold: NDArray[Any], *, features: int) -> None:
    """Demand that every walk stays inside its tree, goes down, and comes to an end soon.

    Parameters
    ----------
    start : (trees + 1,) int64
        First node of each tree, and the end; already known to rise from 0 to the number of nodes.
    feature, threshold : (nodes,) arrays
        What a node looks at, and the largest value that goes left.
    features : int
        How many features there are.

    Raises
    ------
    InputError
        If it is not so.
    """
    demand(0 < len(start) - 1 <= MAX_TREES, f"there are 1 to {MAX_TREES} trees", where="start")
    demand(len(threshold) == len(feature), "there is not one threshold per node", where="threshold")
    leaf = feature == LEAF
    demand(bool((leaf | (feature < features)).all()), "a node looks at a feature that there is not", where="feature")
    demand(not np.isnan(threshold[~leaf]).any(), "a threshold is not a number", where="threshold")
    inner = inner_before(feature)
    count = np.diff(inner[start])
    demand(bool((np.diff(start) == 1 + 2 * count).all()), "a tree has nodes too many or too few", where="feature")
    # Children lie behind their parent, so no walk can turn in a circle.
    down = leaf | (left_children(start, feature) > numbers(start))
    demand(bool(down.all()), "a node is its own child or that of a later one", where="feature")
    demand(int(depths(start, feature).max()) <= MAX_DEPTH, f"a tree has more than {MAX_DEPTH} levels", where="feature")


def inner_before(feature: NDArray[np.uint16]) -> Numbers:
    """Count the inner nodes before each node, and all of them at the end."""
    return offsets(feature != LEAF)


def numbers(start: Numbers) -> Numbers:
    """Number the nodes of each tree from 0.

    Examples
    --------
    >>> numbers(np.array([0, 1, 4]))
    array([0, 0, 1, 2])
    """
    return np.arange(start[-1]) - np.repeat(start[:-1], np.diff(start))


def left_children(start: Numbers, feature: NDArray[np.uint16]) -> Numbers:
    """Give the left child of each inner node, counted from the first node of its tree; of no meaning for leaves."""
    before = inner_before(feature)
    return 2 * (before[1:] - np.repeat(before[start[:-1]], np.diff(start))) - 1


def depths(start: Numbers, feature: NDArray[np.uint16]) -> Numbers:
    """Give the depth of each tree; of one that is too deep, that it is."""
    inner = inner_before(feature)
    return np.array([_depth(inner, int(first)) for first in start[:-1]], np.int64)


def _depth(inner: Numbers, start: int) -> int:
    """Give the depth of the tree that begins at a node: a level has two nodes per inner node of the one above."""
    low, high, depth = start, start + 1, 0
    while (below := 2 * int(inner[high] - inner[low])) and depth <= MAX_DEPTH:
        low, high, depth = high, high + below, depth + 1
    return depth


def breadth_first(left: NDArray[Any], right: NDArray[Any]) -> Numbers:
    """Order the nodes of a tree level by level, each from left to right; a negative child marks a leaf.

    Examples
    --------
    >>> breadth_first(np.array([1, 2, -1, -1, -1]), np.array([4, 3, -1, -1, -1]))
    array([0, 1, 4, 2, 3])
    """
    level, order = np.zeros(1, np.int64), []
    while len(level):
        order.append(level)
        inner = level[left[level] >= 0]
        level = np.stack([left[inner], right[inner]], axis=1).ravel().astype(np.int64)
    return np.concatenate(order)


def offsets(sizes: Any) -> Numbers:
    """Turn sizes into where each begins, and the end of the last.

    Examples
    --------
    >>> offsets([2, 3])
    array([0, 2, 5])
    """
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def floored(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round thresholds toward minus infinity: ``x <= threshold`` stays the same for every float32 x.

    Examples
    --------
    >>> bool((floored(np.array([0.1, 0.3])) <= np.array([0.1, 0.3])).all())
    True
    """
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)
