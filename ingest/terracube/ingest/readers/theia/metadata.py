"""The metadata file of a MUSCATE product: what it is, where its pixels lie, what its numbers mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element  # only the type; what comes from outside is parsed by defusedxml

from terracube.core.errors import MetadataError
from terracube.cubes.crs import Bounds
from terracube.cubes.grid import YX
from terracube.ingest.readers.claims import Claim, number, side
from terracube.ingest.scene import utc
from terracube.ingest.text import read_xml

_LIMIT = 32 << 20
ROOT = "Muscate_Metadata_Document"
_ID = re.compile(
    r"(?P<craft>SENTINEL2[A-D]|LANDSAT[5789])(?:-[A-Z+]{1,12}){0,3}_(?P<day>\d{8})-(?P<time>\d{6})-\d{3}"
    r"_(?P<level>L\d[A-Z])_(?P<zone>[A-Z0-9-]{1,40})_[CDH]_V\d{1,3}-\d{1,3}"
)
_ABOUT = "Product_Characteristics"
_PLACE = "Geoposition_Informations"
_NUMBERS = "Radiometric_Informations"
_SAME_TIME = 60.0


@dataclass(frozen=True)
class Listed:
    """A file that the metadata list."""

    nature: str
    """``Flat_Reflectance``, ``Saturation``..."""
    token: str
    """The last parts of its name: ``FRE_B2``, ``CLM_R1``."""
    owner: str
    """Band or group to which it belongs."""
    index: int | None
    """Band of the file or bit of the mask that holds it, from 1."""


@dataclass(frozen=True)
class Muscate:
    """A metadata file."""

    path: Path
    root: Element

    def get(self, place: str) -> str | None:
        """Give the text of an element, ``None`` where there is none."""
        found = self.root.find(place)
        return ((found.text or "").strip() or None) if found is not None else None

    def where(self, place: str) -> str:
        """Name an element in messages."""
        return f"{self.path.name}, {place}"

    def text(self, place: str) -> str:
        """Give a text that must be there.

        Raises
        ------
        MetadataError
            If it is not.
        """
        found = self.get(place)
        if found is None:
            raise MetadataError("the metadata lack an element", where=self.where(place), got="nothing")
        return found

    @cached_property
    def id(self) -> str:
        """Id of the product."""
        return self.text(f"{_ABOUT}/PRODUCT_ID")

    @property
    def platform(self) -> str:
        """As STAC writes it: ``sentinel-2a``."""
        found = re.fullmatch(r"(SENTINEL|LANDSAT)-?_?([0-9][A-D]?)", self.text(f"{_ABOUT}/PLATFORM").upper())
        if found is None:
            raise self._wrong("PLATFORM", "SENTINEL2A to SENTINEL2D, or LANDSAT5 to LANDSAT9")
        return f"{found[1]}-{found[2]}".lower()

    def identify(self) -> str:
        """Give the id, after the metadata were found to agree with it, with the name of the file, and with themselves.

        Raises
        ------
        MetadataError
            If it is no Level-2A product, or another field tells of another product.
        """
        if self.root.tag != ROOT:
            raise MetadataError(
                "this is no MUSCATE metadata", where=self.path.name, expected=ROOT, got=self.root.tag[:80]
            )
        level = self.text(f"{_ABOUT}/PRODUCT_LEVEL")
        if level != "L2A":
            raise MetadataError(
                "this is no Level-2A product", where=self.where("PRODUCT_LEVEL"), expected="L2A", got=level[:40]
            )
        told = _ID.fullmatch(self.id)
        if told is None:
            raise self._wrong("PRODUCT_ID", "SENTINEL2A_20200101-105435-448_L2A_T31TCJ_C_V2-2 or alike")
        named = _ID.fullmatch(self.path.name.removesuffix("_MTD_ALL.xml")) or told
        zone = self.get("Dataset_Identification/GEOGRAPHICAL_ZONE") or told["zone"]
        pairs = {
            **{
                f"{part} in the name of the file": (told[part], named[part])
                for part in ("craft", "day", "time", "zone")
            },
            "PRODUCT_LEVEL": (told["level"], level),
            "PLATFORM": (told["craft"].lower(), self.platform.replace("-", "")),
            "ACQUISITION_DATE": (told["day"], f"{self.acquired:%Y%m%d}"),
            "GEOGRAPHICAL_ZONE": (told["zone"].removeprefix("T"), zone.removeprefix("T")),
        }
        for field, (expected, got) in pairs.items():
            if expected != got:
                raise MetadataError(
                    "the metadata tell of two products",
                    where=self.where(field),
                    expected=f"{expected}, as in {self.id}"[:160],
                    got=got[:80],
                    todo="download the product again: its files were mixed",
                )
        self._check_time(told["day"] + told["time"])
        return self.id

    @cached_property
    def acquired(self) -> datetime:
        """When it was seen; the format tells it in UTC, with a Z or without."""
        told = self.text(f"{_ABOUT}/ACQUISITION_DATE")
        zoned = re.search(r"(Z|[+-]\d\d:?\d\d)$", told, re.IGNORECASE)
        return utc(told if zoned or "T" not in told else f"{told}Z", where=self.where("ACQUISITION_DATE"))

    def _check_time(self, named: str) -> None:
        """Refuse a time that is not that of the id; an id with 00:00:00 tells the day alone."""
        if named.endswith("000000"):
            return
        found = utc(f"{named[:8]}T{named[8:]}Z", where=self.where("PRODUCT_ID"))
        if abs((found - self.acquired).total_seconds()) > _SAME_TIME:
            raise MetadataError(
                "the metadata tell of two times",
                where=self.where("ACQUISITION_DATE"),
                expected=f"{found:%H:%M:%S}, as in {self.id}"[:160],
                got=f"{self.acquired:%H:%M:%S}",
            )

    def _wrong(self, field: str, expected: str) -> MetadataError:
        got = self.get(f"{_ABOUT}/{field}") or "nothing"
        return MetadataError("a field is unusable", where=self.where(field), expected=expected, got=got[:80])

    def scale(self, what: str, *, usual: float) -> tuple[float, str]:
        """Give the factor from numbers to values, and a note where it is told oddly.

        The metadata tell a quantification value: value = number / quantification. Early Landsat products tell the
        factor itself for water vapour and aerosol (0.05 for 20).

        Raises
        ------
        MetadataError
            If there is none, or it is not above 0.
        """
        field = f"{_NUMBERS}/{what}_QUANTIFICATION_VALUE"
        told = number(self.text(field), where=self.where(field))
        if math.isclose(told, usual, rel_tol=1e-6) and told < 1:
            return usual, f"{what}_QUANTIFICATION_VALUE is {told:g}, a factor; it is taken as one"
        if not 0 < told <= 1e9:
            raise MetadataError(
                "the quantification is unusable", where=self.where(field), expected="> 0", got=f"{told:g}"
            )
        if math.isclose(1 / told, usual, rel_tol=1e-6):
            return usual, ""
        return 1 / told, f"{what}_QUANTIFICATION_VALUE is {told:g}, usual is {1 / usual:g}"

    def special(self, name: str) -> float | None:
        """Give a number with a meaning, such as ``nodata``; ``None`` where the metadata are silent."""
        for element in self.root.iterfind(f"{_NUMBERS}/Special_Values_List/SPECIAL_VALUE"):
            if element.get("name") == name and (element.text or "").strip():
                return number(str(element.text), where=self.where(f"SPECIAL_VALUE {name}"))
        return None

    def groups(self) -> dict[str, list[str]]:
        """Give the bands of each group, in the order of the bits of its masks."""
        found: dict[str, list[str]] = {}
        for group in self.root.iterfind(f"{_ABOUT}/Band_Group_List/Group"):
            names = [(band.text or "").strip() for band in group.iterfind("Band_List/BAND_ID")]
            found[group.get("group_id", "")[:8]] = names
        return found

    def listed(self) -> Iterator[Listed]:
        """Go through the files that the metadata list."""
        where = "Product_Organisation/Muscate_Product"
        for kind, place in (("Image", "IMAGE_FILE"), ("Mask", "MASK_FILE")):
            for entry in self.root.iterfind(f"{where}/{kind}_List/{kind}"):
                nature = (entry.findtext(f"{kind}_Properties/NATURE") or "").strip()
                for file in entry.iterfind(f"{kind}_File_List/{place}"):
                    stem = PurePosixPath((file.text or "").strip()).stem
                    token = "_".join(stem.split("_")[-2:])[:40]
                    index = file.get("band_number") or file.get("bit_number") or ""
                    owner = (file.get("band_id") or file.get("group_id") or "")[:8]
                    yield Listed(nature, token, owner, int(index) if re.fullmatch("[0-9]{1,3}", index) else None)

    def claims(self, *, largest: int) -> dict[str, Claim]:
        """Give by group where the metadata say that the pixels lie; empty where they do not.

        Raises
        ------
        MetadataError
            If a number is missing or odd.
        HostileInputError
            If they claim absurdly many pixels.
        """
        code = self.get(f"{_PLACE}/Coordinate_Reference_System/Horizontal_Coordinate_System/HORIZONTAL_CS_CODE")
        tables = self.get(f"{_PLACE}/Coordinate_Reference_System/GEO_TABLES") or "EPSG"
        if code is None:
            return {}
        crs = code if ":" in code else f"{tables}:{code}"
        # Corners are told, unless the metadata say that they count points: then centres of pixels.
        half = 0.5 if self.get(f"{_PLACE}/Metadata_CS/METADATA_CS_TYPE") == "POINT" else 0.0
        groups = f"{_PLACE}/Geopositioning/Group_Geopositioning_List/Group_Geopositioning"
        return {
            group.get("group_id", "")[:8]: self._claim(group, crs[:40], half, largest)
            for group in self.root.iterfind(groups)
        }

    def _claim(self, group: Element, crs: str, half: float, largest: int) -> Claim:
        where = self.where(f"Group_Geopositioning {group.get('group_id', '')[:8]}")
        told: dict[str, float] = {}
        for key in ("ULX", "ULY", "XDIM", "YDIM"):
            told[key] = number(group.findtext(key) or "", where=f"{where}/{key}")
        rows, cols = (
            side(group.findtext(key) or "", largest=largest, where=f"{where}/{key}") for key in ("NROWS", "NCOLS")
        )
        if told["XDIM"] <= 0 or told["YDIM"] >= 0:
            raise MetadataError(
                "the pixels are not north-up", where=where, expected="XDIM > 0 > YDIM", got=str(told)[:120]
            )
        left, top = told["ULX"] - half * told["XDIM"], told["ULY"] - half * told["YDIM"]
        return Claim(crs, Bounds(left, top + rows * told["YDIM"], left + cols * told["XDIM"], top), YX(rows, cols))


def read_metadata(path: Path) -> Muscate:
    """Read a metadata file.

    Raises
    ------
    AssetError, HostileInputError
        If it cannot be read, is no XML, is too large, or declares entities.
    """
    return Muscate(path, read_xml(path, limit=_LIMIT))


def properties_of(told: Muscate) -> dict[str, Any]:
    """Give the STAC properties of the scene: only what the metadata tell, within the range of each.

    Raises
    ------
    MetadataError
        If the platform or the production date is unusable.
    """
    found: dict[str, Any] = {"platform": told.platform, "processing:level": "L2A", **_angles(told), **_indices(told)}
    names = {"PRODUCER": "processing:facility", "AUTHORITY": "theia:authority"}
    texts = {name: told.get(f"Dataset_Identification/{field}") for field, name in names.items()}
    texts["processing:version"] = told.get(f"{_ABOUT}/PRODUCT_VERSION")
    found.update({name: text[:80] for name, text in texts.items() if text})
    if when := told.get(f"{_ABOUT}/PRODUCTION_DATE"):
        zoned = when if re.search(r"(Z|[+-]\d\d:?\d\d)$", when, re.IGNORECASE) else f"{when}Z"
        moment = utc(zoned, where=told.where("PRODUCTION_DATE"), todo="correct the metadata")
        found["processing:datetime"] = moment.isoformat().replace("+00:00", "Z")
    return found | _orbit(told)


def _orbit(told: Muscate) -> dict[str, Any]:
    """Give the absolute orbit of Sentinel-2, or the path of Landsat; and the tile."""
    found: dict[str, Any] = {}
    element = told.root.find(f"{_ABOUT}/ORBIT_NUMBER")
    text = (element.text or "").strip() if element is not None else ""
    if element is not None and re.fullmatch("[0-9]{1,7}", text) and int(text) > 0:
        path = element.get("type") == "Path"
        found |= {"landsat:wrs_path": text.zfill(3)} if path else {"sat:absolute_orbit": int(text)}
    if tile := re.search(r"_T([0-9]{2}[A-Z]{3})_", told.id):
        found["grid:code"] = f"MGRS-{tile[1]}"
    return found


def _angles(told: Muscate) -> dict[str, float]:
    means = told.root.find("Geometric_Informations/Mean_Value_List")
    if means is None:
        return {}
    views = means.findall("Mean_Viewing_Incidence_Angle_List/Mean_Viewing_Incidence_Angle")
    sun = _mean([means.find("Sun_Angles")])
    view = _mean([*views, means.find("Incidence_Angles")])
    found: dict[str, float] = {}
    if sun is not None and 0 <= sun[0] <= 180:
        found |= {"view:sun_elevation": round(90 - sun[0], 9), "view:sun_azimuth": sun[1]}
    if view is not None and 0 <= view[0] <= 90:
        found |= {"view:incidence_angle": view[0], "view:azimuth": view[1]}
    return found


def _mean(elements: list[Element | None]) -> tuple[float, float] | None:
    """Average zenith and azimuth, in degrees; what is no number (a band without pixels) is passed over."""
    pairs = []
    for element in elements:
        texts = (
            [element.findtext(key) or "" for key in ("ZENITH_ANGLE", "AZIMUTH_ANGLE")] if element is not None else []
        )
        try:
            pairs.append(tuple(number(text, where="") for text in texts))
        except MetadataError:
            continue
    pairs = [pair for pair in pairs if pair]
    if not pairs:
        return None
    north = math.fsum(math.cos(math.radians(azimuth)) for _, azimuth in pairs)
    east = math.fsum(math.sin(math.radians(azimuth)) for _, azimuth in pairs)
    zenith = math.fsum(zenith for zenith, _ in pairs) / len(pairs)
    return round(zenith, 9), round(math.degrees(math.atan2(east, north)), 9) % 360.0


def _indices(told: Muscate) -> dict[str, float]:
    """Give the parts of cloud and snow, in percent."""
    names = {"CloudPercent": "eo:cloud_cover", "SnowPercent": "eo:snow_cover"}
    found: dict[str, float] = {}
    for element in told.root.iterfind("Quality_Informations/Current_Product//QUALITY_INDEX"):
        name = names.get(element.get("name", ""))
        if name and name not in found and (element.text or "").strip():
            value = number(str(element.text), where=told.where(f"QUALITY_INDEX {element.get('name')}"))
            if 0 <= value <= 100:
                found[name] = value
    return found
