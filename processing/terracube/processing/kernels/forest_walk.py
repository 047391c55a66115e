"""The walks of pixels down the trees of a forest, sixteen at a time, and the sums of the leaves they come to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from terracube.processing.kernels.compiling import inner, kernel
from terracube.processing.kernels.forest import GROUP, GROUP_BYTES, ROW, WALKS

_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.uint64(value) for value in range(5))

# Levels that sixteen walks go on before one looks again whether the last has arrived.
_MORE = 2

_inlined = njit(nogil=True, error_model="numpy", inline="always")


@_inlined
def _step(words: Any, x: Any, lane: Any, node: Any, how: Any) -> Any:
    """Go one level down: to the right child if the value exceeds the threshold, else to the left one."""
    shift, mask = how
    at = node * _TWO
    ref = np.uint64(np.uint32(words[at + _ONE]))
    return (ref >> shift) + np.uint64(x[((ref & mask) << _FOUR) + lane] > words[at])


@_inlined
def _four(words: Any, x: Any, lane: Any, nodes: Any, how: Any) -> Any:
    """Take four neighbours one level down."""
    return (
        _step(words, x, lane, nodes[0], how),
        _step(words, x, lane + _ONE, nodes[1], how),
        _step(words, x, lane + _TWO, nodes[2], how),
        _step(words, x, lane + _THREE, nodes[3], how),
    )


@_inlined
def _sixteen(words: Any, x: Any, lane: Any, nodes: Any, how: Any) -> Any:
    """Take sixteen neighbours one level down."""
    a, b, c, d = nodes
    return (
        _four(words, x, lane, a, how),
        _four(words, x, lane + _FOUR, b, how),
        _four(words, x, lane + np.uint64(8), c, how),
        _four(words, x, lane + np.uint64(12), d, how),
    )


@_inlined
def _moved(before: Any, after: Any) -> Any:
    """Tell whether any of four walks went on: not zero if so."""
    return (before[0] ^ after[0]) | (before[1] ^ after[1]) | (before[2] ^ after[2]) | (before[3] ^ after[3])


@inner
def _walk(trees: Any, tile: Any, tree: Any, lanes: Any, nodes: Any) -> None:
    """Take the first ``lanes`` pixels of a tile, a multiple of 16, from the root of a tree to leaves.

    Sixteen go on until the last of them has arrived, which those that have do not notice: a leaf is its own child.
    """
    shift = np.uint64(trees.shift)
    how = (shift, (_ONE << shift) - _ONE)
    words = trees.words[trees.start[tree] * _TWO :]
    for lane in range(0, lanes, WALKS):
        x = tile[lane * trees.features :]
        root = (_ZERO, _ZERO, _ZERO, _ZERO)
        found = (root, root, root, root)
        levels, going = trees.levels[tree], _ONE
        while going:
            before = found
            for _ in range(levels):
                found = _sixteen(words, x, _ZERO, found, how)
            going = _moved(before[0], found[0]) | _moved(before[1], found[1])
            going |= _moved(before[2], found[2]) | _moved(before[3], found[3])
            levels = _MORE
        for k in range(4):
            nodes[lane + k] = found[0][k]
            nodes[lane + 4 + k] = found[1][k]
            nodes[lane + 8 + k] = found[2][k]
            nodes[lane + 12 + k] = found[3][k]


@inner
def _add(table: Any, found: Any, group: Any, pixels: Any, first: Any, width: Any, sums: Any) -> None:
    """Add the rows that the trees of a group found for each pixel of a tile: eight classes, four words, at a time.

    ``found`` (pixel, tree) holds where rows begin in the flat table. Plain sums of words are what compilers make fast
    without knowing whether the arrays overlap.
    """
    for p in range(pixels):
        to = (first + p) * width
        for word in range(0, width, 4):
            s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
            for g in range(group):
                at = np.uint64(found[p * group + g]) * width + word
                s0 += table[at]
                s1 += table[at + _ONE]
                s2 += table[at + _TWO]
                s3 += table[at + _THREE]
            at = to + word
            sums[at] += s0
            sums[at + _ONE] += s1
            sums[at + _TWO] += s2
            sums[at + _THREE] += s3


@inner
def _touch(trees: Any, leaves: Any, first: Any, last: Any) -> Any:
    """Read the memory of some trees in order, a word per line of the cache: fetching in order is many times faster."""
    seen = _ZERO
    for at in range(trees.start[first] * _TWO, trees.start[last] * _TWO, 16):
        seen ^= np.uint64(trees.words[at])
    width = np.uint64(leaves.width)
    for at in range(leaves.first[first] * width, leaves.first[last] * width, 8):
        seen ^= leaves.table[at]
    return seen


@inner
def _group(trees: Any, leaves: Any, first: Any) -> Any:
    """Give the end of the group of trees that starts with ``first``."""
    width = np.uint64(leaves.width * 8)
    last = first + 1
    while last < len(trees.start) - 1 and last - first < GROUP:
        nodes = trees.start[last + 1] - trees.start[first]
        rows = leaves.first[last + 1] - leaves.first[first]
        if nodes * np.uint64(8) + rows * width > np.uint64(GROUP_BYTES):
            break
        last += 1
    return last


@inner
def _find(trees: Any, leaves: Any, tree: Any, place: Any, group: Any, nodes: Any, pixels: Any, found: Any) -> None:
    """Note where the rows of the leaves that a tile's pixels came to begin in the table."""
    for p in range(pixels):
        word = trees.words[(trees.start[tree] + nodes[p]) * _TWO]
        found[p * group + place] = leaves.first[tree] + np.uint64(np.uint32(word) & ROW)


@inner
def _tile(trees: Any, leaves: Any, span: Any, tile: Any, count: Any, nodes: Any, found: Any) -> None:
    """Take the pixels of a tile through the trees of a group."""
    first, last = span
    padded = (count + WALKS - 1) // WALKS * WALKS
    for tree in range(first, last):
        _walk(trees, tile, tree, padded, nodes)
        _find(trees, leaves, tree, tree - first, last - first, nodes, count, found)


@kernel
def sum_leaves(tiles: Any, bits: int, pixels: int, trees: Any, leaves: Any, sums: Any) -> Any:
    """Sum the leaf probabilities of all trees.

    Parameters
    ----------
    tiles : (tiles * features * 2**bits,) int32
        As :func:`~terracube.processing.kernels.forest.lay` makes them.
    bits : int
        Pixels of a tile, as a power of two.
    pixels : int
    trees : Trees
    leaves : Leaves
    sums : (pixels * width,) uint64
        Filled: sums of multiples of 1 / scale, two classes in each word.

    Returns
    -------
    uint64
        Of no meaning: it keeps the reading ahead from being left out.
    """
    sums[:] = 0
    seen, width = _ZERO, np.uint64(leaves.width)
    size = 1 << bits
    nodes, found = np.empty(size, np.uint64), np.empty(size * GROUP, np.uint32)
    first = 0
    while first < len(trees.start) - 1:
        last = _group(trees, leaves, first)
        seen ^= _touch(trees, leaves, first, last)
        for origin in range(0, pixels, size):
            count = min(size, pixels - origin)
            tile = tiles[origin * trees.features : (origin + size) * trees.features]
            for at in range(0, len(tile), 16):
                seen ^= np.uint64(tile[at])
            _tile(trees, leaves, (first, last), tile, count, nodes, found)
            _add(leaves.table, found, last - first, count, origin, width, sums)
        first = last
    return seen
