"""Who, when and where of each row of a table, whatever is measured in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from terracube.core.errors import AssetError, MetadataError
from terracube.ingest.insitu.mapping import ColumnRef, Mapping
from terracube.ingest.insitu.numbers import EMPTY, NUMBER, REMARK, Style, read_numbers
from terracube.ingest.insitu.positions import read_dms, to_lonlat
from terracube.ingest.insitu.raw import Cells, Head
from terracube.ingest.insitu.table import Action, Issue, tell
from terracube.ingest.insitu.times import Times, join_clock, join_parts, read_times
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.vocabulary import vocabulary

_MAX_NAME = 200
_DOUBTS = {
    "dst_ambiguous": "an hour that comes twice in the night when clocks are put back; the first is taken",
    "dst_nonexistent": "an hour that does not come in the night when clocks are put forward; read as if they were not",
    "future": "a time to come",
    "too_old": "a time before 1800",
}


@dataclass(frozen=True, slots=True)
class Keys:
    """Arrays of one length: one entry per row of the file."""

    rows: np.ndarray
    """Row of the file, from 1."""
    usable: np.ndarray
    """Whether it has a station and a time."""
    station: pa.Array
    station_name: pa.Array
    time: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    depth: np.ndarray
    replicate: pa.Array
    doubts: dict[str, np.ndarray]
    """Where a time is doubtful, by the name of the test."""
    coarse: dict[str, np.ndarray]
    """Where only a day, or a period, is told, by the name of the test."""
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def key_columns(mapping: Mapping) -> dict[str, ColumnRef]:
    """Give the columns of a mapping that say who, when and where, by the field that names them."""
    time, station, position = mapping.time, mapping.station, mapping.position
    told = {
        "time.column": time.column,
        "time.clock": time.clock,
        "time.zone_column": time.zone_column,
        "station.column": station.column,
        "station.name_column": station.name_column,
        "position.lon": position.lon,
        "position.lat": position.lat,
        "depth.column": mapping.depth.column,
        "replicate_column": mapping.replicate_column,
        **{f"time.parts.{name}": ref for name, ref in time.parts.items()},
    }
    return {name: ref for name, ref in told.items() if ref is not None}


def read_keys(cells: Cells, head: Head, mapping: Mapping, source: str) -> Keys:
    """Read who, when and where of all rows.

    Raises
    ------
    MetadataError
        If station or time are not told at all, or times have no zone.
    AssetError
        If no row has a time.
    """
    return _Reader(cells, head, mapping, source).keys()


@dataclass(frozen=True, slots=True)
class _Reader:
    cells: Cells
    head: Head
    mapping: Mapping
    source: str
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def keys(self) -> Keys:
        blank = self._blank()
        station, name = self._station()
        times = self._times()
        lon, lat = self._position(station, blank)
        return Keys(
            rows=self.cells.rows,
            usable=self._usable(station, times, blank),
            station=station,
            station_name=name,
            time=times.utc,
            lon=lon,
            lat=lat,
            depth=self._depth(blank),
            replicate=self._texts("replicate_column", self.mapping.replicate_column, ""),
            doubts={test: where & ~blank for test, where in times.odd().items() if where.any()},
            coarse=self._coarse(times),
            issues=self.issues,
            notes=self.notes,
        )

    def _blank(self) -> np.ndarray:
        """Rows without anything in the columns that are read."""
        blank = np.ones(len(self.cells.rows), dtype=bool)
        for column in self.cells.columns.values():
            if blank.any():
                blank &= pc.equal(pc.binary_length(pc.utf8_trim_whitespace(column)), 0).to_numpy(zero_copy_only=False)
        return blank

    def _column(self, field: str, ref: ColumnRef) -> pa.Array:
        return self.cells.columns[self.head.find(ref, where=f"{self.source}, {field}")]

    def _texts(self, field: str, ref: ColumnRef | None, constant: str) -> pa.Array:
        if ref is None:
            return pa.repeat(pa.scalar(constant), len(self.cells.rows))
        return pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(self._column(field, ref)), 0, _MAX_NAME)

    def _station(self) -> tuple[pa.Array, pa.Array]:
        told = self.mapping.station
        if told.column is None and not told.constant:
            raise MetadataError(
                "the mapping names no station", where=self.source, expected="station.column or constant"
            )
        station = self._texts("station.column", told.column, told.constant)
        return station, self._texts("station.name_column", told.name_column, told.name)

    def _times(self) -> Times:
        told = self.mapping.time
        zones = None if told.zone_column is None else self._column("time.zone_column", told.zone_column)
        texts, form = self._written_times()
        times = read_times(texts, form=form, zone=told.zone, zones=zones, folds=told.folds)
        if times.zoneless.any() and told.zone is None and not (~times.zoneless & ~np.isnat(times.utc)).any():
            raise MetadataError(
                "times have no zone", where=f"{self.source}, time", got=self._example(texts, times.zoneless),
                todo="say time.zone in the mapping: UTC, Europe/Warsaw, +08:00",
            )  # fmt: skip
        if len(times.utc) and np.isnat(times.utc).all():
            got = self._example(texts, np.ones(len(times.utc), dtype=bool))
            raise AssetError("no row has a time", where=f"{self.source}, time", expected=form, got=got)
        return times

    def _coarse(self, times: Times) -> dict[str, np.ndarray]:
        if "/" not in self.mapping.time.constant:
            return {"day_only": times.day_only} if times.day_only.any() else {}
        self.notes.append(f"only the period {self.mapping.time.constant} is told: its middle stands for it")
        return {"period": np.ones(len(times.utc), dtype=bool)}

    def _written_times(self) -> tuple[pa.Array, str]:
        """Times as texts, and the form they have."""
        told = self.mapping.time
        if told.constant:
            day = pa.repeat(pa.scalar(middle_of(told.constant)), len(self.cells.rows))
            return (
                day if told.clock is None else join_clock(day, self._column("time.clock", told.clock), "iso")
            ), "iso"
        if told.parts:
            style = Style()
            parts = {
                name: read_numbers(self._column(f"time.parts.{name}", ref), style).values
                for name, ref in told.parts.items()
            }
            return join_parts({str(name): values for name, values in parts.items()}), "iso"
        if told.column is None:
            raise MetadataError(
                "the mapping names no time", where=self.source, expected="time.column, parts or constant"
            )
        texts = self._column("time.column", told.column)
        if told.clock is None:
            return texts, told.format
        clocks = self._column("time.clock", told.clock)
        if any(part in told.format for part in ("%H", "%I", "%k", "%X", "%c")):
            return join_clock(texts, clocks, told.format), told.format
        # The format is that of the date alone: the time of day beside it may be 9:05, 0905 or 09:05:00.
        days = read_times(texts, form=told.format)
        dates = pa.array(np.datetime_as_string(days.utc, unit="D"), pa.string())
        return join_clock(pc.if_else(pa.array(days.day_only), dates, texts), clocks, "iso"), "iso"

    def _usable(self, station: pa.Array, times: Times, blank: np.ndarray) -> np.ndarray:
        nameless = pc.equal(station, "").to_numpy(zero_copy_only=False) & ~blank
        timeless = np.isnat(times.utc) & ~blank & ~nameless
        written = self._written_times()[0]
        self._tell(nameless, "station", "no station", written, "left out")
        self._tell(
            timeless & ~times.zoneless, "time", f"no time of the form {self.mapping.time.format}", written, "left out"
        )
        self._tell(timeless & times.zoneless, "time", "a time whose zone is not known", written, "left out")
        for test, where in times.odd().items():
            self._tell(where & ~nameless & ~blank, "time", _DOUBTS[test], written, "flagged")
        usable = np.asarray(~(blank | nameless | np.isnat(times.utc)))
        if (count := int((usable & times.day_only).sum())) and not self.mapping.time.constant:
            self.notes.append(f"{count} rows tell a day and no time of day: 00:00 stands for the day as written")
        return usable

    def _position(self, station: pa.Array, blank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        told, size = self.mapping.position, len(self.cells.rows)
        x, y = (np.full(size, value) for value in told.constant or (np.nan, np.nan))
        if told.lon is not None and told.lat is not None:
            x = self._coordinate("position.lon", told.lon, blank)
            y = self._coordinate("position.lat", told.lat, blank)
        if told.stations:
            coded = station.dictionary_encode()
            places = [told.stations.get(name, (np.nan, np.nan)) for name in coded.dictionary.to_pylist()]
            known = np.array(places, dtype="float64").reshape(-1, 2)[coded.indices.to_numpy()]
            x, y = np.where(np.isnan(x), known[:, 0], x), np.where(np.isnan(y), known[:, 1], y)
        if told.crs is None:
            return x, y
        lon, lat = to_lonlat(x, y, told.crs)
        outside = np.isnan(lon) & np.isfinite(x) & np.isfinite(y)
        self._tell(outside, "position", f"no place of {told.crs}", station, "flagged")
        return lon, lat

    def _coordinate(self, field: str, ref: ColumnRef, blank: np.ndarray) -> np.ndarray:
        if self.mapping.position.style == "dms":
            column = self._column(field, ref)
            values = read_dms(column)
            empty = pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
            self._tell(np.isnan(values) & ~empty, str(ref), "no degrees, minutes and seconds", column, "flagged")
            return values
        return self._number(field, ref, blank)

    def _number(self, field: str, ref: ColumnRef, blank: np.ndarray) -> np.ndarray:
        """A column of numbers; what is none is told and NaN."""
        column = self._column(field, ref)
        found = read_numbers(column, style_of(self.mapping))
        wrong = ~np.isin(found.status, (NUMBER, EMPTY)) & ~blank
        absent = np.isnan(found.values) & (found.status != EMPTY)
        self._tell(wrong & absent, str(ref), "no number", column, "flagged")
        return np.where(np.isin(found.status, (NUMBER, REMARK)), found.values, np.nan)

    def _depth(self, blank: np.ndarray) -> np.ndarray:
        told = self.mapping.depth
        if told.column is None:
            return np.full(len(self.cells.rows), np.nan if told.constant is None else told.constant)
        values = self._number("depth.column", told.column, blank)
        metres = np.asarray(convert(values, told.unit, vocabulary()["water_depth"]))
        return -metres if told.positive == "up" else metres

    def _tell(self, where: np.ndarray, field: str, what: str, column: pa.Array, action: Action) -> None:
        if where.any():
            values = column.filter(pa.array(where)).slice(0, 1001).to_pylist()
            rows = self.cells.rows[where]
            self.issues.extend(tell(self.source, rows, field, what=what, values=values, action=action))

    def _example(self, column: pa.Array, where: np.ndarray) -> str:
        told: list[str] = [text for text in column.filter(pa.array(where)).slice(0, 50).to_pylist() if text]
        return ", ".join(told[:3])[:200]


def style_of(mapping: Mapping, missing: tuple[str | float, ...] = ()) -> Style:
    """How numbers are written in the columns of a table."""
    layout = mapping.layout
    return Style(layout.decimal, layout.thousands, mapping.missing + missing, mapping.not_detected)


def middle_of(period: str) -> str:
    """Give the middle of a period of two ISO dates; a single time as it stands.

    Examples
    --------
    >>> middle_of("2019-08-01/2019-09-30"), middle_of("2019-08-20T10:00Z")
    ('2019-08-31', '2019-08-20T10:00Z')
    """
    start, slash, end = period.partition("/")
    if not slash:
        return period
    try:
        first, last = date.fromisoformat(start.strip()), date.fromisoformat(end.strip())
    except ValueError as error:
        expected = "two dates such as 2019-08-01/2019-09-30"
        raise MetadataError("no period", where="time.constant", expected=expected, got=period[:80]) from error
    return (first + (last - first) / 2).isoformat()
