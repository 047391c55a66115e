"""The manifest of a SEN3 folder: what the product is, when and where it was taken, and which files belong to it.

Format: XFDU package with the metadata of Sentinel-3 (S3IPF.PDS.002, product structures; CCSDS 661.0-B-1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element  # only the type; what comes from outside is parsed by defusedxml

from terracube.core.errors import AssetError, HostileInputError, MetadataError
from terracube.core.files import resolve_below
from terracube.ingest.readers.ocean.netcdf import Holding
from terracube.ingest.text import read_xml, xml_text

MANIFEST = "xfdumanifest.xml"
_PLATFORM = re.compile(r"(?P<letter>[A-D])")
_MOST_POINTS = 100_000
_MOST_FILES = 1000
# Footprints are drawn with few points, and files hold positions to the edge.
_SLACK_DEGREES = 1.0


@dataclass(frozen=True)
class Package:
    """What the manifest says."""

    name: str
    """Name of the product, without its extension."""
    type: str
    """``OL_2_WFR___``."""
    start: datetime
    stop: datetime
    properties: Mapping[str, Any]
    footprint: Mapping[str, Any] | None
    """GeoJSON polygon; ``None`` where the manifest has none, or one over the antimeridian."""
    box: tuple[float, float, float, float] | None
    """West, south, east, north of the footprint."""
    notes: tuple[str, ...] = field(default=())

    def check_product(self, holding: Holding) -> None:
        """Refuse a file that says it belongs to another product.

        Raises
        ------
        MetadataError
        """
        told = holding.text("product_name").removesuffix(".SEN3")
        if told and told != self.name:
            raise MetadataError(
                "a file belongs to another product",
                where=str(holding.path),
                expected=self.name,
                got=told[:120],
                todo="download the product again, into a folder of its own",
            )

    def check_place(self, found: tuple[float, float, float, float], *, crossing: bool) -> None:
        """Refuse positions that are not where the footprint of the manifest is.

        Raises
        ------
        MetadataError
        """
        if self.box is None or crossing or self.footprint is None:
            return
        apart = [abs(one - other) for one, other in zip(self.box, found, strict=True)]
        if max(apart) > _SLACK_DEGREES:
            raise MetadataError(
                "longitude and latitude are not where the footprint is",
                where=self.name,
                expected=f"about {[round(v, 3) for v in self.box]}",
                got=str([round(v, 3) for v in found]),
                todo="check whether longitude and latitude are swapped; ask the producer",
            )


def read_package(folder: Path) -> Package:
    """Read the manifest of a SEN3 folder, and see that the listed files are as long as they should be.

    Raises
    ------
    TerraCubeError
        If it cannot be read, lacks the time, or a file is truncated.
    """
    path = folder / MANIFEST
    root, where = read_xml(path), str(path)
    told = _text(root, "productName").removesuffix(".SEN3")
    name = told or folder.name.removesuffix(".SEN3")
    notes = []
    if told and folder.name.removesuffix(".SEN3") != told:
        notes.append(f"the folder is called {folder.name}, its product {told}"[:200])
    start = _utc(xml_text(root, ".//acquisitionPeriod/startTime", where=where), where)
    stop = _utc(xml_text(root, ".//acquisitionPeriod/stopTime", where=where), where)
    if stop < start:
        raise MetadataError("the acquisition ends before it begins", where=where, got=f"{start} to {stop}")
    missing = _check_files(root, folder, where)
    ring = _ring(root, where)
    crosses = any(abs(a[0] - b[0]) > 180.0 for a, b in pairwise(ring))
    lons, lats = [point[0] for point in ring], [point[1] for point in ring]
    return Package(
        name=name,
        type=_text(root, "productType") or name[4:15],
        start=start,
        stop=stop,
        properties=_properties(root, name, where),
        footprint={"type": "Polygon", "coordinates": [ring]} if ring and not crosses else None,
        box=(min(lons), min(lats), max(lons), max(lats)) if ring else None,
        notes=(*notes, *([f"listed but not there: {', '.join(missing)}"[:300]] if missing else [])),
    )


def _text(root: Element, name: str) -> str:
    return (root.findtext(f".//{name}") or "").strip()


def _utc(text: str, where: str) -> datetime:
    """Read a time of the manifest, which is UTC by definition, with or without its zone."""
    try:
        moment = datetime.fromisoformat(text.upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MetadataError(
            "a time of the manifest is none", where=where, expected="like 2023-05-06T09:10:23.5Z", got=text[:60]
        ) from error


def _properties(root: Element, name: str, where: str) -> dict[str, Any]:
    letter = _PLATFORM.fullmatch(_text(root, "number").upper()) or _PLATFORM.fullmatch(name[2:3])
    if letter is None:
        raise MetadataError("the manifest does not name the platform", where=where, expected="A or B", got=name[:40])
    found: dict[str, Any] = {
        "platform": f"sentinel-3{letter['letter'].lower()}",
        "constellation": "sentinel-3",
        "instruments": ["olci"],
        "processing:level": "L2",
    }
    orbit = root.find(".//orbitReference/orbitNumber")
    numbers = {"sat:absolute_orbit": orbit, "sat:relative_orbit": root.find(".//orbitReference/relativeOrbitNumber")}
    for key, element in numbers.items():
        text = (element.text or "").strip() if element is not None else ""
        if text.isascii() and text.isdigit() and len(text) < 9:
            found[key] = int(text)
    direction = "" if orbit is None else orbit.get("groundTrackDirection", "").lower()
    if direction in ("ascending", "descending"):
        found["sat:orbit_state"] = direction
    for key, tag in (("olci:timeliness", "timeliness"), ("olci:baseline_collection", "baselineCollection")):
        if text := _text(root, tag):
            found[key] = text[:40]
    return found


def _ring(root: Element, where: str) -> list[list[float]]:
    """Give the footprint, closed, as longitude and latitude; empty where the manifest has none."""
    text = _text(root, "posList")
    words = text.split()
    if not words:
        return []
    if len(words) > _MOST_POINTS:
        raise HostileInputError("the footprint has too many points", where=where, expected=f"<= {_MOST_POINTS}")
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise MetadataError("the footprint is no list of numbers", where=where, got=text[:60]) from error
    ring = [[lon, lat] for lat, lon in zip(numbers[::2], numbers[1::2], strict=False)]
    sound = all(math.isfinite(lon) and abs(lon) <= 180 and abs(lat) <= 90 for lon, lat in ring)
    if len(numbers) % 2 or len(ring) < 3 or not sound:
        raise MetadataError(
            "the footprint is no polygon", where=where, expected="latitude longitude ...", got=text[:60]
        )
    return ring if ring[0] == ring[-1] else [*ring, ring[0]]


def _check_files(root: Element, folder: Path, where: str) -> list[str]:
    """Refuse files that are shorter or longer than the manifest says; give the names of those that are not there."""
    streams = root.findall(".//dataObject/byteStream")
    if len(streams) > _MOST_FILES:
        raise HostileInputError("the manifest lists too many files", where=where, expected=f"<= {_MOST_FILES}")
    missing = []
    for stream in streams:
        place = stream.find("fileLocation")
        href = "" if place is None else place.get("href", "")
        path = resolve_below(folder, href)
        if not path.is_file():
            missing.append(path.name)
            continue
        size, there = stream.get("size", "").strip(), path.stat().st_size
        if size.isascii() and size.isdigit() and int(size[:20]) != there:
            raise AssetError(
                "a file has not the size that the manifest says",
                where=str(path),
                expected=f"{size[:20]} bytes",
                got=f"{there} bytes",
                todo="download the product again",
            )
    return missing
