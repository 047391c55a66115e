"""The product is the same to the bit for any block size, on threads, processes and a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from terracube.cubes.engine import Scheduler
from terracube.cubes.grid import YX
from terracube.cubes.storage import Scratch
from terracube.production import RunRequest
from terracube.production.prepare import Job, find_items, prepare
from terracube.production.run import compute
from terracube.stac import Catalog

# From the north-west of 33TWM far out to the west, where no scene is: some blocks are empty.
NATIVE = RunRequest(chain="composite", collection="sentinel-2-l2a", datetime="2023-08", bbox=(13.9, 46.0, 15.7, 47.0))
PROJECTED = NATIVE.model_copy(update={"crs": "EPSG:3035", "resolution": 120.0})


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as made:
        yield made.scheduler_address


def _layers(job: Job, folder: Path, block: int, scheduler: Scheduler) -> np.ndarray:
    count = len(job.chain.layers(job.parameters))
    scratch = Scratch.create(folder / f"{block}", count, job.plan.grid.shape, block)
    compute(job, scratch, scheduler)
    return np.stack([scratch.rows(layer, 0, scratch.shape.y) for layer in range(count)])


def _equal_to_the_bit(one: np.ndarray, other: np.ndarray) -> bool:
    return one.tobytes() == other.tobytes()


@pytest.mark.parametrize("request_", [NATIVE, PROJECTED], ids=["native", "EPSG:3035"])
def test_blocks_and_schedulers(request_: RunRequest, real_catalog: Catalog, tmp_path: Path, cluster: str) -> None:
    """Blocks of 128, 256 and 1000 pixels, on threads, processes and two workers, give equal bits."""
    job = prepare(real_catalog, request_, find_items(real_catalog, request_))
    shape: YX = job.plan.grid.shape
    rows, cols = (len(pieces) for pieces in job.plan.grid.chunks(128))
    assert rows * cols >= 64
    whole = _layers(job, tmp_path / "a", 1000, Scheduler("threads"))
    assert whole.shape == (8, *shape)
    block_is_empty = [
        np.isnan(whole[0, y : y + 128, x : x + 128]).all()
        for y in range(0, shape.y, 128)
        for x in range(0, shape.x, 128)
    ]
    assert any(block_is_empty)
    assert not all(block_is_empty)
    for folder, block, scheduler in (
        ("b", 256, Scheduler("threads")),
        ("c", 128, Scheduler(cluster)),
        ("d", 256, Scheduler("processes", 2)),
    ):
        assert _equal_to_the_bit(_layers(job, tmp_path / folder, block, scheduler), whole), (block, scheduler)
