"""Ingest: scenes come in once, checked, as Cloud-Optimised GeoTIFF with a STAC item, or are refused with a reason.

Three passes, so that the outcome does not depend on the order of the input: check every candidate against its files;
settle which of those with the same id are the same; then write, several at a time, and register one by one.
"""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terracube.core.errors import AssetError, ConflictError, InputError, TerraCubeError
from terracube.core.files import atomic_path
from terracube.core.logging import get_logger
from terracube.core.progress import CancelToken, ProgressCallback, silent
from terracube.core.sensors import load_sensor
from terracube.cubes.readers import open_raster
from terracube.cubes.storage import Layer, write_cog
from terracube.cubes.storage.layers import strips
from terracube.ingest.candidates import Candidate, claimed_id, find_candidates
from terracube.ingest.describe import CONTENT, scene_collection, scene_item
from terracube.ingest.scene import DeliveredScene, Raster, check_scene
from terracube.stac import Catalog

_log = get_logger(__name__)
_STRIP = 512


@dataclass(frozen=True)
class Refusal:
    """A candidate that was not taken in."""

    path: str
    id: str
    reason: str


@dataclass
class IngestReport:
    """What became of each candidate."""

    taken: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        refused = [{"path": r.path, "id": r.id, "reason": r.reason} for r in self.refused]
        lists = {"taken": self.taken, "already": self.already, "replaced": self.replaced}
        return {**lists, "refused": refused, "notes": self.notes}


def ingest(
    source: str,
    paths: Iterable[Path],
    catalog: Catalog,
    *,
    jobs: int = 1,
    replacing: bool = False,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> IngestReport:
    """Take scenes into a catalogue.

    Parameters
    ----------
    source : str
        Kind of scenes: ``sentinel-2-l2a``.
    paths : iterable of Path
        Item files, or folders that are searched for them.
    catalog : Catalog
    jobs : int
        Scenes written at once.
    replacing : bool
        Whether a scene may take the place of another of the same id and other content.
    progress, cancel
        Called after each scene; asked before each.

    Returns
    -------
    IngestReport
        The same for any order of ``paths`` and any number of jobs.

    Raises
    ------
    InputError
        If the call itself is wrong. What is wrong with one scene is told in the report.
    """
    if jobs < 1:
        raise InputError("at least one job is needed", where="--jobs", expected=">= 1", got=str(jobs))
    sensor = load_sensor(source)
    token = cancel or CancelToken()
    report = IngestReport()
    checked = (_check(candidate, sensor, report) for candidate in find_candidates(paths))
    good = [scene for scene in checked if scene is not None]
    scenes = _settle(good, catalog, sensor.name, report, replacing=replacing)
    catalog.add_collection(scene_collection(sensor))
    writer = _Writer(catalog, replacing=replacing)
    with catalog.batch(), ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="ingest") as pool:
        futures = {pool.submit(writer.write, scene, token): scene for scene in scenes}
        progress(0, len(futures))
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                _tell(report, futures[future], future.exception())
                progress(done, len(futures))
        finally:
            token.cancel()
            pool.shutdown(cancel_futures=True)
    return _finished(report)


def _check(candidate: Candidate, sensor: Any, report: IngestReport) -> DeliveredScene | None:
    try:
        return check_scene(candidate, sensor)
    except TerraCubeError as error:
        report.refused.append(Refusal(str(candidate.path), claimed_id(candidate), str(error)))
        _log.info("refused %s: %s", candidate.path, error)
        return None


def _settle(
    scenes: Sequence[DeliveredScene], catalog: Catalog, collection: str, report: IngestReport, *, replacing: bool
) -> list[DeliveredScene]:
    """Choose one scene for each id, or none where several claim it with different content."""
    by_id: dict[str, list[DeliveredScene]] = defaultdict(list)
    for scene in scenes:
        by_id[scene.id].append(scene)
    chosen: list[DeliveredScene] = []
    for item_id, rivals in sorted(by_id.items()):
        known = catalog.find(item_id, collection)
        if len({scene.content for scene in rivals}) > 1:
            places = ", ".join(str(scene.path) for scene in rivals)
            clash = _clash(item_id, f"other content at {places}", "ingest the right one alone")
            report.refused.extend(Refusal(str(scene.path), item_id, str(clash)) for scene in rivals)
        elif known is not None and known.properties.get(CONTENT) == rivals[0].content and not catalog.verify(known):
            report.already.append(item_id)
        elif known is not None and not replacing:
            same = known.properties.get(CONTENT) == rivals[0].content
            got = "a damaged copy in the catalogue" if same else "other content in the catalogue"
            clash = _clash(item_id, got, "use --replace if this delivery corrects it")
            report.refused.append(Refusal(str(rivals[0].path), item_id, str(clash)))
        else:
            chosen.append(rivals[0])
            (report.replaced if known is not None else report.taken).append(item_id)
    return chosen


def _clash(item_id: str, got: str, todo: str) -> ConflictError:
    return ConflictError(
        "two scenes have one id and different content", where=item_id, expected="one content per id", got=got, todo=todo
    )


def _tell(report: IngestReport, scene: DeliveredScene, error: BaseException | None) -> None:
    if error is None:
        if scene.notes:
            report.notes[scene.id] = list(scene.notes)
        return
    if not isinstance(error, TerraCubeError):
        raise error
    for planned in (report.taken, report.replaced):
        if scene.id in planned:
            planned.remove(scene.id)
    report.refused.append(Refusal(str(scene.path), scene.id, str(error)))


def _finished(report: IngestReport) -> IngestReport:
    """Put all in order, and say of a refused scene that another one has its id."""
    there = {*report.taken, *report.already, *report.replaced}
    report.refused = [
        replace(gone, reason=f"{gone.reason}; another scene with the same id is in the catalogue")
        if gone.id in there
        else gone
        for gone in report.refused
    ]
    for names in (report.taken, report.already, report.replaced):
        names.sort()
    report.refused.sort(key=lambda refusal: refusal.path)
    report.notes = dict(sorted(report.notes.items()))
    return report


class _Writer:
    """Writes scenes from several threads; registers them one at a time."""

    def __init__(self, catalog: Catalog, *, replacing: bool) -> None:
        self._catalog, self._replacing = catalog, replacing
        self._register = threading.Lock()

    def write(self, scene: DeliveredScene, cancel: CancelToken) -> pystac.Item:
        """Write the files of a scene into a staging folder and publish it."""
        with self._catalog.stage(scene.id) as folder:
            for raster in scene.rasters:
                cancel.check()
                _write_raster(raster, folder / f"{raster.band.file}.tif", where=f"{scene.id}/{raster.key}")
            item = scene_item(scene, folder)
            with self._register:
                return self._catalog.publish(item, folder, replace=self._replacing)


def _write_raster(raster: Raster, target: Path, *, where: str) -> None:
    """Keep the bytes of a COG, or rewrite any other raster as one; either way every pixel is decoded once."""
    if not raster.cog:
        missing = raster.nodata
        resampling = "average" if raster.radiometry else "nearest"
        layer = Layer(raster.key, raster.band.title, raster.dtype, "1", missing, resampling)
        write_cog(target, lambda start, stop: _rows(raster, start, stop, where), raster.grid, layer)
        return
    for start, stop in strips(raster.grid.shape.y, _STRIP):
        _rows(raster, start, stop, where)
    with atomic_path(target) as temporary:
        shutil.copyfile(raster.path, temporary)


def _rows(raster: Raster, start: int, stop: int, where: str) -> NDArray[Any]:
    with open_raster(raster.path) as dataset:
        try:
            values: NDArray[Any] = dataset.read(1, window=Window(0, start, dataset.width, stop - start))
        except RasterioError as error:
            raise AssetError(
                "the file is damaged: its pixels cannot be decoded",
                where=where,
                expected=f"{raster.grid.shape.y} x {raster.grid.shape.x} pixels",
                got=str(error.__cause__ or error),
                todo="download it again",
            ) from error
    return np.ascontiguousarray(values)
