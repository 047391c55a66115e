"""Tiles that overlap, each unwrapped for itself, and the whole cycles that join them.

A part is a connected component of a tile, with what belongs to none but touches it; the rest is part 0. Where tiles
overlap, two parts differ by a number of cycles that most of their common pixels tell. To each part those cycles are
added for which the fewest pixels disagree: a start along the strongest links, then part by part the weighted median,
in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Slices = tuple[slice, slice]
MISSING = np.iinfo("int32").min
"""Cycles of a pixel that is not unwrapped."""


@dataclass(frozen=True, slots=True)
class Solved:
    """What was found in a tile, (y, x).

    Parameters
    ----------
    cycles : int32 array
        To add to the phase; ``MISSING`` where it was not unwrapped.
    parts : int32 array
        Number of the part; 0 = of none.
    reliable : bool array
        Whether the pixel belongs to the component after which its part is named.
    """

    cycles: NDArray[np.int32]
    parts: NDArray[np.int32]
    reliable: NDArray[np.bool_]

    @classmethod
    def of(cls, cycles: NDArray[np.int32], labels: NDArray[np.int32]) -> Solved:
        """Give each region of unlabelled pixels to the component that it has the longest border with."""
        from scipy.ndimage import label

        loose, _ = label((labels == 0) & (cycles != MISSING))
        touching = []
        for one, two in (((slice(None), slice(1, None)), (slice(None), slice(-1))), ((slice(1, None),), (slice(-1),))):
            for here, there in ((one, two), (two, one)):
                border = (loose[here] > 0) & (labels[there] > 0)
                touching.append(np.stack([loose[here][border], labels[there][border]], axis=1))
        pairs, counts = np.unique(np.concatenate(touching), axis=0, return_counts=True)
        owner = np.zeros(int(loose.max(initial=0)) + 1, "int32")
        # Later entries win: the longest borders, and of equal ones the lower numbers.
        order = np.lexsort((-pairs[:, 1], counts))
        owner[pairs[order, 0]] = pairs[order, 1]
        return cls(cycles, np.where(labels > 0, labels, owner[loose]).astype("int32"), labels > 0)


# Links of the same tile tell what its unwrapper thought of parts that it could not join: less than one pixel in common.
_OF_A_TILE = 0.5
_UNRELIABLE = 0.01
_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image.

    Parameters
    ----------
    whole : pair of slices
        What is unwrapped.
    core : pair of slices
        What of it is taken; the cores of all tiles make the image.
    """

    whole: Slices
    core: Slices

    @property
    def inside(self) -> Slices:
        """The core as seen from the tile."""
        y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(self.core, self.whole, strict=True))
        return y, x


@dataclass(frozen=True, slots=True)
class Links:
    """How parts relate, one entry each, in a fixed order.

    Parameters
    ----------
    nodes : int64 array (link, 4)
        Tile and component of the first and of the second part.
    cycles : int64 array (link,)
        To add to the second, more than to the first, so that they agree.
    weight : float64 array (link,)
        Pixels that agree less those that do not.
    """

    nodes: NDArray[np.int64]
    cycles: NDArray[np.int64]
    weight: NDArray[np.float64]


def cut(shape: tuple[int, int], tile: int, overlap: int) -> list[list[Tile]]:
    """Cut an image into rows of tiles.

    Examples
    --------
    >>> [part.whole[1] for part in cut((1, 10), 6, 2)[0]]
    [slice(0, 6, None), slice(4, 10, None)]
    >>> [part.core[1] for part in cut((1, 10), 6, 2)[0]]
    [slice(0, 5, None), slice(5, 10, None)]
    """
    rows, columns = (_sides(size, tile, overlap) for size in shape)
    return [[Tile((y[0], x[0]), (y[1], x[1])) for x in columns] for y in rows]


def _sides(size: int, tile: int, overlap: int) -> list[tuple[slice, slice]]:
    step = tile - overlap
    count = max(1, -(-(size - overlap) // step))
    wholes = [slice(n * step, min(n * step + tile, size)) for n in range(count)]
    borders = [0, *(n * step + overlap // 2 for n in range(1, count)), size]
    return [(whole, slice(*borders[n : n + 2])) for n, whole in enumerate(wholes)]


def neighbours(rows: list[list[Tile]]) -> list[tuple[tuple[int, Tile], tuple[int, Tile]]]:
    """Pair each tile, with its number, with the next in its row and in its column."""
    width = len(rows[0])
    found = []
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            number = y * width + x
            if x + 1 < width:
                found.append(((number, tile), (number + 1, row[x + 1])))
            if y + 1 < len(rows):
                found.append(((number, tile), (number + width, rows[y + 1][x])))
    return found


def common(one: Tile, two: Tile) -> tuple[Slices, Slices]:
    """Give what two tiles have in common, as seen from each."""
    starts = [max(a.start, b.start) for a, b in zip(one.whole, two.whole, strict=True)]
    stops = [min(a.stop, b.stop) for a, b in zip(one.whole, two.whole, strict=True)]
    seen = [
        tuple(slice(a - own.start, b - own.start) for a, b, own in zip(starts, stops, tile.whole, strict=True))
        for tile in (one, two)
    ]
    return seen[0], seen[1]  # type: ignore[return-value]


def compare(one: Solved, two: Solved, *, numbers: tuple[int, int], seen: tuple[Slices, Slices]) -> NDArray[np.int64]:
    """Count, in the overlap of two tiles, pixels by their parts and the difference of their cycles.

    Pixels that merely touch a component have no say.

    Returns
    -------
    int64 array (row, 6)
        Tile and component of both, cycles of the first less those of the second, pixels.
    """
    (here, there) = seen
    cycles, other, parts, others = one.cycles[here], two.cycles[there], one.parts[here], two.parts[there]
    both = (cycles != MISSING) & (other != MISSING)
    both &= (one.reliable[here] | (parts == 0)) & (two.reliable[there] | (others == 0))
    rows = np.stack([parts[both], others[both], cycles[both] - other[both]], axis=1).astype("int64")
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    first, second = (np.full(len(kinds), number) for number in numbers)
    return np.stack([first, kinds[:, 0], second, kinds[:, 1], kinds[:, 2], counts], axis=1)


def parts_of(solution: Solved, *, number: int, core: Slices) -> NDArray[np.int64]:
    """Count the reliable pixels of a tile's parts in its core: rows of tile, component, pixels."""
    found = np.unique(solution.parts[solution.cycles != MISSING])
    inside = solution.parts[core][solution.reliable[core]]
    counts = [np.count_nonzero(inside == label) for label in found]
    return np.stack([np.full(len(found), number), found, np.asarray(counts, "int64")], axis=1).astype("int64")


def join(parts: Sequence[NDArray[np.int64]], compared: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Find the cycles to add to each part, and the component of the image that it belongs to.

    Returns
    -------
    int64 array (part, 4)
        Tile, component in it, cycles to add, component of the image: 1, 2, ... from the one of most pixels; 0 stays.
        After the parts comes one row that tells, of the pixels of all overlaps, how many agree and how many there are:
        -1, 0, agreeing, all.
    """
    nodes = np.concatenate([np.zeros((0, 3), "int64"), *parts])
    counted = np.concatenate([np.zeros((0, 6), "int64"), *compared])
    places = {(int(tile), int(label)): n for n, (tile, label, _) in enumerate(nodes)}
    links = [*_overlaps(counted), *_inside(nodes)]
    known = [(places[a], places[b], cycles, weight) for a, b, cycles, weight in links]
    added = _settle(len(nodes), known)
    labels = _components(nodes, known, added)
    agreeing = sum(
        int(count)
        for tile, label, other, second, cycles, count in counted
        if added[places[int(other), int(second)]] - added[places[int(tile), int(label)]] == cycles
    )
    last = np.array([[-1, 0, agreeing, int(counted[:, 5].sum())]], "int64")
    return np.concatenate([np.stack([nodes[:, 0], nodes[:, 1], added, labels], axis=1).reshape(-1, 4), last])


_Link = tuple[tuple[int, int], tuple[int, int], int, float]


def _overlaps(counted: NDArray[np.int64]) -> list[_Link]:
    """Give one link per two parts: what most of their pixels tell, if more than half do."""
    votes: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for *ends, cycles, count in counted.tolist():
        votes.setdefault(tuple(ends), []).append((cycles, count))
    found: list[_Link] = []
    for (tile, label, other, second), cast in votes.items():
        cycles, most = max(cast, key=lambda vote: (vote[1], -abs(vote[0]), vote[0]))
        weight = float(2 * most - sum(count for _, count in cast))
        weight *= 1.0 if label and second else _UNRELIABLE
        if weight > 0:
            found.append(((tile, label), (other, second), cycles, weight))
    return found


def _inside(nodes: NDArray[np.int64]) -> list[_Link]:
    """Link the parts of a tile to its largest."""
    found: list[_Link] = []
    for tile in np.unique(nodes[:, 0]).tolist():
        own = nodes[nodes[:, 0] == tile]
        largest = (tile, int(own[np.argmax(own[:, 2]), 1]))
        found += [(largest, (tile, label), 0, _OF_A_TILE) for label in own[:, 1].tolist() if label != largest[1]]
    return found


def _settle(count: int, links: list[tuple[int, int, int, float]]) -> NDArray[np.int64]:
    """Find whole numbers for which the least weight of links disagrees, from the strongest links to the others."""
    around: list[list[tuple[int, int, float]]] = [[] for _ in range(count)]
    for one, two, cycles, weight in links:
        around[one].append((two, -cycles, weight))
        around[two].append((one, cycles, weight))
    found = _along_strongest(count, links)
    for _ in range(_ROUNDS):
        changed = False
        for node in range(count):
            votes = [(int(found[other]) + cycles, weight) for other, cycles, weight in around[node]]
            best = min(
                {value for value, _ in votes} | {int(found[node])},
                key=lambda value: (_cost(votes, value), value != found[node], value),
            )
            changed |= best != found[node]
            found[node] = best
        if not changed:
            break
    return found


def _cost(votes: list[tuple[int, float]], value: int) -> float:
    return sum(weight * abs(value - other) for other, weight in votes)


def _along_strongest(count: int, links: list[tuple[int, int, int, float]]) -> NDArray[np.int64]:
    """Follow a spanning tree of the greatest weight; parts that no link reaches stay as they are."""
    group, found = list(range(count)), np.zeros(count, "int64")
    members = [[n] for n in range(count)]
    for one, two, cycles, _ in sorted(links, key=lambda link: (-link[3], link[0], link[1])):
        a, b = group[one], group[two]
        if a == b:
            continue
        shift = int(found[one]) + cycles - int(found[two])
        if len(members[a]) < len(members[b]):
            a, b, shift = b, a, -shift
        for member in members[b]:
            found[member] += shift
            group[member] = a
        members[a] += members[b]
        members[b] = []
    return found


def _components(
    nodes: NDArray[np.int64], links: list[tuple[int, int, int, float]], added: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Number what agreeing links join, from the largest."""
    group = list(range(len(nodes)))

    def root(node: int) -> int:
        while group[node] != node:
            node = group[node]
        return node

    for one, two, cycles, _ in links:
        apart = nodes[one, 0] != nodes[two, 0]
        if apart and nodes[one, 1] and nodes[two, 1] and added[two] - added[one] == cycles:
            a, b = sorted((root(one), root(two)))
            group[b] = a
    sizes: dict[int, int] = {}
    for node, (_, label, pixels) in enumerate(nodes.tolist()):
        if label:
            sizes[root(node)] = sizes.get(root(node), 0) + pixels
    order = sorted((node for node, size in sizes.items() if size), key=lambda node: (-sizes[node], node))
    numbers = {node: n for n, node in enumerate(order, 1)}
    return np.array([numbers.get(root(n), 0) if nodes[n, 1] else 0 for n in range(len(nodes))], "int64")
