"""Remote files as GDAL reads them: through Python, so that tokens, limits and addresses stay ours."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

from terracube.core.errors import TerraCubeError
from terracube.cubes.access import ByteSource
from terracube.cubes.readers import cache

NAME = "raster"
_PIECE = 64 << 10
# Pieces that are missing side by side are asked for at once, up to this many.
_AT_ONCE = 64


class View:
    """A read-only file object over bytes that lie elsewhere. It never raises: GDAL could not pass that on."""

    def __init__(self, source: ByteSource, identity: Hashable, failed: list[TerraCubeError]) -> None:
        self._source, self._identity, self._failed = source, identity, failed
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *told: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held."""

    def tell(self) -> int:
        """Give the position."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move: from the start (0), from here (1) or from the end (2)."""
        self._at = max(0, offset + (0, self._at, self._source.size)[whence])
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Give the next bytes; fewer at the end, and none when they cannot be had (which is remembered)."""
        stop = self._source.size if size < 0 else min(self._at + size, self._source.size)
        if self._at >= stop or self._failed:
            return b""
        try:
            found = self._pieces(self._at, stop)
        except TerraCubeError as error:
            self._failed.append(error)
            return b""
        self._at = stop
        return found

    def _pieces(self, start: int, stop: int) -> bytes:
        first, last = start // _PIECE, -(-stop // _PIECE)
        if last - first > _AT_ONCE:
            return self._source.read(start, stop)
        known = [cache.pieces.get((self._identity, number)) for number in range(first, last)]
        pieces = [piece for piece in known if piece is not None]
        whole = b"".join(pieces if len(pieces) == len(known) else self._fetch(first, last))
        return whole[start - first * _PIECE : stop - first * _PIECE]

    def _fetch(self, first: int, last: int) -> list[bytes]:
        found = self._source.read(first * _PIECE, min(last * _PIECE, self._source.size))
        cut = [found[at : at + _PIECE] for at in range(0, len(found), _PIECE)]
        for number, piece in enumerate(cut, first):
            cache.pieces.put((self._identity, number), piece)
        return cut


class OneFile:
    """Open one file, and nothing beside it."""

    def __init__(self, source: ByteSource, identity: Hashable) -> None:
        self._source, self._identity = source, identity
        self.failed: list[TerraCubeError] = []
        """Why bytes could not be read."""

    def __call__(self, path: str, mode: str = "r") -> View:
        """Give the file, at its start.

        Raises
        ------
        FileNotFoundError
            For any other name, or to write.
        """
        if path.rpartition("/")[2] != NAME or set(mode) & set("wa+"):
            raise FileNotFoundError(path)
        return View(self._source, self._identity, self.failed)
