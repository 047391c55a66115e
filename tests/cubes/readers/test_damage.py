"""Broken and hostile rasters: an error that names the file, or what rasterio gives; never a crash."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.errors import RasterioError

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError, TerraCubeError
from terracube.cubes.access import Location
from terracube.cubes.readers import close_files, gdal_env, read_header, read_pixels
from terracube.cubes.window import Window

SIDE = 96
VALUES = np.random.default_rng(3).integers(1, 4000, (SIDE, SIDE), "uint16")
PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500040, 0, -10, 5100000), "nodata": 0}
ALL = Window(0, 0, SIDE, SIDE)
PACKED = [
    {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 32, "blockysize": 32},
    {"compress": "zstd", "tiled": True, "blockxsize": 32, "blockysize": 32, "ENDIANNESS": "BIG"},
    {"compress": "lzw", "blockysize": 16},
    {"blockysize": 16, "BIGTIFF": "YES"},
    {"compress": "packbits", "blockysize": 16},
]


@pytest.fixture(autouse=True)
def closed_files():
    """Leave no file open, and nothing kept."""
    yield
    close_files()


def write(path: Path, **options: Any) -> Path:
    """Write a raster of 96 x 96 pixels."""
    profile = PLACE | {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": SIDE, "height": SIDE}
    with rasterio.open(path, "w", **(profile | options)) as out:
        out.write(VALUES, 1)
    return path


class Files(list[bytes]):
    """Contents of files, which are not printed with every example."""

    def __repr__(self) -> str:
        return f"<{len(self)} files>"


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """Bytes of rasters in several packings, with overviews."""
    folder = tmp_path_factory.mktemp("whole")
    found = []
    for number, options in enumerate(PACKED):
        path = write(folder / f"{number}.tif", **options)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
        found.append(path.read_bytes())
    return Files(found)


def ours(path: Path) -> tuple[Any, ...] | str:
    """Read header and pixels, or tell why not."""
    location = Location(str(path))
    try:
        header = read_header(location, where="item/asset")
        window = Window(0, 0, min(header.grid.shape.y, 200), min(header.grid.shape.x, 200))
        pixels = read_pixels(location, 1, window)
    except TerraCubeError as error:
        return str(error)
    return header, window, pixels


def theirs(path: Path, window: Window) -> tuple[Any, ...] | None:
    """Read the same with rasterio, or nothing if it cannot."""
    try:
        with gdal_env(), rasterio.open(path, driver="GTiff") as dataset:
            place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
            facts = (dataset.shape, dataset.dtypes, repr(dataset.nodatavals), dataset.count)
            return (*facts, dataset.read(1, window=place))
    except (RasterioError, ValueError):
        return None


def compare(path: Path) -> None:
    """Check that what we read, if anything, is what rasterio reads, if it can."""
    found = ours(path)
    if isinstance(found, str):
        return
    header, window, pixels = found
    other = theirs(path, window)
    if other is not None:
        facts = (tuple(header.grid.shape), header.dtypes, repr(header.nodata), header.count)
        assert facts == other[:4]
        assert pixels.tobytes() == other[4].tobytes()


# GDAL's messages may quote bytes of a broken file that are no text; rasterio's logging stumbles over them by itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
class TestDamage:
    @settings(max_examples=150)
    @given(
        number=st.integers(0, len(PACKED) - 1),
        reach=st.sampled_from([300, 450, 1200, 1 << 20]),
        spots=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4),
    )
    def test_bytes_changed(self, contents, tmp_path_factory, number, reach, spots):
        """Some bytes of header or pixels are others."""
        content = bytearray(contents[number])
        for place, value in spots:
            content[4 + place % (min(reach, len(content)) - 4)] = value
        path = tmp_path_factory.mktemp("changed") / "damaged.tif"
        path.write_bytes(content)
        compare(path)

    @settings(max_examples=80)
    @given(number=st.integers(0, len(PACKED) - 1), kept=st.floats(0.0, 1.0))
    def test_cut_off(self, contents, tmp_path_factory, number, kept):
        """The file ends too early."""
        path = tmp_path_factory.mktemp("cut") / "damaged.tif"
        path.write_bytes(contents[number][: 1 + int(kept * len(contents[number]))])
        compare(path)

    @settings(max_examples=80)
    @given(
        head=st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"]), tail=st.binary(max_size=400)
    )
    def test_noise_behind_a_right_start(self, tmp_path_factory, head, tail):
        """Bytes of no meaning that start as a TIFF."""
        path = tmp_path_factory.mktemp("noise") / "damaged.tif"
        path.write_bytes(head + tail)
        assert isinstance(ours(path), str)

    def test_the_error_names_the_file(self, tmp_path, contents):
        """What is told about a file that is cut off says which it is."""
        path = tmp_path / "cut.tif"
        path.write_bytes(contents[0][: len(contents[0]) // 2])
        with pytest.raises(AssetError, match=r"cut\.tif"):
            read_pixels(Location(str(path)), 1, ALL)

    def test_empty(self, tmp_path):
        """So it does about an empty one."""
        (tmp_path / "a.tif").touch()
        with pytest.raises(AssetError, match=r"empty.*a\.tif"):
            read_header(Location(str(tmp_path / "a.tif")), where="item/asset")


def patch(content: bytes, tag: int, value: int) -> bytes:
    """Change the inline value of a tag of the first directory of a small little-endian TIFF."""
    changed = bytearray(content)
    start = struct.unpack_from("<L", content, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], 12):
        number, kind, count, _ = struct.unpack_from("<HHLL", content, at)
        if number == tag:
            assert count == 1
            struct.pack_into("<H" if kind == 3 else "<L", changed, at + 8, value)
            return bytes(changed)
    raise AssertionError(f"no tag {tag}")


class TestHostile:
    @pytest.mark.parametrize("tag", [256, 257, 322, 323, 277, 278])
    def test_giant_numbers_take_no_memory(self, tmp_path, tag):
        """Sizes beyond all bounds in a header of some hundred bytes are refused, or cost nothing."""
        kind = PACKED[2] if tag == 278 else PACKED[0]
        content = patch(write(tmp_path / "a.tif", **kind).read_bytes(), tag, 65520)
        path = tmp_path / "giant.tif"
        path.write_bytes(content)
        tracemalloc.start()
        told = ours(path)
        assert "giant.tif" in str(told) or not isinstance(told, str)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 << 20

    def test_a_giant_tile(self, tmp_path):
        """A small file that claims one internal tile of half a gigabyte is refused before it is decoded."""
        profile = PLACE | {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 32768, "height": 32768}
        path = tmp_path / "giant.tif"
        options = {"tiled": True, "blockxsize": 32768, "blockysize": 16384, "compress": "deflate", "SPARSE_OK": "TRUE"}
        with rasterio.open(path, "w", **profile, **options):
            pass
        assert path.stat().st_size < 10_000
        with pytest.raises(HostileInputError, match=r"giant\.tif.*512 MiB"):
            read_pixels(Location(str(path)), 1, Window(0, 0, 1, 1))

    def test_one_giant_strip_that_is_not_packed(self, tmp_path):
        """Rows that are not packed are read one by one, however many make a strip."""
        profile = PLACE | {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": 20000, "height": 8000}
        path = tmp_path / "a.tif"
        with rasterio.open(path, "w", blockysize=8000, **profile) as out:
            out.write(np.full((1, 20000), 3, "uint16"), 1, window=rasterio.windows.Window(0, 7999, 20000, 1))
        assert read_pixels(Location(str(path)), 1, Window(7999, 19990, 1, 10)).tolist() == [[3] * 10]
        assert read_header(Location(str(path)), where="a").tile == (1, 20000)

    def test_directories_in_a_circle(self, tmp_path, contents):
        """Directories that follow each other without end are followed once."""
        content = bytearray(contents[0])
        start = struct.unpack_from("<L", content, 4)[0]
        struct.pack_into("<L", content, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], start)
        path = tmp_path / "a.tif"
        path.write_bytes(content)
        assert read_header(Location(str(path)), where="a").overviews == ()
        assert np.array_equal(read_pixels(Location(str(path)), 1, ALL), VALUES)

    def test_other_formats(self, tmp_path):
        """What does not start as TIFF or JPEG 2000 is refused, whatever its name says."""
        path = tmp_path / "a.tif"
        for head in (b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<VRTDataset/>", b"PK\3\4", b"II", b"\0" * 100):
            path.write_bytes(head)
            with pytest.raises(HostileInputError, match=r"a\.tif.*not opened"):
                read_header(Location(str(path)), where="item/asset")

    def test_a_bomb(self, tmp_path):
        """A tile that would unpack to much more than it may is an error, and is not unpacked."""
        content = bytearray(write(tmp_path / "a.tif", compress="deflate", blockysize=SIDE).read_bytes())
        bomb = zlib.compress(bytes(200 << 20), 9)
        place = len(content)
        path = tmp_path / "bomb.tif"
        path.write_bytes(patch(patch(bytes(content) + bomb, 273, place), 279, 4000))
        tracemalloc.start()
        with pytest.raises(AssetError, match=r"bomb\.tif"):
            read_pixels(Location(str(path)), 1, ALL)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20


def spoil(path: Path, col: int, row: int) -> None:
    """Damage one internal tile."""
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 24] = b"\xff" * 24
    path.write_bytes(content)


class TestBadTiles:
    @pytest.fixture(params=["deflate", "zstd", "lzw", "lerc_deflate"])
    def damaged(self, request, tmp_path):
        """A raster of nine tiles of which one cannot be decoded, by us or by GDAL."""
        options = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": request.param}
        path = write(tmp_path / "damaged.tif", **options)
        spoil(path, 2, 1)
        return Location(str(path))

    def test_are_an_error(self, damaged):
        """A window that needs it is an error that names the file; others can be read."""
        with pytest.raises(AssetError, match=r"cannot decode pixels.*damaged\.tif"):
            read_pixels(damaged, 1, Window(40, 70, 3, 3))
        assert np.array_equal(read_pixels(damaged, 1, Window(0, 0, 96, 64)), VALUES[:, :64])

    def test_are_left_out_and_told(self, damaged):
        """Or its pixels become what the caller says, it is told once, and all others are there."""
        expected = VALUES.copy()
        expected[32:64, 64:] = 9999
        texts = set()
        for window in (ALL, Window(40, 50, 20, 30), Window(63, 95, 1, 1), Window(32, 64, 32, 32)):
            told: list[str] = []
            found = read_pixels(damaged, 1, window, on_bad=told.append, missing=9999)
            assert np.array_equal(found, expected[window.slices])
            assert len(told) == 1
            texts.update(told)
        (text,) = texts  # whatever the window, and however often
        assert "damaged.tif" in text
        assert "tile row 1, column 2" in text

    def test_nothing_is_told_of_good_tiles(self, damaged):
        """No word where nothing is wrong."""
        told: list[str] = []
        read_pixels(damaged, 1, Window(0, 0, 32, 96), on_bad=told.append, missing=0)
        assert told == []

    @pytest.mark.parametrize("missing", [None, float("nan"), -1, 65536, 0.5])
    def test_what_pixels_become_must_be_a_number_of_the_raster(self, damaged, missing):
        """It has to be said, and the type of the raster has to hold it."""
        with pytest.raises(InputError, match="missing"):
            read_pixels(damaged, 1, ALL, on_bad=print, missing=missing)

    def test_a_tile_beyond_the_end(self, tmp_path):
        """A file that was cut off gives the tiles that are still there."""
        path = write(tmp_path / "a.tif", blockysize=16)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) - 16 * SIDE * 2])
        told: list[str] = []
        found = read_pixels(Location(str(path)), 1, ALL, on_bad=told.append, missing=0)
        assert np.array_equal(found[:80], VALUES[:80])
        assert (found[80:] == 0).all()
        assert ["tile row 5" in text for text in told] == [True]


class TestOverviewNodata:
    @pytest.mark.parametrize("compress", ["deflate", "packbits"])
    def test_another_nodata_is_an_error(self, tmp_path, compress):
        """An overview that calls another number nodata than its raster would mix holes and values."""
        path = write(tmp_path / "a.tif", compress=compress, nodata=12345)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2], rasterio.enums.Resampling.nearest)
        content = path.read_bytes()
        assert content.count(b"12345\0") == 2
        at = content.rindex(b"12345\0")
        path.write_bytes(content[:at] + b"12346" + content[at + 5 :])
        location = Location(str(path))
        assert read_header(location, where="a").overviews == ((48, 48),)
        assert np.array_equal(read_pixels(location, 1, ALL), VALUES)
        with pytest.raises(MetadataError, match=r"overview.*12345.*12346"):
            read_pixels(location, 1, Window(0, 0, 48, 48), level=1)
