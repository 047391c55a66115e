"""From STAC items to what there is to read: one scene per item, one source per band.

The header of the file decides where its pixels lie. Items are known to claim other shapes than their files have, so
their claims are never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pystac
from rasterio.io import DatasetReader

from terracube.core.errors import (
    AssetError,
    ConflictError,
    InputError,
    LeftOut,
    MetadataError,
    NotFoundError,
    TerraCubeError,
)
from terracube.core.files import is_remote, resolve_below
from terracube.core.sensors import Sensor, resolve_radiometry, sensor_of
from terracube.cubes.grid import Grid
from terracube.cubes.readers import open_raster

_CLASS_TYPES = ("uint8", "uint16", "int16")
_NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
_ON_ERROR = ("raise", "skip")


@dataclass(frozen=True)
class Source:
    """One raster band of one scene, and how its numbers become values."""

    path: str
    """Local file."""
    band: int
    """Band in the file, from 1."""
    grid: Grid
    """Where its pixels lie, from its header."""
    nodata: float | None
    """The number that means nothing was seen."""
    scale: float
    offset: float
    """``value = number * scale + offset``."""
    dtype: str
    """Type of the numbers in the file."""
    radiometry: str
    """Which rule decided the scale and offset."""


@dataclass(frozen=True)
class Scene:
    """One item, ready to be read."""

    id: str
    collection: str
    acquired: datetime
    """Time of acquisition, UTC."""
    solar_day: date
    """Day at the scene's own longitude, so that one overpass never straddles midnight."""
    bands: Mapping[str, Source]
    mask: Source | None
    """The classified layer, where a mask was asked for."""
    asset_keys: tuple[str, ...] = ()
    """Keys of the item's assets that are read, in order."""

    @property
    def order(self) -> tuple[datetime, str]:
        """Canonical order of scenes: by time, then id; never by arrival."""
        return self.acquired, self.id


@dataclass(frozen=True)
class SceneSet:
    """Scenes in canonical order, and those left out."""

    scenes: tuple[Scene, ...]
    left_out: tuple[LeftOut, ...] = field(default=())


def band_fields(asset: Mapping[str, Any], index: int = 0, *, where: str = "") -> dict[str, Any]:
    """Collect what an asset says of one band, STAC 1.0 (``raster:bands``) and 1.1 (``bands``) alike.

    Returns
    -------
    dict
        ``scale``, ``offset``, ``nodata``, ``data_type``, each only where it is said.

    Raises
    ------
    MetadataError
        If scale, offset or nodata is no number.

    Examples
    --------
    >>> band_fields({"raster:bands": [{"scale": 0.0001, "nodata": 0}]})
    {'scale': 0.0001, 'nodata': 0}
    """
    told: dict[str, Any] = {}
    for layer in (asset, *_at(asset.get("bands"), index), *_at(asset.get("raster:bands"), index)):
        for key in ("scale", "offset", "nodata", "data_type"):
            value = layer.get(f"raster:{key}", layer.get(key))
            if value is not None:
                told[key] = value if key == "data_type" else _number(key, value, where)
    return told


def _number(key: str, value: Any, where: str) -> float:
    if key == "nodata" and (isinstance(value, float) or value in ("nan", "inf", "-inf")):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return value
    raise MetadataError(f"{key} of a band is no number", where=where, expected="a number", got=repr(value)[:80])


def _at(bands: Any, index: int) -> list[Mapping[str, Any]]:
    return (
        [bands[index]] if isinstance(bands, list) and len(bands) > index and isinstance(bands[index], Mapping) else []
    )


def find_asset(item: pystac.Item, sensor: Sensor, name: str) -> str:
    """Give the key of the asset that holds a band, asked for by role name, asset key or the agency's name.

    Raises
    ------
    NotFoundError
        If the sensor has no such band, or the item does not offer it.
    """
    layer = sensor.layer(name)
    for key in layer.keys:
        if key in item.assets:
            return key
    raise NotFoundError(
        f"the item has no asset for band {layer.name!r}",
        where=item.id,
        expected=" or ".join(layer.keys),
        got=", ".join(sorted(item.assets)[:20]),
        todo="ingest the scene with that band, or leave the band out",
    )


def local_path(item: pystac.Item, key: str) -> Path:
    """Give the local file of an asset, which must lie below the folder of its item.

    Raises
    ------
    AssetError
        If the asset is remote, or the file is not there.
    HostileInputError
        If the href leaves the item's folder.
    """
    path = _local(item, key)
    if not path.is_file():
        raise AssetError(
            "the file of the asset is missing", where=f"{item.id}/{key}", expected=str(path), got="no file"
        )
    return path


def local_folder(item: pystac.Item, key: str) -> Path:
    """Give the local folder of an asset that is one (Zarr); as :func:`local_path`."""
    path = _local(item, key)
    if not path.is_dir():
        raise AssetError("the folder of the asset is missing", where=f"{item.id}/{key}", expected=str(path), got="none")
    return path


def _local(item: pystac.Item, key: str) -> Path:
    href = item.assets[key].href
    where = f"{item.id}/{key}"
    if is_remote(href):
        raise AssetError("the asset is not on this machine", where=where, got=href[:200], todo="ingest the scene first")
    self_href = item.get_self_href()
    if self_href is None or is_remote(self_href):
        raise MetadataError(
            "the item does not say where it lies",
            where=item.id,
            expected="a self link with a path on this machine",
            got=repr(self_href)[:200],
        )
    return resolve_below(Path(self_href).parent, href)


def header_grid(dataset: DatasetReader, where: str) -> Grid:
    """Give the grid of an open raster.

    Raises
    ------
    MetadataError
        If its header holds no CRS or no geotransform, or an unusable one; neither is ever guessed.
    """
    facts = {"CRS": _wkt(dataset, where), "geotransform": not dataset.transform.is_identity}
    missing = [name for name, there in facts.items() if not there]
    if missing:
        raise MetadataError(
            f"the raster has no {' and no '.join(missing)}",
            where=where,
            expected="a georeferenced raster",
            got=f"{dataset.height} x {dataset.width} pixels at no known place",
            todo="write CRS and transform into the file (for example with `rio edit-info`)",
        )
    try:
        return Grid.from_affine(facts["CRS"], dataset.transform, (dataset.height, dataset.width))
    except (InputError, MetadataError) as error:
        raise MetadataError(error.what, where=where, expected=error.expected, got=error.got, todo=error.todo) from error


def _wkt(dataset: DatasetReader, where: str) -> str:
    """Give the CRS of a raster as text; empty if it has none."""
    try:
        return "" if dataset.crs is None else str(dataset.crs.to_wkt())
    except ValueError as error:  # bytes that are no text, or keys that contradict each other
        raise MetadataError("the CRS in the header is unreadable", where=where, got=str(error)[:200]) from error


def read_source(item: pystac.Item, sensor: Sensor, key: str) -> Source:
    """Read the header of one asset and settle how its numbers become values.

    Raises
    ------
    TerraCubeError
        Naming item and asset, if it is missing, hostile, unreadable, or its metadata are unusable.
    """
    path = local_path(item, key)
    where = f"{item.id}/{key}"
    told = band_fields(item.assets[key].to_dict(), where=where)
    measured = any(key in band.keys for band in sensor.bands.values())
    with open_raster(path) as dataset:
        grid = header_grid(dataset, where)
        nodata, dtype = dataset.nodata, str(dataset.dtypes[0])
    if dtype not in _NUMBERS:
        raise AssetError("the band holds no real numbers", where=where, expected=" or ".join(_NUMBERS), got=dtype)
    scale, offset, reason = told.get("scale", 1.0), told.get("offset", 0.0), "declared by the asset, or plain"
    if measured:
        rule = resolve_radiometry(
            sensor, item.properties, scale=told.get("scale"), offset=told.get("offset"), where=where
        )
        scale, offset, reason = rule.scale, rule.offset, rule.reason
    if nodata is None:
        nodata = told.get("nodata", sensor.reflectance["nodata"] if measured else None)
    number = None if nodata is None else float(nodata)
    return Source(str(path), 1, grid, number, float(scale), float(offset), dtype, reason)


def solar_day(moment: datetime, longitude: float) -> date:
    """Give the calendar day of a moment at a longitude (degrees east): UTC plus four minutes per degree.

    Examples
    --------
    >>> solar_day(datetime(2023, 8, 14, 23, 30, tzinfo=UTC), 170.0)
    datetime.date(2023, 8, 15)
    """
    return (moment.astimezone(UTC) + timedelta(hours=longitude / 15.0)).date()


def read_scene(item: pystac.Item, bands: Sequence[str], *, mask: bool) -> Scene:
    """Read the headers of an item's bands.

    Raises
    ------
    TerraCubeError
        Naming item, asset and field, if the scene cannot be used.
    """
    sensor = sensor_of(item.collection_id)
    acquired, day = _moment(item)
    keys = {name: find_asset(item, sensor, name) for name in bands}
    mask_key = find_asset(item, sensor, sensor.mask.asset) if mask else None
    layer = None if mask_key is None else read_source(item, sensor, mask_key)
    if layer is not None and layer.dtype not in _CLASS_TYPES:
        raise AssetError(
            "the mask layer does not hold classes",
            where=f"{item.id}/{mask_key}",
            expected=" or ".join(_CLASS_TYPES),
            got=layer.dtype,
        )
    return Scene(
        id=item.id,
        collection=item.collection_id or "",
        acquired=acquired,
        solar_day=day,
        bands={name: read_source(item, sensor, key) for name, key in keys.items()},
        mask=layer,
        asset_keys=(*keys.values(), *([mask_key] if mask_key else [])),
    )


def _moment(item: pystac.Item) -> tuple[datetime, date]:
    """Give the time of an item, UTC, and its solar day."""
    if item.datetime is None or item.bbox is None:
        raise MetadataError("the item has no date or no bbox", where=item.id, expected="datetime and bbox")
    moment = item.datetime if item.datetime.tzinfo else item.datetime.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC), solar_day(moment, middle_longitude(item.bbox))
    except (OverflowError, TypeError, ValueError) as error:
        raise MetadataError(
            "the item's date or bbox is unusable",
            where=item.id,
            expected="a usual date; west, south, east, north in degrees",
            got=f"{moment}, {item.bbox}"[:200],
        ) from error


def middle_longitude(bbox: Sequence[float]) -> float:
    """Give the middle of a box in degrees east, -180 to 180; the box has four numbers, or six with heights.

    Examples
    --------
    >>> middle_longitude([179.0, -10.0, -175.0, -5.0])
    -178.0

    Raises
    ------
    ValueError
        If it has another number of values.
    """
    if len(bbox) not in (4, 6):
        raise ValueError(f"a box has four or six numbers, not {len(bbox)}")
    west, east = bbox[0], bbox[len(bbox) // 2]
    middle = (west + east + (360.0 if west > east else 0.0)) / 2
    return (middle + 180.0) % 360.0 - 180.0


def read_scenes(
    items: Iterable[pystac.Item], bands: Sequence[str], *, mask: bool = True, on_error: str = "raise"
) -> SceneSet:
    """Read the headers of many items, in canonical order.

    Parameters
    ----------
    items : iterable of pystac.Item
        With self links, so that their files can be found.
    bands : sequence of str
        Role names; unknown names are an error of the call, not of a scene.
    mask : bool
        Whether the classified layer is needed.
    on_error : "raise" or "skip"
        With ``"skip"`` an unusable scene is left out, and told in ``left_out``.

    Raises
    ------
    ConflictError
        If two items of a collection have one id: which of them is meant cannot be told.
    NotFoundError
        If a sensor has no such band.
    TerraCubeError
        Why a scene cannot be used, unless it is skipped.
    """
    if on_error not in _ON_ERROR:
        raise InputError("unknown rule for errors", expected=" or ".join(_ON_ERROR), got=repr(on_error))
    scenes: list[Scene] = []
    left_out: list[LeftOut] = []
    for item in _unique(items):
        _check_bands(item.collection_id, bands)
        try:
            scenes.append(read_scene(item, bands, mask=mask))
        except TerraCubeError as error:
            if on_error == "raise":
                raise
            left_out.append(LeftOut(item.id, str(error)))
    ordered = sorted(scenes, key=lambda scene: (*scene.order, scene.collection))
    return SceneSet(tuple(ordered), tuple(sorted(left_out, key=lambda gone: (gone.id, gone.reason))))


def _unique(items: Iterable[pystac.Item]) -> Iterator[pystac.Item]:
    seen: set[tuple[str | None, str]] = set()
    for item in items:
        name = (item.collection_id, item.id)
        if name in seen:
            raise ConflictError(
                "two items have one id", where=f"{item.collection_id}/{item.id}", todo="give one of them"
            )
        seen.add(name)
        yield item


def _check_bands(collection: str | None, bands: Sequence[str]) -> None:
    """Refuse unknown bands; an unknown collection is the scene's own error, told when it is read."""
    try:
        sensor = sensor_of(collection)
    except NotFoundError:
        return
    for name in bands:
        sensor.layer(name)
