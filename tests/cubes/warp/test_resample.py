"""What becomes of values: missing ones, rounding, dtypes, scaling, mosaics."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.cubes import YX, Grid
from terracube.cubes.warp import METHODS, place, warp

MERCATOR = "EPSG:3857"
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
CENTRES = ["nearest", "bilinear", "cubic"]


@pytest.fixture(scope="module")
def target(source):
    """A grid in another system, finer than the source."""
    return Grid.from_bbox(source.bounds, crs=MERCATOR, resolution=13, bbox_crs=source.crs)


@pytest.fixture(scope="module")
def coarse(source):
    """A grid in another system, coarser than the source."""
    return Grid.from_bbox(source.bounds, crs=MERCATOR, resolution=33, bbox_crs=source.crs)


class TestMissing:
    @pytest.mark.parametrize("method", METHODS)
    def test_all_missing(self, source, into, coarse, method):
        """Nothing in, nothing out: the fill value everywhere."""
        values = np.full(source.shape, 7, "uint16")
        out = into(values, source, coarse, method, nodata=7, dtype="uint16", fill=3)
        assert (out == 3).all()
        nothing = np.full(source.shape, np.nan, "float32")
        assert np.isnan(into(nothing, source, coarse, method, nodata=-1.0, dtype="float32")).all()

    def test_one_footprint(self, source, make, into, target, coarse):
        """Nearest, bilinear and cubic have values for the same pixels: whose centre falls on a valid pixel."""
        values = make(source.shape, "uint16", 0)
        for grid in (target, coarse):
            one, two, three = (np.isfinite(into(values, source, grid, method, nodata=0)) for method in CENTRES)
            assert np.array_equal(one, two)
            assert np.array_equal(one, three)
            assert 0.3 < one.mean() < 0.99

    @pytest.mark.parametrize("method", METHODS)
    def test_missing_values_weigh_nothing(self, source, make, into, target, coarse, method):
        """What stands in missing pixels, nodata or NaN or both, does not change a result."""
        values = make(source.shape, "float32", np.nan)
        for grid in (target, coarse):
            found = into(values, source, grid, method)
            other = np.where(np.isnan(values), np.float32(-32768.0), values)
            mixed = other.copy()
            mixed[::2] = values[::2]
            for version in (other, mixed):
                again = into(version, source, grid, method, nodata=-32768.0)
                assert np.array_equal(again, found, equal_nan=True)
            assert np.nanmin(found) > (-3000 if method == "cubic" else float(np.nanmin(values)) - 1e-9)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_constant_stays(self, source, into, target, coarse, method):
        """Weights add up to one, at edges and around holes too."""
        values = np.full(source.shape, 1234, "uint16")
        values[50:80, 60:90] = 0
        for grid in (target, coarse):
            out = into(values, source, grid, method, nodata=0, dtype="uint16", fill=0)
            assert set(np.unique(out)) == {0, 1234}

    def test_nodata_that_the_dtype_cannot_hold(self, source, make, into, coarse):
        """It marks nothing; nor does NaN among integers."""
        values = make(source.shape, "uint16", 0)
        plain = into(values, source, coarse, "average")
        for nodata in (-9999.0, 70000.0, 0.5, math.nan):
            assert np.array_equal(into(values, source, coarse, "average", nodata=nodata), plain, equal_nan=True)


class TestNumbers:
    # Each dtype is compiled on its own: here those that no other test compiles anyway.
    NUMBERS = (
        *(("nearest", dtype) for dtype in DTYPES),
        *(("bilinear", dtype) for dtype in ("int16", "float32")),
        ("mode", "float32"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in product(METHODS, DTYPES)),
    )

    @pytest.mark.parametrize(("method", "dtype"), NUMBERS)
    def test_dtypes_hold_the_same_numbers(self, source, make, into, coarse, method, dtype):
        """The same numbers in any dtype give the same float64 results."""
        values = make(source.shape, "uint8", 0)
        wanted = into(values.astype("uint16"), source, coarse, method, nodata=0)
        found = into(values.astype(dtype), source, coarse, method, nodata=0)
        assert values.max() <= 127
        assert np.array_equal(found, wanted, equal_nan=True)

    def test_mode_of_all_values(self, source, into, make):
        """Large boxes, many different values, both signs of zero: the most frequent, by counting."""
        values = np.rint(make(source.shape, "float32", 0) / 500) * np.float32(500) - 5000
        values[values == 0] *= np.where(np.arange((values == 0).sum()) % 2, 1, -1)
        target = Grid.from_bbox(source.bounds, crs=source.crs, resolution=200, bbox_crs=source.crs)
        target = target.window(YX(1, 1), YX(10, 10))
        found = into(values, source, target, "mode")
        for (row, col), value in np.ndenumerate(found):
            top = (target.offset.y + row) * 20 - source.offset.y
            left = (target.offset.x + col) * 20 - source.offset.x
            kinds, counts = np.unique(values[top : top + 20, left : left + 20] + 0.0, return_counts=True)
            assert value in kinds[counts == counts.max()]

    @pytest.mark.parametrize("dtype", ["uint8", "int16"])
    def test_integers_are_rounded_half_up_and_clamped(self, source, make, into, target, dtype):
        """floor(v + 0.5) of the float64 result, within the dtype, one off where it would read as nodata."""
        limits = np.iinfo(dtype)
        rng = np.random.default_rng(1)
        values = rng.choice([limits.min + 1, limits.max], source.shape).astype(dtype)
        exact = into(values, source, target, "cubic", nodata=limits.min)
        assert exact[np.isfinite(exact)].max() > limits.max + 1
        rounded = into(values, source, target, "cubic", nodata=limits.min, dtype=dtype, fill=limits.min)
        wanted = np.clip(np.floor(exact + 0.5), limits.min + 1, limits.max)
        wanted = np.where(np.isfinite(exact), wanted, limits.min).astype(dtype)
        assert np.array_equal(rounded, wanted)

    def test_off_nodata(self, source, into):
        """A mean that comes to lie on nodata moves down by one, or up from the lowest number."""
        values = np.tile(np.array([[9, 11], [11, 9]], "uint16"), (150, 170))
        target = Grid.from_bbox(source.bounds, crs=source.crs, resolution=20, bbox_crs=source.crs)
        for nodata, wanted in ((10, 9), (0, 10), (None, 10)):
            out = into(values, source, target, "average", nodata=nodata, dtype="uint16", fill=0)
            assert set(np.unique(out)) == {wanted}
        values[values == 11] = 1
        values[values == 9] = 0
        out = into(values, source, target, "nearest", nodata=0, dtype="uint16", fill=0)
        assert set(np.unique(out)) <= {0, 1}

    @pytest.mark.parametrize("method", METHODS)
    def test_scaled_in_float64_and_rounded_once(self, source, make, into, coarse, method):
        """Floats are the float64 result times scale plus offset; float32 is that, rounded."""
        values = make(source.shape, "uint16", 0)
        plain = into(values, source, coarse, method, nodata=0)
        double = into(values, source, coarse, method, nodata=0, scale=1e-4, offset=-0.1)
        assert np.array_equal(double, plain * 1e-4 + -0.1, equal_nan=True)
        single = into(values, source, coarse, method, nodata=0, dtype="float32", scale=1e-4, offset=-0.1)
        assert np.array_equal(single, double.astype("float32"), equal_nan=True)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_nearest_keeps_every_number(self, source, into, coarse, dtype):
        """The smallest and the largest number of a dtype come through."""
        limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
        values = np.full(source.shape, limits.min, dtype)
        values[:, ::2] = limits.max
        out = into(values, source, coarse, "nearest", dtype=dtype, fill=1)
        assert set(np.unique(out).tolist()) == {limits.min, 1, limits.max}


class TestArrays:
    def test_mosaic(self, source, make, into, coarse):
        """With ``keep``, the first valid value wins, and what is there stays."""
        first, second = make(source.shape, "uint16", 0), make(source.shape, "uint16", 0) + np.uint16(1)
        second[second == 1] = 0
        first[:150] = 0
        for method, dtype, fill in (("nearest", "uint16", 0), ("bilinear", "float32", np.nan), ("mode", "float64", -1)):
            one, two = (into(v, source, coarse, method, nodata=0, dtype=dtype, fill=fill) for v in (first, second))
            placement = place(source, coarse, method)
            out = one.copy()
            options = {"nodata": 0, "fill": fill, "keep": True}
            warp(second[placement.window.slices], placement, out=out, **options)
            empty = np.isnan(one) if math.isnan(fill) else one == fill
            assert 0.2 < empty.mean() < 0.8
            assert np.array_equal(out, np.where(empty, two, one), equal_nan=True)
            full = np.full_like(out, 5)
            warp(second[placement.window.slices], placement, out=full, **options)
            assert (full == 5).all()

    def test_any_layout(self, source, make, into, coarse):
        """Other byte orders, read-only and strided values, and strided outputs."""
        values = make(source.shape, "uint16", 0)
        wanted = into(values, source, coarse, "average", nodata=0, dtype="float32")
        placement = place(source, coarse, "average")
        part = values[placement.window.slices]
        locked = part.copy()
        locked.setflags(write=False)
        out = np.zeros((*coarse.shape, 2), "float32")
        for given in (part, locked, part.astype(">u2"), np.asfortranarray(part)):
            out[...] = -1
            warp(given, placement, nodata=0, out=out[..., 1], fill=np.nan)
            assert np.array_equal(out[..., 1], wanted, equal_nan=True)
            assert (out[..., 0] == -1).all()

    def test_what_does_not_fit(self, source, coarse):
        """Each refusal says what was expected."""
        placement = place(source, coarse, "bilinear")
        values, out = np.zeros(placement.window.shape, "uint16"), np.zeros(coarse.shape, "uint16")

        def refused(match, values=values, out=out, **options):
            with pytest.raises(InputError, match=match):
                warp(values, placement, nodata=0, out=out, **{"fill": 0, **options})

        refused("wrong window", values[1:])
        refused("wrong block", out=out[1:])
        refused("not resampled", values.astype("int64"))
        refused("not resampled", values.astype("complex64"))
        refused("dtypes do not fit", out=out.astype("int16"))
        refused("dtypes do not fit", values.astype("float32"))
        refused("does not hold", fill=-1)
        refused("does not hold", fill=math.nan)
        refused("not scaled", scale=2.0)
