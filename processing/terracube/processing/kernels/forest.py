"""Class probabilities of a forest of decision trees, equal to scikit-learn's to the label.

A forest is far larger than a processor's nearest memory, and so are the features of many pixels: what costs is
fetching, not comparing. Pixels are taken in blocks, laid out sixteen by sixteen (feature after feature, the sixteen
side by side, a line of the cache); a block is taken through a few trees at a time, tile by tile. Trees and tiles are
read once, in order, before they are used, and the walks of sixteen pixels down a tree are interleaved, so that one
waits while others go on (:mod:`terracube.processing.kernels.forest_walk`).

Leaf probabilities are summed as 32-bit integers: the sum does not depend on order or width, and its error is bounded
(one half per tree). Where the two best classes are nearer to each other than that, the pixel is walked again with sums
in float64, in the order of the trees: the label is the one that scikit-learn's ``predict`` gives
(:mod:`terracube.processing.kernels.forest_votes`).

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

from terracube.processing.kernels.compiling import kernel

WIDTH = 8
"""The rows of the table of leaves are padded to a multiple of so many classes."""
WALKS = 16
"""Pixels whose walks are interleaved; tiles hold a multiple of them."""
GROUP_BYTES = 600_000
"""What the trees of a group may take: with a tile of pixels, about the second nearest memory of a processor."""
GROUP = 16
"""Trees of a group at most."""
MAX_ROWS = 1 << 22
"""Different leaves of a tree at most."""

LEAF = np.int32(0x7FC00000)
"""Thresholds from here on mark leaves: ranks of NaN, which no value is given."""
ROW = np.uint32(MAX_ROWS - 1)
"""The bits of a leaf's threshold that are the number of its row."""
INFINITY = np.int32(0x7F800000)
"""Infinity as a rank: no value lies above it."""
MAGNITUDE = np.int32(0x7FFFFFFF)
"""The bits of a float without its sign."""

_TILE_BYTES, _BLOCK_BYTES = 1 << 17, 1 << 23
_TILE_BITS, _BLOCK = (4, 9), 16_384


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


class Pixels(NamedTuple):
    """The features of pixels, wherever they lie."""

    bits: NDArray[np.int32]
    """The bits of the float32 values, flat."""
    by_pixel: int
    """How far the next pixel is."""
    by_feature: int
    """How far the next feature is."""


def tile_bits(features: int) -> int:
    """Give the power of two that is the number of pixels of a tile: less than half of the second nearest memory.

    Examples
    --------
    >>> [1 << tile_bits(features) for features in (60, 481, 4096)]
    [512, 64, 16]
    """
    least, most = _TILE_BITS
    return min(most, max(least, (_TILE_BYTES // (4 * features)).bit_length() - 1))


def block_of(features: int) -> int:
    """Give how many pixels go through the whole forest together: many, for each tree to be fetched once for them.

    Examples
    --------
    >>> [block_of(features) for features in (60, 481, 4096)]
    [16384, 4096, 512]
    """
    return min(_BLOCK, 1 << ((_BLOCK_BYTES // (4 * features)).bit_length() - 1))


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
    words[:, 0] = np.int32(LEAF) | row.view(np.int32)
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


@kernel
def _ranks(bits: Any, out: Any) -> None:
    """Turn the bits of floats into ranks."""
    for k in range(len(bits)):
        out[k] = rank(bits[k])


@njit(nogil=True, error_model="numpy", inline="always")
def rank(bits: Any) -> Any:
    """Give the rank of a float: below zero, more bits mean less."""
    return min(np.int32(bits ^ ((bits >> np.int32(31)) & MAGNITUDE)), INFINITY)


@kernel
def lay(pixels: Any, first: int, features: int, tiles: Any, finite: Any) -> None:
    """Lay pixels out as ranks, sixteen side by side for each feature; count the finite features of each pixel.

    Parameters
    ----------
    pixels : Pixels
    first : int
        The first of them to take.
    features : int
        Of a pixel.
    tiles : (n or more * features,) int32
        Filled up to the last pixel; n is rounded up to a multiple of 16.
    finite : (n,) int32
        As many pixels as are wanted; counted up.
    """
    for begin in range(0, len(finite), WALKS):
        count = min(WALKS, len(finite) - begin)
        part = tiles[begin * features : (begin + WALKS) * features]
        if count < WALKS:
            part[:] = 0
        start = (first + begin) * pixels.by_pixel
        if pixels.by_pixel == 1:
            _lay_columns(pixels, start, features, part, finite[begin : begin + count])
        else:
            _lay_rows(pixels, start, features, part, finite[begin : begin + count])


@kernel
def _lay_columns(pixels: Any, start: Any, features: Any, tile: Any, finite: Any) -> None:
    """Fill the places of sixteen pixels where those of a feature lie side by side."""
    for feature in range(features):
        at = start + feature * pixels.by_feature
        values = pixels.bits[at : at + len(finite)]
        out = tile[feature * WALKS : feature * WALKS + len(finite)]
        for k in range(len(finite)):
            out[k] = rank(values[k])
            finite[k] += np.int32((values[k] & MAGNITUDE) < INFINITY)


@kernel
def _lay_rows(pixels: Any, start: Any, features: Any, tile: Any, finite: Any) -> None:
    """Fill it where they do not: sixteen pixels at a time, so that whole lines of the cache are written."""
    for feature in range(features):
        for k in range(len(finite)):
            value = pixels.bits[start + k * pixels.by_pixel + feature * pixels.by_feature]
            tile[feature * WALKS + k] = rank(value)
            finite[k] += np.int32((value & MAGNITUDE) < INFINITY)
