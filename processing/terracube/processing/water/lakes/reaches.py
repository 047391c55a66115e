"""Reaches of rivers and strips along coasts, as polygons for a series."""

from __future__ import annotations

import math
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.ops import substring

from terracube.core.errors import BudgetError, InputError, MetadataError
from terracube.cubes.crs import metres_per_unit, to_crs_text

_SIDES = ("both", "left", "right")
_MOST = 100_000
_ZERO = 1e-9


def strips(
    lines: Any, width: float, *, length: float | None = None, side: str = "both", crs: Any = None
) -> geopandas.GeoDataFrame:
    """Make strips along lines: reaches of a river, or the water beside a coast.

    Parameters
    ----------
    lines : geopandas.GeoDataFrame, geopandas.GeoSeries, or shapely geometries
        LineStrings and MultiLineStrings. In longitude and latitude they are measured in the UTM zone of their middle.
    width : float
        Of the strip, in metres: across the line with ``side="both"``, else to that side of it.
    length : float, optional
        Of the pieces along the line, in metres; each line is cut into equal pieces of at most this length. Uncut unless
        given.
    side : "both", "left" or "right"
        Seen in the direction of the line.
    crs : optional
        CRS of lines that carry none.

    Returns
    -------
    geopandas.GeoDataFrame
        ``id`` (line and piece: ``0-3``), ``line`` (index of the line), ``start`` and ``stop`` (metres along it), and
        the polygon, in the CRS of the lines.

    Raises
    ------
    InputError
        If a width or length is not positive, a geometry is no line, or there is none.
    MetadataError
        If the CRS is missing.
    BudgetError
        If there would be more than 100 000 pieces.

    Examples
    --------
    >>> reach = strips([shapely.LineString([(0, 0), (1000, 0)])], 50, length=400, crs="EPSG:32633")
    >>> reach["id"].tolist(), reach.area.round().tolist()
    (['0-0', '0-1', '0-2'], [16667.0, 16667.0, 16667.0])
    """
    _check(width, length, side)
    series = _as_lines(lines, crs)
    plane, unit = _plane(series)
    width, step = width / unit, math.inf if length is None else length / unit
    rows: list[dict[str, Any]] = []
    for name, line in zip(series.index, np.asarray(plane.values, dtype=object), strict=True):
        parts = shapely.get_parts(shapely.line_merge(shapely.force_2d(line)))
        found = [piece for part in parts for piece in _cut(part, step, _MOST - len(rows))]
        for number, (start, stop, piece) in enumerate(found):
            place = {"id": f"{name}-{number}", "line": name, "start": start * unit, "stop": stop * unit}
            rows.append({**place, "geometry": _strip(piece, width, side)})
    made = geopandas.GeoDataFrame(rows, geometry="geometry", crs=plane.crs)
    return made if plane.crs == series.crs else made.to_crs(series.crs)


def _check(width: float, length: float | None, side: str) -> None:
    for name, value in (("width", width), ("length", length)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError("a strip needs a positive size", where=name, expected="> 0 m", got=repr(value))
    if side not in _SIDES:
        raise InputError("unknown side", where="side", expected=", ".join(_SIDES), got=repr(side))


def _as_lines(lines: Any, crs: Any) -> geopandas.GeoSeries:
    if isinstance(lines, shapely.Geometry):
        lines = [lines]
    if not isinstance(lines, geopandas.GeoSeries):
        lines = lines.geometry if isinstance(lines, geopandas.GeoDataFrame) else geopandas.GeoSeries(list(lines))
    if lines.crs is None and crs is None:
        raise MetadataError("the CRS of the lines is missing", where="lines", expected="a CRS", todo="give crs=...")
    kinds = set(lines.geom_type)
    if not len(lines) or not kinds <= {"LineString", "MultiLineString"} or lines.is_empty.any():
        got = ", ".join(sorted(map(str, kinds))) or "nothing"
        raise InputError("these are no lines", where="lines", expected="LineString or MultiLineString", got=got)
    return lines if lines.crs is not None else lines.set_crs(to_crs_text(crs))


def _plane(series: geopandas.GeoSeries) -> tuple[geopandas.GeoSeries, float]:
    """Give the lines in a CRS with lengths, and the metres of its unit."""
    plane = series.to_crs(series.estimate_utm_crs()) if series.crs.is_geographic else series
    return plane, metres_per_unit(to_crs_text(plane.crs.to_wkt()))


def _cut(line: Any, step: float, most: int) -> list[tuple[float, float, Any]]:
    """Cut a line into equal pieces of at most ``step``: from, to, and the piece."""
    pieces = max(1, math.ceil(line.length / step - _ZERO))
    if pieces > most:
        raise BudgetError(
            "the strips are too many", where="length", expected=f"at most {_MOST}", todo="take longer pieces"
        )
    places: NDArray[np.float64] = np.linspace(0.0, line.length, pieces + 1)
    starts, stops = places[:-1].tolist(), places[1:].tolist()
    return [(a, b, substring(line, a, b)) for a, b in zip(starts, stops, strict=True)]


def _strip(piece: Any, width: float, side: str) -> Any:
    if side == "both":
        return shapely.buffer(piece, width / 2, cap_style="flat", join_style="mitre", mitre_limit=2.0)
    sign = 1.0 if side == "left" else -1.0
    return shapely.buffer(piece, sign * width, cap_style="flat", join_style="mitre", mitre_limit=2.0, single_sided=True)
