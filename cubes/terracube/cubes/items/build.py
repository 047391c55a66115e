"""One band of one item becomes a source: from the header of its file, or from all that the item claims of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.core.sensors import Radiometry, Sensor, resolve_radiometry
from terracube.cubes.access.location import Location
from terracube.cubes.access.signing import Signer
from terracube.cubes.grid import Grid
from terracube.cubes.items.fields import NUMBERS, Claim, band_fields, claimed_grid
from terracube.cubes.items.headers import band_dtype, settle_nodata
from terracube.cubes.items.hrefs import locate
from terracube.cubes.items.names import Found
from terracube.cubes.items.plausible import misses_bbox
from terracube.cubes.items.source import Source
from terracube.cubes.items.view import ItemView
from terracube.cubes.readers import read_header

_EVERY = "*"


@dataclass(frozen=True)
class Given:
    """What the caller says where items are silent or wrong. It wins over items and files."""

    nodata: float | Mapping[str, float] | None = None
    """The number that means missing: one for all bands but classes and flags, or by band (``*`` = the others)."""
    interval: str = "refuse"
    """What to take of an item that has no datetime, but a start and an end: ``refuse``, ``start`` or ``middle``."""
    roots: tuple[Path, ...] = ()
    """Folders of this machine in which items may name files by absolute paths."""
    local: bool = False
    """Whether only files of this machine may be read: nothing is asked of a server."""

    def nodata_of(self, name: str, *, categorical: bool = False) -> float | None:
        """Give the number for a band, if one was given; classes and flags only take one that names them."""
        if isinstance(self.nodata, Mapping):
            return self.nodata.get(name, None if categorical else self.nodata.get(_EVERY))
        return None if categorical else self.nodata


@dataclass(frozen=True)
class Reading:
    """How sources are made."""

    headers: str = "auto"
    """``auto``, ``always`` or ``never``."""
    signer: Signer | None = None
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of a raster, from its header or from its item."""

    grid: Grid
    dtype: str
    nodata: float | None = None
    """As the file declares it."""
    overviews: tuple[tuple[int, int], ...] = ()
    tile: tuple[int, int] = (0, 0)
    decoder: str = ""
    known: bool = False


def make_source(view: ItemView, found: Found, sensor: Sensor | None, reading: Reading, *, name: str) -> Source:
    """Settle where a band lies, and how its numbers become values.

    Parameters
    ----------
    view : ItemView
    found : Found
        Which asset holds it.
    sensor : Sensor or None
    reading : Reading
    name : str
        By which the caller asked for it.

    Raises
    ------
    TerraCubeError
        Naming item and asset, if it is missing, hostile, unreadable, or its metadata are unusable.
    """
    where = f"{view.id}/{found.key}"
    location = locate(view, found.key, found.name, signer=reading.signer, roots=reading.given.roots)
    if reading.given.local and location.is_remote:
        raise AssetError(
            "the asset is not on this machine", where=where, got=location.href[:200], todo="ingest the scene first"
        )
    told = band_fields(view.assets[found.key], found.index, where=where)
    band = 1 if location.member else found.index + 1
    facts = _facts(view, found, sensor, location, told, reading)
    rule = _radiometry(view, found, sensor, told, where)
    categorical = found.band is not None and found.band.categorical
    given = reading.given.nodata_of(name, categorical=categorical)
    said = told.get("nodata") if given is None else given
    nodata = settle_nodata(facts.nodata, said, given=given is not None, dtype=facts.dtype, where=where)
    usual = _default_nodata(found, sensor) if nodata is None else None
    return Source(
        location,
        band,
        facts.grid,
        usual if nodata is None else nodata,
        rule.scale,
        rule.offset,
        facts.dtype,
        rule.reason,
        classes=categorical,
        overviews=facts.overviews,
        tile=facts.tile,
        decoder=facts.decoder,
        known=facts.known,
        nodata_given=given is not None,
        nodata_default=usual is not None,
        asset=found.key,
    )


def _facts(
    view: ItemView, found: Found, sensor: Sensor | None, location: Location, told: dict[str, Any], reading: Reading
) -> _Facts:
    """Take the item's claims where they may be taken and are complete; else read the header."""
    where = f"{view.id}/{found.key}"
    claim = _claim(view, found.key, location, reading, where)
    dtype = told.get("data_type") or _default_dtype(found, sensor)
    if claim.grid is not None and dtype in NUMBERS:
        return _Facts(claim.grid, dtype)
    lacking = (*claim.lacking, *(() if dtype in NUMBERS else ("data_type",)))
    if reading.headers == "never":
        raise MetadataError(
            "the item does not say where the pixels of the asset lie",
            where=f"{where}, {', '.join(lacking)}",
            expected="CRS, transform, shape and type",
            got="headers are not to be read",
            todo='add the fields to the item, or say headers="auto"',
        )
    return _read(location, found, told, lacking, where)


def _claim(view: ItemView, key: str, location: Location, reading: Reading, where: str) -> Claim:
    """Give what the item claims, if it may be believed: not of files that can be asked at once."""
    if reading.headers == "always" or (reading.headers == "auto" and not location.is_remote):
        return Claim(None, ())
    try:
        claim = claimed_grid(view.assets[key], view.properties, where=where)
        # Beside the place that is asked for nothing would be read, so nothing would ever be checked.
        if reading.headers == "auto" and claim.grid is not None and misses_bbox(claim.grid, view.bbox):
            return Claim(None, ("bbox and proj:transform, which name different places",))
        return claim
    except MetadataError as error:
        if reading.headers == "never":
            raise
        return Claim(None, (error.where.rpartition(", ")[2],))


def _read(location: Location, found: Found, told: dict[str, Any], lacking: tuple[str, ...], where: str) -> _Facts:
    """Read the header; scale and offset that the file declares stand in for those the item does not tell."""
    try:
        header = read_header(location, where=where)
    except (HostileInputError, MetadataError):
        raise
    except TerraCubeError as error:
        if not location.is_remote:
            raise
        raise AssetError(
            f"the item does not say where the pixels lie, and the header cannot be read: {error.what}",
            where=f"{where}, {', '.join(lacking) or 'headers'}",
            expected=error.expected,
            got=error.got,
            todo=error.todo or "add the fields to the item, or give signer= if its server wants a token",
        ) from error
    band = 1 if location.member else found.index + 1
    dtype = band_dtype(header, band, where)
    for name, values in (("scale", header.scale), ("offset", header.offset)):
        if len(values) >= band and values[band - 1] is not None:
            told.setdefault(name, values[band - 1])
    nodata, tile = header.nodata[band - 1], header.tile
    return _Facts(header.grid, dtype, nodata, header.overviews, tile, header.decoder, known=True)


def _radiometry(view: ItemView, found: Found, sensor: Sensor | None, told: Mapping[str, Any], where: str) -> Radiometry:
    known = None if found.band is None else sensor
    scale, offset = told.get("scale"), told.get("offset")
    return resolve_radiometry(known, view.properties, scale=scale, offset=offset, where=where, band=found.band)


def _default_dtype(found: Found, sensor: Sensor | None) -> Any:
    """Give the type in which the agency delivers a band."""
    if found.band is None or sensor is None:
        return None
    measured = found.band.kind == "measured"
    return found.band.dtype or (sensor.reflectance.get("dtype") if measured else None)


def _default_nodata(found: Found, sensor: Sensor | None) -> float | None:
    """Give the number that the product keeps for missing pixels."""
    if found.band is None or sensor is None:
        return None
    if found.band.nodata is not None:
        return float(found.band.nodata)
    return float(sensor.reflectance["nodata"]) if found.band.kind == "measured" else None
