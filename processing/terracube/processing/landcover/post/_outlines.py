"""Outlines of the regions of a map, from what each block tells, as polygons in pixels.

Each block gives directed lines between its own pixels and sums by region; the lines along seams are added when the
blocks are joined, and all lines are then closed to rings. Sums are of whole numbers, so no order of adding shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, InputError
from terracube.processing.kernels.labels import components, sums
from terracube.processing.kernels.outlines import line, outlines, rings
from terracube.processing.landcover.post._regions import Border, border_of, codes_of, join, seams

_Numbers = NDArray[np.int64]
# Values are added up in steps of 2^-20; with the limit below no block of 2^26 pixels overflows 63 bits.
_SCALE = float(1 << 20)
_LARGEST = float(1 << 16)
_HALF = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What a block tells of its regions."""

    border: Border
    codes: NDArray[np.int32]
    """Class of each region, by label - 1."""
    pixels: _Numbers
    lines: _Numbers
    """As of :func:`outlines`, by label."""
    sums: Mapping[str, tuple[_Numbers, _Numbers]]
    """Sums and numbers of values of each layer."""
    shares: tuple[_Numbers, _Numbers, _Numbers] | None
    """Label, code and pixels of what the regions were before."""


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """The regions of a map, in the order of their first pixels, row by row."""

    codes: NDArray[np.int32]
    pixels: _Numbers
    means: Mapping[str, NDArray[np.float64]]
    dominant: NDArray[np.int32] | None
    share: NDArray[np.float64] | None
    corners: _Numbers
    """y and x of the corners of all rings."""
    ring: _Numbers
    """Number of the ring of each corner."""
    region: _Numbers
    """Region of each ring, the outer ring first."""
    order: _Numbers
    """Place of each region, as ``region`` numbers them, in the order of the other fields."""


def piece(
    codes: NDArray[np.int32],
    layers: Mapping[str, NDArray[np.float32]],
    raw: NDArray[np.int32] | None,
    *,
    start: tuple[int, int],
    nodata: int | None,
) -> Piece:
    """Tell of the regions of a block that begins at a pixel of the map."""
    labels, count = components(codes, nodata=nodata)
    table = codes_of(labels, codes, count, nodata)
    border, _ = border_of(labels, table)
    found = {}
    for name, values in layers.items():
        if np.nanmax(np.abs(values), initial=0.0, where=~np.isnan(values)) > _LARGEST:
            raise InputError(
                "values too large to be added up", where=name, expected=f"at most {_LARGEST:g}, finite", got="larger"
            )
        total, number = sums(labels, values, count, _SCALE)
        found[name] = total[1:], number[1:]
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    shares = None if raw is None else _shares(labels, raw)
    return Piece(border, table[1:], pixels, outlines(labels, *start), found, shares)


def _shares(labels: NDArray[np.int32], raw: NDArray[np.int32]) -> tuple[_Numbers, _Numbers, _Numbers]:
    inside = labels > 0
    keys = labels[inside].astype(np.int64) << 32 | (raw[inside].astype(np.int64) - np.iinfo("int32").min)
    found, count = np.unique(keys, return_counts=True)
    return found >> 32, (found & 0xFFFFFFFF) + np.iinfo("int32").min, count.astype(np.int64)


def areas(pieces: Sequence[Sequence[Piece]], starts: tuple[Sequence[int], Sequence[int]], *, most: int) -> Areas:
    """Join the pieces of a map.

    Parameters
    ----------
    pieces
        By row and column of blocks.
    starts
        First row of each row of blocks and the number of rows; first column of each column of blocks and the number
        of columns.
    most : int
        Regions above which the work is refused.

    Raises
    ------
    BudgetError
        If there are too many regions.
    """
    flat = [found for row in pieces for found in row]
    first = np.concatenate([[0], np.cumsum([found.codes.size for found in flat])])
    numbers, edge = _numbered(pieces, flat, first)
    count = int(numbers.max(initial=-1)) + 1
    if count > most:
        raise BudgetError(
            "too many polygons",
            where="map",
            expected=f"at most {most}",
            got=str(count),
            todo="sieve the map first, or allow more with `most`",
        )
    lines = [np.empty((0, 5), np.int64)]
    for found, start in zip(flat, first, strict=False):
        own = found.lines.copy()
        own[:, 0] = numbers[own[:, 0] - 1 + start]
        lines.append(own)
    lines += _seam_lines(pieces, edge, starts)
    corners, ring, region = rings(np.concatenate(lines), int(starts[1][-1]))
    order = _order(corners, ring, region, count)
    return _summed(flat, numbers, count, (corners, ring, region, order))


def _numbered(
    pieces: Sequence[Sequence[Piece]], flat: Sequence[Piece], first: _Numbers
) -> tuple[_Numbers, tuple[_Numbers, Sequence[int]]]:
    """Number all regions 0, 1, ...: by piece and label, and by number at the edge."""
    found = join([[one.border for one in row] for row in pieces], eight=False)
    place = np.concatenate([one.border.labels - 1 + start for one, start in zip(flat, first, strict=False)])
    owner = np.arange(first[-1])
    owner[place] = place[found.roots]
    numbers = np.unique(owner, return_inverse=True)[1].astype(np.int64)
    return numbers, (numbers[place], found.first)


def _seam_lines(
    pieces: Sequence[Sequence[Piece]],
    edge: tuple[_Numbers, Sequence[int]],
    starts: tuple[Sequence[int], Sequence[int]],
) -> list[_Numbers]:
    numbers, first = edge
    lines = []
    for seam in seams([[one.border for one in row] for row in pieces], first):
        sides = []
        for side in (seam.before, seam.after):
            there = side >= 0
            found = np.full(side.size, -1, np.int64)
            found[there] = numbers[side[there]]
            sides.append(found)
        at = starts[0 if seam.flat else 1][seam.index]
        lines.append(line(sides[0], sides[1], flat=seam.flat, at=at))
    return lines


def _order(corners: _Numbers, ring: _Numbers, region: _Numbers, count: int) -> _Numbers:
    """Give each region its place in the order of first corners: those of its outer ring."""
    begin = np.flatnonzero(np.concatenate([[True], np.diff(ring) != 0])) if ring.size else ring
    outer = np.flatnonzero(np.concatenate([[True], np.diff(region) != 0])) if region.size else region
    y, x = corners[begin[outer]].T if count else (begin, begin)
    place = np.empty(count, np.int64)
    place[np.lexsort((x, y))] = np.arange(count)
    return place


def _summed(
    flat: Sequence[Piece], numbers: _Numbers, count: int, rings_of: tuple[_Numbers, _Numbers, _Numbers, _Numbers]
) -> Areas:
    corners, ring, region, order = rings_of
    at = order[numbers]
    codes = np.empty(count, np.int32)
    codes[at] = _flat([one.codes for one in flat])
    pixels = _added(at, _flat([one.pixels for one in flat]), count)
    means = {}
    for name in flat[0].sums:
        total, number = (_flat([one.sums[name][part] for one in flat]) for part in (0, 1))
        # In two halves, so that no sum of a whole map overflows.
        high, low = _added(at, total >> 30, count), _added(at, total & (_HALF - 1), count)
        values = _added(at, number, count)
        sums_of = (high.astype(np.float64) * _HALF + low) / _SCALE
        means[name] = np.where(values > 0, sums_of / np.maximum(values, 1), np.nan)
    dominant, share = _dominant(flat, at, pixels)
    return Areas(codes, pixels, means, dominant, share, corners, ring, region, order)


def _dominant(
    flat: Sequence[Piece], at: _Numbers, pixels: _Numbers
) -> tuple[NDArray[np.int32] | None, NDArray[np.float64] | None]:
    """Give the most frequent code of each region before, the lowest of equal ones, and its part of the pixels."""
    told = [one.shares for one in flat]
    if any(one is None for one in told):
        return None, None
    first = np.concatenate([[0], np.cumsum([one.codes.size for one in flat])])
    rows = [(at[one[0] - 1 + start], one[1], one[2]) for one, start in zip(told, first, strict=False) if one]
    region, code, count = (_flat([row[part] for row in rows]) for part in range(3))
    order = np.lexsort((code, region))
    region, code, count = region[order], code[order], count[order]
    if not region.size:
        return np.empty(0, np.int32), np.empty(0)
    new = np.flatnonzero(np.concatenate([[True], (np.diff(region) != 0) | (np.diff(code) != 0)]))
    region, code, count = region[new], code[new], np.add.reduceat(count, new)
    order = np.lexsort((code, -count, region))
    best = order[np.concatenate([[True], np.diff(region[order]) != 0])]
    return code[best].astype(np.int32), count[best] / pixels


def _added(at: _Numbers, values: _Numbers, count: int) -> _Numbers:
    total = np.zeros(count, np.int64)
    np.add.at(total, at, values)
    return total


def _flat(parts: Sequence[NDArray[Any]]) -> Any:
    return np.concatenate(list(parts))
