"""Cells as numbers: decimal commas, thousands, "<0.01", "n.d.", sentinel values, and what is no number at all.

A value below the detection limit is censored, never zero; "no value" is missing, never zero; what cannot be read as a
number is told, never mended by a guess.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: What was made of a cell.
EMPTY, NUMBER, CENSORED, UNDETECTED, ABSENT, REMARK, WRONG = range(7)
#: Common ways to say "below the detection limit", in small letters and without dots and spaces.
_UNDETECTED = frozenset(
    {
        *("nd", "n/d", "bdl", "bd", "udl", "lod", "<dl", "<lod", "<loq", "<mdl", "<rl", "<bdl", "<det", "<bg", "nn"),
        *("<detectionlimit", "belowdetection", "belowdetectionlimit", "notdetected", "undetected", "undetectable"),
        *("nichtnachweisbar", "unterbg", "未检出", "未检测到", "低于检出限", "<检出限", "检出限以下"),
    }
)
#: Common ways to say that there is no value, in small letters; the first two of the second row are longer dashes.
_ABSENT = frozenset(
    {
        *("-", "--", "---", "/", "\\", ".", "..", "...", "*", "?", "na", "n/a", "n.a.", "n. a.", "k.a.", "#n/a", "#na"),
        *(
            "\u2013",
            "\u2014",
            "nan",
            "none",
            "null",
            "nil",
            "nodata",
            "no data",
            "missing",
            "无",
            "缺测",
            "未测",
            "缺失",
        ),
    }
)
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_PLAIN = re.compile(_NUMBER)
_LIMIT = re.compile(r"[<>]=?|=[<>]|≤|≥|&lt;|&gt;")
#: Numbers that stand for "no value" in many files.
_SENTINELS = (
    *(-9.0, -99.0, -99.9, -99.99, -999.0, -999.9, -999.99, -999.999, -9999.0, -9999.9, -9999.99, -99999.0, -999999.0),
    *(-888.0, -8888.0, -777.0, -1e34, -1e32, -32768.0, -32767.0, -2147483648.0),
    *(99.99, 999.0, 999.9, 999.99, 999.999, 9999.0, 9999.9, 9999.99, 99999.0, 99999.99, 999999.0, 1e20, 1e30, 1e35),
    *(9.969209968386869e36, 9.96921e36, 32767.0, 65535.0, 2147483647.0),
)


@dataclass(frozen=True, slots=True)
class Style:
    """How numbers are written in a column."""

    decimal: str = "."
    thousands: str = ""
    missing: tuple[str | float, ...] = ()
    """Declared: texts as they stand, numbers by their value."""
    undetected: tuple[str, ...] = ()
    """Declared: more texts for "below the limit"."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What was made of the cells of a column."""

    values: np.ndarray
    """float64; the limit of a censored cell; NaN where there is no number."""
    status: np.ndarray
    """uint8: EMPTY, NUMBER, CENSORED, UNDETECTED (no limit told), ABSENT (declared or said), REMARK, WRONG."""
    above: np.ndarray
    """bool: of the censored cells, those above their limit."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a cell is WRONG or REMARK, by its text."""


def read_numbers(cells: pa.Array | pa.ChunkedArray, style: Style) -> Numbers:
    """Read a column of texts as numbers.

    Parameters
    ----------
    cells : pyarrow string array
        Null counts as empty.
    style : Style
        How they are written.

    Examples
    --------
    >>> found = read_numbers(pa.array(["1,5", "<0,01", "n.d.", "", "-999", "abc"]), Style(decimal=",", missing=(-999,)))
    >>> found.values.tolist(), found.status.tolist()
    ([1.5, 0.01, nan, nan, nan, nan], [1, 2, 3, 0, 4, 6])
    """
    texts = _flat(cells)
    values, status = _plain_numbers(texts, style)
    odd = np.flatnonzero(status == WRONG)
    above, reasons = np.zeros(len(values), dtype=bool), {}
    if len(odd):
        # Each spelling is looked at once: a column says "n.d." a thousand times.
        coded = texts.take(pa.array(odd)).dictionary_encode()
        read = [_read_one(text, style) for text in coded.dictionary.to_pylist()]
        codes = coded.indices.to_numpy()
        status[odd] = np.array([one.status for one in read], dtype="uint8")[codes]
        values[odd] = np.array([one.value for one in read])[codes]
        above[odd] = np.array([one.above for one in read])[codes]
        reasons = {one.text: one.reason for one in read if one.reason}
    absent = (status == NUMBER) & _declared(values, style.missing)
    values[absent], status[absent] = np.nan, ABSENT
    return Numbers(values, status, above, reasons)


def look_alikes(values: np.ndarray, impossible: np.ndarray) -> np.ndarray:
    """Find values, in the delivered unit, that look like an undeclared "no value": -999, 9999, 9.96921e36, ...

    Such a number is one only if it stands out: it is impossible for the quantity, or more than twice as great as any
    other, signs aside. A conductivity of 999 among others of 700 is a conductivity.

    Examples
    --------
    >>> look_alikes(np.array([3.0, -999.0, 5.0]), np.array([False, True, False])).tolist()
    [False, True, False]
    >>> look_alikes(np.array([700.0, 999.0]), np.array([False, False])).tolist()
    [False, False]
    """
    suspect = np.isin(values, _SENTINELS) | (np.abs(values) >= 1e20)
    if not suspect.any():
        return suspect
    others = np.abs(values[~suspect & np.isfinite(values)])
    greatest = others.max() if len(others) else 0.0
    return np.asarray(suspect & (impossible | (np.abs(values) > 2 * greatest)))


@dataclass(frozen=True, slots=True)
class _Read:
    text: str
    status: int
    value: float = np.nan
    above: bool = False
    reason: str = ""


def _flat(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return pc.utf8_trim_whitespace(whole.cast(pa.string()))


def _plain_numbers(texts: pa.Array, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Read what is plainly a number; all else is empty or, for now, wrong."""
    size = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    status = np.where(size == 0, EMPTY, NUMBER).astype("uint8")
    cells = pc.if_else(pa.array(size == 0), pa.scalar(None, pa.string()), texts)
    dotted = _dotted(cells, style)
    try:
        values = pc.cast(dotted, pa.float64())
    except pa.ArrowInvalid:
        fits = pc.match_substring_regex(dotted, f"^{_NUMBER}$")
        values = pc.cast(pc.if_else(fits, dotted, pa.scalar(None, pa.string())), pa.float64())
    numbers = values.to_numpy(zero_copy_only=False).astype("float64", copy=True)
    status[(size > 0) & ~np.isfinite(numbers)] = WRONG
    numbers[status != NUMBER] = np.nan
    return numbers, status


def _dotted(cells: pa.Array, style: Style) -> pa.Array:
    """Numbers with a decimal point and nothing between the digits; what breaks the rules of the style is no number."""
    if style.decimal == "." and not style.thousands:
        return cells
    if style.thousands:
        mark, point = re.escape(style.thousands), re.escape(style.decimal)
        grouped = pc.match_substring_regex(cells, rf"^[+-]?\d{{1,3}}({mark}\d{{3}})+({point}\d*)?$")
        cells = pc.if_else(grouped, pc.replace_substring(cells, style.thousands, ""), cells)
    if style.decimal == ".":
        return cells
    # A point is no decimal mark here: "1.5" must not slip through.
    pointed = pc.match_substring(cells, ".")
    swapped = pc.replace_substring(cells, style.decimal, ".")
    return pc.if_else(pointed, pa.scalar("x"), swapped)


def _read_one(text: str, style: Style) -> _Read:
    plain = unicodedata.normalize("NFKC", text[:200]).replace("\u2212", "-").strip()
    small = plain.casefold()
    squeezed = re.sub(r"[\s.]", "", small)
    if text in style.missing or plain in style.missing:
        return _Read(text, ABSENT)
    if text in style.undetected or plain in style.undetected or squeezed in _UNDETECTED:
        return _Read(text, UNDETECTED)
    if small in _ABSENT:
        return _Read(text, ABSENT)
    number = _one_number(plain, style)
    if number is not None:
        return _Read(text, NUMBER, number)
    return (
        _censored(text, plain, style) or _remarked(text, plain, style) or _Read(text, WRONG, reason=_why(plain, style))
    )


def _one_number(plain: str, style: Style) -> float | None:
    dotted = _dotted(pa.array([plain]), style)[0].as_py()
    if not _PLAIN.fullmatch(dotted):
        return None
    value = float(dotted)
    return value if np.isfinite(value) else None


def _censored(text: str, plain: str, style: Style) -> _Read | None:
    sign = _LIMIT.match(plain)
    number = _one_number(plain[sign.end() :].strip(), style) if sign else None
    if sign is None or number is None:
        return None
    return _Read(text, CENSORED, number, above=sign[0] in (">", ">=", "=>", "≥", "&gt;"))


def _remarked(text: str, plain: str, style: Style) -> _Read | None:
    """A number with a remark of the laboratory: "~5", "5.2*", "12 J"."""
    bare = re.sub(r"^(~|≈|ca\.?|approx\.?|约)\s*", "", plain)
    bare = re.sub(r"\s*([*?!]+|\([A-Za-z]\)|(?<=[\d\s])[A-Z])$", "", bare)
    number = _one_number(bare, style) if bare != plain else None
    return None if number is None else _Read(text, REMARK, number, reason="a number with a remark")


def _why(plain: str, style: Style) -> str:
    if plain.startswith("#"):
        return "an error of the spreadsheet"
    if plain.startswith("=") and len(plain) > 1:
        return "a formula without its result"
    if plain.upper() in ("TRUE", "FALSE"):
        return "true or false, no number"
    other = "," if style.decimal == "." else "."
    if other in plain and _PLAIN.fullmatch(plain.replace(other, ".", 1)):
        return f"the decimal mark is declared as {style.decimal!r}"
    return "no number"


def _declared(values: np.ndarray, missing: Sequence[str | float]) -> np.ndarray:
    """Where a declared "no value" stands; to seven digits, because float32 files are written with seven."""
    hit = np.zeros(len(values), dtype=bool)
    for mark in missing:
        number = _as_number(mark)
        if number is not None:
            hit |= np.abs(values - number) <= 1e-6 * abs(number) if abs(number) >= 1e6 else values == number
    return hit


def _as_number(mark: str | float) -> float | None:
    if isinstance(mark, str):
        return float(mark) if _PLAIN.fullmatch(mark.strip()) else None
    return float(mark) if np.isfinite(mark) else None
