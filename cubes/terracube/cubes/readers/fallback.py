"""Rasters that are left to GDAL: headers and windows of everything that is not decoded here."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.cubes.grid import Grid
from terracube.cubes.readers.file import File
from terracube.cubes.readers.gdal import gdal_env, open_dataset
from terracube.cubes.readers.header import Header
from terracube.cubes.readers.nodata import same_nodata
from terracube.cubes.readers.place import crs_text, grid_of
from terracube.cubes.readers.remote import NAME, OneFile
from terracube.cubes.readers.tiles import Sink
from terracube.cubes.window import Window

_MAX_IDLE = 16
_MAX_OVERVIEWS = 30


class _Idle:
    """Open files that nobody uses just now: any thread may take one, and has it for itself until it gives it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[tuple[object, DatasetReader]] = []

    def take(self, key: object) -> DatasetReader | None:
        """Take a file that is open, if there is one."""
        with self._lock:
            for at in reversed(range(len(self._open))):
                if self._open[at][0] == key:
                    return self._open.pop(at)[1]
        return None

    def give(self, key: object, dataset: DatasetReader) -> None:
        """Give a file back; of too many the one that was given back first is closed."""
        with self._lock:
            self._open.append((key, dataset))
            old = self._open.pop(0)[1] if len(self._open) > _MAX_IDLE else None
        if old is not None:
            old.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            held, self._open = self._open, []
        for _, dataset in held:
            dataset.close()

    def forget(self) -> None:
        """Start anew in a forked process, whose descriptors are shared with its parent."""
        self._lock = threading.Lock()
        self._open = []


_idle = _Idle()
os.register_at_fork(after_in_child=_idle.forget)


def close_datasets() -> None:
    """Close the files that are open and not in use."""
    _idle.close()


# While the interpreter ends, GDAL could no longer tell Python's logging that it closes a file.
atexit.register(close_datasets)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A raster that GDAL has open."""

    dataset: DatasetReader
    failed: list[TerraCubeError]
    """Why bytes could not be had; GDAL itself knows but that they are not there."""

    def read(self, band: int, window: Window, out: NDArray[Any]) -> str:
        """Fill an array with a window; tell why the pixels cannot be decoded, or nothing."""
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        told = ""
        try:
            out[...] = self.dataset.read(band, window=place)
        except RasterioError as error:
            # What rasterio chains to its errors cannot be pickled: only the text leaves.
            told = str(error.__cause__ or error)
        if self.failed:
            raise self.failed[0]
        return told


@contextmanager
def _opened(file: File, overview: int | None = None) -> Iterator[_Opened]:
    """Open a file, or one of its overviews as GDAL counts them, or take one that is open already."""
    options = {} if overview is None else {"overview_level": overview}
    with gdal_env():
        if file.location.is_remote:
            with _remote(file, options) as opened:
                yield opened
            return
        key = (file.identity, overview)
        dataset = _idle.take(key) or open_dataset(file.source.name, file.driver, file.source.name, **options)
        try:
            yield _Opened(dataset, [])
        finally:
            _idle.give(key, dataset)


@contextmanager
def _remote(file: File, options: dict[str, int]) -> Iterator[_Opened]:
    # Opened for one call only: rasterio looks a file object up in the context that opened it, so that no other thread
    # could use it, nor GDAL's own threads.
    files = OneFile(file.source, file.identity)
    with rasterio.Env(GDAL_NUM_THREADS="1"):
        try:
            dataset = open_dataset(NAME, file.driver, file.source.name, opener=files, **options)
        except AssetError:
            if files.failed:
                raise files.failed[0] from None
            raise
        with dataset:
            yield _Opened(dataset, files.failed)
    if files.failed:
        raise files.failed[0]


def gdal_header(file: File, where: str) -> Header:
    """Read the header of a raster.

    Raises
    ------
    AssetError, HostileInputError
        If it cannot be opened safely.
    MetadataError
        If it is no place, or its place is not declared.
    """
    overviews = tuple(shape for shape, _ in overview_shapes(file))
    with _opened(file) as opened:
        dataset = opened.dataset
        grid, flipped = _grid(dataset, where)
        # GDAL gives one and zero where nothing is declared.
        said = [
            (None, None) if pair == (1.0, 0.0) else pair for pair in zip(dataset.scales, dataset.offsets, strict=True)
        ]
        return Header(
            driver=dataset.driver,
            grid=grid,
            count=dataset.count,
            dtypes=tuple(dataset.dtypes),
            nodata=tuple(dataset.nodatavals),
            overviews=overviews,
            tile=tuple(dataset.block_shapes[0]),
            decoder="gdal",
            flipped=flipped,
            scale=tuple(scale for scale, _ in said),
            offset=tuple(offset for _, offset in said),
            descriptions=tuple(dataset.descriptions),
            compression="" if dataset.compression is None else dataset.compression.name.lower(),
        )


def _grid(dataset: DatasetReader, where: str) -> tuple[Grid, bool]:
    try:
        crs = crs_text(dataset)
    except MetadataError as error:
        raise MetadataError(error.what, where=where, expected=error.expected, got=error.got) from error
    return grid_of(crs, tuple(dataset.transform)[:6], (dataset.height, dataset.width), where)


def overview_shapes(file: File) -> list[tuple[tuple[int, int], int]]:
    """Give height and width of each overview, finest first, and its number for GDAL."""
    with _opened(file) as opened:
        factors, (height, width) = opened.dataset.overviews(1)[:_MAX_OVERVIEWS], opened.dataset.shape
    if file.driver == "JP2OpenJPEG":
        # A resolution of JPEG 2000 halves the one before, rounded up (ISO/IEC 15444-1, B.5).
        return [((-(-height // factor), -(-width // factor)), number) for number, factor in enumerate(factors)]
    shapes = []
    for number in range(len(factors)):
        with _opened(file, number) as opened:
            shapes.append((tuple(opened.dataset.shape), number))
    return sorted(shapes, key=lambda it: (-it[0][0] * it[0][1], it[1]))


def _overview_number(file: File, shape: tuple[int, int]) -> int:
    """Give the number by which GDAL knows an overview: the header may have been read here, and GDAL pass some over."""
    for found, number in overview_shapes(file):
        if found == shape:
            return number
    raise AssetError("cannot open the overview", where=file.source.name, expected=f"{shape[0]} x {shape[1]} pixels")


def gdal_window(file: File, header: Header, band: int, level: int, sink: Sink) -> None:
    """Fill a window with the numbers of one band.

    Raises
    ------
    AssetError
        If pixels cannot be decoded, and the sink does not take that.
    MetadataError
        If an overview has another nodata value than the full resolution.
    """
    number = _overview_number(file, header.overviews[level - 1]) if level else None
    with _opened(file, number) as opened:
        same_nodata(header.nodata[band - 1], opened.dataset.nodatavals[band - 1], file.source.name)
        told = opened.read(band, sink.window, sink.out)
        if not told:
            return
        if not sink.lenient:
            raise AssetError("cannot decode pixels", where=file.source.name, expected=str(sink.window), got=told)
        _read_blocks(opened, band, level, file.source.name, sink)


def _read_blocks(opened: _Opened, band: int, level: int, name: str, sink: Sink) -> None:
    """Fill a window block by block, so that one that cannot be decoded leaves out no more than itself."""
    height, width = opened.dataset.block_shapes[band - 1]
    (top, left), (bottom, right) = (sink.window.row, sink.window.col), sink.window.stop
    for row in range(top // height, -(-bottom // height)):
        for col in range(left // width, -(-right // width)):
            common, part = sink.part(Window(row * height, col * width, height, width))
            told = opened.read(band, common, part)
            if told:
                where = f"{name}, level {level}, tile row {row}, column {col}"
                sink.bad(part, where, told.replace(opened.dataset.name, name))
