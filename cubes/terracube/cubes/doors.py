"""The public doors to the block engine: call a function on every block, or gather one answer from all of them.

A block is one task: it reads what it needs of every item, and calls the function. Blocks of a dataset come from its
own chunks. What one block cannot know -- a threshold of the whole scene, a reference value -- is gathered first by
:func:`reduce_blocks` and handed to :func:`map_blocks` as ``broadcast``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import annotate, tokenize
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.blocks import BlockReader
from terracube.cubes.cut import Blocks, block_side, cut
from terracube.cubes.grid import YX, Grid
from terracube.cubes.gridlike import GridLike, to_grid
from terracube.cubes.layout import attributes_of, georeference
from terracube.cubes.load import Chunks, plan_node, prepare, remember
from terracube.cubes.plan import CubePlan
from terracube.cubes.storage.layers import TILE

Template = Mapping[str, Any] | xr.Dataset
"""Names and types of what comes out."""
_DIMS = ("time", "y", "x")


@dataclass(frozen=True)
class _Feed:
    """Where blocks come from: a plan that each task reads from, or the chunks of a dataset."""

    grid: Grid
    blocks: Blocks
    token: str
    arrays: tuple[Any, ...]
    """What each task is handed: the plan, or one array (time, y, x) per variable."""
    facts: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Name and attributes of each variable of a dataset; empty for a plan."""
    times: Any = None
    attrs: dict[str, Any] = field(default_factory=dict)
    """What a result says of its origin."""

    def dataset(self, given: tuple[Any, ...], area: Grid) -> xr.Dataset:
        """Make the dataset of one block, in memory, from what its task was handed."""
        if self.facts:
            values = dict(zip((name for name, _ in self.facts), given, strict=True))
            attrs, times = dict(self.facts), self.times
        else:
            plan: CubePlan = given[0]
            values = _read(plan, area)
            attrs = {band.name: _nodata(band.nodata, band.dtype) for band in plan.bands}
            times = np.array(plan.dates, "datetime64[ns]")
        y, x = area.centres()
        coords = {"y": y, "x": x} | ({} if times is None else {"time": times})
        return xr.Dataset(
            {name: (_DIMS[-value.ndim :], value, attrs[name]) for name, value in values.items()}, coords=coords
        )


def _nodata(nodata: float | None, dtype: str) -> dict[str, Any]:
    return {} if nodata is None else {"nodata": np.dtype(dtype).type(nodata).item()}


def map_blocks(
    source: Iterable[Any] | xr.Dataset,
    grid: GridLike | None,
    fn: Callable[..., Any],
    template: Template,
    *,
    halo: int = 0,
    broadcast: Any = None,
    chunks: Chunks = "auto",
    **options: Any,
) -> xr.Dataset:
    """Call a function on every block of a cube, lazily: one task per block reads, computes and returns.

    Parameters
    ----------
    source : iterable of items, or Dataset
        Items are loaded as :func:`terracube.cubes.load` does, with ``options``; or a cube that is there already.
    grid : Grid or None
        Target pixels; ``None`` with a dataset, or for the items' own grid.
    fn : callable
        ``fn(block)``, or ``fn(block, broadcast)`` if something is handed to all: from a Dataset in memory (time, y, x)
        to a Dataset or a mapping of names to arrays (y, x), of the block with its halo or without.
    template : mapping of names to types, or Dataset
        What comes out, each (y, x): ``{"ndvi": "float32"}``.
    halo : int
        Pixels around the block that ``fn`` sees too; beyond the edge of the grid they are missing.
    broadcast
        A value for all blocks, for example what :func:`reduce_blocks` gave; it may be lazy.
    chunks
        As for :func:`terracube.cubes.load`; the values do not depend on it.

    Returns
    -------
    xarray.Dataset
        One lazy variable (y, x) per name of the template.

    Raises
    ------
    InputError
        If the template or halo is unusable; when computed, if ``fn`` gives something else than it says.
    MetadataError
        If a halo is asked for and a variable of whole numbers has no nodata to fill it with.
    """
    types = _types(template)
    if isinstance(halo, bool) or not isinstance(halo, int) or halo < 0:
        raise InputError("the halo is no number of pixels", where="halo", expected="0, 1, 2, ...", got=repr(halo))
    feed = _feed(source, grid, chunks, options, halo=halo)
    name = f"map-{feed.token}-{tokenize(fn, halo, types, feed.blocks)[:16]}"
    # What is lazy is named by its own key, and everything else by its content.
    name += f"-{broadcast.key if isinstance(broadcast, Delayed) else tokenize(broadcast)[:16]}" * (
        broadcast is not None
    )
    ones = tuple((1,) * len(sizes) for sizes in (feed.blocks.y, feed.blocks.x))
    handed = {} if broadcast is None else {"broadcast": broadcast}
    # Fused into the small tasks that take its variables out, a block would be computed once for each of them.
    with annotate(fuse=False):
        done = da.map_blocks(
            _run_map, *feed.arrays, feed=_light(feed), fn=fn, types=types, halo=halo, **handed,
            chunks=ones, dtype=object, meta=np.empty((0, 0), object), name=name, drop_axis=_dropped(feed),
        )  # fmt: skip
    arrays = {
        key: da.map_blocks(
            pick, done, key, chunks=feed.blocks.chunks[1:], dtype=dtype, meta=np.empty((0, 0), dtype),
            name=f"{key}-{name}",
        )
        for key, dtype in types
    }  # fmt: skip
    attrs = {str(key): dict(template[key].attrs) for key in template} if isinstance(template, xr.Dataset) else {}
    placed = {
        key: georeference(xr.DataArray(lazy, dims=("y", "x")), feed.grid).assign_attrs(attrs.get(key, {}))
        for key, lazy in arrays.items()
    }
    return xr.Dataset(placed, attrs=feed.attrs)


def reduce_blocks(
    source: Iterable[Any] | xr.Dataset,
    grid: GridLike | None,
    partial: Callable[[xr.Dataset], Any],
    combine: Callable[[list[Any]], Any],
    *,
    chunks: Chunks = "auto",
    **options: Any,
) -> Delayed:
    """Gather one answer from the whole cube, lazily, the same to the bit however it is cut.

    Parameters
    ----------
    source, grid, chunks, options
        As for :func:`map_blocks`.
    partial : callable
        From a tile (a Dataset in memory of at most 256 x 256 pixels, whose edges lie on multiples of 256 of the grid's
        absolute pixel index) to a small value: a histogram, sums in float64.
    combine : callable
        From the values of all tiles, in row order of the tiles, to the answer.

    Returns
    -------
    dask Delayed
        Compute it, or hand it to :func:`map_blocks` as ``broadcast``.
    """
    feed = _feed(source, grid, chunks, options, tile=TILE)
    name = f"reduce-{feed.token}-{tokenize(partial, feed.blocks)[:16]}"
    ones = tuple((1,) * len(sizes) for sizes in (feed.blocks.y, feed.blocks.x))
    parts = da.map_blocks(
        _run_reduce, *feed.arrays, feed=_light(feed), partial=partial,
        chunks=ones, dtype=object, meta=np.empty((0, 0), object), name=name, drop_axis=_dropped(feed),
    )  # fmt: skip
    key = f"combine-{name}-{tokenize(combine)[:16]}"
    answer: Delayed = delayed(_combine, pure=True)(list(parts.to_delayed().ravel()), combine, dask_key_name=key)
    return answer


def _types(template: Template) -> tuple[tuple[str, str], ...]:
    try:
        if isinstance(template, xr.Dataset):
            found = {str(name): values.dtype for name, values in template.data_vars.items()}
        else:
            found = {str(name): np.dtype(dtype) for name, dtype in template.items()}
    except (AttributeError, TypeError) as error:
        raise InputError(
            "the template is no mapping of names to types",
            where="template",
            expected='like {"ndvi": "float32"}',
            got=repr(template)[:80],
        ) from error
    if not found:
        raise InputError("the template names nothing", where="template", expected="names and types of what comes out")
    return tuple((name, dtype.name) for name, dtype in found.items())


def _feed(
    source: Iterable[Any] | xr.Dataset,
    grid: GridLike | None,
    chunks: Chunks,
    options: dict[str, Any],
    *,
    halo: int = 0,
    tile: int = 0,
) -> _Feed:
    """Settle where the blocks come from, and how they are cut."""
    if isinstance(source, xr.Dataset):
        if options or grid is not None:
            told = ", ".join([*options, *(["grid"] if grid is not None else [])])
            raise InputError("a dataset has its pixels already", where=told, todo="leave these out")
        return _of_dataset(source, chunks, halo=halo, tile=tile)
    call = prepare(source, grid=grid, chunks=chunks, **options)
    if call.engine != "terracube":
        raise InputError("blocks are read by our own engine alone", where="engine", got=repr(call.engine))
    remember(call.plan)
    blocks = cut(call.plan, chunks)
    if tile:
        blocks = _on_tiles(blocks, call.plan.grid, tile)
    whole = Blocks((len(call.plan.groups),), blocks.y, blocks.x)
    attrs = attributes_of(call.plan, call.left_out)
    return _Feed(call.plan.grid, whole, call.plan.digest[:24], (plan_node(call.plan),), attrs=attrs)


def _of_dataset(source: xr.Dataset, chunks: Chunks, *, halo: int, tile: int) -> _Feed:
    """Take blocks from a dataset whose variables are (time, y, x) or (y, x)."""
    wrong = [str(name) for name, values in source.data_vars.items() if values.dims not in (_DIMS, _DIMS[1:])]
    if wrong or not source.data_vars:
        raise InputError(
            "not a cube", where=", ".join(wrong), expected="variables with dimensions (time, y, x) or (y, x)"
        )
    grid = to_grid(source)
    if grid.shape.y > 1 and "y" in source.coords and source["y"].values[0] < source["y"].values[-1]:
        raise InputError(
            "rows run north", where="y", expected="from north to south", todo='ds.sortby("y", ascending=False)'
        )
    lazy = source if source.chunks else source.chunk(y=1024, x=1024)
    sizes = lazy.unify_chunks().chunks
    blocks = Blocks((source.sizes.get("time", 1),), tuple(sizes["y"]), tuple(sizes["x"]))
    if chunks != "auto":
        given = _sides(chunks)
        blocks = _regular(blocks, grid, {str(name): int(size) for name, size in given.items()})
    if tile:
        blocks = _on_tiles(blocks, grid, tile)
    blocks = Blocks(blocks.time, _at_least(blocks.y, halo), _at_least(blocks.x, halo))
    arrays = tuple(_chunked(values, blocks, halo) for values in lazy.data_vars.values())
    facts = tuple((str(name), dict(values.attrs)) for name, values in source.data_vars.items())
    times = source["time"].values if "time" in source.coords else None
    token = tokenize([array.name for array in arrays], facts, times, grid.as_dict(), blocks)[:24]
    return _Feed(grid, blocks, token, arrays, facts, times)


def _sides(chunks: Chunks) -> Mapping[str, int]:
    if isinstance(chunks, str):
        raise InputError("unknown chunks", where="chunks", expected="'auto', a number, a mapping", got=repr(chunks))
    return {"y": block_side(chunks), "x": chunks} if isinstance(chunks, int) else chunks or {}


def _regular(blocks: Blocks, grid: Grid, sides: Mapping[str, int]) -> Blocks:
    y, x = (
        grid.chunks(sides.get(name, max(sizes)))[axis]
        for axis, (name, sizes) in enumerate((("y", blocks.y), ("x", blocks.x)))
    )
    return Blocks(blocks.time, y, x)


def _on_tiles(blocks: Blocks, grid: Grid, tile: int) -> Blocks:
    """Move the borders of blocks to multiples of the tile, counted in absolute pixels of the grid."""
    return Blocks(
        blocks.time,
        _tiled(grid.shape.y, grid.offset.y, max(blocks.y), tile),
        _tiled(grid.shape.x, grid.offset.x, max(blocks.x), tile),
    )


def _tiled(size: int, offset: int, side: int, tile: int) -> tuple[int, ...]:
    step = max(tile, side - side % tile)
    first = min(size, -offset % step)
    return (*([first] if first else []), *(min(step, size - at) for at in range(first, size, step)))


def _at_least(sizes: tuple[int, ...], halo: int) -> tuple[int, ...]:
    """Join blocks that are smaller than the halo, which is cut from the next block alone."""
    joined: list[int] = []
    for size in sizes:
        if joined and min(joined[-1], size) < halo:
            joined[-1] += size
        else:
            joined.append(size)
    return tuple(joined)


def _chunked(values: xr.DataArray, blocks: Blocks, halo: int) -> da.Array:
    """Cut an array like the blocks, each with its halo; beyond the edge there is nothing."""
    wanted = (blocks.time, blocks.y, blocks.x)[-values.ndim :]
    array: da.Array = values.data.rechunk(wanted)
    if not halo:
        return array
    missing = np.nan if array.dtype.kind == "f" else values.attrs.get("nodata")
    if missing is None:
        raise MetadataError(
            "a halo needs a number that means missing",
            where=str(values.name),
            expected="attrs['nodata'], or floats with NaN",
            got=str(array.dtype),
        )
    depth = {array.ndim - 2: halo, array.ndim - 1: halo}
    edges = dict.fromkeys(depth, missing)
    whole: da.Array = da.overlap.overlap(array, depth=depth, boundary=edges, allow_rechunk=False)
    return whole


def _dropped(feed: _Feed) -> list[int]:
    return [0] if feed.facts and any(array.ndim == 3 for array in feed.arrays) else []


def _light(feed: _Feed) -> _Feed:
    """Give what each task needs to know of the feed, without the arrays."""
    return _Feed(feed.grid, feed.blocks, feed.token, (), feed.facts, feed.times)


def _area(feed: _Feed, block_id: tuple[int, ...], halo: int) -> Grid:
    """Give the pixels of a block with its halo, which may lie beyond the edge."""
    _, (start, shape) = feed.blocks.of((0, *block_id[-2:]))
    return feed.grid.window(YX(start.y - halo, start.x - halo), YX(shape.y + 2 * halo, shape.x + 2 * halo))


def _read(plan: CubePlan, area: Grid) -> dict[str, NDArray[Any]]:
    """Read an area that may reach beyond the grid of the plan, where everything is missing."""
    origin, whole = plan.grid.offset, plan.grid.shape
    top, left = max(0, origin.y - area.offset.y), max(0, origin.x - area.offset.x)
    bottom = min(area.shape.y, origin.y + whole.y - area.offset.y)
    right = min(area.shape.x, origin.x + whole.x - area.offset.x)
    inner = area.window(YX(top, left), YX(bottom - top, right - left))
    found = BlockReader(plan, inner).read()
    if inner.shape == area.shape:
        return {band.name: values for band, values in zip(plan.bands, found, strict=True)}
    outs = {}
    for band, values in zip(plan.bands, found, strict=True):
        out = np.full((len(values), *area.shape), band.missing, band.dtype)
        out[:, top:bottom, left:right] = values
        outs[band.name] = out
    return outs


def _run_map(
    *given: Any,
    feed: _Feed,
    fn: Callable[..., Any],
    types: tuple[tuple[str, str], ...],
    halo: int,
    block_id: tuple[int, ...],
    **handed: Any,
) -> NDArray[Any]:
    area = _area(feed, block_id, halo)
    block = feed.dataset(given, area)
    found = fn(block, handed["broadcast"]) if handed else fn(block)
    out = np.empty((1, 1), object)
    out[0, 0] = {name: _trimmed(found, name, dtype, area, halo) for name, dtype in types}
    return out


def _trimmed(found: Any, name: str, dtype: str, area: Grid, halo: int) -> NDArray[Any]:
    """Take one result, check it, and cut the halo off if it is there."""
    inner = (area.shape.y - 2 * halo, area.shape.x - 2 * halo)
    try:
        given = found[name]
        values = np.asarray(given.transpose("y", "x") if isinstance(given, xr.DataArray) else given)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(
            "the function does not give what the template names", where=name, got=type(found).__name__
        ) from error
    if values.dtype != dtype or values.shape not in (inner, tuple(area.shape)):
        raise InputError(
            "the function gives something else than the template says",
            where=name,
            expected=f"{dtype} of shape {inner}" + (f" or {tuple(area.shape)}" if halo else ""),
            got=f"{values.dtype} of shape {values.shape}",
        )
    if values.shape == inner:
        return values
    return np.ascontiguousarray(values[halo : halo + inner[0], halo : halo + inner[1]])


def pick(done: NDArray[Any], name: str) -> NDArray[Any]:
    """Take one variable out of what the task of a block gave."""
    values: NDArray[Any] = done[0, 0][name]
    return values


def _run_reduce(
    *given: Any, feed: _Feed, partial: Callable[[xr.Dataset], Any], block_id: tuple[int, ...]
) -> NDArray[Any]:
    area = _area(feed, block_id, 0)
    block = feed.dataset(given, area)
    out = np.empty((1, 1), object)
    out[0, 0] = [(at, partial(block.isel(y=rows, x=cols))) for at, rows, cols in _tiles(area)]
    return out


def _tiles(area: Grid) -> Iterator[tuple[tuple[int, int], slice, slice]]:
    """Give the tiles that a block touches: index in the plane, rows and columns within the block."""
    for row, rows in _spans(area.offset.y, area.shape.y):
        for col, cols in _spans(area.offset.x, area.shape.x):
            yield (row, col), rows, cols


def _spans(offset: int, size: int) -> Iterator[tuple[int, slice]]:
    for number in range(offset // TILE, -(-(offset + size) // TILE)):
        yield number, slice(max(0, number * TILE - offset), min(size, (number + 1) * TILE - offset))


def _combine(parts: list[NDArray[Any]], combine: Callable[[list[Any]], Any]) -> Any:
    tiles = [tile for part in parts for tile in part[0, 0]]
    return combine([value for _, value in sorted(tiles, key=lambda tile: tile[0])])
