"""The two XML files that describe a Sentinel-2 Level-2A product in SAFE: of the product, and of its one tile.

Reference: Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, issue 14.9 (2021) and 15.0: metadata of the
Level-2A user product and of its tile. Products of 2017 and early 2018 have the same content under names that begin
with ``L2A_``, or end in ``_2A``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element  # only the type; the files are parsed by defusedxml

from affine import Affine

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import to_crs_text
from terracube.cubes.grid import Grid
from terracube.ingest.readers.sentinel2.angles import Angles
from terracube.ingest.readers.sentinel2.msi import BANDS
from terracube.ingest.readers.sentinel2.safe_angles import read_angles
from terracube.ingest.readers.sentinel2.safe_xml import band_of, first, maybe, number_of, text_of
from terracube.ingest.scene import utc
from terracube.ingest.text import xml_text

RESOLUTIONS = (10, 20, 60)
_LEVELS = ("Level-2A", "Level-2Ap")
_MOST_IMAGES = 1000
# A pass over one side of the Earth, in which a datatake lies, takes less.
_LONGEST_DATATAKE = timedelta(hours=1)
_TILE = re.compile(r"_A(?P<orbit>\d{6})_T(?P<tile>\d{2}[A-Z]{3})(?:_|$)")
_IMAGE = re.compile(r"(?:^|_)(?P<layer>B\d[\dA]|AOT|WVP|SCL|CLD|SNW|MSK_CLDPRB|MSK_SNWPRB)_(?P<metres>10|20|60)m$")
_FILE_NAMES = {"CLD": "MSK_CLDPRB", "SNW": "MSK_SNWPRB"}


@dataclass(frozen=True)
class ProductXml:
    """What the XML of a product says."""

    uri: str
    """Name of the product with its suffix."""
    baseline: str
    platform: str
    datatake_start: datetime
    orbit: int
    orbit_state: str
    datatake: str
    generated: str
    doi: str
    granule: str
    """Folder of the tile, relative to the product's."""
    images: tuple[str, ...]
    """Rasters relative to the product's folder, mostly without suffix."""
    quantification: Mapping[str, float]
    """By ``BOA``, ``AOT``, ``WVP``: numbers per unit."""
    offsets: Mapping[str, float]
    """By band, in numbers; empty where none is told, as before baseline 04.00."""
    special: Mapping[str, float]
    """Numbers with a meaning: ``NODATA``, ``SATURATED``."""
    ring: tuple[tuple[float, float], ...]
    """Outline, longitude and latitude; empty where none is told."""
    cloud: float | None


@dataclass(frozen=True)
class TileXml:
    """What the XML of a tile says."""

    tile: str
    absolute_orbit: int | None
    sensed: datetime
    grids: Mapping[int, Grid]
    """By metres of a pixel."""
    masks: tuple[str, ...]
    """Further rasters, relative to the product's folder."""
    preview: str
    cloud: float | None
    snow: float | None
    angles: Angles


def read_product(root: Element, where: str) -> ProductXml:
    """Read the XML of a product.

    Raises
    ------
    MetadataError
        If something is missing, contradictory, or not of Level-2A.
    """
    info = first(root, where, "General_Info/Product_Info", "General_Info/L2A_Product_Info")
    level = xml_text(info, "PROCESSING_LEVEL", where=where)
    if level not in _LEVELS:
        raise MetadataError(
            "not a Level-2A product",
            where=where,
            expected="Level-2A",
            got=level[:60],
            todo="reflectance at the ground is needed: take the Level-2A product, or process this one with Sen2Cor",
        )
    image = first(
        root, where, "General_Info/Product_Image_Characteristics", "General_Info/L2A_Product_Image_Characteristics"
    )
    images = tuple(_texts(info, "IMAGE_FILE", "IMAGE_FILE_2A"))
    return ProductXml(
        uri=text_of(info, where, "PRODUCT_URI", "PRODUCT_URI_2A"),
        baseline=xml_text(info, "PROCESSING_BASELINE", where=where),
        platform=xml_text(info, "Datatake/SPACECRAFT_NAME", where=where),
        datatake_start=utc(xml_text(info, "Datatake/DATATAKE_SENSING_START", where=where), where=where),
        orbit=int(number_of(xml_text(info, "Datatake/SENSING_ORBIT_NUMBER", where=where), where, "orbit", 1, 143)),
        orbit_state=_orbit_state(xml_text(info, "Datatake/SENSING_ORBIT_DIRECTION", where=where), where),
        datatake=first(info, where, "Datatake").get("datatakeIdentifier", "")[:80],
        generated=maybe(info, "GENERATION_TIME")[:40],
        doi=maybe(info, "PRODUCT_DOI").partition("doi.org/")[2][:100],
        granule=_granule(images, where),
        images=images,
        quantification=_quantification(image, where),
        offsets=_offsets(image, where),
        special=_special(image, where),
        ring=_ring(root, where),
        cloud=_cover(root, "Quality_Indicators_Info/Cloud_Coverage_Assessment"),
    )


def read_tile(root: Element, product: ProductXml, where: str) -> TileXml:
    """Read the XML of a tile.

    Raises
    ------
    MetadataError
        If something is missing or contradictory.
    """
    general = first(root, where, "General_Info")
    named = _TILE.search(text_of(general, where, "TILE_ID", "TILE_ID_2A"))
    if named is None:
        raise MetadataError("the tile has no name", where=where, expected="TILE_ID with _A000000_T00XXX")
    sensed = utc(xml_text(general, "SENSING_TIME", where=where), where=where)
    if not -timedelta(minutes=1) <= sensed - product.datatake_start <= _LONGEST_DATATAKE:
        raise MetadataError(
            "the tile was not seen during the datatake of its product",
            where=f"{where}, SENSING_TIME",
            expected=f"within an hour after {product.datatake_start.isoformat()}",
            got=sensed.isoformat(),
        )
    grids = _grids(first(root, where, "Geometric_Info/Tile_Geocoding"), where)
    return TileXml(
        tile=named["tile"],
        absolute_orbit=int(named["orbit"]) or None,
        sensed=sensed,
        grids=grids,
        masks=tuple(_texts(root, "MASK_FILENAME")),
        preview=maybe(root, "Quality_Indicators_Info/PVI_FILENAME"),
        cloud=_cover(root, ".//CLOUDY_PIXEL_PERCENTAGE"),
        snow=_cover(root, ".//SNOW_ICE_PERCENTAGE"),
        angles=read_angles(root.find("Geometric_Info/Tile_Angles"), grids[RESOLUTIONS[0]], where),
    )


def layer_of(href: str) -> tuple[str, int] | None:
    """Tell which layer a raster of a product is by its name, and the metres of its pixels; ``None`` for no layer.

    Examples
    --------
    >>> layer_of("GRANULE/L2A_T33TWL_A1/IMG_DATA/R10m/T33TWL_20230820T094549_B04_10m")
    ('B04', 10)
    >>> layer_of("GRANULE/L2A_T33TWL_A1/QI_DATA/MSK_CLDPRB_20m.jp2")
    ('MSK_CLDPRB', 20)
    """
    found = _IMAGE.search(PurePosixPath(href).name.partition(".")[0])
    return None if found is None else (_FILE_NAMES.get(found["layer"], found["layer"]), int(found["metres"]))


def _texts(root: Element, *names: str) -> Iterator[str]:
    count = 0
    for element in root.iter():
        text = (element.text or "").strip()
        if element.tag in names and text:
            count += 1
            if count > _MOST_IMAGES:
                raise MetadataError("the metadata list too many files", where=names[0], expected=f"<= {_MOST_IMAGES}")
            yield text


def _cover(root: Element, path: str) -> float | None:
    """Give a percentage; what is none is left out, for it decides nothing."""
    try:
        return float(maybe(root, path))
    except ValueError:
        return None


def _orbit_state(text: str, where: str) -> str:
    state = text.strip().lower()
    if state not in ("ascending", "descending"):
        raise MetadataError("the direction of the orbit is unreadable", where=where, got=repr(text)[:60])
    return state


def _granule(images: tuple[str, ...], where: str) -> str:
    folders = {"/".join(image.split("/")[:2]) for image in images if image.startswith("GRANULE/")}
    if len(folders) != 1:
        raise MetadataError(
            "the product does not hold one tile",
            where=where,
            expected="one folder below GRANULE, as since December 2016",
            got=f"{len(folders)} folders of {len(images)} images",
            todo="take the product of a single tile",
        )
    return folders.pop()


def _quantification(image: Element, where: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for element in image.iter():
        name = str(element.tag).removeprefix("L2A_")
        if name in ("BOA_QUANTIFICATION_VALUE", "AOT_QUANTIFICATION_VALUE", "WVP_QUANTIFICATION_VALUE"):
            found[name[:3]] = number_of(element.text, where, name, 1e-6, 1e9)
    if "BOA" not in found:
        raise MetadataError("the metadata lack an element", where=where, expected="BOA_QUANTIFICATION_VALUE")
    return found


def _offsets(image: Element, where: str) -> dict[str, float]:
    for each in image.iter("Spectral_Information"):
        physical, number = each.get("physicalBand", ""), each.get("bandId", "")
        name = f"B{physical[1:]:0>2}"
        if name in BANDS and number != str(BANDS.index(name)):
            raise MetadataError(
                "a band has another number than it should",
                where=f"{where}, Spectral_Information {physical}",
                expected=str(BANDS.index(name)),
                got=number[:20],
            )
    found: dict[str, float] = {}
    for each in image.iter("BOA_ADD_OFFSET"):
        name = band_of(each, "band_id", where)
        if name in found:
            raise MetadataError("a band has two offsets", where=f"{where}, BOA_ADD_OFFSET", got=name)
        found[name] = number_of(each.text, where, "BOA_ADD_OFFSET", -1e6, 1e6)
    return found


def _special(image: Element, where: str) -> dict[str, float]:
    found = {}
    for each in image.iter("Special_Values"):
        name = maybe(each, "SPECIAL_VALUE_TEXT")[:40]
        found[name] = number_of(each.findtext("SPECIAL_VALUE_INDEX"), where, f"Special_Values {name}", 0, 65535)
    if "NODATA" not in found:
        raise MetadataError("nothing says which number means missing", where=where, expected="Special_Values NODATA")
    return found


def _ring(root: Element, where: str) -> tuple[tuple[float, float], ...]:
    """Read the outline: pairs of latitude and longitude, as the element has them."""
    text = maybe(root, "Geometric_Info/Product_Footprint/Product_Footprint/Global_Footprint/EXT_POS_LIST")
    numbers = [number_of(part, where, "EXT_POS_LIST", -180, 180) for part in text.split()[:20_001]]
    if len(numbers) % 2 or len(numbers) > 20_000 or 0 < len(numbers) < 8:
        raise MetadataError("the outline is unreadable", where=f"{where}, EXT_POS_LIST", got=f"{len(numbers)} numbers")
    return tuple(zip(numbers[1::2], numbers[::2], strict=True))


def _grids(geocoding: Element, where: str) -> dict[int, Grid]:
    code = xml_text(geocoding, "HORIZONTAL_CS_CODE", where=where)
    if not re.fullmatch(r"(?i:EPSG):\d{4,6}", code):
        raise MetadataError("the CRS is unreadable", where=where, expected="EPSG:32633", got=code[:60])
    grids = {}
    for metres in RESOLUTIONS:
        size = first(geocoding, where, f"Size[@resolution='{metres}']")
        place = first(geocoding, where, f"Geoposition[@resolution='{metres}']")
        rows, cols = (int(number_of(size.findtext(name), where, name, 1, 1e6)) for name in ("NROWS", "NCOLS"))
        left, top, dx, dy = (
            number_of(place.findtext(name), where, name, -1e8, 1e8) for name in ("ULX", "ULY", "XDIM", "YDIM")
        )
        try:
            grids[metres] = Grid.from_affine(to_crs_text(code.upper()), Affine(dx, 0, left, 0, dy, top), (rows, cols))
        except (InputError, MetadataError, ZeroDivisionError) as error:
            raise MetadataError(
                "the geocoding is unusable", where=f"{where}, {metres} m", got=str(error)[:200]
            ) from error
    return grids
