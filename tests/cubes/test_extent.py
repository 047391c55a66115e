"""The grid of items: their own where they share one, else the one that was asked for."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.cubes import YX, Grid, read_scenes
from terracube.cubes.crs import Bounds
from terracube.cubes.items.extent import _shortest_arc, bounds_in

BANDS = ["blue", "green", "red", "nir"]


def tile(code, left, top, side=10980, size=10, name="a", **more):
    """Make an item whose red band is one tile, behind an address."""
    grid = {"proj:code": code, "proj:shape": [side, side], "proj:transform": [size, 0, left, 0, -size, top]}
    return {
        "type": "Feature",
        "id": name,
        "collection": "sentinel-2-l2a",
        # Of the whole globe: no claim lies beside it.
        "bbox": [-180, -90, 180, 90],
        "properties": {"datetime": "2023-08-15T10:00:00Z", "s2:processing_baseline": "05.09"},
        "assets": {"red": {"href": f"https://example.org/{name}/red.tif", **grid, **more}},
    }


@pytest.fixture(scope="module")
def across(data_dir):
    """Real scenes of tiles on both sides of the antimeridian, behind addresses."""
    paths = sorted((data_dir / "stac-items" / "antimeridian" / "antimeridian_items").glob("*.json"))
    return [json.loads(path.read_text()) for path in paths]


class TestNative:
    def test_one_tile(self, items, tiles):
        """Items of one tile have its grid, all of it or the part that a box needs."""
        north = [item for item in items if "33TWM" in item.id]
        whole = Grid.from_items(north, BANDS)
        assert whole == tiles["33TWM"]
        assert Grid.from_items(read_scenes(north, BANDS, mask=False)) == whole
        part = Grid.from_items(north, BANDS, bbox=(15.2, 46.2, 15.3, 46.3))
        assert part.same_pixels(whole)
        assert part.shape.y * part.shape.x < 20_000
        assert Grid.from_items(north, BANDS, resolution=120) == whole
        assert Grid.from_items(north, BANDS, crs="EPSG:32633") == whole

    def test_tiles_half_a_pixel_apart(self, items):
        """The real tiles do not share pixels: the error says how they differ and what to do."""
        with pytest.raises(
            InputError, match=r"do not lie on one grid.*phase \(0.5, 0.5\): 5 items.*phase \(0, 0.5\): 3"
        ):
            Grid.from_items(items, BANDS)
        grid = Grid.from_items(items, BANDS, crs="EPSG:3035", resolution=120)
        assert grid.resolution == (-120, 120)
        assert grid.phase == (0, 0)

    def test_the_finest_band_decides(self, data_dir):
        """Bands of three resolutions: the grid is that of the finest one asked for."""
        (path,) = (data_dir / "sentinel2-l2a" / "29RKH-all-bands").rglob("S2A*.json")
        item = json.loads(path.read_text())
        for bands, size in ((["coastal", "red", "rededge1"], 10), (["coastal", "rededge1"], 20), (["coastal"], 60)):
            grid = Grid.from_items(copy.deepcopy(item), bands)
            assert grid.resolution == (-size, size)
            assert grid.bounds == (199980, 2690220, 309780, 2800020)

    def test_pixels_that_are_not_square(self):
        """They stay as they are."""
        item = tile("EPSG:32620", 0, 0)
        item["assets"]["red"]["proj:transform"] = [600.079, 0, 143685, 0, -600.855, -204285]
        grid = Grid.from_items([item], ["red"], bbox=(-66, -3, -65.9, -2.9))
        assert grid.resolution == (-600.855, 600.079)

    def test_neighbours(self):
        """Tiles of one plane are covered together, whatever their order and number."""
        one, two = tile("EPSG:32633", 499980, 5200020), tile("EPSG:32633", 499980, 5100000, name="b")
        grid = Grid.from_items([one, two], ["red"])
        assert grid.bounds == (499980, 4990200, 609780, 5200020)
        assert grid == Grid.from_items([two, one], ["red"])

    def test_nothing_to_take_it_from(self):
        """No items, no bands, and items that do not say where they lie are told."""
        with pytest.raises(EmptyResultError):
            Grid.from_items([], ["red"])
        with pytest.raises(InputError, match="no band"):
            Grid.from_items([tile("EPSG:32633", 0, 0)], [])
        silent = tile("EPSG:32633", 0, 0)
        silent["assets"]["red"]["href"] = "red.tif"
        with pytest.raises(MetadataError, match="does not say where it lies"):
            Grid.from_items([silent], ["red"])


class TestChosen:
    def test_other_zone(self):
        """Items of two zones need a CRS, and a pixel size in its units where they have none."""
        pair = [tile("EPSG:32633", 499980, 5200020), tile("EPSG:32632", 699960, 5200020, name="b")]
        with pytest.raises(InputError, match=r"one grid.*EPSG:32633.*crs="):
            Grid.from_items(pair, ["red"])
        with pytest.raises(InputError, match=r"several CRS.*EPSG:32632, EPSG:32633"):
            Grid.from_items(pair, ["red"], resolution=10)
        with pytest.raises(InputError, match=r"no pixel size in this CRS.*EPSG:3035"):
            Grid.from_items(pair, ["red"], crs="EPSG:3035")
        grid = Grid.from_items(pair, ["red"], crs="EPSG:3035", resolution=100)
        for item in pair:
            code, (a, _, left, _, e, top) = (item["assets"]["red"][key] for key in ("proj:code", "proj:transform"))
            to = Transformer.from_crs(code, "EPSG:3035", always_xy=True)
            for x in (left, left + 10980 * a):
                for y in (top, top + 10980 * e):
                    px, py = to.transform(x, y)
                    assert grid.bounds.left <= px <= grid.bounds.right
                    assert grid.bounds.bottom <= py <= grid.bounds.top

    def test_own_resolution(self, tiles, items):
        """Another pixel size of the same CRS counts from the origin of the CRS."""
        grid = Grid.from_items(items, BANDS, resolution=60)
        assert (grid.resolution, grid.phase) == ((-60, 60), (0, 0))
        assert grid.bounds.left == 499980

    def test_across_the_antimeridian(self, across):
        """Real scenes of zones 1 and 60 in degrees: a grid of three degrees across 180, not one around the globe."""
        grid = Grid.from_items(across, ["red"], crs="EPSG:4326", resolution=0.01)
        west, _, east, _ = grid.bounds
        assert 178 < west < 180 < east < 184
        to = Transformer.from_crs("EPSG:32601", "EPSG:4326", always_xy=True)
        longitude, latitude = to.transform(300000, 6200000)
        assert west <= longitude % 360 <= east
        assert grid.bounds.bottom <= latitude <= grid.bounds.top

    def test_native_on_either_side(self, across):
        """Scenes of one tile at the antimeridian have its grid; a box across it is found in it."""
        eastern = [item for item in across if item["id"].endswith("T60VXH")]
        grid = Grid.from_items(eastern, ["red"])
        assert grid.bounds == (600000, 6190200, 709800, 6300000)
        part = Grid.from_items(eastern, ["red"], bbox=(179.5, 56.0, -179.5, 56.2))
        assert part.same_pixels(grid)
        assert part.bounds.left > 640000

    def test_in_a_map_that_is_cut_there(self, across):
        """A map that is cut at the antimeridian cannot hold a scene across it: said, with what to do."""
        with pytest.raises(InputError, match=r"seam.*UTM zone or a polar CRS"):
            Grid.from_items(across, ["red"], crs="EPSG:3857", resolution=100)
        assert Grid.from_items(across, ["red"], crs="EPSG:3995", resolution=100).crs == "EPSG:3995"

    def test_the_pole(self):
        """A polar scene in degrees goes all around and up to the pole; the polar grid of a box holds the pole."""
        polar = tile("EPSG:3413", -500_000, 500_000, side=1000, size=1000)
        grid = Grid.from_items([polar], ["red"], crs="EPSG:4326", resolution=0.5)
        assert (grid.bounds.left, grid.bounds.right, grid.bounds.top) == (-180, 180, 90)
        assert grid.bounds.bottom == 83
        south = tile("EPSG:3031", -500_000, 500_000, side=1000, size=1000)
        assert Grid.from_items([south], ["red"], crs="EPSG:4326", resolution=0.5).bounds.bottom == -90
        around = Grid.from_items([polar], ["red"], bbox=(-180, 86, 180, 90))
        assert around.bounds.left < 0 < around.bounds.right
        assert around.bounds.bottom < 0 < around.bounds.top


class TestArcs:
    @settings(max_examples=200)
    @given(st.lists(st.tuples(st.floats(-360, 360), st.floats(0, 200)), min_size=1, max_size=8))
    def test_it_holds_all_and_is_short(self, spans):
        """The arc holds every span; it starts where one of them does; and none that does is shorter."""
        arcs = [(left, left + width) for left, width in spans]
        start, width = _shortest_arc(arcs, 360.0)
        assert width <= 360
        if width < 360:
            for left, right in arcs:
                assert (left - start) % 360 + (right - left) <= width + 1e-9

    def test_bounds_of_a_tile(self):
        """The box of a tile in degrees holds its corners and the bulge of its sides."""
        grid = Grid.from_bbox(
            (300000, 6990240, 409800, 7100040), crs="EPSG:32601", resolution=10, bbox_crs="EPSG:32601"
        )
        box = bounds_in(grid, "EPSG:4326")
        assert isinstance(box, Bounds)
        to = Transformer.from_crs("EPSG:32601", "EPSG:4326", always_xy=True)
        x, y = to.transform(np.linspace(300000, 409800, 1001), np.full(1001, 7100040.0))
        assert box.top >= y.max() - 1e-9
        assert bounds_in(grid, "EPSG:32601") == grid.bounds
        assert grid.shape == YX(10980, 10980)
        assert (x % 360).min() >= box.left - 1e-9
        assert (x % 360).max() <= box.right + 1e-9
