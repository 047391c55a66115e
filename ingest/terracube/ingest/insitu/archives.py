"""Whether a workbook may be unpacked: measured in a stream, before the reader that would unpack it sees the file.

A workbook is a zip archive of XML. A few bytes of it can stand for gigabytes: a stream that is all zeros, one cell in
the last corner of a sheet, a row that is to be repeated a million times, one long text that a million cells refer to.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from terracube.core.errors import AssetError, HostileInputError, NotFoundError

_MAX_ENTRIES = 5000
_MAX_UNPACKED = 512 << 20
_MAX_CELLS = 10_000_000
_MAX_TEXT_BYTES = 512 << 20
_MAX_DAYS = 1e11
_CHUNK = 1 << 20
# What zipfile and its decompressors raise for an archive that is broken in one way or another.
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
_HUGE = re.compile(rb"<(?:\w+:)?v\s*>\s*([+-]?(?:[0-9]{12,400}|[0-9.]{1,400}[eE]\+?[0-9]{1,9}))\s*<")
_FORMATTED = re.compile(rb"""\bs\s*=\s*["']\s*0*[1-9]""")
_REF = re.compile(rb"""\br\s*=\s*["']\s*([A-Za-z]{0,10})([0-9]{1,20})""")
_CELL = re.compile(rb"<(?:\w+:)?c[\s/>]")
_ROW = re.compile(rb"<(?:\w+:)?row[\s/>]")
_NO_RESULT = re.compile(
    rb"(?:</(?:\w+:)?f>|<(?:\w+:)?f\s?[^<>]*/>)\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</"
)
_ERROR = re.compile(rb"""<(?:\w+:)?c\s[^<>]*\bt\s*=\s*["']e["']""")
_INDEX = re.compile(rb"<(?:\w+:)?v>\s*([0-9]{1,9})\s*</")
_ODS_TAG = re.compile(rb"<(/?)(?:[\w.-]+:)?(table-row|table-cell|covered-table-cell)([\s/>][^<>]*)?")
_REPEATED = re.compile(rb"""number-(?:rows|columns)-repeated\s*=\s*["']\s*([0-9]{1,20})""")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A workbook that may be read."""

    content: io.BytesIO
    """Its XML, in a fresh archive without compression."""
    unsolved: int
    """Formulas that have no stored result."""
    errors: int
    """Cells that hold an error of the spreadsheet (#DIV/0!)."""


def unpacked(path: Path) -> Unpacked:
    """Measure a workbook, and unpack it if it is not too large.

    Raises
    ------
    NotFoundError, AssetError
        If it is not there, or no archive, or broken, or locked by a password.
    HostileInputError
        If it would unpack to more than a table of measurements needs.
    """
    fresh, unsolved, errors, total = io.BytesIO(), 0, 0, 0
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED) as copy:
            _check_directory(archive, path)
            strings = _string_sizes(archive, path)
            for entry in archive.infolist():
                if not entry.filename.lower().endswith((".xml", ".rels", "mimetype")):
                    continue
                content = _content(archive, entry, path, _MAX_UNPACKED - total)
                total += len(content)
                if _check_part(content, entry.filename, strings, path):
                    unsolved += len(_NO_RESULT.findall(content))
                    errors += len(_ERROR.findall(content))
                copy.writestr(zipfile.ZipInfo(entry.filename), content)
    except FileNotFoundError as error:
        raise NotFoundError("no such file", where=str(path)) from error
    except _FAULTS as error:
        raise _broken(path, str(error)) from error
    except OSError as error:
        raise AssetError("a file cannot be read", where=str(path), got=str(error)[:200]) from error
    fresh.seek(0)
    return Unpacked(fresh, unsolved, errors)


def column_number(letters: bytes) -> int:
    """Give the number of a column of a sheet, from 1.

    Examples
    --------
    >>> column_number(b"A"), column_number(b"XFD")
    (1, 16384)
    """
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number


def _check_directory(archive: zipfile.ZipFile, path: Path) -> None:
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise _hostile(path, f"{len(entries)} entries", f"at most {_MAX_ENTRIES}")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > _MAX_UNPACKED:
        raise _hostile(path, f"{claimed} bytes when unpacked", f"at most {_MAX_UNPACKED}")
    if any(entry.flag_bits & 1 for entry in entries):
        raise _broken(path, "it is encrypted")


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, left: int) -> bytes:
    """The bytes of an entry, which may be more than it claims."""
    pieces, size = [], 0
    with archive.open(entry) as stream:
        while piece := stream.read(_CHUNK):
            size += len(piece)
            if size > left:
                raise _hostile(path, f"{entry.filename} unpacks beyond the limit", f"at most {_MAX_UNPACKED}")
            pieces.append(piece)
    return b"".join(pieces)


def _string_sizes(archive: zipfile.ZipFile, path: Path) -> np.ndarray:
    """Bytes of each text of the table of shared texts."""
    names = [entry for entry in archive.infolist() if entry.filename.lower().endswith("sharedstrings.xml")]
    if not names:
        return np.zeros(0, dtype="int64")
    content = _content(archive, names[-1], path, _MAX_UNPACKED)
    starts = [found.start() for found in re.finditer(rb"<(?:\w+:)?si[\s/>]", content)]
    return np.diff(np.array([*starts, len(content)], dtype="int64"))


def _check_part(content: bytes, name: str, strings: np.ndarray, path: Path) -> bool:
    """Measure one part; tell whether it is a sheet of an XLSX."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _broken(path, f"{name} is no UTF-8")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise _hostile(path, f"{name} declares entities", "none")
    if not name.lower().endswith("mimetype"):
        _check_xml(content, name, path)
    if name.lower().endswith("content.xml"):
        _check_ods(content, name, path)
        return False
    if not _ROW.search(content):
        return False
    cells = _check_sheet(content, name, path)
    _check_dates(content, name, path)
    if len(strings) and cells * int(strings.max()) > _MAX_TEXT_BYTES:
        _check_texts(content, strings, path)
    return True


def _check_xml(content: bytes, name: str, path: Path) -> None:
    """Refuse XML that is not well formed: a reader may wait for ever for an end that never comes."""
    parser = DefusedXMLParser(target=_Nothing(), forbid_dtd=True)
    try:
        for start in range(0, len(content), _CHUNK):
            parser.feed(content[start : start + _CHUNK])
        parser.close()
    except (ParseError, ValueError, LookupError) as error:
        raise _broken(path, f"{name}: {error}") from error


class _Nothing:
    """Takes what a parser finds and keeps nothing of it."""

    def close(self) -> None:
        """End."""


def _check_sheet(content: bytes, name: str, path: Path) -> int:
    """Bound the rectangle from the first cell to the farthest one, for a reader may fill it all."""
    cells = sum(1 for _ in _CELL.finditer(content))
    rows, columns = sum(1 for _ in _ROW.finditer(content)), 1
    for found in _REF.finditer(content):
        rows = max(rows, int(found[2]))
        columns = max(columns, column_number(found[1]))
    area = max(rows * columns, cells)
    if area > _MAX_CELLS or columns > 16384:
        raise _hostile(path, f"{name} spans {rows} rows and {columns} columns", f"at most {_MAX_CELLS} cells")
    return cells


def _check_dates(content: bytes, name: str, path: Path) -> None:
    """Refuse numbers that a reader, taking them for days, cannot count: 1e11 and more in a cell that has a format."""
    for found in _HUGE.finditer(content):
        if abs(float(found[1])) >= _MAX_DAYS:
            start = max(content.rfind(mark, 0, found.start()) for mark in (b"<c", b":c "))
            cell = content[start : found.start()].partition(b">")[0]
            if _FORMATTED.search(cell):
                got = f"{name}: {found[1][:40].decode()} in {cell[:80].decode(errors='replace')}>"
                raise _broken(path, got)


def _check_texts(content: bytes, strings: np.ndarray, path: Path) -> None:
    found = np.fromiter((int(number[1]) for number in _INDEX.finditer(content)), dtype="int64")
    used = int(strings[found[found < len(strings)]].sum())
    if used > _MAX_TEXT_BYTES:
        raise _hostile(path, f"texts of {used} bytes in the cells", f"at most {_MAX_TEXT_BYTES}")


def _check_ods(content: bytes, name: str, path: Path) -> None:
    """Count the cells of a spreadsheet of rows and cells that may be repeated; empty ones at an end are not kept."""
    total, waiting_rows = 0, 0
    for width, repeat in _ods_rows(content):
        if width == 0:
            waiting_rows += repeat
            continue
        total += waiting_rows + width * repeat
        waiting_rows = 0
        if total > _MAX_CELLS or width > 16384:
            raise _hostile(path, f"{name} repeats rows or cells", f"at most {_MAX_CELLS} cells")


def _ods_rows(content: bytes) -> Iterator[tuple[int, int]]:
    """Width without empty cells at the end, and how often it is repeated, of each row."""
    width = waiting = 0
    repeat = 1
    last_end = -1
    for found in _ODS_TAG.finditer(content):
        closing, kind, attributes = found[1], found[2], found[3] or b""
        if kind == b"table-row":
            if closing or attributes.endswith(b"/"):
                yield (0 if not closing else width), (_repeat(attributes) if not closing else repeat)
                width = waiting = 0
            else:
                repeat = _repeat(attributes)
        elif not closing:
            number, empty = _repeat(attributes), b"value" not in attributes and attributes.endswith(b"/")
            waiting, width = (waiting + number, width) if empty else (0, width + waiting + number)
        last_end = found.end()
    if last_end >= 0:
        yield width, repeat


def _repeat(attributes: bytes) -> int:
    told = [int(number) for number in _REPEATED.findall(attributes)]
    return max(told, default=1)


def _hostile(path: Path, got: str, expected: str) -> HostileInputError:
    return HostileInputError("a workbook that unpacks to too much", where=str(path), expected=expected, got=got)


def _broken(path: Path, got: str) -> AssetError:
    todo = "save it again without a password, as XLSX, ODS or CSV"
    return AssetError("no workbook that can be read", where=str(path), expected="XLSX or ODS", got=got[:200], todo=todo)
