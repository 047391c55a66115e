"""A picture of a network: dates where their orbits lie, and the pairs between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.network.network import Network, network_of_stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GONE, _PLAIN = "0.75", "0.35"
_ARC_STEPS = 41


def date_baselines(network: Network) -> NDArray[np.float64]:
    """Make baselines of dates from those of pairs, m: least squares, 0 at the first date of each part.

    Returns
    -------
    array (date,), float64
        NaN where no pair with a baseline joins a date with the first one of its part.

    Examples
    --------
    >>> from terracube.processing.deformation.network import network_of
    >>> days = ["2020-01-01", "2020-01-13", "2020-01-25"]
    >>> date_baselines(network_of([days[:2], days[1:]], [40.0, -10.0])[0]).round(6).tolist()
    [0.0, 40.0, 30.0]
    """
    told = np.isfinite(network.baselines)
    pairs, values = network.pairs[told], network.baselines[told]
    design = np.zeros((len(pairs), len(network.times)))
    design[np.arange(len(pairs)), pairs[:, 0]], design[np.arange(len(pairs)), pairs[:, 1]] = -1.0, 1.0
    found = np.linalg.lstsq(design, values, rcond=None)[0] if len(pairs) else np.zeros(len(network.times))
    parts, whole = network.components(told), network.components()
    for part in np.unique(parts):
        inside = parts == part
        first = np.flatnonzero(inside)[0]
        found[inside] -= found[first]
        if whole[:first][whole[:first] == whole[first]].size:  # a piece that only pairs without a baseline hold
            found[inside] = np.nan
    return found


def plot_network(
    network: Network | xr.Dataset,
    *,
    coherence: ArrayLike | None = None,
    keep: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the dates and pairs of a network.

    Dates lie at their perpendicular baseline where the pairs tell theirs; else pairs are arcs whose height is the time
    that they span. Dates that the network does not join with the first one are hollow.

    Parameters
    ----------
    network : Network or Dataset
        A stack has one.
    coherence : array (pair,), optional
        Of each pair, 0 to 1, in the order of the network: its colour.
    keep : array (pair,), bool, optional
        Pairs that are used; the others are dotted.
    ax : matplotlib Axes, optional
        To draw on.

    Raises
    ------
    InputError
        If coherence or keep are not of the network.
    """
    net = network if isinstance(network, Network) else network_of_stack(network)[0]
    used = np.ones(len(net.pairs), bool) if keep is None else np.asarray(keep)
    colour = None if coherence is None else np.asarray(coherence, "float64")
    for name, values in (("keep", used), ("coherence", colour)):
        if values is not None and values.shape != (len(net.pairs),):
            raise InputError("each pair has one", where=name, expected=str(len(net.pairs)), got=str(values.shape))
    axes = ax if ax is not None else _new_axes()
    height = date_baselines(net)
    flat = not np.isfinite(net.baselines).all()
    lines = [_arc(net, pair) if flat else _line(net, height, pair) for pair in net.pairs]
    _draw_pairs(axes, lines, used.astype(bool), colour)
    _draw_dates(axes, net, np.zeros(len(net.times)) if flat else height, used.astype(bool))
    axes.set_ylabel("days spanned" if flat else "perpendicular baseline [m]")
    count = f"{len(net.times)} dates, {int(used.sum())} of {len(net.pairs)} pairs"
    axes.set_title(count if keep is not None else f"{len(net.times)} dates, {len(net.pairs)} pairs", fontsize="medium")
    axes.tick_params(axis="x", rotation=20)
    return axes


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt

    axes: Axes = plt.subplots(figsize=(8.0, 4.5), layout="constrained")[1]
    return axes


def _days(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Give times as matplotlib counts them: days since 1970."""
    return np.asarray(times.astype("datetime64[s]").astype("int64") / 86_400.0, "float64")


def _line(net: Network, height: NDArray[np.float64], pair: NDArray[np.int32]) -> NDArray[np.float64]:
    return np.stack([_days(net.times)[pair], height[pair]], axis=1)


def _arc(net: Network, pair: NDArray[np.int32]) -> NDArray[np.float64]:
    first, last = _days(net.times)[pair]
    angle = np.linspace(np.pi, 0.0, _ARC_STEPS)
    middle, half = (first + last) / 2, (last - first) / 2
    return np.stack([middle + half * np.cos(angle), 2 * half * np.sin(angle)], axis=1)


def _draw_pairs(
    axes: Axes, lines: list[NDArray[np.float64]], used: NDArray[np.bool_], colour: NDArray[np.float64] | None
) -> None:
    from matplotlib.collections import LineCollection

    gone = [line for line, keep in zip(lines, used, strict=True) if not keep]
    axes.add_collection(LineCollection(gone, colors=_GONE, linestyles="dotted", linewidths=0.9, zorder=1))
    kept: dict[str, Any] = {"linewidths": 1.2, "zorder": 2}
    chosen = [line for line, keep in zip(lines, used, strict=True) if keep]
    if colour is None:
        axes.add_collection(LineCollection(chosen, colors=_PLAIN, **kept))
        return
    drawn = LineCollection(chosen, cmap="viridis", array=colour[used], **kept)
    drawn.set_clim(0.0, 1.0)
    axes.add_collection(drawn)
    axes.figure.colorbar(drawn, ax=axes, label="coherence", shrink=0.8)


def _draw_dates(axes: Axes, net: Network, height: NDArray[np.float64], used: NDArray[np.bool_]) -> None:
    joined = net.components(used) == 0
    place = np.where(np.isfinite(height), height, 0.0)
    style: dict[str, Any] = {"s": 36, "zorder": 3, "edgecolors": "black", "linewidths": 0.8}
    for where, face, label in ((joined, "tab:orange", None), (~joined, "white", "not joined with the first date")):
        if where.any():
            axes.scatter(_days(net.times)[where], place[where], color=face, label=label, **style)
    if not joined.all():
        axes.legend(loc="best", fontsize="small")
    axes.xaxis_date()
    axes.margins(0.04, 0.08)
    axes.autoscale_view()
