"""The network of a stack: dates as nodes, interferograms (or pairs of images) as edges between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.processing.kernels.laplacian import Elimination, eliminate

_DAY = 86_400e9
# Elimination is settled once in plain Python: beyond this it is no stack but a mistake.
_FIRST, _LAST = np.datetime64("1900-01-01", "s"), np.datetime64("2200-01-01", "s")
_MOST_DATES, _MOST_PAIRS = 4_000, 60_000


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Dates in order, and which of them each pair joins.

    Parameters
    ----------
    times : array (date,), datetime64[ns]
        Increasing, each once.
    pairs : array (pair, 2), int32
        Indices of the reference and the secondary date, the first smaller; ordered by both, each pair once.
    baselines : array (pair,), float64
        Perpendicular baselines, m; NaN where not told.
    """

    times: NDArray[np.datetime64]
    pairs: NDArray[np.int32]
    baselines: NDArray[np.float64]

    @property
    def days(self) -> NDArray[np.float64]:
        """Days since the first date, (date,)."""
        return np.asarray((self.times - self.times[0]).astype("int64") / _DAY, "float64")

    @property
    def spans(self) -> NDArray[np.float64]:
        """Days from the reference to the secondary date of each pair."""
        days = self.days
        return np.asarray(days[self.pairs[:, 1]] - days[self.pairs[:, 0]], "float64")

    @property
    def degree(self) -> NDArray[np.int64]:
        """Number of pairs that each date is part of."""
        return np.bincount(self.pairs.ravel(), minlength=len(self.times))

    @property
    def digest(self) -> str:
        """The sha256 of dates and pairs."""
        return sha256_of({"times": [str(time) for time in self.times], "pairs": self.pairs.tolist()})

    def components(self, keep: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
        """Number the connected parts, in the order of their first dates.

        Parameters
        ----------
        keep : array (pair,), bool
            Pairs that count; all by default.

        Returns
        -------
        array (date,), int32
            From 0; 0 is the part of the first date.
        """
        chosen = self.pairs if keep is None else self.pairs[keep]
        found = np.arange(len(self.times), dtype="int32")
        changed = True
        while changed:
            before = found.copy()
            np.minimum.at(found, chosen[:, 0], found[chosen[:, 1]])
            np.minimum.at(found, chosen[:, 1], found[chosen[:, 0]])
            changed = bool((before != found).any())
        return np.asarray(np.unique(found, return_inverse=True)[1], "int32")

    def select(self, keep: NDArray[np.bool_]) -> Network:
        """Keep some of the pairs, and the dates that they join.

        Raises
        ------
        InputError
            If none is left.
        """
        return network_of(self.times[self.pairs[keep]], self.baselines[keep])[0]


def network_of(dates: ArrayLike, baselines: ArrayLike | None = None) -> tuple[Network, NDArray[np.int64]]:
    """Make the network of pairs.

    Parameters
    ----------
    dates : array (pair, 2), datetime64
        Reference and secondary times.
    baselines : array (pair,)
        Perpendicular baselines, m.

    Returns
    -------
    Network
    array (pair,), int64
        The order that sorts what was given into that of the network.

    Raises
    ------
    InputError
        If there is no pair, a time is missing or none, the dates of a pair are equal or reversed, a pair comes twice,
        or a baseline is no number.

    Examples
    --------
    >>> found, order = network_of([["2020-01-13", "2020-01-25"], ["2020-01-01", "2020-01-13"]])
    >>> found.pairs.tolist(), order.tolist(), found.spans.tolist()
    ([[0, 1], [1, 2]], [1, 0], [12.0, 12.0])
    """
    times = _moments(dates).reshape(-1, 2)
    if not 0 < len(times) <= _MOST_PAIRS:
        raise InputError("the stack has no usable number of pairs", expected=f"1 to {_MOST_PAIRS}", got=str(len(times)))
    if np.isnat(times).any():
        raise InputError("a pair lacks a date", where="reference_time, secondary_time", got="NaT")
    _refuse(times, times[:, 0] == times[:, 1], "the dates of a pair are equal", "two different dates")
    _refuse(
        times,
        times[:, 0] > times[:, 1],
        "the dates of a pair are reversed",
        "reference before secondary; turn dates, phase and baseline round together",
    )
    order = np.lexsort((times[:, 1], times[:, 0]))
    times = times[order]
    twice = np.r_[False, (times[1:] == times[:-1]).all(axis=1)]
    _refuse(times, twice, "a pair comes twice", "each pair once")
    known, index = np.unique(times, return_inverse=True)
    if len(known) > _MOST_DATES:
        raise InputError("the stack has too many dates", expected=f"<= {_MOST_DATES}", got=str(len(known)))
    try:
        told = np.full(len(times), np.nan) if baselines is None else np.asarray(baselines, "float64")
    except (TypeError, ValueError) as error:
        raise InputError("baselines are no numbers", where="perpendicular_baseline", got=str(error)[:100]) from error
    if np.isinf(told).any():
        raise InputError("a baseline has no end", where="perpendicular_baseline", expected="m, NaN where not told")
    if told.shape != order.shape:
        raise InputError("each pair has one baseline", expected=str(order.shape), got=str(told.shape))
    return Network(known, index.reshape(-1, 2).astype("int32"), told[order]), order


@contextmanager
def solvable() -> Iterator[None]:
    """Tell a network that no kernel can put in order as what it is.

    Raises
    ------
    InputError
        If it is too dense.
    """
    try:
        yield
    except ValueError as error:
        raise InputError("the network cannot be solved", where="pairs", got=str(error)) from error


def elimination_of(pairs: NDArray[np.int32], dates: int) -> Elimination:
    """Give the order in which dates are eliminated, settled once for what is asked for again with every block.

    Raises
    ------
    InputError
        If the network is too dense.
    """
    with solvable():
        return _eliminated(np.ascontiguousarray(pairs, "int32").tobytes(), dates)


@lru_cache(maxsize=16)
def _eliminated(pairs: bytes, dates: int) -> Elimination:
    return eliminate(np.frombuffer(pairs, "int32").reshape(-1, 2), dates)


def network_of_stack(stack: xr.Dataset | xr.DataArray) -> tuple[Network, NDArray[np.int64]]:
    """Make the network of a stack from its coordinates ``reference_time``, ``secondary_time`` and, where there is one,
    ``perpendicular_baseline``.

    Returns
    -------
    As :func:`network_of`: ``stack.isel(pair=order)`` has the order of the network.

    Raises
    ------
    InputError
        If a coordinate is missing, or as :func:`network_of`.
    """
    missing = [name for name in ("reference_time", "secondary_time") if name not in stack.coords]
    if missing or "pair" not in stack.dims:
        raise InputError(
            "this is no stack of pairs",
            expected="a dimension pair with the coordinates reference_time and secondary_time",
            got=f"dimensions {tuple(stack.dims)}, without {', '.join(missing) or 'pair'}",
        )
    ends = [_moments(stack[name].values) for name in ("reference_time", "secondary_time")]
    told = stack.coords.get("perpendicular_baseline")
    return network_of(np.stack(ends, axis=1), None if told is None else told.values)


def _moments(dates: ArrayLike) -> NDArray[np.datetime64]:
    """Give times in nanoseconds; those that these cannot tell would come out as others."""
    try:
        known = np.asarray(
            dates, None if isinstance(dates, np.ndarray) and dates.dtype.kind == "M" else "datetime64[us]"
        )
        seconds = known.astype("datetime64[s]")
        far = ~np.isnat(seconds) & ((seconds < _FIRST) | (seconds > _LAST))
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(
            "these are no dates of pairs", expected="two dates of each pair", got=str(error)[:100]
        ) from error
    if far.any():
        raise InputError("these are no dates of pairs", expected=f"{_FIRST} to {_LAST}", got=str(seconds[far][0]))
    return known.astype("datetime64[ns]")


def _refuse(times: NDArray[np.datetime64], bad: NDArray[np.bool_], what: str, expected: str) -> None:
    if bad.any():
        named = [" and ".join(str(time)[:19] for time in pair) for pair in times[bad][:5]]
        raise InputError(what, where="reference_time, secondary_time", expected=expected, got="; ".join(named))
