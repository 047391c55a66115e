"""STAC items in, a cube out: lazy, one task per output block, or at once into memory."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pystac
import xarray as xr
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, EmptyResultError, InputError, NotFoundError
from terracube.core.sensors import MaskRule
from terracube.cubes.access.signing import Signer
from terracube.cubes.blocks import BlockReader, read_block
from terracube.cubes.cut import Blocks, block_side, cut
from terracube.cubes.grid import YX, Grid
from terracube.cubes.gridlike import GridLike, to_grid
from terracube.cubes.layout import georeference, to_dataset
from terracube.cubes.plan import CubePlan, CubeSpec, MaskChoice, Order, plan_cube
from terracube.cubes.sources import Given, SceneSet, local_folder, read_scenes

DEFAULT_BLOCK = 512
ENGINES = ("terracube", "odc", "stackstac")
_STRIP_PIXELS = 1 << 22
_REMEMBERED = 64

Chunks = str | int | Mapping[str, int] | None


@dataclass(frozen=True)
class Call:
    """A load call whose items, bands and grid are settled, but of which no pixel has been read."""

    scenes: SceneSet
    plan: CubePlan
    chunks: Chunks
    engine: str

    @property
    def left_out(self) -> list[dict[str, str]]:
        """Items that could not be used, and why."""
        return [{"id": left.id, "reason": left.reason} for left in self.plan.left_out]


def load(
    items: Iterable[Any],
    *,
    bands: Sequence[str] | None = None,
    grid: GridLike | None = None,
    chunks: Chunks = "auto",
    engine: str = "terracube",
    **options: Any,
) -> xr.Dataset:
    """Load STAC items into a cube.

    The values depend neither on ``chunks`` nor on the order of the items nor on which other bands are loaded.

    Parameters
    ----------
    items : iterable
        pystac items, an ItemCollection, what a search gives, or dicts; STAC 1.0 and 1.1. Files on this machine (below
        the folder of their item) or behind http, https and s3.
    bands : sequence of str, optional
        Role names (``"red"``), common names, asset keys or the agency's names (``"B04"``); all measured bands that
        every item has, unless given.
    grid : Grid, GeoBox, xarray object, optional
        Target pixels. Without it: those of the finest band, where all items share them; or give ``bbox`` (longitude
        and latitude, unless ``bbox_crs`` says otherwise), ``crs`` and ``resolution``.
    chunks : "auto", int, mapping, or None
        Pixels along ``y`` and ``x`` (and steps along ``time``) of a block. ``"auto"``: at most 64 MiB per block, on
        the borders of the files' tiles where the pixels agree. ``None`` reads at once, on all cores.
    engine : "terracube", "odc" or "stackstac"
        Who reads: the others (extras, for comparison) give the same layout.
    **options
        ``groupby``: ``"solar_day"`` (default), ``"time"``, a property of the items, or None (each item is a step).
        ``mosaic``: which item of a step wins: ``"first"`` (by time and id), ``"nearest-in-view"``, ``"min_cloud"``,
        ``"max_cloud"``, or a function that orders scenes.
        ``mask``: name of a rule of the sensor (``"clear"``, the default), a MaskRule, numbers of the classes to leave
        out, a function from the layer's numbers to a bool array, or None.
        ``radiometry``: ``"physical"`` (default; scale and offset resolved per item) or ``"dn"``; classes and flags
        are never scaled.
        ``resampling``: a method for all bands or a mapping, ``{"scl": "nearest", "*": "bilinear"}``; nearest,
        bilinear, cubic, average or mode.
        ``overviews``: ``"none"`` (default) or ``"auto"``.
        ``on_error``: ``"raise"`` (default) or ``"skip"``: what cannot be read is missing, and told by
        :func:`report`.
        ``nodata``: the number that means nothing was seen, where files and metadata are silent or disagree; or a
        mapping of bands to numbers.
        ``headers``: ``"auto"`` (default) reads the headers of local files, and of remote ones where the item does not
        say enough; ``"always"`` or ``"never"``.
        ``interval``: what to take of an item that has no datetime, but a start and an end: ``"refuse"`` (default),
        ``"start"`` or ``"middle"``.
        ``roots``: folders of this machine in which items may name files by absolute paths.
        ``signer``: who signs addresses where bytes are read.

    Returns
    -------
    xarray.Dataset
        One variable (time, y, x) per band. Physical values are float32 with NaN where nothing was seen; numbers of
        files keep their type, with ``attrs["nodata"]``, or become floats where no such number is known.

    Raises
    ------
    InputError
        If an option is unknown or does not fit the items.
    MetadataError
        If CRS, nodata, radiometry or date of an item cannot be known; it names item, asset, field and the remedy.
    EmptyResultError
        If there is no item.
    TerraCubeError
        Why an item cannot be used, unless it is skipped.
    """
    call = prepare(items, bands=bands, grid=grid, chunks=chunks, engine=engine, **options)
    if engine != "terracube":
        return _by_peer(call)
    remember(call.plan)
    arrays = read_now(call.plan) if chunks is None else lazy_bands(call.plan, cut(call.plan, chunks))
    return to_dataset(call.plan, arrays, call.left_out)


def prepare(
    items: Iterable[Any],
    *,
    bands: Sequence[str] | None = None,
    grid: GridLike | None = None,
    chunks: Chunks = "auto",
    engine: str = "terracube",
    bbox: Sequence[float] | None = None,
    bbox_crs: Any = "EPSG:4326",
    crs: Any = None,
    resolution: float | tuple[float, float] | None = None,
    groupby: str | None = "solar_day",
    mosaic: str | Order = "first",
    mask: MaskChoice | Sequence[int] = "clear",
    radiometry: str = "physical",
    resampling: str | Mapping[str, str] = "nearest",
    on_error: str = "raise",
    overviews: str = "none",
    nodata: float | Mapping[str, float] | None = None,
    headers: str = "auto",
    interval: str = "refuse",
    roots: Sequence[str | os.PathLike[str]] = (),
    signer: Signer | None = None,
) -> Call:
    """Settle all that a load call decides, without reading a pixel; the parameters are those of :func:`load`."""
    if engine not in ENGINES:
        raise InputError("unknown engine", where="engine", expected=" or ".join(ENGINES), got=repr(engine))
    masked = tuple(mask) if isinstance(mask, Sequence | set | np.ndarray) and not isinstance(mask, str) else mask
    _check_kinds(bands=bands, resampling=resampling, nodata=nodata, signer=signer, mask=masked)
    _check_size(resolution)
    if bands is not None and len(set(bands)) < len(bands):
        raise InputError("a cube needs different bands", where="bands", got=str(list(bands))[:200])
    layer = masked if isinstance(masked, str | MaskRule) else masked is not None
    given = Given(nodata=nodata, interval=interval, roots=tuple(Path(root) for root in roots))
    scenes = read_scenes(items, bands, mask=layer, on_error=on_error, headers=headers, signer=signer, given=given)
    if not scenes.scenes:
        told = "; ".join(f"{left.id}: {left.reason}" for left in scenes.left_out)
        raise EmptyResultError("there is no scene to load", expected="one item or more", got=told or "none")
    spec = CubeSpec(
        bands=tuple(scenes.scenes[0].bands),
        masked=masked,
        groupby=groupby,
        radiometry=radiometry,
        mosaic=mosaic,
        resampling=_methods(resampling),
        overviews=overviews,
        on_error=on_error,
    )
    target = _target(scenes, grid, {"bbox": bbox, "crs": crs, "resolution": resolution}, bbox_crs)
    return Call(scenes, plan_cube(scenes, spec, target), chunks, engine)


def _target(scenes: SceneSet, grid: GridLike | None, place: dict[str, Any], bbox_crs: Any) -> Grid:
    """Settle the target pixels: those that are given, or those of the items themselves."""
    given = [name for name, value in place.items() if value is not None]
    if grid is None:
        return Grid.from_items(scenes, bbox_crs=bbox_crs, **place)
    if given:
        raise InputError("the grid says it all", where=", ".join(given), todo="give grid, or these, not both")
    return to_grid(grid)


def _check_size(resolution: Any) -> None:
    sizes = (resolution,) if np.isscalar(resolution) or resolution is None else tuple(resolution)
    if len(sizes) > 2 or any(isinstance(size, str | bool) for size in sizes):
        raise InputError(
            "the resolution is no size of a pixel",
            where="resolution",
            expected="a number, or (y, x)",
            got=repr(resolution),
        )


def _check_kinds(*, bands: Any, resampling: Any, nodata: Any, signer: Any, mask: Any) -> None:
    """Refuse what is of another kind than the option takes, before it fails somewhere inside."""
    mapping = nodata if isinstance(nodata, Mapping) else {"*": nodata}
    number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in mapping.values() if v is not None)
    named = bands is None or (isinstance(bands, Sequence) and not isinstance(bands, str))
    right = {
        "bands": (named and all(isinstance(name, str) for name in bands or ()), bands, "a list of names"),
        "resampling": (isinstance(resampling, str | Mapping), resampling, "a method, or a mapping of bands to methods"),
        "nodata": (number, nodata, "a number, or a mapping of bands to numbers"),
        "signer": (signer is None or isinstance(signer, Signer), type(signer).__name__, "an object that signs"),
        "mask": (
            mask is None or isinstance(mask, str | tuple | MaskRule) or callable(mask),
            mask,
            "a rule's name, a MaskRule, class numbers, a function, or None",
        ),
    }
    for name, (good, got, expected) in right.items():
        if not good:
            raise InputError(f"{name} is of the wrong kind", where=name, expected=expected, got=repr(got)[:80])
    unknown = sorted(set(mapping) - {"*", *(bands or mapping)})
    if unknown:
        raise InputError("nodata is told for a band that is not loaded", where="nodata", got=", ".join(unknown))


def _methods(resampling: str | Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if isinstance(resampling, str):
        return (("*", resampling),)
    return tuple(sorted(resampling.items()))


def _by_peer(call: Call) -> xr.Dataset:
    from terracube.cubes.engines import load_peer

    return load_peer(call)


_plans: OrderedDict[str, CubePlan] = OrderedDict()
_plans_lock = Lock()


def remember(plan: CubePlan) -> None:
    """Keep a plan, so that a dataset that names it can be explained and reported on."""
    with _plans_lock:
        _plans[plan.digest] = plan
        _plans.move_to_end(plan.digest)
        while len(_plans) > _REMEMBERED:
            _plans.popitem(last=False)


def recall(key: str) -> CubePlan | None:
    """Give a plan that was kept, if it still is."""
    with _plans_lock:
        return _plans.get(key)


def read_now(plan: CubePlan, workers: int | None = None) -> dict[str, NDArray[Any]]:
    """Read a whole cube into memory, on all cores, each step of time straight into its place.

    Nothing but the cube itself, and for each core what one file needs, is held.
    """
    shape = (len(plan.groups), *plan.grid.shape)
    _check_memory(plan)
    outs = [np.empty(shape, band.dtype) for band in plan.bands]
    rows = max(1, _STRIP_PIXELS // plan.grid.shape.x)
    rows = max(512, rows - rows % 512)
    parts = [(start, min(start + rows, shape[1])) for start in range(0, shape[1], rows)]

    def one(job: tuple[int, tuple[int, int]]) -> None:
        step, (start, stop) = job
        target = plan.grid.window(YX(start, 0), YX(stop - start, shape[2]))
        reader = BlockReader(plan, target)
        reader.fill_step(step, [out[step, start:stop] for out in outs], target)
        reader.tell()

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0)), "cube") as pool:
        for _ in pool.map(one, [(step, part) for part in parts for step in range(shape[0])]):
            pass
    return {band.name: out for band, out in zip(plan.bands, outs, strict=True)}


def _check_memory(plan: CubePlan) -> None:
    pixels = len(plan.groups) * plan.grid.shape.y * plan.grid.shape.x
    needed = sum(pixels * np.dtype(band.dtype).itemsize for band in plan.bands)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise BudgetError(
            "the cube is larger than the memory of this machine",
            where="chunks=None",
            expected=f"at most {there / 1e9:.3g} GB",
            got=f"{needed / 1e9:.3g} GB",
            todo="leave out chunks=None, and compute or store the cube block by block",
        )


def lazy_bands(plan: CubePlan, blocks: Blocks) -> dict[str, da.Array]:
    """Give a lazy array (time, y, x) per band; each of its blocks is one task that reads it and nothing else."""
    node = plan_node(plan)
    return {band.name: _lazy_band(plan, node, number, blocks) for number, band in enumerate(plan.bands)}


def plan_node(plan: CubePlan) -> Delayed:
    """Make a plan a graph node of its own: it travels to each worker once, not with each block."""
    node: Delayed = delayed(plan, name=f"plan-{plan.digest[:24]}", traverse=False)
    return node


def _lazy_band(plan: CubePlan, node: Delayed, number: int, blocks: Blocks) -> da.Array:
    band = plan.bands[number]
    lazy: da.Array = da.map_blocks(
        _band_chunk,
        node,
        number,
        blocks,
        chunks=blocks.chunks,
        dtype=band.dtype,
        meta=np.empty((0, 0, 0), band.dtype),
        name=f"{band.name}-{plan.digest[:24]}-{blocks.token}",
    )
    return lazy


def _band_chunk(plan: CubePlan, number: int, blocks: Blocks, block_id: tuple[int, ...]) -> NDArray[Any]:
    steps, window = blocks.of(block_id)
    reader = BlockReader(plan, plan.grid.window(*window), (number,), steps=steps)
    return reader.read()[0]


def load_array(plan: CubePlan, block: int = DEFAULT_BLOCK) -> xr.DataArray:
    """Give the lazy cube of a plan as one float32 array (time, band, y, x), one task per block."""
    remember(plan)
    bands = list(plan.spec.bands)
    cube = map_plan(plan, read_block, block=block, layers=bands, name="cube", leading=(len(plan.groups),))
    return cube.assign_coords(time=pd.to_datetime(list(plan.dates))).rename(layer="band")


def map_plan(
    plan: CubePlan,
    read: Callable[..., NDArray[np.float32]],
    *,
    block: int,
    layers: Sequence[str],
    name: str,
    leading: tuple[int, ...] = (),
    handed: tuple[Any, ...] = (),
) -> xr.DataArray:
    """Call a function on every block of a plan's grid, lazily, one task per block.

    Parameters
    ----------
    plan : CubePlan
    read : callable
        From the plan, the block's grid and what is handed over, to float32 values (layer, y, x), or (time, layer, y,
        x).
    block : int
        Pixels along each side of a block.
    layers : sequence of str
        Names along the axis before y.
    name : str
        What the tasks are called; with the plan's digest it must say all that decides the values.
    leading : () or (times,)
        Length of the time axis, if there is one.
    handed : tuple
        More that ``read`` is called with, perhaps lazy; the name must say what it is.
    """
    block_side(block)
    sizes = (*leading, len(layers))
    lazy = da.map_blocks(
        _map_chunk,
        plan_node(plan),
        read,
        block,
        *handed,
        chunks=(*((size,) for size in sizes), *plan.grid.chunks(block)),
        dtype="float32",
        meta=np.empty((0,) * (len(sizes) + 2), "float32"),
        name=f"{name}-{plan.digest[:16]}-{block}",
    )
    dims = (*("time" for _ in leading), "layer", "y", "x")
    return georeference(xr.DataArray(lazy, dims=dims, coords={"layer": list(layers)}, name=name), plan.grid)


def _map_chunk(
    plan: CubePlan, read: Callable[..., NDArray[np.float32]], block: int, *handed: Any, block_id: tuple[int, ...]
) -> NDArray[np.float32]:
    start = YX(block_id[-2] * block, block_id[-1] * block)
    shape = YX(min(block, plan.grid.shape.y - start.y), min(block, plan.grid.shape.x - start.x))
    return read(plan, plan.grid.window(start, shape), *handed)


def as_dataset(cube: xr.DataArray) -> xr.Dataset:
    """Split an array with a band axis into one variable per band."""
    variables: dict[Hashable, xr.DataArray] = {str(name): cube.sel(band=name, drop=True) for name in cube.band.values}
    return xr.Dataset(variables, attrs=dict(cube.attrs))


def open_product(item: pystac.Item) -> xr.Dataset:
    """Open a published product lazily, from its Zarr group.

    Parameters
    ----------
    item : pystac.Item
        With a self link and an asset ``zarr``.

    Returns
    -------
    xarray.Dataset
        One variable (y, x) per layer, in the item's order, NaN where missing; layers of classes are whole numbers, and
        their attribute ``nodata`` is what stands where there is none.

    Raises
    ------
    NotFoundError
        If the item has no such asset.
    AssetError
        If its folder is not there.
    """
    if "zarr" not in item.assets:
        raise NotFoundError("the item has no Zarr asset", where=item.id, got=", ".join(sorted(item.assets)[:20]))
    folder = local_folder(item, "zarr")
    plain = xr.open_zarr(folder, mask_and_scale=False)
    # Classes stay numbers: a map of classes with NaN would be a map of floats.
    masked = {str(name): "flag_values" not in values.attrs for name, values in plain.variables.items()}
    opened: xr.Dataset = xr.open_zarr(folder, decode_coords="all", mask_and_scale=masked)
    for name, keeps in masked.items():
        if not keeps:
            opened[name].attrs["nodata"] = opened[name].attrs.pop("missing_value", None)
    told = [key for key in item.assets if key in opened.data_vars]
    return opened[[*told, *(name for name in opened.data_vars if name not in told)]]


def as_array(cube: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Join the variables of a dataset (time, y, x) into one float32 array (time, band, y, x), NaN where missing.

    Raises
    ------
    InputError
        If a variable lacks one of the dimensions.
    """
    if isinstance(cube, xr.DataArray):
        if set(cube.dims) != {"time", "band", "y", "x"}:
            raise InputError("not a cube", expected="dimensions time, band, y, x", got=", ".join(map(str, cube.dims)))
        whole = cube.transpose("time", "band", "y", "x")
        return whole.chunk(time=-1, band=-1) if whole.chunks is not None else whole
    wrong = [str(name) for name, values in cube.data_vars.items() if set(values.dims) != {"time", "y", "x"}]
    if wrong or not cube.data_vars:
        raise InputError("not a cube", where=", ".join(wrong), expected="variables with dimensions time, y, x")
    names = [str(name) for name in cube.data_vars]
    layers = [_as_float(cube[name].transpose("time", "y", "x")) for name in names]
    joined = xr.concat(layers, dim=pd.Index(names, name="band"), coords="minimal", compat="override")
    whole = joined.transpose("time", "band", "y", "x")
    return whole.chunk(time=-1, band=-1) if whole.chunks is not None else whole


def _as_float(values: xr.DataArray) -> xr.DataArray:
    """Give float32 values, NaN where an integer says that nothing was seen."""
    nodata = values.attrs.get("nodata")
    floating = values.astype("float32")
    return floating if nodata is None or values.dtype.kind == "f" else floating.where(values != nodata)
