"""Time zones: what a name means, and UTC of local times with their two odd nights."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from terracube.core.errors import MetadataError

#: Zones of North America and Europe by the letters that stand in tables: hours from UTC. Those that mean two things on
#: earth (IST, BST, CST as China's) are taken only where the mapping names a zone.
_LETTERS = {
    "UTC": 0,
    "GMT": 0,
    "Z": 0,
    "UT": 0,
    "WET": 0,
    "CET": 1,
    "MEZ": 1,
    "MET": 1,
    "CEST": 2,
    "MESZ": 2,
    "MEST": 2,
    "EET": 2,
    "EEST": 3,
    "AST": -4,
    "ADT": -3,
    "EST": -5,
    "EDT": -4,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AKST": -9,
    "AKDT": -8,
    "HST": -10,
    "HDT": -9,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
}


def find_zone(name: str) -> tzinfo:
    """Give the zone that a name means: of the IANA database, a shift such as ``+08:00``, or letters such as ``EST``.

    Raises
    ------
    MetadataError
        If it means none, or more than one.
    """
    text = name.strip()
    shift = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", text)
    if shift and int(shift[2]) <= 14 and int(shift[3] or 0) < 60:
        minutes = int(shift[2]) * 60 + int(shift[3] or 0)
        return timezone(timedelta(minutes=-minutes if shift[1] == "-" else minutes))
    if text.upper() in _LETTERS:
        return timezone(timedelta(hours=_LETTERS[text.upper()]))
    try:
        if "/" in text and len(text) < 60:
            return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _no_zone(name) from error
    raise _no_zone(name)


def to_utc(local: np.ndarray, zone: tzinfo, *, second: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UTC of local times, which of them come twice in that zone, and which of them never come.

    A zone's shift is asked once per day; only on days where it changes is every time asked for. By the rule of folds
    (PEP 495) a time that comes twice has two shifts, the greater one first; one that never comes has the lesser one
    first, which is the clock that was not put forward.
    """
    days, codes = np.unique(local.astype("datetime64[D]"), return_inverse=True)
    begin, end = _two_shifts(days, zone), _two_shifts(days + np.timedelta64(1, "D"), zone)
    steady = (begin[0] == begin[1]) & (begin[0] == end[0]) & (begin[0] == end[1])
    first = begin[0][codes]
    other = first.copy()
    odd = ~steady[codes]
    if odd.any():
        moments, at = np.unique(local[odd], return_inverse=True)
        one, two = _two_shifts(moments, zone)
        first[odd], other[odd] = one[at], two[at]
    twice, never = first > other, first < other
    taken = np.where(twice & second, other, first)
    return local - (taken * 1_000_000).astype("timedelta64[us]"), twice, never


def _two_shifts(moments: np.ndarray, zone: tzinfo) -> tuple[np.ndarray, np.ndarray]:
    """Seconds from UTC at local times, by the first and by the second of two possible clocks."""
    told = [moment.replace(tzinfo=zone) for moment in moments.astype("datetime64[us]").tolist()]
    first = np.array([_seconds(moment) for moment in told], dtype="int64")
    return first, np.array([_seconds(moment.replace(fold=1)) for moment in told], dtype="int64")


def _seconds(moment: datetime) -> int:
    shift = moment.utcoffset()
    return int(shift.total_seconds()) if shift is not None else 0


def _no_zone(name: str) -> MetadataError:
    return MetadataError(
        "no time zone, or more than one of that name",
        where="time zone",
        expected="UTC, Europe/Warsaw, +08:00",
        got=name[:60],
        todo="say the zone in the mapping",
    )
