"""Landsat 4 to 9, Collection 2 Level-2: a folder of GeoTIFFs with its metadata file (MTL).

Names, groups and units follow the Landsat 8-9 Collection 2 Level 2 Data Format Control Book (USGS LSDS-1328, version
6) and that of Landsat 4-7 (LSDS-1336); scales and quality bits the Science Product Guides (LSDS-1619, LSDS-1618). The
corners that the metadata give are centres of pixels; times are UTC, and say so.
"""

from __future__ import annotations

import re
from pathlib import Path

from terracube.core.errors import AssetError, InputError, MetadataError
from terracube.core.files import resolve_below
from terracube.core.sensors import Sensor
from terracube.ingest.readers.finding import described_by, find_named
from terracube.ingest.readers.landsat.layers import read_layers
from terracube.ingest.readers.landsat.mtl import Mtl, settle
from terracube.ingest.readers.landsat.properties import claim_of, properties_of
from terracube.ingest.scene import Delivered, Document, utc
from terracube.ingest.sources import Source

_NAME = re.compile(r"(.{1,160})_MTL\.(?:txt|json|xml)", re.IGNORECASE)
_ID = re.compile(r"L[COET](0[1-9])_(L[12][A-Z]{2})_(\d{3})(\d{3})_(\d{8})_\d{8}_(\d{2})_(T1|T2|RT)")
_MEDIA = {".txt": "text/plain", ".json": "application/json", ".xml": "application/xml"}


def find(path: Path) -> list[Path]:
    """Look for products by the names of their metadata files, whatever their level: others are refused by name."""
    return find_named(path, _NAME)


def read(path: Path, source: Source) -> Delivered:
    """Read the metadata of a product, and the headers of its files.

    Parameters
    ----------
    path : Path
        The folder of the product, or one of its metadata files.
    source : Source

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and where.
    """
    mtl, files, notes = settle(described_by(path, _NAME))
    product = _identify(mtl)
    sensor = _aboard(mtl, source)
    claim = claim_of(mtl, largest=source.largest_side)
    rasters, told = read_layers(mtl, sensor, claim, largest=source.largest_side)
    when = f"{mtl.text('IMAGE_ATTRIBUTES', 'DATE_ACQUIRED')}T{mtl.text('IMAGE_ATTRIBUTES', 'SCENE_CENTER_TIME')}"
    documents = tuple(
        Document(f"mtl_{each.suffix[1:].lower()}", each, "Metadata of the product (MTL)", _MEDIA[each.suffix.lower()])
        for each in files
    )
    return Delivered(
        id=product,
        source=source,
        path=path,
        acquired=utc(when, where=mtl.where("IMAGE_ATTRIBUTES", "SCENE_CENTER_TIME")),
        rasters=rasters,
        properties=properties_of(mtl),
        documents=documents + _angles(mtl),
        facts={"landsat:product_id": product},
        notes=tuple(dict.fromkeys((*notes, *told))),
    )


def _angles(mtl: Mtl) -> tuple[Document, ...]:
    """Give the file of angle coefficients, if it lies beside the metadata under its own name."""
    name = mtl.get("PRODUCT_CONTENTS", "FILE_NAME_ANGLE_COEFFICIENT") or ""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,80}_ANG\.txt", name):
        return ()
    path = resolve_below(mtl.path.parent, name)
    return (Document("ang", path, "Angle coefficients", "text/plain"),) if path.is_file() else ()


def _identify(mtl: Mtl) -> str:
    """Give the id of the product, after the metadata were found to agree with it and with themselves.

    Raises
    ------
    MetadataError
        If it is not Collection 2 Level-2, or another field tells of another product.
    """
    product = mtl.text("PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID")
    level = _level(mtl)
    match = _ID.fullmatch(product)
    if match is None:
        raise MetadataError(
            "the product id is unusable", where=mtl.path.name, expected="LC08_L2SP_...", got=product[:80]
        )
    image = "IMAGE_ATTRIBUTES"
    named = _NAME.fullmatch(mtl.path.name)
    told = {
        "name of the file": (product, named[1] if named and _ID.fullmatch(named[1]) else product),
        "PROCESSING_LEVEL": (match[2], level),
        "SPACECRAFT_ID": (f"LANDSAT_{int(match[1])}", mtl.text(image, "SPACECRAFT_ID")),
        "WRS_PATH": (match[3], (mtl.get(image, "WRS_PATH") or match[3]).zfill(3)),
        "WRS_ROW": (match[4], (mtl.get(image, "WRS_ROW") or match[4]).zfill(3)),
        "DATE_ACQUIRED": (match[5], mtl.text(image, "DATE_ACQUIRED").replace("-", "")),
        "COLLECTION_NUMBER": (match[6], mtl.text("PRODUCT_CONTENTS", "COLLECTION_NUMBER").zfill(2)),
        "COLLECTION_CATEGORY": (match[7], mtl.get("PRODUCT_CONTENTS", "COLLECTION_CATEGORY") or match[7]),
        "LEVEL2_PROCESSING_RECORD": (product, mtl.get("LEVEL2_PROCESSING_RECORD", "LANDSAT_PRODUCT_ID") or product),
    }
    for field, (expected, got) in told.items():
        if expected != got:
            raise MetadataError(
                "the metadata tell of two products",
                where=f"{mtl.path.name}, {field}",
                expected=f"{expected}, as in {product}",
                got=got[:80],
                todo="download the product again: its files were mixed",
            )
    return product


def _level(mtl: Mtl) -> str:
    """Give the level of the product, which must be 2."""
    level = mtl.text("PRODUCT_CONTENTS", "PROCESSING_LEVEL")
    if not level.startswith("L2"):
        raise MetadataError(
            "this is no Level-2 product",
            where=mtl.where("PRODUCT_CONTENTS", "PROCESSING_LEVEL"),
            expected="L2SP or L2SR",
            got=level[:40],
            todo="order the Level-2 product of this scene: reflectance at the ground is not in Level-1",
        )
    return level


def _aboard(mtl: Mtl, source: Source) -> Sensor:
    platform = mtl.text("IMAGE_ATTRIBUTES", "SPACECRAFT_ID").lower().replace("_", "-")
    if source.sensor is None:
        raise InputError("the source describes no sensor", where=source.name)
    if platform not in source.sensor.platforms or mtl.text("PRODUCT_CONTENTS", "COLLECTION_NUMBER").zfill(2) != "02":
        raise AssetError(
            "the product is not of this source",
            where=mtl.path.name,
            expected=", ".join(source.sensor.platforms) + ", Collection 2",
            got=f"{platform}, Collection {mtl.text('PRODUCT_CONTENTS', 'COLLECTION_NUMBER')}"[:120],
        )
    return source.sensor.aboard(platform)
