"""Where a model knows what it says: the domain of its training samples, and pixels that lie outside.

A classifier answers for any pixel, also for one unlike all that it has seen. The dissimilarity of a pixel is its
distance to the nearest prototype of the training samples, in units of the largest distance that is usual between
samples and those of other places: that of held-out folds. Above 1 a pixel is outside: its class is a guess, and the
cross-validated accuracy says nothing about it. The idea is that of the area of applicability (Meyer and Pebesma, 2021,
doi:10.1111/2041-210X.13650); prototypes stand for the samples here, so that it costs little per pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels.domain import distances

_PREFIX = "domain_"
_AXES = 16
_PROTOTYPES = 64
_SHARE = 0.99
# Beyond the upper quartile by this many interquartile ranges, a distance is an outlier (Tukey).
LEAST = 10
"""Samples below which no domain is described."""
_WHISKER = 1.5
_FOLDS = 5

type Rows = NDArray[np.int64]


class _HasExtras(Protocol):
    @property
    def extras(self) -> Mapping[str, NDArray[Any]]: ...

    @property
    def features(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, eq=False, slots=True)
class Domain:
    """The domain of training samples with F features: Q axes of their scatter, K prototypes."""

    shift: NDArray[np.float32]
    """(F,) mean of each feature."""
    factor: NDArray[np.float32]
    """(F,) what a departure from it is multiplied with: weight over standard deviation."""
    axes: NDArray[np.float32]
    """(Q, F) orthonormal directions in which the scaled samples scatter most."""
    prototypes: NDArray[np.float32]
    """(K, Q) places among the samples, along the axes."""
    limit: NDArray[np.float32]
    """(1,) largest usual distance of held-out samples."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together: they may come from a file.

        Raises
        ------
        InputError
        """
        shapes = {
            "shift": self.shift.shape,
            "factor": self.shift.shape,
            "axes": (*self.axes.shape[:1], *self.shift.shape),
            "prototypes": (*self.prototypes.shape[:1], *self.axes.shape[:1]),
            "limit": (1,),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            fits = array.dtype == np.float32 and array.shape == shape and array.size > 0 and np.isfinite(array).all()
            _need(bool(fits), name, f"finite float32 {shape}", f"{array.dtype} {array.shape}")
        _need(self.shift.ndim == 1 and bool(self.limit[0] > 0), "limit", "above 0", str(self.limit.tolist())[:80])

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Give the arrays under the names by which a model stores them (``extras``)."""
        return {_PREFIX + field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, extras: Mapping[str, NDArray[Any]]) -> Domain | None:
        """Take the domain out of what travels with a model; ``None`` if there is none.

        Raises
        ------
        InputError
            If it is incomplete or damaged.
        """
        found = {field.name: extras.get(_PREFIX + field.name) for field in fields(cls)}
        if all(array is None for array in found.values()):
            return None
        lacking = [name for name, array in found.items() if array is None]
        _need(not lacking, "extras", "all arrays of a training domain", f"without {', '.join(lacking)}")
        return cls(**{name: np.ascontiguousarray(array) for name, array in found.items()})

    def dissimilarity(self, X: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Tell how unlike the training samples pixels are.

        Parameters
        ----------
        X : (F, n) array
            Features first, pixels innermost, as blocks of a cube come.

        Returns
        -------
        (n,) array of float32
            Above 1: outside. NaN where a feature is missing or infinite. The value of a pixel does not depend on the
            others.

        Raises
        ------
        InputError
            If X has another number of features.
        """
        _need(X.ndim == 2 and X.shape[0] == self.shift.size, "X", f"({self.shift.size} features, n)", str(X.shape))
        found = np.empty(X.shape[1], np.float32)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(X, np.float32)
        distances(values, self.shift, self.factor, self.axes, self.prototypes, found)
        # What is so far that its square is beyond float32 is far, not unknown.
        found[~np.isfinite(found)] = np.inf
        found[~np.isfinite(values).all(axis=0)] = np.nan
        return np.asarray(found / self.limit[0], np.float32)


def training_domain(
    X: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    prototypes: int = _PROTOTYPES,
    seed: int = 0,
) -> Domain:
    """Describe the domain of training samples by a few small arrays.

    Features are divided by their standard deviation and projected on the principal axes that hold 99 % of the scatter
    (at most 16); what the axes leave out counts in full. The prototypes are the centres of k-means, and the limit is
    the upper whisker (third quartile plus 1.5 interquartile ranges) of the distances of samples to the prototypes of
    the other folds.

    Parameters
    ----------
    X : (n, F) array
        Features of the training samples. Rows with a missing value are left out.
    groups : (n,) array, optional
        Samples that are held out together (polygon, spatial block): without, a limit is too low, as neighbours look
        alike, and more of other places seems unknown.
    weights : (F,) array, optional
        Importance of each feature, 0 or above: what the classifier does not look at need not be alike.
    prototypes : int
        At most so many, and at most one for every three samples.
    seed : int
        Of the folds and of k-means.

    Raises
    ------
    InputError
        If fewer than 10 samples are complete, or there is a single group.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> known = training_domain(X)
    >>> (known.dissimilarity(np.float32([[0.0, 30.0], [0.0, 30.0]])) > 1).tolist()
    [False, True]
    """
    values = np.asarray(X, np.float64)
    _need(values.ndim == 2, "X", "(n, features)", str(values.shape))
    complete = np.isfinite(values).all(axis=1)
    member = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    _need(member.shape == complete.shape, "groups", f"({len(values)},)", str(member.shape))
    values, member = values[complete], member[complete]
    # K-means and folds look at rows in their order, which must not matter.
    order = np.lexsort((*values.T[::-1], *([] if groups is None else [member])))
    values = values[order]
    member = np.arange(len(values)) if groups is None else np.unique(member[order], return_inverse=True)[1]
    _need(len(values) >= LEAST, "X", f"at least {LEAST} complete samples", str(len(values)))
    factor = _weighted(values, weights)
    held_out = np.empty(len(values), np.float32)
    for train, test in _folds(member, seed):
        part = _describe(values[train], factor, prototypes, seed)
        held_out[test] = Domain(**part, limit=np.ones(1, np.float32)).dissimilarity(values[test].T)
    low, high = np.quantile(held_out, [0.25, 0.75])
    limit = max(float(high + _WHISKER * (high - low)), float(np.finfo(np.float32).eps))
    return Domain(**_describe(values, factor, prototypes, seed), limit=np.array([limit], np.float32))


def outside(model: _HasExtras, X: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Flag pixels that lie outside the training domain of a model.

    Parameters
    ----------
    model : Model
        Whose ``extras`` hold its domain.
    X : (F, n) array
        Features first, pixels innermost.

    Returns
    -------
    (n,) array of float32
        1 outside, 0 inside, NaN where a feature is missing, and everywhere if the model does not tell its domain.

    Raises
    ------
    InputError
        If the domain is damaged or X has another number of features.
    """
    domain = Domain.from_arrays(model.extras)
    if domain is None:
        return np.full(X.shape[1], np.nan, np.float32)
    unlike = domain.dissimilarity(X)
    flag = (unlike > 1).astype(np.float32)
    flag[np.isnan(unlike)] = np.nan
    return flag


def _weighted(values: NDArray[np.float64], weights: ArrayLike | None) -> NDArray[np.float64]:
    """Give what each feature is multiplied with, so that the weighted features scatter by 1 on average."""
    spread = values.std(axis=0)
    # A feature that never changed says something as soon as it does, in its own unit.
    # Equal numbers have a spread of rounding errors, which says nothing.
    spread[np.ptp(values, axis=0) <= 1e-6 * np.abs(values).max(axis=0)] = 0.0
    factor = 1.0 / np.where(spread > 0, spread, 1.0)
    if weights is None:
        return factor
    given = np.asarray(weights, np.float64)
    good = given.shape == spread.shape and bool(np.isfinite(given).all() and (given >= 0).all() and given.any())
    _need(good, "weights", f"({spread.size},) numbers, none below 0, not all 0", str(given.shape))
    return factor * given / given.mean()


def _describe(
    values: NDArray[np.float64], factor: NDArray[np.float64], prototypes: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Find the mean, scale, axes and prototypes of samples."""
    from sklearn.cluster import KMeans

    shift = values.mean(axis=0)
    scaled = (values - shift) * factor
    power, vectors = np.linalg.eigh(scaled.T @ scaled)
    order = np.argsort(power)[::-1]
    share = np.cumsum(power[order]) / max(float(power.sum()), np.finfo(np.float64).tiny)
    count = min(int(np.searchsorted(share, _SHARE)) + 1, _AXES, power.size)
    axes = vectors[:, order[:count]].T
    many = max(1, min(prototypes, len(values) // 3))
    scores = scaled @ axes.T
    many = min(many, len(np.unique(scores, axis=0)))
    centres = KMeans(many, n_init=1, random_state=seed).fit(scores).cluster_centers_
    found = {"shift": shift, "factor": factor, "axes": axes, "prototypes": centres}
    return {name: np.ascontiguousarray(values, np.float32) for name, values in found.items()}


def _folds(member: Rows, seed: int) -> Iterator[tuple[Rows, Rows]]:
    from sklearn.model_selection import GroupKFold

    count = len(np.unique(member))
    _need(count > 1, "groups", "at least two groups", str(count))
    splitter = GroupKFold(min(_FOLDS, count), shuffle=True, random_state=seed)
    yield from splitter.split(member, groups=member)


def _need(fits: bool, where: str, expected: str, got: str) -> None:
    if not fits:
        raise InputError("the training domain cannot be described so", where=where, expected=expected, got=got)
