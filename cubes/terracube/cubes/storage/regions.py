"""A cube into the chunks of a Zarr store: one task per region, which computes it and writes all its chunks.

A region is some whole chunks across, for some times and all variables. It writes the chunks of full resolution and of
the levels that it fills; of coarser levels it holds only a piece of each chunk, which it leaves in a scratch folder,
and a second, small round puts the pieces together. So every pixel is computed once, every chunk is written once, and
memory is that of the regions in work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, product
from os import getpid
from pathlib import Path
from typing import Any

import dask.array as da
import dask.config
import numpy as np
from dask.base import compute, optimize
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from terracube.core.errors import IntegrityError
from terracube.core.progress import ProgressCallback
from terracube.cubes.grid import YX
from terracube.cubes.storage.chunks import Variable, check_type, write_chunk
from terracube.cubes.storage.pyramid import halved, reduce_levels
from terracube.cubes.storage.zarr import Scheme, level_folder

# What the regions of one task may hold, where the blocks of the source are smaller.
_BUDGET = 32 << 20
_WIDEST = 2048
_SERIAL = count()
Cut = tuple[tuple[slice, ...], tuple[slice, ...]]
"""What is taken of a block, and where it goes in the region."""


@dataclass(frozen=True, slots=True)
class Frame:
    """How a store is cut into regions; plain values, the same on every worker."""

    folder: str
    """Folder of the store."""
    scratch: str
    """Where pieces of coarse chunks wait."""
    variables: tuple[Variable, ...]
    shape: YX
    chunk: int
    levels: int
    side: int
    """Pixels along each side of a region: a multiple of the chunk."""
    slabs: tuple[tuple[int, int], ...]
    """First time and time after the last of each region, along the axis ``time``."""

    @property
    def filled(self) -> int:
        """The coarsest level whose chunks a region fills."""
        return min(self.levels, (self.side // self.chunk).bit_length() - 1)

    def part(self, row: int, col: int) -> YX:
        """Give the rows and columns of a region."""
        return YX(*(min(self.side, whole - at * self.side) for whole, at in zip(self.shape, (row, col), strict=True)))

    def lead(self, variable: Variable, slab: int) -> tuple[tuple[int, int], ...] | None:
        """Give first and last of a region along each axis before y and x; ``None`` if the slab holds none of it."""
        if "time" not in variable.dims[:-2]:
            return tuple((0, size) for size in variable.leading) if slab == 0 else None
        named = zip(variable.dims[:-2], variable.leading, strict=True)
        return tuple(self.slabs[slab] if name == "time" else (0, size) for name, size in named)

    def regions(self) -> Iterator[tuple[int, int, int]]:
        """Go through slab, row and column of the regions."""
        rows, cols = (range(-(-size // self.side)) for size in self.shape)
        return product(range(len(self.slabs)), rows, cols)


def make_frame(folder: Path, scratch: Path, scheme: Scheme, sources: Mapping[str, Any]) -> Frame:
    """Choose the regions by the blocks of the sources, so that each block is wanted by few tasks."""
    lazy = [(v, sources[v.name]) for v in scheme.variables if isinstance(sources[v.name], da.Array)]
    widest = min((max(array.chunks[-2]) for _, array in lazy), default=scheme.chunk)
    steps = max(1, min(widest, _WIDEST) // scheme.chunk)
    side = scheme.chunk << (steps.bit_length() - 1)
    per_time = sum(np.dtype(v.dtype).itemsize for v in scheme.variables) * side * side
    slabs = _slabs(scheme.variables, lazy, max(1, _BUDGET // max(1, per_time)))
    return Frame(
        str(folder), str(scratch), scheme.variables, scheme.grid.shape, scheme.chunk, scheme.levels, side, slabs
    )


def _slabs(
    variables: Sequence[Variable], lazy: Sequence[tuple[Variable, da.Array]], most: int
) -> tuple[tuple[int, int], ...]:
    """Cut time where all sources are cut, into runs of at most ``most`` where their blocks allow."""
    lengths = {v.leading[v.dims.index("time")] for v in variables if "time" in v.dims[:-2]}
    if not lengths:
        return ((0, 1),)
    cuts = set(range(1, max(lengths) + 1))
    for variable, array in lazy:
        if "time" in variable.dims[:-2]:
            cuts &= set(np.cumsum(array.chunks[variable.dims.index("time")]).tolist())
    found, start, last = [], 0, 0
    for cut in sorted(cuts):
        if cut - start > most and last > start:
            found.append((start, last))
            start = last
        last = cut
    return (*found, (start, last))


def write_regions(frame: Frame, sources: Mapping[str, Any], progress: ProgressCallback) -> int:
    """Compute the sources and write them, with the levels of the pyramid; give the number of chunks written.

    Parameters
    ----------
    frame : Frame
    sources : mapping
        Array of each variable, in its axes: numpy's, or dask's, which are computed by the scheduler that dask has at
        hand: that of an active ``distributed.Client`` if there is one.
    progress : callable
    """
    Path(frame.scratch).mkdir()
    tasks = _region_tasks(frame, sources)
    joints = list(_joints(frame))
    total = len(tasks) + len(joints)
    threads = {} if any(isinstance(array, da.Array) for array in sources.values()) else {"scheduler": "threads"}
    written = _run(tasks, progress, 0, total, threads)
    again = [_task(partial(join_pieces, frame, *joint), "join", ()) for joint in joints]
    return written + _run(again, progress, len(tasks), total, threads)


def _run(tasks: list[Delayed], progress: ProgressCallback, before: int, total: int, how: Mapping[str, Any]) -> int:
    keys = {task.key for task in tasks}
    done = before

    def tell(key: Any, *_: Any) -> None:
        nonlocal done
        if key in keys:
            done += 1
            progress(done, total)

    with Callback(posttask=tell):
        written = sum(map(int, compute(*tasks, **how)))
    if done < before + len(tasks):  # the scheduler of a cluster calls nobody back
        progress(before + len(tasks), total)
    return written


def _task(call: partial[int], what: str, blocks: Sequence[Any]) -> Delayed:
    # A name that no other write in this process or another has: a cluster that still holds a result of this name
    # would not do the work again.
    name = f"{what}-{getpid()}-{next(_SERIAL)}"
    task: Delayed = delayed(call, name=f"{name}-call", pure=False, traverse=False)(*blocks, dask_key_name=name)
    return task


def _region_tasks(frame: Frame, sources: Mapping[str, Any]) -> list[Delayed]:
    names = [name for name, array in sources.items() if isinstance(array, da.Array)]
    # Together, and without fusing tasks one by one: else what several variables share would be computed for each.
    with dask.config.set({"optimization.fuse.active": False}):
        lazy = dict(zip(names, optimize(*(sources[name] for name in names)), strict=True))
    blocks = {name: array.to_delayed(optimize_graph=False) for name, array in lazy.items()}
    edges = {name: [np.cumsum((0, *sizes)) for sizes in array.chunks] for name, array in lazy.items()}
    tasks = []
    for slab, row, col in frame.regions():
        wanted: list[Any] = []
        cuts: list[list[Cut] | None] = []
        for variable in frame.variables:
            ranges = _ranges(frame, variable, slab, row, col)
            if ranges is None:
                cuts.append(None)
            elif variable.name in blocks:
                found, pieces = _overlapping(edges[variable.name], ranges)
                cuts.append(pieces)
                wanted.extend(blocks[variable.name][at] for at in found)
            else:
                cuts.append([(tuple(slice(None) for _ in ranges), tuple(slice(0, b - a) for a, b in ranges))])
                wanted.append(sources[variable.name][tuple(slice(*pair) for pair in ranges)])
        tasks.append(_task(partial(write_region, frame, (slab, row, col), cuts), "write", wanted))
    return tasks


def _ranges(frame: Frame, variable: Variable, slab: int, row: int, col: int) -> list[tuple[int, int]] | None:
    lead = frame.lead(variable, slab)
    if lead is None:
        return None
    part = frame.part(row, col)
    starts = (row * frame.side, col * frame.side)
    return [*lead, *((start, start + size) for start, size in zip(starts, part, strict=True))]


def _overlapping(
    edges: Sequence[NDArray[np.int64]], ranges: Sequence[tuple[int, int]]
) -> tuple[list[tuple[int, ...]], list[Cut]]:
    """Find the blocks that hold a region, and the part of each."""
    axes: list[list[tuple[int, slice, slice]]] = []
    for bounds, (start, stop) in zip(edges, ranges, strict=True):
        first = int(np.searchsorted(bounds, start, "right")) - 1
        last = int(np.searchsorted(bounds, stop, "left"))
        axes.append([])
        for at in range(first, last):
            low, high = max(start, int(bounds[at])), min(stop, int(bounds[at + 1]))
            if high > low:
                taken = slice(low - int(bounds[at]), high - int(bounds[at]))
                axes[-1].append((at, taken, slice(low - start, high - start)))
    found = list(product(*axes))
    cuts = [(tuple(taken for _, taken, _ in each), tuple(put for _, _, put in each)) for each in found]
    return [tuple(at for at, _, _ in each) for each in found], cuts


def write_region(
    frame: Frame, region: tuple[int, int, int], cuts: Sequence[Sequence[Cut] | None], *blocks: NDArray[Any]
) -> int:
    """Write the chunks of a region, leave its pieces of coarser chunks, and give the number of chunks written."""
    slab, row, col = region
    written, at = 0, 0
    pieces: list[NDArray[Any]] = []
    for variable, pick in zip(frame.variables, cuts, strict=True):
        if pick is None:
            continue
        values = _gather(variable, pick, blocks[at : at + len(pick)])
        at += len(pick)
        lead = frame.lead(variable, slab) or ()
        coarse: list[list[NDArray[Any]]] = [[] for _ in range(frame.levels)]
        for index, layer in zip(
            product(*(range(*r) for r in lead)), values.reshape(-1, *values.shape[-2:]), strict=True
        ):
            levels = [layer, *reduce_levels(layer, frame.levels, variable.method, variable.missing)]
            for level, raster in enumerate(levels):
                if level <= frame.filled:
                    written += _write_chunks(frame, variable, level, index, (row, col), raster)
                else:
                    coarse[level - 1].append(raster)
        pieces.extend(np.stack(kept) for kept in coarse if kept)
    if pieces:
        with _piece_path(frame, *region).open("wb") as stream:
            stream.writelines(np.ascontiguousarray(piece).data for piece in pieces)
    return written


def _gather(variable: Variable, cuts: Sequence[Cut], blocks: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Put the parts of blocks together."""
    for block in blocks:
        check_type(variable.name, block, variable.dtype)
    if len(cuts) == 1:
        return np.asarray(blocks[0])[cuts[0][0]]
    shape = tuple(max(put[axis].stop for _, put in cuts) for axis in range(len(cuts[0][1])))
    out = np.empty(shape, variable.dtype)
    for block, (taken, put) in zip(blocks, cuts, strict=True):
        out[put] = block[taken]
    return out


def _write_chunks(
    frame: Frame, variable: Variable, level: int, index: tuple[int, ...], region: tuple[int, int], raster: NDArray[Any]
) -> int:
    """Write the chunks that a region fills at a level."""
    shape = halved(frame.shape, level)
    chunk = (min(frame.chunk, shape.y), min(frame.chunk, shape.x))
    array = level_folder(Path(frame.folder), level) / variable.name
    per_side = (frame.side >> level) // frame.chunk
    written = 0
    for top in range(0, raster.shape[0], chunk[0]):
        for left in range(0, raster.shape[1], chunk[1]):
            place = (region[0] * per_side + top // chunk[0], region[1] * per_side + left // chunk[1])
            part = raster[top : top + chunk[0], left : left + chunk[1]]
            written += write_chunk(array, (*index, *place), part, chunk, variable.filler)
    return written


def _piece_path(frame: Frame, slab: int, row: int, col: int) -> Path:
    return Path(frame.scratch) / f"{slab}-{row}-{col}.bin"


def _joints(frame: Frame) -> Iterator[tuple[int, int, int, int]]:
    """Go through level, slab, row and column of the chunks that are put together from pieces."""
    for level in range(frame.filled + 1, frame.levels + 1):
        rows, cols = (range(-(-side // frame.chunk)) for side in halved(frame.shape, level))
        yield from product((level,), range(len(frame.slabs)), rows, cols)


def join_pieces(frame: Frame, level: int, slab: int, row: int, col: int) -> int:
    """Put the pieces of some chunks of a coarse level together and write them; give their number."""
    shape = halved(frame.shape, level)
    chunk = (min(frame.chunk, shape.y), min(frame.chunk, shape.x))
    array = level_folder(Path(frame.folder), level)
    written = 0
    for number, variable in enumerate(frame.variables):
        lead = frame.lead(variable, slab)
        if lead is None:
            continue
        joined = _joined(frame, number, level, (slab, row, col))
        for index, values in zip(product(*(range(*r) for r in lead)), joined, strict=True):
            written += write_chunk(array / variable.name, (*index, row, col), values, chunk, variable.filler)
    return written


def _joined(frame: Frame, number: int, level: int, target: tuple[int, int, int]) -> NDArray[Any]:
    slab, row, col = target
    span = (frame.chunk << level) // frame.side
    most = [-(-size // frame.side) for size in frame.shape]
    across = [range(at * span, min(at * span + span, limit)) for at, limit in zip((row, col), most, strict=True)]
    lines = [np.concatenate([_piece(frame, number, level, (slab, y, x)) for x in across[1]], axis=2) for y in across[0]]
    return np.concatenate(lines, axis=1)


def _piece(frame: Frame, number: int, level: int, region: tuple[int, int, int]) -> NDArray[Any]:
    """Read the piece of one variable at one level from the file of a region."""
    slab, row, col = region
    offset = 0
    for at, variable in enumerate(frame.variables[: number + 1]):
        lead = frame.lead(variable, slab)
        if lead is None:
            continue
        times = int(np.prod([stop - start for start, stop in lead], dtype="int64"))
        for each in range(frame.filled + 1, frame.levels + 1):
            shape = (times, *halved(frame.part(row, col), each))
            size = int(np.prod(shape))
            if (at, each) == (number, level):
                path = _piece_path(frame, *region)
                return np.fromfile(path, variable.dtype, size, offset=offset).reshape(shape)
            offset += size * np.dtype(variable.dtype).itemsize
    raise IntegrityError("a piece of a coarse level is missing", where=str(_piece_path(frame, *region)))
