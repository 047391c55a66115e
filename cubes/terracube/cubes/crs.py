"""Coordinate reference systems: their names, points and boxes between them, and where they end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from terracube.core.errors import InputError

# Points along each side of a box that is projected. A curved side bulges between two points by less than 1e-6 of its
# length squared over the radius of the earth: millimetres for a scene, a metre for a continent.
_EDGE_POINTS = 513
_INNER_POINTS = 17
# Degrees east or west, and north or south, of its area of use up to which a CRS is taken at its word. Scenes of the
# southern hemisphere are delivered in the northern UTM zones; but on the far side of the globe coordinates repeat.
_REACH_X, _REACH_Y = 30.0, 90.0


class Bounds(NamedTuple):
    """Outer edges in units of a CRS."""

    left: float
    bottom: float
    right: float
    top: float


def to_crs_text(crs: Any) -> str:
    """Give the canonical text of a CRS: its code where it has one, else WKT2.

    Raises
    ------
    InputError
        If it is no CRS that PROJ knows, or not one of places on a globe (a vertical, geocentric or local one).

    Examples
    --------
    >>> to_crs_text(32633)
    'EPSG:32633'
    """
    try:
        known = CRS.from_user_input(crs)
    except (CRSError, TypeError) as error:
        raise InputError("unknown CRS", expected="like EPSG:3035, or WKT", got=repr(str(crs)[:120])) from error
    if not (known.is_projected or known.is_geographic):
        raise InputError("not a horizontal CRS", expected="like EPSG:3035", got=f"{known.name} ({known.type_name})")
    authority = known.to_authority(min_confidence=100)
    return ":".join(authority) if authority else str(known.to_wkt())


@lru_cache(maxsize=64)
def full_turn(crs: str) -> float | None:
    """Give the longitudes of a full turn, in units of a geographic CRS; ``None`` for other CRS.

    Examples
    --------
    >>> full_turn("EPSG:4326")
    360.0
    """
    known = CRS.from_user_input(crs)
    return 2 * math.pi / known.axis_info[0].unit_conversion_factor if known.is_geographic else None


@lru_cache(maxsize=64)
def metres_per_unit(crs: str) -> float:
    """Give the length of one unit of a projected CRS.

    Examples
    --------
    >>> metres_per_unit("EPSG:32633"), round(metres_per_unit("EPSG:2263"), 6)
    (1.0, 0.304801)
    """
    return float(CRS.from_user_input(crs).axis_info[0].unit_conversion_factor)


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def transform_points(
    source: str, target: str, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project points between two CRS, x before y; a point that cannot be projected becomes infinite.

    Raises
    ------
    InputError
        If no way leads from one CRS to the other (a local one, another planet).
    """
    try:
        px, py = _transformer(source, target).transform(x, y)
    except ProjError as error:
        raise InputError(
            "one CRS cannot be projected to the other", expected="two CRS of the earth", got=str(error)[:200]
        ) from error
    return np.asarray(px, "float64"), np.asarray(py, "float64")


def check_bbox(bbox: Iterable[float], crs: Any = "EPSG:4326") -> tuple[float, float, float, float]:
    """Accept a box that holds an area: finite, south below north, and within the globe if geographic.

    Raises
    ------
    InputError
        Saying which of these does not hold.
    """
    given = tuple(bbox)
    try:
        numbers = tuple(float(v) for v in given)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 4 or not all(math.isfinite(v) for v in numbers):
        raise InputError(
            "a bounding box needs four finite numbers", expected="west,south,east,north", got=str(given)[:200]
        )
    west, south, east, north = numbers
    geographic = full_turn(to_crs_text(crs)) is not None
    if south >= north or west == east or (west > east and not geographic):
        raise InputError(
            "the bounding box is empty or inverted", expected="south < north, west < east", got=str(numbers)
        )
    if geographic and (abs(south) > 90 or abs(north) > 90 or max(abs(west), abs(east)) > 180):
        raise InputError("the bounding box leaves the globe", expected="-180..180, -90..90", got=str(numbers))
    return west, south, east, north


def project_bbox(bbox: tuple[float, float, float, float], source: str, target: str) -> Bounds:
    """Give the box in another CRS that holds the whole box, edges followed point by point.

    Raises
    ------
    InputError
        If the box lies outside the target CRS, or the target CRS cuts it at its own seam.
    """
    west, south, east, north = bbox
    if west > east:
        east += full_turn(source) or 0.0
    if source == target:
        return Bounds(west, south, east, north)
    x, y = _outline(west, south, east, north)
    inner_x, inner_y = (np.linspace(low, high, _INNER_POINTS + 2)[1:-1] for low, high in ((west, east), (south, north)))
    inner = [part.ravel() for part in np.meshgrid(inner_x, inner_y)]
    px, py = transform_points(source, target, np.concatenate([x, inner[0]]), np.concatenate([y, inner[1]]))
    if not (np.isfinite(px).all() and np.isfinite(py).all()) or _far_off((west, south, east, north), source, target):
        raise InputError(
            "the bounding box lies outside the area of the CRS", expected=f"inside {target}", got=str(tuple(bbox))
        )
    edge_x, edge_y = px[: x.size], py[: y.size]
    if _torn(edge_x, px) or _torn(edge_y, py):
        raise InputError(
            "the CRS cuts this bounding box at its seam",
            where=target,
            got=str(tuple(bbox)),
            todo="choose a CRS that holds the box in one piece (a UTM zone or a polar CRS), or make two runs",
        )
    return Bounds(float(edge_x.min()), float(edge_y.min()), float(edge_x.max()), float(edge_y.max()))


def _outline(west: float, south: float, east: float, north: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give points all around a box."""
    t = np.linspace(0.0, 1.0, _EDGE_POINTS)
    along_x, along_y = west + (east - west) * t, south + (north - south) * t
    x = np.concatenate([along_x, np.full_like(t, east), along_x[::-1], np.full_like(t, west)])
    y = np.concatenate([np.full_like(t, south), along_y, np.full_like(t, north), along_y[::-1]])
    return x, y


def _torn(outline: NDArray[np.float64], everywhere: NDArray[np.float64]) -> bool:
    """Tell whether a projected box was torn apart.

    Then its outline jumps over half of its own extent between two of many points, or what was inside is outside.
    """
    low, high = float(outline.min()), float(outline.max())
    extent = high - low
    jumps = extent > 0 and float(np.abs(np.diff(outline)).max()) > 0.5 * extent
    slack = 1e-3 * extent
    return jumps or bool(everywhere.min() < low - slack or everywhere.max() > high + slack)


def _far_off(box: tuple[float, float, float, float], source: str, target: str) -> bool:
    """Tell whether a box in longitude and latitude lies far from where a CRS is meant to be used."""
    area = CRS.from_user_input(target).area_of_use
    if area is None or full_turn(source) != 360.0:
        return False
    west, south, east, north = box
    width = (area.east - area.west) % 360.0 or 360.0
    first = (west - area.west + _REACH_X) % 360.0
    beside = first > width + 2 * _REACH_X and first + (east - west) < 360.0
    return beside or south > area.north + _REACH_Y or north < area.south - _REACH_Y
