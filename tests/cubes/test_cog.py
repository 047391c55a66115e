"""COGs: valid, whole or absent, with statistics that are true; and layers, whatever the format."""

from __future__ import annotations

import math
import os
import re
import resource
import signal
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rio_cogeo import cog_validate

from terracube.core.errors import ConflictError, InputError, IntegrityError, StorageError
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.load import georeference
from terracube.cubes.storage import Layer, StatisticsSum, cog, rasters, write_cog
from terracube.cubes.storage.layers import strips

RNG = np.random.default_rng(815)


def grid_of(shape):
    """Give a grid of a shape, off the multiples of its resolution."""
    return Grid("EPSG:32633", Pair(-120.0, 120.0), Pair(0.5, 0.25), YX(-43334, 4166), YX(*shape))


def write(path, values, layer, **options):
    """Write an array as a COG."""
    return write_cog(path, lambda start, stop: values[start:stop], grid_of(values.shape), layer, **options)


def floats(shape, share=0.1):
    """Give random reflectances with some missing."""
    values = RNG.normal(0.2, 0.1, shape).astype("float32")
    values[RNG.random(shape) < share] = np.nan
    return values


RED = Layer("red", "Red: geometric median", "float32", "1", math.nan)
COUNT = Layer("count", "clear observations", "uint16", "1", None, resampling="nearest", role="validity")
DN = Layer("dn", "numbers", "uint16", "1", 0.0)

CASES = {
    "large": (RED, floats((1100, 1300))),
    "strip edges": (RED, floats((512, 700))),
    "count": (COUNT, RNG.integers(0, 9, (700, 1030)).astype("float32")),
    "nodata 0": (
        DN,
        np.where(RNG.random((600, 520)) < 0.2, np.nan, RNG.integers(1, 9000, (600, 520))).astype("float32"),
    ),
    "one pixel": (RED, np.full((1, 1), 0.25, "float32")),
    "one row": (RED, floats((1, 900))),
    "narrow": (RED, floats((900, 3))),
    "all missing": (RED, np.full((600, 600), np.nan, "float32")),
    # The sign bit is set, as 0/0 gives it on many processors.
    "all missing, another NaN": (RED, np.copysign(np.full((600, 600), np.nan, "float32"), np.float32(-1.0))),
    "all zero": (COUNT, np.zeros((40, 30), "float32")),
}


def seen_of(layer, values):
    """Give the values that are there."""
    return values[np.isfinite(values)].astype("float64")


@pytest.mark.parametrize("case", CASES)
def test_a_whole_product_layer(tmp_path, case):
    """Valid by rio-cogeo's strict rules; pixels, place, nodata, unit and overviews as asked; nothing else left."""
    layer, values = CASES[case]
    path = tmp_path / f"{layer.name}.tif"
    found = write(path, values, layer)
    assert os.listdir(tmp_path) == [path.name]
    assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
    with rasterio.open(path) as dataset:
        stored = dataset.read(1)
        assert dataset.dtypes == (layer.dtype,)
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform == grid_of(values.shape).transform
        assert dataset.nodata == layer.missing or (math.isnan(dataset.nodata) and math.isnan(layer.missing))
        assert dataset.descriptions == (layer.title,)
        assert dataset.units == (layer.unit,)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(512, 512)]
        assert bool(dataset.overviews(1)) == (max(values.shape) > 512)
        tags = dataset.tags(1)
    wanted = np.where(np.isnan(values), layer.missing, values) if layer.missing == 0 else values
    assert np.array_equal(stored, wanted, equal_nan=True)
    check_statistics(found, seen_of(layer, values), values.size)
    if found.count:
        assert float(tags["STATISTICS_MEAN"]) == found.mean
        assert float(tags["STATISTICS_STDDEV"]) == found.stddev
        assert (float(tags["STATISTICS_MINIMUM"]), float(tags["STATISTICS_MAXIMUM"])) == (found.minimum, found.maximum)
    assert float(tags["STATISTICS_VALID_PERCENT"]) == pytest.approx(found.valid_percent, rel=1e-3)


def check_statistics(found, seen, size):
    """Compare statistics with numpy's, in double precision."""
    assert found.count == seen.size
    assert found.valid_percent == pytest.approx(100 * seen.size / size)
    if not seen.size:
        assert found.as_dict() == {"valid_percent": 0.0, "count": 0}
        return
    assert (found.minimum, found.maximum) == (seen.min(), seen.max())
    assert found.mean == pytest.approx(seen.mean(), rel=1e-12)
    assert found.stddev == pytest.approx(seen.std(), rel=1e-9, abs=1e-12)
    assert set(found.as_dict()) == {"minimum", "maximum", "mean", "stddev", "count", "valid_percent"}


def test_overviews_leave_missing_pixels_out(tmp_path):
    """An overview pixel is the mean of those that are there; counts are picked, never averaged."""
    values = np.full((1024, 1024), 0.5, "float32")
    values[::2, ::2] = np.nan
    write(tmp_path / "red.tif", values, RED)
    write(tmp_path / "count.tif", np.indices((1024, 1024)).sum(axis=0).astype("float32") % 2 * 8, COUNT)
    with rasterio.open(tmp_path / "red.tif") as dataset:
        assert (dataset.read(1, out_shape=(512, 512)) == np.float32(0.5)).all()
    with rasterio.open(tmp_path / "count.tif") as dataset:
        assert set(np.unique(dataset.read(1, out_shape=(512, 512)))) <= {0, 8}


def test_bytes_do_not_depend_on_threads_or_time(tmp_path):
    """Written again, and with more threads, the file is the same to the byte."""
    values = floats((700, 900))
    for name, threads in (("a", 1), ("b", 1), ("c", 3)):
        write(tmp_path / f"{name}.tif", values, RED, threads=threads)
    first = (tmp_path / "a.tif").read_bytes()
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "c.tif").read_bytes() == first


class TestSource:
    """How the rows are asked for."""

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize(("strip", "expected"), [(1024, [0, 1024]), (512, [0, 512, 1024]), (5000, [0])])
    def test_once(self, tmp_path, strip, expected, threads):
        """Every row is asked for once, in order, in strips of the height asked for."""
        values, calls = floats((1100, 600)), []

        def rows(start, stop):
            calls.append((start, stop))
            return values[start:stop]

        write_cog(tmp_path / "red.tif", rows, grid_of(values.shape), RED, strip=strip, threads=threads)
        assert calls == [(start, min(start + strip, 1100)) for start in expected]

    @settings(max_examples=15, deadline=None)
    @given(strip=st.integers(1, 1300), threads=st.integers(1, 3), height=st.integers(1, 1200))
    def test_strips_and_threads_do_not_matter(self, tmp_path_factory, strip, threads, height):
        """Strips of any height, and any number of threads, give the same bytes and statistics."""
        folder = tmp_path_factory.mktemp("strips")
        values = np.random.default_rng(height).normal(size=(height, 37)).astype("float32")
        values[values > 1] = np.nan
        usual = write(folder / "usual.tif", values, RED)
        cut = write(folder / "cut.tif", values, RED, strip=strip, threads=threads)
        assert cut == usual
        assert (folder / "cut.tif").read_bytes() == (folder / "usual.tif").read_bytes()

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("shape", [(511, 600), (512, 599), (512,)])
    def test_another_number_of_pixels(self, tmp_path, shape, threads):
        """A source that does not fill its grid is told with both sizes, and leaves nothing."""
        with pytest.raises(InputError, match=r"another number of pixels.*512 x 600"):
            write_cog(
                tmp_path / "red.tif",
                lambda start, stop: np.zeros(shape, "float32"),
                grid_of((600, 600)),
                RED,
                threads=threads,
            )
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("options", [{"threads": 0}, {"strip": 0}, {"strip": -512}])
    def test_bad_options(self, tmp_path, options):
        """No threads or no rows at once are refused."""
        with pytest.raises(InputError, match="at least one"):
            write(tmp_path / "red.tif", floats((5, 5)), RED, **options)

    def test_an_array_that_is_used_again(self, tmp_path):
        """With one thread, a source that fills one array again and again is read before it does."""
        values, room = floats((1500, 40)), np.empty((700, 40), "float32")

        def rows(start, stop):
            room[: stop - start] = values[start:stop]
            return room[: stop - start]

        write_cog(tmp_path / "red.tif", rows, grid_of(values.shape), RED, strip=700)
        with rasterio.open(tmp_path / "red.tif") as dataset:
            assert np.array_equal(dataset.read(1), values, equal_nan=True)

    def test_not_a_number_and_the_signs_of_zero(self, tmp_path):
        """Every bit survives: payloads of NaN, negative zero, infinities."""
        bits = np.array([[0x7FC00000, 0xFFC00001, 0x7FC12345, 0x80000000, 0, 0x7F800000, 0xFF800000]], "uint32")
        write(tmp_path / "red.tif", bits.view("float32"), RED)
        with rasterio.open(tmp_path / "red.tif") as dataset:
            assert np.array_equal(dataset.read(1).view("uint32"), bits)


class TestOverviews:
    """How the smaller pictures are made."""

    @pytest.mark.parametrize(
        ("longest", "levels"), [(512, []), (513, [2]), (1024, [2]), (1025, [2, 4]), (5000, [2, 4, 8, 16])]
    )
    def test_levels(self, tmp_path, longest, levels):
        """The layer is halved until it fits one tile."""
        write(tmp_path / "red.tif", np.zeros((longest, 512), "uint8"), DN)
        with rasterio.open(tmp_path / "red.tif") as dataset:
            assert dataset.overviews(1) == levels

    def test_the_most_frequent_class(self, tmp_path):
        """Of three pixels of a class and one of another, the overview shows the class."""
        values = np.full((1024, 1024), 4, "uint8")
        values[::2, 1::2] = 9
        layer = Layer("scl", "classes", "uint8", "1", 0.0, resampling="mode")
        write(tmp_path / "scl.tif", values, layer)
        with rasterio.open(tmp_path / "scl.tif") as dataset:
            assert set(np.unique(dataset.read(1, out_shape=(512, 512)))) == {4}


class TestVerification:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"nodata": -1.0}, "another nodata"),
            ({"transform": rasterio.Affine(120, 0, 0, 0, -120, 0)}, "another place"),
            ({"height": 500}, "another size"),
            ({"width": 599}, "another size"),
            ({"pixel": (550, 7)}, "rows 512 to 600"),
        ],
    )
    def test_a_file_that_differs(self, tmp_path, monkeypatch, change, message):
        """One wrong pixel, another size, place or nodata in the written file: found before it gets its name."""
        values = floats((600, 600))
        real = rasterio.shutil.copy

        def tampered(source, target, **options):
            real(source, target, **options)
            with rasterio.open(target) as dataset:
                pixels, profile = dataset.read(1), dataset.profile
            if "pixel" in change:
                pixels[change["pixel"]] += 1e-3
            else:
                profile.update(change)
            os.remove(target)
            with rasterio.open(target, "w", **(profile | {"tiled": False, "blockxsize": None})) as out:
                out.write(pixels[: profile["height"], : profile["width"]], 1)

        values[550, 7] = 0.5
        monkeypatch.setattr(rasterio.shutil, "copy", tampered)
        with pytest.raises(IntegrityError, match=message):
            write(tmp_path / "red.tif", values, RED)
        assert os.listdir(tmp_path) == []


class TestHalfWay:
    def test_an_error_of_the_source(self, tmp_path):
        """An error while rows are made goes through as it is, and leaves the old file alone."""
        write(tmp_path / "red.tif", floats((10, 10)), RED)
        before = (tmp_path / "red.tif").read_bytes()

        def rows(start, stop):
            if start:
                raise InputError("no more rows")
            return np.zeros((stop - start, 600), "float32")

        with pytest.raises(InputError, match="no more rows"):
            write_cog(tmp_path / "red.tif", rows, grid_of((600, 600)), RED)
        assert os.listdir(tmp_path) == ["red.tif"]
        assert (tmp_path / "red.tif").read_bytes() == before

    @pytest.mark.parametrize("limit", [1000, 100_000, 1_500_000, 3_000_000])
    def test_a_full_disk(self, tmp_path, limit):
        """Wherever the disk refuses - first file, COG, overviews - it is told as such and nothing is left."""
        values = RNG.normal(size=(800, 900)).astype("float32")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(StorageError, match=r"red\.tif"):
                write(tmp_path / "red.tif", values, RED)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert os.listdir(tmp_path) == []

    def test_a_folder_that_cannot_be(self, tmp_path):
        """A place below a file is a storage error."""
        (tmp_path / "file").touch()
        with pytest.raises(StorageError):
            write(tmp_path / "file" / "red.tif", floats((5, 5)), RED)

    def test_killed(self, tmp_path):
        """After kill -9 there is no file of the final name, and the next run writes it."""
        program = """
import math, os, signal, sys
from pathlib import Path
import numpy as np
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.storage import Layer, write_cog

def rows(start, stop):
    if start:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.zeros((stop - start, 600), "float32")

grid = Grid("EPSG:32633", Pair(-120.0, 120.0), Pair(0.0, 0.0), YX(0, 0), YX(600, 600))
write_cog(Path(sys.argv[1]), rows, grid, Layer("red", "Red", "float32", "1", math.nan))
"""
        path = tmp_path / "red.tif"
        done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert not path.exists()
        assert all(re.fullmatch(r"\.writing-\d+-.*", name) for name in os.listdir(tmp_path))
        write(path, floats((600, 600)), RED)
        assert path.is_file()


class TestEncode:
    @pytest.mark.parametrize(
        ("layer", "values"),
        [
            (COUNT, [70000.0]),
            (COUNT, [-1.0]),
            (COUNT, [2.5]),
            (COUNT, [np.nan]),
            (COUNT, [np.inf]),
            (DN, [1e9]),
            (Layer("b", "b", "uint8", "1", 255.0), [3.0, 256.0]),
            (Layer("i", "i", "int16", "1", -1.0), [40000.0]),
        ],
    )
    def test_values_that_do_not_fit(self, layer, values):
        """A value that the type cannot hold is an error with the range found, never another value."""
        with pytest.raises(IntegrityError, match=f"do not fit.*{layer.name}"):
            layer.encode(np.array([values], "float32"))

    def test_values_that_do_not_fit_leave_no_file(self, tmp_path):
        """A layer with such a value is not written."""
        with pytest.raises(IntegrityError, match=r"0\.0 to 70000\.0, 1 missing"):
            write(tmp_path / "count.tif", np.array([[0, 70000, np.nan]], "float32"), COUNT)
        assert os.listdir(tmp_path) == []

    def test_missing(self):
        """NaN becomes the number that stands for it, in whole and in real types; NaN itself stays."""
        rows = np.array([[1.0, np.nan]], "float32")
        assert DN.encode(rows).tolist() == [[1, 0]]
        assert Layer("a", "a", "float32", "1", -9999.0).encode(rows).tolist() == [[1, -9999]]
        assert np.isnan(RED.encode(rows)[0, 1])

    @given(hnp.arrays("uint16", (3, 4)))
    def test_the_same_type_is_the_same_array(self, rows):
        """Rows of the layer's own type are given as they are."""
        assert DN.encode(rows) is rows


class TestStatistics:
    @given(st.sampled_from([256, 512, 1024]), st.integers(0, 2**32 - 1))
    def test_strips_do_not_matter(self, step, seed):
        """Added in strips of any multiple of 256 rows, the result is the same to the bit."""
        values = np.random.default_rng(seed).normal(size=(1100, 40)).astype("float32")
        values[values > 1] = np.nan
        whole, cut = StatisticsSum(), StatisticsSum()
        whole.add(values)
        for start, stop in strips(1100, step):
            cut.add(values[start:stop])
        assert cut.result() == whole.result()

    def test_large_values_that_vary_little(self):
        """The deviation of a million plus small noise is that of the noise."""
        noise = RNG.normal(size=(600, 600))
        sums = StatisticsSum()
        sums.add(noise + 1e9)
        assert sums.result().stddev == pytest.approx((noise + 1e9).std(), rel=1e-6)
        assert sums.result().stddev == pytest.approx(1, rel=0.01)

    def test_what_counts(self):
        """NaN, infinities and the missing number do not count; without a missing number zeros do."""
        values = np.array([[np.nan, np.inf, 0, 5]], "float32")
        for missing, count in ((math.nan, 2), (0.0, 1), (None, 2)):
            sums = StatisticsSum(missing)
            sums.add(values)
            assert sums.result().count == count
            assert sums.result().valid_percent == 25.0 * count

    def test_nothing(self):
        """Without any pixel, or any value, all is NaN and nothing is told but that."""
        result = StatisticsSum().result()
        assert math.isnan(result.mean)
        assert result.as_dict() == {"valid_percent": 0.0, "count": 0}


@pytest.mark.parametrize(
    ("height", "step", "expected"), [(5, 2, [(0, 2), (2, 4), (4, 5)]), (2, 5, [(0, 2)]), (0, 5, [])]
)
def test_strips(height, step, expected):
    """Strips hold every row once, the last one may be shorter."""
    assert list(strips(height, step)) == expected


def test_options_reach_the_file(tmp_path):
    """Compression and predictor are as the module says."""
    write(tmp_path / "red.tif", floats((20, 20)), RED)
    with rasterio.open(tmp_path / "red.tif") as dataset:
        assert dataset.compression.name == "deflate"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
    assert cog.BLOCK == 512


class TestCubes:
    """Layers of a cube as files."""

    def cube(self, chunks=None, shape=(700, 600)):
        """Give a dataset of measurements, numbers and truths."""
        grid, values = grid_of(shape), floats(shape)
        numbers = np.where(np.isnan(values), 0, values * 100 + 500).astype("uint16")
        told = {
            "red": (values, {"long_name": "Red", "units": "1"}),
            "dn": (numbers, {"nodata": 0, "scale_factor": 0.0001, "add_offset": -0.1}),
            "water": (values > 0.2, {}),
        }
        arrays = {}
        for name, (pixels, attrs) in told.items():
            data = pixels if chunks is None else da.from_array(pixels, chunks=chunks)
            arrays[name] = georeference(xr.DataArray(data, dims=("y", "x"), attrs=attrs), grid)
        return xr.Dataset(arrays)

    @pytest.mark.parametrize("chunks", [None, (256, 256), (700, 100), (301, 299)])
    def test_a_dataset(self, tmp_path, chunks):
        """Each variable is a valid COG with its place, nodata, unit and scale, lazy or not."""
        ds = self.cube(chunks)
        files = rasters.write_cog(ds, tmp_path / "cube")
        assert sorted(os.listdir(tmp_path)) == ["cube"]
        assert sorted(os.listdir(tmp_path / "cube")) == ["dn.tif", "red.tif", "water.tif"]
        for name, path in files.items():
            assert cog_validate(path, strict=True, quiet=True)[0]
            with rasterio.open(path) as dataset:
                assert np.array_equal(dataset.read(1), ds[name].values, equal_nan=name == "red")
                assert dataset.transform == grid_of((700, 600)).transform
        with rasterio.open(files["red"]) as dataset:
            assert (dataset.descriptions, dataset.units) == (("Red",), ("1",))
            assert math.isnan(dataset.nodata)
        with rasterio.open(files["dn"]) as dataset:
            assert (dataset.nodata, dataset.scales, dataset.offsets) == (0, (0.0001,), (-0.1,))
        with rasterio.open(files["water"]) as dataset:
            assert (dataset.nodata, dataset.dtypes) == (None, ("uint8",))
            assert set(np.unique(dataset.read(1, out_shape=(350, 300)))) <= {0, 1}, "truths are picked, not averaged"

    def test_computed_once(self, tmp_path):
        """What variables share is computed once, for all their files."""
        calls = []

        def block(block_info=None):
            calls.append(1)
            return np.ones((2, 512, 600), "float32")

        lazy = da.map_blocks(
            block, chunks=((2,), (512, 512), (600,)), dtype="float32", meta=np.empty((0,) * 3, "float32")
        )
        grid = grid_of((1024, 600))
        ds = xr.Dataset({n: georeference(xr.DataArray(lazy[i], dims=("y", "x")), grid) for i, n in enumerate("ab")})
        heard = []
        rasters.write_cog(ds, tmp_path / "cube", progress=lambda *told: heard.append(told))
        assert len(calls) == 2
        assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_one_array(self, tmp_path):
        """An array is one file, which is replaced only if asked for."""
        red = self.cube().red
        assert rasters.write_cog(red, tmp_path / "a.tif") == tmp_path / "a.tif"
        with pytest.raises(ConflictError, match="overwrite"):
            rasters.write_cog(red, tmp_path / "a.tif")
        rasters.write_cog(red + 1, tmp_path / "a.tif", overwrite=True)
        with rasterio.open(tmp_path / "a.tif") as dataset:
            assert np.array_equal(dataset.read(1), red.values + 1, equal_nan=True)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda ds: ds.expand_dims(time=2), "one raster.*time"),
            (lambda ds: ds.assign(odd=ds.red.astype("float16")), "cannot be stored.*odd"),
            (lambda ds: ds.drop_vars(list(ds.data_vars)), "no variable"),
        ],
    )
    def test_refusals(self, tmp_path, change, message):
        """What a COG cannot hold is named, and nothing is written."""
        with pytest.raises(InputError, match=message):
            rasters.write_cog(change(self.cube()), tmp_path / "cube")
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("limit", [1000, 700_000])
    def test_a_full_disk(self, tmp_path, limit):
        """Where the disk refuses, nothing is left: neither files nor rows."""
        ds = self.cube((256, 256))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(StorageError):
                rasters.write_cog(ds, tmp_path / "cube")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert [name for name in os.listdir(tmp_path) if name != "cube"] == []
