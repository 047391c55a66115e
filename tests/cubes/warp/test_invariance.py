"""The answer for a pixel is the same to the bit in every block, by every way to the block, in every thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.cubes import YX, Grid
from terracube.cubes.warp import METHODS

LONLAT, MERCATOR = "EPSG:4326", "EPSG:3857"
HOLES = {"uint8": 0, "int8": -99, "uint16": 0, "int16": -9999, "uint32": 0, "int32": -1, "float32": np.nan}
HOLES |= {"float64": -9999.0}
# Pixel size, by CRS, that makes a source pixel of 10 m near 46 north one target pixel.
SIZES = {MERCATOR: 14.5, LONLAT: 1.08e-4, "EPSG:32633": 10.0, "EPSG:3413": 9.8}


def target_of(source: Grid, crs: str, ratio: float) -> Grid:
    """Cover the source with pixels that are ``ratio`` source pixels large."""
    return Grid.from_bbox(source.bounds, crs=crs, resolution=SIZES[crs] * ratio, bbox_crs=source.crs)


def assert_same_bits(one, other):
    """Equal to the bit, NaN included."""
    assert one.dtype == other.dtype
    assert np.array_equal(one.view(f"u{one.dtype.itemsize}"), other.view(f"u{one.dtype.itemsize}"))


def in_blocks(into, values, source, target, method, *, block, threads=1, **options):
    """Warp block by block, each on its own."""
    out = np.full(target.shape, np.nan)

    def one(part):
        y, x = part.offset.y - target.offset.y, part.offset.x - target.offset.x
        out[y : y + part.shape.y, x : x + part.shape.x] = into(values, source, part, method, **options)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, target.blocks(block)))
    return out


def check(source, make, into, case, *, threads=1):
    """Compare 37-pixel blocks with the whole."""
    method, dtype, nodata, crs, ratio = case
    values = make(source.shape, dtype, HOLES[dtype])
    nodata = HOLES[dtype] if nodata else None
    target = target_of(source, crs, ratio)
    whole = into(values, source, target, method, nodata=nodata)
    parts = in_blocks(into, values, source, target, method, block=37, threads=threads, nodata=nodata)
    assert np.isfinite(whole).mean() > 0.3
    assert_same_bits(whole, parts)


# Every method with and without nodata, integers and floats, every system, and both sides of the kernel's widening.
COVERING = [
    ("nearest", "uint16", True, MERCATOR, 1.41),
    ("nearest", "float32", False, LONLAT, 0.5),
    ("bilinear", "uint16", True, MERCATOR, 1.41),
    ("bilinear", "uint16", False, MERCATOR, 0.5),
    ("bilinear", "float32", True, "EPSG:3413", 2.7),
    ("cubic", "float32", True, LONLAT, 0.7),
    ("cubic", "uint16", True, MERCATOR, 1.41),
    ("cubic", "uint16", False, "EPSG:3413", 1.0),
    ("average", "uint16", True, MERCATOR, 1.41),
    ("average", "float32", False, "EPSG:3413", 4.0),
    ("mode", "uint16", True, MERCATOR, 1.41),
    ("mode", "uint16", False, LONLAT, 7.0),
]


class TestBlocks:
    @pytest.mark.parametrize("case", COVERING, ids=str)
    def test_odd_blocks_equal_the_whole(self, source, make, into, case):
        """Blocks of 37 pixels, each reading its own window, give the float64 results of the whole to the bit."""
        check(source, make, into, case)

    @pytest.mark.parametrize("method", METHODS)
    def test_threads(self, source, make, into, method):
        """Two threads at once change nothing."""
        check(source, make, into, (method, "uint16", True, MERCATOR, 1.41), threads=2)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "case", list(product(METHODS, HOLES, (True, False), SIZES, (0.5, 1.0, 1.41, 3.3))), ids=str
    )
    def test_all_cases(self, source, make, into, case):
        """Every method, dtype, kind of nodata, system and ratio."""
        check(source, make, into, case, threads=2)

    @pytest.mark.parametrize("method", ["nearest", "bilinear", "average"])
    def test_every_pixel_projected(self, source, make, into, method):
        """With a bound of zero, where no lattice is used, blocks are as equal, and near those of the lattice."""
        values = make(source.shape, "uint16", 0)
        target = target_of(source, MERCATOR, 1.41).window(YX(100, 100), YX(90, 90))
        whole = into(values, source, target, method, nodata=0, bound=0.0)
        assert_same_bits(whole, in_blocks(into, values, source, target, method, block=37, nodata=0, bound=0.0))
        lattice = into(values, source, target, method, nodata=0)
        off = np.abs(whole - lattice)
        assert np.nanquantile(off, 0.99) < (1e-9 if method == "nearest" else 2.0)


class TestOtherWays:
    @settings(max_examples=40)
    @given(st.data())
    def test_sub_rectangles(self, source, make, into, data):
        """Any rectangle, as a window of the grid and as read again from its own affine, equals that of the whole."""
        case = data.draw(st.sampled_from(COVERING[2:9:2]))
        method, dtype, nodata, crs, ratio = case
        values = make(source.shape, dtype, HOLES[dtype])
        options = {"nodata": HOLES[dtype] if nodata else None}
        target = target_of(source, crs, ratio)
        whole = self.whole(into, values, source, target, case, options)
        start = YX(*(data.draw(st.integers(0, side - 1)) for side in target.shape))
        shape = YX(*(data.draw(st.integers(1, side - at)) for side, at in zip(target.shape, start, strict=True)))
        wanted = whole[start.y : start.y + shape.y, start.x : start.x + shape.x]
        window = target.window(start, shape)
        assert_same_bits(np.ascontiguousarray(wanted), into(values, source, window, method, **options))
        again = Grid.from_affine(target.crs, window.transform, shape)
        assert again == window
        assert_same_bits(np.ascontiguousarray(wanted), into(values, source, again, method, **options))

    _wholes: dict = {}  # noqa: RUF012 - a memory of the class, on purpose

    def whole(self, into, values, source, target, case, options):
        """Warp the whole target, once for each case."""
        if case not in self._wholes:
            self._wholes[case] = into(values, source, target, case[0], **options)
        return self._wholes[case]

    @pytest.mark.parametrize("method", METHODS)
    def test_overlapping_boxes(self, source, make, into, method):
        """Two targets made from two boxes agree where they overlap."""
        values = make(source.shape, "uint16", 0)
        left, bottom, right, top = source.bounds
        one, two = (
            Grid.from_bbox((left + cut, bottom + cut, right, top), crs=MERCATOR, resolution=20.4, bbox_crs=source.crs)
            for cut in (0.0, 437.0)
        )
        assert one.same_pixels(two)
        assert one.offset != two.offset or one.shape != two.shape
        full, part = (into(values, source, grid, method, nodata=0) for grid in (one, two))
        y, x = two.offset.y - one.offset.y, two.offset.x - one.offset.x
        height, width = min(one.shape.y - y, two.shape.y), min(one.shape.x - x, two.shape.x)
        assert min(height, width) > 100
        assert_same_bits(
            np.ascontiguousarray(full[y : y + height, x : x + width]), np.ascontiguousarray(part[:height, :width])
        )

    @pytest.mark.parametrize("method", METHODS)
    def test_one_system(self, source, make, into, method):
        """Within one CRS too: blocks, and a target in other pixels of the same system."""
        check(source, make, into, (method, "uint16", True, "EPSG:32633", 1.3))
