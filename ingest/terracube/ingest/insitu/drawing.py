"""Parts of the pictures of observations: frames, lines, marks, labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path as File
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, dates, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MaxNLocator

from terracube.core.files import atomic_path
from terracube.ingest.insitu.checks import Bools, Floats
from terracube.ingest.insitu.table import FAIL, GOOD, NOT_EVALUATED, SUSPECT
from terracube.ingest.insitu.vocabulary import vocabulary

LOOKS: Mapping[int, Mapping[str, Any]] = {
    GOOD: {"label": "good", "color": "#1f6f8b", "marker": "o", "s": 16},
    NOT_EVALUATED: {"label": "not evaluated", "color": "#7a7a7a", "marker": "o", "s": 16},
    SUSPECT: {"label": "suspect", "color": "#e08e0b", "marker": "^", "s": 38},
    FAIL: {"label": "fail", "color": "#c0392b", "marker": "X", "s": 42},
}
# A bar with an arrow: the value lies beyond it.
_BELOW = Path(
    [(-0.6, 0), (0.6, 0), (0, 0), (0, -1.8), (-0.4, -1.2), (0, -1.8), (0.4, -1.2)],
    [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO],
)
_ABOVE = Path(np.asarray(_BELOW.vertices) * [1, -1], _BELOW.codes)
_LIMITS: Mapping[str, Mapping[str, Any]] = {
    sign: {"marker": shape, "s": 260, "facecolor": "none", "linewidth": 1.3}
    for sign, shape in (("<", _BELOW), (">", _ABOVE))
}
_GAP_STEPS = 5.0
_FEWEST_FOR_GAPS = 10
_MOST_LEVELS = 8
_MOST_TOLD = 6
_SPARSE = 600
_PIXELS_OF_LETTER = 9.0
# Half of matplotlib's dates carries no types.
_DATES: Any = dates


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of that size in inches, that belongs to no screen."""
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def finished(figure: Figure, path: File | str | None) -> Figure:
    """Write the figure as PNG where a path is given; the same picture has the same bytes."""
    if path is not None:
        with atomic_path(File(path)) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
    return figure


def value_frame(rows: pd.DataFrame) -> tuple[float, float]:
    """Give the range of values to show: that of all that did not fail, with a margin."""
    usable = rows.loc[rows["qc"] != FAIL, "value"]
    shown = (usable if len(usable) else rows["value"]).to_numpy()
    low, high = float(shown.min()), float(shown.max())
    margin = 0.08 * (high - low) or 0.05 * max(abs(high), 1e-3) or 1.0
    return low - margin, high + margin


def draw_lines(axes: Axes, rows: pd.DataFrame, x: Floats) -> None:
    """Join usable values of one depth, method and replicate; a gap is not joined, and shaded if the series is alone."""
    usable = (rows["qc"].isin([GOOD, NOT_EVALUATED]) & (rows["censored"] == "")).to_numpy()
    groups = rows.groupby(["depth", "method", "replicate"], dropna=False, sort=True).indices
    if len(groups) > _MOST_LEVELS:
        return
    alone = len(groups) == 1
    value = rows["value"].to_numpy()
    for number, (key, members) in enumerate(groups.items()):
        every = np.asarray(members)
        pauses = _pauses(x[every])
        kept = every[usable[every]]
        colour = LOOKS[GOOD]["color"] if alone else colormaps["viridis"](0.1 + 0.75 * number / (len(groups) - 1))
        style: dict[str, Any] = {
            "color": colour,
            "lw": 0.9 if len(rows) < 4 * _SPARSE else 0.4,
            "alpha": 0.7,
            "zorder": 2,
        }
        axes.plot([], [], "-", label=None if alone else _series_label(key), **style)
        for part in np.split(kept, np.flatnonzero(_spans(x[kept], pauses)) + 1):
            axes.plot(x[part], value[part], "-", **style)
        if alone:
            _shade(axes, pauses)


def _shade(axes: Axes, pauses: Sequence[tuple[float, float]]) -> None:
    for number, (start, end) in enumerate(pauses):
        told = f"gap ({len(pauses)})" if number == 0 else "_"
        axes.axvspan(start, end, color="#efe9dc", lw=0, zorder=0, label=told)


def _series_label(key: Any) -> str:
    depth, method, replicate = key
    told = [f"{depth:g} m" if np.isfinite(depth) else "", str(method), f"#{replicate}" if replicate else ""]
    text = _drawable(" ".join(part for part in told if part)[:40])
    # A legend reads formulas between dollars, and leaves out what begins with an underscore.
    return text.replace("$", r"\$").lstrip("_") or "?"


def _pauses(x: Floats) -> list[tuple[float, float]]:
    """Give start and end of steps much longer than the median one."""
    moments = np.unique(x)
    steps = np.diff(moments)
    if len(moments) < _FEWEST_FOR_GAPS:
        return []
    long = np.flatnonzero(steps > _GAP_STEPS * np.median(steps))
    return [(float(moments[one]), float(moments[one + 1])) for one in long]


def _spans(x: Floats, pauses: Sequence[tuple[float, float]]) -> Bools:
    """Tell which steps hold a pause."""
    held = np.zeros(max(len(x) - 1, 0), bool)
    for start, end in pauses:
        held |= (x[:-1] <= start) & (x[1:] >= end)
    return held


def draw_values(axes: Axes, rows: pd.DataFrame, x: Floats, frame: tuple[float, float]) -> None:
    """Draw values by flag, limits as arrows, and at the edge of the frame what lies beyond it."""
    value, flag = rows["value"].to_numpy(), rows["qc"].to_numpy()
    mark = rows["censored"].to_numpy(object)
    beyond = (value < frame[0]) | (value > frame[1])
    for qc, look in LOOKS.items():
        kind = flag == qc
        if not kind.any():
            continue
        # Where there is a forest, no tree needs to be large; but the bad ones must be seen.
        size = look["s"] if qc in (SUSPECT, FAIL) else float(np.clip(look["s"] * _SPARSE / len(rows), 1.5, look["s"]))
        style: dict[str, Any] = {"color": look["color"], "marker": look["marker"], "s": size, "linewidth": 0}
        measured = kind & (mark == "") & ~beyond
        axes.scatter(x[measured], value[measured], zorder=3 + qc, **style)
        axes.scatter([], [], label=f"{look['label']} ({kind.sum()})", **{**style, "s": look["s"]})
        for sign, limit in _LIMITS.items():
            here = kind & (mark == sign) & ~beyond
            axes.scatter(x[here], value[here], color=look["color"], zorder=8, **limit)
        _draw_beyond(axes, x[kind & beyond], value[kind & beyond], frame, look["color"])
    for sign, told in (("<", "below limit"), (">", "above limit")):
        if (mark == sign).any():
            axes.scatter([], [], color="#444444", label=f"{told} ({(mark == sign).sum()})", **_LIMITS[sign])


def _draw_beyond(axes: Axes, x: Floats, value: Floats, frame: tuple[float, float], colour: str) -> None:
    """Put values beyond the frame at its edge, pointing to where they are; a few are told as numbers."""
    for top in (False, True):
        here = value > frame[1] if top else value < frame[0]
        edge = np.full(int(here.sum()), frame[1] if top else frame[0])
        axes.scatter(
            x[here], edge, color=colour, marker="^" if top else "v", s=46, clip_on=False, zorder=9, linewidth=0
        )
        for moment, one in zip(x[here], value[here], strict=True) if len(edge) <= _MOST_TOLD else ():
            place = (7.0, -9.0 if top else 3.0)
            axes.annotate(
                f"{one:.4g}", (moment, edge[0]), xytext=place, textcoords="offset points", color=colour, fontsize=7.5
            )


def mark_bad(axes: Axes, x: Floats, y: Floats, flag: Floats) -> None:
    """Draw suspect and failed points, with a legend if there are any."""
    labelled = False
    for qc in (SUSPECT, FAIL):
        bad = flag == qc
        if bad.any():
            look, label = LOOKS[qc], f"{LOOKS[qc]['label']} ({bad.sum()})"
            axes.scatter(x[bad], y[bad], s=look["s"], marker=look["marker"], color=look["color"], label=label, zorder=5)
            labelled = True
    if labelled:
        axes.legend(loc="lower right", frameon=True, framealpha=0.9)


def dress_time(axes: Axes) -> None:
    """Write times along the horizontal axis, and draw a light grid."""
    locator = _DATES.AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(_DATES.ConciseDateFormatter(locator))
    axes.set_xlabel("Time (UTC)")
    axes.grid(color="#e3e3e3", lw=0.6)
    axes.margins(x=0.02)
    first, last = axes.dataLim.intervalx
    if first == last:
        axes.set_xlim(first - 1.0, last + 1.0)
    axes.spines[["top", "right"]].set_visible(False)


def legend_place() -> dict[str, Any]:
    """Say where a legend stands: beside the frame, over no value."""
    return {
        "loc": "upper left",
        "bbox_to_anchor": (1.01, 1.0),
        "frameon": False,
        "alignment": "left",
        "fontsize": 8.5,
        "labelspacing": 0.8,
    }


def add_times(figure: Figure, axes: Axes, norm: Normalize) -> None:
    """Explain the colours of times by a bar."""
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, shrink=0.75, pad=0.02)
    locator = _DATES.AutoDateLocator(minticks=3, maxticks=7)
    bar.ax.yaxis.set_major_locator(locator)
    bar.ax.yaxis.set_major_formatter(_DATES.ConciseDateFormatter(locator))
    bar.set_label("Time (UTC)")


def days_of(times: pd.DatetimeIndex | pd.Series) -> Floats:
    """Give times (UTC) as matplotlib's days."""
    return np.asarray(_DATES.date2num(pd.DatetimeIndex(times).tz_localize(None).to_numpy()))


def counted(number: int, what: str) -> str:
    """Give a number with its noun.

    Examples
    --------
    >>> counted(1, "station"), counted(2, "station")
    ('1 station', '2 stations')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def title_of(variable: str) -> str:
    """Give the name of a variable in words."""
    term = vocabulary().get(variable)
    return variable if term is None else term.title


def label_of(rows: pd.DataFrame, variable: str) -> str:
    """Give the name of a variable with its unit."""
    unit = str(rows["unit"].iloc[0])
    return title_of(variable) + (f" [{unit}]" if unit not in ("", "1") else "")


def station_of(rows: pd.DataFrame) -> str:
    """Give id and name of the station."""
    station, name = str(rows["station"].iloc[0]), str(rows["station_name"].iloc[0])
    return f"{station} ({name})" if name and name != station and _drawable(name) == name else station


def set_title(axes: Axes, text: str) -> None:
    """Write a title at the left, of at most 110 letters a line, none of which the font lacks."""
    lines = text.split("\n")
    axes.set_title("\n".join(_drawable(line)[:110] for line in lines), loc="left", fontsize=11, parse_math=False)


@cache
def _letters() -> frozenset[int]:
    """Give the letters that the font can draw."""
    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())


def _drawable(text: str) -> str:
    """Put a question mark for what the font cannot draw."""
    return "".join(letter if ord(letter) in _letters() and letter.isprintable() else "?" for letter in text)


def unbroken(lon: Floats) -> Floats:
    """Give longitudes without the jump at the antimeridian, where that makes them lie closer together."""
    turned = np.where(lon < 0, lon + 360.0, lon)
    return turned if np.ptp(turned) < np.ptp(lon) else lon


def map_frame(axes: Axes, lon: Floats, lat: Floats) -> float:
    """Frame the places with a margin, with ticks like 12.5°E; give the frame's height as a share of its width."""
    middle = float(np.clip((lat.min() + lat.max()) / 2, -80, 80))
    shrink = math.cos(math.radians(middle))
    span = max(np.ptp(lon) * shrink, np.ptp(lat), 0.02)
    wide = _widened(axes.set_xlim, lon, span / shrink) * shrink
    high = _widened(axes.set_ylim, lat, span)
    axes.set_aspect(1 / shrink)
    for axis, letters in ((axes.xaxis, "EW"), (axes.yaxis, "NS")):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(partial(_degrees, letters=letters)))
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_facecolor("#f7f9fa")
    return high / wide


def _widened(set_limits: Callable[[float, float], Any], values: Floats, room: float) -> float:
    """Set limits with a margin around values, at least half the room; give how far they lie apart."""
    centre, half = (values.min() + values.max()) / 2, max(np.ptp(values) / 2 + 0.08 * room, 0.25 * room)
    set_limits(float(centre - half), float(centre + half))
    return float(2 * half)


def _degrees(value: float, position: object = None, *, letters: str) -> str:
    del position
    turned = (value + 180.0) % 360.0 - 180.0 if letters == "EW" else value
    side = "" if turned == 0 else letters[0] if turned > 0 else letters[1]
    return f"{abs(turned):.6g}°{side}"


def name_stations(axes: Axes, places: pd.DataFrame) -> None:
    """Write the ids beside the stations, leaving out those that would lie on one already written."""
    written: list[tuple[float, float, float]] = []
    axes.figure.canvas.draw()
    right = axes.get_window_extent().x1
    for station, lon, lat in zip(places["station"], places["lon"], places["lat"], strict=True):
        text = _drawable(str(station))[:24]
        x, y = axes.transData.transform((lon, lat))
        width = _PIXELS_OF_LETTER * (len(text) + 2)
        side = -1 if x + width > right else 1
        start = x if side > 0 else x - width
        if any(start < end and start + width > begin and abs(y - other) < 20 for begin, end, other in written):
            continue
        written.append((start, start + width, y))
        axes.annotate(
            text,
            (lon, lat),
            xytext=(6 * side, 4),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            fontsize=8,
            parse_math=False,
            zorder=4,
        )
