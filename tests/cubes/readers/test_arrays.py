"""Variables of Zarr stores and NetCDF files, read as rasters."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import CRS

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError, UnreachableError
from terracube.cubes import Grid
from terracube.cubes.access import Location, Retries, use_retries
from terracube.cubes.readers import arrays, cf, close_files, netcdf, read_header, read_pixels, zarrs
from terracube.cubes.readers.zarrstore import BytesStore
from terracube.cubes.window import Window

UTM = "EPSG:32633"
WKT = CRS(UTM).to_wkt()
ROWS, COLS = 50, 70
VALUES = np.random.default_rng(7).integers(1, 60_000, (ROWS, COLS), dtype=np.uint16)
X = 500_000.0 + 10 * np.arange(COLS) + 5
Y = 5_100_000.0 - 10 * np.arange(ROWS) - 5
SIX = [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_100_000.0]
GRID = Grid.from_bbox((500_000, 5_099_500, 500_700, 5_100_000), crs=UTM, resolution=10, bbox_crs=UTM)


@pytest.fixture(autouse=True)
def closed():
    """Leave no file open, and nothing known."""
    yield
    arrays.close_arrays()
    close_files()


def _add(
    group: zarr.Group,
    name: str,
    values: Any,
    dims: tuple[str, ...],
    attributes: dict[str, Any] | None = None,
    **how: Any,
) -> zarr.Array[Any]:
    values = np.asarray(values)
    more: dict[str, Any] = {"dimension_names": dims} if group.metadata.zarr_format == 3 else {}
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        **({"chunks": tuple(max(1, min(20, n)) for n in values.shape)} | more | how),
    )
    array[...] = values
    array.attrs.update((attributes or {}) | ({} if more else {"_ARRAY_DIMENSIONS": list(dims)}))
    return array


def _store(path: Path, version: int = 3, *, y: Any = Y, x: Any = X, attributes: Any = None, **how: Any) -> Location:
    """Write a store with one band, its coordinates and a CF grid mapping."""
    group = zarr.create_group(path, zarr_format=version)
    if y is not None:
        _add(group, "y", y, ("y",))
        _add(group, "x", x, ("x",))
    _add(group, "spatial_ref", 0, (), {"crs_wkt": WKT, "grid_mapping_name": "transverse_mercator"}, chunks=())
    _add(group, "b04", VALUES, ("y", "x"), {"grid_mapping": "spatial_ref"} | (attributes or {}), **how)
    return Location(str(path), "b04")


def _bare(path: Path, attributes: dict[str, Any], values: Any = VALUES, dims: Any = ("y", "x")) -> Location:
    """Write a store of one array that has nothing but its own attributes."""
    _add(zarr.create_group(path, zarr_format=3), "b04", values, dims, attributes)
    return Location(str(path), "b04")


def _netcdf(path: Path, values: Any = VALUES, *, y: Any = Y, x: Any = X, fmt: str = "NETCDF4", **how: Any) -> Location:
    attributes = how.pop("attributes", {})
    with netCDF4.Dataset(path, "w", format=fmt) as out:
        for name, axis in (("y", y), ("x", x)):
            out.createDimension(name, len(axis))
            out.createVariable(name, "f8", (name,))[:] = axis
        extra = [f"d{k}" for k in range(np.ndim(values) - 2)]
        for name, size in zip(extra, np.shape(values), strict=False):
            out.createDimension(name, size)
        mapping = out.createVariable("crs", "i4", ())
        mapping.setncatts({"crs_wkt": WKT, "grid_mapping_name": "transverse_mercator"})
        band = out.createVariable("b04", np.asarray(values).dtype, (*extra, "y", "x"), **how)
        band.set_auto_maskandscale(False)
        band.setncatts({"grid_mapping": "crs"} | attributes)
        band[...] = values
    return Location(str(path), "b04")


def _whole(location: Location, band: int = 1) -> np.ndarray:
    header = arrays.read_header(location, where="item/b04")
    return arrays.read_pixels(location, band, Window(0, 0, *header.grid.shape))


def _serve(server: Any, folder: Path, at: str = "/s.zarr") -> str:
    for path in folder.rglob("*"):
        if path.is_file():
            server.put(f"{at}/{path.relative_to(folder)}", path.read_bytes())
    return server.url + at


@pytest.mark.parametrize(
    ("version", "how"),
    [(2, {}), (3, {}), (3, {"shards": (40, 40)}), (2, {"compressors": None}), (3, {"compressors": None})],
    ids=str,
)
def test_zarr(tmp_path, version, how):
    """Grid, type, chunks and pixels of both versions, sharded too; a member may stand in the address as well."""
    location = _store(tmp_path / "s.zarr", version, **how)
    header = arrays.read_header(location, where="item/b04")
    assert header.grid == GRID
    assert (header.driver, header.decoder, header.count, header.dtypes) == ("Zarr", "zarr", 1, ("uint16",))
    assert header.tile == (20, 20)
    assert not header.flipped
    assert header.nodata == ((0.0,) if version == 2 else (None,))
    assert np.array_equal(_whole(location), VALUES)
    for again in (Location(f"{location.href}/b04"), Location(f"{location.href}/", "/b04/")):
        assert arrays.read_header(again, where="x") == header
    part = arrays.read_pixels(location, 1, Window(13, 17, 25, 41))
    assert part.dtype == np.uint16
    assert np.array_equal(part, VALUES[13:38, 17:58])


def test_a_folder_of_another_name(tmp_path):
    """Without .zarr in its name, a store is the folder, or the one around the array."""
    _store(tmp_path / "cube")
    assert np.array_equal(_whole(Location(str(tmp_path / "cube"), "b04")), VALUES)
    assert np.array_equal(_whole(Location(str(tmp_path / "cube" / "b04"))), VALUES)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_as_xarray_writes(tmp_path, version, dtype):
    """What xarray and rioxarray write has the transform, CRS, nodata, scale and numbers that they mean."""
    fill = np.nan if dtype == "float32" else -9999
    data = xr.DataArray(VALUES.astype("float32"), {"y": Y, "x": X}, ("y", "x"), name="b04").rio.write_crs(UTM)
    data.encoding = {"_FillValue": fill, "dtype": dtype, "scale_factor": 2.0, "add_offset": 1.0}
    data.to_dataset().to_zarr(tmp_path / "s.zarr", zarr_format=version, consolidated=False)
    header = arrays.read_header(Location(str(tmp_path / "s.zarr"), "b04"), where="x")
    assert header.grid == GRID
    assert np.array_equal(header.nodata, (fill,), equal_nan=True)
    assert (header.scale, header.offset) == ((2.0,), (1.0,))
    assert tuple(data.rio.transform())[:6] == tuple(SIX)
    with xr.open_zarr(tmp_path / "s.zarr", consolidated=False, mask_and_scale=False) as opened:
        assert np.array_equal(_whole(Location(str(tmp_path / "s.zarr"), "b04")), opened["b04"].values)


@pytest.mark.parametrize("fmt", ["NETCDF4", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4_CLASSIC"])
def test_netcdf(tmp_path, fmt):
    """Grid, type, nodata and pixels of each flavour of NetCDF."""
    values = VALUES.astype("int32")
    location = _netcdf(tmp_path / "a.nc", values, fmt=fmt, fill_value=-1, attributes={"scale_factor": 0.5})
    header = arrays.read_header(location, where="item/b04")
    assert header.grid == GRID
    assert (header.driver, header.decoder, header.nodata, header.scale) == ("netCDF", "netcdf", (-1.0,), (0.5,))
    assert header.offset == (None,)
    assert header.tile == (1, COLS)
    assert np.array_equal(_whole(location), values)
    assert np.array_equal(arrays.read_pixels(location, 1, Window(3, 5, 7, 11)), values[3:10, 5:16])


def test_netcdf_chunks_and_groups(tmp_path):
    """Chunks are the tiles; a variable in a group finds coordinates in the groups around it."""
    location = _netcdf(tmp_path / "a.nc", chunksizes=(16, 32), zlib=True)
    assert arrays.read_header(location, where="x").tile == (16, 32)
    assert np.array_equal(_whole(location), VALUES)
    arrays.close_arrays()
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as out:
        inner = out.createGroup("deep").createVariable("b05", "u2", ("y", "x"))
        inner[...] = VALUES // 2
        inner.grid_mapping = "crs: x y"
    inside = Location(str(tmp_path / "a.nc"), "deep/b05")
    assert arrays.read_header(inside, where="x").grid == GRID
    assert np.array_equal(_whole(inside), VALUES // 2)


def test_netcdf_without_a_member(tmp_path):
    """The only raster of a file need not be named; of several one must be."""
    _netcdf(tmp_path / "a.nc")
    assert np.array_equal(_whole(Location(str(tmp_path / "a.nc"))), VALUES)
    arrays.close_arrays()
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as out:
        out.createVariable("b05", "u2", ("y", "x"))
    with pytest.raises(MetadataError, match="b04, b05"):
        arrays.read_header(Location(str(tmp_path / "a.nc")), where="x")


def test_unsigned_numbers_of_the_classic_format(tmp_path):
    """Signed bytes that are meant to be unsigned are, nodata too."""
    values = (VALUES % 256).astype("uint8")
    location = _netcdf(
        tmp_path / "a.nc", values.view("int8"), fmt="NETCDF3_CLASSIC", fill_value=-1, attributes={"_Unsigned": "true"}
    )
    header = arrays.read_header(location, where="x")
    assert (header.dtypes, header.nodata) == (("uint8",), (255.0,))
    assert np.array_equal(_whole(location), values)


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_south_up(tmp_path, kind):
    """An array whose y ascends is read north-up, whole and in windows."""
    make = _store if kind == "zarr" else _netcdf
    location = make(tmp_path / "a", y=Y[::-1])
    header = arrays.read_header(location, where="x")
    assert header.flipped
    assert header.grid == GRID
    assert np.array_equal(_whole(location), VALUES[::-1])
    assert np.array_equal(arrays.read_pixels(location, 1, Window(5, 6, 7, 8)), VALUES[::-1][5:12, 6:14])


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_bands_and_dropped_dimensions(tmp_path, kind):
    """Dimensions of length 1 are dropped; a band counts along the one that is longer."""
    values = np.stack([VALUES, VALUES // 2, VALUES // 3])[None]
    if kind == "zarr":
        location = _store(tmp_path / "s.zarr")
        group = zarr.open_group(tmp_path / "s.zarr")
        _add(group, "all", values, ("time", "band", "y", "x"), {"grid_mapping": "spatial_ref", "_FillValue": 9})
        location = Location(location.href, "all")
    else:
        location = _netcdf(tmp_path / "a.nc", values, fill_value=9)
    header = arrays.read_header(location, where="x")
    assert (header.count, header.nodata, header.dtypes) == (3, (9.0,) * 3, ("uint16",) * 3)
    for band in (1, 2, 3):
        assert np.array_equal(_whole(location, band), VALUES // band)
    for band in (0, 4):
        with pytest.raises(InputError, match="no such band"):
            arrays.read_pixels(location, band, Window(0, 0, 1, 1))


@pytest.mark.parametrize("shape", [(2, 2, 5, 5), (5,), (), (0, 5)])
def test_no_rasters(tmp_path, shape):
    """Arrays of more dimensions, or fewer, are told, not guessed at."""
    location = _bare(tmp_path / "s.zarr", {"proj:code": UTM}, np.ones(shape, "u1"), tuple("abcd"[: len(shape)]))
    with pytest.raises(MetadataError, match="no raster"):
        arrays.read_header(location, where="x")


def _eopf(path: Path, *, where: str) -> Location:
    """Write a product as EOPF has it: nested groups, coordinates beside the bands, the CRS where ``where`` says."""
    root = zarr.create_group(path, zarr_format=2)
    if where == "stac_discovery":
        root.attrs["stac_discovery"] = {"type": "Feature", "properties": {"proj:epsg": 32633}}
    if where == "other_metadata":
        root.attrs["other_metadata"] = {"horizontal_CRS_code": UTM}
    group = root.create_group("measurements").create_group("reflectance").create_group("r10m")
    _add(group, "y", Y.astype("i8"), ("y",))
    _add(group, "x", X.astype("i8"), ("x",))
    own = {"_eopf_attrs": {"scale_factor": 0.0001, "add_offset": -0.1, "fill_value": 0, "coordinates": ["x", "y"]}}
    own |= {"proj:epsg": 32633, "proj:transform": [*SIX, 0, 0, 1]} if where == "array" else {}
    _add(group, "b04", VALUES, ("y", "x"), own, fill_value=None)
    return Location(str(path), "measurements/reflectance/r10m/b04")


@pytest.mark.parametrize("where", ["stac_discovery", "other_metadata", "array"])
def test_eopf(tmp_path, where):
    """A band of a product lies where its coordinates say, in the CRS that the product names."""
    location = _eopf(tmp_path / "S2A.zarr", where=where)
    header = arrays.read_header(location, where="x")
    assert header.grid == GRID
    assert (header.scale, header.offset, header.nodata) == ((0.0001,), (-0.1,), (0.0,))
    assert np.array_equal(_whole(Location(f"{location.href}/{location.member}")), VALUES)


def test_eopf_without_a_crs(tmp_path):
    """A product that names no CRS is not given one."""
    with pytest.raises(MetadataError, match=r"in which CRS.*item/b04"):
        arrays.read_header(_eopf(tmp_path / "S2A.zarr", where="nowhere"), where="item/b04")


@pytest.mark.parametrize(
    "attributes",
    [
        {"proj:code": UTM, "spatial:transform": SIX},
        {"proj:wkt2": CRS(UTM).to_wkt("WKT2_2019"), "spatial:transform": SIX, "proj:code": UTM},
        {"proj:projjson": CRS(UTM).to_json_dict(), "spatial:transform": SIX, "spatial:registration": "pixel"},
        {
            "proj:code": UTM,
            "spatial:transform": [10, 0, 500_005, 0, -10, 5_099_995],
            "spatial:registration": "node",
        },
    ],
    ids=["code", "wkt2", "projjson", "node"],
)
def test_geozarr(tmp_path, attributes):
    """Without coordinates, the attributes of the GeoZarr conventions place an array, whatever its dimensions' names."""
    location = _bare(tmp_path / "s.zarr", attributes, dims=None)
    assert arrays.read_header(location, where="x").grid == GRID
    assert np.array_equal(_whole(location), VALUES)


def test_geozarr_of_the_group(tmp_path):
    """CRS and transform of a group hold for the arrays directly in it, of its shape."""
    location = _bare(tmp_path / "s.zarr", {})
    group = zarr.open_group(tmp_path / "s.zarr")
    group.attrs.update({"proj:code": UTM, "spatial:transform": SIX, "spatial:shape": [ROWS, COLS]})
    assert arrays.read_header(location, where="x").grid == GRID
    close_files()
    group.attrs["spatial:shape"] = [ROWS, COLS + 1]
    with pytest.raises(MetadataError, match="nothing says where"):
        arrays.read_header(location, where="x")


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"spatial:transform": [10, 0, 500_000, 0, -10, 5_100_010]}, "spatial:transform.*y from"),
        ({"spatial:transform": [10, 0, 500_005, 0, -10, 5_100_000]}, "spatial:transform.*x from"),
        ({"spatial:transform": [20, 0, 500_000, 0, -10, 5_100_000]}, "x from"),
        ({"spatial:transform": [10, 0, 500_000, 0, 10, 5_099_500]}, "y from"),
        ({"spatial:transform": SIX, "proj:transform": [10, 0, 500_001, 0, -10, 5_100_000]}, "proj:transform"),
        ({"proj:code": "EPSG:32634"}, "proj:code of the array.*grid mapping"),
        ({"proj:code": UTM, "proj:epsg": 4326}, "proj:epsg"),
    ],
    ids=["a pixel north", "half a pixel", "another size", "upside down", "two transforms", "two CRS", "two codes"],
)
def test_contradictions(tmp_path, attributes, told):
    """Coordinates, transforms and CRS that do not agree are told by both their names."""
    with pytest.raises(MetadataError, match=f"twice.*{told}"):
        arrays.read_header(_store(tmp_path / "s.zarr", attributes=attributes), where="item/b04")


def test_what_agrees(tmp_path):
    """All ways at once to say the same are no contradiction."""
    attributes = {"proj:epsg": 32633, "proj:wkt2": WKT, "spatial:transform": SIX, "proj:transform": SIX}
    location = _store(tmp_path / "s.zarr", attributes=attributes)
    zarr.open_array(f"{location.href}/spatial_ref").attrs["GeoTransform"] = "500000 10 0 5100000 0 -10"
    assert arrays.read_header(location, where="x").grid == GRID


@pytest.mark.parametrize(
    ("y", "x"),
    [
        (Y + np.where(np.arange(ROWS) == 7, 0.02, 0), X),
        (Y, X[::-1]),
        (Y, np.full(COLS, 5.0)),
        (np.where(np.arange(ROWS) == 3, np.nan, Y), X),
        (Y[:-1], X),
        (np.linspace(1, 2, ROWS) ** 2, X),
    ],
    ids=["a step", "to the west", "constant", "NaN", "too short", "curved"],
)
def test_coordinates_of_no_grid(tmp_path, y, x):
    """Coordinates that are not regular to a thousandth of a pixel, or do not fit, are refused."""
    with pytest.raises(MetadataError, match="coordinates of"):
        arrays.read_header(_store(tmp_path / "s.zarr", y=y, x=x), where="x")


def test_one_pixel(tmp_path):
    """A single pixel has a place only where something says its size."""
    one = {"proj:code": UTM}
    location = _bare(tmp_path / "a.zarr", one, np.array([[5]], "u1"))
    group = zarr.open_group(tmp_path / "a.zarr")
    _add(group, "y", [5_099_995.0], ("y",))
    _add(group, "x", [500_005.0], ("x",))
    with pytest.raises(MetadataError, match="single pixel"):
        arrays.read_header(location, where="x")
    zarr.open_array(tmp_path / "a.zarr" / "b04").attrs["spatial:transform"] = SIX
    header = arrays.read_header(location, where="x")
    assert header.grid.shape == (1, 1)
    assert _whole(location).tolist() == [[5]]


@settings(max_examples=60)
@given(
    st.sampled_from([0.1, 0.25, 1 / 3, 10.0, 0.0083333333, 30.0, 1e-4]),
    st.integers(-3600, 3600),
    st.integers(2, 3000),
    st.sampled_from(["f8", "f4"]),
)
def test_steps_are_what_they_were_meant_to_be(step, start, count, kind):
    """The step of an axis comes back, to a millionth of a pixel over all of it, and as a round number where it was."""
    values = ((np.arange(count) + start + 0.5) * step).astype(kind).astype("f8")
    try:
        first, found = cf._axis(values, count, "x", "here")
    except MetadataError:
        assert kind == "f4"
        return
    assert first == values[0]
    assert abs(found - step) * (count - 1) <= (1e-6 if kind == "f8" else 4e-3) * step
    if kind == "f8":
        assert found == float(f"{found:.12g}") or step == 1 / 3


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"_FillValue": -9999}, "no pixel can hold"),
        ({"_FillValue": 0.5}, "no pixel can hold"),
        ({"_FillValue": 0, "missing_value": 1}, "two numbers"),
        ({"_FillValue": "none"}, "no number"),
        ({"scale_factor": "x"}, "no number"),
        ({"spatial:transform": [1, 2]}, "unreadable"),
        ({"spatial:transform": [0, 0, 0, 0, 0, 0]}, "no place"),
        ({"spatial:transform": [10, 1, 5e5, 0, -10, 5_100_000]}, "rotated"),
        ({"proj:code": "EPSG:999999"}, "CRS is unreadable"),
        ({"proj:code": {"type": "x"}}, "CRS is unreadable"),
        ({"proj:code": "EPSG:5773"}, "CRS is unreadable"),
    ],
    ids=str,
)
def test_odd_attributes(tmp_path, attributes, told):
    """Attributes that make no sense are told with the name of the asset."""
    with pytest.raises(MetadataError, match=f"{told}.*item/b04"):
        arrays.read_header(_store(tmp_path / "s.zarr", attributes=attributes), where="item/b04")


def test_a_broken_chunk(tmp_path):
    """A chunk that cannot be decoded is an error; or is told once, in words that do not depend on the window."""
    location = _store(tmp_path / "s.zarr")
    chunk = tmp_path / "s.zarr" / "b04" / "c" / "1" / "2"
    chunk.write_bytes(b"rubbish")
    with pytest.raises(AssetError, match="cannot decode"):
        _whole(location)
    with pytest.raises(InputError, match="no number"):
        arrays.read_pixels(location, 1, Window(0, 0, 50, 70), on_bad=print)
    told: list[str] = []
    found = arrays.read_pixels(location, 1, Window(0, 0, 50, 70), on_bad=told.append, missing=0)
    expected = VALUES.copy()
    expected[20:40, 40:60] = 0
    assert np.array_equal(found, expected)
    found = arrays.read_pixels(location, 1, Window(25, 45, 20, 20), on_bad=told.append, missing=0)
    assert np.array_equal(found, expected[25:45, 45:65])
    assert len(told) == 2
    assert told[0] == told[1]
    assert "chunk 1, 2" in told[0]
    assert np.array_equal(arrays.read_pixels(location, 1, Window(0, 0, 20, 70)), VALUES[:20])


def test_a_giant_chunk(tmp_path):
    """A file much larger than its chunk may be is not read into memory."""
    location = _store(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / "b04" / "c" / "0" / "0").write_bytes(bytes(10**6))
    with pytest.raises(AssetError, match="too large"):
        _whole(location)


def test_a_broken_chunk_of_netcdf(tmp_path):
    """The same of a NetCDF file that was damaged in the middle."""
    location = _netcdf(tmp_path / "a.nc", chunksizes=(20, 20), fletcher32=True)
    content = (tmp_path / "a.nc").read_bytes()
    chunk = VALUES[20:40, 40:60].tobytes()
    assert content.count(chunk) == 1
    (tmp_path / "a.nc").write_bytes(content.replace(chunk, bytes(40) + chunk[40:]))
    told: list[str] = []
    found = arrays.read_pixels(location, 1, Window(0, 0, ROWS, COLS), on_bad=told.append, missing=0)
    expected = VALUES.copy()
    expected[20:40, 40:60] = 0
    assert np.array_equal(found, expected)
    assert len(told) == 1
    assert "chunk 1, 2" in told[0]
    with pytest.raises(AssetError, match="cannot decode"):
        _whole(location)


def test_chunks_that_were_never_written(tmp_path):
    """A chunk that is not there holds the fill value, as the format says."""
    location = _store(tmp_path / "s.zarr", fill_value=7)
    (tmp_path / "s.zarr" / "b04" / "c" / "0" / "0").unlink()
    assert (_whole(location)[:20, :20] == 7).all()


@pytest.mark.parametrize(("version", "sharded"), [(2, False), (3, False), (3, True)])
def test_over_http(tmp_path, file_server, version, sharded):
    """A store behind http is read as a local one, each chunk in one request, a shard by ranges."""
    _store(tmp_path / "s.zarr", version, **({"shards": (40, 40)} if sharded else {}))
    address = _serve(file_server, tmp_path / "s.zarr")
    location = Location(address, "b04")
    assert arrays.read_header(location, where="x").grid == GRID
    assert np.array_equal(_whole(location), VALUES)
    chunk = "/s.zarr/b04/" + ("c/1/1" if version == 3 else "1.1")
    before = len(file_server.requests_of(chunk))
    assert np.array_equal(arrays.read_pixels(location, 1, Window(41, 45, 2, 3)), VALUES[41:43, 45:48])
    if not sharded:
        assert before == 1
        assert len(file_server.requests_of(chunk)) == 1
    assert len(file_server.requests_of("/s.zarr/b04/" + ("zarr.json" if version == 3 else ".zarray"))) <= 2


def test_a_server_that_fails(tmp_path, file_server, file_servers):
    """A chunk that cannot be fetched is not a broken chunk: the server is told, and asked again before."""
    _store(tmp_path / "s.zarr")
    location = Location(_serve(file_server, tmp_path / "s.zarr"), "b04")
    chunk = file_server.files["/s.zarr/b04/c/1/1"]
    with use_retries(Retries(attempts=2, first_wait=0.01, longest_wait=0.01, timeout=1)):
        chunk.faults = [file_servers.Fault(503)]
        assert np.array_equal(_whole(location), VALUES)
        chunk.faults = [file_servers.Fault(503)] * 9
        with pytest.raises(UnreachableError):
            arrays.read_pixels(location, 1, Window(0, 0, 50, 70), on_bad=print, missing=0)


def test_netcdf_over_http(tmp_path, file_server, monkeypatch):
    """A NetCDF file behind http is fetched once, if it is small."""
    _netcdf(tmp_path / "a.nc")
    location = Location(file_server.put("/a.nc", (tmp_path / "a.nc").read_bytes()), "b04")
    assert np.array_equal(_whole(location), VALUES)
    assert np.array_equal(_whole(location), VALUES)
    assert len(file_server.asked) == 1 + ((tmp_path / "a.nc").stat().st_size > 32768)
    arrays.close_arrays()
    monkeypatch.setattr(netcdf, "MOST_REMOTE", 1000)
    with pytest.raises(AssetError, match="too large"):
        _whole(location)


def test_nothing_there(tmp_path, file_server):
    """Missing stores, groups and variables are told."""
    location = _store(tmp_path / "s.zarr")
    for wrong in (
        Location(location.href, "b05"),
        Location(location.href),
        Location(str(tmp_path / "absent.zarr"), "b04"),
        Location(file_server.url + "/absent.zarr", "b04"),
        Location(file_server.url + "/absent", "b04"),
    ):
        with pytest.raises(AssetError, match="no array"):
            arrays.read_header(wrong, where="x")
    _netcdf(tmp_path / "a.nc")
    for member in ("b05", "deep/b04", "../b04", "crs/x"):
        with pytest.raises(AssetError, match="no such variable"):
            arrays.read_header(Location(str(tmp_path / "a.nc"), member), where="x")


def test_windows_outside(tmp_path):
    """Windows, levels and bands that are not there are refused."""
    location = _store(tmp_path / "s.zarr")
    for window in (Window(0, 0, 51, 1), Window(-1, 0, 2, 2), Window(0, 0, 0, 5), Window(0, 69, 1, 2)):
        with pytest.raises(InputError, match="window"):
            arrays.read_pixels(location, 1, window)
    with pytest.raises(InputError, match="overview"):
        arrays.read_pixels(location, 1, Window(0, 0, 1, 1), level=1)


def _edit(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))


@pytest.mark.parametrize("version", [2, 3])
def test_codecs_that_run_what_they_hold(tmp_path, version):
    """A codec that is not known to be harmless is refused before the array is opened."""
    location = _store(tmp_path / "s.zarr", version)
    folder = tmp_path / "s.zarr" / "b04"
    if version == 2:
        _edit(folder / ".zarray", dtype="|O", filters=[{"id": "pickle"}], compressor=None)
    else:
        inner = {"chunk_shape": [20, 20], "codecs": [{"name": "numcodecs.pickle"}], "index_codecs": []}
        _edit(folder / "zarr.json", codecs=[{"name": "sharding_indexed", "configuration": inner}])
    with pytest.raises(HostileInputError, match="pickle"):
        arrays.read_header(location, where="x")


@pytest.mark.parametrize(
    "changes",
    [
        {"codecs": "x"},
        {"codecs": [5]},
        {"codecs": []},
        {"shape": [10**9, 10**9], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6]}}},
        {"shape": "x"},
        {"shape": [-5, 5]},
        {"data_type": "string"},
        {"data_type": "complex64"},
        {"data_type": {"name": "x"}},
        {"chunk_grid": None},
        {"node_type": "x"},
        {"fill_value": "x"},
    ],
    ids=str,
)
def test_metadata_that_lie(tmp_path, changes):
    """Metadata that make no sense, or ask for giant chunks, are an error of ours."""
    location = _store(tmp_path / "s.zarr")
    _edit(tmp_path / "s.zarr" / "b04" / "zarr.json", **changes)
    with pytest.raises((AssetError, HostileInputError, MetadataError)):
        arrays.read_header(location, where="x")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_as_metadata(tmp_path, data):
    """Whatever stands in the metadata, it is read or an error of ours."""
    folder = tmp_path / "s.zarr"
    location = Location(str(folder), "b04") if folder.exists() else _store(folder)
    path, kept = folder / "b04" / "zarr.json", tmp_path / "kept.json"
    if not kept.exists():
        shutil.copy(path, kept)
    content = bytearray(kept.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        header = arrays.read_header(location, where="x")
        arrays.read_pixels(location, 1, Window(0, 0, min(5, header.grid.shape.y), 1))
    except (AssetError, HostileInputError, MetadataError):
        return


@pytest.mark.parametrize(
    "content", [b"", b"CDF", b"CDF\x01", b"\x89HDF\r\n\x1a\n" + bytes(50), b"CDF\x01" + b"\xff" * 99]
)
def test_broken_netcdf(tmp_path, content):
    """A file that only starts like NetCDF is told."""
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises((AssetError, HostileInputError)):
        arrays.read_header(Location(str(tmp_path / "a.nc"), "b04"), where="x")


def test_links_out_of_the_store(tmp_path):
    """A chunk that is a link to elsewhere is not read, and a key cannot climb."""
    location = _store(tmp_path / "s.zarr")
    chunk = tmp_path / "s.zarr" / "b04" / "c" / "0" / "0"
    outside = tmp_path / "outside"
    shutil.move(chunk, outside)
    os.symlink(outside, chunk)
    with pytest.raises(HostileInputError, match="leaves the store"):
        _whole(location)
    with pytest.raises(HostileInputError, match="leaves the store"):
        arrays.read_header(Location(location.href, "../s.zarr/b04"), where="x")


def test_the_store_is_for_reading_only(tmp_path):
    """Nothing is written, deleted or listed through it."""
    _store(tmp_path / "s.zarr")
    store = BytesStore(Location(str(tmp_path / "s.zarr")))
    assert not any([store.supports_writes, store.supports_deletes, store.supports_listing])
    assert store == BytesStore(Location(str(tmp_path / "s.zarr")))
    assert hash(store) == hash(BytesStore(Location(str(tmp_path / "s.zarr"))))
    with pytest.raises((InputError, ValueError)):
        zarr.open_array(store, path="b04", mode="r+")[0, 0] = 1
    for refused in (store.list, lambda: store.list_dir(""), lambda: store.list_prefix("")):
        with pytest.raises(InputError, match="not listed"):
            refused()


def test_written_anew(tmp_path):
    """A local array that is replaced is read anew."""
    location = _store(tmp_path / "s.zarr")
    assert _whole(location).max() > 100
    shutil.rmtree(tmp_path / "s.zarr")
    location = _store(tmp_path / "s.zarr", y=Y + 1000)
    assert arrays.read_header(location, where="x").grid.offset.y == GRID.offset.y - 100
    location = _netcdf(tmp_path / "a.nc")
    assert np.array_equal(_whole(location), VALUES)
    os.replace(_netcdf(tmp_path / "b.nc", VALUES // 2).href, tmp_path / "a.nc")
    assert np.array_equal(_whole(location), VALUES // 2)


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_threads(tmp_path, kind):
    """Many threads read at once, more files than are kept open."""
    make = _store if kind == "zarr" else _netcdf
    locations = [make(tmp_path / f"{k}") for k in range(netcdf._MAX_OPEN + 3)]
    windows = [(locations[k % len(locations)], Window(k % 30, k % 40, 20, 30)) for k in range(66)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda task: arrays.read_pixels(task[0], 1, task[1]), windows))
    for (_, window), values in zip(windows, found, strict=True):
        assert np.array_equal(values, VALUES[window.slices])


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_through_the_door(tmp_path, kind):
    """The readers' common door leads to arrays too."""
    location = (_store if kind == "zarr" else _netcdf)(tmp_path / "a")
    assert read_header(location, where="x") == arrays.read_header(location, where="x")
    assert np.array_equal(read_pixels(location, 1, Window(5, 6, 7, 8)), VALUES[5:12, 6:14])


def test_split():
    """Where a store ends, and what lies inside."""
    cases = {
        ("/d/a.zarr", "b04"): ("/d/a.zarr", "b04"),
        ("/d/a.zarr/g/b04", ""): ("/d/a.zarr", "g/b04"),
        ("/d/a.zarr/g", "h/b04"): ("/d/a.zarr", "g/h/b04"),
        ("/d/cube", "b04"): ("/d/cube", "b04"),
        ("/d/cube/b04", ""): ("/d/cube", "b04"),
        ("https://a.org/x.zarr/g/b04?v=1", ""): ("https://a.org/x.zarr?v=1", "g/b04"),
    }
    for (href, member), (base, inside) in cases.items():
        assert zarrs.split(Location(href, member)) == (Location(base), inside)
    store = BytesStore(Location("https://a.org/x.zarr?v=1"))
    assert store.place("g/b 04/c/0").href == "https://a.org/x.zarr/g/b%2004/c/0?v=1"
