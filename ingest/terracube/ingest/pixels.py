"""Where the rows of a layer come from: a raster file, a plain binary file, an array, or a function of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terracube.core.errors import AssetError, HostileInputError
from terracube.cubes.readers import open_raster

_ROWS = 512
_MAX_BYTES = 1 << 40


class Pixels(Protocol):
    """Rows of one layer, north-up. Safe to be asked by several threads."""

    @property
    def step(self) -> int:
        """How many rows are best asked at once, counted from row 0."""

    @property
    def kept(self) -> Path | None:
        """A file that already is the layer, as a good COG, so that its bytes can be kept."""

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``.

        Raises
        ------
        AssetError
            If they cannot be decoded.
        """


@dataclass(frozen=True)
class FilePixels:
    """A band of a GeoTIFF or JPEG 2000 file."""

    path: Path
    band: int = 1
    step: int = _ROWS
    """A multiple of the height of the file's tiles, so that none is decoded twice."""
    cog: bool = False
    """Whether the file is a good COG of this one band."""
    flipped: bool = False
    """Whether the file is stored from south to north."""

    @property
    def kept(self) -> Path | None:
        """The file, if it is a good COG."""
        return self.path if self.cog else None

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``; see :class:`Pixels`."""
        with open_raster(self.path) as dataset:
            first = dataset.height - stop if self.flipped else start
            try:
                values: NDArray[Any] = dataset.read(self.band, window=Window(0, first, dataset.width, stop - start))
            except RasterioError as error:
                raise AssetError(
                    "the file is damaged: its pixels cannot be decoded",
                    where=str(self.path),
                    expected=f"{dataset.height} x {dataset.width} pixels",
                    got=str(error.__cause__ or error),
                    todo="download the file again",
                ) from error
        return values[::-1] if self.flipped else values


@dataclass(frozen=True)
class BinaryPixels:
    """A plain binary file of rows, as GAMMA, ROI_PAC and ENVI write them."""

    path: Path
    dtype: str
    """With its byte order: ``>f4``, ``<f4``, ``>i2``, ``>c8``."""
    shape: tuple[int, int]
    """Rows and columns of the layer."""
    offset: int = 0
    """Bytes before the first number of the layer."""
    row_bytes: int = 0
    """Bytes from one row to the next, where rows of several layers alternate; 0 = the rows follow each other."""
    step: int = _ROWS
    kept: None = None

    def check(self) -> BinaryPixels:
        """Refuse a file that is not exactly as large as its header says.

        Raises
        ------
        AssetError, HostileInputError
        """
        stride = self.row_bytes or self.shape[1] * np.dtype(self.dtype).itemsize
        needed = self.offset + (self.shape[0] - 1) * stride + self.shape[1] * np.dtype(self.dtype).itemsize
        if min(self.shape) < 1 or needed > _MAX_BYTES:
            raise HostileInputError("the header claims an absurd size", where=str(self.path), got=str(self.shape))
        try:
            there = self.path.stat().st_size
        except OSError as error:
            raise AssetError("cannot read the file", where=str(self.path), got=str(error.strerror)) from error
        whole = max(needed, self.shape[0] * stride)
        if there not in (needed, whole):
            raise AssetError(
                "the file has not the size that its header says",
                where=str(self.path),
                expected=f"{whole} bytes for {self.shape[0]} x {self.shape[1]}",
                got=f"{there} bytes",
                todo="check that header and file belong together, or download the file again",
            )
        return self

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop`` in the byte order of this machine; see :class:`Pixels`."""
        kind = np.dtype(self.dtype)
        stride = self.row_bytes or self.shape[1] * kind.itemsize
        out = np.empty((stop - start, self.shape[1]), kind.newbyteorder("="))
        try:
            with self.path.open("rb") as stream:
                for row in range(start, stop):
                    stream.seek(self.offset + row * stride)
                    out[row - start] = np.frombuffer(stream.read(self.shape[1] * kind.itemsize), kind)
        except (OSError, ValueError) as error:
            raise AssetError("cannot read the file", where=str(self.path), got=str(error)[:120]) from error
        return out


@dataclass(frozen=True, eq=False)
class ArrayPixels:
    """An array (y, x) that is small enough to be held."""

    values: NDArray[Any]
    step: int = _ROWS
    kept: None = None

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``; see :class:`Pixels`."""
        return self.values[start:stop]


@dataclass(frozen=True, eq=False)
class MadePixels:
    """A function of the same rows of other layers: a sign, a unit, a number for missing."""

    sources: tuple[Pixels, ...]
    function: Callable[..., NDArray[Any]]
    """Takes the rows of each source, gives rows of the same shape; pixel by pixel, so that strips do not matter."""
    kept: None = None

    @property
    def step(self) -> int:
        """As many rows as the first source likes to be asked."""
        return self.sources[0].step

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``; see :class:`Pixels`."""
        return self.function(*(source.rows(start, stop) for source in self.sources))
