"""Boosted trees of LightGBM and XGBoost as flat arrays: used without the library that trained them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels import boosted as kernel
from terracube.processing.landcover.models import trees as flat
from terracube.processing.landcover.models.checks import Arrays, Facts, check_offsets, demand
from terracube.processing.landcover.models.protocol import MAX_CLASSES, MAX_FEATURES

_LINKS = ("softmax", "sigmoid")
_MISSING = {"None": kernel.PLAIN, "Zero": kernel.ZERO, "NaN": kernel.NAN}


@dataclass(frozen=True)
class Boosted:
    """Boosted trees; nodes breadth first, as in :mod:`terracube.processing.landcover.models.trees`.

    Attributes
    ----------
    n_features, n_classes : int
        Columns of X and of the probabilities.
    link : str
        How scores become probabilities: ``softmax`` over the classes, or ``sigmoid`` of the second of two.
    slope : float
        Factor of the score in the sigmoid.
    single : bool
        Whether values are compared as float32 (XGBoost) or float64 (LightGBM).
    start : (trees + 1,) int64
        First node of each tree, and the end.
    feature : (nodes,) uint16
        Feature that a node looks at; 65535 for a leaf.
    threshold : (nodes,) float64
        The largest value that goes left; in a leaf, what it adds to the score.
    rule : (nodes,) uint8
        What counts as missing (0 nothing, 1 near zero, 2 NaN), and 4 if that goes left.
    column : (trees,) int64
        Score that each tree adds to.
    base : (scores,) float64
        What the scores begin with.
    """

    n_features: int
    n_classes: int
    link: str
    slope: float
    single: bool
    start: NDArray[np.int64]
    feature: NDArray[np.uint16]
    threshold: NDArray[np.float64]
    rule: NDArray[np.uint8]
    column: NDArray[np.int64]
    base: NDArray[np.float64]

    kind = "boosted"
    takes_missing = True

    def __post_init__(self) -> None:
        demand(0 < self.n_features <= MAX_FEATURES, "the number of features is not usable", where="n_features")
        demand(1 < self.n_classes <= MAX_CLASSES, "the number of classes is not usable", where="n_classes")
        demand(self.link in _LINKS, "how scores become probabilities is not known", where="link", got=self.link)
        demand(self.link == "softmax" or self.n_classes == 2, "a sigmoid tells two classes apart", where="n_classes")
        check_offsets(self.start, len(self.feature), where="start")
        demand(len(self.rule) == len(self.feature), "there is not one rule per node", where="rule")
        demand(bool((self.rule & 3 <= kernel.NAN).all() and (self.rule < 8).all()), "a rule is not known", where="rule")
        flat.check_nodes(self.start, self.feature, self.threshold, features=self.n_features)
        leaves = self.threshold[self.feature == flat.LEAF]
        demand(bool(np.isfinite(leaves).all()), "the value of a leaf is not finite", where="threshold")
        scores = self.n_classes if self.link == "softmax" else 1
        good = len(self.base) == scores and bool(np.isfinite(self.base).all())
        demand(good, "the scores begin with something else", where="base", expected=f"{scores} finite numbers")
        good = len(self.column) == len(self.start) - 1 and bool(((self.column >= 0) & (self.column < scores)).all())
        demand(good, "a tree adds to a score that there is not", where="column")

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from C-contiguous ``x`` (n, features)."""
        scores = np.repeat(self.base[None], len(x), axis=0)
        narrow = x.astype(np.float32) if self.single else x
        kernel.add_scores(narrow.astype(np.float64), self._packed, scores)
        if self.link == "sigmoid":
            with np.errstate(over="ignore"):
                out[:, 1] = 1.0 / (1.0 + np.exp(-self.slope * scores[:, 0]))
            np.subtract(1.0, out[:, 1], out=out[:, 0])
            return
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        out[:] = scores / scores.sum(axis=1, keepdims=True)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays that make the trees again."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def facts(self) -> dict[str, Any]:
        """Give the numbers and words that make the trees again."""
        sizes = {"n_features": self.n_features, "n_classes": self.n_classes}
        return {**sizes, "link": self.link, "slope": self.slope, "single": int(self.single)}

    @classmethod
    def from_parts(cls, facts: Facts, arrays: Arrays) -> Self:
        """Make the trees of what a file says, which is checked."""
        return cls(
            n_features=facts.integer("n_features", 1, MAX_FEATURES),
            n_classes=facts.integer("n_classes", 2, MAX_CLASSES),
            link=facts.word("link", _LINKS),
            slope=facts.number("slope"),
            single=bool(facts.integer("single", 0, 1)),
            **{name: arrays.take(name, dtype, 1) for name, dtype in _ARRAYS.items()},
        )

    @classmethod
    def from_lightgbm(cls, estimator: Any) -> Self:
        """Copy the trees of a fitted LGBMClassifier, up to its best iteration."""
        told = estimator.booster_.dump_model()
        objective = str(told["objective"]).split()
        demand(
            objective[0] in ("multiclass", "binary") and not told.get("average_output"),
            "this objective of LightGBM cannot be taken over",
            where="estimator",
            expected="multiclass or binary, boosted",
            got=" ".join(objective),
        )
        sides = [_lightgbm_tree(one["tree_structure"]) for one in told["tree_info"]]
        slopes = [float(word.removeprefix("sigmoid:")) for word in objective if word.startswith("sigmoid:")]
        columns = int(told["num_tree_per_iteration"])
        return cls(
            n_features=int(estimator.n_features_in_),
            n_classes=len(estimator.classes_),
            link="softmax" if objective[0] == "multiclass" else "sigmoid",
            slope=slopes[0] if slopes else 1.0,
            single=False,
            column=np.arange(len(sides), dtype=np.int64) % columns,
            base=np.zeros(columns),
            **_joined(sides),
        )

    @classmethod
    def from_xgboost(cls, estimator: Any) -> Self:
        """Copy the trees of a fitted XGBClassifier, up to its best iteration."""
        learner = json.loads(bytes(_best(estimator).save_raw("json")))["learner"]
        booster, objective = learner["gradient_booster"], learner["objective"]["name"]
        demand(
            _is_plain(booster) and objective in ("multi:softprob", "multi:softmax", "binary:logistic"),
            "this booster of XGBoost cannot be taken over",
            where="estimator",
            expected="trees of one output, none dropped, with multi:softprob or binary:logistic",
            got=f"{booster['name']} with {objective}",
        )
        binary = objective.startswith("binary")
        scores = 1 if binary else len(estimator.classes_)
        return cls(
            n_features=int(estimator.n_features_in_),
            n_classes=len(estimator.classes_),
            link="sigmoid" if binary else "softmax",
            slope=1.0,
            single=True,
            column=np.array(booster["model"]["tree_info"], np.int64),
            base=_base_scores(learner["learner_model_param"]["base_score"], scores, binary=binary),
            **_joined([_xgboost_tree(tree) for tree in booster["model"]["trees"]]),
        )

    @cached_property
    def _packed(self) -> kernel.Boosted:
        """Lay the trees out as the kernel wants them."""
        feature = np.where(self.feature == flat.LEAF, -1, self.feature.astype(np.int32)).astype(np.int32)
        left = flat.left_children(self.start, self.feature) + np.repeat(self.start[:-1], np.diff(self.start))
        return kernel.Boosted(self.start, feature, left, self.threshold, self.rule, self.column)


_ARRAYS: dict[str, type[np.generic]] = {
    "start": np.int64,
    "feature": np.uint16,
    "threshold": np.float64,
    "rule": np.uint8,
    "column": np.int64,
    "base": np.float64,
}
type _Side = dict[str, NDArray[Any]]


def _lightgbm_tree(root: Mapping[str, Any]) -> _Side:
    """Copy one tree of LightGBM, level by level."""
    nodes = list(_levels(root))
    leaf = np.array(["leaf_value" in node and "left_child" not in node for node in nodes])
    for node, ends in zip(nodes, leaf, strict=True):
        plain = "leaf_const" not in node and (ends or node["decision_type"] == "<=")
        demand(plain, "trees with categories or linear leaves cannot be taken over", where="estimator")
    rules = [0 if ends else _lightgbm_rule(node) for node, ends in zip(nodes, leaf, strict=True)]
    feature = [flat.LEAF if ends else node["split_feature"] for node, ends in zip(nodes, leaf, strict=True)]
    value = [node["leaf_value"] if ends else node["threshold"] for node, ends in zip(nodes, leaf, strict=True)]
    return {
        "feature": np.array(feature, np.uint16),
        "threshold": np.array(value, np.float64),
        "rule": np.array(rules, np.uint8),
    }


def _lightgbm_rule(node: Mapping[str, Any]) -> int:
    """Say what a missing value is to a node of LightGBM, and where it goes."""
    return _MISSING[node["missing_type"]] + (kernel.DEFAULT_LEFT if node["default_left"] else 0)


def _levels(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the nodes of a nested tree level by level."""
    level = [root]
    while level:
        yield from level
        level = [node[side] for node in level if "left_child" in node for side in ("left_child", "right_child")]


def _is_plain(booster: Mapping[str, Any]) -> bool:
    """Tell whether these are trees of one output each that all count in full."""
    if booster["name"] != "gbtree" or booster["model"].get("weight_drop"):
        return False
    return all(tree["tree_param"].get("size_leaf_vector", "0") in ("0", "1") for tree in booster["model"]["trees"])


def _xgboost_tree(tree: Mapping[str, Any]) -> _Side:
    """Copy one tree of XGBoost; it sends left what is below a threshold, as float32."""
    left = np.array(tree["left_children"], np.int64)
    demand(not any(tree["split_type"]), "trees with categories cannot be taken over", where="estimator")
    order = flat.breadth_first(left, np.array(tree["right_children"], np.int64))
    leaf = left[order] < 0
    value = np.array(tree["split_conditions"], np.float32)[order]
    below = np.nextafter(value, np.float32(-np.inf))
    rule = kernel.NAN + kernel.DEFAULT_LEFT * np.array(tree["default_left"], np.int64)[order]
    return {
        "feature": np.where(leaf, flat.LEAF, np.array(tree["split_indices"])[order]).astype(np.uint16),
        "threshold": np.where(leaf, value, below).astype(np.float64),
        "rule": np.where(leaf, 0, rule).astype(np.uint8),
    }


def _best(estimator: Any) -> Any:
    """Give the booster up to the iteration that the estimator itself would use."""
    booster = estimator.get_booster()
    best = booster.attributes().get("best_iteration")
    return booster if best is None else booster[: int(best) + 1]


def _base_scores(told: str, scores: int, *, binary: bool) -> NDArray[np.float64]:
    """Read what the scores begin with: one number or one per class; of two classes, a probability."""
    base = np.array(told.strip("[]").split(","), np.float64)
    if binary:
        base = np.log(base / (1 - base))
    return np.broadcast_to(base, scores).astype(np.float64).copy()


def _joined(trees: list[_Side]) -> _Side:
    """Put the arrays of the trees one behind the other."""
    joined = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
    return {"start": flat.offsets([len(tree["feature"]) for tree in trees]), **joined}
