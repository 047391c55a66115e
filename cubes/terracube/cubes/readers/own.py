"""GeoTIFFs that are decoded here: their headers and windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from terracube.core.errors import MetadataError
from terracube.cubes.access import ByteSource
from terracube.cubes.readers import cache, tiff
from terracube.cubes.readers.file import File
from terracube.cubes.readers.header import Header
from terracube.cubes.readers.layout import Level, level_of, overviews_of
from terracube.cubes.readers.nodata import parse_float, parse_roles, same_nodata
from terracube.cubes.readers.peek import Peek
from terracube.cubes.readers.place import crs_of, geokeys_of, grid_of, transform_of
from terracube.cubes.readers.tiff import Directory, UnusualError
from terracube.cubes.readers.tiles import Shelf, Sink, read_tiles


@dataclass(frozen=True, slots=True)
class Plain:
    """A GeoTIFF that is decoded here."""

    header: Header
    level: Level
    """The full resolution."""
    overviews: tuple[tuple[int, int, int], ...]
    """Height, width and directory of each, finest first."""


def read_plain(peek: Peek, where: str) -> Plain:
    """Read the header of a GeoTIFF.

    Raises
    ------
    UnusualError
        If it is left to GDAL.
    AssetError, HostileInputError
        If it is broken, or its internal tiles are absurdly large.
    MetadataError
        If CRS or transform are missing or unusable.
    """
    first = tiff.first_directory(peek)
    level = level_of(first, peek.name)
    overviews = overviews_of(peek, first, level)
    transform = transform_of(first)
    grid, flipped = grid_of(_crs(first, where), transform, (level.height, level.width), where)
    roles = parse_roles(first.text(tiff.METADATA), level.samples)
    header = Header(
        driver="GTiff",
        grid=grid,
        count=level.samples,
        dtypes=(level.dtype,) * level.samples,
        nodata=(level.nodata,) * level.samples,
        overviews=tuple((height, width) for height, width, _ in overviews),
        tile=level.block,
        decoder="own",
        flipped=flipped,
        scale=tuple(map(parse_float, roles["scale"])),
        offset=tuple(map(parse_float, roles["offset"])),
        descriptions=roles["description"],
        compression=level.compression,
    )
    return Plain(header, level, overviews)


def _crs(directory: Directory, where: str) -> str:
    keys = geokeys_of(directory)
    try:
        return crs_of(keys) if keys.directory else ""
    except MetadataError as error:
        raise MetadataError(error.what, where=where, expected=error.expected, got=error.got, todo=error.todo) from error


def fill_plain(plain: Plain, file: File, *, band: int, level: int, sink: Sink) -> None:
    """Fill a window with the numbers of one band.

    Raises
    ------
    UnusualError
        If only GDAL can decode it.
    AssetError
        If a tile cannot be decoded, and the sink does not take that.
    MetadataError
        If an overview has another nodata value than the full resolution.
    """
    layout = _overview(plain, file, level) if level else plain.level
    read_tiles(Shelf(file, layout, level), band, sink)


def _overview(plain: Plain, file: File, number: int) -> Level:
    key = (file.identity, number)
    known: Level | None = cache.headers.get(key)
    if known is None:
        known = _read_overview(plain, file.source, number)
        cache.headers.put(key, known)
    return known


def _read_overview(plain: Plain, source: ByteSource, number: int) -> Level:
    peek = Peek(source)
    first = tiff.first_directory(peek)
    found = level_of(Directory(peek, first.dialect, plain.overviews[number - 1][2]), source.name)
    if found.dtype != plain.level.dtype or found.samples != plain.level.samples:
        raise UnusualError(f"an overview of {found.dtype} for a raster of {plain.level.dtype}")
    same_nodata(plain.level.nodata, found.nodata, source.name)
    # Old writers declare it at the full resolution alone.
    return replace(found, nodata=plain.level.nodata)
