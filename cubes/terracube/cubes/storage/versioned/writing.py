"""Writing dates into the arrays of a cube: each chunk by one task, and only where something changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import dask.base
import icechunk
import numpy as np
import zarr
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.cubes.storage.versioned.incoming import Incoming
from terracube.cubes.storage.versioned.layout import CHECK_BYTES, Head, Layout, read_part
from terracube.cubes.storage.versioned.made_of import write_codes
from terracube.cubes.storage.versioned.merge import differ, digest_of, merged
from terracube.cubes.storage.versioned.variable import CubeVariable, Values
from terracube.cubes.window import Window

_THREADS = 4
# Pixels of columns of blocks that a cluster computes in one go and sends here to be written.
_BATCH_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """A chunk that an append changed."""

    variable: str
    time: int
    row: int
    col: int
    digest: bytes
    pixels: int
    """How many pixels differ from what was there."""


@dataclass(frozen=True, slots=True)
class Target:
    """The arrays of a session, with a place for each date that is to be written."""

    session: icechunk.Session
    head: Head
    """What was there before."""
    slots: dict[int, int]
    arrays: dict[str, zarr.Array[Any]]
    checks: dict[str, zarr.Array[Any]]
    held: dict[str, dict[int, NDArray[np.uint8]]]
    """Digests, by variable, of those of the dates that were there before."""
    added: tuple[int, ...]
    """Dates that were not there before."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was written in a session that is not committed yet."""

    target: Target
    changes: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Whether the cube already holds all of it."""
        return not self.changes and not self.target.added


def write(session: icechunk.Session, head: Head, incoming: Incoming, rule: str) -> Attempt:
    """Write a dataset into a session on the state ``head``."""
    target = _grow(session, head, incoming)
    return _sealed(Attempt(target, tuple(_write(target, incoming, rule))), incoming, rule)


def rewrite(session: icechunk.Session, head: Head, incoming: Incoming, rule: str, before: Attempt) -> Attempt:
    """Write again what ``before`` wrote, on a newer state of the cube.

    Dates that nobody else touched in between are copied from the old session, so that nothing is computed twice; the
    others are merged anew with what is there now.
    """
    target = _grow(session, head, incoming)
    untouched = np.array([_same_state(before.target, target, time) for time in incoming.times.tolist()])
    copied = _copy(before, target, set(incoming.times[untouched].tolist()))
    merged_anew = _write(target, incoming.only(~untouched), rule) if not untouched.all() else []
    return _sealed(Attempt(target, (*copied, *merged_anew)), incoming, rule)


def _grow(session: icechunk.Session, head: Head, incoming: Incoming) -> Target:
    known, times = head.slots(), incoming.times.tolist()
    added = tuple(time for time in sorted(times) if time not in known)
    slots = known | {time: head.times.size + number for number, time in enumerate(added)}
    arrays = {name: head.array(name) for name in head.layout.variables}
    checks = {name: head.checks(name) for name in head.layout.variables}
    there = [time for time in times if time in known]
    held = {name: {time: np.asarray(array[known[time]]) for time in there} for name, array in checks.items()}
    for array in [*arrays.values(), *checks.values()] if added else []:
        array.resize((len(slots), *array.shape[1:]))
    return Target(session, head, {time: slots[time] for time in times}, arrays, checks, held, added)


@dataclass(frozen=True, slots=True)
class _Job:
    """Writes one block (time, y, x) of a variable, which lies within one chunk of each of its dates."""

    array: zarr.Array[Any]
    variable: CubeVariable
    name: str
    layout: Layout
    row: int
    col: int
    part: Window
    """Where the block lies, counted from the first pixel of the chunk."""
    dates: tuple[tuple[int, int, bytes | None], ...]
    """Of each date: its time, its slot, and the digest of what the chunk holds, if the date was there before."""
    rule: str

    def __call__(self, block: Values) -> list[Change]:
        """Merge each date of the block into its chunk."""
        found = (self._write(values, *date) for values, date in zip(block, self.dates, strict=True))
        return [change for change in found if change is not None]

    def _write(self, values: Values, time: int, slot: int, held: bytes | None) -> Change | None:
        bounds = self.layout.bounds(self.row, self.col)
        shape = bounds[0].stop - bounds[0].start, bounds[1].stop - bounds[1].start
        new = self.variable.canonical(values)
        if held is None:
            whole, pixels = self._begun(new, shape)
        elif new.shape == shape and digest_of(new, self.variable) == held:
            return None
        else:
            whole, pixels = self._joined(new, shape, slot, held)
        if not pixels:
            return None
        self.array[slot, *bounds] = whole
        return Change(self.name, time, self.row, self.col, digest_of(whole, self.variable), pixels)

    def _begun(self, new: Values, shape: tuple[int, int]) -> tuple[Values, int]:
        """Give the chunk of a date that was not there, and how many of its pixels have a value."""
        pixels = new.size - int(np.count_nonzero(self.variable.missing(new)))
        return (new if new.shape == shape else self._inside(self._empty(shape), new)), pixels

    def _joined(self, new: Values, shape: tuple[int, int], slot: int, held: bytes) -> tuple[Values, int]:
        """Give the chunk that comes of new pixels and those that are there, and how many of its pixels change."""
        there = held != bytes(CHECK_BYTES)
        old = read_part(self.array, slot, self.layout.bounds(self.row, self.col)) if there else self._empty(shape)
        whole = self._inside(old, merged(new, old[self.part.slices], self.variable, self.rule))
        return whole, int(np.count_nonzero(differ(whole, old)))

    def _empty(self, shape: tuple[int, int]) -> Values:
        return np.full(shape, self.variable.fill, self.variable.dtype)

    def _inside(self, chunk: Values, part: Values) -> Values:
        whole = chunk.copy()
        whole[self.part.slices] = part
        return whole


def _write(target: Target, incoming: Incoming, rule: str) -> list[Change]:
    columns = list(_columns(target, incoming, rule))
    if _on_cluster():
        return _through_cluster(columns)
    numbered = enumerate(chain.from_iterable(columns))
    tasks = [
        delayed(job, name=f"write-{n}", pure=True, traverse=False)(block, dask_key_name=f"wrote-{n}")
        for n, (job, block) in numbered
    ]
    return list(chain.from_iterable(dask.base.compute(*tasks, scheduler="threads")))


def _on_cluster() -> bool:
    """Tell whether a client of a cluster is active in this process."""
    if "distributed" not in sys.modules:
        return False
    try:
        sys.modules["distributed"].default_client()
    except ValueError:
        return False
    return True


def _through_cluster(columns: list[list[tuple[_Job, Any]]]) -> list[Change]:
    """Let the cluster compute the pixels, a few columns of blocks at a time, and write them from here."""
    found: list[Change] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for batch in _batches(columns):
            values = dask.base.compute(*(block for _, block in batch))
            for changes in pool.map(lambda pair: pair[0](pair[1]), zip((job for job, _ in batch), values, strict=True)):
                found.extend(changes)
    return found


def _batches(columns: list[list[tuple[_Job, Any]]]) -> Iterator[list[tuple[_Job, Any]]]:
    batch: list[tuple[_Job, Any]] = []
    size = 0
    for column in columns:
        batch.extend(column)
        size += sum(
            job.part.height * job.part.width * len(job.dates) * np.dtype(job.variable.dtype).itemsize
            for job, _ in column
        )
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _columns(target: Target, incoming: Incoming, rule: str) -> Iterator[list[tuple[_Job, Any]]]:
    """Cut the dataset along the chunks of the cube; all variables and dates of one chunk together.

    They often come out of one task, which is then computed once.
    """
    layout, window = target.head.layout, incoming.window
    rows = _cuts(window.row, window.height, layout.chunk)
    cols = _cuts(window.col, window.width, layout.chunk)
    blocks = {name: _blocks(incoming, name, rows, cols) for name in layout.variables}
    for y, (row, top, height) in enumerate(rows):
        for x, (col, left, width) in enumerate(cols):
            part, column = Window(top, left, height, width), list[tuple[_Job, Any]]()
            for name, variable in layout.variables.items():
                for times, pieces in blocks[name]:
                    dates = tuple((t, target.slots[t], _digest_at(target.held[name], t, row, col)) for t in times)
                    job = _Job(target.arrays[name], variable, name, layout, row, col, part, dates, rule)
                    column.append((job, pieces[y, x]))
            yield column


def _cuts(start: int, length: int, chunk: int) -> list[tuple[int, int, int]]:
    """Cut pixels along chunks: of each piece the chunk, its first pixel counted from that of the chunk, its length.

    Examples
    --------
    >>> _cuts(500, 30, 512)
    [(0, 500, 12), (1, 0, 18)]
    """
    stop, found, at = start + length, [], start
    while at < stop:
        number, inside = divmod(at, chunk)
        found.append((number, inside, min(chunk - inside, stop - at)))
        at += found[-1][2]
    return found


def _blocks(
    incoming: Incoming, name: str, rows: list[tuple[int, int, int]], cols: list[tuple[int, int, int]]
) -> list[tuple[list[int], NDArray[Any]]]:
    """Give lazy blocks (y, x) of a variable that each lie in one chunk, with the times that they hold."""
    array = incoming.dataset[name]
    # Dates that come together in one task stay together; those in memory or in a file are taken one at a time.
    dates = array.chunksizes["time"] if array.chunks is not None else (1,) * array.sizes["time"]
    sizes = {"time": dates, "y": tuple(length for *_, length in rows), "x": tuple(length for *_, length in cols)}
    pieces = array.chunk(sizes).data.to_delayed()
    starts = np.cumsum([0, *dates])
    return [
        (incoming.times[start:stop].tolist(), pieces[number]) for number, (start, stop) in enumerate(pairwise(starts))
    ]


def _digest_at(held: dict[int, NDArray[np.uint8]], time: int, row: int, col: int) -> bytes | None:
    return held[time][row, col].tobytes() if time in held else None


def _same_state(before: Target, now: Target, time: int) -> bool:
    """Tell whether a date was the same in the two states that two sessions began with."""
    return all(_same(before.held[name].get(time), now.held[name].get(time)) for name in now.arrays)


def _same(one: NDArray[np.uint8] | None, other: NDArray[np.uint8] | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def _copy(before: Attempt, target: Target, times: set[int]) -> list[Change]:
    """Copy chunks of some dates from a session that could not be committed."""
    layout, old = target.head.layout, before.target
    kept = [change for change in before.changes if change.time in times]

    def move(change: Change) -> None:
        bounds = layout.bounds(change.row, change.col)
        values = read_part(old.arrays[change.variable], old.slots[change.time], bounds)
        target.arrays[change.variable][target.slots[change.time], *bounds] = values

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(move, kept))
    return kept


def _sealed(attempt: Attempt, incoming: Incoming, rule: str) -> Attempt:
    """Write the digests of what changed, what it was made of, and the dates that were added."""
    target, head = attempt.target, attempt.target.head
    by_date: dict[tuple[str, int], list[Change]] = {}
    for change in attempt.changes:
        by_date.setdefault((change.variable, change.time), []).append(change)
    for (name, time), changes in by_date.items():
        slot = target.slots[time]
        whole = np.array(target.checks[name][slot], "uint8")
        for change in changes:
            whole[change.row, change.col] = np.frombuffer(change.digest, "uint8")
        target.checks[name][slot] = whole
    written = {*target.added, *(change.time for change in attempt.changes)}
    everywhere = rule == "overwrite" and incoming.window.shape == tuple(head.layout.grid.shape)
    write_codes(
        head,
        {time: target.slots[time] for time in sorted(written)},
        incoming.items,
        size=head.times.size + len(target.added),
        whole=everywhere,
    )
    if target.added:
        times = head.times_array()
        times.resize((head.times.size + len(target.added),))
        times[head.times.size :] = np.array(target.added, "int64")
    return attempt
