"""Dividing samples: what belongs together stays together, and every class and region keeps its share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.samples.draw import draws
from terracube.processing.landcover.samples.places import Samples
from terracube.processing.landcover.samples.series import Series

_BY = ("polygon", "sample")
_STRATA = ("class", "region")


def split[Kind: (Samples, Series)](
    samples: Kind,
    *,
    fraction: float = 0.3,
    seed: int = 0,
    by: str | ArrayLike = "polygon",
    stratify: Collection[str] = ("class", "region"),
) -> tuple[Kind, Kind]:
    """Divide samples into two parts, for training and for validation.

    In each stratum, ``fraction`` of the groups (rounded; at least one, and at least one is left, where there are two
    or more) goes to the second part; a stratum of one group goes to the first whole. Which groups are drawn depends on
    the seed and on the names of their samples, not on their order, nor on the groups of other strata.

    Parameters
    ----------
    samples : Samples or Series
        What is divided.
    fraction : float
        Part of the groups that goes to the second part, between 0 and 1.
    seed : int
        Another seed draws others.
    by : "polygon", "sample" or array of int
        What is never divided: groups, single samples, or samples of one number (see :func:`blocks`).
    stratify : collection of str
        ``"class"``, ``"region"``, both or none. A group with several classes or regions is of its most frequent one.

    Returns
    -------
    training, validation : of the kind that was given
        Each in the order of the samples.

    Raises
    ------
    InputError
        If a choice is unknown, or a part would be empty.

    Examples
    --------
    >>> from terracube.processing.landcover.samples.series import make_series
    >>> every = make_series(np.zeros((10, 1, 1)), [0], ["red"], [1] * 6 + [2] * 4, groups=np.arange(10) // 2)
    >>> training, validation = split(every, fraction=0.4)
    >>> training.classes, validation.classes
    ({1: 4, 2: 2}, {1: 2, 2: 2})
    """
    if not 0 < fraction < 1:
        raise InputError("this is no part of the samples", where="fraction", expected="0 < f < 1", got=str(fraction))
    group = _groups(samples, by)
    stratum = _strata(samples, stratify)
    chosen = _drawn(samples.sample, group, stratum, fraction, seed)
    if chosen.all() or not chosen.any():
        raise InputError(
            "a part would be empty",
            where="split",
            expected="two groups of one class at least",
            got=f"{len(np.unique(group))} groups in {len(np.unique(stratum))} strata",
            todo="give more samples, or divide by 'sample'",
        )
    return samples.take(~chosen), samples.take(chosen)


def blocks(lon: ArrayLike, lat: ArrayLike, size: float) -> NDArray[np.int64]:
    """Give the number of the square block that holds each place: groups for spatial cross-validation.

    Blocks begin at multiples of ``size``: (floor(lon / size), floor(lat / size)), as Mato Grosso is validated with half
    a degree. The number depends on the place and the size alone.

    Parameters
    ----------
    lon, lat : array_like
        (n,) degrees, or metres with ``size`` in metres.
    size : float
        Side of a block, above 0.

    Raises
    ------
    InputError
        If a place is not finite, or the size is unusable.

    Examples
    --------
    >>> numbers = blocks([-55.2, -55.4, -55.6], [-10.8, -10.9, -10.8], 0.5)
    >>> numbers[0] == numbers[1], numbers[0] == numbers[2]
    (np.True_, np.False_)
    """
    if not (np.isfinite(size) and size > 0):
        raise InputError("this is no size of blocks", where="size", expected="> 0", got=str(size))
    x, y = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    cells = np.stack([np.floor(y / size), np.floor(x / size)])
    if x.shape != y.shape or not (np.isfinite(cells) & (np.abs(cells) < 2**31)).all():
        raise InputError("a sample has no place", where="lon, lat", expected="finite numbers", got="missing or too far")
    row, col = cells.astype(np.int64)
    return np.asarray(row * 2**32 + col, np.int64)


def balance[Kind: (Samples, Series)](
    samples: Kind, *, most: int | str | None = "median", seed: int = 0, weigh: bool = False
) -> Kind:
    """Make classes more alike in number: those with too many samples lose some, or all get weights.

    Samples are drawn in turns from the groups of a class, so that a large polygon does not crowd out small ones. What
    is drawn depends on the seed and the names, not on the order.

    Parameters
    ----------
    samples : Samples or Series
        What is balanced.
    most : int, "median", "smallest" or None
        How many samples a class may keep: a number, the median of the counts (rounded up), the smallest count, or all.
    seed : int
        Another seed draws others.
    weigh : bool
        Set weights such that classes weigh alike and a sample weighs 1 on average: n / (classes x samples of its
        class), times the weight it has.

    Returns
    -------
    Samples or Series
        In the order of the samples.

    Raises
    ------
    InputError
        If ``most`` is none of these.

    Examples
    --------
    >>> from terracube.processing.landcover.samples.series import make_series
    >>> every = make_series(np.zeros((9, 1, 1)), [0], ["red"], [1] * 7 + [2] * 2)
    >>> balance(every, most=3).classes
    {1: 3, 2: 2}
    """
    limit = _limit(samples, most)
    found = samples if limit is None else samples.take(_thinned(samples, limit, seed))
    return found.with_weight(_weights(found)) if weigh else found


def _groups(samples: Samples | Series, by: Any) -> NDArray[np.int64]:
    if isinstance(by, str):
        if by not in _BY:
            expected = f"{', '.join(_BY)}, or a number per sample"
            raise InputError("samples are not divided by this", where="by", expected=expected, got=by[:60])
        return samples.groups if by == "polygon" else np.arange(len(samples))
    group = np.asarray(by)
    if group.shape != (len(samples),):
        raise InputError("these are no groups", where="by", expected=f"({len(samples)},)", got=str(group.shape))
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def _strata(samples: Samples | Series, stratify: Collection[str]) -> NDArray[np.int64]:
    """Number the classes and regions of samples together."""
    wanted = {stratify} if isinstance(stratify, str) else set(stratify)
    if wanted - set(_STRATA):
        raise InputError(
            "unknown stratum", where="stratify", expected=", ".join(_STRATA), got=str(sorted(wanted))[:100]
        )
    stratum = np.zeros(len(samples), np.int64)
    for name, values in (("class", samples.labels), ("region", samples.region)):
        if name in wanted:
            kinds, number = np.unique(values, return_inverse=True)
            stratum = stratum * len(kinds) + number
    return stratum


def _drawn(
    names: NDArray[np.str_], group: NDArray[np.int64], stratum: NDArray[np.int64], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Tell which samples are in groups that are drawn."""
    numbers, place = np.unique(group, return_inverse=True)
    key = np.full(len(numbers), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(key, place, draws(seed, names))
    main = _most_frequent(place, stratum, len(numbers))
    taken = np.zeros(len(numbers), np.bool_)
    for one in np.unique(main):
        members = np.flatnonzero(main == one)
        count = int(np.floor(fraction * len(members) + 0.5))
        count = min(max(count, 1), len(members) - 1)
        taken[members[np.argsort(key[members], kind="stable")[:count]]] = True
    return np.asarray(taken[place])


def _most_frequent(place: NDArray[np.int64], stratum: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Give the most frequent stratum of each group, the lowest of equals."""
    pairs, counts = np.unique(np.stack([place, stratum]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], -counts, pairs[0]))
    owner = pairs[0][order]
    first = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    main = np.zeros(groups, np.int64)
    main[owner[first]] = pairs[1][order][first]
    return main


def _limit(samples: Samples | Series, most: int | str | None) -> int | None:
    counts = list(samples.classes.values())
    if most is None:
        return None
    if isinstance(most, int) and not isinstance(most, bool) and most >= 1:
        return most
    if most == "median":
        return int(np.ceil(np.median(counts)))
    if most == "smallest":
        return min(counts)
    raise InputError("unknown number of samples", where="most", expected=">= 1, median, smallest", got=str(most)[:60])


def _thinned(samples: Samples | Series, limit: int, seed: int) -> NDArray[np.int64]:
    """Give the samples that stay: of each class the first of all groups, then the second, and so on."""
    key = draws(seed, samples.sample)
    labels, group = samples.labels, samples.groups
    order = np.lexsort((key, group, labels))
    start = np.concatenate(
        [[True], (labels[order][1:] != labels[order][:-1]) | (group[order][1:] != group[order][:-1])]
    )
    first = np.maximum.accumulate(np.where(start, np.arange(len(order)), 0))
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order)) - first
    ranked = np.lexsort((key, turn, labels))
    begin = np.searchsorted(labels[ranked], labels[ranked])
    return np.sort(ranked[np.arange(len(ranked)) - begin < limit])


def _weights(samples: Samples | Series) -> NDArray[np.float64]:
    counts = samples.classes
    share = {code: len(samples) / (len(counts) * count) for code, count in counts.items()}
    return np.asarray(samples.weight * np.array([share[code] for code in samples.labels.tolist()]))
