"""Every format that items point to, loaded end to end: the numbers written are the numbers in the cube."""

from __future__ import annotations

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
from pyproj import CRS
from rasterio.shutil import copy

from terracube.core.errors import AssetError, EmptyResultError, HostileInputError, MetadataError, TerraCubeError
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
        for asset in ({"href": "a.nc", "bands": [{"name": "red"}], "type": NETCDF}, {"href": "a.nc#red"}, {"href": "a.nc"}):
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
        for number, (nodata, asset) in enumerate([(math.nan, {"nodata": "nan"}), (math.nan, {}), (None, {"nodata": math.nan}), (None, {})]):
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
            axes = {"y": (TOP - pixel * (np.arange(rows) + 0.5), ("y",), {}), "x": (LEFT + pixel * (np.arange(cols) + 0.5), ("x",), {})}
            bands = {}
            for name in names:
                made[name] = rng.integers(1, 9000, (rows, cols)).astype("uint16") if name != "scl" else rng.integers(0, 12, (rows, cols)).astype("uint8")
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
        return item_of(product.parent, assets, collection="sentinel-2-l2a", version="1.1.0", **{"processing:version": "05.11"})

    def test_role_names(self, product):
        """Bands by role, physical by the file's own scale, masked by the classes, on one grid."""
        path, made = product
        found = load([self.item(path)], bands=["blue", "nir", "swir16", "scl"], mask="clear", chunks=None)
        classes = np.kron(made["scl"], np.ones((2, 2), int))
        clear = ~np.isin(classes, (0, 1, 3, 8, 9, 10))
        for name, stored in (("blue", "b02"), ("nir", "b08"), ("swir16", "b11")):
            fine = made[stored] if name != "swir16" else np.kron(made[stored], np.ones((2, 2), int))
            assert np.allclose(found[name].values[0], np.where(clear, fine * 1e-4 - 0.1, np.nan), atol=1e-6, equal_nan=True)
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
        file_server.files = {name: one for name, one in file_server.files.items() if "/c/0/0" not in name and "/b04/0.0" not in name}
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
        fields = {"raster:bands": [told]} if version == "1.0.0" else {
            "bands": [{"name": "red"}], "raster:scale": 0.5, "raster:offset": 3, "nodata": 0, "data_type": "uint16"}  # fmt: skip
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
        """Each lazily loads the grid that it claims, or is refused by an error that names it."""
        places = sorted((data_dir / "stac-items").rglob("*.json")) + sorted((data_dir / "landsat-c2l2").rglob("*stac.json"))
        loaded = []
        for path in places:
            content = json.loads(path.read_text())
            features = content.get("features", [content])
            for feature in features:
                if feature.get("type") != "Feature":
                    continue
                for headers in ("never", "auto"):
                    try:
                        cube = load([feature], mask=None, headers=headers, on_error="raise") if headers == "never" or not _remote(feature) else None
                    except TerraCubeError as error:
                        assert len(str(error)) < 4000
                        assert feature["id"] in str(error) or "bands" in str(error), f"{path}: {error}"
                    else:
                        loaded.append(path.name)
                        assert cube is None or cube.sizes["x"] > 0
        assert len(loaded) > 10

    def test_the_claimed_grid(self, data_dir):
        """A Sentinel-2 item with three resolutions: each band lies on the grid that its asset claims."""
        path = data_dir / "stac-items" / "S2A_28QCH_20200714_0_L2A.json"
        item = json.loads(path.read_text())
        for band, side, pixel in (("red", 10980, 10), ("rededge1", 5490, 20), ("coastal", 1830, 60)):
            cube = load([item], bands=[band], mask=None, headers="never")
            assert cube[band].shape == (1, side, side)
            assert cube.odc.geobox.resolution.x == pixel
            assert cube.odc.geobox.crs.epsg == 32628


def _remote(feature: dict) -> bool:
    return any("://" in str(asset.get("href")) for asset in feature.get("assets", {}).values())


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

    def test_an_overview_with_another_nodata(self, tmp_path):
        """An overview that means something else by its numbers is refused where it is read, and only there."""
        path = overviews(tmp_path / "red.tif", nodata=b"5")
        item = item_of(tmp_path, {"red": {"href": "red.tif"}})
        coarse = Grid.from_bbox((LEFT, TOP - 512 * PIXEL, LEFT + 512 * PIXEL, TOP), crs=UTM, resolution=40, bbox_crs=UTM)
        options = {"bands": ["red"], "mask": None, "grid": coarse, "resampling": "average", "chunks": None}
        assert np.isfinite(load([item], **options).red.values).all()
        with pytest.raises(MetadataError, match=r"overview has another nodata.*red.tif"):
            load([item], overviews="auto", **options)
        found = load([item], overviews="auto", on_error="skip", **options)
        (note,) = report(found).failed
        assert (note.item, note.asset) == ("scene", "red")
        assert np.isnan(found.red.values).all()
        assert path.is_file()

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


def overviews(path: Path, nodata: bytes) -> Path:
    """Write a raster with overviews, and change what the second directory says of nodata."""
    values = np.random.default_rng(1).integers(10, 9000, (512, 512), "uint16")
    tiff(path, values, nodata=9, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    content = bytearray(path.read_bytes())
    at, changed = int.from_bytes(content[4:8], "little"), 0
    while at:
        count = int.from_bytes(content[at : at + 2], "little")
        for number in range(count):
            entry = at + 2 + 12 * number
            if int.from_bytes(content[entry : entry + 2], "little") == 42113 and changed >= 0:
                if changed:
                    content[entry + 8 : entry + 9] = nodata
                changed += 1
        at = int.from_bytes(content[at + 2 + 12 * count :][:4], "little")
    path.write_bytes(content)
    return path
