"""Positions of GNSS stations over time: tenv3 of the Nevada Geodetic Laboratory, and the PBO ``.pos`` series.

Each component is a variable of its own (``gnss_east``, ``gnss_north``, ``gnss_up``), and so is its formal standard
deviation (``gnss_east_std`` ...), because it belongs to the day and not to the method. Displacements are told against
the origin that ``method`` names; correlations and the antenna's height are not kept.

Days are days of GPS time, which runs ahead of UTC by whole seconds (18 since 2017); a daily position stands at noon,
and the seconds are not corrected.

References
----------
Nevada Geodetic Laboratory, "Brief documentation for tenv3 format", columns 1-23 and notes 2-8.
UNAVCO, "GPS station position time series" file format, version 1.1.0 (the description each file carries in its header).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from terracube.core.errors import AssetError, MetadataError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.table import NOT_EVALUATED, SUSPECT, Issue, Observations, join, make, tell

_MAX_BYTES = 1 << 26
_PARTS = ("east", "north", "up")
_TENV3_NAMES = """site day year mjd week weekday meridian e0 east n0 north u0 up antenna
east_std north_std up_std en eu nu lat lon height"""
_TENV3 = tuple(_TENV3_NAMES.split())
_TENV3_ROW = re.compile(r"\S{1,9}\s+\d\d[A-Z]{3}\d\d\s+\d{4}\.\d{3,5}\s+\d{5}\s+\d{3,4}\s+[0-6]\s")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MJD_EPOCH = np.datetime64("1858-11-17T12:00", "us")
#: tenv3, note 7: a standard deviation too large to be written.
_TOO_LARGE = 9.9999
_POS = "PBO Station Position Time Series"
_POS_COLUMNS = {"east": "dE", "north": "dN", "up": "dU", "east_std": "Se", "north_std": "Sn", "up_std": "Su"}


def recognise(path: Path) -> bool:
    """Tell whether a file looks like tenv3 or a PBO position series."""
    text = common.text_head(path)
    return text.startswith(_POS) or _is_tenv3(text.split("\n", 2)[:2])


def read(path: Path, mapping: Mapping | None = None) -> Observations:
    """Read the positions of GNSS stations.

    Parameters
    ----------
    path : Path
        A tenv3 or PBO ``.pos`` file.
    mapping : Mapping, optional
        Who made the data; nothing of the file needs it.

    Returns
    -------
    Observations
        Six variables per epoch, displacements and standard deviations in the canonical unit. ``qc`` is 2, and 3 where
        the standard deviation was too large to be written or the reference meridian changed.

    Raises
    ------
    AssetError
        If the file is neither, or no row of it can be used.
    MetadataError
        If a ``.pos`` file lacks its station, frame, columns or unit.
    """
    lines, notes = common.read_lines(path, mapping, limit=_MAX_BYTES)
    if lines[0].startswith(_POS):
        table, issues = _read_pos(path, lines)
    elif _is_tenv3(lines[:2]):
        table, issues = _read_tenv3(path, lines)
    else:
        expected = "tenv3 or PBO .pos"
        raise AssetError("no series of GNSS positions", where=str(path), expected=expected, got=lines[0][:80])
    if table.empty:
        raise AssetError("no row can be used", where=str(path), got=str(issues[0]) if issues else "no rows")
    return Observations(table, tuple(issues), common.about(mapping), notes)


def _is_tenv3(lines: list[str]) -> bool:
    first = lines[0].strip() if lines else ""
    return first.startswith("site YYMMMDD") or _TENV3_ROW.match(first) is not None


def _read_tenv3(path: Path, lines: list[str]) -> tuple[pd.DataFrame, list[Issue]]:
    start = 1 if lines[0].lstrip().startswith("site YYMMMDD") else 0
    rows, issues = _split(path, lines, start, (20, 23), _TENV3)
    moment, fits = _tenv3_times(rows)
    issues += _tell_rows(path, rows, ~fits, "YYMMMDD", "day, decimal year and MJD are no one date", "day")
    values = {name: common.numbers(rows[name]) for name in _TENV3[6:] if name in rows}
    known = np.all([np.isfinite(values[name]) for name in ("e0", "east", "n0", "north", "u0", "up")], axis=0)
    issues += _tell_rows(path, rows, fits & ~known, "east, north, up", "no number", "east")
    use = fits & known
    rows, moment = rows[use].reset_index(drop=True), moment[use]
    values = {name: column[use] for name, column in values.items()}
    frame = _tenv3_frame(path)
    tables = []
    for site in sorted(rows["site"].unique()):
        one = (rows["site"] == site).to_numpy()
        part = {name: column[one] for name, column in values.items()}
        made, told = _tenv3_site(path, rows[one], moment[one], part, frame=frame)
        tables.append(made)
        issues += told
    return join(tables), issues


def _tenv3_site(
    path: Path, rows: pd.DataFrame, moment: np.ndarray, values: dict[str, np.ndarray], *, frame: str
) -> tuple[pd.DataFrame, list[Issue]]:
    """Make the rows of one station: displacement against the whole metres of its earliest day."""
    first = int(np.argmin(moment))
    origin = {part: values[f"{part[0]}0"][first] for part in _PARTS}
    meridian = values["meridian"][first]
    moved = values["meridian"] != meridian
    issues = _tell_rows(path, rows, moved, "reflon", "the reference meridian changes", "meridian", action="flagged")
    lon, lat = (values["lon"][first], values["lat"][first]) if "lon" in values else (np.nan, np.nan)
    if not (np.isfinite(lon) and abs(lat) <= 90):
        lon, lat = np.nan, np.nan
    method = (
        f"GNSS daily position, tenv3; {frame}; origin {origin['east']:.0f} m east of meridian {meridian:g}, "
        f"{origin['north']:.0f} m north, {origin['up']:.0f} m up"
    )
    shared = {"station": rows["site"], "time": moment, "lon": common.around(lon), "lat": lat, "method": method}
    components = {}
    for part in _PARTS:
        whole, fraction = f"{part[0]}0", part
        told = rows[whole].str.cat(rows[fraction], sep=" + ")
        components[part] = (values[whole] - origin[part] + values[fraction], told)
        components[f"{part}_std"] = (values[f"{part}_std"], rows[f"{part}_std"])
    unsure = {part: ~(values[f"{part}_std"] < _TOO_LARGE) for part in _PARTS}
    doubts = {part: {"reference_meridian": moved, "formal_error": unsure[part]} for part in _PARTS}
    issues += _tell_stds(path, rows, components)
    return _components(path, rows, shared, components, unit="m", doubts=doubts), issues


def _tell_stds(path: Path, rows: pd.DataFrame, components: dict[str, tuple[np.ndarray, pd.Series]]) -> list[Issue]:
    """Tell of standard deviations that are no numbers; their displacement is kept."""
    issues = []
    for name, (values, told) in components.items():
        lost = np.isnan(values)
        chosen = [rows["row"][lost].tolist(), told[lost].tolist()]
        issues += tell(path.name, chosen[0], name, what="no number", values=chosen[1], action="left out")
    return issues


def _tenv3_times(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Give noon of each day, and where the three ways in which tenv3 tells the day agree."""
    mjd, whole = common.integers(rows["mjd"])
    whole &= (mjd > 40_000) & (mjd < 100_000)
    moment = _MJD_EPOCH + np.where(whole, mjd, 0).astype("m8[D]")
    year = common.numbers(rows["year"])
    month = rows["day"].str[2:5].map({name: str(number) for number, name in enumerate(_MONTHS, 1)}).fillna("0")
    century = np.where(np.isfinite(year), np.floor(year / 100), 0).astype("int64").astype(str)
    day = common.dates(pd.Series(century, index=rows.index).str.cat(rows["day"].str[:2]), month, rows["day"].str[5:7])
    # The decimal year counts days of the year from noon in years of 365.25 days.
    start = moment.astype("M8[Y]")
    decimal = start.astype("int64") + 1970 + (moment - start.astype("M8[us]")) / np.timedelta64(31_557_600, "s")
    agree = (day == moment.astype("M8[D]").astype("M8[us]")) & (np.abs(decimal - year) < 0.004)
    return moment, whole & agree


def _tenv3_frame(path: Path) -> str:
    """Give the frame that the name of the file tells (``P123.NA.tenv3``), if it does."""
    found = re.fullmatch(r"[^.]+\.([A-Z]{2,4}\d{0,4})\.tenv3", path.name)
    return f"frame {found[1]}" if found else "frame not told"


def _read_pos(path: Path, lines: list[str]) -> tuple[pd.DataFrame, list[Issue]]:
    head, columns, start = _pos_header(path, lines)
    missing = [name for name in ("YYYYMMDD", "HHMMSS", *_POS_COLUMNS.values()) if name not in columns]
    if missing:
        raise MetadataError(
            "columns are missing", where=str(path), expected=", ".join(missing), got=" ".join(columns)[:300]
        )
    rows, issues = _split(path, lines, start, (len(columns),), tuple(columns))
    day, clock = rows["YYYYMMDD"], rows["HHMMSS"].str.zfill(6)
    hms = common.numbers(clock)
    moment = common.dates(day.str[:4], day.str[4:6], day.str[6:8])
    moment = moment + common.seconds(hms // 10_000 * 3600 + hms // 100 % 100 * 60 + hms % 100)
    fits = ~np.isnat(moment) & (day.str.len() == 8).to_numpy() & (hms >= 0) & (hms < 240_000)
    if "JJJJJ.JJJJ" in columns:
        passed = (moment - (_MJD_EPOCH - np.timedelta64(12, "h"))) / np.timedelta64(1, "D")
        fits &= np.abs(passed - common.numbers(rows["JJJJJ.JJJJ"])) < 1e-3
    issues += _tell_rows(path, rows, ~fits, "YYYYMMDD", "day, time and MJD are no one moment", "YYYYMMDD")
    values = {name: common.numbers(rows[column]) for name, column in _POS_COLUMNS.items()}
    known = np.all([np.isfinite(values[name]) for name in _PARTS], axis=0)
    issues += _tell_rows(path, rows, fits & ~known, "dN, dE, dU", "no number", "dN")
    use = fits & known
    rows, moment = rows[use].reset_index(drop=True), moment[use]
    solution = rows["Soln"] if "Soln" in rows else pd.Series("not told", index=rows.index)
    method = f"GNSS position, PBO series; frame {head['frame']}; origin {head['origin']}; solution " + solution
    shared = {"station": head["id"], "station_name": head["name"], "lon": head["lon"], "lat": head["lat"]}
    shared |= {"time": moment, "method": method}
    components = {name: (column[use], rows[_POS_COLUMNS[name]]) for name, column in values.items()}
    issues += _tell_stds(path, rows, components)
    return _components(path, rows, shared, components, unit=head["unit"], doubts={}), issues


def _pos_header(path: Path, lines: list[str]) -> tuple[dict[str, Any], list[str], int]:
    """Give what the header tells, the names of the columns, and the line on which the rows start."""
    last = next((number for number, line in enumerate(lines[:200]) if line.startswith("*")), None)
    if last is None:
        raise MetadataError("no line names the columns", where=str(path), expected="*YYYYMMDD HHMMSS ...")
    pairs = [line.split(":", 1) for line in lines[1:last] if ":" in line]
    told = {name.strip(): value.strip() for name, value in pairs}
    frame = lines[0].partition("Reference Frame :")[2].strip()
    wanted = {"frame": frame, "id": told.get("4-character ID", "")}
    position = told.get("NEU Reference position", "").split()[:3]
    place = common.numbers(position)
    described = " ".join(line for line in lines[1:last] if line.startswith("dN"))
    unit = next((unit for unit in ("millimeters", "mm", "meters") if unit in described), "")
    for name, value in {**wanted, "unit of dN": unit}.items():
        if not value:
            raise MetadataError("the header does not tell it", where=str(path), expected=name)
    if not (len(place) == 3 and np.isfinite(place).all() and abs(place[0]) <= 90):
        expected = "latitude, longitude, height"
        raise MetadataError("no reference position", where=str(path), expected=expected, got=str(position))
    head = wanted | {"name": told.get("Station name", ""), "lat": place[0], "lon": common.around(place[1])}
    head |= {"origin": " ".join(position), "unit": "m" if unit == "meters" else "mm"}
    return head, [*map(_column_name, lines[last][1:].split())], last + 1


def _column_name(name: str) -> str:
    return "Soln" if name.lower() == "soln" else name


def _split(
    path: Path, lines: list[str], start: int, widths: tuple[int, ...], names: tuple[str, ...]
) -> tuple[pd.DataFrame, list[Issue]]:
    """Split rows at blanks; a row with another number of columns than the first is left out."""
    split = [(number, line.split()) for number, line in enumerate(lines[start:], start + 1) if line.strip()]
    width = next((len(parts) for _, parts in split if len(parts) in widths), widths[0])
    good = [(number, parts) for number, parts in split if len(parts) == width]
    bad = [(number, parts) for number, parts in split if len(parts) != width]
    frame = pd.DataFrame([parts for _, parts in good], columns=list(names[:width]), dtype=object)
    frame["row"] = np.array([number for number, _ in good], dtype="int64")
    values = [" ".join(parts) for _, parts in bad]
    what = f"the row has not {width} columns"
    return frame, tell(path.name, [number for number, _ in bad], "row", what=what, values=values, action="left out")


def _tell_rows(
    path: Path, rows: pd.DataFrame, where: np.ndarray, field: str, what: str, column: str, *, action: Any = "left out"
) -> list[Issue]:
    chosen = rows[np.asarray(where)]
    return tell(path.name, chosen["row"].tolist(), field, what=what, values=chosen[column].tolist(), action=action)


def _components(
    path: Path,
    rows: pd.DataFrame,
    shared: dict[str, Any],
    components: dict[str, tuple[np.ndarray, pd.Series]],
    *,
    unit: str,
    doubts: dict[str, dict[str, np.ndarray]],
) -> pd.DataFrame:
    """Make the rows of all components, one table below the other; a component that is no number is not there."""
    tables = []
    for name, (values, told) in components.items():
        (term,) = common.terms(f"gnss_{name}")
        tests = pd.Series("", index=range(len(rows)), dtype=object)
        for test, doubtful in doubts.get(name.removesuffix("_std"), {}).items():
            tests[doubtful] = tests[doubtful].where(tests[doubtful] == "", tests[doubtful] + ",") + f"{test}:{SUSPECT}"
        table = make(
            **shared,
            variable=term.name,
            value=common.in_unit_of(values, unit, term),
            unit=term.unit,
            qc=np.where(tests == "", NOT_EVALUATED, SUSPECT),
            qc_tests=tests,
            original_value=told,
            original_unit=unit,
            source=common.sources(path.name, rows["row"].to_numpy()),
            size=len(rows),
        )
        tables.append(table[np.isfinite(values)])
    return join(tables)
