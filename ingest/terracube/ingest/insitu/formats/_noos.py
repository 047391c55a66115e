"""NOOS text: a header of ``# key : value``, then a time and a value per line.

References
----------
NOOS (North West European Shelf Operational Oceanographic System), ASCII format for time series as written by MATROOS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from terracube.core.errors import AssetError, MetadataError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.table import MISSING, NOT_EVALUATED, SUSPECT, Issue, make, tell
from terracube.ingest.insitu.vocabulary import Term, term_named

_QUANTITIES = {
    "waterlevel": ("water_level", "m"),
    "waterlevel_astro": ("water_level_predicted", "m"),
    "discharge": ("discharge", "m3 s-1"),
    "wave_height_hm0": ("wave_height", "m"),
    "wind_speed": ("wind_speed", "m s-1"),
    "water_speed": ("water_velocity", "m s-1"),
}
_ZONES = {"GMT": 0, "UTC": 0, "Z": 0, "MET": 1, "CET": 1}
_MISSING = {"N/A", "NaN", "nan", "-999", "-999.0", "-999.00", "-999.000", "-999.0000", "-999.999"}
_ROW = re.compile(r"\s*(\d{12}(?:\d\d)?)\s+(\S+)\s*")


def is_noos(lines: Sequence[str]) -> bool:
    """Tell whether the first lines are the header of NOOS text."""
    keys = {line[1:].partition(":")[0].strip().lower() for line in lines[:50] if line.startswith("#")}
    return {"location", "timezone"} <= keys or {"location", "unit", "source"} <= keys


def read_noos(
    path: Path, lines: list[str], mapping: Mapping | None
) -> tuple[pd.DataFrame, list[Issue], tuple[str, ...]]:
    """Read the lines of a NOOS file; gives the table, issues and notes, raises as `donar.read`."""
    pairs = [line[1:].split(":", 1) for line in lines if line.startswith("#") and ":" in line]
    head = {key.strip().lower(): value.strip() for key, value in reversed(pairs)}
    term, unit = _quantity(path, head.get("unit", ""))
    zone, station = _zone(path, head, mapping), head.get("location", "")
    if not station:
        raise MetadataError("no station", where=f"{path}, Location")
    found = [(number, line, _ROW.fullmatch(line)) for number, line in enumerate(lines, 1) if _is_row(line)]
    bad = [(number, line) for number, line, match in found if match is None]
    what = "neither yyyymmddHHMM nor a value"
    issues = tell(path.name, [n for n, _ in bad], "row", what=what, values=[v for _, v in bad], action="left out")
    rows = np.array([number for number, _, match in found if match], dtype="int64")
    told = pd.Series([match[2] for _, _, match in found if match], dtype=object)
    local = _time(pd.Series([match[1] for _, _, match in found if match], dtype=object))
    moment, unsure = common.to_utc(local, zone)
    gap, values = told.isin(_MISSING).to_numpy(), common.numbers(told)
    broken = np.isnat(moment) | (np.isnan(values) & ~gap)
    issues += tell(
        path.name, rows[broken], "row", what="no time or no number", values=told[broken].tolist(), action="left out"
    )
    if broken.all():
        raise AssetError("no row can be used", where=str(path), expected="yyyymmddHHMM value")
    lon, lat, trouble = _position(path, head.get("position", ""))
    table = make(
        station=station,
        station_name=station,
        time=moment,
        lon=lon,
        lat=lat,
        variable=term.name,
        value=common.in_unit_of(np.where(gap, np.nan, values), unit, term),
        unit=term.unit,
        method=_method(term, head, mapping),
        qc=np.where(gap, MISSING, np.where(unsure, SUSPECT, NOT_EVALUATED)),
        qc_tests=np.where(unsure, f"ambiguous_time:{SUSPECT}", ""),
        original_value=told,
        original_unit=unit,
        source=common.sources(path.name, rows),
    )
    note = f"{path.name}: '{head['unit']}' stands where a unit should; by the format's convention that is {unit}"
    return table[~broken], issues + trouble, (note,)


def _method(term: Term, head: dict[str, str], mapping: Mapping | None) -> str:
    told = mapping.method if mapping else ""
    datum = "datum not told" if term.kind == "height" and not told else ""
    source = f"source: {head['source']}" if head.get("source") else ""
    return "; ".join(part for part in (source, datum, told) if part)


def _zone(path: Path, head: dict[str, str], mapping: Mapping | None) -> str:
    """Give the zone that the file tells, else the mapping's."""
    told = head.get("timezone", head.get("time zone", ""))
    if told in _ZONES:
        return f"+{_ZONES[told]:02d}:00"
    zone = common.zone_of(mapping)
    if zone is None or told:
        raise MetadataError("no time zone", where=f"{path}, Timezone", expected=", ".join(_ZONES), got=told[:80])
    return zone


def _is_row(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _quantity(path: Path, told: str) -> tuple[Term, str]:
    known = _QUANTITIES.get(told.lower())
    if known is None:
        expected = ", ".join(_QUANTITIES)
        raise MetadataError("a quantity that is not known", where=f"{path}, Unit", expected=expected, got=told[:80])
    return term_named(known[0]), known[1]


def _time(told: pd.Series) -> np.ndarray:
    clock = [common.integers(told.str[start : start + 2].replace("", "0"))[0] for start in (8, 10, 12)]
    fits = (clock[0] < 24) & (clock[1] < 60) & (clock[2] < 60)
    moment = common.dates(told.str[:4], told.str[4:6], told.str[6:8])
    moment = moment + (clock[0] * 3600 + clock[1] * 60 + clock[2]).astype("m8[s]")
    return np.where(fits, moment, np.datetime64("NaT", "us"))


def _position(path: Path, told: str) -> tuple[float, float, list[Issue]]:
    place = common.numbers(told.strip("() ").split(",")[:2])
    if len(place) == 2 and np.isfinite(place).all() and abs(place[0]) <= 180 and abs(place[1]) <= 90 and place.any():
        return float(place[0]), float(place[1]), []
    return np.nan, np.nan, [Issue(path.name, None, "Position", "no position", told[:80], "flagged")]
