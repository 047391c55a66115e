"""Tiling schemes: tiles are windows of one plane, and every place of a box lies in one of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.gridspec import GridSpec
from pyproj import Transformer

from terracube.core.errors import InputError
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.tiling import Tiling

LAEA = "EPSG:3035"


class TestOwn:
    @settings(max_examples=60)
    @given(
        st.sampled_from([10.0, 30.0, 1 / 3]), st.integers(1, 700), st.floats(-1e5, 1e5), st.floats(-1e5, 1e5),
        st.floats(-1e5, 1e5), st.floats(-1e5, 1e5), st.floats(0.1, 3), st.floats(0.1, 3),
    )  # fmt: skip
    def test_tiles_hold_the_box(self, size, side, east, north, left, bottom, wide, high):
        """Tiles are disjoint windows of one plane; together they hold the box, and each of them touches it."""
        tiling = Tiling.of(LAEA, resolution=size, size=side, origin=(east, north))
        edge = size * side
        box = (left, bottom, left + wide * edge, bottom + high * edge)
        found = dict(tiling.tiles(box, bbox_crs=LAEA))
        slack = 2e-6 * size
        for grid in found.values():
            assert grid.same_pixels(tiling.corner)
            assert grid.shape == (side, side)
            assert (grid.offset.y - tiling.corner.offset.y) % side == 0
            assert (grid.offset.x - tiling.corner.offset.x) % side == 0
            assert grid.bounds.left < box[2] + slack
            assert grid.bounds.right > box[0] - slack
        assert min(grid.bounds.left for grid in found.values()) <= box[0] + slack
        assert max(grid.bounds.right for grid in found.values()) >= box[2] - slack
        assert min(grid.bounds.bottom for grid in found.values()) <= box[1] + slack
        assert max(grid.bounds.top for grid in found.values()) >= box[3] - slack
        rows = len({grid.offset.y for grid in found.values()})
        assert rows * len({grid.offset.x for grid in found.values()}) == len(found)

    def test_names_and_order(self):
        """Tiles come row by row; a box that ends on an edge does not touch the tile beyond it."""
        box = (0, 0, 20_000, 20_000)
        found = list(Grid.tiles(box, crs=LAEA, resolution=10, size=1000, origin=(0, 20_000), bbox_crs=LAEA))
        assert [name for name, _ in found] == ["0_0", "0_1", "1_0", "1_1"]
        assert found[3][1].bounds == (10_000, 0, 20_000, 10_000)

    def test_pixels_that_are_not_square(self):
        """Rows and columns of their own."""
        ((_, grid),) = Grid.tiles((1, 1, 2, 2), crs=LAEA, resolution=(20, 10), size=(50, 60), bbox_crs=LAEA)
        assert (grid.resolution, grid.shape) == ((-20, 10), (50, 60))

    @pytest.mark.parametrize(
        "options",
        [
            {"crs": LAEA}, {"crs": LAEA, "resolution": 10}, {"resolution": 10, "size": 10}, {"tiling": 5},
            {"crs": LAEA, "resolution": 10, "size": 0}, {"crs": LAEA, "resolution": 0, "size": 5},
            {"crs": LAEA, "resolution": 10, "size": 5, "origin": (math.nan, 0)},
            {"crs": LAEA, "resolution": 10, "size": 5, "origin": ("x",)}, {"crs": "x", "resolution": 10, "size": 5},
            {"tiling": "WebMercatorQuad"}, {"tiling": "WebMercatorQuad/31"}, {"tiling": "WebMercatorQuad/-1"},
            {"tiling": "Mars/3"}, {"tiling": ""},
        ],
    )  # fmt: skip
    def test_incomplete(self, options):
        """A scheme without CRS, resolution or size, or of numbers that are none, is refused."""
        with pytest.raises(InputError):
            list(Grid.tiles((14, 46, 15, 47), **options))

    def test_one_tile(self):
        """A tile can be asked for by row and column; beyond the scheme there is none."""
        quad = Tiling.well_known("WebMercatorQuad/2")
        assert quad.tile(0, 0).bounds.top == pytest.approx(math.pi * 6378137)
        for row, col in ((4, 0), (0, 4), (-1, 0)):
            with pytest.raises(InputError, match="no such tile"):
                quad.tile(row, col)
        assert Tiling.of(LAEA, resolution=1, size=10).tile(-1, -1).bounds == (-10, 0, 0, 10)


class TestWebMercator:
    @settings(max_examples=50)
    @given(st.floats(-179.9, 179.9), st.floats(-85, 85), st.integers(0, 18))
    def test_the_formula_of_slippy_maps(self, longitude, latitude, zoom):
        """A place lies in the tile that the usual formula names."""
        tiny = 1e-9
        found = dict(Grid.tiles((longitude, latitude, longitude + tiny, latitude + tiny), f"WebMercatorQuad/{zoom}"))
        side = 2**zoom
        x = (longitude + 180) / 360 * side
        y = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * side
        assert f"{zoom}/{int(x)}/{int(y)}" in found or min(x % 1, 1 - x % 1, y % 1, 1 - y % 1) < 1e-6

    def test_the_whole_world(self):
        """At zoom 2 there are sixteen tiles, the poles are cut off, and all edges are whole pixels of one plane."""
        found = dict(Grid.tiles((-180, -90, 180, 90), "WebMercatorQuad/2"))
        assert len(found) == 16
        assert {grid.phase for grid in found.values()} == {Pair(0.0, 0.0)}
        assert sum(grid.shape.y * grid.shape.x for grid in found.values()) == 1024 * 1024

    def test_across_the_antimeridian(self):
        """A box across it has tiles on both edges of the map, and none between."""
        names = [name for name, _ in Grid.tiles((179, -18, -179, -17), "WebMercatorQuad/5")]
        assert names == ["5/0/17", "5/31/17"]

    def test_beyond_its_parallels(self):
        """Near a pole the map has no tiles."""
        assert list(Grid.tiles((10, 86, 20, 89), "WebMercatorQuad/3")) == []


class TestGridSpecs:
    def test_odc_tiles(self):
        """Tiles of odc-geo have its geoboxes and its names, and hold the box."""
        spec = GridSpec(LAEA, (100, 100), 30, origin=None)
        box = (14.0, 46.0, 14.1, 46.05)
        found = dict(Grid.tiles(box, spec))
        assert len(found) > 2
        for name, grid in found.items():
            x, y = map(int, name.split("_"))
            assert grid == Grid.from_geobox(spec[x, y])
        px, py = Transformer.from_crs(4326, LAEA, always_xy=True).transform(14.05, 46.02)
        inside = [
            g for g in found.values() if g.bounds.left <= px < g.bounds.right and g.bounds.bottom <= py < g.bounds.top
        ]
        assert len(inside) == 1


def test_poles():
    """A box around the pole has tiles all around it, in a polar CRS."""
    found = dict(Grid.tiles((-180, 80, 180, 90), crs="EPSG:3413", resolution=1000, size=500))
    assert set(found) == {f"{row}_{col}" for row in (-3, -2, -1, 0, 1, 2) for col in (-3, -2, -1, 0, 1, 2)}
    corners = np.array([grid.offset for grid in found.values()])
    assert YX(*corners.min(axis=0)) == (-1500, -1500)
