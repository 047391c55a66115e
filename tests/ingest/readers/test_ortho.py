"""Orthoimages with side-cars: what the user tells, what the image tells, and what happens where they differ."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from terracube.core.errors import HostileInputError, MetadataError, TerraCubeError
from terracube.ingest import ingest
from terracube.ingest.readers.images import ortho
from terracube.ingest.sources import load_source
from terracube.stac import Catalog

SOURCE = load_source("ortho")
TOLD: dict[str, Any] = {
    "datetime": "2021-07-14T12:32:00+02:00",
    "licence": "CC-BY-4.0",
    "attribution": "Survey of the valley",
    "access": "licensed:dinamis",
    "platform": "aerial",
    "gsd": 0.2,
    "nodata": 0,
    "bands": [
        {"role": "red"},
        {"role": "green", "scale": 0.0001, "unit": "1"},
        {"role": "nir", "center_wavelength": 0.85},
    ],
}
VALUES = np.arange(3 * 40 * 30, dtype="uint16").reshape(3, 40, 30)


def image(folder: Path, name: str = "ortho_2021.tif", values: Any = VALUES, **profile: Any) -> Path:
    """Write an image."""
    path = folder / name
    told = {"crs": "EPSG:2154", "transform": from_origin(700_000, 6_600_000, 0.2, 0.2), "driver": "GTiff"} | profile
    count, height, width = values.shape
    scales = told.pop("scales", None)
    with rasterio.open(path, "w", count=count, height=height, width=width, dtype=values.dtype, **told) as target:
        target.write(values)
        if scales:
            target.scales = scales
    return path


def tell(path: Path, *without: str, **changes: Any) -> Path:
    """Write the side-car of an image."""
    told = {key: value for key, value in (TOLD | changes).items() if key not in without}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(told))
    return path


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """An image with its side-car."""
    return tell(image(tmp_path))


def expect(path: Path, kind: type[TerraCubeError], *words: str) -> None:
    """Reading raises this kind of error, and the message holds these words."""
    with pytest.raises(kind) as error:
        ortho.read(path, SOURCE)
    for word in words:
        assert word in str(error.value)


def test_bands_and_what_is_told(told: Path) -> None:
    """Each band is a layer of its role; date, licence and access class are those of the side-car."""
    scene = pickle.loads(pickle.dumps(ortho.read(told, SOURCE)))
    assert scene.id == "ortho_2021"
    assert scene.acquired.isoformat() == "2021-07-14T10:32:00+00:00"
    assert [raster.key for raster in scene.rasters] == ["red", "green", "nir"]
    for number, raster in enumerate(scene.rasters):
        assert np.array_equal(raster.pixels.rows(0, 40), VALUES[number])
        assert (raster.grid.crs, raster.nodata) == ("EPSG:2154", 0)
        assert raster.files == (told, told.with_suffix(".yaml"))
    assert scene.rasters[1].radiometry.scale == 1e-4
    assert scene.rasters[2].band.center_wavelength == 0.85
    assert scene.source.access == "licensed:dinamis"
    assert scene.source.attribution == "Survey of the valley"
    assert scene.properties["license"] == "CC-BY-4.0"
    assert (scene.properties["platform"], scene.properties["gsd"]) == ("aerial", 0.2)


def test_from_delivery_to_item(told: Path, catalog: Catalog, validate_stac: Callable[[dict[str, Any]], None]) -> None:
    """Ingested: a valid item with the licence and access class of the image, and equal pixels."""
    report = ingest(SOURCE.name, [told.parent], catalog)
    assert report.taken == ["ortho_2021"], report.refused
    item = catalog.find("ortho_2021", SOURCE.name)
    validate_stac(item.to_dict())
    assert item.properties["license"] == "CC-BY-4.0"
    assert item.properties["terracube:access"] == "licensed:dinamis"
    with rasterio.open(item.assets["nir"].get_absolute_href()) as dataset:
        assert np.array_equal(dataset.read(1), VALUES[2])


def test_side_cars_of_both_kinds(tmp_path: Path) -> None:
    """JSON says the same as YAML, also named with the whole name of the image."""
    path = image(tmp_path)
    Path(f"{path}.json").write_text(json.dumps(TOLD))
    assert ortho.read(path, SOURCE).rasters[1].radiometry.scale == 1e-4
    tell(path)
    expect(path, MetadataError, "several files")


def test_intervals(told: Path) -> None:
    """A mosaic of several days tells the first and the last."""
    tell(told, "datetime", start_datetime="2021-07-14T00:00:00Z", end_datetime="2021-07-20T00:00:00Z")
    scene = ortho.read(told, SOURCE)
    assert scene.interval is not None
    assert (scene.interval[1] - scene.acquired).days == 6
    tell(told, "datetime", start_datetime="2021-07-14T00:00:00Z")
    expect(told, MetadataError, "both ends")
    tell(told, "datetime", start_datetime="2021-07-14T00:00:00Z", end_datetime="2021-07-10T00:00:00Z")
    expect(told, MetadataError, "before")


def test_no_side_car(tmp_path: Path) -> None:
    """Without a side-car the message says how to write one."""
    expect(image(tmp_path), MetadataError, "ortho_2021.yaml", "datetime: 2021-07-14T10:32:00Z", "licence")


@pytest.mark.parametrize("name", ["datetime", "licence", "bands", "nodata"])
def test_what_is_lacking_is_named(told: Path, name: str) -> None:
    """Date, licence, bands and the number for missing are never guessed."""
    tell(told, name)
    expect(told, MetadataError, name, "ortho_2021.yaml")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"datetime": "2021-07-14T10:32:00"}, "datetime"),
        ({"datetime": "14.7.2021"}, "datetime"),
        ({"datetime": None}, "date"),
        ({"colour": "red"}, "colour"),
        ({"access": "mine"}, "access"),
        ({"gsd": -1}, "gsd"),
        ({"nodata": "zero"}, "nodata"),
        ({"nodata": -5}, "nodata"),
        ({"nodata": 70000}, "nodata"),
        ({"bands": [{"role": "red"}]}, "bands"),
        ({"bands": [{"role": "red"}, {"role": "grun"}, {"role": "nir"}]}, "grun"),
        ({"bands": [{"role": "red", "scale": 0}, {"role": "green"}, {"role": "nir"}]}, "bands.0.scale"),
        ({"bands": "red"}, "bands"),
        ({"sun_elevation": float("nan")}, "sun_elevation"),
    ],
)
def test_fields_that_are_wrong(told: Path, changes: dict[str, Any], word: str) -> None:
    """A field that is wrong is named."""
    tell(told, **changes)
    expect(told, MetadataError, word)


def test_number_for_missing(tmp_path: Path) -> None:
    """That of the image holds; a side-car that says otherwise is a contradiction; none is said by none."""
    path = tell(image(tmp_path, nodata=65535), "nodata")
    assert ortho.read(path, SOURCE).rasters[0].nodata == 65535
    expect(tell(path, nodata=0), MetadataError, "disagree")
    expect(tell(path, nodata="none"), MetadataError, "disagree")
    other = tell(image(tmp_path, "other.tif"), nodata="none")
    assert ortho.read(other, SOURCE).rasters[0].nodata is None


def test_scale_of_the_image(tmp_path: Path) -> None:
    """Scale and offset in the header hold; a side-car that says otherwise is a contradiction."""
    path = image(tmp_path, scales=(0.01, 0.0001, 0.01))
    scene = ortho.read(tell(path), SOURCE)
    assert [raster.radiometry.scale for raster in scene.rasters] == [0.01, 0.0001, 0.01]
    tell(path, bands=[{"role": "red", "scale": 0.5}, *TOLD["bands"][1:]])
    expect(path, MetadataError, "disagree", "bands.0")


def test_names_and_folders(tmp_path: Path, told: Path) -> None:
    """All images below a folder are found, side-cars and others are not."""
    (tmp_path / "sub").mkdir()
    second = image(tmp_path / "sub", "b.TIFF")
    (tmp_path / "notes.txt").write_text("x")
    assert ortho.find(tmp_path) == sorted([told, second])
    assert ortho.find(told) == [told]
    assert ortho.find(told.with_suffix(".yaml")) == []
    assert ortho.find(tmp_path / "absent") == []


def test_image_that_is_a_vrt(tmp_path: Path) -> None:
    """A VRT named .tif does not reach GDAL."""
    path = tmp_path / "a.tif"
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"/>')
    expect(tell(path), HostileInputError, "a.tif")


def test_absurd_sizes(tmp_path: Path) -> None:
    """An image that claims 10^9 pixels is refused by its header."""
    path = tmp_path / "a.tif"
    size = {"width": 1_000_000, "height": 1000, "count": 3, "dtype": "uint8", "SPARSE_OK": "TRUE", "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:2154", transform=from_origin(7e5, 6e6, 1, 1), **size):
        pass
    expect(tell(path), HostileInputError, "1000000")


def test_image_without_place(tmp_path: Path) -> None:
    """An image without a CRS lies nowhere."""
    expect(tell(image(tmp_path, crs=None)), MetadataError, "CRS")


@pytest.mark.parametrize("text", ["a: &b [1]\nc: *b", "[" * 60, "- 1", "a: b: c", "\x00", "{1: 2}"])
def test_side_cars_that_are_hostile_or_none(told: Path, text: str) -> None:
    """References, depth and nonsense are refused, not followed."""
    told.with_suffix(".yaml").write_text(text)
    expect(told, TerraCubeError, "ortho_2021.yaml")


def test_side_car_that_is_too_large(told: Path) -> None:
    """A side-car is small."""
    told.with_suffix(".yaml").write_text("#" * 100_000)
    expect(told, HostileInputError, "too large")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_side_car(told: Path, junk: bytes) -> None:
    """Whatever bytes a side-car holds, it is refused with one of our errors."""
    told.with_suffix(".yaml").write_bytes(junk)
    with suppress(TerraCubeError):
        ortho.read(told, SOURCE)
