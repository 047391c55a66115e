"""Where the pixels of a TIFF lie and how they are packed, from its directories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import HostileInputError
from terracube.cubes.readers import tiff
from terracube.cubes.readers.gdal import MAX_BANDS, MAX_TILE_BYTES
from terracube.cubes.readers.nodata import parse_nodata
from terracube.cubes.readers.peek import Bytes, Peek
from terracube.cubes.readers.tiff import Directory, UnusualError

_MAX_SIDE = (1 << 31) - 1
_PLAIN_STRIP_BYTES = 64 << 10

NONE, LZW, DEFLATE, ZSTD = "none", "lzw", "deflate", "zstd"
_COMPRESSIONS = {1: NONE, 5: LZW, 8: DEFLATE, 32946: DEFLATE, 50000: ZSTD}
_FORMATS = {1: "uint", 2: "int", 3: "float"}
_NAMES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
# Black is zero, red-green-blue, palette: the numbers are given as they are.
_PHOTOMETRIC = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers that lie in the file, one per tile: read when they are needed."""

    start: int
    """Their first byte in the file."""
    count: int
    dtype: str

    def read(self, source: Bytes, first: int, stop: int) -> NDArray[np.uint64]:
        """Give those from ``first`` to before ``stop``."""
        size = np.dtype(self.dtype).itemsize
        found = source.read(self.start + first * size, self.start + stop * size)
        return np.frombuffer(found, self.dtype).astype("uint64")


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a raster: its pixels, and the tiles or strips that hold them."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    samples: int
    """Numbers per pixel, over all bands."""
    separate: bool
    """Whether each band has tiles of its own; else the numbers of a pixel lie together."""
    dtype: str
    swapped: bool
    """Whether numbers are written in the other byte order than this machine's."""
    compression: str
    predictor: int
    tiled: bool
    offsets: Numbers
    sizes: Numbers
    nodata: float | None

    @property
    def across(self) -> int:
        """Tiles side by side."""
        return -(-self.width // self.tile_width)

    @property
    def down(self) -> int:
        """Tiles one below the other."""
        return -(-self.height // self.tile_height)

    @property
    def together(self) -> int:
        """Numbers of one pixel in one tile."""
        return 1 if self.separate else self.samples

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a tile, decoded."""
        return self.tile_width * self.together * int(self.dtype[-2:].strip("nt")) // 8

    @property
    def streamed(self) -> bool:
        """Whether rows can be read one by one, without the rest of their strip."""
        return self.compression == NONE and not self.tiled

    def stored_rows(self, tile_row: int) -> int:
        """Give the rows that a tile holds: the last strip ends with the raster, the last tile does not."""
        return self.tile_height if self.tiled else min(self.tile_height, self.height - tile_row * self.tile_height)

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of what has to be read at least."""
        rows = max(1, _PLAIN_STRIP_BYTES // self.row_bytes) if self.streamed else self.tile_height
        return min(self.tile_height, rows), self.tile_width


def level_of(directory: Directory, name: str) -> Level:
    """Take the layout of one image from its directory.

    Raises
    ------
    UnusualError
        If only GDAL can decode it.
    HostileInputError
        If its internal tiles are absurdly large.
    AssetError
        If the header points beyond the file.
    """
    width, height = directory.integer(tiff.WIDTH), directory.integer(tiff.HEIGHT)
    samples = directory.integer(tiff.SAMPLES, 1)
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE and 0 < samples <= MAX_BANDS):
        raise UnusualError(f"{height} x {width} pixels, {samples} samples")
    _check_plain(directory)
    dtype = _dtype(directory, samples)
    compression, predictor = _packing(directory, dtype)
    tiled = tiff.TILE_WIDTH in directory
    tile_height, tile_width = _tile(directory, tiled, height, width)
    level = Level(
        height=height,
        width=width,
        tile_height=tile_height,
        tile_width=tile_width,
        samples=samples,
        separate=samples > 1 and directory.integer(tiff.PLANAR, 1) == 2,
        dtype=dtype,
        swapped=directory.dialect.order != "<" and dtype not in ("uint8", "int8"),
        compression=compression,
        predictor=predictor,
        tiled=tiled,
        offsets=_numbers(directory, tiff.TILE_OFFSETS if tiled else tiff.STRIP_OFFSETS),
        sizes=_numbers(directory, tiff.TILE_SIZES if tiled else tiff.STRIP_SIZES),
        nodata=parse_nodata(directory.text(tiff.NODATA), dtype),
    )
    _check_tiles(level, name)
    return level


def overviews_of(peek: Peek, first: Directory, level: Level) -> tuple[tuple[int, int, int], ...]:
    """Find the reduced resolutions of the main image: height, width and directory of each, finest first."""
    found = []
    for directory in tiff.further_directories(peek, first):
        kind = directory.integer(tiff.SUBFILE, 0)
        # Bit 0: a reduced resolution of another image; bit 2: a mask.
        if kind & 1 and not kind & 4 and directory.integer(tiff.SAMPLES, 1) == level.samples:
            found.append((directory.integer(tiff.HEIGHT), directory.integer(tiff.WIDTH), directory.start))
    for height, width, _ in found:
        if not (0 < height <= level.height and 0 < width <= level.width):
            raise UnusualError(f"an overview of {height} x {width} pixels")
    return tuple(sorted(found, key=lambda it: (-it[0] * it[1], it[2])))


def _check_plain(directory: Directory) -> None:
    """Leave to GDAL what changes the meaning of the numbers or their order."""
    plain = (
        directory.integer(tiff.PHOTOMETRIC) in _PHOTOMETRIC
        and directory.integer(tiff.FILL_ORDER, 1) == 1
        and directory.integer(tiff.ORIENTATION, 1) == 1
        and directory.integer(tiff.PLANAR, 1) in (1, 2)
        and directory.integer(tiff.IMAGE_DEPTH, 1) == 1
        and directory.integer(tiff.TILE_DEPTH, 1) == 1
    )
    if not plain:
        raise UnusualError("colours, order of bits, orientation or depth")


def _dtype(directory: Directory, samples: int) -> str:
    bits = directory.same(tiff.BITS, samples, 1)
    kind = directory.same(tiff.SAMPLE_FORMAT, samples, 1)
    name = f"{_FORMATS.get(kind, '?')}{bits}"
    if name not in _NAMES:
        raise UnusualError(f"numbers of {bits} bits, format {kind}")
    return name


def _packing(directory: Directory, dtype: str) -> tuple[str, int]:
    number = directory.integer(tiff.COMPRESSION, 1)
    compression, predictor = _COMPRESSIONS.get(number), directory.integer(tiff.PREDICTOR, 1)
    known = predictor in (1, 2) or (predictor == 3 and dtype.startswith("float"))
    if compression is None or not known or (compression == NONE and predictor != 1):
        raise UnusualError(f"compression {number}, predictor {predictor}")
    return compression, predictor


def _tile(directory: Directory, tiled: bool, height: int, width: int) -> tuple[int, int]:
    if tiled:
        tile = directory.integer(tiff.TILE_HEIGHT), directory.integer(tiff.TILE_WIDTH)
    else:
        tile = min(directory.integer(tiff.ROWS_PER_STRIP, _MAX_SIDE), height), width
    if min(tile) == 0 or (tiled and (tile[0] % 16 or tile[1] % 16)):
        raise UnusualError(f"tiles of {tile}")
    return tile


def _numbers(directory: Directory, tag: int) -> Numbers:
    kind, count, start = directory.place(tag)
    if kind not in tiff.OFFSET_BYTES:
        raise UnusualError(f"offsets of type {kind}")
    return Numbers(start, count, f"{directory.dialect.order}u{tiff.OFFSET_BYTES[kind]}")


def _check_tiles(level: Level, name: str) -> None:
    tiles = level.across * level.down * (level.samples if level.separate else 1)
    if {level.offsets.count, level.sizes.count} != {tiles}:
        raise UnusualError(f"{level.offsets.count} offsets of {tiles} tiles")
    tile = level.row_bytes * level.tile_height
    if tile > MAX_TILE_BYTES and not level.streamed:
        raise HostileInputError(
            "the raster's internal tiles are too large to decode safely",
            where=name,
            expected=f"1 to {MAX_BANDS} bands, tiles of at most {MAX_TILE_BYTES >> 20} MiB",
            got=f"{level.samples} bands, {tile >> 20} MiB",
            todo="rewrite it with tiles of 512 x 512",
        )
