"""Footprints on the whole globe, against areas and points known otherwise."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.stac import footprint

TILE = (499980.0, 5190240.0, 609780.0, 5300040.0)


def outline(bounds: tuple[float, ...], crs: str) -> shapely.Geometry:
    """Give the footprint as a valid shape."""
    shape = shapely.geometry.shape(footprint(bounds, crs)[0])
    assert shape.is_valid, shapely.is_valid_reason(shape)
    return shape


def test_edges_follow_the_grid() -> None:
    """Points along the true edges lie within a metre of the outline; the four corners alone would miss by more."""
    shape = outline(TILE, "EPSG:32633")
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    left, _, right, top = TILE
    share = np.linspace(0, 1, 1001)
    xs, ys = left + share * (right - left), np.full(1001, top)
    edge = shapely.points(*to_lonlat.transform(xs, ys))
    corners = shapely.LineString([edge[0], edge[-1]])
    assert shapely.distance(shape.exterior, edge).max() < 1e-5
    assert shapely.distance(corners, edge).max() > 1e-3


@settings(deadline=None, max_examples=60)
@given(st.floats(-180, 180), st.floats(-90, 90) | st.floats(-90, -88) | st.floats(88, 90), st.floats(1e2, 8e6))
def test_any_place_keeps_its_centre_and_its_area(lon: float, lat: float, size: float) -> None:
    """An equal-area square anywhere: the outline is valid, holds the centre, and its geodesic area is the square's."""
    crs = f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m +type=crs"
    geometry, bbox = footprint((-size / 2, -size / 2, size / 2, size / 2), crs)
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid
    assert shape.covers(shapely.Point(lon, lat)) or abs(lon) > 179.9 or abs(lat) > 89.9
    parts = getattr(shape, "geoms", [shape])
    area = sum(abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(part)[0]) for part in parts)
    assert area == pytest.approx(size**2, rel=4e-3)
    assert (bbox[0] > bbox[2]) == (len(parts) > 1)


@pytest.mark.parametrize(
    ("bounds", "crs"),
    [((300000.0, 8000000.0, 410000.0, 8110000.0), "EPSG:32701"), ((170.0, -10.0, 190.0, 10.0), "EPSG:4326")],
)
def test_the_antimeridian_cuts(bounds: tuple[float, ...], crs: str) -> None:
    """Two parts that meet at 180 degrees; west > east in the box."""
    if crs == "EPSG:32701":
        bounds = (160000.0, 8000000.0, 260000.0, 8110000.0)
    geometry, bbox = footprint(bounds, crs)
    assert geometry["type"] == "MultiPolygon"
    assert bbox[0] > 0 > bbox[2]
    edges = sorted(part.bounds for part in shapely.geometry.shape(geometry).geoms)
    assert edges[0][0] == -180.0
    assert edges[1][2] == 180.0


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90.0), ("EPSG:3031", -90.0)])
@pytest.mark.parametrize("size", [1e3, 1e6, 4e6])
def test_a_footprint_around_a_pole_holds_it(crs: str, pole: float, size: float) -> None:
    """All longitudes, up to the pole."""
    geometry, bbox = footprint((-size, -size, size, size), crs)
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid
    assert bbox[0] == -180.0
    assert bbox[2] == 180.0
    assert pole in bbox
    assert shape.covers(shapely.points([-120, 0, 90, 179], pole * 0.9999)).all()


@pytest.mark.parametrize(
    ("bounds", "span"),
    [
        ((0.0, 0.0, 1e6, 1e6), 90.0),
        ((-1e6, 0.0, 1e6, 1e6), 180.0),
        ((-1e6, 1.0, 1e6, 1e6), 180.0),
        ((-1e6, -1.0, 1e6, 1e6), 360.0),
    ],
)
def test_a_footprint_at_a_pole_spans_its_angle(bounds: tuple[float, ...], span: float) -> None:
    """A corner, an edge, one metre off, one metre beyond: the longitudes of the tile, not their complement."""
    shape = outline(bounds, "EPSG:3413")
    parts = getattr(shape, "geoms", [shape])
    assert sum(part.bounds[2] - part.bounds[0] for part in parts) == pytest.approx(span, abs=0.01)


def test_the_whole_world_is_one_polygon() -> None:
    """In degrees and in Mercator metres."""
    assert footprint((-180, -90, 180, 90), "EPSG:4326")[1] == [-180, -90, 180, 90]
    edge = 20037508.342789244
    geometry, bbox = footprint((-edge, -edge, edge, edge), "EPSG:3857")
    assert geometry["type"] == "Polygon"
    assert bbox == pytest.approx([-180, -85.051129, 180, 85.051129], abs=1e-6)


def test_rings_are_counter_clockwise_and_closed() -> None:
    """As RFC 7946 asks for."""
    for bounds, crs in ((TILE, "EPSG:32633"), ((170, -10, 190, 10), "EPSG:4326")):
        shape = outline(bounds, crs)
        for part in getattr(shape, "geoms", [shape]):
            assert part.exterior.is_ccw
            assert part.exterior.coords[0] == part.exterior.coords[-1]


@pytest.mark.parametrize(
    "bounds", [(0, 0, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)]
)
def test_bounds_that_hold_nothing_are_refused(bounds: tuple[float, ...]) -> None:
    """Empty, inverted, not finite."""
    with pytest.raises(InputError):
        footprint(bounds, "EPSG:32633")


def test_bounds_beyond_their_crs_are_refused() -> None:
    """No outline is invented where the projection says nothing."""
    with pytest.raises(MetadataError, match="defined"):
        footprint((0, 0, 1e9, 1e9), "EPSG:3035")
    with pytest.raises(MetadataError, match="unknown"):
        footprint(TILE, "EPSG:1")
