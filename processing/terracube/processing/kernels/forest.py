"""Class probabilities of a forest of decision trees, equal to scikit-learn's to the label.

A forest is far larger than a processor's nearest memory, so what costs is fetching, not comparing. Pixels are taken in
blocks, a block is taken through a few trees at a time (their memory is read once, in order, before use), and the walks
of eight pixels down a tree are interleaved, so that one waits while others go on.

Leaf probabilities are summed as 32-bit integers: the sum does not depend on order or width, and its error is bounded
(one half per tree). Where the two best classes are nearer to each other than that, the pixel is walked again with sums
in float64, in the order of the trees: the label is the one that scikit-learn's ``predict`` gives.

Values and thresholds are compared as whole numbers in the order of the floats (:func:`ranks`). A node is two words: a
threshold, and the left child (the right one follows it) above the feature. A leaf has a threshold that no value
exceeds, and itself for left child, so that a walk that has arrived stays; the lower bits of its threshold are the
number of its row in the table of probabilities.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

WIDTH = 8
"""The rows of the table of leaves are padded to a multiple of so many classes."""
TILE = 512
"""Pixels that go through the trees of a group one tree after the other."""
GROUP_BYTES = 600_000
"""What the trees of a group may take: with a tile of pixels, about the second nearest memory of a processor."""
GROUP = 16
"""Trees of a group at most."""
MAX_ROWS = 1 << 22
"""Different leaves of a tree at most."""

_WALKS = 8
_ZERO, _ONE, _TWO, _THREE = (np.uint64(value) for value in range(4))
# Infinity as a rank: no value lies above it. Ranks from _LEAF on are those of NaN, which no value is given.
_INFINITY, _LEAF = np.int32(0x7F800000), np.int32(0x7FC00000)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_ROW = np.uint32(MAX_ROWS - 1)
# Two classes nearer than this are told apart in float64 too, so that their float32 probabilities differ.
_CLOSE = 2.0**-21

_inlined = njit(nogil=True, error_model="numpy", inline="always")
_kernel = njit(nogil=True, error_model="numpy")
# Called by kernels only: no wrapper for Python, a tenth less to compile.
_LEAN: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_stage = njit(nogil=True, error_model="numpy", **_LEAN)


class Trees(NamedTuple):
    """The nodes of all trees."""

    words: NDArray[np.int32]
    """Two per node: the rank of the threshold; left child << shift | feature."""
    start: NDArray[np.uint64]
    """First node of each tree, and the end."""
    levels: NDArray[np.int64]
    """Levels that a walk of each tree takes before one looks who has arrived."""
    missing_left: NDArray[np.uint8]
    """Per node, whether a missing value goes left; empty if no value may be missing."""
    shift: int
    features: int


class Leaves(NamedTuple):
    """The different rows of probabilities in the leaves, those of a tree together."""

    first: NDArray[np.uint64]
    """First row of each tree, and the end."""
    table: NDArray[np.uint64]
    """Row after row, probabilities as multiples of 1 / scale, two classes of 32 bits in each word."""
    start: NDArray[np.int64]
    """First entry of each row in the next two, and the end."""
    classes: NDArray[np.uint16]
    """Classes whose probability is not zero."""
    values: NDArray[np.float64]
    """Their probability, exactly."""
    width: int
    """Words of a row of the table: a multiple of four."""
    scale: int


def scale_of(trees: int) -> int:
    """Give the largest scale with which the sum over trees fits 32 bits."""
    return (2**32 - 1) // trees


def shift_of(features: int) -> int:
    """Give the bits that a feature's number takes in a node."""
    return max(1, (features - 1).bit_length())


def width_of(classes: int) -> int:
    """Give the words that a row of the table takes.

    Examples
    --------
    >>> width_of(23)
    12
    """
    return -(-classes // WIDTH) * WIDTH // 2


def pack_nodes(
    left: NDArray[np.uint32], feature: NDArray[np.uint32], threshold: NDArray[np.float32], shift: int
) -> NDArray[np.int32]:
    """Pack inner nodes: two words each; ``left`` is counted from the first node of the tree."""
    words = np.empty((len(left), 2), np.int32)
    # Adding 0 makes -0 to 0, which has one rank.
    words[:, 0] = ranks(np.ascontiguousarray(threshold + np.float32(0), np.float32))
    words[:, 1] = ((left << np.uint32(shift)) | feature).view(np.int32)
    return words


def pack_leaves(own: NDArray[np.uint32], row: NDArray[np.uint32], shift: int) -> NDArray[np.int32]:
    """Pack leaves: two words each; ``own`` is the leaf's number in its tree, ``row`` that of its row in the tree's."""
    words = np.empty((len(own), 2), np.int32)
    words[:, 0] = np.int32(_LEAF) | row.view(np.int32)
    words[:, 1] = (own << np.uint32(shift)).view(np.int32)
    return words


def table_of(leaves: Leaves) -> NDArray[np.uint64]:
    """Spread the rows of probabilities into a table of integers."""
    rows = len(leaves.start) - 1
    table = np.zeros((rows, 2 * leaves.width), np.uint32)
    which = np.repeat(np.arange(rows), np.diff(leaves.start))
    table[which, leaves.classes] = np.minimum(np.rint(leaves.values * leaves.scale), leaves.scale).astype(np.uint32)
    return table.view(np.uint64).ravel()


def ranks(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Give whole numbers in the order of the floats; NaN ranks as an infinity.

    Examples
    --------
    >>> ranks(np.array([-1.5, 0.0, 2.0], np.float32)) > 0
    array([False, False,  True])
    """
    out = np.empty(values.size, np.int32)
    _ranks(values.reshape(-1).view(np.int32), out)
    return out


@_kernel
def _ranks(bits: Any, out: Any) -> None:
    """Turn the bits of floats into ranks."""
    for k in range(len(bits)):
        out[k] = _rank(bits[k])


@_inlined
def _rank(bits: Any) -> Any:
    """Give the rank of a float: below zero, more bits mean less."""
    return min(np.int32(bits ^ ((bits >> np.int32(31)) & _MAGNITUDE)), _INFINITY)


@_inlined
def _step(words: Any, x: Any, row: Any, node: Any, shift: Any, mask: Any) -> Any:
    """Go one level down: to the right child if the value exceeds the threshold, else to the left one."""
    at = node * _TWO
    ref = np.uint64(np.uint32(words[at + _ONE]))
    return (ref >> shift) + np.uint64(x[row + (ref & mask)] > words[at])


@_stage
def _walk(trees: Any, x: Any, base: Any, lanes: Any, rows: Any, nodes: Any, levels: Any) -> None:
    """Take all ``lanes`` (their number a multiple of 8) some levels down a tree: from ``nodes`` to ``nodes``."""
    shift = np.uint64(trees.shift)
    mask = (_ONE << shift) - _ONE
    words = trees.words[base * _TWO :]
    for g in range(0, len(lanes), _WALKS):
        k = lanes[g : g + _WALKS]
        r0, r1, r2, r3 = rows[k[0]], rows[k[1]], rows[k[2]], rows[k[3]]
        r4, r5, r6, r7 = rows[k[4]], rows[k[5]], rows[k[6]], rows[k[7]]
        n0, n1, n2, n3 = nodes[k[0]], nodes[k[1]], nodes[k[2]], nodes[k[3]]
        n4, n5, n6, n7 = nodes[k[4]], nodes[k[5]], nodes[k[6]], nodes[k[7]]
        for _ in range(levels):
            n0 = _step(words, x, r0, n0, shift, mask)
            n1 = _step(words, x, r1, n1, shift, mask)
            n2 = _step(words, x, r2, n2, shift, mask)
            n3 = _step(words, x, r3, n3, shift, mask)
            n4 = _step(words, x, r4, n4, shift, mask)
            n5 = _step(words, x, r5, n5, shift, mask)
            n6 = _step(words, x, r6, n6, shift, mask)
            n7 = _step(words, x, r7, n7, shift, mask)
        nodes[k[0]], nodes[k[1]], nodes[k[2]], nodes[k[3]] = n0, n1, n2, n3
        nodes[k[4]], nodes[k[5]], nodes[k[6]], nodes[k[7]] = n4, n5, n6, n7


@_stage
def _unfinished(trees: Any, base: Any, lanes: Any, nodes: Any, active: Any) -> Any:
    """List the lanes that have not arrived at a leaf, the last one repeated to a multiple of 8; give their number."""
    count = np.uint64(0)
    for lane in lanes:
        active[count] = lane
        count += np.uint64(trees.words[(base + nodes[lane]) * _TWO] < _LEAF)
    if count == 0:
        return count
    last = active[count - _ONE]
    while count & np.uint64(_WALKS - 1):
        active[count] = last
        count += _ONE
    return count


@_stage
def _descend(trees: Any, x: Any, tree: Any, every: Any, active: Any, rows: Any, nodes: Any) -> None:
    """Take every pixel of a tile from the root of a tree to a leaf."""
    base = trees.start[tree]
    nodes[:] = 0
    _walk(trees, x, base, every, rows, nodes, trees.levels[tree])
    count = _unfinished(trees, base, every, nodes, active)
    while count:
        _walk(trees, x, base, active[:count], rows, nodes, 3)
        count = _unfinished(trees, base, active[:count], nodes, active)


@_stage
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


@_stage
def _touch(trees: Any, leaves: Any, first: Any, last: Any) -> Any:
    """Read the memory of some trees in order, a word per line of the cache: fetching in order is many times faster."""
    seen = _ZERO
    for at in range(trees.start[first] * _TWO, trees.start[last] * _TWO, 16):
        seen ^= np.uint64(trees.words[at])
    width = np.uint64(leaves.width)
    for at in range(leaves.first[first] * width, leaves.first[last] * width, 8):
        seen ^= leaves.table[at]
    return seen


@_stage
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


@_stage
def _find(trees: Any, leaves: Any, tree: Any, place: Any, group: Any, nodes: Any, pixels: Any, found: Any) -> None:
    """Note where the rows of the leaves that a tile's pixels came to begin in the table."""
    for p in range(pixels):
        word = trees.words[(trees.start[tree] + nodes[p]) * _TWO]
        found[p * group + place] = leaves.first[tree] + np.uint64(np.uint32(word) & _ROW)


@_kernel
def sum_leaves(x: Any, pixels: int, trees: Any, leaves: Any, sums: Any) -> Any:
    """Sum the leaf probabilities of all trees.

    Parameters
    ----------
    x : (pixels * features,) int32
        Pixel after pixel, as :func:`ranks` gives them.
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
    every, active = np.arange(TILE).astype(np.uint64), np.empty(TILE, np.uint64)
    rows, nodes = np.empty(TILE, np.uint64), np.empty(TILE, np.uint64)
    found = np.empty(TILE * GROUP, np.uint32)
    first = 0
    while first < len(trees.start) - 1:
        last = _group(trees, leaves, first)
        seen ^= _touch(trees, leaves, first, last)
        for origin in range(0, pixels, TILE):
            count = min(TILE, pixels - origin)
            padded = (count + _WALKS - 1) // _WALKS * _WALKS
            for k in range(padded):
                rows[k] = (origin + min(k, count - 1)) * trees.features
            for tree in range(first, last):
                _descend(trees, x, tree, every[:padded], active, rows, nodes[:padded])
                _find(trees, leaves, tree, tree - first, last - first, nodes, count, found)
            _add(leaves.table, found, last - first, count, origin, width, sums)
        first = last
    return seen


@_kernel
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


@_kernel
def exact(bits: Any, which: Any, trees: Any, leaves: Any, sums: Any, out: Any) -> None:
    """Walk some pixels again, summing in float64 in the order of the trees, as scikit-learn does.

    The largest probability is made the first largest in float32 too: where rounding makes two equal, the true best
    is raised by one unit in the last place.

    Parameters
    ----------
    bits : (pixels * features,) int32
        The bits of the float32 values; here NaN goes where each node says.
    which : (n,) int64
        The pixels.
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
            node = _arrive(trees, bits, trees.start[tree], np.uint64(p * trees.features), shift)
            row = leaves.first[tree] + np.uint64(np.uint32(trees.words[node * _TWO]) & _ROW)
            for entry in range(leaves.start[row], leaves.start[row + _ONE]):
                sums[leaves.classes[entry]] += leaves.values[entry]
        _settle(sums, len(trees.start) - 1, out[p])


@_stage
def _arrive(trees: Any, bits: Any, base: Any, row: Any, shift: Any) -> Any:
    """Give the node at which the walk of one pixel ends."""
    mask = (_ONE << shift) - _ONE
    node = base
    threshold = trees.words[node * _TWO]
    while threshold < _LEAF:
        ref = np.uint64(np.uint32(trees.words[node * _TWO + _ONE]))
        value = bits[row + (ref & mask)]
        right = _rank(value) > threshold
        if (value & _MAGNITUDE) > _INFINITY:
            right = len(trees.missing_left) > 0 and trees.missing_left[node] == 0
        node = base + (ref >> shift) + np.uint64(right)
        threshold = trees.words[node * _TWO]
    return node


@_stage
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
