"""Sentinel-3 OLCI water products: small SEN3 folders as the format describes them, gridded, and the truth."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer

import terracube.cubes.sources as cube_sources
from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError, TerraCubeError
from terracube.core.sensors import clear_of
from terracube.cubes import load
from terracube.ingest import ingest
from terracube.ingest.readers.ocean import sen3 as olci
from terracube.ingest.scene import Delivered, Raster
from terracube.ingest.sources import load_source
from terracube.stac import Catalog

NAME = "S3A_OL_2_WFR____20230506T091023_20230506T091323_20230506T112056_0180_098_264_1980_MAR_O_NR_003"
SHAPE = (60, 48)
SOURCE = load_source("sentinel-3-olci-l2-water")
MASKS = [1 << bit for bit in range(20)] + [1 << bit for bit in (21, 23, 24, 25, 26, 27, 28, *range(32, 56))]
RADIUS_EARTH = 6_370_997.0  # of pyresample's sphere, on which distances are compared

Edit = Callable[[netCDF4.Dataset], None]


def positions(origin: tuple[float, float] = (5.0, 54.0), spacing: float = 0.0027) -> tuple[Any, Any]:
    """Longitude and latitude of a turned swath, in degrees."""
    i, j = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    along, across = i * spacing, j * spacing
    lat = origin[1] - along * 0.97 - across * 0.24
    lon = origin[0] + (across * 0.97 - along * 0.24) / np.cos(np.radians(origin[1]))
    return (lon + 180) % 360 - 180, lat


def write(path: Path, name: str, values: NDArray[Any], *, product: str = NAME, **attributes: Any) -> None:
    """Write one variable as a product file holds it, in what is stored; ``file:variable`` names it."""
    file, _, variable = name.partition(":")
    there = (path / file).exists()
    with netCDF4.Dataset(path / file, "a" if there else "w") as data:
        if not there:
            data.product_name = f"{product}.SEN3"
            data.createDimension("rows", values.shape[0])
            data.createDimension("columns", values.shape[1])
        fill = attributes.pop("_FillValue", None)
        made = data.createVariable(variable, values.dtype, ("rows", "columns"), zlib=True, fill_value=fill)
        made.set_auto_maskandscale(False)
        made.setncatts(attributes)
        made[:] = values


def manifest(path: Path, lon: Any, lat: Any, *, name: str = NAME, kind: str = "OL_2_WFR___") -> None:
    """Write the manifest, with sizes of the files that are there."""
    edge = np.concatenate([np.stack(side, -1) for side in _sides(lat, lon)])
    files = "".join(
        f'<dataObject ID="{one.stem}"><byteStream mimeType="application/x-netcdf" size="{one.stat().st_size}">'
        f'<fileLocation locatorType="URL" href="./{one.name}"/></byteStream></dataObject>'
        for one in sorted(path.glob("*.nc"))
    )
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:sentinel-safe="http://www.esa.int/safe/sentinel/1.1"
 xmlns:sentinel3="http://www.esa.int/safe/sentinel/sentinel-3/1.0" xmlns:gml="http://www.opengis.net/gml">
<metadataSection>
<metadataObject ID="acquisitionPeriod"><metadataWrap><xmlData><sentinel-safe:acquisitionPeriod>
<sentinel-safe:startTime>2023-05-06T09:10:22.965432Z</sentinel-safe:startTime>
<sentinel-safe:stopTime>2023-05-06T09:13:22.965432Z</sentinel-safe:stopTime>
</sentinel-safe:acquisitionPeriod></xmlData></metadataWrap></metadataObject>
<metadataObject ID="platform"><sentinel-safe:platform><sentinel-safe:familyName>Sentinel-3</sentinel-safe:familyName>
<sentinel-safe:number>A</sentinel-safe:number></sentinel-safe:platform></metadataObject>
<metadataObject ID="measurementOrbitReference"><sentinel-safe:orbitReference>
<sentinel-safe:orbitNumber type="start" groundTrackDirection="descending">37452</sentinel-safe:orbitNumber>
<sentinel-safe:relativeOrbitNumber type="start">264</sentinel-safe:relativeOrbitNumber>
</sentinel-safe:orbitReference></metadataObject>
<metadataObject ID="measurementFrameSet"><sentinel-safe:frameSet><sentinel-safe:footPrint>
<gml:posList>{" ".join(f"{a:.6f} {b:.6f}" for a, b in edge)}</gml:posList>
</sentinel-safe:footPrint></sentinel-safe:frameSet></metadataObject>
<metadataObject ID="generalProductInformation"><sentinel3:generalProductInformation>
<sentinel3:productName>{name}.SEN3</sentinel3:productName><sentinel3:productType>{kind}</sentinel3:productType>
<sentinel3:timeliness>NR</sentinel3:timeliness><sentinel3:baselineCollection>003</sentinel3:baselineCollection>
</sentinel3:generalProductInformation></metadataObject>
</metadataSection><dataObjectSection>{files}</dataObjectSection></xfdu:XFDU>"""
    (path / "xfdumanifest.xml").write_text(text)


def _sides(lat: Any, lon: Any) -> list[tuple[Any, Any]]:
    return [(lat[0], lon[0]), (lat[:, -1], lon[:, -1]), (lat[-1, ::-1], lon[-1, ::-1]), (lat[::-1, 0], lon[::-1, 0])]


def flags() -> NDArray[np.uint64]:
    """Flags of which every sample has WATER, some CLOUD or RWNEG_O4, one row the highest bit."""
    found = np.full(SHAPE, 2, "uint64")
    found[10:20, 10:20] |= np.uint64(8)
    found[30] |= np.uint64(1 << 55)
    found[40:44, 5:9] |= np.uint64(1 << 43)
    return found


def product(folder: Path, lon: Any, lat: Any, *, name: str = NAME, kind: str = "OL_2_WFR___") -> Path:
    """Write a product of one reflectance, one logarithm, one linear product, and flags."""
    path = folder / f"{name}.SEN3"
    path.mkdir(parents=True)
    told = {"product": name, "_FillValue": -(1 << 31), "scale_factor": 1e-6, "add_offset": 0.0}
    for axis, values, unit in (("latitude", lat, "degrees_north"), ("longitude", lon, "degrees_east")):
        stored = np.where(np.isfinite(values), np.round(values / 1e-6), -(1 << 31)).astype("int32")
        write(path, f"geo_coordinates.nc:{axis}", stored, standard_name=axis, units=unit, **told)
    number = np.arange(SHAPE[0] * SHAPE[1], dtype="uint16").reshape(SHAPE)
    reflectance = {"scale_factor": 2e-5, "add_offset": -0.01, "_FillValue": np.uint16(65535), "product": name}
    write(path, "Oa08_reflectance.nc:Oa08_reflectance", number, **reflectance)
    write(path, "Oa08_reflectance.nc:Oa08_reflectance_unc", number, **reflectance)
    chl = (number % 200).astype("uint8")
    chl[5, 5] = 255
    log = {"scale_factor": 0.015, "add_offset": -2.0, "_FillValue": np.uint8(255), "units": "lg(re mg.m-3)"}
    write(path, "chl_nn.nc:CHL_NN", chl, product=name, **log)
    water = {"scale_factor": 0.3, "add_offset": 0.0, "_FillValue": np.uint8(255), "units": "kg.m-2", "product": name}
    write(path, "iwv.nc:IWV", chl, **water)
    meanings = " ".join(_meaning(bit) for bit in range(64) if 1 << bit in MASKS)
    masks = np.array(MASKS, "uint64")
    write(path, "wqsf.nc:WQSF", flags(), product=name, flag_masks=masks, flag_meanings=meanings)
    manifest(path, lon, lat, name=name, kind=kind)
    return path


def _meaning(bit: int) -> str:
    told = dict(SOURCE.mask.bits) if SOURCE.mask else {}
    return (told | SOURCE.options["raised"][31]).get(bit, f"FLAG_{bit}")


@pytest.fixture(scope="module")
def sen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product as delivered; not to be changed."""
    return product(tmp_path_factory.mktemp("olci"), *positions())


@pytest.fixture(scope="module")
def delivered(sen3: Path) -> Delivered:
    """What the reader makes of it."""
    return olci.read(sen3, SOURCE)


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A product to be changed."""
    return product(tmp_path, *positions())


def layer(scene: Delivered, key: str) -> Raster:
    """The layer of a key."""
    return next(raster for raster in scene.rasters if raster.key == key)


def whole(raster: Raster) -> NDArray[Any]:
    """All rows."""
    return raster.pixels.rows(0, raster.grid.shape.y)


def truth(scene: Delivered, lon: Any, lat: Any, radius: float) -> NDArray[np.int64]:
    """The number of the nearest sample of each pixel, by comparing with every sample; -1 = none is near."""
    grid = scene.rasters[0].grid
    ys, xs = grid.centres()
    target = _sphere(*Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(*np.meshgrid(xs, ys))).reshape(
        -1, 3
    )
    distance, nearest = np.full(len(target), np.inf), np.full(len(target), -1)
    for number, sample in enumerate(_sphere(lon, lat).reshape(-1, 3)):
        apart = np.sqrt(((target - sample) ** 2).sum(axis=1))
        closer = apart < distance
        distance[closer], nearest[closer] = apart[closer], number
    nearest[distance > radius] = -1
    return nearest.reshape(len(ys), len(xs))


def _sphere(lon: Any, lat: Any) -> NDArray[np.float64]:
    lam, phi = np.radians(lon), np.radians(lat)
    return RADIUS_EARTH * np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def test_finds_the_folder_from_anywhere(sen3: Path) -> None:
    """A product is named by its folder, whether that, its manifest or a folder above is given."""
    for given_path in (sen3, sen3 / "xfdumanifest.xml", sen3.parent):
        assert olci.find(given_path) == [sen3]
    assert olci.find(sen3 / "wqsf.nc") == []


def test_each_pixel_holds_its_nearest_sample(delivered: Delivered) -> None:
    """Compared with every sample: the stored number of the nearest one, and the fill number where none is near."""
    red = layer(delivered, "red")
    nearest = truth(delivered, *_stored(*positions()), delivered.facts["radius"])
    assert (nearest >= 0).mean() > 0.5
    assert np.array_equal(whole(red), np.where(nearest < 0, 65535, nearest))
    assert (red.dtype, red.nodata, red.radiometry.scale, red.radiometry.offset) == ("uint16", 65535, 2e-5, -0.01)


def _stored(lon: Any, lat: Any) -> tuple[Any, Any]:
    return np.round(lon / 1e-6) * 1e-6, np.round(lat / 1e-6) * 1e-6


def test_logarithms_become_values(delivered: Delivered) -> None:
    """Chlorophyll is mg m-3 and not its logarithm; what is missing is NaN."""
    chl, number = layer(delivered, "chl_nn"), whole(layer(delivered, "red"))
    values = whole(chl)
    stored = number % 200
    missing = (number == 65535) | (number == 5 * SHAPE[1] + 5)
    assert chl.unit == "mg m-3"
    assert chl.dtype == "float32"
    assert chl.radiometry is None
    assert np.array_equal(np.isnan(values), missing)
    assert np.allclose(values[~missing], 10 ** (stored[~missing] * 0.015 - 2.0), rtol=1e-6)
    linear = layer(delivered, "iwv")
    assert linear.unit == "kg m-2"
    assert linear.radiometry.scale == pytest.approx(0.3)


def test_flags_keep_all_bits(delivered: Delivered) -> None:
    """Both halves together are the flags of the nearest sample; pixels without one are told apart."""
    low, high = layer(delivered, "wqsf_lsb"), layer(delivered, "wqsf_msb")
    number = whole(layer(delivered, "red")).astype("int64")
    there = number != 65535
    assert (low.dtype, high.dtype) == ("uint32", "uint32")
    assert low.bits[24] == "CLOUD_MARGIN"
    assert high.bits[23] == "FLAG_55"
    found = whole(low) & 0x7FFFFFFF | whole(high).astype("uint64") << np.uint64(32)
    assert np.array_equal(found[there], flags().ravel()[number[there]])
    assert (low.nodata, high.nodata) == (1, 0xFFFFFFFF)
    assert (whole(low)[~there] == 1).all()
    assert (whole(high)[~there] == 0xFFFFFFFF).all()


def test_masks_of_flags(delivered: Delivered) -> None:
    """The common rule leaves out cloud and nothing else; that of the open sea also negative reflectance."""
    number, values = whole(layer(delivered, "red")).astype("int64"), whole(layer(delivered, "wqsf_lsb"))
    there = number != 65535
    delivered_flags = np.zeros(there.shape, "uint64")
    delivered_flags[there] = flags().ravel()[number[there]]
    cloudy, negative = ((delivered_flags & np.uint64(1 << bit)) != 0 for bit in (3, 43))
    assert cloudy.any()
    assert negative.any()
    assert np.array_equal(clear_of(SOURCE.mask.rule("clear"), values), there & ~cloudy)
    assert np.array_equal(clear_of(SOURCE.mask.rule("cloud"), values), cloudy)
    assert np.array_equal(clear_of(SOURCE.mask.rule("reflectance"), values), there & ~cloudy & ~negative)


def test_what_the_manifest_tells_is_kept(delivered: Delivered, sen3: Path) -> None:
    """Id, times, orbit, platform; the quantity of the reflectance; what was left out is told."""
    assert delivered.id == NAME
    assert delivered.acquired.isoformat() == "2023-05-06T09:10:22.965432+00:00"
    told = delivered.properties
    assert told["platform"] == "sentinel-3a"
    assert told["sat:orbit_state"] == "descending"
    assert told["sat:relative_orbit"] == 264
    assert told["terracube:quantity"] == "rhow"
    assert layer(delivered, "red").extra["terracube:quantity"] == "rhow"
    assert layer(delivered, "red").unit == "1"
    assert any("Oa08_reflectance_unc" in note for note in delivered.notes)
    assert any("not delivered" in note and "Oa01_reflectance.nc" in note for note in delivered.notes)
    assert layer(delivered, "red").files == (sen3 / "Oa08_reflectance.nc", sen3 / "geo_coordinates.nc")
    assert delivered.documents[0].path.name == "xfdumanifest.xml"


def test_rows_do_not_depend_on_how_they_are_asked(sen3: Path, delivered: Delivered) -> None:
    """From the bottom, one by one, in another process: the same numbers."""
    fresh = layer(pickle.loads(pickle.dumps(olci.read(sen3, SOURCE))), "red")
    rows = fresh.grid.shape.y
    backwards = [fresh.pixels.rows(row, row + 1) for row in reversed(range(rows))]
    assert np.array_equal(np.concatenate(backwards[::-1]), whole(layer(delivered, "red")))


def test_strips_do_not_show(sen3: Path, delivered: Delivered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours searched in strips of a few rows are those searched at once."""
    monkeypatch.setattr("terracube.ingest.readers.ocean.nearest._STRIP_PIXELS", 1000)
    assert np.array_equal(whole(layer(olci.read(sen3, SOURCE), "red")), whole(layer(delivered, "red")))


def test_days_share_their_pixels(tmp_path: Path, delivered: Delivered) -> None:
    """A scene that lies a little off the first has the same pixels where both are."""
    moved = olci.read(product(tmp_path, *positions((5.0311, 54.0173))), SOURCE)
    assert moved.rasters[0].grid.same_pixels(delivered.rasters[0].grid)
    west, north = moved.rasters[0].grid.bounds.left, moved.rasters[0].grid.bounds.top
    assert west / 0.0025 == pytest.approx(round(west / 0.0025))
    assert north / 0.0025 == pytest.approx(round(north / 0.0025))


def test_unknown_positions_are_left_out(tmp_path: Path) -> None:
    """Samples without longitude and latitude go nowhere; the others stay."""
    lon, lat = positions()
    lon[:, 20], lat[40] = np.nan, np.nan
    scene = olci.read(_unsurrounded(tmp_path, lon, lat), SOURCE)
    found = np.unique(whole(layer(scene, "red")))
    lost = {number for number in range(lon.size) if np.isnan(lon.ravel()[number] + lat.ravel()[number])}
    assert lost.isdisjoint(found.tolist())
    assert found.size > 1000


def _unsurrounded(folder: Path, lon: Any, lat: Any) -> Path:
    path = product(folder, lon, lat)
    manifest(path, *positions())
    return path


def test_over_the_antimeridian(tmp_path: Path) -> None:
    """A granule over the antimeridian lies in one piece, on a grid of its own, and says so."""
    lon, lat = positions((179.95, 0.0))
    scene = olci.read(product(tmp_path, lon, lat), SOURCE)
    red = layer(scene, "red")
    assert red.grid.crs == "EPSG:3832"
    assert max(red.grid.shape) < 120
    values = whole(red)
    assert np.unique(values[values != 65535]).size > 0.85 * lon.size
    assert any("antimeridian" in note for note in scene.notes)
    assert scene.geometry is None


@pytest.mark.parametrize(("lat", "crs"), [(89.97, "EPSG:3413"), (-80.0, "EPSG:3031")])
def test_near_the_poles(tmp_path: Path, lat: float, crs: str) -> None:
    """A granule near or over a pole lies on polar stereographic, every sample near its own place."""
    i, j = np.meshgrid(np.arange(SHAPE[0]) - 30.0, np.arange(SHAPE[1]) - 24.0, indexing="ij")
    x, y = j * 270.0, i * 300.0 + (90.0 - abs(lat)) * 111_195.0
    away = np.hypot(x, y) / 111_195.0
    lons, lats = np.degrees(np.arctan2(x, y)), (90.0 - away) * np.sign(lat)
    scene = olci.read(product(tmp_path, lons, lats), SOURCE)
    red = layer(scene, "red")
    nearest = truth(scene, *_stored(lons, lats), scene.facts["radius"])
    assert red.grid.crs == crs
    assert (nearest >= 0).mean() > 0.5
    assert np.array_equal(whole(red), np.where(nearest < 0, 65535, nearest))


def test_reduced_resolution_is_coarser(tmp_path: Path) -> None:
    """A reduced product lies on pixels four times as large."""
    name = NAME.replace("WFR", "WRR")
    path = product(tmp_path, *positions(spacing=0.0108), name=name, kind="OL_2_WRR___")
    assert layer(olci.read(path, SOURCE), "red").grid.resolution.x == 0.01


def test_no_rows_are_no_rows(delivered: Delivered) -> None:
    """Asked for nothing, nothing comes."""
    assert delivered.rasters[0].pixels.rows(3, 3).shape == (0, delivered.rasters[0].grid.shape.x)


def test_from_delivery_to_cube(
    sen3: Path, delivered: Delivered, catalog: Catalog, validate_stac: Callable[[dict[str, Any]], None]
) -> None:
    """Ingested, described by a valid item, and loaded: reflectance where the mask is clear, and nowhere else."""
    report = ingest(SOURCE.name, [sen3], catalog)
    assert report.taken == [NAME]
    item = catalog.find(NAME, SOURCE.name)
    validate_stac(item.to_dict())
    assert ingest(SOURCE.name, [sen3.parent], catalog).already == [NAME]
    number, flags_there = whole(layer(delivered, "red")), whole(layer(delivered, "wqsf_lsb"))
    if "uint32" not in cube_sources._CLASS_TYPES:
        pytest.skip("masks of 32 bits are not loaded yet")
    cube = load([item], bands=["red", "chl_nn"], mask="clear")
    clear = clear_of(SOURCE.mask.rule("clear"), flags_there)
    assert np.array_equal(np.isfinite(cube.red.values[0]), clear)
    assert np.allclose(cube.red.values[0][clear], number[clear] * 2e-5 - 0.01, atol=1e-7)
    chl = whole(layer(delivered, "chl_nn"))
    assert np.array_equal(cube.chl_nn.values[0], np.where(clear, chl, np.nan), equal_nan=True)


# What is wrong is told


def read_whole(path: Path) -> None:
    """Read everything."""
    for raster in olci.read(path, SOURCE).rasters:
        whole(raster)


def expect(path: Path, kind: type[TerraCubeError], *words: str) -> None:
    """Reading raises this kind of error, and the message holds these words."""
    with pytest.raises(kind) as told:
        olci.read(path, SOURCE)
    for word in words:
        assert word in str(told.value)


def change(path: Path, file: str, edit: Edit, *, listed: bool = True) -> None:
    """Change a file, and the manifest with it."""
    with netCDF4.Dataset(path / file, "a") as data:
        data.set_auto_maskandscale(False)
        edit(data)
    if listed:
        manifest(path, *positions())


def test_swapped_positions_by_their_names(spoilt: Path) -> None:
    """Longitude that calls itself latitude is refused."""

    def edit(data: netCDF4.Dataset) -> None:
        data["latitude"].standard_name = "longitude"

    change(spoilt, "geo_coordinates.nc", edit)
    expect(spoilt, MetadataError, "swapped", "geo_coordinates.nc")


def test_swapped_positions_by_the_footprint(tmp_path: Path) -> None:
    """Longitude and latitude that hold each other's numbers are not where the footprint is."""
    lon, lat = positions()
    path = product(tmp_path, lat, lon)
    manifest(path, lon, lat)
    expect(path, MetadataError, "footprint")


def test_positions_out_of_range(tmp_path: Path) -> None:
    """Latitudes beyond the poles are no latitudes."""
    lon, lat = positions()
    lat[7, 7] = 93.0
    path = product(tmp_path, lon, lat)
    manifest(path, *positions())
    expect(path, MetadataError, "out of range", "latitude")


def test_no_position_at_all(tmp_path: Path) -> None:
    """A product whose positions are all missing is refused."""
    lon, lat = positions()
    path = product(tmp_path, lon * np.nan, lat)
    manifest(path, lon, lat)
    expect(path, MetadataError, "no geolocation")


def test_no_geolocation_file(spoilt: Path) -> None:
    """Without its file of positions a product goes nowhere."""
    (spoilt / "geo_coordinates.nc").unlink()
    expect(spoilt, AssetError, "geo_coordinates.nc")


def test_truncated_file_by_its_size(spoilt: Path) -> None:
    """A file that is shorter than the manifest says is refused before it is opened."""
    file = spoilt / "Oa08_reflectance.nc"
    file.write_bytes(file.read_bytes()[:-500])
    expect(spoilt, AssetError, "size", "Oa08_reflectance.nc")


def test_truncated_file_without_size(spoilt: Path) -> None:
    """A file that breaks off is told as damaged, in the header or at the latest when its rows are read."""
    file = spoilt / "Oa08_reflectance.nc"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    manifest(spoilt, *positions())
    with pytest.raises(TerraCubeError, match="Oa08_reflectance"):
        read_whole(spoilt)


def test_file_of_another_product(spoilt: Path) -> None:
    """A file that names another product is not mixed in."""

    def edit(data: netCDF4.Dataset) -> None:
        data.product_name = "S3B_OL_2_WFR____20230506T.SEN3"

    change(spoilt, "chl_nn.nc", edit)
    expect(spoilt, MetadataError, "another product", "chl_nn.nc")


def test_layer_of_another_shape(spoilt: Path) -> None:
    """A layer that does not fit the positions is refused."""
    (spoilt / "iwv.nc").unlink()
    write(spoilt, "iwv.nc:IWV", np.zeros((5, 6), "uint8"), _FillValue=np.uint8(255))
    manifest(spoilt, *positions())
    expect(spoilt, MetadataError, "another shape", "iwv.nc")


def test_no_fill_number(spoilt: Path) -> None:
    """Whole numbers without a number for missing are refused: none is guessed."""
    (spoilt / "iwv.nc").unlink()
    write(spoilt, "iwv.nc:IWV", np.zeros(SHAPE, "uint8"), units="kg.m-2")
    manifest(spoilt, *positions())
    expect(spoilt, MetadataError, "_FillValue", "iwv.nc")


def test_flags_of_another_version(spoilt: Path) -> None:
    """A product whose bits mean something else is refused, because the masks would lie."""

    def edit(data: netCDF4.Dataset) -> None:
        data["WQSF"].flag_meanings = data["WQSF"].flag_meanings.replace("CLOUD ", "RAIN ")

    change(spoilt, "wqsf.nc", edit)
    expect(spoilt, MetadataError, "bit 3")


def test_flags_that_take_the_unused_bit(spoilt: Path) -> None:
    """A product that uses the bit in which flags of the upper half are gathered needs another description."""

    def edit(data: netCDF4.Dataset) -> None:
        masks = np.append(data["WQSF"].flag_masks, np.uint64(1 << 31))
        data["WQSF"].flag_meanings = f"{data['WQSF'].flag_meanings} NEW"
        data["WQSF"].flag_masks = masks

    change(spoilt, "wqsf.nc", edit)
    expect(spoilt, MetadataError, "31")


@pytest.mark.parametrize("masks", [[3, 4], [1], [1, 1], ["a", "b"], [0, 1]])
def test_flags_that_are_none(spoilt: Path, masks: list[Any]) -> None:
    """Masks that are no single bits, or do not fit their meanings, are refused."""

    def edit(data: netCDF4.Dataset) -> None:
        data["WQSF"].flag_masks = masks
        data["WQSF"].flag_meanings = "a b"

    change(spoilt, "wqsf.nc", edit)
    expect(spoilt, MetadataError, "wqsf.nc")


def test_absurd_sizes(spoilt: Path) -> None:
    """A file that claims 10^9 pixels is refused before any is read."""
    with netCDF4.Dataset(spoilt / "chl_nn.nc", "w") as data:
        data.createDimension("rows", 100_000)
        data.createDimension("columns", 100_000)
        data.createVariable("CHL_NN", "u1", ("rows", "columns"), chunksizes=(16, 16), fill_value=255)
    manifest(spoilt, *positions())
    expect(spoilt, HostileInputError, "100000")


def test_positions_all_over_the_world(tmp_path: Path) -> None:
    """Positions that would make a giant grid are refused before it is made."""
    lon, lat = positions()
    lon[0, 0], lon[1, 1], lat[2, 2] = -120.0, 50.0, -70.0
    path = product(tmp_path, lon, lat)
    text = (path / "xfdumanifest.xml").read_text()
    (path / "xfdumanifest.xml").write_text(text.replace("gml:posList", "gml:other"))
    expect(path, HostileInputError, "pixels")


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("sentinel-safe:startTime", "sentinel-safe:other", "startTime"),
        ("2023-05-06T09:10:22.965432Z", "yesterday", "time"),
        ("2023-05-06T09:13:22.965432Z", "2023-05-06T08:00:00Z", "ends before"),
        ("./chl_nn.nc", "../chl_nn.nc", "leaves"),
        ("<gml:posList>", "<gml:posList>x ", "footprint"),
        ("<gml:posList>", "<gml:posList>91 7 ", "footprint"),
    ],
)
def test_manifests_that_are_wrong(spoilt: Path, old: str, new: str, word: str) -> None:
    """Times, files and footprints that cannot be are told."""
    path = spoilt / "xfdumanifest.xml"
    path.write_text(path.read_text().replace(old, new))
    expect(spoilt, TerraCubeError, word)


def test_manifest_with_entities(spoilt: Path) -> None:
    """A manifest that declares entities is refused unread."""
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    (spoilt / "xfdumanifest.xml").write_text(bomb)
    expect(spoilt, HostileInputError, "entities")


def test_renamed_folder_keeps_the_name_of_the_product(spoilt: Path) -> None:
    """The id is the producer's own, and the other name is told."""
    moved = spoilt.rename(spoilt.parent / "my scene.SEN3")
    scene = olci.read(moved, SOURCE)
    assert scene.id == NAME
    assert any("my scene" in note for note in scene.notes)


def test_link_in_the_folder(spoilt: Path, tmp_path: Path) -> None:
    """A file that is a link to somewhere else is not opened."""
    file = spoilt / "geo_coordinates.nc"
    moved = file.rename(tmp_path / "elsewhere.nc")
    file.symlink_to(moved)
    expect(spoilt, TerraCubeError, "geo_coordinates.nc")


def test_source_without_a_polar_grid(tmp_path: Path) -> None:
    """Where the source knows no grid for the poles, that is said."""
    lon, lat = positions((5.0, 85.0))
    path = product(tmp_path, lon, lat)
    options = {key: value for key, value in SOURCE.options.items() if key != "polar_north"}
    with pytest.raises(InputError, match="polar_north"):
        olci.read(path, replace(SOURCE, options=options))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, 6000),
    junk=st.binary(min_size=1, max_size=40),
    file=st.sampled_from(["geo_coordinates.nc", "wqsf.nc"]),
)
def test_any_bytes(sen3: Path, tmp_path: Path, at: int, junk: bytes, file: str) -> None:
    """Whatever bytes a file holds, it is read or refused with one of our errors."""
    copy = tmp_path / "copy.SEN3"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(sen3, copy)
    content = bytearray((copy / file).read_bytes())
    content[at : at + len(junk)] = junk
    (copy / file).write_bytes(bytes(content))
    manifest(copy, *positions())
    with suppress(TerraCubeError):
        read_whole(copy)
