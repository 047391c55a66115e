"""Workbooks (XLSX, ODS), read by calamine from an archive that was measured before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import python_calamine

from terracube.core.errors import AssetError, InputError, MetadataError
from terracube.ingest.insitu.archives import Unpacked, unpacked
from terracube.ingest.insitu.mapping import Layout
from terracube.ingest.insitu.raw import MAX_COLUMNS, Cells, Head, make_head
from terracube.ingest.insitu.table import Issue

type Cell = str | float | bool | date | datetime | time | timedelta


@dataclass(frozen=True, slots=True)
class SheetTable:
    """A sheet of a workbook, opened."""

    source: str
    grid: list[list[Cell]]
    """Cells of each row from the first one on; merged cells hold the same everywhere."""
    layout: Layout
    head: Head
    sheets: tuple[str, ...]
    """All sheets of the workbook."""
    issues: tuple[Issue, ...]
    notes: tuple[str, ...]

    def cells(self, wanted: Sequence[int], most: int | None = None) -> Cells:
        """Read some columns; see `raw.RawTable`."""
        last = self.layout.last or len(self.grid)
        first = self.head.first - 1
        body = self.grid[first : min(last, first + most) if most is not None else last]
        columns = {}
        for at in wanted:
            column = [row[at] if at < len(row) else "" for row in body]
            columns[at] = pa.array(as_texts(column, decimal=self.layout.decimal), pa.string())
        rows = np.arange(len(body), dtype="int64") + self.head.first
        return Cells(columns, rows, self.issues, self.notes, of_workbook=True)


def open_workbook(path: Path, layout: Layout) -> SheetTable:
    """Open one sheet of a workbook and read its names.

    Raises
    ------
    TerraCubeError
        If it is no workbook, or hostile, or has several sheets and the mapping does not say which.
    """
    found = unpacked(path)
    try:
        with python_calamine.CalamineWorkbook.from_filelike(found.content) as book:
            shown = [
                one.name for one in book.sheets_metadata if one.visible == python_calamine.SheetVisibleEnum.Visible
            ]
            name = _sheet_name(book.sheet_names, shown, layout, path.name)
            sheet = book.get_sheet_by_name(name)
            grid = sheet.to_python(skip_empty_area=False)
            merged = sheet.merged_cell_ranges or []
            sheets = tuple(book.sheet_names)
    except (python_calamine.CalamineError, OSError, ValueError, OverflowError) as error:
        raise AssetError("no workbook that can be read", where=str(path), got=str(error)[:200]) from error
    count = _fill(grid, merged)
    issues, notes = _told(path.name, name, found, count)
    return SheetTable(path.name, grid, layout, _head(grid, layout, path.name), sheets, issues, notes)


def as_texts(cells: Sequence[Cell], *, decimal: str = ".") -> list[str]:
    """Write the cells of a column as texts: numbers as short as they can be, dates in ISO 8601.

    Numbers take the decimal mark of the texts that stand between them.

    A workbook keeps a day as a time at midnight. If any cell of the column has a time of day, midnight is one too.

    Examples
    --------
    >>> as_texts([5.0, 0.1, True, datetime(2019, 8, 20), "x"])
    ['5', '0.1', 'TRUE', '2019-08-20', 'x']
    """
    timed = any(isinstance(cell, datetime) and cell.time() != time(0) for cell in cells)
    return [cell if type(cell) is str else _text(cell, timed, decimal) for cell in cells]


def _text(cell: Cell, timed: bool, decimal: str) -> str:
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float | int):
        whole = abs(cell) < 1e15 and cell == int(cell)
        return str(int(cell)) if whole else repr(float(cell)).replace(".", decimal)
    if isinstance(cell, datetime):
        return cell.isoformat() if timed or cell.time() != time(0) else cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat() + ("T00:00:00" if timed else "")
    if isinstance(cell, time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(cell.total_seconds(), 60)
        return f"{int(minutes // 60):02d}:{int(minutes % 60):02d}:{seconds:09.6f}"
    return str(cell)


def _sheet_name(names: Sequence[str], shown: Sequence[str], layout: Layout, where: str) -> str:
    if isinstance(layout.sheet, str) and layout.sheet in names:
        return layout.sheet
    if isinstance(layout.sheet, int) and layout.sheet <= len(names):
        return names[layout.sheet - 1]
    if layout.sheet is not None:
        raise InputError("no such sheet", where=where, expected=", ".join(names)[:500], got=str(layout.sheet)[:100])
    if len(shown) == 1:
        return shown[0]
    told = ", ".join(shown)[:500]
    raise MetadataError("a workbook of several sheets", where=where, got=told, todo="say layout.sheet in the mapping")


def _fill(grid: list[list[Cell]], merged: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> int:
    """Write what a merged cell holds into all cells that it covers; give the number of merged cells."""
    count = 0
    for (top, left), (bottom, right) in merged[:100_000]:
        if top >= len(grid) or left >= len(grid[top]):
            continue
        count += 1
        for row in grid[top : bottom + 1]:
            for at in range(left, min(right + 1, len(row))):
                if row[at] == "":
                    row[at] = grid[top][left]
    return count


def _told(source: str, sheet: str, found: Unpacked, merged: int) -> tuple[tuple[Issue, ...], tuple[str, ...]]:
    notes = [f"sheet {sheet}"] + ([f"{merged} merged cells count for all they cover"] if merged else [])
    unsolved = "formulas without a stored result; open and save the workbook to have them computed"
    whats = {unsolved: found.unsolved, "cells that hold an error of the spreadsheet": found.errors}
    told = [Issue(source, None, "workbook", what, str(count), "left out") for what, count in whats.items() if count]
    return tuple(told), tuple(notes)


def _head(grid: list[list[Cell]], layout: Layout, where: str) -> Head:
    if layout.header > len(grid):
        raise InputError("no such row of names", where=where, expected=f"at most {len(grid)}", got=str(layout.header))
    width = max((len(row) for row in grid), default=0)
    if not 0 < width <= MAX_COLUMNS:
        raise AssetError("no table", where=where, expected=f"1 to {MAX_COLUMNS} columns", got=str(width))
    rows = grid[layout.header - 1 : layout.header - 1 + layout.header_rows] if layout.header else []
    units = grid[layout.unit_row - 1] if 0 < layout.unit_row <= len(grid) else []
    first = layout.first or max(layout.header + layout.header_rows - 1 if layout.header else 0, layout.unit_row) + 1
    return make_head([as_texts(row) for row in rows], as_texts(units), width, first)
