"""Whether the chunks of a cube are the ones that were written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import zarr

from terracube.core.errors import IntegrityError
from terracube.cubes.storage.versioned.layout import Head, Layout, read_part
from terracube.cubes.storage.versioned.merge import digest_of
from terracube.cubes.storage.versioned.writing import Attempt

_THREADS = 4


def verify_attempt(attempt: Attempt) -> None:
    """Read back what was written, and compare it with the digests told.

    Raises
    ------
    IntegrityError
        If a chunk is not the one that was written.
    """
    target = attempt.target
    places = [
        (change, (target.arrays[change.variable], target.slots[change.time], change.row, change.col))
        for change in attempt.changes
    ]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda one: _verify(target.head.layout, one[0].variable, one[0].digest, *one[1]), places))


def verify_head(head: Head) -> int:
    """Read every chunk of a cube, compare it with its digest, and give their number.

    Raises
    ------
    IntegrityError
        If a chunk is not the one that was written.
    """
    count = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for name in head.layout.variables:
            array = head.array(name)
            for slot in range(head.times.size):
                checks = head.checks_of(name, slot)
                jobs = [
                    pool.submit(_verify, head.layout, name, checks[row, col].tobytes(), array, slot, row, col)
                    for row, col in np.ndindex(*head.layout.counts)
                ]
                count += sum(job.result() is None for job in jobs)
    return count


def _verify(layout: Layout, name: str, digest: bytes, array: zarr.Array[Any], slot: int, row: int, col: int) -> None:
    values = read_part(array, slot, layout.bounds(row, col))
    if digest_of(values, layout.variables[name]) != digest:
        raise IntegrityError(
            "a chunk is not the one that was written",
            where=f"{name}, date {slot}, chunk {row}, {col}",
            todo="append this date again",
        )
