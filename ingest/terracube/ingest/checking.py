"""Check one candidate: its reader understands it, its names can be used, and its bytes have a checksum."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

from shapely.geometry import shape

from terracube.core.digest import path_sha256, path_size, sha256_of
from terracube.core.errors import AssetError, HostileInputError, MetadataError
from terracube.core.files import safe_name
from terracube.cubes.items.fields import NUMBERS
from terracube.ingest.deliveries import Candidate
from terracube.ingest.scene import Delivered
from terracube.ingest.sources import Source
from terracube.stac import footprint

_MAX_RASTERS = 1000


@dataclass(frozen=True)
class Checked:
    """A delivery that can be written."""

    scene: Delivered
    candidate: Candidate
    checksums: Mapping[str, str]
    """sha256 (hex) of each raster's files, by its key."""
    content: str
    """Digest of what was delivered: two deliveries of one id are the same only if this is equal."""
    size: int
    """Bytes of the delivered files."""
    seconds: float

    @property
    def told(self) -> str:
        """How to name it to the user."""
        return self.candidate.told


def check(candidate: Candidate, source: Source) -> list[Checked]:
    """Read a candidate's metadata and headers, and compute its checksums.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and where.
    """
    if candidate.form is None:
        raise AssetError("no form of the source takes this", where=candidate.told)
    started = time.perf_counter()
    module = import_module(candidate.form.reader)
    scenes = (
        module.read_all(candidate.path, source)
        if hasattr(module, "read_all")
        else [module.read(candidate.path, source)]
    )
    hashes: dict[Path, str] = {}
    return [_checked(scene, candidate, hashes, started) for scene in scenes]


def _checked(scene: Delivered, candidate: Candidate, hashes: dict[Path, str], started: float) -> Checked:
    safe_name(scene.id, what="item id")
    _check_names(scene)
    _check_numbers(scene)
    _check_date(scene)
    _check_place(scene)
    sums = {raster.key: _sum(raster.files, hashes) for raster in scene.rasters}
    papers = {document.key: _sum((document.path,), hashes) for document in scene.documents}
    files = {path for raster in scene.rasters for path in raster.files} | {paper.path for paper in scene.documents}
    content = sha256_of([scene.facts, sums, papers] if papers else [scene.facts, sums])
    size = sum(path_size(path) for path in files)
    return Checked(scene, candidate, sums, content, size, time.perf_counter() - started)


def _check_names(scene: Delivered) -> None:
    """Refuse keys that cannot be file names, and two layers that would be one file."""
    if not 0 < len(scene.rasters) <= _MAX_RASTERS:
        raise AssetError("the delivery has no layer", where=scene.id, got=f"{len(scene.rasters)} layers")
    keys = [*(raster.key for raster in scene.rasters), *(document.key for document in scene.documents)]
    files = [raster.band.file for raster in scene.rasters]
    for name in (*keys, *files):
        safe_name(name, what="asset key")
    for names in (keys, files):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise MetadataError("two layers have one name", where=scene.id, got=", ".join(twice)[:200])
    if max(max(raster.grid.shape) for raster in scene.rasters) > scene.source.largest_side:
        raise HostileInputError(
            "a layer has more pixels than the source delivers",
            where=scene.id,
            expected=f"at most {scene.source.largest_side} along each side",
        )


def _check_numbers(scene: Delivered) -> None:
    """Refuse layers of numbers that no cube is made of, such as complex ones."""
    for raster in scene.rasters:
        if raster.dtype not in NUMBERS:
            raise AssetError(
                "a layer holds no real numbers",
                where=f"{scene.id}, {raster.key}",
                expected=" or ".join(NUMBERS),
                got=raster.dtype,
            )


def _check_date(scene: Delivered) -> None:
    """Refuse what nobody can have seen yet; clocks and time zones may be off by a day."""
    if scene.acquired > datetime.now(UTC) + timedelta(days=1):
        raise MetadataError(
            "the date lies in the future",
            where=scene.id,
            expected="a time of acquisition",
            got=scene.acquired.isoformat(),
            todo="correct it in the delivery's metadata",
        )


def _check_place(scene: Delivered) -> None:
    """Refuse a delivery whose footprint is not where its files are."""
    if scene.geometry is None:
        return
    grid = scene.rasters[0].grid
    geometry, bbox = footprint(grid.bounds, grid.crs)
    claimed = shape(dict(scene.geometry))
    if not (claimed.is_valid and claimed.intersects(shape(geometry))):
        raise MetadataError(
            "the geometry of the item is not where its files are",
            where=scene.id,
            expected=f"within {[round(v, 4) for v in bbox]}",
            got=str([round(v, 4) for v in claimed.bounds]),
        )


def _sum(files: tuple[Path, ...], hashes: dict[Path, str]) -> str:
    """Give the sha256 of a file, or one over those of several."""
    for path in files:
        if path not in hashes:
            try:
                hashes[path] = path_sha256(path)
            except OSError as error:
                raise AssetError("cannot read the file", where=str(path), got=str(error.strerror)) from error
    found = [hashes[path] for path in files]
    return found[0] if len(found) == 1 else sha256_of(found)
