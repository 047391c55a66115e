"""Pictures of observations: a series with its flags, profiles, and where the stations lie. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from terracube.core.errors import EmptyResultError, InputError
from terracube.ingest.insitu import drawing
from terracube.ingest.insitu.access import open_table
from terracube.ingest.insitu.drawing import LOOKS
from terracube.ingest.insitu.table import GOOD, MISSING, NOT_EVALUATED
from terracube.stac import Catalog

Source = pd.DataFrame | Catalog | Path | str

_MOST_PROFILES = 60
_MOST_LABELS = 30


def plot_series(
    source: Source, station: str, variable: str, *, path: Path | str | None = None, **chosen: Any
) -> Figure:
    """Draw a variable at a station over time: values by flag, limits of censored ones as arrows, gaps shaded.

    Parameters
    ----------
    source : DataFrame, Catalog or path of one
    station, variable : str
    path : Path
        PNG to write; none unless given.
    **chosen
        ``depth``, ``method``, ``replicate``: draw only these.

    Returns
    -------
    Figure
        Values that failed may lie beyond the frame, which is that of the others: they are drawn at its edge.

    Raises
    ------
    EmptyResultError
        If there is no value to draw.
    InputError
        If a choice is unknown.
    StorageError
        If the disk refuses.
    """
    rows = _rows(source, station, variable, chosen)
    figure = drawing.new_figure(9.0, 4.2)
    axes = figure.add_subplot()
    levels = np.unique(rows["depth"].dropna())
    low, high = drawing.value_frame(rows)
    x = drawing.days_of(rows["time"])
    drawing.draw_lines(axes, rows, x)
    drawing.draw_values(axes, rows, x, (low, high))
    axes.set_ylim(low, high)
    drawing.dress_time(axes)
    axes.set_ylabel(drawing.label_of(rows, variable), parse_math=False)
    name = drawing.title_of(variable)
    depth = f", depth {levels[0]:g} m" if len(levels) == 1 else f", {len(levels)} depths" if len(levels) else ""
    drawing.set_title(axes, f"{name} at {drawing.station_of(rows)}{depth}")
    axes.legend(**drawing.legend_place(), title=drawing.counted(len(rows), "observation"))
    return drawing.finished(figure, path)


def plot_profile(
    source: Source, station: str, variable: str, *, path: Path | str | None = None, **chosen: Any
) -> Figure:
    """Draw a variable at a station over depth, one line per time; good values joined, bad ones marked.

    Parameters
    ----------
    source, station, variable, path, chosen
        As in `plot_series`. Of more than 60 profiles, the last 60 are drawn, and the title says so.

    Raises
    ------
    EmptyResultError
        If there is no value with a depth.
    """
    rows = _rows(source, station, variable, chosen)
    rows = rows[rows["depth"].notna()]
    if len(rows) == 0:
        raise EmptyResultError("no observation has a depth", where=f"{station}, {variable}")
    times = np.unique(rows["time"])
    rows = rows[rows["time"].isin(times[-_MOST_PROFILES:])].sort_values(["time", "depth"])
    figure = drawing.new_figure(6.2, 6.2)
    axes = figure.add_subplot()
    drawn = times[-_MOST_PROFILES:]
    days = drawing.days_of(pd.DatetimeIndex(drawn))
    norm = Normalize(days[0], days[-1] if days[-1] > days[0] else days[0] + 1)
    for day, (_, profile) in zip(days, rows.groupby("time", sort=True), strict=True):
        good = profile[profile["qc"].isin([GOOD, NOT_EVALUATED])]
        colour = colormaps["viridis"](norm(day)) if len(drawn) > 1 else LOOKS[GOOD]["color"]
        axes.plot(
            good["value"],
            good["depth"],
            "-o",
            color=colour,
            ms=3 if len(rows) < 1000 else 1.2,
            lw=1.1 if len(rows) < 1000 else 0.7,
        )
    drawing.mark_bad(axes, rows["value"].to_numpy(), rows["depth"].to_numpy(), rows["qc"].to_numpy())
    axes.set_xlim(*drawing.value_frame(rows))
    deepest = float(rows["depth"].max())
    axes.set_ylim(deepest + 0.04 * max(deepest, 1.0), min(0.0, float(rows["depth"].min())) - 0.02 * max(deepest, 1.0))
    axes.set_ylabel("Depth [m]")
    axes.set_xlabel(drawing.label_of(rows, variable), parse_math=False)
    axes.grid(color="#dddddd", lw=0.6)
    if len(drawn) > 1:
        drawing.add_times(figure, axes, norm)
    told = f"{pd.Timestamp(drawn[0]):%Y-%m-%d %H:%M} UTC" if len(drawn) == 1 else f"{len(drawn)} profiles"
    told += f", the last of {len(times)}" if len(times) > len(drawn) else ""
    drawing.set_title(axes, f"{drawing.title_of(variable)} at {drawing.station_of(rows)}\n{told}")
    return drawing.finished(figure, path)


def plot_stations(source: Source, *, path: Path | str | None = None) -> Figure:
    """Draw where stations lie, in longitude and latitude with true proportions at their middle latitude.

    Sizes tell the number of observations. Up to 30 stations are named.

    Parameters
    ----------
    source : DataFrame, Catalog or path of one
    path : Path
        PNG to write; none unless given.

    Raises
    ------
    EmptyResultError
        If no observation has a position.
    """
    table = source if isinstance(source, pd.DataFrame) else open_table(source)
    known = table[table["lon"].notna()]
    if len(known) == 0:
        raise EmptyResultError("no observation has a position", where="map of stations")
    places = known.groupby(["station", "lon", "lat"], sort=True).size().rename("count").reset_index()
    figure = drawing.new_figure(7.2, 6.0)
    axes = figure.add_subplot()
    size = 18 + 90 * np.sqrt(places["count"] / places["count"].max())
    lon = drawing.unbroken(places["lon"].to_numpy())
    look: dict[str, Any] = {"color": LOOKS[GOOD]["color"], "alpha": 0.75, "edgecolor": "white", "linewidth": 0.7}
    axes.scatter(lon, places["lat"], s=size, zorder=3, **look)
    shape = drawing.map_frame(axes, lon, places["lat"].to_numpy())
    figure.set_size_inches(7.2, float(np.clip(6.4 * shape, 3.0, 8.0)) + 0.8)
    once = places.assign(lon=lon).drop_duplicates("station")
    if len(once) <= _MOST_LABELS:
        drawing.name_stations(axes, once)
    lost = int(table["lon"].isna().sum())
    beside = f"; {lost} without position" if lost else ""
    stations, count = places["station"].nunique(), len(table)
    drawing.set_title(axes, f"{drawing.counted(stations, 'station')}, {drawing.counted(count, 'observation')}{beside}")
    return drawing.finished(figure, path)


def _rows(source: Source, station: str, variable: str, chosen: Mapping[str, Any]) -> pd.DataFrame:
    unknown = set(chosen) - {"depth", "method", "replicate"}
    if unknown:
        raise InputError("no such choice", where="plot", expected="depth, method, replicate", got=", ".join(unknown))
    table = source if isinstance(source, pd.DataFrame) else open_table(source, variable, station)
    rows = table[(table["station"] == station) & (table["variable"] == variable) & (table["qc"] != MISSING)]
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    if len(rows) == 0:
        raise EmptyResultError("there is no value to draw", where=f"{station}, {variable}")
    return rows.sort_values(["time", "depth", "value"])
