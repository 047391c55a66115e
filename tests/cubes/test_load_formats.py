"""Every format that items point to, loaded end to end: the numbers written are the numbers in the cube."""

from __future__ import annotations

import copy as copying
import json
import math
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers the `.odc` accessor
import pystac
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasterio.shutil import copy

from terracube.core.errors import (
    AssetError,
    BudgetError,
    EmptyResultError,
    HostileInputError,
    MetadataError,
    TerraCubeError,
)
from terracube.cubes import Grid, load, report
from terracube.cubes.readers import close_files

UTM = "EPSG:32633"
ROWS, COLS = 60, 50
LEFT, TOP, PIXEL = 500040.0, 5100000.0, 10.0
NUMBERS = np.random.default_rng(3).integers(1, 9000, (3, ROWS, COLS), "uint16")
PLACE = {"crs": UTM, "transform": Affine(PIXEL, 0, LEFT, 0, -PIXEL, TOP)}
X = LEFT + PIXEL * (np.arange(COLS) + 0.5)
Y = TOP - PIXEL * (np.arange(ROWS) + 0.5)
TIFF = "image/tiff; application=geotiff"
ZARR, NETCDF, JP2 = "application/vnd+zarr", "application/x-netcdf", "image/jp2"


@pytest.fixture(autouse=True)
def closed():
    """Leave no file open, and nothing known."""
    close_files()
    yield
    close_files()


def tiff(path: Path, values: np.ndarray = NUMBERS[0], **how) -> Path:
    """Write a raster of one band or more; GTiff unless said."""
    layers = values if values.ndim == 3 else values[None]
    profile = {"driver": "GTiff", "dtype": layers.dtype.name, "count": len(layers), "height": layers.shape[1],
               "width": layers.shape[2], "nodata": 0} | PLACE | how  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **{key: value for key, value in profile.items() if value is not None}) as out:
        out.write(layers)
    return path


def item_of(folder: Path, assets: dict, *, collection: str | None = None, version: str = "1.0.0", **properties) -> dict:
    """Make an item that lies in a folder."""
    return {
        "type": "Feature",
        "stac_version": version,
        "id": "scene",
        "collection": collection,
        "geometry": None,
        "bbox": [14.9, 45.9, 15.1, 46.1],
        "properties": {"datetime": "2023-08-15T10:00:00Z"} | properties,
        "links": [{"rel": "self", "href": str(folder / "scene.json")}],
        "assets": assets,
    }


def numbers(item: dict, band: str = "red", **options) -> np.ndarray:
    """Load one band in the numbers of the file: (y, x), the same at once and in blocks."""
    options = {"bands": [band], "mask": None, "radiometry": "dn"} | options
    whole = load([item], chunks=None, **options)[band].values
    parts = load([item], chunks=17, **options)[band].compute(scheduler="sync").values
    assert np.array_equal(whole, parts, equal_nan=whole.dtype.kind == "f")
    assert whole.dtype == parts.dtype
    return whole[0]


def store(path: Path, version: int, variables: dict, attributes: dict | None = None) -> zarr.Group:
    """Write a Zarr group: values, dimensions and attributes by name."""
    group = zarr.create_group(path, zarr_format=version, attributes=attributes or {})
    fill(group, variables)
    return group


def fill(group: zarr.Group, variables: dict) -> None:
    """Put arrays into a Zarr group."""
    for name, (values, dims, told) in variables.items():
        values = np.asarray(values)
        named = {"dimension_names": dims} if group.metadata.zarr_format == 3 else {}
        chunks = tuple(max(1, min(20, side)) for side in values.shape)
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks, **named)
        array[...] = values
        array.attrs.update(told | ({} if named else {"_ARRAY_DIMENSIONS": list(dims)}))


def cf_variables(values: np.ndarray = NUMBERS[0], **told) -> dict:
    """Give a band with coordinates and a grid mapping."""
    return {
        "red": (values, ("y", "x"), {"grid_mapping": "spatial_ref", "_FillValue": 0} | told),
        "y": (Y, ("y",), {"standard_name": "projection_y_coordinate"}),
        "x": (X, ("x",), {"standard_name": "projection_x_coordinate"}),
        "spatial_ref": (0, (), {"crs_wkt": CRS(UTM).to_wkt()}),
    }


class TestFormats:
    @pytest.mark.parametrize(
        "how",
        [
            {},
            {"compress": "lzw", "predictor": 2},
            {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate"},
            {"blockysize": 7, "compress": "zstd"},
            {"bigtiff": "yes"},
            {"compress": "packbits"},
            {"compress": "lzma"},
            {"endianness": "big"},
        ],
    )
    def test_geotiff(self, tmp_path, how):
        """Striped and tiled, packed in any way."""
        tiff(tmp_path / "red.tif", **how)
        assert np.array_equal(numbers(item_of(tmp_path, {"red": {"href": "red.tif", "type": TIFF}})), NUMBERS[0])

    @pytest.mark.parametrize("driver", ["COG", "JP2OpenJPEG"])
    def test_cog_and_jpeg2000(self, tmp_path, driver):
        """A COG, and lossless JPEG 2000, which has no nodata of its own."""
        tiff(tmp_path / "plain.tif")
        how = {"JP2OpenJPEG": {"QUALITY": "100", "REVERSIBLE": "YES"}, "COG": {"blocksize": 128}}[driver]
        copy(tmp_path / "plain.tif", tmp_path / "red.jp2", driver=driver, **how)
        asset = {"href": "red.jp2", "type": JP2 if driver != "COG" else TIFF, "nodata": 0}
        found = numbers(item_of(tmp_path, {"red": asset}))
        assert found.dtype == np.uint16
        assert np.array_equal(found, NUMBERS[0])

    @pytest.mark.parametrize("interleave", ["pixel", "band"])
    @pytest.mark.parametrize("spelling", ["bands", "eo:bands", "eo:bands of the item", "common names"])
    def test_bands_of_one_file(self, tmp_path, interleave, spelling):
        """Bands of one file are asked for by name or common name, in both spellings of STAC."""
        tiff(tmp_path / "all.tif", NUMBERS, interleave=interleave, tiled=True, blockxsize=32, blockysize=32)
        names = [{"name": "first"}, {"name": "second"}, {"name": "third"}]
        asset, more = {"href": "all.tif", "type": TIFF}, {}
        if spelling == "eo:bands of the item":
            asset["eo:bands"], more = [2, 1, 0], {"eo:bands": names[::-1]}
        elif spelling == "common names":
            asset["bands"] = [{"eo:common_name": band["name"]} for band in names]
        else:
            asset[spelling] = names
        item = item_of(tmp_path, {"data": asset}, **more)
        for number, band in enumerate(names):
            assert np.array_equal(numbers(item, band["name"]), NUMBERS[number])
        both = load([item], bands=["third", "first"], mask=None, radiometry="dn", chunks=None)
        assert np.array_equal(both.third.values[0], NUMBERS[2])
        with pytest.raises(TerraCubeError, match="scene/data"):
            load([item], bands=["data"], mask=None)

    def test_more_bands_told_than_there_are(self, tmp_path):
        """A band that the file does not have is an error that names item and asset."""
        tiff(tmp_path / "all.tif")
        item = item_of(tmp_path, {"data": {"href": "all.tif", "bands": [{"name": "a"}, {"name": "b"}]}})
        assert np.array_equal(numbers(item, "a"), NUMBERS[0])
        with pytest.raises(AssetError, match=r"no such band.*scene/data.*band 2"):
            load([item], bands=["b"], mask=None)

    @pytest.mark.parametrize("version", [2, 3])
    @pytest.mark.parametrize("form", ["fragment", "path", "bands", "group", "several"])
    def test_zarr(self, tmp_path, version, form):
        """Zarr of both versions: the variable is named after ``#``, by the path, or by the asset's bands."""
        two = cf_variables() | {"nir": (NUMBERS[1], ("y", "x"), {"grid_mapping": "spatial_ref"})}
        store(tmp_path / "a.zarr", version, two)
        asset = {
            "fragment": {"href": "a.zarr#red", "type": ZARR},
            "path": {"href": "a.zarr/red", "type": ZARR},
            "bands": {"href": "./a.zarr", "type": f"{ZARR}; version={version}", "bands": [{"name": "red"}]},
            "group": {"href": "a.zarr", "type": ZARR, "zarr:node_type": "group", "bands": [{"name": "red"}]},
            "several": {"href": "a.zarr", "bands": [{"name": "red"}, {"name": "nir"}]},
        }[form]
        found = numbers(item_of(tmp_path, {"red" if form in ("fragment", "path") else "data": asset}))
        assert found.dtype == np.uint16
        assert np.array_equal(found, NUMBERS[0])

    def test_zarr_of_xarray(self, tmp_path):
        """What xarray itself writes, with its packing of floats, is read as it would read it."""
        values = NUMBERS[0] * 1e-4 - 0.1
        values[3, 4] = np.nan
        data = xr.Dataset({"red": (("y", "x"), values)}, {"y": Y, "x": X}).rio.write_crs(UTM)
        packed = {"dtype": "uint16", "scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0, "chunks": (20, 20)}
        data.to_zarr(tmp_path / "a.zarr", encoding={"red": packed}, consolidated=False)
        item = item_of(tmp_path, {"red": {"href": "a.zarr#red", "type": ZARR}})
        found = load([item], bands=["red"], mask=None, chunks=None).red.values[0]
        assert np.allclose(found, values, atol=1e-6, equal_nan=True)

    def test_pyramid_of_ours(self, tmp_path):
        """A cube that was written here is loaded again by an item that points to it."""
        from terracube.cubes import write_zarr

        tiff(tmp_path / "red.tif")
        cube = load([item_of(tmp_path, {"red": {"href": "red.tif"}})], bands=["red"], mask=None, radiometry="dn")
        write_zarr(cube.isel(time=0, drop=True), tmp_path / "own.zarr")
        item = item_of(tmp_path, {"red": {"href": "own.zarr#red", "type": ZARR}})
        assert np.array_equal(numbers(item), NUMBERS[0])

    @pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_64BIT"])
    @pytest.mark.parametrize("up", [False, True])
    def test_netcdf(self, tmp_path, kind, up):
        """CF NetCDF, north-up and south-up."""
        values = NUMBERS[0].astype("int16")
        order = slice(None, None, -1) if up else slice(None)
        red = xr.DataArray(values[order], dims=("y", "x"), attrs={"grid_mapping": "crs"})
        crs = xr.DataArray(0, attrs=CRS(UTM).to_cf())
        data = xr.Dataset({"red": red, "crs": crs}, {"y": Y[order], "x": X})
        data.to_netcdf(tmp_path / "a.nc", format=kind, engine="netcdf4", encoding={"red": {"_FillValue": 0}})
        for asset in (
            {"href": "a.nc", "bands": [{"name": "red"}], "type": NETCDF},
            {"href": "a.nc#red"},
            {"href": "a.nc"},
        ):
            found = numbers(item_of(tmp_path, {"red": asset}))
            assert found.dtype == np.int16
            assert np.array_equal(found, values)

    def test_south_up(self, tmp_path):
        """A GeoTIFF stored from south to north is turned."""
        up = {"transform": Affine(PIXEL, 0, LEFT, 0, PIXEL, TOP - ROWS * PIXEL)}
        tiff(tmp_path / "red.tif", NUMBERS[0][::-1], **up)
        item = item_of(tmp_path, {"red": {"href": "red.tif"}})
        assert np.array_equal(numbers(item), NUMBERS[0])
        assert load([item], bands=["red"], mask=None).odc.geobox.transform == PLACE["transform"]

    @pytest.mark.parametrize("shape", [(1, 1), (1, 50), (60, 1)])
    @pytest.mark.parametrize("kind", ["tiff", "zarr", "netcdf"])
    def test_thin(self, tmp_path, shape, kind):
        """One pixel, one row, one column. An array of which a coordinate has no step says its place otherwise."""
        values = NUMBERS[0][: shape[0], : shape[1]]
        place = {"spatial:transform": [PIXEL, 0, LEFT, 0, -PIXEL, TOP], "proj:code": UTM,
                 "spatial:dimensions": ["y", "x"]}  # fmt: skip
        if kind == "tiff":
            tiff(tmp_path / "red.tif", values)
            asset = {"href": "red.tif"}
        elif kind == "zarr":
            store(tmp_path / "a.zarr", 3, {"red": (values, ("y", "x"), place | {"_FillValue": 0})})
            asset = {"href": "a.zarr#red"}
        else:
            mapping = xr.DataArray(0, attrs=CRS(UTM).to_cf() | {"GeoTransform": f"{LEFT} {PIXEL} 0 {TOP} 0 {-PIXEL}"})
            red = xr.DataArray(values, dims=("y", "x"), attrs={"grid_mapping": "crs"})
            coords = {"y": Y[: shape[0]], "x": X[: shape[1]]}
            xr.Dataset({"red": red, "crs": mapping}, coords).to_netcdf(tmp_path / "a.nc", engine="netcdf4")
            asset = {"href": "a.nc#red", "nodata": 0}
        assert np.array_equal(numbers(item_of(tmp_path, {"red": asset})), values)

    def test_nan_as_nodata(self, tmp_path):
        """Floats whose nodata is NaN; a number of floats; and none at all, where NaN is missing anyway."""
        values = NUMBERS[0].astype("float32")
        values[5, 6] = np.nan
        for number, (nodata, asset) in enumerate(
            [(math.nan, {"nodata": "nan"}), (math.nan, {}), (None, {"nodata": math.nan}), (None, {})]
        ):
            tiff(tmp_path / f"{number}.tif", values, nodata=nodata)
            found = numbers(item_of(tmp_path, {"red": {"href": f"{number}.tif"} | asset}))
            assert np.array_equal(found, values, equal_nan=True)
        values[5, 6] = -9999.9
        tiff(tmp_path / "number.tif", values, nodata=-9999.9)
        found = numbers(item_of(tmp_path, {"red": {"href": "number.tif", "nodata": -9999.9}}))
        assert np.isnan(found[5, 6])
        assert np.isfinite(found).sum() == ROWS * COLS - 1


class TestEopf:
    """A Zarr product laid out as those of the EOPF: groups by resolution, coordinates beside the bands."""

    fine, coarse = ("b02", "b03", "b04", "b08"), ("b02", "b05", "b11")

    @pytest.fixture(params=[2, 3])
    def product(self, request, tmp_path):
        """Write one; give its path and the numbers of each band."""
        made: dict[str, np.ndarray] = {}
        root = zarr.create_group(
            tmp_path / "S2B.zarr",
            zarr_format=request.param,
            attributes={"other_metadata": {"horizontal_CRS_code": UTM}, "stac_discovery": {"properties": {}}},
        )
        rng = np.random.default_rng(6)

        def add(path: str, names: tuple[str, ...], factor: int, told: dict) -> None:
            group = root.require_group(path)
            rows, cols, pixel = ROWS // factor, COLS // factor, PIXEL * factor
            axes = {
                "y": (TOP - pixel * (np.arange(rows) + 0.5), ("y",), {}),
                "x": (LEFT + pixel * (np.arange(cols) + 0.5), ("x",), {}),
            }
            bands = {}
            for name in names:
                made[name] = (
                    rng.integers(1, 9000, (rows, cols)).astype("uint16")
                    if name != "scl"
                    else rng.integers(0, 12, (rows, cols)).astype("uint8")
                )
                eopf = {"coordinates": ["x", "y"], "dimensions": ["y", "x"], "long_name": name, **told}
                bands[name] = (made[name], ("y", "x"), {"_eopf_attrs": eopf, "proj:epsg": 32633} | told)
            fill(group, axes | bands)

        scaled = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
        add("measurements/reflectance/r10m", ("b02", "b03", "b04", "b08"), 1, scaled)
        add("measurements/reflectance/r20m", ("b05", "b11"), 2, scaled)
        coarse = made["b02"][::2, ::2]
        fill(root["measurements/reflectance/r20m"], {"b02": (coarse, ("y", "x"), {"proj:epsg": 32633} | scaled)})
        add("quality/scl", ("scl",), 2, {})
        return tmp_path / "S2B.zarr", made

    def item(self, product: Path) -> dict:
        """Make an item as the catalogue of the product's service has it."""
        reflectance = product.name + "/measurements/reflectance"
        group = {"type": "application/vnd+zarr; version=2", "roles": ["data"], "zarr:node_type": "group"}
        assets = {
            "SR_10m": group | {"href": f"{reflectance}/r10m", "gsd": 10, "bands": [{"name": n} for n in self.fine]},
            "SR_20m": group | {"href": f"{reflectance}/r20m", "gsd": 20, "bands": [{"name": n} for n in self.coarse]},
            "SCL_20m": {"type": ZARR, "href": f"{product.name}/quality/scl/scl", "roles": ["data"]},
        }
        return item_of(
            product.parent, assets, collection="sentinel-2-l2a", version="1.1.0", **{"processing:version": "05.11"}
        )

    def test_role_names(self, product):
        """Bands by role, physical by the file's own scale, masked by the classes, on one grid."""
        path, made = product
        found = load([self.item(path)], bands=["blue", "nir", "swir16", "scl"], mask="clear", chunks=None)
        classes = np.kron(made["scl"], np.ones((2, 2), int))
        clear = ~np.isin(classes, (0, 1, 3, 8, 9, 10))
        for name, stored in (("blue", "b02"), ("nir", "b08"), ("swir16", "b11")):
            fine = made[stored] if name != "swir16" else np.kron(made[stored], np.ones((2, 2), int))
            assert np.allclose(
                found[name].values[0], np.where(clear, fine * 1e-4 - 0.1, np.nan), atol=1e-6, equal_nan=True
            )
        assert found.scl.dtype.kind in "uf"
        assert found.red.sizes if "red" in found else True

    def test_names_of_the_store(self, product):
        """The names that the store itself has lead to the same numbers."""
        path, made = product
        item = self.item(path)
        for name in ("b02", "b04", "B04", "red"):
            stored = {"B04": "b04", "red": "b04"}.get(name, name)
            assert np.array_equal(numbers(item, name), made[stored])

    def test_other_letters(self, product):
        """An item may call a band as the agency does, and say what colour it is, where the store uses small letters."""
        path, made = product
        item = self.item(path)
        item["assets"]["SR_10m"]["bands"] = [{"name": "B02", "eo:common_name": "blue"}, {"name": "B8A"}]
        for name in ("blue", "B02"):
            assert np.array_equal(numbers(item, name), made["b02"])
        with pytest.raises(AssetError, match=r"no array in the store.*scene/SR_10m"):
            load([item], bands=["nir08"], mask=None)

    def test_several_resolutions(self, product):
        """Of one band at two resolutions the finest is taken; where that is not told, the caller has to say."""
        path, made = product
        item = self.item(path)
        assert np.array_equal(numbers(item, "blue"), made["b02"])
        del item["assets"]["SR_20m"]["gsd"]
        with pytest.raises(TerraCubeError, match=r"several assets.*SR_10m, SR_20m"):
            load([item], bands=["blue"], mask=None)

    def test_behind_a_server(self, product, file_server):
        """The same product behind a server, as the service has it."""
        path, made = product
        for file in path.rglob("*"):
            if file.is_file():
                file_server.put(f"/eopf/{file.relative_to(path.parent)}", file.read_bytes())
        item = self.item(path)
        item["links"] = [{"rel": "self", "href": file_server.url + "/eopf/item.json"}]
        assert np.array_equal(numbers(item, "red"), made["b04"])
        file_server.files = {
            name: one for name, one in file_server.files.items() if "/c/0/0" not in name and "/b04/0.0" not in name
        }
        close_files()
        found = numbers(item, "red")
        assert found[0, 0] == 0, "a chunk that is not there holds the fill value"


class TestBothVersions:
    @pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
    @pytest.mark.parametrize("spelling", ["proj:code", "proj:epsg", "proj:wkt2", "proj:projjson", "proj:bbox", "item"])
    def test_where_the_pixels_lie(self, tmp_path, file_server, version, spelling):
        """Every spelling of a CRS leads to the same cube of a file behind a server, opened without a request."""
        path = tiff(tmp_path / "red.tif")
        known = CRS(UTM)
        place = {"proj:shape": [ROWS, COLS], "proj:transform": list(PLACE["transform"])[:6]}
        crs = {
            "proj:code": {"proj:code": UTM},
            "proj:epsg": {"proj:epsg": 32633},
            "proj:wkt2": {"proj:epsg": None, "proj:wkt2": known.to_wkt()},
            "proj:projjson": {"proj:code": None, "proj:projjson": known.to_json_dict()},
            "proj:bbox": {"proj:code": UTM, "proj:bbox": [LEFT, TOP - ROWS * PIXEL, LEFT + COLS * PIXEL, TOP]},
            "item": {"proj:code": UTM},
        }[spelling]
        if spelling == "proj:bbox":
            del place["proj:transform"]
        told = {"scale": 0.5, "offset": 3, "nodata": 0, "data_type": "uint16"}
        newer = {
            "bands": [{"name": "red"}],
            "raster:scale": 0.5,
            "raster:offset": 3,
            "nodata": 0,
            "data_type": "uint16",
        }
        fields = {"raster:bands": [told]} if version == "1.0.0" else newer
        address = file_server.put("/red.tif", path.read_bytes())
        asset = {"href": address, "type": TIFF} | fields | ({} if spelling == "item" else place | crs)
        item = item_of(tmp_path, {"red": asset}, version=version, **(place | crs if spelling == "item" else {}))
        lazy = load([item], bands=["red"], mask=None, chunks=32)
        assert file_server.asked == []
        assert np.allclose(lazy.red.compute(scheduler="sync").values[0], NUMBERS[0] * 0.5 + 3)
        if version == "1.1.0":
            same = load([pystac.Item.from_dict(item)], bands=["red"], mask=None, chunks=32)
            assert same.red.data.name == lazy.red.data.name


class TestRealItems:
    """Items as catalogues have them; their files are not here, so that only what they claim can be looked at."""

    def test_all_of_them(self, data_dir):
        """Each lazily loads a grid that it claims, or is refused by a short error that names it."""
        places = [*(data_dir / "stac-items").rglob("*.json"), *(data_dir / "landsat-c2l2").rglob("*stac.json")]
        loaded = 0
        for path in sorted(places):
            content = json.loads(path.read_text())
            for item in content.get("features", [content]):
                if item.get("type") != "Feature":
                    continue
                try:
                    found = load([item], mask=None, headers="never")
                except TerraCubeError as error:
                    told = str(error)
                else:
                    loaded += 1
                    told = f"{item['id']}" if tuple(found.odc.geobox.transform)[:6] in _claims(item) else "wrong place"
                assert len(told) < 4000
                assert item["id"] in told or "no band in common" in told, f"{path}: {told}"
        assert loaded >= 8

    def test_the_claimed_grid(self, data_dir):
        """A Sentinel-2 item with three resolutions: each band lies on the grid that its asset claims."""
        path = data_dir / "stac-items" / "S2A_28QCH_20200714_0_L2A.json"
        item = json.loads(path.read_text())
        for band, side, pixel in (("red", 10980, 10), ("rededge1", 5490, 20), ("coastal", 1830, 60)):
            cube = load([item], bands=[band], mask=None, headers="never")
            assert cube[band].shape == (1, side, side)
            assert cube.odc.geobox.resolution.x == pixel
            assert cube.odc.geobox.crs.epsg == 32628


def _claims(item: dict) -> set[tuple[float, ...]]:
    """Collect the transforms that an item tells."""
    layers = [item["properties"], *item["assets"].values()]
    return {tuple(map(float, layer["proj:transform"][:6])) for layer in layers if layer.get("proj:transform")}


class TestContradictions:
    def test_nodata(self, tmp_path):
        """File and item disagree: refused, or left out and told, or settled by the caller."""
        tiff(tmp_path / "red.tif", nodata=7)
        item = item_of(tmp_path, {"red": {"href": "red.tif", "nodata": 9}})
        with pytest.raises(MetadataError, match=r"disagree on the nodata.*scene/red.*7 in the file, 9 in the item"):
            load([item], bands=["red"], mask=None)
        with pytest.raises(EmptyResultError, match=r"disagree on the nodata.*scene/red"):
            load([item], bands=["red"], mask=None, on_error="skip")
        found = numbers(item, nodata={"red": 9})
        assert np.array_equal(found, NUMBERS[0])

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ((42113, 8, b"5"), MetadataError, "overview has another nodata"),
            ((258, 2, b"\xff\xff"), AssetError, "cannot open the overview"),
        ],
    )
    def test_overviews(self, tmp_path, change, error, message):
        """An overview with another nodata, or a broken header, is refused where it is read, and only there."""
        overviews(tmp_path / "red.tif", *change)
        item = item_of(tmp_path, {"red": {"href": "red.tif"}})
        box = (LEFT, TOP - 512 * PIXEL, LEFT + 512 * PIXEL, TOP)
        coarse = Grid.from_bbox(box, crs=UTM, resolution=20, bbox_crs=UTM)
        options = {"bands": ["red"], "mask": None, "grid": coarse, "chunks": None}
        assert np.isfinite(load([item], **options).red.values).all()
        with pytest.raises(error, match=rf"{message}.*red.tif"):
            load([item], overviews="auto", **options)
        found = load([item], overviews="auto", on_error="skip", **options)
        (note,) = report(found).failed
        assert (note.item, note.asset) == ("scene", "red")
        assert np.isnan(found.red.values).all()

    @pytest.mark.parametrize("place", ["near", "far"])
    def test_rotated(self, tmp_path, file_server, place):
        """A rotated raster is refused with the remedy."""
        path = tiff(tmp_path / "red.tif", transform=Affine(10, 3, LEFT, 3, -10, TOP))
        href = "red.tif" if place == "near" else file_server.put("/red.tif", path.read_bytes())
        item = item_of(tmp_path, {"red": {"href": href}})
        with pytest.raises(MetadataError, match=r"scene/red"):
            load([item], bands=["red"], mask=None)

    def test_a_corrupt_tile(self, tmp_path):
        """One tile that cannot be decoded is missing and told; all others are there, however the cube is cut."""
        path = tiff(tmp_path / "red.tif", tiled=True, blockxsize=16, blockysize=16, compress="deflate")
        with rasterio.open(path) as dataset:
            at, size = (int(dataset.get_tag_item(f"BLOCK_{what}_1_2", "TIFF", 1)) for what in ("OFFSET", "SIZE"))
        content = bytearray(path.read_bytes())
        content[at : at + size] = bytes(size)
        path.write_bytes(content)
        item = item_of(tmp_path, {"red": {"href": "red.tif"}})
        with pytest.raises(AssetError, match=r"cannot decode.*red.tif"):
            load([item], bands=["red"], mask=None, chunks=None)
        wanted = NUMBERS[0].astype("float64")
        wanted[32:48, 16:32] = np.nan
        for chunks in (None, 17, 40):
            found = load([item], bands=["red"], mask=None, chunks=chunks, on_error="skip").compute(scheduler="sync")
            assert np.array_equal(found.red.values[0], wanted, equal_nan=True)
            (note,) = report(found).failed
            assert (note.item, note.asset) == ("scene", "red")
            assert "tile" in note.reason

    @pytest.mark.parametrize("version", [2, 3])
    def test_a_zarr_that_contradicts_itself(self, tmp_path, version):
        """Coordinates beside the transform: which of them is wrong cannot be known."""
        place = {"spatial:transform": [PIXEL, 0, LEFT + 300, 0, -PIXEL, TOP], "spatial:dimensions": ["y", "x"]}
        store(tmp_path / "a.zarr", version, cf_variables(**place))
        item = item_of(tmp_path, {"red": {"href": "a.zarr#red"}})
        with pytest.raises(MetadataError, match=r"twice where it lies.*scene/red"):
            load([item], bands=["red"], mask=None)

    def test_a_chunk_of_a_zarr_is_broken(self, tmp_path):
        """As a tile: missing and told, the others are there."""
        store(tmp_path / "a.zarr", 3, cf_variables())
        (tmp_path / "a.zarr" / "red" / "c" / "1" / "1").write_bytes(b"no chunk")
        item = item_of(tmp_path, {"red": {"href": "a.zarr#red"}})
        with pytest.raises(AssetError, match=r"a\.zarr"):
            load([item], bands=["red"], mask=None, chunks=None)
        found = load([item], bands=["red"], mask=None, chunks=None, on_error="skip")
        wanted = NUMBERS[0].astype("float64")
        wanted[20:40, 20:40] = np.nan
        assert np.array_equal(found.red.values[0], wanted, equal_nan=True)
        assert len(report(found).failed) == 1

    def test_codecs_that_run_code(self, tmp_path):
        """A store whose metadata name a pickle is refused."""
        store(tmp_path / "a.zarr", 2, cf_variables())
        path = tmp_path / "a.zarr" / "red" / ".zarray"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"filters": [{"id": "pickle"}]}))
        with pytest.raises(HostileInputError, match=r"codec is not opened.*scene/red"):
            load([item_of(tmp_path, {"red": {"href": "a.zarr#red"}})], bands=["red"], mask=None)


def overviews(path: Path, tag: int, at: int, value: bytes) -> Path:
    """Write a raster with overviews, and change one tag of the first of them."""
    values = np.random.default_rng(1).integers(10, 9000, (512, 512), "uint16")
    tiff(path, values, nodata=9, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    content = bytearray(path.read_bytes())
    first = int.from_bytes(content[4:8], "little")
    after = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    second = int.from_bytes(content[after : after + 4], "little")
    tags = range(second + 2, second + 2 + 12 * int.from_bytes(content[second : second + 2], "little"), 12)
    entry = next(entry for entry in tags if int.from_bytes(content[entry : entry + 2], "little") == tag)
    content[entry + at : entry + at + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def real_item(data_dir, tmp_path_factory):
    """A real item, with small files beside it."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = next((data_dir / "sentinel2-l2a").rglob("S2A_33TWM_20230815_0_L2A.json"))
    item = json.loads(path.read_text())
    item["assets"] = {key: item["assets"][key] for key in ("red", "nir", "scl")}
    for number, (key, asset) in enumerate(item["assets"].items()):
        tiff(folder / f"{key}.tif", np.full((ROWS, COLS), 4 + number, "uint8" if key == "scl" else "uint16"))
        asset["href"] = f"./{key}.tif"
    return item | {"bbox": [14.9, 45.9, 15.1, 46.1], "links": [{"rel": "self", "href": str(folder / "i.json")}]}


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """Files of each kind that is read."""
    folder = tmp_path_factory.mktemp("contents")
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    kinds = {
        "strips": {},
        "tiles": tiles | {"compress": "deflate", "predictor": 2},
        "big": tiles | {"bigtiff": "yes", "compress": "lzw"},
        "packbits": {"compress": "packbits"},
    }
    made = [tiff(folder / f"{name}.tif", **how) for name, how in kinds.items()]
    with rasterio.open(made[1], "r+") as dataset:
        dataset.build_overviews([2])
    made.append(tiff(folder / "a.jp2", driver="JP2OpenJPEG", nodata=None))
    return [path.read_bytes() for path in made]


class TestFuzz:
    """Whatever stands in an item or a header: a cube, or an error of ours; never another error or a hang."""

    wild = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, -1, 2**31, 2**63, 10**400, 1e308, math.nan, math.inf, -0.0]),
        st.sampled_from(["", "x" * 3000, "\0", "\ud800", "nan", "EPSG:4326", "EPSG:999999", "uint16", "complex64"]),
        st.sampled_from(["../red.tif", "/etc/passwd", "./red.tif#x", "s3://x/", "http://[", "9999-12-31T23:59:59Z"]),
        st.sampled_from([ZARR, NETCDF, "sentinel-2-l2a", "landsat-c2-l2", "05.09", "0001-01-01T00:00:00+14:00"]),
        st.lists(st.sampled_from([0, 1, 10, -10, 60, 1 << 29, 1e300, math.nan, "a", None]), max_size=9),
        st.sampled_from(
            [{}, [{}], {"a": 1}, [[[]]], [{"name": "red", "nodata": "nan"}], [{"scale": -1, "offset": "x"}]]
        ),
    )
    fields = st.sampled_from(
        ["proj:code", "proj:epsg", "proj:shape", "proj:transform", "proj:bbox", "proj:wkt2", "proj:projjson", "bands",
         "eo:bands", "raster:bands", "nodata", "scale", "offset", "raster:scale", "data_type", "href", "type", "roles",
         "datetime", "start_datetime", "platform", "eo:cloud_cover", "s2:processing_baseline", "zarr:node_type", "gsd",
         "earthsearch:boa_offset_applied", "processing:version", "view:off_nadir"]
    )  # fmt: skip
    options = st.fixed_dictionaries(
        {
            "bands": st.sampled_from([["red"], ["red", "nir"], ["red", "scl"], None]),
            "mask": st.sampled_from([None, "clear", "land"]),
            "groupby": st.sampled_from(["solar_day", "time", None, "eo:cloud_cover"]),
            "mosaic": st.sampled_from(["first", "min_cloud"]),
            "headers": st.sampled_from(["auto", "never", "always"]),
            "radiometry": st.sampled_from(["physical", "dn"]),
        }
    )

    @settings(max_examples=150)
    @given(data=st.data())
    def test_items(self, real_item, data):
        """Any change of a real item."""
        item = copying.deepcopy(real_item)
        for _ in range(data.draw(st.integers(1, 3))):
            layers = [item["properties"], *item["assets"].values()]
            value = copying.deepcopy(data.draw(self.wild))
            kind = data.draw(st.sampled_from(["field", "field", "field", "top", "asset", "gone"]))
            layer = data.draw(st.sampled_from([layer for layer in layers if isinstance(layer, dict)] or [item]))
            if kind == "field":
                layer[data.draw(self.fields)] = value
            elif kind == "gone" and layer:
                del layer[data.draw(st.sampled_from(sorted(layer)))]
            elif kind == "asset":
                item["assets"][data.draw(st.sampled_from(["red", "scl", "x"]))] = value
            else:
                item[data.draw(st.sampled_from(["id", "type", "bbox", "geometry", "collection", "stac_version"]))] = (
                    value
                )
        options = data.draw(self.options)
        for chunks in (None, 32):
            try:
                told = str(report(load([item], chunks=chunks, on_error="skip", **options)))
            except TerraCubeError as error:
                told = str(error)
            assert len(told) < 20_000

    @settings(max_examples=200)
    @given(data=st.data())
    def test_headers(self, contents, tmp_path_factory, data):
        """Any change of the bytes of a raster, most of them in its header."""
        content = bytearray(data.draw(st.sampled_from(contents)))
        for _ in range(data.draw(st.integers(1, 4))):
            most = min(len(content), data.draw(st.sampled_from([16, 300, 300, 1000, 1 << 30])))
            at = data.draw(st.integers(0, max(0, most - 1)))
            new = data.draw(
                st.one_of(
                    st.binary(min_size=1, max_size=1), st.sampled_from([b"\xff" * 4, bytes(4), b"\0\0\0\x80", None])
                )
            )
            content = content[: max(at, 1)] if new is None else content[:at] + new + content[at + len(new) :]
        folder = tmp_path_factory.getbasetemp() / "bytes"
        folder.mkdir(exist_ok=True)
        (folder / "red.tif").write_bytes(content)
        item = item_of(folder, {"red": {"href": "red.tif", "nodata": 0}})
        coarse = {"overviews": "auto", "grid": COARSE}
        for more in ({"chunks": None, "grid": FINE}, {"chunks": 64}, {"chunks": None} | coarse):
            try:
                told = str(report(load([item], bands=["red"], mask=None, radiometry="dn", on_error="skip", **more)))
            except TerraCubeError as error:
                told = str(error)
            assert len(told) < 20_000

    def test_a_giant(self, tmp_path, file_server):
        """A file, or an item, that claims more pixels than any cube has is refused; a part of it can be loaded."""
        claim = {"proj:code": UTM, "proj:shape": [1 << 20, 1 << 20], "data_type": "uint16",
                 "proj:transform": [0.1, 0, LEFT, 0, -0.1, TOP]}  # fmt: skip
        far = item_of(tmp_path, {"red": {"href": file_server.url + "/red.tif"} | claim})
        with rasterio.open(tmp_path / "red.tif", "w", driver="GTiff", dtype="uint8", count=1, width=1 << 19, tiled=True,
                           height=1 << 19, nodata=0, crs=UTM, transform=Affine(0.1, 0, LEFT, 0, -0.1, TOP),
                           sparse_ok=True, blockxsize=1 << 12, blockysize=1 << 12, bigtiff="yes"):  # fmt: skip
            pass
        near = item_of(tmp_path, {"red": {"href": "red.tif"}})
        for item in (near, far):
            for chunks in (None, "auto"):
                with pytest.raises(BudgetError, match="too many pixels"):
                    load([item], bands=["red"], mask=None, chunks=chunks)
        assert np.isnan(load([near], bands=["red"], mask=None, grid=FINE, chunks=None).red.values).all()


FINE = Grid.from_bbox((LEFT, TOP - ROWS * PIXEL, LEFT + COLS * PIXEL, TOP), crs=UTM, resolution=10, bbox_crs=UTM)
COARSE = Grid.from_bbox((LEFT, TOP - ROWS * PIXEL, LEFT + COLS * PIXEL, TOP), crs=UTM, resolution=20, bbox_crs=UTM)
