"""Run a lazy cube block by block, on threads, processes or a Dask cluster, straight into a scratch folder.

Reading, computing and writing a block are one task; what comes back from a task is a count, never pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask.array as da
import dask.config
import numpy as np
import xarray as xr
from dask.base import optimize
from dask.callbacks import Callback
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, InputError, TerraCubeError
from terracube.core.memory import give_back
from terracube.core.progress import CancelToken, ProgressCallback, silent
from terracube.cubes.storage.scratch import Scratch

_ANSWER_SECONDS = 10
_ADDRESSES = ("tcp://", "tls://", "ws://", "wss://")


@dataclass(frozen=True)
class Scheduler:
    """Where blocks are computed; the values do not depend on it."""

    kind: str = "threads"
    """``threads`` or ``processes`` of this machine, or the address of a Dask scheduler."""
    workers: int = 0
    """Threads or processes; 0 = one per core. A cluster has the workers it has."""

    @property
    def concurrency(self) -> int:
        """Blocks in work at once on this machine."""
        return self.workers or len(os.sched_getaffinity(0))


def to_scheduler(name: str, *, workers: int = 0) -> Scheduler:
    """Accept what a user calls a scheduler.

    Raises
    ------
    InputError
        If it is neither ``local``, ``threads``, ``processes`` nor an address like ``tcp://host:8786``.

    Examples
    --------
    >>> to_scheduler("local").kind
    'threads'
    """
    kind = "threads" if name == "local" else name
    if kind not in ("threads", "processes") and not kind.startswith(_ADDRESSES):
        raise InputError(
            "unknown scheduler",
            expected="local, threads, processes, or an address like tcp://host:8786",
            got=repr(name),
        )
    if workers < 0:
        raise InputError("the number of workers is negative", expected=">= 0 (0 = one per core)", got=str(workers))
    return Scheduler(kind, workers)


def run_blocks(
    product: xr.DataArray,
    scratch: Scratch,
    *,
    scheduler: Scheduler,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> int:
    """Compute a lazy product (layer, y, x) into a scratch folder.

    Returns
    -------
    int
        Pixels whose first layer has a value.

    Raises
    ------
    TerraCubeError
        As raised inside a block.
    CancelledError
        If the token was cancelled.
    """
    lazy = store(product, scratch)
    token = cancel or CancelToken()
    total = int(np.prod(lazy.numblocks))
    progress(0, total)
    if scheduler.kind.startswith(_ADDRESSES):
        return _run_distributed(lazy, scheduler.kind, progress, token)
    with _local(scheduler), _watch(progress, token, total, lazy.name):
        return int(lazy.compute().sum())


@contextmanager
def computing(
    scheduler: Scheduler, *, tasks: str, progress: ProgressCallback = silent, cancel: CancelToken | None = None
) -> Iterator[None]:
    """Compute all that is computed inside on a scheduler.

    Parameters
    ----------
    scheduler : Scheduler
    tasks : str
        How the names of the tasks begin that are counted.
    progress, cancel
        Called after each of them; asked after each. Not on a cluster, whose tasks end elsewhere.
    """
    if scheduler.kind.startswith(_ADDRESSES):
        with _client(scheduler.kind) as client, dask.config.set(scheduler=client.get):
            yield
        return
    total = done = 0
    token = cancel or CancelToken()

    def before(graph: Any) -> None:
        nonlocal total
        total = sum(str(key).startswith(tasks) for key in graph)

    def after(key: Any, *_: Any) -> None:
        nonlocal done
        token.check()
        if str(key).startswith(tasks):
            done += 1
            progress(done, total)

    with _local(scheduler), Callback(start=before, posttask=after):
        yield


@contextmanager
def _local(scheduler: Scheduler) -> Iterator[None]:
    """Compute on threads or processes that end with the run, and with them the files they hold open."""
    count = scheduler.concurrency
    try:
        if scheduler.kind == "processes":
            with dask.config.set(scheduler="processes", num_workers=count):
                yield
        else:
            with ThreadPoolExecutor(count, "blocks") as pool, dask.config.set(scheduler="threads", pool=pool):
                yield
    finally:
        give_back()


def store(product: xr.DataArray, scratch: Scratch) -> da.Array:
    """Add writing to a lazy product: an array with one number per block, the pixels that have a value."""
    lazy = product.data
    ones = tuple((1,) * count for count in lazy.numblocks)
    counts: da.Array = da.map_blocks(
        _store_chunk, lazy, scratch, dtype="int64", chunks=ones, meta=np.empty((0, 0, 0), "int64")
    )
    return counts


def _store_chunk(
    values: NDArray[np.float32], scratch: Scratch, block_id: tuple[int, ...] = (0, 0, 0)
) -> NDArray[np.int64]:
    scratch.write(block_id[1], block_id[2], values)
    return np.array([[[np.isfinite(values[0]).sum()]]], "int64")


def _watch(progress: ProgressCallback, cancel: CancelToken, total: int, name: str) -> Callback:
    """Count finished blocks, and stop the run when asked to."""
    done = 0

    def after(key: Any, *_: Any) -> None:
        nonlocal done
        cancel.check()
        if isinstance(key, tuple) and key[0] == name:
            done += 1
            progress(done, total)

    watch: Callback = Callback(posttask=after)
    return watch


def _run_distributed(lazy: da.Array, address: str, progress: ProgressCallback, cancel: CancelToken) -> int:
    from distributed import KilledWorker, as_completed

    with _client(address) as client:
        (optimised,) = optimize(lazy)
        futures = client.compute(list(optimised.to_delayed().ravel()))
        found = 0
        try:
            for done, (_, value) in enumerate(as_completed(futures, with_results=True, loop=client.loop), start=1):
                cancel.check()
                if isinstance(value, BaseException):  # how a lost scheduler shows itself
                    raise TerraCubeError("the cluster was lost during the run", where=address, got=str(value)[:200])
                found += int(value.sum())
                progress(done, len(futures))
        except KilledWorker as error:
            raise BudgetError(
                "the workers of the cluster were killed, most likely for the memory they took",
                where=address,
                got=str(error),
                todo="give workers more memory, or smaller blocks with --memory or --block",
            ) from error
        finally:
            client.cancel(futures)
    return found


@contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # an address without a host, TLS without keys
        raise InputError(
            "no Dask scheduler answers", where=address, got=str(error), todo="start it, or use local"
        ) from error
    with client:
        yield client
