"""Elevation models: the vertical datum is kept where it is told, asked for where it is not, and never guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from pyproj import CRS
from rasterio.transform import from_origin

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.ingest import ingest
from terracube.ingest.readers.images import dem
from terracube.ingest.sources import load_source
from terracube.stac import Catalog

SOURCE = load_source("dem")
HEIGHTS = np.linspace(-3.0, 2500.0, 20 * 30).reshape(20, 30).astype("float32")
TOLD = {"datetime": "2015-06-01T00:00:00Z", "licence": "CC-BY-4.0", "vertical_datum": "EPSG:5773", "nodata": -9999}
COPERNICUS = "Copernicus_DSM_COG_10_N45_00_E007_00_DEM"


def model(folder: Path, name: str = "heights.tif", *, crs: str = "EPSG:4326", unit: str = "", **profile: Any) -> Path:
    """Write an elevation model."""
    path = folder / name
    step = 0.001 if CRS.from_user_input(crs).is_geographic else 30.0
    told = {"driver": "GTiff", "transform": from_origin(7, 46, step, step), "crs": CRS.from_user_input(crs).to_wkt()}
    values = profile.pop("values", HEIGHTS)
    size = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype}
    with rasterio.open(path, "w", **(told | size | profile)) as target:
        target.write(values, 1)
        if unit:
            target.units = (unit,)
    return path


def tell(path: Path, *without: str, **changes: Any) -> Path:
    """Write the side-car of a model."""
    told = {key: value for key, value in (TOLD | changes).items() if key not in without}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(told))
    return path


def expect(path: Path, kind: type[TerraCubeError], *words: str) -> None:
    """Reading raises this kind of error, and the message holds these words."""
    with pytest.raises(kind) as error:
        dem.read(path, SOURCE)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("crs", "vertical", "horizontal"),
    [
        ("EPSG:4326+3855", "EPSG:3855", "EPSG:4326"),
        ("EPSG:32632+5773", "EPSG:5773", "EPSG:32632"),
        ("EPSG:4979", "EPSG:4979", "EPSG:4326"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_datum_of_the_header(tmp_path: Path, crs: str, vertical: str, horizontal: str, version: str) -> None:
    """A compound CRS tells the datum, one of three dimensions the ellipsoid; the grid is that of the map."""
    if version == "1.0" and crs == "EPSG:4979":
        pytest.skip("GeoTIFF 1.0 knows no CRS of three dimensions, so that such a file cannot be written")
    path = tell(model(tmp_path, crs=crs, GEOTIFF_VERSION=version), "vertical_datum")
    scene = dem.read(path, SOURCE)
    raster = scene.rasters[0]
    assert raster.grid.crs == horizontal
    assert scene.properties["terracube:vertical_datum"] == vertical
    assert scene.properties["terracube:vertical_datum_told_by"] == "header of the file"
    assert np.array_equal(raster.pixels.rows(0, 20), HEIGHTS)
    assert (raster.key, raster.unit, raster.nodata) == ("elevation", "m", -9999)


def test_from_delivery_to_item(
    tmp_path: Path, catalog: Catalog, validate_stac: Callable[[dict[str, Any]], None]
) -> None:
    """Ingested: a valid item that tells what its heights refer to."""
    (tmp_path / "in").mkdir()
    model(tmp_path / "in", f"{COPERNICUS}.tif")
    report = ingest(SOURCE.name, [tmp_path / "in"], catalog)
    assert report.taken == [COPERNICUS], report.refused
    item = catalog.find(COPERNICUS, SOURCE.name)
    validate_stac(item.to_dict())
    assert item.properties["terracube:vertical_datum"] == "EPSG:3855"
    with rasterio.open(item.assets["elevation"].get_absolute_href()) as dataset:
        assert np.array_equal(dataset.read(1), HEIGHTS)


def test_datum_of_the_side_car(tmp_path: Path) -> None:
    """Where the file is silent, the side-car tells it; ellipsoidal heights are told by a CRS of three dimensions."""
    path = tell(model(tmp_path))
    assert dem.read(path, SOURCE).properties["terracube:vertical_datum"] == "EPSG:5773"
    scene = dem.read(tell(path, vertical_datum="EPSG:4979"), SOURCE)
    assert scene.properties["terracube:vertical_datum"] == "EPSG:4979"
    assert scene.properties["license"] == "CC-BY-4.0"


def test_datum_is_asked_for(tmp_path: Path) -> None:
    """Where nobody tells it, the message says how to."""
    expect(
        tell(model(tmp_path), "vertical_datum"), MetadataError, "refer to", "heights.yaml", "vertical_datum: EPSG:5773"
    )


def test_datums_that_contradict(tmp_path: Path) -> None:
    """Header and side-car that name different datums are an error."""
    expect(tell(model(tmp_path, crs="EPSG:9518")), MetadataError, "two vertical datums", "EGM2008", "EGM96")


@pytest.mark.parametrize("text", ["EPSG:4326", "EPSG:32632", "sea", "EPSG:999999", "9"])
def test_datums_that_are_none(tmp_path: Path, text: str) -> None:
    """A map projection is no vertical datum."""
    expect(tell(model(tmp_path), vertical_datum=text), MetadataError, "vertical")


def test_feet_become_metres(tmp_path: Path) -> None:
    """Heights in feet keep their numbers, and a scale that gives metres."""
    path = tell(model(tmp_path, unit="ft", values=(HEIGHTS / 0.3048).astype("float32")), vertical_datum="EPSG:8228")
    raster = dem.read(path, SOURCE).rasters[0]
    assert raster.radiometry is not None
    assert raster.unit == "m"
    found = raster.pixels.rows(0, 20) * raster.radiometry.scale + raster.radiometry.offset
    assert np.allclose(found, HEIGHTS, atol=1e-3)


def test_units_that_contradict(tmp_path: Path) -> None:
    """A file in feet with a datum in metres is an error, and so is a unit that is none."""
    expect(tell(model(tmp_path, unit="ft")), MetadataError, "unit", "ft", "metre")
    expect(tell(model(tmp_path, "b.tif"), unit="furlong"), MetadataError, "unit", "furlong")


@pytest.mark.parametrize("name", ["datetime", "licence", "nodata"])
def test_what_is_lacking_is_named(tmp_path: Path, name: str) -> None:
    """Date, licence and the number for missing are never guessed."""
    told = {"datetime": "of when", "licence": "licence", "nodata": "missing"}[name]
    expect(tell(model(tmp_path), name), MetadataError, told)


def test_known_product(tmp_path: Path) -> None:
    """A Copernicus tile needs no side-car: what its documentation fixes is taken, and that is told."""
    path = model(tmp_path, f"{COPERNICUS}.tif")
    scene = dem.read(path, SOURCE)
    assert scene.properties["terracube:vertical_datum"] == "EPSG:3855"
    assert "Copernicus DEM" in scene.properties["terracube:vertical_datum_told_by"]
    assert any("GEO.2018-1988-2" in note for note in scene.notes)
    assert scene.interval is not None
    assert scene.interval[0].year == 2010
    assert scene.rasters[0].nodata == -32767
    assert scene.rasters[0].files == (path,)
    assert "Copernicus" in scene.source.attribution


def test_known_product_with_another_datum(tmp_path: Path) -> None:
    """A file of a known name that says otherwise is not believed, nor is the name."""
    expect(model(tmp_path, f"{COPERNICUS}.tif", crs="EPSG:32632+5773"), MetadataError, "two vertical datums")


def test_names_that_only_look_known(tmp_path: Path) -> None:
    """A name that merely begins like a known one is not known."""
    expect(model(tmp_path, f"{COPERNICUS}_warped.tif"), MetadataError)


def test_every_known_product_is_sound() -> None:
    """What the description of the source says of products can be used."""
    for told in SOURCE.options["products"]:
        assert CRS.from_user_input(told["vertical_datum"]).is_vertical
        assert told["reference"]
        assert len(told["interval"]) == 2


def test_scale_of_the_file(tmp_path: Path) -> None:
    """Decimetres in whole numbers, with a scale in the header, become metres."""
    path = model(tmp_path, values=(HEIGHTS * 10).astype("int16"))
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (0.1,), (5.0,)
    rule = dem.read(tell(path), SOURCE).rasters[0].radiometry
    assert rule is not None
    assert (rule.scale, rule.offset) == (0.1, 5.0)


def test_files_that_are_no_model(tmp_path: Path) -> None:
    """Two bands, too many pixels, or no raster at all."""
    path = tmp_path / "two.tif"
    size = {"width": 4, "height": 4, "count": 2, "dtype": "float32"}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:9518", transform=from_origin(7, 46, 0.1, 0.1), **size) as t:
        t.write(np.zeros((2, 4, 4), "float32"))
    expect(path, AssetError, "one band")
    small = replace(SOURCE, options={**SOURCE.options, "largest_side": 10})
    with pytest.raises(HostileInputError):
        dem.read(tell(model(tmp_path)), small)
    (tmp_path / "vrt.tif").write_text("<VRTDataset/>")
    expect(tmp_path / "vrt.tif", HostileInputError, "vrt.tif")
    assert dem.find(tmp_path) == sorted(tmp_path.glob("*.tif"))


def test_real_model(data_dir: Path, tmp_path: Path) -> None:
    """The elevation model of a real stack is asked for its datum, and read once that is told."""
    found = sorted((data_dir / "insar" / "mexico-sentinel1").rglob("*dem*.tif"))
    if not found:
        pytest.skip("the elevation model of insar/mexico-sentinel1 is absent")
    path = tmp_path / found[0].name
    path.write_bytes(found[0].read_bytes())
    expect(path, MetadataError)
    scene = dem.read(tell(path, vertical_datum="EPSG:5773"), SOURCE) if _silent(path) else None
    if scene is not None:
        with rasterio.open(path) as dataset:
            assert np.array_equal(scene.rasters[0].pixels.rows(0, dataset.height), dataset.read(1))


def _silent(path: Path) -> bool:
    with rasterio.open(path) as dataset:
        return dataset.nodata is None or dataset.nodata == TOLD["nodata"]
