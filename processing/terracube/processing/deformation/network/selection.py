"""Which pairs of a network are used: by coherence, baselines, neighbours and years, without losing a date."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.deformation.network.network import Network, network_of_stack

_YEAR = 365.25


def choose_pairs(
    network: Network,
    *,
    coherence: ArrayLike | None = None,
    least_coherence: float | None = None,
    longest: float | None = None,
    widest: float | None = None,
    bandwidth: int | None = None,
    annual: float | None = None,
    spanning_tree: bool = False,
) -> NDArray[np.bool_]:
    """Choose pairs of a network; what is asked for together has to hold together.

    Parameters
    ----------
    network : Network
    coherence : array (pair,), optional
        Mean coherence of each pair, in the order of the network.
    least_coherence : float, optional
        0 to 1; pairs whose coherence is not known do not reach it.
    longest : float, optional
        Days that a pair may span.
    widest : float, optional
        Metres of perpendicular baseline, either way; a pair whose baseline is not told is not left out by it.
    bandwidth : int, optional
        Dates are joined with so many next ones at most.
    annual : float, optional
        Days; pairs that span a year or several, give or take so many, are used however long they are and however many
        dates lie between.
    spanning_tree : bool
        Also use the pairs of :func:`spanning_pairs`, by coherence if it is given, else by length, so that no date gets
        lost that the network joins.

    Returns
    -------
    array (pair,), bool

    Raises
    ------
    InputError
        If a limit is unusable, or a coherence is asked for and none is given.
    EmptyResultError
        If no pair is left.

    Examples
    --------
    >>> from terracube.processing.deformation.network import network_of
    >>> days = ["2020-01-01", "2020-01-13", "2020-01-25", "2021-01-01"]
    >>> net = network_of([[days[0], days[1]], [days[1], days[2]], [days[0], days[2]], [days[0], days[3]]])[0]
    >>> choose_pairs(net, bandwidth=1).tolist(), choose_pairs(net, bandwidth=1, annual=10).tolist()
    ([True, False, False, True], [True, False, True, True])
    """
    known = None if coherence is None else _numbers("coherence", coherence, len(network.pairs))
    keep = _short(network, longest, bandwidth)
    if annual is not None:
        keep |= _years(network, _positive("annual", annual))
    if widest is not None:
        keep &= ~(np.abs(network.baselines) > _positive("widest", widest))
    if least_coherence is not None:
        if known is None:
            raise InputError(
                "the coherence of the pairs is not given",
                where="coherence",
                expected="a number for each pair",
                todo="coherence=mean_coherence(stack).values",
            )
        if not 0 <= least_coherence <= 1:
            raise InputError("unusable limit", where="least_coherence", expected="0 to 1", got=str(least_coherence))
        keep &= known >= least_coherence
    if spanning_tree:
        keep |= spanning_pairs(network, None if known is None else -np.where(np.isnan(known), -1.0, known))
    if not keep.any():
        raise EmptyResultError("no pair of the network is left", where="choose_pairs", todo="ask for less")
    return keep


def spanning_pairs(network: Network, cost: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Find the cheapest pairs that join all dates that the network joins: a minimum spanning tree of each part.

    Parameters
    ----------
    network : Network
    cost : array (pair,), optional
        Days spanned, by default. Of equal pairs the earlier one is taken.

    Returns
    -------
    array (pair,), bool

    References
    ----------
    Kruskal 1956, doi:10.1090/S0002-9939-1956-0078686-7.
    """
    weight = network.spans if cost is None else _numbers("cost", cost, len(network.pairs))
    root = list(range(len(network.times)))

    def find(date: int) -> int:
        while root[date] != date:
            root[date] = date = root[root[date]]
        return date

    keep = np.zeros(len(weight), bool)
    for number in np.argsort(weight, kind="stable"):
        one, other = (find(int(date)) for date in network.pairs[number])
        if one != other:
            root[max(one, other)] = min(one, other)
            keep[number] = True
    return keep


def keep_pairs(stack: xr.Dataset, keep: ArrayLike) -> xr.Dataset:
    """Keep some pairs of a stack.

    Parameters
    ----------
    stack : Dataset
        As :func:`~terracube.processing.deformation.stack.to_stack` gives it.
    keep : array (pair,), bool
        In the order of the network, as :func:`choose_pairs` gives it.

    Raises
    ------
    InputError
        If it is not of the stack.
    EmptyResultError
        If no pair is left.
    """
    chosen = np.asarray(keep)
    if chosen.dtype != bool or chosen.shape != (stack.sizes["pair"],):
        raise InputError(
            "this does not choose pairs of the stack",
            where="keep",
            expected=f"{stack.sizes['pair']} times yes or no",
            got=f"{chosen.dtype} {chosen.shape}",
        )
    if not chosen.any():
        raise EmptyResultError("no pair of the stack is left", where="keep")
    return stack.isel(pair=network_of_stack(stack)[1][chosen])


def select_pairs(stack: xr.Dataset, *, coherence: ArrayLike | None = None, **limits: Any) -> xr.Dataset:
    """Keep the pairs of a stack that :func:`choose_pairs` chooses.

    Parameters
    ----------
    stack : Dataset
    coherence : array (pair,), optional
        As for :func:`choose_pairs`; of a stack in memory it is measured if a limit asks for it. A lazy stack is not
        computed behind one's back: give ``mean_coherence(stack).values``.
    **limits
        As for :func:`choose_pairs`.

    Raises
    ------
    InputError, EmptyResultError
        As :func:`choose_pairs`.
    """
    network, order = network_of_stack(stack)
    asked = limits.get("least_coherence") is not None or bool(limits.get("spanning_tree"))
    known = coherence
    if known is None and asked and "coherence" in stack and not stack.chunks:
        known = mean_coherence(stack).values
    ordered = None if known is None else _numbers("coherence", known, len(order))[order]
    return keep_pairs(stack, choose_pairs(network, coherence=ordered, **limits))


def leave_out(network: Network, dates: Iterable[str | np.datetime64]) -> NDArray[np.bool_]:
    """Choose the pairs that have no part in some days.

    Raises
    ------
    InputError
        If a day is not of the network.
    EmptyResultError
        If no pair is left.
    """
    days = network.times.astype("datetime64[D]")
    gone = np.array([np.datetime64(date, "D") for date in dates], "datetime64[D]")
    unknown = gone[~np.isin(gone, days)]
    if unknown.size:
        raise InputError("the network has no such date", where="dates", got=", ".join(map(str, unknown[:5])))
    keep = ~np.isin(days, gone)[network.pairs].any(axis=1)
    if not keep.any():
        raise EmptyResultError("no pair of the network is left", where="leave_out")
    return np.asarray(keep)


def mean_coherence(stack: xr.Dataset) -> xr.DataArray:
    """Measure the mean coherence of each pair, over the pixels that have a phase and a coherence in it.

    Parameters
    ----------
    stack : Dataset
        In memory or lazy.

    Returns
    -------
    DataArray (pair,), float64
        NaN where a pair has no such pixel; lazy if the stack is; the same whatever the blocks.

    Raises
    ------
    InputError
        If the stack has no coherence.
    """
    from terracube.processing.deformation.stack.gathering import gather, lazy_part

    if "coherence" not in stack:
        raise InputError(
            "the stack has no coherence", where="mean_coherence", todo="load it, or choose by other limits"
        )
    answer = gather(stack, ["unwrapped_phase", "coherence"], _coherence_sums, _coherence_means)
    values = lazy_part(answer, "mean", stack.sizes["pair"])
    coords = {name: values for name, values in stack.coords.items() if values.dims == ("pair",)}
    return xr.DataArray(values, coords, ("pair",), "coherence", {"units": "1", "long_name": "mean coherence"})


def _coherence_sums(tile: xr.Dataset) -> NDArray[np.float64]:
    known = np.isfinite(tile["unwrapped_phase"].values) & np.isfinite(tile["coherence"].values)
    values = np.where(known, tile["coherence"].values, 0.0).astype("float64")
    pairs = len(values)
    sums = np.ascontiguousarray(values).reshape(pairs, -1).sum(axis=1)
    return np.stack([sums, known.reshape(pairs, -1).sum(axis=1)])


def _coherence_means(parts: list[NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    total = np.zeros_like(parts[0])
    for part in parts:
        total += part
    return {"mean": np.divide(total[0], total[1], out=np.full(total.shape[1], np.nan), where=total[1] > 0)}


def _short(network: Network, longest: float | None, bandwidth: int | None) -> NDArray[np.bool_]:
    keep = np.ones(len(network.pairs), bool)
    if longest is not None:
        keep &= network.spans <= _positive("longest", longest)
    if bandwidth is not None:
        if isinstance(bandwidth, bool) or not isinstance(bandwidth, int | np.integer) or bandwidth < 1:
            raise InputError("unusable limit", where="bandwidth", expected="1, 2, ...", got=repr(bandwidth)[:60])
        keep &= np.diff(network.pairs, axis=1)[:, 0] <= bandwidth
    return keep


def _years(network: Network, slack: float) -> NDArray[np.bool_]:
    years = np.rint(network.spans / _YEAR)
    return np.asarray((years >= 1) & (np.abs(network.spans - years * _YEAR) <= slack))


def _positive(name: str, value: float) -> float:
    if not np.isfinite(value) or value < 0:
        raise InputError("unusable limit", where=name, expected="0 or more", got=str(value))
    return float(value)


def _numbers(name: str, values: ArrayLike, count: int) -> NDArray[np.float64]:
    found = np.asarray(values, "float64")
    if found.shape != (count,):
        raise InputError("each pair has one number", where=name, expected=f"({count},)", got=str(found.shape))
    return found
