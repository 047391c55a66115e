"""Theia Level-2A in MUSCATE format: small products written after the producer's description, good and spoilt."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError, TerraCubeError
from terracube.core.sensors import clear_of, load_sensor, mask_table, resolve_radiometry, sensor_of
from terracube.cubes import load
from terracube.ingest import ingest
from terracube.ingest.readers.theia import landsat, sentinel2
from terracube.ingest.readers.theia.masks import made_mask
from terracube.ingest.scene import Delivered
from terracube.ingest.sources import Source, load_source
from terracube.stac import Catalog, Query

Array = np.ndarray[Any, Any]
Make = Callable[..., Path]
S2 = "SENTINEL2A_20200101-105435-448_L2A_T31TCJ_C_V2-2"
L8 = "LANDSAT8-OLITIRS-XS_20170504-103532-111_L2A_T31TCH_C_V1-0"
L5 = "LANDSAT5-TM-XS_20100118-103000-000_L2A_T31TCH_C_V1-0"
LEFT, TOP = 300000, 4900020
UNTIMED = S2.replace("105435-448", "000000-000")
GROUPS = {
    S2: {"R1": (["B2", "B3", "B4", "B8"], 10, 8), "R2": (["B5", "B6", "B7", "B8A", "B11", "B12"], 20, 4)},
    L8: {"XS": (["B1", "B2", "B3", "B4", "B5", "B6", "B7"], 30, 6)},
    L5: {"XS": (["B1", "B2", "B3", "B4", "B5", "B7"], 30, 6)},
}
GROUPS[UNTIMED] = GROUPS[S2]
NATURES = [
    "Water",
    "Cloud",
    "Snow",
    "Cloud_Shadow",
    "Topography_Shadow",
    "Hidden_Surface",
    "Sun_Too_Low",
    "Tangent_Sun",
]
# A pixel of each kind, one after the other: clear, cloud, cirrus, thin cloud, shadow, snow, water, edge.
CLM = [0, 0b00000111, 0b10000000, 0b00010000, 0b00100001, 0, 0, 0]
MG2 = [0, 0b00000010, 0b00000010, 0b00000010, 0b00001000, 0b00000100, 0b00000001, 0]
EDG = [0, 0, 0, 0, 0, 0, 0, 1]


def _tiled(numbers: list[int], side: int) -> Array:
    return np.resize(np.array(numbers, "uint8"), (side, side))


def _reflectance(token: str, side: int) -> Array:
    """Numbers that are another for each file; missing where the image ends."""
    values = (np.arange(side * side).reshape(side, side) * 7 + sum(map(ord, token))).astype("int16")
    return np.where(_tiled(EDG, side) == 1, -10000, values).astype("int16")


def _write(path: Path, values: Array, pixel: float, **profile: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    layers = values if values.ndim == 3 else values[np.newaxis]
    told = {"crs": "EPSG:32631", "transform": Affine(pixel, 0, LEFT, 0, -pixel, TOP), "driver": "GTiff", **profile}
    shape = {"count": layers.shape[0], "height": layers.shape[1], "width": layers.shape[2], "dtype": layers.dtype}
    with rasterio.open(path, "w", **shape, **told) as dataset:
        dataset.write(layers)


def _entry(kind: str, nature: str, files: list[str]) -> str:
    inside = f"<{kind}_Properties><NATURE>{nature}</NATURE></{kind}_Properties>"
    return f"<{kind}>{inside}<{kind}_File_List>{''.join(files)}</{kind}_File_List></{kind}>"


def _images(product: str) -> str:
    told = []
    for kind, nature in (("SRE", "Surface_Reflectance"), ("FRE", "Flat_Reflectance")):
        files = [
            f'<IMAGE_FILE band_id="{band}">./{product}_{kind}_{band}.tif</IMAGE_FILE>'
            for bands, _, _ in GROUPS[product].values()
            for band in bands
        ]
        told.append(_entry("Image", nature, files))
    for number, nature in ((1, "Water_Vapor_Content"), (2, "Aerosol_Optical_Thickness")):
        files = [
            f'<IMAGE_FILE group_id="{group}" band_number="{number}">{product}_ATB_{group}.tif</IMAGE_FILE>'
            for group in GROUPS[product]
        ]
        told.append(_entry("Image", nature, files))
    return "".join(told)


def _masks(product: str) -> str:
    def file(mask: str, group: str, extra: str) -> str:
        return f"<MASK_FILE {extra}>MASKS/{product}_{mask}_{group}.tif</MASK_FILE>"

    groups = GROUPS[product]
    told = [
        _entry("Mask", name, [file(mask, group, f'group_id="{group}"') for group in groups])
        for name, mask in (("Detailed_Cloud", "CLM"), ("Edge", "EDG"))
    ]
    for number, nature in enumerate(NATURES, start=1):
        told.append(_entry("Mask", nature, [file("MG2", g, f'group_id="{g}" bit_number="{number}"') for g in groups]))
    saturated = [
        file("SAT", group, f'band_id="{band}" bit_number="{number}"')
        for group, (bands, _, _) in groups.items()
        for number, band in enumerate(bands, start=1)
    ]
    return "".join([*told, _entry("Mask", "Saturation", saturated)])


def _metadata(product: str) -> str:
    """The metadata file of such a product, as far as it concerns a reader."""
    craft, moment, _, zone, *_ = product.split("_")
    day, time, milli = moment.replace("000000-000", "105435-448").split("-")
    when = f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}.{milli}Z"
    groups = "".join(
        f'<Group group_id="{name}"><Band_List><BAND_ID>{"</BAND_ID><BAND_ID>".join(bands)}</BAND_ID>'
        "</Band_List></Group>"
        for name, (bands, _, _) in GROUPS[product].items()
    )
    places = "".join(
        f'<Group_Geopositioning group_id="{name}"><ULX>{LEFT}</ULX><ULY>{TOP}</ULY>'
        f"<XDIM>{pixel}</XDIM><YDIM>-{pixel}</YDIM>"
        f"<NROWS>{side}</NROWS><NCOLS>{side}</NCOLS></Group_Geopositioning>"
        for name, (_, pixel, side) in GROUPS[product].items()
    )
    orbit = ("Orbit", 23656) if craft.startswith("SENTINEL") else ("Path", 198)
    instrument = "" if craft.startswith("SENTINEL") else f"<INSTRUMENT>{craft.split('-')[1]}</INSTRUMENT>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Muscate_Metadata_Document xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<Dataset_Identification><AUTHORITY>THEIA</AUTHORITY><PRODUCER>MUSCATE</PRODUCER>
<GEOGRAPHICAL_ZONE type="Tile">{zone}</GEOGRAPHICAL_ZONE></Dataset_Identification>
<Product_Characteristics><PRODUCT_ID>{product}</PRODUCT_ID><ACQUISITION_DATE>{when}</ACQUISITION_DATE>
<PRODUCTION_DATE>2020-01-02T03:04:05.0Z</PRODUCTION_DATE><PRODUCT_VERSION>2.2</PRODUCT_VERSION>
<PRODUCT_LEVEL>L2A</PRODUCT_LEVEL><PLATFORM>{craft.split("-")[0]}</PLATFORM>{instrument}
<ORBIT_NUMBER type="{orbit[0]}">{orbit[1]}</ORBIT_NUMBER><Band_Group_List>{groups}</Band_Group_List>
</Product_Characteristics>
<Product_Organisation><Muscate_Product><Image_List>{_images(product)}</Image_List><Mask_List>{_masks(product)}</Mask_List>
</Muscate_Product></Product_Organisation>
<Geoposition_Informations><Coordinate_Reference_System><GEO_TABLES>EPSG</GEO_TABLES><Horizontal_Coordinate_System>
<HORIZONTAL_CS_CODE>32631</HORIZONTAL_CS_CODE></Horizontal_Coordinate_System></Coordinate_Reference_System>
<Metadata_CS><METADATA_CS_TYPE>CELL</METADATA_CS_TYPE></Metadata_CS><Geopositioning>
<Group_Geopositioning_List>{places}</Group_Geopositioning_List></Geopositioning></Geoposition_Informations>
<Geometric_Informations><Mean_Value_List><Sun_Angles><ZENITH_ANGLE unit="deg">67.25</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">163.5</AZIMUTH_ANGLE></Sun_Angles><Mean_Viewing_Incidence_Angle_List>
<Mean_Viewing_Incidence_Angle band_id="B2"><ZENITH_ANGLE>4</ZENITH_ANGLE><AZIMUTH_ANGLE>350</AZIMUTH_ANGLE>
</Mean_Viewing_Incidence_Angle><Mean_Viewing_Incidence_Angle band_id="B3"><ZENITH_ANGLE>6</ZENITH_ANGLE>
<AZIMUTH_ANGLE>10</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle><Mean_Viewing_Incidence_Angle band_id="B1">
<ZENITH_ANGLE>NaN</ZENITH_ANGLE><AZIMUTH_ANGLE>NaN</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>
</Mean_Viewing_Incidence_Angle_List></Mean_Value_List></Geometric_Informations>
<Radiometric_Informations><REFLECTANCE_QUANTIFICATION_VALUE>10000</REFLECTANCE_QUANTIFICATION_VALUE>
<WATER_VAPOR_CONTENT_QUANTIFICATION_VALUE>20</WATER_VAPOR_CONTENT_QUANTIFICATION_VALUE>
<AEROSOL_OPTICAL_THICKNESS_QUANTIFICATION_VALUE>200</AEROSOL_OPTICAL_THICKNESS_QUANTIFICATION_VALUE>
<Special_Values_List><SPECIAL_VALUE name="nodata">-10000</SPECIAL_VALUE>
<SPECIAL_VALUE name="water_vapor_content_nodata">0</SPECIAL_VALUE>
<SPECIAL_VALUE name="aerosol_optical_thickness_nodata">0</SPECIAL_VALUE></Special_Values_List>
</Radiometric_Informations>
<Quality_Informations><Current_Product><Product_Quality_List level="N2"><Product_Quality><Global_Index_List>
<QUALITY_INDEX name="CloudPercent">28</QUALITY_INDEX><QUALITY_INDEX name="SnowPercent">3</QUALITY_INDEX>
</Global_Index_List></Product_Quality></Product_Quality_List></Current_Product></Quality_Informations>
</Muscate_Metadata_Document>"""


def _layers(product: str, kinds: tuple[str, ...]) -> dict[str, tuple[Array, int]]:
    """Every raster of a product, by the path of its file, with the size of its pixels."""
    found: dict[str, tuple[Array, int]] = {}
    for group, (bands, pixel, side) in GROUPS[product].items():
        for kind in kinds:
            found |= {f"{product}_{kind}_{band}.tif": (_reflectance(f"{kind}_{band}", side), pixel) for band in bands}
        air = np.stack([np.full((side, side), number, "uint8") for number in (30, 40)])
        found[f"{product}_ATB_{group}.tif"] = (air, pixel)
        masks = {"CLM": CLM, "MG2": MG2, "EDG": EDG, "SAT": [0, 1, 2, 4]}
        found |= {f"MASKS/{product}_{name}_{group}.tif": (_tiled(told, side), pixel) for name, told in masks.items()}
    return found


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a small product, whose metadata are changed by replacing texts."""

    def product(name: str = S2, *changes: tuple[str, str], kinds: tuple[str, ...] = ("FRE", "SRE")) -> Path:
        folder = tmp_path / "in" / name
        folder.mkdir(parents=True)
        for path, (values, pixel) in _layers(name, kinds).items():
            _write(folder / path, values, pixel)
        text = _metadata(name)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (folder / f"{name}_MTD_ALL.xml").write_text(text, encoding="utf-8")
        (folder / f"{name}_QKL_ALL.jpg").write_bytes(b"\xff\xd8\xff\xd9")
        return folder

    return product


@pytest.fixture
def source() -> Source:
    """Sentinel-2 of Theia."""
    return load_source("theia-sentinel-2-l2a")


def _raster(scene: Delivered, key: str) -> Any:
    return next(raster for raster in scene.rasters if raster.key == key)


def _rows(scene: Delivered, key: str) -> Array:
    raster = _raster(scene, key)
    found: Array = raster.pixels.rows(0, raster.grid.shape.y)
    return found


def _item(catalog: Catalog) -> pystac.Item:
    (item,) = catalog.search(Query())
    return item


def test_every_file_comes_out_as_rasterio_reads_it(make: Make, source: Source) -> None:
    """Arrays, grids and types of all layers that are files are those of GDAL."""
    scene = sentinel2.read(make(), source)
    assert len(scene.rasters) == 20 + 4 + 8 + 1
    for raster in scene.rasters:
        if raster.key == "maja_qa":
            continue
        with rasterio.open(raster.files[0]) as dataset:
            band = 2 if raster.key.startswith("aot") else 1
            np.testing.assert_array_equal(raster.pixels.rows(0, dataset.height), dataset.read(band))
            assert (raster.grid.transform, tuple(raster.grid.shape)) == (dataset.transform, dataset.shape)
            assert (raster.grid.crs, raster.dtype) == ("EPSG:32631", dataset.dtypes[0])


def test_the_product_is_described_by_its_metadata(make: Make, source: Source) -> None:
    """Id, date, platform, orbit, mean angles, clouds, snow and version are those of the metadata."""
    scene = sentinel2.read(make(), source)
    assert (scene.id, scene.notes) == (S2, ())
    assert scene.acquired == datetime(2020, 1, 1, 10, 54, 35, 448000, tzinfo=UTC)
    assert scene.properties == {
        "platform": "sentinel-2a",
        "instruments": ["msi"],
        "processing:level": "L2A",
        "processing:version": "2.2",
        "processing:facility": "MUSCATE",
        "processing:datetime": "2020-01-02T03:04:05Z",
        "theia:authority": "THEIA",
        "theia:reflectance": "FRE",
        "sat:absolute_orbit": 23656,
        "grid:code": "MGRS-31TCJ",
        "view:sun_elevation": 22.75,
        "view:sun_azimuth": 163.5,
        "view:incidence_angle": 5.0,
        "view:azimuth": 0.0,
        "eo:cloud_cover": 28.0,
        "eo:snow_cover": 3.0,
    }
    assert [(document.key, document.roles) for document in scene.documents] == [
        ("mtd", ("metadata",)),
        ("thumbnail", ("thumbnail",)),
    ]


def test_reflectance_is_that_corrected_for_slopes_and_the_other_comes_along(make: Make, source: Source) -> None:
    """`red` is FRE, `red_surface` SRE; titles and a property say so; numbers, scale and missing are the delivered."""
    scene = sentinel2.read(make(), source)
    np.testing.assert_array_equal(_rows(scene, "red"), _reflectance("FRE_B4", 8))
    np.testing.assert_array_equal(_rows(scene, "red_surface"), _reflectance("SRE_B4", 8))
    red, other = _raster(scene, "red"), _raster(scene, "red_surface")
    assert red.band.title == "Red (band 4), corrected for slopes (FRE)"
    assert other.band.title == "Red (band 4), of the surface as it lies (SRE)"
    assert (red.band.file, other.band.file, red.nodata) == ("B4", "SRE_B4", -10000.0)
    assert (red.radiometry.scale, red.radiometry.offset) == (0.0001, 0.0)


def test_without_slopes_the_surface_is_the_reflectance(make: Make, source: Source) -> None:
    """A product of SRE alone gives its bands their plain names, and says what they are and that FRE is missing."""
    scene = sentinel2.read(make(kinds=("SRE",)), source)
    np.testing.assert_array_equal(_rows(scene, "red"), _reflectance("SRE_B4", 8))
    assert scene.properties["theia:reflectance"] == "SRE"
    assert "red_surface" not in {raster.key for raster in scene.rasters}
    assert any(note.startswith("listed, but not there: FRE_B2") for note in scene.notes)


def test_air_is_scaled_as_the_metadata_say(make: Make, source: Source) -> None:
    """Water vapour is band 1, divided by 20; aerosol is band 2, divided by 200; 0 is missing in both."""
    scene = sentinel2.read(make(), source)
    for key, number, scale, unit in (("wvp", 30, 0.05, "g cm-2"), ("aot", 40, 0.005, "1"), ("aot_20m", 40, 0.005, "1")):
        layer = _raster(scene, key)
        assert (layer.radiometry.scale, layer.nodata, layer.band.unit) == (scale, 0.0, unit)
        assert set(np.unique(_rows(scene, key))) == {number}


def test_air_scaled_by_a_factor_means_the_same(make: Make, source: Source) -> None:
    """Early products tell 0.05 where later ones tell 20: the same value comes out, and a note."""
    change = ("<WATER_VAPOR_CONTENT_QUANTIFICATION_VALUE>20<", "<WATER_VAPOR_CONTENT_QUANTIFICATION_VALUE>0.05<")
    scene = sentinel2.read(make(S2, change), source)
    assert _raster(scene, "wvp").radiometry.scale == 0.05
    assert any("is 0.05, a factor" in note for note in scene.notes)


def test_another_quantification_is_taken_and_told(make: Make, source: Source) -> None:
    """A product quantified by 1000 has a scale of 0.001; that this is unusual is noted."""
    change = ("<REFLECTANCE_QUANTIFICATION_VALUE>10000<", "<REFLECTANCE_QUANTIFICATION_VALUE>1000<")
    scene = sentinel2.read(make(S2, change), source)
    assert _raster(scene, "red").radiometry.scale == 0.001
    assert any("usual is 10000" in note for note in scene.notes)


def test_bits_of_the_masks_have_their_meaning(make: Make, source: Source) -> None:
    """Bits are counted from 0, and those of saturation are the bands of the group, in the order of the metadata."""
    scene = sentinel2.read(make(), source)
    assert _raster(scene, "clm").bits[7] == "high cloud, found at 1.38 um"
    assert _raster(scene, "mg2").bits[2] == "snow"
    assert _raster(scene, "sat").bits == {0: "B2 saturated", 1: "B3 saturated", 2: "B4 saturated", 3: "B8 saturated"}
    assert _raster(scene, "sat_20m").bits[3] == "B8A saturated"
    assert all(_raster(scene, key).nodata is None for key in ("clm", "mg2", "edg", "sat"))


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("clear", [1, 0, 0, 0, 0, 1, 1, 0]),
        ("snow_free", [1, 0, 0, 0, 0, 0, 1, 0]),
        ("cloud", [0, 1, 1, 1, 0, 0, 0, 0]),
        ("water", [0, 0, 0, 0, 0, 0, 1, 0]),
        ("land", [1, 0, 0, 0, 0, 1, 0, 0]),
    ],
)
def test_rules_of_the_source_keep_what_they_name(make: Make, source: Source, rule: str, kept: list[int]) -> None:
    """Clear, cloud, cirrus, thin cloud, shadow, snow, water and edge, by each rule of the description."""
    mask = sensor_of("theia-sentinel-2-l2a").mask
    layer = _rows(sentinel2.read(make(), source), mask.asset)
    found = clear_of(mask.rule(rule), layer)
    np.testing.assert_array_equal(found, _tiled(kept, 8) == 1)
    np.testing.assert_array_equal(found, mask_table(mask.rule(rule))[layer])


def test_the_made_mask_does_not_depend_on_the_strip(make: Make, source: Source) -> None:
    """Rows asked one by one are those asked at once; its files are the three it is made of."""
    layer = _raster(sentinel2.read(make(), source), "maja_qa")
    single = np.concatenate([layer.pixels.rows(row, row + 1) for row in range(8)])
    np.testing.assert_array_equal(single, layer.pixels.rows(0, 8))
    assert [path.stem[-6:] for path in layer.files] == ["CLM_R1", "MG2_R1", "EDG_R1"]
    assert (layer.dtype, layer.nodata) == ("uint8", 1.0)
    assert layer.bits[4] == "cloud shadow"


def test_every_pair_of_numbers_joins_into_one_byte() -> None:
    """All 65536 numbers of CLM and MG2: each bit of the result holds exactly when the bits that it stands for do."""
    clm, mg2 = (grid.astype("uint8") for grid in np.meshgrid(np.arange(256), np.arange(256)))
    joined = made_mask(clm, mg2, np.zeros_like(clm))
    bits = {bit: (joined >> bit) & 1 == 1 for bit in range(8)}

    def has(layer: Array, *of: int) -> Array:
        found: Array = np.logical_or.reduce([(layer >> bit) & 1 == 1 for bit in of])
        return found

    assert not bits[0].any()
    np.testing.assert_array_equal(bits[1], has(clm, 1, 2, 3) | (clm == 1))
    np.testing.assert_array_equal(bits[2], has(clm, 4))
    np.testing.assert_array_equal(bits[3], has(clm, 7))
    np.testing.assert_array_equal(bits[4], has(clm, 5, 6))
    np.testing.assert_array_equal(bits[5], has(mg2, 0))
    np.testing.assert_array_equal(bits[6], has(mg2, 2))
    np.testing.assert_array_equal(bits[7], has(mg2, 4, 5, 6, 7))
    assert (made_mask(clm, mg2, np.ones_like(clm)) == 1).all()
    kept = clear_of(load_sensor("theia-sentinel-2-l2a").mask.rule("clear"), joined)
    assert kept[:, 0].all()
    assert not kept[:, 1:].any()


def test_what_the_descriptions_tell_serves_a_cube() -> None:
    """Both sources are sensors that a cube finds by collection, with scales for what an item leaves unsaid."""
    for name in ("theia-sentinel-2-l2a", "theia-landsat-l2a"):
        sensor = sensor_of(name)
        assert load_source(name).sensor == sensor == load_sensor(name)
        rule = resolve_radiometry(sensor, {}, scale=None, offset=None, where="x", band=sensor.layer("red_surface"))
        assert (rule.scale, rule.offset) == (0.0001, 0.0)
        assert sensor.mask.asset in sensor.extras
        assert {f"{band}_surface" for band in sensor.bands} <= set(sensor.extras)
        files = [band.file for band in (*sensor.bands.values(), *sensor.extras.values())]
        assert len(files) == len(set(files))


@pytest.mark.parametrize(
    ("product", "bands", "instruments"),
    [
        (L8, {"coastal": "B1", "red": "B4", "nir08": "B5", "swir22": "B7"}, ["oli", "tirs"]),
        (L5, {"blue": "B1", "red": "B3", "nir08": "B4", "swir16": "B5", "swir22": "B7"}, ["tm"]),
    ],
)
def test_landsat_bands_are_named_by_what_they_are(
    make: Make, product: str, bands: dict[str, str], instruments: list[str]
) -> None:
    """B4 is red of OLI and near infrared of TM; saturation bits follow the bands of the product."""
    scene = landsat.read(make(product), load_source("theia-landsat-l2a"))
    for role, number in bands.items():
        np.testing.assert_array_equal(_rows(scene, role), _reflectance(f"FRE_{number}", 6))
        assert _raster(scene, f"{role}_surface").band.file == f"SRE_{number}"
    assert scene.properties["instruments"] == instruments
    assert scene.properties["landsat:wrs_path"] == "198"
    assert ("coastal" in {raster.key for raster in scene.rasters}) == (product == L8)
    assert _raster(scene, "sat").bits[5] == ("B6 saturated" if product == L8 else "B7 saturated")
    assert (_rows(scene, "maja_qa") == made_mask(*(_tiled(told, 6) for told in (CLM, MG2, EDG)))).all()


def test_groups_called_all_are_read_too(make: Make) -> None:
    """Some Landsat products call the one group of their masks ALL."""
    folder = make(L8)
    for path in [*folder.glob("*_XS.tif"), *folder.glob("MASKS/*_XS.tif")]:
        path.rename(path.with_name(path.name.replace("_XS.tif", "_ALL.tif")))
    scene = landsat.read(folder, load_source("theia-landsat-l2a"))
    assert {"clm", "maja_qa", "aot", "sat"} <= {raster.key for raster in scene.rasters}


def test_each_source_finds_its_own_products(make: Make, tmp_path: Path) -> None:
    """A folder of both kinds: each module gives the folders of its kind, or the metadata file that was named."""
    ours, other = make(S2), make(L8)
    assert (sentinel2.find(tmp_path), landsat.find(tmp_path)) == ([ours], [other])
    named = ours / f"{S2}_MTD_ALL.xml"
    assert (sentinel2.find(named), landsat.find(named)) == ([named], [])
    assert sentinel2.find(tmp_path / "none") == sentinel2.find(Path("a\0b")) == []


def test_a_product_is_refused_by_the_other_source(make: Make) -> None:
    """The message says which source takes it."""
    with pytest.raises(AssetError, match="not of this source"):
        sentinel2.read(make(S2), load_source("theia-landsat-l2a"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"<PRODUCT_ID>{S2}<", f"<PRODUCT_ID>{S2.replace('T31TCJ', 'T31TCH')}<", "two products"),
        (f"<PRODUCT_ID>{S2}<", f"<PRODUCT_ID>{S2.replace('105435', '105535')}<", "two products"),
        (f"<PRODUCT_ID>{S2}<", "<PRODUCT_ID>../../x<", "unusable"),
        (f"<PRODUCT_ID>{S2}<", "<PRODUCT_ID><", "lack an element"),
        ("<PLATFORM>SENTINEL2A<", "<PLATFORM>SENTINEL2B<", "two products"),
        ("<PLATFORM>SENTINEL2A<", "<PLATFORM>VENUS<", "unusable"),
        ("<PRODUCT_LEVEL>L2A<", "<PRODUCT_LEVEL>L1C<", "no Level-2A product"),
        ('"Tile">T31TCJ<', '"Tile">T31TCH<', "two products"),
        ("<ACQUISITION_DATE>2020-01-01T10:54:35.448Z<", "<ACQUISITION_DATE><", "lack an element"),
        ("<ACQUISITION_DATE>2020-01-01T10:54:35.448Z<", "<ACQUISITION_DATE>yesterday<", "there is no date"),
        ("<ACQUISITION_DATE>2020-01-01T10:54:35.448Z<", "<ACQUISITION_DATE>2020-01-01<", "there is no date"),
        ("<ACQUISITION_DATE>2020-01-01T10", "<ACQUISITION_DATE>2020-01-02T10", "two products"),
        ("<ACQUISITION_DATE>2020-01-01T10", "<ACQUISITION_DATE>2020-01-01T11", "two times"),
        ("<PRODUCTION_DATE>2020-01-02T03:04:05.0Z<", "<PRODUCTION_DATE>soon<", "there is no date"),
        ("QUANTIFICATION_VALUE>10000<", "QUANTIFICATION_VALUE>0<", "quantification is unusable"),
        ("QUANTIFICATION_VALUE>10000<", "QUANTIFICATION_VALUE>-1e4<", "quantification is unusable"),
        ("QUANTIFICATION_VALUE>10000<", "QUANTIFICATION_VALUE>inf<", "hold no number"),
        ('name="nodata">-10000<', 'name="nodata"><', "which number means missing"),
        ('name="nodata">-10000<', 'name="nodata">-40000<', "cannot be one of the band's"),
        (">32631<", ">32632<", "contradict each other: CRS"),
        (">32631<", ">nonsense<", "contradict each other: CRS"),
        (f"<ULX>{LEFT}<", f"<ULX>{LEFT + 10}<", "contradict each other: extent"),
        ("<NROWS>8<", "<NROWS>9<", "contradict each other: extent"),
        ("<XDIM>10<", "<XDIM>-10<", "not north-up"),
        ("<XDIM>10<", "<XDIM><", "hold no number"),
        ("<NROWS>8<", "<NROWS>8.5<", "odd size"),
        ('"R1" bit_number="3">MASKS/' + S2 + "_MG2", '"R1" bit_number="4">MASKS/' + S2 + "_MG2", "another meaning"),
        ('"B3" bit_number="2"', '"B3" bit_number="1"', "not one per band"),
        (f'"B4">./{S2}_FRE_B4', f'"B4">./{S2}_FRE_B3', "file of another band"),
        ('"R1" band_number="1"', '"R1" band_number="7"', "no such band"),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_refused(
    make: Make, source: Source, old: str, new: str, message: str
) -> None:
    """One field is wrong or gone: the message says which."""
    with pytest.raises(MetadataError, match=message):
        sentinel2.read(make(S2, (old, new)), source)


def test_absurd_sizes_are_not_believed(make: Make, source: Source) -> None:
    """A claim of 10^9 pixels is refused before anything is made of it."""
    with pytest.raises(HostileInputError, match="claim more pixels"):
        sentinel2.read(make(S2, ("<NCOLS>8<", "<NCOLS>1000000000<")), source)


def test_times_without_zone_are_utc_by_the_format(make: Make, source: Source) -> None:
    """The format tells times in UTC; some products leave out the Z."""
    scene = sentinel2.read(make(S2, ("35.448Z<", "35.448<"), ("05.0Z<", "05.0<")), source)
    assert scene.acquired == datetime(2020, 1, 1, 10, 54, 35, 448000, tzinfo=UTC)


def test_a_name_without_a_time_tells_the_day(make: Make, source: Source) -> None:
    """Early products write 000000-000 for a time that is in the metadata."""
    scene = sentinel2.read(make(UNTIMED), source)
    assert scene.acquired == datetime(2020, 1, 1, 10, 54, 35, 448000, tzinfo=UTC)


def test_metadata_without_angles_tell_none(make: Make, source: Source) -> None:
    """What is not told is left out, not filled in."""
    told = sentinel2.read(make(S2, ("Mean_Value_List>", "Other_List>")), source).properties
    assert not [name for name in told if name.startswith("view:")]


def test_a_source_without_a_sensor_is_refused(make: Make, source: Source) -> None:
    """Without a description of bands nothing can be named."""
    with pytest.raises(InputError, match="no sensor"):
        sentinel2.read(make(), replace(source, sensor=None))


def test_corners_told_as_points_are_centres(make: Make, source: Source) -> None:
    """Where the metadata count points, the corner lies half a pixel inside."""
    moved = [
        (
            f"<ULX>{LEFT}</ULX><ULY>{TOP}</ULY><XDIM>{size}<",
            f"<ULX>{LEFT + size / 2}</ULX><ULY>{TOP - size / 2}</ULY><XDIM>{size}<",
        )
        for size in (10, 20)
    ]
    scene = sentinel2.read(make(S2, ("_TYPE>CELL<", "_TYPE>POINT<"), *moved), source)
    assert scene.rasters[0].grid.bounds.left == LEFT


def test_a_silent_place_leaves_it_to_the_headers(make: Make, source: Source) -> None:
    """Metadata without georeference: the files tell it, and a note says so."""
    scene = sentinel2.read(make(S2, ("<HORIZONTAL_CS_CODE>32631</HORIZONTAL_CS_CODE>", "")), source)
    assert "the metadata do not tell where the pixels of R2 lie: the headers decide" in scene.notes


def test_a_thinned_product_is_taken_and_told(make: Make, source: Source) -> None:
    """Fewer pixels on the same ground than the metadata claim: thinned after delivery."""
    changes = (
        "<XDIM>20</XDIM><YDIM>-20</YDIM><NROWS>4</NROWS><NCOLS>4<",
        "<XDIM>10</XDIM><YDIM>-10</YDIM><NROWS>8</NROWS><NCOLS>8<",
    )
    notes = sentinel2.read(make(S2, changes), source).notes
    assert notes == ("R2: the files were thinned: the metadata claim 8 x 8 pixels, there are 4 x 4",)


def test_missing_files_are_told_and_no_reflectance_is_refused(make: Make, source: Source) -> None:
    """A missing band is noted; without any band there is nothing to take."""
    folder = make(kinds=("SRE",))
    (folder / f"{S2}_SRE_B4.tif").unlink()
    scene = sentinel2.read(folder, source)
    assert "red" not in {raster.key for raster in scene.rasters}
    assert any("SRE_B4" in note for note in scene.notes)
    for path in folder.glob("*_SRE_*.tif"):
        path.unlink()
    with pytest.raises(AssetError, match="no reflectance is there"):
        sentinel2.read(folder, source)


def test_without_the_edge_nothing_is_said_to_be_clear(make: Make, source: Source) -> None:
    """A mask is never made of a part of what it needs; that of 20 m serves if the finer one lacks something."""
    folder = make()
    (folder / "MASKS" / f"{S2}_EDG_R1.tif").unlink()
    assert _raster(sentinel2.read(folder, source), "maja_qa").grid.resolution.x == 20
    (folder / "MASKS" / f"{S2}_EDG_R2.tif").unlink()
    scene = sentinel2.read(folder, source)
    assert "maja_qa" not in {raster.key for raster in scene.rasters}
    assert any("nothing tells which pixels are clear" in note for note in scene.notes)


def test_a_product_without_masks_is_taken(make: Make, source: Source) -> None:
    """The folder MASKS is gone: bands come, and notes."""
    folder = make()
    for path in (folder / "MASKS").iterdir():
        path.unlink()
    (folder / "MASKS").rmdir()
    assert len(sentinel2.read(folder, source).rasters) == 24


def test_older_interpolation_masks_are_known(make: Make, source: Source) -> None:
    """IAO is the older form of IAB; where both are there the newer is taken."""
    folder = make()
    _write(folder / "MASKS" / f"{S2}_IAO_R1.tif", _tiled([0, 1], 8), 10)
    assert _raster(sentinel2.read(folder, source), "iab").bits == {0: "aerosol optical thickness interpolated"}
    _write(folder / "MASKS" / f"{S2}_IAB_R1.tif", _tiled([0, 3], 8), 10)
    assert 1 in _raster(sentinel2.read(folder, source), "iab").bits


def test_what_a_mask_calls_missing_is_not_believed(make: Make, source: Source) -> None:
    """A header that declares 0 missing would make every clear pixel so."""
    folder = make()
    _write(folder / "MASKS" / f"{S2}_CLM_R1.tif", _tiled(CLM, 8), 10, nodata=0)
    layer = _raster(sentinel2.read(folder, source), "clm")
    assert (layer.nodata, layer.pixels.kept) == (None, None)


@pytest.mark.parametrize(
    ("name", "values", "profile", "message"),
    [
        ("_FRE_B4.tif", np.zeros((8, 8), "uint16"), {}, "not of the product's kind"),
        ("_FRE_B4.tif", np.zeros((2, 8, 8), "int16"), {}, "not of the product's kind"),
        ("_FRE_B4.tif", np.zeros((8, 8), "int16"), {"nodata": 0}, "disagree on the nodata"),
        ("_FRE_B4.tif", np.zeros((8, 8), "int16"), {"crs": "EPSG:32632"}, "contradict each other: CRS"),
        ("_FRE_B4.tif", np.zeros((4, 4), "int16"), {}, "contradict each other: extent"),
        ("_ATB_R1.tif", np.zeros((8, 8), "uint8"), {}, "not of the product's kind"),
        ("_ATB_R1.tif", np.zeros((2, 8, 8), "float32"), {}, "not of the product's kind"),
    ],
)
def test_files_of_another_kind_are_refused(
    make: Make, source: Source, name: str, values: Array, profile: dict[str, Any], message: str
) -> None:
    """Another type, another count of bands, another number for missing, another place."""
    folder = make()
    _write(folder / f"{S2}{name}", values, 10, **profile)
    with pytest.raises((AssetError, MetadataError), match=message):
        sentinel2.read(folder, source)


def test_hostile_files_are_refused(make: Make, source: Source, tmp_path: Path) -> None:
    """A VRT named .tif, and a link that leads out of the folder."""
    folder = make()
    band = folder / f"{S2}_FRE_B4.tif"
    good = band.read_bytes()
    band.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with pytest.raises(HostileInputError):
        sentinel2.read(folder, source)
    band.unlink()
    (tmp_path / "elsewhere.tif").write_bytes(good)
    band.symlink_to(tmp_path / "elsewhere.tif")
    with pytest.raises(HostileInputError, match="leaves the folder"):
        sentinel2.read(folder, source)


def test_a_cut_off_band_fails_with_its_name(make: Make, source: Source) -> None:
    """Half a file: its header, or its pixels, cannot be read; the message names it."""
    folder = make()
    path = folder / f"{S2}_FRE_B4.tif"
    os.truncate(path, path.stat().st_size - 50)
    with pytest.raises(TerraCubeError) as caught:
        _rows(sentinel2.read(folder, source), "red")
    assert "FRE_B4" in str(caught.value)


def test_an_entity_bomb_is_refused(make: Make, source: Source) -> None:
    """Metadata that declare entities are hostile."""
    folder = make()
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    (folder / f"{S2}_MTD_ALL.xml").write_text(bomb)
    with pytest.raises(HostileInputError, match="entities"):
        sentinel2.read(folder, source)


@pytest.mark.parametrize(("text", "error"), [("<other/>", MetadataError), ("<open>", AssetError), ("", AssetError)])
def test_other_xml_is_refused(make: Make, source: Source, text: str, error: type[TerraCubeError]) -> None:
    """Another root, no XML, nothing at all."""
    folder = make()
    (folder / f"{S2}_MTD_ALL.xml").write_text(text)
    with pytest.raises(error):
        sentinel2.read(folder, source)


def test_a_product_becomes_an_item_of_which_a_cube_is_made(
    make: Make, tmp_path: Path, validate_stac: Callable[[dict[str, Any]], None]
) -> None:
    """Out come valid COGs with the delivered numbers, a valid item, and a cube that its own mask clears."""
    catalog = Catalog.create(tmp_path / "catalog")
    report = ingest("theia-sentinel-2-l2a", [make().parent], catalog)
    assert (report.taken, report.refused, report.notes) == ([S2], [], {})
    item = _item(catalog)
    validate_stac(item.to_dict())
    for key, asset in item.assets.items():
        path = Path(asset.get_absolute_href() or "")
        if path.suffix == ".tif":
            assert cog_validate(str(path), strict=True, quiet=True)[0], key
    with rasterio.open(item.assets["red"].get_absolute_href() or "") as dataset:
        np.testing.assert_array_equal(dataset.read(1), _reflectance("FRE_B4", 8))
        assert dataset.nodata == -10000
    fields = item.assets["maja_qa"].extra_fields["bands"][0]
    assert [bit["description"] for bit in fields["classification:bitfields"]][:2] == ["outside the image", "cloud"]
    cube = load([item], bands=["red", "red_surface"], mask="clear", chunks=None)
    kept = _tiled([1, 0, 0, 0, 0, 1, 1, 0], 8) == 1
    for band, token in (("red", "FRE_B4"), ("red_surface", "SRE_B4")):
        expected = np.where(kept, _reflectance(token, 8) * 1e-4, np.nan).astype("float32")
        np.testing.assert_allclose(cube[band].to_numpy()[0], expected, rtol=1e-6)


def test_the_same_bytes_come_in_once(make: Make, tmp_path: Path) -> None:
    """A product that is there already is not written again, also when it is named by its metadata file."""
    catalog, folder = Catalog.create(tmp_path / "catalog"), make(L8)
    assert ingest("theia-landsat-l2a", [folder], catalog).taken == [L8]
    again = ingest("theia-landsat-l2a", [folder / f"{L8}_MTD_ALL.xml"], catalog)
    assert (again.taken, again.already) == ([], [L8])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product with one band and its masks, which examples of one property share."""
    folder = tmp_path_factory.mktemp("fuzz") / S2
    folder.mkdir()
    for path, (values, pixel) in _layers(S2, ("FRE",)).items():
        if any(token in path for token in ("FRE_B4", "CLM_R1", "SAT_R1")):
            _write(folder / path, values, pixel)
    return folder


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1), cut=st.integers(0, 12), put=st.binary(max_size=12))
def test_damaged_metadata_never_escape_our_errors(
    scratch: Path, source: Source, where: float, cut: int, put: bytes
) -> None:
    """Metadata of a good product with a few bytes changed: a scene, or an error of TerraCube."""
    text = _metadata(S2).encode()
    at = int(where * len(text))
    (scratch / f"{S2}_MTD_ALL.xml").write_bytes(text[:at] + put + text[at + cut :])
    with contextlib.suppress(TerraCubeError):
        assert sentinel2.read(scratch, source).acquired.tzinfo is UTC


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(
        ["10000", "32631", "23656", "67.25", "28", "-10000", "300000", "2020-01-01T10:54:35.448Z", "T31TCJ", "R1", "B4"]
    ),
    put=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="<&\0"), max_size=10),
)
def test_any_text_in_a_field_never_escapes_our_errors(scratch: Path, source: Source, field: str, put: str) -> None:
    """Well-formed metadata with any text in a field: a scene, or an error of TerraCube."""
    (scratch / f"{S2}_MTD_ALL.xml").write_text(
        _metadata(S2).replace(f">{field}<", f">{put}<"), encoding="utf-8", errors="replace"
    )
    with contextlib.suppress(TerraCubeError):
        sentinel2.read(scratch, source)
