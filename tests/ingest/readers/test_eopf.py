"""Sentinel-2 Level-2A as EOPF Zarr: small stores laid out as the EOPF Core Python Modules write them, compared with
what was written and with what the cube loader reads of the same store.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.cubes import load
from terracube.cubes.readers import close_files
from terracube.ingest import ingest
from terracube.ingest.readers.sentinel2 import eopf
from terracube.ingest.sources import load_source
from terracube.stac import Catalog

NAME = "S2C_MSIL2A_20250610T103641_N0511_R008_T32UMD_20250610T132001"
LEFT, TOP, SIDE = 399960.0, 5700000.0, 1200.0
UTM = "EPSG:32632"
BANDS = {
    10: ("b02", "b03", "b04", "b08"),
    20: ("b01", "b02", "b05", "b06", "b07", "b8a", "b11", "b12"),
    60: ("b01", "b09"),
}
NATIVE = {"b02": 10, "b03": 10, "b04": 10, "b08": 10, "b05": 20, "b06": 20, "b07": 20, "b8a": 20, "b11": 20, "b12": 20,
          "b01": 60, "b09": 60}  # fmt: skip
ROLES = {"b01": "coastal", "b02": "blue", "b03": "green", "b04": "red", "b05": "rededge1", "b06": "rededge2",
         "b07": "rededge3", "b08": "nir", "b8a": "nir08", "b09": "nir09", "b11": "swir16", "b12": "swir22"}  # fmt: skip
OTHERS = {"scl": ("conditions/mask/l2a_classification/r20m/scl", 20), "aot": ("quality/atmosphere/r10m/aot", 10),
          "wvp": ("quality/atmosphere/r10m/wvp", 10), "cld": ("quality/probability/r20m/cld", 20),
          "snw": ("quality/probability/r20m/snw", 20)}  # fmt: skip
ORDER = ["b01", "b02", "b03", "b04", "b05", "b06", "b07", "b08", "b8a", "b09", "b10", "b11", "b12"]
SOURCE = load_source("sentinel-2-l2a")

SWAPPED = [[[51.4, 7.5], [51.5, 7.5], [51.5, 7.6], [51.4, 7.5]]]

Truth = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def closed():
    """Keep nothing of one store for the next, which may lie in the same place."""
    close_files()
    yield
    close_files()


def put(group: zarr.Group, name: str, values: np.ndarray, dims: tuple[str, ...], told: dict | None = None) -> None:
    """Write an array with its dimensions and attributes."""
    values = np.asarray(values)
    named = {"dimension_names": dims} if group.metadata.zarr_format == 3 else {}
    chunks = tuple(max(1, min(60, side)) for side in values.shape)
    with warnings.catch_warnings():
        # Texts have no settled place in version 3 of Zarr; the product has some all the same.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks, **named)
        array[...] = values
        array.attrs.update((told or {}) | ({} if named else {"_ARRAY_DIMENSIONS": list(dims)}))


def axes(metres: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the middles of pixels: y, x."""
    middle = metres * (np.arange(int(SIDE / metres)) + 0.5)
    return TOP - middle, LEFT + middle


def attributes(version: int) -> dict:
    """The attributes of the product, as CPM 2.5 (version 2) and 3.0 (version 3) write them."""
    older = version == 2
    properties = {
        "datetime": None if older else "2025-06-10T10:36:41.024000Z",
        "start_datetime": "2025-06-10T10:36:41.024Z",
        "end_datetime": "2025-06-10T10:36:41.024Z",
        "created": "2025-06-10T13:20:01.000000Z",
        "platform": "sentinel-2c",
        "instrument" if older else "instruments": "msi" if older else ["msi"],
        "product:type": "S02MSIL2A",
        "processing:version": "05.11" if older else "1.0.0",
        "eopf:datastrip_id": "S2C_OPER_MSI_L2A_DS_2CPS_20250610T132001_S20250610T103807_N05.11",
        "eopf:datatake_id": "GS2C_20250610T103641_003976_N05.11",
        "sat:relative_orbit": 8,
        "sat:absolute_orbit": 3976,
        "sat:orbit_state": "descending",
        "eo:cloud_cover": 12.5,
        "eo:snow_cover": 0.25,
        "sci:doi": "10.5270/S2_-znk9xsj",
        "proj:bbox": [LEFT, TOP - SIDE, LEFT + SIDE, TOP],
    }
    if not older:
        properties["proj:code"] = UTM
    ring = [[7.55, 51.445], [7.6, 51.445], [7.6, 51.425], [7.55, 51.425], [7.55, 51.445]]
    return {
        "other_metadata": {
            "horizontal_CRS_code" if older else "horizontal_crs_code": UTM,
            "mean_sensing_time": "2025-06-10T10:41:22.698247Z",
            "aot_retrieval_model": "null",
        },
        "stac_discovery": {
            "type": "Feature",
            "id": f"{NAME}.SAFE" if older else "S02MSIL2A_20250610T103641_00000_C0008_T8BB",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": [7.6, 51.425, 7.57, 51.445],
            "properties": properties,
        },
    }


def angles(group: zarr.Group) -> Truth:
    """Write the directions of sun and view: two detectors that meet in column 11."""
    rows, cols = np.mgrid[0:23, 0:23]
    sun = np.stack([30.0 + 0.05 * rows, 150.0 + 0.08 * cols])
    view = np.full((13, 2, 2, 23, 23), np.nan)
    for band in range(13):
        view[band, 0, 0, :, :12], view[band, 0, 1, :, :12] = 5 + 0.1 * band, 359.0
        view[band, 1, 0, :, 11:20], view[band, 1, 1, :, 11:20] = 6 + 0.1 * band, 1.0
    put(group, "sun_angles", sun, ("angle", "y", "x"))
    put(group, "viewing_incidence_angles", view, ("band", "detector", "angle", "y", "x"))
    put(group, "mean_sun_angles", np.array([30.55, 150.88]), ("angle",))
    means = np.stack([np.full(13, 6.0), np.where(np.arange(13) % 2, 359.0, 1.0)], axis=1)
    means[9] = np.nan
    put(group, "mean_viewing_incidence_angles", means, ("band", "angle"))
    put(group, "x", LEFT + 5000.0 * np.arange(23), ("x",))
    put(group, "y", TOP - 5000.0 * np.arange(23), ("y",))
    put(group, "band", np.array([name.encode() for name in ORDER], "S3"), ("band",), {"flag_meanings": ORDER})
    put(group, "angle", np.array([b"zenith", b"azimuth"], "S7"), ("angle",))
    return {"sun": sun}


def write_product(folder: Path, version: int) -> Truth:
    """Write a product of 2.4 km; give its numbers by path."""
    rng = np.random.default_rng(5)
    root = zarr.create_group(folder, zarr_format=version, attributes=attributes(version))
    truth: Truth = {}

    def group_of(path: str, metres: int) -> zarr.Group:
        group = root.require_group(path)
        if "x" not in group:
            for name, values in zip(("y", "x"), axes(metres), strict=True):
                put(group, name, values if version == 2 else values.astype("float32"), (name,))
        return group

    def tell(**told: object) -> dict:
        return {"_eopf_attrs": told, "proj:epsg": 32632} | told if version == 2 else dict(told)

    packed = tell(scale_factor=1e-4, add_offset=-0.1, fill_value=0) | ({"_FillValue": 0} if version == 2 else {})
    for metres, names in BANDS.items():
        group = group_of(f"measurements/reflectance/r{metres}m", metres)
        for name in names:
            values = rng.integers(1, 12000, (int(SIDE / metres),) * 2).astype("uint16")
            truth[f"{name}_{metres}"] = values
            put(group, name, values, ("y", "x"), packed)
    for name, (path, metres) in OTHERS.items():
        group = group_of(path.rpartition("/")[0], metres)
        shape = (int(SIDE / metres),) * 2
        if name in ("aot", "wvp"):
            truth[name] = rng.integers(1, 3000, shape).astype("uint16")
            told = tell(scale_factor=1e-3, add_offset=0.0, fill_value=0)
        elif name == "scl":
            truth[name], told = rng.integers(0, 12, shape).astype("uint8"), tell()
        else:
            truth[name] = rng.integers(0, 101, shape).astype("uint8" if version == 2 else "float32")
            told = tell(fill_value=101, units="percentage")
        put(group, name, truth[name], ("y", "x"), told)
    return truth | angles(root.require_group("conditions/geometry"))


@pytest.fixture(scope="module", params=[2, 3])
def written(request, tmp_path_factory):
    """One product of each version of Zarr, not to be changed, and its numbers."""
    folder = tmp_path_factory.mktemp("eopf") / f"{NAME}.zarr"
    return folder, write_product(folder, request.param)


@pytest.fixture
def product(written, tmp_path):
    """A copy of the product that a test may spoil."""
    folder = tmp_path / f"{NAME}.zarr"
    shutil.copytree(written[0], folder)
    return folder


def edit(folder: Path, path: str, change) -> None:
    """Change the attributes of a group or array."""
    place = folder / path
    file = place / "zarr.json" if (place / "zarr.json").exists() else place / ".zattrs"
    document = json.loads(file.read_text()) if file.exists() else {}
    change(document.setdefault("attributes", {}) if file.name == "zarr.json" else document)
    file.write_text(json.dumps(document))


def replace_array(folder: Path, path: str, values: np.ndarray) -> None:
    """Put other numbers, maybe of another shape or type, in the place of an array."""
    group = zarr.open_group(folder / path.rpartition("/")[0], mode="a")
    name = path.rpartition("/")[2]
    old = group[name]
    dims = old.metadata.dimension_names if old.metadata.zarr_format == 3 else old.attrs["_ARRAY_DIMENSIONS"]
    told = {key: value for key, value in old.attrs.asdict().items() if key != "_ARRAY_DIMENSIONS"}
    del group[name]
    put(group, name, values, tuple(dims)[-values.ndim :], told)


def whole(raster) -> np.ndarray:
    """All rows of a layer, asked in two parts."""
    rows = raster.grid.shape.y
    return np.concatenate([raster.pixels.rows(0, rows // 3), raster.pixels.rows(rows // 3, rows)])


def by_key(delivered) -> dict:
    """Layers by role name."""
    return {raster.key: raster for raster in delivered.rasters}


class TestFind:
    def test_places(self, written, tmp_path):
        """A store is found by its folder, by the file of its attributes, and below a folder."""
        folder, _ = written
        root = next(folder / name for name in ("zarr.json", ".zattrs") if (folder / name).exists())
        assert eopf.find(folder) == [folder]
        assert eopf.find(root) == [folder]
        assert eopf.find(folder.parent) == [folder]
        assert eopf.find(tmp_path) == []
        assert eopf.find(tmp_path / "nowhere") == []

    def test_unpacked(self, product):
        """The root of an archive has no name of its own."""
        moved = product.rename(product.parent / "unpacked")
        assert eopf.find(moved) == [moved]
        found = eopf.read(moved, SOURCE)
        assert found.id in (NAME, "S02MSIL2A_20250610T103641_00000_C0008_T8BB")

    def test_other_stores(self, product):
        """Stores of other products are not claimed; one whose attributes are broken is, by its name."""
        edit(
            product, "", lambda told: told["stac_discovery"].update(id="S3A", properties={"product:type": "S03OLCEFR"})
        )
        assert eopf.find(product) == []
        file = next(product / name for name in ("zarr.json", ".zattrs") if (product / name).exists())
        file.write_text("[")
        assert eopf.find(product) == [product]
        with pytest.raises(HostileInputError):
            eopf.read(product, SOURCE)


class TestLayers:
    def test_every_band_on_its_own_grid(self, written):
        """All layers come out in their native pixels, with the numbers that were written."""
        folder, truth = written
        found = by_key(eopf.read(folder, SOURCE))
        wanted = {ROLES[name]: (truth[f"{name}_{metres}"], metres) for name, metres in NATIVE.items()}
        wanted |= {name: (truth[name], metres) for name, (_, metres) in OTHERS.items()}
        for role, (values, metres) in wanted.items():
            raster = found[role]
            assert raster.grid.resolution == (-metres, metres)
            assert (raster.grid.bounds.left, raster.grid.bounds.top) == (LEFT, TOP)
            assert raster.grid.crs == UTM
            assert raster.dtype == values.dtype.name
            assert np.array_equal(whole(raster), values), role
            assert raster.pixels.step % 20 == 0
            assert all(file.is_file() for file in raster.files)
            assert len(raster.files) > 1

    def test_as_xarray_reads_it(self, written):
        """Another reader gives the same numbers at the same coordinates."""
        folder, _ = written
        found = by_key(eopf.read(folder, SOURCE))
        peer = xr.open_zarr(
            folder, group="measurements/reflectance/r20m", consolidated=False, mask_and_scale=False, chunks=None
        )
        grid = found["swir16"].grid
        assert np.array_equal(peer.b11.values, whole(found["swir16"]))
        assert float(peer.x[0]) == grid.bounds.left + 10
        assert float(peer.y[-1]) == grid.bounds.bottom + 10

    def test_numbers_and_their_meaning(self, written):
        """Scale, offset, nodata and classes."""
        found = by_key(eopf.read(written[0], SOURCE))
        for role in ROLES.values():
            rule = found[role].radiometry
            assert (rule.scale, rule.offset, found[role].nodata) == (1e-4, -0.1, 0)
        assert (found["aot"].radiometry.scale, found["aot"].nodata) == (1e-3, 0)
        assert found["scl"].classes[6] == "water"
        assert found["scl"].nodata == 0
        assert found["cld"].nodata != 0, "no cloud is 0 percent"
        assert found["cld"].radiometry is None

    def test_missing(self, product):
        """A missing band is noted and the rest goes on; without a band the product is refused."""
        shutil.rmtree(product / "measurements/reflectance/r10m/b04")
        shutil.rmtree(product / "conditions/mask/l2a_classification/r20m/scl")
        delivered = eopf.read(product, SOURCE)
        assert {"red", "scl"}.isdisjoint(by_key(delivered))
        assert any("B04 (red)" in note for note in delivered.notes)
        assert any("SCL (scl)" in note for note in delivered.notes)
        shutil.rmtree(product / "measurements")
        with pytest.raises(AssetError, match="no measured band"):
            eopf.read(product, SOURCE)

    def test_missing_chunks(self, product):
        """Chunks that one band lacks and others have are noted: they read as missing."""
        folder = product / "measurements/reflectance/r10m/b03"
        chunk = sorted(file for file in eopf.Store(product).files("measurements/reflectance/r10m/b03"))
        chunk = [file for file in chunk if file.name not in ("zarr.json", ".zarray", ".zattrs")]
        chunk[0].unlink()
        delivered = eopf.read(product, SOURCE)
        assert any(note.startswith("green: 3 chunks") for note in delivered.notes), folder
        assert (whole(by_key(delivered)["green"])[:60, :60] == 0).all()

    def test_broken_chunk(self, product):
        """A chunk that cannot be decoded is an error, not pixels."""
        for file in eopf.Store(product).files("measurements/reflectance/r10m/b03"):
            if file.name not in ("zarr.json", ".zarray", ".zattrs"):
                file.write_bytes(b"broken")
        with pytest.raises(AssetError, match="b03"):
            whole(by_key(eopf.read(product, SOURCE))["green"])


class TestDescription:
    def test_properties(self, written):
        """What the product says of itself comes out as STAC properties."""
        delivered = eopf.read(written[0], SOURCE)
        assert delivered.id == NAME
        assert delivered.acquired == datetime(2025, 6, 10, 10, 41, 22, 698247, UTC)
        told = delivered.properties
        assert (
            told
            | {
                "platform": "sentinel-2c",
                "s2:processing_baseline": "05.11",
                "sat:relative_orbit": 8,
                "sat:absolute_orbit": 3976,
                "sat:orbit_state": "descending",
                "grid:code": "MGRS-32UMD",
                "eo:cloud_cover": 12.5,
                "eo:snow_cover": 0.25,
                "sci:doi": "10.5270/S2_-znk9xsj",
                "view:sun_elevation": 59.45,
                "view:sun_azimuth": 150.88,
                "view:incidence_angle": pytest.approx(6.0, abs=1e-2),
            }
            == told
        )
        assert min(told["view:azimuth"], 360 - told["view:azimuth"]) < 0.5
        assert delivered.geometry["type"] == "Polygon"
        assert [doc.key for doc in delivered.documents] == ["product_metadata"]
        assert delivered.notes == ()

    def test_angles(self, written):
        """Directions stand on the nodes, merged over detectors."""
        folder, truth = written
        found = by_key(eopf.read(folder, SOURCE))
        sun = found["sun_zenith"]
        assert sun.grid.transform * (0.5, 0.5) == pytest.approx((LEFT, TOP), abs=0.005)
        assert np.allclose(whole(sun), truth["sun"][0])
        assert np.allclose(whole(found["sun_azimuth"]), truth["sun"][1])
        zenith, azimuth = whole(found["view_zenith_red"]), whole(found["view_azimuth_red"])
        assert np.allclose(zenith[:, :11], 5.3)
        assert np.allclose(azimuth[:, 12:20], 1)
        assert np.allclose(zenith[:, 11], 5.8, atol=0.01)
        assert np.isnan(zenith[:, 20:]).all()
        assert sum(key.startswith("view_") for key in found) == 24

    def test_no_angles(self, product):
        """A product without angles is read, with a note."""
        shutil.rmtree(product / "conditions/geometry")
        delivered = eopf.read(product, SOURCE)
        assert any("angle" in note for note in delivered.notes)
        assert not any(key.startswith("view") for key in (*by_key(delivered), *delivered.properties))

    def test_only_the_datatake(self, product):
        """Where no sensing time is told, the start of the datatake is the date, with a note."""
        edit(product, "", lambda told: told["other_metadata"].update(mean_sensing_time="null"))
        delivered = eopf.read(product, SOURCE)
        assert delivered.acquired.minute == 36
        assert any("datatake" in note for note in delivered.notes)


class TestContradictions:
    @pytest.mark.parametrize(
        ("told", "match"),
        [
            ({"platform": "landsat-8"}, "none of Sentinel-2"),
            ({"platform": None}, "none of Sentinel-2"),
            ({"eopf:datatake_id": "GS2C_20250610T103641_003976_N02.14"}, "two processing baselines"),
            ({"proj:bbox": [0, 0, 1, 1]}, "proj:bbox"),
            ({"proj:code": "EPSG:32633"}, "CRS|zone"),
        ],
    )
    def test_properties(self, product, told, match):
        """What contradicts the arrays or itself is refused."""
        edit(product, "", lambda root: root["stac_discovery"]["properties"].update(told))
        with pytest.raises(MetadataError, match=match):
            eopf.read(product, SOURCE)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda root: root["stac_discovery"].update(id=NAME.replace("R008", "R009")), "two names"),
            (lambda root: root["stac_discovery"]["geometry"].update(coordinates=SWAPPED), "swapped"),
            (lambda root: root["other_metadata"].update(mean_sensing_time="2025-06-10T10:41:22"), "no date"),
            (lambda root: root.update(stac_discovery=3), "no EOPF product"),
        ],
    )
    def test_root(self, product, change, match):
        """Another name, an outline elsewhere, a date without zone, no properties."""
        edit(product, "", change)
        with pytest.raises(MetadataError, match=match):
            eopf.read(product, SOURCE)

    def test_no_baseline(self, product):
        """Without a baseline the offset could not be checked."""

        def forget(root):
            root["stac_discovery"]["id"] = "x"
            for key in ("eopf:datastrip_id", "eopf:datatake_id", "processing:version"):
                root["stac_discovery"]["properties"].pop(key)

        moved = product.rename(product.parent / "x.zarr")
        edit(moved, "", forget)
        with pytest.raises(MetadataError, match="no processing baseline"):
            eopf.read(moved, SOURCE)

    def test_offset(self, product):
        """An offset that the baseline does not allow is refused."""

        def other(told):
            for each in (told, told.get("_eopf_attrs", {})):
                each["add_offset"] = -0.05

        edit(product, "measurements/reflectance/r10m/b04", other)
        with pytest.raises(MetadataError, match="contradicts the processing baseline"):
            eopf.read(product, SOURCE)

    @pytest.mark.parametrize(
        ("path", "values", "match"),
        [
            ("measurements/reflectance/r10m/b04", np.ones((120, 120), "float32"), "whole numbers"),
            ("measurements/reflectance/r10m/b04", np.ones((60, 120), "uint16"), "."),
            ("conditions/geometry/sun_angles", np.ones((3, 23, 23)), "odd shape"),
            ("conditions/geometry/sun_angles", np.full((2, 23, 23), 400.0), "no angle"),
            ("conditions/geometry/sun_angles", np.full((2, 23, 23), 80.0), "contradicts their mean"),
            ("conditions/geometry/viewing_incidence_angles", np.ones((12, 2, 2, 23, 23)), "no usable shape"),
            ("conditions/geometry/mean_viewing_incidence_angles", np.ones((12, 2)), "means? angles"),
            ("conditions/geometry/mean_sun_angles", np.array([30.0, 400.0]), "mean angle"),
            ("conditions/geometry/x", np.zeros(23), "not regular"),
            ("conditions/geometry/x", np.zeros(5), "not regular"),
            ("conditions/geometry/x", np.array([b"a", b"b"], "S1"), "cannot read the array"),
        ],
    )
    def test_arrays(self, product, path, values, match):
        """Arrays of another type, shape or meaning are refused, and named."""
        replace_array(product, path, values)
        with pytest.raises(TerraCubeError, match=match):
            eopf.read(product, SOURCE)


class TestIngest:
    def test_through_the_pipeline(self, product, tmp_path, validate_stac):
        """The product becomes a valid item, whose files hold its numbers."""
        catalog = Catalog.create(tmp_path / "catalog")
        report = ingest("sentinel-2-l2a", [product], catalog)
        assert report.taken == [NAME], report.refused
        item = catalog.find(NAME, "sentinel-2-l2a")
        validate_stac(item.to_dict())
        found = by_key(eopf.read(product, SOURCE))
        assert set(found) <= set(item.assets)
        for key in ("red", "swir16", "scl", "cld", "sun_zenith"):
            with rasterio.open(item.assets[key].get_absolute_href()) as file:
                assert np.array_equal(file.read(1), whole(found[key]), equal_nan=True), key
        cube = load([item], bands=["nir"], mask=None, chunks=None)
        assert np.allclose(cube.nir.values[0], whole(found["nir"]) * 1e-4 - 0.1, atol=1e-6)
        assert ingest("sentinel-2-l2a", [product], catalog).already == [NAME]


class TestHostile:
    def test_codecs(self, product):
        """An array whose codec could run code is not opened."""
        place = product / "conditions/geometry/sun_angles"
        if (place / ".zarray").exists():
            file = place / ".zarray"
            document = json.loads(file.read_text()) | {"filters": [{"id": "pickle"}]}
        else:
            file = place / "zarr.json"
            document = json.loads(file.read_text()) | {"codecs": [{"name": "pickle"}]}
        file.write_text(json.dumps(document))
        with pytest.raises(HostileInputError, match="codec"):
            eopf.read(product, SOURCE)

    def test_links(self, product, tmp_path):
        """A band that is a link out of the store is not followed."""
        band = product / "measurements/reflectance/r10m/b04"
        shutil.move(band, tmp_path / "elsewhere")
        band.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(HostileInputError, match="leaves the store"):
            eopf.read(product, SOURCE)

    def test_giant(self, product):
        """An array that claims more pixels than a tile has is not believed."""
        for path in ("measurements/reflectance/r10m/b04", "conditions/geometry/sun_angles"):
            place = product / path
            file = place / ".zarray" if (place / ".zarray").exists() else place / "zarr.json"
            original = file.read_text()
            document = json.loads(original)
            document["shape"] = [*document["shape"][:-2], 1 << 30, 1 << 30]
            file.write_text(json.dumps(document))
            with pytest.raises(TerraCubeError):
                eopf.read(product, SOURCE)
            file.write_text(original)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_change_of_the_metadata(self, written, tmp_path, data):
        """Whatever stands in the metadata, only our own errors are raised."""
        folder = tmp_path / f"{NAME}.zarr"
        if not folder.exists():
            shutil.copytree(written[0], folder)
        names = ["", "measurements/reflectance/r10m/b02", "conditions/geometry/sun_angles", "conditions/geometry/x"]
        files = [folder / name / file for name in names for file in ("zarr.json", ".zattrs", ".zarray")]
        path = data.draw(st.sampled_from([file for file in files if file.exists()]))
        original = path.read_bytes()
        start = data.draw(st.integers(0, len(original)))
        length = data.draw(st.integers(0, 30))
        new = data.draw(
            st.one_of(st.binary(max_size=12), st.sampled_from([b"", b"null", b"NaN", b"[]", b"-1", b"9" * 20]))
        )
        path.write_bytes(original[:start] + new + original[start + length :])
        close_files()
        with contextlib.suppress(TerraCubeError):
            eopf.read(folder, SOURCE)
        path.write_bytes(original)
