"""Regions of equal code: labelling by union-find, borders between regions, sums over regions.

What a block cannot know of a region that leaves it is left to whoever joins the blocks; nothing here depends on how
an image is cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def components(
    codes: NDArray[np.int32], *, nodata: int | None = None, eight: bool = False
) -> tuple[NDArray[np.int32], int]:
    """Label the connected regions of equal code.

    Parameters
    ----------
    codes : int32 array (y, x)
        Fewer than 2**31 pixels.
    nodata : int or None
        Pixels of this code belong to no region.
    eight : bool
        Whether pixels that share a corner alone are connected.

    Returns
    -------
    labels : int32 array (y, x)
        0 = no region; others 1, 2, ... in the order of the regions' first pixels, row by row.
    count : int
        The number of regions.

    Examples
    --------
    >>> labels, count = components(np.array([[5, 5, 7], [7, 5, 7]], "int32"))
    >>> labels.tolist(), count
    ([[1, 1, 2], [3, 1, 2]], 3)
    """
    labels = np.empty(codes.shape, np.int32)
    parent = np.empty(codes.size, np.int32)
    count = _label(np.ascontiguousarray(codes), np.int32(nodata or 0), nodata is not None, eight, parent, labels)
    return labels, int(count)


@njit(nogil=True)
def _label(codes: Any, nodata: Any, sparse: bool, eight: bool, parent: Any, labels: Any) -> int:
    rows, columns = codes.shape
    for y in range(rows):
        for x in range(columns):
            at, code = y * columns + x, codes[y, x]
            if sparse and code == nodata:
                parent[at] = -1
                continue
            parent[at] = at
            if x > 0 and codes[y, x - 1] == code:
                parent[at] = parent[at - 1]
            if y == 0:
                continue
            if codes[y - 1, x] == code:
                _unite(parent, at, at - columns)
                continue
            if eight and x > 0 and codes[y - 1, x - 1] == code:
                _unite(parent, at, at - columns - 1)
            if eight and x + 1 < columns and codes[y - 1, x + 1] == code:
                _unite(parent, at, at - columns + 1)
    count = 0
    flat = labels.reshape(-1)
    for at in range(parent.size):
        # A parent always comes before its children, so its own label is known.
        above = parent[at]
        if above == at:
            count += 1
            flat[at] = count
        else:
            flat[at] = 0 if above < 0 else flat[above]
    return count


@njit(nogil=True)
def _root(parent: Any, at: Any) -> Any:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


@njit(nogil=True)
def _unite(parent: Any, one: Any, two: Any) -> None:
    """Join two trees under the lower of their roots."""
    one, two = _root(parent, one), _root(parent, two)
    if one < two:
        parent[two] = one
    else:
        parent[one] = two


def joined(count: int, one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each of ``count`` things the lowest number among all that pairs connect it with.

    Examples
    --------
    >>> joined(5, np.array([4, 1]), np.array([1, 3])).tolist()
    [0, 1, 2, 1, 1]
    """
    parent = np.arange(count, dtype=np.int64)
    _join(parent, np.asarray(one, np.int64), np.asarray(two, np.int64))
    return parent


@njit(nogil=True)
def _join(parent: Any, one: Any, two: Any) -> None:
    for at in range(one.size):
        _unite(parent, one[at], two[at])
    for at in range(parent.size):
        parent[at] = parent[parent[at]]


def borders(
    labels: NDArray[np.int32], counted: NDArray[np.bool_], target: NDArray[np.int32], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Measure the borders of some regions, in sides of pixels, by what lies beyond.

    Parameters
    ----------
    labels : int32 array (y, x)
        As :func:`components` gives them.
    counted : bool array (regions + 1,)
        Whose borders are measured.
    target : int32 array (regions + 1,)
        What a region counts as when it lies beyond, 0 to ``width - 1``; negative: not at all.
    width : int
        Number of different targets.

    Returns
    -------
    region, target, sides : int64 arrays (n,)
        Sorted by region and target; 0, the label of no region, neither is counted nor is a target.
    """
    args = np.ascontiguousarray(labels), counted, target, np.int64(width)
    keys = np.empty(_border_keys(*args, np.empty(0, np.int64)), np.int64)
    _border_keys(*args, keys)
    found, sides = np.unique(keys, return_counts=True)
    return found // width, found % width, sides.astype(np.int64)


@njit(nogil=True)
def _border_keys(labels: Any, counted: Any, target: Any, width: Any, out: Any) -> int:
    """Write a number for each side; with no room, count them only."""
    rows, columns = labels.shape
    number = 0
    for y in range(rows):
        for x in range(columns):
            here = labels[y, x]
            if here == 0:
                continue
            for step in range(2):
                if (step == 0 and x + 1 == columns) or (step == 1 and y + 1 == rows):
                    continue
                there = labels[y + step, x + 1 - step]
                if there == 0 or there == here:
                    continue
                if counted[here] and target[there] >= 0:
                    if out.size:
                        out[number] = here * width + target[there]
                    number += 1
                if counted[there] and target[here] >= 0:
                    if out.size:
                        out[number] = there * width + target[here]
                    number += 1
    return number


def sums(
    labels: NDArray[np.int32], values: NDArray[np.float32], count: int, scale: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add up values by region as whole numbers, which no order of adding changes.

    Parameters
    ----------
    labels : int32 array (y, x)
    values : float32 array (y, x)
        NaN is left out. A value times ``scale`` times the number of pixels must stay below 2**63.
    count : int
        Number of regions.
    scale : float
        Values are rounded to multiples of 1 / scale.

    Returns
    -------
    total, number : int64 arrays (count + 1,)
        Sums times ``scale``, and how many values there were.
    """
    total, number = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    _sums(np.ascontiguousarray(labels), np.ascontiguousarray(values, np.float32), scale, total, number)
    return total, number


@njit(nogil=True)
def _sums(labels: Any, values: Any, scale: float, total: Any, number: Any) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            value = np.float64(values[y, x])
            if value == value:
                total[labels[y, x]] += np.int64(np.floor(value * scale + 0.5))
                number[labels[y, x]] += 1
