"""A table as it stands in a file: names of columns, units, and cells as texts, with the row that each came from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from terracube.core.errors import InputError
from terracube.ingest.insitu.table import Issue
from terracube.ingest.insitu.unittext import is_unit

#: Longer texts in cells are no measurements, names or dates.
MAX_TEXT = 2000
MAX_COLUMNS = 20_000
_BRACKETS = re.compile(r"[(\[{\uff08\u3010]([^()\[\]{}\uff08\uff09\u3010\u3011]*)[)\]}\uff09\u3011]")


@dataclass(frozen=True, slots=True)
class Cells:
    """Columns of a table, as texts."""

    columns: dict[int, pa.Array]
    """By number from 0; an empty cell is an empty text."""
    rows: np.ndarray
    """int64: row of the file of each, from 1 as a person sees it."""
    issues: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()
    of_workbook: bool = False
    """Its dates are written in ISO 8601, whatever the layout says."""


class RawTable(Protocol):
    """A table of a file, opened."""

    @property
    def source(self) -> str:
        """Name of the file."""

    @property
    def head(self) -> Head:
        """Names and units."""

    def cells(self, wanted: Sequence[int], most: int | None = None) -> Cells:
        """Read some columns (numbers from 0), of the first ``most`` rows or of all."""


@dataclass(frozen=True, slots=True)
class Head:
    """Names of the columns of a table, and their units."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    """From the unit row, or else the brackets of the name; empty if none is told."""
    first: int
    """First row of data, from 1."""
    notes: tuple[str, ...] = field(default=())

    def find(self, ref: str | int, *, where: str) -> int:
        """Give the number, from 0, of the column that a mapping means.

        The name as it stands comes first; then case and spaces, and then a unit in brackets, make no difference.

        Raises
        ------
        InputError
            If there is none, or more than one of that name.
        """
        if isinstance(ref, int):
            if 1 <= ref <= len(self.names):
                return ref - 1
            raise InputError("no such column", where=where, expected=f"1 to {len(self.names)}", got=str(ref))
        at = [number for number, name in enumerate(self.names) if name == ref]
        for form in (_bare, _without_unit):
            at = at or [number for number, name in enumerate(self.names) if form(name) == form(ref)]
        if len(at) == 1:
            return at[0]
        if at:
            told = ", ".join(str(number + 1) for number in at)
            raise InputError(
                "several columns have this name", where=where, got=ref, todo=f"give one of the numbers {told}"
            )
        near = difflib.get_close_matches(ref, self.names, n=5, cutoff=0.4) or self.names[:20]
        raise InputError("no such column", where=where, expected=", ".join(near)[:500], got=ref[:100])


def make_head(name_rows: Sequence[Sequence[str]], unit_row: Sequence[str], width: int, first: int) -> Head:
    """Join the rows of names, and find the unit of each column.

    Of several rows of names, an empty cell of an upper one takes what stands to its left, for so does a merged
    cell look in a file.

    Examples
    --------
    >>> head = make_head([["", "Nutrients", ""], ["Lake", "TN (mg/L)", "TP"]], ["", "", "ug/L"], 3, 4)
    >>> head.names, head.units
    (('Lake', 'Nutrients TN (mg/L)', 'Nutrients TP'), ('', 'mg/L', 'ug/L'))
    """
    rows = [[_clean(text) for text in [*row, *[""] * (width - len(row))][:width]] for row in name_rows]
    upper = [_filled(row) for row in rows[:-1]]
    joined = [" ".join(dict.fromkeys(part for part in parts if part)) for parts in zip(*upper, *rows[-1:], strict=True)]
    told = [_clean(text) for text in [*unit_row, *[""] * (width - len(unit_row))][:width]]
    units = [
        unit.strip("()[]{}\uff08\uff09\u3010\u3011 ") or unit_in(name)
        for unit, name in zip(told, joined or [""] * width, strict=True)
    ]
    return Head(tuple(joined) if joined else ("",) * width, tuple(units), first)


def unit_in(name: str) -> str:
    """Find the unit in the name of a column: in the last brackets that hold one, or behind the last comma or slash.

    Examples
    --------
    >>> unit_in("Chl-a [µg L-1]"), unit_in("TN, mg/L"), unit_in("Name (of lake)")
    ('µg L-1', 'mg/L', '')
    """
    for inside in reversed(_BRACKETS.findall(name[:MAX_TEXT])):
        if inside.strip() and not inside.strip().isdigit() and is_unit(inside):
            return str(inside.strip())
    _, comma, last = name[:MAX_TEXT].rpartition(",")
    return last.strip() if comma and last.strip() and is_unit(last) else ""


def _filled(row: Sequence[str]) -> list[str]:
    filled, last = [], ""
    for text in row:
        last = text or last
        filled.append(last)
    return filled


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", text[:MAX_TEXT].replace("\ufeff", "").replace("\0", "")).strip()


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", text).casefold()


def _without_unit(text: str) -> str:
    return _bare(_BRACKETS.sub("", text)) or _bare(text)
