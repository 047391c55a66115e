"""Poles, the antimeridian, the ends of projections: every pixel by its true place, and the same in every block."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer

from terracube.cubes import YX, Grid
from terracube.cubes.warp import pair_scale, place, reach

LONLAT, MERCATOR, POLAR = "EPSG:4326", "EPSG:3857", "EPSG:3413"


def globe(size=0.5):
    """Degrees all around."""
    return Grid.from_affine(LONLAT, Affine(size, 0, -180, 0, -size, 90), (round(180 / size), round(360 / size)))


def smooth(lon, lat):
    """A function on the sphere without a seam or a pole."""
    lon, lat = np.radians(lon), np.radians(lat)
    return 100 + 30 * np.cos(lat) * np.cos(lon - 1) + 20 * np.sin(lat) + 10 * np.cos(lat) * np.sin(lon)


def values_of(grid):
    """Sample the function at the centres of a grid."""
    y, x = grid.centres()
    return smooth(*Transformer.from_crs(grid.crs, LONLAT, always_xy=True).transform(*np.meshgrid(x, y))).astype(
        "float32"
    )


def utm(zone, lon, lat, size, shape):
    """A grid in a UTM zone whose middle lies at a place."""
    x, y = Transformer.from_crs(LONLAT, f"EPSG:{zone}", always_xy=True).transform(lon, lat)
    return Grid.from_affine(
        f"EPSG:{zone}", Affine(size, 0, x - size * shape[1] / 2, 0, -size, y + size * shape[0] / 2), shape
    )


CASES = {
    "pole inside": (globe(), Grid.from_affine(POLAR, Affine(5e4, 0, -2.5e6, 0, -5e4, 2.5e6), (100, 100))),
    "zone 1 over 180": (globe(0.1), utm(32601, -179.9, 52, 4000, (70, 90))),
    "zone 60 over 180": (globe(0.1), utm(32660, 179.9, -17, 4000, (70, 90))),
    "map of the world": (globe(), Grid.from_affine(MERCATOR, Affine(2e5, 0, -2.02e7, 0, -2e5, 2e7), (200, 202))),
    "degrees beyond 180": (globe(), Grid.from_affine(LONLAT, Affine(0.3, 0, 170, 0, -0.3, 10), (40, 70))),
    "zone 60 in degrees": (utm(32660, 179.5, 52, 2000, (90, 120)), globe(0.05).window(YX(720, 7150), YX(80, 80))),
    "zone 60 in the east": (utm(32660, 179.5, 52, 2000, (90, 120)), globe(0.05).window(YX(720, -50), YX(80, 80))),
    "polar cap in degrees": (
        Grid.from_affine(POLAR, Affine(2e4, 0, -8e5, 0, -2e4, 8e5), (80, 80)),
        globe(0.5).window(YX(0, 0), YX(20, 720)),
    ),
}
OPEN = ["pole inside", "zone 1 over 180", "zone 60 over 180", "map of the world", "degrees beyond 180"]


class TestTruth:
    @pytest.mark.parametrize("name", OPEN)
    @pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average", "mode"])
    def test_no_seam_and_no_hole(self, into, name, method):
        """From a source around the globe every pixel on it has a value, and that of its place, seam or not."""
        source, target = CASES[name]
        found = into(values_of(source), source, target, method)
        y, x = target.centres()
        lon, lat = Transformer.from_crs(target.crs, LONLAT, always_xy=True).transform(*np.meshgrid(x, y))
        on_globe = np.ones(target.shape, bool)
        if name == "map of the world":
            on_globe = np.broadcast_to(np.abs(x) < 20037508, target.shape)
        assert np.isfinite(found[on_globe]).all()
        off = np.abs(found - smooth(lon, lat))[on_globe]
        # Half a degree, and what a box of the largest target pixel averages, in a function of slope 0.7 a degree.
        assert off.max() < (1.2 if method in ("nearest", "mode") or target.resolution.x > 1e4 else 0.2)

    @pytest.mark.parametrize("name", sorted(CASES))
    @pytest.mark.parametrize("method", ["nearest", "bilinear", "average"])
    def test_blocks_equal_the_whole(self, into, name, method):
        """Blocks of 37 pixels give the whole to the bit, at poles and seams too."""
        source, target = CASES[name]
        values = values_of(source)
        whole = into(values, source, target, method)
        assert np.isfinite(whole).mean() > 0.05
        for part in target.blocks(37):
            y, x = part.offset.y - target.offset.y, part.offset.x - target.offset.x
            wanted = whole[y : y + part.shape.y, x : x + part.shape.x]
            assert np.array_equal(into(values, source, part, method), wanted, equal_nan=True)

    @pytest.mark.parametrize("name", sorted(CASES))
    def test_nearest_is_the_pixel_of_the_place(self, into, name):
        """PROJ's place of each centre, pixel by pixel; apart from it only within the bound of an edge."""
        source, target = CASES[name]
        names = np.arange(source.shape.y * source.shape.x, dtype="int32").reshape(source.shape)
        found = into(names, source, target, "nearest", dtype="int32", fill=-1)
        y, x = target.centres()
        px, py = Transformer.from_crs(target.crs, source.crs, always_xy=True).transform(*np.meshgrid(x, y))
        across, down = ~source.transform * (px, py)
        if source.crs == LONLAT:
            across %= 360 / source.resolution.x
        back = Transformer.from_crs(source.crs, target.crs, always_xy=True).transform(px, py)
        home = np.abs(back[1] - y[:, None]) < 0.5 * -target.resolution.y
        inside = home & (across >= 0) & (across < source.shape.x) & (down >= 0) & (down < source.shape.y)
        col, row = (np.floor(np.where(inside, part, 0)).astype(int) for part in (across, down))
        wanted = np.where(inside, row * source.shape.x + col, -1)
        clear = (np.abs(across - np.rint(across)) > 6e-4) & (np.abs(down - np.rint(down)) > 6e-4)
        if target.crs == MERCATOR:
            clear &= np.abs(x) < 20037508
        assert clear.mean() > 0.9
        assert (wanted >= 0).mean() > 0.05
        assert np.array_equal(found[clear], wanted[clear])

    def test_continuous_over_the_last_column(self, into):
        """Bilinear takes taps from the other end of a source around the globe."""
        source = globe(1.0)
        values = np.zeros(source.shape, "float32")
        values[:, 0] = 8.0
        target = Grid.from_affine(LONLAT, Affine(0.25, 0, 179, 0, -0.25, 10), (4, 8))
        found = into(values, source, target, "bilinear")
        # Centres at 179.125 to 180.875; the last column's is at 179.5, the first's at 180.5.
        assert found[1].tolist() == [0, 0, 1, 3, 5, 7, 7, 5]


class TestDomain:
    def test_corners_of_a_world_map(self, into):
        """Outside the ellipse of a world map there is nothing; inside everything has a value."""
        source = globe(1.0)
        target = Grid.from_affine("ESRI:54009", Affine(2e5, 0, -1.81e7, 0, -2e5, 9.1e6), (91, 181))
        y, x = target.centres()
        lon, lat = Transformer.from_crs(target.crs, LONLAT, always_xy=True).transform(*np.meshgrid(x, y))
        on_globe = np.isfinite(lon) & np.isfinite(lat)
        found = into(values_of(source), source, target, "nearest")
        assert np.array_equal(np.isfinite(found), on_globe)

    def test_no_fold_over(self, into):
        """A zone's coordinates repeat far outside it; the source is found once, at its place."""
        source = utm(32633, 15, 46, 5000, (60, 60))
        found = into(np.ones(source.shape, "float32"), source, globe(0.5), "nearest")
        rows, cols = np.nonzero(found == 1)
        assert rows.size > 30
        assert cols.min() >= 2 * (180 + 12)
        assert cols.max() <= 2 * (180 + 18)
        assert rows.min() >= 2 * (90 - 48)

    def test_reach(self):
        """Around the antimeridian: one turn of it, as the target counts; without end where the pole is inside."""
        source, target = CASES["zone 60 in degrees"]
        box = reach(source, target)
        first = source_columns = 20 * 180
        assert first - 60 < box[2] < first < box[3] < source_columns + 60
        east = reach(source, CASES["zone 60 in the east"][1])
        assert (east[2], east[3]) == (box[2] - 7200, box[3] - 7200)
        polar, degrees = CASES["polar cap in degrees"]
        assert reach(polar, degrees)[3] > 720
        assert reach(source, Grid.from_bbox((10, 45, 12, 46), crs=LONLAT, resolution=0.1)) is None

    def test_kernel_scale_of_a_turn(self):
        """The scale is measured across the seam as anywhere."""
        source = Grid.from_affine(LONLAT, Affine(0.5, 0, 0, 0, -0.5, 90), (360, 720))
        target = Grid.from_affine(LONLAT, Affine(1, 0, -180, 0, -1, 90), (180, 360))
        assert pair_scale(source, target) == (0.5, 0.5)

    def test_half_a_turn_on_is_not_here(self):
        """Only full turns are the same place."""
        source = Grid.from_affine(LONLAT, Affine(1, 0, 10, 0, -1, 50), (5, 5))
        for west in (-170, 100, -20):
            assert place(source, Grid.from_bbox((west, 45, west + 5, 50), crs=LONLAT, resolution=1), "nearest") is None

    def test_another_turn_is_here(self, into):
        """A source counted from 0 to 360 serves a target around 0; a narrow one counted a turn on is found."""
        source = Grid.from_affine(LONLAT, Affine(1, 0, 0, 0, -1, 90), (180, 360))
        target = Grid.from_bbox((-2, 0, 2, 1), crs=LONLAT, resolution=1)
        names = np.tile(np.arange(360, dtype="int32"), (180, 1))
        assert into(names, source, target, "nearest", dtype="int32", fill=-1).tolist() == [[358, 359, 0, 1]]
        narrow = Grid.from_affine(LONLAT, Affine(1, 0, 370, 0, -1, 50), (5, 5))
        target = Grid.from_affine(LONLAT, Affine(1, 0, 10, 0, -1, 50), (5, 5))
        values = np.arange(25, dtype="float32").reshape(5, 5)
        for method in ("nearest", "bilinear", "average"):
            assert np.array_equal(into(values, narrow, target, method), values)
