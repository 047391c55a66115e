"""What a table seems to be: guesses for a person to confirm, never used at reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa

from terracube.core.errors import TerraCubeError
from terracube.ingest.insitu.headers import converts, trailing_units
from terracube.ingest.insitu.numbers import CENSORED, NUMBER, UNDETECTED, WRONG, Style, look_alikes, read_numbers
from terracube.ingest.insitu.raw import Cells, Head
from terracube.ingest.insitu.textfiles import DELIMITERS, records
from terracube.ingest.insitu.times import read_times
from terracube.ingest.insitu.unittext import is_unit
from terracube.ingest.insitu.vocabulary import vocabulary

_ROLES: dict[str, str] = {
    "time": "date|time|datetime|date time|timestamp|sampling date|sample date|sampling time|date_col|datum|data|fecha|"
    "zeit|datum/zeit|visit date|date utc|time utc|datetime utc|when|日期|时间|采样时间|采样日期|监测时间|"
    "观测时间|年月日",
    "clock": "hour|time of day|clock|uhrzeit|heure|godzina|时刻|sample time",
    "station": "site no|site number|site code|site name|station no|station number|station code|"
    "station|site|station id|site id|siteid|stationid|id|code|lake|lake name|name|nla_id|station name|"
    "sample|sample id|point|lake id|abbreviation|stacja|jezioro|see|站点|站名|站位|测站|湖泊|湖名|湖泊名称|名称|"
    "messstelle|probenahmestelle|gewässer|编号|采样点|点位|样点|断面",
    "lon": "geometry lon|lon|long|longitude|lng|x|easting|lon_dd|longitude (e)|decimal longitude|longitudedd|länge|"
    "geogr länge|długość|经度|东经|albersx|east",
    "lat": "geometry lat|lat|latitude|y|northing|lat_dd|latitude (n)|decimal latitude|latitudedd|breite|"
    "geogr breite|szerokość|纬度|北纬|albersy|north",
    "depth": "depth|sample depth|sampling depth|depth (m)|z|tiefe|głębokość|深度|采样深度|水层",
    "replicate": "replicate|rep|repeat|平行样|重复",
}
_MAX_NAMES = 500
#: Columns of numbers that make a time together.
_PARTS: dict[str, str] = {
    "year": "year|yr|yyyy|jahr|rok|年|年份",
    "month": "month|mon|mm|monat|miesiąc|月|月份",
    "day": "day|dd|tag|dzień|day of month|日",
    "hour": "hour|hr|hh|stunde|godzina|时|小时",
    "minute": "minute|min|minuta|分|分钟",
}
#: Columns of a table with one value per row.
_LONG: dict[str, str] = {
    "variable": "parameter|variable|analyte|characteristic|characteristic name|determinand|indicator|parametr|"
    "项目|指标|参数|监测项目|监测指标|检测项目|变量",
    "value": "value|result|concentration|measurement|result value|measured value|wert|wartość|值|数值|浓度|结果|"
    "监测值|测定值|检测结果",
    "unit": "unit|units|uom|einheit|jednostka|单位",
}
_FORMATS = (
    *("%d.%m.%Y", "%m.%d.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%Y年%m月%d日", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")


@dataclass(slots=True)
class Layoutish:
    """How a table seems to lie."""

    delimiter: str = ","
    header: int = 1
    header_rows: int = 1
    unit_row: int = 0
    unsure: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How times seem to be written."""

    form: str
    """Empty if nothing fits, or if two readings fit equally."""
    zoned: bool
    day_only: bool
    unsure: tuple[str, ...]


def guess_layout(text: str, delimiter: str = "") -> Layoutish:
    """Guess delimiter, rows of names and units of the start of a text."""
    if not delimiter:
        widths = {mark: _usual_width(text, mark) for mark in DELIMITERS}
        decimals = len(re.findall(r"\d,\d", text)) > 0.9 * text.count(",")
        if decimals and any(widths[mark] > 1 for mark in DELIMITERS if mark != ","):
            widths[","] = 0
        delimiter = max(widths, key=lambda mark: widths[mark]) if max(widths.values()) > 1 else ","
        rival = sorted(widths.values())[-2]
        unsure = (
            [f"delimiter {delimiter!r}: another mark also cuts the rows"] if 2 * rival >= widths[delimiter] > 1 else []
        )
    else:
        unsure = []
    found = guess_header(records(text, delimiter, 200))
    found.delimiter, found.unsure = delimiter, unsure + found.unsure
    return found


def guess_header(rows: Sequence[Sequence[str]]) -> Layoutish:
    """Guess which rows hold names and units: the rows of words before the first row with numbers."""
    width = Counter(len(row) for row in rows if any(row)).most_common(1)
    usual = width[0][0] if width else 0
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    numeric = [
        sum(bool(re.fullmatch(r"\s*[<>]?\s*[+-]?[\d.,]+(e[+-]?\d+)?\s*", cell, re.I)) for cell in row) for row in rows
    ]
    first = next((at for at, count in enumerate(numeric) if count and filled[at] > 1), 0)
    words = [at for at in range(first) if filled[at] > 1 or (filled[at] == usual == 1)]
    found = Layoutish()
    if not words:
        found.unsure.append("header: no row of names was found")
        found.header = 0 if numeric and numeric[0] else 1
        return found
    last = words[-1]
    units = [cell for cell in rows[last] if cell.strip()]
    if len(words) > 1 and sum(is_unit(cell.strip("()[] ")) for cell in units) > 0.6 * len(units):
        found.unit_row, words = last + 1, words[:-1]
    names = words[-1]
    found.header = names + 1
    # A row above that is filled in part is one of merged cells, unless only its first cell is: that is a title.
    if names and 0 < filled[names - 1] < usual and any(cell.strip() for cell in rows[names - 1][1:]):
        found.header, found.header_rows = names, 2
    if found.header > 1 or found.header_rows > 1 or found.unit_row:
        found.unsure.append("header: which rows hold names and units")
    return found


def guess_role(name: str) -> str:
    """Guess what a column is by its name: time, clock, station, lon, lat, depth, replicate, or empty.

    Examples
    --------
    >>> guess_role("经度"), guess_role("Sampling date"), guess_role("TN")
    ('lon', 'time', '')
    >>> guess_role("SAMPLE.ID"), guess_role("Depth_m")
    ('station', 'depth')
    """
    role = _role(re.sub(r"[(\[\uff08].*?[)\]\uff09]", "", name)) or _role(name)
    for stem, unit in () if role else trailing_units(name):
        found = _role(stem)
        if (found == "depth" and converts(unit, vocabulary()["water_depth"])) or (
            found in ("lon", "lat") and unit.startswith("deg")
        ):
            return found
    return role


def _role(name: str) -> str:
    bare = re.sub(r"[\s_.]+", " ", name).strip().casefold()
    return _roles().get(bare) or ("time" if re.match(r"(sampl\w* |visit )?date\b", bare) else "")


@cache
def _roles() -> AnyMapping[str, str]:
    """Roles by their names; where two have one name, the first counts."""
    pairs = [(re.sub(r"[\s_.]+", " ", name), role) for role, names in _ROLES.items() for name in names.split("|")]
    return dict(reversed(pairs))


def guess_long(names: Sequence[str]) -> dict[str, int]:
    """Guess the columns (variable, value, unit) of a table with one value per row; empty if it is none.

    Examples
    --------
    >>> guess_long(["Lake", "Date", "Parameter", "Result", "Unit"])
    {'variable': 2, 'value': 3, 'unit': 4}
    """
    told = _parts_of(names, _LONG)
    return told if {"variable", "value"} <= set(told) else {}


def guess_parts(names: Sequence[str]) -> dict[str, int]:
    """Guess the columns of year, month, day, hour and minute; empty if the day is not whole.

    Examples
    --------
    >>> guess_parts(["Lake", "Year", "Month", "Day", "TN"])
    {'year': 1, 'month': 2, 'day': 3}
    """
    told = _parts_of(names, _PARTS)
    return told if {"year", "month", "day"} <= set(told) else {}


def _parts_of(names: Sequence[str], known: AnyMapping[str, str]) -> dict[str, int]:
    bare = [re.sub(r"[\s_.]+", " ", name).strip().casefold() for name in names]
    found = {part: [at for at, name in enumerate(bare) if name in told.split("|")] for part, told in known.items()}
    return {part: at[0] for part, at in found.items() if at}


def guess_thousands(columns: AnyMapping[int, pa.Array], decimal: str) -> str:
    """Guess the mark between thousands by numbers that have both marks (1.234,5); empty if there are none."""
    mark = "," if decimal == "." else "."
    form = re.compile(rf"[<>]?\s*[+-]?\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+{re.escape(decimal)}\d+")
    texts = (text for column in columns.values() for text in column.slice(0, 500).to_pylist())
    return mark if any(form.fullmatch(text.strip()) for text in texts) else ""


def guess_roles(head: Head, cells: Cells) -> dict[str, int]:
    """Give the first column of each role; of several columns of time, one with times of day alone is the clock."""
    roles: dict[str, int] = {}
    told = [guess_role(name) for name in head.names]
    for at, role in enumerate(told):
        if role:
            roles.setdefault(role, at)
    if "time" in roles and "clock" not in roles:
        times = [at for at, role in enumerate(told) if role == "time"]
        clocks = [at for at in times if is_clock(cells.columns[at])]
        days = [at for at in times if at not in clocks]
        if clocks and days:
            roles |= {"time": days[0], "clock": clocks[0]}
    return roles


def names_and_units(cells: Cells, found: dict[str, int]) -> dict[str, str]:
    """Give the names in the column of names, and a unit of each."""
    texts = [text.strip() for text in cells.columns[found["variable"]].to_pylist()]
    units = [""] * len(texts)
    if "unit" in found:
        units = [text.strip() for text in cells.columns[found["unit"]].to_pylist()]
    named = {name: unit for name, unit in zip(texts, units, strict=True) if name}
    return dict(list(named.items())[:_MAX_NAMES])


def in_degrees(name: str) -> bool:
    """Tell whether a column that has a longitude has it in degrees, by its name."""
    return any(word in name.casefold() for word in ("lon", "lng", "经", "läng", "dług"))


def unread(names: Sequence[str]) -> list[str]:
    """Give the lines that list what a draft leaves out."""
    title = ["# Not read, for their names are not known, or no numbers stand below:"] if names else []
    return [*title, *[f"#   {name}" for name in names]]


def guess_decimal(columns: AnyMapping[int, pa.Array]) -> tuple[str, list[str]]:
    """Guess the decimal mark by how many cells are numbers with each."""
    counts = {".": 0, ",": 0}
    grouped = {".": 0, ",": 0}
    for column in columns.values():
        for text in column.slice(0, 500).to_pylist():
            bare = text.strip().lstrip("<> ")
            for mark in counts:
                counts[mark] += bool(re.fullmatch(rf"[+-]?\d+{re.escape(mark)}\d+(e[+-]?\d+)?", bare, re.I))
                grouped[mark] += bool(re.fullmatch(rf"[+-]?\d{{1,3}}({re.escape(mark)}\d{{3}})+", bare))
    chosen = "," if counts[","] > counts["."] else "."
    told = [f"decimal: {counts['.']} cells have a point, {counts[',']} a comma"] if min(counts.values()) else []
    other = "," if chosen == "." else "."
    if grouped[other]:
        told.append(f"{grouped[other]} numbers such as 1{other}234: does the mark separate thousands?")
    return chosen, told


def guess_times(texts: pa.Array, rows: np.ndarray) -> TimeForm:
    """Guess how times are written; tell both readings of day and month, and which rows decide."""
    series = pd.Series(texts.to_pylist(), dtype=object).str.strip()
    known = (series != "").to_numpy()
    if not known.any():
        return TimeForm("", False, False, ("time: the column is empty",))
    filled, at = pa.array(series[known].tolist(), pa.string()), rows[known]
    iso = read_times(filled, zone="UTC")
    known_iso = ~np.isnat(iso.utc)
    if known_iso.mean() > 0.5:
        open_ = read_times(filled).zoneless
        example = filled.filter(pa.array(~known_iso)).slice(0, 1).to_pylist()
        odd = f"time: {(~known_iso).sum()} are not written like the others, such as {example}"
        return TimeForm("iso", not open_.any(), bool(iso.day_only[known_iso].all()), () if known_iso.all() else (odd,))
    numbers = pd.to_numeric(series[known], errors="coerce")
    if numbers.between(10_000, 80_000).mean() > 0.9:
        return TimeForm(
            "excel", False, bool((numbers % 1 == 0).all()), ("time: serial days of a spreadsheet, from 1900 or 1904?",)
        )
    fits = {form: _fit(filled, form) for day in _FORMATS for form in _with_clocks(day)}
    best = max(mask.sum() for mask in fits.values())
    if best < 0.5 * len(filled):
        return TimeForm("", False, False, (f"time: no format found for {', '.join(filled.to_pylist()[:3])}",))
    chosen = [form for form, mask in fits.items() if mask.sum() == best]
    return _decided(chosen, fits, filled, at)


def is_clock(texts: pa.Array) -> bool:
    """Tell whether a column holds times of day and no dates."""
    told = [text.strip() for text in texts.slice(0, 500).to_pylist() if text.strip()]
    return bool(told) and sum(bool(re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", text)) for text in told) > 0.5 * len(
        told
    )


def guess_marks(texts: pa.Array, decimal: str, thousands: str = "") -> tuple[list[float], list[str], int, bool]:
    """Give numbers that look like "no value", texts that are no number, how many have a limit, and if it is numeric."""
    found = read_numbers(texts, Style(decimal, thousands))
    marks = np.unique(found.values[look_alikes(found.values, found.values < 0) & (found.status == NUMBER)])
    below = int(np.isin(found.status, (CENSORED, UNDETECTED)).sum())
    wrong = pa.array(np.flatnonzero(found.status == WRONG))
    odd = list(dict.fromkeys(texts.take(wrong).slice(0, 5000).to_pylist()))
    numeric = int((found.status == NUMBER).sum())
    return [float(mark) for mark in marks[:10]], odd[:10], below, numeric + below > len(wrong)


def _usual_width(text: str, mark: str) -> int:
    try:
        rows = [row for row in records(text, mark, 100) if any(row)]
    except TerraCubeError:
        return 0
    widths = Counter(len(row) for row in rows)
    width, count = widths.most_common(1)[0] if widths else (0, 0)
    return width if count >= 0.6 * sum(widths.values()) else 0


def _with_clocks(day: str) -> list[str]:
    return [day + clock for clock in _CLOCKS]


def _fit(texts: pa.Array, form: str) -> np.ndarray:
    sample = texts.slice(0, 2000)
    read = pd.to_datetime(pd.Series(sample.to_pylist()), format=form, errors="coerce")
    return read.notna().to_numpy()


def _decided(chosen: Sequence[str], fits: AnyMapping[str, np.ndarray], texts: pa.Array, rows: np.ndarray) -> TimeForm:
    form = chosen[0]
    day_only = "%H" not in form and "%I" not in form
    short = ("time: years have two digits",) if "%y" in form else ()
    if len(chosen) > 1:
        every = np.flatnonzero(np.logical_and.reduce([fits[one] for one in chosen[:4]]))
        shown = texts[int(every[0])].as_py() if every.size else ""
        told = [
            f"{one} ({shown} is {pd.to_datetime(shown, format=one):%Y-%m-%d})" if shown else one for one in chosen[:4]
        ]
        return TimeForm("", False, day_only, (f"time.format: every row can be read as {' or as '.join(told)}", *short))
    rival = form.translate(str.maketrans("dm", "md")) if re.search("%d.%m|%m.%d", form) else ""
    if rival not in fits:
        return TimeForm(form, False, day_only, short)
    against = np.flatnonzero(fits[form] & ~fits[rival])
    told_rows = ", ".join(f"row {rows[at]} ({texts[int(at)].as_py()})" for at in against[:3])
    return TimeForm(form, False, day_only, (f"time.format: {form}, not {rival}, because of {told_rows}", *short))
