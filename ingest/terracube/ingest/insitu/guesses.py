"""What a table seems to be: guesses for a person to confirm, never used at reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from terracube.core.errors import TerraCubeError
from terracube.ingest.insitu.numbers import CENSORED, NUMBER, UNDETECTED, WRONG, Style, look_alikes, read_numbers
from terracube.ingest.insitu.raw import unit_in
from terracube.ingest.insitu.textfiles import DELIMITERS, records
from terracube.ingest.insitu.times import read_times
from terracube.ingest.insitu.unittext import is_unit

#: Encodings of tables that are no UTF-8, as they are met in practice.
ENCODINGS = ("gb18030", "cp1250", "cp1252", "iso8859-2", "latin-1", "big5", "shift_jis", "cp1251")
_ROLES: dict[str, str] = {
    "time": "date|time|datetime|date time|timestamp|sampling date|sample date|sampling time|date_col|datum|data|fecha|"
    "zeit|datum/zeit|visit date|date utc|time utc|datetime utc|when|日期|时间|采样时间|采样日期|监测时间|"
    "观测时间|年月日",
    "clock": "hour|time of day|clock|uhrzeit|heure|godzina|时刻|sample time",
    "station": "station|site|station id|site id|siteid|stationid|id|code|lake|lake name|name|nla_id|station name|"
    "sample|sample id|point|lake id|abbreviation|stacja|jezioro|see|站点|站名|站位|测站|湖泊|湖名|湖泊名称|名称|"
    "编号|采样点|点位|样点|断面",
    "lon": "lon|long|longitude|lng|x|easting|lon_dd|longitude (e)|decimal longitude|longitudedd|经度|东经|albersx|east",
    "lat": "lat|latitude|y|northing|lat_dd|latitude (n)|decimal latitude|latitudedd|纬度|北纬|albersy|north",
    "depth": "depth|sample depth|sampling depth|depth (m)|z|tiefe|głębokość|深度|采样深度|水层",
    "replicate": "replicate|rep|repeat|平行样|重复",
}
_FORMATS = (
    *("%d.%m.%Y", "%m.%d.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%Y年%m月%d日", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")
#: Comma, brackets, degree and micro sign as Chinese tables have them.
_CHINESE_MARKS = "\uff0c\uff08\uff09\u2103\u03bc"


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


def guess_encoding(content: bytes) -> tuple[str, list[str]]:
    """Guess the encoding of bytes that are no UTF-8; give how they read in each that fits, the likeliest first."""
    if content[:2000].count(b"\0") > 0.2 * len(content[:2000]):
        even = content[0:2000:2].count(b"\0") < content[1:2000:2].count(b"\0")
        return ("utf-16-le" if even else "utf-16-be"), ["zero bytes in every other place: UTF-16"]
    readings: dict[str, tuple[float, str]] = {}
    for encoding in ENCODINGS:
        try:
            text = content[: 1 << 20].decode(encoding, errors="strict")
        except UnicodeDecodeError as error:
            if error.end < len(content[: 1 << 20]) - 4:
                continue
            text = content[: error.start].decode(encoding, errors="ignore")
        found = re.findall(r"[\w\x80-\U0010ffff]+", text)
        words = list(dict.fromkeys(word for word in found if not word.isascii()))[:200]
        readings[encoding] = (_plausible(encoding, words), ", ".join(words[:6])[:100])
    ordered = sorted(readings, key=lambda name: -readings[name][0])
    return (ordered[0] if ordered else ""), [f"{name}: {readings[name][1]}" for name in ordered[:5]]


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
    """
    bare = re.sub(r"[(\[\uff08].*?[)\]\uff09]", "", name).strip().casefold().replace("_", " ")
    for role, names in _ROLES.items():
        known = [one.replace("_", " ") for one in names.split("|")]
        if bare in known or name.strip().casefold() in known:
            return role
    return "time" if re.match(r"(sampl\w* |visit )?date\b", bare) else ""


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


def guess_marks(texts: pa.Array, decimal: str) -> tuple[list[float], list[str], int, bool]:
    """Give numbers that look like "no value", texts that are no number, how many have a limit, and if it is numeric."""
    found = read_numbers(texts, Style(decimal))
    marks = np.unique(found.values[look_alikes(found.values, found.values < 0) & (found.status == NUMBER)])
    below = int(np.isin(found.status, (CENSORED, UNDETECTED)).sum())
    wrong = pa.array(np.flatnonzero(found.status == WRONG))
    odd = list(dict.fromkeys(texts.take(wrong).slice(0, 5000).to_pylist()))
    numeric = int((found.status == NUMBER).sum())
    return [float(mark) for mark in marks[:10]], odd[:10], below, numeric + below > len(wrong)


def _plausible(encoding: str, words: Sequence[str]) -> float:
    """How much the words look like words: letters, small ones within, no drawings; Chinese where it is Chinese."""
    whole = "".join(words)
    other = [letter for letter in whole if ord(letter) > 127]
    if not other:
        return 0.5
    if encoding in ("gb18030", "big5", "shift_jis"):
        common = sum(
            "\u4e00" <= letter <= "\u9fa5" or "\u3000" <= letter <= "\u30ff" or letter in _CHINESE_MARKS
            for letter in other
        )
        runs = len(re.findall("[\u4e00-\u9fff]{2,}", " ".join(words)))
        alone = sum(bool(re.search("[a-z][\u4e00-\u9fff]|[\u4e00-\u9fff][a-z]", word)) for word in words)
        bonus = 0.3 if encoding == "gb18030" else 0.0
        return (common / len(other) + bonus) * (1.0 if runs and alone < 0.3 * len(words) else 0.1)
    odd = sum(len(re.findall(r"[A-Za-z]{0,30}[²³°][a-z]{2,}|[A-Za-z]{3,}[²³°]", word)) for word in words)
    letters = (sum(letter.isalpha() or letter in "°µ²³" for letter in other) - odd) / len(other)
    inner = [letter for word in words for letter in word[1:] if ord(letter) > 127]
    small = sum(letter.islower() or letter in "°µ²³" for letter in inner) / len(inner) if inner else 1.0
    control = sum("\x80" <= letter < "\xa0" for letter in other) / len(other)
    return letters * small * (1 - control) * (0.6 if encoding == "cp1251" else 1.0) - 0.01 * (encoding != "cp1252")


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


def unit_of(name: str, unit_row: str) -> str:
    """Give the unit that stands in the unit row or in the name."""
    return unit_row or unit_in(name)
