"""Built items are valid STAC, say what they should, and wrong ones are noticed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
import zarr
from rasterio.transform import Affine

from terracube.core.digest import multihash, tree_sha256
from terracube.core.errors import AssetError, InputError, LeftOut, MetadataError
from terracube.stac import (
    EXTENSIONS,
    Catalog,
    ChainRef,
    InputRef,
    Provenance,
    band,
    derived_from,
    file_asset,
    file_fields,
    link_versions,
    projection_fields,
    raster_asset,
    set_extensions,
    zarr_asset,
)

Validate = Callable[[dict[str, Any]], None]
Build = Callable[..., pystac.Item]

TRANSFORM = Affine(120, 0, 499980, 0, -120, 5300040)
SHAPE = (915, 915)
# A CRS of no authority: Lambert azimuthal equal-area about a point of our own.
OWN_CRS = "+proj=laea +lat_0=46.1 +lon_0=14.7 +datum=WGS84 +units=m +type=crs"


def write_tif(path: Path) -> None:
    """Write a raster of 4 x 5 pixels."""
    profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=TRANSFORM, **profile) as raster:
        raster.write(np.arange(20, dtype="uint16").reshape(1, 4, 5))


def full_item(folder: Path, make_item: Build) -> pystac.Item:
    """Build an item that uses everything the builders offer."""
    write_tif(folder / "red.tif")
    (folder / "preview.png").write_bytes(b"png")
    (folder / "report.html").write_text("<html></html>")
    group = zarr.create_group(folder / "cube.zarr")
    group.create_array("red", data=np.ones((4, 5), "float32"))
    grid = {"shape": SHAPE, "transform": TRANSFORM}
    red = band("red", common_name="red", center_wavelength=0.665, fwhm=0.038, scale=1e-4, offset=-0.1, unit="1")
    item = make_item("summer", collection="products", day=1, **{"eo:cloud_cover": 12.5})
    item.add_asset(
        "red",
        raster_asset(
            folder / "red.tif",
            href="./red.tif",
            title="Red <script>alert(1)</script>",
            roles=["data", "reflectance"],
            bands=[red],
            code="EPSG:32633",
            nodata=np.float32("nan"),
            data_type="float32",
            statistics={"minimum": np.float32(0), "maximum": 0.5, "mean": float("nan"), "count": np.int64(20)},
            **grid,
        ),
    )
    own = projection_fields(OWN_CRS, **grid)
    item.add_asset(
        "cube",
        zarr_asset(folder / "cube.zarr", href="./cube.zarr", title="Cube", roles=["data"], bands=[red], grid=own),
    )
    for name, role in (("preview.png", "overview"), ("report.html", "metadata")):
        item.add_asset(role, file_asset(folder / name, href=f"./{name}", title=role, roles=[role]))
    classes = [{"value": 1, "name": "forest", "description": "Forest"}]
    item.assets["red"].extra_fields["classification:classes"] = classes
    made = Provenance(
        key="ab" * 32,
        chain=ChainRef("composite", "1", "cd" * 32),
        parameters={"classes": [3, 8]},
        request={"datetime": "2023-08"},
        inputs=(InputRef("A", "scenes", "12"),),
        left_out=(LeftOut("B", "no pixels <b>"),),
        lineage="Geometric median.",
    )
    item.properties.update(made.properties())
    item.add_links(derived_from([make_item("A")]))
    link_versions(item, make_item("spring", collection="products"))
    return set_extensions(item)


def test_an_item_with_everything_is_valid(
    tmp_path: Path, make_item: Build, catalog: Catalog, validate_stac: Validate
) -> None:
    """As built, as published, and read back by pystac alone."""
    catalog.add_collection(catalog.get_collection("products"))
    with catalog.stage("summer") as folder:
        item = full_item(folder, make_item)
        catalog.publish(item, folder)
    document = json.loads((catalog.root / "products/summer/summer.json").read_text())
    validate_stac(document)
    prefixes = ("classification", "eo", "file", "processing", "proj", "raster", "version", "zarr")
    assert document["stac_extensions"] == sorted(EXTENSIONS[name] for name in prefixes)
    for name in ("catalog.json", "products/collection.json", "scenes/collection.json"):
        validate_stac(json.loads((catalog.root / name).read_text()))
    again = pystac.Item.from_file(str(catalog.root / "products/summer/summer.json"))
    assert again.assets["red"].title == "Red <script>alert(1)</script>"
    assert catalog.verify(catalog.get("summer")) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("id"),
        lambda d: d["properties"].pop("datetime"),
        lambda d: d["properties"].update({"eo:cloud_cover": 120}),
        lambda d: d["properties"].update({"processing:lineage": 3}),
        lambda d: d["properties"].update({"deprecated": "yes"}),
        lambda d: d["properties"].update({"proj:epsg": 32633}),
        lambda d: d["assets"]["red"].update({"proj:shape": [1, 2, 3]}),
        lambda d: d["assets"]["red"].update({"file:checksum": "no hash"}),
        lambda d: d["assets"]["red"].update({"nodata": "NaN"}),
        lambda d: d["assets"]["red"].update({"data_type": "<f4"}),
        lambda d: d["assets"]["red"]["bands"][0].update({"eo:common_name": "B04"}),
        lambda d: d["assets"]["red"]["bands"][0].update({"raster:scale": "1"}),
        lambda d: d["assets"]["red"]["classification:classes"][0].pop("value"),
        lambda d: d["assets"]["cube"].update({"zarr:zarr_format": 4}),
        lambda d: d["assets"]["cube"].update({"proj:projjson": {"type": "no such"}}),
        lambda d: d["assets"]["red"].pop("href"),
        lambda d: d["links"].append({"rel": "collection", "href": "x"}) or d.pop("collection", None),
        lambda d: d["stac_extensions"].append(EXTENSIONS["mgrs"]),
    ],
)
def test_a_wrong_item_is_noticed(
    tmp_path: Path, make_item: Build, validate_stac: Validate, spoil: Callable[[dict[str, Any]], object]
) -> None:
    """The validation bites: one wrong field, in the core or in any extension, is enough."""
    document = full_item(tmp_path, make_item).to_dict(transform_hrefs=False)
    document["links"].append({"rel": "collection", "href": "../collection.json"})
    validate_stac(document)
    spoilt = copy.deepcopy(document)
    spoil(spoilt)
    with pytest.raises(jsonschema.ValidationError):
        validate_stac(spoilt)


def test_a_schema_that_is_not_mirrored_is_an_error(make_item: Build, validate_stac: Validate) -> None:
    """Nothing is valid for want of a schema."""
    document = make_item("a").to_dict()
    document.pop("collection")
    validate_stac(document)
    document["stac_extensions"] = ["https://stac-extensions.github.io/eo/v99.0.0/schema.json"]
    with pytest.raises(Exception, match="v99"):
        validate_stac(document)


def test_raster_asset_says_what_the_file_is(tmp_path: Path) -> None:
    """Size, checksum, grid and values; numbers as JSON knows them."""
    write_tif(tmp_path / "red.tif")
    asset = raster_asset(
        tmp_path / "red.tif",
        href="./red.tif",
        title="Red",
        roles=("data",),
        bands=[band("red")],
        code="epsg:32633",
        shape=np.array(SHAPE),  # type: ignore[arg-type]
        transform=TRANSFORM,
        nodata=0,
        data_type="uint16",
    )
    fields = asset.to_dict()
    assert fields["proj:code"] == "EPSG:32633"
    assert fields["proj:shape"] == [915, 915]
    assert fields["proj:transform"] == [120, 0, 499980, 0, -120, 5300040]
    assert fields["proj:bbox"] == [499980, 5190240, 609780, 5300040]
    assert fields["file:size"] == (tmp_path / "red.tif").stat().st_size
    assert fields["nodata"] == 0
    assert "statistics" not in fields
    assert fields["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    json.dumps(fields, allow_nan=False)


def test_zarr_asset_names_a_folder_by_its_manifest(tmp_path: Path) -> None:
    """Size is the sum, the checksum changes with any file, and the asset says how it is computed."""
    group = zarr.create_group(tmp_path / "c.zarr")
    group.create_array("a", data=np.arange(6))
    asset = zarr_asset(tmp_path / "c.zarr", href="./c.zarr", title="C", roles=["data"], description="A cube.")
    files = [path for path in (tmp_path / "c.zarr").rglob("*") if path.is_file()]
    assert asset.extra_fields["file:size"] == sum(path.stat().st_size for path in files)
    assert asset.extra_fields["file:checksum"] == multihash(tree_sha256(tmp_path / "c.zarr"))
    assert asset.extra_fields["zarr:node_type"] == "group"
    assert asset.extra_fields["zarr:consolidated"] is False
    assert asset.media_type == "application/vnd.zarr; version=3"
    assert asset.description is not None
    assert "sha256" in asset.description
    files[0].write_bytes(b"{}")
    assert file_fields(tmp_path / "c.zarr")["file:checksum"] != asset.extra_fields["file:checksum"]


@pytest.mark.parametrize(
    "content", [None, "no json", "[]", '{"zarr_format": 2, "node_type": "group"}', '{"zarr_format": 3}']
)
def test_a_folder_that_is_no_zarr_is_refused(tmp_path: Path, content: str | None) -> None:
    """Whatever stands where zarr.json should."""
    if content is not None:
        (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(AssetError, match="Zarr"):
        zarr_asset(tmp_path, href="./c.zarr", title="C", roles=[])


def test_files_that_are_not_there_or_not_known_are_refused(tmp_path: Path) -> None:
    """No asset without its file, none of unknown type."""
    with pytest.raises(AssetError):
        file_fields(tmp_path / "absent.tif")
    (tmp_path / "a.xyz").write_bytes(b"")
    with pytest.raises(InputError, match="media type"):
        file_asset(tmp_path / "a.xyz", href="./a.xyz", title="A", roles=[])
    assert file_asset(tmp_path / "a.xyz", href="a", title="A", roles=[], media_type="text/x").media_type == "text/x"


def test_crs_without_a_code_is_written_out() -> None:
    """As WKT2 and PROJJSON; and a WKT2 that has a code is told by its code."""
    fields = projection_fields(OWN_CRS)
    assert fields["proj:code"] is None
    assert fields["proj:wkt2"].startswith("PROJCRS[")
    assert fields["proj:projjson"]["type"] == "ProjectedCRS"
    assert projection_fields(rasterio.CRS.from_epsg(3035).to_wkt())["proj:code"] == "EPSG:3035"
    assert projection_fields("ESRI:54009") == {"proj:code": "ESRI:54009"}
    assert projection_fields(None) == {"proj:code": None}
    for wrong in ("EPSG:999999", "no crs"):
        with pytest.raises(MetadataError, match="unknown"):
            projection_fields(wrong)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, 0),
        (-9999.0, -9999.0),
        (np.float32("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        ("nan", "nan"),
    ],
)
def test_nodata_is_written_as_stac_does(value: float | str, written: float | str) -> None:
    """NaN and the infinities as text, numpy numbers as numbers."""
    assert band("a", nodata=value)["nodata"] == written
    assert type(band("a", nodata=value)["nodata"]) is type(written)


@pytest.mark.parametrize("value", ["none", True, [0]])
def test_nodata_that_is_no_number_is_refused(value: object) -> None:
    """It is never guessed."""
    with pytest.raises(MetadataError, match="nodata"):
        band("a", nodata=value)


def test_statistics_of_nothing_are_left_out() -> None:
    """All missing: no statistics rather than NaN, which JSON cannot say."""
    assert "statistics" not in band("a", statistics={"minimum": float("nan"), "mean": np.float64("nan")})
    assert band("a", statistics={"count": 0, "mean": float("nan")})["statistics"] == {"count": 0}


def test_extensions_are_those_that_are_used(make_item: Build) -> None:
    """Unused ones go, used ones come in our version, foreign ones stay, older fields keep the older version."""
    item = make_item("a", **{"eo:cloud_cover": 1, "s2:tile": "T33TWM"})
    foreign = "https://example.org/s2/v1.0.0/schema.json"
    item.stac_extensions = [EXTENSIONS["sar"], EXTENSIONS["eo"].replace("v2.0.0", "v1.0.0"), foreign]
    assert set_extensions(item).stac_extensions == sorted([EXTENSIONS["eo"], foreign])
    item.add_asset("a", pystac.Asset("a", extra_fields={"eo:bands": [{"name": "B04"}]}))
    assert set_extensions(item).stac_extensions == sorted([EXTENSIONS["eo"].replace("v2.0.0", "v1.1.0"), foreign])


def test_all_extensions_are_mirrored(schema_dir: Path) -> None:
    """Each version we write can be checked."""
    for url in EXTENSIONS.values():
        assert (schema_dir / url.removeprefix("https://")).is_file()
