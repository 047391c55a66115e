"""Nearest neighbour: which source pixel a target pixel takes, and that no window changes the answer."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import rasterio.warp
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.enums import Resampling

from terracube.cubes import YX, Grid, Pair
from terracube.cubes.warp import place as place_block
from terracube.cubes.warp import warp

UTM, LONLAT = "EPSG:32633", "EPSG:4326"


def nearest(source, target):
    """Give rows and columns in the whole source, of every target pixel; -1 where there is none."""
    placement = place_block(source, target, "nearest")
    found = np.full((2, *target.shape), -1, "int32")
    if placement is None:
        return found
    window = placement.window
    names = np.indices(window.shape, "int32") + np.array([window.row, window.col], "int32")[:, None, None]
    for values, out in zip(names, found, strict=True):
        warp(np.ascontiguousarray(values), placement, nodata=None, out=out, fill=-1)
    return found


def place(value: float) -> Fraction:
    """Give the exact value of a float."""
    return Fraction(value)


def exact_pixel(target: Grid, source: Grid, axis: int) -> list[int]:
    """Find source pixels with exact fractions; written from the definition, without the code's arithmetic."""
    found = []
    for k in range(target.shape[axis]):
        step = place(abs(target.resolution[axis]))
        centre = (target.offset[axis] + place(target.phase[axis]) + k + Fraction(1, 2)) * step
        first = (source.offset[axis] + place(source.phase[axis])) * place(abs(source.resolution[axis]))
        index = math.floor((centre - first) / place(abs(source.resolution[axis])))
        found.append(index if 0 <= index < source.shape[axis] else -1)
    return found


EIGHTHS = st.integers(0, 7).map(lambda part: part / 8)


@st.composite
def neighbours(draw):
    """Two grids of one CRS near each other; sizes and phases that make ties common."""

    def grid(side):
        size = draw(st.sampled_from([10.0, 20.0, 60.0, 12.5]))
        start, most = st.integers(-side, side), st.integers(1, 30)
        phase = Pair(draw(EIGHTHS), draw(EIGHTHS))
        return Grid(UTM, Pair(-size, size), phase, YX(draw(start), draw(start)), YX(draw(most), draw(most)))

    return grid(20), grid(20)


class TestOneSystem:
    @settings(max_examples=200)
    @given(neighbours())
    def test_against_exact_fractions(self, pair):
        """Rows and columns are those of exact arithmetic, ties included: the pixel that starts at the centre."""
        source, target = pair
        rows, cols = nearest(source, target)
        wanted_rows, wanted_cols = exact_pixel(target, source, 0), exact_pixel(target, source, 1)
        inside = np.outer(np.array(wanted_rows) >= 0, np.array(wanted_cols) >= 0)
        assert np.array_equal(rows, np.where(inside, np.array(wanted_rows)[:, None], -1))
        assert np.array_equal(cols, np.where(inside, np.array(wanted_cols)[None, :], -1))

    def test_ties_go_south_and_east(self):
        """Counted from pixel centres, a target at x.5 takes floor(x + .5): the pixel to the south and to the east."""
        source = Grid(UTM, Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(0, 0), YX(6, 6))
        target = Grid(UTM, Pair(-10.0, 10.0), Pair(0.5, 0.5), YX(-1, -1), YX(7, 7))
        y, x = target.centres()
        from_centres = (x - 5.0) / 10.0
        assert np.array_equal(from_centres % 1, np.full(7, 0.5))
        rows, cols = nearest(source, target)
        assert cols[3].tolist() == [*np.floor(from_centres + 0.5).astype(int)[:6], -1]
        assert rows[:, 3].tolist() == [0, 1, 2, 3, 4, 5, -1]
        assert y[0] == 0.0  # on the northern edge: the first row; the one on the southern edge has no pixel

    @settings(max_examples=100)
    @given(st.sampled_from([0.1, 1 / 3600, 1e5 / 3, 463.3127165275]), st.integers(-(10**6), 10**6), EIGHTHS, EIGHTHS)
    def test_sizes_that_floats_cannot_hold(self, size, offset, mine, theirs):
        """Where the division is not exact, ties are still told by the phases, not by its last bit."""
        source = Grid(UTM, Pair(-size, size), Pair(theirs, theirs), YX(offset, offset), YX(40, 40))
        target = Grid(UTM, Pair(-size, size), Pair(mine, mine), YX(offset + 2, offset + 2), YX(30, 30))
        rows, cols = nearest(source, target)
        wanted = [math.floor(2 + k + Fraction(1, 2) + place(mine) - place(theirs)) for k in range(30)]
        assert rows[:, 0].tolist() == cols[0].tolist() == wanted

    def test_the_real_tiles(self, tiles, native):
        """Every row of the southern tile is a tie on the northern tile's pixels, and moves half a pixel north."""
        south = tiles["33TWL"]
        rows, cols = nearest(south, native)
        seen = rows[:, 0]
        first = int((5200020 - 5100000 - 60) / 120)
        assert (seen[:first] == -1).all()
        assert np.array_equal(seen[first:], np.arange(915))
        assert np.array_equal(cols[-1], np.arange(915))
        same = nearest(tiles["33TWM"], native)
        assert np.array_equal(same[:, :915], np.indices((915, 915)))

    def test_apart(self):
        """A source that does not reach the target gives nothing."""
        source = Grid(UTM, Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(0, 0), YX(5, 5))
        assert place_block(source, source.window(YX(5, 0), YX(5, 5)), "nearest") is None
        assert place_block(source, source.window(YX(0, -5), YX(5, 5)), "nearest") is None
        assert nearest(source, source.window(YX(4, 4), YX(5, 5)))[:, 0, 0].tolist() == [4, 4]


@pytest.fixture(scope="module")
def european(tiles):
    """A European grid over the northern tile, of another pixel size."""
    like = Grid.from_bbox((14.9, 45.9, 15, 46), crs="EPSG:3035", resolution=100)
    return Grid.covering([tiles["33TWM"]], like=like)


PAIRS = [("EPSG:3035", 100.0), (LONLAT, 0.00123), ("EPSG:3857", 170.0), ("EPSG:32632", 120.0), ("EPSG:3035", 700.0)]


class TestTwoSystems:
    @pytest.mark.parametrize(("crs", "size"), PAIRS)
    def test_against_gdal(self, tiles, crs, size):
        """GDAL's own nearest neighbour takes the same pixels wherever the centre is not on an edge of one."""
        source = tiles["33TWM"]
        target = Grid.from_bbox((14.95, 45.95, 16.5, 47.0), crs=crs, resolution=size)
        names = np.arange(source.shape.y * source.shape.x, dtype="int32").reshape(source.shape)
        theirs = np.full(target.shape, -1, "int32")
        rasterio.warp.reproject(
            names, theirs, src_transform=source.transform, src_crs=source.crs, dst_transform=target.transform,
            dst_crs=target.crs, dst_nodata=-1, init_dest_nodata=True, resampling=Resampling.nearest, tolerance=0,
        )  # fmt: skip
        rows, cols = nearest(source, target)
        ours = np.where(rows >= 0, rows * source.shape.x + cols, -1)
        y, x = target.centres()
        px, py = Transformer.from_crs(crs, source.crs, always_xy=True).transform(*np.meshgrid(x, y))
        inverse = ~source.transform
        across, down = inverse.a * px + inverse.c, inverse.e * py + inverse.f
        clear = (np.abs(across - np.rint(across)) > 1e-3) & (np.abs(down - np.rint(down)) > 1e-3)
        assert clear.mean() > 0.99
        assert (ours >= 0).mean() > 0.3
        assert np.array_equal(ours[clear], theirs[clear])

    @settings(max_examples=60)
    @given(st.data())
    def test_windows_do_not_change_the_answer(self, tiles, european, data):
        """Any window of the target gives the pixels that the whole target gives there, each one the same."""
        source = tiles["33TWM"]
        whole = self.whole(source, european)
        start = YX(*(data.draw(st.integers(0, side - 1)) for side in european.shape))
        shape = YX(
            *(data.draw(st.integers(1, min(side - at, 300))) for side, at in zip(european.shape, start, strict=True))
        )
        part = nearest(source, european.window(start, shape))
        assert np.array_equal(part, whole[:, start.y : start.y + shape.y, start.x : start.x + shape.x])

    _whole: tuple[Grid, np.ndarray] | None = None

    def whole(self, source, target):
        """Look up the whole target, once."""
        if type(self)._whole is None:
            type(self)._whole = (target, nearest(source, target))
        assert type(self)._whole[0] == target
        return type(self)._whole[1]

    def test_outside_the_domain(self):
        """Corners of a world map lie outside the world: they have no pixel, and everything else has its own."""
        source = Grid.from_affine(LONLAT, Affine(1, 0, -180, 0, -1, 90), (180, 360))
        target = Grid.from_affine("ESRI:54009", Affine(2e5, 0, -1.81e7, 0, -2e5, 9.1e6), (91, 181))
        y, x = target.centres()
        lon, lat = Transformer.from_crs(target.crs, LONLAT, always_xy=True).transform(*np.meshgrid(x, y))
        on_earth = np.isfinite(lon) & np.isfinite(lat)
        assert 0.7 < on_earth.mean() < 0.8  # an ellipse in its rectangle: pi / 4
        rows, cols = nearest(source, target)
        assert np.array_equal(rows >= 0, on_earth)
        lon, lat = np.where(on_earth, lon, 0.0), np.where(on_earth, lat, 0.0)
        clear = on_earth & (np.abs(lon - np.rint(lon)) > 1e-6) & (np.abs(lat - np.rint(lat)) > 1e-6)
        assert np.array_equal(rows[clear], np.floor(90 - lat[clear]).astype(int))
        assert np.array_equal(cols[clear], np.floor(lon[clear] + 180).astype(int))

    def test_far_away(self, tiles):
        """A target on another continent is not reached."""
        target = Grid.from_bbox((-60, -10, -59, -9), crs="EPSG:32621", resolution=1000)
        assert place_block(tiles["33TWM"], target, "nearest") is None

    def test_one_pixel(self, tiles):
        """One target pixel finds one source pixel: the one around its centre."""
        source = tiles["33TWM"]
        target = Grid.from_affine(LONLAT, Affine(1e-6, 0, 15.5, 0, -1e-6, 46.5), (1, 1))
        found = nearest(source, target)
        x, y = Transformer.from_crs(LONLAT, UTM, always_xy=True).transform(15.5 + 5e-7, 46.5 - 5e-7)
        col, row = ~source.transform @ (x, y)
        assert found.ravel().tolist() == [math.floor(row), math.floor(col)]


class TestAroundTheGlobe:
    def test_degrees_beyond_180(self):
        """In a grid that runs over the antimeridian, 180.25 degrees finds the pixel of -179.75."""
        world = Grid.from_affine(LONLAT, Affine(0.5, 0, -180, 0, -0.5, 90), (360, 720))
        target = Grid.from_bbox((179, -17, -179, -16), crs=LONLAT, resolution=0.5)
        _, cols = nearest(world, target)
        assert cols[0].tolist() == [718, 719, 0, 1]

    def test_degrees_from_0_to_360(self):
        """A source counted from 0 to 360 serves a target around 0, and one counted from -180 likewise."""
        source = Grid.from_affine(LONLAT, Affine(1, 0, 0, 0, -1, 90), (180, 360))
        target = Grid.from_bbox((-2, 0, 2, 1), crs=LONLAT, resolution=1)
        assert nearest(source, target)[1].tolist() == [[358, 359, 0, 1]]

    def test_half_a_turn_on_is_not_here(self):
        """Only full turns are the same place; a narrow source is not found elsewhere."""
        source = Grid.from_affine(LONLAT, Affine(1, 0, 10, 0, -1, 50), (5, 5))
        for west in (-170, 100, -20):
            target = Grid.from_bbox((west, 45, west + 5, 50), crs=LONLAT, resolution=1)
            assert place_block(source, target, "nearest") is None
        again = Grid.from_affine(LONLAT, Affine(1, 0, 370, 0, -1, 50), (5, 5))
        assert np.array_equal(nearest(source, again), nearest(source, source))

    def test_zone_on_the_antimeridian(self):
        """A target in UTM zone 1 takes pixels on both sides of the antimeridian from a source in degrees."""
        world = Grid.from_affine(LONLAT, Affine(1, 0, -180, 0, -1, 90), (180, 360))
        target = Grid.from_bbox((179, -17, -179, -16), crs="EPSG:32701", resolution=20000)
        cols = nearest(world, target)[1]
        assert {0, 359} <= set(cols.ravel().tolist()) <= {358, 359, 0, 1}

    def test_the_western_edge_is_not_the_eastern(self):
        """A centre on the western edge takes the first column, one on the eastern edge of the globe too."""
        world = Grid.from_affine(LONLAT, Affine(0.1, 0, -180, 0, -0.1, 90), (1800, 3600))
        for west in (-180.05, 179.95):
            target = Grid.from_affine(LONLAT, Affine(0.1, 0, west, 0, -0.1, 10), (1, 1))
            assert nearest(world, target)[1].tolist() == [[0]]
