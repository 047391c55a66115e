"""One canonical search: what a user may write, turned once into values that every store understands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from terracube.core.errors import InputError
from terracube.stac._time import read_rfc3339

Operator = Literal["<", "<=", ">", ">=", "=", "!="]
BBox = tuple[float, float, float, float]
Interval = tuple[datetime | None, datetime | None]

_MAX_TEXT = 1000
_MAX_FILTERS = 50
_PROPERTY = re.compile(r"[A-Za-z0-9_:.-]+")
_FILTER = re.compile(r"\s*([A-Za-z0-9_:.-]+)\s*(<=|>=|!=|<|>|=)\s*(\S.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_PERIOD = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_LAST = timedelta(microseconds=1)


@dataclass(frozen=True)
class Filter:
    """A comparison of one item property with one value.

    An item that lacks the property, or holds a value of another type there, never matches, whatever the operator.

    Examples
    --------
    >>> str(Filter("eo:cloud_cover", "<", 60.0))
    'eo:cloud_cover<60.0'
    """

    property: str
    """Name below ``properties`` of the item, such as ``eo:cloud_cover``."""
    operator: Operator
    """How to compare; text is compared by code point, booleans only with ``=`` and ``!=``."""
    value: float | str | bool
    """What to compare with."""

    def __post_init__(self) -> None:
        if not _PROPERTY.fullmatch(self.property) or len(self.property) > _MAX_TEXT:
            raise _bad_filter("a filter names no property", self.property, "letters, digits and '_', ':', '.', '-'")
        if self.operator not in get_args(Operator):
            raise _bad_filter("a filter has no known operator", self.operator, " ".join(get_args(Operator)))
        if isinstance(self.value, bool):
            if self.operator not in ("=", "!="):
                raise _bad_filter("true and false have no order", str(self), "= or !=")
        elif isinstance(self.value, str):
            _check_text(self.value, where="filter")
        elif not _is_finite(self.value):
            raise _bad_filter("a filter compares with no finite number", str(self.value), "a finite number")

    def __str__(self) -> str:
        """Write the filter so that :func:`parse_filter` gives it back."""
        return f"{self.property}{self.operator}{json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True)
class Query:
    """A search in canonical form; empty fields do not restrict it. Build it with :func:`to_query`."""

    collections: tuple[str, ...] = ()
    """Ids of collections to look in."""
    bbox: BBox | None = None
    """West, south, east, north in degrees (WGS 84); west > east crosses the antimeridian."""
    start: datetime | None = None
    """First moment (UTC, included); items whose period touches [start, end] match."""
    end: datetime | None = None
    """Last moment (UTC, included)."""
    ids: tuple[str, ...] = ()
    """Ids of items."""
    filters: tuple[Filter, ...] = ()
    """Comparisons that must all hold."""
    limit: int | None = None
    """At most so many items; ``None`` = all. Never changes a count."""

    def __post_init__(self) -> None:
        for text in (*self.collections, *self.ids):
            _check_text(text, where="collections and ids")
        if self.bbox is not None:
            _check_bbox(self.bbox)
        _check_interval(self.start, self.end)
        if len(self.filters) > _MAX_FILTERS:
            raise InputError(
                "too many filters", where="filters", expected=f"<= {_MAX_FILTERS}", got=f"{len(self.filters)}"
            )
        if self.limit is not None and self.limit < 1:
            raise InputError("limit is not positive", where="limit", expected=">= 1", got=str(self.limit))


def to_query(
    *,
    collections: str | Iterable[str] = (),
    bbox: str | Sequence[float] | None = None,
    datetime: str | None = None,
    ids: str | Iterable[str] = (),
    filters: str | Filter | Iterable[str | Filter] = (),
    limit: int | None = None,
) -> Query:
    """Turn what a user wrote into a :class:`Query`.

    Parameters
    ----------
    collections, ids : str or iterable of str
        One or several ids.
    bbox : str or sequence of 4 float
        ``west,south,east,north`` in degrees; see :class:`Query`.
    datetime : str
        A moment, a period or an interval; see :func:`parse_interval`.
    filters : str, Filter or iterable of them
        Such as ``eo:cloud_cover<60``; see :func:`parse_filter`.
    limit : int
        At most so many items.

    Raises
    ------
    InputError
        If any of them is wrong.

    Examples
    --------
    >>> query = to_query(collections="sentinel-2-l2a", bbox="14,46,15,47", datetime="2023-08")
    >>> query.bbox, query.end.isoformat()
    ((14.0, 46.0, 15.0, 47.0), '2023-08-31T23:59:59.999999+00:00')
    """
    start, end = (None, None) if datetime is None else parse_interval(datetime)
    return Query(
        collections=_strings(collections),
        bbox=None if bbox is None else parse_bbox(bbox),
        start=start,
        end=end,
        ids=_strings(ids),
        filters=_filters(filters),
        limit=limit,
    )


def parse_filter(text: str) -> Filter:
    """Read a comparison such as ``eo:cloud_cover<60``.

    A value that reads as a number is one, ``true`` and ``false`` are booleans, everything else is text; text in double
    quotes is a JSON string, so ``platform="60"`` compares with the text 60.

    Raises
    ------
    InputError
        If the property or the operator is missing or malformed, or the value is empty or not finite.

    Examples
    --------
    >>> parse_filter("eo:cloud_cover < 60")
    Filter(property='eo:cloud_cover', operator='<', value=60.0)
    >>> parse_filter("platform=sentinel-2a").value
    'sentinel-2a'
    """
    # A property, an operator and a quoted value of the longest allowed kind, in which every character is escaped.
    longest = 4 * _MAX_TEXT
    found = _FILTER.fullmatch(text) if len(text) <= longest else None
    if not found:
        raise _bad_filter("a filter cannot be read", text, "PROPERTY OPERATOR VALUE, such as eo:cloud_cover<60")
    name, operator, value = found.groups()
    for known in get_args(Operator):
        if operator == known:
            return Filter(name, known, _value(value))
    raise _bad_filter("a filter has no known operator", operator, " ".join(get_args(Operator)))


def parse_interval(text: str) -> Interval:
    """Read a moment, a named period, or an interval of them, into first and last moment (UTC, both included).

    A year, month or day means all of it, up to its last microsecond. ``..`` (or nothing) leaves one end of an interval
    open, given as ``None``. Times need an offset, ``Z`` or ``+02:00``.

    Raises
    ------
    InputError
        If it cannot be read, has no time zone, is open at both ends, or ends before it starts.

    Examples
    --------
    >>> [str(end) for end in parse_interval("2023-08")]
    ['2023-08-01 00:00:00+00:00', '2023-08-31 23:59:59.999999+00:00']
    >>> [str(end) for end in parse_interval("2023-08-01T00:00:00Z/..")]
    ['2023-08-01 00:00:00+00:00', 'None']
    """
    parts = [part.strip() for part in text[: _MAX_TEXT + 1].split("/")]
    if len(parts) == 1:
        return _period(parts[0])
    ends = [part not in ("", "..") for part in parts]
    if len(parts) != 2 or not any(ends):
        raise _bad_time(text)
    start = _period(parts[0])[0] if ends[0] else None
    end = _period(parts[1])[1] if ends[1] else None
    _check_interval(start, end)
    return start, end


def parse_bbox(value: str | Sequence[float]) -> BBox:
    """Read ``west,south,east,north`` in degrees, as text or as four numbers.

    Raises
    ------
    InputError
        If there are not four finite numbers, one is out of range, the box is empty, or south is above north.

    Examples
    --------
    >>> parse_bbox("14, 46, 15, 47")
    (14.0, 46.0, 15.0, 47.0)
    """
    parts: Sequence[object] = value.split(",") if isinstance(value, str) else list(value)
    if len(parts) != 4:
        raise _bad_bbox("a bounding box has not four numbers", value)
    try:
        west, south, east, north = (float(str(part)) for part in parts)
    except ValueError as error:
        raise _bad_bbox("a bounding box holds something that is no number", value) from error
    bbox = (west, south, east, north)
    _check_bbox(bbox)
    return bbox


def split_bbox(bbox: BBox) -> tuple[BBox, ...]:
    """Cut a box that crosses the antimeridian (west > east) into its two halves; leave any other whole.

    Examples
    --------
    >>> split_bbox((170.0, -20.0, -170.0, -10.0))
    ((170.0, -20.0, 180.0, -10.0), (-180.0, -20.0, -170.0, -10.0))
    """
    west, south, east, north = bbox
    if west <= east:
        return (bbox,)
    return (west, south, 180.0, north), (-180.0, south, east, north)


def _check_bbox(bbox: BBox) -> None:
    west, south, east, north = bbox
    if not all(math.isfinite(edge) for edge in bbox):
        raise _bad_bbox("a bounding box holds a number that is not finite", bbox)
    if max(abs(south), abs(north)) > 90 or max(abs(west), abs(east)) > 180:
        raise _bad_bbox("a bounding box leaves the globe", bbox)
    if south > north:
        raise _bad_bbox("a bounding box has its south above its north", bbox)
    if south == north or west == east:
        raise _bad_bbox("a bounding box is empty", bbox)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _check_interval(start: datetime | None, end: datetime | None) -> None:
    if any(moment is not None and moment.tzinfo is None for moment in (start, end)):
        raise InputError("a time has no time zone", where="datetime", expected="a time with its zone, best UTC")
    if start is not None and end is not None and start > end:
        raise InputError(
            "the interval ends before it starts",
            where="datetime",
            expected="start <= end",
            got=f"{start.isoformat()} / {end.isoformat()}",
            todo="swap the two ends",
        )


def _check_text(text: str, *, where: str) -> None:
    if not text or len(text) > _MAX_TEXT or not text.isprintable():
        raise InputError(
            "a text is empty, too long or holds characters that cannot be printed",
            where=where,
            expected=f"1 to {_MAX_TEXT} printable characters",
            got=repr(text[:80]),
        )


def _period(text: str) -> tuple[datetime, datetime]:
    try:
        named = _PERIOD.fullmatch(text)
        if not named:
            moment = read_rfc3339(text)
            return moment, moment
        year, month, day = (None if part is None else int(part) for part in named.groups())
        start = datetime(year or 0, month or 1, day or 1, tzinfo=UTC)
        return start, _last_moment(start, month, day)
    except ValueError as error:
        raise _bad_time(text) from error


def _last_moment(start: datetime, month: int | None, day: int | None) -> datetime:
    if day is not None:
        return start.replace(hour=23, minute=59, second=59, microsecond=999999)
    if month is None or month == 12:
        return start.replace(month=12, day=31, hour=23, minute=59, second=59, microsecond=999999)
    return start.replace(month=month + 1) - _LAST


def _value(text: str) -> float | str | bool:
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.startswith('"'):
        return _quoted(text)
    if text[0] in "<>=!":
        raise _bad_filter("a filter has two operators", text, "one operator; quote a text that starts with one")
    return text


def _quoted(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _bad_filter("a quoted text cannot be read", text, 'a JSON string such as "a b"') from error
    return str(value)


def _strings(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _filters(value: str | Filter | Iterable[str | Filter]) -> tuple[Filter, ...]:
    given = [value] if isinstance(value, str | Filter) else list(value)
    return tuple(parse_filter(one) if isinstance(one, str) else one for one in given)


def _bad_filter(what: str, got: str, expected: str) -> InputError:
    return InputError(what, where="filter", expected=expected, got=repr(got[:80]))


def _bad_bbox(what: str, got: object) -> InputError:
    return InputError(
        what,
        where="bbox",
        expected="west,south,east,north in degrees, -180..180 and -90..90, south < north",
        got=str(got)[:120],
    )


def _bad_time(text: str) -> InputError:
    return InputError(
        "a date or interval cannot be read",
        where="datetime",
        expected="2023, 2023-08, 2023-08-15, 2023-08-15T10:00:00Z, or two with / between; .. leaves one end open",
        got=repr(text[:80]),
    )
