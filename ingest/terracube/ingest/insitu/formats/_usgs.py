"""What the services of the USGS and the Water Quality Portal share: zones, datums, lists of sites, tables.

References
----------
EPA, Water Quality Exchange (WQX) domain values "Time Zone" and "Horizontal Coordinate Reference System Datum".
USGS, NWISWeb help system, "Codes": tz_cd, dec_coord_datum_cd.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Words
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from terracube.core.errors import AssetError, TerraCubeError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.positions import to_lonlat
from terracube.ingest.insitu.table import TEXT, Issue, tell

#: Zone codes of these services, in hours from UTC; here "CST" is central North America and nothing else.
ZONES: Words[str, float] = {
    "UTC": 0, "GMT": 0, "NST": -3.5, "NDT": -2.5, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5,
    "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "HAST": -10, "HDT": -9, "HADT": -9,
    "SST": -11, "GST": 10, "CHST": 10,
}  # fmt: skip
_DATUMS = {"NAD83": "EPSG:4269", "NAD27": "EPSG:4267", "WGS84": "EPSG:4326", "WGS72": "EPSG:4322"}
_MAX_SITE_FILES, _MAX_SITE_BYTES, _MAX_COLUMNS = 20, 1 << 26, 2000
_MAX_HEADER = 1 << 20
#: Station, name, latitude, longitude, datum in the lists of sites of the portal, old and new.
_SITE_COLUMNS = (
    (
        "MonitoringLocationIdentifier",
        "MonitoringLocationName",
        "LatitudeMeasure",
        "LongitudeMeasure",
        "HorizontalCoordinateReferenceSystemDatumName",
    ),
    (
        "Location_Identifier",
        "Location_Name",
        "Location_Latitude",
        "Location_Longitude",
        "Location_HorzCoordReferenceSystemDatum",
    ),
)
_NWIS_SITE = ("site_no", "station_nm", "dec_lat_va", "dec_long_va", "dec_coord_datum_cd")


@dataclass(slots=True)
class Sites:
    """Where stations lie: by id, a name, longitude and latitude (WGS 84)."""

    places: dict[str, tuple[str, float, float]] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    """Of each station the list that told it."""

    def used(self, stations: Iterable[str]) -> tuple[Path, ...]:
        """Give the lists that told any of these stations."""
        return tuple(sorted({self.files[name] for name in stations if name in self.files}))

    def of(self, stations: pd.Series) -> tuple[pd.Series, np.ndarray, np.ndarray]:
        """Give name, longitude and latitude of each row's station; empty and NaN where it is not listed."""
        codes, ids = pd.factorize(stations)
        told = [self.places.get(str(name), ("", np.nan, np.nan)) for name in ids]
        names = np.array([name for name, _, _ in told], dtype=object)
        lon, lat = (np.array([place[at] for place in told], dtype="float64") for at in (1, 2))
        return pd.Series(names[codes] if len(told) else [], dtype=TEXT), lon[codes], lat[codes]


def offsets(codes: pd.Series) -> pd.Series:
    """Give zone codes as ``-05:00``, empty for what is no code of these services.

    Examples
    --------
    >>> offsets(pd.Series(["CDT", "NST", "?"])).tolist()
    ['-05:00', '-03:30', '']
    """
    told = {
        name: f"{'-' if hours < 0 else '+'}{int(abs(hours)):02d}:{int(abs(hours) % 1 * 60):02d}"
        for name, hours in ZONES.items()
    }
    return codes.str.strip().str.upper().map(told).fillna("")


def positions(lon: Any, lat: Any, datum: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring positions to WGS 84; NaN, and True in the third array, where place or datum is none.

    A position of 0, 0 is none.
    """
    x, y = common.numbers(lon), common.numbers(lat)
    names = np.array([_DATUMS.get(str(name).strip().upper().replace(" ", ""), "") for name in datum], dtype=object)
    good = (
        np.isfinite(x) & np.isfinite(y) & (np.abs(x) <= 180) & (np.abs(y) <= 90) & ((x != 0) | (y != 0)) & (names != "")
    )
    east, north = np.full(len(x), np.nan), np.full(len(x), np.nan)
    for name in sorted(set(names[good])):
        here = good & (names == name)
        east[here], north[here] = to_lonlat(x[here], y[here], name)
    lost = ~(np.isfinite(east) & np.isfinite(north))
    return np.where(lost, np.nan, east), np.where(lost, np.nan, north), lost


def sites_beside(path: Path) -> Sites:
    """Read the lists of sites that lie beside a file: those with "site" or "station" in their names."""
    found = Sites()
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file() and entry.name != path.name)
    except OSError:
        return found
    likely = [name for name in names if "site" in name.lower() or "station" in name.lower()]
    for name in likely[:_MAX_SITE_FILES]:
        try:
            _add_sites(found, path.with_name(name))
        except TerraCubeError:  # no list of sites: another file of that name
            continue
    return found


def is_site_list(header: str) -> bool:
    """Tell whether a row of names is that of a list of sites of the portal, which results may also hold."""
    return any(all(name in header for name in columns) for columns in _SITE_COLUMNS)


def _add_sites(found: Sites, path: Path) -> None:
    text = common.text_head(path, 1 << 16)
    if text.startswith("#") or "\tsite_no\t" in text[:2000]:
        for table in rdb_tables(common.read_lines(path, limit=_MAX_SITE_BYTES)[0]):
            if set(_NWIS_SITE) <= set(table.columns):
                agency = table["agency_cd"] + "-" if "agency_cd" in table.columns else "USGS-"
                add_sites(found, path, table.assign(site_no=agency + table["site_no"]), _NWIS_SITE)
        return
    for columns in _SITE_COLUMNS:
        if all(name in text.split("\n", 1)[0] for name in columns):
            table, _ = read_table(path, columns, limit=_MAX_SITE_BYTES)
            add_sites(found, path, table, columns)


def add_sites(found: Sites, path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Add the sites of a table; the first that tells a station counts."""
    one = table[list(columns)].drop_duplicates(subset=columns[0])
    ids, names, lat, lon, datum = (one[name].astype(object).tolist() for name in columns)
    east, north, lost = positions(lon, lat, datum)
    for number, station in enumerate(map(str, ids)):
        if lost[number]:
            value = f"{station}: {lat[number]}, {lon[number]} {datum[number]}"
            found.issues.append(
                Issue(path.name, None, columns[2], "no position, or of unknown datum", value[:200], "flagged")
            )
        if station not in found.places:
            found.places[station] = str(names[number]), float(east[number]), float(north[number])
            found.files[station] = path


def read_table(
    path: Path, columns: Sequence[str], mapping: Mapping | None = None, *, limit: int = common.MAX_TEXT_BYTES
) -> tuple[pd.DataFrame, list[Issue]]:
    """Read chosen columns of a comma or tab separated file as texts, with the row of the file in ``row``.

    Columns that the file has not are not there; rows with another number of fields are told and left out.

    Raises
    ------
    AssetError
        If the file is no such table.
    """
    content, _ = common.read_text(path, mapping, limit=limit)
    first = content[:_MAX_HEADER].split(b"\n", 1)[0].decode("utf-8", errors="replace")
    delimiter = "\t" if first.count("\t") > first.count(",") else ","
    header = [name.strip().strip('"') for name in first.split(delimiter)]
    wanted = [name for name in dict.fromkeys(columns) if header.count(name) == 1]
    if not wanted or len(header) > _MAX_COLUMNS:
        raise AssetError("a table without the columns that are needed", where=str(path), got=first[:200])
    bad: list[tuple[int, str]] = []

    def handle(row: Any) -> str:
        bad.append((row.number or 0, row.text or ""))
        return "skip"

    try:
        read = pyarrow.csv.read_csv(
            io.BytesIO(content),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=header, skip_rows=1),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=handle
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, ValueError, KeyError, UnicodeError) as error:
        raise AssetError("a table that cannot be read", where=str(path), got=str(error)[:200]) from error
    frame = pd.DataFrame({name: pd.Series(read.column(name).to_pylist(), dtype=object).str.strip() for name in wanted})
    rows = np.arange(2, 2 + len(frame) + len(bad))
    frame["row"] = rows[~np.isin(rows, [number for number, _ in bad])][: len(frame)]
    what = f"the row has not {len(header)} fields"
    numbers, values = [number for number, _ in bad], [value for _, value in bad]
    return frame, tell(path.name, numbers, "row", what=what, values=values, action="left out")


def rdb_tables(lines: list[str]) -> list[pd.DataFrame]:
    """Give the tables of an RDB text: names, a row of widths (``5s 15s 10d``), rows; ``row`` is the line of the file.

    Rows of another number of fields are kept as they are in ``attrs["bad"]``.
    """
    tables: list[pd.DataFrame] = []
    header: list[str] | None = None
    rows: list[tuple[int, list[str]]] = []
    bad: list[tuple[int, str]] = []

    def close() -> None:
        if header is not None:
            frame = pd.DataFrame([parts for _, parts in rows], columns=header, dtype=object)
            frame["row"] = np.array([number for number, _ in rows], dtype="int64")
            frame.attrs["bad"] = list(bad)
            tables.append(frame)

    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if "site_no" in parts and len(set(parts)) == len(parts) <= _MAX_COLUMNS and "row" not in parts:
            close()
            header, rows, bad = parts, [], []
        elif header is None or _is_widths(parts):
            continue
        elif len(parts) == len(header):
            rows.append((number, parts))
        else:
            bad.append((number, line))
    close()
    return tables


def _is_widths(parts: list[str]) -> bool:
    return all(len(part) > 1 and part[-1] in "snd" and part[:-1].isdigit() for part in parts)
