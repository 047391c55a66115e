"""Which asset, and which band in it, a name means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from terracube.core.errors import InputError, NotFoundError
from terracube.core.sensors import Band, Sensor, sensor_of
from terracube.cubes.items.fields import bands_told
from terracube.cubes.items.view import ItemView

_NOT_DATA = frozenset(("thumbnail", "overview", "visual", "metadata"))
_RASTERS = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "application/vnd+zarr", "application/vnd.zarr",
            "application/x-zarr", "application/x-netcdf", "application/netcdf")  # fmt: skip

# Metres; no pixel is larger than the earth.
_WIDEST = 1e8

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """Where a band is found in an item."""

    key: str
    """Key of the asset."""
    index: int = 0
    """Which of the asset's bands, from 0."""
    name: str = ""
    """What the asset calls the band, where it says."""
    band: Band | None = None
    """What the sensor's description knows of it."""


def sensor_for(view: ItemView) -> Sensor | None:
    """Give the sensor of an item, as its platform carries it; ``None`` where no sensor is known."""
    return _sensor(view.collection, view.platform)


@lru_cache(maxsize=256)
def _sensor(collection: str, platform: str) -> Sensor | None:
    try:
        return sensor_of(collection).aboard(platform)
    except NotFoundError:
        return None


def find_band(view: ItemView, name: str, sensor: Sensor | None) -> Found:
    """Find a band by role name, asset key, common name or the agency's name.

    Raises
    ------
    NotFoundError
        If the item does not offer it, or offers several of that name.
    """
    band = None if sensor is None else _layer(sensor, name)
    keys = (name,) if band is None else band.keys
    for key in keys:
        if key in view.assets:
            return _in_asset(view, key, name, sensor, band)
    found = _by_band_name(view, name, sensor, band)
    if len(found) > 1:
        found = _finest(view, found)
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFoundError(
            f"several assets of the item have a band {name!r}",
            where=view.id,
            expected="one",
            got=", ".join(one.key for one in found[:20]),
            todo="ask for it by the key of the asset",
        )
    raise NotFoundError(
        f"the item has no asset for band {name if band is None else band.name!r}",
        where=view.id,
        expected=" or ".join(keys),
        got=", ".join(sorted(map(str, view.assets))[:20]),
        todo="ingest the scene with that band, or leave the band out",
    )


def offers(view: ItemView, name: str, sensor: Sensor | None) -> bool:
    """Tell whether a name means something for an item: the sensor or the item itself knows it."""
    if sensor is not None and _layer(sensor, name) is not None:
        return True
    return name in view.assets or bool(_by_band_name(view, name, sensor, None))


def common_bands(views: Sequence[ItemView]) -> tuple[str, ...]:
    """List the bands that every item has: the measured ones of its sensor, else its rasters with the role ``data``.

    Raises
    ------
    InputError
        If there is none.
    """
    names: list[str] = []
    for number, view in enumerate(views):
        sensor = sensor_for(view)
        own = _measured(view, sensor)
        names = own if number == 0 else [name for name in names if name in own or _has(view, name, sensor)]
    if names:
        return tuple(names)
    raise InputError(
        "the items have no band in common", where="bands", got=f"{len(views)} items", todo="name the bands"
    )


def _measured(view: ItemView, sensor: Sensor | None) -> list[str]:
    if sensor is not None:
        return [name for name in sensor.bands if _has(view, name, sensor)]
    names: list[str] = []
    for key, asset in view.assets.items():
        if _is_data(asset):
            told = bands_told(asset, view.properties)
            names.extend([str(key)] if len(told) <= 1 else filter(None, (_text(one.get("name")) for one in told)))
    return names


def _has(view: ItemView, name: str, sensor: Sensor | None) -> bool:
    try:
        find_band(view, name, sensor)
    except NotFoundError:
        return False
    return True


def _is_data(asset: Any) -> bool:
    roles = asset.get("roles") if isinstance(asset, Mapping) else None
    return isinstance(roles, list) and "data" in roles and str(asset.get("type") or "").startswith(_RASTERS)


def _layer(sensor: Sensor, name: str) -> Band | None:
    try:
        return sensor.layer(name)
    except NotFoundError:
        return None


def _in_asset(view: ItemView, key: str, name: str, sensor: Sensor | None, band: Band | None) -> Found:
    """Find the band in an asset that was asked for by its key."""
    asset = view.assets[key]
    told = bands_told(asset, view.properties) if isinstance(asset, Mapping) else []
    if len(told) <= 1:
        own = told[0] if told else {}
        return Found(key, 0, _text(own.get("name")), band or _known(own, sensor))
    wanted = {name} if band is None else {name, band.name, band.file, *band.keys}
    common = band.common_name if band is not None else name
    for index, one in enumerate(told):
        if _text(one.get("name")) in wanted or (common and _common(one) == common):
            return Found(key, index, _text(one.get("name")), band or _known(one, sensor))
    raise NotFoundError(
        "the asset has several bands",
        where=f"{view.id}/{key}",
        expected="one of " + ", ".join(_text(one.get("name")) or "?" for one in told[:20]),
        got=repr(name),
        todo="ask for a band by its name",
    )


def _by_band_name(view: ItemView, name: str, sensor: Sensor | None, band: Band | None) -> list[Found]:
    """Find a band by what assets call their bands: by name, else by common name, else by name in other letters."""
    names = {name} if band is None else {name, band.name, band.file, *band.keys}
    small = {one.lower() for one in names}
    common = {name} if band is None else {band.common_name, band.name}
    exact: list[Found] = []
    alike: list[Found] = []
    spelt: list[Found] = []
    for key, asset in _rasters(view.assets):
        for index, one in enumerate(bands_told(asset, view.properties)):
            own = _text(one.get("name"))
            found = Found(key, index, own, band or _known(one, sensor))
            if own in names:
                exact.append(found)
            elif _common(one) in common:
                alike.append(found)
            elif own.lower() in small:
                spelt.append(found)
    return exact or alike or spelt


def _finest(view: ItemView, found: list[Found]) -> list[Found]:
    """Of assets that hold one band at several resolutions take the finest, if all say how fine they are."""
    sizes = [_size(view, one) for one in found]
    least = min((size for size in sizes if size is not None), default=None)
    if None in sizes or sizes.count(least) != 1:
        return found
    return [found[sizes.index(least)]]


def _size(view: ItemView, found: Found) -> float | None:
    asset = view.assets[found.key]
    bands = bands_told(asset, view.properties)
    for layer in (bands[found.index], asset):
        for key in ("gsd", "raster:spatial_resolution", "spatial_resolution"):
            value = layer.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _WIDEST:
                return float(value)
    return None


def _rasters(assets: Mapping[str, Any]) -> Iterable[tuple[str, Json]]:
    for key, asset in assets.items():
        if isinstance(asset, Mapping):
            roles = asset.get("roles")
            shown = isinstance(roles, list) and any(isinstance(role, str) and role in _NOT_DATA for role in roles)
            if not shown and str(asset.get("type") or "image/tiff").startswith(_RASTERS):
                yield key, asset


def _known(told: Json, sensor: Sensor | None) -> Band | None:
    """Give what a sensor knows of a band of an asset that it does not know by key: by common name, else by name.

    Variables of Zarr groups have the agency's names in small letters.
    """
    own = _text(told.get("name"))
    for name in (_common(told), own, own.upper()):
        if sensor is not None and name and (found := _layer(sensor, name)) is not None:
            return found
    return None


def _common(told: Json) -> str:
    return _text(told.get("eo:common_name", told.get("common_name")))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
