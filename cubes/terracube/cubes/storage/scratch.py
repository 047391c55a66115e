"""Where blocks land while a product is being computed: one flat file per block, in any order, by any process.

No two blocks share a byte or a page, so threads, processes, and the workers of a cluster on several hosts may all
write at once, as long as they see the same folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError, IntegrityError
from terracube.core.files import storage_error
from terracube.cubes.grid import YX

_BYTES = 4


@dataclass(frozen=True)
class Scratch:
    """The pixels of a product (layer, y, x), float32, in blocks."""

    folder: str
    """Where the blocks lie."""
    layers: int
    shape: YX
    """Rows and columns of the whole product."""
    block: int
    """Pixels along each side of a block; those at the southern and eastern edges may be smaller."""

    @classmethod
    def create(cls, folder: Path, layers: int, shape: YX, block: int) -> Scratch:
        """Make the folder.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise storage_error(error, folder) from error
        return cls(str(folder), layers, shape, block)

    def _path(self, row: int, col: int) -> Path:
        return Path(self.folder) / f"{row}-{col}.bin"

    def _shape(self, row: int, col: int) -> YX:
        return YX(min(self.block, self.shape.y - row * self.block), min(self.block, self.shape.x - col * self.block))

    def write(self, row: int, col: int, values: NDArray[np.float32]) -> None:
        """Put a block (layer, y, x) in its place, by its row and column among the blocks.

        Raises
        ------
        StorageError
            If the disk refuses.
        InputError
            If its shape is not that of the block in this place.
        """
        expected = (self.layers, *self._shape(row, col))
        if values.shape != expected:
            raise InputError(
                "a block does not fit its place",
                where=f"block {row}, {col}",
                expected=str(expected),
                got=str(values.shape),
                todo="compute the product in the blocks of its scratch folder",
            )
        path = self._path(row, col)
        partial = path.with_suffix(f".{os.getpid()}")
        try:
            # Not `tofile`: its error does not hold the reason.
            partial.write_bytes(np.ascontiguousarray(values, "float32").data)
            os.replace(partial, path)
        except OSError as error:
            raise storage_error(error, path) from error

    def rows(self, layer: int, start: int, stop: int) -> NDArray[np.float32]:
        """Give rows ``start`` to ``stop`` of a layer.

        Raises
        ------
        IntegrityError
            If a block was not written, or not in full.
        """
        out = np.empty((stop - start, self.shape.x), "float32")
        for row in range(start // self.block, -(-stop // self.block)):
            top = row * self.block
            first, last = max(start, top), min(stop, top + self.block)
            for col, left in enumerate(range(0, self.shape.x, self.block)):
                piece = self._piece(row, col, layer, first - top, last - top)
                out[first - start : last - start, left : left + self.block] = piece
        return out

    def _piece(self, row: int, col: int, layer: int, first: int, last: int) -> NDArray[np.float32]:
        """Read some rows of one layer of one block."""
        height, width = self._shape(row, col)
        path = self._path(row, col)
        count, offset = (last - first) * width, _BYTES * width * (layer * height + first)
        try:
            flat = np.fromfile(path, "float32", count, offset=offset)
        except OSError as error:
            raise IntegrityError("a block is missing", where=str(path), todo="run again") from error
        if flat.size != count:
            raise IntegrityError("a block is incomplete", where=str(path), expected=str(count), got=str(flat.size))
        return flat.reshape(last - first, width)
