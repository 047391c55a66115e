"""Check one delivered scene against its files, before anything is written.

The files are the truth: their headers say where the pixels lie and of what type they are. What the item claims is
compared, and a difference is noted in the catalogue; what only the item can know (the date, the processing baseline)
must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from rasterio.io import DatasetReader

from terracube.core.digest import file_sha256, sha256_of
from terracube.core.errors import AssetError, HostileInputError, MetadataError
from terracube.core.files import is_remote, resolve_below, safe_name
from terracube.core.sensors import Band, Radiometry, Sensor, resolve_radiometry
from terracube.cubes.grid import Grid
from terracube.cubes.readers import open_raster
from terracube.cubes.sources import band_fields, header_grid
from terracube.ingest.candidates import Candidate, read_json

_MAX_ASSETS = 1000


@dataclass(frozen=True)
class Raster:
    """One file of a scene, checked."""

    key: str
    """Role name, which becomes the asset key."""
    band: Band
    path: Path
    grid: Grid
    dtype: str
    nodata: float | None
    radiometry: Radiometry | None
    """Scale and offset, for measured bands."""
    cog: bool
    """Whether the file is already laid out as a COG, so that its bytes can be kept."""
    sha256: str


@dataclass(frozen=True)
class DeliveredScene:
    """A scene that can be ingested."""

    id: str
    acquired: datetime
    sensor: Sensor
    document: Mapping[str, Any]
    """The item as it was delivered."""
    path: Path
    """Where it lay."""
    rasters: tuple[Raster, ...]
    remote: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Assets that lie elsewhere and stay links."""
    notes: tuple[str, ...] = ()
    """What the item claimed and the files deny, and what was listed but is not there."""

    @property
    def content(self) -> str:
        """Digest of what was delivered: two scenes of one id are the same only if this is equal."""
        return sha256_of([self.document, {raster.key: raster.sha256 for raster in self.rasters}])


def check_scene(candidate: Candidate, sensor: Sensor) -> DeliveredScene:
    """Read an item and the headers of its files.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and where.
    """
    if not candidate.is_item:
        raise MetadataError(
            "the raster has no date",
            where=str(candidate.path),
            expected="a STAC item beside it that gives date, bands and collection",
            got="a raster alone",
            todo="write an item for it; a date is never guessed from a file",
        )
    document = read_json(candidate.path)
    if document.get("type") != "Feature" or "stac_version" not in document:
        raise MetadataError(
            "the JSON is not a STAC item", where=str(candidate.path), got=str(document.get("type"))[:40]
        )
    item_id = safe_name(str(document.get("id", "")), what="item id")
    acquired = _acquired(document, item_id)
    if document.get("collection") not in sensor.collections:
        raise MetadataError(
            "the item belongs to another collection",
            where=item_id,
            expected=" or ".join(sensor.collections),
            got=repr(document.get("collection"))[:80],
        )
    rasters, remote, notes = _sort_assets(document, candidate.path.parent, sensor, item_id)
    if not any(raster.radiometry for raster in rasters):
        raise AssetError(
            "no band of the scene is on this machine",
            where=item_id,
            expected=", ".join(sensor.bands),
            got=f"{len(remote)} remote assets",
            todo="download the bands beside the item",
        )
    return DeliveredScene(item_id, acquired, sensor, document, candidate.path, rasters, remote, notes)


def _acquired(document: Mapping[str, Any], item_id: str) -> datetime:
    properties = document.get("properties")
    text = properties.get("datetime") if isinstance(properties, dict) else None
    try:
        moment = datetime.fromisoformat(str(text).upper())
        if text is None or moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MetadataError(
            "the item has no date",
            where=f"{item_id}, properties.datetime",
            expected="a time with its zone, like 2023-08-15T09:57:57Z",
            got=repr(text)[:60],
            todo="add the time of acquisition; it is never guessed",
        ) from error


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
        elif path is None and is_remote(href):
            remote[key] = asset
        elif path is None:
            notes.append(f"{key}: listed, but {PurePosixPath(href).name} is not there")
    _check_one_crs(taken, item_id)
    return tuple(taken.values()), remote, tuple(notes)


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
    with open_raster(path) as dataset:
        if dataset.count != 1:
            raise AssetError("the file holds several bands", where=where, expected="1", got=str(dataset.count))
        if max(dataset.height, dataset.width) > sensor.largest_side:
            raise HostileInputError(
                "the file claims more pixels than a scene of this sensor has",
                where=where,
                expected=f"at most {sensor.largest_side} along each side",
                got=f"{dataset.height} x {dataset.width}",
            )
        grid, dtype, cog = header_grid(dataset, where), str(dataset.dtypes[0]), _is_cog(dataset)
        nodata = dataset.nodata
    if measured:
        if np.dtype(dtype).kind not in "ui":
            raise AssetError(
                "the band does not hold digital numbers", where=where, expected="an integer type", got=dtype
            )
        scale, offset = told.get("scale"), told.get("offset")
        rule = resolve_radiometry(sensor, document["properties"], scale=scale, offset=offset, where=where)
    if nodata is None:
        declared = told.get("nodata", sensor.reflectance["nodata"] if measured else None)
        nodata = None if declared is None else float(declared)
    return Raster(band.name, band, path, grid, dtype, nodata, rule, cog, file_sha256(path))


def _is_cog(dataset: DatasetReader) -> bool:
    layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
    return bool(dataset.driver == "GTiff" and layout == "COG" and dataset.nodata is not None)


def _differences(key: str, asset: Mapping[str, Any], raster: Raster) -> list[str]:
    shape = asset.get("proj:shape")
    if shape is None or shape == list(raster.grid.shape):
        return []
    return [f"{key}: the item claims {str(shape)[:80]} pixels, the file has {list(raster.grid.shape)}"]


def _check_one_crs(rasters: Mapping[str, Raster], item_id: str) -> None:
    systems = {raster.grid.crs for raster in rasters.values()}
    if len(systems) > 1:
        raise MetadataError("the bands of the scene lie in several CRS", where=item_id, got=", ".join(sorted(systems)))
    tops = {(round(r.grid.bounds.left, 3), round(r.grid.bounds.top, 3)) for r in rasters.values()}
    if len(tops) > 1:
        raise HostileInputError(
            "the bands of the scene do not begin at one corner", where=item_id, got=str(sorted(tops))
        )
