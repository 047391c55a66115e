"""A delivery that was understood: what a reader gives, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from terracube.core.errors import MetadataError
from terracube.core.sensors import Band, Radiometry
from terracube.cubes.grid import Grid
from terracube.ingest.pixels import Pixels
from terracube.ingest.sources import Source

_OVERVIEWS = {"measured": "average", "classes": "mode", "bits": "nearest", "other": "average"}


@dataclass(frozen=True)
class Raster:
    """One layer of a delivery: becomes one Cloud-Optimised GeoTIFF."""

    key: str
    """Role name, which becomes the asset key."""
    band: Band
    """What the source's description says of it; its ``kind`` decides how overviews are made."""
    pixels: Pixels
    """Where its rows come from, in numbers of ``dtype``, north-up."""
    grid: Grid
    dtype: str
    nodata: float | None
    """The number that means nothing was seen; NaN for floats; ``None`` where every pixel has a value."""
    files: tuple[Path, ...]
    """The delivered files whose bytes it is made of."""
    radiometry: Radiometry | None = None
    """Scale and offset, for measured bands: value = number * scale + offset."""
    unit: str | None = None
    """Unit of the values, where it is not the band's."""
    classes: Mapping[int, str] = field(default_factory=dict)
    """Meaning of each class."""
    bits: Mapping[int, str] = field(default_factory=dict)
    """Meaning of each bit, counted from 0."""
    roles: tuple[str, ...] = ("data",)
    """STAC roles of the asset."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further STAC fields of the asset."""
    resampling: str = ""
    """How overviews are made, where the kind of the numbers does not tell: ``nearest`` for angles and phases that wrap,
    of which no mean can be taken."""

    @property
    def overviews(self) -> str:
        """How overviews are made."""
        return self.resampling or _OVERVIEWS[self.band.kind]


@dataclass(frozen=True)
class Document:
    """A file that is kept beside the rasters as it is: metadata of the producer, a quick-look."""

    key: str
    path: Path
    title: str
    media_type: str
    roles: tuple[str, ...] = ("metadata",)


@dataclass(frozen=True)
class Delivered:
    """A delivery that can be ingested."""

    id: str
    """Becomes the id of the item; checked by the pipeline to be a file name."""
    source: Source
    path: Path
    """Where it lay."""
    acquired: datetime
    """UTC. Of a pair: the secondary date."""
    rasters: tuple[Raster, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)
    """STAC properties: platform, instruments, ``view:*``, ``sat:*``, ``insar:*``, ``processing:*`` and so on."""
    interval: tuple[datetime, datetime] | None = None
    """Start and end, of what is not of one moment."""
    geometry: Mapping[str, Any] | None = None
    """Footprint as delivered (GeoJSON, longitude and latitude); else that of the first raster."""
    documents: tuple[Document, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else makes the content what it is, as JSON: goes into its digest."""
    remote: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Assets that lie elsewhere and stay links, as STAC assets."""
    links: tuple[tuple[str, str], ...] = ()
    """Relation and address of links to keep."""
    notes: tuple[str, ...] = ()
    """What was claimed and the files deny, and what was listed but is not there."""


def utc(text: object, *, where: str, todo: str = "add the time of acquisition; it is never guessed") -> datetime:
    """Read a moment of ISO 8601 that names its zone, as UTC.

    Raises
    ------
    MetadataError
        If it is none, or has no zone.

    Examples
    --------
    >>> utc("2023-08-15T12:00:00+02:00", where="x").isoformat()
    '2023-08-15T10:00:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(str(text).strip().upper())
        if text is None or moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MetadataError(
            "there is no date",
            where=where,
            expected="a time with its zone, like 2023-08-15T09:57:57Z",
            got=repr(text)[:60],
            todo=todo,
        ) from error
