"""Write the files of one delivery into a folder: the part of an ingest that any worker can do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.core.files import atomic_path
from terracube.core.progress import CancelToken
from terracube.cubes.storage import Layer, write_cog
from terracube.cubes.storage.layers import TILE, Statistics, StatisticsSum, strips
from terracube.ingest.quality import BandQuality, Quality, SceneQuality
from terracube.ingest.scene import Delivered, Raster

Rows = Callable[[int, int], NDArray[Any]]


@dataclass(frozen=True)
class Written:
    """What lies in the folder now."""

    statistics: Mapping[str, Statistics]
    """By key of the raster."""
    quality: Quality
    linked: tuple[str, ...] = ()
    """Keys of the rasters that were not copied."""
    notes: tuple[str, ...] = field(default=())


def write_files(
    scene: Delivered, folder: Path, *, linking: bool = False, threads: int = 1, cancel: CancelToken | None = None
) -> Written:
    """Write every raster of a delivery as a COG, and copy its documents; measure quality in the same pass.

    Parameters
    ----------
    scene : Delivered
    folder : Path
        Empty; everything is written into it.
    linking : bool
        Whether rasters that are good COGs already become hard links, not copies.
    threads : int
        Rasters written at once.
    cancel : CancelToken or None
        Asked before each raster.

    Raises
    ------
    TerraCubeError
        If a raster cannot be decoded or written.
    """
    token = cancel or CancelToken()
    quality = SceneQuality.of(scene)

    def write(raster: Raster) -> Statistics:
        token.check()
        return _write(
            raster, folder / f"{raster.band.file}.tif", quality.band(raster), linking, f"{scene.id}/{raster.key}"
        )

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="raster") as pool:
        found = dict(zip((r.key for r in scene.rasters), pool.map(write, scene.rasters), strict=True))
    for document in scene.documents:
        with atomic_path(folder / document_name(document.key, document.path)) as temporary:
            shutil.copyfile(document.path, temporary)
    linked = tuple(r.key for r in scene.rasters if linking and r.pixels.kept is not None)
    return Written(found, quality.finish(), linked)


def document_name(key: str, path: Path) -> str:
    """Name a document in the folder of its item by its key, because its own name may be that of a raster."""
    return f"{key}{path.suffix.lower()}"


def _write(raster: Raster, target: Path, quality: BandQuality, linking: bool, where: str) -> Statistics:
    """Keep the bytes of a COG, or rewrite any other raster as one; either way every pixel is decoded once."""

    def rows(start: int, stop: int) -> NDArray[Any]:
        values = raster.pixels.rows(start, stop)
        quality.add(start, values)
        return values

    kept = raster.pixels.kept
    if kept is None:
        return write_cog(target, rows, raster.grid, _layer(raster), strip=raster.pixels.step)
    found = _decode(rows, raster)
    if linking:
        _link(kept, target, where)
    else:
        with atomic_path(target) as temporary:
            shutil.copyfile(kept, temporary)
    return found


def _layer(raster: Raster) -> Layer:
    rule = raster.radiometry
    return Layer(
        raster.key,
        raster.band.title,
        raster.dtype,
        raster.unit or raster.band.unit or "1",
        raster.nodata,
        raster.overviews,
        scale=rule.scale if rule else 1.0,
        offset=rule.offset if rule else 0.0,
    )


def _decode(rows: Rows, raster: Raster) -> Statistics:
    """Read every row, which finds damage that no header shows."""
    sums = StatisticsSum(raster.nodata)
    step = -(-raster.pixels.step // TILE) * TILE
    for start, stop in strips(raster.grid.shape.y, step):
        sums.add(rows(start, stop))
    return sums.result()


def _link(kept: Path, target: Path, where: str) -> None:
    """Give the file a second name: it stays where it is, and costs no room."""
    try:
        os.link(kept.resolve(), target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        raise InputError(
            "the file cannot be referenced in place",
            where=where,
            expected="a file on the disk of the catalogue, which allows hard links",
            got=str(error.strerror),
            todo="ingest without --link, which copies it",
        ) from error
