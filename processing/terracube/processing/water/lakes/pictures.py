"""Pictures of lakes: the series of one with its gaps, and a map of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import dates as calendar
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from terracube.core.errors import InputError

_INK, _SOFT, _LINE, _ACCENT, _OTHER, _GAP = "#1d2b2a", "#5d6f6d", "#d8e0df", "#14746f", "#b86e00", "#a9b8b6"
_WIDTH, _PANEL, _DPI = 8.4, 1.9, 110
_STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "text.color": _INK,
}
# Steps of units in which areas are written.
_HECTARE, _KM2 = 1e4, 1e6
# Lakes are named on a map of up to so many.
_NAMED = 25


def picture(
    table: pd.DataFrame,
    lake: Any = None,
    *,
    products: Sequence[str] | None = None,
    max_gap: float | None = None,
) -> Figure:
    """Draw the series of one lake: area of water, share seen, and each product with its error bars.

    Dates at which too little was seen are a mark at the foot of each panel and break its line: what is missing is
    shown as missing.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`terracube.processing.water.lakes.series`.
    lake : optional
        Its ``id``; needed if the table holds several.
    products : sequence of str, optional
        Which; all in the table unless given.
    max_gap : float, optional
        Days between two values beyond which they are not joined by a line, though nothing was tried between them.
        Four times the usual step unless given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such lake or product, or the table has no dates.
    """
    rows = _rows_of(table, lake)
    shown = _products(rows, products)
    units = table.attrs.get("units", {})
    panels = ([] if "area_wet" not in rows else ["area"]) + ["valid", *shown]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.7 + _PANEL * len(panels)), dpi=_DPI, layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        times = rows["time"].to_numpy()
        joined = _joined(times, max_gap)
        for axis, panel in zip(axes, panels, strict=True):
            if panel == "valid":
                _draw_valid(axis, rows, times)
            elif panel == "area":
                _draw_area(axis, rows, times, joined)
            else:
                _draw_product(axis, rows, times, joined, name=panel, unit=str(units.get(f"{panel}_median", "1")))
            _tidy(axis)
        _date_axis(axes[-1])
        figure.align_ylabels(list(axes))
        ok = int((rows["status"] == "ok").sum())
        title = f"{rows['id'].iloc[0]}: {ok} of {len(rows)} dates with enough of the lake seen"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def overview(table: pd.DataFrame, polygons: geopandas.GeoDataFrame, column: str, *, log: bool = False) -> Figure:
    """Draw a map of all lakes, coloured by the median of a column over their dates; hatched where there is none.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`terracube.processing.water.lakes.series`.
    polygons : geopandas.GeoDataFrame
        With a column ``id``, or its index, as in the table.
    column : str
    log : bool
        Colours by the logarithm.

    Raises
    ------
    InputError
        If there is no such column, or no lake of the table has a polygon.
    """
    if column not in table.columns:
        raise InputError("there is no such column", where="column", expected="one of the table", got=repr(column))
    values = table.groupby("id", sort=False)[column].median()
    named = polygons.set_index("id") if "id" in polygons.columns else polygons
    shown = named[named.index.isin(values.index)]
    if not len(shown):
        raise InputError("no lake of the table has a polygon", where="polygons", expected="the same ids")
    numbers = values.reindex(shown.index).to_numpy(dtype="float64")
    numbers = np.where(numbers > 0, numbers, np.nan) if log else numbers
    with mpl.rc_context(_STYLE):
        left, bottom, right, top = shown.total_bounds
        tall = (top - bottom) / max(right - left, 1e-9)
        figure = Figure(figsize=(_WIDTH, float(np.clip(0.8 * _WIDTH * tall, 3.0, 7.5))), dpi=_DPI, layout="constrained")
        axis = figure.subplots()
        _draw_map(figure, axis, shown, numbers, log=log, label=_label(column, table))
    return figure


def _rows_of(table: pd.DataFrame, name: Any) -> pd.DataFrame:
    if "time" not in table.columns:
        raise InputError("there is no series to draw", where="time", todo="draw a map of what has no dates")
    rows = table if name is None else table[table["id"] == name]
    if rows["id"].nunique() != 1:
        got = f"{rows['id'].nunique()} of id {name!r}" if name is not None else f"{rows['id'].nunique()}"
        raise InputError("a picture shows one lake", where="lake", expected="one in the table", got=got[:120])
    return rows.sort_values("time", kind="stable")


def _products(rows: pd.DataFrame, products: Sequence[str] | None) -> list[str]:
    there = [str(column).removesuffix("_median") for column in rows.columns if str(column).endswith("_median")]
    absent = [name for name in products or () if name not in there]
    if absent:
        raise InputError("there is no such product", where=", ".join(absent), expected=", ".join(there) or "none")
    return there if products is None else list(products)


def _joined(times: NDArray[Any], max_gap: float | None) -> NDArray[np.bool_]:
    """Tell for each date but the first whether it is near enough to the one before."""
    steps = np.diff(times) / np.timedelta64(1, "D")
    if max_gap is None:
        apart = steps[steps > 0]
        max_gap = 4.0 * float(np.median(apart)) if apart.size else np.inf
    return np.asarray(steps <= max_gap, np.bool_)


def _line(axis: Axes, times: NDArray[Any], values: NDArray[np.float64], joined: NDArray[np.bool_]) -> None:
    """Draw lines between neighbouring dates that both have a value, and nothing across a gap."""
    known = ~np.isnan(values)
    for at in np.flatnonzero(known[:-1] & known[1:] & joined):
        axis.plot(times[at : at + 2], values[at : at + 2], color=_ACCENT, linewidth=1.2, zorder=2)


def _gaps(axis: Axes, times: NDArray[Any], missing: NDArray[np.bool_]) -> None:
    """Mark the dates without a value at the foot of the panel."""
    if missing.any():
        foot = axis.get_xaxis_transform()
        axis.plot(times[missing], np.full(missing.sum(), 0.04), "x", transform=foot, color=_GAP, markersize=4)


def _draw_area(axis: Axes, rows: pd.DataFrame, times: NDArray[Any], joined: NDArray[np.bool_]) -> None:
    area, low, high = (rows[f"area_wet{end}"].to_numpy(dtype="float64") for end in ("", "_min", "_max"))
    total = float(np.nanmax(rows["area_total"].to_numpy(dtype="float64"), initial=0.0))
    unit, name = (_KM2, "km²") if total >= _KM2 else (_HECTARE, "ha") if total >= _HECTARE else (1.0, "m²")
    _line(axis, times, area / unit, joined)
    bars = np.stack([area - low, high - area]).clip(min=0) / unit
    axis.errorbar(times, area / unit, yerr=bars, fmt="o", color=_ACCENT, ecolor=_ACCENT, markersize=4, elinewidth=0.9)
    if total:
        axis.axhline(total / unit, color=_OTHER, linewidth=0.8, linestyle=(0, (4, 3)))
        told = axis.annotate(
            "whole polygon", (1.0, total / unit), xycoords=("axes fraction", "data"), xytext=(-4, -3),
            textcoords="offset points", color=_OTHER, fontsize=7.5, va="top", ha="right",
        )  # fmt: skip
        told.set_in_layout(False)
        axis.set_ylim(0, total / unit * 1.12)
    axis.set_ylabel(f"water, {name}")
    _gaps(axis, times, np.isnan(area))


def _draw_valid(axis: Axes, rows: pd.DataFrame, times: NDArray[Any]) -> None:
    share = rows["valid_fraction"].to_numpy(dtype="float64")
    enough = (rows["status"] == "ok").to_numpy()
    for chosen, colour in ((enough, _ACCENT), (~enough, _GAP)):
        axis.vlines(times[chosen], 0, share[chosen], color=colour, linewidth=2.2)
        axis.plot(times[chosen], share[chosen], "o", color=colour, markersize=3)
    axis.set_ylim(0, 1.05)
    axis.set_ylabel("share seen")


def _draw_product(
    axis: Axes, rows: pd.DataFrame, times: NDArray[Any], joined: NDArray[np.bool_], *, name: str, unit: str
) -> None:
    """Draw medians, the middle 80 % of the pixels as a pale bar, and the error of the median as a thin one."""
    median, low, high = (rows[f"{name}_{part}"].to_numpy(dtype="float64") for part in ("median", "p10", "p90"))
    axis.vlines(times, low, high, color=_ACCENT, alpha=0.22, linewidth=5)
    _line(axis, times, median, joined)
    error = next((rows[f"{name}_{part}"] for part in ("error", "algorithm", "noise") if f"{name}_{part}" in rows), None)
    bars = None if error is None else error.to_numpy(dtype="float64")
    axis.errorbar(
        times, median, yerr=bars, fmt="o", color=_ACCENT, ecolor=_INK, markersize=4, elinewidth=0.9, capsize=2
    )
    axis.set_ylabel(name if unit == "1" else f"{name}, {unit}")
    _gaps(axis, times, np.isnan(median))


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color=_LINE, linewidth=0.6)
    axis.set_axisbelow(True)


def _date_axis(axis: Axes) -> None:
    made: Any = calendar  # matplotlib's own module of dates carries no types
    locator = made.AutoDateLocator(minticks=3, maxticks=9)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(made.ConciseDateFormatter(locator))


def _draw_map(
    figure: Figure, axis: Axes, shown: geopandas.GeoDataFrame, numbers: NDArray[np.float64], *, log: bool, label: str
) -> None:
    from matplotlib.colors import LogNorm, Normalize

    known = np.isfinite(numbers)
    if known.any():
        low, high = float(numbers[known].min()), float(numbers[known].max())
        high = high if high > low else low + (abs(low) or 1.0) * 0.1
        norm = LogNorm(low, high) if log else Normalize(low, high)
        shades = mpl.colormaps["viridis"](norm(numbers[known]))
        _draw_lakes(axis, shown[known], color=shades, edgecolor=_INK, linewidth=0.4)
        figure.colorbar(mpl.cm.ScalarMappable(norm, "viridis"), ax=axis, label=label, shrink=0.8)
    if (~known).any():
        _draw_lakes(axis, shown[~known], facecolor="white", edgecolor=_GAP, hatch="////", linewidth=0.6)
        told = f"hatched: {int((~known).sum())} without a value"
        axis.annotate(told, (0.01, 0.01), xycoords="axes fraction", color=_SOFT, fontsize=8)
    if len(shown) <= _NAMED:
        for name, point in shown.geometry.representative_point().items():
            mark = axis.annotate(
                str(name)[:40], (point.x, point.y), xytext=(5, 4), textcoords="offset points", fontsize=8
            )
            mark.set_in_layout(False)
    axis.margins(0.12)
    axis.ticklabel_format(useOffset=False, style="plain")
    axis.tick_params(labelsize=7.5)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_lakes(axis: Axes, shown: geopandas.GeoDataFrame, **look: Any) -> None:
    """Draw outlines, and a round mark below each, so that small lakes on a large map are seen too."""
    shown.geometry.representative_point().plot(ax=axis, markersize=46, marker="o", zorder=1, **look)
    shown.plot(ax=axis, zorder=2, **look)


def _label(column: str, table: pd.DataFrame) -> str:
    unit = table.attrs.get("units", {}).get(column, "1")
    return column if unit == "1" else f"{column}, {unit}"
