"""Where to sample: points and polygons of any CRS, brought to pixel coordinates of the grid at the door.

Pixel coordinates count rows and columns from the origin of the CRS, as the grid does, so that they do not depend on
which part of it is sampled; they are kept to 2^-20 of a pixel, so that ties are decided by a rule and not by the last
bit of a division.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from terracube.core.errors import ConflictError, InputError, MetadataError
from terracube.cubes.crs import full_turn, to_crs_text, transform_points
from terracube.cubes.grid import Grid

_FRACTION = float(1 << 20)
_POINT, _POLYGON, _MULTIPOLYGON = 0, 3, 6
# A straight edge of another CRS is followed to this part of a pixel, with at most so many new vertices in all.
_BEND = 0.001
_MOST_VERTICES = 4_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Places:
    """Geometries with their names, checked."""

    ids: pd.Index[Any]
    """One name per geometry, all different."""
    given: Any
    """The geometries as they were given (GeoSeries, with CRS)."""
    pixels: NDArray[Any]
    """The same geometries in pixel coordinates: x = column, y = row, both counted from the origin of the CRS."""
    frame: pd.DataFrame | None
    """The table they came from."""
    wide: NDArray[np.bool_]
    """True where a geometry in longitude and latitude spans more than half the globe."""


def to_places(geometries: Any, grid: Grid, *, crs: Any, id: str | None, kind: str) -> Places:  # noqa: A002
    """Check geometries and bring them to pixel coordinates.

    ``kind`` is "point", "polygon" or "any" (but not both together). ``id`` names the column with the names; without it
    the index is taken.

    Raises
    ------
    InputError
        Naming the row, if a geometry is empty, invalid, of another kind, or cannot be projected.
    MetadataError
        If the CRS is missing.
    ConflictError
        If the geometries have another CRS than ``crs``.
    """
    series, frame = _as_series(geometries, crs)
    ids = _names(series, frame, id)
    shapes = np.asarray(series.values, dtype=object)
    _check_shapes(shapes, ids, kind)
    flat = shapely.force_2d(shapes)
    source = to_crs_text(series.crs.to_wkt())
    places = Places(ids, series, flat, frame, _half_globe(flat, source))
    if source != grid.crs and len(flat) and shapely.get_dimensions(flat[0]) == 2:
        places = replace(places, pixels=_densified(places, source, grid))
    return replace(places, pixels=_in_pixels(places, source, grid))


def _as_series(geometries: Any, crs: Any) -> tuple[Any, pd.DataFrame | None]:
    """Give the geometries as a GeoSeries with a CRS, and the table they came from."""
    frame = geometries if isinstance(geometries, geopandas.GeoDataFrame) else None
    if frame is not None or isinstance(geometries, geopandas.GeoSeries):
        series = geometries.geometry if frame is not None else geometries
    else:
        shapes = [geometries] if isinstance(geometries, shapely.Geometry) else list(geometries)
        if not all(shape is None or isinstance(shape, shapely.Geometry) for shape in shapes):
            kinds = ", ".join(sorted({type(shape).__name__ for shape in shapes}))
            raise InputError(
                "these are no geometries", where="geometries", expected="GeoDataFrame or shapely", got=kinds
            )
        series = geopandas.GeoSeries(shapes)
    if not len(series):
        raise InputError("there is no geometry", where="geometries", expected="at least one", got="none")
    if crs is not None and series.crs is not None and to_crs_text(crs) != to_crs_text(series.crs.to_wkt()):
        raise ConflictError("the geometries have another CRS", where="crs", expected=str(crs), got=str(series.crs))
    if crs is None and series.crs is None:
        raise MetadataError(
            "the CRS of the geometries is missing", where="geometries", expected="a CRS", todo="give crs=..."
        )
    return (series if series.crs is not None else series.set_crs(to_crs_text(crs))), frame


def _names(series: Any, frame: pd.DataFrame | None, column: str | None) -> pd.Index[Any]:
    if column is not None and (frame is None or column not in frame.columns):
        got = "no table" if frame is None else ", ".join(map(str, frame.columns))
        raise InputError("there is no such column", where="id", expected=column, got=got[:200])
    ids: pd.Index[Any] = pd.Index(series.index if column is None or frame is None else frame[column])
    if isinstance(ids, pd.MultiIndex):
        raise InputError("a geometry needs one name", where="id", got="a MultiIndex", todo="give id=column")
    if not ids.is_unique or ids.hasnans:
        wrong = ids[ids.isna() | ids.duplicated()][0]
        raise InputError("two geometries have one name, or one has none", where="id", got=repr(wrong), todo="id=column")
    return ids


def _check_shapes(shapes: NDArray[Any], ids: pd.Index[Any], kind: str) -> None:
    """Refuse what is no place: nothing, empty, invalid, a line, or points and polygons together."""
    types = shapely.get_type_id(shapes)
    point, area = types == _POINT, np.isin(types, (_POLYGON, _MULTIPOLYGON))
    wanted = {"point": point, "polygon": area, "any": point | area}[kind]
    told = {"point": "a point", "polygon": "a polygon or multipolygon", "any": "a point, polygon or multipolygon"}[kind]
    for wrong, what in (
        (shapely.is_missing(shapes) | shapely.is_empty(shapes), "a geometry is empty"),
        (~wanted, "a geometry is of another kind"),
        (~shapely.is_valid(shapes), "a geometry is not valid"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            shape = shapes[row]
            got = "nothing" if shape is None else f"{shape.geom_type}: {shapely.is_valid_reason(shape)}"
            raise InputError(what, where=f"row {row} (id {ids[row]})", expected=told, got=got[:200])
    if point.any() and area.any():
        raise InputError(
            "points and polygons give different tables", where="geometries", expected="one kind", todo="make two calls"
        )


def _half_globe(shapes: NDArray[Any], crs: str) -> NDArray[np.bool_]:
    turn, bounds = full_turn(crs), shapely.bounds(shapes).reshape(-1, 4)
    return np.zeros(len(shapes), np.bool_) if turn is None else bounds[:, 2] - bounds[:, 0] > turn / 2


def _densified(places: Places, source: str, grid: Grid) -> NDArray[Any]:
    """Add vertices where a straight edge of the given CRS bends on the grid."""
    rings, owner = _rings(places.pixels)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    first, last, edge = points[:-1][same], points[1:][same], owner[ring[:-1][same]]
    _refuse_torn(first, last, edge, places, source)
    ends, middle = _to_pixels(points, source, grid), _to_pixels((first + last) / 2, source, grid)
    if not (np.isfinite(ends).all() and np.isfinite(middle).all()):
        lost = owner[ring[~np.isfinite(ends).all(axis=1)]]
        row = int(lost[0] if len(lost) else edge[~np.isfinite(middle).all(axis=1)][0])
        raise InputError(
            "a geometry cannot be projected to the grid",
            where=f"row {row} (id {places.ids[row]})",
            expected=f"inside the reach of {grid.crs[:60]}",
        )
    bend = np.hypot(*(middle - (ends[:-1][same] + ends[1:][same]) / 2).T)
    length, pieces = np.hypot(*(last - first).T), np.ceil(np.sqrt(bend / _BEND))
    longest = np.full(len(places.pixels), np.inf)
    bent = pieces > 1
    np.minimum.at(longest, edge[bent], length[bent] / pieces[bent])
    if np.sum(length / longest[edge]) > _MOST_VERTICES:
        raise InputError(
            "the edges of the polygons bend too much on the grid",
            where="geometries",
            expected=f"at most {_MOST_VERTICES} vertices to follow them",
            todo="give the polygons in the CRS of the pixels",
        )
    dense = places.pixels.copy()
    chosen = np.isfinite(longest)
    dense[chosen] = shapely.segmentize(dense[chosen], longest[chosen])
    return dense


def _rings(shapes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Give all rings, and the number of the geometry each belongs to."""
    parts, part_owner = shapely.get_parts(shapes, return_index=True)
    rings, ring_owner = shapely.get_rings(parts, return_index=True)
    return rings, part_owner[ring_owner]


def _refuse_torn(
    first: NDArray[np.float64], last: NDArray[np.float64], edge: NDArray[np.int64], places: Places, source: str
) -> None:
    """Refuse edges that go around more than half the globe: they are meant to cross the antimeridian."""
    turn = full_turn(source)
    torn = np.abs(last[:, 0] - first[:, 0]) > (turn or np.inf) / 2
    if torn.any():
        row = int(edge[torn][0])
        raise InputError(
            "an edge spans more than half the globe",
            where=f"row {row} (id {places.ids[row]})",
            expected="polygons cut at the antimeridian (RFC 7946, 3.1.9)",
            todo="cut the polygon at 180 degrees into a multipolygon",
        )


def _to_pixels(points: NDArray[np.float64], source: str, grid: Grid) -> NDArray[np.float64]:
    """Give points (x, y) of a CRS as (column, row), counted from the origin of the grid's CRS."""
    x, y = points[:, 0], points[:, 1]
    if source != grid.crs:
        x, y = transform_points(source, grid.crs, x, y)
    return np.stack([x / grid.resolution.x - grid.phase.x, y / grid.resolution.y - grid.phase.y], axis=1)


def _in_pixels(places: Places, source: str, grid: Grid) -> NDArray[Any]:
    """Give the geometries in pixel coordinates, moved by full turns to where a geographic grid lies."""
    shapes = places.pixels
    exact = shapely.transform(shapes, lambda points: _to_pixels(points, source, grid))
    snapped = shapely.transform(exact, lambda points: np.round(points * _FRACTION) / _FRACTION)
    found = np.where(shapely.is_valid(snapped) | ~shapely.is_valid(exact), snapped, exact)
    turn = full_turn(grid.crs)
    return found if turn is None else _turned(found, turn / grid.resolution.x, grid)


def _turned(shapes: NDArray[Any], turn: float, grid: Grid) -> NDArray[Any]:
    """Move or repeat geometries by whole turns where the grid goes on beyond the antimeridian."""
    left, right = grid.offset.x, grid.offset.x + grid.shape.x
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    result = shapes.copy()
    for row, (low, _, high, _) in enumerate(bounds):
        shifts = [shift for shift in (0.0, turn, -turn) if low + shift < right and high + shift >= left]
        if shifts not in ([], [0.0]):
            moved = [shapely.transform(shapes[row], partial(np.add, np.array([shift, 0.0]))) for shift in shifts]
            single = len(moved) == 1 or moved[0].geom_type == "Point"
            result[row] = moved[0] if single else shapely.multipolygons(list(shapely.get_parts(moved)))
    return result
