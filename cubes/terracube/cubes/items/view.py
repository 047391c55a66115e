"""Items of any shape become one small value: pystac items, plain dictionaries of STAC 1.0 and 1.1, or their like."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pystac

from terracube.core.errors import InputError, MetadataError
from terracube.core.files import is_remote

_HALF_TURN, _TURN = 180.0, 360.0
# Points of a footprint that are looked at; one with more is no footprint of a scene.
_MAX_POINTS = 100_000
# What nanoseconds count in 64 bits, less half a day at either end for the solar day.
_FIRST, _LAST = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 4, 11, tzinfo=UTC)
_MAX_NAME = 1024
_INTERVALS = ("refuse", "start", "middle")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ItemView:
    """What is asked of an item; nothing of it is trusted yet."""

    id: str
    collection: str
    """Empty where the item names none."""
    datetime: Any
    """As the item has it: text, or a datetime."""
    bbox: Any
    properties: Json
    assets: Mapping[str, Json]
    """As JSON has them."""
    base: str = ""
    """Where the item lies: an absolute path, or a URL; empty where it does not say."""
    geometry: Any = field(default=None, repr=False)

    @property
    def folder(self) -> Path | None:
        """The folder of an item that lies on this machine."""
        return Path(self.base).parent if self.base and "://" not in self.base else None

    @property
    def platform(self) -> str:
        """Name of the platform, empty where the item names none."""
        told = self.properties.get("platform", self.properties.get("eo:platform"))
        return told if isinstance(told, str) else ""


def to_items(items: Any) -> list[ItemView]:
    """Accept items of any shape.

    Parameters
    ----------
    items
        A pystac item, an ItemCollection, a search of pystac-client, a dictionary (an item or a FeatureCollection), or
        anything iterable that holds items or dictionaries of items.

    Raises
    ------
    InputError
        If something is no STAC item.

    Examples
    --------
    >>> feature = {"type": "Feature", "id": "a", "properties": {}, "assets": {}}
    >>> [view.id for view in to_items({"type": "FeatureCollection", "features": [feature]})]
    ['a']
    """
    return [to_item(one) for one in each_item(items)]


def each_item(items: Any) -> Iterable[Any]:
    """Go through items of any shape one by one, without looking at them; as :func:`to_items`."""
    if isinstance(items, pystac.Item | ItemView):
        return [items]
    if isinstance(items, Mapping):
        features = items.get("features")
        return features if items.get("type") == "FeatureCollection" and isinstance(features, list) else [items]
    if hasattr(items, "item_collection"):  # a search, which asks its server only when it is iterated
        found: Iterable[Any] = items.items()
        return found
    if isinstance(items, str | bytes | Path | pystac.Catalog) or not isinstance(items, Iterable):
        raise InputError(
            "these are no STAC items",
            where="items",
            expected="items, an ItemCollection, dictionaries, or an iterable of them",
            got=type(items).__name__,
            todo="read a file with pystac.Item.from_file, take the items of a catalogue with get_items",
        )
    return items


def to_item(item: Any) -> ItemView:
    """Accept one item; as :func:`to_items`."""
    if isinstance(item, ItemView):
        return item
    if isinstance(item, pystac.Item):
        return _from_pystac(item)
    if isinstance(item, Mapping) and item.get("type", "Feature") == "Feature":
        name, collection = item.get("id"), item.get("collection")
        if isinstance(name, str) and name and (collection is None or isinstance(collection, str)):
            return _from_json(item, name, collection or "")
    raise InputError(
        "this is no STAC item", where="items", expected="a Feature with an id", got=repr(item)[:80], todo="leave it out"
    )


def _from_pystac(item: pystac.Item) -> ItemView:
    return ItemView(
        _name(item.id, "id"),
        _name(item.collection_id, "collection") if item.collection_id else "",
        _datetime(item),
        item.bbox,
        item.properties,
        {key: _asset(asset) for key, asset in item.assets.items()},
        _base(item.get_self_href()),
        item.geometry,
    )


def _from_json(item: Json, name: str, collection: str) -> ItemView:
    properties = _mapping(item.get("properties"))
    return ItemView(
        _name(name, "id"),
        _name(collection, "collection"),
        properties.get("datetime"),
        item.get("bbox"),
        properties,
        _mapping(item.get("assets")),
        _base(_self_href(item.get("links"))),
        item.get("geometry"),
    )


def _name(told: Any, field: str) -> str:
    """Accept an id as it stands: it goes into errors, reports and attributes, where no line may be forged with it."""
    if isinstance(told, str) and len(told) <= _MAX_NAME and told.isprintable():
        return told
    raise MetadataError(
        f"the {field} of an item is unusable",
        where=f"{field} of an item",
        expected=f"at most {_MAX_NAME} characters, all of them printable",
        got=f"{len(told)} characters, {told[:80]!a}" if isinstance(told, str) else type(told).__name__,
        todo="rename it at its source, or leave the item out",
    )


def _datetime(item: pystac.Item) -> Any:
    """Give the time of an item; where its JSON tells a day alone, which pystac takes for its first moment, that day."""
    told = item.properties.get("datetime")
    alone = isinstance(told, str) and item.datetime is not None and told == item.datetime.date().isoformat()
    return told if alone else item.datetime


def _asset(asset: pystac.Asset) -> dict[str, Any]:
    told = {"title": asset.title, "description": asset.description, "type": asset.media_type, "roles": asset.roles}
    return {**asset.extra_fields, "href": asset.href} | {key: value for key, value in told.items() if value is not None}


def _mapping(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def _self_href(links: Any) -> Any:
    for link in links if isinstance(links, list) else ():
        if isinstance(link, Mapping) and link.get("rel") == "self":
            return link.get("href")
    return None


def _base(href: Any) -> str:
    """Give the self link of an item if it says where the item lies; a relative one does not."""
    if not isinstance(href, str) or "\0" in href:
        return ""
    if href.startswith("file://"):
        return urllib.parse.unquote(href.removeprefix("file://").removeprefix("localhost"))
    return href if is_remote(href) or Path(href).is_absolute() else ""


def acquired(view: ItemView, interval: str = "refuse") -> tuple[datetime, date]:
    """Give the time of an item, UTC, and its solar day.

    Parameters
    ----------
    view : ItemView
    interval : "refuse", "start" or "middle"
        What to take of an item without datetime that has a start and an end. Nothing is taken unless it is asked for.

    Raises
    ------
    MetadataError
        If the item has no date or no bbox, or an unusable one.
    """
    if interval not in _INTERVALS:
        raise InputError("unknown rule for intervals", expected=" or ".join(_INTERVALS), got=repr(interval))
    moment = _moment(view, interval)
    if view.bbox is None:
        raise MetadataError("the item has no bbox", where=view.id, expected="west, south, east, north in degrees")
    try:
        aware = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        _check_range(aware, view)
        return aware, solar_day(aware, longitude_of(view))
    except (OverflowError, TypeError, ValueError) as error:
        raise MetadataError(
            "the item's date or bbox is unusable",
            where=view.id,
            expected="a usual date; west, south, east, north in degrees",
            got=f"{moment}, {view.bbox}"[:200],
        ) from error


def _check_range(moment: datetime, view: ItemView) -> None:
    """Refuse what the time axis of a cube, which counts nanoseconds in 64 bits, cannot hold."""
    if not _FIRST <= moment < _LAST:
        name = "start_datetime" if view.datetime is None else "datetime"
        raise MetadataError(
            "the item's date is unusable: no time axis can hold it",
            where=f"{view.id}, properties.{name}",
            expected="1678 to 2262",
            got=moment.isoformat(),
            todo="correct it in the item",
        )


def _moment(view: ItemView, interval: str) -> datetime:
    if view.datetime is not None:
        return _parse(view.datetime, "datetime", view)
    ends = {name: view.properties.get(name) for name in ("start_datetime", "end_datetime")}
    if interval == "refuse" or None in ends.values():
        told = ", ".join(f"{name} {str(value)[:40]}" for name, value in ends.items() if value is not None)
        raise MetadataError(
            "the item has no date",
            where=f"{view.id}, properties.datetime",
            expected="the time of acquisition",
            got=told or "no start_datetime and no end_datetime either",
            todo="give the item a datetime" + (', or say interval="start" or "middle"' if told else ""),
        )
    start, end = (_parse(value, name, view) for name, value in ends.items())
    try:
        return start if interval == "start" else start + (end - start) / 2
    except (TypeError, OverflowError) as error:  # one with a time zone and one without
        raise MetadataError("the item's interval is unusable", where=view.id, got=str(ends)[:200]) from error


def _parse(value: Any, name: str, view: ItemView) -> datetime:
    if isinstance(value, datetime):
        return value
    # A day alone would be read as its first moment, which at most longitudes is another solar day.
    if isinstance(value, str) and 10 < len(value) < 64:
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise MetadataError(
        "the item has no date",
        where=f"{view.id}, properties.{name}",
        expected="a date and a time of day, like 2023-08-15T09:57:57Z",
        got=repr(value)[:80],
        todo="correct it in the item; it is never guessed",
    )


def solar_day(moment: datetime, longitude: float) -> date:
    """Give the calendar day of a moment at a longitude (degrees east): UTC plus four minutes per degree.

    Examples
    --------
    >>> solar_day(datetime(2023, 8, 14, 23, 30, tzinfo=UTC), 170.0)
    datetime.date(2023, 8, 15)
    """
    return (moment.astimezone(UTC) + timedelta(hours=longitude / 15.0)).date()


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
    return _turned((west + east + (_TURN if west > east else 0.0)) / 2)


def longitude_of(view: ItemView) -> float:
    """Give the middle longitude of an item, in degrees east.

    The boxes of some providers are wrong across the antimeridian: they run from the westernmost to the easternmost
    number, all around the globe. Where a box is wider than half the globe, the footprint is asked.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the box is no box.
    """
    if isinstance(view.bbox, Mapping | str):
        raise TypeError("a box is a list of numbers")
    middle = middle_longitude(view.bbox)
    if view.bbox[len(view.bbox) // 2] - view.bbox[0] <= _HALF_TURN:
        return middle
    found = _middle_of_arc(_longitudes(view.geometry))
    return middle if found is None else found


def _turned(longitude: float) -> float:
    return (longitude + _HALF_TURN) % _TURN - _HALF_TURN


def _longitudes(geometry: Any) -> list[float]:
    places = geometry.get("coordinates") if isinstance(geometry, Mapping) else None
    found = {_turned(place) for place in islice(_places(places), _MAX_POINTS)}
    return sorted(found)


def _places(coordinates: Any) -> Iterator[float]:
    """Go through the longitudes of coordinates, however deep they are nested, without recursion."""
    waiting = [coordinates]
    for _ in range(4 * _MAX_POINTS):
        if not waiting:
            return
        one = waiting.pop()
        if isinstance(one, list | tuple) and one:
            if isinstance(one[0], int | float) and abs(one[0]) <= _TURN:
                yield float(one[0])
            else:
                waiting.extend(one)


def _middle_of_arc(longitudes: list[float]) -> float | None:
    """Give the middle of the arc that holds all longitudes, if one of less than half the globe does."""
    if len(longitudes) < 2:
        return None
    following = [*longitudes[1:], longitudes[0] + _TURN]
    gaps = [after - before for before, after in zip(longitudes, following, strict=True)]
    widest = max(range(len(gaps)), key=gaps.__getitem__)
    if gaps[widest] <= _HALF_TURN:
        return None
    return _turned(following[widest] + (_TURN - gaps[widest]) / 2)
