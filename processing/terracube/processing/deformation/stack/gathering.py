"""One answer from all pixels of a stack, by tiles that lie where the grid counts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr
from dask.graph_manipulation import clone
from numpy.typing import NDArray

from terracube.cubes.doors import reduce_blocks
from terracube.cubes.grid import YX, Grid, Pair
from terracube.cubes.gridlike import grid_like
from terracube.cubes.layout import georeference
from terracube.processing.deformation.stack import has_place

# A grid for stacks that have no place: square pixels counted from the corner.
_NOWHERE = "EPSG:32631"


def counted_grid(stack: xr.Dataset) -> Grid:
    """Give the grid of a stack; where it has no place, one whose pixels are counted from its corner."""
    if has_place(stack):
        return grid_like(stack)
    return Grid(_NOWHERE, Pair(-1.0, 1.0), Pair(0.0, 0.0), YX(0, 0), YX(stack.sizes["y"], stack.sizes["x"]))


def gather(
    stack: xr.Dataset,
    names: Sequence[str],
    partial: Callable[[xr.Dataset], Any],
    combine: Callable[[list[Any]], Any],
) -> Any:
    """Call a function on every tile of some layers (pair, y, x), and join what it gives in the order of the tiles.

    Returns
    -------
    The answer of ``combine``; a dask Delayed of it if the stack is lazy. A lazy stack is then read for this alone, so
    that no block waits in memory for the answer.
    """
    bare = xr.Dataset({name: (("time", "y", "x"), stack[name].data) for name in names}).unify_chunks()
    lazy = bool(bare.chunks)
    if lazy:
        copies = clone(*(values.data for values in bare.data_vars.values()), seed="gather")
        bare = xr.Dataset(
            {
                name: (("time", "y", "x"), copy)
                for name, copy in zip(names, copies if len(names) > 1 else [copies], strict=True)
            }
        )
    answer = reduce_blocks(georeference(bare, counted_grid(stack)), None, partial, combine)
    return answer if lazy else answer.compute(scheduler="synchronous")


def lazy_part(answer: Any, name: str, size: int | None = None) -> NDArray[Any] | Any:
    """Take a number, or an array of some size, out of an answer that is a mapping, lazily if it is lazy."""
    import dask.array as da
    from dask.delayed import Delayed, delayed

    if not isinstance(answer, Delayed):
        return answer[name]
    shape = () if size is None else (size,)
    return da.from_delayed(delayed(dict.__getitem__, pure=True)(answer, name), shape, dtype="float64")
