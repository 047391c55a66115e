"""The pixels that geometries hold, and their values."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.sampling.pixels import find_pixels, read_pixels, to_shapes

UTM = "EPSG:32631"


def raster(rows: int = 30, cols: int = 30, *, crs: str = UTM, step: float = 10.0) -> xr.DataArray:
    """Make a raster whose values are its flat indices, with its upper left corner at (0, 0)."""
    coords = {"y": -step * (np.arange(rows) + 0.5), "x": step * (np.arange(cols) + 0.5)}
    values = np.arange(rows * cols, dtype="float64").reshape(rows, cols)
    return xr.DataArray(values, dims=("y", "x"), coords=coords, name="index").rio.write_crs(crs)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-500, 3500), st.integers(-3500, 500)), min_size=3, max_size=6), st.integers(0, 20)
)
def test_pixels_are_those_whose_centre_lies_inside(corners: list[tuple[int, int]], top: int) -> None:
    """As the geometry library finds them, centre by centre, in the whole raster and in a part of it."""
    shape = shapely.convex_hull(shapely.MultiPoint(np.array(corners) / 10))
    if shape.geom_type != "Polygon" or shape.area < 1:
        return
    for cube in (raster(), raster().isel(y=slice(top, None), x=slice(3, 25))):
        held = find_pixels(cube, [shape], crs=UTM)
        x, y = np.meshgrid(cube["x"].values, cube["y"].values)
        inside = shapely.contains_xy(shape, x, y)
        edge = shapely.distance(shapely.points(x, y), shape.boundary) < 0.01
        found = np.zeros(inside.shape, np.bool_)
        found[held.rows, held.cols] = True
        assert (found == inside)[~edge].all()
        assert bool(held.outside[0]) == (not shapely.within(shape, shapely.box(*held.grid.bounds)))


def test_values_of_found_pixels() -> None:
    """What is read at the pixels is what stands there; rows count from the north in a cube that runs north too."""
    shape = shapely.box(42, -95, 88, -31)
    for cube in (raster(), raster().isel(y=slice(None, None, -1))):
        held = find_pixels(cube, [shape], crs=UTM)
        found = read_pixels(cube, held.rows, held.cols)
        assert found.static["index"].tolist() == (held.rows * 30 + held.cols).tolist()
        assert found.times is None
        x, y = held.centres()
        assert shapely.contains_xy(shape, x, y).all()


def test_several_polygons_share_pixels() -> None:
    """A pixel of two polygons is told for both, sorted by polygon."""
    held = find_pixels(raster(), [shapely.box(0, -20, 20, 0), shapely.box(10, -10, 30, 0)], crs=UTM)
    assert held.place.tolist() == [0, 0, 0, 0, 1, 1]
    assert held.cols.tolist() == [0, 1, 0, 1, 1, 2]


def test_points() -> None:
    """A point holds one pixel; one on an edge goes south and east; one outside none."""
    held = find_pixels(raster(), [shapely.Point(10, -10), shapely.Point(-1, -1)], crs=UTM)
    assert (held.place.tolist(), held.rows.tolist(), held.cols.tolist()) == ([0], [1], [1])
    assert held.outside.tolist() == [False, True]


def test_touched_pixels() -> None:
    """All that a polygon touches, if asked for."""
    shape = shapely.box(8, -12, 12, -8)
    assert len(find_pixels(raster(), [shape], crs=UTM).rows) == 0
    assert len(find_pixels(raster(), [shape], crs=UTM, all_touched=True).rows) == 4


def test_polygons_larger_than_a_tile() -> None:
    """A polygon over many tiles holds each of its pixels once."""
    cube = raster(600, 700)
    held = find_pixels(cube, [shapely.box(-100, -7000, 8000, 100)], crs=UTM)
    assert len(held.rows) == len(np.unique(held.rows * 700 + held.cols)) == 600 * 700


def test_geometries_are_checked() -> None:
    """Heights are dropped; a missing CRS is asked for; nothing at all is refused."""
    flat = to_shapes([shapely.Point(1, 2, 3)], crs=UTM)
    assert not shapely.has_z(flat.values[0])
    with pytest.raises(MetadataError, match="CRS"):
        to_shapes([shapely.Point(1, 2)])
    with pytest.raises(InputError, match="no geometry"):
        to_shapes([], crs=UTM)


def test_beyond_float32_is_missing() -> None:
    """Infinite values and those that float32 cannot hold are NaN."""
    cube = raster(2, 3)
    cube.values[0] = [1, 1e300, np.inf]
    found = read_pixels(cube, np.zeros(3, np.int64), np.arange(3))
    np.testing.assert_array_equal(found.static["index"], np.float32([1, np.nan, np.nan]))
