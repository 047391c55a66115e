"""Sentinel-2 Level-2A in SAFE: small products that follow the product specification, compared with what was written
and with GDAL's own reader of them.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy as copy_raster
from shapely.geometry import shape

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.cubes import Grid, load
from terracube.ingest import ingest
from terracube.ingest.readers.sentinel2 import eopf, safe
from terracube.ingest.readers.sentinel2.angles import node_grid
from terracube.ingest.readers.sentinel2.msi import BANDS, outline
from terracube.ingest.readers.sentinel2.safe_metadata import layer_of
from terracube.ingest.sources import load_source
from terracube.stac import Catalog

NAME = "S2B_MSIL2A_20230820T094549_N0509_R079_T33TWL_20230820T124817"
OLD_NAME = "S2A_MSIL2A_20170823T094031_N0205_R036_T33TWL_20170823T094252"
TILE, START = "T33TWL", "20230820T094549"
LEFT, TOP, SIDE = 499980.0, 5100000.0, 2400.0
SIZES = {
    10: ("B02", "B03", "B04", "B08", "AOT", "WVP"),
    20: ("B01", "B02", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL", "AOT", "WVP"),
    60: ("B01", "B02", "B09", "B11", "SCL", "AOT", "WVP"),
}
NATIVE = {"B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20, "B09": 60,
          "B11": 20, "B12": 20, "SCL": 20, "AOT": 10, "WVP": 10, "MSK_CLDPRB": 20, "MSK_SNWPRB": 20}  # fmt: skip
ROLES = {"B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2",
         "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
         "SCL": "scl", "AOT": "aot", "WVP": "wvp", "MSK_CLDPRB": "cld", "MSK_SNWPRB": "snw"}  # fmt: skip
ORDER = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
SOURCE = load_source("sentinel-2-l2a")


def jp2(path: Path, values: np.ndarray, metres: int, *, left: float = LEFT, top: float = TOP, crs="EPSG:32633") -> None:
    """Write a lossless JPEG 2000 with its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = path.with_suffix(".plain.tif")
    profile = {"driver": "GTiff", "count": 1, "height": values.shape[0], "width": values.shape[1], "crs": crs,
               "dtype": values.dtype.name, "transform": Affine(metres, 0, left, 0, -metres, top)}  # fmt: skip
    with rasterio.open(plain, "w", **profile) as out:
        out.write(values, 1)
    copy_raster(plain, path, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES", BLOCKXSIZE=64, BLOCKYSIZE=64)
    plain.unlink()


def sun_grids() -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth of the sun at 23 x 23 nodes."""
    rows, cols = np.mgrid[0:23, 0:23]
    return 35.0 + 0.05 * rows + 0.01 * cols, 150.0 + 0.09 * cols


def view_grids(band: int, detector: int) -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth of the view of a band and detector: two detectors, which meet in column 11."""
    zenith, azimuth = np.full((2, 23, 23), np.nan)
    seen = slice(0, 12) if detector == 1 else slice(11, 20)
    zenith[:, seen] = 4.0 + 0.1 * band + detector
    azimuth[:, seen] = 359.0 if detector == 1 else 1.0
    return zenith, azimuth


def grid_xml(name: str, pair: tuple[np.ndarray, np.ndarray], attributes: str = "") -> str:
    """Write a pair of grids as the tile metadata have it."""
    parts = []
    for tag, values in zip(("Zenith", "Azimuth"), pair, strict=True):
        rows = "".join(
            "<VALUES>" + " ".join("NaN" if np.isnan(v) else f"{v:.6g}" for v in row) + "</VALUES>" for row in values
        )
        parts.append(
            f'<{tag}><COL_STEP unit="m">5000</COL_STEP><ROW_STEP unit="m">5000</ROW_STEP>'
            f"<Values_List>{rows}</Values_List></{tag}>"
        )
    return f"<{name}{attributes}>{''.join(parts)}</{name}>"


def tile_xml(masks: list[str], *, angles: bool = True) -> str:
    """Write the metadata of a tile."""
    sizes = "".join(
        f'<Size resolution="{m}"><NROWS>{int(SIDE / m)}</NROWS><NCOLS>{int(SIDE / m)}</NCOLS></Size>' for m in SIZES
    )
    places = "".join(
        f'<Geoposition resolution="{m}"><ULX>{LEFT:.0f}</ULX><ULY>{TOP:.0f}</ULY><XDIM>{m}</XDIM><YDIM>-{m}</YDIM>'
        "</Geoposition>"
        for m in SIZES
    )
    views = "".join(
        grid_xml(
            "Viewing_Incidence_Angles_Grids", view_grids(band, detector), f' bandId="{band}" detectorId="{detector}"'
        )
        for band in range(13)
        for detector in (1, 2)
    )
    means = "".join(
        f'<Mean_Viewing_Incidence_Angle bandId="{band}"><ZENITH_ANGLE unit="deg">5.0</ZENITH_ANGLE>'
        f'<AZIMUTH_ANGLE unit="deg">{359 if band % 2 else 1}</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>'
        for band in range(13)
        if band not in (9, 10)
    )
    told = (
        f"<Tile_Angles>{grid_xml('Sun_Angles_Grid', sun_grids())}<Mean_Sun_Angle><ZENITH_ANGLE>35.66</ZENITH_ANGLE>"
        f"<AZIMUTH_ANGLE>150.99</AZIMUTH_ANGLE></Mean_Sun_Angle>{views}"
        f"<Mean_Viewing_Incidence_Angle_List>{means}</Mean_Viewing_Incidence_Angle_List></Tile_Angles>"
    )
    listed = "".join(f'<MASK_FILENAME type="{Path(m).name[:10]}">{m}</MASK_FILENAME>' for m in masks)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">'
        "<n1:General_Info><TILE_ID>S2B_OPER_MSI_L2A_TL_2BPS_20230820T124817_A033710_T33TWL_N05.09</TILE_ID>"
        "<SENSING_TIME>2023-08-20T09:58:07.856Z</SENSING_TIME></n1:General_Info>"
        "<n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_NAME>WGS84 / UTM zone 33N</HORIZONTAL_CS_NAME>"
        f"<HORIZONTAL_CS_CODE>EPSG:32633</HORIZONTAL_CS_CODE>{sizes}{places}</Tile_Geocoding>"
        f"{told if angles else ''}</n1:Geometric_Info>"
        "<n1:Quality_Indicators_Info><Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>8.066346</CLOUDY_PIXEL_PERCENTAGE>"
        "<SNOW_ICE_PERCENTAGE>6.46E-4</SNOW_ICE_PERCENTAGE></Image_Content_QI>"
        f"<Pixel_Level_QI>{listed}</Pixel_Level_QI></n1:Quality_Indicators_Info></n1:Level-2A_Tile_ID>"
    )


RING = "46.05 14.9997 46.05 15.031 46.029 15.031 46.029 14.9997 46.05 14.9997"


def product_xml(images: list[str]) -> str:
    """Write the metadata of a product."""
    listed = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{k}">-1000</BOA_ADD_OFFSET>' for k in range(13))
    spectra = "".join(
        f'<Spectral_Information bandId="{k}" physicalBand="{name}"><RESOLUTION>10</RESOLUTION><Wavelength>'
        '<MIN unit="nm">400</MIN><MAX unit="nm">500</MAX><CENTRAL unit="nm">450</CENTRAL></Wavelength>'
        "</Spectral_Information>"
        for k, name in enumerate(ORDER)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">'
        "<n1:General_Info><Product_Info><PRODUCT_START_TIME>2023-08-20T09:45:49.024Z</PRODUCT_START_TIME>"
        "<PRODUCT_STOP_TIME>2023-08-20T09:45:49.024Z</PRODUCT_STOP_TIME>"
        f"<PRODUCT_URI>{NAME}.SAFE</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>"
        "<PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE><PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>"
        "<PRODUCT_DOI>https://doi.org/10.5270/S2_-znk9xsj</PRODUCT_DOI>"
        "<GENERATION_TIME>2023-08-20T12:48:17.000000Z</GENERATION_TIME>"
        '<Datatake datatakeIdentifier="GS2B_20230820T094549_033710_N05.09"><SPACECRAFT_NAME>Sentinel-2B'
        "</SPACECRAFT_NAME><DATATAKE_SENSING_START>2023-08-20T09:45:49.024Z</DATATAKE_SENSING_START>"
        "<SENSING_ORBIT_NUMBER>79</SENSING_ORBIT_NUMBER><SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>"
        '</Datatake><Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT>'
        "</Query_Options><Product_Organisation><Granule_List>"
        '<Granule granuleIdentifier="S2B_OPER_MSI_L2A_TL_2BPS_20230820T124817_A033710_T33TWL_N05.09" '
        f'imageFormat="JPEG2000">{listed}</Granule></Granule_List></Product_Organisation></Product_Info>'
        "<Product_Image_Characteristics>"
        "<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>"
        "<SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>"
        "<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>"
        "<SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX></Special_Values>"
        '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
        '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>'
        '<WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        f"<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST>"
        f"<Spectral_Information_List>{spectra}</Spectral_Information_List>"
        "</Product_Image_Characteristics></n1:General_Info><n1:Geometric_Info><Product_Footprint><Product_Footprint>"
        f"<Global_Footprint><EXT_POS_LIST>{RING} </EXT_POS_LIST></Global_Footprint></Product_Footprint>"
        "</Product_Footprint></n1:Geometric_Info><n1:Quality_Indicators_Info>"
        "<Cloud_Coverage_Assessment>8.066346</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>"
        "</n1:Level-2A_User_Product>"
    )


Truth = dict[tuple[str, int], np.ndarray]


def write_product(folder: Path) -> Truth:
    """Write a product of 2.4 km; give its numbers by layer and metres."""
    rng = np.random.default_rng(11)
    granule = f"GRANULE/L2A_{TILE}_A033710_20230820T095553"
    truth: Truth = {}
    images, masks = [], []
    for metres, layers in SIZES.items():
        side = int(SIDE / metres)
        for layer in layers:
            small = layer == "SCL"
            values = rng.integers(0 if small else 1, 12 if small else 12000, (side, side))
            truth[layer, metres] = values.astype("uint8" if small else "uint16")
            images.append(f"{granule}/IMG_DATA/R{metres}m/{TILE}_{START}_{layer}_{metres}m")
            jp2(folder / f"{images[-1]}.jp2", truth[layer, metres], metres)
    for metres in (20, 60):
        for layer in ("MSK_CLDPRB", "MSK_SNWPRB"):
            side = int(SIDE / metres)
            truth[layer, metres] = rng.integers(0, 101, (side, side)).astype("uint8")
            masks.append(f"{granule}/QI_DATA/{layer}_{metres}m.jp2")
            jp2(folder / masks[-1], truth[layer, metres], metres)
    (folder / granule / "MTD_TL.xml").write_text(tile_xml(masks), encoding="utf-8")
    (folder / "MTD_MSIL2A.xml").write_text(product_xml(images), encoding="utf-8")
    (folder / "INSPIRE.xml").write_text("<x/>", encoding="utf-8")
    (folder / "manifest.safe").write_text("<x/>", encoding="utf-8")
    return truth


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One product, not to be changed, and its numbers."""
    folder = tmp_path_factory.mktemp("safe") / f"{NAME}.SAFE"
    return folder, write_product(folder)


@pytest.fixture
def product(written, tmp_path):
    """A copy of the product that a test may spoil."""
    folder = tmp_path / f"{NAME}.SAFE"
    shutil.copytree(written[0], folder)
    return folder


def tile_file(folder: Path) -> Path:
    """The metadata of the tile."""
    return next(folder.glob("GRANULE/*/MTD_TL.xml"))


def change(path: Path, old: str, new: str, count: int = -1) -> None:
    """Replace text in a file, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def whole(raster) -> np.ndarray:
    """All rows of a layer, asked in two parts."""
    rows = raster.grid.shape.y
    half = rows // 3
    parts = [raster.pixels.rows(0, half), raster.pixels.rows(half, rows)]
    return np.concatenate(parts)


def by_key(delivered) -> dict:
    """Layers by role name."""
    return {raster.key: raster for raster in delivered.rasters}


class TestFind:
    def test_places(self, written, tmp_path):
        """A product is found by its folder, by its XML, and below a folder; nothing else is, and nothing is raised."""
        folder, _ = written
        assert safe.find(folder) == [folder]
        assert safe.find(folder / "MTD_MSIL2A.xml") == [folder]
        assert safe.find(folder.parent) == [folder]
        assert safe.find(folder / "INSPIRE.xml") == []
        assert safe.find(tmp_path / "nowhere") == []
        (tmp_path / "MTD_MSIL2A.txt").write_bytes(b"\xff")
        assert safe.find(tmp_path) == []

    def test_real_items(self, data_dir):
        """Folders of real STAC items are left to their own form, which reads them."""
        folder = data_dir / "sentinel2-l2a" / "33TWL"
        assert safe.find(folder) == []
        assert eopf.find(folder) == []
        form = SOURCE.forms[2]
        found = [form.read(path, SOURCE) for path in form.find(folder)]
        assert {scene.properties["platform"] for scene in found} == {"sentinel-2a", "sentinel-2b"}
        assert all("red" in by_key(scene) for scene in found)

    @pytest.mark.parametrize("name", ["MTD_MSIL1C.xml", "S2A_USER_MTD_SAFL2A_PDMC_20160901T000000_R036.xml"])
    def test_other_products_are_refused(self, tmp_path, name):
        """Level-1C and the long names of 2016 are claimed and refused with what to do."""
        (tmp_path / name).write_text("<x/>")
        assert safe.find(tmp_path) == [tmp_path]
        with pytest.raises(MetadataError, match=r"not read.*compact form"):
            safe.read(tmp_path, SOURCE)


class TestLayers:
    def test_every_band_on_its_own_grid(self, written):
        """All layers come out in their native pixels, with the numbers that were written."""
        folder, truth = written
        found = by_key(safe.read(folder, SOURCE))
        for layer, metres in NATIVE.items():
            raster = found[ROLES[layer]]
            assert raster.grid.resolution == (-metres, metres)
            assert (raster.grid.bounds.left, raster.grid.bounds.top) == (LEFT, TOP)
            assert raster.grid.crs == "EPSG:32633"
            assert np.array_equal(whole(raster), truth[layer, metres]), layer
            assert raster.files == (next(folder.rglob(f"*{layer}_{metres}m.jp2")),)
            assert raster.dtype == truth[layer, metres].dtype.name
            assert raster.pixels.kept is None
            assert raster.pixels.step % min(64, raster.grid.shape.y) == 0

    def test_numbers_and_their_meaning(self, written):
        """Scale, offset, nodata and classes are those that the metadata declare."""
        found = by_key(safe.read(written[0], SOURCE))
        for layer, role in ROLES.items():
            raster = found[role]
            if layer.startswith("B"):
                assert (raster.radiometry.scale, raster.radiometry.offset, raster.nodata) == (1e-4, -0.1, 0)
                assert "05.09" in raster.radiometry.reason
                assert "reflectance" in raster.roles
            elif layer in ("AOT", "WVP"):
                assert (raster.radiometry.scale, raster.radiometry.offset, raster.nodata) == (1e-3, 0, 0)
            else:
                assert raster.radiometry is None
        assert found["scl"].nodata == 0
        assert found["scl"].classes[6] == "water"
        assert found["cld"].nodata is None, "no cloud is 0 percent"

    @pytest.mark.parametrize("metres", [10, 20, 60])
    def test_as_gdal_reads_it(self, written, metres):
        """GDAL's reader of the product gives the same numbers at the same place."""
        with rasterio.Env() as env:
            if "SENTINEL2" not in env.drivers():
                pytest.skip("this build of GDAL has no reader of Sentinel-2 products")
        folder, _ = written
        found = by_key(safe.read(folder, SOURCE))
        seen = set()
        with rasterio.open(f"SENTINEL2_L2A:{folder / 'MTD_MSIL2A.xml'}:{metres}m:EPSG_32633") as peer:
            for number, title in enumerate(peer.descriptions, start=1):
                name = title.partition(",")[0]
                name = f"B{name[1:]:0>2}" if name.startswith("B") else {"CLD": "MSK_CLDPRB"}.get(name, name)
                if NATIVE.get(name) != metres:
                    continue
                raster = found[ROLES[name]]
                assert np.array_equal(peer.read(number), whole(raster)), name
                assert peer.transform == raster.grid.transform
                assert peer.shape == tuple(raster.grid.shape)
                assert peer.crs.to_epsg() == 32633
                seen.add(name)
        assert len(seen) >= {10: 6, 20: 7, 60: 2}[metres]

    def test_a_band_that_is_not_there(self, product):
        """A missing band is noted; its resampled copy stands in, and says so; the rest goes on."""
        for layer, metres in (("B02", 10), ("B04", 10), ("SCL", 20)):
            next(product.rglob(f"*_{layer}_{metres}m.jp2")).unlink()
        delivered = safe.read(product, SOURCE)
        found, notes = by_key(delivered), "\n".join(delivered.notes)
        assert found["blue"].grid.resolution.x == 20
        assert "B02: made at 10 m" in notes
        assert "red" not in found
        assert "B04 (red): the product does not hold it" in notes
        assert "B04 at 10 m: listed, but not there" in notes
        assert found["scl"].grid.resolution.x == 60

    def test_no_mask_is_a_note(self, product):
        """Without scene classification the bands still come in, with a note."""
        for path in product.rglob("*_SCL_*.jp2"):
            path.unlink()
        delivered = safe.read(product, SOURCE)
        assert "scl" not in by_key(delivered)
        assert any("SCL" in note for note in delivered.notes)

    def test_no_band_at_all(self, product):
        """A product without a measured band is refused."""
        for path in product.rglob("*_B*.jp2"):
            path.unlink()
        with pytest.raises(AssetError, match="no measured band"):
            safe.read(product, SOURCE)


class TestDescription:
    def test_properties(self, written):
        """What the product says of itself comes out as STAC properties."""
        delivered = safe.read(written[0], SOURCE)
        assert delivered.id == NAME
        assert delivered.acquired == datetime(2023, 8, 20, 9, 58, 7, 856000, UTC)
        told = delivered.properties
        assert (
            told
            | {
                "platform": "sentinel-2b",
                "constellation": "sentinel-2",
                "instruments": ["msi"],
                "s2:processing_baseline": "05.09",
                "sat:relative_orbit": 79,
                "sat:absolute_orbit": 33710,
                "sat:orbit_state": "descending",
                "grid:code": "MGRS-33TWL",
                "eo:cloud_cover": 8.066346,
                "eo:snow_cover": 0.000646,
                "sci:doi": "10.5270/S2_-znk9xsj",
                "view:sun_elevation": 54.34,
                "view:sun_azimuth": 150.99,
            }
            == told
        )
        assert delivered.facts["special"] == {"NODATA": 0, "SATURATED": 65535}
        assert {doc.key for doc in delivered.documents} == {
            "product_metadata", "granule_metadata", "inspire_metadata", "safe_manifest"
        }  # fmt: skip
        assert delivered.notes == ()

    def test_mean_view(self, written):
        """The mean view is that of unit vectors: azimuths of 359 and 1 degrees do not make 180."""
        told = safe.read(written[0], SOURCE).properties
        assert min(told["view:azimuth"], 360 - told["view:azimuth"]) < 0.2
        assert told["view:incidence_angle"] == pytest.approx(5.0, abs=1e-3)
        assert told["view:off_nadir"] == pytest.approx(4.45, abs=0.01)

    def test_footprint(self, written):
        """The outline is turned from latitude, longitude to longitude, latitude."""
        outline = safe.read(written[0], SOURCE).geometry
        assert outline["type"] == "Polygon"
        assert outline["coordinates"][0][0] == [14.9997, 46.05]
        assert len(outline["coordinates"][0]) == 5

    def test_swapped_footprint(self, product):
        """An outline whose latitudes and longitudes are swapped lies elsewhere, which is refused."""
        numbers = RING.split()
        swapped = " ".join(f"{lon} {lat}" for lat, lon in zip(numbers[::2], numbers[1::2], strict=True))
        change(product / "MTD_MSIL2A.xml", RING, swapped)
        with pytest.raises(MetadataError, match="swapped"):
            safe.read(product, SOURCE)

    @pytest.mark.parametrize("ring", ["", "46 15 46 16 47 15 47 16 46 15"])
    def test_unusable_footprint(self, product, ring):
        """No outline, or one that crosses itself, is noted; the tile's own is taken."""
        change(product / "MTD_MSIL2A.xml", RING, ring)
        delivered = safe.read(product, SOURCE)
        assert delivered.geometry is None
        assert any("footprint" in note for note in delivered.notes)

    def test_other_folder_name(self, product):
        """A folder that was renamed is noted; the product keeps its name."""
        moved = product.rename(product.parent / "renamed.SAFE")
        delivered = safe.read(moved, SOURCE)
        assert delivered.id == NAME
        assert any("renamed.SAFE" in note for note in delivered.notes)


class TestAngles:
    def test_nodes_are_pixel_centres(self, written):
        """The first node is the corner of the tile, and the middle of the first pixel of the layer."""
        found = by_key(safe.read(written[0], SOURCE))
        zenith, azimuth = sun_grids()
        sun = found["sun_zenith"]
        assert tuple(sun.grid.shape) == (23, 23)
        # The phase of a grid is kept to 2^-20 of a pixel, here 5 mm.
        assert sun.grid.transform * (0.5, 0.5) == pytest.approx((LEFT, TOP), abs=0.005)
        assert sun.grid.transform * (2.5, 1.5) == pytest.approx((LEFT + 10000, TOP - 5000), abs=0.005)
        assert sun.dtype == "float32"
        assert np.isnan(sun.nodata)
        assert np.allclose(whole(sun), zenith, atol=1e-3)
        assert np.allclose(whole(found["sun_azimuth"]), azimuth, atol=1e-3)
        assert {r.key for r in found.values() if r.key.startswith("view_zenith")} == {
            f"view_zenith_{role}" for layer, role in ROLES.items() if layer.startswith("B")
        }

    def test_corner_of_a_real_product(self):
        """In a product of 2022 (tile 29UNU) the grid at the middle of the tile is the mean that it tells, so placed."""
        zenith = {(10, 10): 57.8709, (10, 11): 57.8649, (11, 10): 57.8262, (11, 11): 57.8201}
        grid = node_grid("EPSG:32629", (499980, 5900040), (5000, 5000), (23, 23))
        col, row = ~grid.transform * (499980 + 54900, 5900040 - 54900)
        col, row = col - 10.5, row - 10.5
        above = zenith[10, 10] * (1 - col) + zenith[10, 11] * col
        below = zenith[11, 10] * (1 - col) + zenith[11, 11] * col
        assert above * (1 - row) + below * row == pytest.approx(57.820574, abs=0.001)

    def test_merged_over_detectors(self, written):
        """Each band has the angles of both detectors; where both saw, their mean direction; else NaN."""
        found = by_key(safe.read(written[0], SOURCE))
        for band, role in ((3, "red"), (11, "swir16")):
            zenith, azimuth = whole(found[f"view_zenith_{role}"]), whole(found[f"view_azimuth_{role}"])
            assert np.allclose(zenith[:, :11], 5 + 0.1 * band)
            assert np.allclose(azimuth[:, :11], 359)
            assert np.allclose(zenith[:, 12:20], 6 + 0.1 * band)
            assert np.allclose(zenith[:, 11], 5.5 + 0.1 * band, atol=0.01)
            assert np.all((azimuth[:, 11] < 1) | (azimuth[:, 11] > 359))
            assert np.isnan(zenith[:, 20:]).all()
            assert np.isnan(azimuth[:, 20:]).all()

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("<VALUES>35 ", "<VALUES>", "no usable shape"),
            ("<VALUES>35 ", "<VALUES>x ", "no number"),
            ("<VALUES>35 ", "<VALUES>-35 ", "no angle"),
            ('<COL_STEP unit="m">5000', '<COL_STEP unit="m">0', "COL_STEP"),
            ('<COL_STEP unit="m">5000', '<COL_STEP unit="m">10', "differ|other steps"),
            ('bandId="3" detectorId', 'bandId="13" detectorId', "no band has this number"),
            ('bandId="3" detectorId', 'bandId="" detectorId', "no band has this number"),
        ],
    )
    def test_broken_grids(self, product, old, new, told):
        """A malformed grid of angles is refused, naming it."""
        change(tile_file(product), old, new, 1)
        with pytest.raises(MetadataError, match=told):
            safe.read(product, SOURCE)

    def test_none(self, product):
        """A tile without angles is read, with a note."""
        tile_file(product).write_text(tile_xml([], angles=False), encoding="utf-8")
        delivered = safe.read(product, SOURCE)
        assert not any(key.startswith(("sun", "view")) for key in by_key(delivered))
        assert not any(key.startswith("view:") for key in delivered.properties)
        assert any("angle" in note for note in delivered.notes)


class TestOffset:
    def offsets(self, product: Path, baseline: str, offsets: str | None) -> None:
        """Give the product another baseline and other offsets."""
        path = product / "MTD_MSIL2A.xml"
        change(path, "<PROCESSING_BASELINE>05.09", f"<PROCESSING_BASELINE>{baseline}")
        change(path, "_N0509_", f"_N{baseline.replace('.', '')}_")
        text = path.read_text(encoding="utf-8")
        start, end = "<BOA_ADD_OFFSET_VALUES_LIST>", "</BOA_ADD_OFFSET_VALUES_LIST>"
        old = text[text.index(start) : text.index(end) + len(end)]
        path.write_text(text.replace(old, offsets or ""), encoding="utf-8")

    def test_before_baseline_4(self, product):
        """Products before baseline 04.00 tell no offset, and have none."""
        self.offsets(product, "02.14", None)
        found = by_key(safe.read(product, SOURCE))
        assert found["red"].radiometry.offset == 0
        assert found["red"].radiometry.scale == 1e-4

    def test_each_band_its_own(self, product):
        """An offset belongs to the band of its number: 8 is B8A, 9 is B09, 11 is B11."""
        told = {0: -1000, 3: 0, 8: -1000, 9: 0, 11: -1000}
        listed = "".join(f'<BOA_ADD_OFFSET band_id="{k}">{told.get(k, -1000)}</BOA_ADD_OFFSET>' for k in range(13))
        self.offsets(product, "05.09", listed)
        found = by_key(safe.read(product, SOURCE))
        assert [found[r].radiometry.offset for r in ("coastal", "red", "nir08", "nir09", "swir16")] == [
            -0.1, 0, -0.1, 0, -0.1
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("baseline", "listed", "told"),
        [
            ("05.09", None, "offset of the numbers is not told"),
            ("02.14", "-1000", "contradicts the processing baseline"),
            ("05.09", "-500", "contradicts the processing baseline"),
            ("05.09", "nan", "unreadable"),
            ("5", "-1000", "baseline is unreadable"),
        ],
    )
    def test_contradictions(self, product, baseline, listed, told):
        """Offsets that the baseline does not allow are refused."""
        text = listed and "".join(f'<BOA_ADD_OFFSET band_id="{k}">{listed}</BOA_ADD_OFFSET>' for k in range(13))
        self.offsets(product, baseline, text)
        with pytest.raises(MetadataError, match=told):
            safe.read(product, SOURCE)

    def test_other_contradictions(self, product):
        """A band left out of the list, two offsets of one, another order of bands, another baseline in the name."""
        path = product / "MTD_MSIL2A.xml"
        text = path.read_text(encoding="utf-8")
        for old, new, told in (
            ('<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>', "", "no offset while others"),
            ('<BOA_ADD_OFFSET band_id="3">', '<BOA_ADD_OFFSET band_id="4">', "two offsets"),
            ('bandId="8" physicalBand="B8A"', 'bandId="8" physicalBand="B9"', "another number"),
            ("_N0509_", "_N0214_", "two processing baselines"),
        ):
            assert old in text
            path.write_text(text.replace(old, new), encoding="utf-8")
            with pytest.raises(MetadataError, match=told):
                safe.read(product, SOURCE)


class TestOldNames:
    def test_products_of_2017(self, product):
        """Products of 2017 have the same content under other names."""
        main, tile = product / "MTD_MSIL2A.xml", tile_file(product)
        text = main.read_text(encoding="utf-8")
        start, end = text.index("<BOA_ADD_OFFSET_VALUES_LIST>"), text.index("</Spectral_Information_List>")
        text = text[:start] + text[end + len("</Spectral_Information_List>") :]
        text = text.replace(f"/{TILE}_{START}", f"/L2A_{TILE}_{START}").replace("IMAGE_FILE>", "IMAGE_FILE_2A>")
        for old, new in (
            ("Product_Info>", "L2A_Product_Info>"),
            ("Product_Image_Characteristics>", "L2A_Product_Image_Characteristics>"),
            ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
            ("AOT_QUANTIFICATION_VALUE", "L2A_AOT_QUANTIFICATION_VALUE"),
            ("WVP_QUANTIFICATION_VALUE", "L2A_WVP_QUANTIFICATION_VALUE"),
            ("PRODUCT_URI>", "PRODUCT_URI_2A>"),
            ("Level-2A</PROC", "Level-2Ap</PROC"),
            ("05.09</PROC", "02.05</PROC"),
            (NAME, OLD_NAME),
        ):
            text = text.replace(old, new)
        granule = next(product.glob("GRANULE/*")).relative_to(product).as_posix()
        for layer, mask in (("CLD", "MSK_CLDPRB"), ("SNW", "MSK_SNWPRB")):
            old = next(product.rglob(f"{mask}_20m.jp2"))
            old.rename(old.with_name(f"L2A_{TILE}_{START}_{layer}_20m.jp2"))
            listed = f"<IMAGE_FILE_2A>{granule}/QI_DATA/L2A_{TILE}_{START}_{layer}_20m</IMAGE_FILE_2A>"
            text = text.replace("</Granule>", f"{listed}</Granule>")
        main.write_text(text, encoding="utf-8")
        for path in product.rglob(f"{TILE}_*.jp2"):
            path.rename(path.with_name(f"L2A_{path.name}"))
        tile.write_text(tile_xml([], angles=False).replace("TILE_ID>", "TILE_ID_2A>"), encoding="utf-8")
        delivered = safe.read(product, SOURCE)
        found = by_key(delivered)
        assert set(found) == set(ROLES.values())
        assert found["red"].radiometry.offset == 0
        assert delivered.id == OLD_NAME

    def test_names_of_layers(self):
        """Names tell the layer and the pixel size; others are no layers."""
        assert layer_of("GRANULE/x/IMG_DATA/R20m/L2A_T33TWL_20170823T094031_B8A_20m") == ("B8A", 20)
        assert layer_of("GRANULE/x/QI_DATA/L2A_T33TWL_20170823T094031_CLD_60m.jp2") == ("MSK_CLDPRB", 60)
        for name in (
            "TCI_10m",
            "T33TWL_20230820T094549_TCI_10m",
            "MSK_DETFOO_B04.jp2",
            "B04",
            "",
            "B04_30m",
            "XB04_10m",
        ):
            assert layer_of(name) is None


class TestContradictions:
    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            (f"<ULX>{LEFT:.0f}", f"<ULX>{LEFT + 10:.0f}", "other corners"),
            ("<NROWS>240", "<NROWS>241", "other rows and columns"),
            ("EPSG:32633", "EPSG:32634", "UTM zone"),
            ("EPSG:32633", "EPSG:4326", "UTM zone"),
            ("EPSG:32633", "EPSG:999999", "geocoding is unusable"),
            ("EPSG:32633", "file:///etc/passwd", "CRS is unreadable"),
            ("<XDIM>10", "<XDIM>0", "geocoding is unusable"),
            ("_T33TWL_N", "_T34TWL_N", "UTM zone"),
            ("_A033710_", "_", "tile has no name"),
            ("2023-08-20T09:58:07.856Z", "2023-08-21T09:58:07.856Z", "not seen during"),
            ("2023-08-20T09:58:07.856Z", "2023-08-20T09:58:07.856", "no date"),
            ("<SENSING_TIME>2023-08-20T09:58:07.856Z</SENSING_TIME>", "", "SENSING_TIME"),
            ('<Size resolution="20">', '<Size resolution="30">', "Size"),
        ],
    )
    def test_tile(self, product, old, new, told):
        """What the tile's metadata say must fit the files, the zone and the datatake."""
        change(tile_file(product), old, new)
        with pytest.raises(MetadataError, match=told):
            safe.read(product, SOURCE)

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("Sentinel-2B", "Landsat-8", "none of Sentinel-2"),
            (">79<", ">144<", "orbit"),
            ("DESCENDING", "SIDEWAYS", "direction of the orbit"),
            ("Level-2A</PROC", "Level-1C</PROC", "not a Level-2A"),
            ("<SPECIAL_VALUE_TEXT>NODATA", "<SPECIAL_VALUE_TEXT>NONE", "which number means missing"),
            ("BOA_QUANTIFICATION_VALUE", "X", "BOA_QUANTIFICATION_VALUE"),
            (">10000<", ">0<", "BOA_QUANTIFICATION_VALUE"),
            ("<IMAGE_FILE>GRANULE/L2A", "<IMAGE_FILE>GRANULE/L2B", "one tile"),
            ("Product_Info>", "Info>", "lack an element"),
            ("46.05 14.9997 46.05 15.031", "46.05 14.9997 46.05", "outline"),
            ("46.05 14.9997 46.05 15.031", "46.05 14.9997 46.05 x", "EXT_POS_LIST"),
        ],
    )
    def test_product(self, product, old, new, told):
        """What the product's metadata lack, or what is none, is named."""
        change(product / "MTD_MSIL2A.xml", old, new, 1 if "IMAGE_FILE" in old else -1)
        with pytest.raises(MetadataError, match=told):
            safe.read(product, SOURCE)

    def test_files(self, product):
        """Files of another size, place, zone or type than the metadata say are refused, and named."""
        path = next(product.rglob("*_B04_10m.jp2"))
        good = np.ones((240, 240), "uint16")
        for values, how, told in (
            (good[:120], {}, "rows and columns"),
            (good, {"left": LEFT + 100}, "corners"),
            (good, {"crs": "EPSG:32634"}, "CRS"),
            (good.astype("uint8"), {}, "other numbers"),
        ):
            jp2(path, values, 10, **how)
            with pytest.raises(TerraCubeError, match=f"(?s){told}.*B04_10m"):
                safe.read(product, SOURCE)


class TestOutline:
    utm1 = Grid.from_affine("EPSG:32601", Affine(60, 0, 200000, 0, -60, 7000000), (1830, 1830))

    def test_antimeridian(self):
        """An outline that crosses the antimeridian is cut there into two polygons."""
        ring = [[177.0, 63.0], [-176.0, 63.0], [-176.0, 62.0], [177.0, 62.0], [177.0, 63.0]]
        found, notes = outline({"type": "Polygon", "coordinates": [ring]}, self.utm1, where="x")
        assert notes == []
        assert found["type"] == "MultiPolygon"
        parts = sorted(shape({"type": "Polygon", "coordinates": part}).bounds for part in found["coordinates"])
        assert parts == [(-180.0, 62.0, -176.0, 63.0), (177.0, 62.0, 180.0, 63.0)]

    @pytest.mark.parametrize(
        "coordinates",
        [None, [], [[]], [[[0, 0]]], "x", [[["a", "b"]] * 4], [[[math.nan, 0], [1, 0], [1, 1], [math.nan, 0]]],
         [[[[[[0]]]]]], [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]],
    )  # fmt: skip
    def test_no_polygon(self, coordinates):
        """What is no valid polygon is noted, not raised."""
        found, notes = outline({"type": "Polygon", "coordinates": coordinates}, self.utm1, where="x")
        assert found is None
        assert "no valid polygon" in notes[0]


class TestIngest:
    def test_through_the_pipeline(self, product, tmp_path, validate_stac):
        """The product becomes a valid item, whose files hold its numbers, and which the cube loader understands."""
        catalog = Catalog.create(tmp_path / "catalog")
        report = ingest("sentinel-2-l2a", [product.parent], catalog)
        assert report.taken == [NAME], report.refused
        item = catalog.find(NAME, "sentinel-2-l2a")
        validate_stac(item.to_dict())
        found = by_key(safe.read(product, SOURCE))
        assert set(found) <= set(item.assets)
        for key in ("red", "swir16", "coastal", "scl", "cld", "sun_zenith", "view_azimuth_red"):
            with rasterio.open(item.assets[key].get_absolute_href()) as file:
                assert np.array_equal(file.read(1), whole(found[key]), equal_nan=True), key
                assert file.transform == found[key].grid.transform
        cube = load([item], bands=["red", "scl"], mask="clear", chunks=None)
        classes = np.kron(whole(found["scl"]), np.ones((2, 2), int))
        clear = ~np.isin(classes, (0, 1, 3, 8, 9, 10))
        value = np.where(clear, whole(found["red"]) * 1e-4 - 0.1, np.nan)
        assert np.allclose(cube.red.values[0], value, atol=1e-6, equal_nan=True)
        assert ingest("sentinel-2-l2a", [product], catalog).already == [NAME]

    def test_cut_off(self, product, tmp_path):
        """A product of which one file was cut off does not come in."""
        path = next(product.rglob("*_B04_10m.jp2"))
        path.write_bytes(path.read_bytes()[:-300])
        report = ingest("sentinel-2-l2a", [product], Catalog.create(tmp_path / "catalog"))
        assert report.taken == []
        assert "cannot be decoded" in report.refused[0].reason

    def test_order_of_bands(self):
        """Bands have the numbers of the product specification."""
        assert BANDS[8] == "B8A"
        assert BANDS[10] == "B10"
        assert len(BANDS) == 13


class TestHostile:
    def test_truncated(self, product):
        """A file that was cut off is refused when it is opened or read, never filled up."""
        path = next(product.rglob("*_B04_10m.jp2"))
        content = path.read_bytes()
        for size in (0, 8, 100, len(content) // 2, len(content) - 200):
            path.write_bytes(content[:size])
            with pytest.raises(AssetError, match="B04_10m"):
                whole(by_key(safe.read(product, SOURCE))["red"])

    def test_other_formats(self, product, tmp_path):
        """A VRT under the name of a JPEG 2000 is not opened."""
        path = next(product.rglob("*_B04_10m.jp2"))
        path.write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")
        with pytest.raises(HostileInputError, match="not what its name says"):
            safe.read(product, SOURCE)
        path.unlink()
        secret = tmp_path / "secret.jp2"
        shutil.copy(next(product.rglob("*_B03_10m.jp2")), secret)
        path.symlink_to(secret)
        with pytest.raises(HostileInputError, match="leaves the folder"):
            safe.read(product, SOURCE)

    @pytest.mark.parametrize("href", ["GRANULE/../../../x_B04_10m", "/etc/x_B04_10m", "https://example.org/x_B04_10m"])
    def test_hrefs(self, product, href):
        """A file outside of the product's folder is refused."""
        change(product / "MTD_MSIL2A.xml", "<IMAGE_FILE>", f"<IMAGE_FILE>{href}</IMAGE_FILE><IMAGE_FILE>", 1)
        with pytest.raises(TerraCubeError, match=r"leaves the folder|one tile"):
            safe.read(product, SOURCE)

    def test_granule_outside(self, product):
        """The folder of the tile cannot lie elsewhere."""
        change(
            product / "MTD_MSIL2A.xml",
            "<IMAGE_FILE>GRANULE/L2A_T33TWL_A033710_20230820T095553/",
            "<IMAGE_FILE>GRANULE/../",
        )
        with pytest.raises(TerraCubeError):
            safe.read(product, SOURCE)

    @pytest.mark.parametrize("which", ["MTD_MSIL2A.xml", "MTD_TL.xml"])
    def test_entities(self, product, which):
        """An XML that declares entities is refused, whatever they would grow to."""
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        change(next(product.rglob(which)), "<n1:Level", f"{bomb}<n1:Level", 1)
        with pytest.raises(HostileInputError, match="entities"):
            safe.read(product, SOURCE)

    def test_linked_metadata(self, product, tmp_path):
        """Metadata that are a link out of the folder are not followed."""
        path = product / "MTD_MSIL2A.xml"
        path.rename(tmp_path / "other.xml")
        path.symlink_to(tmp_path / "other.xml")
        with pytest.raises(HostileInputError, match="leaves the folder"):
            safe.read(product, SOURCE)

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_change_of_the_metadata(self, written, tmp_path, data):
        """Whatever stands in the metadata, only our own errors are raised."""
        folder = tmp_path / "any.SAFE"
        if not folder.exists():
            shutil.copytree(written[0], folder)
        which = data.draw(st.sampled_from(["MTD_MSIL2A.xml", "MTD_TL.xml"]))
        path = next(folder.rglob(which))
        original = next(written[0].rglob(which)).read_bytes()
        start = data.draw(st.integers(0, min(len(original), 6000)))
        length = data.draw(st.integers(0, 40))
        new = data.draw(
            st.one_of(st.binary(max_size=20), st.sampled_from([b"", b"NaN", b"1e999", b"-1", b"9" * 30, b"<a>"]))
        )
        path.write_bytes(original[:start] + new + original[start + length :])
        with contextlib.suppress(TerraCubeError):
            safe.read(folder, SOURCE)
        path.write_bytes(original)
