"""The grid: a coordinate is a function of the pixel alone, whatever window it is asked from."""

from __future__ import annotations

import json
import math

import numpy as np
import odc.geo.geobox
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import YX, Grid, Pair
from terracube.cubes._pixels import FRACTION as _FRACTION
from terracube.cubes.readers import open_raster

UTM = "EPSG:32633"
SIZES = [120.0, 10.0, 0.1, 1 / 3600, 0.00026949458523585647, 463.3127165275, 1e5 / 3]


@st.composite
def grids(draw, most=400):
    """Any grid of ours: odd resolutions, any phase, far from the origin, from one pixel on."""
    phase = st.integers(0, _FRACTION - 1).map(lambda part: part / _FRACTION)
    index, side = st.integers(-(10**6), 10**6), st.integers(1, most)
    size = draw(st.sampled_from(SIZES))
    return Grid(
        UTM, Pair(-size, size), Pair(draw(phase), draw(phase)), YX(draw(index), draw(index)), YX(draw(side), draw(side))
    )


@st.composite
def grids_with_windows(draw):
    """A grid and a window of it."""
    grid = draw(grids())
    start = YX(draw(st.integers(0, grid.shape.y - 1)), draw(st.integers(0, grid.shape.x - 1)))
    shape = YX(draw(st.integers(1, grid.shape.y - start.y)), draw(st.integers(1, grid.shape.x - start.x)))
    return grid, start, shape


class TestWindows:
    @given(grids_with_windows())
    def test_a_window_has_the_same_coordinates(self, case):
        """Centres, edges and transform of a window are those of the whole, equal to the bit."""
        grid, start, shape = case
        part = grid.window(start, shape)
        y, x = grid.centres()
        part_y, part_x = part.centres()
        assert np.array_equal(part_y, y[start.y : start.y + shape.y])
        assert np.array_equal(part_x, x[start.x : start.x + shape.x])
        rest = grid.window(YX(0, 0), YX(start.y + shape.y, start.x + shape.x))
        assert (part.bounds.right, part.bounds.bottom) == (rest.bounds.right, rest.bounds.bottom)
        assert (part.transform.c, part.transform.f) == (part.bounds.left, part.bounds.top)
        assert part.same_pixels(grid)

    @given(grids(most=60), st.integers(1, 70))
    def test_blocks_tile_the_grid(self, grid, block):
        """Blocks hold every pixel once, in row order, with the sizes that the chunks say."""
        rows, cols = grid.chunks(block)
        seen = np.zeros(grid.shape, int)
        shapes = []
        for part in grid.blocks(block):
            y, x = part.offset.y - grid.offset.y, part.offset.x - grid.offset.x
            seen[y : y + part.shape.y, x : x + part.shape.x] += 1
            shapes.append(part.shape)
        assert (seen == 1).all()
        assert shapes == [YX(row, col) for row in rows for col in cols]
        assert (sum(rows), sum(cols)) == grid.shape

    @given(grids())
    def test_centres_run_south_and_east(self, grid):
        """Rows go down, columns go up, half a pixel from the edges, one pixel apart."""
        y, x = grid.centres()
        size = grid.resolution.x
        assert y[0] == pytest.approx(grid.bounds.top - size / 2, rel=1e-12)
        assert x[0] == pytest.approx(grid.bounds.left + size / 2, rel=1e-12)
        assert (np.diff(y) < 0).all()
        assert (np.diff(x) > 0).all()
        assert x[-1] - x[0] == pytest.approx(size * (grid.shape.x - 1), rel=1e-6)

    @given(grids_with_windows())
    def test_it_is_the_grid_of_odc_geo(self, case):
        """The geobox has our transform and shape, and a part of it is the geobox of our window."""
        grid, start, shape = case
        box = grid.geobox
        assert box == odc.geo.geobox.GeoBox(tuple(grid.shape), grid.transform, UTM)
        part = box[start.y : start.y + shape.y, start.x : start.x + shape.x]
        assert part.shape == tuple(shape)
        assert part.transform.almost_equals(grid.window(start, shape).transform, precision=1e-3 * grid.resolution.x)


class TestHeaders:
    def test_real_headers(self, data_dir):
        """The grid of every real raster has the corner, pixel and shape of its header, to a millionth of a pixel."""
        checked = 0
        for path in sorted(data_dir.glob("*/**/*.tif")):
            with open_raster(path) as dataset:
                crs, transform, shape = dataset.crs, dataset.transform, dataset.shape
            if crs is None or transform.b or transform.e >= 0:
                continue
            grid = Grid.from_affine(crs.to_wkt(), transform, shape)
            assert grid.shape == shape
            assert (grid.transform.a, grid.transform.e) == (transform.a, transform.e)
            assert abs(grid.transform.c - transform.c) <= 1e-6 * transform.a
            assert abs(grid.transform.f - transform.f) <= 1e-6 * transform.a
            assert Grid.from_affine(crs.to_wkt(), grid.transform, shape) == grid
            checked += 1
        assert checked > 100

    def test_the_two_tiles_lie_half_a_pixel_apart(self, tiles):
        """Real tiles of one zone have the same columns, and rows half a pixel apart."""
        north, south = tiles["33TWM"], tiles["33TWL"]
        assert north.transform == Affine(120, 0, 499980, 0, -120, 5200020)
        assert south.transform == Affine(120, 0, 499980, 0, -120, 5100000)
        assert (north.phase.x, south.phase.x) == (0.5, 0.5)
        assert (north.phase.y, south.phase.y) == (0.5, 0.0)
        assert not north.same_pixels(south)

    @given(st.sampled_from(SIZES), st.floats(-1e7, 1e7), st.floats(-1e7, 1e7))
    def test_any_header(self, size, left, top):
        """Corners anywhere are kept to 2^-20 of a pixel, and the grid's own transform is kept to the bit."""
        grid = Grid.from_affine(UTM, Affine(size, 0, left * size / 1e3, 0, -size, top * size / 1e3), (5, 7))
        assert abs(grid.transform.c - left * size / 1e3) <= size / _FRACTION
        assert abs(grid.transform.f - top * size / 1e3) <= size / _FRACTION
        assert Grid.from_affine(UTM, grid.transform, (5, 7)) == grid
        assert 0 <= grid.phase.x < 1
        assert 0 <= grid.phase.y < 1

    @pytest.mark.parametrize(
        ("numbers", "message"),
        [
            ((10, 1, 0, 0, -10, 0), "rotated"),
            ((10, 0, 0, 1, -10, 0), "rotated"),
            ((10, 0, 0, 0, 10, 0), "north-up"),
            ((-10, 0, 0, 0, -10, 0), "north-up"),
            ((0, 0, 0, 0, -10, 0), "north-up"),
            ((10, 0, 0, 0, 0, 0), "north-up"),
            ((math.nan, 0, 0, 0, -10, 0), "not finite"),
            ((10, 0, math.inf, 0, -10, 0), "not finite"),
            ((1e-9, 0, 5e6, 0, -1e-9, 5e6), "too small"),
            ((1e-300, 0, 5e6, 0, -1e-300, 5e6), "too small"),
        ],
    )
    def test_headers_that_are_no_place(self, numbers, message):
        """Rotated, flipped, infinite or absurdly fine headers are errors of the metadata."""
        with pytest.raises(MetadataError, match=message):
            Grid.from_affine(UTM, Affine(*numbers), (10, 10))


@st.composite
def boxes(draw):
    """A resolution and a box of up to a few hundred pixels, anywhere."""
    size = draw(st.sampled_from(SIZES))
    left, bottom = (draw(st.floats(-1e5, 1e5)) * size for _ in range(2))
    wide, high = (draw(st.floats(1e-3, 300)) * size for _ in range(2))
    return size, (left, bottom, left + wide, bottom + high)


class TestFromBox:
    @given(boxes(), grids())
    def test_covers_and_is_minimal(self, case, other):
        """The grid holds the box, no row or column of it is unneeded, and its edges are those of `align`."""
        size, box = case
        align = Grid(UTM, Pair(-size, size), other.phase, other.offset, other.shape)
        grid = Grid.from_bbox(box, crs=UTM, resolution=size, bbox_crs=UTM, align=align)
        left, bottom, right, top = grid.bounds
        slack = 2e-6 * size
        assert left <= box[0] + slack
        assert bottom <= box[1] + slack
        assert right >= box[2] - slack
        assert top >= box[3] - slack
        assert box[0] - left < size + slack
        assert box[1] - bottom < size + slack
        assert right - box[2] < size + slack
        assert top - box[3] < size + slack
        assert grid.same_pixels(align)

    @given(grids())
    def test_a_grid_covers_its_own_bounds(self, grid):
        """A box that ends on pixel edges gets exactly these pixels, none more, whatever the rounding."""
        size = (-grid.resolution.y, grid.resolution.x)
        assert Grid.from_bbox(grid.bounds, crs=UTM, resolution=size, bbox_crs=UTM, align=grid) == grid

    def test_edges_lie_on_multiples_of_the_resolution(self):
        """Without `align` the edges count from the origin of the CRS."""
        grid = Grid.from_bbox((14.3, 46.1, 14.4, 46.2), crs="EPSG:3035", resolution=(60, 30))
        assert grid.resolution == (-60.0, 30.0)
        assert grid.bounds.left % 30 == grid.bounds.right % 30 == 0
        assert grid.bounds.top % 60 == grid.bounds.bottom % 60 == 0

    @settings(max_examples=30)
    @given(
        st.floats(10, 17), st.floats(44, 48), st.floats(0.01, 2), st.floats(0.01, 2),
        st.sampled_from(["EPSG:3035", "EPSG:32633", "EPSG:3857"]),
        st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    )  # fmt: skip
    def test_every_place_of_the_box_is_in_the_grid(self, west, south, wide, high, crs, places):
        """Any point of a box in degrees lies in a pixel of the grid."""
        grid = Grid.from_bbox((west, south, west + wide, south + high), crs=crs, resolution=10)
        to = Transformer.from_crs(4326, crs, always_xy=True)
        for across, up in places:
            x, y = to.transform(west + across * wide, south + up * high)
            assert grid.bounds.left - 0.1 <= x <= grid.bounds.right + 0.1
            assert grid.bounds.bottom - 0.1 <= y <= grid.bounds.top + 0.1

    def test_smaller_than_a_pixel(self):
        """A box inside one pixel gives that pixel."""
        grid = Grid.from_bbox((130, 130, 131, 131), crs=UTM, resolution=120, bbox_crs=UTM)
        assert grid.shape == (1, 1)
        assert grid.bounds == (120, 120, 240, 240)

    @pytest.mark.parametrize("resolution", [120, 120.0, np.float32(120), np.int64(120), (120, 120), [120.0, 120]])
    def test_kinds_of_resolution(self, resolution):
        """A number of any kind, or a pair."""
        grid = Grid.from_bbox((0, 0, 240, 240), crs=UTM, resolution=resolution, bbox_crs=UTM)
        assert grid.resolution == (-120.0, 120.0)

    @pytest.mark.parametrize(
        "resolution",
        [0, -10, math.nan, math.inf, (10, 0), (10, -1), (10,), (1, 2, 3), "x", None, [], "10 m", 1e-9, 1e-320],
    )
    def test_resolutions_that_are_none(self, resolution):
        """Zero, negative, not finite, no number, or absurdly fine: an error of the call that says resolution."""
        with pytest.raises(InputError, match="resolution"):
            Grid.from_bbox((14, 45, 16, 47), crs=UTM, resolution=resolution)

    def test_alignment_needs_the_same_crs_and_resolution(self, tiles):
        """A grid of another CRS or resolution cannot lend its edges."""
        for crs, size in ((UTM, 60), ("EPSG:3035", 120)):
            with pytest.raises(InputError, match="aligned"):
                Grid.from_bbox((14, 45, 16, 47), crs=crs, resolution=size, align=tiles["33TWM"])

    def test_bad_boxes_and_systems(self):
        """Empty, inverted and outside boxes, and unknown systems, are errors of the call."""
        for box in ((14, 45, 14, 45), (14, 47, 16, 45), (-170, 10, -169, 11)):
            with pytest.raises(InputError, match="bounding box"):
                Grid.from_bbox(box, crs=UTM, resolution=120)
        for options in ({"crs": "EPSG:999999"}, {"crs": UTM, "bbox_crs": "EPSG:999999"}):
            with pytest.raises(InputError, match="unknown CRS"):
                Grid.from_bbox((14, 45, 16, 47), resolution=120, **options)

    def test_across_the_antimeridian_in_degrees(self):
        """In degrees the grid counts on beyond 180."""
        grid = Grid.from_bbox((179, -17, -179, -16), crs="EPSG:4326", resolution=0.5)
        assert grid.bounds == (179, -17, 181, -16)


class TestCovering:
    def test_the_real_tiles(self, tiles, native):
        """The anchor is that of the grid it is like; a row only half inside ends at the centre rule."""
        north, south = tiles["33TWM"], tiles["33TWL"]
        assert native.same_pixels(north)
        assert native.bounds == (499980, 4990260, 609780, 5200020)
        other = Grid.covering(tiles.values(), like=south)
        assert other.same_pixels(south)
        # The first row whose centre is not north of the northern tile's edge.
        assert other.bounds.top == 5200080
        assert other.centres()[0][0] == 5200020

    @given(grids())
    def test_a_grid_covers_itself(self, grid):
        """The grid that covers one grid with its own pixels is that grid."""
        assert Grid.covering([grid], like=grid) == grid

    @given(grids_with_windows())
    def test_parts_cover_the_whole(self, case):
        """Two parts cover just the rows and columns from the first to the last of both."""
        grid, start, shape = case
        corner = grid.window(YX(0, 0), YX(1, 1))
        whole = Grid.covering([grid.window(start, shape), corner], like=grid)
        assert whole == grid.window(YX(0, 0), YX(start.y + shape.y, start.x + shape.x))

    def test_other_systems(self, tiles):
        """Tiles of one CRS can be covered in another; the pixels are those of `like`."""
        like = Grid.from_bbox((14, 45, 15, 46), crs="EPSG:3035", resolution=120)
        grid = Grid.covering(tiles.values(), like=like)
        assert grid.same_pixels(like)
        assert grid.shape.y > 1748
        assert grid.shape.x > 915

    def test_nothing_to_cover(self, native):
        """No grid has no cover."""
        with pytest.raises(InputError, match="no grid"):
            Grid.covering([], like=native)


class TestZoom:
    @given(grids(), st.integers(1, 40))
    def test_finer_moves_no_edge(self, grid, factor):
        """Cut pixels cover what the whole ones did."""
        cut = grid.finer(factor)
        assert cut.shape == (grid.shape.y * factor, grid.shape.x * factor)
        assert self._apart(cut, grid) < 2 / _FRACTION * factor

    @given(grids(), st.integers(1, 40))
    def test_coarser_and_finer_again(self, grid, factor):
        """Joined pixels, cut again, are the pixels they were, as far as all of a coarse one are there."""
        wide = grid.window(YX(0, 0), YX(grid.shape.y + 2 * factor, grid.shape.x + 2 * factor))
        again = wide.coarser(factor).finer(factor)
        assert again.resolution == pytest.approx(grid.resolution)
        edges = np.array([again.bounds.top / grid.resolution.y, again.bounds.left / grid.resolution.x]) - grid.phase
        assert np.abs(edges - np.round(edges)).max() < 2 / _FRACTION * factor

    @staticmethod
    def _apart(one, other):
        """Give how far edges lie apart, in pixels."""
        size = np.abs(np.array([*other.resolution, *other.resolution])[[1, 0, 1, 0]])
        return (np.abs(np.array(one.bounds) - other.bounds) / size).max()

    @given(grids(), st.sampled_from([1, 2, 8]))
    def test_coarse_pixels_do_not_depend_on_the_window(self, grid, factor):
        """Coarse pixels are counted from where the grid counts: a window of it has some of them."""
        try:
            part = grid.window(YX(1, 1), YX(max(1, grid.shape.y - 1), max(1, grid.shape.x - 1))).coarser(factor)
        except InputError:
            return
        whole = grid.coarser(factor)
        assert part.same_pixels(whole)
        assert part.bounds.left >= grid.bounds.left - abs(grid.resolution.x) * 1e-5

    def test_a_region_smaller_than_one(self, native):
        """Where not one whole coarse pixel is left, it is said."""
        with pytest.raises(InputError, match="smaller than one coarse pixel"):
            native.window(YX(0, 0), YX(3, 3)).coarser(1000)


class TestPlainValues:
    @given(grids())
    def test_round_trip(self, grid):
        """A grid survives JSON to the bit."""
        assert Grid.from_dict(json.loads(json.dumps(grid.as_dict()))) == grid

    @pytest.mark.parametrize(
        "change",
        [
            {"crs": None}, {"crs": "EPSG:999999"}, {"crs": []}, {"resolution": [120]}, {"resolution": [0, 0]},
            {"resolution": [120, 120]}, {"resolution": [-120, math.nan]}, {"resolution": [-math.inf, 1]},
            {"resolution": "12"}, {"phase": [1, 0]}, {"phase": [-0.1, 0]}, {"phase": None}, {"phase": [math.nan, 0]},
            {"offset": [1.5, 0]}, {"offset": [10**400, 0]}, {"offset": ["1", "2"]}, {"shape": [0, 5]},
            {"shape": [-1, 5]}, {"shape": [5]}, {"shape": [1, 2, 3]}, {"shape": [2**40, 1]},
        ],
    )  # fmt: skip
    def test_malformed(self, native, change):
        """A field that is missing, of the wrong kind or impossible is refused."""
        with pytest.raises(InputError, match=r"malformed grid|CRS"):
            Grid.from_dict(native.as_dict() | change)

    @pytest.mark.parametrize("values", [{}, {"crs": UTM}, [], None, "grid"])
    def test_no_grid_at_all(self, values):
        """What is no mapping with these fields is refused too."""
        with pytest.raises(InputError, match="malformed grid"):
            Grid.from_dict(values)
