"""Rasters behind a server: the same pixels, in few requests, and failures that are told as what they are."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.shutil import copy

from terracube.core.errors import AssetError, TerraCubeError
from terracube.cubes.access import Location
from terracube.cubes.readers import close_files, read_header, read_pixels
from terracube.cubes.window import Window

VALUES = np.random.default_rng(8).integers(1, 4000, (2, 600, 500), "uint16")
PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500040, 0, -10, 5100000), "nodata": 0}
ALL = Window(0, 0, 600, 500)
TILES = {"tiled": True, "blockxsize": 128, "blockysize": 128}


@pytest.fixture(autouse=True)
def closed_files():
    """Leave no file open, and nothing kept."""
    yield
    close_files()


@pytest.fixture(scope="module")
def rasters(tmp_path_factory):
    """Files of one content in several formats."""
    folder = tmp_path_factory.mktemp("rasters")
    profile = PLACE | {"driver": "GTiff", "dtype": "uint16", "count": 2, "width": 500, "height": 600}
    made = {}
    for name, options in {
        "deflate.tif": {"compress": "deflate", "predictor": 2, **TILES},
        "packbits.tif": {"compress": "packbits", **TILES},
        "strips.tif": {},
        "jpeg2000.jp2": {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "nodata": None},
    }.items():
        made[name] = folder / name
        chosen = {key: value for key, value in (profile | options).items() if value is not None}
        with rasterio.open(made[name], "w", **chosen) as out:
            out.write(VALUES)
    made["cog.tif"] = folder / "cog.tif"
    copy(made["deflate.tif"], made["cog.tif"], driver="COG", compress="zstd", blocksize=128)
    return made


@pytest.mark.parametrize("name", ["deflate.tif", "packbits.tif", "strips.tif", "jpeg2000.jp2", "cog.tif"])
class TestSamePixels:
    def test_as_local(self, rasters, file_server, name):
        """Header, windows, bands and overviews are those of the same file on this machine."""
        near = Location(str(rasters[name]))
        far = Location(file_server.put("/" + name, rasters[name].read_bytes()))
        header = read_header(far, where="far")
        assert header == read_header(near, where="near")
        for band in (1, 2):
            assert np.array_equal(read_pixels(far, band, ALL), VALUES[band - 1])
            window = Window(100, 90, 70, 300)
            assert np.array_equal(read_pixels(far, band, window), VALUES[band - 1][window.slices])
        for level, shape in enumerate(header.overviews, 1):
            window = Window(0, 0, *shape)
            assert np.array_equal(read_pixels(far, 1, window, level=level), read_pixels(near, 1, window, level=level))

    def test_threads(self, rasters, file_server, name):
        """Several threads may read one file, whoever opened it."""
        far = Location(file_server.put("/" + name, rasters[name].read_bytes()))
        together = threading.Barrier(3)

        def work(seed: int) -> bool:
            together.wait()
            right = True
            for row, col in np.random.default_rng(seed).integers(0, 400, (4, 2)):
                window = Window(int(row), int(col), 90, 80)
                right &= np.array_equal(read_pixels(far, 2, window), VALUES[1][window.slices])
            return right

        with ThreadPoolExecutor(3) as pool:
            assert all(pool.map(work, range(3)))

    def test_a_server_that_fails_is_no_bad_tile(self, rasters, file_server, name):
        """Bytes that cannot be had are an error even where bad tiles are taken: they would be there another time."""
        far = Location(file_server.put("/" + name, rasters[name].read_bytes()))
        read_header(far, where="far")
        told: list[str] = []
        file_server.files["/" + name].data = file_server.files["/" + name].data + b"changed"
        file_server.files["/" + name].etag = '"2"'
        with pytest.raises(AssetError, match="changed"):
            read_pixels(far, 1, ALL, on_bad=told.append, missing=0)
        assert told == []


class TestRequests:
    def test_a_cog_is_known_after_one_request(self, rasters, file_server):
        """Its header comes with the first answer; a window takes one more."""
        far = Location(file_server.put("/cog.tif", rasters["cog.tif"].read_bytes()))
        read_header(far, where="far")
        assert len(file_server.requests_of("/cog.tif")) == 1
        read_pixels(far, 1, Window(0, 0, 100, 100))
        assert len(file_server.requests_of("/cog.tif")) == 2
        read_pixels(far, 1, Window(20, 20, 50, 50))
        assert len(file_server.requests_of("/cog.tif")) == 2

    def test_gdal_asks_for_few_pieces(self, rasters, file_server):
        """What GDAL reads in small steps is asked for in large ones, and once."""
        far = Location(file_server.put("/a.jp2", rasters["jpeg2000.jp2"].read_bytes()))
        read_pixels(far, 1, Window(0, 0, 100, 100))
        before = len(file_server.requests_of("/a.jp2"))
        assert before < 25
        read_pixels(far, 1, Window(0, 0, 100, 100))
        assert len(file_server.requests_of("/a.jp2")) == before


def test_bad_tiles_are_told_alike(rasters, file_server, tmp_path):
    """A damaged tile is told in the same words for every window, with no name that changes from read to read."""
    for name in ("deflate.tif", "packbits.tif"):
        path = Path(rasters[name])
        with rasterio.open(path) as dataset:
            offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
            size = int(dataset.get_tag_item("BLOCK_SIZE_1_0", "TIFF", bidx=1))
        content = bytearray(path.read_bytes())
        content[offset : offset + size] = b"\x80" * size
        far = Location(file_server.put("/" + name, bytes(content)))
        told: list[str] = []
        for window in (Window(0, 0, 128, 256), Window(5, 130, 3, 3), Window(0, 0, 128, 256)):
            read_pixels(far, 1, window, on_bad=told.append, missing=0)
        assert len(told) == 3
        assert len(set(told)) == 1
        assert f"{name}, level 0" in told[0]


def test_a_missing_file(file_server):
    """A file that the server does not have is an error that names it."""
    with pytest.raises(TerraCubeError, match=r"none\.tif"):
        read_header(Location(file_server.url + "/none.tif"), where="far")
