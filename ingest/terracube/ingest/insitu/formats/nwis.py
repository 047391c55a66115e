"""Series of the National Water Information System: RDB tab text and WaterML 1.1 as JSON, daily and instantaneous.

A parameter code means one variable in one unit. What the service says of a value is kept: approved values are good (1),
provisional ones not evaluated (2), estimated ones suspect (3); a remark in place of a number (Ice, Eqp) is a missing
value (9) that keeps its word. Daily values are told by the station's day. RDB does not tell the zone of that day: it
stands at 00:00 of the day as written with the remark ``day_only``, unless the mapping tells the zone; JSON tells it.

References
----------
USGS, "Tab-delimited output-format description" (RDB) and "Instantaneous and daily value qualification codes".
USGS Water Services, Instantaneous Values Service and Daily Values Service; WaterML 1.1 (CUAHSI).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from terracube.core.errors import AssetError, MetadataError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.formats import _usgs as usgs
from terracube.ingest.insitu.formats._parameters import PARAMETERS, REMARKS, STATISTICS
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.table import (
    GOOD,
    MISSING,
    NOT_EVALUATED,
    SUSPECT,
    TEXT,
    Issue,
    Observations,
    doubt,
    join,
    make,
    remark,
    tell,
)
from terracube.ingest.insitu.times import Times, read_times
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.vocabulary import term_named

_MAX_JSON_BYTES = 1 << 28
_COLUMN = re.compile(r"(?:(\d{1,12})_)?(\d{5})(?:_(\d{5}))?")
_NO_VALUE = -999_999.0
_APPROVED, _KNOWN = {"A"}, {"A", "P", "R", "<", ">", "e", "E", "&"}


def recognise(path: Path) -> bool:
    """Tell whether a file looks like RDB with sites or like WaterML as JSON."""
    text = common.text_head(path, 1 << 16)
    return _is_json(text) or any(_is_rdb(line) for line in text.splitlines())


def read(path: Path, mapping: Mapping | None = None) -> Observations:
    """Read the series of a file.

    Parameters
    ----------
    path : Path
        RDB text, or the JSON of the same services.
    mapping : Mapping, optional
        ``time.zone`` for what tells none.

    Returns
    -------
    Observations
        ``station`` is agency and number (``USGS-01491000``). Positions of RDB come from a list of sites beside it.

    Raises
    ------
    AssetError
        If the file is neither, or nothing of it can be used.
    MetadataError
        If it is a list of sites, or holds another kind of table.
    """
    if _is_json(common.text_head(path)):
        tables, issues = _read_json(path, mapping)
        notes: tuple[str, ...] = ()
        sites = usgs.Sites()
    else:
        lines, notes = common.read_lines(path, mapping)
        sites = usgs.sites_beside(path)
        tables, issues = _read_rdb(path, lines, sites, mapping)
    table = join(tables)
    if table.empty:
        raise AssetError(
            "nothing in the file can be used", where=str(path), got=str(issues[0]) if issues else "no values"
        )
    beside = sites.used(table["station"].unique())
    return Observations(table, tuple(issues), common.about(mapping), notes, beside)


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("{") and "timeSeriesResponse" in text


def _is_rdb(line: str) -> bool:
    parts = line.split("\t")
    return "site_no" in parts and ("agency_cd" in parts or "datetime" in parts)


def _read_rdb(
    path: Path, lines: list[str], sites: usgs.Sites, mapping: Mapping | None
) -> tuple[list[pd.DataFrame], list[Issue]]:
    found = usgs.rdb_tables(lines)
    if not found:
        raise AssetError("no RDB table with sites", where=str(path), expected="a row of names with site_no")
    series = [table for table in found if "datetime" in table.columns]
    if not series:
        what = "a list of sites, no measurements" if "dec_lat_va" in found[0].columns else "a table of another kind"
        raise MetadataError(what, where=str(path), expected="columns datetime and <series>_<parameter>")
    tables, issues = [], []
    for table in series:
        bad = table.attrs["bad"]
        what, numbers = f"the row has not {len(table.columns) - 1} fields", [number for number, _ in bad]
        issues += tell(path.name, numbers, "row", what=what, values=[line for _, line in bad], action="left out")
        made, told = _rdb_series(path, table, sites, mapping)
        tables += made
        issues += told
    stations = {str(station) for table in tables for station in table["station"].unique()}
    what = "no position in a list of sites beside the file"
    issues += [
        Issue(path.name, None, "site_no", what, name, "flagged") for name in sorted(stations - set(sites.places))
    ]
    return tables, issues


def _rdb_series(
    path: Path, rows: pd.DataFrame, sites: usgs.Sites, mapping: Mapping | None
) -> tuple[list[pd.DataFrame], list[Issue]]:
    """Make the rows of every series of one table."""
    zone = common.zone_of(mapping)
    zones = usgs.offsets(rows["tz_cd"]) if "tz_cd" in rows else pd.Series("", index=rows.index)
    texts = rows["datetime"].str.replace(" ", "T", regex=False)
    times = _times(texts, zones, zone)
    lost = np.isnat(times.utc) | (rows["site_no"] == "").to_numpy()
    values = (rows["datetime"] + " " + rows.get("tz_cd", ""))[lost].tolist()
    what = "no time, no known time zone, or no site"
    issues = tell(path.name, rows["row"][lost].tolist(), "datetime", what=what, values=values, action="left out")
    agency = rows["agency_cd"] if "agency_cd" in rows else pd.Series("USGS", index=rows.index)
    station = (agency + "-" + rows["site_no"])[~lost].reset_index(drop=True)
    names, lon, lat = sites.of(station)
    shared = {"station": station, "station_name": names, "lon": lon, "lat": lat, "time": times.utc[~lost]}
    shared["source"] = common.sources(path.name, rows["row"].to_numpy()[~lost])
    doubts = {"day_only": times.day_only[~lost], "ambiguous_time": (times.ambiguous | times.nonexistent)[~lost]}
    tables = []
    for name in rows.columns:
        told = _COLUMN.fullmatch(str(name))
        if told is None:
            continue
        codes = rows[f"{name}_cd"] if f"{name}_cd" in rows else pd.Series("", index=rows.index)
        cells = pd.DataFrame({"value": rows[name], "codes": codes})[~lost].reset_index(drop=True)
        made, troubles = _series(path, told.groups(), cells, shared, doubts=doubts, unit="", field=str(name))
        tables += [] if made is None else [made]
        issues += troubles
    return tables, issues


def _times(texts: pd.Series, zones: pd.Series, zone: str | None) -> Times:
    """Read times; days are the station's, so a zone that is told places their beginning."""
    written = texts.where(~((texts.str.len() == 10) & ((zones != "") | (zone is not None))), texts + "T00:00")
    arrays = [pa.array(part.astype(object).tolist(), pa.string()) for part in (written, zones)]
    return read_times(arrays[0], zone=zone, zones=arrays[1])


def _series(
    path: Path,
    code: tuple[str | None, ...],
    cells: pd.DataFrame,
    shared: dict[str, Any],
    *,
    doubts: dict[str, np.ndarray],
    unit: str,
    field: str,
) -> tuple[pd.DataFrame | None, list[Issue]]:
    """Make the rows of one series: cells that hold a value, a remark or a qualifier."""
    number, parameter, statistic = code
    known = PARAMETERS.get(str(parameter))
    filled = ((cells["value"] != "") | (cells["codes"] != "")).to_numpy()
    if known is None or not filled.any():
        what = "a parameter that is not in the vocabulary" if filled.any() else "a series without values"
        return None, [Issue(path.name, None, field, what, f"{parameter} ({int(filled.sum())} rows)", "left out")]
    term, unit = term_named(known[0]), unit or known[1]
    values, sign, flags, tests, issues = _judge(path, cells, field)
    flags = np.where(doubts["ambiguous_time"] & (flags < SUSPECT), SUSPECT, flags)
    tests = doubt(tests, "ambiguous_time", doubts["ambiguous_time"])
    tests = remark(tests, "day_only", doubts["day_only"])
    try:
        value = convert(values, unit, term)
    except MetadataError as error:
        return None, [Issue(path.name, None, field, str(error), f"{parameter} ({int(filled.sum())} rows)", "left out")]
    method = [STATISTICS.get(str(statistic), f"statistic {statistic}" if statistic and statistic != "00000" else "")]
    method += [f"datum {known[2]}" if known[2] else "", f"NWIS series {number}" if number else ""]
    table = make(
        **shared,
        variable=term.name,
        value=value,
        unit=term.unit,
        method="; ".join(part for part in method if part),
        censored=sign,
        qc=flags,
        qc_tests=tests,
        original_value=cells["value"],
        original_unit=unit,
        size=len(cells),
    )
    return table[filled], issues


def _judge(
    path: Path, cells: pd.DataFrame, field: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.Series, list[Issue]]:
    """Give value, censoring, flag and tests of each cell; each combination of codes is looked at once."""
    values = common.numbers(cells["value"].str.replace(r"^\s*[<>]\s*", "", regex=True))
    values = np.where(values == _NO_VALUE, np.nan, values)
    missing = np.isnan(values)
    word = cells["value"].where(missing & (common.numbers(cells["value"]) != _NO_VALUE), "").str.slice(0, 20)
    mark = cells["value"].str.extract(r"^\s*([<>])", expand=False).fillna("")
    joined = (cells["codes"].str.slice(0, 80) + " " + word + " " + mark).astype(object)
    codes, combinations = pd.factorize(joined)
    sign, flag, tests, odd = [], [], [], []
    for combination in combinations:
        words = [part for part in re.split(r"[\s:,;|]+", str(combination)) if part]
        sign.append("<" if "<" in words else ">" if ">" in words else "")
        remarks = [part for part in words if part in REMARKS]
        estimated = bool({"e", "E", "&"} & set(words))
        flag.append(SUSPECT if estimated or remarks else GOOD if _APPROVED & set(words) else NOT_EVALUATED)
        named = (["estimated"] if estimated else []) + [f"remark_{part}".lower() for part in remarks]
        tests.append(",".join(f"{name}:{SUSPECT}" for name in named))
        odd.append([part for part in words if part not in _KNOWN | REMARKS and not re.fullmatch(r"\[\d+\]", part)])
    flags = np.where(missing, MISSING, np.array(flag, dtype="uint8")[codes])
    told = pd.Series(np.array(tests, dtype=object)[codes], dtype=TEXT).astype(object)
    told = told.where(~missing, told.str.replace(f":{SUSPECT}", f":{MISSING}", regex=False))
    unknown = [part for code in codes for part in odd[code]] if any(odd) else []
    issues = common.counted(path.name, unknown, field=field, what="an unknown remark or qualifier", action="flagged")
    signs = np.where(missing, "", np.array(sign, dtype=object)[codes])
    return values, signs, flags.astype("uint8"), told, issues


def _read_json(path: Path, mapping: Mapping | None) -> tuple[list[pd.DataFrame], list[Issue]]:
    raw = common.read_bytes(path, limit=_MAX_JSON_BYTES)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise AssetError("no JSON", where=str(path), got=str(error)[:200]) from error
    series = _get(document, "value", "timeSeries")
    if not isinstance(series, list):
        raise MetadataError("no WaterML", where=str(path), expected="value.timeSeries")
    tables, issues = [], []
    for number, one in enumerate(series):
        blocks = _get(one, "values")
        for block in blocks if isinstance(blocks, list) else []:
            made, told = _json_series(path, one, block, str(_get(one, "name") or number), mapping)
            tables += [] if made is None else [made]
            issues += told
    return tables, issues


def _json_series(
    path: Path, one: Any, block: Any, name: str, mapping: Mapping | None
) -> tuple[pd.DataFrame | None, list[Issue]]:
    """Make the rows of one series of the JSON."""
    name = name[:80]
    parameter = str(_get(one, "variable", "variableCode", 0, "value") or "")[:20]
    site = str(_get(one, "sourceInfo", "siteCode", 0, "value") or "")[:80]
    entries = _get(block, "value")
    points = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if not site or not points or len(points) != len(entries):
        what = "a series without a site" if not site else "a series without values, or with what is none"
        return None, [Issue(path.name, None, name, what, f"{parameter} ({len(points)} rows)", "left out")]
    default = _get(one, "sourceInfo", "timeZoneInfo", "defaultTimeZone", "zoneOffset")
    offset = str(default) if re.fullmatch(r"[+-]\d\d:\d\d", str(default)) else ""
    texts = pd.Series([str(point.get("dateTime", ""))[:40] for point in points], dtype=object)
    times = _times(texts, pd.Series(offset, index=texts.index, dtype=object), common.zone_of(mapping))
    lost = np.isnat(times.utc)
    what, numbers = "no time or no known time zone", (np.flatnonzero(lost) + 1).tolist()
    issues = tell(path.name, numbers, name, what=what, values=texts[lost].tolist(), action="left out")
    cells = pd.DataFrame(
        {"value": [_text(point.get("value")) for point in points], "codes": [_codes(point) for point in points]}
    )
    nodata = common.numbers([str(_get(one, "variable", "noDataValue"))])[0]
    cells["value"] = cells["value"].where(common.numbers(cells["value"]) != nodata, f"{_NO_VALUE:.0f}")
    lon, lat, told = _json_position(path, one, name)
    agency = str(_get(one, "sourceInfo", "siteCode", 0, "agencyCode") or "USGS")[:20]
    shared: dict[str, Any] = {"station": f"{agency}-{site}"}
    shared["station_name"] = str(_get(one, "sourceInfo", "siteName") or "")[:500]
    shared |= {"lon": lon, "lat": lat, "time": times.utc[~lost]}
    shared["source"] = (f"{path.name}:{name}[" + pd.Series(np.arange(len(points))[~lost]).astype(str) + "]").astype(
        TEXT
    )
    statistic = str(_get(one, "variable", "options", "option", 0, "optionCode") or "")[:20]
    series = _get(block, "method", 0, "methodID")
    code = (str(series)[:20] if series is not None else None, parameter, statistic)
    kept = cells[~lost].reset_index(drop=True)
    doubts = {"day_only": times.day_only[~lost], "ambiguous_time": (times.ambiguous | times.nonexistent)[~lost]}
    unit = str(_get(one, "variable", "unit", "unitCode") or "")[:60]
    made, troubles = _series(path, code, kept, shared, doubts=doubts, unit=unit, field=name)
    return made, issues + told + troubles


def _text(value: Any) -> str:
    return str(value)[:100] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def _codes(point: dict[str, Any]) -> str:
    found = point.get("qualifiers")
    return " ".join(_text(code) for code in found[:20]) if isinstance(found, list) else ""


def _json_position(path: Path, one: Any, name: str) -> tuple[float, float, list[Issue]]:
    place = _get(one, "sourceInfo", "geoLocation", "geogLocation")
    lat, lon = common.numbers([str(_get(place, "latitude")), str(_get(place, "longitude"))])
    crs = str(_get(place, "srs") or "")
    if np.isfinite(lon) and np.isfinite(lat) and re.fullmatch(r"EPSG:\d{4,6}", crs) and (lon, lat) != (0, 0):
        try:
            return (*common.to_wgs84(float(lon), float(lat), crs, f"{path}, {name}"), [])
        except MetadataError:
            pass
    return (
        np.nan,
        np.nan,
        [Issue(path.name, None, name, "no position, or of unknown datum", f"{lat}, {lon} {crs}"[:80], "flagged")],
    )


def _get(document: Any, *keys: str | int) -> Any:
    """Follow keys and places into a document from outside; None where it does not go on."""
    for key in keys:
        if isinstance(key, str):
            document = document.get(key) if isinstance(document, dict) else None
        else:
            document = document[key] if isinstance(document, list) and len(document) > key else None
    return document
