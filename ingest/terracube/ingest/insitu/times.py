"""Times as files write them, made UTC: texts, serial days of spreadsheets, columns of numbers, local times.

A time that is not certain is kept and flagged, never moved in silence: the hour that an autumn night has twice, the
hour that a spring night has not, a day without a time of day, a day to come. What is no time at all is
told and left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from terracube.core.errors import MetadataError
from terracube.ingest.insitu.zones import find_zone, to_utc

__all__ = ["OLDEST", "Times", "find_zone", "from_serials", "join_clock", "join_parts", "read_times"]

_DATE = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"\d{2}:?\d{2}(?::?\d{2}(?:[.,]\d{1,9})?)?"
_ZONE = r"(?:Z|z|[+-]\d{2}(?::?\d{2})?)"
_ISO = rf"^{_DATE}(?:[T ]{_CLOCK}\s?{_ZONE}?)?$"
_PLAIN_ISO = rf"^{_DATE}(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,6}})?)?)?$"
_NAT = np.datetime64("NaT", "us")
_DAY = np.timedelta64(86_400_000_000, "us")
#: Spreadsheet days run from 1 (1900-01-01) to 2958465 (9999-12-31).
_LAST_SERIAL = 2_958_465.999999
_EARLIEST, _LATEST = np.datetime64("1677-09-22", "us"), np.datetime64("2262-04-10", "us")
#: Measurements of water and ground are not older.
OLDEST = np.datetime64("1800-01-01", "us")


@dataclass(frozen=True, slots=True)
class Times:
    """What was made of a column of times; all arrays have its length."""

    utc: np.ndarray
    """datetime64[us]; NaT where it is no time."""
    day_only: np.ndarray
    """No time of day: ``utc`` is 00:00 of the day as written, in no zone."""
    ambiguous: np.ndarray
    """The hour that comes twice; the first of the two is taken."""
    nonexistent: np.ndarray
    """The hour that is left out in spring; read as if the clock had not been put forward."""
    zoneless: np.ndarray
    """A time of day, and no zone in the cell, the file or the mapping: ``utc`` is NaT."""

    def odd(self, now: datetime | None = None) -> dict[str, np.ndarray]:
        """Give what makes a time doubtful, by the name of the test: where it is so."""
        moment = np.datetime64((now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None), "us")
        with np.errstate(invalid="ignore"):
            future, old = self.utc > moment + _DAY, self.utc < OLDEST
        return {"dst_ambiguous": self.ambiguous, "dst_nonexistent": self.nonexistent, "future": future, "too_old": old}


def read_times(
    cells: pa.Array | pa.ChunkedArray,
    *,
    form: str = "iso",
    zone: str | None = None,
    zones: pa.Array | None = None,
    folds: Literal["flag", "first", "second"] = "flag",
) -> Times:
    """Read a column of texts as times.

    Parameters
    ----------
    cells : pyarrow string array
        Null counts as empty.
    form : str
        ``iso``, ``excel``, ``excel1904``, ``unix``, or a format as of strptime. Cells in ISO 8601 are read whatever it
        says: they cannot be misread.
    zone : str, optional
        Zone of what is written without one: a name, ``UTC`` or ``+08:00``.
    zones : pyarrow string array, optional
        Zone per cell, before ``zone``.
    folds : str
        What to do with the hour that comes twice.

    Raises
    ------
    MetadataError
        If ``zone`` is no zone or ``form`` is no format.

    Examples
    --------
    >>> found = read_times(pa.array(["2020-07-01 12:00", "2020-01-01"]), zone="Europe/Warsaw")
    >>> found.utc.tolist(), found.day_only.tolist()
    ([datetime.datetime(2020, 7, 1, 10, 0), datetime.datetime(2020, 1, 1, 0, 0)], [False, True])
    """
    texts = pc.fill_null(pc.utf8_trim_whitespace(_whole(cells).cast(pa.string())), "")
    local, offset, day_only = _written(texts, form)
    return _placed(local, offset, day_only, zone=zone, zones=zones, folds=folds)


def join_clock(dates: pa.Array, clocks: pa.Array, form: str) -> pa.Array:
    """Put the date and the time of day of two columns into one text, as ``form`` says.

    ISO dates take a "T"; an empty time of day leaves the day alone; 930 is 09:30.
    """
    clock = pc.fill_null(pc.utf8_trim_whitespace(clocks.cast(pa.string())), "")
    if form == "iso":
        clock = pc.replace_substring_regex(clock, r"^(\d):", r"0\1:")
        clock = pc.replace_substring_regex(clock, r"^(\d)(\d{2})$", r"0\1\2")
        date = pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(dates.cast(pa.string())), 0, 10)
        return pc.if_else(pc.equal(clock, ""), date, pc.binary_join_element_wise(date, clock, "T"))
    return pc.utf8_trim_whitespace(pc.binary_join_element_wise(dates.cast(pa.string()), clock, " "))


def join_parts(parts: dict[str, np.ndarray]) -> pa.Array:
    """Write columns of year, month, day (and hour, minute, second) as ISO texts; what is no date is an empty text."""
    size = len(parts["year"])
    fields = {name: parts.get(name, np.zeros(size)) for name in ("year", "month", "day", "hour", "minute", "second")}
    whole = np.ones(size, dtype=bool)
    for name, values in fields.items():
        whole &= np.isfinite(values) & ((values == np.floor(values)) | (name == "second"))
    kept = pd.DataFrame({name: np.where(whole, values, 1) for name, values in fields.items()})
    in_range = whole & kept.year.between(1678, 2261) & kept.month.between(1, 12) & kept.day.between(1, 31)
    in_range &= kept.hour.between(0, 24) & kept.minute.between(0, 59) & kept.second.between(0, 59.999999)
    kept[~in_range] = [1900, 1, 1, 0, 0, 0]
    dates = kept[["year", "month", "day"]].astype("int64")
    texts = _padded(dates.year, 4) + "-" + _padded(dates.month, 2) + "-" + _padded(dates.day, 2)
    if "hour" in parts:
        texts += "T" + _padded(kept.hour.astype("int64"), 2) + ":" + _padded(kept.minute.astype("int64"), 2)
        texts += ":" + kept.second.map("{:09.6f}".format)
    return pa.array(texts.where(in_range, ""), pa.string())


def from_serials(days: np.ndarray, *, of_1904: bool = False) -> np.ndarray:
    """Turn serial days of a spreadsheet into datetime64[us], rounded to the millisecond; NaT if out of range.

    Day 60 of the 1900 system is 29 February 1900, which never was: it is NaT (ECMA-376, part 1, section 18.17.4.1).

    Examples
    --------
    >>> from_serials(np.array([1, 59, 60, 61, 43697.5])).astype(str).tolist()
    ['1900-01-01T00:00:00.000000', '1900-02-28T00:00:00.000000', 'NaT', '1900-03-01T00:00:00.000000',
     '2019-08-20T12:00:00.000000']
    """
    serials = np.asarray(days, dtype="float64")
    first = 0.0 if of_1904 else 1.0
    known = np.isfinite(serials) & (serials >= first) & (serials <= _LAST_SERIAL)
    if not of_1904:
        known &= np.floor(serials) != 60
    kept = np.where(known, serials, 61.0)
    origin = np.datetime64("1904-01-01" if of_1904 else "1899-12-30", "us")
    moved = kept + (0.0 if of_1904 else np.where(kept < 60, 1.0, 0.0))
    milliseconds = np.rint(moved * 86_400_000).astype("int64")
    result = origin + (milliseconds * 1000).astype("timedelta64[us]")
    return np.where(known, result, _NAT)


def _padded(values: pd.Series, width: int) -> pd.Series:
    return values.astype(str).str.zfill(width)


def _whole(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells


def _written(texts: pa.Array, form: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time as written, the shift from UTC that stands with it in minutes (NaN: none), and whether it is a day only."""
    size = len(texts)
    local = np.full(size, _NAT, dtype="datetime64[us]")
    shift, day_only = np.full(size, np.nan), np.zeros(size, dtype=bool)
    iso = pc.match_substring_regex(texts, _ISO).to_numpy(zero_copy_only=False)
    if iso.any():
        local[iso], shift[iso], day_only[iso] = _iso(texts.filter(pa.array(iso)))
    rest = ~iso & pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
    if rest.any() and form != "iso":
        local[rest], shift[rest], day_only[rest] = _by_form(texts.filter(pa.array(rest)), form)
    outside = (local < _EARLIEST) | (local > _LATEST)
    local[outside] = _NAT
    return local, shift, day_only


def _iso(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ISO 8601: a date, a time of day that may be 24:00, a shift; most columns are written in one plain way."""
    size = len(texts)
    if pc.all(pc.match_substring_regex(texts, _PLAIN_ISO)).as_py():
        try:
            local = pc.cast(texts, pa.timestamp("us")).to_numpy(zero_copy_only=False)
            day_only = pc.equal(pc.binary_length(texts), 10).to_numpy(zero_copy_only=False)
            return local.astype("datetime64[us]"), np.full(size, np.nan), day_only
        except pa.ArrowInvalid:  # a 30th of February: one by one
            pass
    return _any_iso(texts)


def _any_iso(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    date = pc.utf8_slice_codeunits(texts, 0, 10)
    zone = pc.replace_substring_regex(texts, rf"^{_DATE}(?:[T ]{_CLOCK})?\s?", "")
    clock = pc.replace_substring_regex(pc.utf8_slice_codeunits(texts, 11, 60), rf"\s?{_ZONE}$", "")
    clock = pc.replace_substring(pc.replace_substring(clock, ":", ""), ",", ".")
    bare = pc.equal(clock, "").to_numpy(zero_copy_only=False)
    midnight = pc.match_substring_regex(clock, r"^2400(00(\.0*)?)?$").to_numpy(zero_copy_only=False)
    clock = pc.if_else(pa.array(bare | midnight), pa.scalar("000000"), clock)
    local = _dates(date) + _clocks(clock)
    return np.where(midnight, local + _DAY, local), _shifts(zone), bare


def _dates(texts: pa.Array) -> np.ndarray:
    days = pd.to_datetime(pd.Series(texts.to_pandas()), format="%Y-%m-%d", errors="coerce")
    return days.to_numpy().astype("datetime64[us]")


def _clocks(texts: pa.Array) -> np.ndarray:
    """HHMM or HHMMSS.ffffff as timedelta64[us]; NaT if there is none. A 60th second is the next minute."""

    def part(start: int, stop: int) -> np.ndarray:
        digits = pc.utf8_slice_codeunits(texts, start, stop)
        filled = pc.if_else(pc.equal(digits, ""), pa.scalar("0"), digits)
        return np.asarray(pc.cast(filled, pa.float64()).to_numpy(zero_copy_only=False))

    hours, minutes, seconds = part(0, 2), part(2, 4), part(4, 16)
    fits = (hours < 24) & (minutes < 60) & (seconds < 61)
    total = np.rint(np.where(fits, (hours * 60 + minutes) * 60 + seconds, 0) * 1e6).astype("int64")
    return np.where(fits, total.astype("timedelta64[us]"), np.timedelta64("NaT", "us"))


def _shifts(zones: pa.Array) -> np.ndarray:
    """Minutes from UTC of "Z", "+02", "+0530", "-05:00"; NaN of an empty text."""
    coded = zones.dictionary_encode()
    told = []
    for text in coded.dictionary.to_pylist():
        digits = text[1:].replace(":", "").ljust(4, "0")
        minutes = 0 if text in ("", "Z", "z") else int(digits[:2]) * 60 + int(digits[2:])
        told.append(np.nan if text == "" else float(-minutes if text[0] == "-" else minutes))
    return np.asarray(np.array(told, dtype="float64")[coded.indices.to_numpy()])


def _by_form(texts: pa.Array, form: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = len(texts)
    none, no = np.full(size, np.nan), np.zeros(size, dtype=bool)
    if form in ("excel", "excel1904", "unix"):
        numbers = pd.to_numeric(pd.Series(texts.to_pandas()), errors="coerce").to_numpy(dtype="float64")
        if form == "unix":
            fits = np.abs(numbers) < 9e9
            moments = np.rint(np.where(fits, numbers, 0) * 1e6).astype("int64").astype("datetime64[us]")
            return np.where(fits, moments, _NAT), np.where(fits, 0.0, np.nan), no
        # Midnight among times of day is a time too; whole numbers throughout are days.
        whole = np.full(size, bool((numbers[np.isfinite(numbers)] % 1 == 0).all()))
        return from_serials(numbers, of_1904=form == "excel1904"), none, whole
    return _strptime(texts, form)


def _strptime(texts: pa.Array, form: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    told = pd.Series(texts.to_pandas())
    zoned = "%z" in form
    try:
        read = pd.to_datetime(told, format=form, errors="coerce", utc=zoned)
    except (ValueError, OverflowError, re.error) as error:
        raise MetadataError(
            "no format of times", where="time.format", got=form, expected="such as %d.%m.%Y %H:%M"
        ) from error
    local = read.dt.tz_localize(None) if zoned else read
    local_us = local.to_numpy().astype("datetime64[us]")
    day_only = np.full(len(told), not _has_clock(form))
    shift = np.where(np.isnat(local_us) | (not zoned), np.nan, 0.0)
    rest, bare = np.isnat(local_us), re.split(r"[ T_,]*%[HI]", form)[0]
    if rest.any() and bare and bare != form and not _has_clock(bare):
        # A day among times: the lab knew the day and no more.
        days = pd.to_datetime(told[rest], format=bare, errors="coerce").to_numpy().astype("datetime64[us]")
        local_us[rest], day_only[rest] = days, ~np.isnat(days)
    return local_us, shift, day_only


def _has_clock(form: str) -> bool:
    return re.search(r"%[HIMScXT]", form) is not None


def _placed(
    local: np.ndarray,
    shift: np.ndarray,
    day_only: np.ndarray,
    *,
    zone: str | None,
    zones: pa.Array | None,
    folds: str,
) -> Times:
    """Bring times as written to UTC."""
    utc = local.copy()
    shifted = np.isfinite(shift)
    utc[shifted] -= (shift[shifted] * 60_000_000).astype("int64").astype("timedelta64[us]")
    open_ = ~shifted & ~day_only & ~np.isnat(local)
    twice, never = np.zeros(len(local), dtype=bool), np.zeros(len(local), dtype=bool)
    codes, names = _names(zone, zones, len(local))
    for code, name in enumerate(names):
        chosen = open_ & (codes == code)
        found = _zone_or_none(name)
        if found is None:
            utc[chosen] = _NAT
        else:
            utc[chosen], twice[chosen], never[chosen] = to_utc(local[chosen], found, second=folds == "second")
    zoneless = open_ & np.isnat(utc)
    return Times(utc, day_only & ~np.isnat(local), twice & (folds == "flag"), never, zoneless)


def _names(zone: str | None, zones: pa.Array | None, size: int) -> tuple[np.ndarray, list[str]]:
    """Zones there are, and which of them each cell has; an empty name where none is told."""
    if zone is not None:
        find_zone(zone)  # a zone of the mapping must be one; of a cell it may fail alone
    if zones is None:
        return np.zeros(size, dtype="int32"), [zone or ""]
    coded = pc.fill_null(pc.utf8_trim_whitespace(zones.cast(pa.string())), "").dictionary_encode()
    return coded.indices.to_numpy(), [name or zone or "" for name in coded.dictionary.to_pylist()]


def _zone_or_none(name: str) -> tzinfo | None:
    try:
        return find_zone(name)
    except MetadataError:
        return None
