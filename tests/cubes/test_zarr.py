"""Zarr groups: the same pixels and the same place for xarray, rioxarray and GDAL."""

from __future__ import annotations

import json
import math
import os
import resource

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
import zarr
from numcodecs import Blosc
from pyproj import CRS

from terracube.core.digest import tree_manifest
from terracube.core.errors import IntegrityError, StorageError
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.storage import Layer, chunks, write_group
from terracube.cubes.storage.pyramid import reduce_levels

RED = Layer("red", "Red: geometric median", "float32", "1", math.nan)
COUNT = Layer("count", "clear observations", "uint16", "1", None, resampling="nearest", role="validity")
DN = Layer("dn", "numbers", "int16", "1", -999.0)
CUSTOM = CRS("+proj=laea +lat_0=46.3 +lon_0=14.7 +datum=WGS84 +units=m").to_wkt()


class Rows:
    """Rows of arrays in memory."""

    def __init__(self, *layers):
        self.layers = layers
        self.shape = YX(*layers[0].shape)

    def rows(self, layer, start, stop):
        """Give rows of a layer."""
        return self.layers[layer][start:stop]


def grid_of(shape, crs="EPSG:32633", size=120.0):
    """Give a grid of a shape, off the multiples of its resolution."""
    return Grid(crs, Pair(-size, size), Pair(0.5, 0.25), YX(-300, 60), YX(*shape))


def reflectance(shape):
    """Give random values with some missing."""
    values = np.random.default_rng(3).normal(size=shape).astype("float32")
    values[values > 1.5] = np.nan
    return values


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """A group of two layers, larger than a chunk, with its grid and values."""
    grid = grid_of((600, 700))
    red, count = reflectance((600, 700)), np.indices((600, 700)).sum(axis=0).astype("float32") % 7
    folder = tmp_path_factory.mktemp("group") / "cube.zarr"
    write_group(folder, Rows(red, count), grid, [RED, COUNT], title="<b>Composite</b>")
    return folder, grid, red, count


def test_xarray(group):
    """xarray finds pixels, types, coordinates and texts; missing is NaN, and a count of zero is a zero."""
    folder, grid, red, count = group
    found = xr.open_zarr(folder, consolidated=False, decode_coords="all")
    assert np.array_equal(found.red.values, red, equal_nan=True)
    assert np.array_equal(found["count"].values, count)
    assert (found.red.dtype, found["count"].dtype) == (np.float32, np.uint16)
    assert found.red.dims == ("y", "x")
    for name, values in zip("yx", grid.centres(), strict=True):
        assert np.array_equal(found[name].values, values)
        assert found[name].attrs["standard_name"] == f"projection_{name}_coordinate"
    assert found.attrs["title"] == "<b>Composite</b>"
    assert found.red.attrs["long_name"] == "Red: geometric median"
    assert found.red.attrs["units"] == "1"


def test_rioxarray(group):
    """rioxarray finds CRS and transform."""
    folder, grid, _, _ = group
    found = xr.open_zarr(folder, consolidated=False, decode_coords="all")
    assert found.rio.crs.to_epsg() == 32633
    assert found.red.rio.transform() == grid.transform


def test_gdal(group):
    """GDAL finds pixels, CRS, transform and what is missing."""
    folder, grid, red, count = group
    with rasterio.open(f'ZARR:"{folder}":/red') as dataset:
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform.almost_equals(grid.transform, precision=1e-6)
        assert math.isnan(dataset.nodata)
        assert np.array_equal(dataset.read(1), red, equal_nan=True)
    with rasterio.open(f'ZARR:"{folder}":/count') as dataset:
        assert np.array_equal(dataset.read(1), count)


def test_conventions(group):
    """The group is Zarr 3, unsharded, with the attributes of the conventions it names, in valid JSON."""
    folder, grid, _, _ = group

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    for path in folder.rglob("zarr.json"):
        content = json.loads(path.read_text(), parse_constant=refuse)
        assert content["zarr_format"] == 3
        assert "sharding" not in path.read_text()
    found = zarr.open_group(str(folder), mode="r")
    for attributes in (dict(found.attrs), dict(found["red"].attrs)):
        assert attributes["proj:code"] == "EPSG:32633"
        assert CRS(attributes["proj:wkt2"]) == CRS(32633)
        assert attributes["spatial:transform"] == list(grid.transform)[:6]
        assert attributes["spatial:bbox"] == list(grid.bounds)
        assert attributes["spatial:shape"] == [600, 700]
        assert attributes["spatial:dimensions"] == ["y", "x"]
        told = {each["name"]: each for each in attributes["zarr_conventions"]}
        assert set(told) == {"proj", "spatial"}
        # Constants of the conventions' schemas.
        assert told["proj"]["description"] == "Coordinate reference system information for geospatial data"
        assert told["spatial"]["description"] == "Spatial coordinate information"
        assert told["proj"]["uuid"] == "f17cb550-5864-4468-aeb7-f3180cfb622f"
    assert found["red"].chunks == (512, 512)


@pytest.mark.parametrize(
    ("crs", "size"),
    [("EPSG:3035", 60.0), ("EPSG:4326", 0.01), ("EPSG:3413", 500.0), ("EPSG:5514", 50.0), (CUSTOM, 30.0)],
)
def test_other_systems(tmp_path, crs, size):
    """Axes in any order, degrees, polar and home-made systems: readers find CRS and place."""
    grid, values = grid_of((5, 7), crs, size), reflectance((5, 7))
    write_group(tmp_path / "z", Rows(values), grid, [RED], title="t")
    found = xr.open_zarr(tmp_path / "z", consolidated=False, decode_coords="all")
    assert CRS(found.rio.crs.to_wkt()).equals(CRS(crs), ignore_axis_order=True)
    assert found.red.rio.transform().almost_equals(grid.transform, precision=1e-9 * size)
    names = {"y": "latitude", "x": "longitude"} if crs == "EPSG:4326" else None
    for axis in "yx":
        assert found[axis].attrs["axis"] == axis.upper()
        assert found[axis].attrs["standard_name"] == (names[axis] if names else f"projection_{axis}_coordinate")
    assert ("proj:code" in found.attrs) == (crs != CUSTOM)
    with rasterio.open(f'ZARR:"{tmp_path / "z"}":/red') as dataset:
        assert np.array_equal(dataset.read(1), values, equal_nan=True)
        assert dataset.transform.almost_equals(grid.transform, precision=1e-6 * size)


@pytest.mark.parametrize("values", [np.full((1, 1), 0.25, "float32"), np.full((520, 3), np.nan, "float32")])
def test_small_and_empty(tmp_path, values):
    """One pixel, and a layer without any value, come back."""
    write_group(tmp_path / "z", Rows(values), grid_of(values.shape), [RED], title="t")
    found = xr.open_zarr(tmp_path / "z", consolidated=False)
    assert np.array_equal(found.red.values, values, equal_nan=True)


def test_a_number_that_stands_for_missing(tmp_path):
    """Where a number means missing, xarray reads it as such."""
    values = np.array([[1, np.nan, 0]], "float32")
    write_group(tmp_path / "z", Rows(values), grid_of((1, 3)), [DN], title="t")
    found = xr.open_zarr(tmp_path / "z", consolidated=False)
    assert np.array_equal(found.dn.values, values, equal_nan=True)
    assert zarr.open_group(str(tmp_path / "z"), mode="r")["dn"][:].tolist() == [[1, -999, 0]]


def test_the_same_bytes_again(group, tmp_path):
    """Written again, every file of the group has the same content."""
    folder, grid, red, count = group
    write_group(tmp_path / "again", Rows(red, count), grid, [RED, COUNT], title="<b>Composite</b>")
    assert tree_manifest(tmp_path / "again") == tree_manifest(folder)


def test_verification(tmp_path, monkeypatch):
    """One wrong byte in what was stored is found before the group is used."""
    real = chunks._put

    def tampered(path, content):
        values = np.frombuffer(Blosc().decode(content), "float32").copy()
        values[40] += np.float32(1e-6)
        real(path, Blosc("zstd", 1, Blosc.SHUFFLE, typesize=4).encode(values))

    monkeypatch.setattr(chunks, "_put", tampered)
    with pytest.raises(IntegrityError, match=r"not the one written.*red"):
        write_group(tmp_path / "z", Rows(np.zeros((9, 9), "float32")), grid_of((9, 9)), [RED], title="t")


@pytest.mark.parametrize("layer", [RED, COUNT])
@pytest.mark.parametrize("shape", [(600, 700), (1030, 520), (2100, 3), (512, 1024), (1, 1300)])
def test_levels_of_rows(tmp_path, layer, shape):
    """Levels made strip by strip are those of the whole raster, by the layer's own method."""
    values = reflectance(shape) if layer is RED else np.indices(shape).sum(axis=0).astype("uint16") % 9
    write_group(tmp_path / "z", Rows(values), grid_of(shape), [layer], title="t", multiscales=3)
    for level, expected in enumerate(reduce_levels(values, 3, layer.resampling, layer.missing), 1):
        found = zarr.open_array(str(tmp_path / "z" / str(level) / layer.name), mode="r")
        assert np.array_equal(found[:], expected, equal_nan=layer is RED)


def test_every_value_may_mean_something(group):
    """A count of zero is not GDAL's nodata."""
    folder, _, _, _ = group
    with rasterio.open(f'ZARR:"{folder}":/count') as dataset:
        assert dataset.nodata == 65535
        assert (dataset.read_masks(1) == 255).all()


def test_values_that_do_not_fit(tmp_path):
    """A value that the layer's type cannot hold is refused."""
    with pytest.raises(IntegrityError, match="do not fit"):
        write_group(tmp_path / "z", Rows(np.full((2, 2), 70000.0, "float32")), grid_of((2, 2)), [COUNT], title="t")


def test_a_full_disk(tmp_path):
    """A disk that refuses is a storage error that names the group."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"z\.zarr.*File too large"):
            write_group(tmp_path / "z.zarr", Rows(reflectance((300, 300))), grid_of((300, 300)), [RED], title="t")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["z.zarr"]
