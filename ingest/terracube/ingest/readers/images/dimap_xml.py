"""What the main metadata file of a DIMAP version 2 product says (``DIM_<product>.XML``).

Format: Pleiades Imagery User Guide, USRPHR-DT-125-SPOT-2.0 (2012), appendix A; SPOT 6 and SPOT 7 Imagery User Guide,
SI/DC/13034-v1.0 (2013), appendix A. Pleiades Neo (DIMAP 2.15) lists its files in two groups of three bands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element  # only the type; what comes from outside is parsed by defusedxml

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import to_crs_text
from terracube.ingest.readers.claims import number
from terracube.ingest.readers.images.dimap_files import Group, groups_of, text_of, whole
from terracube.ingest.text import read_xml, xml_text

_ROOTS = ("Dimap_Document", "PHR_DIMAP_Document")
_PLATFORMS = {"PHR": "pleiades-", "SPOT": "spot-", "PNEO": "pleiades-neo-"}
_INSTRUMENTS = {"PHR": "hiri", "SPOT": "naomi", "PNEO": "pneo"}
_CODE = re.compile(r"(?:urn:ogc:def:crs:)?(?P<authority>[A-Z]+):[^:]*:(?P<code>\d{4,6})")
_FORMULA = "L=DN/GAIN+BIAS"
_SAME_PASS = timedelta(minutes=10)
_ANGLES = {
    "view:incidence_angle": "Acquisition_Angles/INCIDENCE_ANGLE",
    "view:off_nadir": "Acquisition_Angles/VIEWING_ANGLE",
    "view:azimuth": "Acquisition_Angles/AZIMUTH_ANGLE",
    "view:sun_elevation": "Solar_Incidences/SUN_ELEVATION",
    "view:sun_azimuth": "Solar_Incidences/SUN_AZIMUTH",
    "dimap:incidence_along_track": "Acquisition_Angles/INCIDENCE_ANGLE_ALONG_TRACK",
    "dimap:incidence_across_track": "Acquisition_Angles/INCIDENCE_ANGLE_ACROSS_TRACK",
}


@dataclass(frozen=True)
class Dimap:
    """What the metadata say."""

    path: Path
    shape: tuple[int, int]
    tile: tuple[int, int]
    groups: tuple[Group, ...]
    crs: str
    corner: tuple[float, float]
    """x and y of the outer corner of the first pixel."""
    size: tuple[float, float]
    """Width and height of a pixel."""
    special: Mapping[str, float]
    """Numbers with a meaning: ``NODATA``, ``SATURATED``."""
    acquired: datetime
    properties: Mapping[str, Any]
    notes: tuple[str, ...]
    root: Element

    def calibration(self, band: str) -> tuple[float, float, str, str] | None:
        """Give scale, offset, unit and reason of a band; ``None`` where its numbers mean nothing physical.

        Raises
        ------
        MetadataError
            If a gain is no usable number.
        """
        kind = text_of(self.root, ".//Radiometric_Settings/RADIOMETRIC_PROCESSING").upper()
        element, unit = ("Band_Reflectance", "1") if kind == "REFLECTANCE" else ("Band_Radiance", "W m-2 sr-1 um-1")
        if kind not in ("BASIC", "RADIANCE", "REFLECTANCE"):
            return None
        for told in self.root.iterfind(f".//{element}"):
            if text_of(told, "BAND_ID") != band:
                continue
            formula = re.sub(r"[\s()]", "", text_of(told, "MEASURE_DESC")).upper().replace("RHO=", "L=")
            if "=" in formula and _FORMULA not in formula:
                return None
            where = f"{self.path}, {element} {band}"
            gain, bias = (number(text_of(told, name), where=where) for name in ("GAIN", "BIAS"))
            if gain <= 0 or not math.isfinite(1.0 / gain):
                raise MetadataError("a gain is no usable number", where=where, expected="> 0", got=f"{gain:g}")
            return 1.0 / gain, bias, unit, f"{kind}: DN / {gain:g} + {bias:g}"
        return None

    def wavelengths(self, band: str) -> tuple[float, float] | None:
        """Give centre and width of a band in micrometres; ``None`` where they are not told."""
        for told in self.root.iterfind(".//Band_Spectral_Range"):
            unit = text_of(told, "MEASURE_UNIT").lower()
            if text_of(told, "BAND_ID") == band and unit.startswith("micromet"):
                try:
                    low, high = (number(text_of(told, name), where=str(self.path)) for name in ("MIN", "MAX"))
                except MetadataError:
                    return None
                return ((low + high) / 2, high - low) if 0 < low < high < 100 else None
        return None


def read_dimap(path: Path, *, largest: int) -> Dimap:
    """Read the main metadata of a product.

    Raises
    ------
    TerraCubeError
        If they are missing, of another version, not of an orthoimage, contradictory or hostile.
    """
    root, where = read_xml(path), str(path)
    _check_kind(root, where)
    shape, tile = _sizes(root, where, largest)
    groups, notes = groups_of(root, path, shape, tile)
    acquired = _acquired(root, where)
    insert = root.find(".//Geoposition/Geoposition_Insert")
    if insert is None:
        raise MetadataError("the metadata do not say where the image lies", where=where, expected="Geoposition_Insert")
    numbers = {
        name: number(text_of(insert, name), where=f"{where}, {name}") for name in ("ULXMAP", "ULYMAP", "XDIM", "YDIM")
    }
    if min(numbers["XDIM"], numbers["YDIM"]) <= 0:
        raise MetadataError("the pixels have no size", where=where, expected="XDIM, YDIM > 0", got=str(numbers))
    return Dimap(
        path,
        shape,
        tile,
        groups,
        _crs(root, where),
        (numbers["ULXMAP"], numbers["ULYMAP"]),
        (numbers["XDIM"], numbers["YDIM"]),
        _special(root, where),
        acquired,
        _properties(root),
        notes,
        root,
    )


def _check_kind(root: Element, where: str) -> None:
    told = root.find("Metadata_Identification/METADATA_FORMAT")
    version = "" if told is None else told.get("version", "")
    if root.tag not in _ROOTS or not version.startswith("2"):
        raise MetadataError(
            "that is no DIMAP of version 2",
            where=where,
            expected="Dimap_Document of version 2",
            got=f"{root.tag} {version}",
        )
    level = text_of(root, ".//Product_Settings/PROCESSING_LEVEL").upper()
    if level != "ORTHO":
        raise MetadataError(
            "the image is not orthorectified",
            where=f"{where}, PROCESSING_LEVEL",
            expected="ORTHO",
            got=level or "nothing",
            todo="order the ortho level, or rectify it with a terrain model first: its pixels lie on no map",
        )
    zone = text_of(root, ".//Temporal_CRS/TEMPORAL_CRS_NAME").upper()
    if zone not in ("", "UTC"):
        raise MetadataError("the times are not in UTC", where=where, expected="UTC", got=zone[:40])


def _sizes(root: Element, where: str, largest: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Give rows and columns of the image, and of its tiles."""
    told = root.find(".//Raster_Data/Raster_Dimensions")
    if told is None:
        raise MetadataError("the metadata lack an element", where=where, expected="Raster_Dimensions")
    rows, cols = (whole(text_of(told, name), f"{where}, {name}", most=largest) for name in ("NROWS", "NCOLS"))
    tiling = told.find(".//Regular_Tiling")
    size = None if tiling is None else tiling.find("NTILES_SIZE")
    if tiling is None or size is None:
        return (rows, cols), (rows, cols)
    for name in ("OVERLAP_ROW", "OVERLAP_COL"):
        if text_of(tiling, name) not in ("", "0"):
            raise MetadataError(
                "tiles that overlap are not read",
                where=f"{where}, {name}",
                expected="0",
                got=text_of(tiling, name)[:20],
            )
    height, width = (whole(size.get(name), f"{where}, NTILES_SIZE", most=largest) for name in ("nrows", "ncols"))
    return (rows, cols), (min(height, rows), min(width, cols))


def _crs(root: Element, where: str) -> str:
    told = root.find(".//Coordinate_Reference_System")
    projected = "" if told is None else text_of(told, "Projected_CRS/PROJECTED_CRS_CODE")
    code = projected or ("" if told is None else text_of(told, "Geodetic_CRS/GEODETIC_CRS_CODE"))
    match = _CODE.search(code.upper().replace("URN:OGC:DEF:CRS:", "urn:ogc:def:crs:"))
    try:
        return to_crs_text(f"{match['authority']}:{match['code']}" if match else code or None)
    except InputError as error:
        raise MetadataError(
            "the CRS of the metadata is not known",
            where=f"{where}, Coordinate_Reference_System",
            expected="like urn:ogc:def:crs:EPSG::32631",
            got=code[:80] or "nothing",
        ) from error


def _special(root: Element, where: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in root.iterfind(".//Raster_Display/Special_Value"):
        name = text_of(one, "SPECIAL_VALUE_TEXT").upper().replace("_", "")
        value = number(text_of(one, "SPECIAL_VALUE_COUNT"), where=f"{where}, SPECIAL_VALUE {name[:20]}")
        if found.get(name, value) != value:
            raise MetadataError("two numbers have one meaning", where=where, got=f"{name[:20]}: {found[name]}, {value}")
        found[name] = value
    return found


def _acquired(root: Element, where: str) -> datetime:
    """Give the time of the strip; strips of several passes have none in common."""
    strips = root.findall(".//Dataset_Sources/Source_Identification/Strip_Source")
    times = [_time(f"{text_of(one, 'IMAGING_DATE')}T{text_of(one, 'IMAGING_TIME')}", where) for one in strips]
    centre = _centre(root)
    if centre is not None and text_of(centre, "TIME"):
        times.append(_time(text_of(centre, "TIME"), where))
    if not times:
        xml_text(root, ".//Strip_Source/IMAGING_DATE", where=where)
        raise MetadataError("there is no date", where=where, expected="IMAGING_DATE and IMAGING_TIME")
    if max(times) - min(times) > _SAME_PASS:
        raise MetadataError(
            "the image was made of several passes, or its times contradict each other",
            where=where,
            expected="one time",
            got=", ".join(str(one) for one in times[:4]),
        )
    return times[0]


def _time(text: str, where: str) -> datetime:
    """Read a time, which is UTC as the metadata say."""
    try:
        moment = datetime.fromisoformat(text.upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MetadataError(
            "there is no date", where=where, expected="IMAGING_DATE and IMAGING_TIME", got=text[:60]
        ) from error


def _centre(root: Element) -> Element | None:
    located = root.findall(".//Located_Geometric_Values")
    return next((one for one in located if text_of(one, "LOCATION_TYPE").lower() == "center"), None)


def _properties(root: Element) -> dict[str, Any]:
    strip = root.find(".//Strip_Source")
    mission, index = ("", "") if strip is None else (text_of(strip, "MISSION").upper(), text_of(strip, "MISSION_INDEX"))
    found: dict[str, Any] = {"processing:level": "ORTHO"}
    if mission:
        found["platform"] = f"{_PLATFORMS.get(mission, mission.lower() + '-')}{index.lower()}".strip("-")[:60]
        found["instruments"] = [_INSTRUMENTS.get(mission, mission.lower())[:60]]
    centre = _centre(root)
    for key, path in _ANGLES.items() if centre is not None else ():
        try:
            found[key] = number(text_of(centre, path), where=path) if centre is not None else None
        except MetadataError:  # an angle that is not told is no reason to refuse an image
            continue
    for key, tag in (
        ("dimap:spectral_processing", "SPECTRAL_PROCESSING"),
        ("dimap:radiometric_processing", "RADIOMETRIC_PROCESSING"),
    ):
        if text := text_of(root, f".//Product_Settings//{tag}"):
            found[key] = text[:60]
    return found
