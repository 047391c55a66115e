"""Text for tables that a spreadsheet may open: what it would take for a formula is made plain."""

from __future__ import annotations

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def neutral(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would compute; leave all else, and numbers, as they are.

    A text that starts with an apostrophe gets one more, so that `plain` undoes it.

    Examples
    --------
    >>> neutral("=1+1"), neutral("-0.5"), neutral("'"), neutral(-0.5), neutral("Chl-a")
    ("'=1+1", '-0.5', "''", -0.5, 'Chl-a')
    """
    if not isinstance(value, str) or not value.startswith((*_FORMULA, "'")) or _is_number(value):
        return value
    return f"'{value}"


def plain(text: str) -> str:
    """Undo `neutral`.

    Examples
    --------
    >>> plain("'=1+1"), plain("''"), plain("Chl-a")
    ('=1+1', "'", 'Chl-a')
    """
    return text[1:] if text.startswith("'") else text


def _is_number(text: str) -> bool:
    """Tell whether a text is a plain signed number, which computes to itself."""
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and not text[0].isspace() and "_" not in text
