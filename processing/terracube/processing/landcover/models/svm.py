"""Support vector machines as flat arrays, run in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.coupling import couple
from terracube.processing.landcover.models.checks import Arrays, Facts, demand
from terracube.processing.landcover.models.protocol import MAX_FEATURES

_KERNELS = ("linear", "poly", "rbf", "sigmoid")
_CALIBRATIONS = ("pairs", "classes")
_MAX_CLASSES = 256
_BLOCK_NUMBERS = 1 << 22
# Probabilities of pairs are kept this far from 0 and 1, as in the library.
_LEAST = 1e-7

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Svm:
    """A support vector classifier with probabilities.

    Attributes
    ----------
    kernel : str
        ``linear``, ``poly``, ``rbf`` or ``sigmoid``.
    gamma, coef0 : float
        Parameters of the kernel.
    degree : int
        Degree of the polynomial.
    calibration : str
        ``pairs``: a sigmoid per pair of classes, coupled; ``classes``: a sigmoid per class, normalised.
    vectors : (m, features) float64
        Support vectors, those of a class together.
    count : (classes,) int64
        How many support vectors each class has.
    dual : (classes - 1, m) float64
        Their weights against each other class.
    intercept : (pairs,) float64
        One per pair of classes, in the order (0, 1), (0, 2), ...
    slope, offset : arrays of float64
        Of the sigmoids 1 / (1 + exp(slope * decision + offset)): one per pair or per class; one for two classes.
    """

    kernel: str
    gamma: float
    coef0: float
    degree: int
    calibration: str
    vectors: Floats
    count: NDArray[np.int64]
    dual: Floats
    intercept: Floats
    slope: Floats
    offset: Floats

    kind = "svm"
    takes_missing = False

    def __post_init__(self) -> None:
        demand(self.kernel in _KERNELS, "the kernel is not known", where="kernel", got=self.kernel)
        demand(self.calibration in _CALIBRATIONS, "the calibration is not known", where="calibration")
        demand(0 <= self.degree <= 100, "the degree is not usable", where="degree", expected="0 to 100")
        demand(1 < len(self.count) <= _MAX_CLASSES, f"there are 2 to {_MAX_CLASSES} classes", where="count")
        vectors, features = self.vectors.shape
        demand(0 < features <= MAX_FEATURES, "the number of features is not usable", where="vectors")
        good = bool((self.count >= 0).all() and (self.count <= vectors).all()) and int(self.count.sum()) == vectors
        demand(good, "the support vectors are not those of the classes", where="count")
        demand(self.dual.shape == (len(self.count) - 1, vectors), "the weights have another shape", where="dual")
        pairs = len(self.count) * (len(self.count) - 1) // 2
        sigmoids = pairs if self.calibration == "pairs" or pairs == 1 else len(self.count)
        for name, size in (("intercept", pairs), ("slope", sigmoids), ("offset", sigmoids)):
            demand(getattr(self, name).shape == (size,), "there are too many or too few numbers", where=name)
        for name in _ARRAYS:
            demand(bool(np.isfinite(getattr(self, name)).all()), "a number is not finite", where=name)

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return int(self.vectors.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of columns of the probabilities."""
        return len(self.count)

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from ``x`` (n, features), some rows at a time."""
        rows = max(16, _BLOCK_NUMBERS // (len(self.vectors) + 2 * self.n_classes**2 + 1))
        for start in range(0, len(x), rows):
            decided = self._decisions(x[start : start + rows].astype(np.float64))
            out[start : start + rows] = self._calibrated(decided)

    def _decisions(self, x: Floats) -> Floats:
        """Give the decision between each pair of classes, (n, pairs): positive for the first of a pair."""
        likeness = _likeness(self, x)
        ends = np.cumsum(self.count)
        parts = [
            likeness[:, end - size : end] @ self.dual[:, end - size : end].T
            for end, size in zip(ends, self.count, strict=True)
        ]
        decided = [parts[i][:, j - 1] + parts[j][:, i] for i, j in combinations(range(self.n_classes), 2)]
        return np.stack(decided, axis=1) + self.intercept

    def _calibrated(self, decided: Floats) -> Floats:
        """Turn decisions into probabilities."""
        if self.calibration == "pairs":
            return self._coupled(_sigmoid(decided, self.slope, self.offset))
        if self.n_classes == 2:
            second = _sigmoid(-decided, self.slope, self.offset)
            return np.concatenate([1 - second, second], axis=1)
        probable = _sigmoid(_one_versus_rest(decided, self.n_classes), self.slope, self.offset)
        total = probable.sum(axis=1, keepdims=True)
        return np.where(total > 0, probable / np.where(total > 0, total, 1), 1 / self.n_classes)

    def _coupled(self, first: Floats) -> Floats:
        """Couple the probabilities of the first of each pair of classes."""
        first = np.clip(first, _LEAST, 1 - _LEAST)
        pairs = np.zeros((len(first), self.n_classes, self.n_classes))
        for number, (i, j) in enumerate(combinations(range(self.n_classes), 2)):
            pairs[:, i, j], pairs[:, j, i] = first[:, number], 1 - first[:, number]
        out = np.empty((len(first), self.n_classes))
        couple(pairs, out)
        return out

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays that make the machine again."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def facts(self) -> dict[str, Any]:
        """Give the numbers and words that make the machine again."""
        return {name: getattr(self, name) for name in ("kernel", "gamma", "coef0", "degree", "calibration")}

    @classmethod
    def from_parts(cls, facts: Facts, arrays: Arrays) -> Self:
        """Make the machine of what a file says, which is checked."""
        return cls(
            kernel=facts.word("kernel", _KERNELS),
            gamma=facts.number("gamma"),
            coef0=facts.number("coef0"),
            degree=facts.integer("degree", 0, 100),
            calibration=facts.word("calibration", _CALIBRATIONS),
            **{name: arrays.take(name, dtype, dimensions) for name, (dtype, dimensions) in _ARRAYS.items()},
        )

    @classmethod
    def from_sklearn(cls, machine: Any, calibrators: list[Any] | None = None) -> Self:
        """Copy a fitted SVC, with its own sigmoids or with one calibrator per class."""
        demand(
            machine.kernel in _KERNELS,
            "this kernel cannot be taken over",
            where="estimator",
            expected=", ".join(_KERNELS),
        )
        demand(not machine._sparse, "a machine trained on sparse features cannot be taken over", where="estimator")
        if calibrators is None:
            slope, offset = machine._probA, machine._probB
            todo = "SVC(probability=True), or CalibratedClassifierCV(SVC(), ensemble=False)"
            demand(len(slope) > 0, "the machine gives no probabilities", where="estimator", expected=todo)
        else:
            slope, offset = ([getattr(one, name) for one in calibrators] for name in ("a_", "b_"))
        return cls(
            kernel=str(machine.kernel),
            gamma=float(machine._gamma),
            coef0=float(machine.coef0),
            degree=int(machine.degree),
            calibration="pairs" if calibrators is None else "classes",
            vectors=np.array(machine.support_vectors_, np.float64, order="C"),
            count=np.array(machine._n_support, np.int64),
            dual=np.array(machine._dual_coef_, np.float64, order="C"),
            intercept=np.array(machine._intercept_, np.float64),
            slope=np.array(slope, np.float64),
            offset=np.array(offset, np.float64),
        )


_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "vectors": (np.float64, 2),
    "count": (np.int64, 1),
    "dual": (np.float64, 2),
    "intercept": (np.float64, 1),
    "slope": (np.float64, 1),
    "offset": (np.float64, 1),
}


def _likeness(machine: Svm, x: Floats) -> Floats:
    """Compare each row of x with each support vector, (n, m)."""
    product: Floats = x @ machine.vectors.T
    if machine.kernel == "linear":
        return product
    if machine.kernel == "rbf":
        apart = (x**2).sum(axis=1)[:, None] + (machine.vectors**2).sum(axis=1) - 2 * product
        return np.exp(-machine.gamma * np.maximum(apart, 0))
    moved: Floats = machine.gamma * product + machine.coef0
    if machine.kernel == "sigmoid":
        return np.asarray(np.tanh(moved), np.float64)
    return np.asarray(moved**machine.degree, np.float64)


def _sigmoid(value: Floats, slope: Floats, offset: Floats) -> Floats:
    """Give 1 / (1 + exp(slope * value + offset))."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(slope * value + offset)), np.float64)


def _one_versus_rest(decided: Floats, classes: int) -> Floats:
    """Turn decisions between pairs into one per class: votes, and the sum of confidences squeezed below a third."""
    votes, confidence = np.zeros((2, len(decided), classes))
    for number, (i, j) in enumerate(combinations(range(classes), 2)):
        value = decided[:, number]
        confidence[:, i] += value
        confidence[:, j] -= value
        votes[:, i] += value >= 0
        votes[:, j] += value < 0
    return np.asarray(votes + confidence / (3 * (np.abs(confidence) + 1)), np.float64)
