"""Open raster files that come from outside.

A file is opened by what it holds, not by its name: only GeoTIFF and JPEG 2000 are accepted, each with its one driver,
so that a VRT named ``.tif`` (which may point at any file) never reaches GDAL. Side-car files are not looked at.
"""

from __future__ import annotations

import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from terracube.core.errors import AssetError, HostileInputError

_MAGIC = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}
# One internal tile has to be decoded whole: a header that claims a giant one is an attack on the memory.
MAX_TILE_BYTES = 256 << 20
# More than any stack of a day each has; something is made for each band of a header, whatever the size of the file.
MAX_BANDS = 16384
# Bytes of a complex number; numpy knows no complex integers, which GeoTIFF has.
_WIDEST = 16
_CACHE_BYTES = 16 << 20  # rasterio hands it to GDAL as bytes, unlike the environment variable of that name
_GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": _CACHE_BYTES,
    # With more, GDAL decodes the tiles of a JPEG 2000 file in threads of its own, and a tile that cannot be decoded is
    # told nobody: what was in memory comes back for pixels.
    "GDAL_NUM_THREADS": "1",
}


def gdal_env() -> rasterio.Env:
    """Give the GDAL settings under which files from outside are read: no side-cars, a small block cache.

    Files are local, so that no cloud session is made: with keys in the environment rasterio would make one per read.
    """
    return rasterio.Env(session=DummySession(), **_GDAL)


def driver_of(head: bytes) -> str | None:
    """Tell which driver may open a file that starts so; ``None`` if none may."""
    return next((driver for magic, driver in _MAGIC.items() if head.startswith(magic)), None)


def sniff_driver(path: Path) -> str:
    """Tell which driver may open a file, from its first bytes.

    Raises
    ------
    AssetError
        If the file is missing, empty, or no regular file (a pipe would be waited for without end).
    HostileInputError
        If it is neither GeoTIFF nor JPEG 2000, whatever its name says.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise AssetError("not a file", where=str(path), expected="a GeoTIFF or JPEG 2000", got="a folder or device")
        with path.open("rb") as stream:
            head = stream.read(12)
    except (OSError, ValueError) as error:
        raise AssetError("cannot read the file", where=str(path), got=_told(error)) from error
    if not head:
        raise AssetError("the file is empty", where=str(path), expected="a GeoTIFF or JPEG 2000", got="0 bytes")
    return driver_of(head) or refuse(head, str(path))


def refuse(head: bytes, where: str) -> NoReturn:
    """Refuse a file of another format than those that are opened.

    Raises
    ------
    HostileInputError
        Always.
    """
    raise HostileInputError(
        "the file is not what its name says",
        where=where,
        expected="a GeoTIFF or JPEG 2000",
        got=f"a file that starts with {head[:12]!r}",
        todo="deliver the raster itself; VRT and other formats are not opened",
    )


@contextmanager
def open_raster(path: Path) -> Iterator[DatasetReader]:
    """Open a raster for reading, by content, with bounds on what it may ask for.

    Raises
    ------
    AssetError
        If it cannot be opened.
    HostileInputError
        If its format is not allowed or its internal tiles are absurdly large.
    """
    with gdal_env():
        dataset = open_dataset(str(path.absolute()), sniff_driver(path), str(path))
        try:
            yield dataset
        finally:
            dataset.close()


def open_dataset(path: str, driver: str, where: str, **options: Any) -> DatasetReader:
    """Open what GDAL calls ``path`` with one driver; to be closed by the caller, who has made the environment.

    Parameters
    ----------
    path : str
    driver : str
    where : str
        What to call it in messages.
    **options
        For ``rasterio.open``.

    Raises
    ------
    AssetError
        If it cannot be opened.
    HostileInputError
        If its internal tiles are absurdly large.
    """
    dataset, told = None, ""
    try:
        with _quiet():
            dataset = rasterio.open(path, driver=driver, sharing=False, **options)
    except (RasterioError, ValueError) as error:  # ValueError: texts in the header that are not UTF-8
        told = str(error).replace(path, where)
    if dataset is None:
        # Not from within the handler: what rasterio chains to its errors cannot be pickled, and would replace ours by
        # a bare Exception on the way from a worker of a cluster.
        raise AssetError("cannot open the raster", where=where, expected=f"a readable {driver}", got=told)
    tile = _tile_bytes(dataset) if dataset.count <= MAX_BANDS else 0
    if not 0 < dataset.count <= MAX_BANDS or tile > MAX_TILE_BYTES:
        dataset.close()
        raise HostileInputError(
            "the raster's internal tiles are too large to decode safely",
            where=where,
            expected=f"1 to {MAX_BANDS} bands, tiles of at most {MAX_TILE_BYTES >> 20} MiB",
            got=f"{dataset.count} bands, {tile >> 20} MiB",
            todo="rewrite it with tiles of 512 x 512",
        )
    return dataset


def _told(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _tile_bytes(dataset: DatasetReader) -> int:
    """Give what one internal tile takes in memory: of all bands, where they lie pixel by pixel in one tile."""
    height, width = dataset.block_shapes[0] if dataset.count else (0, 0)
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    sizes = [_WIDEST if name.startswith("complex") else np.dtype(name).itemsize for name in dataset.dtypes]
    return int(height * width * max(sizes, default=0) * together)


_warnings_lock = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """A missing georeference is judged by us, with an error that names the file, not by a warning."""
    # The filters are shared by all threads: without the lock two threads could restore them in the wrong order.
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
