"""What the metadata of a Landsat product say of the whole scene."""

from __future__ import annotations

import math
import re
from typing import Any

from terracube.core.errors import MetadataError
from terracube.cubes.crs import Bounds
from terracube.cubes.grid import YX
from terracube.ingest.readers.claims import Claim, number, side
from terracube.ingest.readers.landsat.mtl import Mtl
from terracube.ingest.scene import utc

_IMAGE, _GRID, _CONTENT, _RECORD = (
    "IMAGE_ATTRIBUTES",
    "PROJECTION_ATTRIBUTES",
    "PRODUCT_CONTENTS",
    "LEVEL2_PROCESSING_RECORD",
)
_INSTRUMENTS = {"OLI_TIRS": ["oli", "tirs"], "OLI": ["oli"], "ETM": ["etm"], "TM": ["tm"]}
_KEPT = {
    "landsat:wrs_type": (_IMAGE, "WRS_TYPE"),
    "landsat:wrs_path": (_IMAGE, "WRS_PATH"),
    "landsat:wrs_row": (_IMAGE, "WRS_ROW"),
    "landsat:collection_number": (_CONTENT, "COLLECTION_NUMBER"),
    "landsat:collection_category": (_CONTENT, "COLLECTION_CATEGORY"),
    "landsat:correction": (_CONTENT, "PROCESSING_LEVEL"),
    "landsat:scene_id": ("LEVEL1_PROCESSING_RECORD", "LANDSAT_SCENE_ID"),
}
_WIDTHS = {"landsat:wrs_path": 3, "landsat:wrs_row": 3, "landsat:collection_number": 2}
_MAX_TEXT = 80
# UTM is the projection of all scenes but those of Antarctica, which lie in its polar stereographic one.
_POLAR = "EPSG:3031"


def claim_of(mtl: Mtl, *, largest: int) -> Claim:
    """Give where the metadata say that the pixels lie; corners are told as centres of the outermost pixels.

    Raises
    ------
    MetadataError
        If a field is missing or the numbers contradict each other.
    HostileInputError
        If they claim absurdly many pixels.
    """
    sides = {
        key: side(mtl.text(_GRID, key), largest=largest, where=mtl.where(_GRID, key))
        for key in ("REFLECTIVE_LINES", "REFLECTIVE_SAMPLES")
    }
    shape = YX(sides["REFLECTIVE_LINES"], sides["REFLECTIVE_SAMPLES"])
    cell = mtl.number(_GRID, "GRID_CELL_SIZE_REFLECTIVE")
    left, top = (mtl.number(_GRID, f"CORNER_UL_PROJECTION_{axis}_PRODUCT") for axis in "XY")
    right, bottom = (mtl.number(_GRID, f"CORNER_LR_PROJECTION_{axis}_PRODUCT") for axis in "XY")
    half = cell / 2
    spans = (right - left + cell, top - bottom + cell)
    expected = (shape.x * cell, shape.y * cell)
    if cell <= 0 or not all(math.isclose(one, other, abs_tol=half) for one, other in zip(spans, expected, strict=True)):
        raise MetadataError(
            "the corners do not fit the number of pixels",
            where=mtl.where(_GRID, "CORNER_*"),
            expected=f"{expected[0]:g} x {expected[1]:g} for {shape.y} lines of {shape.x} pixels of {cell:g}",
            got=f"{spans[0]:g} x {spans[1]:g}",
        )
    return Claim(_crs(mtl), Bounds(left - half, bottom - half, right + half, top + half), shape)


def _crs(mtl: Mtl) -> str:
    projection, datum = mtl.text(_GRID, "MAP_PROJECTION"), mtl.text(_GRID, "DATUM")
    if projection == "PS" and datum == "WGS84":
        return _POLAR
    zone = mtl.number(_GRID, "UTM_ZONE") if projection == "UTM" else 0
    if datum != "WGS84" or zone not in range(1, 61):
        raise MetadataError(
            "the projection is none of the product's",
            where=mtl.where(_GRID, "MAP_PROJECTION"),
            expected="UTM with UTM_ZONE 1 to 60, or PS, on WGS84",
            got=f"{projection}, {datum}, zone {zone:g}"[:80],
        )
    return f"EPSG:{32600 + int(zone)}"  # northern zones also south of the equator: northings are negative there


def properties_of(mtl: Mtl) -> dict[str, Any]:
    """Give the STAC properties of the scene.

    Raises
    ------
    MetadataError
        If a number is none, or out of its range.
    """
    told: dict[str, Any] = {
        "platform": mtl.text(_IMAGE, "SPACECRAFT_ID").lower().replace("_", "-"),
        "processing:level": "L2",
        **_view(mtl),
        **{
            name: text[:_MAX_TEXT].zfill(_WIDTHS.get(name, 0))
            for name, place in _KEPT.items()
            if (text := mtl.get(*place))
        },
    }
    sensor = mtl.get(_IMAGE, "SENSOR_ID") or ""
    if sensor in _INSTRUMENTS:
        told["instruments"] = _INSTRUMENTS[sensor]
    place = [str(told.get(name, "")) for name in ("landsat:wrs_type", "landsat:wrs_path", "landsat:wrs_row")]
    if re.fullmatch(r"[12],[0-9]{3},[0-9]{3}", ",".join(place)):
        told["grid:code"] = f"WRS{place[0]}-{place[1]}{place[2]}"
    return told | _clouds(mtl) | _processing(mtl)


def _view(mtl: Mtl) -> dict[str, float]:
    azimuth, elevation = (_within(mtl, key, -360.0, 360.0) for key in ("SUN_AZIMUTH", "SUN_ELEVATION"))
    told = {"view:sun_azimuth": azimuth % 360.0, "view:sun_elevation": elevation}
    if not -90 <= elevation <= 90:
        raise _out_of_range(mtl, "SUN_ELEVATION", elevation, "-90 to 90")
    if mtl.get(_IMAGE, "ROLL_ANGLE") is not None:
        told["view:off_nadir"] = abs(_within(mtl, "ROLL_ANGLE", -90.0, 90.0))
    return told


def _clouds(mtl: Mtl) -> dict[str, float]:
    """Give the parts of the scene, in percent, that were found to be cloud; -1 says that none were looked for."""
    told = {}
    for name, key in (("eo:cloud_cover", "CLOUD_COVER"), ("landsat:cloud_cover_land", "CLOUD_COVER_LAND")):
        if mtl.get(_IMAGE, key) is not None and (value := _within(mtl, key, -1.0, 100.0)) >= 0:
            told[name] = value
    return told


def _processing(mtl: Mtl) -> dict[str, Any]:
    told: dict[str, Any] = {"processing:facility": "USGS"}
    if (when := mtl.get(_RECORD, "DATE_PRODUCT_GENERATED")) is not None:
        moment = utc(when, where=mtl.where(_RECORD, "DATE_PRODUCT_GENERATED"), todo="correct the metadata")
        told["processing:datetime"] = moment.isoformat().replace("+00:00", "Z")
    keys = (
        "PROCESSING_SOFTWARE_VERSION",
        "ALGORITHM_SOURCE_SURFACE_REFLECTANCE",
        "ALGORITHM_SOURCE_SURFACE_TEMPERATURE",
    )
    software = dict((mtl.get(_RECORD, key) or "")[:_MAX_TEXT].rpartition("_")[::2] for key in keys)
    software.pop("", None)
    if software:
        told["processing:software"] = software
    doi = (mtl.get(_CONTENT, "DIGITAL_OBJECT_IDENTIFIER") or "").rpartition("doi.org/")[2]
    if re.fullmatch(r"10\.[0-9]{4,9}/[A-Za-z0-9._-]{1,60}", doi):
        told["sci:doi"] = doi
    return told


def _within(mtl: Mtl, key: str, low: float, high: float) -> float:
    value = number(mtl.text(_IMAGE, key), where=mtl.where(_IMAGE, key))
    if not low <= value <= high:
        raise _out_of_range(mtl, key, value, f"{low:g} to {high:g}")
    return value


def _out_of_range(mtl: Mtl, key: str, value: float, expected: str) -> MetadataError:
    return MetadataError(
        "a number is out of its range", where=mtl.where(_IMAGE, key), expected=expected, got=f"{value:g}"
    )
