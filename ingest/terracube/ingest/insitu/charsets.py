"""In which encoding bytes may be a text; for a person to confirm."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

#: Encodings of tables that are no UTF-8, as they are met in practice.
ENCODINGS = ("gb18030", "cp1250", "cp1252", "iso8859-2", "latin-1", "big5", "shift_jis", "cp1251")
#: Comma, brackets, degree and micro sign as Chinese tables have them.
_CHINESE_MARKS = "\uff0c\uff08\uff09\u2103\u03bc"


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


def strange_part(text: str) -> float:
    """Give the share of the characters of a text that stand in none: control characters, and places without a letter.

    Examples
    --------
    >>> strange_part("a,b\\n1,2\\n"), strange_part("\\x01\\x02")
    (0.0, 1.0)
    """
    odd = sum(count for letter, count in Counter(text).items() if unicodedata.category(letter) in ("Cc", "Cn", "Co"))
    return (odd - sum(text.count(mark) for mark in "\t\n\r\f\v")) / max(len(text), 1)


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
