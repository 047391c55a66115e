"""Classifiers that sum over features or over training samples, and means of several classifiers, as plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.similarity import linear_scores, radial_scores, softmax
from terracube.processing.landcover.models.checks import Arrays, Facts, demand
from terracube.processing.landcover.models.protocol import MAX_CLASSES, MAX_FEATURES, Classifier

_MAX_MEMBERS = 16
_BLOCK = 1024

type Made = Callable[[Any, Mapping[str, Any], Mapping[str, NDArray[Any]]], Classifier]


@dataclass(frozen=True)
class Linear:
    """Probabilities as the softmax of linear functions of the features: linear discriminants, logistic regression."""

    weights: NDArray[np.float64]
    """(features, classes)."""
    offset: NDArray[np.float64]
    """(classes,)."""

    kind = "linear"
    takes_missing = False

    def __post_init__(self) -> None:
        _check("weights", self.weights, (None, len(self.offset)))
        _check("offset", self.offset, (None,))
        _check_counts(self)

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return int(self.weights.shape[0])

    @property
    def n_classes(self) -> int:
        """Number of columns of the probabilities."""
        return int(self.weights.shape[1])

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from ``x`` (n, features)."""
        for start in range(0, len(x), _BLOCK):
            part = slice(start, start + _BLOCK)
            scores = np.empty(out[part].shape, np.float64)
            linear_scores(np.ascontiguousarray(x[part], np.float64), self.weights, self.offset, scores)
            softmax(scores, out[part])

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays that make the classifier again."""
        return {"weights": self.weights, "offset": self.offset}

    def facts(self) -> dict[str, Any]:
        """Nothing beside the arrays."""
        return {}

    @classmethod
    def from_parts(cls, arrays: Arrays) -> Self:
        """Make the classifier of the arrays of a file, which are checked."""
        return cls(arrays.take("weights", np.float64, 2), arrays.take("offset", np.float64, 1))

    @classmethod
    def from_sklearn(cls, estimator: Any, *, shift: NDArray[np.float64], factor: NDArray[np.float64]) -> Self:
        """Copy a fitted LinearDiscriminantAnalysis or LogisticRegression of features ``(x - shift) * factor``."""
        weights = np.atleast_2d(np.asarray(estimator.coef_, np.float64)).T
        offset = np.atleast_1d(np.asarray(estimator.intercept_, np.float64))
        if len(estimator.classes_) == 2 and weights.shape[1] == 1:
            # One function for two classes: the logistic of it is the softmax of it and 0.
            weights, offset = np.hstack((0 * weights, weights)), np.concatenate((0 * offset, offset))
        weights = weights * factor[:, None]
        return cls(np.ascontiguousarray(weights), offset - shift @ weights)


@dataclass(frozen=True)
class Radial:
    """Probabilities as the softmax of sums of Gaussian similarities to training samples."""

    shift: NDArray[np.float64]
    """(features,) what is taken off a feature."""
    factor: NDArray[np.float64]
    """(features,) what it is multiplied with then."""
    centres: NDArray[np.float64]
    """(features, m) scaled training samples, one per column."""
    weights: NDArray[np.float64]
    """(m, classes), temperature included."""
    offset: NDArray[np.float64]
    """(classes,), temperature included."""
    gamma: float
    """Of ``exp(-gamma d^2)``."""

    kind = "radial"
    takes_missing = False

    def __post_init__(self) -> None:
        features, many = len(self.shift), len(self.weights)
        _check("shift", self.shift, (None,))
        _check("factor", self.factor, (features,))
        _check("centres", self.centres, (features, many))
        _check("weights", self.weights, (None, len(self.offset)))
        _check("offset", self.offset, (None,))
        demand(self.gamma > 0, "the width of the similarity is wrong", where="gamma", expected="above 0")
        _check_counts(self)

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return len(self.shift)

    @property
    def n_classes(self) -> int:
        """Number of columns of the probabilities."""
        return len(self.offset)

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from ``x`` (n, features)."""
        for start in range(0, len(x), _BLOCK):
            part = slice(start, start + _BLOCK)
            scores = np.empty(out[part].shape, np.float64)
            scaled = np.ascontiguousarray((x[part].astype(np.float64) - self.shift) * self.factor)
            radial_scores(scaled, self.centres, self.weights, self.offset, self.gamma, scores)
            softmax(scores, out[part])

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays that make the classifier again."""
        return {name: getattr(self, name) for name in ("shift", "factor", "centres", "weights", "offset")}

    def facts(self) -> dict[str, Any]:
        """Give the number that makes the classifier again."""
        return {"gamma": self.gamma}

    @classmethod
    def from_parts(cls, facts: Facts, arrays: Arrays) -> Self:
        """Make the classifier of what a file says, which is checked."""
        sizes = {"shift": 1, "factor": 1, "centres": 2, "weights": 2, "offset": 1}
        taken = {name: arrays.take(name, np.float64, count) for name, count in sizes.items()}
        return cls(**taken, gamma=facts.number("gamma"))

    @classmethod
    def from_sklearn(cls, estimator: Any, *, shift: NDArray[np.float64], factor: NDArray[np.float64]) -> Self:
        """Copy a fitted KernelClassifier of scaled features, ``(x - shift) * factor``."""
        heat = float(estimator.temperature_)
        centres = np.ascontiguousarray(estimator.centres_.T)
        return cls(shift, factor, centres, estimator.weights_ * heat, estimator.offset_ * heat, float(estimator.gamma_))


@dataclass(frozen=True)
class Mean:
    """The mean of the probabilities of several classifiers."""

    members: tuple[Classifier, ...]

    kind = "mean"

    def __post_init__(self) -> None:
        demand(0 < len(self.members) <= _MAX_MEMBERS, "the number of members is wrong", where="members")
        sizes = {(member.n_features, member.n_classes) for member in self.members}
        demand(len(sizes) == 1, "members of several sizes", where="members", expected="the same features and classes")

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return self.members[0].n_features

    @property
    def n_classes(self) -> int:
        """Number of columns of the probabilities."""
        return self.members[0].n_classes

    @property
    def takes_missing(self) -> bool:
        """Whether every member knows what NaN means."""
        return all(member.takes_missing for member in self.members)

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from ``x`` (n, features)."""
        total = np.zeros(out.shape, np.float64)
        part = np.empty(out.shape, np.float32)
        for member in self.members:
            member.probabilities(x, part)
            total += part
        out[:] = total / len(self.members)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays of the members, each under its number."""
        return {f"{k}/{name}": value for k, one in enumerate(self.members) for name, value in one.arrays().items()}

    def facts(self) -> dict[str, Any]:
        """Give kind and facts of each member."""
        return {"members": [{"kind": member.kind, "facts": member.facts()} for member in self.members]}

    @classmethod
    def from_parts(cls, facts: Facts, arrays: Arrays, make: Made) -> Self:
        """Make the members of what a file says; a member is never a mean itself."""
        told = facts.objects("members", _MAX_MEMBERS)
        for one in told:
            demand(set(one) == {"kind", "facts"} and one["kind"] != cls.kind, "a member is wrong", where="members")
            demand(isinstance(one["facts"], dict), "the facts of a member are no object", where="members")
        made = (make(one["kind"], one["facts"], arrays.below(f"{k}/").values) for k, one in enumerate(told))
        return cls(tuple(made))


def _check(name: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> None:
    """Refuse arrays of another shape, and those with values that are not finite."""
    fits = array.ndim == len(shape) and all(want in (None, has) for want, has in zip(shape, array.shape, strict=True))
    demand(
        fits and array.size > 0 and bool(np.isfinite(array).all()),
        "an array of the classifier does not fit or is not finite",
        where=name,
        expected=str(shape),
        got=str(array.shape),
    )


def _check_counts(one: Linear | Radial) -> None:
    demand(
        0 < one.n_features <= MAX_FEATURES, "too many features", where="features", expected=f"at most {MAX_FEATURES}"
    )
    demand(0 < one.n_classes <= MAX_CLASSES, "too many classes", where="classes", expected=f"at most {MAX_CLASSES}")
