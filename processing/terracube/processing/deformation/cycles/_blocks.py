"""Functions of all pairs of some pixels, called at once or block by block: what comes out never depends on the cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import annotate, tokenize
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.doors import pick
from terracube.processing.deformation.network import Network, network_of_stack

type Core = Callable[..., Mapping[str, NDArray[Any]]]
type Outs = Mapping[str, tuple[str, int]]
"""Type and number of layers of each result; 0 layers: (y, x)."""


def phase_of(stack: xr.Dataset) -> tuple[xr.DataArray, Network, NDArray[np.int64]]:
    """Take the phases (pair, y, x) of a stack in the order of its network, and the order that brings them there.

    Raises
    ------
    InputError
        If there are none, or as :func:`~terracube.processing.deformation.network.network_of_stack`.
    """
    known = stack.get("unwrapped_phase") if isinstance(stack, xr.Dataset) else None
    if known is None or set(known.dims) != {"pair", "y", "x"} or known.dtype.kind != "f":
        got = type(stack).__name__ if known is None else f"{known.dtype} {known.dims}"
        raise InputError("this is no stack of unwrapped phases", expected="unwrapped_phase (pair, y, x), rad", got=got)
    network, order = network_of_stack(stack)
    phase = known.transpose("pair", "y", "x")
    return (phase if (np.diff(order) == 1).all() else phase.isel(pair=order)), network, order


def over_pixels(core: Core, arrays: Sequence[Any], outs: Outs, *, halo: int = 0) -> dict[str, Any]:
    """Call a function on arrays (layer, y, x): at once, or lazily block by block if the first is lazy.

    Parameters
    ----------
    core : callable
        From blocks, with ``halo`` pixels around them, to what ``outs`` names, without. Beyond the edge, floats are NaN
        and whole numbers zero.
    arrays : sequence of arrays (layer, y, x)
    outs : mapping of names to (type, layers)
    halo : int

    Returns
    -------
    dict of arrays (layer, y, x), or (y, x)
    """
    if not isinstance(arrays[0], da.Array):
        around = ((0, 0), (halo, halo), (halo, halo))
        given = [np.asarray(array) for array in arrays]
        return dict(core(*(np.pad(a, around, constant_values=_beyond(a)) if halo else a for a in given)))
    sides = tuple(_joined(sizes, halo) for sizes in arrays[0].chunks[1:])
    lazy = [_cut(array, sides, halo) for array in arrays]
    name = f"{next(iter(outs))}-{tokenize(core, halo, sides, *(array.name for array in lazy))[:24]}"
    ones = ((1,), *((1,) * len(side) for side in sides))
    # Fused into the small tasks that take its variables out, a block would be computed once for each of them.
    with annotate(fuse=False):
        done = da.map_blocks(
            _boxed, *lazy, core=core, chunks=ones, dtype=object, meta=np.empty((0, 0, 0), object), name=name
        )[0]
    return {one: _taken(done, one, dtype, layers, sides, name) for one, (dtype, layers) in outs.items()}


def _taken(done: Any, one: str, dtype: str, layers: int, sides: tuple[Any, ...], name: str) -> da.Array:
    chunks = (*([(layers,)] if layers else []), *sides)
    found: da.Array = da.map_blocks(
        pick, done, one, chunks=chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype), name=f"{one}-of-{name}",
        new_axis=[0] if layers else None,
    )  # fmt: skip
    return found


def _boxed(*blocks: NDArray[Any], core: Core) -> NDArray[Any]:
    out = np.empty((1, 1, 1), object)
    out[0, 0, 0] = core(*blocks)
    return out


def _beyond(array: Any) -> float:
    return float("nan") if array.dtype.kind == "f" else 0


def _cut(array: Any, sides: tuple[tuple[int, ...], ...], halo: int) -> da.Array:
    """Cut an array into blocks of all its layers, each with what lies around it."""
    wanted = (array.shape[0], *sides)
    cut: da.Array = array.rechunk(wanted) if isinstance(array, da.Array) else da.from_array(array, chunks=wanted)
    if not halo:
        return cut
    edges = {1: _beyond(array), 2: _beyond(array)}
    whole: da.Array = da.overlap.overlap(cut, depth={1: halo, 2: halo}, boundary=edges, allow_rechunk=False)
    return whole


def _joined(sizes: tuple[int, ...], halo: int) -> tuple[int, ...]:
    """Join blocks that are smaller than what is cut from them."""
    kept: list[int] = []
    for size in sizes:
        if kept and min(kept[-1], size) < halo:
            kept[-1] += size
        else:
            kept.append(size)
    return tuple(kept)
