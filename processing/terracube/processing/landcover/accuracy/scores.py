"""Scores of a classification: the confusion matrix, what is computed from it, and its spread over repetitions.

Rows are what the map or model says, columns what the reference says. These scores weigh every sample alike; what they
mean for a whole map needs the design of the sample, see :mod:`terracube.processing.landcover.accuracy.olofsson`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError

_MOST_CLASSES = 10_000


@dataclass(frozen=True, eq=False, slots=True)
class Confusion:
    """How often each class of the map met each class of the reference."""

    codes: tuple[int, ...]
    """Class codes, ascending: of rows and of columns."""
    counts: NDArray[np.float64]
    """(class, class): rows = map, columns = reference; numbers of samples, or sums of their weights."""

    @property
    def total(self) -> float:
        """Number of samples, or the sum of their weights."""
        return float(self.counts.sum())

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {"codes": list(self.codes), "counts": self.counts.tolist(), "rows": "map", "columns": "reference"}


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """What one confusion matrix says; NaN where there is nothing to divide by."""

    codes: tuple[int, ...]
    overall: float
    """Share of samples that agree."""
    kappa: float
    """Agreement beyond chance (Cohen 1960); NaN if both sides know one class alone."""
    balanced: float
    """Mean producer's accuracy of the classes that the reference holds."""
    macro_f1: float
    """Mean F1 of the classes that the map or the reference holds."""
    users: NDArray[np.float64]
    """User's accuracy (precision) by class; NaN for a class that the map does not hold."""
    producers: NDArray[np.float64]
    """Producer's accuracy (recall) by class; NaN for a class that the reference does not hold."""
    f1: NDArray[np.float64]
    """Harmonic mean of both by class; NaN for a class that neither holds."""
    support: NDArray[np.float64]
    """Samples of the reference by class."""

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values; NaN becomes null."""
        return {
            "overall": number(self.overall),
            "kappa": number(self.kappa),
            "balanced": number(self.balanced),
            "macro_f1": number(self.macro_f1),
            "classes": [
                {"code": code, "users": number(u), "producers": number(p), "f1": number(f), "support": number(s)}
                for code, u, p, f, s in zip(self.codes, self.users, self.producers, self.f1, self.support, strict=True)
            ],
        }


@dataclass(frozen=True, slots=True)
class Spread:
    """A score over repetitions: its mean, and how sure the mean is."""

    mean: float
    sd: float
    """Standard deviation of one repetition; NaN for a single one."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    count: int
    """Repetitions that have a value."""

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values; NaN becomes null."""
        return {
            "mean": number(self.mean),
            "sd": number(self.sd),
            "low": number(self.low),
            "high": number(self.high),
            "count": self.count,
        }


@dataclass(frozen=True, slots=True)
class ScoreSpread:
    """All scores over repetitions."""

    codes: tuple[int, ...]
    overall: Spread
    kappa: Spread
    balanced: Spread
    macro_f1: Spread
    users: tuple[Spread, ...]
    producers: tuple[Spread, ...]
    f1: tuple[Spread, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        whole = {name: getattr(self, name).as_dict() for name in ("overall", "kappa", "balanced", "macro_f1")}
        rows = zip(self.codes, self.users, self.producers, self.f1, strict=True)
        classes = [
            {"code": code, "users": u.as_dict(), "producers": p.as_dict(), "f1": f.as_dict()} for code, u, p, f in rows
        ]
        return {**whole, "classes": classes}


def confusion(
    mapped: ArrayLike, reference: ArrayLike, *, codes: Iterable[int] | None = None, weights: ArrayLike | None = None
) -> Confusion:
    """Count how often each class of the map meets each class of the reference.

    Parameters
    ----------
    mapped, reference : array of int, (n,)
        Class codes of the same samples.
    codes : iterable of int, optional
        The classes; without it those that occur.
    weights : array of float, (n,), optional
        Weight of each sample, finite and not negative; 1 without it.

    Raises
    ------
    InputError
        If there is no sample, the lengths differ, or a code is no whole number or not one of ``codes``.

    Examples
    --------
    >>> confusion([1, 1, 2], [1, 2, 2]).counts.tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    rows, columns = as_codes(mapped, "mapped"), as_codes(reference, "reference")
    if rows.size != columns.size or not rows.size:
        raise InputError(
            "there must be one map class for each reference class, and at least one",
            where="mapped, reference",
            got=f"{rows.size} and {columns.size}",
        )
    seen = np.unique(np.concatenate([rows, columns]))
    known = seen if codes is None else np.unique(as_codes(list(codes), "codes"))
    if known.size > _MOST_CLASSES:
        raise InputError("too many classes", where="codes", expected=f"at most {_MOST_CLASSES}", got=str(known.size))
    unknown = np.setdiff1d(seen, known)
    if unknown.size:
        raise InputError(
            "a sample has an unknown class", where="codes", expected=_some(known), got=_some(unknown), todo="add it"
        )
    share = np.ones(rows.size) if weights is None else _weights(weights, rows.size)
    place = np.searchsorted(known, rows) * known.size + np.searchsorted(known, columns)
    counts = np.bincount(place, share, known.size**2).reshape(known.size, known.size)
    return Confusion(tuple(known.tolist()), counts)


def scores(matrix: Confusion) -> Scores:
    """Compute the scores of a confusion matrix.

    Parameters
    ----------
    matrix : Confusion

    Returns
    -------
    Scores
        ``kappa = (p_o - p_e) / (1 - p_e)``, F1 = 2 n_ii / (n_i. + n_.i).

    Raises
    ------
    InputError
        If the matrix holds no sample.

    References
    ----------
    Cohen 1960, A coefficient of agreement for nominal scales, doi:10.1177/001316446002000104.

    Examples
    --------
    >>> found = scores(confusion([1, 1, 2, 2], [1, 1, 2, 1]))
    >>> found.overall, found.kappa, found.users.tolist()
    (0.75, 0.5, [1.0, 0.5])
    """
    counts, total = matrix.counts, matrix.total
    if total <= 0:
        raise InputError("there is no sample to score", where="matrix", got="a sum of 0")
    right, rows, columns = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    overall, chance = float(right.sum() / total), float((rows * columns).sum() / total**2)
    producers, f1 = ratio(right, columns), ratio(2 * right, rows + columns)
    return Scores(
        codes=matrix.codes,
        overall=overall,
        kappa=(overall - chance) / (1 - chance) if chance < 1 else math.nan,
        balanced=float(np.nanmean(producers)),
        macro_f1=float(np.nanmean(f1)),
        users=ratio(right, rows),
        producers=producers,
        f1=f1,
        support=columns,
    )


def spread(values: ArrayLike, *, level: float = 0.95) -> Spread:
    """Give the mean of a score over repetitions with Student's interval of that mean; NaN are left out.

    The interval tells what other seeds would change. It is not the error that a finite reference makes: repetitions
    share their samples.

    Parameters
    ----------
    values : array of float, (repetition,)
    level : float
        Confidence level of the interval, between 0 and 1.

    Examples
    --------
    >>> found = spread([0.8, 0.9])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (0.85, 0.215, 1.485)
    """
    from scipy.special import stdtrit

    check_level(level)
    known = np.asarray(values, "float64").ravel()
    known = known[np.isfinite(known)]
    count = int(known.size)
    if not count:
        return Spread(math.nan, math.nan, math.nan, math.nan, 0)
    mean = float(known.mean())
    if count == 1:
        return Spread(mean, math.nan, math.nan, math.nan, 1)
    sd = float(known.std(ddof=1))
    half = float(stdtrit(count - 1, 0.5 + level / 2)) * sd / math.sqrt(count)
    return Spread(mean, sd, mean - half, mean + half, count)


def spread_scores(found: Sequence[Scores], *, level: float = 0.95) -> ScoreSpread:
    """Give every score over repetitions, each as :func:`spread` does.

    Raises
    ------
    InputError
        If there is none, or their classes differ.
    """
    if not found or any(one.codes != found[0].codes for one in found):
        raise InputError("the repetitions need the same classes", where="found", got=f"{len(found)} repetitions")

    def whole(name: str) -> Spread:
        return spread([getattr(one, name) for one in found], level=level)

    def by_class(name: str) -> tuple[Spread, ...]:
        stacked = np.stack([getattr(one, name) for one in found])
        return tuple(spread(column, level=level) for column in stacked.T)

    return ScoreSpread(
        found[0].codes,
        whole("overall"),
        whole("kappa"),
        whole("balanced"),
        whole("macro_f1"),
        by_class("users"),
        by_class("producers"),
        by_class("f1"),
    )


def as_codes(values: ArrayLike, where: str) -> NDArray[np.int64]:
    """Bring class codes to int64; whole floats are accepted, anything else is refused by name."""
    given = np.asarray(values)
    if given.size == 0:
        return np.zeros(0, np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iufb":
        raise InputError(
            "class codes are a list of whole numbers", where=where, got=f"{given.dtype}, {given.ndim} dimensions"
        )
    if given.dtype.kind == "f" and not (np.isfinite(given) & (given == np.rint(given))).all():
        wrong = given[~(np.isfinite(given) & (given == np.rint(given)))][0]
        raise InputError("a class code is no whole number", where=where, got=repr(float(wrong)))
    return given.astype(np.int64)


def ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; NaN where there is nothing to divide by."""
    shares: NDArray[np.float64] = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under > 0)
    return shares


def number(value: float) -> float | None:
    """Give a number that JSON knows; NaN and infinities become null."""
    return float(value) if math.isfinite(value) else None


def check_level(level: float) -> None:
    """Refuse a confidence level that is none."""
    if not 0 < level < 1:
        raise InputError("a confidence level lies between 0 and 1", where="level", expected="like 0.95", got=f"{level}")


def _weights(values: ArrayLike, size: int) -> NDArray[np.float64]:
    weights = np.asarray(values, "float64")
    if weights.shape != (size,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError("weights are finite numbers from 0, one for each sample", where="weights")
    return weights


def _some(values: NDArray[np.int64]) -> str:
    told = ", ".join(str(value) for value in values[:12].tolist())
    return f"{told}, ... ({values.size} in all)" if values.size > 12 else told
