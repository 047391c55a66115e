"""Zarr stores of which only files are read, through `terracube.cubes.access`; and what may stand in their metadata."""

from __future__ import annotations

import asyncio
import json
import lzma
import os
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import quote

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from terracube.core.errors import HostileInputError, InputError
from terracube.cubes.access import ByteSource, Location, NotThereError, open_bytes, read_whole

_DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
MOST_JSON = 16 << 20
_MOST_CHUNK = 512 << 20
_SLACK = 64 << 10
# What codecs raise when bytes are not theirs; each library has its own.
BROKEN = (
    *(RuntimeError, ValueError, TypeError, IndexError, EOFError, OSError, MemoryError),
    *(zlib.error, lzma.LZMAError),
    # What blosc's decoder says of a chunk whose header claims a negative size.
    SystemError,
)
# Codecs that give numbers from bytes and do nothing else: a pickle, for one, would run what it holds.
_PACKERS = ("gzip", "zstd", "blosc", "zlib", "bz2", "lz4", "lzma", "pcodec", "zfpy", "packbits", "sharding_indexed")
_CHANGERS = ("bytes", "endian", "transpose", "shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "astype")
_CHECKERS = ("crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3")
_CODECS = frozenset((*_PACKERS, *_CHANGERS, *_CHECKERS))


class BytesStore(Store):
    """A read-only store below a folder or address; nothing outside of it is read."""

    def __init__(self, base: Location) -> None:
        super().__init__(read_only=True)
        self._base = base
        self._most = _SLACK
        self._root = "" if base.is_remote else os.path.realpath(base.href)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BytesStore) and other._base == self._base

    def __hash__(self) -> int:
        return hash(self._base)

    def __repr__(self) -> str:
        return f"BytesStore({self._base})"

    def place(self, key: str) -> Location:
        """Give the place of a file of the store.

        Raises
        ------
        HostileInputError
            If it lies outside of the store, also by a link.
        """
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise HostileInputError("a key leaves the store", where=str(self._base), got=key[:80])
        if self._root:
            path = os.path.realpath(os.path.join(self._root, *parts))
            if os.path.commonpath((path, self._root)) != self._root:
                raise HostileInputError("a link leaves the store", where=str(self._base), got=key[:80])
            return Location(path)
        base, mark, query = self._base.href.partition("?")
        name = key if base.startswith("s3://") else quote(key)
        return replace(self._base, href=f"{base.rstrip('/')}/{name}{mark}{query}", member="")

    def expect(self, size: float) -> None:
        """Say how many bytes a chunk holds once it is unpacked: packed, none needs many more."""
        self._most = int(min(max(self._most, 2 * size + _SLACK), _MOST_CHUNK))

    def read(self, key: str, most: int = 0) -> bytes | None:
        """Give all bytes of a file; ``None`` if there is none."""
        try:
            return read_whole(self.place(key), most=most or self._most)
        except NotThereError:
            return None

    def read_json(self, key: str) -> Mapping[str, Any] | None:
        """Give a document of metadata; ``None`` if there is none.

        Raises
        ------
        HostileInputError
            If it is no JSON object.
        """
        content = self.read(key, MOST_JSON)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise HostileInputError("the metadata are no JSON object", where=f"{self._base}/{key}")
        return found

    def _part(self, key: str, wanted: ByteRequest | None) -> bytes | None:
        if wanted is None:
            return self.read(key, MOST_JSON if key.endswith(_DOCUMENTS) else 0)
        try:
            source = open_bytes(self.place(key))
        except NotThereError:
            return None
        return source.read(*_range(source, wanted))

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Give the bytes of a file, or a part of them; ``None`` if there is none."""
        found = await asyncio.to_thread(self._part, key, byte_range)
        return None if found is None else (prototype or default_buffer_prototype()).buffer.from_bytes(found)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Give parts of several files."""
        return list(await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether there is such a file."""
        return await self.get(key, default_buffer_prototype(), RangeByteRequest(0, 0)) is not None

    @property
    def supports_writes(self) -> bool:
        """Nothing is written."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """Nothing is deleted."""
        return False

    @property
    def supports_listing(self) -> bool:
        """Servers do not list what they have."""
        return False

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002  # the face of a store
        """Refuse to write."""
        self._refuse("written to")

    async def delete(self, key: str) -> None:  # noqa: ARG002  # as above
        """Refuse to delete."""
        self._refuse("deleted from")

    def list(self) -> AsyncIterator[str]:
        """Refuse to list."""
        self._refuse("listed")

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002  # as above
        """Refuse to list."""
        self._refuse("listed")

    def list_dir(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002  # as above
        """Refuse to list."""
        self._refuse("listed")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(f"the store is not {what}", where=str(self._base), expected="reading of named variables")


def _range(source: ByteSource, wanted: ByteRequest) -> tuple[int, int]:
    size = source.size
    if isinstance(wanted, RangeByteRequest):
        return wanted.start, min(wanted.end, size)
    if isinstance(wanted, OffsetByteRequest):
        return min(wanted.offset, size), size
    return (max(0, size - wanted.suffix), size) if isinstance(wanted, SuffixByteRequest) else (0, size)


def check_codecs(codecs: object, where: str) -> None:
    """Refuse metadata that name a codec which could do more than unpack numbers.

    Parameters
    ----------
    codecs
        What stands in the metadata: the list of a v3 array, or compressor and filters of a v2 array.
    where : str

    Raises
    ------
    HostileInputError
        If one is not known to be harmless, or it is no list of codecs.
    """
    if not isinstance(codecs, list):
        raise HostileInputError("the codecs are no list", where=where, got=str(codecs)[:80])
    for codec in codecs:
        if codec is None:
            continue
        if not isinstance(codec, dict):
            raise HostileInputError("a codec has no name", where=where, got=str(codec)[:80])
        name = str(codec.get("name") or codec.get("id")).removeprefix("numcodecs.")
        if name not in _CODECS:
            raise HostileInputError("a codec is not opened", where=where, expected=", ".join(sorted(_CODECS)), got=name)
        inner = codec.get("configuration")
        if isinstance(inner, dict) and name == "sharding_indexed":
            check_codecs(inner.get("codecs"), where)
            check_codecs(inner.get("index_codecs"), where)
