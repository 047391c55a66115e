"""Describe an ingested scene: a STAC 1.1 item that says what the files are, and where they came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pystac
from shapely.errors import ShapelyError
from shapely.geometry import mapping, shape

from terracube.core.errors import MetadataError
from terracube.core.files import is_remote
from terracube.core.sensors import Sensor
from terracube.ingest.scene import DeliveredScene, Raster
from terracube.stac import band, describe_collection, footprint, raster_asset, set_extensions

CONTENT = "terracube:content"
"""Property that holds the digest of what was delivered."""
_GONE = (
    "proj:epsg",
    "proj:code",
    "proj:wkt2",
    "proj:projjson",
    "proj:shape",
    "proj:transform",
    "datetime",
    "version",
    "deprecated",
)
_KEPT_LINKS = {"license": "license", "derived_from": "derived_from", "canonical": "via", "cite-as": "cite-as"}


def scene_collection(sensor: Sensor) -> pystac.Collection:
    """Describe the collection of a sensor's scenes."""
    told = f"{sensor.title}, as ingested"
    collection = describe_collection(sensor.name, title=sensor.title, description=told)
    collection.add_link(pystac.Link("license", sensor.licence_url, title=sensor.attribution))
    return collection


def scene_item(scene: DeliveredScene, folder: Path) -> pystac.Item:
    """Describe a scene whose files lie in ``folder``.

    The properties of the delivered item are kept; what describes its files is written anew from the files.
    """
    geometry, bbox = _place(scene)
    given = {key: value for key, value in scene.document["properties"].items() if not _is_ours(key)}
    item = pystac.Item(scene.id, geometry, bbox, scene.acquired, given, collection=scene.sensor.name)
    item.properties[CONTENT] = scene.content
    if scene.notes:
        item.properties["terracube:notes"] = list(scene.notes)
    for raster in scene.rasters:
        item.add_asset(raster.key, _asset(raster, folder))
    for key, asset in scene.remote.items():
        if key not in item.assets:
            item.add_asset(key, _remote_asset(asset))
    for rel, href in _links(scene.document.get("links")):
        item.add_link(pystac.Link(_KEPT_LINKS[rel], href))
    return set_extensions(item)


def _is_ours(key: str) -> bool:
    """Whether a property is written by us alone: what a delivery claims of it is not believed."""
    return key in _GONE or key.startswith("terracube:")


def _links(given: Any) -> Iterator[tuple[str, str]]:
    """Give the links that are kept: relation and remote address."""
    for link in given if isinstance(given, list) else ():
        rel, href = (link.get("rel"), link.get("href")) if isinstance(link, dict) else (None, None)
        if isinstance(rel, str) and isinstance(href, str) and rel in _KEPT_LINKS and is_remote(href) and "://" in href:
            yield rel, href


def _asset(raster: Raster, folder: Path) -> pystac.Asset:
    name = f"{raster.band.file}.tif"
    known = raster.radiometry
    fields = band(
        raster.key,
        common_name=raster.band.common_name,
        center_wavelength=raster.band.center_wavelength,
        full_width_half_max=raster.band.full_width_half_max,
        scale=known.scale if known else None,
        offset=known.offset if known else None,
    )
    asset = raster_asset(
        folder / name,
        href=f"./{name}",
        title=raster.band.title,
        roles=["data", "reflectance"] if known else ["data"],
        bands=[fields],
        code=raster.grid.crs,
        shape=raster.grid.shape,
        transform=tuple(raster.grid.transform),
        nodata=raster.nodata,
        data_type=raster.dtype,
    )
    asset.extra_fields["terracube:source_sha256"] = raster.sha256
    if known:
        asset.extra_fields["terracube:radiometry"] = known.reason
    return asset


def _remote_asset(asset: Mapping[str, Any]) -> pystac.Asset:
    """Keep a link to what was not taken: what it is, not what was claimed of its pixels."""
    roles = asset.get("roles")
    kind = asset.get("type")
    return pystac.Asset(
        href=str(asset["href"]),
        title=str(asset["title"]) if "title" in asset else None,
        media_type=str(kind) if kind else None,
        roles=[str(role) for role in roles] if isinstance(roles, list) else None,
    )


def _place(scene: DeliveredScene) -> tuple[dict[str, Any], list[float]]:
    """Give the footprint: the delivered one if it meets that of the files, which it is smaller than, else an error."""
    raster = next(r for r in scene.rasters if r.radiometry)
    geometry, bbox = footprint(raster.grid.bounds, raster.grid.crs)
    delivered = scene.document.get("geometry")
    if not isinstance(delivered, dict):
        return geometry, bbox
    try:
        claimed = shape(delivered)
        meets = claimed.is_valid and claimed.intersects(shape(geometry))
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise MetadataError("the geometry of the item is malformed", where=scene.id, got=str(error)[:120]) from error
    if not meets:
        raise MetadataError(
            "the geometry of the item is not where its files are",
            where=scene.id,
            expected=f"within {[round(v, 4) for v in bbox]}",
            got=str([round(v, 4) for v in claimed.bounds]),
        )
    return dict(mapping(claimed)), list(claimed.bounds) if claimed.geom_type == "Polygon" else bbox
