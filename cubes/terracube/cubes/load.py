"""STAC items in, a lazy cube out: one task per spatial block, whatever the number of dates and bands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import groupby as group_sorted
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pystac
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.core.digest import sha256_of
from terracube.core.errors import EmptyResultError, InputError, NotFoundError
from terracube.core.sensors import sensor_of
from terracube.cubes.blocks import CubePlan, CubeSpec, read_block
from terracube.cubes.grid import YX, Grid
from terracube.cubes.sources import Scene, SceneSet, Source, local_folder, read_scenes

DEFAULT_BLOCK = 512
_GROUPS = ("solar_day", "scene")
_RADIOMETRIES = ("physical", "dn")


def load(
    items: Iterable[pystac.Item],
    *,
    bands: Sequence[str],
    grid: Grid,
    groupby: str = "solar_day",
    mask: str | Sequence[int] | None = "clear",
    radiometry: str = "physical",
    chunks: int = DEFAULT_BLOCK,
) -> xr.Dataset:
    """Load items into a lazy cube.

    Parameters
    ----------
    items : iterable of pystac.Item
        Scenes on this machine, with self links.
    bands : sequence of str
        Role names (``"red"``), asset keys or the agency's names (``"B04"``).
    grid : Grid
        Target pixels. Resampling is nearest neighbour, exact (see :mod:`terracube.cubes.lattice`).
    groupby : "solar_day" or "scene"
        ``solar_day`` mosaics the scenes of one day: the first scene, by time and id, that is clear wins.
    mask : "clear", sequence of int, or None
        ``"clear"`` leaves out the classes that the sensor's description names (clouds, shadow, cirrus, defects); a
        sequence names other classes to leave out; ``None`` reads no mask.
    radiometry : "physical" or "dn"
        Reflectance with scale and offset resolved per scene, or the file's numbers.
    chunks : int
        Pixels along each side of a block; the values do not depend on it.

    Returns
    -------
    xarray.Dataset
        One float32 variable (time, y, x) per band; NaN where nothing clear was seen. Time is the solar day.

    Raises
    ------
    TerraCubeError
        Naming item, asset and field, if a scene cannot be read.
    EmptyResultError
        If there is no item.
    """
    scenes = read_scenes(items, bands, mask=mask is not None)
    spec = CubeSpec(tuple(bands), mask_classes(scenes, mask), groupby, radiometry)
    return as_dataset(load_array(plan_cube(scenes, spec, grid), chunks))


def mask_classes(scenes: SceneSet, mask: str | Sequence[int] | None) -> tuple[int, ...] | None:
    """Settle which classes are left out: the sensor's own choice for ``"clear"``, else the given ones.

    The class that means nothing was seen is always left out.
    """
    if mask is None:
        return None
    masks = [sensor_of(name).mask for name in {scene.collection for scene in scenes.scenes}]
    if isinstance(mask, str):
        if mask != "clear":
            raise InputError("unknown mask rule", expected="'clear', class numbers, or None", got=repr(mask))
        return tuple(sorted({value for told in masks for value in told.masked}))
    if not all(0 <= value < 256 for value in mask):
        raise InputError("mask classes are numbers of a byte", expected="0..255", got=str(list(mask)))
    return tuple(sorted({*mask, *(told.nodata for told in masks)}))


def plan_cube(scenes: SceneSet, spec: CubeSpec, grid: Grid) -> CubePlan:
    """Put scenes into dates, in canonical order.

    Raises
    ------
    EmptyResultError
        If there is no scene.
    InputError
        If the spec asks for something unknown, or for what the scenes were not read with.
    """
    if spec.groupby not in _GROUPS or spec.radiometry not in _RADIOMETRIES:
        raise InputError(
            "unknown groupby or radiometry",
            expected=f"{' or '.join(_GROUPS)}; {' or '.join(_RADIOMETRIES)}",
            got=f"{spec.groupby}; {spec.radiometry}",
        )
    if not scenes.scenes:
        raise EmptyResultError(
            "there is no scene to load", got="; ".join(f"{s.id}: {s.reason}" for s in scenes.left_out)
        )
    _check_scenes(scenes, spec)
    ordered = sorted(scenes.scenes, key=lambda scene: (*scene.order, scene.collection))
    if spec.groupby == "scene":
        groups: list[tuple[Scene, ...]] = [(scene,) for scene in ordered]
    else:
        by_day = sorted(ordered, key=lambda scene: scene.solar_day)
        groups = [tuple(day) for _, day in group_sorted(by_day, key=lambda scene: scene.solar_day)]
    return CubePlan(spec, grid, tuple(_label(group[0], spec) for group in groups), tuple(groups))


def _label(scene: Scene, spec: CubeSpec) -> date:
    """Give the time of a step: the solar day of its scenes, or the moment (UTC) of its only scene."""
    return scene.solar_day if spec.groupby == "solar_day" else scene.acquired.replace(tzinfo=None)


def _check_scenes(scenes: SceneSet, spec: CubeSpec) -> None:
    if not spec.bands or len(set(spec.bands)) < len(spec.bands):
        raise InputError("a cube needs different bands", where="bands", expected="one or more", got=str(spec.bands))
    for scene in scenes.scenes:
        lacking = [name for name in spec.bands if name not in scene.bands]
        if lacking or (spec.masked is not None and scene.mask is None):
            raise InputError(
                "a scene was read without what the cube asks for",
                where=scene.id,
                expected=", ".join(spec.bands) + ("" if spec.masked is None else " and the mask"),
                got=", ".join(scene.bands) + (" and the mask" if scene.mask else " without mask"),
            )


def plan_digest(plan: CubePlan) -> str:
    """Give a digest of all that decides the cube's values, for deterministic task names."""
    scenes: list[list[Any]] = [[_scene_facts(scene, plan.spec) for scene in group] for group in plan.groups]
    spec = [list(plan.spec.bands), plan.spec.masked and list(plan.spec.masked), plan.spec.groupby, plan.spec.radiometry]
    return sha256_of([spec, plan.grid.as_dict(), [str(day) for day in plan.dates], scenes])


def _scene_facts(scene: Scene, spec: CubeSpec) -> list[Any]:
    sources = [*(scene.bands[name] for name in spec.bands), *([scene.mask] if scene.mask else [])]
    return [scene.id, str(scene.acquired), [_source_facts(source) for source in sources]]


def _source_facts(source: Source) -> list[Any]:
    nodata = None if source.nodata is None else repr(source.nodata)  # JSON knows no NaN
    return [source.path, source.band, source.grid.as_dict(), nodata, source.scale, source.offset]


def load_array(plan: CubePlan, block: int = DEFAULT_BLOCK) -> xr.DataArray:
    """Give the lazy cube of a plan as one array (time, band, y, x), one task per block."""
    times, bands = len(plan.groups), list(plan.spec.bands)
    cube = map_plan(plan, read_block, block=block, layers=bands, name="cube", leading=(times,))
    return cube.assign_coords(time=pd.to_datetime(list(plan.dates))).rename(layer="band")


def map_plan(
    plan: CubePlan,
    read: Callable[[CubePlan, Grid], NDArray[np.float32]],
    *,
    block: int,
    layers: Sequence[str],
    name: str,
    leading: tuple[int, ...] = (),
) -> xr.DataArray:
    """Call a function on every block of a plan's grid, lazily, one task per block.

    Parameters
    ----------
    plan : CubePlan
    read : callable
        From the plan and the block's grid to float32 values (layer, y, x), or (time, layer, y, x).
    block : int
        Pixels along each side of a block.
    layers : sequence of str
        Names along the axis before y.
    name : str
        What the tasks are called; with the plan's digest it must say all that decides the values.
    leading : () or (times,)
        Length of the time axis, if there is one.
    """
    if block < 1:
        raise InputError("blocks need at least one pixel", where="chunks", expected=">= 1", got=str(block))
    digest = plan_digest(plan)[:16]
    # The plan is a graph node of its own: it travels to each worker once, not with each block.
    node = delayed(plan, name=f"plan-{digest}", traverse=False)
    sizes = (*leading, len(layers))
    lazy = da.map_blocks(
        _map_chunk,
        node,
        read,
        block,
        chunks=(*((size,) for size in sizes), *plan.grid.chunks(block)),
        dtype="float32",
        meta=np.empty((0,) * (len(sizes) + 2), "float32"),
        name=f"{name}-{digest}-{block}",
    )
    dims = (*("time" for _ in leading), "layer", "y", "x")
    return georeference(xr.DataArray(lazy, dims=dims, coords={"layer": list(layers)}, name=name), plan.grid)


def _map_chunk(
    plan: CubePlan, read: Callable[[CubePlan, Grid], NDArray[np.float32]], block: int, block_id: tuple[int, ...]
) -> NDArray[np.float32]:
    start = YX(block_id[-2] * block, block_id[-1] * block)
    shape = YX(min(block, plan.grid.shape.y - start.y), min(block, plan.grid.shape.x - start.x))
    return read(plan, plan.grid.window(start, shape))


def georeference(array: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Give an array (..., y, x) its coordinates and CRS, as CF, rioxarray and odc-geo read them."""
    y, x = grid.centres()
    placed = array.assign_coords(y=("y", y), x=("x", x))
    with_crs: xr.DataArray = placed.rio.write_crs(grid.crs).rio.write_transform(grid.transform)
    located: xr.DataArray = with_crs.rio.write_coordinate_system()
    return located


def as_dataset(cube: xr.DataArray) -> xr.Dataset:
    """Split an array with a band axis into one variable per band."""
    variables = {str(name): cube.sel(band=name, drop=True) for name in cube.band.values}
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
        One variable (y, x) per layer, in the item's order, NaN where missing.

    Raises
    ------
    NotFoundError
        If the item has no such asset.
    AssetError
        If its folder is not there.
    """
    if "zarr" not in item.assets:
        raise NotFoundError("the item has no Zarr asset", where=item.id, got=", ".join(sorted(item.assets)[:20]))
    opened: xr.Dataset = xr.open_zarr(local_folder(item, "zarr"), decode_coords="all")
    told = [key for key in item.assets if key in opened.data_vars]
    return opened[[*told, *(name for name in opened.data_vars if name not in told)]]


def as_array(cube: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Join the variables of a dataset (time, y, x) into one float32 array (time, band, y, x).

    Raises
    ------
    InputError
        If a variable lacks one of the dimensions.
    """
    if isinstance(cube, xr.DataArray):
        if set(cube.dims) != {"time", "band", "y", "x"}:
            raise InputError("not a cube", expected="dimensions time, band, y, x", got=", ".join(map(str, cube.dims)))
        return cube.transpose("time", "band", "y", "x")
    wrong = [str(name) for name, values in cube.data_vars.items() if set(values.dims) != {"time", "y", "x"}]
    if wrong or not cube.data_vars:
        raise InputError("not a cube", where=", ".join(wrong), expected="variables with dimensions time, y, x")
    names = [str(name) for name in cube.data_vars]
    layers = [cube[name].transpose("time", "y", "x").astype("float32") for name in names]
    joined = xr.concat(layers, dim=pd.Index(names, name="band"), coords="minimal", compat="override")
    whole = joined.transpose("time", "band", "y", "x")
    return whole.chunk(time=-1, band=-1) if whole.chunks is not None else whole
