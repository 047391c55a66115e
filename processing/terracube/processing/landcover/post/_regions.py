"""Regions that several blocks share: what each block tells of those at its edge, and how they are joined.

A block tells of the regions that touch its edge alone, of which there are no more than pixels along it. So what is
gathered grows with the edges of the blocks, not with their pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.labels import joined


@dataclass(frozen=True, slots=True, eq=False)
class Border:
    """The regions of a block that touch its edge, numbered 1, 2, ... in the order of their labels."""

    north: NDArray[np.int32]
    """Numbers of the regions along the first row; 0 = none."""
    south: NDArray[np.int32]
    west: NDArray[np.int32]
    east: NDArray[np.int32]
    labels: NDArray[np.int64]
    """Label within the block of each region."""
    codes: NDArray[np.int32]
    """Class of each region."""


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Regions at the edges of all blocks, numbered 0, 1, ... block by block, row by row."""

    first: tuple[int, ...]
    """Number of the first region of each block, and the number of all regions."""
    codes: NDArray[np.int32]
    roots: NDArray[np.int64]
    """Of all parts of one region, the lowest number."""


def border_of(labels: NDArray[np.int32], codes: NDArray[np.int32]) -> tuple[Border, NDArray[np.int32]]:
    """Number the regions at the edge of a block.

    Parameters
    ----------
    labels : int32 array (y, x)
    codes : int32 array (regions + 1,)
        Class of each label.

    Returns
    -------
    border : Border
    numbers : int32 array (regions + 1,)
        Number of each label; 0 for those not at the edge.
    """
    lines = labels[0], labels[-1], labels[:, 0], labels[:, -1]
    touching = np.zeros(codes.size, bool)
    for line in lines:
        touching[line] = True
    touching[0] = False
    found = np.flatnonzero(touching)
    numbers = np.zeros(codes.size, np.int32)
    numbers[found] = np.arange(1, found.size + 1)
    north, south, west, east = (numbers[line] for line in lines)
    return Border(north, south, west, east, found, codes[found]), numbers


def codes_of(labels: NDArray[np.int32], codes: NDArray[np.int32], count: int, nodata: int | None) -> NDArray[np.int32]:
    """Give the class of each label; that of label 0 is what stands for missing."""
    table = np.empty(count + 1, np.int32)
    table[0] = 0 if nodata is None else nodata
    table[labels.ravel()] = codes.ravel()
    return table


def join(blocks: Sequence[Sequence[Border]], *, eight: bool) -> Joined:
    """Join the regions of equal class that meet where blocks meet."""
    counts = [border.codes.size for row in blocks for border in row]
    first = (0, *np.cumsum(counts).tolist())
    codes = np.concatenate([border.codes for row in blocks for border in row])
    pairs = [
        pair
        for seam in seams(blocks, first)
        if not seam.outer
        for pair in _equal(seam.before, seam.after, codes, eight)
    ]
    one, two = (np.concatenate([np.empty(0, np.int64), *(pair[side] for pair in pairs)]) for side in (0, 1))
    return Joined(first, codes, joined(first[-1], one, two))


def _equal(
    before: NDArray[np.int64], after: NDArray[np.int64], codes: NDArray[np.int32], eight: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give pairs of regions of one class on both sides of a seam."""
    sides = [(before, after)]
    if eight:
        sides += [(before[:-1], after[1:]), (before[1:], after[:-1])]
    for one, two in sides:
        there = (one >= 0) & (two >= 0)
        one, two = one[there], two[there]
        same = codes[one] == codes[two]
        yield one[same], two[same]


@dataclass(frozen=True, slots=True, eq=False)
class Seam:
    """A line where blocks meet, or the edge of the map, from end to end."""

    flat: bool
    """Whether it runs along a row."""
    index: int
    """Number of the seam: the first row or column of blocks after it."""
    before: NDArray[np.int64]
    """Number of the region at each pixel above it, or left of it; -1 = none."""
    after: NDArray[np.int64]
    outer: bool
    """Whether it is an edge of the map."""


def seams(blocks: Sequence[Sequence[Border]], first: Sequence[int]) -> Iterator[Seam]:
    """Go through the seams of a map, its edges among them."""
    width = len(blocks[0])

    def line(row: int, col: int, side: str) -> NDArray[np.int64]:
        numbers: NDArray[np.int32] = getattr(blocks[row][col], side)
        return np.where(numbers > 0, numbers + np.int64(first[row * width + col] - 1), -1)

    for flat, count, across in ((True, len(blocks), width), (False, width, len(blocks))):
        last, start = ("south", "north") if flat else ("east", "west")
        for index in range(count + 1):
            near, far = max(0, index - 1), min(index, count - 1)
            before = [line(near, at, last) if flat else line(at, near, last) for at in range(across)]
            after = [line(far, at, start) if flat else line(at, far, start) for at in range(across)]
            one, two = np.concatenate(before), np.concatenate(after)
            outer = index in (0, count)
            yield Seam(
                flat,
                index,
                np.full_like(one, -1) if index == 0 else one,
                np.full_like(two, -1) if index == count else two,
                outer,
            )
