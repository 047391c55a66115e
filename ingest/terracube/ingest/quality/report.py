"""Quality of a collection over time: how many scenes can be used, which cannot and why, as values and as a page.

Data sets of observations have no pixels to measure: of them it is the verdicts and the numbers of flags that are told.
"""

from __future__ import annotations

import base64
import io
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pystac
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from terracube.core.files import atomic_path
from terracube.core.html import render
from terracube.ingest.quality.judge import ACCEPTED, MEASURES, REJECTED, SUSPECT, told
from terracube.stac import Catalog, to_query

NOT_JUDGED = "not judged"
_VERDICTS = (ACCEPTED, SUSPECT, REJECTED, NOT_JUDGED)
# Distinguished by shape as well, for those who see colours otherwise.
_LOOKS = {
    ACCEPTED: ("#14746f", "o"),
    SUSPECT: ("#b86e00", "^"),
    REJECTED: ("#b3261e", "X"),
    NOT_JUDGED: ("#8a9896", "s"),
}
_PROPERTIES = {name: f"terracube:{name}" for name in MEASURES} | {"cloud_cover": "eo:cloud_cover"}
_PANELS = {
    "valid_fraction": "Pixels with a value, %",
    "cloud_cover": "Cloud cover, %",
    "saturated_fraction": "Saturated pixels, %",
    "out_of_range_fraction": "Values out of the plausible range, %",
    "registration_shift": "Shift between bands, pixels",
}
_FLAGS = {"1": "good", "2": "not evaluated", "3": "suspect", "4": "fail", "9": "missing"}
_SOFT, _LINE = "#5d6f6d", "#d8e0df"
_WORST = 25
_MOST_REASONS, _LONGEST = 20, 500


@dataclass(frozen=True)
class SceneRow:
    """What an item says of its quality."""

    id: str
    acquired: datetime | None
    verdict: str
    """``accepted``, ``suspect``, ``rejected``, or ``not judged`` where the item does not say."""
    reasons: tuple[str, ...]
    not_measured: tuple[str, ...]
    measures: Mapping[str, float]
    """What was measured, by name."""
    flags: Mapping[str, int]
    """Of a data set of observations: their number by flag (good, not evaluated, ...)."""


@dataclass(frozen=True)
class QualityReport:
    """Quality of the scenes of a collection, in the order of their time."""

    collection: str
    title: str
    scenes: tuple[SceneRow, ...]

    @property
    def noun(self) -> str:
        """What the items are: ``data set`` of observations, which have flags and no pixels, else ``scene``."""
        tables = any(scene.flags for scene in self.scenes) and not any(scene.measures for scene in self.scenes)
        return "data set" if tables else "scene"

    @property
    def counts(self) -> dict[str, int]:
        """Number of scenes by verdict; every verdict is there."""
        found = Counter(scene.verdict for scene in self.scenes)
        return {verdict: found[verdict] for verdict in _VERDICTS}

    @property
    def flags(self) -> dict[str, int]:
        """Number of observations by flag, of all data sets."""
        return {name: sum(scene.flags.get(name, 0) for scene in self.scenes) for name in _FLAGS.values()}

    @property
    def worst(self) -> tuple[SceneRow, ...]:
        """Give the scenes that are not accepted: rejected ones first, those with most reasons first among equals."""
        bad = [scene for scene in self.scenes if scene.verdict in (REJECTED, SUSPECT)]
        return tuple(sorted(bad, key=lambda s: (s.verdict != REJECTED, -len(s.reasons), s.id))[:_WORST])

    def values(self, name: str) -> list[float]:
        """Give what was measured of all scenes where it was."""
        return [scene.measures[name] for scene in self.scenes if name in scene.measures]

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        rows = [{**asdict(s), "acquired": s.acquired and s.acquired.isoformat()} for s in self.scenes]
        medians = {name: statistics.median(values) for name in MEASURES if (values := self.values(name))}
        told = {"collection": self.collection, "counts": self.counts, "medians": medians, "scenes": rows}
        return {**told, "flags": self.flags} if self.noun == "data set" else told

    def write_html(self, path: Path) -> None:
        """Write the report as one page without any other file.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        page = render("terracube.ingest.quality", "report.html", **_page(self))
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")


def quality_report(catalog: Catalog, collection: str) -> QualityReport:
    """Gather what the items of a collection say of their quality.

    Parameters
    ----------
    catalog : Catalog
    collection : str
        Its id.

    Returns
    -------
    QualityReport
        Empty if the collection is.

    Raises
    ------
    NotFoundError
        If there is no such collection.
    """
    known = catalog.get_collection(collection)
    rows = [_row(item) for item in catalog.search(to_query(collections=collection))]
    rows.sort(key=lambda row: (row.acquired is None, row.acquired and row.acquired.timestamp(), row.id))
    return QualityReport(collection, known.title or collection, tuple(rows))


def _row(item: pystac.Item) -> SceneRow:
    said = item.properties
    verdict = said.get("terracube:quality")
    return SceneRow(
        item.id,
        item.datetime or item.common_metadata.start_datetime,
        verdict if verdict in _VERDICTS else NOT_JUDGED,
        _texts(said.get("terracube:quality_reasons")),
        _texts(said.get("terracube:quality_not_measured")),
        {name: float(said[key]) for name, key in _PROPERTIES.items() if _is_number(said.get(key))},
        _flags(said.get("terracube:qc")),
    )


def _flags(counts: Any) -> dict[str, int]:
    told = counts if isinstance(counts, dict) else {}
    return {name: int(told[flag]) for flag, name in _FLAGS.items() if _is_number(told.get(flag))}


def _texts(value: Any) -> tuple[str, ...]:
    """Give texts of an item; it may come from anywhere, so that neither kind nor length is sure."""
    return tuple(str(text)[:_LONGEST] for text in value[:_MOST_REASONS]) if isinstance(value, list) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _page(report: QualityReport) -> dict[str, Any]:
    shown = [name for name in _PANELS if report.values(name)]
    dates = [scene.acquired for scene in report.scenes if scene.acquired]
    return {
        "report": report,
        "period": f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}" if dates else "no date",
        "picture": _data_uri(draw(report)) if shown and dates else "",
        "names": {name: MEASURES[name].title for name in shown},
        "told": told,
        "colours": {verdict: colour for verdict, (colour, _) in _LOOKS.items()},
        "medians": {name: told(name, statistics.median(report.values(name))) for name in shown},
        "titles": {name: kind.title for name, kind in MEASURES.items()},
        "flags": {name: count for name, count in report.flags.items() if count},
    }


def _data_uri(svg: bytes) -> str:
    """Put a picture into the page as an image, in which no script runs."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def draw(report: QualityReport) -> bytes:
    """Draw what was measured over time, a panel for each measure, as SVG; the same bytes for the same report."""
    names = [name for name in _PANELS if report.values(name)]
    with mpl.rc_context(
        {
            "svg.hashsalt": "terracube",
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "axes.edgecolor": _SOFT,
            "date.converter": "concise",
            "figure.constrained_layout.h_pad": 0.09,
            "timezone": "UTC",
        }
    ):
        figure = Figure(figsize=(10.2, 0.5 + 1.55 * len(names)), layout="constrained")
        panels = list(figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0])
        for name, axes in zip(names, panels, strict=True):
            _panel(axes, name, report)
        panels[-1].tick_params(axis="x", length=3)
        handles = {label: mark for mark, label in zip(*_all_handles(panels), strict=True)}
        figure.legend(
            [handles[verdict] for verdict in _VERDICTS if verdict in handles],
            [verdict for verdict in _VERDICTS if verdict in handles],
            loc="outside upper left",
            ncols=4,
            frameon=False,
        )
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    return drawn.getvalue()


def _panel(axes: Axes, name: str, report: QualityReport) -> None:
    factor = MEASURES[name].factor
    for verdict, (colour, marker) in _LOOKS.items():
        rows = [s for s in report.scenes if s.verdict == verdict and name in s.measures and s.acquired is not None]
        if rows:
            values = [factor * scene.measures[name] for scene in rows]
            times = [scene.acquired for scene in rows]
            axes.scatter(times, values, s=26, c=colour, marker=marker, label=verdict, linewidths=0, zorder=3)  # type: ignore[arg-type]  # takes dates, says its own documentation
    axes.set_title(_PANELS[name], loc="left", color=_SOFT, fontsize=9)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.tick_params(colors=_SOFT, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _y_range(axes, name, [factor * value for value in report.values(name)])


def _y_range(axes: Axes, name: str, values: Sequence[float]) -> None:
    """Shares of which there is always much from 0 to 100; small ones as far as they reach, from 0."""
    top = 100.0 if name in ("valid_fraction", "cloud_cover") else max(1.15 * max(values), 0.1)
    axes.set_ylim(-0.06 * top, 1.06 * top)


def _all_handles(panels: Iterable[Axes]) -> tuple[list[Any], list[str]]:
    pairs = [axes.get_legend_handles_labels() for axes in panels]
    return [mark for marks, _ in pairs for mark in marks], [label for _, labels in pairs for label in labels]
