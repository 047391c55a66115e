"""A STAC item with its files beside it, as the public catalogues give scenes.

The files are the truth: their headers say where the pixels lie and of what type they are. What the item claims is
compared, and a difference is noted; what only the item can know (the date, the processing baseline) must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from shapely.errors import ShapelyError
from shapely.geometry import mapping, shape

from terracube.core.errors import AssetError, HostileInputError, MetadataError
from terracube.core.files import is_remote, resolve_below, safe_name
from terracube.core.sensors import Band, Sensor, resolve_radiometry
from terracube.cubes.sources import band_fields
from terracube.ingest.rasters import head
from terracube.ingest.scene import Delivered, Raster, utc
from terracube.ingest.sources import Source
from terracube.ingest.text import read_json

_MAX_ASSETS = 1000
_GONE = (
    "proj:epsg",
    "proj:code",
    "proj:wkt2",
    "proj:projjson",
    "proj:shape",
    "proj:transform",
    "datetime",
    "start_datetime",
    "end_datetime",
    "version",
    "deprecated",
)
_KEPT_LINKS = {"license": "license", "derived_from": "derived_from", "canonical": "via", "cite-as": "cite-as"}


def find(path: Path) -> list[Path]:
    """Look for items. Catalogues and collections are passed over: the items that they name are found by themselves."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    return [each for each in sorted(path.rglob("*.json")) if each.is_file() and _looks_like_item(each)]


def _looks_like_item(path: Path) -> bool:
    """A JSON that says it is a feature, or that cannot be read at all: then its refusal is told."""
    try:
        return read_json(path).get("type") == "Feature"
    except (AssetError, MetadataError):
        return True


def read(path: Path, source: Source) -> Delivered:
    """Read an item and the headers of its files.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and where.
    """
    document = read_json(path)
    if document.get("type") != "Feature" or "stac_version" not in document:
        raise MetadataError("the JSON is not a STAC item", where=str(path), got=str(document.get("type"))[:40])
    item_id = safe_name(str(document.get("id", "")), what="item id")
    properties = document.get("properties")
    told = properties.get("datetime") if isinstance(properties, dict) else None
    acquired = utc(told, where=f"{item_id}, properties.datetime")
    sensor = _sensor(source, document, item_id)
    rasters, remote, notes = _sort_assets(document, path.parent, sensor, item_id)
    if not any(raster.radiometry for raster in rasters):
        raise AssetError(
            "no band of the scene is on this machine",
            where=item_id,
            expected=", ".join(sensor.bands),
            got=f"{len(remote)} remote assets",
            todo="download the bands beside the item (terracube mirror)",
        )
    return Delivered(
        id=item_id,
        source=source,
        path=path,
        acquired=acquired,
        rasters=rasters,
        properties={key: value for key, value in document["properties"].items() if not _is_ours(key)},
        geometry=_geometry(document, item_id),
        facts=document,
        remote=remote,
        links=_links(document.get("links")),
        notes=notes,
    )


def _sensor(source: Source, document: Mapping[str, Any], item_id: str) -> Sensor:
    sensor = source.sensor
    if sensor is None or document.get("collection") not in sensor.collections:
        raise MetadataError(
            "the item belongs to another collection",
            where=item_id,
            expected=" or ".join(sensor.collections if sensor else [source.name]),
            got=repr(document.get("collection"))[:80],
        )
    return sensor.aboard(document["properties"].get("platform"))


def _is_ours(key: str) -> bool:
    """Whether a property is written by us alone: what a delivery claims of it is not believed."""
    return key in _GONE or key.startswith("terracube:")


def _links(given: Any) -> tuple[tuple[str, str], ...]:
    """Give the links that are kept: relation and remote address."""
    kept = []
    for link in given if isinstance(given, list) else ():
        rel, href = (link.get("rel"), link.get("href")) if isinstance(link, dict) else (None, None)
        if isinstance(rel, str) and isinstance(href, str) and rel in _KEPT_LINKS and is_remote(href) and "://" in href:
            kept.append((_KEPT_LINKS[rel], href))
    return tuple(kept)


def _geometry(document: Mapping[str, Any], item_id: str) -> dict[str, Any] | None:
    delivered = document.get("geometry")
    if not isinstance(delivered, dict):
        return None
    try:
        return dict(mapping(shape(delivered)))
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise MetadataError("the geometry of the item is malformed", where=item_id, got=str(error)[:120]) from error


def _sort_assets(
    document: Mapping[str, Any], folder: Path, sensor: Sensor, item_id: str
) -> tuple[tuple[Raster, ...], dict[str, Mapping[str, Any]], tuple[str, ...]]:
    """Sort the assets into files to take, links to keep, and notes."""
    assets = document.get("assets")
    if not isinstance(assets, dict) or len(assets) > _MAX_ASSETS:
        raise MetadataError("the item has no usable assets", where=item_id, expected=f"1 to {_MAX_ASSETS} assets")
    roles = {key: band for band in (*sensor.bands.values(), *sensor.extras.values()) for key in band.keys}
    taken: dict[str, Raster] = {}
    remote: dict[str, Mapping[str, Any]] = {}
    notes: list[str] = []
    for key, asset in assets.items():
        safe_name(str(key), what="asset key")
        href = asset.get("href") if isinstance(asset, dict) else None
        if not isinstance(href, str):
            raise MetadataError("an asset has no href", where=f"{item_id}/{key}")
        path = _beside(folder, href)
        if path is not None and key in roles and roles[key].name not in taken:
            raster = _check_raster(roles[key], path, asset, document, sensor, where=f"{item_id}/{key}")
            notes.extend(_differences(key, asset, raster))
            taken[raster.key] = raster
        elif path is None and href.startswith("/vsi"):
            notes.append(f"{key}: its href is a virtual path, which is never opened; left out")
        elif path is None and is_remote(href):
            remote[key] = _link_alone(asset)
        elif path is None:
            notes.append(f"{key}: listed, but {PurePosixPath(href).name} is not there")
    _check_one_crs(taken, item_id)
    elsewhere = sorted({roles[key].name for key in remote if key in roles} - set(taken))
    if elsewhere:
        notes.append(f"not taken, for they lie elsewhere: {', '.join(elsewhere)}")
    return tuple(taken.values()), remote, tuple(notes)


def _link_alone(asset: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of an asset that is not taken what it is, not what was claimed of its pixels."""
    roles, kind = asset.get("roles"), asset.get("type")
    kept = {
        "href": str(asset["href"]),
        "title": str(asset["title"]) if "title" in asset else None,
        "type": str(kind) if kind else None,
        "roles": [str(role) for role in roles] if isinstance(roles, list) else None,
    }
    return {key: value for key, value in kept.items() if value is not None}


def _beside(folder: Path, href: str) -> Path | None:
    """Give the local file of an asset: a file of the same name beside the item wins over a remote href."""
    if not is_remote(href):
        path = resolve_below(folder, href)
        return path if path.is_file() else None
    name = PurePosixPath(href.split("?", 1)[0]).name
    try:
        path = resolve_below(folder, name)
    except HostileInputError:  # the last part of an address need not be able to name a file
        return None
    return path if name and path.is_file() else None


def _check_raster(
    band: Band, path: Path, asset: Mapping[str, Any], document: Mapping[str, Any], sensor: Sensor, *, where: str
) -> Raster:
    told = band_fields(asset)
    measured = band.name in sensor.bands
    rule = None
    found = head(path, largest=sensor.largest_side, where=where)
    if found.count != 1:
        raise AssetError("the file holds several bands", where=where, expected="1", got=str(found.count))
    dtype, nodata = found.dtypes[0], found.nodata[0]
    if measured:
        if np.dtype(dtype).kind not in "ui":
            raise AssetError(
                "the band does not hold digital numbers", where=where, expected="an integer type", got=dtype
            )
        scale, offset = told.get("scale"), told.get("offset")
        rule = resolve_radiometry(sensor, document["properties"], scale=scale, offset=offset, where=where, band=band)
    if nodata is None:
        declared = told.get("nodata", sensor.reflectance["nodata"] if measured else None)
        nodata = None if declared is None else float(declared)
    mask = sensor.mask
    return Raster(
        key=band.name,
        band=band,
        pixels=found.pixels(),
        grid=found.grid,
        dtype=dtype,
        nodata=nodata,
        files=(path,),
        radiometry=rule,
        classes=mask.classes if band.name == mask.asset else {},
        bits=mask.bits if band.name == mask.asset else {},
        roles=("data", "reflectance") if rule and band.unit == "1" else ("data",),
    )


def _differences(key: str, asset: Mapping[str, Any], raster: Raster) -> list[str]:
    told = asset.get("proj:shape")
    if told is None or told == list(raster.grid.shape):
        return []
    return [f"{key}: the item claims {str(told)[:80]} pixels, the file has {list(raster.grid.shape)}"]


def _check_one_crs(rasters: Mapping[str, Raster], item_id: str) -> None:
    systems = {raster.grid.crs for raster in rasters.values()}
    if len(systems) > 1:
        raise MetadataError("the bands of the scene lie in several CRS", where=item_id, got=", ".join(sorted(systems)))
    tops = {(round(r.grid.bounds.left, 3), round(r.grid.bounds.top, 3)) for r in rasters.values()}
    if len(tops) > 1:
        raise HostileInputError(
            "the bands of the scene do not begin at one corner", where=item_id, got=str(sorted(tops))
        )
