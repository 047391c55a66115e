"""The accuracy report: one HTML page with its pictures inside, and the same figures as JSON beside it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from terracube.core.files import write_text
from terracube.core.html import png_data_uri, render
from terracube.processing.landcover.accuracy.calibration import Calibration
from terracube.processing.landcover.accuracy.crossval import CrossValidation
from terracube.processing.landcover.accuracy.olofsson import AreaEstimate, Estimate
from terracube.processing.landcover.accuracy.scores import Spread
from terracube.processing.landcover.accuracy.validation import Report

_INK, _SOFT, _LINE, _ACCENT, _OTHER = "#1d2b2a", "#5d6f6d", "#d8e0df", "#14746f", "#b86e00"
_WIDTH, _DPI = 8.4, 110
# Numbers are written into the cells of a matrix of up to so many classes.
_WRITTEN = 24


def write_report(report: Report, path: Path) -> tuple[Path, Path]:
    """Write a report as ``path`` with the suffixes ``.html`` and ``.json``.

    Parameters
    ----------
    report : Report
    path : Path
        Of the page; its suffix is replaced.

    Returns
    -------
    (Path, Path)
        The page, and the JSON file. The same report gives the same bytes.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    page, values = path.with_suffix(".html"), path.with_suffix(".json")
    write_text(values, json.dumps(report.as_dict(), indent=1, allow_nan=False) + "\n")
    write_text(page, to_html(report))
    return page, values


def to_html(report: Report) -> str:
    """Give the report as one page that needs no other file; all names in it are escaped."""
    return render(
        "terracube.processing.landcover.accuracy",
        "accuracy.html",
        report=report,
        facts=_facts(report),
        rows=_rows(report),
        folds=_folds(report),
        matrix=_matrix(report),
        pictures=_pictures(report),
        notes=_notes(report),
    )


def percent(value: float, digits: int = 1) -> str:
    """Write a share as a percentage; a dash where it is not known.

    Examples
    --------
    >>> percent(0.94651), percent(float("nan"))
    ('94.7 %', '-')
    """
    return f"{100 * value:.{digits}f} %" if math.isfinite(value) else "-"


def with_margin(one: Estimate, factor: float) -> str:
    """Write an estimate with half the width of its interval, in per cent.

    Examples
    --------
    >>> with_margin(Estimate(0.9465, 0.00943, 0.928, 0.965), 1.96)
    '94.7 ± 1.8 %'
    """
    if not math.isfinite(one.value):
        return "-"
    return f"{100 * one.value:.1f} ± {100 * factor * one.error:.1f} %"


def _facts(report: Report) -> list[tuple[str, str]]:
    """Give the figures at the head of the page: the honest one first."""
    facts = []
    if report.estimate is not None:
        overall = with_margin(report.estimate.overall, report.estimate.factor)
        facts.append((overall, "of the area is mapped right"))
    if report.cross is not None and report.cross.blocked is not None:
        facts.append((percent(report.cross.blocked.overall), "cross-validation, whole blocks held out"))
    if report.cross is not None:
        facts.append((percent(report.cross.random.overall), "cross-validation, random folds (optimistic)"))
    if report.matrix is not None:
        facts.append((f"{report.matrix.total:,.0f}", "reference points used"))
    if report.calibration is not None:
        facts.append((f"{report.calibration.ece:.3f}", "calibration error of the probabilities"))
    return facts


def _rows(report: Report) -> list[dict[str, Any]]:
    """Give the table of classes of a map."""
    found = report.estimate
    if found is None or report.matrix is None:
        return []
    points = dict(zip(report.matrix.codes, report.matrix.counts.sum(axis=1), strict=True))
    return [
        {
            "code": code,
            "style": report.styles[code],
            "points": f"{points[code]:,.0f}",
            "mapped": _area(mapped),
            "area": f"{_area(area.value)} ± {_area(found.factor * area.error)}",
            "users": with_margin(users, found.factor),
            "producers": with_margin(producers, found.factor),
        }
        for code, mapped, area, users, producers in zip(
            found.codes, found.mapped, found.areas, found.users, found.producers, strict=True
        )
    ]


def _area(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _folds(report: Report) -> list[dict[str, Any]]:
    """Give the table of the cross-validation: a row for each score, a pair of cells for each scheme."""
    if report.cross is None:
        return []
    schemes = [one for one in (report.cross.blocked, report.cross.random) if one is not None]
    whole = (
        ("Overall accuracy", "overall"),
        ("Balanced accuracy", "balanced"),
        ("Kappa", "kappa"),
        ("Mean F1", "macro_f1"),
    )
    rows: list[dict[str, Any]] = [
        {"name": title, "style": None, "cells": [_told(getattr(one.spread, key)) for one in schemes]}
        for title, key in whole
    ]
    for number, code in enumerate(schemes[0].codes):
        style = report.styles[code]
        cells = [_told(one.spread.f1[number]) for one in schemes]
        rows.append({"name": f"F1 of {style.name}", "style": style, "cells": cells})
    return rows


def _told(one: Spread) -> str:
    if not math.isfinite(one.mean):
        return "-"
    return f"{one.mean:.3f}" + (f" ± {one.high - one.mean:.3f}" if math.isfinite(one.high) else "")


def _matrix(report: Report) -> list[list[str]]:
    """Give the numbers of points behind the picture of the confusion."""
    return [] if report.matrix is None else [[f"{n:,.0f}" for n in row] for row in report.matrix.counts]


def _notes(report: Report) -> list[str]:
    notes = list(report.notes)
    if report.estimate is not None:
        notes += [_named(note, report) for note in report.estimate.notes]
    if report.cross is not None:
        notes += [_named(note, report) for note in report.cross.notes]
    return notes


def _named(note: str, report: Report) -> str:
    """Put the name of a class beside its code, longest codes first so that 1 is not found in 12."""
    for code in sorted(report.styles, key=lambda one: -len(str(one))):
        style = report.styles[code]
        head = f"class {code} "
        if head in note and style.name != f"class {code}":
            return note.replace(head, f"class {code} ({style.name}) ", 1)
    return note


def _pictures(report: Report) -> dict[str, str]:
    """Draw what is known, each as a ``data:`` address."""
    drawn: dict[str, str] = {}
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": _LINE, "text.color": _INK}):
        if report.estimate is not None:
            drawn["areas"] = _drawn(_draw_areas, report.estimate, report, rows=len(report.estimate.codes))
            drawn["accuracy"] = _drawn(_draw_accuracy, report.estimate, report, rows=len(report.estimate.codes))
            drawn["confusion"] = _drawn(_draw_shares, report.estimate, report, square=True)
        if report.cross is not None:
            drawn["folds"] = _drawn(_draw_folds, report.cross, report, rows=1 + len(report.cross.random.codes))
            if report.estimate is None:
                drawn["confusion"] = _drawn(_draw_mean, report.cross, report, square=True)
        if report.calibration is not None:
            drawn["calibration"] = _drawn(_draw_calibration, report.calibration, report, square=True)
    return drawn


def _drawn(draw: Callable[..., None], what: Any, report: Report, *, rows: int = 0, square: bool = False) -> str:
    size = (5.6, 5.2) if square else (_WIDTH, 1.1 + 0.34 * rows)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    draw(figure.add_subplot(), what, report)
    held = io.BytesIO()
    # Without the name and version of the program, so that the bytes are the same everywhere.
    figure.savefig(held, format="png", metadata={"Software": None})
    return png_data_uri(held.getvalue())


def _dress(axes: Axes, grid: str = "x") -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "both", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_INK)


def _labels(axes: Axes, codes: Sequence[int], report: Report) -> None:
    axes.set_yticks(range(len(codes)), [_short(report.styles[code].name) for code in codes])
    axes.set_ylim(len(codes) - 0.4, -0.6)


def _short(name: str, most: int = 28) -> str:
    # A dollar sign would start a formula.
    plain = name.replace("$", r"\$")
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _bars(axes: Axes, places: NDArray[Any], found: Sequence[Estimate], colour: str, **look: Any) -> None:
    values = np.array([one.value for one in found])
    reach = np.array([[one.value - one.low, one.high - one.value] for one in found]).T
    known = np.isfinite(values)
    axes.errorbar(
        values[known],
        places[known],
        xerr=np.maximum(reach[:, known], 0),
        color=colour,
        capsize=3,
        lw=1.4,
        # Seen on dark bars too.
        path_effects=[withStroke(linewidth=3.4, foreground="white")],
        **look,
    )


def _draw_areas(axes: Axes, found: AreaEstimate, report: Report) -> None:
    """Draw the area of each class: mapped as a bar, adjusted for errors as a point with its interval."""
    places = np.arange(len(found.codes), dtype="float64")
    colours = [report.styles[code].colour for code in found.codes]
    axes.barh(places, found.mapped, height=0.62, color=colours, edgecolor=_SOFT, linewidth=0.6, label="mapped")
    _bars(axes, places, found.areas, _INK, fmt="o", ms=5, label=f"adjusted for errors, {found.level:.0%} interval")
    _labels(axes, found.codes, report)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"area, {found.unit}")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _dress(axes)


def _draw_accuracy(axes: Axes, found: AreaEstimate, report: Report) -> None:
    places = np.arange(len(found.codes), dtype="float64")
    _bars(axes, places - 0.14, found.users, _ACCENT, fmt="o", ms=5, label="user's (of what is mapped so, is so)")
    _bars(axes, places + 0.14, found.producers, _OTHER, fmt="s", ms=5, label="producer's (of what is so, mapped so)")
    _labels(axes, found.codes, report)
    _percent_axis(axes)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _dress(axes)


def _percent_axis(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{share} %" for share in range(0, 101, 20)])


def _draw_shares(axes: Axes, found: AreaEstimate, report: Report) -> None:
    _draw_matrix(axes, found.shares, found.codes, report)


def _draw_mean(axes: Axes, cross: CrossValidation, report: Report) -> None:
    best = cross.headline
    mean = np.mean([one.counts for one in best.confusions], axis=0)
    _draw_matrix(axes, mean / mean.sum(), best.codes, report)


def _draw_matrix(axes: Axes, shares: NDArray[np.float64], codes: Sequence[int], report: Report) -> None:
    """Draw each row as shares of itself: what is mapped as a class, and what it is."""
    rows = shares.sum(axis=1, keepdims=True)
    within = np.divide(shares, rows, out=np.zeros_like(shares), where=rows > 0)
    axes.imshow(within, cmap="GnBu", vmin=0, vmax=1, aspect="auto")
    names = [_short(report.styles[code].name, 22) for code in codes]
    places = range(len(codes))
    axes.set_xticks(places, names, rotation=90 if len(codes) > 3 else 0)
    axes.set_yticks(places, names)
    axes.set_xlabel("reference")
    axes.set_ylabel("map")
    axes.tick_params(length=0, labelsize=9 if len(codes) <= 12 else 7)
    axes.spines[:].set_visible(False)
    if len(codes) <= _WRITTEN:
        for row, column in np.argwhere(within >= 0.005):
            value = within[row, column]
            shade = "white" if value > 0.6 else _INK
            size = 9 if len(codes) <= 12 else 6
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=shade, fontsize=size)


def _draw_folds(axes: Axes, cross: CrossValidation, report: Report) -> None:
    """Draw overall accuracy and F1 of each class, random and blocked, over seeds."""
    schemes = [(cross.random, _OTHER, "s", "random folds (optimistic)")]
    if cross.blocked is not None:
        schemes.append((cross.blocked, _ACCENT, "o", "whole blocks held out"))
    codes = cross.random.codes
    for number, (one, colour, marker, label) in enumerate(schemes):
        found = [one.spread.overall, *one.spread.f1]
        places = np.arange(len(found)) + (0.12 if number else -0.12)
        values = np.array([spread.mean for spread in found])
        half = np.nan_to_num([spread.high - spread.mean for spread in found])
        axes.errorbar(values, places, xerr=half, fmt=marker, color=colour, ms=5, lw=1.4, capsize=3, label=label)
    names = ["Overall accuracy", *(f"F1 {_short(report.styles[code].name)}" for code in codes)]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    _percent_axis(axes)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _dress(axes)


def _draw_calibration(axes: Axes, found: Calibration, report: Report) -> None:  # noqa: ARG001  one signature for all
    filled = found.counts > 0
    x, y = found.confidence[filled], found.accuracy[filled]
    reach = np.maximum(np.stack([y - found.low[filled], found.high[filled] - y]), 0)
    axes.bar(
        found.edges[:-1], found.counts / found.samples, np.diff(found.edges), align="edge", color=_LINE, label="samples"
    )
    axes.plot([0, 1], [0, 1], color=_SOFT, lw=1, ls="--", label="calibrated")
    axes.errorbar(x, y, yerr=reach, fmt="o-", color=_ACCENT, ms=5, lw=1.4, capsize=3, label="model")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("highest probability")
    axes.set_ylabel("share that is right")
    axes.legend(frameon=False, loc="upper left")
    _dress(axes, "both")
