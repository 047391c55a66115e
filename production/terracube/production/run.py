"""Run a chain on the scenes of a catalogue and publish the product, once for each set of inputs.

A run is skipped only if the newest version of the same request, or the product of one that comes to the same, has the
same key. Otherwise a new version is published, linked with the one before it, which stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pystac

from terracube.core.errors import AssetError, ConflictError, EmptyResultError, TerraCubeError
from terracube.core.files import STAGING_PREFIX, remove
from terracube.core.logging import get_logger
from terracube.core.progress import CancelToken, ProgressCallback, silent
from terracube.core.settings import settings
from terracube.cubes.engine import Scheduler, computing, run_blocks
from terracube.cubes.storage import Scratch
from terracube.processing import Estimate
from terracube.production.prepare import DEFAULT_MEMORY, Job, choose_block, explain, find_items, prepare, rejected
from terracube.production.publish import product_collection, write_product
from terracube.production.records import write_record
from terracube.production.request import RunRequest, to_request
from terracube.stac import Catalog, link_versions, to_query

_log = get_logger(__name__)
SCRATCH = f"{STAGING_PREFIX}scratch-"
Status = Literal["done", "nothing to do", "partly", "planned"]


@dataclass(frozen=True)
class RunOptions:
    """How to compute. None of it changes a pixel."""

    scheduler: Scheduler = field(default_factory=Scheduler)
    memory: int = DEFAULT_MEMORY
    """Bytes for the blocks in work at once."""
    block: int | None = None
    """Pixels along each side of a block; ``None`` = the largest that fits the memory."""
    dry_run: bool = False


@dataclass(frozen=True)
class RunResult:
    """What became of a run."""

    status: Status
    """``partly``: a product was published, but scenes had to be left out."""
    job: Job
    estimate: Estimate
    item: pystac.Item | None
    """The product: published now, or found done."""
    seconds: dict[str, float]
    record: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "status": self.status,
            "item": self.item.id if self.item else None,
            "href": self.item.get_self_href() if self.item else None,
            "key": self.job.key,
            "request": self.job.request.model_dump(mode="json"),
            "grid": self.job.plan.grid.as_dict(),
            "dates": [str(day) for day in self.job.plan.dates],
            "inputs": [item.id for item in self.job.items],
            "left_out": [{"id": left.id, "reason": left.reason} for left in self.job.left_out],
            "estimate": self.estimate.as_dict(),
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
        }


def run(
    catalog: Catalog,
    request: RunRequest | dict[str, Any],
    options: RunOptions | None = None,
    *,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> RunResult:
    """Make the product of a request, unless it is there already.

    Parameters
    ----------
    catalog : Catalog
        Where the scenes are, and where the product goes.
    request : RunRequest or dict
        What to make.
    options : RunOptions
        How to compute it.
    progress, cancel
        Called after each block; asked after each.

    Raises
    ------
    TerraCubeError
        If the request is refused or the run fails; a record is written all the same.
    """
    asked = to_request(request)
    try:
        context = _Context(catalog, options or RunOptions(), progress, cancel or CancelToken(), Clock())
        result = _run(context, asked)
    except TerraCubeError as error:
        facts = {"status": "failed", "request": asked.model_dump(mode="json"), "error": type(error).__name__}
        write_record(catalog.root, "run", {**facts, "message": str(error)})
        raise
    if result.status == "planned":
        return result
    record = write_record(catalog.root, "run", result.as_dict())
    return RunResult(result.status, result.job, result.estimate, result.item, result.seconds, record)


@dataclass(frozen=True)
class _Context:
    """What all steps of one run share."""

    catalog: Catalog
    options: RunOptions
    progress: ProgressCallback
    cancel: CancelToken
    clock: Clock


def _run(context: _Context, request: RunRequest) -> RunResult:
    clock, options = context.clock, context.options
    with clock.stage("search"):
        items = find_items(context.catalog, request)
    without = rejected(items)
    while True:
        with clock.stage("prepare"):
            job = prepare(context.catalog, request, items, without=without)
            estimate = choose_block(
                job,
                workers=options.scheduler.concurrency,
                memory=options.memory,
                block=options.block,
                folder=context.catalog.root,
            )
            newest = newest_version(context.catalog, request)
        if options.dry_run:
            return RunResult("planned", job, estimate, newest, clock.seconds)
        same = _made_before(context.catalog, job, newest)
        if same is not None:
            return RunResult("nothing to do", job, estimate, same, clock.seconds)
        try:
            item = _make(context, job, estimate, newest)
        except AssetError as error:
            broken = explain(error, job)
            if broken is None:
                raise
            # One bad scene never stops the others: the product is made again without it, and says so.
            _log.warning("left out %s: %s", broken.id, broken.reason)
            without.append(broken)
            continue
        except ConflictError:
            meanwhile = _made_before(context.catalog, job, newest_version(context.catalog, request))
            if meanwhile is None:
                raise
            # Another run made the same product in the meantime.
            return RunResult("nothing to do", job, estimate, meanwhile, clock.seconds)
        return RunResult("partly" if job.left_out else "done", job, estimate, item, clock.seconds)


def _made_before(catalog: Catalog, job: Job, newest: pystac.Item | None) -> pystac.Item | None:
    """Give the product that a run would make again: the newest one, or that of a request which comes to the same."""
    if newest is not None:
        return newest if newest.properties.get("terracube:key") == job.key else None
    found = catalog.search(to_query(collections=job.request.chain, filters=f'terracube:key="{job.key}"'))
    return min(found, key=lambda item: item.id, default=None)


def _make(context: _Context, job: Job, estimate: Estimate, newest: pystac.Item | None) -> pystac.Item:
    """Compute, write and publish one version of a product."""
    catalog, clock = context.catalog, context.clock
    version = 1 if newest is None else int(newest.properties["version"]) + 1
    item_id = product_id(job.request, version, job.key)
    with catalog.stage(item_id) as folder:
        with scratch_for(job, folder, estimate.block) as scratch:
            with clock.stage("compute"):
                found = compute(job, scratch, context.options.scheduler, context.progress, context.cancel)
            with clock.stage("write"):
                threads = context.options.scheduler.concurrency
                item = write_product(
                    job, scratch, folder, item_id=item_id, seconds=clock.seconds, threads=threads, found=found
                )
        item.properties["version"] = str(version)
        updates = [] if newest is None else [link_versions(item, newest)]
        catalog.add_collection(product_collection(job.chain))
        with clock.stage("publish"):
            return catalog.publish(item, folder, updates=updates)


def compute(
    job: Job,
    scratch: Scratch,
    scheduler: Scheduler,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """Compute all pixels of a job into a scratch folder.

    Returns
    -------
    dict
        What surveys of the whole grid found; empty for chains without.

    Raises
    ------
    EmptyResultError
        If no pixel has a clear observation.
    """
    with computing(scheduler, tasks="survey-", progress=progress, cancel=cancel):
        survey = job.survey()
        found: dict[str, Any] = survey if isinstance(survey, dict) else survey.compute()
    made = job.run(scratch.block, found)
    if run_blocks(made, scratch, scheduler=scheduler, progress=progress, cancel=cancel):
        return found
    raise EmptyResultError(
        "no clear observation is left after masking, so no product was written",
        where=job.request.period or "all dates",
        expected="at least one clear pixel",
        got=f"{len(job.items)} scenes on {len(job.plan.groups)} dates, all masked or empty here",
        todo="widen the period or the bbox, or mask fewer classes",
    )


def product_id(request: RunRequest, version: int, key: str) -> str:
    """Name a product after its chain, period, key and version: other content never takes a name that was used.

    Examples
    --------
    >>> request = RunRequest(chain="composite", collection="sentinel-2-l2a", datetime="2023-08")
    >>> product_id(request, 2, "0123456789abcdef")
    'composite_2023-08_0123456789_v2'
    """
    period = "".join(c if c.isalnum() or c in "-." else "_" for c in request.datetime)[:50]
    return f"{request.chain}_{period}_{key[:10]}_v{version}"


def newest_version(catalog: Catalog, request: RunRequest) -> pystac.Item | None:
    """Give the newest product of the same request, if there is one."""
    found = catalog.search(to_query(collections=request.chain, filters=f'terracube:slot="{request.slot}"'))
    return max(found, key=lambda item: int(item.properties["version"]), default=None)


@contextmanager
def scratch_for(job: Job, folder: Path, block: int) -> Iterator[Scratch]:
    """Make a place for a product's blocks, and take it away again."""
    # Staging folders have names of their own, also between processes and hosts: so has the scratch folder.
    place = (settings().scratch or folder).resolve() / f"{SCRATCH}{folder.name}"
    scratch = Scratch.create(place, len(job.layers), job.plan.grid.shape, block)
    try:
        yield scratch
    finally:
        remove(place)


class Clock:
    """Seconds per stage, added up where a stage runs twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
