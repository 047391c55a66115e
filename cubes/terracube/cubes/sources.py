"""From STAC items to what there is to read: one scene per item, one source per band.

Where the pixels of a file on this machine lie is decided by its header: items are known to claim other shapes than
their files have. Of files elsewhere the item's claims are taken where they are complete, so that a thousand items open
without a request; they are checked when the first pixel is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pystac

from terracube.core.errors import AssetError, ConflictError, InputError, LeftOut, NotFoundError, TerraCubeError
from terracube.core.sensors import MaskRule, Sensor
from terracube.cubes.access.signing import Signer
from terracube.cubes.items.build import Given, Reading, make_source
from terracube.cubes.items.fields import band_fields
from terracube.cubes.items.headers import header_grid, verify_header
from terracube.cubes.items.hrefs import local_file
from terracube.cubes.items.names import common_bands, find_band, offers, sensor_for
from terracube.cubes.items.source import Source
from terracube.cubes.items.view import ItemView, acquired, each_item, middle_longitude, solar_day, to_item, to_items

__all__ = [
    "Given",
    "ItemView",
    "Scene",
    "SceneSet",
    "Source",
    "band_fields",
    "find_asset",
    "header_grid",
    "local_folder",
    "local_path",
    "middle_longitude",
    "read_scene",
    "read_scenes",
    "solar_day",
    "to_items",
    "verify_header",
]

_CLASS_TYPES = ("uint8", "uint16", "int16", "uint32", "int32")
_ON_ERROR = ("raise", "skip")
_HEADERS = ("auto", "always", "never")

ItemLike = ItemView | pystac.Item | Mapping[str, Any]


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
    """The layer of classes, bits or probabilities, where a mask was asked for."""
    asset_keys: tuple[str, ...] = ()
    """Keys of the item's assets that are read, in order."""
    properties: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Properties of the item, to group and order scenes by."""

    @property
    def order(self) -> tuple[datetime, str]:
        """Canonical order of scenes: by time, then id; never by arrival."""
        return self.acquired, self.id


@dataclass(frozen=True)
class SceneSet:
    """Scenes in canonical order, and those left out."""

    scenes: tuple[Scene, ...]
    left_out: tuple[LeftOut, ...] = field(default=())


def find_asset(item: ItemLike, sensor: Sensor, name: str) -> str:
    """Give the key of the asset that holds a band, asked for by role name, asset key or the agency's name.

    Raises
    ------
    NotFoundError
        If the sensor has no such band, or the item does not offer it.
    """
    sensor.layer(name)
    return find_band(to_item(item), name, sensor).key


def local_path(item: ItemLike, key: str) -> Path:
    """Give the local file of an asset, which must lie below the folder of its item.

    Raises
    ------
    AssetError
        If the asset is remote, or the file is not there.
    HostileInputError
        If the href leaves the item's folder.
    """
    return local_file(to_item(item), key)


def local_folder(item: ItemLike, key: str) -> Path:
    """Give the local folder of an asset that is one (Zarr); as :func:`local_path`."""
    return local_file(to_item(item), key, folder=True)


def read_scene(item: ItemLike, bands: Sequence[str], *, mask: bool | str | MaskRule | None) -> Scene:
    """Read one item; as :func:`read_scenes`.

    Raises
    ------
    TerraCubeError
        Naming item, asset and field, if the scene cannot be used.
    """
    return _scene(to_item(item), bands, mask, Reading())


def read_scenes(
    items: Any,
    bands: Sequence[str] | None = None,
    *,
    mask: bool | str | MaskRule | None = True,
    on_error: str = "raise",
    headers: str = "auto",
    signer: Signer | None = None,
    given: Given | None = None,
) -> SceneSet:
    """Learn of many items what there is to read, in canonical order.

    Parameters
    ----------
    items
        Items of any shape; see :func:`to_items`.
    bands : sequence of str or None
        Role names, asset keys, common names or the agency's names; a name that no item knows is an error of the call,
        not of a scene. ``None``: all measured bands that every item has.
    mask : True, name of a rule, MaskRule, False or None
        Whether a mask layer is needed, and for which rule; ``True`` is the rule ``clear``.
    on_error : "raise" or "skip"
        With ``"skip"`` an unusable scene is left out, and told in ``left_out``.
    headers : "auto", "always" or "never"
        ``auto`` reads the headers of files on this machine, and of others where the item does not say CRS, transform,
        shape and type. ``never`` believes the items.
    signer : Signer or None
        Who signs addresses when bytes are read; tokens never enter a source.
    given : Given or None
        What the caller says where items are silent or wrong.

    Raises
    ------
    ConflictError
        If two items of a collection have one id: which of them is meant cannot be told.
    NotFoundError
        If no item has such a band.
    TerraCubeError
        Why a scene cannot be used, unless it is skipped.
    """
    for name, value, known in (("errors", on_error, _ON_ERROR), ("headers", headers, _HEADERS)):
        if value not in known:
            raise InputError(f"unknown rule for {name}", expected=" or ".join(known), got=repr(value))
    left_out: list[LeftOut] = []
    views = list(_unique(_views(items, on_error, left_out)))
    names = _names(views, bands)
    reading = Reading(headers, signer, given or Given())
    scenes: list[Scene] = []
    for view in views:
        try:
            scenes.append(_scene(view, names, mask, reading))
        except TerraCubeError as error:
            if on_error == "raise":
                raise
            left_out.append(LeftOut(view.id, str(error)))
    ordered = sorted(scenes, key=lambda scene: (*scene.order, scene.collection))
    return SceneSet(tuple(ordered), tuple(sorted(left_out, key=lambda gone: (gone.id, gone.reason))))


def _views(items: Any, on_error: str, left_out: list[LeftOut]) -> Iterator[ItemView]:
    """Look at each entry; one that is no usable item is told by its number where it is skipped."""
    for number, one in enumerate(each_item(items), start=1):
        try:
            yield to_item(one)
        except TerraCubeError as error:
            if on_error == "raise":
                raise
            left_out.append(LeftOut(f"entry {number}", str(error)))


def _unique(views: Iterable[ItemView]) -> Iterator[ItemView]:
    seen: set[tuple[str, str]] = set()
    for view in views:
        name = (view.collection, view.id)
        if name in seen:
            raise ConflictError("two items have one id", where=f"{view.collection}/{view.id}", todo="give one of them")
        seen.add(name)
        yield view


def _names(views: Sequence[ItemView], bands: Sequence[str] | None) -> tuple[str, ...]:
    """Settle the bands; a name that no item knows is a mistake of the caller."""
    if bands is None:
        return common_bands(views) if views else ()
    if isinstance(bands, str) or not all(isinstance(name, str) for name in bands):
        raise InputError("bands are a list of names", where="bands", got=repr(bands)[:80])
    for name in bands:
        # A sensor raises in its own words, which list what it has.
        if views and not any(offers(view, name, sensor_for(view)) for view in views):
            sensor = sensor_for(views[0])
            if sensor is not None:
                sensor.layer(name)
            raise NotFoundError(
                f"unknown band {name!r}",
                where="bands",
                expected=", ".join(sorted(map(str, views[0].assets))[:40]),
                got=repr(name),
                todo="use an asset key, the name of a band, or its common name",
            )
    return tuple(bands)


def _scene(view: ItemView, bands: Sequence[str], mask: bool | str | MaskRule | None, reading: Reading) -> Scene:
    sensor = sensor_for(view)
    moment, day = acquired(view, reading.given.interval)
    rule = _rule(view, sensor, mask)
    found = {name: find_band(view, name, sensor) for name in bands}
    layer = None if rule is None else _mask_source(view, rule, sensor, reading)
    sources = {name: make_source(view, one, sensor, reading, name=name) for name, one in found.items()}
    keys = [*(one.key for one in found.values()), *([layer.asset] if layer else [])]
    return Scene(view.id, view.collection, moment, day, sources, layer, tuple(keys), view.properties)


def _rule(view: ItemView, sensor: Sensor | None, mask: bool | str | MaskRule | None) -> MaskRule | None:
    if mask is None or mask is False:
        return None
    if isinstance(mask, MaskRule):
        return mask
    if sensor is None:
        raise InputError(
            "no sensor is known for this collection, so no mask rule either",
            where=view.id,
            expected="a collection with a sensor description",
            got=repr(view.collection)[:200],
            todo="give mask=None, or a MaskRule that names the asset",
        )
    return sensor.mask.rule("clear" if mask is True else mask)


def _mask_source(view: ItemView, rule: MaskRule, sensor: Sensor | None, reading: Reading) -> Source:
    found = find_band(view, rule.asset, sensor)
    layer = make_source(view, found, sensor, reading, name=rule.asset)
    whole = rule.threshold is None
    if whole and layer.dtype not in _CLASS_TYPES:
        raise AssetError(
            "the mask layer does not hold classes",
            where=f"{view.id}/{found.key}",
            expected=" or ".join(_CLASS_TYPES),
            got=layer.dtype,
        )
    return layer
