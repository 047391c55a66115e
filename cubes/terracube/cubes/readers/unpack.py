"""Decode the tiles and strips of a TIFF: from packed bytes to numbers."""

from __future__ import annotations

import math
import threading
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from terracube.cubes.readers.layout import DEFLATE, NONE, ZSTD, Level
from terracube.cubes.readers.tiff import UnusualError

# Packed bytes may be more than the numbers where these cannot be packed, but never many more.
_SLACK = 64 << 10
_MAX_SCRATCH = 4 << 20


class BadTileError(Exception):
    """A tile that cannot be decoded; the text says why, and is the same whichever part of it is wanted."""


def check_size(size: int, tile_bytes: int) -> None:
    """Refuse packed bytes that are absurdly many for a tile.

    Raises
    ------
    BadTileError
        If they are.
    """
    if size > 2 * tile_bytes + _SLACK:
        raise BadTileError(f"{size} bytes for a tile of {tile_bytes}")


def decode_tile(packed: bytes, level: Level, rows: int, out: NDArray[Any]) -> None:
    """Decode a whole tile.

    Parameters
    ----------
    packed : bytes
        As they lie in the file.
    level : Level
    rows : int
        Rows that the tile holds; ``out`` may have fewer, and fewer columns: those are left out.
    out : array (rows, columns, numbers per pixel), type of the raster
        What to fill; it may be part of a larger array.

    Raises
    ------
    BadTileError
        If the bytes are damaged, or are not exactly the numbers of the tile.
    UnusualError
        If only GDAL can decode them.
    """
    dtype = np.dtype(level.dtype)
    stored = (rows, level.tile_width, level.together)
    direct = out.shape == stored and out.flags.c_contiguous and level.predictor != 3
    numbers = out if direct else _scratch(stored, dtype)
    _unpack(packed, level.compression, numbers.reshape(-1).view("uint8"))
    if level.predictor == 3:
        _undo_float(numbers, out)
        return
    if level.swapped:
        numbers.byteswap(inplace=True)
    wanted = numbers[: out.shape[0], : out.shape[1]]
    if level.predictor == 2:
        bits = np.dtype(f"u{dtype.itemsize}")
        _undo_difference(wanted.view(bits), out.view(bits))
    elif not direct:
        out[...] = wanted


class _Room(threading.local):
    """Memory of each thread that tiles are decoded into: taken anew for each tile it would be mapped anew as well."""

    def __init__(self) -> None:
        self.bytes = np.empty(0, "uint8")


_room = _Room()


def _scratch(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give an array to use until the next call of this thread."""
    size = math.prod(shape) * dtype.itemsize
    if size > _MAX_SCRATCH:
        return np.empty(shape, dtype)
    if size > _room.bytes.size:
        _room.bytes = np.empty(size, "uint8")
    return _room.bytes[:size].view(dtype).reshape(shape)


def _unpack(packed: bytes, compression: str, out: NDArray[np.uint8]) -> None:
    """Fill ``out`` from packed bytes, exactly."""
    if compression == NONE:
        if len(packed) < out.size:
            raise BadTileError(f"{len(packed)} bytes instead of {out.size}")
        out[...] = np.frombuffer(packed, "uint8", out.size)
        return
    told = ""
    memory = memoryview(out)
    try:
        if compression == DEFLATE:
            found = imagecodecs.deflate_decode(packed, out=memory)
        elif compression == ZSTD:
            found = imagecodecs.zstd_decode(packed, out=memory)
        else:
            found = _lzw(packed, memory)
    except (RuntimeError, ValueError) as error:
        told = str(error)
    else:
        if len(found) == out.size:
            return
        told = f"{len(found)} bytes instead of {out.size}"
    raise BadTileError(f"{compression}: {told}")


def _lzw(packed: bytes, out: memoryview[int]) -> Any:
    if packed[:1] == b"\0" and packed[1:2] and packed[1] & 1:
        raise UnusualError("LZW with its bits in the order that writers had before TIFF 6.0")
    return imagecodecs.lzw_decode(packed, out=out)


def _undo_difference(numbers: NDArray[Any], out: NDArray[Any]) -> None:
    """Add up each row: every number is written as its difference from the same number of the pixel before."""
    if numbers.shape[2] == 1:
        imagecodecs.delta_decode(numbers[:, :, 0], axis=-1, out=out[:, :, 0])
    else:
        imagecodecs.delta_decode(numbers, axis=-2, out=out)


def _undo_float(numbers: NDArray[Any], out: NDArray[Any]) -> None:
    """Put the bytes of each number together: rows are written as their first bytes, then the second, and so on."""
    whole = imagecodecs.floatpred_decode(numbers, axis=-2)
    out[...] = whole[: out.shape[0], : out.shape[1]]
