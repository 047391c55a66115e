"""DIMAP version 2: small products as the format describes them, which GDAL's own driver reads alike."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.transform import Affine

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.ingest import ingest
from terracube.ingest.readers.images import dimap
from terracube.ingest.scene import Delivered
from terracube.ingest.sources import load_source
from terracube.stac import Catalog

SOURCE = load_source("vhr")
PRODUCT = "PHR1A_PMS_201605121741085_ORT_2986325101-1"
SHAPE, TILE = (50, 44), (32, 32)
CORNER, SIZE = (500_000.0, 4_640_000.0), 0.5
BANDS = ("B2", "B1", "B0", "B3")

METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document>
<Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>
<METADATA_PROFILE>PHR_ORTHO</METADATA_PROFILE></Metadata_Identification>
<Coordinate_Reference_System>
<Projected_CRS><PROJECTED_CRS_CODE>urn:ogc:def:crs:EPSG::32631</PROJECTED_CRS_CODE></Projected_CRS>
<Temporal_CRS><TEMPORAL_CRS_NAME>UTC</TEMPORAL_CRS_NAME></Temporal_CRS>
</Coordinate_Reference_System>
<Geoposition><Raster_CRS><RASTER_GEOMETRY>RECTIFIED</RASTER_GEOMETRY></Raster_CRS>
<Geoposition_Insert><ULXMAP>{x}</ULXMAP><ULYMAP>{y}</ULYMAP><XDIM>{size}</XDIM><YDIM>{size}</YDIM></Geoposition_Insert>
</Geoposition>
<Processing_Information><Product_Settings><PROCESSING_LEVEL>ORTHO</PROCESSING_LEVEL>
<SPECTRAL_PROCESSING>PMS</SPECTRAL_PROCESSING>
<Radiometric_Settings><RADIOMETRIC_PROCESSING>BASIC</RADIOMETRIC_PROCESSING></Radiometric_Settings>
</Product_Settings></Processing_Information>
<Raster_Data>
<Data_Access><DATA_FILE_ORGANISATION>BAND_COMPOSITE</DATA_FILE_ORGANISATION><DATA_FILE_FORMAT>{format}</DATA_FILE_FORMAT>
<DATA_FILE_TILES>true</DATA_FILE_TILES>{files}</Data_Access>
<Raster_Dimensions><NROWS>{rows}</NROWS><NCOLS>{cols}</NCOLS><NBANDS>{count}</NBANDS>
<Tile_Set><NTILES>4</NTILES><Regular_Tiling><NTILES_SIZE nrows="{tile_rows}" ncols="{tile_cols}"/>
<NTILES_COUNT ntiles_R="2" ntiles_C="2"/><OVERLAP_ROW>0</OVERLAP_ROW><OVERLAP_COL>0</OVERLAP_COL></Regular_Tiling>
</Tile_Set></Raster_Dimensions>
<Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>12</NBITS><SIGN>UNSIGNED</SIGN></Raster_Encoding>
<Raster_Display><Band_Display_Order><RED_CHANNEL>B2</RED_CHANNEL><GREEN_CHANNEL>B1</GREEN_CHANNEL>
<BLUE_CHANNEL>B0</BLUE_CHANNEL><ALPHA_CHANNEL>B3</ALPHA_CHANNEL></Band_Display_Order>
<Special_Value><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_COUNT>0</SPECIAL_VALUE_COUNT></Special_Value>
<Special_Value><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_COUNT>4095</SPECIAL_VALUE_COUNT>
</Special_Value></Raster_Display>
</Raster_Data>
<Radiometric_Data><Radiometric_Calibration><Instrument_Calibration><Band_Measurement_List>{calibration}
</Band_Measurement_List></Instrument_Calibration></Radiometric_Calibration></Radiometric_Data>
<Geometric_Data><Use_Area><Located_Geometric_Values><LOCATION_TYPE>Center</LOCATION_TYPE>
<TIME>2016-05-12T17:41:09.5Z</TIME>
<Acquisition_Angles><AZIMUTH_ANGLE unit="deg">180.04</AZIMUTH_ANGLE><VIEWING_ANGLE unit="deg">12.3</VIEWING_ANGLE>
<INCIDENCE_ANGLE unit="deg">13.9</INCIDENCE_ANGLE></Acquisition_Angles>
<Solar_Incidences><SUN_AZIMUTH unit="deg">145.2</SUN_AZIMUTH><SUN_ELEVATION unit="deg">61.7</SUN_ELEVATION>
</Solar_Incidences></Located_Geometric_Values></Use_Area></Geometric_Data>
<Dataset_Sources><Source_Identification><Strip_Source><MISSION>PHR</MISSION><MISSION_INDEX>1A</MISSION_INDEX>
<INSTRUMENT>PHR</INSTRUMENT><IMAGING_DATE>2016-05-12</IMAGING_DATE><IMAGING_TIME>17:41:08.5</IMAGING_TIME>
</Strip_Source></Source_Identification></Dataset_Sources>
</Dimap_Document>
"""
GAINS = {"B0": (9.42, 0.0), "B1": (9.84, 0.1), "B2": (10.46, 0.0), "B3": (15.7, -0.2)}


def image() -> NDArray[np.uint16]:
    """Numbers that differ from band to band and pixel to pixel."""
    return np.arange(4 * SHAPE[0] * SHAPE[1], dtype="uint16").reshape(4, *SHAPE) % 4096


def place(row: int = 0, col: int = 0) -> Affine:
    """The transform of the image, or of the tile that begins at a pixel."""
    return Affine(SIZE, 0, CORNER[0] + col * SIZE, 0, -SIZE, CORNER[1] - row * SIZE)


def tiles(folder: Path, suffix: str = "TIF", *, crs: str | None = "EPSG:32631", shift: float = 0.0) -> str:
    """Write the tiles of the image, and give their list."""
    listed = []
    for row in range(0, SHAPE[0], TILE[0]):
        for col in range(0, SHAPE[1], TILE[1]):
            part = image()[:, row : row + TILE[0], col : col + TILE[1]]
            name = f"IMG_{PRODUCT}_R{row // TILE[0] + 1}C{col // TILE[1] + 1}.{suffix}"
            profile = {"driver": "GTiff"} if suffix == "TIF" else LOSSLESS
            where = {} if crs is None else {"crs": crs, "transform": place(row, col) @ Affine.translation(shift, 0)}
            size = {"height": part.shape[1], "width": part.shape[2], "count": 4, "dtype": "uint16"}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tiles without georeference
                with rasterio.open(folder / name, "w", **profile, **size, **where) as target:
                    target.write(part)
            (folder / f"{name}.aux.xml").unlink(missing_ok=True)
            tile = f'tile_R="{row // TILE[0] + 1}" tile_C="{col // TILE[1] + 1}"'
            listed.append(f'<Data_File {tile}><DATA_FILE_PATH href="{name}"/></Data_File>')
    return f"<Data_Files>{''.join(listed)}</Data_Files>"


LOSSLESS = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}


def product(folder: Path, suffix: str = "TIF", *, files: str = "", **changes: Any) -> Path:
    """Write a product; give its main metadata file."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = "".join(
        f"<Band_Spectral_Range><BAND_ID>{name}</BAND_ID><MEASURE_UNIT>micrometers</MEASURE_UNIT><MIN>0.{5 + n}</MIN>"
        f"<MAX>0.{6 + n}</MAX></Band_Spectral_Range><Band_Radiance><BAND_ID>{name}</BAND_ID>"
        "<MEASURE_DESC>Raw radiometric count (DN) to TOA Radiance (L). Formulae L=DN/GAIN+BIAS</MEASURE_DESC>"
        f"<GAIN>{gain}</GAIN><BIAS>{bias}</BIAS></Band_Radiance>"
        for n, (name, (gain, bias)) in enumerate(GAINS.items())
    )
    facts = {"x": CORNER[0], "y": CORNER[1], "size": SIZE, "rows": SHAPE[0], "cols": SHAPE[1], "count": 4}
    facts |= {"tile_rows": TILE[0], "tile_cols": TILE[1], "calibration": measured}
    facts |= {"format": "image/tiff" if suffix == "TIF" else "image/jp2", "files": files or tiles(folder, suffix)}
    path = folder / f"DIM_{PRODUCT}.XML"
    path.write_text(METADATA.format(**(facts | changes)))
    return path


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """The main metadata file of a product of four tiles."""
    return product(tmp_path / "product")


def whole(scene: Delivered, key: str) -> NDArray[Any]:
    """All rows of a band."""
    raster = next(raster for raster in scene.rasters if raster.key == key)
    return raster.pixels.rows(0, raster.grid.shape.y)


@pytest.mark.parametrize("suffix", ["TIF", "JP2"])
def test_as_gdal_reads_it(tmp_path: Path, suffix: str) -> None:
    """Numbers and georeference are those of GDAL's DIMAP driver, an independent reader."""
    path = product(tmp_path, suffix)
    scene = dimap.read(path, SOURCE)
    with rasterio.open(path, driver="DIMAP") as dataset:
        assert dataset.driver == "DIMAP"
        theirs, crs, transform = dataset.read(), dataset.crs, dataset.transform
    assert np.array_equal(theirs, image())
    for number, raster in enumerate(scene.rasters):
        assert np.array_equal(raster.pixels.rows(0, SHAPE[0]), theirs[number])
        assert raster.grid.transform == transform
        assert raster.grid.crs == crs.to_string()
        assert raster.grid.shape == SHAPE


def test_from_delivery_to_item(main: Path, catalog: Catalog, validate_stac: Callable[[dict[str, Any]], None]) -> None:
    """Ingested: a valid item with calibration, access class and metadata, and the whole image in one file."""
    report = ingest(SOURCE.name, [main.parent], catalog)
    assert report.taken == [PRODUCT], report.refused
    item = catalog.find(PRODUCT, SOURCE.name)
    validate_stac(item.to_dict())
    assert item.properties["terracube:access"] == "licensed:dinamis"
    assert "metadata" in item.assets
    with rasterio.open(item.assets["nir"].get_absolute_href()) as dataset:
        assert np.array_equal(dataset.read(1), image()[3])
        assert dataset.scales[0] == pytest.approx(1 / 15.7)


def test_bands_by_their_names(main: Path) -> None:
    """The file's first band is red, as the order of display says, which is told; each has its own calibration."""
    scene = dimap.read(main, SOURCE)
    assert [raster.key for raster in scene.rasters] == ["red", "green", "blue", "nir"]
    red = scene.rasters[0]
    assert red.radiometry is not None
    assert red.radiometry.scale == pytest.approx(1 / 10.46)
    assert scene.rasters[1].radiometry.offset == 0.1
    assert (red.unit, red.nodata, red.dtype) == ("W m-2 sr-1 um-1", 0, "uint16")
    assert red.extra == {"dimap:saturated": 4095}
    assert red.band.center_wavelength == pytest.approx(0.75)
    assert any("displayed" in note for note in scene.notes)


def test_what_the_metadata_tell(main: Path) -> None:
    """Id, time, platform, angles, licence and access class."""
    scene = dimap.read(main, SOURCE)
    assert scene.id == PRODUCT
    assert scene.acquired.isoformat() == "2016-05-12T17:41:08.500000+00:00"
    told = scene.properties
    assert (told["platform"], told["instruments"]) == ("pleiades-1a", ["hiri"])
    assert (told["view:incidence_angle"], told["view:sun_elevation"]) == (13.9, 61.7)
    assert scene.source.access == "licensed:dinamis"
    assert scene.documents[0].path == main
    assert len(scene.rasters[0].files) == 5


def test_sidecar_tells_another_licence(main: Path) -> None:
    """Who has bought the images may say so."""
    main.with_suffix(".yaml").write_text("licence: other\naccess: licensed:buyers\nattribution: Airbus DS 2016\n")
    scene = dimap.read(main, SOURCE)
    assert scene.source.access == "licensed:buyers"
    assert scene.properties["license"] == "other"


def test_found_from_anywhere(main: Path) -> None:
    """By the metadata file, the volume file beside it, the folder or one above; two products in a folder are two."""
    volume = main.with_name("VOL_PHR.XML")
    volume.write_text("<Dimap_Document/>")
    assert dimap.find(main) == [main]
    for path in (volume, main.parent, main.parent.parent):
        assert dimap.find(path) == [main.parent]
    assert dimap.read(main.parent, SOURCE).id == PRODUCT
    other = main.with_name("DIM_PHR1A_P_201605121741085_ORT_2986325101-2.XML")
    other.write_text(main.read_text())
    assert dimap.find(main.parent) == sorted([main, other])
    assert dimap.read(other, SOURCE).id.endswith("-2")


def test_listed_order_goes_before_display(tmp_path: Path) -> None:
    """Where the bands of a file are numbered, that is their order."""
    files = tiles(tmp_path)
    listed = "".join(
        f"<Raster_Index><BAND_ID>{name}</BAND_ID><BAND_INDEX>{number}</BAND_INDEX></Raster_Index>"
        for number, name in enumerate(("B0", "B1", "B2", "B3"), start=1)
    )
    index = f"<Raster_Display><Raster_Index_List>{listed}</Raster_Index_List></Raster_Display></Data_Files>"
    scene = dimap.read(product(tmp_path, files=files.replace("</Data_Files>", index)), SOURCE)
    assert [raster.key for raster in scene.rasters] == ["blue", "green", "red", "nir"]
    assert scene.notes == ()


def test_rows_in_any_order(main: Path) -> None:
    """Rows that begin and end within tiles, in another process, are the same."""
    scene = pickle.loads(pickle.dumps(dimap.read(main, SOURCE)))
    parts = [scene.rasters[2].pixels.rows(start, min(start + 7, SHAPE[0])) for start in range(0, SHAPE[0], 7)]
    assert np.array_equal(np.concatenate(parts), image()[2])


def test_tiles_without_georeference(tmp_path: Path) -> None:
    """Tiles that do not tell where they lie are believed to lie where the metadata say."""
    path = product(tmp_path, files=tiles(tmp_path, crs=None))
    assert np.array_equal(whole(dimap.read(path, SOURCE), "red"), image()[0])


def test_numbers_without_calibration(main: Path) -> None:
    """Images that were stretched for display keep their numbers, and that is told."""
    main.write_text(main.read_text().replace(">BASIC<", ">DISPLAY<"))
    scene = dimap.read(main, SOURCE)
    assert scene.rasters[0].radiometry is None
    assert any("physical" in note for note in scene.notes)


def test_reflectance(main: Path) -> None:
    """Products of reflectance have scale, offset and no unit."""
    text = main.read_text().replace(">BASIC<", ">REFLECTANCE<").replace("Band_Radiance", "Band_Reflectance")
    main.write_text(text.replace("10.46", "10000"))
    red = dimap.read(main, SOURCE).rasters[0]
    assert (red.radiometry.scale, red.unit) == (1e-4, "1")


# What is wrong is told


def expect(path: Path, kind: type[TerraCubeError], *words: str) -> None:
    """Reading raises this kind of error, and the message holds these words."""
    with pytest.raises(kind) as told:
        dimap.read(path, SOURCE)
    for word in words:
        assert word in str(told.value)


CHANGES = [
    (">ORTHO<", ">SENSOR<", MetadataError, "orthorectified"),
    (">ORTHO<", ">PROJECTED<", MetadataError, "orthorectified"),
    ('version="2.0"', 'version="1.1"', MetadataError, "version 2"),
    ("EPSG::32631", "EPSG::99999", MetadataError, "CRS"),
    ("EPSG::32631", "EPSG::32632", MetadataError, "disagree"),
    ("500000.0", "500000.5", MetadataError, "disagree"),
    ("<ULXMAP>500000.0</ULXMAP>", "", MetadataError, "ULXMAP"),
    ("Geoposition_Insert", "Geoposition_Other", MetadataError, "where the image lies"),
    ("<XDIM>0.5", "<XDIM>-0.5", MetadataError, "size"),
    ("<NROWS>50", "<NROWS>1000000000", HostileInputError, "absurd"),
    ("<NROWS>50", "<NROWS>many", MetadataError, "NROWS"),
    ("<NROWS>50", "<NROWS>51", MetadataError, "tile"),
    ("<NBANDS>4", "<NBANDS>3", MetadataError, "tile"),
    ("<NBANDS>4", "<NBANDS>5", MetadataError, "order of the bands"),
    ("<OVERLAP_ROW>0", "<OVERLAP_ROW>8", MetadataError, "overlap"),
    ('nrows="32" ncols="32"', 'nrows="1" ncols="1"', MetadataError, "tiles"),
    ("2016-05-12<", "12 May<", MetadataError, "date"),
    ("2016-05-12T17:41:09.5Z", "2019-05-12T17:41:09.5Z", MetadataError, "passes"),
    ("<TEMPORAL_CRS_NAME>UTC", "<TEMPORAL_CRS_NAME>CET", MetadataError, "UTC"),
    (">NODATA<", ">OTHER<", MetadataError, "missing"),
    ("<SPECIAL_VALUE_COUNT>0", "<SPECIAL_VALUE_COUNT>-5", MetadataError, "nodata"),
    ("<GAIN>10.46", "<GAIN>0", MetadataError, "gain"),
    ("_R1C1.TIF", "_R9C9.TIF", AssetError, "R9C9"),
    ('href="IMG', 'href="../IMG', HostileInputError, "leaves"),
    ('href="IMG', 'href="/vsicurl/http://x/IMG', HostileInputError, "leaves"),
    ('tile_R="2" tile_C="2"', 'tile_R="1" tile_C="1"', MetadataError, "twice"),
    (">B2<", ">B9<", MetadataError, "not known"),
    ("<Data_Files>", "<Other_Files>", AssetError, "XML"),
]


@pytest.mark.parametrize(("old", "new", "kind", "word"), CHANGES)
def test_metadata_that_are_wrong(main: Path, old: str, new: str, kind: type[TerraCubeError], word: str) -> None:
    """Each contradiction, gap and absurdity is told, and none is settled by a guess."""
    text = main.read_text()
    assert old in text
    main.write_text(text.replace(old, new))
    expect(main, kind, word)


def test_metadata_with_entities(main: Path) -> None:
    """Metadata that declare entities are refused unread."""
    main.write_text('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><Dimap_Document>&b;</Dimap_Document>')
    expect(main, HostileInputError, "entities")


def test_tile_that_is_a_vrt(main: Path) -> None:
    """A tile that is no image, whatever its name, does not reach GDAL."""
    main.with_name(f"IMG_{PRODUCT}_R1C2.TIF").write_text('<VRTDataset rasterXSize="12" rasterYSize="32"/>')
    expect(main, HostileInputError, "R1C2")


def test_tile_that_breaks_off(main: Path) -> None:
    """A truncated tile is told when it is read, by its name."""
    tile = main.with_name(f"IMG_{PRODUCT}_R2C1.TIF")
    tile.write_bytes(tile.read_bytes()[:1500])
    with pytest.raises(AssetError, match="R2C1"):
        read_whole(main)


def test_tile_of_another_type(main: Path, tmp_path: Path) -> None:
    """Tiles of different types are not one image."""
    tile = main.with_name(f"IMG_{PRODUCT}_R2C2.TIF")
    with rasterio.open(tile) as source:
        profile, values = source.profile, source.read()
    place = {name: profile[name] for name in ("crs", "transform", "width", "height", "count")}
    # Elsewhere: where a tile is written anew in its folder, GDAL takes the metadata away with the old one.
    with rasterio.open(tmp_path / "other.tif", "w", driver="GTiff", dtype="float32", **place) as target:
        target.write(values.astype("float32"))
    (tmp_path / "other.tif").replace(tile)
    expect(main, MetadataError, "differ")


def read_whole(path: Path) -> None:
    """Read everything."""
    for raster in dimap.read(path, SOURCE).rasters:
        raster.pixels.rows(0, raster.grid.shape.y)


Edit = Callable[[bytes], bytes]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 5500), junk=st.binary(min_size=1, max_size=12), cut=st.integers(0, 60))
def test_any_bytes(main: Path, at: int, junk: bytes, cut: int) -> None:
    """Whatever the metadata hold, they are read or refused with one of our errors."""
    kept = main.read_bytes()
    try:
        main.write_bytes(kept[:at] + junk + kept[at + cut :])
        with suppress(TerraCubeError):
            read_whole(main)
    finally:
        main.write_bytes(kept)
