"""Directories of TIFF and BigTIFF files, from their bytes.

Every number in them comes from outside: nothing is allocated by what a header claims, directories cannot run in
circles, and what is unusual in any way is left to GDAL (:class:`UnusualError`), so that only plain files need to be
understood. Written from the TIFF 6.0 specification and its BigTIFF design.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

from terracube.core.errors import AssetError
from terracube.cubes.readers.peek import Peek

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_SIZES = 266, 273, 274, 277, 278, 279
PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 284, 317, 322, 323, 324, 325
SAMPLE_FORMAT, IMAGE_DEPTH, TILE_DEPTH = 339, 32997, 32998
PIXEL_SCALE, INTERGRAPH, TIE_POINTS, TRANSFORMATION = 33550, 33920, 33922, 34264
GEO_KEYS, GEO_DOUBLES, GEO_TEXTS = 34735, 34736, 34737
METADATA, NODATA = 42112, 42113

_MAX_ENTRIES = 1024
# GDAL knows no more overviews than 30; a TIFF of many pages has its overviews behind the first.
_MAX_DIRECTORIES = 128
_MAX_VALUE_BYTES = 4 << 20
# Letter for struct and bytes of each type of value that a plain header uses: BYTE, ASCII, SHORT, LONG, DOUBLE, LONG8.
_KINDS = {1: ("B", 1), 2: ("s", 1), 3: ("H", 2), 4: ("L", 4), 12: ("d", 8), 16: ("Q", 8)}
_INTEGERS = (1, 3, 4, 16)
SHORT, ASCII, DOUBLE, _LONG8 = 3, 2, 12, 16
_MASKS = {kind: (1 << 8 * _KINDS[kind][1]) - 1 for kind in _INTEGERS}
# Types that offsets and sizes of tiles have, and their bytes.
OFFSET_BYTES = {3: 2, 4: 4, 16: 8}


class Dialect(NamedTuple):
    """How numbers and directories are written in a file."""

    order: str
    """``<`` or ``>``."""
    endian: Literal["little", "big"]
    entry: str
    """Format of one tag: number, type, count, and value or place of the values."""
    entry_bytes: int
    before: int
    """Bytes of the number of tags."""
    wide: int
    """Bytes of a value, and of the place of the next directory."""
    shifts: dict[int, int]
    """By how many bits a single number of a type lies left of the end of its value."""


def _dialect(order: str, big: bool) -> Dialect:
    wide = 8 if big else 4
    entry = "HHQQ" if big else "HHLL"
    narrow = [kind for kind in _INTEGERS if _KINDS[kind][1] <= wide]
    shifts = {kind: 8 * (wide - _KINDS[kind][1]) if order == ">" else 0 for kind in narrow}
    return Dialect(order, "big" if order == ">" else "little", entry, 4 + 2 * wide, 8 if big else 2, wide, shifts)


_DIALECTS = {
    b"II*\0": _dialect("<", big=False),
    b"MM\0*": _dialect(">", big=False),
    b"II+\0": _dialect("<", big=True),
    b"MM\0+": _dialect(">", big=True),
}


class UnusualError(Exception):
    """A header that is left to GDAL; the text says why."""


class Directory:
    """The tags of one image."""

    __slots__ = ("_at", "_fields", "_first", "_peek", "dialect", "following", "start")

    def __init__(self, peek: Peek, dialect: Dialect, start: int) -> None:
        self._peek, self.dialect, self.start = peek, dialect, start
        self._first = start + dialect.before
        number = int.from_bytes(peek.get(start, self._first), dialect.endian)
        if not 0 < number <= _MAX_ENTRIES:
            raise AssetError(
                "the header is broken", where=peek.name, expected=f"1 to {_MAX_ENTRIES} tags", got=str(number)
            )
        size = number * dialect.entry_bytes
        block = peek.get(self._first, self._first + size + dialect.wide)
        self.following = int.from_bytes(block[size:], dialect.endian)
        self._fields: tuple[int, ...] = struct.unpack(dialect.order + dialect.entry * number, block[:size])
        self._at = dict(zip(self._fields[::4], range(0, 4 * number, 4), strict=True))
        if len(self._at) != number:
            raise UnusualError("a tag is there twice")

    def __contains__(self, tag: int) -> bool:
        return tag in self._at

    def place(self, tag: int) -> tuple[int, int, int]:
        """Give where the values of a tag lie in the file: the type, their number, and the first byte."""
        at = self._at.get(tag)
        _, kind, count, value = (0, 0, 0, 0) if at is None else self._fields[at : at + 4]
        if at is None or kind not in _KINDS:
            raise UnusualError(f"tag {tag} is missing, or of an unusual type")
        if _KINDS[kind][1] * count > self.dialect.wide:
            return kind, count, value
        return kind, count, self._first + (at // 4 + 1) * self.dialect.entry_bytes - self.dialect.wide

    def raw(self, tag: int, kinds: tuple[int, ...]) -> bytes:
        """Give the bytes of the values of a tag, which must be of one of some types; none if it is not there."""
        if tag not in self._at:
            return b""
        kind, count, start = self.place(tag)
        size = _KINDS[kind][1] * count
        if kind not in kinds or not 0 < size <= _MAX_VALUE_BYTES:
            raise UnusualError(f"tag {tag} has {count} values of type {kind}")
        return self._peek.get(start, start + size)

    def integer(self, tag: int, default: int | None = None) -> int:
        """Give the one whole number of a tag."""
        at = self._at.get(tag)
        if at is None:
            if default is None:
                raise UnusualError(f"tag {tag} is missing")
            return default
        kind, count = self._fields[at + 1], self._fields[at + 2]
        shift = self.dialect.shifts.get(kind)
        if count != 1 or shift is None:
            raise UnusualError(f"tag {tag} has {count} values of type {kind}")
        return self._fields[at + 3] >> shift & _MASKS[kind]

    def same(self, tag: int, count: int, default: int) -> int:
        """Give the whole number that a tag repeats ``count`` times."""
        if count == 1 or tag not in self._at:
            return self.integer(tag, default)
        kind, there, _ = self.place(tag)
        values = struct.unpack(f"{self.dialect.order}{there}{_KINDS[kind][0]}", self.raw(tag, _INTEGERS))
        if there != count or values.count(values[0]) != count:
            raise UnusualError(f"tag {tag} has the values {values[:8]}")
        return int(values[0])

    def doubles(self, tag: int) -> tuple[float, ...]:
        """Give the values of a tag that holds floating-point numbers; none if it is not there."""
        found = self.raw(tag, (DOUBLE,))
        return struct.unpack(f"{self.dialect.order}{len(found) // 8}d", found)

    def text(self, tag: int) -> bytes:
        """Give the text of a tag, up to the first zero; empty if it is not there."""
        return self.raw(tag, (ASCII,)).split(b"\0", 1)[0]


def is_tiff(head: bytes) -> bool:
    """Tell whether a file starts as TIFF or BigTIFF."""
    return head[:4] in _DIALECTS


def first_directory(peek: Peek) -> Directory:
    """Read the directory of the main image.

    Raises
    ------
    AssetError
        If the file ends before, or the directory holds no tags or absurdly many.
    UnusualError
        If it is left to GDAL.
    """
    dialect = _DIALECTS[peek.head[:4]]
    if dialect.wide == 4:
        return Directory(peek, dialect, int.from_bytes(peek.get(4, 8), dialect.endian))
    if peek.get(4, 8) != struct.pack(dialect.order + "HH", 8, 0):
        raise UnusualError("a BigTIFF with other offsets than of 8 bytes")
    return Directory(peek, dialect, int.from_bytes(peek.get(8, 16), dialect.endian))


def further_directories(peek: Peek, first: Directory) -> Iterator[Directory]:
    """Go through the directories behind the first; broken ones end the walk, as they do for GDAL."""
    seen, at = {first.start}, first.following
    while at and at not in seen and len(seen) < _MAX_DIRECTORIES:
        seen.add(at)
        try:
            found = Directory(peek, first.dialect, at)
        except AssetError:
            return
        yield found
        at = found.following
