"""Where the pixels of a GeoTIFF lie: its transform, its CRS, its grid."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from affine import Affine
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import to_crs_text
from terracube.cubes.grid import Grid
from terracube.cubes.readers import tiff
from terracube.cubes.readers.gdal import gdal_env
from terracube.cubes.readers.tiff import Directory, UnusualError

_RASTER_TYPE_KEY, _PIXEL_IS_POINT = 1025, 2
_MAX_KEYS = 4096

Numbers6 = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f of an affine transform: x = a col + b row + c, y = d col + e row + f."""


class GeoKeys(NamedTuple):
    """The tags in which a GeoTIFF names its CRS, as they are in the file."""

    order: str
    """``<`` or ``>``."""
    directory: bytes
    doubles: bytes
    texts: bytes


def transform_of(directory: Directory) -> Numbers6 | None:
    """Take the transform of pixel corners from the tags of an image; ``None`` if there is none.

    Raises
    ------
    UnusualError
        If the tags are not the usual ones: GDAL has rules for those.
    """
    scale, ties = directory.doubles(tiff.PIXEL_SCALE), directory.doubles(tiff.TIE_POINTS)
    matrix = directory.doubles(tiff.TRANSFORMATION)
    if not scale and not ties and not matrix and tiff.INTERGRAPH not in directory:
        return None
    if len(scale) == 3 and len(ties) == 6 and not matrix and scale[0] > 0 and scale[1] > 0:
        a, b, d, e = scale[0], 0.0, 0.0, -scale[1]
        c, f = ties[3] - ties[0] * a, ties[4] - ties[1] * e
    elif len(matrix) == 16 and not scale and not ties and tiff.INTERGRAPH not in directory:
        (a, b, _, c), (d, e, _, f) = matrix[:4], matrix[4:8]
    else:
        raise UnusualError(f"{len(scale)} scales, {len(ties)} tie points, a matrix of {len(matrix)}")
    keys = directory.raw(tiff.GEO_KEYS, (tiff.SHORT,))
    if keys and _is_point(directory.dialect.order, keys):
        # The tie is the middle of the first pixel.
        c, f = c - (a * 0.5 + b * 0.5), f - (d * 0.5 + e * 0.5)
    return a, b, c, d, e, f


@lru_cache(maxsize=1024)
def _is_point(order: str, directory: bytes) -> bool:
    keys = struct.unpack(f"{order}{len(directory) // 2}H", directory)
    if len(keys) < 4 or len(keys) > _MAX_KEYS or len(keys) < 4 + 4 * keys[3]:
        raise UnusualError(f"a directory of {len(keys)} GeoKeys")
    for at in range(4, 4 + 4 * keys[3], 4):
        if keys[at] == _RASTER_TYPE_KEY:
            return keys[at + 1 : at + 4] == (0, 1, _PIXEL_IS_POINT)
    return False


def geokeys_of(directory: Directory) -> GeoKeys:
    """Take the GeoKeys from the tags of an image; empty if it has none."""
    return GeoKeys(
        directory.dialect.order,
        directory.raw(tiff.GEO_KEYS, (tiff.SHORT,)),
        directory.raw(tiff.GEO_DOUBLES, (tiff.DOUBLE,)),
        directory.raw(tiff.GEO_TEXTS, (tiff.ASCII,)),
    )


@lru_cache(maxsize=1024)
def crs_of(keys: GeoKeys) -> str:
    """Give the CRS that GeoKeys name, as GDAL understands them: a code, or its WKT; empty if they name none.

    Raises
    ------
    MetadataError
        If GDAL cannot make sense of them.
    """
    told = ""
    try:
        with gdal_env(), MemoryFile(_one_pixel(keys)) as file, file.open(driver="GTiff", sharing=False) as dataset:
            return crs_text(dataset)
    except (RasterioError, ValueError) as error:
        told = str(error)[:200]
    raise MetadataError("the CRS in the header is unreadable", expected="GeoKeys that GDAL knows", got=told)


def crs_text(dataset: DatasetReader) -> str:
    """Give the CRS of an open raster: its code where it has one, else WKT as GDAL writes it; empty if it has none.

    Raises
    ------
    MetadataError
        If it is unreadable, or not one of places on a globe.
    """
    try:
        # ValueError: bytes that are no text, or keys that contradict each other.
        wkt = "" if dataset.crs is None else str(dataset.crs.to_wkt())
    except (CRSError, ValueError) as error:
        told = str(error)[:200]
    else:
        return _code(wkt) or wkt
    raise MetadataError("the CRS in the header is unreadable", got=told)


def _code(wkt: str) -> str:
    try:
        text = to_crs_text(wkt) if wkt else ""
    except InputError as error:
        raise MetadataError(error.what, expected=error.expected, got=error.got, todo=error.todo) from error
    # Text that is no code is made canonical once, by the grid.
    return text if text.isprintable() and "[" not in text else ""


def _one_pixel(keys: GeoKeys) -> bytes:
    """Write a TIFF of one pixel that has these GeoKeys, and a place so that they are looked at."""
    order = keys.order
    shorts = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1), (tiff.STRIP_OFFSETS, 8)]
    entries = [(tag, 3, 1, struct.pack(order + "HH", value, 0)) for tag, value in [*shorts, (tiff.STRIP_SIZES, 1)]]
    content = bytes(8)
    for tag, kind, size, value in (
        (tiff.PIXEL_SCALE, tiff.DOUBLE, 8, struct.pack(order + "3d", 1, 1, 0)),
        (tiff.TIE_POINTS, tiff.DOUBLE, 8, struct.pack(order + "6d", 0, 0, 0, 10, 10, 0)),
        (tiff.GEO_KEYS, tiff.SHORT, 2, keys.directory),
        (tiff.GEO_DOUBLES, tiff.DOUBLE, 8, keys.doubles),
        (tiff.GEO_TEXTS, tiff.ASCII, 1, keys.texts),
    ):
        if value:
            inline = len(value) <= 4
            place = value.ljust(4, b"\0") if inline else struct.pack(order + "L", 8 + len(content))
            entries.append((tag, kind, len(value) // size, place))
            content += b"" if inline else value + bytes(-len(value) % 8)
    block = b"".join(struct.pack(order + "HHL", *entry[:3]) + entry[3] for entry in sorted(entries))
    magic = b"II*\0" if order == "<" else b"MM\0*"
    end = struct.pack(order + "H", len(entries)) + block + bytes(4)
    return magic + struct.pack(order + "L", 8 + len(content)) + content + end


def grid_of(crs: str, transform: Sequence[float] | None, shape: tuple[int, int], where: str) -> tuple[Grid, bool]:
    """Give the north-up grid of a raster, and whether it is stored south-up.

    Raises
    ------
    MetadataError
        If CRS or transform are missing, or the raster is rotated; nothing is ever guessed.
    """
    identity = transform is None or tuple(transform) == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    missing = [name for name, gone in (("CRS", not crs), ("geotransform", identity)) if gone]
    if transform is None or missing:
        raise MetadataError(
            f"the raster has no {' and no '.join(missing)}",
            where=where,
            expected="a georeferenced raster",
            got=f"{shape[0]} x {shape[1]} pixels at no known place",
            todo="write CRS and transform into the file (for example with `rio edit-info`)",
        )
    try:
        return _grid(crs, tuple(transform), shape)
    except (InputError, MetadataError) as error:
        raise MetadataError(error.what, where=where, expected=error.expected, got=error.got, todo=error.todo) from error


@lru_cache(maxsize=4096)
def _grid(crs: str, transform: tuple[float, ...], shape: tuple[int, int]) -> tuple[Grid, bool]:
    a, b, c, d, e, f = transform
    flipped = e > 0
    if flipped and not (b or d):
        f, e = f + e * shape[0], -e
    return Grid.from_affine(crs, Affine(a, b, c, d, e, f), shape), flipped
