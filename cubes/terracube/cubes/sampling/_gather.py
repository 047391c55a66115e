"""Values at single pixels: each chunk that holds one is read once, all in one pass, and no other chunk is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import NDArray

# Pixels, and dates, that are read at once where the data are not cut into chunks.
_BLOCK, _DATES = 1024, 64

type Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Pixels:
    """Pixels of a raster, and the date of each where every pixel has its own."""

    rows: Indices
    cols: Indices
    times: Indices | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """Something to do with a piece of one or more arrays; a piece is a tuple of slices."""

    function: Callable[..., Any]
    pieces: tuple[tuple[xr.DataArray, tuple[slice, ...]], ...]
    arguments: tuple[Any, ...]


def gather(arrays: Sequence[xr.DataArray], pixels: Pixels) -> list[NDArray[Any]]:
    """Read the values of every array (time, y, x) or (y, x) at some pixels, unchanged.

    Gives (time, pixel) for arrays with a time axis, (pixel,) for others and where each pixel has its own date.
    """
    calls: list[Call] = []
    places: list[tuple[int, tuple[Any, ...]]] = []
    results = []
    for number, array in enumerate(arrays):
        whole = pixels.times is None and "time" in array.dims
        dates = (array.sizes["time"],) if whole else ()
        results.append(np.empty(dates + pixels.rows.shape, array.dtype))
        for piece, local, chosen in _pieces(array, pixels):
            calls.append(Call(_pick, ((array, piece),), local))
            places.append((number, (piece[0], chosen) if whole else (chosen,)))
    for (number, place), values in zip(places, run(calls), strict=True):
        results[number][place] = values
    return results


def run(calls: Sequence[Call]) -> list[Any]:
    """Make all calls: where the arrays are lazy in one computation, so that what they share is computed once."""
    lazy = any(array.chunks is not None for call in calls for array, _ in call.pieces)
    if not lazy:
        return [call.function([array[piece].values for array, piece in call.pieces], *call.arguments) for call in calls]
    blocks: dict[int, Any] = {}
    found = []
    for call in calls:
        values = [_lazy_piece(array, piece, blocks) for array, piece in call.pieces]
        found.append(delayed(call.function, pure=True, traverse=False)(values, *call.arguments))
    return list(compute(*found))


def edges_of(array: xr.DataArray, dim: str) -> Indices:
    """Give where the chunks of an axis begin, and its length."""
    size, default = array.sizes[dim], _DATES if dim == "time" else _BLOCK
    if array.chunks is not None:
        sizes = array.chunksizes[dim]
    else:
        step = max(1, int(array.encoding.get("preferred_chunks", {}).get(dim, default)))
        sizes = (*(step for _ in range(size // step)), *((size % step,) if size % step else ()))
    return np.concatenate([[0], np.cumsum(sizes, dtype="int64")]).astype("int64")


def _lazy_piece(array: xr.DataArray, piece: tuple[slice, ...], blocks: dict[int, Any]) -> Any:
    """Give the task of a chunk as it is in the graph: unoptimised, so that tasks shared by variables stay shared."""
    if array.chunks is None:
        return array[piece].values
    if id(array) not in blocks:
        starts = [{int(start): number for number, start in enumerate(edges_of(array, str(d))[:-1])} for d in array.dims]
        blocks[id(array)] = starts, array.data.to_delayed(optimize_graph=False)
    starts, tasks = blocks[id(array)]
    return tasks[tuple(known[part.start] for known, part in zip(starts, piece, strict=True))]


def _pick(pieces: list[NDArray[Any]], *index: Indices) -> NDArray[Any]:
    values = np.asarray(pieces[0])
    picked: NDArray[Any] = values[(slice(None),) * (values.ndim - len(index)) + index]
    return picked


def _pieces(array: xr.DataArray, pixels: Pixels) -> Iterator[tuple[tuple[slice, ...], tuple[Indices, ...], Indices]]:
    """Go through the chunks that hold pixels: the chunk, the places in it, and which of the pixels these are."""
    timed = "time" in array.dims
    own_dates = timed and pixels.times is not None
    axes = [("y", pixels.rows), ("x", pixels.cols)]
    if own_dates and pixels.times is not None:
        axes.insert(0, ("time", pixels.times))
    edges = [edges_of(array, dim) for dim, _ in axes]
    chunk = [np.searchsorted(edge, index, side="right") - 1 for edge, (_, index) in zip(edges, axes, strict=True)]
    dates = edges_of(array, "time") if timed and not own_dates else None
    for numbers, chosen in _groups(chunk):
        spans = [slice(int(edge[n]), int(edge[n + 1])) for edge, n in zip(edges, numbers, strict=True)]
        local = tuple(index[chosen] - span.start for (_, index), span in zip(axes, spans, strict=True))
        if dates is None:
            yield tuple(spans), local, chosen
            continue
        for start, stop in pairwise(dates.tolist()):
            yield (slice(start, stop), *spans), local, chosen


def _groups(keys: Sequence[Indices]) -> Iterator[tuple[tuple[int, ...], Indices]]:
    """Go through the different keys, sorted, with the positions that have them."""
    if not len(keys[0]):
        return
    order = np.lexsort(keys[::-1])
    told = np.stack(keys, axis=1)[order]
    cuts = np.flatnonzero((told[1:] != told[:-1]).any(axis=1)) + 1
    for chosen in np.split(order, cuts):
        yield tuple(int(key[chosen[0]]) for key in keys), chosen
