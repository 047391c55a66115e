"""Read windows of plain TIFFs: the tiles that a window needs, decoded straight into it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError
from terracube.cubes.readers import cache
from terracube.cubes.readers.file import File
from terracube.cubes.readers.layout import Level
from terracube.cubes.readers.unpack import BadTileError, check_size, decode_tile
from terracube.cubes.window import Window

# Packed bytes that are asked for at once: of a server many, of this machine about a tile, which stays in the
# processor's cache until it is decoded.
_BATCH_BYTES, _LOCAL_BYTES = 16 << 20, 256 << 10
# Tables of tiles up to this size are read whole and kept.
_TABLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Shelf:
    """One resolution of one file, and what to call its tiles."""

    file: File
    level: Level
    number: int
    """0 = full resolution, 1 = finest overview."""

    def tile_name(self, tile: Tile) -> str:
        """Name a tile in messages."""
        band = f", band {tile.band}" if self.level.separate else ""
        return f"{self.file.source.name}, level {self.number}{band}, tile row {tile.row}, column {tile.col}"


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile that a window needs: which it is, where it lies in the file and on the raster."""

    row: int
    col: int
    band: int
    """From 1; of the window that was asked for."""
    offset: int
    size: int
    area: Window
    """Pixels of the raster that it holds."""
    rows: int
    """Rows that it holds, those beyond the raster's edge as well."""


class Sink:
    """The window that is filled, and what happens to tiles that cannot be decoded."""

    def __init__(
        self, window: Window, out: NDArray[Any], on_bad: Callable[[str], None] | None, missing: float | None
    ) -> None:
        self.window, self.out, self._on_bad, self._missing = window, out, on_bad, missing

    @property
    def lenient(self) -> bool:
        """Whether a tile that cannot be decoded is told instead of raised."""
        return self._on_bad is not None

    def part(self, area: Window) -> tuple[Window, NDArray[Any]]:
        """Give what a tile and the window have in common: the pixels of the raster, and their place in the window."""
        row, col = max(area.row, self.window.row), max(area.col, self.window.col)
        stop = min(area.stop[0], self.window.stop[0]), min(area.stop[1], self.window.stop[1])
        common = Window(row, col, stop[0] - row, stop[1] - col)
        return common, self.out[common.within(self.window).slices]

    def bad(self, part: NDArray[Any], where: str, reason: str) -> None:
        """Fill a tile that cannot be decoded and tell so, or raise."""
        if self._on_bad is None:
            raise AssetError("cannot decode pixels", where=where, got=reason, todo="fetch the file again")
        part[...] = self._missing
        self._on_bad(f"{where}: {reason}")


def read_tiles(shelf: Shelf, band: int, sink: Sink) -> None:
    """Fill a window with the numbers of one band.

    Raises
    ------
    AssetError
        If a tile cannot be decoded, and the sink does not take that.
    """
    batch: list[Tile] = []
    held, most = 0, _BATCH_BYTES if shelf.file.location.is_remote else _LOCAL_BYTES
    for tile in _needed(shelf, band, sink.window):
        if shelf.level.streamed:
            _read_strip(shelf, tile, sink)
        elif not _settled(shelf, tile, sink):
            batch.append(tile)
            held += tile.size
        if held >= most:
            _read_batch(shelf, batch, sink)
            batch, held = [], 0
    _read_batch(shelf, batch, sink)


def _needed(shelf: Shelf, band: int, window: Window) -> Iterator[Tile]:
    """Go through the tiles that a window touches."""
    level = shelf.level
    first_col, stop_col = window.col // level.tile_width, -(-window.stop[1] // level.tile_width)
    first_row, stop_row = window.row // level.tile_height, -(-window.stop[0] // level.tile_height)
    plane = (band - 1) * level.across * level.down if level.separate else 0
    for row in range(first_row, stop_row):
        start = plane + row * level.across
        offsets, sizes = _table(shelf, start + first_col, start + stop_col)
        for col in range(first_col, stop_col):
            top, left = row * level.tile_height, col * level.tile_width
            height, width = min(level.tile_height, level.height - top), min(level.tile_width, level.width - left)
            offset, size = int(offsets[col - first_col]), int(sizes[col - first_col])
            yield Tile(row, col, band, offset, size, Window(top, left, height, width), level.stored_rows(row))


def _table(shelf: Shelf, first: int, stop: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Give offsets and sizes of neighbouring tiles; a table that is small is read once."""
    offsets, sizes = shelf.level.offsets, shelf.level.sizes
    if offsets.count * 16 > _TABLE_BYTES:
        return offsets.read(shelf.file.source, first, stop), sizes.read(shelf.file.source, first, stop)
    key = (shelf.file.identity, shelf.number, "table")
    table = cache.tables.get(key)
    if table is None:
        table = np.stack([it.read(shelf.file.source, 0, it.count) for it in (offsets, sizes)])
        cache.tables.put(key, table)
    return table[0, first:stop], table[1, first:stop]


def _key(shelf: Shelf, tile: Tile) -> Hashable:
    plane = tile.band if shelf.level.separate else 0
    return shelf.file.identity, shelf.number, plane, tile.row, tile.col


def _settled(shelf: Shelf, tile: Tile, sink: Sink) -> bool:
    """Fill in a tile that need not be read: absent, known already, or not to be read at all."""
    common, part = sink.part(tile.area)
    if tile.offset == 0 == tile.size:
        # Writers leave out tiles in which nothing was seen.
        part[...] = 0 if shelf.level.nodata is None else shelf.level.nodata
        return True
    kept = cache.tiles.get(_key(shelf, tile))
    if kept is not None:
        _copy(kept, tile, common, part, shelf.level)
        return True
    try:
        check_size(tile.size, shelf.level.row_bytes * tile.rows)
        _check_place(tile, shelf.file.source.size)
    except BadTileError as error:
        sink.bad(part, shelf.tile_name(tile), str(error))
        return True
    return False


def _check_place(tile: Tile, size: int) -> None:
    if not 0 < tile.offset < tile.offset + tile.size <= size:
        raise BadTileError(f"{tile.size} bytes from byte {tile.offset} on, in a file of {size}")


def _copy(decoded: NDArray[Any], tile: Tile, common: Window, part: NDArray[Any], level: Level) -> None:
    part[...] = decoded[(*common.within(tile.area).slices, 0 if level.separate else tile.band - 1)]


def _read_batch(shelf: Shelf, batch: list[Tile], sink: Sink) -> None:
    """Read the bytes of some tiles together, and decode one after the other."""
    ranges = [(tile.offset, tile.offset + tile.size) for tile in batch]
    for tile, packed in zip(batch, shelf.file.source.read_many(ranges) if ranges else [], strict=True):
        common, part = sink.part(tile.area)
        try:
            _decode(shelf, tile, packed, common, part)
        except BadTileError as error:
            sink.bad(part, shelf.tile_name(tile), str(error))


def _decode(shelf: Shelf, tile: Tile, packed: bytes, common: Window, part: NDArray[Any]) -> None:
    level = shelf.level
    if common == tile.area and level.together == 1:
        decode_tile(packed, level, tile.rows, part[:, :, np.newaxis])
        return
    # A part of the tile, or one of its bands: the rest will be wanted soon.
    decoded = np.empty((tile.rows, level.tile_width, level.together), level.dtype)
    decode_tile(packed, level, tile.rows, decoded)
    decoded.flags.writeable = False
    cache.tiles.put(_key(shelf, tile), decoded)
    _copy(decoded, tile, common, part, level)


def _read_strip(shelf: Shelf, strip: Tile, sink: Sink) -> None:
    """Read the wanted rows of a strip that is not packed."""
    level = shelf.level
    common, part = sink.part(strip.area)
    if strip.offset == 0 == strip.size:
        part[...] = 0 if level.nodata is None else level.nodata
        return
    try:
        _check_place(strip, shelf.file.source.size)
        if strip.size < level.row_bytes * strip.rows:
            raise BadTileError(f"{strip.size} bytes instead of {level.row_bytes * strip.rows}")
    except BadTileError as error:
        sink.bad(part, shelf.tile_name(strip), str(error))
        return
    step = max(1, _BATCH_BYTES // level.row_bytes)
    dtype = np.dtype(level.dtype).newbyteorder("S" if level.swapped else "=")
    for row in range(0, common.height, step):
        rows = min(step, common.height - row)
        start = strip.offset + (common.row - strip.area.row + row) * level.row_bytes
        found = np.frombuffer(shelf.file.source.read(start, start + rows * level.row_bytes), dtype)
        numbers = found.reshape(rows, level.tile_width, level.together)
        part[row : row + rows] = numbers[
            :, common.col : common.col + common.width, 0 if level.separate else strip.band - 1
        ]
