"""Ingest: deliveries come in once, checked, as Cloud-Optimised GeoTIFF with a STAC item, or are refused with a reason.

Three passes, so that the outcome does not depend on the order of the input: check every candidate against its files;
settle which of those with the same id are the same; then write, several at a time, and register one by one.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from terracube.core.errors import AssetError, ConflictError, InputError, MetadataError, TerraCubeError
from terracube.core.logging import get_logger
from terracube.core.progress import CancelToken, ProgressCallback, silent
from terracube.cubes.engine import to_scheduler
from terracube.ingest.checking import Checked, check
from terracube.ingest.deliveries import Candidate, Incoming, Place, candidates
from terracube.ingest.item import CONTENT, scene_collection, scene_item
from terracube.ingest.report import Entry, IngestReport
from terracube.ingest.sources import Source, load_source
from terracube.ingest.writing import Written, write_files
from terracube.stac import Catalog

_log = get_logger(__name__)
# Rasters without a delivery in one folder beyond which they are refused in one line.
_MANY = 5


@dataclass(frozen=True)
class Options:
    """How to ingest; none of it changes a pixel."""

    jobs: int = 1
    replacing: bool = False
    linking: bool = False
    scheduler: str = "local"


def ingest(
    source: str,
    paths: Iterable[str | Path],
    catalog: Catalog,
    *,
    jobs: int = 1,
    replacing: bool = False,
    linking: bool = False,
    dry_run: bool = False,
    scheduler: str = "local",
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> IngestReport:
    """Take deliveries of a source into a catalogue.

    Parameters
    ----------
    source : str
        What they are: a name of :func:`terracube.ingest.source_names`, such as ``sentinel-2-l2a``.
    paths : iterable of str or Path
        Files, folders (searched), archives, patterns, ``https://`` and ``s3://`` addresses.
    catalog : Catalog
    jobs : int
        Deliveries checked and written at once.
    replacing : bool
        Whether a delivery may take the place of another of the same id and other content.
    linking : bool
        Whether files that are good COGs already are referenced in place (hard links), not copied.
    dry_run : bool
        Only check, and say what would be done.
    scheduler : str
        ``local`` (threads), ``processes``, or the address of a Dask scheduler whose workers see the same files.
    progress, cancel
        Called after each delivery; asked before each file.

    Returns
    -------
    IngestReport
        The same for any order of ``paths`` and any number of jobs, apart from times.

    Raises
    ------
    InputError
        If the call itself is wrong. What is wrong with one delivery is told in the report.
    """
    if jobs < 1:
        raise InputError("at least one job is needed", where="--jobs", expected=">= 1", got=str(jobs))
    known = load_source(source)
    if known.options.get("measurements"):
        raise InputError(
            "measurements come in as tables", where=source, todo="use terracube.ingest.insitu.store.ingest_insitu"
        )
    options = Options(jobs, replacing, linking, to_scheduler(scheduler).kind)
    token = cancel or CancelToken()
    report = IngestReport()
    with catalog.stage("incoming") as scratch:
        incoming = Incoming(paths, scratch)
        scenes = _settle(_check_all(incoming, known, report, options), catalog, report, replacing=replacing)
        if dry_run:
            return report.finished()
        if scenes:
            catalog.add_collection(scene_collection(known))
        _write_all(scenes, incoming, catalog, report, options, progress, token)
    return report.finished()


def _check_all(incoming: Incoming, source: Source, report: IngestReport, options: Options) -> list[Checked]:
    """Check the candidates of each place, several at once, in the order of the input."""
    found: list[Checked] = []
    seen: set[Path] = set()
    with ThreadPoolExecutor(max_workers=options.jobs, thread_name_prefix="check") as pool:
        for place in incoming:
            if place.error is not None:
                report.refuse(place.told, "", str(place.error))
                continue
            fresh = [one for one in candidates(place, source) if one.path.resolve() not in seen]
            seen.update(one.path.resolve() for one in fresh)
            read = [one for one in fresh if one.form is not None]
            here: list[Checked] = []
            for candidate, outcome in zip(read, pool.map(lambda one: _try(one, source), read), strict=True):
                if isinstance(outcome, TerraCubeError):
                    _refuse_unread(report, candidate, outcome)
                else:
                    here.extend(outcome)
            used = {path for one in here for raster in one.scene.rasters for path in raster.files}
            orphans = [one for one in fresh if one.form is None and one.path not in used]
            _refuse_orphans(report, orphans, source)
            if not fresh:
                report.refuse(place.told, "", str(_nothing(place, source)))
            found.extend(here)
            incoming.checked(place)
    return found


def _try(candidate: Candidate, source: Source) -> list[Checked] | TerraCubeError:
    try:
        return check(candidate, source)
    except TerraCubeError as error:
        return error


def _refuse_unread(report: IngestReport, candidate: Candidate, error: TerraCubeError) -> None:
    """Refuse a delivery that could not be read; what was unpacked or fetched goes by the name that the user knows."""
    place, told = candidate.place, str(error)
    if place.told != str(place.path):
        told = told.replace(f"{place.path}/", f"{place.told}!").replace(str(place.path), place.told)
    report.refuse(candidate.told, candidate.path.stem, told)
    _log.info("refused %s: %s", candidate.told, told)


def _refuse_orphans(report: IngestReport, orphans: Sequence[Candidate], source: Source) -> None:
    """Refuse rasters that no delivery took; many of one folder, which is another source's, at once."""
    folders: dict[Path, list[Candidate]] = defaultdict(list)
    for one in orphans:
        folders[one.path.parent].append(one)
    for beside in folders.values():
        if len(beside) <= _MANY:
            for one in beside:
                _refuse_unread(report, one, _orphan(one, source, "a raster alone"))
        else:
            got = f"{len(beside)} rasters in one folder that belong to no delivery of this source"
            _refuse_unread(report, beside[0], _orphan(beside[0], source, got))


def _orphan(candidate: Candidate, source: Source, got: str) -> MetadataError:
    """Say of a raster that no delivery took what it lacks."""
    return MetadataError(
        "the raster has no date",
        where=candidate.told,
        expected="what makes it a delivery: " + _forms(source),
        got=got,
        todo="bring the metadata beside it, or name the right source; a date is never guessed from a file",
    )


def _nothing(place: Place, source: Source) -> AssetError:
    return AssetError(
        f"nothing of {source.name} is here",
        where=place.told,
        expected=_forms(source),
        todo="check the path; `terracube sources` lists what else can be ingested",
    )


def _forms(source: Source) -> str:
    return " or ".join(form.name for form in source.forms)


def _settle(checked: Sequence[Checked], catalog: Catalog, report: IngestReport, *, replacing: bool) -> list[Checked]:
    """Choose one delivery for each id, or none where several claim it with different content."""
    by_id: dict[str, list[Checked]] = defaultdict(list)
    for one in checked:
        by_id[one.scene.id].append(one)
    chosen: list[Checked] = []
    for item_id, rivals in sorted(by_id.items()):
        first = rivals[0]
        known = catalog.find(item_id, first.scene.source.name)
        same = known is not None and known.properties.get(CONTENT) == first.content
        if len({one.content for one in rivals}) > 1:
            places = ", ".join(one.told for one in rivals)
            clash = _clash(item_id, f"other content at {places}", "ingest the right one alone")
            for one in rivals:
                _refused(report, one, clash)
        elif known is not None and same and not catalog.verify(known):
            report.already.append(item_id)
            verdict = str(known.properties.get("terracube:quality", ""))
            report.entries.append(_entry(first, "already", quality=verdict))
        elif known is not None and not replacing:
            got = "a damaged copy in the catalogue" if same else "other content in the catalogue"
            _refused(report, first, _clash(item_id, got, "use --replace if this delivery corrects it"))
        else:
            chosen.append(first)
            (report.replaced if known is not None else report.taken).append(item_id)
    return chosen


def _clash(item_id: str, got: str, todo: str) -> ConflictError:
    return ConflictError(
        "two scenes have one id and different content", where=item_id, expected="one content per id", got=got, todo=todo
    )


def _refused(report: IngestReport, one: Checked, error: TerraCubeError) -> None:
    report.refuse(one.told, one.scene.id, str(error), sha256=one.content, size=one.size)


def _entry(one: Checked, outcome: str, *, reason: str = "", quality: str = "", seconds: float = 0.0) -> Entry:
    return Entry(one.told, one.scene.id, outcome, reason, quality, one.content, one.size, round(seconds, 3))


@dataclass
class _Running:
    one: Checked
    stack: ExitStack
    folder: Path
    started: float


def _write_all(
    scenes: Sequence[Checked],
    incoming: Incoming,
    catalog: Catalog,
    report: IngestReport,
    options: Options,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> None:
    """Write deliveries, as many at once as there are jobs; publish each as it is done."""
    waiting, running = deque(scenes), dict[Future[Written], _Running]()
    progress(0, len(scenes))
    with catalog.batch(), _executor(options) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < options.jobs:
                    one = waiting.popleft()
                    try:
                        future, state = _start(one, incoming, catalog, pool, options, cancel)
                    except TerraCubeError as error:
                        _failed(report, one, error)
                        continue
                    running[future] = state
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    _finish(future, running.pop(future), catalog, report, options)
                    progress(len(scenes) - len(waiting) - len(running), len(scenes))
        finally:
            cancel.cancel()
            for future in running:
                future.cancel()
            pool.shutdown(wait=True)
            for state in running.values():
                state.stack.close()


def _start(
    one: Checked, incoming: Incoming, catalog: Catalog, pool: Executor, options: Options, cancel: CancelToken
) -> tuple[Future[Written], _Running]:
    incoming.restore(one.candidate)
    local = options.scheduler == "threads"
    threads = max(1, (os.cpu_count() or 1) // options.jobs) if local else 1
    asked = cancel if local else None  # a token does not reach other processes
    with ExitStack() as stack:
        folder = stack.enter_context(catalog.stage(one.scene.id))
        future = pool.submit(write_files, one.scene, folder, linking=options.linking, threads=threads, cancel=asked)
        return future, _Running(one, stack.pop_all(), folder, time.perf_counter())


def _finish(future: Future[Written], state: _Running, catalog: Catalog, report: IngestReport, options: Options) -> None:
    one = state.one
    with state.stack:
        try:
            written = future.result()
            item = scene_item(one, state.folder, written)
            catalog.publish(item, state.folder, replace=options.replacing)
        except TerraCubeError as error:
            _failed(report, one, error)
            return
    replaced = one.scene.id in report.replaced
    notes = [*one.scene.notes, *written.notes]
    if notes:
        report.notes[one.scene.id] = notes
    verdict, reasons = written.quality.verdict, written.quality.reasons
    if verdict in ("suspect", "rejected"):
        report.quality.setdefault(verdict, []).append(one.scene.id)
    seconds = time.perf_counter() - state.started + one.seconds
    outcome = "replaced" if replaced else "taken"
    report.entries.append(_entry(one, outcome, reason="; ".join(reasons), quality=verdict, seconds=seconds))


def _failed(report: IngestReport, one: Checked, error: TerraCubeError) -> None:
    for planned in (report.taken, report.replaced):
        if one.scene.id in planned:
            planned.remove(one.scene.id)
    _refused(report, one, error)


@contextmanager
def _executor(options: Options) -> Iterator[Executor]:
    if options.scheduler == "threads":
        yield ThreadPoolExecutor(max_workers=options.jobs, thread_name_prefix="ingest")
        return
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        address = options.scheduler
        if address == "processes":
            address = stack.enter_context(
                LocalCluster(n_workers=options.jobs, threads_per_worker=1, dashboard_address=None)
            )
        client = stack.enter_context(Client(address))
        yield client.get_executor(pure=False)
