"""Where a block lies in a source: reach, window, kernel scale, overviews, and truths within one CRS."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from terracube.core.errors import BudgetError, InputError
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.warp import METHODS, overview_level, pair_scale, pipeline, place, reach
from terracube.cubes.window import Window

UTM, LONLAT, MERCATOR = "EPSG:32633", "EPSG:4326", "EPSG:3857"
EIGHTHS = st.integers(0, 7).map(lambda part: part / 8)


def exact_pixel(target, source, axis):
    """Find source pixels with exact fractions, from the definition."""
    step, size = Fraction(abs(target.resolution[axis])), Fraction(abs(source.resolution[axis]))
    found = []
    for k in range(target.shape[axis]):
        centre = (target.offset[axis] + Fraction(target.phase[axis]) + k + Fraction(1, 2)) * step
        index = math.floor(centre / size - source.offset[axis] - Fraction(source.phase[axis]))
        found.append(index if 0 <= index < source.shape[axis] else -1)
    return np.array(found)


@st.composite
def neighbours(draw):
    """Two grids of one CRS near each other; sizes and phases that make ties common."""

    def grid():
        size = draw(st.sampled_from([10.0, 20.0, 60.0, 12.5]))
        start, most = st.integers(-20, 20), st.integers(1, 30)
        phase = Pair(draw(EIGHTHS), draw(EIGHTHS))
        return Grid(UTM, Pair(-size, size), phase, YX(draw(start), draw(start)), YX(draw(most), draw(most)))

    return grid(), grid()


class TestOneSystem:
    @settings(max_examples=150)
    @given(neighbours())
    def test_nearest_against_exact_fractions(self, into, pair):
        """The pixel that holds the centre, ties to the south and east, without any error."""
        source, target = pair
        names = np.arange(source.shape.y * source.shape.x, dtype="int32").reshape(source.shape)
        rows, cols = (exact_pixel(target, source, axis) for axis in (0, 1))
        inside = np.logical_and.outer(rows >= 0, cols >= 0)
        wanted = np.where(inside, rows[:, None] * source.shape.x + cols, -1)
        found = into(names, source, target, "nearest", dtype="int32", fill=-1)
        assert np.array_equal(found, wanted)
        placement = place(source, target, "nearest")
        assert (placement is None) == (not inside.any())
        if placement is not None:
            used = [part[part >= 0] for part in (rows, cols)]
            window = Window(used[0].min(), used[1].min(), *(int(np.ptp(part)) + 1 for part in used))
            assert placement.window == window

    @settings(max_examples=60)
    @given(st.sampled_from([0.1, 1 / 3600, 1e5 / 3, 463.3127165275]), st.integers(-(10**6), 10**6), EIGHTHS, EIGHTHS)
    def test_sizes_that_floats_cannot_hold(self, into, size, offset, mine, theirs):
        """Ties are told by the phases, not by the last bit of a division."""
        source = Grid(UTM, Pair(-size, size), Pair(theirs, theirs), YX(offset, offset), YX(40, 40))
        target = Grid(UTM, Pair(-size, size), Pair(mine, mine), YX(offset + 2, offset + 2), YX(30, 30))
        names = np.arange(1600, dtype="int32").reshape(40, 40)
        at = [math.floor(2 + k + Fraction(1, 2) + Fraction(mine) - Fraction(theirs)) for k in range(30)]
        found = into(names, source, target, "nearest", dtype="int32", fill=9999)
        assert np.array_equal(found, np.add.outer(np.array(at) * 40, at))

    @pytest.mark.parametrize("method", METHODS)
    def test_same_pixels_are_a_slice(self, source, make, into, method):
        """On the source's own pixels the values come through as they are, by every method."""
        values = make(source.shape, "uint16", 0)
        target = source.window(YX(-5, 300), YX(40, 60))
        placement = place(source, target, method)
        assert placement.copy
        assert placement.window == Window(0, 300, 35, 40)
        assert placement.part == Window(5, 0, 35, 40)
        out = into(values, source, target, method, nodata=0, dtype="uint16", fill=9)
        wanted = np.full((40, 60), 9, "uint16")
        wanted[5:, :40] = np.where(values[:35, 300:] == 0, 9, values[:35, 300:])
        assert np.array_equal(out, wanted)

    @pytest.mark.parametrize("method", ["average", "mode"])
    def test_whole_numbers_of_pixels(self, source, make, into, method):
        """3 x 3 pixels in one: their mean; and their most frequent value, the first where two are as frequent."""
        values = make(source.shape, "uint8", 0)
        target = Grid(source.crs, Pair(-30.0, 30.0), Pair(0, 0), YX(-171000, 18200), YX(100, 113))
        found = into(values, source, target, method)
        boxes = values[:, :339].reshape(100, 3, 113, 3).swapaxes(1, 2).reshape(100, 113, 9)
        if method == "average":
            assert np.allclose(found, boxes.mean(axis=-1), rtol=1e-14)
        else:
            counts = (boxes[..., None] == boxes[..., None, :]).sum(axis=-1)
            assert np.array_equal(np.take_along_axis(boxes, found_first(boxes, counts), -1)[..., 0], found)

    def test_apart(self, source):
        """A source beside the block has no placement."""
        for method in METHODS:
            assert place(source, source.window(YX(300, 0), YX(5, 5)), method) is None
            assert place(source, source.window(YX(0, 0), YX(0, 5)), method) is None


def found_first(boxes, counts):
    """Give the place of the value that is first to reach the highest count, walking through each box."""
    running = np.tril(np.ones((9, 9), bool)) & (boxes[..., :, None] == boxes[..., None, :])
    reached = running.sum(axis=-1)
    return np.argmax(reached == counts.max(axis=-1, keepdims=True), axis=-1)[..., None]


class TestTwoSystems:
    @pytest.mark.parametrize("crs", ["EPSG:3035", LONLAT, MERCATOR, "EPSG:32632", "EPSG:3413"])
    def test_positions_keep_to_the_bound(self, source, into, crs):
        """Ramps of row and column, interpolated, tell the place of each centre: within the bound of PROJ's."""
        size = 9e-5 if crs == LONLAT else 14.0 if crs == MERCATOR else 9.7
        target = Grid.from_bbox(source.bounds, crs=crs, resolution=size, bbox_crs=source.crs)
        y, x = target.centres()
        px, py = Transformer.from_crs(crs, source.crs, always_xy=True).transform(*np.meshgrid(x, y))
        down, across = (np.indices(source.shape)[axis].astype("float32") for axis in (0, 1))
        inverse = ~source.transform
        for values, truth in ((down, inverse.e * py + inverse.f), (across, inverse.a * px + inverse.c)):
            found = into(values, source, target, "bilinear")
            inner = np.isfinite(found)
            inner &= (truth > 3) & (truth < np.max(values) - 3)
            assert np.abs(found + 0.5 - truth)[inner].max() < 2e-4 + 2.0**-20
            part = target.window(YX(80, 60), YX(64, 64))
            off = np.abs(into(values, source, part, "bilinear", bound=0.0) + 0.5 - truth[80:144, 60:124])
            assert off[inner[80:144, 60:124]].max() < 2.0**-20

    @settings(max_examples=30)
    @given(st.data())
    def test_reach_is_never_too_small(self, data):
        """Each source pixel, projected, lies in the reach; the reach is not much larger than the source."""
        crs = data.draw(st.sampled_from([LONLAT, MERCATOR, "EPSG:3035", "EPSG:3413"]))
        lon, lat = data.draw(st.floats(9, 21)), data.draw(st.floats(10, 80))
        x, y = Transformer.from_crs(LONLAT, UTM, always_xy=True).transform(lon, lat)
        size = data.draw(st.sampled_from([1.0, 30.0, 500.0]))
        source = Grid.from_affine(UTM, Affine(size, 0, x, 0, -size, y), (data.draw(st.integers(1, 200)), 50))
        target = Grid(crs, Pair(-1e-3, 1e-3) if crs == LONLAT else Pair(-90.0, 90.0), Pair(0, 0), YX(0, 0), YX(1, 1))
        sy, sx = source.centres()
        px, py = Transformer.from_crs(UTM, crs, always_xy=True).transform(*np.meshgrid(sx, sy))
        rows, cols = py / target.resolution.y, px / target.resolution.x
        here = target.window(YX(int(rows.mean()), int(cols.mean())), YX(1, 1))
        row0, row1, col0, col1 = reach(source, here)
        assert row0 <= rows.min()
        assert rows.max() <= row1
        assert col0 <= cols.min()
        assert cols.max() <= col1
        assert row1 - row0 < 1.2 * np.ptp(rows) + 12 + 4 * size / 90

    def test_the_window_holds_every_tap(self, source, make, into):
        """Values outside the window do not matter; a window one pixel smaller would not do for every method."""
        target = Grid.from_bbox(source.bounds, crs=MERCATOR, resolution=31, bbox_crs=source.crs)
        block = target.window(YX(40, 40), YX(30, 30))
        values = make(source.shape, "uint16", 0)
        for method in METHODS:
            window = place(source, block, method).window
            other = np.full_like(values, 7)
            other[window.slices] = values[window.slices]
            assert np.array_equal(into(values, source, block, method), into(other, source, block, method))
            assert max(window.shape) < 85

    @pytest.mark.parametrize("method", METHODS)
    def test_nowhere_near(self, source, method):
        """A target on another continent, and one a few pixels off, have no placement."""
        far = Grid.from_bbox((-60, -10, -59, -9), crs="EPSG:32621", resolution=1000)
        assert place(source, far, method) is None
        _, bottom, right, top = source.bounds
        near = Grid.from_bbox((right + 600, bottom, right + 900, top), crs="EPSG:3035", resolution=10, bbox_crs=UTM)
        assert place(source, near, method) is None

    @pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1)])
    @pytest.mark.parametrize("method", METHODS)
    def test_small_targets_and_sources(self, source, make, into, method, shape):
        """One pixel, one row, one column, of the target and of the source."""
        target = Grid.from_bbox(source.bounds, crs=MERCATOR, resolution=20, bbox_crs=source.crs)
        part = target.window(YX(60, 60), YX(*shape))
        values = make(source.shape, "uint16", 0)
        whole = into(values, source, target, method)
        wanted = whole[60 : 60 + shape[0], 60 : 60 + shape[1]]
        assert np.array_equal(into(values, source, part, method), wanted)
        thin = source.window(YX(100, 100), YX(*shape))
        found = into(values[100 : 100 + shape[0], 100 : 100 + shape[1]], thin, target, method)
        # A widened cubic kernel of ten lines weighs less than it should where its lobes are cut off: it overshoots.
        assert np.isfinite(found).any()
        if method != "cubic":
            assert 0 <= np.nanmin(found) <= np.nanmax(found) <= values.max()


class TestScale:
    def test_within_one_system(self, source):
        """The quotient of the resolutions, a whole number where it nearly is one, to 1/1024 else."""
        for size, wanted in ((10.0, 1.0), (20.0, 0.5), (20.2, 0.5), (15.0, 1 / 1.5), (5.0, 2.0), (1e4, 1e-3)):
            target = Grid.from_bbox(source.bounds, crs=UTM, resolution=size, bbox_crs=UTM)
            assert pair_scale(source, target) == pytest.approx((wanted, wanted), rel=1e-12)

    def test_same_for_all_windows_and_both_axes_apart(self, source):
        """A degree is shorter east-west than north-south; a window of the target does not change the scale."""
        target = Grid.from_bbox(source.bounds, crs=LONLAT, resolution=2e-4, bbox_crs=UTM)
        scale = pair_scale(source, target)
        metres = 2e-4 * 6.371e6 * math.pi / 180
        assert scale.y == pytest.approx(10 / metres, rel=0.01)
        assert scale.x == pytest.approx(10 / (metres * math.cos(math.radians(46.3))), rel=0.01)
        assert pair_scale(source, target.window(YX(-1000, 5), YX(3, 3))) == scale

    def test_where_the_centre_has_no_place(self):
        """A world map has its scale from the nearest place that the target's system holds."""
        world = Grid.from_affine(LONLAT, Affine(0.5, 0, 0, 0, -0.5, 90), (360, 720))
        target = Grid.from_bbox((14, 45, 16, 47), crs=UTM, resolution=5000)
        scale = pair_scale(world, target)
        assert all(0 < part < math.inf for part in scale)

    def test_overviews(self, source):
        """The coarsest overview no coarser than the target; 457 pixels of 915 are half."""
        whole = source.window(YX(0, 0), YX(915, 915))
        levels = ((457, 457), (228, 228), (114, 114))
        for size, wanted in ((10, 0), (19, 0), (20, 1), (39, 1), (40, 2), (1000, 3)):
            target = Grid.from_bbox(whole.bounds, crs=UTM, resolution=size, bbox_crs=UTM)
            assert overview_level(whole, target, levels) == wanted
        assert overview_level(whole, target, ()) == 0

    def test_pipeline(self, source):
        """The operation, in words that PROJ takes; none within one system."""
        target = Grid.from_bbox(source.bounds, crs=LONLAT, resolution=1e-4, bbox_crs=UTM)
        text = pipeline(source, target)
        assert "proj=utm zone=33" in text
        lon, lat = Transformer.from_pipeline(text).transform(500000, 5100000)
        assert (lon, lat) == pytest.approx((15.0, 46.0527), abs=1e-3)
        assert pipeline(source, source) == "proj=noop"


class TestRefused:
    def test_unknown_method(self, source):
        """The message names the methods."""
        with pytest.raises(InputError, match="nearest, bilinear, cubic, average, mode"):
            place(source, source, "lanczos")

    @pytest.mark.parametrize("bound", [-1.0, math.nan, math.inf])
    def test_bound(self, source, bound):
        """A bound is a distance."""
        with pytest.raises(InputError, match="bound"):
            place(source, source, "nearest", bound=bound)

    def test_too_much_at_once(self):
        """A block that spans a giant source is refused before anything is read."""
        source = Grid(UTM, Pair(-0.1, 0.1), Pair(0.0, 0.0), YX(0, 0), YX(10**6, 10**6))
        target = Grid(UTM, Pair(-500.0, 500.0), Pair(0.0, 0.0), YX(0, 0), YX(200, 200))
        with pytest.raises(BudgetError, match=r"995,001 x 995,001"):
            place(source, target, "nearest")
        endless = Grid(UTM, Pair(-1e-3, 1e-3), Pair(0.0, 0.0), YX(0, 0), YX(1, 1 << 30))
        with pytest.raises(BudgetError, match="too many pixels"):
            place(endless, target, "nearest")

    def test_no_way(self, source):
        """Another planet."""
        moon = Grid.from_affine("IAU_2015:30100", Affine(1, 0, 0, 0, -1, 10), (10, 10))
        with pytest.raises(InputError, match="cannot be projected"):
            place(source, moon, "nearest")
