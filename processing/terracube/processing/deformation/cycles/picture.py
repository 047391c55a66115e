"""Before and after: what a repair did to one pair, and how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_SLACK = 6


def draw_repair(before: xr.Dataset, after: xr.Dataset, *, pair: int = 0) -> Figure:
    """Draw one pair before and after its repair, the cycles that were added, and the slack of each pixel.

    Parameters
    ----------
    before, after : Dataset
        What :func:`repair` was given and what it gave; one pair of them is computed.
    pair : int
        Its number.

    Returns
    -------
    matplotlib Figure
        Four panels: both phases (rad) on one scale, cycles in colours centred on zero, and slack, where 0 or less means
        that the network cannot decide.

    Raises
    ------
    InputError
        If these are no results of a repair, or there is no such pair.
    """
    if "cycles" not in after or "slack" not in after or "unwrapped_phase" not in before:
        raise InputError("this is no repaired stack", where="after", expected="cycles and slack")
    if not -before.sizes["pair"] <= pair < before.sizes["pair"]:
        raise InputError("no such pair", where="pair", expected=f"below {before.sizes['pair']}", got=repr(pair))
    from matplotlib.figure import Figure

    old, new = (_layer(data["unwrapped_phase"].isel(pair=pair)) for data in (before, after))
    added, slack = _layer(after["cycles"].isel(pair=pair)), _layer(after["slack"])
    figure = Figure(figsize=(8.4, 7.6), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    low, high = _limits(new)
    for ax, values, title in ((axes[0, 0], old, "before"), (axes[0, 1], new, "after")):
        _panel(ax, values, title, "unwrapped phase [rad]", vmin=low, vmax=high, cmap="viridis")
    most = max(1.0, float(np.abs(added).max(initial=0)))
    wrong = f"{int((added != 0).sum())} of {int(np.isfinite(old).sum())} pixels changed"
    _panel(
        axes[1, 0],
        np.where(np.isfinite(old), added, np.nan),
        wrong,
        "cycles added",
        vmin=-most,
        vmax=most,
        cmap="RdBu_r",
    )
    shown = np.where(slack == 127, np.nan, slack)
    there = int(np.isfinite(shown).sum())
    share = 100 * int((shown <= 0).sum()) / max(1, there)
    title = f"{share:.1f} % not decided by the network alone" if there else "nothing there"
    _panel(axes[1, 1], shown, title, "further wrong pairs of the next solution", vmin=0, vmax=_MOST_SLACK, cmap="magma")
    figure.suptitle(_named(before, pair))
    return figure


def _layer(values: xr.DataArray) -> NDArray[np.float64]:
    return np.asarray(values.transpose("y", "x").values, "float64")


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    seen = values[np.isfinite(values)]
    if not seen.size:
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.percentile(seen, (1.0, 99.0)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _panel(ax: Axes, values: NDArray[np.float64], title: str, label: str, **how: Any) -> None:
    image = ax.imshow(np.ma.masked_invalid(values), interpolation="none", **how)
    ax.set_title(title)
    ax.set_facecolor("0.85")
    ax.set_xticks([])
    ax.set_yticks([])
    if ax.figure is not None:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85, extend="both")


def _named(stack: xr.Dataset, pair: int) -> str:
    ends = [str(stack[name].values[pair])[:10] for name in ("reference_time", "secondary_time") if name in stack]
    return " to ".join(ends) or f"pair {pair}"
