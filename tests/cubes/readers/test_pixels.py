"""Pixels of GeoTIFFs are those that rasterio gives, to the bit, however they are packed and whatever is asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy

from terracube.core.errors import AssetError, InputError
from terracube.cubes.access import Location
from terracube.cubes.readers import cache, close_files, read_header, read_pixels, use_tile_cache
from terracube.cubes.window import Window

PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500040, 0, -10, 5100000)}
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tiled": True, "blockxsize": 64, "blockysize": 32},
    "strips": {"blockysize": 7},
    "one strip": {"blockysize": 1000},
}
ODD = (131, 150)


@pytest.fixture(autouse=True)
def closed_files():
    """Leave no file open, and nothing kept."""
    yield
    close_files()


def field(dtype: str, count: int, shape: tuple[int, int] = ODD) -> np.ndarray[Any, Any]:
    """Make smooth numbers with noise, with all bits of the type in use somewhere."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: shape[0], : shape[1]]
    smooth = 50 + 30 * np.sin(y / 20) * np.cos(x / 15) + rng.normal(0, 3, (count, *shape))
    values = smooth.astype(dtype)
    kind = np.dtype(dtype)
    wild = rng.integers(0, 256, (count, 9, 9 * kind.itemsize), "uint8").view(dtype)
    values[:, 10:19, 20:29] = wild
    return values


def write(path: Path, values: np.ndarray[Any, Any], **options: Any) -> Path:
    """Write a GeoTIFF."""
    profile = PLACE | {"driver": "GTiff", "dtype": values.dtype.name, "count": len(values)}
    with rasterio.open(path, "w", height=values.shape[1], width=values.shape[2], **(profile | options)) as out:
        out.write(values)
    return path


def read(path: Path, band: int, window: Window, **options: Any) -> np.ndarray[Any, Any]:
    """Read a window of a local file."""
    return read_pixels(Location(str(path)), band, window, **options)


def agree(path: Path, decoder: str = "own") -> None:
    """Compare every band, whole and in windows that cut tiles, with what rasterio gives."""
    header = read_header(Location(str(path)), where="test")
    assert header.decoder == decoder
    with rasterio.open(path) as dataset:
        height, width = dataset.shape
        cuts = [Window(0, 0, height, width), Window(height // 3, width // 4, height // 2, width // 3)]
        cuts += [Window(height - 1, 0, 1, width), Window(0, width - 1, height, 1), Window(31, 63, 2, 2)]
        assert header.dtypes == dataset.dtypes
        for band in dataset.indexes:
            whole = dataset.read(band)
            for window in cuts:
                found = read(path, band, window)
                assert found.dtype == whole.dtype
                assert found.tobytes() == whole[window.slices].tobytes()


class TestEveryPacking:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
    def test_types(self, tmp_path, dtype, layout, endian):
        """Every type, packed in every way with every predictor, in both byte orders."""
        values = field(dtype, 1)
        predictors = (1, 2, 3) if dtype.startswith("float") else (1, 2)
        write(tmp_path / "plain.tif", values, ENDIANNESS=endian, **LAYOUTS[layout])
        agree(tmp_path / "plain.tif")
        for compress in ("deflate", "zstd", "lzw"):
            for predictor in predictors:
                path = tmp_path / f"{compress}{predictor}.tif"
                write(path, values, ENDIANNESS=endian, compress=compress, predictor=predictor, **LAYOUTS[layout])
                agree(path)

    @pytest.mark.parametrize("interleave", ["pixel", "band"])
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize(("dtype", "predictor"), [("uint8", 2), ("int16", 2), ("float32", 3), ("float64", 2)])
    def test_many_bands(self, tmp_path, dtype, predictor, layout, interleave):
        """Bands side by side in a pixel, and one after the other."""
        options = {"interleave": interleave, **LAYOUTS[layout]}
        agree(write(tmp_path / "plain.tif", field(dtype, 3), **options))
        for endian in ("LITTLE", "BIG"):
            path = tmp_path / f"{endian}.tif"
            agree(write(path, field(dtype, 5), compress="deflate", predictor=predictor, ENDIANNESS=endian, **options))

    @pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
    @pytest.mark.parametrize("compress", ["none", "deflate"])
    def test_big_tiff(self, tmp_path, endian, compress):
        """Offsets of eight bytes."""
        path = write(tmp_path / "a.tif", field("uint16", 2), BIGTIFF="YES", ENDIANNESS=endian, compress=compress)
        agree(path)

    def test_a_raster_of_one_pixel(self, tmp_path):
        """The smallest raster there is."""
        path = write(tmp_path / "a.tif", np.full((1, 1, 1), 7, "uint16"), compress="deflate")
        assert read(path, 1, Window(0, 0, 1, 1)).tolist() == [[7]]

    def test_a_tile_decoded_in_place(self, tmp_path):
        """A window that is one tile, and one that is several."""
        path = write(tmp_path / "a.tif", field("uint16", 1, (128, 128)), compress="deflate", tiled=True,
                     blockxsize=64, blockysize=64, predictor=2)  # fmt: skip
        with rasterio.open(path) as dataset:
            whole = dataset.read(1)
        for window in (Window(64, 0, 64, 64), Window(0, 64, 128, 64), Window(0, 0, 128, 128)):
            assert np.array_equal(read(path, 1, window), whole[window.slices])
        assert len(cache.tiles) == 0


class TestWhatIsLeftToGdal:
    @pytest.mark.parametrize(
        ("dtype", "count", "options"),
        [
            ("uint8", 3, {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel", "tiled": True}),
            ("uint8", 1, {"compress": "jpeg", "tiled": True, "blockxsize": 64, "blockysize": 64}),
            ("uint16", 1, {"compress": "packbits"}),
            ("float32", 1, {"compress": "lerc", "tiled": True}),
            ("uint8", 1, {"nbits": 4}),
            ("uint16", 1, {"nbits": 12, "compress": "deflate"}),
            ("complex64", 1, {}),
            ("complex128", 1, {"compress": "deflate"}),
            ("uint8", 4, {"photometric": "cmyk"}),
            ("uint8", 1, {"photometric": "miniswhite"}),
        ],
    )
    def test_is_the_same_as_ever(self, tmp_path, dtype, count, options):
        """Other packings, packed bits, complex numbers and other colours."""
        values = np.random.default_rng(1).integers(0, 16, (count, *ODD)).astype(dtype)
        agree(write(tmp_path / "a.tif", values, **options), "gdal")

    def test_jpeg_2000(self, tmp_path):
        """JPEG 2000 with its reduced resolutions."""
        values = field("uint16", 1, (1100, 1031))
        path = write(tmp_path / "a.jp2", values, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES",
                     BLOCKXSIZE=128, BLOCKYSIZE=128, RESOLUTIONS=3)  # fmt: skip
        agree(path, "gdal")
        header = read_header(Location(str(path)), where="test")
        assert header.driver == "JP2OpenJPEG"
        assert header.overviews == ((550, 516), (275, 258))
        for level, (height, width) in enumerate(header.overviews, 1):
            with rasterio.open(path, overview_level=level - 1) as dataset:
                assert np.array_equal(read(path, 1, Window(0, 0, height, width), level=level), dataset.read(1))

    def test_an_internal_mask(self, tmp_path):
        """A mask changes no numbers, and is no overview."""
        path = write(tmp_path / "a.tif", field("uint8", 1), compress="deflate")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.zeros(ODD, bool))
        agree(path)
        assert read_header(Location(str(path)), where="test").overviews == ()


class TestSparse:
    @pytest.mark.parametrize("nodata", [None, 7, 65535])
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_tiles_that_were_never_written(self, tmp_path, layout, nodata):
        """They are nodata, or zero where there is none; those that were written are there."""
        path = tmp_path / "a.tif"
        profile = PLACE | {"driver": "GTiff", "dtype": "uint16", "count": 2, "height": 200, "width": 300}
        options = {"SPARSE_OK": "TRUE", "nodata": nodata, "compress": "deflate", "interleave": "band"}
        with rasterio.open(path, "w", **profile, **options, **LAYOUTS[layout]) as out:
            out.write(np.ones((20, 20), "uint16"), 2, window=rasterio.windows.Window(70, 40, 20, 20))
        agree(path)
        assert set(np.unique(read(path, 1, Window(0, 0, 200, 300)))) == {nodata or 0}


class TestOverviews:
    @pytest.mark.parametrize("compress", ["deflate", "packbits"])
    def test_each_level(self, tmp_path, compress):
        """Level n is the n-th overview, decoded here or by GDAL."""
        path = write(tmp_path / "a.tif", field("int16", 2, (400, 300)), compress=compress, nodata=-1, tiled=True)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
        header = read_header(Location(str(path)), where="test")
        assert header.overviews == ((200, 150), (100, 75), (50, 38))
        for level, shape in enumerate(header.overviews, 1):
            with rasterio.open(path, overview_level=level - 1) as dataset:
                window = Window(3, 5, shape[0] - 6, shape[1] - 5)
                for band in (1, 2):
                    assert np.array_equal(read(path, band, window, level=level), dataset.read(band)[window.slices])

    def test_a_cog(self, tmp_path):
        """A cloud-optimised GeoTIFF, whose header comes first."""
        plain = write(tmp_path / "a.tif", field("uint16", 1, (700, 600)), nodata=0)
        copy(plain, tmp_path / "cog.tif", driver="COG", blocksize=128, compress="zstd", predictor=2)
        agree(tmp_path / "cog.tif")
        with rasterio.open(tmp_path / "cog.tif", overview_level=1) as dataset:
            whole = dataset.read(1)
        assert np.array_equal(read(tmp_path / "cog.tif", 1, Window(0, 0, *whole.shape), level=2), whole)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Rasters of one content in several layouts, and the content."""
    folder = tmp_path_factory.mktemp("windows")
    values = field("uint16", 3)
    options = {"compress": "deflate", "predictor": 2}
    paths = [
        write(folder / "pixel.tif", values, interleave="pixel", **LAYOUTS["tiles"], **options),
        write(folder / "band.tif", values, interleave="band", **LAYOUTS["tiles"], **options),
        write(folder / "strip.tif", values, interleave="pixel", **LAYOUTS["strips"], **options),
        write(folder / "plain.tif", values, interleave="pixel", **LAYOUTS["strips"]),
        write(folder / "gdal.tif", values, compress="packbits"),
    ]
    return paths, values


class TestWindows:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_window(self, stack, data):
        """Any window of any band is that part of that band."""
        paths, values = stack
        row = data.draw(st.integers(0, ODD[0] - 1))
        col = data.draw(st.integers(0, ODD[1] - 1))
        window = Window(row, col, data.draw(st.integers(1, ODD[0] - row)), data.draw(st.integers(1, ODD[1] - col)))
        band = data.draw(st.integers(1, 3))
        for path in paths:
            assert np.array_equal(read(path, band, window), values[band - 1][window.slices])

    @pytest.mark.parametrize(
        "window",
        [Window(-1, 0, 5, 5), Window(0, 0, 132, 5), Window(0, 146, 5, 5), Window(0, 0, 0, 5), Window(5, 5, 5, -1)],
    )
    def test_outside(self, stack, window):
        """A window that is not inside, or empty, is an error of the caller."""
        with pytest.raises(InputError, match="window"):
            read(stack[0][0], 1, window)

    def test_no_such_band_or_level(self, stack):
        """So is a band or an overview that is not there."""
        for band, level, told in ((0, 0, "band"), (4, 0, "band"), (1, 1, "overview"), (1, -1, "overview")):
            with pytest.raises(InputError, match=told):
                read(stack[0][0], band, Window(0, 0, 1, 1), level=level)


class TestTileCache:
    def test_parts_are_kept_whole_tiles_are_not(self, tmp_path):
        """A tile of which a part is read is decoded once for all its parts."""
        path = write(tmp_path / "a.tif", field("uint16", 1), compress="deflate", **LAYOUTS["tiles"])
        read(path, 1, Window(0, 0, *ODD))
        assert cache.tiles.held == 0
        read(path, 1, Window(5, 5, 10, 10))
        assert cache.tiles.held == 32 * 64 * 2
        read(path, 1, Window(8, 8, 3, 3))
        assert len(cache.tiles) == 1
        read(path, 1, Window(16, 0, 32, 64))
        assert len(cache.tiles) == 2

    def test_bounded(self, tmp_path):
        """It never holds more than it may; none at all if that is nothing."""
        path = write(tmp_path / "a.tif", field("uint16", 1), compress="deflate", **LAYOUTS["tiles"])
        with rasterio.open(path) as dataset:
            whole = dataset.read(1)
        try:
            for most in (5 * 32 * 64 * 2, 0):
                use_tile_cache(most)
                assert np.array_equal(read(path, 1, Window(1, 1, 129, 148)), whole[1:130, 1:149])
                assert cache.tiles.held <= most
        finally:
            use_tile_cache(64 << 20)

    def test_bands_of_a_pixel_come_from_one_decoding(self, tmp_path):
        """Where bands lie together the second band needs no decoding, and is still its own."""
        values = field("int16", 3)
        path = write(tmp_path / "a.tif", values, compress="deflate", interleave="pixel", **LAYOUTS["tiles"])
        for band in (1, 2, 3):
            assert np.array_equal(read(path, band, Window(0, 0, *ODD)), values[band - 1])
        assert len(cache.tiles) == 15

    def test_what_is_given_is_the_callers(self, tmp_path):
        """Writing into a window that was read changes nothing of what is read next."""
        path = write(tmp_path / "a.tif", field("uint16", 1), compress="deflate", **LAYOUTS["tiles"])
        window = Window(3, 3, 7, 9)
        first = read(path, 1, window)
        kept = first.copy()
        first[...] = 0
        assert np.array_equal(read(path, 1, window), kept)

    def test_another_file_of_the_same_name(self, tmp_path):
        """A file that was replaced is read anew: header, tables and tiles."""
        path = write(tmp_path / "a.tif", field("uint16", 1), compress="deflate", **LAYOUTS["tiles"])
        read(path, 1, Window(3, 3, 7, 9))
        other = field("uint16", 1)[:, ::-1]
        write(tmp_path / "b.tif", other, compress="deflate", **LAYOUTS["tiles"]).replace(path)
        assert np.array_equal(read(path, 1, Window(3, 3, 7, 9)), other[0, 3:10, 3:12])

    def test_threads(self, tmp_path):
        """Many threads reading parts of one file, while others forget everything, get the right pixels."""
        values = field("uint16", 2)
        path = write(tmp_path / "a.tif", values, compress="deflate", **LAYOUTS["tiles"])
        together = threading.Barrier(4)

        def work(seed: int) -> bool:
            together.wait()
            right = True
            for row, col in np.random.default_rng(seed).integers(0, 100, (150, 2)):
                window = Window(int(row), int(col), 30, 40)
                right &= np.array_equal(read(path, 1 + seed % 2, window), values[seed % 2][window.slices])
                if row < 5:
                    close_files()
            return right

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))


class TestSouthUp:
    @pytest.mark.parametrize("compress", ["deflate", "packbits"])
    def test_is_turned(self, tmp_path, compress):
        """A raster stored from south to north is given north-up: grid, windows and overviews."""
        values = field("int16", 1, (100, 80))
        north = write(tmp_path / "north.tif", values, compress=compress)
        south = write(tmp_path / "south.tif", values[:, ::-1], compress=compress,
                      transform=Affine(10, 0, 500040, 0, 10, 5099000))  # fmt: skip
        headers = [read_header(Location(str(path)), where="test") for path in (north, south)]
        assert headers[0].grid == headers[1].grid
        assert [header.flipped for header in headers] == [False, True]
        for window in (Window(0, 0, 100, 80), Window(3, 7, 11, 13), Window(99, 0, 1, 1)):
            assert np.array_equal(read(south, 1, window), values[0][window.slices])
        with rasterio.open(south, "r+") as dataset:
            dataset.build_overviews([2], rasterio.enums.Resampling.nearest)
        with rasterio.open(south, overview_level=0) as dataset:
            half = dataset.read(1)[::-1]
        assert np.array_equal(read(south, 1, Window(4, 0, 20, 40), level=1), half[4:24])


class TestRealFiles:
    @pytest.mark.parametrize(
        "pattern",
        [
            "sentinel2-l2a/33TWM/**/*0815*/*.tif",
            "sentinel2-l2a/29RKH-all-bands/**/*.tif",
            "sentinel2-l2a/fishbourne-10m/*.tif",
            "landsat-c2l2/**/*.TIF",
            "insar/mexico-sentinel1/geotiffs/*20180106*.tif",
            "insar/sydney-envisat/tif/*0612*.tif",
            "water/harsha/*.tif",
        ],
    )
    def test_are_read_as_rasterio_reads_them(self, data_dir, pattern):
        """Real scenes: every band, whole and in parts."""
        paths = sorted(data_dir.glob(pattern))
        if not paths:
            pytest.skip(f"no files {pattern}")
        for path in paths[:15]:
            location = Location(str(path))
            header = read_header(location, where="test")
            with rasterio.open(path) as dataset:
                height, width = dataset.shape
                part = Window(height // 3, width // 4, height // 2, width // 3)
                for band in dataset.indexes:
                    whole = dataset.read(band)
                    assert read_pixels(location, band, Window(0, 0, height, width)).tobytes() == whole.tobytes()
                    assert read_pixels(location, band, part).tobytes() == whole[part.slices].tobytes()
                assert repr(header.nodata) == repr(dataset.nodatavals)


def test_a_file_that_is_gone(tmp_path):
    """A file removed after it was read is missing, though much is known of it."""
    path = write(tmp_path / "a.tif", field("uint16", 1), compress="deflate")
    read(path, 1, Window(3, 3, 7, 9))
    path.unlink()
    with pytest.raises(AssetError, match=r"a\.tif"):
        read(path, 1, Window(3, 3, 7, 9))
