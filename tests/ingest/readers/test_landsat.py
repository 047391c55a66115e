"""Landsat Collection 2 Level-2: a real scene, small products of each platform, products that contradict themselves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError, TerraCubeError
from terracube.core.sensors import clear_of, load_sensor
from terracube.cubes import load
from terracube.ingest import ingest
from terracube.ingest.readers import landsat
from terracube.ingest.readers.landsat.mtl import read_mtl, settle
from terracube.ingest.scene import Delivered
from terracube.ingest.sources import Source, load_source
from terracube.stac import Catalog, Query

Groups = dict[str, dict[str, str]]
Make = Callable[..., Path]
SIZE = (5, 7)
CELL = 30.0
CENTRE = (300000.0, -60000.0)  # of the upper left pixel, as the metadata tell it
BANDS = {
    "LC08": ["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7", "ST_B10"],
    "LE07": ["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7", "ST_B6"],
}
QUALITY = {"QA_PIXEL": "QUALITY_L1_PIXEL", "QA_RADSAT": "QUALITY_L1_RADIOMETRIC_SATURATION"}


def _content(product: str, bands: list[str]) -> dict[str, str]:
    told = {
        "DIGITAL_OBJECT_IDENTIFIER": "https://doi.org/10.5066/P9OGBGM6",
        "LANDSAT_PRODUCT_ID": product,
        "PROCESSING_LEVEL": product.split("_")[1],
        "COLLECTION_NUMBER": "02",
        "COLLECTION_CATEGORY": "T1",
    }
    for band in [*bands, "ST_QA"]:
        field = "QUALITY_L2_SURFACE_TEMPERATURE" if band == "ST_QA" else "BAND_" + band.removeprefix("SR_B")
        told |= {f"FILE_NAME_{field}": f"{product}_{band}.TIF"}
        told |= {f"DATA_TYPE_{field}": "INT16" if band == "ST_QA" else "UINT16"}
    return told | {f"FILE_NAME_{field}": f"{product}_{name}.TIF" for name, field in QUALITY.items()}


def _groups(product: str, bands: list[str]) -> Groups:
    """The metadata that USGS writes for such a product, as far as they concern a reader."""
    craft = {"LC08": ("LANDSAT_8", "OLI_TIRS"), "LE07": ("LANDSAT_7", "ETM")}[product[:4]]
    reflectance = [band.removeprefix("SR_B") for band in bands if band.startswith("SR_")]
    temperature = [band for band in bands if band.startswith("ST_")]
    right, bottom = CENTRE[0] + (SIZE[1] - 1) * CELL, CENTRE[1] - (SIZE[0] - 1) * CELL
    return {
        "PRODUCT_CONTENTS": _content(product, bands),
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": craft[0],
            "SENSOR_ID": craft[1],
            "WRS_TYPE": "2",
            "WRS_PATH": "1",
            "WRS_ROW": "62",
            "DATE_ACQUIRED": "2020-10-31",
            "SCENE_CENTER_TIME": "14:31:47.8083990Z",
            "CLOUD_COVER": "-1",
            "SUN_AZIMUTH": "-90.5",
            "SUN_ELEVATION": "64.5",
        },
        "PROJECTION_ATTRIBUTES": {
            "MAP_PROJECTION": "UTM",
            "DATUM": "WGS84",
            "UTM_ZONE": "20",
            "GRID_CELL_SIZE_REFLECTIVE": "30.00",
            "REFLECTIVE_LINES": str(SIZE[0]),
            "REFLECTIVE_SAMPLES": str(SIZE[1]),
            "CORNER_UL_PROJECTION_X_PRODUCT": f"{CENTRE[0]:.3f}",
            "CORNER_UL_PROJECTION_Y_PRODUCT": f"{CENTRE[1]:.3f}",
            "CORNER_LR_PROJECTION_X_PRODUCT": f"{right:.3f}",
            "CORNER_LR_PROJECTION_Y_PRODUCT": f"{bottom:.3f}",
        },
        "LEVEL2_PROCESSING_RECORD": {
            "LANDSAT_PRODUCT_ID": product,
            "DATE_PRODUCT_GENERATED": "2020-11-06T16:50:03Z",
            "PROCESSING_SOFTWARE_VERSION": "LPGS_15.3.1",
        },
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": {
            f"REFLECTANCE_{part}_BAND_{band}": value
            for band in reflectance
            for part, value in (("MULT", "2.75e-05"), ("ADD", "-0.2"))
        },
        "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS": {
            f"TEMPERATURE_{part}_BAND_{band}": value
            for band in temperature
            for part, value in (("MULT", "0.00341802"), ("ADD", "149.0"))
        },
        "LEVEL1_PROCESSING_RECORD": {"LANDSAT_SCENE_ID": "LC80010622020305LGN00", "PROCESSING_LEVEL": "L1TP"},
    }


def _write_mtl(path: Path, groups: Groups, root: str = "LANDSAT_METADATA_FILE") -> Path:
    if path.suffix == ".json":
        text = json.dumps({root: groups})
    elif path.suffix == ".xml":
        inside = "".join(
            f"<{name}>" + "".join(f"<{key}>{escape(value)}</{key}>" for key, value in keys.items()) + f"</{name}>"
            for name, keys in groups.items()
        )
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{inside}</{root}>'
    else:
        lines = [f"GROUP = {root}"]
        for name, keys in groups.items():
            told = [
                f'    {key} = "{value}"' if value[:1].isalpha() else f"    {key} = {value}"
                for key, value in keys.items()
            ]
            lines += [f"  GROUP = {name}", *told, f"  END_GROUP = {name}"]
        text = "\r\n".join([*lines, f"END_GROUP = {root}", "END", ""])
    path.write_text(text, encoding="utf-8", newline="")
    return path


def _write_tif(path: Path, values: np.ndarray[Any, Any], **profile: Any) -> None:
    transform = Affine(CELL, 0, CENTRE[0] - CELL / 2, 0, -CELL, CENTRE[1] + CELL / 2)
    told = {
        "crs": "EPSG:32620",
        "transform": transform,
        "driver": "GTiff",
        "count": 1,
        "dtype": values.dtype,
        **profile,
    }
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, **told) as dataset:
        for band in range(1, told["count"] + 1):
            dataset.write(values, band)


def _values(name: str) -> np.ndarray[Any, Any]:
    """Numbers that are another for each file."""
    base = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)
    if name == "ST_QA":
        return np.where(base == 0, -9999, base).astype("int16")
    if name == "QA_PIXEL":
        return np.where(base % 3 == 0, 21824, np.where(base % 3 == 1, 22280, 1)).astype("uint16")
    return (base * 100 + sum(map(ord, name))).astype("uint16")


@pytest.fixture
def source() -> Source:
    """The source under test."""
    return load_source("landsat-c2-l2")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a small product, its metadata spelt in the given ways, after a change of them."""

    def product(
        craft: str = "LC08",
        *,
        kinds: tuple[str, ...] = (".txt",),
        edit: Callable[[Groups], None] | None = None,
        level: str = "L2SP",
        root: str = "LANDSAT_METADATA_FILE",
    ) -> Path:
        name = f"{craft}_{level}_001062_20201031_20201106_02_T1"
        folder = tmp_path / "in" / name
        folder.mkdir(parents=True)
        groups = _groups(name, BANDS[craft])
        for band in (*BANDS[craft], "ST_QA", *QUALITY):
            _write_tif(folder / f"{name}_{band}.TIF", _values(band))
        if edit is not None:
            edit(groups)
        for kind in kinds:
            _write_mtl(folder / f"{name}_MTL{kind}", groups, root)
        return folder

    return product


def _set(group: str, key: str, value: str | None) -> Callable[[Groups], None]:
    def edit(groups: Groups) -> None:
        if value is None:
            del groups[group][key]
        else:
            groups[group][key] = value

    return edit


def _rows(scene: Delivered, key: str) -> np.ndarray[Any, Any]:
    raster = next(raster for raster in scene.rasters if raster.key == key)
    found: np.ndarray[Any, Any] = raster.pixels.rows(0, raster.grid.shape.y)
    return found


@pytest.fixture(scope="module")
def real(data_dir: Path) -> Path:
    """Folder of the real scene."""
    return data_dir / "landsat-c2l2" / "LC08_L2SP_001062_20201031_20201106_02_T2"


def test_the_real_scene_has_the_arrays_and_georeference_that_rasterio_reads(real: Path, source: Source) -> None:
    """Every file comes out as GDAL reads it, on the grid of its header."""
    scene = landsat.read(real, source)
    assert len(scene.rasters) == 11
    for raster in scene.rasters:
        with rasterio.open(raster.files[0]) as dataset:
            np.testing.assert_array_equal(raster.pixels.rows(0, dataset.height), dataset.read(1))
            # A grid keeps its phase to 2^-20 of a pixel, here 0.6 mm.
            assert raster.grid.transform.almost_equals(dataset.transform, 1e-3)
            assert (raster.grid.crs, tuple(raster.grid.shape)) == ("EPSG:32620", dataset.shape)
            assert raster.dtype == dataset.dtypes[0]


def test_the_real_scene_is_described_by_its_metadata(real: Path, source: Source) -> None:
    """Date, angles, clouds, tier and scale are those of the MTL; that it was thinned is noted, not refused."""
    scene = landsat.read(real, source)
    assert scene.id == real.name
    assert scene.acquired == datetime(2020, 10, 31, 14, 31, 47, 808399, tzinfo=UTC)
    told = {key: scene.properties[key] for key in ("platform", "instruments", "eo:cloud_cover", "view:sun_azimuth")}
    assert told == {
        "platform": "landsat-8",
        "instruments": ["oli", "tirs"],
        "eo:cloud_cover": 99.94,
        "view:sun_azimuth": 118.08241478,
    }
    assert scene.properties["landsat:collection_category"] == "T2"
    assert scene.properties["grid:code"] == "WRS2-001062"
    red, heat = (next(r for r in scene.rasters if r.key == key) for key in ("red", "lwir11"))
    assert red.radiometry is not None
    assert (red.radiometry.scale, red.radiometry.offset) == (2.75e-05, -0.2)
    assert heat.radiometry is not None
    assert (heat.radiometry.scale, heat.radiometry.offset) == (0.00341802, 149.0)
    assert any("thinned: the metadata claim 7731 x 7581 pixels, there are 386 x 379" in note for note in scene.notes)
    assert any(note.startswith("listed, but not there: st_qa") for note in scene.notes)
    assert [document.key for document in scene.documents] == ["mtl_json", "mtl_txt", "mtl_xml"]


@pytest.mark.parametrize("kind", [".txt", ".json", ".xml"])
def test_any_one_spelling_of_the_metadata_suffices(real: Path, source: Source, tmp_path: Path, kind: str) -> None:
    """The real scene with one of its three metadata files gives the same as with all."""
    folder = tmp_path / real.name
    folder.mkdir()
    for path in [*real.glob("*.TIF"), *real.glob(f"*_MTL{kind}")]:
        shutil.copyfile(path, folder / path.name)
    alone, whole = landsat.read(folder, source), landsat.read(real, source)
    assert (alone.id, alone.acquired, alone.properties) == (whole.id, whole.acquired, whole.properties)
    assert [r.radiometry for r in alone.rasters] == [r.radiometry for r in whole.rasters]


@pytest.mark.parametrize(
    ("craft", "files"),
    [
        ("LC08", {"red": "SR_B4", "nir08": "SR_B5", "lwir11": "ST_B10"}),
        ("LE07", {"red": "SR_B3", "nir08": "SR_B4", "lwir11": "ST_B6"}),
    ],
)
def test_bands_are_named_by_what_they_are_on_each_platform(
    make: Make, source: Source, craft: str, files: dict[str, str]
) -> None:
    """SR_B4 is red of OLI and near infrared of ETM+."""
    scene = landsat.read(make(craft), source)
    for role, file in files.items():
        np.testing.assert_array_equal(_rows(scene, role), _values(file))
    assert ("coastal" in {raster.key for raster in scene.rasters}) == (craft == "LC08")


def test_quality_bits_answer_what_is_clear(make: Make, source: Source) -> None:
    """The rules of the sensor, applied to the delivered layer, keep clear pixels and drop cloud and fill."""
    scene = landsat.read(make(), source)
    layer = next(raster for raster in scene.rasters if raster.key == "qa_pixel")
    assert (layer.nodata, layer.bits[3], layer.bits[9]) == (
        1.0,
        "cloud, high confidence",
        "confidence of cloud, high bit",
    )
    kept = clear_of(load_sensor("landsat-c2-l2").mask.rule("clear"), _rows(scene, "qa_pixel"))
    np.testing.assert_array_equal(kept, _values("QA_PIXEL") == 21824)


def test_saturation_bits_differ_by_instrument(make: Make, source: Source) -> None:
    """Bit 8 is band 9 of OLI and band 6 at high gain of ETM+; bit 9 is a dropped pixel of ETM+ alone."""
    bits = {
        craft: next(r for r in landsat.read(make(craft), source).rasters if r.key == "qa_radsat").bits
        for craft in ("LC08", "LE07")
    }
    assert bits["LC08"][8] == "band 9 saturated"
    assert 9 not in bits["LC08"]
    assert bits["LE07"][8] == "band 6 at high gain saturated"
    assert bits["LE07"][9] == "dropped pixel"


def test_other_layers_keep_their_own_missing_number_and_scale(make: Make, source: Source) -> None:
    """The uncertainty of the temperature is int16 with -9999, in hundredths of a kelvin."""
    scene = landsat.read(make(), source)
    layer = next(raster for raster in scene.rasters if raster.key == "st_qa")
    assert (layer.dtype, layer.nodata, layer.band.unit) == ("int16", -9999.0, "K")
    assert layer.radiometry is not None
    assert layer.radiometry.scale == 0.01


def test_what_was_not_measured_is_left_out(make: Make, source: Source) -> None:
    """Cloud cover -1 says that none was looked for; a sun azimuth west of north is told from 0 to 360."""
    told = landsat.read(make(), source).properties
    assert "eo:cloud_cover" not in told
    assert told["view:sun_azimuth"] == 269.5
    assert told["processing:software"] == {"LPGS": "15.3.1"}


def test_products_are_found_once_whatever_spells_their_metadata(make: Make, tmp_path: Path) -> None:
    """A folder of one product is the delivery; two products in one folder are told by their metadata files."""
    one = make(kinds=(".txt", ".json", ".xml"))
    other = make("LE07")
    assert landsat.find(tmp_path) == sorted([one, other])
    assert landsat.find(one) == [one]
    mtl = one / f"{one.name}_MTL.txt"
    assert landsat.find(mtl) == [mtl]
    for path in other.iterdir():
        path.rename(one / path.name)
    assert [path.name for path in landsat.find(one)] == [f"{one.name}_MTL.json", f"{other.name}_MTL.txt"]


def test_products_in_one_folder_are_read_apart(make: Make, source: Source) -> None:
    """Each metadata file of a shared folder gives its own product."""
    one, other = make(), make("LE07")
    for path in other.iterdir():
        path.rename(one / path.name)
    found = [landsat.read(path, source).id for path in landsat.find(one)]
    assert found == [one.name, other.name]
    with pytest.raises(MetadataError, match="metadata of one product"):
        landsat.read(one, source)


def test_nothing_is_found_in_strange_places(tmp_path: Path) -> None:
    """No file, no folder, a name with a zero byte: nothing is found, and nothing raised."""
    assert landsat.find(tmp_path) == []
    assert landsat.find(tmp_path / "none") == []
    assert landsat.find(Path("a\0b")) == []


def test_metadata_files_that_differ_are_refused(make: Make, source: Source) -> None:
    """Two spellings that tell different times: the message names both files and the field."""
    folder = make(kinds=(".txt", ".json"))
    path = folder / f"{folder.name}_MTL.json"
    path.write_text(path.read_text().replace("14:31:47", "15:31:47"))
    with pytest.raises(MetadataError, match="contradict each other") as caught:
        landsat.read(folder, source)
    assert "SCENE_CENTER_TIME" in caught.value.where
    assert "_MTL.txt" in caught.value.where


def test_a_broken_metadata_file_beside_a_good_one_is_noted(make: Make, source: Source) -> None:
    """One that can be read suffices; that another could not be is told."""
    folder = make(kinds=(".txt", ".json"))
    (folder / f"{folder.name}_MTL.json").write_text("{")
    assert any(note.startswith("not used: the file is not JSON") for note in landsat.read(folder, source).notes)


@pytest.mark.parametrize(
    ("group", "key", "value", "message"),
    [
        ("PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID", "LC08_L2SP_001063_20201031_20201106_02_T1", "two products"),
        ("PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID", "../../etc/passwd", "product id is unusable"),
        ("PRODUCT_CONTENTS", "PROCESSING_LEVEL", "L1TP", "no Level-2 product"),
        ("PRODUCT_CONTENTS", "COLLECTION_NUMBER", "01", "two products"),
        ("IMAGE_ATTRIBUTES", "SPACECRAFT_ID", "LANDSAT_9", "two products"),
        ("IMAGE_ATTRIBUTES", "WRS_ROW", "63", "two products"),
        ("IMAGE_ATTRIBUTES", "DATE_ACQUIRED", "2020-11-30", "two products"),
        ("IMAGE_ATTRIBUTES", "DATE_ACQUIRED", None, "lack a field"),
        ("IMAGE_ATTRIBUTES", "SCENE_CENTER_TIME", None, "lack a field"),
        ("IMAGE_ATTRIBUTES", "SCENE_CENTER_TIME", "14:31:47", "there is no date"),
        ("IMAGE_ATTRIBUTES", "SCENE_CENTER_TIME", "25:31:47Z", "there is no date"),
        ("IMAGE_ATTRIBUTES", "SUN_ELEVATION", "NaN", "hold no number"),
        ("IMAGE_ATTRIBUTES", "SUN_ELEVATION", "120", "out of its range"),
        ("IMAGE_ATTRIBUTES", "CLOUD_COVER", "101", "out of its range"),
        ("LEVEL2_PROCESSING_RECORD", "LANDSAT_PRODUCT_ID", "LC08_L2SP_001062_20201031_20210101_02_T1", "two products"),
        ("LEVEL2_PROCESSING_RECORD", "DATE_PRODUCT_GENERATED", "yesterday", "there is no date"),
        ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "REFLECTANCE_MULT_BAND_4", "1e-4", "not those of the product"),
        ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "REFLECTANCE_ADD_BAND_4", "0", "not those of the product"),
        ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "REFLECTANCE_ADD_BAND_4", None, "lack a field"),
        ("LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", "TEMPERATURE_MULT_BAND_ST_B10", "0.1", "not those of the product"),
        ("PROJECTION_ATTRIBUTES", "UTM_ZONE", "21", "contradict each other: CRS"),
        ("PROJECTION_ATTRIBUTES", "UTM_ZONE", "61", "none of the product's"),
        ("PROJECTION_ATTRIBUTES", "DATUM", "NAD27", "none of the product's"),
        ("PROJECTION_ATTRIBUTES", "CORNER_UL_PROJECTION_X_PRODUCT", "300030", "do not fit the number of pixels"),
        ("PROJECTION_ATTRIBUTES", "REFLECTIVE_LINES", "6", "do not fit the number of pixels"),
        ("PROJECTION_ATTRIBUTES", "REFLECTIVE_LINES", "4.5", "odd size"),
        ("PRODUCT_CONTENTS", "DATA_TYPE_BAND_4", "INT16", "not of the product's kind"),
        (
            "PRODUCT_CONTENTS",
            "FILE_NAME_BAND_4",
            "LC08_L2SP_001062_20201031_20201106_02_T1_SR_B5.TIF",
            "file of another band",
        ),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_refused(
    make: Make, source: Source, group: str, key: str, value: str | None, message: str
) -> None:
    """One field is wrong or gone: the message says which."""
    with pytest.raises(MetadataError if "kind" not in message else AssetError, match=message):
        landsat.read(make(edit=_set(group, key, value)), source)


@pytest.mark.parametrize("key", ["REFLECTIVE_LINES", "REFLECTIVE_SAMPLES"])
def test_absurd_sizes_are_not_believed(make: Make, source: Source, key: str) -> None:
    """A claim of 10^9 pixels is refused before anything is made of it."""
    with pytest.raises(HostileInputError, match="claim more pixels"):
        landsat.read(make(edit=_set("PROJECTION_ATTRIBUTES", key, "1000000000")), source)


def test_scenes_of_antarctica_lie_in_its_own_projection(make: Make, source: Source) -> None:
    """Polar stereographic metadata claim EPSG:3031, which files in UTM contradict."""
    with pytest.raises(MetadataError, match="contradict each other: CRS") as caught:
        landsat.read(make(edit=_set("PROJECTION_ATTRIBUTES", "MAP_PROJECTION", "PS")), source)
    assert "EPSG:3031" in caught.value.expected


def test_a_source_that_does_not_know_the_platform_refuses(make: Make, source: Source) -> None:
    """Another description may leave out a platform, or have no sensor at all."""
    assert source.sensor is not None
    older = replace(source, sensor=replace(source.sensor, platforms=("landsat-5",)))
    folder = make()
    with pytest.raises(AssetError, match="not of this source"):
        landsat.read(folder, older)
    with pytest.raises(InputError, match="no sensor"):
        landsat.read(folder, replace(source, sensor=None))


def test_a_shifted_file_is_refused(make: Make, source: Source) -> None:
    """All corners of the metadata lie one pixel off those of the headers."""

    def shift(groups: Groups) -> None:
        for corner in ("UL", "LR"):
            key = f"CORNER_{corner}_PROJECTION_X_PRODUCT"
            groups["PROJECTION_ATTRIBUTES"][key] = str(float(groups["PROJECTION_ATTRIBUTES"][key]) + CELL)

    with pytest.raises(MetadataError, match="contradict each other: extent"):
        landsat.read(make(edit=shift), source)


@pytest.mark.parametrize("name", ["../secret_SR_B4.TIF", "/etc/x_SR_B4.TIF", "/vsicurl/http://a/b_SR_B4.TIF"])
def test_files_outside_the_folder_are_not_touched(make: Make, source: Source, name: str) -> None:
    """A name in the metadata that leads out of the product is an attack."""
    with pytest.raises(HostileInputError, match="leaves the folder"):
        landsat.read(make(edit=_set("PRODUCT_CONTENTS", "FILE_NAME_BAND_4", name)), source)


def test_a_link_out_of_the_folder_is_not_followed(make: Make, source: Source, tmp_path: Path) -> None:
    """A band that is a symbolic link to another place is an attack too."""
    folder = make()
    band = folder / f"{folder.name}_SR_B4.TIF"
    os.replace(band, tmp_path / "elsewhere.TIF")
    band.symlink_to(tmp_path / "elsewhere.TIF")
    with pytest.raises(HostileInputError, match="leaves the folder"):
        landsat.read(folder, source)


def test_metadata_that_are_a_link_out_of_the_folder_are_not_read(make: Make, source: Source, tmp_path: Path) -> None:
    """Else a product could bring any file of this machine into the catalogue as its metadata."""
    folder = make()
    (tmp_path / "secret").write_text("secret")
    (folder / f"{folder.name}_MTL.json").symlink_to(tmp_path / "secret")
    with pytest.raises(HostileInputError, match="leaves the folder"):
        landsat.read(folder, source)


def test_angle_coefficients_are_kept_if_they_lie_beside(make: Make, source: Source) -> None:
    """The file that the metadata name is a document of the item; a name with a path is not looked at."""
    name = "LC08_L2SP_001062_20201031_20201106_02_T1_ANG.txt"
    folder = make(edit=_set("PRODUCT_CONTENTS", "FILE_NAME_ANGLE_COEFFICIENT", name))
    assert [document.key for document in landsat.read(folder, source).documents] == ["mtl_txt"]
    (folder / name).write_text("angles")
    assert [document.key for document in landsat.read(folder, source).documents] == ["mtl_txt", "ang"]


def test_level_1_is_refused_by_name(make: Make, source: Source) -> None:
    """A Level-1 product is found, and refused for what it is."""
    folder = make(level="L1TP")
    assert landsat.find(folder) == [folder]
    with pytest.raises(MetadataError, match="no Level-2 product") as caught:
        landsat.read(folder, source)
    assert "L1TP" in caught.value.got


def test_collection_1_is_refused_by_name(make: Make, source: Source) -> None:
    """Older products have another root, and another scale."""
    with pytest.raises(MetadataError, match="no metadata of Landsat Collection 2"):
        landsat.read(make(root="L1_METADATA_FILE"), source)


def test_a_product_of_temperature_alone_is_taken_and_one_of_neither_refused(make: Make, source: Source) -> None:
    """Bands that are not there are told; with none of them there is nothing to take."""
    folder = make()
    for path in folder.glob("*_SR_B*.TIF"):
        path.unlink()
    scene = landsat.read(folder, source)
    assert next(raster.key for raster in scene.rasters) == "lwir11"
    assert any("red (SR_B4)" in note for note in scene.notes)
    (folder / f"{folder.name}_ST_B10.TIF").unlink()
    with pytest.raises(AssetError, match="neither surface reflectance nor surface temperature"):
        landsat.read(folder, source)


def test_without_quality_bits_nothing_is_said_to_be_clear(make: Make, source: Source) -> None:
    """The scene is taken; that its mask is missing is told."""
    folder = make()
    (folder / f"{folder.name}_QA_PIXEL.TIF").unlink()
    assert any("nothing tells which pixels are clear" in note for note in landsat.read(folder, source).notes)


@pytest.mark.parametrize(
    ("values", "profile", "error", "message"),
    [
        (np.zeros(SIZE, "float32"), {}, AssetError, "not of the product's kind"),
        (np.zeros(SIZE, "uint16"), {"count": 2}, AssetError, "not of the product's kind"),
        (np.zeros(SIZE, "uint16"), {"nodata": 7}, MetadataError, "disagree on the nodata"),
        (np.zeros(SIZE, "uint16"), {"crs": "EPSG:32621"}, MetadataError, "contradict each other: CRS"),
        (np.zeros((10, 14), "uint16"), {"transform": Affine(15, 0, 299985, 0, -15, -59985)}, MetadataError, "size"),
    ],
)
def test_files_of_another_kind_are_refused(
    make: Make, source: Source, values: Any, profile: dict[str, Any], error: type[TerraCubeError], message: str
) -> None:
    """Another type, several bands, another number for missing, another CRS, finer pixels than claimed."""
    folder = make()
    _write_tif(folder / f"{folder.name}_SR_B4.TIF", values, **profile)
    with pytest.raises(error, match=message):
        landsat.read(folder, source)


def test_a_vrt_named_tif_is_refused(make: Make, source: Source) -> None:
    """What a file holds decides, not its name."""
    folder = make()
    (folder / f"{folder.name}_SR_B4.TIF").write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with pytest.raises(HostileInputError):
        landsat.read(folder, source)


def test_a_cut_off_band_fails_with_its_name(make: Make, source: Source) -> None:
    """Half a file: its header, or its pixels, cannot be read; the message names it."""
    folder = make()
    path = folder / f"{folder.name}_SR_B4.TIF"
    _write_tif(path, _values("SR_B4"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TerraCubeError) as caught:
        _rows(landsat.read(folder, source), "red")
    assert "SR_B4" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (".txt", "GROUP = LANDSAT_METADATA_FILE\n", "cut off"),
        (".txt", "nonsense\nEND\n", "line 1"),
        (".txt", "KEY = 1\nEND\n", "in no group"),
        (".txt", "END_GROUP = A\nEND\n", "END_GROUP = A"),
        (".txt", "GROUP = A\nGROUP = B\nC = 1\nC = 2\nEND_GROUP = B\nEND_GROUP = A\nEND\n", "twice"),
        (".txt", "GROUP = A\n" * 9, "GROUP = A"),
        (".json", '{"LANDSAT_METADATA_FILE": []}', "no object of groups"),
        (".json", '{"LANDSAT_METADATA_FILE": {"A": {"B": [1]}}}', "malformed"),
        (".json", "[]", "not an object"),
        (".xml", "<LANDSAT_METADATA_FILE><A><B><C/></B></A></LANDSAT_METADATA_FILE>", "elements in it"),
        (".xml", "<other/>", "no metadata of Landsat Collection 2"),
        (".xml", "<open>", "no XML"),
    ],
)
def test_malformed_metadata_are_refused_with_their_place(tmp_path: Path, kind: str, text: str, message: str) -> None:
    """What cannot be parsed names the file, and the line where there are lines."""
    path = tmp_path / f"X_MTL{kind}"
    path.write_text(text)
    with pytest.raises((AssetError, MetadataError), match=message):
        read_mtl(path)


def test_an_entity_bomb_is_refused_even_beside_good_metadata(make: Make, source: Source) -> None:
    """XML that declares entities is hostile, whatever else is there."""
    folder = make(kinds=(".txt",))
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    (folder / f"{folder.name}_MTL.xml").write_text(bomb)
    with pytest.raises(HostileInputError, match="entities"):
        landsat.read(folder, source)


def test_no_metadata_file_is_refused(tmp_path: Path, source: Source) -> None:
    """An empty folder, and a path that is none."""
    with pytest.raises(MetadataError, match="metadata of one product"):
        landsat.read(tmp_path, source)
    with pytest.raises(AssetError, match="cannot read the folder"):
        landsat.read(tmp_path / "none" / "X_MTL.txt", source)
    with pytest.raises(AssetError, match="no metadata file"):
        settle([])


def test_the_real_scene_becomes_an_item_of_which_a_cube_is_made(
    real: Path, tmp_path: Path, validate_stac: Callable[[dict[str, Any]], None]
) -> None:
    """From a tar: valid COGs with the delivered numbers, a valid item, and reflectance as the guide scales it."""
    packed = tmp_path / f"{real.name}.tar"
    with tarfile.open(packed, "w") as archive:
        archive.add(real, real.name)
    catalog = Catalog.create(tmp_path / "catalog")
    report = ingest("landsat-c2-l2", [packed], catalog)
    assert (report.taken, report.refused) == ([real.name], [])
    (item,) = catalog.search(Query())
    validate_stac(item.to_dict())
    for key, asset in item.assets.items():
        path = Path(asset.get_absolute_href() or "")
        if path.suffix == ".tif":
            assert cog_validate(str(path), strict=True, quiet=True)[0], key
    with rasterio.open(real / f"{real.name}_SR_B4.TIF") as red, rasterio.open(real / f"{real.name}_QA_PIXEL.TIF") as qa:
        numbers, bits = red.read(1), qa.read(1)
    cube = load([item], bands=["red"], mask="clear", chunks=None)["red"].to_numpy()[0]
    kept = (numbers != 0) & (bits & 0b11111 == 0)
    np.testing.assert_allclose(cube, np.where(kept, numbers * 2.75e-05 - 0.2, np.nan).astype("float32"), atol=1e-6)
    assert ingest("landsat-c2-l2", [real], catalog).already == [real.name]


def test_a_level_1_product_is_refused_in_the_report(make: Make, tmp_path: Path) -> None:
    """The rest goes on: a good product beside one of Level-1."""
    good, bad = make(), make("LE07", level="L1TP")
    report = ingest("landsat-c2-l2", [good.parent], Catalog.create(tmp_path / "catalog"))
    assert report.taken == [good.name]
    assert [refusal.path for refusal in report.refused] == [str(bad)]
    assert "no Level-2 product" in report.refused[0].reason


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that examples of one property share."""
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from([".txt", ".json", ".xml"]), data=st.binary(max_size=300))
def test_any_bytes_give_metadata_or_our_error(scratch: Path, kind: str, data: bytes) -> None:
    """Parsers raise nothing but errors of TerraCube."""
    path = scratch / f"any_MTL{kind}"
    path.write_bytes(data)
    with contextlib.suppress(TerraCubeError):
        read_mtl(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([".txt", ".json", ".xml"]),
    where=st.floats(0, 1),
    cut=st.integers(0, 12),
    put=st.binary(max_size=12),
)
def test_damaged_metadata_never_escape_our_errors(
    scratch: Path, source: Source, kind: str, where: float, cut: int, put: bytes
) -> None:
    """Metadata of a good product with a few bytes changed: a scene, or an error of TerraCube."""
    name = "LC08_L2SP_001062_20201031_20201106_02_T1"
    folder = scratch / name
    if not folder.is_dir():
        folder.mkdir()
        for band in ("SR_B4", "QA_PIXEL"):
            _write_tif(folder / f"{name}_{band}.TIF", _values(band))
    for old in folder.glob("*_MTL*"):
        old.unlink()
    path = _write_mtl(folder / f"{name}_MTL{kind}", _groups(name, BANDS["LC08"]))
    text = path.read_bytes()
    at = int(where * len(text))
    path.write_bytes(text[:at] + put + text[at + cut :])
    with contextlib.suppress(TerraCubeError):
        assert landsat.read(folder, source).acquired.tzinfo is UTC
