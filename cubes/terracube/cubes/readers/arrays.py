"""Variables of Zarr stores and NetCDF files as rasters: the header of one, and windows of its pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, InputError, TerraCubeError
from terracube.cubes.access import Location, NotThereError, open_bytes
from terracube.cubes.readers import cache, netcdf, zarrs
from terracube.cubes.readers.cf import header_of
from terracube.cubes.readers.checks import as_stored, check_band, check_inside, check_missing
from terracube.cubes.readers.header import Header
from terracube.cubes.readers.zarrstore import BROKEN, BytesStore
from terracube.cubes.window import Window

# Nothing tells when a remote store was written anew, but asking.
_KEPT_SECONDS = 600.0

Read = Callable[[tuple[Any, ...]], NDArray[Any]]


def read_header(location: Location, *, where: str) -> Header:
    """Read what a variable says of itself.

    Parameters
    ----------
    location : Location
        NetCDF file, or Zarr store; its member is the path of the variable, which may also be a part of the address.
    where : str
        What to call it in messages.

    Returns
    -------
    Header
        Bands are the positions along the one dimension, beside y and x, that is longer than 1.

    Raises
    ------
    AssetError
        If there is no such variable, it holds no numbers, or it cannot be read.
    HostileInputError
        If its metadata name codecs that are not opened, or absurdly large chunks.
    MetadataError
        If CRS or place are missing, contradict each other, or are those of no regular grid.
    """
    if _is_netcdf(location):
        source = open_bytes(location)
        with netcdf.dataset(location, source) as data:
            described = netcdf.describe(netcdf.pick(data, location.member, where), where)
        return header_of(described, driver="netCDF", decoder="netcdf", where=where)
    return _zarr(location, where)[1]


def read_pixels(
    location: Location,
    band: int,
    window: Window,
    *,
    level: int = 0,
    on_bad: Callable[[str], None] | None = None,
    missing: float | None = None,
) -> NDArray[Any]:
    """Read a window of one band, with the contract of :func:`terracube.cubes.readers.read_pixels`.

    ``level`` is 0 always: a level of a pyramid is an array with a location of its own.
    """
    where = str(location)
    if _is_netcdf(location):
        with _netcdf_reading(location, where) as reading:
            return reading.window(band, window, level, on_bad, missing)
    opened, header = _zarr(location, where)
    reading = _Reading(header, opened.variable.shape, lambda index: zarrs.read(opened.array, index), where)
    return reading.window(band, window, level, on_bad, missing)


def close_arrays() -> None:
    """Close the NetCDF files that are kept open."""
    netcdf.close_datasets()


def _is_netcdf(location: Location) -> bool:
    """Tell by its first bytes; an address of which there are none is a store."""
    if ".zarr/" in location.href + "/":
        return False
    try:
        source = open_bytes(Location(location.href, signer=location.signer))
    except NotThereError:
        return False
    except AssetError:
        # A local folder.
        if location.is_remote:
            raise
        return False
    return source.read(0, min(8, source.size)).startswith(netcdf.MAGIC)


@contextmanager
def _netcdf_reading(location: Location, where: str) -> Iterator[_Reading]:
    source = open_bytes(location)
    with netcdf.dataset(location, source) as data:
        variable = netcdf.pick(data, location.member, where)
        header = _netcdf_header(location, variable, where, source.version)
        shape = tuple(int(size) for size in variable.shape)
        yield _Reading(header, shape, lambda index: netcdf.read(variable, index, where), where)


def _netcdf_header(location: Location, variable: Any, where: str, version: str) -> Header:
    key = ("netcdf", location, version)
    header: Header | None = cache.headers.get(key)
    if header is None:
        header = header_of(netcdf.describe(variable, where), driver="netCDF", decoder="netcdf", where=where)
        cache.headers.put(key, header)
    return header


def _zarr(location: Location, where: str) -> tuple[zarrs.Opened, Header]:
    base, path = zarrs.split(location)
    store = BytesStore(base)
    key = ("zarr", base, path, zarrs.stamp(store, path) or zarrs.stamp(store, _in_small_letters(path)))
    kept: tuple[zarrs.Opened, Header, float] | None = cache.headers.get(key)
    if kept is not None and (not base.is_remote or time.monotonic() - kept[2] < _KEPT_SECONDS):
        return kept[0], kept[1]
    opened = _open(store, path, where)
    header = header_of(opened.variable, driver="Zarr", decoder="zarr", where=where)
    cache.headers.put(key, (opened, header, time.monotonic()))
    return opened, header


def _open(store: BytesStore, path: str, where: str) -> zarrs.Opened:
    """Open an array; items call bands by the agency's name, of which stores use the small letters."""
    small = _in_small_letters(path)
    if small == path or zarrs.is_array(store, path):
        return zarrs.open_array(store, path, where)
    return zarrs.open_array(store, small, where)


def _in_small_letters(path: str) -> str:
    group, slash, name = path.rpartition("/")
    return f"{group}{slash}{name.lower()}"


class _Reading:
    """A window of a variable, chunk by chunk where one is broken."""

    def __init__(self, header: Header, shape: tuple[int, ...], read: Read, where: str) -> None:
        self._header, self._shape, self._read, self._where = header, shape, read, where

    def window(
        self, band: int, window: Window, level: int, on_bad: Callable[[str], None] | None, missing: float | None
    ) -> NDArray[Any]:
        """Read a window of a band; where it cannot be decoded, chunk by chunk."""
        self._check(band, window, level, on_bad, missing)
        stored = as_stored(window, self._header)
        try:
            found = self._part(band, stored)
        except TerraCubeError:
            raise
        except BROKEN as error:
            told = _told(error)
        else:
            return found[::-1] if self._header.flipped else found
        if on_bad is None or missing is None:
            raise AssetError("cannot decode pixels", where=self._where, expected=str(window), got=told)
        found = self._tile_by_tile(band, stored, on_bad, missing)
        return found[::-1] if self._header.flipped else found

    def _part(self, band: int, part: Window) -> NDArray[Any]:
        leading = self._shape[:-2]
        bands = [band - 1 if size != 1 else 0 for size in leading]
        return self._read((*bands, *part.slices))

    def _tile_by_tile(self, band: int, window: Window, on_bad: Callable[[str], None], missing: float) -> NDArray[Any]:
        out = np.empty(window.shape, self._header.dtypes[band - 1])
        for row, col, part in _tiles(window, self._header.tile):
            inside = part.within(window).slices
            try:
                out[inside] = self._part(band, part)
            except TerraCubeError:
                raise
            except BROKEN as error:
                out[inside] = missing
                on_bad(f"{self._where}, band {band}, chunk {row}, {col}: {_told(error)}")
        return out

    def _check(self, band: int, window: Window, level: int, on_bad: object, missing: float | None) -> None:
        header, where = self._header, self._where
        check_band(header, band, where=where)
        if level:
            raise InputError("no such overview", where=where, expected="0", got=str(level))
        check_inside(header, window, 0, where=where)
        if on_bad is not None:
            check_missing(missing, np.dtype(header.dtypes[band - 1]))


def _tiles(window: Window, tile: tuple[int, int]) -> Iterator[tuple[int, int, Window]]:
    """Give the chunks that a window touches, by row and column of chunks, and the part of each inside the window."""
    height, width = tile
    (bottom, right) = window.stop
    for row in range(window.row // height, -(-bottom // height)):
        for col in range(window.col // width, -(-right // width)):
            top, left = max(window.row, row * height), max(window.col, col * width)
            stop = min(bottom, (row + 1) * height), min(right, (col + 1) * width)
            yield row, col, Window(top, left, stop[0] - top, stop[1] - left)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:160]
