"""Reading rasters from outside: only what they are, only as much as is safe, and nothing beside them."""

from __future__ import annotations

import os
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.env import getenv
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.cubes.access import Location
from terracube.cubes.readers import close_files, gdal_env, open_raster, read_pixels, sniff_driver
from terracube.cubes.window import Window

RNG = np.random.default_rng(20230815)
VALUES = RNG.integers(1, 10000, (256, 256), "uint16")
ALL = Window(0, 0, 256, 256)


@pytest.fixture
def raster(tmp_path, write):
    """A GeoTIFF of 16 compressed tiles."""
    return write(tmp_path / "B04.tif", VALUES, tiled=True, blockxsize=64, blockysize=64, compress="deflate")


@pytest.fixture(autouse=True)
def closed_files():
    """Leave no file open."""
    yield
    close_files()


def read(path: Path, band: int, window: Window) -> np.ndarray:
    """Read a window of a local file."""
    return read_pixels(Location(str(path)), band, window)


def opened(path: Path) -> None:
    """Open a raster with GDAL, and close it."""
    with open_raster(path):
        pass


def refused(path: Path, error: type[TerraCubeError], match: str) -> None:
    """Check that a file is refused for both ways of opening it."""
    with pytest.raises(error, match=match):
        opened(path)
    with pytest.raises(error, match=match):
        read(path, 1, Window(0, 0, 1, 1))


class TestContent:
    @pytest.mark.parametrize(
        "options", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"BIGTIFF": "YES", "ENDIANNESS": "BIG"}]
    )
    def test_every_kind_of_tiff(self, tmp_path, write, options):
        """Classic and big, little and big endian TIFF are read."""
        path = write(tmp_path / "a.tif", VALUES, **options)
        assert sniff_driver(path) == "GTiff"
        assert np.array_equal(read(path, 1, ALL), VALUES)

    def test_jpeg_2000(self, tmp_path, write):
        """Lossless JPEG 2000 is read, whatever it is called."""
        path = write(tmp_path / "a.jp2", VALUES, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES", nodata=None)
        path = path.rename(tmp_path / "a.tif")
        assert sniff_driver(path) == "JP2OpenJPEG"
        assert np.array_equal(read(path, 1, ALL), VALUES)
        with open_raster(path) as dataset:
            assert dataset.transform.c == 500040

    def test_no_warning_of_a_missing_place(self, tmp_path, write):
        """A raster without georeference opens without a warning, and the filters are as before."""
        path = write(tmp_path / "a.tif", VALUES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "r+") as dataset:
                dataset.transform = Affine.identity()
        before = list(warnings.filters)
        with open_raster(path) as dataset:
            assert dataset.transform.is_identity
        assert warnings.filters == before


def vrt(target):
    """Write a VRT that shows another file."""
    return (
        '<VRTDataset rasterXSize="256" rasterYSize="256"><GeoTransform>5, 10, 0, 5, 0, -10</GeoTransform>'
        '<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{target}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )


def sparse(path: Path, side: int, **options: object) -> Path:
    """Write a compressed raster of bytes that holds no tile yet."""
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": side, "height": side, "crs": "EPSG:32633"}
    profile |= {"transform": Affine(10, 0, 500040, 0, -10, 5100000), "compress": "deflate", "SPARSE_OK": "TRUE"}
    with rasterio.open(path, "w", **(profile | options)):
        return path


class TestHostile:
    def test_vrt_behind_tif(self, tmp_path, raster):
        """A VRT named .tif, which may show any file of the machine, is refused; GDAL itself would open it."""
        path = tmp_path / "hidden.tif"
        path.write_text(vrt(raster))
        with rasterio.open(path) as dataset:
            assert dataset.driver == "VRT"
        refused(path, HostileInputError, r"hidden\.tif")
        with pytest.raises(HostileInputError, match=r"hidden\.tif"):
            sniff_driver(path)

    @pytest.mark.parametrize(
        "head",
        [b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"{}", b"<svg/>",
         b"  II*\0", b"II", b"\0" * 100, b"WMS_JSON:{}", b"%PDF-1.7", b"#!/bin/sh\n"],
    )  # fmt: skip
    def test_other_formats_behind_tif(self, tmp_path, head):
        """What does not start as a TIFF or JPEG 2000 does not reach GDAL."""
        path = tmp_path / "a.tif"
        path.write_bytes(head)
        refused(path, HostileInputError, r"a\.tif.*not opened")

    @pytest.mark.parametrize("head", [b"\x89HDF\r\n\x1a\n", b"CDF\x01"])
    def test_arrays_behind_tif(self, tmp_path, head):
        """Nor do files of arrays, which are read without GDAL where their pixels are asked for."""
        path = tmp_path / "a.tif"
        path.write_bytes(head)
        with pytest.raises(HostileInputError, match=r"a\.tif.*not opened"):
            opened(path)

    def test_zip_behind_tif(self, tmp_path, raster):
        """An archive with a raster inside is not looked into."""
        path = tmp_path / "a.tif"
        path.unlink(missing_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(raster, "B04.tif")
        refused(path, HostileInputError, "not opened")

    def test_png_behind_tif(self, tmp_path, write):
        """A whole, valid PNG is refused too."""
        path = write(tmp_path / "a.png", VALUES.astype("uint8"), driver="PNG", nodata=None)
        refused(path.rename(tmp_path / "a.tif"), HostileInputError, "not opened")

    def test_a_giant_tile(self, tmp_path):
        """A small file that claims one internal tile of half a gigabyte is refused before it is decoded."""
        path = sparse(tmp_path / "giant.tif", 32768, tiled=True, blockxsize=32768, blockysize=16384)
        assert path.stat().st_size < 10_000
        refused(path, HostileInputError, r"giant\.tif.*512 MiB")

    def test_a_giant_strip(self, tmp_path):
        """Strips that span many rows are tiles as well."""
        path = sparse(tmp_path / "strip.tif", 20000, height=30000, blockysize=15000)
        refused(path, HostileInputError, r"strip\.tif.*286 MiB")

    def test_bands_in_one_tile_count_together(self, tmp_path):
        """Bands stored pixel by pixel are decoded together, bands one after the other are not."""
        tiles = {"count": 300, "tiled": True, "blockxsize": 1024, "blockysize": 1024}
        path = sparse(tmp_path / "pixel.tif", 1024, interleave="pixel", **tiles)
        refused(path, HostileInputError, "300 bands, 300 MiB")
        path = sparse(tmp_path / "band.tif", 1024, interleave="band", **tiles)
        assert read(path, 300, Window(0, 0, 1, 1)).tolist() == [[0]]

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        """A named pipe is refused at once; reading it would wait for ever."""
        os.mkfifo(tmp_path / "a.tif")
        refused(tmp_path / "a.tif", AssetError, "not a file")


class TestBroken:
    def test_zero_bytes(self, tmp_path):
        """An empty file is said to be empty."""
        (tmp_path / "a.tif").touch()
        refused(tmp_path / "a.tif", AssetError, r"empty.*a\.tif")

    @pytest.mark.parametrize("name", ["missing.tif", "folder", "file/below.tif", "x" * 300, "nul\0.tif"])
    def test_no_file(self, tmp_path, name):
        """A missing file, a folder, and names that can be none are errors of the asset, for both ways of opening."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        for way in (opened, lambda path: read(path, 1, ALL)):
            with pytest.raises(HostileInputError if "\0" in name and way is not opened else AssetError):
                way(tmp_path / name)

    @pytest.mark.parametrize("kept", [4, 8, 12, 100, 0.3, 0.6, 0.99])
    def test_truncated(self, tmp_path, raster, kept):
        """A file cut off anywhere is an error that names it, when opened or when read, not wrong pixels."""
        whole = raster.read_bytes()
        path = tmp_path / "cut.tif"
        path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
        with pytest.raises(AssetError, match=r"cut\.tif"):
            read(path, 1, ALL)

    def test_a_corrupt_tile_in_the_middle(self, tmp_path, raster):
        """A tile with damaged bytes is an error that names file and window; the other tiles can still be read."""
        content = bytearray(raster.read_bytes())
        with rasterio.open(raster) as dataset:
            offset = int(
                dataset.tags(1, ns="TIFF").get("BLOCK_OFFSET_2_1")
                or dataset.get_tag_item("BLOCK_OFFSET_2_1", "TIFF", 1)
            )
        content[offset : offset + 64] = b"\xff" * 64
        path = tmp_path / "damaged.tif"
        path.write_bytes(content)
        with pytest.raises(AssetError, match=r"damaged\.tif"):
            read(path, 1, Window(64, 128, 64, 64))
        assert np.array_equal(read(path, 1, Window(0, 0, 64, 64)), VALUES[:64, :64])

    def test_a_header_that_is_no_text(self, tmp_path, raster):
        """Bytes in the name of the CRS that are no UTF-8 are an error of the asset, not of Python."""
        content = raster.read_bytes()
        assert b"WGS 84 / UTM zone 33N" in content
        path = tmp_path / "named.tif"
        # Without its code the CRS is known by its name alone.
        broken = content.replace(b"WGS 84 / UTM zone 33N", b"WGS 84 / UTM z\x84ne 33N").replace(
            (3072).to_bytes(2, "little") + bytes(2) + (1).to_bytes(2, "little") + (32633).to_bytes(2, "little"),
            (3072).to_bytes(2, "little") + bytes(2) + (1).to_bytes(2, "little") + (32767).to_bytes(2, "little"),
        )
        assert broken != content
        path.write_bytes(broken)
        with pytest.raises(AssetError, match=r"cannot open.*named\.tif"), open_raster(path):
            pass

    @pytest.mark.parametrize("seed", range(12))
    def test_random_damage(self, tmp_path, raster, seed):
        """Whatever bytes are changed, reading gives pixels or an error of ours, and nothing else."""
        content = bytearray(raster.read_bytes())
        rng = np.random.default_rng(seed)
        for at in rng.integers(0, 700 if seed % 2 else len(content), 8):
            content[at] = rng.integers(0, 256)
        path = tmp_path / "damaged.tif"
        path.write_bytes(content)
        try:
            with open_raster(path) as dataset:
                assert len(dataset.shape) == 2
            pixels, told = read(path, 1, Window(0, 0, 8, 8)), ""
        except TerraCubeError as error:
            pixels, told = None, str(error)
        assert "damaged.tif" in told or pixels.shape == (8, 8)


def write_side_cars(path: Path) -> None:
    """Put files beside a raster that GDAL would believe."""
    beside = path.with_suffix
    beside(".tfw").write_text("10\n0\n0\n-10\n400005\n4999995\n")
    beside(".prj").write_text(rasterio.crs.CRS.from_epsg(32601).to_wkt())
    Path(f"{path}.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:32601</SRS><GeoTransform>1, 10, 0, 2, 0, -10</GeoTransform>"
        '<PAMRasterBand band="1"><NoDataValue>77</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    for name in (f"{path}.ovr", f"{path}.msk"):
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 128, "height": 128}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(name, "w", **profile) as out:
                out.write(np.zeros((1, 128, 128), "uint8"))


def seen(path: Path) -> tuple[object, ...]:
    """Give all that a reader learns from a file."""
    with open_raster(path) as dataset:
        header = (dataset.crs, dataset.transform, dataset.nodata, dataset.shape, dataset.overviews(1))
        masked = bool((dataset.read_masks(1) == 0).any())
    try:
        pixels: object = read(path, 1, ALL).tobytes()
    except MetadataError as error:
        pixels = str(error)
    return (*header, masked, pixels)


class TestSideCars:
    @pytest.mark.parametrize("georeferenced", [True, False])
    def test_change_nothing(self, tmp_path, write, georeferenced):
        """Files beside a raster change nothing of what is read, in the main thread and in others."""
        path = write(tmp_path / "a.tif", VALUES)
        if not georeferenced:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": 256, "height": 256}
                with rasterio.open(path, "w", **profile) as out:
                    out.write(VALUES, 1)
        before = seen(path)
        write_side_cars(path)
        # The trap is real: GDAL alone believes them, unless some other library has set it up otherwise before.
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE", GDAL_PAM_ENABLED="YES"), rasterio.open(path) as dataset:
            assert dataset.nodata == 77
        close_files()
        assert seen(path) == before
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(seen, [path] * 40):
                assert found == before

    def test_the_callers_settings_come_back(self, raster):
        """Settings that a caller made for GDAL hold again after our reading."""
        with rasterio.Env(GDAL_PAM_ENABLED="YES", GDAL_NUM_THREADS="1"):
            read(raster, 1, ALL)
            assert getenv()["GDAL_PAM_ENABLED"] == "YES"
            assert getenv()["GDAL_NUM_THREADS"] == "1"

    def test_no_cloud_session(self, monkeypatch):
        """Keys of a cloud in the environment are of no concern for local files."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        with gdal_env():
            assert not any(name.startswith("AWS_") for name in getenv())

    def test_the_cache_holds_tiles(self):
        """The block cache is some megabytes, told in bytes: without it, neighbouring blocks decode a tile again."""
        with gdal_env():
            assert 8 << 20 <= getenv()["GDAL_CACHEMAX"] <= 256 << 20


class TestHandles:
    def test_a_replaced_file_is_read_anew(self, tmp_path, write):
        """A file renamed over another one is read, though name, size and date are the same."""
        path = write(tmp_path / "a.tif", VALUES)
        assert np.array_equal(read(path, 1, ALL), VALUES)
        was = path.stat()
        other = write(tmp_path / "b.tif", VALUES[::-1])
        os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))
        os.replace(other, path)
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)
        assert np.array_equal(read(path, 1, ALL), VALUES[::-1])

    def test_open_files_are_bounded(self, tmp_path, write):
        """A hundred files read in turn leave at most 64 open, and none when closed."""
        paths = [write(tmp_path / f"{number}.tif", VALUES[:8, :8]) for number in range(100)]

        def held() -> int:
            targets = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
            return sum(target.startswith(str(tmp_path)) for target in targets)

        for path in paths:
            read(path, 1, Window(0, 0, 8, 8))
        assert 0 < held() <= 64
        close_files()
        assert held() == 0


def test_a_broken_tile_of_jpeg_2000_is_told(tmp_path):
    """A window over several tiles, one of which is cut off, is an error, not what was in memory."""
    values = np.random.default_rng(5).integers(0, 10000, (512, 512), "uint16")
    path = tmp_path / "B04.jp2"
    told = {"driver": "JP2OpenJPEG", "dtype": "uint16", "count": 1, "width": 512, "height": 512, "crs": "EPSG:32633"}
    place = Affine(10, 0, 500000, 0, -10, 5200000)
    with rasterio.open(
        path, "w", transform=place, QUALITY="100", REVERSIBLE="YES", BLOCKXSIZE=128, BLOCKYSIZE=128, **told
    ) as out:
        out.write(values, 1)
    assert (read(path, 1, Window(0, 0, 512, 512)) == values).all()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AssetError):
        read(path, 1, Window(0, 0, 512, 512))
    with pytest.raises(RasterioIOError), open_raster(path) as dataset:
        dataset.read(1)
