"""The header of a classic NetCDF file, checked before a library reads it: a crafted one can crash the process.

References
----------
Unidata, NetCDF File Format Specifications: classic (CDF-1), 64-bit offset (CDF-2) and 64-bit data (CDF-5).
"""

from __future__ import annotations

from dataclasses import dataclass

from terracube.core.errors import AssetError, BudgetError
from terracube.cubes.readers.peek import Bytes

_MAX_HEADER, _FIRST = 1 << 24, 1 << 13
_MAX_ITEMS, _MAX_NAME = 20_000, 1024
_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
#: Bytes of a value by type: byte, char, short, int, float, double; CDF-5 adds unsigned and 64-bit integers.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8}
_MORE_SIZES = {7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


def check_classic(source: Bytes) -> None:
    """Hold the header of a classic NetCDF file to its format: lists, names, types, dimensions, and where values lie.

    Parameters
    ----------
    source : Bytes
        The file; no more of it is read than its header takes, and a little.

    Raises
    ------
    AssetError
        If it is damaged, or the file is shorter than its header says.
    BudgetError
        If the header is larger than 16 MiB.
    """
    _Header(source, source.size).check()


@dataclass(slots=True)
class _Header:
    """Reads a header from front to back; every number is checked before it is used."""

    source: Bytes
    size: int
    data: bytes = b""
    at: int = 4

    @property
    def version(self) -> int:
        """1, 2 or 5."""
        return self.data[3]

    @property
    def _width(self) -> int:
        """Bytes of a count."""
        return 8 if self.version == 5 else 4

    def _fetch(self, end: int) -> None:
        """Have the bytes up to ``end`` at hand, and as many again, for few reads."""
        if end > len(self.data):
            wanted = min(max(2 * end, _FIRST), self.size, _MAX_HEADER)
            self.data += self.source.read(len(self.data), max(wanted, len(self.data)))

    def check(self) -> None:
        """Read the whole header."""
        self._fetch(min(self.at, self.size))
        # All ones: the number of records was not known when the file was written.
        told = self._integer(self._width)
        streaming = told == (1 << 8 * self._width) - 1
        records = 0 if streaming else told
        if records > self.size:
            raise self._broken(f"{records} records")
        dimensions = self._dimensions()
        self._attributes()
        variables = self._variables(dimensions)
        if sum(length == 0 for length in dimensions) > 1:
            raise self._broken("more than one record dimension")
        # Values are padded to four bytes, but for those of a lone record variable.
        record = sum(length + -length % 4 for _, length, by_record in variables if by_record)
        alone = sum(by_record for _, _, by_record in variables) == 1
        for begin, length, by_record in variables:
            step = length if alone else record
            extent = length if not by_record else (records - 1) * step + length if records else 0
            if extent and begin + extent > self.size:
                raise self._broken(f"values end at byte {begin + extent}, the file at {self.size}")

    def _broken(self, what: str) -> AssetError:
        todo = "fetch it again"
        return AssetError("a damaged NetCDF header", where=f"{self.source.name}, byte {self.at}", got=what, todo=todo)

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > min(self.size, _MAX_HEADER):
            if end <= self.size:
                expected = f"<= {_MAX_HEADER} bytes"
                raise BudgetError("a NetCDF header too large", where=self.source.name, expected=expected)
            raise self._broken("the header does not end")
        self._fetch(end)
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken

    def _integer(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    def _count(self, most: int) -> int:
        """Read a count: 4 bytes, 8 in CDF-5."""
        found = self._integer(self._width)
        if found > most:
            raise self._broken(f"a count of {found}")
        return found

    def _list(self, tag: int) -> int:
        """Read the tag and length of a list; an absent list is two zeros."""
        found, count = self._integer(4), self._count(_MAX_ITEMS)
        if found != tag and (found, count) != (0, 0):
            raise self._broken(f"a list of kind {found} and length {count}")
        return count

    def _name(self) -> str:
        length = self._count(_MAX_NAME)
        raw = self._take(length)
        self._take(-length % 4)
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._broken("a name that is no UTF-8") from error
        if not name or "\0" in name or "/" in name:
            raise self._broken(f"a name {name!r}")
        return name

    def _names_once(self, names: list[str]) -> None:
        if len(set(names)) != len(names):
            raise self._broken("one name twice")

    def _dimensions(self) -> list[int]:
        names, lengths = [], []
        for _ in range(self._list(_DIMENSION)):
            names.append(self._name())
            lengths.append(self._count(1 << 62))
        self._names_once(names)
        return lengths

    def _type(self) -> int:
        kind = self._integer(4)
        sizes = _SIZES | _MORE_SIZES if self.version == 5 else _SIZES
        if kind not in sizes:
            raise self._broken(f"a type {kind}")
        return sizes[kind]

    def _attributes(self) -> None:
        names = []
        for _ in range(self._list(_ATTRIBUTE)):
            names.append(self._name())
            width = self._type()
            length = self._count(_MAX_HEADER) * width
            self._take(length + -length % 4)
        self._names_once(names)

    def _variables(self, dimensions: list[int]) -> list[tuple[int, int, bool]]:
        """Read the variables: where values begin, how many bytes they (or those of a record) take, if by record."""
        names, found = [], []
        for _ in range(self._list(_VARIABLE)):
            names.append(self._name())
            ids = [self._count(max(len(dimensions) - 1, 0)) for _ in range(self._count(1024))]
            if ids and not dimensions:
                raise self._broken("a dimension that is not there")
            self._attributes()
            length = self._type()
            self._integer(self._width)  # the size told is redundant, and wraps around in large files
            begin = self._integer(4 if self.version == 1 else 8)
            shape = [dimensions[number] for number in ids]
            if 0 in shape[1:]:
                raise self._broken("a record dimension that is not the first")
            by_record = bool(shape) and shape[0] == 0
            for part in shape[1:] if by_record else shape:
                length *= part
            found.append((begin, length, by_record))
        self._names_once(names)
        return found
