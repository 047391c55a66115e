"""Tables by a mapping: text, workbooks, GeoPackages; wide (a column per variable) or long (a row per value)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from terracube.core.errors import AssetError, InputError, MetadataError
from terracube.ingest.insitu.features import open_features
from terracube.ingest.insitu.keys import Keys, key_columns, read_keys, style_of
from terracube.ingest.insitu.mapping import Column, ColumnRef, Long, Mapping, Measured
from terracube.ingest.insitu.numbers import Numbers, read_numbers
from terracube.ingest.insitu.pieces import Delivered, Extras, Piece
from terracube.ingest.insitu.raw import Cells, Head, RawTable
from terracube.ingest.insitu.table import Issue, Observations, join
from terracube.ingest.insitu.textfiles import open_text
from terracube.ingest.insitu.units import conversion, same_unit
from terracube.ingest.insitu.unittext import is_unit
from terracube.ingest.insitu.vocabulary import term_named
from terracube.ingest.insitu.workbooks import open_workbook

#: Kinds of tables by the ending of a file.
KINDS = {
    **dict.fromkeys((".csv", ".txt", ".tsv", ".tab", ".dat", ".asc"), "csv"),
    **dict.fromkeys((".xlsx", ".xlsm"), "xlsx"),
    ".ods": "ods",
    ".gpkg": "gpkg",
}
_MAX_GROUPS = 20_000
#: There is but one unit of pH.
_UNIT_OF_KIND = {"ph": "1", "ph_total_scale": "1"}


def recognise(path: Path) -> bool:
    """Tell whether a file is a table, by its ending: tables have nothing else in common."""
    return path.suffix.lower() in KINDS


def open_table(path: Path, mapping: Mapping) -> RawTable:
    """Open the table of a file, laid out as a mapping says."""
    openers = {"xlsx": open_workbook, "ods": open_workbook, "gpkg": open_features}
    return openers.get(mapping.kind, open_text)(path, mapping.layout)


def read(path: Path, mapping: Mapping | None) -> Observations:
    """Read a table of measurements.

    A cell that is empty in a wide table is no observation; a cell that says "no value" is one with qc 9, and so is
    an empty one in a long table. A column whose unit is unknown is refused and told, and the others go on.

    Raises
    ------
    MetadataError
        If there is no mapping, or it does not say what it must.
    TerraCubeError
        If the file is no such table, or nothing can be read from it.
    """
    if mapping is None:
        todo = "have one drafted by `terracube insitu describe`, confirm it, and give it"
        raise MetadataError("a table needs a mapping", where=path.name, todo=todo)
    if not mapping.columns and mapping.long is None:
        raise MetadataError("the mapping does not say what is measured", where=path.name, expected="columns, or long")
    raw = open_table(path, mapping)
    wanted, absent = _wanted(raw.head, mapping, raw.source)
    cells = raw.cells(wanted)
    keys = read_keys(cells, raw.head, mapping, raw.source)
    work = _Work(raw.source, cells, raw.head, mapping, keys)
    tables = list(work.wide() if mapping.long is None else work.long(mapping.long))
    issues = (*cells.issues, *absent, *keys.issues, *work.issues)
    if not any(len(table) for table in tables):
        got = "; ".join(map(str, issues[:5])) or "no rows"
        raise AssetError("nothing could be read from a table", where=str(path), got=got)
    about = {name: text for name, text in mapping.about.model_dump().items() if text}
    notes = (*cells.notes, *keys.notes, *work.notes, *_unread(raw.head, wanted, mapping))
    return Observations(join(tables), issues, about, notes)


@dataclass(frozen=True, slots=True)
class _Work:
    """A table on its way to observations."""

    source: str
    cells: Cells
    head: Head
    mapping: Mapping
    keys: Keys
    issues: list[Issue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wide(self) -> Iterator[pd.DataFrame]:
        """Give a table per measured column."""
        rows = np.arange(len(self.cells.rows))
        for column in self.mapping.columns:
            at = _find(self.head, column.column)
            if at is None:
                continue
            texts = self.cells.columns[at]
            found = read_numbers(texts, style_of(self.mapping, column.missing))
            name = self.head.names[at] or f"column {at + 1}"
            extras = Extras(
                limits=self._numbers(column.limit_column),
                signs=self._texts(column.censor_column),
                flags=self._texts(column.quality_column),
            )
            if self._contradicted(column, name, self.head.units[at]):
                continue
            yield from self._table(column, name, column.unit or self.head.units[at], texts, found, extras, rows)

    def long(self, told: Long) -> Iterator[pd.DataFrame]:
        """Give a table per name and unit in the columns of names and units."""
        texts = self.cells.columns[self.head.find(told.value_column, where=self.source)]
        extras = Extras(
            limits=self._numbers(told.limit_column),
            limit_units=self._texts(told.limit_unit_column),
            signs=self._texts(told.censor_column),
            flags=self._texts(told.quality_column),
            methods=self._texts(told.method_column),
            replicates=self._texts(told.replicate_column),
        )
        for name, unit, rows in self._groups(told):
            measured = told.variables.get(name)
            if measured is None:
                what = f"a variable that the mapping does not name ({len(rows)} rows, this is the first)"
                row = int(self.keys.rows[rows[0]])
                self.issues.append(Issue(self.source, row, str(told.variable_column), what, name[:80], "left out"))
                continue
            some = texts.take(pa.array(rows))
            found = read_numbers(some, style_of(self.mapping, measured.missing))
            yield from self._table(measured, name, measured.unit or unit, some, found, extras.taken(rows), rows)

    def _groups(self, told: Long) -> Iterator[tuple[str, str, np.ndarray]]:
        """Name, unit, and numbers of the rows that have both, of rows that can be used."""
        names = self._coded(told.variable_column)
        units = self._coded(told.unit_column)
        width = max(len(units.dictionary), 1)
        both = names.indices.to_numpy().astype("int64") * width + units.indices.to_numpy()
        usable = np.flatnonzero(self.keys.usable)
        order = usable[np.argsort(both[usable], kind="stable")]
        starts = np.flatnonzero(np.diff(both[order], prepend=-1))
        if len(starts) > _MAX_GROUPS:
            raise InputError(
                "too many names of variables", where=f"{self.source}, {told.variable_column}", got=str(len(starts)),
                expected=f"at most {_MAX_GROUPS}", todo="this seems to be no column of names",
            )  # fmt: skip
        for rows in np.split(order, starts[1:]) if len(order) else []:
            name, unit = divmod(int(both[rows[0]]), width)
            yield names.dictionary[name].as_py(), units.dictionary[unit].as_py(), rows

    def _table(
        self, told: Measured, name: str, unit: str, texts: pa.Array, found: Numbers, extras: Extras, rows: np.ndarray
    ) -> Iterator[pd.DataFrame]:
        """Give the observations of one variable; none if its unit is refused."""
        term = term_named(told.variable)
        unit = unit or _UNIT_OF_KIND.get(term.kind, "")
        try:
            if not unit:
                raise MetadataError("no unit is told", where=name, todo="say it in the mapping")
            converted = conversion(unit, term, basis=told.basis, molar=told.molar)
        except MetadataError as error:
            what = f"{error.what}{f' for {error.expected}' if error.where == term.name else ''}; {error.todo}"
            self.issues.append(Issue(self.source, None, name, what, unit, "refused"))
            return
        if converted.note:
            self.notes.append(f"{name}: {converted.note}")
        given = Delivered(told, term, name, unit, converted, texts, found, extras, rows)
        piece = Piece(self.source, self.mapping, self.keys, given)
        yield piece.table(keep_empty=self.mapping.long is not None)
        self.issues.extend(piece.issues)

    def _contradicted(self, column: Column, name: str, of_file: str) -> bool:
        """Tell, and refuse, a column whose unit in the file is another than the mapping says."""
        if not column.unit or not of_file or not is_unit(of_file) or not is_unit(column.unit):
            return False
        if same_unit(column.unit, of_file):
            return False
        what = f"the mapping says {column.unit}, the file says another unit"
        self.issues.append(Issue(self.source, None, name, what, of_file, "refused"))
        return True

    def _numbers(self, ref: ColumnRef | None) -> np.ndarray | None:
        if ref is None:
            return None
        return read_numbers(self.cells.columns[self.head.find(ref, where=self.source)], style_of(self.mapping)).values

    def _texts(self, ref: ColumnRef | None) -> pa.Array | None:
        if ref is None:
            return None
        return pc.utf8_trim_whitespace(self.cells.columns[self.head.find(ref, where=self.source)])

    def _coded(self, ref: ColumnRef | None) -> pa.DictionaryArray:
        texts = self._texts(ref)
        return (pa.repeat(pa.scalar(""), len(self.cells.rows)) if texts is None else texts).dictionary_encode()


def _wanted(head: Head, mapping: Mapping, source: str) -> tuple[list[int], list[Issue]]:
    """Numbers of the columns to read, and what is said of measured columns that are not there."""
    refs = list(key_columns(mapping).items())
    issues = []
    for column in mapping.columns:
        if _find(head, column.column) is None:
            what = "no such column, or several of that name"
            issues.append(Issue(source, None, str(column.column), what, ", ".join(head.names)[:80], "refused"))
        else:
            refs += _beside(column)
    if mapping.long is not None:
        refs += [(name, ref) for name, ref in mapping.long if name.endswith("_column") and ref is not None]
    return sorted({head.find(ref, where=f"{source}, {name}") for name, ref in refs}), issues


def _beside(column: Column) -> list[tuple[str, ColumnRef]]:
    told = {
        "columns.column": column.column,
        "columns.limit_column": column.limit_column,
        "columns.censor_column": column.censor_column,
        "columns.quality_column": column.quality_column,
    }
    return [(name, ref) for name, ref in told.items() if ref is not None]


def _find(head: Head, ref: ColumnRef) -> int | None:
    try:
        return head.find(ref, where="")
    except InputError:
        return None


def _unread(head: Head, wanted: Sequence[int], mapping: Mapping) -> list[str]:
    known = {*wanted, *(_find(head, ref) for ref in mapping.ignore)}
    names = [name or f"column {at + 1}" for at, name in enumerate(head.names) if at not in known]
    return [f"{len(names)} columns are not in the mapping: {', '.join(names)[:300]}"] if names else []
