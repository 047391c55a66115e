"""A picture of match-ups: measured against estimated, as a density, with the line of agreement and the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import EmptyResultError
from terracube.processing.water.matchups.scores import Scores, _pairs, score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 200
# Axes that span less than this factor have ticks within a decade.
_SHORT = 300.0
_SIZE, _DPI, _BINS = (5.6, 5.4), 110, 60


def scatter(found: pd.DataFrame | ArrayLike, truth: ArrayLike | None = None, *, title: str = "") -> Figure:
    """Draw estimates over measurements on logarithmic axes.

    Parameters
    ----------
    found, truth
        As for `score`.
    title : str
        Above the picture; without it, what a table of match-ups tells.

    Returns
    -------
    matplotlib.figure.Figure
        Up to 200 pairs as points, more as a density of hexagons; the line of agreement, those of twice and half, and
        the scores with how many of how many were compared. Pairs with a value that is not above zero are not drawn, and
        are counted.

    Raises
    ------
    EmptyResultError
        If there is no pair to draw.
    InputError
        As for `score`.
    """
    from matplotlib.figure import Figure

    told = score(found, truth)
    estimate, measured, _ = _pairs(found, truth)
    good = (estimate > 0) & (measured > 0) & np.isfinite(estimate) & np.isfinite(measured)
    if not good.any():
        raise EmptyResultError(
            "no pair can be drawn", where="found", expected="values above zero", got=f"0 of {told.of}"
        )
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    low, high = _limits(estimate[good], measured[good])
    _draw(figure, axes, measured[good], estimate[good], (low, high))
    _lines(axes, low, high)
    _ticks(axes, low, high)
    _label(axes, found, told, title)
    return figure


def _limits(estimate: NDArray[np.float64], measured: NDArray[np.float64]) -> tuple[float, float]:
    """Give the limits of both axes, with some room."""
    low, high = (float(part) for part in (min(estimate.min(), measured.min()), max(estimate.max(), measured.max())))
    return low / 1.6, high * 1.6


def _draw(
    figure: Figure,
    axes: Axes,
    measured: NDArray[np.float64],
    estimate: NDArray[np.float64],
    limits: tuple[float, float],
) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    if measured.size <= _FEW:
        axes.scatter(measured, estimate, s=22, color="#1f5a7a", alpha=0.65, linewidths=0)
        return
    cells = axes.hexbin(
        measured,
        estimate,
        gridsize=_BINS,
        extent=tuple(np.log10([*limits, *limits]).tolist()),  # of the axes, so that the hexagons are regular
        xscale="log",
        yscale="log",
        bins="log",
        mincnt=1,
        cmap="viridis",
        linewidths=0,
    )
    figure.colorbar(cells, ax=axes, label="pairs", shrink=0.7)


def _ticks(axes: Axes, low: float, high: float) -> None:
    """Write plain numbers: 1, 2, 5, 10, ... where the axes are short, else decades."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    steps = (1.0, 2.0, 5.0) if high < _SHORT * low else (1.0,)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_formatter(NullFormatter())


def _lines(axes: Axes, low: float, high: float) -> None:
    ends = np.array([low, high])
    axes.plot(ends, ends, color="#333333", linewidth=1.2, label="1:1")
    for factor in (0.5, 2.0):
        axes.plot(ends, ends * factor, color="#888888", linewidth=0.8, linestyle=":")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")


def _label(axes: Axes, found: pd.DataFrame | ArrayLike, told: Scores, title: str) -> None:
    x, y = "measured", "estimated"
    if isinstance(found, pd.DataFrame) and len(found):
        first = found.iloc[0]
        x = f"{first['variable']}, measured [{first.get('truth_unit', '')}]"
        y = f"{first['product']}, estimated [{first.get('unit', '')}]"
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title)
    text = (
        f"n = {told.n} of {told.of}\nMdSA {told.mdsa:.1f} %\nSSPB {told.sspb:+.1f} %\nRMSLE {told.rmsle:.3f}\n"
        f"MAE {told.mae:.2f}, bias {told.bias:.2f}\nslope {told.slope:.2f}, R² {told.r2:.2f}"
    )
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "#bbbbbb", "alpha": 0.85}
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=8.5, bbox=box)
