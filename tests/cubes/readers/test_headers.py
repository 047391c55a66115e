"""Headers: the same facts as rasterio gives, from a few bytes, and never a guess."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_gcps

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.cubes.access import Location
from terracube.cubes.grid import YX, Grid
from terracube.cubes.readers import Header, cache, close_files, open_raster, read_header, read_pixels
from terracube.cubes.readers.cache import Recent
from terracube.cubes.readers.nodata import parse_float, parse_nodata, parse_roles
from terracube.cubes.readers.peek import Peek
from terracube.cubes.readers.tiff import UnusualError
from terracube.cubes.sources import header_grid
from terracube.cubes.window import Window

PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500040, 0, -10, 5100000)}


@pytest.fixture(autouse=True)
def closed_files():
    """Leave no file open, and nothing kept."""
    yield
    close_files()


def write(path: Path, *, count: int = 1, dtype: str = "uint16", **options: Any) -> Path:
    """Write a raster of 50 x 40 pixels."""
    profile = PLACE | {"driver": "GTiff", "dtype": dtype, "count": count, "width": 40, "height": 50} | options
    with rasterio.open(path, "w", **{key: value for key, value in profile.items() if value is not None}) as out:
        out.write(np.ones((count, 50, 40), dtype))
    return path


def header_of(path: Path) -> Header:
    """Read a header."""
    return read_header(Location(str(path)), where="item/asset")


class TestPlace:
    @pytest.mark.parametrize(
        "crs",
        [
            "EPSG:32633", "EPSG:4326", "EPSG:3857", "EPSG:3035", "EPSG:27700", "EPSG:2154", "EPSG:28992", "EPSG:4258",
            "EPSG:5514", "EPSG:3031", "EPSG:7415", "ESRI:54009",
            "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84", "+proj=sinu +R=6371007.181 +units=m",
            "+proj=utm +zone=33 +ellps=intl +towgs84=1,2,3,0,0,0,0", "+proj=longlat +R=6371000",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
    def test_any_crs(self, tmp_path, crs, endian):
        """The same grid, with the same text of the CRS, as from rasterio's header."""
        path = write(tmp_path / "a.tif", crs=crs, ENDIANNESS=endian)
        header = header_of(path)
        assert header.decoder == "own"
        with open_raster(path) as dataset:
            assert header.grid == header_grid(dataset, "a")

    @settings(max_examples=40)
    @given(
        pixel=st.tuples(st.floats(1e-6, 1e4), st.floats(1e-6, 1e4)),
        corner=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
        point=st.booleans(),
        shear=st.sampled_from([0.0, 0.0, 1e-3]),
    )
    def test_any_transform(self, tmp_path_factory, pixel, corner, point, shear):
        """The same place to the last bit, for tie points of corners and of middles, and matrices."""
        path = tmp_path_factory.mktemp("place") / "a.tif"
        transform = Affine(pixel[0], shear, corner[0], 0, -pixel[1], corner[1])
        write(path, transform=transform, **({"GTIFF_POINT_GEO_IGNORE": "NO"} if point else {}))
        if point:
            with rasterio.open(path, "r+") as dataset:
                dataset.update_tags(AREA_OR_POINT="Point")
        with open_raster(path) as dataset:
            try:
                expected = header_grid(dataset, "a")
            except MetadataError as error:
                expected = error.what
        try:
            found = header_of(path).grid
        except MetadataError as error:
            found = error.what
        assert found == expected

    def test_pixel_is_point(self, tmp_path):
        """Where the tie is the middle of a pixel, corners lie half a pixel away."""
        path = write(tmp_path / "a.tif")
        area = header_of(path).grid
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(AREA_OR_POINT="Point")
        assert b"\x01\x04\x00\x00\x01\x00\x02\x00" in path.read_bytes()  # the key says so
        assert header_of(path).decoder == "own"
        assert header_of(path).grid == area

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"crs": None}, "no CRS"),
            ({"transform": None}, "no geotransform"),
            ({"crs": None, "transform": None}, "and no"),
        ],
    )
    def test_no_place(self, tmp_path, options, told):
        """Without CRS or transform a raster is an error that names item and asset."""
        with pytest.warns(NotGeoreferencedWarning) if "transform" in options else nullcontext():
            path = write(tmp_path / "a.tif", **options)
        with pytest.raises(MetadataError, match=told) as error:
            header_of(path)
        assert error.value.where == "item/asset"

    def test_rotated(self, tmp_path):
        """A rotated raster is refused, and so is one that is mirrored."""
        for number, transform in enumerate((Affine(10, 1, 5e5, 1, -10, 5e6), Affine(-10, 0, 5e5, 0, -10, 5e6))):
            path = write(tmp_path / f"{number}.tif", transform=transform)
            with pytest.raises(MetadataError, match="rotated"):
                header_of(path)

    def test_ground_control_points(self, tmp_path):
        """Ground control points are no transform."""
        points = [rasterio.control.GroundControlPoint(r, c, c * 10 + 5e5, 5e6 - r * 10) for r in (0, 9) for c in (0, 9)]
        assert from_gcps(points).a == pytest.approx(10)
        path = tmp_path / "a.tif"
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 9, "height": 9}
        with pytest.warns(NotGeoreferencedWarning), rasterio.open(path, "w", **profile) as out:
            out.gcps = (points, CRS.from_epsg(32633))
        with pytest.raises(MetadataError, match=r"no geotransform|no CRS"):
            header_of(path)

    def test_a_local_crs(self, tmp_path):
        """A CRS that is no place on a globe is refused."""
        path = write(tmp_path / "a.tif", crs='LOCAL_CS["here",UNIT["metre",1]]')
        with pytest.raises(MetadataError):
            header_of(path)


class TestFacts:
    def test_everything_that_a_header_says(self, tmp_path):
        """Bands, types, nodata, blocks, packing, and what the file says of scale, offset and names."""
        path = write(tmp_path / "a.tif", count=3, dtype="int16", nodata=-9999, compress="zstd", tiled=True,
                     blockxsize=32, blockysize=16)  # fmt: skip
        with rasterio.open(path, "r+") as dataset:
            dataset.scales = (0.5, 1.0, 1.0)
            dataset.offsets = (-3.0, 0.0, 0.0)
            dataset.set_band_description(2, "two & <more>")
            dataset.update_tags(1, note="scale")
        assert header_of(path) == Header(
            driver="GTiff",
            grid=Grid.from_affine("EPSG:32633", PLACE["transform"], YX(50, 40)),
            count=3,
            dtypes=("int16",) * 3,
            nodata=(-9999.0,) * 3,
            overviews=(),
            tile=(16, 32),
            decoder="own",
            scale=(0.5, None, None),
            offset=(-3.0, None, None),
            descriptions=(None, "two & <more>", None),
            compression="zstd",
        )

    @pytest.mark.parametrize(
        ("dtype", "nodata"),
        [
            ("uint8", 0), ("uint8", 255), ("int16", -32768), ("uint32", 4294967295), ("float32", float("nan")),
            ("float32", -3.4e38), ("float32", np.finfo("float32").min), ("float32", 0.1), ("float64", 0.1),
            ("float64", 1e300), ("float32", -9999), ("float64", float("nan")), ("int64", -5), ("int32", -2147483648),
            ("float32", float("inf")), ("uint16", None),
        ],
    )  # fmt: skip
    def test_nodata(self, tmp_path, dtype, nodata):
        """The same number as rasterio gives, whatever the type."""
        path = write(tmp_path / "a.tif", dtype=dtype, nodata=nodata)
        with rasterio.open(path) as dataset:
            assert repr(header_of(path).nodata) == repr(dataset.nodatavals)

    def test_a_nodata_that_the_type_cannot_hold(self, tmp_path):
        """What to make of it is left to GDAL."""
        path = write(tmp_path / "a.tif", nodata=65535)
        content = path.read_bytes()
        assert content.count(b"65535\0") == 1
        path.write_bytes(content.replace(b"65535\0", b"-9999\0"))
        with rasterio.open(path) as dataset:
            assert repr(header_of(path).nodata) == repr(dataset.nodatavals)
        assert header_of(path).decoder == "gdal"

    @pytest.mark.parametrize("text", [b"", b"nan", b" -1.5e3 ", b"+7", b".5", b"1."])
    def test_texts_of_numbers(self, text):
        """Numbers as they are written in tags."""
        assert repr(parse_nodata(text, "float64")) == repr(float(text) if text else None)

    @pytest.mark.parametrize(
        "text", [b"0x10", b"1_000", b"inf", b"1e999", b"-1.#IND", b"1,5", b"none", b"9" * 99, b" "]
    )
    def test_unusual_texts(self, text):
        """All else is left to GDAL, and never taken for a number."""
        with pytest.raises(UnusualError):
            parse_nodata(text, "float64")
        with pytest.raises(UnusualError):
            parse_nodata(b"0.5", "uint8")

    @pytest.mark.parametrize(
        "xml",
        [
            b'<!DOCTYPE x [<!ENTITY a "role=">]><GDALMetadata>&a;</GDALMetadata>',
            b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><GDALMetadata role="x"/>',
            b'<GDALMetadata role="x">',
        ],
    )
    def test_hostile_xml(self, xml):
        """Metadata that define entities or refer to other files are not parsed."""
        with pytest.raises(UnusualError):
            parse_roles(xml, 1)

    def test_roles(self):
        """Only the bands that are there, and only finite numbers."""
        xml = b'<GDALMetadata><Item name="S" sample="1" role="scale">0.5</Item><Item sample="7" role="scale">1</Item>'
        assert parse_roles(xml + b'<Item sample="x" role="scale"/></GDALMetadata>', 2)["scale"] == (None, "0.5")
        for text in ("nan", "inf", "x", ""):
            with pytest.raises(UnusualError):
                parse_float(text)


class TestKeeping:
    def test_a_header_is_read_once(self, tmp_path):
        """Asked for again, the same header is given, until the file is another one."""
        path = write(tmp_path / "a.tif")
        first = header_of(path)
        assert header_of(path) is first
        write(tmp_path / "b.tif", nodata=5).replace(path)
        assert header_of(path).nodata == (5.0,)

    def test_closing_forgets(self, tmp_path):
        """After closing nothing is kept."""
        header_of(write(tmp_path / "a.tif"))
        header_of(write(tmp_path / "b.tif", compress="packbits"))
        assert len(cache.headers) == 2
        close_files()
        assert len(cache.headers) == len(cache.tables) == len(cache.tiles) == 0

    def test_a_folder_and_a_missing_file(self, tmp_path):
        """Neither is a raster."""
        with pytest.raises(AssetError):
            header_of(tmp_path / "none.tif")

    def test_many_threads(self, tmp_path):
        """Headers asked for by many threads at once are the same."""
        paths = [
            write(tmp_path / f"{number}.tif", nodata=number, compress=("packbits", "lzw")[number % 2])
            for number in range(6)
        ]
        together = threading.Barrier(4)

        def work(_: int) -> list[tuple[float | None, ...]]:
            together.wait()
            return [header_of(path).nodata for path in paths * 5]

        with ThreadPoolExecutor(4) as pool:
            assert all(found == [(float(n),) for n in range(6)] * 5 for found in pool.map(work, range(4)))


class TestRecent:
    @given(
        st.integers(0, 40),
        st.lists(st.tuples(st.sampled_from("pgr"), st.integers(0, 6), st.integers(0, 15)), max_size=60),
    )
    def test_bounded(self, most, steps):
        """Whatever is put in and asked for: never more than the room, and never a wrong value."""
        kept: Recent[bytes] = Recent(most, len)
        known: dict[int, bytes] = {}
        for kind, key, size in steps:
            if kind == "p":
                value = bytes([key]) * size
                kept.put(key, value)
                known[key] = value
            elif kind == "r":
                kept.resize(size * 2)
                most = size * 2
            else:
                found = kept.get(key)
                assert found is None or found == known[key] or set(found) <= {key}
            assert 0 <= kept.held <= most

    def test_what_was_not_asked_for_longest_goes(self):
        """Asking for a value keeps it."""
        kept: Recent[str] = Recent(4, lambda _: 1)
        for key in "abcd":
            kept.put(key, key)
        kept.get("a")
        kept.put("e", "e")
        assert [key for key in "abcde" if kept.get(key)] == ["a", "c", "d", "e"]


class Endless:
    """A file that never ends."""

    name = "endless.tif"
    size = 1 << 40

    def read(self, start: int, stop: int) -> bytes:
        """Give zeros."""
        return bytes(stop - start)


def test_peek_is_bounded():
    """A header that asks for more and more is stopped, and one that points beyond the end is told so."""
    peek = Peek(Endless())
    with pytest.raises(HostileInputError, match=r"endless\.tif"):
        [peek.get(number << 30, (number << 30) + (1 << 20)) for number in range(1, 100)]
    with pytest.raises(AssetError, match="beyond the end"):
        peek.get(1 << 40, (1 << 40) + 1)


class TestArrays:
    def test_are_known_by_their_content(self, tmp_path):
        """A NetCDF file that is called a GeoTIFF, and a folder, are read as what they are: no file of pixels."""
        path = tmp_path / "a.tif"
        x, y = 500005.0 + 10 * np.arange(6), 5099995.0 - 10 * np.arange(5)
        data = xr.Dataset({"b": (("y", "x"), np.arange(30, dtype="int16").reshape(5, 6))}, {"y": y, "x": x})
        data["b"].attrs["grid_mapping"] = "place"
        data["place"] = ((), 0, {"crs_wkt": CRS.from_epsg(32633).to_wkt()})
        data.to_netcdf(path, format="NETCDF3_CLASSIC")
        header = header_of(path)
        assert (header.driver, header.decoder) == ("netCDF", "netcdf")
        assert header.grid.shape == (5, 6)
        assert np.array_equal(read_pixels(Location(str(path)), 1, Window(0, 0, 5, 6)), data["b"].values)
        with pytest.raises(TerraCubeError):
            header_of(tmp_path)
