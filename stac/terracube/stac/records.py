"""What a store keeps of an item: ready-made JSON, and the few values that are searched."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac

from terracube.core.digest import sha256_of
from terracube.core.errors import MetadataError
from terracube.stac._time import read_rfc3339
from terracube.stac.layout import is_hierarchical, item_folder, resolve_target, target_path
from terracube.stac.query import BBox, split_bbox

# A footprint of more parts than this is searched by its bounding box.
_MAX_PARTS = 16

Document = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """An item as a store keeps it."""

    collection: str
    """Id of the collection; with ``id`` unique in the catalogue."""
    id: str
    """Id of the item."""
    folder: str
    """Name of the item's folder below that of its collection."""
    text: str
    """The item's JSON, without a ``self`` link, hrefs relative to its folder."""

    @property
    def path(self) -> str:
        """Path of the item's JSON file below the root of the catalogue."""
        return target_path(self.collection, self.folder, self.id)

    def document(self) -> Document:
        """Parse the JSON."""
        return dict(json.loads(self.text))


@dataclass(frozen=True)
class Index:
    """The values of an item that are searched."""

    digest: str
    """sha256 of the item without its links: those change when neighbours do, the content does not."""
    start: datetime
    """First moment (UTC)."""
    end: datetime
    """Last moment (UTC)."""
    boxes: tuple[BBox, ...]
    """Boxes that cover the footprint, none crossing the antimeridian; empty without a geometry."""
    links: tuple[tuple[str, str], ...]
    """Relation and target path of each link to another item of the catalogue."""


def to_item(record: Record, root: Path) -> pystac.Item:
    """Make the item, with its self link set to the absolute path of its JSON file."""
    file = item_folder(root, record.collection, record.folder) / f"{record.id}.json"
    return from_document(record.document(), href=str(file))


def from_document(document: Document, *, href: str | None = None) -> pystac.Item:
    """Make an item of a document in the current STAC version; the document may be changed by it."""
    # pystac warns about an item that is marked deprecated as soon as it reads one; here old versions are ordinary.
    extensions = document.pop("stac_extensions", [])
    item = pystac.Item.from_dict(document, href=href, migrate=False, preserve_dict=False)
    item.stac_extensions = list(extensions)
    return item


def to_document(item: pystac.Item) -> Document:
    """Write an item as a document of its own, without the links that the catalogue writes.

    Raises
    ------
    MetadataError
        If it holds something that JSON cannot say, such as NaN.
    """
    document = item.to_dict(include_self_link=False, transform_hrefs=False)
    document["links"] = [link for link in document["links"] if not is_hierarchical(link["rel"])]
    return dict(json.loads(dump(document, where=item.id)))


def dump(document: Document, *, where: str, indent: int | None = None) -> str:
    """Write a document as JSON text.

    Raises
    ------
    MetadataError
        If it holds something that JSON or UTF-8 cannot say.
    """
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent)
        text.encode("utf-8")
    except (ValueError, TypeError) as error:
        raise MetadataError(
            "the metadata cannot be written as JSON",
            where=where,
            expected="texts, finite numbers, true, false, null, lists and objects",
            got=str(error)[:200],
        ) from error
    return text


def index(document: Document, *, folder: str) -> Index:
    """Take from an item what is searched.

    Raises
    ------
    MetadataError
        If its time or its place is missing, malformed or contradictory.
    """
    start, end = period(document)
    return Index(
        digest=content_digest(document),
        start=start,
        end=end,
        boxes=boxes(document),
        links=_links(document, folder=folder),
    )


def content_digest(document: Document) -> str:
    """Give the sha256 (hex) of an item without its links and the version of STAC it is written in."""
    return sha256_of({key: value for key, value in document.items() if key not in ("links", "stac_version")})


def period(document: Document) -> tuple[datetime, datetime]:
    """Give the first and last moment of an item (UTC).

    Raises
    ------
    MetadataError
        If there is no time, one without a zone, or an end before the start.
    """
    properties = document["properties"]
    moment = properties.get("datetime")
    given = [properties.get("start_datetime") or moment, properties.get("end_datetime") or moment]
    try:
        start, end = (read_rfc3339(text) for text in given)
    except (ValueError, TypeError, AttributeError) as error:
        raise _bad(document, "the item has no usable time", f"{given[0]} / {given[1]}") from error
    if start > end:
        raise _bad(document, "the item ends before it starts", f"{start} / {end}")
    return start, end


def boxes(document: Document) -> tuple[BBox, ...]:
    """Cover the footprint of an item with boxes of which none crosses the antimeridian.

    Raises
    ------
    MetadataError
        If the bounding box is missing, not finite, upside down or off the globe.
    """
    geometry = document.get("geometry")
    if geometry is None:
        return ()
    given = _flat_bbox(document)
    if geometry.get("type") != "MultiPolygon" or not 1 < len(geometry["coordinates"]) <= _MAX_PARTS:
        return split_bbox(given)
    try:
        return tuple(_ring_box(part[0]) for part in geometry["coordinates"])
    except (TypeError, ValueError, IndexError) as error:
        raise _bad(document, "the geometry of the item is malformed", str(geometry)) from error


def _flat_bbox(document: Document) -> BBox:
    bbox = document.get("bbox") or ()
    numbers = [bbox[k] for k in (0, 1, 3, 4)] if len(bbox) == 6 else list(bbox)
    if len(numbers) != 4 or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise _bad(document, "the item has no usable bounding box", str(bbox))
    west, south, east, north = (float(n) for n in numbers)
    if south > north or max(abs(south), abs(north)) > 90 or max(abs(west), abs(east)) > 180:
        raise _bad(document, "the bounding box of the item leaves the globe or is upside down", str(bbox))
    return west, south, east, north


def _ring_box(ring: Sequence[Sequence[float]]) -> BBox:
    lon = [point[0] for point in ring]
    lat = [point[1] for point in ring]
    return min(lon), min(lat), max(lon), max(lat)


def _links(document: Document, *, folder: str) -> tuple[tuple[str, str], ...]:
    collection = document["collection"]
    found = (
        (link["rel"], resolve_target(link["href"], collection=collection, folder=folder)) for link in document["links"]
    )
    return tuple((rel, target) for rel, target in found if target is not None and not is_hierarchical(rel))


def _bad(document: Mapping[str, Any], what: str, got: str) -> MetadataError:
    return MetadataError(what, where=str(document.get("id")), got=got[:200], todo="correct the metadata at its source")
