"""One answer from all pixels of a stack, by tiles that lie where the grid counts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import xarray as xr
from dask._task_spec import convert_legacy_graph
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
        bare = bare.map(lambda values: values.copy(data=read_apart(values.data)))
    answer = reduce_blocks(georeference(bare, counted_grid(stack)), None, partial, combine)
    return answer if lazy else answer.compute(scheduler="synchronous")


def read_apart(array: da.Array) -> da.Array:
    """Give an array that is computed by tasks of its own: no block of it waits for what else the tasks are used for.

    ``dask.graph_manipulation.clone`` leaves references of some layers (of an index by a list) as they were.
    """
    graph = convert_legacy_graph(dict(array.__dask_graph__()))
    names = {key: _apart(key) for key in graph}
    copied = {names[key]: node.substitute(names, key=names[key]) for key, node in graph.items()}
    return da.Array(copied, _apart(array.name), array.chunks, meta=array._meta)


def _apart(key: Any) -> Any:
    return (_apart(key[0]), *key[1:]) if isinstance(key, tuple) else f"{key}-apart"


def lazy_part(answer: Any, name: str, size: int | None = None) -> NDArray[Any] | Any:
    """Take a number, or an array of some size, out of an answer that is a mapping, lazily if it is lazy."""
    from dask.delayed import Delayed, delayed

    if not isinstance(answer, Delayed):
        return answer[name]
    shape = () if size is None else (size,)
    return da.from_delayed(delayed(dict.__getitem__, pure=True)(answer, name), shape, dtype="float64")
