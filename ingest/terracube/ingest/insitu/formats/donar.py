"""Series of Dutch and North Sea gauges: DONAR's DIA text blocks, and NOOS text.

DIA tells no time zone. DONAR's own times are MET (UTC+1, without summer time), but an export need not keep them, so
the mapping must say it. NOOS text tells its zone, and a quantity where a unit should be: quantities have one unit each.

A value that was interpolated by the producer is kept with qc 2 (``interpolated:2``). Predictions (tides
computed from harmonic constants) become ``water_level_predicted``, never ``water_level``.

References
----------
Rijkswaterstaat, "DONAR Interface Bestand (DIA)": blocks W3H, RKS, TPS and WRD; quality codes as in Aquo's list
"Kwaliteitsoordeel" (00 normal value, 25 interpolated in space and time, 99 gap).
NOOS (North West European Shelf Operational Oceanographic System), ASCII format for time series as written by MATROOS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.formats._noos import is_noos, read_noos
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.table import (
    GOOD,
    MISSING,
    NOT_EVALUATED,
    SUSPECT,
    Issue,
    Observations,
    join,
    make,
    tell,
)
from terracube.ingest.insitu.vocabulary import Term, find_term, term_named

_MAX_BYTES = 1 << 28
_GAP_VALUE = 999_999_999
_NORMAL, _INTERPOLATED, _GAP, _LAST_USABLE = 0, 25, 99, 50
_STATUS = {"O": NOT_EVALUATED, "G": GOOD, "D": GOOD}  # ongecontroleerd, gecontroleerd, definitief
_SURFACE_WATER = ("10", "OW")
_STEPS = {"s": 1, "sec": 1, "min": 60, "uur": 3600, "u": 3600, "dag": 86_400, "d": 86_400}
_PARAMETERS = {
    "WATHTE": "water_level",
    "WATHTBRKD": "water_level_predicted",
    "Q": "discharge",
    "T": "water_temperature",
    "O2": "dissolved_oxygen",
    "SALNTT": "practical_salinity",
    "ZS": "suspended_matter",
    "Hm0": "wave_height",
}
#: How the value was got: harmonic analysis gives predictions, whatever the parameter says.
_PREDICTED = {"F012"}
_GRIDS = {"RD": "EPSG:28992", "U31": "EPSG:23031"}  # in cm
_ANGLES = {
    "W84": "EPSG:4326",
    "E50": "EPSG:4230",
    "ED50": "EPSG:4230",
}  # degrees, minutes and 1/100 seconds in one number


def recognise(path: Path) -> bool:
    """Tell whether a file looks like DIA, NOOS text or a list of harmonic constants (which `read` refuses by name)."""
    text = common.text_head(path)
    return text.lstrip().startswith("[IDT;") or is_noos(text.splitlines()) or _is_harmonic(text.splitlines())


def read(path: Path, mapping: Mapping | None = None) -> Observations:
    """Read the series of a DIA or NOOS file.

    Parameters
    ----------
    path : Path
        The file.
    mapping : Mapping, optional
        ``time.zone`` is needed for DIA.

    Returns
    -------
    Observations
        Gaps are rows with NaN and qc 9. A block that cannot be used is an issue, if another can.

    Raises
    ------
    AssetError
        If the file is neither, holds fewer or more values than it says, or nothing of it can be used.
    MetadataError
        If the zone, unit or position is missing or contradictory.
    """
    lines, notes = common.read_lines(path, mapping, limit=_MAX_BYTES)
    first = [line for line in lines[:50] if line.strip()]
    if first and first[0].lstrip().startswith("[IDT;"):
        table, issues = _read_dia(path, lines, mapping)
    elif is_noos(first):
        table, issues, told = read_noos(path, lines, mapping)
        notes += told
    elif _is_harmonic(first):
        todo = "give the series that they were computed from"
        raise MetadataError("harmonic constants of the tide, no series of measurements", where=str(path), todo=todo)
    else:
        raise AssetError("neither DIA nor NOOS text", where=str(path), got=first[0][:80] if first else "no text")
    return Observations(table, tuple(issues), common.about(mapping), notes)


def _is_harmonic(lines: Sequence[str]) -> bool:
    return any(line.startswith("STAT ") for line in lines) and any(
        line.startswith(("COMP ", "PERD ")) for line in lines
    )


@dataclass(slots=True)
class _Block:
    """One series of a DIA file: what its header says, and its lines of values."""

    start: int
    fields: dict[str, list[list[str]]] = field(default_factory=dict)
    lines: list[tuple[int, str]] = field(default_factory=list)

    def get(self, key: str, place: int = 0) -> str:
        """Give a part of the first line with that key, empty if it has none."""
        parts = self.fields.get(key, [[]])[0]
        return parts[place].strip() if place < len(parts) else ""


def _blocks(lines: list[str]) -> Iterator[_Block]:
    block, values = None, False
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if bare.startswith("["):
            values = bare.upper() == "[WRD]"
            if bare.upper() == "[W3H]":
                if block is not None:
                    yield block
                block = _Block(number)
        elif block is not None and bare:
            if values:
                block.lines.append((number, bare))
            else:
                key, *parts = bare.split(";")
                block.fields.setdefault(key, []).append(parts)
    if block is not None:
        yield block


def _read_dia(path: Path, lines: list[str], mapping: Mapping | None) -> tuple[pd.DataFrame, list[Issue]]:
    zone = common.zone_of(mapping)
    if zone is None:
        raise MetadataError(
            "DIA files tell no time zone",
            where=str(path),
            expected="time.zone in the mapping",
            todo="ask the provider; DONAR itself keeps MET, which is '+01:00' all year",
        )
    tables, issues, refusals = [], [], []
    for block in _blocks(lines):
        try:
            table, told = _series(path, block, zone)
        except TerraCubeError as error:
            refusals.append(error)
            issues.append(Issue(path.name, block.start, "[W3H]", str(error), block.get("PAR"), "refused"))
        else:
            tables.append(table)
            issues += told
    if not tables:
        raise refusals[0] if refusals else AssetError("the file holds no series", where=str(path), expected="[W3H]")
    return join(tables), issues


def _series(path: Path, block: _Block, zone: str) -> tuple[pd.DataFrame, list[Issue]]:
    where = f"{path}, line {block.start}"
    term = _term(block, where)
    if not block.get("LOC"):
        raise MetadataError("no station", where=where, expected="LOC")
    rows, items = _items(block)
    if not items:
        raise AssetError("a series without values", where=where, expected="lines below [WRD]")
    kind = block.get("TYP")
    if kind == "TE":
        local, pairs = _regular(block, len(items), where), pd.Series(items, dtype=object)
    elif kind == "TN":
        local, pairs = _irregular(items)
    else:
        raise AssetError("only series at a point are read", where=where, expected="TYP;TE or TYP;TN", got=kind)
    told = pairs.str.partition("/")
    quality, known = common.integers(told[2])
    values = common.numbers(told[0].str.replace(",", ".", regex=False))
    gap = (quality == _GAP) | (np.abs(values) >= _GAP_VALUE)
    moment, unsure = common.to_utc(local, zone)
    broken = np.isnat(moment) | ~known | (np.isnan(values) & ~gap)
    issues = tell(path.name, rows[broken], "[WRD]", what="no value", values=pairs[broken].tolist(), action="left out")
    lon, lat, trouble = _position(path, block)
    unit = block.get("EHD", 1)
    flags, tests, odd = _flags(block, local, quality, gap)
    flags[unsure], tests[unsure] = SUSPECT, f"ambiguous_time:{SUSPECT}"
    issues += trouble + common.counted(
        path.name, odd, field="[WRD]", what="unknown quality or status", action="flagged"
    )
    table = make(
        station=block.get("LOC"),
        station_name=block.get("LOC", 1),
        time=moment,
        lon=lon,
        lat=lat,
        variable=term.name,
        value=common.in_unit_of(np.where(gap, np.nan, values), unit, term),
        unit=term.unit,
        method=_method(block),
        qc=flags,
        qc_tests=tests,
        original_value=told[0],
        original_unit=unit,
        source=common.sources(path.name, rows),
    )
    return table[~broken], issues


def _items(block: _Block) -> tuple[np.ndarray, list[str]]:
    """Give the values of a block as texts, and the line on which each ends."""
    items = (
        ":".join(part for _, line in block.lines for part in [line.removesuffix(":")]).split(":") if block.lines else []
    )
    counts = [line.removesuffix(":").count(":") + 1 for _, line in block.lines]
    return np.repeat(np.array([number for number, _ in block.lines], dtype="int64"), counts), items


def _regular(block: _Block, count: int, where: str) -> np.ndarray:
    """Give the local times of a series with a fixed step, if it holds as many values as its period asks for."""
    told = [block.get("TYD", place) for place in range(6)]
    start, end = (_local(pd.Series([day]), pd.Series([clock]))[0] for day, clock in (told[:2], told[2:4]))
    step = common.numbers(told[4:5])[0] * _STEPS.get(told[5], np.nan)
    if np.isnat(start) or np.isnat(end) or not 0 < step < 1e9:
        raise MetadataError(
            "no period and step", where=where, expected="TYD;date;time;date;time;step;unit", got=";".join(told)
        )
    expected = (end - start) / np.timedelta64(1, "s") / step + 1
    if count != expected:
        raise AssetError(
            "not as many values as the period has steps", where=where, expected=f"{expected:g}", got=str(count)
        )
    return np.asarray(start + common.seconds(np.arange(count) * step))


def _irregular(items: list[str]) -> tuple[np.ndarray, pd.Series]:
    parts = pd.Series(items, dtype=object).str.split(";", n=2, expand=True).reindex(columns=range(3)).fillna("")
    return _local(parts[0], parts[1]), parts[2]


def _local(day: pd.Series, clock: pd.Series) -> np.ndarray:
    """Give ``yyyymmdd`` and ``hhmm`` as a local time; 2400 is the end of the day."""
    (hhmm, whole), day = common.integers(clock), day.str.strip()
    fits = whole & (hhmm >= 0) & (hhmm <= 2400) & (hhmm % 100 < 60) & (day.str.len() == 8).to_numpy()
    moment = common.dates(day.str[:4], day.str[4:6], day.str[6:])
    moment = moment + (hhmm // 100 * 60 + hhmm % 100).astype("m8[m]")
    return np.where(fits, moment, np.datetime64("NaT", "us"))


def _term(block: _Block, where: str) -> Term:
    code, title = block.get("PAR"), block.get("PAR", 1)
    if block.get("CPM") not in _SURFACE_WATER:
        got = "CPM;" + ";".join(block.fields.get("CPM", [[]])[0])
        raise MetadataError("not measured in surface water", where=where, expected="CPM;10", got=got)
    name = _PARAMETERS.get(code)
    term = term_named(name) if name else (find_term(title) if title else None)
    if term is None:
        raise MetadataError(
            "a parameter that is not in the vocabulary", where=where, got=f"{code} {title}".strip()[:80]
        )
    return (
        term_named("water_level_predicted") if term.name == "water_level" and block.get("ANA") in _PREDICTED else term
    )


def _method(block: _Block) -> str:
    """Give how the value was got, and the datum that it is told against."""
    parts = [block.get("ANA", 1), block.get("VAT", 1), f"datum {block.get('HDH')}" if block.get("HDH") else ""]
    return "; ".join(part for part in parts if part and part not in ("Niet van toepassing", "datum NVT", "Onbekend"))


def _flags(
    block: _Block, local: np.ndarray, quality: np.ndarray, gap: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Give the flag and the failed tests of each value, and the codes that are not known."""
    flags, odd = np.full(len(local), NOT_EVALUATED, dtype="uint8"), []
    for parts in block.fields.get("STA", []):
        status = parts[-1].strip() if parts else ""
        if status not in _STATUS:
            odd.append(f"STA;{status}")
        elif len(parts) >= 5:
            start, end = (_local(pd.Series([parts[n]]), pd.Series([parts[n + 1]]))[0] for n in (0, 2))
            flags[(local >= start) & (local <= end)] = _STATUS[status]
        elif len(parts) == 1:
            flags[:] = _STATUS[status]
    tests = np.full(len(local), "", dtype=object)
    filled = quality == _INTERPOLATED
    flags[filled], tests[filled] = NOT_EVALUATED, "interpolated:2"
    for code in np.unique(quality[~np.isin(quality, (_NORMAL, _INTERPOLATED, _GAP))]):
        flag = SUSPECT if code > _LAST_USABLE else NOT_EVALUATED
        here = quality == code
        flags[here], tests[here] = flag, f"donar_quality_{code}:{flag}"
        odd += [f"quality {code}"] * int(here.sum())
    flags[gap], tests[gap] = MISSING, ""
    return flags, tests, odd


def _position(path: Path, block: _Block) -> tuple[float, float, list[Issue]]:
    """Give the position in WGS 84, NaN with an issue where its system is not known."""
    system, told = block.get("LOC", 3), [block.get("LOC", 4), block.get("LOC", 5)]
    x, y = common.numbers(told)
    where = f"{path}, line {block.start}, LOC"
    if np.isfinite(x) and np.isfinite(y) and (x, y) != (0, 0):
        if system in _GRIDS:
            return (*common.to_wgs84(x / 100, y / 100, _GRIDS[system], where), [])
        if system in _ANGLES:
            return (*common.to_wgs84(_angle(x), _angle(y), _ANGLES[system], where), [])
    value = ";".join([system, *told])
    return np.nan, np.nan, [Issue(path.name, block.start, "LOC", "no position in a known system", value, "flagged")]


def _angle(packed: float) -> float:
    """Give degrees of ``DDDMMSSss``.

    Examples
    --------
    >>> _angle(51_303_600.0), _angle(-1_300_000.0)
    (51.51, -1.5)
    """
    size = abs(packed)
    degrees, minutes, rest = size // 1e6, size // 1e4 % 100, size % 1e4
    return float(np.copysign(degrees + minutes / 60 + rest / 360_000, packed))
