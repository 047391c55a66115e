"""Results of the Water Quality Portal: the old (legacy WQX) and the new (WQX 3.0) set of columns.

A characteristic means a variable only together with its fraction, species and unit: "Nitrate as N, mg/L" is
``no3_n``. What means none is told with the number of its rows. Censored results hold the limit that the service gives,
the censoring or reporting level before the detection level. Positions come from the columns, else from a list of sites
beside the file.

References
----------
National Water Quality Monitoring Council, Water Quality Portal User Guide: result and site columns, legacy and WQX 3.0.
EPA, WQX domain values: Activity Type, Result Detection Condition, Detection Quantitation Limit Type, Time Zone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from terracube.core.errors import AssetError, MetadataError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.formats import _usgs as usgs
from terracube.ingest.insitu.formats._characteristics import find_characteristic
from terracube.ingest.insitu.formats._wqpcolumns import COLUMNS
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.table import (
    FAIL,
    GOOD,
    MISSING,
    NOT_EVALUATED,
    SUSPECT,
    Issue,
    Observations,
    doubt,
    join,
    make,
    remark,
    tell,
)
from terracube.ingest.insitu.times import read_times
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.vocabulary import Term

_NEEDED = ("station", "date", "characteristic", "value", "unit")
_BELOW = re.compile(
    r"not detected|non-detect|below|\bnot present\b|detected not quantified|<ql|trace|between inst detect"
)
_ABOVE = re.compile(r"above|>ql")
_NONE = re.compile(r"not reported|unable to measure|reported in raw data")
#: What a limit of each sort is worth for a censored result: the level that it was censored at, then that of detection.
_LEVELS = ("censoring", "reporting", "quantitation", "detection", "")
_REPLICATE = re.compile(r"replicate|duplicate|split|re-?analysis|resample", re.IGNORECASE)
_STATUS = {"accepted": GOOD, "final": GOOD, "validated": GOOD, "rejected": FAIL}
_ESTIMATED = re.compile(r"(?:^|[\[;,\s])[EJ](?:$|[\];,\s])")


def recognise(path: Path) -> bool:
    """Tell whether a file looks like results of the portal, or like its list of sites."""
    first = common.text_head(path, 1 << 15).split("\n", 1)[0]
    named = ("station", "characteristic", "value")
    return usgs.is_site_list(first) or any(all(COLUMNS[name][form] in first for name in named) for form in (0, 1))


def read(path: Path, mapping: Mapping | None = None) -> Observations:
    """Read results of the Water Quality Portal.

    Parameters
    ----------
    path : Path
        A comma or tab separated file of results.
    mapping : Mapping, optional
        ``time.zone`` for rows without a zone code.

    Returns
    -------
    Observations
        One row per result. Accepted, final and validated results are good (1), estimated ones suspect (3), rejected
        ones failed (4). Quality control samples other than replicates are left out.

    Raises
    ------
    AssetError
        If the file holds no such results, or none can be used.
    MetadataError
        If it is a list of sites.
    """
    rows, issues, beside = _rows(path, mapping)
    rows, told = _environmental(path, rows)
    issues += told
    rows, moment, told = _times(path, rows, mapping)
    issues += told
    rows, moment, told = _with_value(path, rows, moment)
    issues += told
    tables = []
    key = ["characteristic", "fraction", "species", "unit", "limit_unit"]
    for words, group in rows.groupby(key, sort=True):
        made, told = _group(path, group, moment, dict(zip(key, map(str, words), strict=True)))
        tables += [] if made is None else [made]
        issues += told
    table = join(tables)
    if table.empty:
        raise AssetError("no result can be used", where=str(path), got=str(issues[0]) if issues else "no rows")
    order = table["source"].str.rpartition(":")[2].astype("int64").argsort(kind="stable")
    return Observations(table.iloc[order].reset_index(drop=True), tuple(issues), common.about(mapping), beside=beside)


def _rows(path: Path, mapping: Mapping | None) -> tuple[pd.DataFrame, list[Issue], tuple[Path, ...]]:
    """Read the columns that are used, under our words, with places; a column that is not there is empty.

    The third are the files beside it that told places.
    """
    wanted = [name for both in COLUMNS.values() for name in both if name]
    frame, issues = usgs.read_table(path, wanted, mapping)
    new = COLUMNS["characteristic"][1] in frame.columns
    names = {both[new]: ours for ours, both in COLUMNS.items() if both[new]}
    rows = frame.rename(columns=names)
    missing = [COLUMNS[name][new] for name in _NEEDED if name not in rows.columns]
    if (
        missing
        and {"station", "lat", "lon"} <= set(rows.columns)
        and not {"characteristic", "value"} & set(rows.columns)
    ):
        raise MetadataError("a list of sites, no measurements", where=str(path), expected=", ".join(missing))
    if missing:
        raise AssetError("no results of the Water Quality Portal", where=str(path), expected=", ".join(missing))
    for name in COLUMNS:
        if name not in rows.columns:
            rows[name] = ""
    sites, own = usgs.Sites(), (rows["lat"] != "").any()
    if own:
        usgs.add_sites(sites, path, rows[rows["lat"] != ""], ("station", "name", "lat", "lon", "datum"))
    else:
        sites = usgs.sites_beside(path)
    titles, lon, lat = sites.of(rows["station"])
    rows["name"] = rows["name"].where(rows["name"] != "", titles.astype(object))
    rows["east"], rows["north"] = lon, lat
    _prefer_censoring_level(rows)
    nowhere = sorted(set(rows["station"][np.isnan(lon)]))
    issues += [i for i in sites.issues if i.value.partition(":")[0] in nowhere]
    issues += [
        Issue(path.name, None, "station", "no position in the file or in a list of sites beside it", name, "flagged")
        for name in nowhere[:1000]
    ]
    return rows, issues, () if own else sites.used(rows["station"].unique())


def _prefer_censoring_level(rows: pd.DataFrame) -> None:
    """Take the second limit of a row where it says more about the censoring than the first."""
    ranks = [rows[name].map(_level) for name in ("limit_type", "limit_type_b")]
    empty = [common.numbers(rows[name]) for name in ("limit", "limit_b")]
    second = np.isfinite(empty[1]) & (np.isnan(empty[0]) | (ranks[1] < ranks[0]).to_numpy())
    for name in ("limit", "limit_unit", "limit_type"):
        rows[name] = rows[name].where(~second, rows[f"{name}_b"])


def _level(name: str) -> int:
    return next(number for number, word in enumerate(_LEVELS) if word in name.lower())


def _environmental(path: Path, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Issue]]:
    """Leave out blanks, spikes and what was not measured in water."""
    control = rows["type"].str.contains("quality control", case=False, regex=False)
    replicate = rows["type"].str.contains(_REPLICATE)
    blank = control & ~replicate
    dry = ~blank & ~rows["media"].str.lower().isin(["water", ""])
    issues = common.counted(path.name, rows["type"][blank], field="ActivityTypeCode", what="a quality control sample")
    issues += common.counted(path.name, rows["media"][dry], field="ActivityMediaName", what="not measured in water")
    kept = rows[~blank & ~dry].copy()
    kept["replicate"] = np.where(replicate[kept.index], kept["activity"], "")
    return kept.reset_index(drop=True), issues


def _times(path: Path, rows: pd.DataFrame, mapping: Mapping | None) -> tuple[pd.DataFrame, np.ndarray, list[Issue]]:
    """Give the rows that have a time, their times in UTC, and what is wrong with the others.

    A day without a time of day stands at 00:00 of the day as written, with the remark ``day_only``.
    """
    code = rows["zone"].str.strip()
    zones = usgs.offsets(code)
    text = rows["date"].where(rows["clock"] == "", rows["date"] + "T" + rows["clock"])
    arrays = [pa.array(part.astype(object).tolist(), pa.string()) for part in (text, zones)]
    found = read_times(arrays[0], zone=common.zone_of(mapping), zones=arrays[1])
    lost = np.isnat(found.utc) | (rows["station"] == "").to_numpy()
    zoneless = found.zoneless & lost
    values = (text + " " + code).tolist()
    issues = []
    for where, what in (
        (zoneless, "no known time zone; say it in the mapping"),
        (lost & ~zoneless, "no time or no station"),
    ):
        numbers, told = rows["row"][where].tolist(), [values[n] for n in np.flatnonzero(where)]
        issues += tell(path.name, numbers, "ActivityStartDate", what=what, values=told, action="left out")
    if found.day_only.any():
        days = f"{found.day_only.sum()} rows, taken as 00:00 of that day"
        issues.append(Issue(path.name, None, "ActivityStartTime", "a day without a time of day", days, "flagged"))
    kept = rows.assign(day_only=found.day_only, unsure=found.ambiguous | found.nonexistent)[~lost].reset_index(
        drop=True
    )
    return kept, found.utc[~lost], issues


def _with_value(path: Path, rows: pd.DataFrame, moment: np.ndarray) -> tuple[pd.DataFrame, np.ndarray, list[Issue]]:
    """Find value, censoring and limit of each row; leave out rows that hold none of them."""
    condition, mark = rows["condition"].str.lower(), rows["value"].str.extract(r"^\s*([<>])", expand=False).fillna("")
    number = common.numbers(rows["value"].str.replace(r"^\s*[<>]\s*", "", regex=True))
    below, above = condition.str.contains(_BELOW), condition.str.contains(_ABOVE)
    sign = np.where(below, "<", np.where(above, ">", mark))
    none = (condition.str.contains(_NONE)).to_numpy() & np.isnan(number)
    limit = common.numbers(rows["limit"])
    told_as_value = (mark != "").to_numpy() & np.isfinite(number)
    measured = (sign == "") & np.isfinite(number)
    useless = ~measured & (sign == "") & ~none
    numbers, values = rows["row"][useless].tolist(), rows["value"][useless].tolist()
    issues = tell(path.name, numbers, "ResultMeasureValue", what="no number", values=values, action="left out")
    against = (sign != "") & np.isfinite(number) & ~told_as_value & np.isfinite(limit) & (number != limit)
    made = rows.assign(number=number, sign=sign, limit_number=limit, by_value=told_as_value, contradiction=against)
    return made[~useless].reset_index(drop=True), moment[~useless], issues


def _group(
    path: Path, group: pd.DataFrame, moment: np.ndarray, words: dict[str, str]
) -> tuple[pd.DataFrame | None, list[Issue]]:
    """Make the rows of one characteristic, fraction, species and unit."""
    unit = words["unit"] or words["limit_unit"]
    term, reason = find_characteristic(words["characteristic"], words["fraction"], words["species"], unit)
    shown = ", ".join(word for word in (words["characteristic"], words["fraction"], words["species"], unit) if word)
    if term is None:
        return None, [Issue(path.name, None, "CharacteristicName", reason, f"{shown} ({len(group)} rows)", "left out")]
    bare = _bare(unit)
    try:
        value = convert(group["number"].to_numpy(), bare, term)
        limit = convert(group["limit_number"].to_numpy(), _bare(words["limit_unit"] or unit), term)
    except MetadataError as error:
        return None, [Issue(path.name, None, "unit", str(error), f"{shown} ({len(group)} rows)", "left out")]
    censored = (group["sign"] != "").to_numpy()
    by_limit = censored & ~group["by_value"].to_numpy() & np.isfinite(limit)
    value = np.where(by_limit, limit, value)
    lost = np.isnan(value)
    rows = group["row"][lost & censored].tolist()
    conditions = group["condition"][lost & censored].tolist()
    what = "censored without a limit"
    issues = tell(path.name, rows, "DetectionQuantitationLimitMeasure", what=what, values=conditions, action="flagged")
    flags, tests = _flags(group, lost)
    depth, told = _depth(path, group)
    judged = {"value": value, "qc": flags, "qc_tests": tests, "depth": depth}
    return _make(path, group, moment, term, unit, judged), issues + told


def _make(
    path: Path, group: pd.DataFrame, moment: np.ndarray, term: Term, unit: str, judged: dict[str, Any]
) -> pd.DataFrame:
    limit = (group["sign"] + group["limit"]).where(group["sign"] != "", "")
    return make(
        station=group["station"].to_numpy(),
        station_name=group["name"].to_numpy(),
        time=moment[group.index],
        lon=group["east"].to_numpy(),
        lat=group["north"].to_numpy(),
        variable=term.name,
        unit=term.unit,
        method=_method(group),
        replicate=group["replicate"].to_numpy(),
        censored=group["sign"].to_numpy(),
        original_value=group["value"].where(group["value"] != "", limit).to_numpy(),
        original_unit=unit,
        source=common.sources(path.name, group["row"].to_numpy()),
        **judged,
    )


def _bare(unit: str) -> str:
    """Take the species off a unit (``mg/l as N``, ``mg/l asNO2``); it is settled by then."""
    return re.sub(r"\s+as\s*[A-Za-z].*$", "", unit)


def _method(group: pd.DataFrame) -> np.ndarray:
    """Give the characteristic with its fraction, the method of analysis, and whether it was calculated."""
    what = group["characteristic"].where(group["fraction"] == "", group["characteristic"] + ", " + group["fraction"])
    how = what.where(group["method"] == "", what + "; " + group["method"])
    layer = group["top"] + " to " + group["bottom"]
    how = how.where((group["top"] == "") | (group["bottom"] == ""), how + "; from " + layer)
    return np.asarray(how.where(group["kind"].str.lower() != "calculated", how + "; calculated"))


def _flags(group: pd.DataFrame, lost: np.ndarray) -> tuple[np.ndarray, pd.Series]:
    flags = group["status"].str.lower().map(_STATUS).fillna(NOT_EVALUATED).to_numpy(dtype="uint8")
    tests = pd.Series("", index=range(len(group)), dtype=object)
    estimated = (group["kind"].str.lower() == "estimated") | group["qualifier"].str.contains(_ESTIMATED)
    for test, where in (
        ("estimated", estimated.to_numpy()),
        ("ambiguous_time", group["unsure"].to_numpy()),
        ("detection_contradiction", group["contradiction"].to_numpy()),
    ):
        flags = np.where(where & (flags < SUSPECT), SUSPECT, flags)
        tests = doubt(tests, test, where & ~lost)
    tests = doubt(tests, "rejected", (flags == FAIL) & ~lost, FAIL)
    tests = remark(tests, "day_only", group["day_only"].to_numpy())
    return np.where(lost, MISSING, flags).astype("uint8"), tests


def _depth(path: Path, group: pd.DataFrame) -> tuple[np.ndarray, list[Issue]]:
    """Give the depth of a result, else of its activity, in metres; NaN for a layer, which the method tells."""
    depth = np.full(len(group), np.nan)
    issues = []
    for name in ("depth", "result_depth"):
        found, units = common.numbers(group[name]), group[f"{name}_unit"]
        for unit in sorted(set(units[np.isfinite(found)])):
            here = np.isfinite(found) & (units == unit).to_numpy()
            try:
                depth[here] = common.in_metres(found[here], unit)
            except MetadataError as error:
                rows, values = group["row"][here].tolist(), group[name][here].tolist()
                issues += tell(
                    path.name, rows, name, what=f"no depth: {error.what} {unit!r}", values=values, action="flagged"
                )
    return depth, issues
