"""``ds.terracube``: where a cube lies, what it is made of, and a picture of it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr
from matplotlib.axes import Axes

from terracube.core.errors import MetadataError
from terracube.cubes.explain import Explanation, explain, report
from terracube.cubes.grid import Grid
from terracube.cubes.ledger import Report
from terracube.cubes.look import SIDE, TRUE_COLOUR, Choice, look
from terracube.cubes.plot import draw
from terracube.cubes.storage.describe import grid_of, missing_of

_PREFIX = "terracube:"
# Of lists and texts that are longer, the beginning is shown.
_MOST_ROWS, _MOST_TEXT, _MOST_DEPTH = 20, 400, 4


@xr.register_dataset_accessor("terracube")  # type: ignore[no-untyped-call]  # xarray gives it no types
class TerraCubeAccessor:
    """What TerraCube adds to a Dataset."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @property
    def grid(self) -> Grid:
        """The grid of the dataset.

        Raises
        ------
        MetadataError
            If it has no CRS, or coordinates that are not even.
        """
        return grid_of(self._ds)

    def explain(self) -> Explanation:
        """Tell what computing the cube will read and take; see :func:`terracube.cubes.explain`."""
        return explain(self._ds)

    def report(self) -> Report:
        """Tell what was read so far, and what is missing and why; see :func:`terracube.cubes.report`."""
        return report(self._ds)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def plot(
        self,
        *,
        rgb: Sequence[str] | None = TRUE_COLOUR,
        band: str | None = None,
        time: Any = None,
        stretch: tuple[float, float] = (2.0, 98.0),
        limits: tuple[float, float] | None = None,
        cmap: str = "viridis",
        side: int = SIDE,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw one date of the cube, coarsely.

        Parameters
        ----------
        rgb : three names or None
            Variables shown as red, green and blue. Where the cube lacks red, green and blue, its first variable is
            shown.
        band : str or None
            One variable instead: with a colour bar and its unit, or a legend if it tells its classes
            (``flag_values``, ``flag_meanings``, ``flag_colors``).
        time : date, position or None
            A day (``"2024-05-31"``) or moment of the cube, or a position; ``None`` = the last.
        stretch : (low, high)
            Percentiles of the valid pixels that become black and white; common to the three bands, so that hues stay.
        limits : (low, high) or None
            Values that become black and white, instead.
        cmap : str
            Colour scale of a single band.
        side : int
            Pixels of the longer side that are read, at most.
        ax : matplotlib Axes or None
            Where to draw; ``None`` = a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            Missing pixels are transparent; the scale bar is true at the middle of the picture.

        Raises
        ------
        NotFoundError
            If there is no such variable or date.
        """
        seen = look(self._ds, Choice(rgb, band, time, side))
        return draw(seen, stretch=stretch, limits=limits, cmap=cmap, ax=ax)

    def summary(self) -> Summary:
        """Give what is known of the cube: grid, variables, sources, masks; a page in notebooks, text elsewhere."""
        return summarise(self._ds)


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a cube, in sections."""

    sections: Mapping[str, Any]
    """Title to a value: text, number, list, or mapping of such."""

    def __str__(self) -> str:
        return "\n".join(line for title, value in self.sections.items() for line in (title, *_lines(value, 1)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [
            f"<details open><summary><b>{_safe(t)}</b></summary>{_block(v, 0)}</details>"
            for t, v in self.sections.items()
        ]
        return f"<div class='terracube-summary'>{''.join(parts)}</div>"


def summarise(ds: xr.Dataset) -> Summary:
    """Gather what a dataset tells of itself; attributes ``terracube:*`` hold JSON text."""
    sections: dict[str, Any] = {"Grid": _grid_facts(ds)}
    if "time" in ds.sizes:
        times = ds.indexes["time"] if "time" in ds.indexes else range(ds.sizes["time"])
        sections["Time"] = (
            {"dates": len(times), "first": str(times[0]), "last": str(times[-1])} if len(times) else {"dates": 0}
        )
    sections["Variables"] = {str(name): _variable_facts(str(name), array) for name, array in ds.data_vars.items()}
    for key, value in ds.attrs.items():
        if str(key).startswith(_PREFIX):
            sections[str(key).removeprefix(_PREFIX).replace("_", " ").capitalize()] = _decoded(value)
    return Summary(sections)


def _grid_facts(ds: xr.Dataset) -> dict[str, Any]:
    try:
        grid = grid_of(ds)
    except MetadataError as error:
        return {"unknown": str(error)}
    return {
        "CRS": grid.crs if "[" not in grid.crs else grid.crs.split('"')[1],
        "pixel": f"{grid.resolution.x:g} x {-grid.resolution.y:g}",
        "size": f"{grid.shape.y} rows x {grid.shape.x} columns",
        "bounds": ", ".join(f"{edge:.10g}" for edge in grid.bounds),
    }


def _variable_facts(name: str, array: xr.DataArray) -> str:
    try:
        missing, _ = missing_of(name, array)
    except MetadataError as error:
        return str(error)
    sizes = ", ".join(f"{dim} {size}" for dim, size in array.sizes.items())
    told = [str(array.attrs[key]) for key in ("long_name", "units") if array.attrs.get(key)]
    gap = "" if missing is None else f"missing {missing:g}"
    return "; ".join(part for part in (f"{array.dtype} ({sizes})", *told, gap) if part)


def _decoded(value: Any) -> Any:
    """Read JSON text; what is no JSON is shown as it is."""
    if not isinstance(value, str):
        return value if isinstance(value, int | float) else str(value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _safe(value: Any) -> str:
    text = str(value)
    return html.escape(text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…")


def _rows(value: Any) -> list[tuple[Any, Any]]:
    """Give the rows of a mapping or a list, the last of them telling how many are left out."""
    rows = list(value.items() if isinstance(value, Mapping) else enumerate(value, 1))
    left = len(rows) - _MOST_ROWS
    return rows if left <= 0 else [*rows[:_MOST_ROWS], ("…", f"and {left} more")]


def _block(value: Any, depth: int) -> str:
    if not isinstance(value, Mapping | list) or depth >= _MOST_DEPTH:
        return _safe(value)
    cells = "style='text-align:left;vertical-align:top'"
    rows = (
        f"<tr><th {cells}>{_safe(key)}</th><td {cells}>{_block(inner, depth + 1)}</td></tr>"
        for key, inner in _rows(value)
    )
    return f"<table>{''.join(rows)}</table>"


def _lines(value: Any, depth: int) -> list[str]:
    if not isinstance(value, Mapping | list) or depth > _MOST_DEPTH:
        return ["  " * depth + str(value)[:_MOST_TEXT]]
    lines = []
    for key, inner in _rows(value):
        if isinstance(inner, Mapping | list) and inner:
            lines += ["  " * depth + f"{key}:", *_lines(inner, depth + 1)]
        else:
            lines.append("  " * depth + f"{key}: {str(inner)[:_MOST_TEXT]}")
    return lines
