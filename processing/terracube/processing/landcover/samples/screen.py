"""Screening: whether samples are enough to learn from, and which of them look wrong. Nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import BudgetError, InputError
from terracube.processing.landcover.samples.places import Samples
from terracube.processing.landcover.samples.series import Series

# Scale of the median absolute deviation of a normal distribution.
_NORMAL = 1.4826
# Samples of a class that a typical distance needs; rows that are compared at once; samples that may be.
_LEAST, _ROWS, _MOST_SAMPLES = 3, 256, 100_000
_REASONS = {
    (False, False): "",
    (True, False): "its neighbours have other labels",
    (False, True): "it lies far from its class",
    (True, True): "its neighbours have other labels, and it lies far from its class",
}


def check_classes(samples: Samples | Series, *, required: Collection[int] = (), least: int = 2) -> None:
    """Refuse samples that nothing can be learnt from.

    Parameters
    ----------
    samples : Samples or Series
        What is to be learnt from.
    required : collection of int
        Codes that must have samples.
    least : int
        Number of samples that each class must have.

    Raises
    ------
    InputError
        If there is only one class, a required class has no sample, or a class has too few.
    """
    counts = samples.classes
    known = samples.nomenclature
    told = {code: (known.of(code).name if known else str(code)) for code in {*counts, *required}}
    absent = [told[code] for code in sorted(set(required) - set(counts))]
    if absent:
        raise InputError("a class has no samples", where="samples", expected="samples of it", got=", ".join(absent))
    if len(counts) < 2:
        got = ", ".join(told[code] for code in counts) or "none"
        raise InputError("there is nothing to tell apart", where="samples", expected="two classes or more", got=got)
    few = [f"{told[code]}: {count}" for code, count in counts.items() if count < least]
    if few:
        raise InputError(
            "a class has too few samples",
            where="samples",
            expected=f"at least {least} each",
            got=", ".join(few),
            todo="give more samples, join it with another class, or leave it out with ignore=",
        )


def outliers(
    samples: Series, features: ArrayLike | None = None, *, neighbours: int = 15, share: float = 0.2, far: float = 4.0
) -> pd.DataFrame:
    """Report samples whose neighbours in feature space have other labels, or that lie far from their class.

    Features are scaled by their median and median absolute deviation. Of each sample the nearest ``neighbours`` that
    are not of its own group vote; a vote of a class counts 1 over its number of samples, so that large classes do not
    outvote small ones. This is the rule of edited nearest neighbours (Wilson 1972, 10.1109/TSMC.1972.4309137) with a
    threshold, told and not applied. A sample is far if its mean distance to the nearest of its own label in other
    groups is more than ``far`` times the median of its class.

    Parameters
    ----------
    samples : Series
        Labelled series.
    features : array_like, optional
        (n, F) finite features; without it the values of the series, which must not have gaps.
    neighbours : int
        How many vote.
    share : float
        A sample is suspect if less than this share of the votes is for its label.
    far : float
        A sample is suspect if it is farther than so many times the median.

    Returns
    -------
    pandas.DataFrame
        One row per sample, in their order: ``sample``, ``label``, ``own_share`` (0 to 1), ``nearest_label`` (most
        votes, the lowest code of equals), ``distance`` (times the median of its class, NaN where it has fewer than
        three samples in other groups), ``suspect`` and ``reason``. It does not depend on the order of the samples.

    Raises
    ------
    InputError
        If features are missing or not finite, or a number is unusable.

    Examples
    --------
    >>> from terracube.processing.landcover.samples.series import make_series
    >>> values = np.r_[np.linspace(0, 1, 20), np.linspace(5, 6, 20), 5.5].reshape(-1, 1, 1)
    >>> found = outliers(make_series(values, [0], ["red"], [1] * 20 + [2] * 20 + [1]), neighbours=5)
    >>> found[found["suspect"]][["sample", "label", "nearest_label"]].to_numpy().tolist()
    [['40', 1, 2]]
    """
    _check_numbers(neighbours, share, far)
    table = _features(samples, features)
    order = np.argsort(samples.sample, kind="stable")  # what is equally near is taken by name
    codes, number, counts = np.unique(samples.labels[order], return_inverse=True, return_counts=True)
    votes, distance = _compare(table[order], samples.groups[order], number, neighbours)
    scaled = votes / counts
    scaled /= np.maximum(scaled.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    own, away = scaled[np.arange(len(number)), number], _relative(distance, number)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    strange, lonely = (own < share)[back], (away > far)[back]
    return pd.DataFrame(
        {
            "sample": samples.sample.astype(object),
            "label": samples.labels,
            "own_share": own[back],
            "nearest_label": codes[scaled.argmax(axis=1)][back],
            "distance": away[back],
            "suspect": strange | lonely,
            "reason": [_REASONS[one, two] for one, two in zip(strange.tolist(), lonely.tolist(), strict=True)],
        }
    )


def _check_numbers(neighbours: int, share: float, far: float) -> None:
    whole = isinstance(neighbours, int) and not isinstance(neighbours, bool) and 1 <= neighbours <= 1000
    if not (whole and 0 <= share <= 1 and far > 0):
        expected = "neighbours 1 to 1000, share 0 to 1, far above 0"
        raise InputError("samples cannot be screened so", expected=expected, got=f"{neighbours}, {share}, {far}")


def _features(samples: Series, features: ArrayLike | None) -> NDArray[np.float64]:
    """Give features scaled to like spread; what does not vary counts for nothing."""
    told = samples.table()[0] if features is None else features
    table = np.asarray(told, dtype=np.float64)
    n = len(samples)
    if table.ndim != 2 or len(table) != n or not table.shape[1] or not np.isfinite(table).all():
        got = f"{table.shape}" if table.shape[:1] != (n,) else "missing values"
        todo = "fill the gaps first, or give features"
        raise InputError("these are no features", where="features", expected=f"({n}, F) finite", got=got, todo=todo)
    if n > _MOST_SAMPLES:
        raise BudgetError(
            "all samples are compared with all",
            expected=f"at most {_MOST_SAMPLES}",
            got=str(n),
            todo="balance them first",
        )
    centre = np.median(table, axis=0)
    spread = _NORMAL * np.median(np.abs(table - centre), axis=0)
    spread = np.where(spread > 0, spread, table.std(axis=0))
    return (table - centre) / np.where(spread > 0, spread, 1.0)


def _compare(
    table: NDArray[np.float64], groups: NDArray[np.int64], number: NDArray[np.int64], neighbours: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the votes (n, classes) of the nearest of other groups, and the mean distance to those of the own class."""
    n, squares = len(table), (table**2).sum(axis=1)
    votes, distance = np.zeros((n, int(number.max()) + 1)), np.full(n, np.nan)
    for first in range(0, n, _ROWS):
        rows = np.arange(first, min(first + _ROWS, n))
        apart = squares[rows, None] + squares - 2 * (table[rows] @ table.T)
        apart = np.sqrt(np.maximum(apart, 0.0))
        apart[groups[rows, None] == groups] = np.inf
        nearest, how_far = _nearest(apart, neighbours)
        for at in range(nearest.shape[1]):
            np.add.at(votes, (rows, number[nearest[:, at]]), np.isfinite(how_far[:, at]))
        apart[number[rows, None] != number] = np.inf
        own = _nearest(apart, neighbours)[1]
        known = np.isfinite(own)
        enough = known.sum(axis=1) >= min(_LEAST, neighbours)
        total = np.where(known, own, 0.0).sum(axis=1)
        distance[rows[enough]] = (total / np.maximum(known.sum(axis=1), 1))[enough]
    return votes, distance


def _nearest(apart: NDArray[np.float64], neighbours: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    count = min(neighbours, apart.shape[1])
    chosen = np.argpartition(apart, count - 1, axis=1)[:, :count]
    return chosen, np.take_along_axis(apart, chosen, axis=1)


def _relative(distance: NDArray[np.float64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide each distance by the median of its class."""
    found = np.full(len(distance), np.nan)
    for one in np.unique(number):
        members = np.flatnonzero((number == one) & np.isfinite(distance))
        if len(members) < _LEAST:
            continue
        middle = np.median(distance[members])
        beyond = np.where(distance[members] > 0, np.inf, 1.0)
        found[members] = distance[members] / middle if middle > 0 else beyond
    return found
