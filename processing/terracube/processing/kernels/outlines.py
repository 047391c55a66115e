"""Outlines of regions: borders between pixels as directed lines, and lines closed to rings.

Lines have their region on the left when y points up. They may be cut into pieces anywhere, so an image can be outlined
block by block; the rings do not show it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

EAST, SOUTH, WEST, NORTH = 0, 1, 2, 3


def outlines(labels: NDArray[np.int32], y: int, x: int) -> NDArray[np.int64]:
    """Give the borders between the pixels of a block as directed lines with their region on the left.

    Parameters
    ----------
    labels : int32 array (y, x)
        0 = no region.
    y, x : int
        Place of the block's first corner.

    Returns
    -------
    int64 array (n, 5)
        Region, direction (0 east, 1 south, 2 west, 3 north), y and x of the first corner, and the length. The outer
        edge of the block is not among them.

    Examples
    --------
    >>> outlines(np.array([[1, 2]], "int32"), 0, 0).tolist()
    [[1, 3, 1, 1, 1], [2, 1, 0, 1, 1]]
    """
    plane = np.ascontiguousarray(labels)
    lines = np.empty((_outlines(plane, y, x, np.empty((0, 5), np.int64)), 5), np.int64)
    _outlines(plane, y, x, lines)
    return lines


def line(before: NDArray[np.int64], after: NDArray[np.int64], *, flat: bool, at: int) -> NDArray[np.int64]:
    """Give the borders along one line of corners from end to end of an image, as :func:`outlines` does.

    Parameters
    ----------
    before, after : int64 arrays (n,)
        Regions above and below the line, or left and right of it; negative = none. All others are.
    flat : bool
        Whether the line runs along a row.
    at : int
        Row or column of the line.

    Returns
    -------
    int64 array (n, 5)
    """
    one, two = np.ascontiguousarray(before, np.int64) + 1, np.ascontiguousarray(after, np.int64) + 1
    y, x = (at, 0) if flat else (0, at)
    lines = np.empty((_line(one, two, flat, y, x, 0, np.empty((0, 5), np.int64)), 5), np.int64)
    _line(one, two, flat, y, x, 0, lines)
    lines[:, 0] -= 1
    return lines


@njit(nogil=True)
def _outlines(labels: Any, top: int, left: int, out: Any) -> int:
    """Write the lines; with no room, count them only."""
    rows, columns = labels.shape
    number = 0
    for y in range(1, rows):
        number = _line(labels[y - 1], labels[y], True, top + y, left, number, out)
    for x in range(1, columns):
        number = _line(labels[:, x - 1], labels[:, x], False, top, left + x, number, out)
    return number


@njit(nogil=True)
def _line(before: Any, after: Any, flat: bool, y: int, x: int, number: int, out: Any) -> int:
    """Write the lines along one line of corners: ``before`` lies above or left of it, ``after`` below or right."""
    start = 0
    for at in range(1, before.size + 1):
        one, two = before[start], after[start]
        if at < before.size and before[at] == one and after[at] == two:
            continue
        if one != two:
            for side in range(2):
                region = two if side else one
                # Left of a line to the east lies what is above it; to the south, what is right of it.
                direction = (WEST if side else EAST) if flat else (SOUTH if side else NORTH)
                first = start if direction <= SOUTH else at
                if region > 0 and out.size:
                    out[number, 0], out[number, 1], out[number, 4] = region, direction, at - start
                    out[number, 2], out[number, 3] = (y, x + first) if flat else (y + first, x)
                number += region > 0
        start = at
    return number


def rings(lines: NDArray[np.int64], columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Join directed lines to closed rings, each region's outer ring first.

    A corner where a region meets itself diagonally is passed from one pixel to the other, so that no ring touches
    itself: rings of a region touch at such corners alone, as those of a valid polygon may.

    Parameters
    ----------
    lines : int64 array (n, 5)
        As :func:`outlines` gives them, all of each region; a line may be cut into pieces anywhere.
    columns : int
        Pixels in a row of the image.

    Returns
    -------
    corners : int64 array (m, 2)
        y and x, ring after ring, without the repeated first corner; pieces of one straight side are one. A ring begins
        at its first corner, row by row; outer rings run counter-clockwise when y points up.
    ring : int64 array (m,)
        Number of the ring of each corner.
    region : int64 array (rings,)
        Region of each ring; regions in order of their numbers.
    """
    width = np.int64(columns + 1)
    spot = lines[:, 2] * width + lines[:, 3]
    order = np.lexsort((lines[:, 1], spot, lines[:, 0]))
    lines, spot = lines[order], spot[order]
    corners, ring = np.empty((len(lines), 2), np.int64), np.empty(len(lines), np.int64)
    region = np.empty(len(lines) // 2, np.int64)
    many, total = _rings(lines, spot, width, np.zeros(len(lines), np.bool_), (corners, ring, region))
    return corners[:many], ring[:many], region[:total]


@njit(nogil=True)
def _rings(lines: Any, spot: Any, width: Any, done: Any, out: Any) -> tuple[int, int]:
    corners, ring, region = out
    many, total = 0, 0
    for first in range(len(lines)):
        if done[first]:
            continue
        at, before = first, -1
        while not done[at]:
            done[at] = True
            if lines[at, 1] != before:
                corners[many, 0], corners[many, 1], ring[many] = lines[at, 2], lines[at, 3], total
                many += 1
            before = lines[at, 1]
            at = _next(lines, spot, width, at)
        region[total] = lines[first, 0]
        total += 1
    return many, total


@njit(nogil=True)
def _next(lines: Any, spot: Any, width: Any, at: int) -> int:
    """Find the line of the same region that begins where this one ends; of two, the one to the right."""
    direction, length, region = lines[at, 1], lines[at, 4], lines[at, 0]
    steps = (width if direction == SOUTH else -width) if direction % 2 else (1 if direction == EAST else -1)
    goal = spot[at] + steps * length
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high) // 2
        if lines[middle, 0] < region or (lines[middle, 0] == region and spot[middle] < goal):
            low = middle + 1
        else:
            high = middle
    if low + 1 < len(lines) and lines[low + 1, 0] == region and spot[low + 1] == goal:
        return low if lines[low, 1] == (direction + 1) % 4 else low + 1
    return low
