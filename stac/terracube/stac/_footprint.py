"""Where a raster lies on the globe: its outline in longitude and latitude, as GeoJSON wants it (RFC 7946)."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from pyproj.exceptions import CRSError

from terracube.core.errors import InputError, MetadataError

_PIECES = 32  # per edge: a straight edge on the grid is a curve in longitude and latitude
_STEP = 45.0  # degrees of longitude between neighbours above which an edge, passing near a pole, is refined
_MAX_ROUNDS = 60
_POLE = 90.0 - 1e-7  # above this latitude (1 cm from the pole) a longitude means nothing
_DIGITS = 8  # decimals kept, about 1 mm

_SNAP = 1e-7  # degrees; what lies so near the antimeridian lies on it

Halves = tuple[list[shapely.Polygon], list[shapely.Polygon]]
Array = npt.NDArray[np.float64]


def footprint(bounds: Sequence[float], crs: str | pyproj.CRS) -> tuple[dict[str, Any], list[float]]:
    """Give the outline of a rectangle on a map grid in longitude and latitude.

    Edges are densified before they are transformed. An outline that crosses the antimeridian is cut there into a
    MultiPolygon, and its bounding box has west > east; one that holds or touches a pole reaches up to it.

    Parameters
    ----------
    bounds : sequence of 4 float
        Left, bottom, right, top, in units of the CRS.
    crs : str or pyproj.CRS
        The CRS of the bounds: a code such as ``EPSG:32633``, WKT2 or PROJJSON.

    Returns
    -------
    geometry : dict
        GeoJSON Polygon or MultiPolygon, WGS 84, exterior rings counter-clockwise.
    bbox : list of 4 float
        West, south, east, north in degrees.

    Raises
    ------
    InputError
        If the bounds are empty, inverted or not finite.
    MetadataError
        If the CRS is unknown, or is not defined where the bounds lie.

    Examples
    --------
    >>> geometry, bbox = footprint((499980, 5190240, 609780, 5300040), "EPSG:32633")
    >>> geometry["type"], [round(edge, 2) for edge in bbox]
    ('Polygon', [15.0, 46.86, 16.47, 47.85])
    """
    box = _checked(bounds)
    transformer = pyproj.Transformer.from_crs(read_crs(crs), "EPSG:4326", always_xy=True)
    geographic = bool(transformer.source_crs and transformer.source_crs.is_geographic)
    west, east = _halves(box, transformer, geographic=geographic)
    parts = [*west, *east]
    shape = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    bounds_of = [shapely.total_bounds(half or parts) for half in (west, east)]
    # With parts in both halves, west > east says that the antimeridian lies between.
    bbox = [bounds_of[0][0], shapely.bounds(shape)[1], bounds_of[1][2], shapely.bounds(shape)[3]]
    return _geojson(shape), [round(float(edge), _DIGITS) for edge in bbox]


def read_crs(crs: str | pyproj.CRS) -> pyproj.CRS:
    """Read a CRS from its code, WKT2 or PROJJSON.

    Raises
    ------
    MetadataError
        If there is no such CRS.
    """
    try:
        return pyproj.CRS.from_user_input(crs)
    except CRSError as error:
        raise MetadataError(
            "the coordinate reference system is unknown", expected="EPSG:32633, WKT2 or PROJJSON", got=str(crs)[:200]
        ) from error


def _checked(bounds: Sequence[float]) -> tuple[float, float, float, float]:
    left, bottom, right, top = (float(edge) for edge in bounds)
    if not all(math.isfinite(edge) for edge in (left, bottom, right, top)) or left >= right or bottom >= top:
        raise InputError(
            "bounds are empty, inverted or not finite", expected="left < right, bottom < top", got=str(tuple(bounds))
        )
    return left, bottom, right, top


def _halves(box: tuple[float, float, float, float], transformer: pyproj.Transformer, *, geographic: bool) -> Halves:
    """Give the outline as polygons: those up to the antimeridian, and those that go on beyond it."""
    ring = _refined(_densified(box), transformer, geographic=geographic)
    lon, lat = _transformed(ring, transformer)
    at_pole = np.zeros(lon.shape, bool) if geographic else np.abs(lat) > _POLE
    if at_pole.any():
        return _cut(_through_pole(lon, lat, at_pole))
    closed = np.unwrap(np.append(lon, lon[0]), period=360.0)
    path = np.column_stack([closed[:-1], lat])
    turns = round((closed[-1] - closed[0]) / 360.0)
    return _cut(path) if turns == 0 else _around_pole(path, turns)


def _densified(box: tuple[float, float, float, float]) -> Array:
    """Give the ring of a rectangle, counter-clockwise, open, as (point, x/y)."""
    left, bottom, right, top = box
    corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]])
    share = np.arange(_PIECES)[:, None] / _PIECES
    return np.vstack([a + (b - a) * share for a, b in itertools.pairwise(corners)])


def _refined(ring: Array, transformer: pyproj.Transformer, *, geographic: bool) -> Array:
    """Halve edges that pass so near a pole that it is unclear on which side."""
    for _ in range(0 if geographic else _MAX_ROUNDS):
        lon, lat = _transformed(ring, transformer)
        after, beyond = np.roll(lon, -1), np.roll(lat, -1)
        step = np.abs((after - lon + 180.0) % 360.0 - 180.0)
        wide = np.flatnonzero((step > _STEP) & (np.abs(lat) <= _POLE) & (np.abs(beyond) <= _POLE))
        if wide.size == 0:
            break
        middles = (ring[wide] + np.roll(ring, -1, axis=0)[wide]) / 2.0
        ring = np.insert(ring, wide + 1, middles, axis=0)
    return ring


def _transformed(ring: Array, transformer: pyproj.Transformer) -> tuple[Array, Array]:
    lon, lat = (np.asarray(values, np.float64) for values in transformer.transform(ring[:, 0], ring[:, 1]))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise MetadataError(
            "the bounds leave the area in which their CRS is defined",
            expected="bounds in units of the CRS",
            got=str([*ring.min(axis=0), *ring.max(axis=0)]),
        )
    return lon, np.clip(lat, -90.0, 90.0)


def _through_pole(lon: Array, lat: Array, at_pole: npt.NDArray[np.bool_]) -> Array:
    """Close an outline that touches a pole along the pole's parallel: there is no longitude to go on from."""
    first = int(np.flatnonzero(at_pole)[-1]) + 1
    lon, lat, at_pole = np.roll(lon, -first), np.roll(lat, -first), np.roll(at_pole, -first)
    pole = math.copysign(90.0, float(lat[at_pole][0]))
    lon, lat = np.unwrap(lon[~at_pole], period=360.0), lat[~at_pole]
    return np.vstack([np.column_stack([lon, lat]), [[lon[-1], pole], [lon[0], pole]]])


def _around_pole(path: Array, turns: int) -> Halves:
    """Close an outline that runs around a pole along the pole's parallel, from antimeridian to antimeridian."""
    # A ring is counter-clockwise also as seen from above the globe: eastwards around the north pole, else westwards.
    pole = math.copysign(90.0, turns)
    laps = [path + np.array([360.0 * turns * lap, 0.0]) for lap in (-1, 0, 1)]
    ends = [[laps[-1][-1, 0], pole], [laps[0][0, 0], pole]]
    return _within(np.vstack([*laps, ends]), -180.0), []


def _cut(path: Array) -> Halves:
    """Bring an unwrapped outline into -180..180, cutting it where it crosses the antimeridian."""
    lon = path[:, 0] - 360.0 * math.floor((path[:, 0].min() + 180.0 + _SNAP) / 360.0)
    for meridian in (-180.0, 180.0):
        lon = np.where(np.abs(lon - meridian) < _SNAP, meridian, lon)
    path = np.column_stack([lon, path[:, 1]])
    return _within(path, -180.0), _within(path, 180.0)


def _within(path: Array, west: float) -> list[shapely.Polygon]:
    """Give the polygons of an outline within 360 degrees from ``west``, moved to -180..180; touching is not enough."""
    whole = shapely.make_valid(shapely.Polygon(np.round(path, _DIGITS)))
    clipped = shapely.intersection(whole, shapely.box(west, -90.0, west + 360.0, 90.0))
    moved = shapely.transform(clipped, lambda points: points - [west + 180.0, 0.0])
    parts = getattr(moved, "geoms", [moved])
    return [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0]


def _geojson(geometry: shapely.Geometry) -> dict[str, Any]:
    outline = json.loads(shapely.to_geojson(shapely.orient_polygons(geometry)))
    return {"type": outline["type"], "coordinates": _lists(outline["coordinates"])}


def _lists(values: Any) -> Any:
    return [_lists(value) for value in values] if isinstance(values, list) else round(values, _DIGITS)
