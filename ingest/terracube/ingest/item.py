"""How a written delivery becomes a STAC item, and its source a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pystac
from shapely.geometry import mapping, shape

from terracube.cubes.storage.layers import Statistics
from terracube.ingest.checking import Checked
from terracube.ingest.scene import Delivered, Raster
from terracube.ingest.sources import Source
from terracube.ingest.writing import Written, document_name
from terracube.stac import band, describe_collection, file_asset, footprint, raster_asset, set_extensions

CONTENT = "terracube:content"
"""Property that holds the digest of what was delivered."""
_CLOUDS = "eo:cloud_cover"
_SPDX = frozenset(
    {"CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC0-1.0", "etalab-2.0", "ODbL-1.0", "PDDL-1.0", "proprietary"}
)


def scene_collection(source: Source) -> pystac.Collection:
    """Describe the collection of a source's items."""
    told = f"{source.title}, as ingested"
    collection = describe_collection(source.name, title=source.title, description=source.summary or told)
    if source.licence in _SPDX:
        collection.license = source.licence
    if source.licence_url:
        collection.add_link(pystac.Link("license", source.licence_url, title=source.attribution))
    collection.extra_fields["terracube:access"] = source.access
    collection.extra_fields["terracube:attribution"] = source.attribution
    if source.doi:
        collection.add_link(pystac.Link("cite-as", f"https://doi.org/{source.doi}"))
    return collection


def scene_item(one: Checked, folder: Path, written: Written) -> pystac.Item:
    """Describe a delivery whose files lie in ``folder``.

    The properties that its reader gives are kept; what describes its files is written anew from the files.
    """
    scene = one.scene
    geometry, bbox = _place(scene)
    item = pystac.Item(scene.id, geometry, bbox, scene.acquired, dict(scene.properties), collection=scene.source.name)
    if scene.interval is not None:
        item.common_metadata.start_datetime, item.common_metadata.end_datetime = scene.interval
    measured = written.quality.as_properties()
    if _CLOUDS in measured and _CLOUDS in item.properties:
        item.properties["terracube:declared_cloud_cover"] = item.properties[_CLOUDS]
    item.properties.update(measured)
    item.properties[CONTENT] = one.content
    _add_notes(item, scene, written)
    for raster in scene.rasters:
        item.add_asset(raster.key, _asset(raster, folder, one.checksums[raster.key], written.statistics[raster.key]))
    for document in scene.documents:
        name = document_name(document.key, document.path)
        asset = file_asset(
            folder / name,
            href=f"./{name}",
            title=document.title,
            roles=document.roles,
            media_type=document.media_type,
        )
        item.add_asset(document.key, asset)
    for key, told in scene.remote.items():
        if key not in item.assets:
            item.add_asset(key, pystac.Asset.from_dict(dict(told)))
    for rel, href in scene.links:
        item.add_link(pystac.Link(rel, href))
    return set_extensions(item)


def _add_notes(item: pystac.Item, scene: Delivered, written: Written) -> None:
    notes = [*scene.notes, *written.notes]
    if notes:
        item.properties["terracube:notes"] = notes
    if written.linked:
        item.properties["terracube:linked"] = list(written.linked)
    if scene.source.access_class != "open":
        item.properties["terracube:access"] = scene.source.access


def _asset(raster: Raster, folder: Path, sha256: str, statistics: Statistics) -> pystac.Asset:
    name = f"{raster.band.file}.tif"
    known = raster.radiometry
    fields = band(
        raster.key,
        common_name=raster.band.common_name if raster.band.center_wavelength else None,
        center_wavelength=raster.band.center_wavelength,
        fwhm=raster.band.full_width_half_max,
        scale=known.scale if known else None,
        offset=known.offset if known else None,
        unit=raster.unit or raster.band.unit,
        **_meaning(raster),
    )
    asset = raster_asset(
        folder / name,
        href=f"./{name}",
        title=raster.band.title,
        roles=list(raster.roles),
        bands=[fields],
        code=raster.grid.crs,
        shape=raster.grid.shape,
        transform=tuple(raster.grid.transform),
        nodata=raster.nodata,
        data_type=raster.dtype,
        statistics=statistics.as_dict(),
    )
    asset.extra_fields.update(raster.extra)
    asset.extra_fields["terracube:source_sha256"] = sha256
    if known:
        asset.extra_fields["terracube:radiometry"] = known.reason
    return asset


def _meaning(raster: Raster) -> dict[str, Any]:
    """Say what classes and bits mean, as the classification extension does."""
    if raster.classes:
        told = [{"value": value, "description": meaning} for value, meaning in sorted(raster.classes.items())]
        return {"classification:classes": told}
    if raster.bits:
        return {"classification:bitfields": [_bit(offset, told) for offset, told in sorted(raster.bits.items())]}
    return {}


def _bit(offset: int, meaning: str) -> dict[str, Any]:
    classes = [{"value": 0, "description": f"not: {meaning}"}, {"value": 1, "description": meaning}]
    return {"offset": offset, "length": 1, "description": meaning, "classes": classes}


def _place(scene: Delivered) -> tuple[dict[str, Any], list[float]]:
    """Give the footprint: the delivered one, which is smaller than the rectangle of the files, if there is one."""
    grid = scene.rasters[0].grid
    geometry, bbox = footprint(grid.bounds, grid.crs)
    if scene.geometry is None:
        return geometry, bbox
    outline = shape(dict(scene.geometry))
    return dict(mapping(outline)), list(outline.bounds) if outline.geom_type == "Polygon" else bbox
