"""Statistics of the pixels of a polygon, from parts over fixed tiles, so that no cutting changes a bit.

Moments of a part are its number, mean and sum of squared deviations; parts are joined in the order of the tiles (Chan,
Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115). Quantiles are exact, from all values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from terracube.core.errors import InputError

COUNT, MEAN, SQUARES, LEAST, MOST = range(5)
MOMENTS = 5
_NAMED = ("count", "mean", "std", "min", "max", "sum", "median")
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,6})?)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which statistics are asked for, in order."""

    names: tuple[str, ...]
    fractions: tuple[float, ...]
    """Quantiles that they need, in [0, 1]."""


def to_wanted(stats: str | Sequence[str]) -> Wanted:
    """Check names of statistics.

    Raises
    ------
    InputError
        If one is unknown or named twice.
    """
    names = (stats,) if isinstance(stats, str) else tuple(stats)
    fractions = {_fraction(name) for name in names if name not in _NAMED or name == "median"}
    if len(set(names)) < len(names) or not names:
        raise InputError("the same statistic twice, or none", where="stats", expected="different names", got=str(names))
    return Wanted(names, tuple(sorted(fractions)))


def _fraction(name: str) -> float:
    found = _PERCENTILE.fullmatch(name) if isinstance(name, str) else None
    percent = 50.0 if name == "median" else float(found[1]) if found else math.inf
    if percent > 100:
        expected = ", ".join(_NAMED) + ", p0 to p100"
        raise InputError("unknown statistic", where="stats", expected=expected, got=repr(name))
    return percent / 100


def columns(
    wanted: Wanted, moments: NDArray[np.float64], quantiles: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Give each statistic from moments (..., moment) and quantiles (..., fraction)."""
    count, mean = moments[..., COUNT], moments[..., MEAN]
    seen = count > 0
    std = np.sqrt(np.divide(moments[..., SQUARES], count, out=np.full(count.shape, np.nan), where=seen))
    known = {
        "count": count.astype(np.int64),
        "mean": mean,
        "std": std,
        "min": moments[..., LEAST],
        "max": moments[..., MOST],
        "sum": np.where(seen, mean * count, np.nan),
    }
    order = {fraction: quantiles[..., place] for place, fraction in enumerate(wanted.fractions)}
    return {name: known[name] if name in known else order[_fraction(name)] for name in wanted.names}


@njit(nogil=True, error_model="numpy")
def moments_of(values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write the moments of every row of values (time, pixel), NaN left out, to ``out`` (time, moment)."""
    for time in range(values.shape[0]):
        count, total, least, most = 0, 0.0, np.inf, -np.inf
        for pixel in range(values.shape[1]):
            value = values[time, pixel]
            if value == value:
                count += 1
                total += value
                least, most = min(least, value), max(most, value)
        mean, squares, rest = total / count, 0.0, 0.0
        for pixel in range(values.shape[1]):
            value = values[time, pixel]
            if value == value:
                squares += (value - mean) ** 2
                rest += value - mean
        # The sum of the deviations would be 0 without rounding: what it is corrects the mean and the squares.
        out[time, COUNT], out[time, MEAN] = count, mean + rest / count
        out[time, SQUARES] = max(squares - rest * rest / count, 0.0)
        out[time, LEAST], out[time, MOST] = (least, most) if count > 0 else (np.nan, np.nan)


def join(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join the moments (..., moment) of parts, in their order."""
    total = parts[0].copy()
    for part in parts[1:]:
        one, two = total[..., COUNT].copy(), part[..., COUNT]
        both = one + two
        share = np.divide(two, both, out=np.zeros_like(both), where=both > 0)
        apart = np.where((one > 0) & (two > 0), part[..., MEAN] - total[..., MEAN], 0.0)
        first = np.where(one > 0, total[..., MEAN], part[..., MEAN])
        total[..., SQUARES] += part[..., SQUARES] + apart * apart * one * share
        total[..., MEAN] = first + np.where(one > 0, apart * share, 0.0)
        total[..., COUNT] = both
        total[..., LEAST] = np.fmin(total[..., LEAST], part[..., LEAST])
        total[..., MOST] = np.fmax(total[..., MOST], part[..., MOST])
    return total


@njit(nogil=True, error_model="numpy")
def quantiles_of(values: NDArray[np.float64], fractions: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write quantiles of every row of values (time, pixel), NaN left out, linear between values, to ``out``."""
    for time in range(values.shape[0]):
        row = values[time]
        seen = np.sort(row[row == row])
        for place in range(fractions.size):
            out[time, place] = np.nan
            if seen.size > 0:
                position = fractions[place] * (seen.size - 1)
                below = min(math.floor(position), seen.size - 1)
                one, two, part = seen[below], seen[min(below + 1, seen.size - 1)], position - below
                out[time, place] = one if (part == 0.0) | (one == two) else two - (two - one) * (1.0 - part)
