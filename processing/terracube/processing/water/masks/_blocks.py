"""Functions of arrays (y, x), called at once or block by block: what comes out never depends on how they are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.core.errors import InputError

_MOST_HALO = 2048


def is_lazy(arrays: Sequence[Any]) -> bool:
    """Tell whether one of the arrays is Dask's."""
    return any(isinstance(array, da.Array) for array in arrays)


def over_blocks(core: Callable[..., Any], arrays: Sequence[Any], dtype: str, *, halo: int = 0, **handed: Any) -> Any:
    """Call a function on arrays (y, x), or (y, 1), with ``halo`` pixels around each block; lazily if one is lazy.

    Parameters
    ----------
    core : callable
        From the pixels of a block with its halo, which ends at the edges of the arrays, to as many pixels. What it
        gives for a pixel depends on those at most ``halo`` rows and columns away.
    arrays : sequence of arrays
        The first is (y, x).
    dtype : str
        Of what it gives.
    halo : int
    handed
        Given to every call; may be lazy (Dask's ``Delayed``).

    Returns
    -------
    array (y, x)
        With the chunks of the first lazy array.
    """
    if not is_lazy(arrays):
        return core(*(np.asarray(array) for array in arrays), **handed)
    given = _alike(arrays)
    meta = np.empty((0, 0), dtype)
    if not halo:
        return da.map_blocks(core, *given, dtype=dtype, meta=meta, **handed)
    wide = _alike(given, tuple(_at_least(side, halo) for side in given[0].chunks))
    depth = [{axis: halo if array.numblocks[axis] > 1 else 0 for axis in (0, 1)} for array in wide]
    found = da.map_overlap(
        core, *wide, depth=depth, boundary="none", dtype=dtype, meta=meta, allow_rechunk=False, **handed
    )
    return found.rechunk(given[0].chunks)


def gather(core: Callable[..., Any], combine: Callable[[list[Any]], Any], arrays: Sequence[Any]) -> Any:
    """Get one answer from all blocks; lazily, as ``Delayed``, if an array is lazy.

    ``core`` must be such, and ``combine`` too, that the cut does not matter: counts, or the smallest of some numbers.
    """
    if not is_lazy(arrays):
        return combine([core(*(np.asarray(array) for array in arrays))])
    given = _alike(arrays)
    name = f"gather-{tokenize(core, combine, *given)}"
    parts = da.map_blocks(
        _boxed, *given, core=core, dtype=object, meta=np.empty((0, 0), object), name=name,
        chunks=tuple((1,) * len(side) for side in given[0].chunks),
    )  # fmt: skip
    return delayed(combine, pure=True)(list(parts.to_delayed().ravel()), dask_key_name=f"combine-{name}")


def unboxed(parts: list[Any]) -> list[Any]:
    """Give what ``core`` gave for each block, in :func:`gather`."""
    return [part[0, 0] if isinstance(part, np.ndarray) and part.dtype == object else part for part in parts]


def halo_of(reach: float, sizes: NDArray[np.float64], where: str) -> int:
    """Give the number of pixels within a distance, for the smallest pixel.

    Raises
    ------
    InputError
        If it is none, or more than a block can have around it.
    """
    pixels = reach / float(sizes.min())
    if not 0 < pixels <= _MOST_HALO:
        raise InputError(
            "no such reach", where=where, expected=f"above 0 to {_MOST_HALO} pixels", got=f"{reach:g}: {pixels:.1f}"
        )
    return int(np.ceil(pixels))


def layers_of(data: Any) -> list[Any]:
    """Give the dates of an array (time, y, x), or the one of an array (y, x)."""
    return [data] if data.ndim == 2 else [data[number] for number in range(data.shape[0])]


def stacked(layers: list[Any], *, like: Any) -> Any:
    """Put dates together again, if they were some."""
    if like.ndim == 2:
        return layers[0]
    return da.stack(layers) if is_lazy(layers) else np.stack(layers)


def _boxed(*arrays: NDArray[Any], core: Callable[..., Any]) -> NDArray[Any]:
    out = np.empty((1, 1), object)
    out[0, 0] = core(*arrays)
    return out


def _alike(arrays: Sequence[Any], chunks: tuple[tuple[int, ...], ...] | None = None) -> list[da.Array]:
    """Cut all arrays as the first lazy one is; those of one row or column along that axis stay whole."""
    whole = arrays[0].shape
    if chunks is None:
        chunks = next(array.chunks for array in arrays if isinstance(array, da.Array) and array.shape == whole)
    found = []
    for array in arrays:
        wanted = tuple(
            side if size == full else (size,) for side, size, full in zip(chunks, array.shape, whole, strict=True)
        )
        found.append(array.rechunk(wanted) if isinstance(array, da.Array) else da.from_array(array, chunks=wanted))
    return found


def _at_least(sizes: tuple[int, ...], least: int) -> tuple[int, ...]:
    """Join pieces of a length to their neighbours until none is shorter than the halo."""
    kept: list[int] = []
    for size in sizes:
        if kept and min(kept[-1], size) < least:
            kept[-1] += size
        else:
            kept.append(size)
    return tuple(kept)
