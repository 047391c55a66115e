"""The door to rasters: which format a file has, who decodes it, and what it says of itself."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, InputError, TerraCubeError
from terracube.cubes import access
from terracube.cubes.access import ByteSource, Location, open_bytes
from terracube.cubes.readers import cache, gdal, tiff
from terracube.cubes.readers.checks import as_stored, check_band, check_inside, check_missing
from terracube.cubes.readers.fallback import close_datasets, gdal_header, gdal_window
from terracube.cubes.readers.file import File
from terracube.cubes.readers.header import Header
from terracube.cubes.readers.own import Plain, fill_plain, read_plain
from terracube.cubes.readers.peek import LOCAL_HEAD, REMOTE_HEAD, Peek
from terracube.cubes.readers.tiff import UnusualError
from terracube.cubes.readers.tiles import Sink
from terracube.cubes.window import Window

_ARRAYS = "terracube.cubes.readers.arrays"
_ARRAY_HEADS = (b"CDF", b"\x89HDF")
# GeoTIFF knows complex integers, numpy does not.
_NUMPY = {"complex_int16": "complex64"}


@dataclass(frozen=True, slots=True)
class _Known:
    """What was learnt of one file."""

    header: Header
    driver: str
    """Which driver of GDAL may open it; none for arrays."""
    plain: Plain | None
    """How it is decoded here, if it is."""


def read_header(location: Location, *, where: str) -> Header:
    """Read what a raster says of itself.

    Headers are kept per process, and read anew when the file has changed.

    Parameters
    ----------
    location : Location
    where : str
        What to call the raster in messages, as ``item/asset``.

    Returns
    -------
    Header

    Raises
    ------
    AssetError
        If the file is missing, broken, or cannot be opened.
    HostileInputError
        If it is of a format that is not opened, or its internal tiles are absurdly large.
    MetadataError
        If CRS or transform are missing, unreadable, or those of a rotated raster.
    """
    try:
        source = _open(location)
        if source is None:
            header: Header = _arrays(location).read_header(location, where=where)
            return header
        return _known(location, source, where).header
    except TerraCubeError as error:
        # Errors of files and servers know the address alone; a user needs the item and the asset too.
        if where not in error.where:
            error.where = f"{where}, {error.where}".rstrip(", ")
        raise


def read_pixels(
    location: Location,
    band: int,
    window: Window,
    *,
    level: int = 0,
    on_bad: Callable[[str], None] | None = None,
    missing: float | None = None,
) -> NDArray[Any]:
    """Read a window of one band, in the numbers that the file holds, north-up.

    Parameters
    ----------
    location : Location
    band : int
        From 1.
    window : Window
        Pixels of the level, counted from its north-west corner; inside the raster.
    level : int
        0 = full resolution, 1 = finest overview, and so on.
    on_bad : callable or None
        Called once with each internal tile that cannot be decoded: file, level, tile and reason, in a text that does
        not depend on the window. ``None``: such a tile is an error.
    missing : number or None
        What pixels of such a tile become; needed with ``on_bad``.

    Returns
    -------
    array (y, x), dtype of the file

    Raises
    ------
    InputError
        If there is no such band, level or window, or ``missing`` cannot be one of the raster's numbers.
    AssetError
        If the pixels cannot be decoded, or the file is gone or cannot be reached.
    MetadataError
        If an overview has another nodata value than the full resolution.
    """
    source = _open(location)
    known = None if source is None else _known(location, source, str(location))
    if source is None or known is None or known.header.decoder not in ("own", "gdal"):
        read = _arrays(location).read_pixels
        values: NDArray[Any] = read(location, band, window, level=level, on_bad=on_bad, missing=missing)
        return values
    header = known.header
    _check(header, band, window, level, where=source.name)
    out = np.empty(window.shape, _NUMPY.get(header.dtypes[band - 1], header.dtypes[band - 1]))
    if on_bad is not None:
        check_missing(missing, out.dtype)
    sink = Sink(as_stored(window, header, level), out, on_bad, missing)
    _fill(known, File(location, source, _identity(location, source), known.driver), band, level, sink)
    return out[::-1] if header.flipped else out


def close_files() -> None:
    """Close the files that are open and not in use, and forget headers, tiles, and what was learnt of servers."""
    close_datasets()
    if _ARRAYS in sys.modules:
        sys.modules[_ARRAYS].close_arrays()
    cache.forget()
    access.forget()


def _open(location: Location) -> ByteSource | None:
    """Open a file; ``None`` for a variable of a store of arrays, and for a folder, which can only be such a store."""
    # A server has no folders that could be asked for: a store there is known by its name.
    if location.member or (location.is_remote and ".zarr/" in location.href + "/"):
        return None
    try:
        return open_bytes(location)
    except AssetError:
        if location.is_remote or not os.path.isdir(location.href):
            raise
    return None


def _arrays(location: Location) -> ModuleType:
    """Give the module that reads Zarr and NetCDF: loaded where it is needed, for what it loads in turn is large."""
    try:
        return import_module(_ARRAYS)
    except ModuleNotFoundError as error:
        raise AssetError(
            "arrays cannot be read here", where=str(location), expected="a GeoTIFF or JPEG 2000", got=str(error)
        ) from error


def _identity(location: Location, source: ByteSource) -> tuple[Any, ...]:
    # A server that gives neither tag nor time: its first bytes are at hand anyway.
    version = source.version or str(zlib.crc32(source.read(0, min(source.size, 32 << 10))))
    return location.href, location.signer, version, source.size


def _known(location: Location, source: ByteSource, where: str) -> _Known:
    identity = _identity(location, source)
    known: _Known | None = cache.headers.get(identity)
    if known is None:
        known = _learn(location, source, identity, where)
        cache.headers.put(identity, known)
    return known


def _learn(location: Location, source: ByteSource, identity: tuple[Any, ...], where: str) -> _Known:
    peek = Peek(source, REMOTE_HEAD if location.is_remote else LOCAL_HEAD)
    if not peek.head:
        raise AssetError("the file is empty", where=source.name, expected="a raster", got="0 bytes")
    if peek.head.startswith(_ARRAY_HEADS):
        return _Known(_arrays(location).read_header(location, where=where), "", None)
    driver = gdal.driver_of(peek.head) or gdal.refuse(peek.head, source.name)
    try:
        plain = read_plain(peek, where) if tiff.is_tiff(peek.head) else None
    except UnusualError:
        plain = None
    if plain is not None:
        return _Known(plain.header, driver, plain)
    return _Known(gdal_header(File(location, source, identity, driver), where), driver, None)


def _fill(known: _Known, file: File, band: int, level: int, sink: Sink) -> None:
    if known.plain is not None:
        try:
            fill_plain(known.plain, file, band=band, level=level, sink=sink)
        except UnusualError:
            pass
        else:
            return
    gdal_window(file, known.header, band, level, sink)


def _check(header: Header, band: int, window: Window, level: int, *, where: str) -> None:
    check_band(header, band, where=where)
    if not 0 <= level <= len(header.overviews):
        raise InputError("no such overview", where=where, expected=f"0 to {len(header.overviews)}", got=str(level))
    check_inside(header, window, level, where=where)
