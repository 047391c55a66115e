"""Random forests and extra trees as flat arrays, checked before the compiled walk may touch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels import forest as kernel
from terracube.processing.kernels.forest_votes import exact, probabilities
from terracube.processing.kernels.forest_walk import sum_leaves
from terracube.processing.landcover.models import trees as flat
from terracube.processing.landcover.models.checks import Arrays, Facts, check_offsets, demand
from terracube.processing.landcover.models.protocol import MAX_CLASSES, MAX_FEATURES

# Above this the probabilities of the leaves are not spread into a table, and every pixel is walked the exact way.
MAX_TABLE = 1 << 30


@dataclass(frozen=True)
class Forest:
    """A forest of decision trees; nodes breadth first, so that the children of the k-th inner node are 2k+1, 2k+2.

    Attributes
    ----------
    n_features, n_classes : int
        Columns of X and of the probabilities.
    start : (trees + 1,) int64
        First node of each tree, and the end.
    feature : (nodes,) uint16
        Feature that a node looks at; 65535 for a leaf.
    threshold : (nodes,) float32
        A value not above it goes to the left child. Rounded toward minus infinity from scikit-learn's float64: for
        float32 values the decisions are the same.
    missing_left : (nodes,) uint8, or empty
        Whether a missing value goes left.
    leaf_row : (leaves,) uint32
        Number of the row of probabilities of each leaf, counted from the tree's first row.
    row_first : (trees + 1,) int64
        First row of each tree, and the end.
    row_start : (rows + 1,) int64
        First entry of each row, and the end.
    row_class, row_value : (entries,) uint16, float64
        The classes of a row with a probability that is not zero, in order, and the probability.
    """

    n_features: int
    n_classes: int
    start: NDArray[np.int64]
    feature: NDArray[np.uint16]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.uint8]
    leaf_row: NDArray[np.uint32]
    row_first: NDArray[np.int64]
    row_start: NDArray[np.int64]
    row_class: NDArray[np.uint16]
    row_value: NDArray[np.float64]

    kind = "forest"

    def __post_init__(self) -> None:
        _check_sizes(self)
        flat.check_nodes(self.start, self.feature, self.threshold, features=self.n_features)
        _check_rows(self)

    @property
    def takes_missing(self) -> bool:
        """Whether the trees say where a missing value goes."""
        return len(self.missing_left) > 0

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from C-contiguous ``x`` (n, features)."""
        rows = _plain(x)
        self._fill(kernel.Pixels(rows.reshape(-1).view(np.int32), self.n_features, 1), out)

    def by_columns(self, x: NDArray[np.float32], out: NDArray[np.float32]) -> NDArray[np.int32]:
        """Fill ``out`` (n, classes) from ``x`` (features, n), where NaN and infinity are missing values.

        Returns
        -------
        (n,) array of int32
            How many features of each pixel are there; the probabilities of one that lacks some are of no meaning
            unless the trees say where missing values go.
        """
        columns = _plain(x)
        return self._fill(kernel.Pixels(columns.reshape(-1).view(np.int32), 1, columns.shape[1]), out)

    def _fill(self, pixels: kernel.Pixels, out: NDArray[np.float32]) -> NDArray[np.int32]:
        """Fill ``out`` block by block; count the features that are there."""
        finite = np.zeros(len(out), np.int32)
        sums = np.empty(self.n_classes)
        size = kernel.block_of(self.n_features)
        for first in range(0, len(out), size):
            part = out[first : first + size]
            doubtful = _doubtful(self, pixels, first, part, finite[first : first + size])
            exact(pixels, first, doubtful, *self._packed, sums, part)
        return finite

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays that make the forest again."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def facts(self) -> dict[str, Any]:
        """Give the numbers that make the forest again."""
        return {"n_features": self.n_features, "n_classes": self.n_classes}

    @classmethod
    def from_parts(cls, facts: Facts, arrays: Arrays) -> Self:
        """Make the forest of what a file says, which is checked."""
        taken = {name: arrays.take(name, dtype, 1) for name, dtype in _ARRAYS.items()}
        features, classes = (facts.integer(name, 1, most) for name, most in _SIZES)
        return cls(n_features=features, n_classes=classes, **taken)

    @classmethod
    def from_sklearn(cls, estimator: Any, *, missing: bool) -> Self:
        """Copy the trees of a fitted RandomForestClassifier, ExtraTreesClassifier or DecisionTreeClassifier."""
        members = getattr(estimator, "estimators_", [estimator])
        made = [_tree_of(member.tree_, missing=missing) for member in members]
        return cls(n_features=int(estimator.n_features_in_), n_classes=len(estimator.classes_), **_joined(made))

    @cached_property
    def _packed(self) -> tuple[kernel.Trees, kernel.Leaves]:
        """Lay the forest out as the kernel wants it."""
        shift = kernel.shift_of(self.n_features)
        words = _words(self, shift)
        leaves = kernel.Leaves(
            first=self.row_first.astype(np.uint64),
            table=np.zeros(0, np.uint64),
            start=self.row_start,
            classes=self.row_class,
            values=self.row_value,
            width=kernel.width_of(self.n_classes),
            scale=kernel.scale_of(len(self.start) - 1),
        )
        if not self._without_table:
            leaves = leaves._replace(table=kernel.table_of(leaves))
        trees = kernel.Trees(
            words=words,
            start=self.start.astype(np.uint64),
            levels=_levels(self),
            missing_left=self.missing_left,
            shift=shift,
            features=self.n_features,
        )
        return trees, leaves

    @property
    def _without_table(self) -> bool:
        return (len(self.row_start) - 1) * (self.n_classes + kernel.WIDTH) * 4 > MAX_TABLE


_SIZES = (("n_features", MAX_FEATURES), ("n_classes", MAX_CLASSES))
_ARRAYS: dict[str, type[np.generic]] = {
    "start": np.int64,
    "feature": np.uint16,
    "threshold": np.float32,
    "missing_left": np.uint8,
    "leaf_row": np.uint32,
    "row_first": np.int64,
    "row_start": np.int64,
    "row_class": np.uint16,
    "row_value": np.float64,
}


def _plain(x: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Give the same values as the one kind of array for which the kernels are compiled."""
    values = np.array(x, np.float32, order="C", copy=None)
    return values if values.flags.writeable else values.copy()


def _doubtful(
    forest: Forest, pixels: kernel.Pixels, first: int, out: NDArray[np.float32], finite: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Fill ``out`` the fast way, count finite features; give the pixels that have to be walked the exact way."""
    bits, features = kernel.tile_bits(forest.n_features), forest.n_features
    tiles = np.empty(-(-len(out) // (1 << bits)) * (features << bits), np.int32)
    kernel.lay(pixels, first, features, tiles, finite)
    if forest._without_table:
        return np.arange(len(out))
    trees, leaves = forest._packed
    sums = np.empty(len(out) * leaves.width, np.uint64)
    sum_leaves(tiles, bits, len(out), trees, leaves, sums)
    doubtful = np.empty(len(out) + 1, np.int64)
    table = sums.view(np.uint32).reshape(len(out), -1)
    count = probabilities(table, len(forest.start) - 1, leaves.scale, out, doubtful)
    if not forest.takes_missing:
        return doubtful[:count]
    return np.union1d(doubtful[:count], np.flatnonzero(finite < features))


def _check_sizes(forest: Forest) -> None:
    """Demand sizes that fit each other."""
    nodes, rows = len(forest.feature), len(forest.row_start) - 1
    demand(0 < forest.n_features <= MAX_FEATURES, "the number of features is not usable", where="n_features")
    demand(0 < forest.n_classes <= MAX_CLASSES, "the number of classes is not usable", where="n_classes")
    check_offsets(forest.start, nodes, where="start")
    check_offsets(forest.row_first, rows, where="row_first")
    check_offsets(forest.row_start, len(forest.row_class), where="row_start")
    demand(len(forest.missing_left) in (0, nodes), "there is not one mark per node", where="missing_left")
    demand(len(forest.row_value) == len(forest.row_class), "there is not one value per class", where="row_value")
    demand(len(forest.row_first) == len(forest.start), "the rows are not those of the trees", where="row_first")
    most = 1 << (32 - kernel.shift_of(forest.n_features))
    demand(np.diff(forest.start).max() <= most, f"a tree has more than {most} nodes", where="start")


def _check_rows(forest: Forest) -> None:
    """Demand that every leaf has a row of its tree, and that rows are probabilities."""
    leaves = np.diff(forest.start) // 2 + 1
    demand(len(forest.leaf_row) == leaves.sum(), "there is not one row per leaf", where="leaf_row")
    rows = np.diff(forest.row_first)
    demand(rows.max() <= kernel.MAX_ROWS, "a tree has too many different leaves", where="row_first")
    demand(
        bool((forest.leaf_row < np.repeat(rows, leaves)).all()), "a leaf has a row that there is not", where="leaf_row"
    )
    demand(bool((forest.row_class < forest.n_classes).all()), "a row has a class that there is not", where="row_class")
    same_row = np.ones(len(forest.row_class), bool)
    same_row[forest.row_start[:-1]] = False
    rising = ~same_row[1:] | (forest.row_class[1:] > forest.row_class[:-1])
    demand(bool(rising.all()), "the classes of a row are not in order", where="row_class")
    good = (forest.row_value > 0) & (forest.row_value <= 1 + 1e-9)
    demand(bool(good.all()), "a probability is not between 0 and 1", where="row_value")
    sums = np.add.reduceat(forest.row_value, forest.row_start[:-1])
    demand(bool((abs(sums - 1) < 1e-6).all()), "the probabilities of a leaf do not sum to 1", where="row_value")


def _words(forest: Forest, shift: int) -> NDArray[np.int32]:
    """Pack the nodes for the kernel."""
    leaf = forest.feature == flat.LEAF
    words = np.empty((len(leaf), 2), np.int32)
    left = flat.left_children(forest.start, forest.feature)[~leaf].astype(np.uint32)
    words[~leaf] = kernel.pack_nodes(left, forest.feature[~leaf].astype(np.uint32), forest.threshold[~leaf], shift)
    own = flat.numbers(forest.start)[leaf].astype(np.uint32)
    words[leaf] = kernel.pack_leaves(own, forest.leaf_row, shift)
    return words.ravel()


def _levels(forest: Forest) -> NDArray[np.int64]:
    """Say how many levels a walk takes before one looks who has arrived: about as many as a balanced tree has."""
    balanced = np.ceil(np.log2(np.diff(forest.start) // 2 + 1)).astype(np.int64)
    return np.minimum(flat.depths(forest.start, forest.feature), balanced + 1)


def _tree_of(tree: Any, *, missing: bool) -> dict[str, NDArray[Any]]:
    """Copy one tree, its nodes put breadth first and equal leaves kept once."""
    order = flat.breadth_first(tree.children_left, tree.children_right)
    leaf = tree.children_left[order] < 0
    rows, row = np.unique(tree.value[order[leaf], 0, :], axis=0, return_inverse=True)
    entry = np.nonzero(rows)
    return {
        "feature": np.where(leaf, flat.LEAF, tree.feature[order]).astype(np.uint16),
        "threshold": np.where(leaf, np.float32(0), flat.floored(tree.threshold[order])),
        "missing_left": tree.missing_go_to_left[order].astype(np.uint8) if missing else np.zeros(0, np.uint8),
        "leaf_row": row.astype(np.uint32).ravel(),
        "row_size": np.bincount(entry[0], minlength=len(rows)),
        "row_class": entry[1].astype(np.uint16),
        "row_value": rows[entry],
    }


def _joined(trees: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Put the arrays of the trees one behind the other."""
    joined = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
    return {
        "start": flat.offsets([len(tree["feature"]) for tree in trees]),
        "row_first": flat.offsets([len(tree["row_size"]) for tree in trees]),
        "row_start": flat.offsets(joined.pop("row_size")),
        **joined,
    }
