"""Delimited text: delimiters as they come, rows of uneven width, cells by Arrow's parser."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from terracube.core.errors import AssetError, BudgetError, InputError, MetadataError
from terracube.ingest.insitu.decoding import decode, read_bytes
from terracube.ingest.insitu.mapping import Layout
from terracube.ingest.insitu.raw import MAX_COLUMNS, Cells, Head, make_head
from terracube.ingest.insitu.table import Issue, tell

_MAX_CELLS = 200_000_000
_HEAD_BYTES = 4 << 20
_BLOCK = 16 << 20
_MAX_RAGGED = 100_000
DELIMITERS = (",", ";", "\t", "|")


def open_text(path: Path, layout: Layout) -> TextTable:
    """Open a table of delimited text and read its names.

    Raises
    ------
    TerraCubeError
        If it is no such table, or its encoding or delimiter must be told.
    """
    decoded = decode(read_bytes(path), encoding=layout.encoding, where=path.name)
    content = decoded.content
    if layout.comment:
        content = re.sub(b"(?m)^" + re.escape(layout.comment.encode()) + b"[^\n]*", b"", content)
    if layout.delimiter == " ":
        content = re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", re.sub(rb"[ \t]+", b"\t", content))
        layout = layout.model_copy(update={"delimiter": "\t"})
    head = content[:_HEAD_BYTES].decode("utf-8", errors="ignore")
    if not layout.delimiter:
        found = find_delimiter(head, layout, where=path.name)
        layout = layout.model_copy(update={"delimiter": found})
    table = TextTable(path.name, content, layout, Head((), (), 1), decoded.notes)
    if content.count(layout.delimiter.encode()) + content.count(b"\n") > _MAX_CELLS:
        raise BudgetError(
            "a table has too many cells", where=path.name, expected=f"at most {_MAX_CELLS}", todo="cut it"
        )
    return replace(table, head=_head(head, layout, path.name))


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of delimited text, opened."""

    source: str
    content: bytes
    """UTF-8, line ends as ``\\n``."""
    layout: Layout
    head: Head
    notes: tuple[str, ...]

    def cells(self, wanted: Sequence[int], most: int | None = None) -> Cells:
        """Read some columns; see `raw.RawTable`."""
        skipped = self.head.first - 1
        body = memoryview(self.content)[_offset(self.content, skipped, self.layout.delimiter) :]
        if most is not None:
            body = _first_lines(body, most)
        ragged: list[tuple[int, str]] = []
        names = [str(number) for number in range(len(self.head.names))]
        wanted = sorted(set(wanted)) or [0]
        table = self._parsed(body, names, wanted, ragged) if len(body) else None
        count = (table.num_rows if table is not None else 0) + len(ragged)
        rows = np.delete(np.arange(count, dtype="int64"), [number - 1 for number, _ in ragged])
        columns = {at: _column(table, str(at)) for at in wanted}
        columns, rows, issues = self._with_ragged(columns, rows, ragged)
        return self._cut(Cells(columns, rows + self.head.first, issues, self.notes))

    def _parsed(
        self, body: memoryview, names: list[str], wanted: Sequence[int], ragged: list[tuple[int, str]]
    ) -> pa.Table | None:
        """Let Arrow take the rows apart; rows of another width are put aside, with their number."""
        chosen = [str(at) for at in wanted]
        if not bytes(body[:1000]).strip() and not bytes(body).strip():
            return None
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(pa.py_buffer(body)),
                arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=_BLOCK),
                arrow_csv.ParseOptions(
                    delimiter=self.layout.delimiter,
                    newlines_in_values=b'"' in self.content,
                    ignore_empty_lines=False,
                    invalid_row_handler=partial(_aside, ragged),
                ),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(chosen, pa.string()), include_columns=chosen, strings_can_be_null=False
                ),
            )
        except (pa.ArrowException, ValueError) as error:
            raise AssetError("rows cannot be told apart", where=self.source, got=str(error)[:300]) from error

    def _with_ragged(
        self, columns: dict[int, pa.Array], rows: np.ndarray, ragged: list[tuple[int, str]]
    ) -> tuple[dict[int, pa.Array], np.ndarray, tuple[Issue, ...]]:
        """Put rows that are too short, or too long by empty cells, back in place; tell and leave out the others."""
        if not ragged:
            return columns, rows, ()
        if len(ragged) >= _MAX_RAGGED:
            raise AssetError("too many rows of another width than the header", where=self.source, got=str(len(ragged)))
        width = len(self.head.names)
        read = [(number, _fields(text, self.layout.delimiter)) for number, text in ragged]
        kept = [(number, fields) for number, fields in read if not any(cell.strip() for cell in fields[width:])]
        lost = [(number, fields) for number, fields in read if any(cell.strip() for cell in fields[width:])]
        more = np.array([number - 1 for number, _ in kept], dtype="int64")
        order = np.argsort(np.concatenate([rows, more]), kind="stable")
        for at, column in columns.items():
            texts = pa.array([fields[at] if at < len(fields) else "" for _, fields in kept], pa.string())
            columns[at] = pa.concat_arrays([column, texts]).take(pa.array(order))
        told = [number - 1 + self.head.first for number, _ in lost]
        what = f"more cells than the {width} columns of the header"
        values = [self.layout.delimiter.join(fields) for _, fields in lost]
        issues = tell(self.source, told, "row", what=what, values=values, action="left out")
        return columns, np.concatenate([rows, more])[order], tuple(issues)

    def _cut(self, cells: Cells) -> Cells:
        """Leave out what stands behind the last row of data."""
        if not self.layout.last:
            return cells
        kept = pa.array(cells.rows <= self.layout.last)
        columns = {at: column.filter(kept) for at, column in cells.columns.items()}
        return replace(cells, columns=columns, rows=cells.rows[cells.rows <= self.layout.last])


def find_delimiter(head: str, layout: Layout, *, where: str) -> str:
    """Find what the cells of a text are separated by: the one mark that cuts its rows evenly.

    Raises
    ------
    MetadataError
        If two marks do.
    """
    start = max(layout.header, 1) - 1
    even = {mark: width for mark in DELIMITERS if (width := _even_width(head, mark, start)) > 1}
    if layout.decimal == "," and len(even) > 1:
        even.pop(",", None)
    if len(even) > 1:
        widths = sorted(even.values())
        if widths[-1] < 2 * widths[-2]:
            raise MetadataError(
                "two marks cut the rows evenly",
                where=where,
                got=repr(list(even)),
                todo="say layout.delimiter in the mapping",
            )
    return max(even, key=lambda mark: even[mark]) if even else ","


def records(text: str, delimiter: str, most: int) -> list[list[str]]:
    """Take the first rows of a text apart, at most so many."""
    rows = []
    for row in _reader(text, delimiter):
        rows.append(row)
        if len(rows) >= most:
            break
    return rows


def _reader(text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise AssetError("rows cannot be told apart", where=f"line {reader.line_num}", got=str(error)) from error


def _even_width(head: str, mark: str, start: int) -> int:
    """Number of cells of the header, if nine rows of ten below it have no more than that, and most have as many."""
    try:
        rows = [row for row in records(head, mark, start + 60)[start:] if row]
    except AssetError:
        return 0
    if not rows:
        return 0
    widths = Counter(len(row) for row in rows)
    usual, count = widths.most_common(1)[0]
    return usual if count >= 0.8 * len(rows) and usual <= MAX_COLUMNS else 0


def _head(head: str, layout: Layout, where: str) -> Head:
    needed = max(layout.header + layout.header_rows - 1, layout.unit_row, layout.first - 1)
    rows = records(head, layout.delimiter, needed + 60)
    if layout.header and len(rows) < layout.header:
        raise InputError("no such row of names", where=where, expected=f"at most {len(rows)}", got=str(layout.header))
    names = rows[layout.header - 1 : layout.header - 1 + layout.header_rows] if layout.header else []
    units = rows[layout.unit_row - 1] if 0 < layout.unit_row <= len(rows) else []
    first = layout.first or max(layout.header + layout.header_rows - 1 if layout.header else 0, layout.unit_row) + 1
    below = Counter(len(row) for row in rows[first - 1 :] if row).most_common(1)
    width = max([len(row) for row in names] + [width for width, _ in below], default=0)
    if not width or width > MAX_COLUMNS:
        raise AssetError("no table", where=where, expected=f"1 to {MAX_COLUMNS} columns", got=str(width))
    return make_head(names, units, width, first)


def _offset(content: bytes, skipped: int, delimiter: str) -> int:
    """Where the row behind so many rows begins; a line end within quotes ends no row."""
    if not skipped:
        return 0
    head = content[:_HEAD_BYTES]
    reader = csv.reader(io.StringIO(head.decode("utf-8", errors="ignore"), newline=""), delimiter=delimiter)
    try:
        for _ in range(skipped):
            next(reader, None)
    except csv.Error as error:
        raise AssetError("rows cannot be told apart", where=f"line {reader.line_num}", got=str(error)) from error
    at = 0
    for _ in range(reader.line_num):
        end = content.find(b"\n", at)
        at = end + 1 if end >= 0 else len(content)
    return at


def _first_lines(body: memoryview, most: int) -> memoryview:
    piece = bytes(body[: most * 4000])
    at = 0
    for _ in range(most):
        end = piece.find(b"\n", at)
        if end < 0:
            return memoryview(piece)
        at = end + 1
    return memoryview(piece[:at])


def _aside(ragged: list[tuple[int, str]], row: arrow_csv.InvalidRow) -> str:
    if len(ragged) >= _MAX_RAGGED:
        return "error"
    ragged.append((row.number, row.text[:100_000]))
    return "skip"


def _fields(text: str, delimiter: str) -> list[str]:
    return next(iter(records(text, delimiter, 1)), [])


def _column(table: pa.Table | None, name: str) -> pa.Array:
    return table.column(name).combine_chunks() if table is not None else pa.array([], pa.string())
