"""Learners that scikit-learn does not have, with its way of being used: kernel regression on classes, and ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from terracube.core.errors import InputError
from terracube.processing.kernels.similarity import radial_scores, softmax

# The matrix of similarities is held twice: at most 1 GB.
MAX_SAMPLES = 8000
_TEMPERATURES = np.geomspace(0.5, 32.0, 25)
_FOLDS = 5

type Rows = NDArray[np.int64]


class KernelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Ridge regression on the classes with Gaussian similarity, for up to a few thousand samples of many features.

    Each class has the target 1 for its samples and -1 for the others, and the score of a class is a sum of the
    similarities ``exp(-gamma d^2 / features)`` to the training samples (least-squares support vector machine, Suykens
    and Vandewalle, 1999, doi:10.1023/A:1018628609742). What the model would say of a fold of samples had it not seen
    them is known exactly without learning again, ``y - (G_ff)^-1 (G y)_f`` with G the inverse of the regularised
    similarities; with it ``gamma``, ``alpha`` and the temperature that turns scores into probabilities are chosen.

    Parameters
    ----------
    gamma : float or sequence of float
        Width of the similarity, per feature of standard deviation 1; of several, the best is chosen.
    alpha : float or sequence of float
        Strength of the regularisation; of several, the best is chosen.
    class_weight : {"balanced", None}
        Whether classes count alike however many samples they have.
    score : {"accuracy", "balanced_accuracy"}
        What is looked at where ``gamma`` and ``alpha`` are chosen; of equally good ones, the smaller log loss decides.
    random_state : int
        Of the folds.

    Attributes
    ----------
    classes_, n_features_in_
        As everywhere in scikit-learn.
    centres_ : (n, features) array
        The training samples.
    weights_ : (n, classes) array
    offset_ : (classes,) array
    gamma_, alpha_, temperature_ : float
        What was chosen; ``gamma_`` is divided by the number of features already.

    Examples
    --------
    >>> X, y = [[0.0], [0.1], [1.0], [1.1]], [3, 3, 7, 7]
    >>> KernelClassifier().fit(X, y).predict([[0.05], [0.9]]).tolist()
    [3, 7]
    """

    def __init__(
        self,
        gamma: float | Sequence[float] = 0.4,
        alpha: float | Sequence[float] = 0.1,
        class_weight: str | None = None,
        score: str = "accuracy",
        random_state: int = 0,
    ) -> None:
        self.gamma = gamma
        self.alpha = alpha
        self.class_weight = class_weight
        self.score = score
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from X (n, features), finite, and codes y (n,); folds hold whole groups.

        Raises
        ------
        InputError
            If there are too many samples, or a single class.
        """
        values = np.ascontiguousarray(X, np.float64)
        self.classes_, number = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2 or not 2 < len(values) <= MAX_SAMPLES:
            raise InputError(
                "kernel regression cannot learn from this",
                where="X, y",
                expected=f"3 to {MAX_SAMPLES} samples of two classes or more",
                got=f"{len(values)} samples of {len(self.classes_)} classes",
                todo="choose another algorithm, or fewer samples",
            )
        self.n_features_in_ = values.shape[1]
        target = np.where(number[:, None] == np.arange(len(self.classes_)), 1.0, -1.0)
        self.offset_ = target.mean(axis=0)
        parts = _parts(number, groups, self.random_state)
        square = _squares(values)
        best = (np.inf, np.inf, 0.0, 0.0, 1.0)
        for gamma in np.atleast_1d(self.gamma):
            alike = np.exp(square * (-float(gamma) / values.shape[1]))
            for alpha in np.atleast_1d(self.alpha):
                weights, held_out = self._solve(alike, target, float(alpha) / self._weight(number), parts)
                held_out += self.offset_
                loss, temperature = _temper(held_out, number)
                found = self._wrong(held_out, number), loss
                if found < best[:2]:
                    best = (*found, float(gamma), float(alpha), temperature)
                    self.weights_ = weights
        *_, gamma, self.alpha_, self.temperature_ = best
        self.gamma_ = gamma / values.shape[1]
        self.centres_ = values
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Give the score of each class, (n, classes), of X (n, features)."""
        values = np.ascontiguousarray(X, np.float64)
        out = np.empty((len(values), len(self.classes_)), np.float64)
        radial_scores(values, np.ascontiguousarray(self.centres_.T), self.weights_, self.offset_, self.gamma_, out)
        return out

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Give the probability of each class, (n, classes)."""
        scores = self.decision_function(X) * self.temperature_
        out = np.empty(scores.shape, np.float32)
        softmax(scores, out)
        return out

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Give the most probable class of each row; of equal ones the first."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def _wrong(self, scores: NDArray[np.float64], number: Rows) -> float:
        """Give the share of samples, or its mean over the classes, whose class has not the highest score."""
        wrong = scores.argmax(axis=1) != number
        if self.score == "accuracy":
            return float(wrong.mean())
        return float(np.mean(np.bincount(number, wrong) / np.bincount(number)))

    def _weight(self, number: Rows) -> NDArray[np.float64]:
        """Give the weight of each sample, 1 on average."""
        if self.class_weight is None:
            return np.ones(len(number))
        counts = np.bincount(number)
        return np.asarray(len(number) / (len(counts) * counts[number]), np.float64)

    def _solve(
        self, alike: NDArray[np.float64], target: NDArray[np.float64], ridge: NDArray[np.float64], parts: list[Rows]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Solve the regression; give its weights, and what is said of each fold without it, less the offset."""
        system = alike.copy()
        system[np.diag_indices_from(system)] += ridge
        inverse = _inverse(system)
        wanted = target - self.offset_
        weights = inverse @ wanted
        held_out = np.empty_like(wanted)
        for rows in parts:
            held_out[rows] = wanted[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], weights[rows])
        return weights, held_out


class Ensemble(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """The mean of the probabilities of fitted members that know the same classes.

    Parameters
    ----------
    members : sequence of (name, fitted estimator)

    Attributes
    ----------
    classes_, n_features_in_
        Those of the members.
    """

    def __init__(self, members: Sequence[tuple[str, Any]]) -> None:
        self.members = members
        self.classes_ = np.asarray(members[0][1].classes_)
        self.n_features_in_ = int(members[0][1].n_features_in_)
        for name, member in members:
            if not np.array_equal(member.classes_, self.classes_) or member.n_features_in_ != self.n_features_in_:
                raise InputError("a member of the ensemble has other classes or features", where=name)

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn every member anew, with the parameters it has."""
        from sklearn.base import clone

        self.members = [(name, clone(member).fit(X, y)) for name, member in self.members]
        self.classes_ = np.asarray(self.members[0][1].classes_)
        self.n_features_in_ = int(self.members[0][1].n_features_in_)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Give the probability of each class, (n, classes)."""
        values = np.asarray(X)
        total = np.zeros((len(values), len(self.classes_)), np.float64)
        for _, member in self.members:
            total += member.predict_proba(values)
        return total / len(self.members)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Give the most probable class of each row; of equal ones the first."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class Recoded(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A fitted estimator of the classes 0, 1, ... that answers in codes.

    Parameters
    ----------
    estimator : fitted estimator
    classes : (classes,) array
        The code of each of its classes.
    """

    def __init__(self, estimator: Any, classes: NDArray[np.int64]) -> None:
        self.estimator = estimator
        self.classes = classes
        self.classes_ = np.asarray(classes)
        self.n_features_in_ = int(estimator.n_features_in_)

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the estimator anew."""
        self.classes_, number = np.unique(np.asarray(y), return_inverse=True)
        self.classes = self.classes_
        self.estimator.fit(X, number)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Give the probability of each class, (n, classes)."""
        return np.asarray(self.estimator.predict_proba(np.asarray(X, np.float32)), np.float32)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Give the most probable class of each row; of equal ones the first."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


def folds_of(number: Rows, groups: ArrayLike | None, seed: int, *, folds: int = _FOLDS) -> list[tuple[Rows, Rows]]:
    """Share out samples: whole groups if there are some, else every class evenly; fewer folds if there are few.

    Gives (rows to learn from, rows held out) of each fold.

    Raises
    ------
    InputError
        If there is a single group.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    if groups is not None:
        member = np.unique(np.asarray(groups), return_inverse=True)[1]
        count = min(folds, int(member.max()) + 1)
        if count < 2:
            raise InputError("folds need at least two groups", where="groups", got="one")
        return list(GroupKFold(count, shuffle=True, random_state=seed).split(number, groups=member))
    least = int(np.bincount(number).min())
    if least < 2:
        return list(KFold(min(folds, len(number)), shuffle=True, random_state=seed).split(number))
    return list(StratifiedKFold(min(folds, least), shuffle=True, random_state=seed).split(number, number))


def _parts(number: Rows, groups: ArrayLike | None, seed: int) -> list[Rows]:
    if groups is not None and len(np.unique(np.asarray(groups))) < 2:
        groups = None
    return [test for _, test in folds_of(number, groups, seed)]


def _squares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the squared distances of all pairs."""
    from sklearn.metrics import euclidean_distances

    found: NDArray[np.float64] = euclidean_distances(values, squared=True)
    return found


def _inverse(system: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a symmetric positive definite matrix, which is lost; half the work of solving for the identity."""
    from scipy.linalg import cho_factor
    from scipy.linalg.lapack import dpotri

    half = np.tril(dpotri(cho_factor(system, lower=True, overwrite_a=True)[0], lower=True)[0])
    found: NDArray[np.float64] = half + np.tril(half, -1).T
    return found


def _temper(scores: NDArray[np.float64], number: Rows) -> tuple[float, float]:
    """Find the temperature with the smallest log loss; both."""
    best = (np.inf, 1.0)
    for temperature in _TEMPERATURES:
        scaled = scores * temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        chosen = scaled[np.arange(len(number)), number]
        loss = float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - chosen))
        best = min(best, (loss, float(temperature)))
    return best
